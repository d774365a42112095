"""Whom a route names: a notifier, one with another address, or whoever a job belongs to.

Each address is a notifier of its own, made of the block of the one it belongs to: so it has lanes, memory,
retries and hours of its own, and nothing else need know of it.
"""

import dataclasses
from collections.abc import Iterator

from ftwatch.config import guests, values
from ftwatch.config.build import mapping
from ftwatch.config.model import NotifierConfig
from ftwatch.config.report import Broken, Desk
from ftwatch.config.routing import read_match
from ftwatch.config.yaml import List, Map, Node, Place, Scalar
from ftwatch.core.route import Match, Recipient, did_you_mean

__all__ = ["MENTION", "OWNER", "Book", "Person"]

# What `notify` calls whoever a job belongs to, by `people`.
OWNER = "owner"
# What an entry of `notify` calls where its notifier goes.
ADDRESS = "address"
# What an entry of `notify` has for its route alone, and no notifier for itself.
MENTION = "mention"
# What a person's block has besides the notifiers by which they are reached.
OF_PEOPLE = ("match", "timezone")
LONGEST_NAME = 100


@dataclasses.dataclass(frozen=True)
class Person:
    """Somebody whose jobs `match`, and the notifiers that reach them.

    `addresses` are where they do: by what kind, and what stands there.
    """

    name: str
    match: Match
    notify: tuple[str, ...]
    addresses: tuple[tuple[str, str], ...]


class Book:
    """The addresses of a config. `notifiers` and `recipients` are those that were asked for so far."""

    def __init__(self, notifiers: Node | None, people: Node | None, desk: Desk) -> None:
        self.notifiers: dict[str, NotifierConfig] = {}
        self.recipients: list[Recipient] = []
        # What each was made of, to see whether the same name is to be something else.
        self._asked: dict[str, dict[str, object]] = {}
        self._blocks = notifiers if isinstance(notifiers, Map) else Map(Place(1, 1))
        self._desk = desk
        self.people = tuple(self._people(people)) if people is not None else ()

    def target(self, item: Map) -> str:
        """The notifier that an entry of `notify` stands for: `{to: slack, channel: "#search-ml"}`.

        `address` is that of its kind, whatever the option is called. Without another address it would tell
        the same people twice; only whom the message notifies is the route's affair. Raises Broken.
        """
        written = item.get("to")
        if written is None:
            raise self._desk.error(item.at, "say which notifier: {to: NAME, …}")
        to = values.text("to", written, self._desk)
        others = {key: entry for key, entry in item.entries.items() if key not in ("to", MENTION)}
        if not others and MENTION in item.entries:
            self._block(to, written.at)
            return to
        if not others:
            raise self._desk.error(item.at, f"{{to: {to}}} changes nothing: write {to}")
        if "template" in others:
            raise self._desk.error(
                item.place("template"), "template: write it beside notify, for the whole route"
            )
        if ADDRESS in others:
            key, node = others.pop(ADDRESS)
            others |= self._addressed(to, key, node)
        option = self._address_option(to, item.at)
        if option not in others:
            said = f"say where else {to!r} is to go ({ADDRESS}: …): other options alone stand in its block"
            raise self._desk.error(item.at, said)
        return self._made(to, written.at, option, others)

    def _people(self, node: Node) -> Iterator[Person]:
        """The section `people`."""
        try:
            block = mapping(node, self._desk, "people")
        except Broken:
            return
        for name, (written, inner) in block.entries.items():
            try:
                about = mapping(inner, self._desk, name)
                matched = about.get("match")
                if matched is None:
                    raise self._desk.error(written.at, f"{name!r} needs match: which jobs are theirs")
                match = read_match("match", matched, self._desk)
                reached = dict(self._reached(about))
                if not reached:
                    raise self._desk.error(written.at, f"{name!r} needs a notifier: slack: U0…, or email: …")
            except Broken:
                continue
            made = ((self.notifiers[to], option) for to, option in reached.items())
            known = tuple((one.kind, getattr(one.options, option)) for one, option in made)
            addresses = tuple((kind, address) for kind, address in known if isinstance(address, str))
            yield Person(name, match, tuple(reached), addresses)

    def _reached(self, about: Map) -> Iterator[tuple[str, str]]:
        """The notifiers that reach a person, each with the option that says where."""
        zone = about.entries.get("timezone")
        for to, (written, node) in about.entries.items():
            if to in OF_PEOPLE:
                continue
            entries = self._addressed(to, written, node)
            option = next(iter(entries))
            zoned = entries | ({"timezone": zone} if zone else {})
            yield self._made(to, written.at, option, zoned), option

    def _addressed(self, to: str, key: Scalar, node: Node) -> dict[str, tuple[Scalar, Node]]:
        """An address as the option of the notifier `to` that it is, the only one."""
        option = self._address_option(to, key.at)
        # Where several may stand, one stands in a list.
        value = List(node.at, [node]) if option == "to" and isinstance(node, Scalar) else node
        return {option: (key, value)}

    def _address_option(self, to: str, at: Place) -> str:
        """The option of a notifier that says where it goes."""
        found = guests.address_of(to, self._block(to, at), self._desk)
        if found is None:
            raise self._desk.error(at, f"{to!r} has no address: it reaches whom it reaches")
        return found

    def _block(self, to: str, at: Place) -> Map:
        node = self._blocks.get(to)
        if node is None:
            names = tuple(self._blocks.entries)
            raise self._desk.error(at, f"there is no notifier {to!r}{did_you_mean(to, names)}")
        return mapping(node, self._desk, to)

    def _made(self, to: str, at: Place, option: str, others: dict[str, tuple[Scalar, Node]]) -> str:
        """The notifier `to` with these options, once for each address; its name. Raises Broken.

        The name is that of the block and the address, and nothing else: other values may be secret. So an
        address has one set of options, but a timezone that only one of two says counts for both.
        """
        block = self._block(to, at)
        name = f"{to} {_shown(others[option][1])}"[:LONGEST_NAME]
        asked = {key: _written(node) for key, (_, node) in others.items()}
        known = self._asked.get(name)
        if known is None:
            self._asked[name] = asked
            kind = {"kind": (Scalar(at, "kind"), Scalar(at, to))}
            # A report is about everything, and goes where the block itself does.
            kept = {key: entry for key, entry in block.entries.items() if key != "report"}
            whole = Map(at, {**kind, **kept, **others})
            self.notifiers[name], recipient = guests.notifier(name, at, whole, self._desk, is_target=True)
            self.recipients.append(recipient)
        elif wrong := [key for key in sorted(known | asked) if _differ(key, known, asked)]:
            said = f"{name!r} stands here and elsewhere with different options: {', '.join(wrong)}"
            raise self._desk.error(at, said)
        return name


def _differ(key: str, one: dict[str, object], other: dict[str, object]) -> bool:
    both = key in one and key in other
    return one.get(key) != other.get(key) and (both or key != "timezone")


def _shown(address: Node) -> str:
    """An address as a part of a name."""
    match address:
        case Scalar():
            return address.text
        case List():
            return ",".join(map(_shown, address.items))
    return ""


def _written(node: Node) -> object:
    """What stands there, wherever that is."""
    match node:
        case Scalar():
            return node.text
        case List():
            return [_written(item) for item in node.items]
        case Map():
            return {key: _written(inner) for key, (_, inner) in node.entries.items()}
