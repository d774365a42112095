"""The file: where it is, its bytes, and from there to a `Config` or to everything that is wrong with it."""

import dataclasses
import hashlib
import os
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

from ftwatch import plugins
from ftwatch.config import guests, sections, shape, yaml
from ftwatch.config.build import NOT_YET, no_key
from ftwatch.config.model import Config, ConfigError, Problem
from ftwatch.config.report import Desk
from ftwatch.config.targets import Book
from ftwatch.config.yaml import List, Map, Place, Scalar
from ftwatch.core.route import Routing

__all__ = ["find", "fingerprint", "load"]

SECTIONS = (
    "providers",
    "notifiers",
    "people",
    "routes",
    "rules",
    "silences",
    "store",
    "client",
    "web",
    "log",
    "plots",
    "socket",
)


def find(explicit: str | None, environ: Mapping[str, str] | None = None) -> Path:
    """Which file to read: `explicit`, `$FTWATCH_CONFIG`, or the first that exists of the usual places.

    Raises ConfigError, naming the places, where there is none.
    """
    environ = os.environ if environ is None else environ
    if named := explicit or environ.get("FTWATCH_CONFIG"):
        return Path(named)
    home = environ.get("XDG_CONFIG_HOME") or os.path.join(environ.get("HOME") or Path.home(), ".config")
    places = [Path("ftwatch.yaml"), Path(home, "ftwatch", "ftwatch.yaml"), Path("/etc/ftwatch/ftwatch.yaml")]
    for place in places:
        if place.is_file():
            return place
    looked = ", ".join(map(str, places))
    raise ConfigError((Problem("ftwatch.yaml", 0, 0, "error", f"no config here: looked for {looked}"),))


def fingerprint(path: Path) -> str:
    """What stands for the file's content. Raises ConfigError where it cannot be read."""
    return _fingerprint(_read(path))


def load(path: Path | None, environ: Mapping[str, str] | None, *, secrets: bool) -> Config:
    """The config in a file. Raises ConfigError with every mistake in it."""
    environ = os.environ if environ is None else environ
    path = find(None, environ) if path is None else path
    plugins.look_again()
    raw = _read(path)
    document = yaml.parse(raw)
    desk = Desk(str(path), path.absolute().parent, environ)
    for place, sentence in document.problems:
        desk.error(place, sentence)
    config = None
    match document.root:
        case Map():
            config = _config(document.root, path, raw, desk)
        case None if not desk.has_errors:
            desk.error(Place(1, 1), "the file is empty: it needs providers at least")
        case Scalar(broken=True) | None:
            pass
        case other:
            desk.error(other.at, "a config is a mapping: providers: …, with a space after each colon")
    if not desk.has_errors:
        _check(desk, secrets)
    if config is None or desk.has_errors:
        raise ConfigError(desk.sorted())
    return dataclasses.replace(config, warnings=desk.sorted())


def _config(root: Map, path: Path, raw: bytes, desk: Desk) -> Config:
    for key, (written, _) in root.entries.items():
        if key in SECTIONS or key.startswith("x-"):
            continue
        if key in shape.LATER["file"]:
            desk.error(written.at, f"{key!r} is {NOT_YET}")
        else:
            known = f"{', '.join(SECTIONS)}, and x-… for your own"
            desk.error(written.at, no_key("a config", key, SECTIONS, known))
    desk.providers = guests.names_of(root.get("providers"))
    providers = guests.providers(root.get("providers"), desk)
    notifiers, recipients = guests.notifiers(root.get("notifiers"), desk)
    names = guests.names_of(root.get("notifiers"))
    book = Book(root.get("notifiers"), root.get("people"), desk)
    routes = sections.routes(root.get("routes"), names, notifiers, book, desk)
    notifiers |= book.notifiers
    desk.routing = routing = Routing(
        recipients=(*recipients, *book.recipients),
        routes=routes,
        silences=sections.silences(root.get("silences"), desk),
    )
    store = sections.store(root.get("store"), desk)
    config = Config(
        path=path,
        folder=desk.folder,
        providers=providers,
        notifiers=notifiers,
        routing=routing,
        rules=sections.rules(root.get("rules"), desk),
        store=store,
        client=sections.client(root.get("client"), desk),
        log=sections.log(root.get("log"), desk),
        plots=sections.plots(root.get("plots"), desk),
        socket=sections.socket(root.get("socket"), store.path, desk),
        web=sections.web(root.get("web"), desk),
        fingerprint=_fingerprint(raw),
    )
    if not guests.names_of(root.get("providers")):
        desk.warning(root.at, "no providers: nothing is watched")
    _warn_of_unreached(root, config.routing, desk)
    _warn_of_unreminded(root, config.routing, desk)
    _warn_of_unheard(root, config, desk)
    return config


def _warn_of_unreached(root: Map, routing: Routing, desk: Desk) -> None:
    """A notifier that no job's event can reach is seldom meant."""
    section = root.get("notifiers")
    if not isinstance(section, Map):
        return
    for recipient in routing.recipients:
        if recipient.is_target:
            continue
        name, place = recipient.name, section.place(recipient.name)
        if routing.routes is None and recipient.kind == "command":
            desk.warning(place, f"nothing reaches {name!r}: a command runs only where a route names it")
        elif routing.routes is not None and not any(
            name == to or to.startswith(f"{name} ") for one in routing.routes for to in one.notify
        ):
            rest = ", except ftwatch's own events" if recipient.audience == "people" else ""
            desk.warning(place, f"nothing reaches {name!r}: no route names it{rest}")


def _warn_of_unreminded(root: Map, routing: Routing, desk: Desk) -> None:
    """A program is told of each event once, so nothing reminds it."""
    section = root.get("routes")
    people = {one.name for one in routing.recipients if one.audience == "people"}
    for place, route in enumerate(routing.routes or (), start=1):
        if route.remind is not None and isinstance(section, List) and not people & {*route.notify}:
            block = section.items[(route.number or place) - 1]
            if isinstance(block, Map):
                desk.warning(block.place("remind"), "remind: only people are reminded, and this names none")


def _warn_of_unheard(root: Map, config: Config, desk: Desk) -> None:
    """Whose webhooks are to be accepted should find somebody who listens."""
    section = root.get("providers")
    if config.web is not None or not isinstance(section, Map):
        return
    for name in section.entries:
        accounts = desk.groups.get(name, (name,))
        if any(account in config.providers and config.providers[account].hook for account in accounts):
            sentence = (
                f"nobody listens for what {name!r} is sent: that takes a section web, `web: {{}}` at least"
            )
            desk.warning(section.place(name), sentence)


def _check(desk: Desk, secrets: bool) -> None:
    """What can only be said of a file that is right so far."""
    # A plug-in that has an objection has seen the secrets, and may quote them.
    for secret, _ in desk.secrets if desk.checks else ():
        with suppress(LookupError):
            desk.hide(secret.reveal(), "••••")
    for check in desk.checks:
        check()
    for secret, place in desk.secrets if secrets else ():
        try:
            secret.reveal()
        except LookupError as error:
            desk.error(place, str(error.args[0]))


def _read(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            return file.read(yaml.MAX_BYTES + 1)
    except (OSError, ValueError) as error:
        why = os.strerror(error.errno) if isinstance(error, OSError) and error.errno else str(error)
        raise ConfigError((Problem(str(path), 0, 0, "error", f"cannot be read: {why}"),)) from None


def _fingerprint(raw: bytes) -> str:
    return hashlib.sha256(raw).hexdigest()
