"""hooks list, register, test, remove: where a service sends its webhooks, so that they come here."""

import re
import sys
import time
from collections.abc import Sequence
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn, TypeVar

import click

from ftwatch.cli import Exit
from ftwatch.cli.completion import provider_names
from ftwatch.cli.output import emit, format_option, local, plain, utc

if TYPE_CHECKING:
    from ftwatch.cli.endpoints import Question
    from ftwatch.plugins import Endpoint

T = TypeVar("T")

# The types that are about jobs, and the one that a test is about where the endpoint gets none at all.
TUNING = "fine_tuning."
SAMPLE = "fine_tuning.job.succeeded"
# How long (seconds) a sample that was delivered may take to stand in the database.
PATIENCE = 5.0


@click.group()
def hooks() -> None:
    """A service's webhooks to ftwatch: register, list, test, remove.

    The services are asked with the config's keys, which must be allowed to write for all but `list`.
    """


# --------------------------------------------------------------------------------------------------- list


@hooks.command("list")
@click.argument("provider", required=False, shell_complete=provider_names)
@format_option
@click.pass_obj
def list_(config: str | None, provider: str | None, output: str) -> int:
    """List the endpoints that services send to.

    Those of PROVIDER's, or of every provider's that can be asked. Exits with 4 where one of them does not
    answer or refuses.
    """
    from ftwatch.cli.endpoints import Unmanaged, ask
    from ftwatch.plugins import ProviderError

    loaded = _load(config)
    if provider is not None:
        _check_name(loaded, provider)
    rows, code = [], Exit.OK
    for name in [provider] if provider is not None else loaded.providers:
        try:
            rows += [_row(one, loaded, name) for one in ask(loaded, name, lambda it: it.endpoints())]
        except Unmanaged as error:
            if provider is not None:
                raise click.UsageError(plain(error)) from None
        except ProviderError as error:
            click.echo(f"error: {name}: {plain(error.reason)}", err=True)
            code = Exit.UNREACHABLE
    if rows and (loaded.web is None or loaded.web.public_url is None):
        click.echo("which of them is ours cannot be told: web.public_url is not set", err=True)
    for row in rows:
        row["created"] = (local if output == "table" else utc)(row["created"])
        if output == "table":
            row["ours"] = "yes" if row["ours"] else ""
            row["types"] = ", ".join(row["types"])
    columns = ["id", "provider", "ours", "url", "types", "name", "created"]
    if rows or code == Exit.OK or output == "json":
        emit(rows, columns, output, empty="no endpoint is registered")
    return code


def _row(one: "Endpoint", loaded: Any, name: str) -> dict[str, Any]:
    from ftwatch.cli.endpoints import address, is_at

    return {
        "id": one.id,
        "provider": name,
        "ours": is_at(one, address(loaded, name)),
        "url": one.url,
        "types": list(one.types),
        "name": one.name,
        "created": one.created_at,
    }


# ----------------------------------------------------------------------------------------------- register


@hooks.command()
@click.argument("provider", shell_complete=provider_names)
@click.option(
    "--types",
    multiple=True,
    metavar="TYPE",
    help="More than those about jobs: batch.completed, 'eval.run.*' …; may be given several times.",
)
@click.option(
    "--secret-file",
    type=click.Path(dir_okay=False, path_type=Path),
    metavar="FILE",
    help="Write the secret there, for nobody else to read (without it: to stdout).",
)
@click.option("--rotate", is_flag=True, help="Give the endpoint that is there another secret.")
@click.pass_obj
def register(
    config: str | None, provider: str, types: tuple[str, ...], secret_file: Path | None, rotate: bool
) -> int:
    """Have a service send its webhooks here.

    PROVIDER's service sends them to web.public_url. The secret that it signs them with is given once: it goes
    into --secret-file, which must not exist yet, or to stdout. Exits with 1 where the endpoint is registered
    already, with 3 where there is none to --rotate, with 4 where the service does not answer or refuses.
    """
    from ftwatch.cli.secretfile import SecretFile

    if rotate and types:
        raise click.UsageError("--rotate changes the secret and nothing else: leave --types out")
    loaded = _load(config)
    url = _public(loaded, provider)
    ours = _ours(loaded, provider, url)
    if rotate and not ours:
        return _none(provider, url)
    if len(ours) > 1 or (ours and not rotate):
        ids = ", ".join(plain(one.id) for one in ours)
        helps = (
            "`--rotate` gives it another secret" if not ours[1:] else "`ftwatch hooks remove ID` removes one"
        )
        click.echo(f"error: {url} is registered already, as {ids}; {helps}", err=True)
        return Exit.NO
    chosen = [] if rotate else _chosen(_answer(loaded, provider, lambda it: it.hook_types()), types)
    with SecretFile(secret_file) as file:
        made = _answer(
            loaded,
            provider,
            lambda it: it.rotate(ours[0].id) if rotate else it.register(url, chosen, f"ftwatch {provider}"),
            unsure=not rotate,
        )
        if made.secret is None:
            helps = "`--rotate` gives another one"
            _fail(f"{provider}: {plain(made.id)} is there, but its secret did not come along; {helps}")
        secret = made.secret.reveal()
        is_kept = file.keep(secret)
    # A secret has stdout to itself, which may be piped to where it is kept; all else is for people.
    say = partial(click.echo, err=not is_kept)
    done = "has another secret; the old one counts for 24 hours more" if rotate else "is registered"
    say(f"{plain(made.id)} {done}: {url}, for {plain(', '.join(made.types))}")
    if not is_kept:
        if secret_file is not None:
            say(f"error: {secret_file} could not be written")
        say("Its secret stands on stdout, and is not shown again: keep it in a file for ftwatch alone.")
    say(f"The config needs:\n\n{_lines(provider, secret_file if is_kept else None)}\n")
    say(f"Then `ftwatch reload`, and `ftwatch hooks test {provider}`.")
    if not is_kept:
        click.echo(plain(secret))
    return Exit.OK


def _chosen(known: Sequence[str], wanted: Sequence[str]) -> list[str]:
    """The types to register for, in the service's order: those about jobs, and those that are `wanted`."""
    from fnmatch import fnmatchcase

    from ftwatch.core.route import did_you_mean

    words = [word for given in wanted for word in given.split(",") if word]
    for word in words:
        if not any(fnmatchcase(type, word) for type in known):
            hint = did_you_mean(word, known) or f"; there are: {', '.join(known)}"
            raise click.UsageError(f"the service sends no events of the type {word!r}{plain(hint)}")
    found = [type for type in known if type.startswith(TUNING) or any(fnmatchcase(type, w) for w in words)]
    if not found:
        click.echo("error: the service sends no webhooks about fine-tuning jobs", err=True)
        raise click.exceptions.Exit(Exit.NOTHING)
    return found


def _lines(provider: str, secret_file: Path | None) -> str:
    """What the config needs so that the provider's webhooks are accepted."""
    path = str(secret_file.absolute()) if secret_file is not None else f"/run/secrets/{provider}-hooks"
    if not re.fullmatch(r"[\w./-]+", path):
        from json import dumps

        path = dumps(path.replace("$", "$$"))
    return f"providers:\n  {provider}:\n    webhook_secret_file: {path}"


# --------------------------------------------------------------------------------------------------- test


@hooks.command()
@click.argument("provider", shell_complete=provider_names)
@click.pass_obj
def test(config: str | None, provider: str) -> int:
    """Try whether webhooks arrive here.

    PROVIDER's service sends a sample, and it is said whether that arrived, or where it is stuck. Exits with 1
    where it did not arrive, with 3 where nothing is registered, with 4 where the service does not answer or
    refuses.
    """
    from ftwatch.cli.endpoints import is_taken, stuck

    loaded = _load(config)
    url = _public(loaded, provider)
    if loaded.providers[provider].hook is None:
        raise click.UsageError(
            f"{provider} has no webhook_secret in the config: without one its webhooks are not accepted;"
            f" `ftwatch hooks register {provider}` gives one"
        )
    ours = _ours(loaded, provider, url)
    if not ours:
        return _none(provider, url)
    one = ours[0]
    type = next((type for type in one.types if type.startswith(TUNING)), (*one.types, SAMPLE)[0])
    began, ticks = time.time(), time.monotonic()
    tried = _answer(loaded, provider, lambda it: it.test(one.id, type))
    if _arrives(loaded, provider, type, began, is_owed=is_taken(tried)):
        took = f"{(time.monotonic() - ticks) * 1000:.0f} ms"
        click.echo(f"{provider}: the service's sample of {plain(type)} has arrived ({took})")
        return Exit.OK
    click.echo(f"{provider}: it did not arrive: {stuck(tried, url, provider, _runs(loaded))}", err=True)
    return Exit.NO


def _arrives(loaded: Any, name: str, type: str, began: float, *, is_owed: bool) -> bool:
    """Whether an event of this type came in since `began`; waits for it where it is owed."""
    from ftwatch.store import Store, StoreError

    end = time.monotonic() + (PATIENCE if is_owed else 0.0)
    with suppress(StoreError):
        store = Store(loaded.store.path, mode="read")
        try:
            while not any(what == type for _, what in store.inbound.since(name, began)):
                if time.monotonic() >= end:
                    return False
                time.sleep(0.1)
            return True
        finally:
            store.close()
    return False


def _runs(loaded: Any) -> bool | None:
    """Whether a daemon runs on this config; None where that is not for us to know."""
    from ftwatch.control import NoDaemon, Refused, ask

    try:
        ask(loaded.socket, "ping")
    except NoDaemon:
        return False
    except Refused:
        return None
    return True


# ------------------------------------------------------------------------------------------------- remove


@hooks.command()
@click.argument("what", metavar="PROVIDER|ID", shell_complete=provider_names)
@click.option("-y", "--yes", is_flag=True, help="Do not ask.")
@click.pass_obj
def remove(config: str | None, what: str, yes: bool) -> int:
    """Remove an endpoint.

    Ours at PROVIDER's service, or the one that has this ID. Exits with 3 where there is none, with 4 where a
    service does not answer or refuses.
    """
    loaded = _load(config)
    if what in loaded.providers:
        url = _public(loaded, what)
        ours = _ours(loaded, what, url)
        if not ours:
            return _none(what, url)
        if len(ours) > 1:
            ids = ", ".join(plain(one.id) for one in ours)
            raise click.UsageError(f"{url} is registered more than once: name one of {ids}")
        provider, one = what, ours[0]
    else:
        provider, one = _found(loaded, what)
    if not yes:
        if not sys.stdin.isatty():
            raise click.UsageError("the endpoint's secret is lost with it: say --yes")
        click.confirm(f"Remove {plain(one.id)} ({plain(one.url)}) at {provider}?", abort=True)
    _answer(loaded, provider, lambda it: it.remove(one.id))
    click.echo(f"{provider}: {plain(one.id)} is removed; nothing is sent to {plain(one.url)} any more")
    return Exit.OK


def _found(loaded: Any, id: str) -> "tuple[str, Endpoint]":
    """The endpoint of this id, and the provider at whose service it is. Exits with 3, or 4."""
    from ftwatch.cli.endpoints import Unmanaged, ask
    from ftwatch.plugins import ProviderError

    code = Exit.NOTHING
    for name in loaded.providers:
        try:
            for one in ask(loaded, name, lambda it: it.endpoints()):
                if one.id == id:
                    return name, one
        except Unmanaged:
            continue
        except ProviderError as error:
            click.echo(f"error: {name}: {plain(error.reason)}", err=True)
            code = Exit.UNREACHABLE
    click.echo(f"error: no provider and no endpoint is called {id!r}; `ftwatch hooks list`", err=True)
    raise click.exceptions.Exit(code)


# --------------------------------------------------------------------------------------------- in common


def _load(config: str | None) -> Any:
    from ftwatch import log as logs
    from ftwatch.config import find, load

    loaded = load(find(config))
    logs.configure("warning", "auto")
    return loaded


def _check_name(loaded: Any, name: str) -> None:
    """Raises UsageError where there is no such provider."""
    from ftwatch.core.route import did_you_mean

    if name not in loaded.providers:
        known = ", ".join(loaded.providers) or "none"
        hint = did_you_mean(name, loaded.providers) or f"; there are: {known}"
        raise click.UsageError(f"no provider is called {name!r}{hint}")


def _public(loaded: Any, name: str) -> str:
    """Where a provider's webhooks come in. Raises UsageError where no service could send anything there."""
    from urllib.parse import urlsplit

    from ftwatch.cli.endpoints import address

    _check_name(loaded, name)
    url, hook = address(loaded, name), loaded.providers[name].hook
    if loaded.web is None:
        raise click.UsageError(
            "the config has no `web`, so nobody listens for webhooks: add `web: {public_url: https://…}`"
        )
    if url is None:
        raise click.UsageError("web.public_url is not set: it says where webhooks can be sent to")
    parts = urlsplit(url)
    if parts.scheme != "https" and parts.hostname not in ("localhost", "127.0.0.1", "::1"):
        raise click.UsageError(f"web.public_url is {loaded.web.public_url}: webhooks are sent to https only")
    if hook is not None and hook.scheme != "standard":
        raise click.UsageError(
            f"{name} has `scheme: {hook.scheme}` in the config, and its service signs webhooks by another"
            " one, `standard`: take it out"
        )
    return url


def _ours(loaded: Any, name: str, url: str) -> "list[Endpoint]":
    """The endpoints at a provider's service that are at this address, the newest first."""
    from ftwatch.cli.endpoints import is_at

    return [one for one in _answer(loaded, name, lambda it: it.endpoints()) if is_at(one, url)]


def _none(provider: str, url: str) -> int:
    """Says that nothing is registered there, and is the exit code for that."""
    helps = f"`ftwatch hooks register {provider}` does it"
    click.echo(f"error: {url} is not registered at the service of {provider}; {helps}", err=True)
    return Exit.NOTHING


def _answer(loaded: Any, name: str, question: "Question[T]", *, unsure: bool = False) -> T:
    """What a provider's service answers. Exits with 2 where it has nothing to manage, with 4 where it fails.

    `unsure`: a failure does not say whether the service did what it was asked for.
    """
    from ftwatch.cli.endpoints import Unmanaged, ask
    from ftwatch.plugins import ProviderError

    try:
        return ask(loaded, name, question)
    except Unmanaged as error:
        raise click.UsageError(plain(error)) from None
    except ProviderError as error:
        helps = (
            f"; `ftwatch hooks list {name}` shows whether it is there" if unsure and not error.denied else ""
        )
        _fail(f"{name}: {plain(error.reason)}{helps}")


def _fail(sentence: str) -> NoReturn:
    click.echo(f"error: {sentence}", err=True)
    raise click.exceptions.Exit(Exit.UNREACHABLE)
