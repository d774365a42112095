"""Whom a message notifies: what can be mentioned, and the ids behind handles, which Slack alone knows.

Only what the config says comes here, never a word of a job's.
"""

import re
from collections.abc import Callable, Mapping, Sequence

from msgspec.structs import replace

from ftwatch.core.delivery import Rejected, Sent
from ftwatch.core.message import Message, clean
from ftwatch.notifiers.slack.api import Api

__all__ = ["HANDLE", "ID", "TO_ALL", "Directory", "mark", "to_all"]

# Somebody, or a user group.
ID = re.compile(r"[UWS][A-Z0-9]{7,20}")
HANDLE = re.compile(r"@[^\W_][\w.-]{0,79}")
# Whoever is in the channel.
TO_ALL = ("@here", "@channel", "@everyone")
# So long a list of the groups is good, or a refusal is; and so long nobody is asked after anything else.
KEPT, SOON = 600.0, 30.0


def mark(word: str) -> str | None:
    """What Slack notifies somebody by; None for what it would show as text."""
    if word in TO_ALL:
        return f"<!{word[1:]}>"
    if not ID.fullmatch(word):
        return None
    return f"<!subteam^{word}>" if word.startswith("S") else f"<@{word}>"


def to_all(message: Message) -> bool:
    """Whether it is for everybody in the channel."""
    return any(word in TO_ALL for word in message.mention)


class Directory:
    """Who is behind a word: by the config's own map `given`, and by the workspace's user groups.

    The groups are asked for when a message first names one, and remembered. `now` is any clock in seconds.
    """

    def __init__(self, given: Mapping[str, str], now: Callable[[], float]) -> None:
        self._given = given
        self._now = now
        self._groups: dict[str, str] = {}
        self._refusal = ""
        self._next = 0.0

    def known(self, message: Message) -> Message:
        """The message with ids where the map has some. Asks nobody."""
        return replace(message, mention=tuple(self._given.get(word, word) for word in message.mention))

    async def resolved(self, message: Message, api: Api) -> tuple[Message, str]:
        """The message with all the ids that can be had, and why it mentions somebody as mere text."""
        found, lack = await self.look_up(message.mention, api)
        return replace(message, mention=found), lack

    async def look_up(self, words: Sequence[str], api: Api) -> tuple[tuple[str, ...], str]:
        """Ids in the place of words, as far as they can be had, and why the others notify nobody."""
        found = tuple(self._given.get(word, word) for word in words)
        if not all(map(mark, found)):
            await self._ask(api)
            found = tuple(
                word if mark(word) else self._groups.get(word[1:].casefold(), word) for word in found
            )
        unknown = [word for word in found if mark(word) is None]
        why = self._refusal or "there is no such user group"
        return found, f"{', '.join(unknown)} notifies nobody: {why}" if unknown else ""

    async def _ask(self, api: Api) -> None:
        now = self._now()
        # A clock that was set back must not hold it up.
        if now < self._next <= now + KEPT:
            return
        answer = await api.read("usergroups.list")
        outcome = answer.outcome
        if isinstance(outcome, Sent):
            groups = answer.told.get("usergroups")
            self._groups = dict(_groups(groups if isinstance(groups, list) else []))
            self._refusal = ""
        else:
            # Who was known is, until somebody says otherwise.
            self._refusal = outcome.reason
        self._next = now + (KEPT if isinstance(outcome, Sent | Rejected) else SOON)


def _groups(listed: list[object]) -> list[tuple[str, str]]:
    """The ids of those that are in use, by their handles."""
    found = []
    for one in listed:
        if not isinstance(one, dict) or one.get("date_delete"):
            continue
        handle, id = one.get("handle"), one.get("id")
        if isinstance(handle, str) and isinstance(id, str) and ID.fullmatch(id):
            found.append((clean(handle, 80).casefold(), id))
    return found
