"""Slack's Web API: one call, and what its answer means for a delivery. Knows no message."""

import json
from collections.abc import Mapping
from typing import Any
from urllib.parse import urlencode

from msgspec import Struct
from msgspec.structs import replace

from ftwatch.client import Client, Unreachable, failure_of, outcome_of, retry_after
from ftwatch.core.delivery import Outcome, Rejected, Retry, Sent
from ftwatch.core.message import clean
from ftwatch.plugins import Introduction, ProviderError

__all__ = ["GONE", "PLAINER", "Answer", "Api", "introduced"]

LARGEST_ANSWER = 2 * 1024 * 1024

# What was posted cannot be edited or answered any more: something new must stand in its place.
GONE = frozenset(
    {
        "message_not_found",
        "cant_update_message",
        "edit_window_closed",
        "thread_not_found",
        "cannot_reply_to_message",
    }
)
# Slack does not take the message in this form.
PLAINER = frozenset(
    {
        "msg_too_long",
        "msg_blocks_too_long",
        "invalid_blocks",
        "invalid_blocks_format",
        "invalid_attachments",
        "too_many_attachments",
        "metadata_too_large",
        "invalid_metadata_format",
        "invalid_metadata_schema",
    }
)
_TRANSIENT = frozenset({"internal_error", "fatal_error", "service_unavailable", "request_timeout"})
_THROTTLED = frozenset({"ratelimited", "rate_limited", "message_limit_exceeded"})

# What to do about what Slack says; `{channel}` and `{needed}` are filled in.
_ADVICE = {
    "channel_not_found": (
        "there is no channel {channel}, or the bot may not see it: check its name, and in a private one write"
        " /invite @ftwatch"
    ),
    "not_in_channel": "the bot is not in {channel}: write /invite @ftwatch there",
    "is_archived": "{channel} is archived: unarchive it, or name another channel",
    "invalid_auth": "the token is none of Slack's: copy the Bot User OAuth Token from the app's settings",
    "not_authed": "Slack saw no token: copy the Bot User OAuth Token from the app's settings",
    "account_inactive": "the app was removed from the workspace: install it again, and copy its new token",
    "token_expired": "the token has expired: turn token rotation off in the app, and copy a new one",
    "token_revoked": "the token was revoked: install the app again, and copy its new token",
    "not_allowed_token_type": "this is no bot's token: copy the one that begins with xoxb-",
    "missing_scope": "the token lacks the scope {needed}: add it to the app, and install it again",
    "no_permission": "the app may not do this: add the scope {needed}, and install it again",
    "restricted_action": "the workspace does not let apps post in {channel}: ask who owns it",
    "restricted_action_read_only_channel": "{channel} is read-only: let the app post there",
    "restricted_action_thread_locked": "the thread is locked: unlock it",
    "plan_upgrade_required": "the workspace's plan has no user groups: mention people by their ids (U…)",
    "ekm_access_denied": "the workspace's owner has suspended posting",
    "team_access_not_granted": "the app is not approved for this workspace: ask who owns it",
}
# Nobody but a person can change that: it is believed when it is said twice.
_DEAD_END = frozenset({"account_inactive", "token_revoked", "is_archived"})


# With any of these what was posted can be looked for.
_HISTORY = frozenset({"channels:history", "groups:history"})


class Answer(Struct, frozen=True):
    """What came of a call. `word` is Slack's own for what is wrong, empty where nothing is or none came."""

    outcome: Outcome
    word: str = ""
    told: dict[str, Any] = {}
    scopes: frozenset[str] | None = None

    @property
    def ok(self) -> bool:
        """Whether Slack did it."""
        return isinstance(self.outcome, Sent)

    def text(self, name: str) -> str:
        """One text of the answer, empty where it is none."""
        value = self.told.get(name)
        return value if isinstance(value, str) else ""


class Api:
    """Calls with one token. Raises LookupError, with a sentence, where the token cannot be had."""

    def __init__(self, client: Client, url: str, token: str, deadline: float) -> None:
        self._client = client
        self._url = url.rstrip("/")
        self._token = token
        self._deadline = deadline

    async def write(self, method: str, what: Mapping[str, Any]) -> Answer:
        """A method that takes JSON."""
        return await self._call(method, "application/json; charset=utf-8", json.dumps(what).encode(), what)

    async def read(self, method: str, **what: str) -> Answer:
        """A method that takes a form, as all do that only look."""
        return await self._call(method, "application/x-www-form-urlencoded", urlencode(what).encode(), what)

    async def put(self, url: str, content: bytes) -> Answer:
        """Bytes to an address that Slack has given for them, which says by itself whose they are."""
        ours = self._url.partition("://")[0]
        if not url.startswith(f"{ours}://"):
            return Answer(Rejected(f"Slack gave no {ours} address for the upload"))
        try:
            response = await self._client.request(
                "POST",
                url,
                headers={"content-type": "application/octet-stream"},
                content=content,
                deadline=self._deadline,
                cap=LARGEST_ANSWER,
            )
        except Unreachable as error:
            return Answer(failure_of(error))
        outcome = outcome_of(response)
        if not isinstance(outcome, Sent):
            outcome = replace(outcome, reason=f"the upload: {outcome.reason}")
        return Answer(outcome)

    async def _call(self, method: str, kind: str, body: bytes, what: Mapping[str, Any]) -> Answer:
        try:
            response = await self._client.request(
                "POST",
                f"{self._url}/{method}",
                headers={"content-type": kind, "authorization": f"Bearer {self._token}"},
                content=body,
                deadline=self._deadline,
                cap=LARGEST_ANSWER,
            )
        except Unreachable as error:
            return Answer(failure_of(error))
        told = _told(response.body)
        word = clean(told["error"], 60) if isinstance(told.get("error"), str) else ""
        if word and response.status != 429 and response.status < 500:
            wish = retry_after(response.headers)
            return Answer(_meaning(method, word, told, str(what.get("channel", "")), wish), word, told)
        outcome = outcome_of(response)
        if isinstance(outcome, Sent) and told.get("ok") is not True:
            outcome = Retry(f"{method}: HTTP {response.status} without Slack's answer")
        given = response.headers.get("x-oauth-scopes")
        scopes = frozenset(one.strip() for one in given.split(",")) if given is not None else None
        return Answer(outcome, told=told, scopes=scopes)


def _told(body: bytes) -> dict[str, Any]:
    try:
        found = json.loads(body)
    except (ValueError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}


def _meaning(method: str, word: str, told: Mapping[str, Any], channel: str, wish: float | None) -> Outcome:
    """What one of Slack's words means for the delivery."""
    reason = f"{method}: {word}"
    if word in _THROTTLED:
        return Retry(reason, after=wish, throttled=True)
    if word in _TRANSIENT:
        return Retry(reason, after=wish)
    if word not in _ADVICE:
        return Rejected(reason)
    needed = clean(told.get("needed") or "that it asks for", 80)
    advice = _ADVICE[word].format(channel=clean(channel, 80) or "the channel", needed=needed)
    return Rejected(f"{reason}: {advice}", disable=word in _DEAD_END)


async def introduced(api: Api, channel: str) -> Introduction:
    """Who the token makes us, and whether that may post to the channel; posts nothing.

    Raises ProviderError where Slack does not say who.
    """
    who = await api.read("auth.test")
    if not who.ok:
        raise ProviderError(_reason(who))
    whose = f"it lets ftwatch in as {clean(who.text('user'), 60)} of {clean(who.text('team'), 60)}"
    scopes = who.scopes
    if scopes is not None and "chat:write" not in scopes:
        return Introduction(whose=whose, wrong=f"{_ADVICE['missing_scope'].format(needed='chat:write')}")
    missing = []
    if scopes is not None and not scopes & _HISTORY:
        missing.append(
            "without the scope channels:history (groups:history in a private channel) a message may come"
            " twice after a crash"
        )
    if scopes is not None and "files:write" not in scopes:
        missing.append("without the scope files:write its messages have no pictures")
    lacks = "; ".join(missing)
    unasked = f"whether it may post to {clean(channel, 80)} only `notify test` shows"
    if channel.startswith("#"):
        return Introduction(whose=whose, beyond=f"{unasked}; of an id it could be asked", lacks=lacks)
    if channel.startswith(("U", "W")):
        # Somebody in person is no conversation before the first message to them.
        return Introduction(whose=whose, beyond=unasked, lacks=lacks)
    answer = await api.read("conversations.info", channel=channel)
    if answer.word == "missing_scope":
        return Introduction(whose=whose, beyond=f"{unasked}, or the scope channels:read", lacks=lacks)
    if not answer.ok:
        return Introduction(whose=whose, lacks=lacks, wrong=_reason(answer))
    found = answer.told.get("channel")
    about = found if isinstance(found, dict) else {}
    name = f"#{clean(about.get('name', channel), 80)}"
    public = bool(scopes and "chat:write.public" in scopes)
    wrong = ""
    if about.get("is_archived") is True:
        wrong = _ADVICE["is_archived"].format(channel=name)
    elif about.get("is_member") is False and not public:
        wrong = _ADVICE["not_in_channel"].format(channel=name)
    if not wrong:
        whose += f", and may post to {name}"
    return Introduction(whose=whose, lacks=lacks, wrong=wrong)


def _reason(answer: Answer) -> str:
    return "" if isinstance(answer.outcome, Sent) else answer.outcome.reason
