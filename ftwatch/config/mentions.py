"""Whom messages notify: from the words of `mention` to what each notifier knows them by.

What a word can be is for a notifier's kind to say; who is meant by a name of `people`, or by `owner`, is
found here, by that map alone.
"""

from collections.abc import Iterator, Mapping

from ftwatch.config import guests, shape, values
from ftwatch.config.model import NotifierConfig
from ftwatch.config.report import Broken, Desk
from ftwatch.config.targets import MENTION, OWNER, Book, Person
from ftwatch.config.yaml import List, Map, Node, Place
from ftwatch.core.route import Mention

__all__ = ["mentions"]


def mentions(
    block: Map,
    entries: Mapping[str, Map],
    notify: tuple[str, ...],
    notifiers: Mapping[str, NotifierConfig],
    book: Book,
    desk: Desk,
) -> dict[str, tuple[Mention, ...]]:
    """Whom the messages of a route notify, by the names of the notifiers in `notify`.

    What an entry of `notify` says of itself goes before what the route's `block` says. Raises Broken.
    """
    said, found, fine = block.get(MENTION), {}, True
    # Of what cannot be read there is enough said elsewhere.
    known = {name: notifiers[name] for name in notify if name in notifiers}
    for name, one in known.items():
        own = entries[name].get(MENTION) if name in entries else None
        node = own or said
        if node is None:
            continue
        try:
            if guests.mentions(one):
                found[name] = tuple(_called(node, one, book, desk))
            elif own is not None:
                raise desk.error(entries[name].place(MENTION), f"mention: {one.kind} can mention nobody")
        except Broken:
            fine = False
    if not fine:
        raise Broken
    if said is not None and len(known) == len(notify) and not any(map(guests.mentions, known.values())):
        sentence = "mention: no notifier that this names can mention anybody; slack can"
        desk.warning(block.place(MENTION), sentence)
    return found


def _called(node: Node, one: NotifierConfig, book: Book, desk: Desk) -> Iterator[Mention]:
    """Everybody whom a list names."""
    values.value(MENTION, shape.NAMES, node, desk)
    assert isinstance(node, List)
    fine = True
    for item in node.items:
        try:
            yield from _one(values.text(MENTION, item, desk), item.at, one, book, desk)
        except Broken:
            fine = False
    if not fine:
        raise Broken


def _one(word: str, at: Place, one: NotifierConfig, book: Book, desk: Desk) -> Iterator[Mention]:
    """Whom one word names: several where it is `owner`, each of their own jobs alone."""
    people = {person.name: person for person in book.people}
    if word == OWNER:
        if not people:
            raise desk.error(at, "owner: nobody is in `people`, so nobody is mentioned by this")
        known = {person: _known_as(person, at, one, desk) for person in people.values()}
        if not any(known.values()):
            sentence = f"owner: nobody in `people` is known to {one.name!r}"
            raise desk.error(at, f"mention: {sentence}: give one of them a member's id there")
        for person, name in known.items():
            if name is not None:
                yield Mention(name, person.match)
        return
    problem = guests.mention_problem(one, word, desk, at)
    name = word if problem is None else None
    if problem is not None and word in people:
        name = _known_as(people[word], at, one, desk)
        problem = f"nothing in `people` says who that is there: give {word!r} a member's id"
    if name is None:
        raise desk.error(at, f"mention: {word!r} at {one.name!r}: {problem}")
    yield Mention(name)


def _known_as(person: Person, at: Place, one: NotifierConfig, desk: Desk) -> str | None:
    """What a notifier knows a person by: their name, else an address of theirs at a notifier of its kind."""
    words = [person.name, *(address for kind, address in person.addresses if kind == one.kind)]
    fitting = (word for word in words if guests.mention_problem(one, word, desk, at) is None)
    return next(fitting, None)
