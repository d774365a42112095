"""init: from what the environment opens to a config that has proved itself, in a minute.

Nothing is asked where there is no terminal or everything was said in options. No secret is written into the
file: it names variables, and the last lines printed say how to set those that are not set yet.
"""

import os
import shlex
import sys
from pathlib import Path
from typing import Any

import click

from ftwatch.cli import Exit
from ftwatch.cli.output import plain


class Draft:
    """The config to be: its blocks, and the variables they need beside those already set."""

    def __init__(self) -> None:
        self.providers: list[str] = []
        self.notifiers: list[str] = []
        self.names: list[str] = []
        self.fresh: dict[str, str] = {}

    def variable(self, name: str, value: str) -> str:
        """`${NAME}`, to be set to `value` where it is not so already."""
        if os.environ.get(name) != value:
            self.fresh[name] = value
        return f"${{{name}}}"

    @property
    def text(self) -> str:
        """The YAML."""
        lines = ["# ftwatch check -c FILE says what is wrong with this and who gets what."]
        lines += ["providers:", *self.providers, "notifiers:", *self.notifiers]
        return "\n".join(lines) + "\n"


@click.command()
@click.option("--slack", metavar="URL", help="Tell a Slack channel: the URL of its incoming webhook.")
@click.option("--email", metavar="ADDRESS", help="Tell a letter box.")
@click.option("--smtp", metavar="HOST[:PORT]", help="The mail server for --email.  [default: localhost]")
@click.option("--webhook", metavar="URL", help="Tell a program: signed webhooks to this URL.")
@click.option("--apprise", metavar="URL", help="Tell whatever Apprise reaches: ntfy://…, discord://…")
@click.option("--force", is_flag=True, help="Write over a file that is there.")
@click.option("--no-test", is_flag=True, help="Send no test message.")
@click.option("-y", "--yes", is_flag=True, help="Ask nothing.")
@click.pass_obj
def init(
    config: str | None,
    slack: str | None,
    email: str | None,
    smtp: str | None,
    webhook: str | None,
    apprise: str | None,
    force: bool,
    no_test: bool,
    yes: bool,
) -> int:
    """Find keys and other credentials, list the jobs each sees, send a test message, write a first config."""
    from ftwatch import log as logs
    from ftwatch.cli.keys import accesses, variables

    path = Path(config or "ftwatch.yaml")
    if path.exists() and not force:
        raise click.UsageError(f"{plain(path)} is there already: say --force to write over it, or -c FILE")
    logs.configure("warning", "auto")
    found, halves = accesses()
    for half in halves:
        click.echo(f"warning: {plain(half)}", err=True)
    if not found:
        wanted = ", ".join(variables())
        click.echo(f"error: no key in the environment: set one of {wanted}; or try `ftwatch demo`", err=True)
        return Exit.NOTHING
    draft = Draft()
    _providers(found, draft)
    if not any((slack, email, webhook, apprise)):
        slack = os.environ.get("SLACK_WEBHOOK_URL") or None
        if not slack and not yes and sys.stdin.isatty():
            slack, email, webhook = _ask()
    _notifiers(draft, slack, email, smtp, webhook, apprise)
    code = _write(path, draft, test=not no_test)
    if code is None:
        return Exit.USAGE
    _next(path, draft)
    return code


def _providers(found: list[Any], draft: Draft) -> None:
    """Says what each account shows, and drafts its block: as a comment where only others let ftwatch in."""
    import anyio

    told = anyio.run(_look, found)
    nobody = all(denied for _, _, denied in told)
    for access, said, denied in told:
        click.echo(f"{access.name}: {plain(said)}")
        lines = _account(access)
        if denied and not nobody:
            lines = [f"  # {line[2:]}" for line in ("  not let in so far:", *lines)]
        draft.providers += lines


def _account(access: Any) -> list[str]:
    """The block of an account: what stands in variables stays there."""
    given = {option: f"${{{variable}}}" for option, variable in access.references.items()}
    given |= {option: _quoted(value) for option, value in access.options.items()}
    if given:
        return [f"  {access.kind}:", *(f"    {option}: {value}" for option, value in given.items())]
    origin = f"the key comes from {access.variable}" if access.variable else "found as its own tools find it"
    return [f"  {access.kind}: {{}}{' ' * 16}# {origin}"]


async def _look(found: list[Any]) -> list[tuple[Any, str, bool]]:
    """What each account shows, in words, and whether it refuses to."""
    import anyio

    from ftwatch.assembly import make_client
    from ftwatch.cli.online import look_at
    from ftwatch.config import ClientConfig
    from ftwatch.plugins import ProviderError

    told: dict[str, tuple[str, bool]] = {}

    async def look(access: Any) -> None:
        try:
            told[access.kind] = _seen(await look_at(access.provider(os.environ), client)), False
        except ProviderError as error:
            told[access.kind] = f"does not get in yet: {error.reason}", error.denied

    async with make_client(ClientConfig()) as client, anyio.create_task_group() as group:
        for access in found:
            group.start_soon(look, access)
    return [(access, *told[access.kind]) for access in found]


def _seen(seen: list[Any]) -> str:
    from ftwatch.cli.online import in_words

    jobs = [job for one in seen for job in one.jobs]
    jobs.sort(key=lambda job: job.status.is_terminal)
    names = ", ".join(f"{job.title} ({job.status})" for job in jobs[:3])
    return f"{in_words(seen)}: {names}" if jobs else in_words(seen)


def _ask() -> tuple[str | None, str | None, str | None]:
    """Asks a person for a Slack URL, an address or a webhook's URL; nothing is an answer, too."""
    click.echo("Who should be told? A Slack webhook URL, an e-mail address, or a webhook's URL.", err=True)
    answer = str(
        click.prompt("Where to (Enter: only this terminal)", default="", show_default=False, err=True)
    )
    answer = answer.strip()
    if answer.startswith("https://hooks.slack"):
        return answer, None, None
    if answer.startswith(("http://", "https://")):
        return None, None, answer
    if "@" in answer:
        return None, answer, None
    if answer:
        raise click.UsageError("that is neither a URL nor an e-mail address")
    return None, None, None


def _notifiers(
    draft: Draft,
    slack: str | None,
    email: str | None,
    smtp: str | None,
    webhook: str | None,
    apprise: str | None,
) -> None:
    if slack:
        _block(draft, "slack", webhook_url=draft.variable("SLACK_WEBHOOK_URL", slack))
    if email:
        host, _, port = (smtp or "localhost").partition(":")
        safe = {} if host not in ("localhost", "127.0.0.1") else {"security": "plain"}
        options = {"host": host, **({"port": port} if port else {}), **safe}
        if os.environ.get("SMTP_USERNAME"):
            options |= {"username": "${SMTP_USERNAME}", "password": "${SMTP_PASSWORD}"}
        _block(draft, "email", **options, **{"from": email, "to": f"[{_quoted(email)}]"})
    if webhook:
        secret = os.environ.get("FTWATCH_WEBHOOK_SECRET") or _fresh_secret()
        variable = draft.variable("FTWATCH_WEBHOOK_SECRET", secret)
        _block(draft, "webhook", url=draft.variable("FTWATCH_WEBHOOK_URL", webhook), secret=variable)
    if apprise:
        _block(draft, "apprise", url=draft.variable("APPRISE_URL", apprise))
    if not draft.names:
        draft.names.append("console")
        draft.notifiers.append("  console: {}                # lines on this terminal; add slack, email …")


def _block(draft: Draft, name: str, **options: str) -> None:
    draft.names.append(name)
    draft.notifiers.append(f"  {name}:")
    for key, value in options.items():
        shown = value if value.startswith(("$", "[")) or value.isalnum() else _quoted(value)
        draft.notifiers.append(f"    {key}: {shown}")


def _quoted(text: str) -> str:
    """A scalar that YAML and interpolation take as it is."""
    escaped = text.replace("$", "$$").replace("'", "''")
    return f"'{escaped}'"


def _fresh_secret() -> str:
    from ftwatch.core.signature import fresh_secret

    return fresh_secret(os.urandom(32))


# --------------------------------------------------------------------------------------------- proving it


def _write(path: Path, draft: Draft, *, test: bool) -> int | None:
    """Reads the draft as `run` would, sends over it, and puts it in its place. None: it cannot be used."""
    from ftwatch.config import ConfigError, load

    new = path.with_name(f".{path.name}.{os.getpid()}.yaml")
    try:
        new.write_text(draft.text, encoding="utf-8")
        try:
            loaded = load(new, environ={**os.environ, **draft.fresh}, secrets=True)
        except ConfigError as error:
            for line in str(error).splitlines():
                click.echo(plain(line).replace(plain(new), plain(path)), err=True)
            return None
        code = _try(loaded) if test else Exit.OK
        new.replace(path)
    except OSError as error:
        click.echo(f"error: cannot write {plain(path)}: {error.strerror}", err=True)
        return None
    finally:
        new.unlink(missing_ok=True)
    return code


def _try(loaded: Any) -> int:
    """A test message over every notifier; the worst exit code of them."""
    import anyio

    from ftwatch.cli.notify import fresh, send
    from ftwatch.core.delivery import Rejected, Sent
    from ftwatch.core.sample import sample

    code = Exit.OK
    for name, notifier in loaded.notifiers.items():
        outcome = anyio.run(send, loaded, notifier, fresh(sample("test")))
        if isinstance(outcome, Sent):
            click.echo(f"{name}: a test message was sent")
            continue
        click.echo(f"{name}: the test message did not arrive: {plain(outcome.reason)}", err=True)
        code = Exit.NO if isinstance(outcome, Rejected) else Exit.UNREACHABLE
    return code


def _next(path: Path, draft: Draft) -> None:
    click.echo(f"\nwrote {plain(path)}:\n")
    for line in draft.text.splitlines():
        click.echo(f"    {plain(line)}")
    click.echo("\nnext:")
    for name, value in draft.fresh.items():
        # The signing secret is new, and its receiver needs it; what was typed in is known already.
        shown = shlex.quote(value) if name == "FTWATCH_WEBHOOK_SECRET" else "'…'   # what you gave just now"
        click.echo(f"    export {name}={shown}")
    where = "" if path.name == "ftwatch.yaml" and path.parent == Path() else f" -c {shlex.quote(str(path))}"
    click.echo(f"    ftwatch{where} check --online")
    click.echo(f"    ftwatch{where} run")
