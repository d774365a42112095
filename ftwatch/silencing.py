"""What people ask for while ftwatch runs: silences and acks; the same of a daemon and without one.

Every operation is a function of config, store and time, to be run where the store runs. It answers with what
JSON can say (times in Unix seconds), and raises ValueError with a sentence for what cannot be.
"""

from collections.abc import Callable, Sequence
from typing import Any

from msgspec import Struct, to_builtins

from ftwatch.config import Config
from ftwatch.core.ack import matters
from ftwatch.core.job import JobKey, Snapshot
from ftwatch.core.route import Silence, covers
from ftwatch.core.silence import ONE_JOB, make_silence, muted, read_matchers
from ftwatch.core.span import DAY
from ftwatch.store import Kept, Store

__all__ = ["LOOKING", "OPERATIONS", "Operation", "Standing"]

Operation = Callable[..., dict[str, Any]]

# More active jobs than anybody has.
MANY = 10**9
# So far back (seconds) it is looked what a silence would have muted, and through so many events at most.
PREVIEWED, MOST_PREVIEWED = 7 * DAY, 20_000


class Standing(Struct, frozen=True, kw_only=True):
    """A silence in a listing: its `matchers` in Alertmanager's words, and how many active `jobs` it covers.

    `stands`: it mutes something yet. One that the config names has no author and no time of its own.
    """

    id: str
    stands: bool
    matchers: list[str]
    until: float | None
    until_end: bool
    comment: str
    author: str
    created_at: float | None
    expired_at: float | None
    in_config: bool
    jobs: int


def add(
    config: Config,
    store: Store,
    now: float,
    *,
    matchers: Sequence[str],
    author: str,
    until: float | None = None,
    until_end: bool = False,
    comment: str = "",
) -> dict[str, Any]:
    """Adds a silence: `{"silence": …}`, as a `Standing`."""
    silence = make_silence(
        matchers,
        until=until,
        until_end=until_end,
        comment=comment,
        author=author,
        providers=config.providers,
        now=now,
    )
    store.silences.add(silence, now)
    return {"silence": to_builtins(_standing(Kept(silence, now, None), _active(store), now))}


def preview(
    config: Config, store: Store, now: float, *, matchers: Sequence[str], until_end: bool = False
) -> dict[str, Any]:
    """What such a silence would have muted in the last days: `{"muted": …}`, as a `Muted`."""
    match = read_matchers(matchers, config.providers)
    if until_end and Silence(match=match).job is None:
        raise ValueError(ONE_JOB)
    since = now - PREVIEWED
    found = muted(match, store.history.told(since, MOST_PREVIEWED), since, until_end=until_end)
    return {"muted": to_builtins(found)}


def listed(config: Config, store: Store, now: float, *, expired: bool = False) -> dict[str, Any]:
    """Those of the config, then those that were asked for: `{"silences": […]}`.

    `expired`: also those that are over.
    """
    active = _active(store)
    given = [_standing(Kept(one, 0.0, None), active, now, in_config=True) for one in config.routing.silences]
    asked = [_standing(one, active, now) for one in store.silences.all()]
    return {"silences": to_builtins([one for one in (*given, *asked) if expired or one.stands])}


def expire(config: Config, store: Store, now: float, *, ids: Sequence[str] | None) -> dict[str, Any]:
    """Takes silences away, by ids or the beginnings of them (None: all): `{"ids": […]}`, those that stood."""
    standing = [kept.silence.id for kept in store.silences.all() if kept.stands(now)]
    wanted = standing if ids is None else [found for id in ids for found in _meant(id, standing, config)]
    return {"ids": store.silences.expire(list(dict.fromkeys(wanted)), now)}


def ack(
    config: Config, store: Store, now: float, *, provider: str, job: str, author: str, comment: str = ""
) -> dict[str, Any]:
    """Acknowledges what is open about a job: `{"ack": …, "of": […]}`, null and nothing where nothing is."""
    given = store.acks.add(JobKey(provider, job), author, comment, now)
    return {"ack": to_builtins(given), "of": matters(given) if given else []}


# By the names that the control socket knows them by.
OPERATIONS: dict[str, Operation] = {
    "silence.add": add,
    "silence.list": listed,
    "silence.preview": preview,
    "silence.expire": expire,
    "ack": ack,
}
# Those that only read: a second connection does for them.
LOOKING = frozenset({"silence.list", "silence.preview"})


def _active(store: Store) -> list[Snapshot]:
    return [row.known.snapshot for row in store.history.jobs(active=True, limit=MANY)]


def _standing(kept: Kept, active: Sequence[Snapshot], now: float, *, in_config: bool = False) -> Standing:
    silence = kept.silence
    floor = silence.match.min_severity
    return Standing(
        id=silence.id,
        stands=kept.stands(now),
        matchers=[*map(str, silence.match.matchers), *([f'min_severity="{floor}"'] if floor else [])],
        until=silence.until,
        until_end=silence.until_end,
        comment=silence.comment,
        author=silence.author,
        created_at=None if in_config else kept.created_at,
        expired_at=kept.expired_at,
        in_config=in_config,
        jobs=sum(covers(silence.match, job) for job in active),
    )


def _meant(id: str, standing: Sequence[str], config: Config) -> list[str]:
    if any(silence.id == id for silence in config.routing.silences):
        raise ValueError(f"{id} stands in the config: take it out of {config.path}, and reload")
    found = [one for one in standing if id and one.startswith(id)]
    if len(found) > 1 and id not in found:
        raise ValueError(f"{id!r} is the beginning of several ids; write more of it")
    return [id] if id in found else found
