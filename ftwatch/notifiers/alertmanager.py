"""Prometheus's Alertmanager, over its API v2: a problem is an alert until its end is told.

Alertmanager knows an alert by its labels, so these are remembered as they were when it was opened. By its own
clock it decides what is over, and an end that lies ahead would never come: ends are told as a little past.
"""

import json
import re
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, ClassVar, Literal
from urllib.parse import urlsplit

from ftwatch.client.api import can_be_sent, url_problem
from ftwatch.client.posting import authorization, post_json
from ftwatch.core.closure import Account, bearing_of
from ftwatch.core.delivery import Rejected, RetryPolicy, Sent
from ftwatch.core.event import TEST, Event, Severity
from ftwatch.core.message import Message, clean
from ftwatch.core.span import DAY, MINUTE
from ftwatch.plugins import Audience, Duration, Memory, NotifierSpec, Result, Secret

__all__ = ["Alertmanager"]

PATH = "/api/v2/alerts"
EXAMPLE = "http://127.0.0.1:9093"
# How long what has an end is open at most, should nobody tell it, and how long a test message is (seconds).
LONGEST, TRIAL = 30 * DAY, 5 * MINUTE
# How far the two clocks may be apart.
SKEW = 5 * MINUTE
# Labels of a job: so many, of so many characters.
LABELS, LABEL_NAME, LABEL = 30, 64, 200

# What most routes of an Alertmanager know.
SEVERITIES = {
    Severity.DETAIL: "info",
    Severity.INFO: "info",
    Severity.NOTICE: "info",
    Severity.WARNING: "warning",
    Severity.ERROR: "critical",
}
# How severe what an end closes was when it began, where that is not a warning.
BEGAN = dict.fromkeys(("failed", "disabled", "rejected", "full"), Severity.ERROR)

# Alertmanager refuses the whole alert for a URL that Go does not take.
_URL = re.compile(
    r"https?://[A-Za-z0-9.-]+(:[0-9]{1,5})?([/?#]([A-Za-z0-9\-._~:/?#@!$&'()*+,;=]|%[0-9A-Fa-f]{2})*)?"
)


@dataclass(frozen=True, kw_only=True)
class Options:
    """What `kind: alertmanager` can be told. `url` is where its own page is; the path of the API is added.

    `token`, or `username` and `password`, where something before it wants to know who posts. `expires` is how
    long an alert stays that may have no end, as a failed job's. `severity` says what ours are called there.
    """

    url: str
    token: Secret | None = None
    username: str | None = None
    password: Secret | None = None
    severity: dict[Literal["detail", "info", "notice", "warning", "error"], str] = field(default_factory=dict)
    expires: Duration = Duration(days=1)
    timeout: Duration = Duration(seconds=15)

    def __post_init__(self) -> None:
        if problem := url_problem(self.url, EXAMPLE):
            raise ValueError(f"url {problem}".replace("use api_key", "use username and password"))
        if PATH in self.url or urlsplit(self.url).query or urlsplit(self.url).fragment:
            raise ValueError(f"url ends before {PATH}, as in {EXAMPLE}")
        if (self.username is None) != (self.password is None):
            raise ValueError("username and password belong together")
        if self.token is not None and self.username is not None:
            raise ValueError("give token, or username and password, not both")
        if not MINUTE <= self.expires.total_seconds() <= 366 * DAY:
            raise ValueError("expires is a minute at least, and a year at most")
        if wrong := [name for name in self.severity.values() if not name or clean(name, LABEL) != name]:
            raise ValueError(f"{wrong[0]!r} is no label for a severity")

    def problems(self) -> Iterator[tuple[str, str]]:
        """What is wrong with values that only show once secrets are had: (option, sentence)."""
        if self.token is not None and not can_be_sent(self.token.reveal()):
            yield "token", "holds characters that no header may"


class Alertmanager:
    """One Alertmanager."""

    Options: ClassVar[type] = Options
    audience: ClassVar[Audience] = "people"
    retry: ClassVar[RetryPolicy] = RetryPolicy()
    concurrency: ClassVar[int] = 3

    def __init__(self, spec: NotifierSpec, clock: Callable[[], float] = time.time) -> None:
        self._spec = spec
        self._options: Options = spec.options
        self._clock = clock
        self.timeout = self._options.timeout.total_seconds()

    def freeze(self, event: Event) -> None:
        """Nothing: what an event ends hangs on what is open when it is sent."""

    async def send(self, events: Sequence[Event], memory: Memory, *, body: bytes | None = None) -> Result:
        """Posts the alerts that begin and end with an event; `memory` holds what is open, by its labels."""
        (event,) = events
        before, options = Account.read(self._spec.kind, memory), self._options
        if before.is_past(event):
            return Result(Sent("not sent: it was over before it could be told", idle=True))
        alerts, account = self._alerts(event, before)
        remembered = account.memory if account != before else None
        if not alerts:
            return Result(Sent("not sent: it opens and closes nothing", idle=True), remembered)
        try:
            token = options.token.reveal() if options.token else None
            password = options.password.reveal() if options.password else None
        except LookupError as error:
            return Result(Rejected(str(error)))
        outcome = await post_json(
            self._spec.client,
            options.url.rstrip("/") + PATH,
            alerts,
            headers=authorization(token, options.username, password),
            deadline=self.timeout,
            complaint=_complaint,
        )
        if not isinstance(outcome, Sent):
            return Result(outcome)
        names = ", ".join(dict.fromkeys(alert["labels"]["alertname"] for alert in alerts))
        return Result(Sent(f"{outcome.note}: {names}"), remembered)

    def render(self, event: Event) -> str:
        """The JSON as it would be posted, for `ftwatch render`."""
        alerts, _ = self._alerts(event, Account(kind=self._spec.kind))
        if not alerts:
            return f"nothing: {event.type} opens and closes nothing"
        return json.dumps(alerts, indent=2, ensure_ascii=False)

    def _alerts(self, event: Event, before: Account) -> tuple[list[dict[str, Any]], Account]:
        """The alerts to post, ended ones first, and the account after that."""
        bearing, now, message = bearing_of(event), self._clock(), self._spec.compose(event)
        since = min(event.created_at, int(now))
        # An alert that comes again is the same one, whatever the job's labels say by now.
        known = before.open.get(bearing.opens or "")
        labels = known["labels"] if known else self._labels(event, bearing.opens or "", event.severity)
        account, closed = before.after(event, {"labels": labels, "since": since})
        if bearing.is_end and not closed:
            closed = self._supposed(event)
        past = min(event.created_at, int(now) - SKEW)
        alerts = [
            self._alert(event, message, kept["labels"], min(kept["since"], past), past)
            for kept in closed.values()
        ]
        if bearing.opens is not None:
            lasts = LONGEST if bearing.ending == "sure" else self._options.expires.total_seconds()
            if event.type == TEST:
                lasts = TRIAL
            alerts.append(self._alert(event, message, labels, since, int(now + lasts)))
        return alerts, account

    def _alert(
        self, event: Event, message: Message, labels: Mapping[str, str], since: float, until: float
    ) -> dict[str, Any]:
        url = message.link[1] if message.link else ""
        lines = message.text.splitlines()[1:]
        return {
            "labels": labels,
            "annotations": {
                "summary": message.headline,
                "description": "\n".join(lines),
                **({"url": url} if url else {}),
                "event": event.id,
            },
            "startsAt": _moment(since),
            "endsAt": _moment(until),
            **({"generatorURL": url} if _URL.fullmatch(url) else {}),
        }

    def _labels(self, event: Event, problem: str, severity: Severity) -> dict[str, str]:
        """What makes the alert the one it is: ours, and after them the job's own, made valid."""
        data, job = event.data, event.job
        family = event.type.split(".")[1].title() if job is None and event.type.count(".") > 1 else ""
        ours = {
            "alertname": f"{'FineTuningJob' if job else 'Ftwatch' + family}{_camel(problem)}",
            "severity": self._options.severity.get(severity.value, SEVERITIES[severity]),
            "provider": data.provider or "",
            "kind": data.kind or "",
            "job": job.id if job else "",
            "notifier": data.notifier or "",
        }
        labels = {name: clean(value, LABEL) for name, value in ours.items()}
        for name, value in sorted((job.labels if job else {}).items())[:LABELS]:
            labels.setdefault(_label_name(name), clean(value, LABEL))
        return {name: value for name, value in labels.items() if value}

    def _supposed(self, event: Event) -> dict[str, Any]:
        """What an end closes whose beginning is not remembered: who never heard of it takes no notice."""
        closes = bearing_of(event).closes
        return {
            name: {
                "labels": self._labels(event, name, BEGAN.get(name, Severity.WARNING)),
                "since": event.created_at,
            }
            for name in (("failed",) if closes is None else sorted(closes))
        }


def _camel(name: str) -> str:
    return "".join(part.title() for part in re.findall(r"[A-Za-z0-9]+", name))


def _label_name(name: str) -> str:
    """A name that a label may have: no two underscores at its beginning, which are Prometheus's own."""
    plain = re.sub(r"[^A-Za-z0-9_]", "_", name[:LABEL_NAME])
    plain = re.sub(r"^_+", "_", plain)
    return f"_{plain}" if not plain or plain[0].isdigit() else plain


def _moment(seconds: float) -> str:
    return datetime.fromtimestamp(int(seconds), UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def _complaint(answer: Any) -> str | None:
    """Alertmanager's own words: a text, or `{"code": 601, "message": "…"}`."""
    said = answer.get("message") if isinstance(answer, dict) else answer
    return said.strip() if isinstance(said, str) else None
