"""From blocks to the model: one function a section of the file. Each reports what is wrong and goes on."""

import re
from collections.abc import Mapping
from contextlib import suppress
from functools import partial
from importlib.util import find_spec
from ipaddress import ip_address
from pathlib import Path
from typing import Any

from msgspec.structs import replace

from ftwatch.config import shape, values
from ftwatch.config.build import build, mapping
from ftwatch.config.mentions import mentions
from ftwatch.config.model import (
    ClientConfig,
    LogConfig,
    NotifierConfig,
    PlotsConfig,
    StoreConfig,
    WebConfig,
)
from ftwatch.config.report import Broken, Desk
from ftwatch.config.targets import OWNER, Book
from ftwatch.config.templates import wording
from ftwatch.config.yaml import List, Map, Node, Place, Scalar
from ftwatch.core.event import Event, Severity
from ftwatch.core.flapping import Flapping
from ftwatch.core.route import JOB_KEYS, Match, Route, Silence, check_key, did_you_mean, route_for
from ftwatch.core.route.hold import Group
from ftwatch.core.rule import Retiring, Rule, Stuck
from ftwatch.plugins import Secret

__all__ = ["client", "log", "plots", "routes", "rules", "silences", "socket", "store", "web"]

# What lets somebody in should not be guessed.
SHORTEST_TOKEN = 16

# In the order in which they are asked.
RULES: tuple[type[Stuck] | type[Retiring] | type[Flapping], ...] = (Stuck, Retiring, Flapping)


def routes(
    node: Node | None,
    names: tuple[str, ...],
    notifiers: Mapping[str, NotifierConfig],
    book: Book,
    desk: Desk,
) -> tuple[Route, ...] | None:
    """The section `routes`.

    `names` are the notifiers that exist, `notifiers` those that can be read; `book` has all other addresses.
    """
    if node is None:
        return None
    found = []
    for number, item in enumerate(_items("routes", node, desk), start=1):
        what = f"route {number}"
        try:
            block = mapping(item, desk, what)
            named = _named(block.get("notify"), names, book, desk)
            said = build(shape.Route, block, block.at, desk, what, later=shape.LATER["route"])
        except Broken:
            continue
        if named is None:
            continue
        notify, entries, has_owner = named
        match = said.match or Match()
        if said.min_severity and match.min_severity:
            desk.error(block.place("min_severity"), "min_severity is said twice: in match and beside it")
        floor = Severity(said.min_severity) if said.min_severity else None
        try:
            group = _group(said.group, block, desk)
            called = mentions(block, entries, notify, {**notifiers, **book.notifiers}, book, desk)
        except Broken:
            continue
        one = Route(
            match=match,
            except_=said.except_,
            min_severity=floor,
            notify=notify,
            number=number,
            group=group,
            max_age=said.max_age,
            remind=said.remind,
            template=wording(said.template, block, desk, partial(_samples, number, desk)),
            mention=called,
        )
        found += [one] if notify else []
        for person in book.people if has_owner else ():
            theirs = Match((*match.matchers, *person.match.matchers), match.min_severity)
            # Who is told in person need not be called as well.
            found.append(replace(one, match=theirs, notify=person.notify, mention={}))
    # Where each stands for itself, its place is its number.
    is_plain = all(one.number == place for place, one in enumerate(found, start=1))
    return tuple(replace(one, number=0) for one in found) if is_plain else tuple(found)


def _group(said: shape.Group | None, block: Map, desk: Desk) -> Group | None:
    """What of a route's events leaves together."""
    if said is None:
        return None
    if said.until is not None:
        inner = block.entries["group"][1]
        for key in said.by:
            try:
                check_key(key, JOB_KEYS)
            except ValueError as error:
                raise desk.error(
                    _inside(inner, "by") if isinstance(inner, Map) else inner.at, str(error)
                ) from None
    return Group(by=said.by, wait=said.wait, all_terminal=said.until is not None)


def _samples(number: int, desk: Desk) -> dict[str, Event]:
    """Those that somebody gets by the entry of this number, by their names."""
    # Imported late: few routes have templates.
    from ftwatch.core.sample import SAMPLES, sample

    events, routing = {name: sample(name) for name in SAMPLES}, desk.routing
    # One entry of the file may stand for several.
    numbered = enumerate(routing.routes or (), start=1)
    mine = [each for place, each in numbered if (each.number or place) == number]
    return {
        name: event
        for name, event in events.items()
        if any(route_for(event, one, routing) is each for each in mine for one in each.notify)
    }


def silences(node: Node | None, desk: Desk) -> tuple[Silence, ...]:
    """The section `silences`."""
    if node is None:
        return ()
    found = []
    for number, item in enumerate(_items("silences", node, desk), start=1):
        try:
            block = mapping(item, desk, f"silence {number}")
            said = build(shape.Silence, block, block.at, desk, f"silence {number}")
        except Broken:
            continue
        found.append(Silence(match=said.match, until=said.until, comment=said.comment, id=f"config-{number}"))
    return tuple(found)


def _items(section: str, node: Node, desk: Desk) -> list[Node]:
    if isinstance(node, List) and node.items:
        return node.items
    if isinstance(node, Scalar) and node.broken:
        return []
    if isinstance(node, List):
        desk.error(node.at, f"{section} is empty: leave it out")
    else:
        desk.error(node.at, f"{section} should be a list: begin each entry with -")
    return []


def _named(
    node: Node | None, names: tuple[str, ...], book: Book, desk: Desk
) -> tuple[tuple[str, ...], dict[str, Map], bool] | None:
    """The notifiers that `notify` names, the entries that say more of one, and whether it names the owner.

    None where one of them is wrong.
    """
    found: list[str] = []
    entries: dict[str, Map] = {}
    fine, has_owner = True, False
    for item in node.items if isinstance(node, List) else []:
        try:
            if isinstance(item, Map):
                found.append(book.target(item))
                entries[found[-1]] = item
            elif isinstance(item, Scalar) and not item.broken and isinstance(item.value, str):
                name = values.text("notify", item, desk)
                if name == OWNER and name not in names:
                    has_owner = True
                    if not book.people:
                        raise desk.error(
                            item.at, "owner: nobody is in `people`, so nobody is reached by this"
                        )
                elif name not in names:
                    raise desk.error(item.at, f"there is no notifier {name!r}{did_you_mean(name, names)}")
                else:
                    found.append(name)
        except Broken:
            fine = False
    return (tuple(dict.fromkeys(found)), entries, has_owner) if fine else None


def rules(node: Node | None, desk: Desk) -> tuple[Rule, ...]:
    """The section `rules`: every rule runs with its own figures unless the file says otherwise."""
    said = _section(shape.Rules, "rules", node, desk)
    found: list[Rule] = []
    for rule in RULES:
        options = getattr(said, rule.name)
        block = node.get(rule.name) if isinstance(node, Map) else None
        given = block.entries if isinstance(block, Map) and options is not True else {}
        if options is not False:
            found.append(rule(**{key: getattr(options, key) for key in given}))
    return tuple(found)


def store(node: Node | None, desk: Desk) -> StoreConfig:
    """The section `store`: by default the database is in the service's or the user's state folder."""
    said = _section(shape.Store, "store", node, desk, later=shape.LATER["store"])
    path = said.path or _state(desk) / "ftwatch.db"
    return StoreConfig(path=path, retention=said.retention)


def client(node: Node | None, desk: Desk) -> ClientConfig:
    """The section `client`."""
    said = _section(shape.Client, "client", node, desk)
    if said.network == "strict" and said.proxy and isinstance(node, Map):
        blind = "network: strict sees no further than the proxy, which has to do the filtering"
        desk.warning(_inside(node, "network"), blind)
    if said.proxy and isinstance(node, Map) and not re.match(r"https?://[^/]", said.proxy):
        desk.error(_inside(node, "proxy"), "proxy should be a URL that begins with http:// or https://")
    if said.ca_file and isinstance(node, Map) and not said.ca_file.is_file():
        desk.warning(_inside(node, "ca_file"), f"there is no file {said.ca_file}")
    return ClientConfig(
        proxy=said.proxy or None,
        no_proxy=tuple(said.no_proxy),
        ca_file=str(said.ca_file) if said.ca_file else None,
        network=said.network,
    )


def web(node: Node | None, desk: Desk) -> WebConfig | None:
    """The section `web`: None where it is left out, and nobody listens."""
    if node is None:
        return None
    said = _section(shape.Web, "web", node, desk)
    config = WebConfig(
        listen=said.listen,
        public_url=said.public_url,
        token=said.token,
        user_header=said.user_header,
        trusted_proxies=said.trusted_proxies,
        allowed_hosts=tuple(said.allowed_hosts),
        heartbeat_url=said.heartbeat_url,
        heartbeat=said.heartbeat,
    )
    place = _inside(node, "listen") if isinstance(node, Map) else node.at
    host, port = config.listen
    if config.is_open and not _is_loopback(host):
        shown = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
        desk.error(
            place,
            f"web.listen: {shown} is open to other machines: give web.token (or token_file), or a"
            " user_header with trusted_proxies, or listen on 127.0.0.1",
        )
    if (config.user_header is None) != (not config.trusted_proxies):
        desk.error(node.at, "web: user_header and trusted_proxies are of use only together: give both")
    if config.user_header is not None and not re.fullmatch(r"[A-Za-z0-9-]+", config.user_header):
        desk.error(node.at, f"web: user_header {config.user_header!r} is no name of a header")
    if config.token is not None:
        desk.checks.append(lambda: _judge_token(config.token, node, desk))
    return config


def _judge_token(token: Secret | None, node: Node, desk: Desk) -> None:
    """A token that can be guessed keeps nobody out."""
    try:
        if token is not None and len(token.reveal()) < SHORTEST_TOKEN:
            desk.warning(node.at, f"web.token is shorter than {SHORTEST_TOKEN} characters: it can be guessed")
    except LookupError:
        pass  # Who needs the secret says so.


def _is_loopback(host: str) -> bool:
    """Whether only this machine can reach a listener there."""
    if host == "localhost":
        return True
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return False


def log(node: Node | None, desk: Desk) -> LogConfig:
    """The section `log`."""
    said = _section(shape.Log, "log", node, desk)
    return LogConfig(level=said.level, format=said.format)


def plots(node: Node | None, desk: Desk) -> PlotsConfig:
    """The section `plots`, which may also be false; left out, it is as what is installed allows."""
    if node is None:
        return PlotsConfig()
    said, wanted = shape.Plots(), True
    if isinstance(node, Map):
        said = _section(shape.Plots, "plots", node, desk)
    else:
        with suppress(Broken):
            wanted = values.value("plots", shape.Plots | bool, node, desk)
    if wanted and find_spec("resvg_py") is None:
        desk.warning(node.at, "plots: no picture can be drawn here: pip install 'ftwatch[plots]'")
    return PlotsConfig(wanted=wanted, theme=said.theme)


def socket(node: Node | None, database: Path, desk: Desk) -> Path:
    """Where the control socket is."""
    if node is not None:
        try:
            return desk.path(values.value("socket", str, node, desk), node.at)
        except Broken:
            pass
    runtime = desk.environ.get("RUNTIME_DIRECTORY", "").partition(":")[0]
    return Path(runtime) / "ftwatch.sock" if runtime else database.parent / "ftwatch.sock"


def _section(kind: Any, name: str, node: Node | None, desk: Desk, *, later: tuple[str, ...] = ()) -> Any:
    """A section as written, or as it is where nothing is written or it cannot be used."""
    try:
        if node is not None:
            later = (*later, *shape.LATER.get(name, ()))
            return build(kind, mapping(node, desk, name), node.at, desk, name, later=later)
    except Broken:
        pass
    return kind()


def _state(desk: Desk) -> Path:
    environ = desk.environ
    if given := environ.get("STATE_DIRECTORY", "").partition(":")[0]:
        return Path(given)
    home = Path(environ.get("HOME") or Path.home())
    return Path(environ.get("XDG_STATE_HOME") or home / ".local" / "state") / "ftwatch"


def _inside(block: Map, key: str) -> Place:
    node = block.get(key)
    return node.at if node else block.at
