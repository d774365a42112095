"""Templates of messages: tried with every sample that can come, each mistake at the word that is wrong."""

from collections.abc import Callable, Mapping

from ftwatch.config import shape
from ftwatch.config.report import Desk
from ftwatch.config.yaml import Map
from ftwatch.core.event import Event
from ftwatch.core.message import Wording

__all__ = ["wording"]


def wording(
    said: shape.Template | None, block: Map, desk: Desk, samples: Callable[[], Mapping[str, Event]]
) -> Wording | None:
    """What a block says of messages; `samples` are those that can come, asked for when all is read."""
    if said is None:
        return None
    found, place = Wording(title=said.title, body=said.body), block.get("template")
    assert isinstance(place, Map)
    desk.checks.append(lambda: _judge(found, place, samples(), desk))
    return found


def _judge(found: Wording, block: Map, samples: Mapping[str, Event], desk: Desk) -> None:
    # Imported late: the template engine is slow to load, and few configs have templates.
    from ftwatch.core.message import compose
    from ftwatch.wire.wording import Unworded, problem_of, worded

    for which in ("title", "body"):
        text = getattr(found, which)
        if text is None:
            continue
        place = block.entries[which][1].at
        if problem := problem_of(text):
            desk.error(place, f"template.{which}: {problem}")
            continue
        alone = Wording(**{which: text})
        failed: dict[str, list[str]] = {}
        for name, event in samples.items():
            try:
                worded(compose(event), event, alone)
            except Unworded as error:
                failed.setdefault(error.sentence, []).append(name)
        for sentence, names in failed.items():
            more = f" and {len(names) - 1} more" if len(names) > 1 else ""
            desk.error(place, f"template.{which}: {sentence} (sample {names[0]}{more})")
