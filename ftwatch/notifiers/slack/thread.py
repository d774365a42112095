"""One living message for each job: edited as the job goes on, and its thread is the history.

What stands where is kept in the notifier's memory, which is committed with the settling. Slack knows no key
by which it would take a message once: what may have arrived before is looked for, by its metadata.
"""

import json
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal

import msgspec
from msgspec import Struct, field
from msgspec.structs import replace

from ftwatch.core import event as events
from ftwatch.core import result
from ftwatch.core.closure import bearing_of
from ftwatch.core.delivery import REMINDER, Outcome, Retry, Sent
from ftwatch.core.event import Event, Severity, digest, is_mere_progress
from ftwatch.core.job import Snapshot
from ftwatch.core.known import Known
from ftwatch.core.message import Message, Picture, clean
from ftwatch.notifiers.slack.api import GONE, PLAINER, Answer, Api
from ftwatch.notifiers.slack.blocks import payload, plain, root_message, root_payload
from ftwatch.notifiers.slack.called import Directory, to_all
from ftwatch.plugins import Composer, Memory, Result

__all__ = ["APART", "Broadcast", "Root", "Thread"]

Broadcast = Literal["failed", "succeeded", "cancelled", "paused", "alert", "gone", "all"]

# Edits of one message are so many seconds apart, unless what there is to say cannot wait.
APART = 15.0
# Slack takes 40,000 characters of text; where that is too much, what a section takes.
LONGEST, SHORTEST = 35_000, 3000
# How far Slack's clock may be behind ours, and among how many messages one is looked for.
SKEW, LOOK_AT = 300, 100
# So many times more a picture is tried where Slack could not take it; then its message does without.
TRIES = 2
_THERE = Sent("it had arrived before")
# What a status says by itself.
_STATUSES = frozenset({"failed", "paused", "unknown"})


class Root(Struct, frozen=True, kw_only=True):
    """Where the one message about a job stands, and what it shows. This is the notifier's memory.

    `asked` is the channel as the config named it, `channel` Slack's id of it, `ts` the message's (None: it
    is gone). `shows` stands for what it shows since `edited_at` (Unix seconds), `sequence` for the event
    that it is up to. `open`, `figures` and `cause` are what the job's snapshot does not tell. `answered` is
    the event whose answer stands in the thread while its picture does not, tried `tries` times.
    """

    kind: Literal["slack"] = "slack"
    asked: str
    channel: str = ""
    ts: str | None = None
    shows: str = ""
    edited_at: float = 0.0
    sequence: int = 0
    open: dict[str, str] = field(default_factory=dict)
    figures: str = ""
    cause: str | None = None
    answered: str = ""
    tries: int = 0

    @classmethod
    def read(cls, asked: str, memory: Mapping[str, Any]) -> "Root":
        """The one in a memory; none stands where there is none, or where it is of another channel."""
        try:
            found = msgspec.convert(dict(memory), cls)
        except msgspec.ValidationError:
            return cls(asked=asked)
        return found if found.asked == asked else cls(asked=asked)

    @property
    def memory(self) -> Memory:
        """What to remember of it."""
        kept: Memory = msgspec.to_builtins(self)
        return kept

    def after(self, event: Event, title: str) -> "Root":
        """What is known of the job once this event is told; `title` is the line that tells of it."""
        bearing = bearing_of(event)
        still = {
            name: line
            for name, line in self.open.items()
            if bearing.closes is not None and name not in bearing.closes
        }
        if bearing.opens is not None and bearing.opens not in _STATUSES and bearing.ending != "none":
            still[bearing.opens] = title
        summary, saved = event.data.summary or None, event.data.checkpoint or None
        metrics = (summary and summary.metrics) or (saved and saved.metrics) or {}
        return replace(
            self,
            open=still,
            figures=result.figures(metrics) or self.figures,
            cause=result.cause(event) if event.status else self.cause,
        )

    def message(self, job: Snapshot, page: str = "") -> Message:
        """What the message about the job says now; `page` is where people reach ftwatch's own, if they do."""
        return root_message(job, figures=self.figures, cause=self.cause, open=self.open, page=page)


class Thread:
    """The messages of one channel. `now` is the wall clock (Unix seconds), `compose` makes what is said.

    Whom a message mentions is looked up in the `directory`, and notified by what is posted: an ordinary
    message, or the answer in a job's thread; the one that is edited could not.
    """

    def __init__(
        self,
        api: Api,
        channel: str,
        broadcast: Sequence[Broadcast],
        now: Callable[[], float],
        compose: Composer,
        directory: Directory,
        page: str = "",
    ) -> None:
        self._api = api
        self._channel = channel
        self._broadcast = frozenset(broadcast)
        self._now = now
        self._compose = compose
        self._directory = directory
        self._page = page

    # --------------------------------------------------------------------------------------------- sending

    async def post(self, message: Message, event: Event, *, again: bool) -> Outcome:
        """An ordinary message. `again`: it may stand there already."""
        if again:
            found = await self._find("", event, "event", event.id)
            if isinstance(found, str):
                return _THERE
            if found is not None:
                return found
        where = {"channel": self._channel, "metadata": _mark("event", event.id)}
        message, unnotified = await self._directory.resolved(message, self._api)
        answer, note = await self._say("chat.postMessage", where, payload(message), message)
        return _noted(answer, note, unnotified)

    async def tell(
        self,
        event: Event,
        job: Snapshot,
        memory: Memory,
        *,
        again: bool,
        bundle: str | None = None,
        picture: Picture | None = None,
    ) -> Result:
        """Brings the job's message up to date, and answers to it with the event, or with a reminder of it.

        Below the answer comes the picture.
        """
        root = Root.read(self._channel, memory)
        message = self._compose(event)
        is_news = not is_mere_progress(event)
        if root.ts is None and not is_news:
            return Result(Sent("not sent: nobody was told of this job yet", idle=True))
        before, root = root, root.after(event, message.title)
        is_new = False
        if root.ts is not None and (event.data.sequence or 0) >= root.sequence:
            root = replace(root, sequence=event.data.sequence or 0)
            root, outcome = await self._edit(root, job, at_once=_cannot_wait(event))
            if outcome is not None:
                return Result(outcome, None if root == before else root.memory)
        if root.ts is None:
            root, outcome = await self._root(root, event, job, again=again)
            if outcome is not None:
                return Result(outcome)
            is_new = True
        if not is_news:
            return Result(Sent("the message about the job is up to date"), root.memory)
        reminder = bundle if bundle is not None and bundle.startswith(REMINDER) else ""
        if reminder:
            message = self._compose(event, bundle=bundle)
        if root.answered == event.id and not reminder:
            outcome, is_lost = _THERE, False
        else:
            outcome, is_lost = await self._reply(
                root, event, message, again=again, aloud=not is_new, reminder=reminder
            )
        if is_lost and not is_new:
            # Somebody deleted what it would have answered to: the history goes on under a new one.
            root, failed = await self._root(replace(root, ts=None), event, job, again=False)
            if failed is not None:
                return Result(failed, root.memory)
            outcome, _ = await self._reply(root, event, message, again=False, aloud=False)
        if picture is not None and isinstance(outcome, Sent):
            root, outcome = await self._show(root, event, job, picture, outcome, again=again)
        return Result(outcome, root.memory)

    async def refresh(self, known: Known, memory: Memory) -> Result | None:
        """Shows how the job is by now, where a message about it stands; None where nothing is to be done."""
        root = before = Root.read(self._channel, memory)
        if root.ts is None or known.sequence < root.sequence:
            return None
        # What went out as a line of a digest has ended, too.
        still = {*known.alerts, *(["gone"] if known.gone else [])}
        root = replace(
            root,
            sequence=known.sequence,
            open={name: line for name, line in root.open.items() if name in still},
            figures=result.figures(known.metrics) or root.figures,
        )
        root, outcome = await self._edit(root, known.snapshot, at_once=known.snapshot.status.is_terminal)
        if outcome is not None:
            return Result(outcome)
        if (root.ts, root.shows) == (before.ts, before.shows):
            return None
        return Result(Sent("up to date"), root.memory)

    # --------------------------------------------------------------------------------------------- the root

    async def _root(
        self, root: Root, event: Event, job: Snapshot, *, again: bool
    ) -> tuple[Root, Outcome | None]:
        """Posts the one message about a job, or finds it again; and what went wrong, if anything did."""
        message, name = root.message(job, self._page), digest(str(job.key))
        made = root_payload(job, message)
        root = replace(root, shows=digest(made), edited_at=self._now(), sequence=event.data.sequence or 0)
        if again:
            found = await self._find("", event, "job", name)
            if isinstance(found, str):
                # What it shows is from before: the next edit will tell.
                return replace(root, channel=self._channel, ts=found, shows="", edited_at=0.0), None
            if found is not None:
                return root, found
        where = {"channel": self._channel, "metadata": _mark("job", name)}
        answer, _ = await self._say("chat.postMessage", where, made, message)
        if not answer.ok:
            return root, answer.outcome
        return replace(root, channel=answer.text("channel"), ts=answer.text("ts")), None

    async def _edit(self, root: Root, job: Snapshot, *, at_once: bool) -> tuple[Root, Outcome | None]:
        """Edits the message where it shows something else by now; `ts` is None then where it is gone."""
        message = root.message(job, self._page)
        made = root_payload(job, message)
        shows = digest(made)
        since = self._now() - root.edited_at
        # A clock that was set back must not hold up the edits.
        if shows == root.shows or (not at_once and 0 <= since < APART):
            return root, None
        where = {"channel": root.channel, "ts": root.ts, "metadata": _mark("job", digest(str(job.key)))}
        answer, _ = await self._say("chat.update", where, made, message)
        if answer.word in GONE:
            return replace(root, ts=None), None
        if not answer.ok:
            return root, answer.outcome
        return replace(root, shows=shows, edited_at=self._now()), None

    async def _reply(
        self, root: Root, event: Event, message: Message, *, again: bool, aloud: bool, reminder: str = ""
    ) -> tuple[Outcome, bool]:
        """Answers to the job's message; and whether there is none to answer to any more.

        Whoever is reminded has not looked into the thread, so a reminder is for all; and so is what mentions
        all, whom nothing in a thread would notify.
        """
        name = f"{event.id} {reminder}" if reminder else event.id
        if again and root.ts is not None:
            found = await self._find(root.ts, event, "event", name, channel=root.channel)
            if isinstance(found, str):
                return _THERE, False
            if found is not None:
                return found, False
        message, unnotified = await self._directory.resolved(message, self._api)
        is_for_all = aloud and (bool(reminder) or self._is_for_all(event))
        where = {
            "channel": root.channel,
            "thread_ts": root.ts,
            "reply_broadcast": is_for_all or to_all(message),
            "metadata": _mark("event", name),
        }
        answer, note = await self._say("chat.postMessage", where, payload(message), message)
        return _noted(answer, note, unnotified), answer.word in GONE

    # ------------------------------------------------------------------------------------------ the picture

    async def _show(
        self, root: Root, event: Event, job: Snapshot, picture: Picture, told: Sent, *, again: bool
    ) -> tuple[Root, Outcome]:
        """Puts the picture below its answer. Without it the answer counts, once it was tried some times."""
        named, done = _named(event, job, picture), replace(root, answered="", tries=0)
        if again and await self._is_shown(root, event, named["filename"]):
            return done, told
        answer = await self._upload(root, picture, **named)
        failed = answer.outcome
        if isinstance(failed, Sent):
            return done, told
        if isinstance(failed, Retry) and root.tries < TRIES:
            return replace(root, answered=event.id, tries=root.tries + 1), failed
        note = f"without its picture: {failed.reason}"
        return done, Sent(f"{told.note}; {note}" if told.note else note)

    async def _upload(
        self, root: Root, picture: Picture, *, filename: str, title: str, alt_txt: str
    ) -> Answer:
        """Gives Slack the picture in its three steps; only the last one shows it to anybody."""
        answer = await self._api.read(
            "files.getUploadURLExternal",
            filename=filename,
            length=str(len(picture.png)),
            alt_txt=alt_txt,
        )
        url, file = answer.text("upload_url"), answer.text("file_id")
        if answer.ok:
            answer = await self._api.put(url, picture.png)
        if not answer.ok:
            return answer
        where = {"channel_id": root.channel, "thread_ts": root.ts, "files": [{"id": file, "title": title}]}
        return await self._api.write("files.completeUploadExternal", where)

    async def _is_shown(self, root: Root, event: Event, name: str) -> bool:
        """Whether the picture stands in the thread already, as far as that can be known."""
        found = await self._look(root.ts or "", event, root.channel)
        return isinstance(found, list) and any(name in _files(one) for one in found)

    def _is_for_all(self, event: Event) -> bool:
        """Whether the channel hears of it, too, and not only who follows the thread."""
        if "all" in self._broadcast:
            return True
        if event.type.startswith(events.ALERT):
            return "alert" in self._broadcast and not event.type.endswith(".resolved")
        if event.type == events.GONE:
            return "gone" in self._broadcast
        return event.status is not None and event.status.value in self._broadcast

    # ------------------------------------------------------------------------------------------ the requests

    async def _say(
        self, method: str, where: Mapping[str, Any], made: Mapping[str, Any], message: Message
    ) -> tuple[Answer, str]:
        """Posts or edits, in a plainer form where Slack does not take the first; and how it went."""
        bare = {name: value for name, value in where.items() if name != "metadata"}
        # An edit keeps the blocks that it does not name.
        empty: dict[str, Any] = {"attachments": [], "blocks": []} if method == "chat.update" else {}
        forms: list[tuple[Mapping[str, Any], str]] = [
            ({**where, **made}, ""),
            ({**bare, **plain(message, LONGEST), **empty}, "as plain text"),
            ({**bare, **plain(message, SHORTEST), **empty}, "as plain text, cut"),
        ]
        answer, said = await self._api.write(method, forms[0][0]), ""
        for form, note in forms[1:]:
            if answer.word not in PLAINER:
                break
            answer, said = await self._api.write(method, form), note
        return answer, said

    async def _find(
        self, ts: str, event: Event, sort: str, name: str, channel: str | None = None
    ) -> str | Outcome | None:
        """The `ts` of what stands there already; None where it does not, or where that cannot be known.

        An Outcome where Slack could not be asked at this moment.
        """
        messages = await self._look(ts, event, channel or self._channel)
        if not isinstance(messages, list):
            return messages if isinstance(messages, Retry) else None
        for one in messages:
            marked = one.get("metadata")
            if isinstance(marked, dict) and marked == _mark(sort, name) and isinstance(one.get("ts"), str):
                return str(one["ts"])
        return None

    async def _look(self, ts: str, event: Event, channel: str) -> list[dict[str, Any]] | Outcome:
        """What stands in a thread, or in the channel itself, since about the event; or why nobody knows."""
        where = {
            "channel": channel,
            "oldest": str(event.data.observed_at - SKEW),
            "limit": str(LOOK_AT),
            "include_all_metadata": "true",
        }
        method = "conversations.replies" if ts else "conversations.history"
        answer = await self._api.read(method, **where, **({"ts": ts} if ts else {}))
        if not answer.ok:
            return answer.outcome
        messages = answer.told.get("messages")
        return [one for one in messages if isinstance(one, dict)] if isinstance(messages, list) else []


def _mark(sort: str, name: str) -> dict[str, Any]:
    """What a message carries unseen, to be known by."""
    return {"event_type": f"ftwatch_{sort}", "event_payload": {"id": name}}


def _named(event: Event, job: Snapshot, picture: Picture) -> dict[str, str]:
    """What a picture is called: the same again for the same event, so that it can be looked for."""
    title = clean(f"{picture.title} of {job.title or job.id}", 80)
    return {"filename": f"{digest(event.id)}.png", "title": title, "alt_txt": clean(picture.alt, 1000)}


def _files(message: Mapping[str, Any]) -> set[Any]:
    """What the files that a message shows are called."""
    found = message.get("files")
    return {one.get("name") for one in found if isinstance(one, dict)} if isinstance(found, list) else set()


def _noted(answer: Answer, *notes: str) -> Outcome:
    return Sent("; ".join(filter(None, notes)) or "HTTP 200") if answer.ok else answer.outcome


def _cannot_wait(event: Event) -> bool:
    """Whether the job's message shows this at once, however short ago it was edited."""
    is_end = event.status is not None and event.status.is_terminal
    return is_end or event.severity.rank >= Severity.WARNING.rank or event.type.startswith(events.ALERT)


def shown(
    event: Event,
    job: Snapshot,
    channel: str,
    message: Message,
    picture: Picture | None = None,
    page: str = "",
) -> str:
    """The two messages as they would be posted, and what is said of the picture, for `ftwatch render`."""
    root = Root(asked=channel).after(event, message.title)
    posted = [root_payload(job, root.message(job, page)), payload(message)]
    if picture is not None:
        posted.append(_named(event, job, picture))
    return json.dumps(posted, indent=2, ensure_ascii=False)
