"""What may be silenced while ftwatch runs? A silence from somebody's words, or the sentence that is wrong;
and what it would have muted.

What a silence then mutes is said in `route`; those of the config are read, with their places, by `config`.
"""

from collections import Counter, deque
from collections.abc import Collection, Iterable, Sequence

from msgspec import Struct
from msgspec.structs import replace

from ftwatch.core.event import Event, Severity, digest
from ftwatch.core.message import clean
from ftwatch.core.route import Match, Silence, did_you_mean, parse_match

__all__ = ["ONE_JOB", "Hushed", "Muted", "make_silence", "muted", "read_matchers"]

# So long may all of a silence's matchers be together.
LONGEST = 4_000
ONE_JOB = "only a silence that names one job, by its provider and its id, can end with it"
# So many of the events that a silence would have muted are shown, the last ones.
SHOWN = 20


class Hushed(Struct, frozen=True, kw_only=True):
    """An event that nobody would have heard of, when it was told (Unix seconds), and who was told."""

    at: float
    id: str
    type: str
    severity: Severity
    about: str
    told: tuple[str, ...]


class Muted(Struct, frozen=True, kw_only=True):
    """What a silence would have muted since a time (Unix seconds), of `looked_at` events that were told.

    `events` and `deliveries` are how many of each, the latter also by notifier and by type of event; `worst`
    is the gravest of them, `last` the last ones. Who has a digest gets several deliveries as one message.
    """

    since: float
    looked_at: int
    events: int
    deliveries: int
    worst: Severity | None
    by_notifier: dict[str, int]
    by_type: dict[str, int]
    last: tuple[Hushed, ...]


def muted(
    match: Match, told: Iterable[tuple[Event, Sequence[str]]], since: float, *, until_end: bool = False
) -> Muted:
    """What a silence of what matches would have muted of what was told to these notifiers, oldest first."""
    silence, looked_at = Silence(match=match, until_end=until_end), 0
    by_notifier, by_type = Counter[str](), Counter[str]()
    last = deque[Hushed](maxlen=SHOWN)
    severities, count = list[Severity](), 0
    for event, names in told:
        looked_at += 1
        if not silence.mutes(event, since):
            continue
        count += 1
        by_notifier.update(names)
        by_type[event.type] += len(names)
        severities.append(event.severity)
        job = event.job
        last.append(
            Hushed(
                at=event.data.observed_at,
                id=event.id,
                type=event.type,
                severity=event.severity,
                about=clean(job.title if job else event.data.id, 80),
                told=tuple(names),
            )
        )
    return Muted(
        since=since,
        looked_at=looked_at,
        events=count,
        deliveries=by_notifier.total(),
        worst=max(severities, key=lambda one: one.rank, default=None),
        by_notifier=dict(by_notifier.most_common()),
        by_type=dict(by_type.most_common()),
        last=tuple(last),
    )


def make_silence(
    words: Sequence[str],
    *,
    until: float | None,
    until_end: bool,
    comment: str,
    author: str,
    providers: Collection[str],
    now: float,
) -> Silence:
    """The silence that `author` asks for at `now`, by matchers in Alertmanager's words.

    Its id is made of all that it says. Raises ValueError with a sentence that names what is wrong.
    """
    name = clean(author)
    if not name:
        raise ValueError("a silence needs the name of whoever asks for it")
    if until is not None and until_end:
        raise ValueError("a silence ends at a time or with its job, not both")
    if until is not None and not until > now:
        raise ValueError("that time is past already: nothing would be silent")
    match = read_matchers(words, providers)
    silence = Silence(match=match, until=until, until_end=until_end, comment=clean(comment), author=name)
    if until_end and silence.job is None:
        raise ValueError(ONE_JOB)
    return replace(silence, id=f"sil_{digest(match, until, until_end, silence.comment, name, now)[:12]}")


def read_matchers(words: Sequence[str], providers: Collection[str]) -> Match:
    """The match that all of `words` are, each of them one or more matchers; `providers` are those that exist.

    Raises ValueError, with the number of the word that is wrong.
    """
    if sum(map(len, words)) > LONGEST:
        raise ValueError(f"the matchers are longer than {LONGEST} letters together")
    found = Match()
    for number, text in enumerate(words, start=1):
        try:
            if any("\ud800" <= letter <= "\udfff" for letter in text):
                raise ValueError(f"{text!r} is not UTF-8")
            part = parse_match(text)
            named = part.named("provider")
            if named and named not in providers:
                raise ValueError(f"there is no provider {named!r}{did_you_mean(named, providers)}")
        except ValueError as error:
            raise ValueError(f"matcher {number}: {error}") from None
        found = Match((*found.matchers, *part.matchers), part.min_severity or found.min_severity)
    if not found.matchers and found.min_severity is None:
        raise ValueError("say what should be silent: everything is silent only if you say so (type=*)")
    return found
