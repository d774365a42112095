"""PagerDuty, by its Events API v2: one alert for each job, triggered by what goes wrong, resolved at its end.

PagerDuty shows text as it is; what strangers wrote has lost its line breaks and its length before.
"""

import json
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, ClassVar, Literal

from ftwatch.client.api import url_problem
from ftwatch.client.posting import post_json
from ftwatch.core.closure import Account, bearing_of
from ftwatch.core.delivery import Outcome, Rejected, RetryPolicy, Sent
from ftwatch.core.event import Event, Severity, digest
from ftwatch.core.message import Message, clean
from ftwatch.plugins import Audience, Duration, Memory, NotifierSpec, Result, Secret

__all__ = ["PagerDuty"]

HOMES = {
    "us": "https://events.pagerduty.com/v2/enqueue",
    "eu": "https://events.eu.pagerduty.com/v2/enqueue",
}
# PagerDuty's own limits: characters of a summary and of a key.
SUMMARY, KEY = 1024, 255
NAME = 200

Theirs = Literal["critical", "error", "warning", "info"]
SEVERITIES: dict[Severity, Theirs] = {
    Severity.DETAIL: "info",
    Severity.INFO: "info",
    Severity.NOTICE: "info",
    Severity.WARNING: "warning",
    Severity.ERROR: "error",
}


@dataclass(frozen=True, kw_only=True)
class Options:
    """What `kind: pagerduty` can be told. `routing_key` is an integration's, of the type Events API v2.

    `region` is where the account lives, `url` another server that takes the same events. `severity` says
    what ours mean to PagerDuty, where that is not the default.
    """

    routing_key: Secret
    region: Literal["us", "eu"] | None = None
    url: str | None = None
    severity: dict[Literal["detail", "info", "notice", "warning", "error"], Theirs] = field(
        default_factory=dict
    )
    timeout: Duration = Duration(seconds=15)

    def __post_init__(self) -> None:
        if self.url is not None and self.region is not None:
            raise ValueError("give region, or the url of another server, not both")
        if self.url is not None and (problem := url_problem(self.url, HOMES["us"])):
            raise ValueError(f"url {problem}".removesuffix("; use api_key"))

    @property
    def address(self) -> str:
        """Where to post to."""
        return self.url or HOMES[self.region or "us"]

    def problems(self) -> Iterator[tuple[str, str]]:
        """What is wrong with values that only show once secrets are had: (option, sentence)."""
        if self.url is None and not re.fullmatch(r"[A-Za-z0-9]{32}", self.routing_key.reveal()):
            yield (
                "routing_key",
                "has 32 letters and digits: the Integration Key of an Events API v2 integration, no API key",
            )


class PagerDuty:
    """One integration of one service."""

    Options: ClassVar[type] = Options
    audience: ClassVar[Audience] = "people"
    # 120 events a minute is what an integration takes.
    retry: ClassVar[RetryPolicy] = RetryPolicy(drain=2.0)
    concurrency: ClassVar[int] = 3

    def __init__(self, spec: NotifierSpec) -> None:
        self._spec = spec
        self._options: Options = spec.options
        self.timeout = self._options.timeout.total_seconds()

    def freeze(self, event: Event) -> None:
        """Nothing: what to send hangs on what is open when it is sent."""

    async def send(self, events: Sequence[Event], memory: Memory, *, body: bytes | None = None) -> Result:
        """Triggers or resolves the alert of what the event is about; `memory` holds what is open."""
        (event,) = events
        before = Account.read(self._spec.kind, memory)
        if before.is_past(event):
            return Result(Sent("not sent: it was over before it could be told", idle=True))
        keys, account = _keys(event, before)
        remembered = account.memory if account != before else None
        if not keys:
            still = ", ".join(account.open)
            why = f"something is still open ({still})" if still else "it opens and closes nothing"
            return Result(Sent(f"not sent: {why}", idle=True), remembered)
        try:
            routing_key = self._options.routing_key.reveal()
        except LookupError as error:
            return Result(Rejected(str(error)))
        for key in keys:
            outcome = await self._post(self._body(event, key, routing_key))
            if not isinstance(outcome, Sent):
                return Result(outcome)
        return Result(outcome, remembered)

    def render(self, event: Event) -> str:
        """The JSON as it would be posted, for `ftwatch render`."""
        keys, _ = _keys(event, Account(kind=self._spec.kind))
        if not keys:
            return f"nothing: {event.type} opens and closes nothing"
        shown = [json.dumps(self._body(event, key, "••••"), indent=2, ensure_ascii=False) for key in keys]
        return "\n".join(shown)

    async def _post(self, what: dict[str, Any]) -> Outcome:
        outcome = await post_json(
            self._spec.client, self._options.address, what, deadline=self.timeout, complaint=_complaint
        )
        if isinstance(outcome, Sent):
            return Sent(f"{outcome.note}: {what['event_action']} {what['dedup_key']}")
        return outcome

    def _body(self, event: Event, key: str, routing_key: str) -> dict[str, Any]:
        head = {"routing_key": routing_key, "dedup_key": key}
        if bearing_of(event).opens is None:
            return {**head, "event_action": "resolve"}
        message = self._spec.compose(event)
        links = [{"href": message.link[1], "text": message.link[0]}] if message.link else []
        return {
            **head,
            "event_action": "trigger",
            "client": "ftwatch",
            "links": links,
            "payload": self._payload(event, message),
        }

    def _payload(self, event: Event, message: Message) -> dict[str, Any]:
        data, job = event.data, event.job
        said = f"{message.headline}: {message.quote}" if message.quote else message.headline
        return {
            "summary": clean(said, SUMMARY),
            "source": data.provider or "ftwatch",
            "severity": self._options.severity.get(event.severity.value, SEVERITIES[event.severity]),
            "timestamp": datetime.fromtimestamp(event.created_at, UTC).isoformat(),
            "component": clean(job.title if job else data.id, NAME) or clean(data.id, NAME),
            "group": data.kind or "ftwatch",
            "class": event.type,
            "custom_details": {
                **{fact.label: fact.value for fact in message.facts},
                **({"Said": message.quote} if message.quote else {}),
                **({"Text": "\n".join(message.lines)} if message.lines else {}),
                **({"Job": clean(job.id, NAME)} if job else {}),
                "Event": event.id,
            },
        }


def _keys(event: Event, before: Account) -> tuple[list[str], Account]:
    """The keys of the alerts to trigger or to resolve, and the account after that.

    All problems of a job are one alert, under the key that it was opened with; it is resolved with the last.
    """
    bearing, supposed = bearing_of(event), _dedup_keys(event)
    if event.key and before.open:
        supposed = [next(iter(before.open.values()))]
    account, closed = before.after(event, supposed[0] if supposed else None)
    if bearing.opens is not None:
        return supposed, account
    ended = [*closed.values(), *(supposed if bearing.is_end else [])]
    return [key for key in dict.fromkeys(ended) if key not in account.open.values()], account


def _dedup_keys(event: Event) -> list[str]:
    """What makes events one alert to PagerDuty: a job, or one problem of a provider or of ftwatch itself."""
    bearing = bearing_of(event)
    problems = [bearing.opens] if bearing.opens else sorted(bearing.closes or ())
    about = f"{event.type.rpartition('.')[0]}/{event.data.id}"
    keys = [str(event.key)] if event.key else [f"{about}/{problem}" for problem in problems]
    return [key if len(key) <= KEY and key.isprintable() else f"ftwatch/{digest(key)}" for key in keys]


def _complaint(answer: Any) -> str | None:
    """PagerDuty's own words: `{"status": …, "message": …, "errors": […]}`."""
    if not isinstance(answer, dict) or not isinstance(answer.get("message"), str):
        return None
    errors = answer.get("errors")
    told = [str(one) for one in errors] if isinstance(errors, list) else []
    return ": ".join([answer["message"], *(["; ".join(told)] if told else [])])
