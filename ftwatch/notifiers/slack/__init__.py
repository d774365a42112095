"""Slack: by an incoming webhook, message after message; or by a bot, with one living message for each job.

Which of the two it is, the options say. What is shown stands in `blocks`, what Slack answers in `api`, what
becomes of a job's message in `thread`.
"""

import json
import re
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar

from msgspec.structs import replace

from ftwatch.client import Response, Unreachable, failure_of, outcome_of
from ftwatch.client.api import url_problem
from ftwatch.core.delivery import REMINDER, Outcome, Rejected, RetryPolicy, Sent
from ftwatch.core.event import Event
from ftwatch.core.known import Known
from ftwatch.core.message import Picture
from ftwatch.core.span import DAY, MINUTE
from ftwatch.notifiers.slack.api import Api, introduced
from ftwatch.notifiers.slack.blocks import payload, plain
from ftwatch.notifiers.slack.called import HANDLE, ID, Directory, mark
from ftwatch.notifiers.slack.thread import APART, Broadcast, Thread, shown
from ftwatch.plugins import (
    Audience,
    Duration,
    Introduction,
    Memory,
    NotifierSpec,
    ProviderError,
    Result,
    Secret,
)

__all__ = ["Slack"]

API = "https://slack.com/api"
LARGEST_ANSWER = 64 * 1024

# Words of Slack that mean that this webhook will never work again.
_GONE = (
    "no_service",
    "no_active_hooks",
    "no_team",
    "team_disabled",
    "channel_is_archived",
    "channel_not_found",
)
_NO_BLOCKS = ("invalid_blocks", "invalid_payload", "invalid_attachments")
# A channel, a private one, a conversation, or somebody in person.
_ID = re.compile(r"[CGDUW][A-Z0-9]{7,}")


@dataclass(frozen=True, kw_only=True)
class Options:
    """What `kind: slack` can be told. `webhook_url` is the address that Slack gives for one channel.

    A bot has a `bot_token` and a `channel`, by its name or better its id, instead; `broadcast` says which of
    a job's news the channel hears of, too (None: what failed, and alerts). `mentions` are the ids of those
    who are mentioned by another word. `api_url` is for tests.
    """

    webhook_url: Secret | None = None
    bot_token: Secret | None = None
    channel: str | None = None
    broadcast: tuple[Broadcast, ...] | None = None
    mentions: dict[str, str] = field(default_factory=dict)
    api_url: str | None = None
    timeout: Duration = Duration(seconds=15)

    def __post_init__(self) -> None:
        if self.webhook_url is not None and self.bot_token is not None:
            raise ValueError("give webhook_url, or bot_token and channel, not both")
        if self.webhook_url is None and self.bot_token is None:
            raise ValueError("give webhook_url, or bot_token and channel")
        if self.webhook_url is not None:
            for name in ("channel", "broadcast", "api_url"):
                if getattr(self, name) is not None:
                    raise ValueError(f"{name} is for a bot_token; a webhook_url has its one channel")
        elif not (self.channel or "").strip().strip("#"):
            raise ValueError("say with channel where the bot is to post: its id, or its name as in '#ml'")
        if self.api_url is not None and (problem := url_problem(self.api_url, API)):
            raise ValueError(f"api_url {problem}".removesuffix("; use api_key"))

    @property
    def where(self) -> str:
        """The channel as Slack takes it: an id, or a name behind a #."""
        given = (self.channel or "").strip()
        return given if _ID.fullmatch(given) or given.startswith("#") else f"#{given}"

    def mention_problem(self, word: str) -> str | None:
        """Why nobody can be mentioned by this word, as a sentence; None where somebody can."""
        if word in self.mentions or mark(word) is not None:
            return None
        if not HANDLE.fullmatch(word):
            return "write an id (U… of a member, S… of a user group), @here, or a group's handle (@oncall)"
        if self.bot_token is None:
            return "a webhook cannot look up a handle: write the id (S…), or say it in its `mentions`"
        return None

    def problems(self) -> Iterator[tuple[str | tuple[str, ...], str]]:
        """What is wrong with values that only show once secrets are had: (option, sentence)."""
        for word, id in self.mentions.items():
            if not ID.fullmatch(id):
                yield ("mentions", word), f"{id!r} is no id: U… of a member, or S… of a user group"
        if self.bot_token is not None and not self.bot_token.reveal().startswith(("xoxb-", "xoxe.xoxb-")):
            yield "bot_token", "begins with xoxb-: the Bot User OAuth Token, under OAuth & Permissions"


class Slack:
    """One channel."""

    Options: ClassVar[type] = Options
    audience: ClassVar[Audience] = "people"
    retry: ClassVar[RetryPolicy] = RetryPolicy(span=DAY, drain=1.0, fold=15 * MINUTE)
    folds: ClassVar[int] = 100
    address: ClassVar[str] = "channel"
    names_bundles: ClassVar[bool] = True
    marks_replays: ClassVar[bool] = True
    marks_repeats: ClassVar[bool] = True
    # About one message a second is what a channel takes.
    concurrency: ClassVar[int] = 1

    def __init__(self, spec: NotifierSpec, clock: Callable[[], float] = time.time) -> None:
        self._spec = spec
        self._options: Options = spec.options
        self._clock = clock
        is_bot = self._options.bot_token is not None
        self._directory = Directory(self._options.mentions, clock)
        # A bot edits, looks up whom it mentions, answers, shows a picture, and looks before for what it may
        # have said.
        self.timeout = (10 if is_bot else 2) * self._options.timeout.total_seconds()
        self.refresh_every: float | None = APART if is_bot else None
        # A webhook takes none.
        self.shows_pictures = is_bot

    def freeze(self, event: Event) -> None:
        """Nothing: a message is rendered when it is sent."""

    async def send(
        self,
        events: Sequence[Event],
        memory: Memory,
        *,
        body: bytes | None = None,
        bundle: str | None = None,
        manual: bool = False,
        again: bool = False,
        picture: Picture | None = None,
    ) -> Result:
        """Posts a message; in plain text where Slack does not take the blocks.

        A bot does so for what is about no job, several events at once, and what somebody sends by hand; of
        any other job's event it tells in the job's thread, with the picture, which a webhook cannot have.
        """
        try:
            if self._options.webhook_url is not None:
                return Result(await self._by_webhook(self._options.webhook_url.reveal(), events, bundle))
            thread = self._thread()
        except LookupError as error:
            return Result(Rejected(str(error)))
        event, *more = events
        if event.job is not None and not more and not manual:
            return await thread.tell(event, event.job, memory, again=again, bundle=bundle, picture=picture)
        told = self._spec.compose(*events, most=self.folds, bundle=bundle)
        # By its mark it would be taken for what it reminds of.
        is_reminder = bundle is not None and bundle.startswith(REMINDER)
        return Result(await thread.post(told, event, again=again and not manual and not is_reminder))

    async def refresh(self, known: Known, memory: Memory) -> Result | None:
        """Shows in a job's message how it is by now; None where nothing is to be done."""
        try:
            return await self._thread().refresh(known, memory)
        except LookupError as error:
            return Result(Rejected(str(error)))

    def render(self, *events: Event, picture: Picture | None = None) -> str:
        """The JSON as it would be posted, for `ftwatch render`."""
        event, *more = events
        message = self._directory.known(self._spec.compose(*events, most=self.folds))
        if self._options.bot_token is not None and event.job is not None and not more:
            return shown(event, event.job, self._options.where, message, picture, self._spec.page)
        return json.dumps(payload(message), indent=2, ensure_ascii=False)

    def _thread(self) -> Thread:
        chosen = self._options.broadcast
        words: Sequence[Broadcast] = ("failed", "alert") if chosen is None else chosen
        return Thread(
            self._api(),
            self._options.where,
            words,
            self._clock,
            self._spec.compose,
            self._directory,
            self._spec.page,
        )

    def _api(self) -> Api:
        options = self._options
        assert options.bot_token is not None
        return Api(
            self._spec.client,
            options.api_url or API,
            options.bot_token.reveal(),
            options.timeout.total_seconds(),
        )

    async def introduce(self) -> Introduction:
        """Whose token it is, whether it can post, and mention all; of a webhook nothing can be known."""
        if self._options.bot_token is None:
            return Introduction()
        try:
            api = self._api()
            told = await introduced(api, self._options.where)
            _, lack = await self._directory.look_up(self._spec.mentions, api)
            return replace(told, lacks="; ".join(filter(None, (told.lacks, lack))))
        except LookupError as error:
            raise ProviderError(str(error)) from None

    # ------------------------------------------------------------------------------------------ by a webhook

    async def _by_webhook(self, url: str, events: Sequence[Event], bundle: str | None) -> Outcome:
        message = self._directory.known(self._spec.compose(*events, most=self.folds, bundle=bundle))
        outcome = await self._post(url, payload(message))
        if isinstance(outcome, Rejected) and any(word in outcome.reason for word in _NO_BLOCKS):
            simple = await self._post(url, plain(message))
            return Sent("as plain text") if isinstance(simple, Sent) else outcome
        return outcome

    async def _post(self, url: str, what: dict[str, Any]) -> Outcome:
        try:
            response: Response = await self._spec.client.request(
                "POST",
                url,
                headers={"content-type": "application/json; charset=utf-8"},
                content=json.dumps(what).encode(),
                deadline=self._options.timeout.total_seconds(),
                cap=LARGEST_ANSWER,
                head_is_enough=True,
            )
        except Unreachable as error:
            return failure_of(error)
        outcome = outcome_of(response)
        if isinstance(outcome, Rejected) and any(word in outcome.reason for word in _GONE):
            return Rejected(outcome.reason, disable=True)
        return outcome
