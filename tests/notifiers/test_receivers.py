"""The ready examples in config/: what each posts, to the letter, as its receiver's documentation wants it."""

import base64
import json
from collections.abc import Callable
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest

from ftwatch import config
from ftwatch.client import Client
from ftwatch.core.delivery import Sent
from ftwatch.core.event import Event, encode
from ftwatch.core.message import compose
from ftwatch.core.reach import conditions
from ftwatch.core.sample import SAMPLES, sample
from ftwatch.notifiers.webhook import frozen
from ftwatch.plugins import NotifierSpec, Secret, load_kind

FOLDER = Path(__file__).parents[2] / "config"
VALUES = {
    "GITHUB_TOKEN": "github-token-1",
    "GITLAB_TRIGGER_TOKEN": "glptt-token-2",
    "ARGO_EVENTS_TOKEN": "argo-token-3",
    "PAGERDUTY_ROUTING_KEY": "e93facc04764012d7bfb002500d5d1a6",
    "ALERTMANAGER_PASSWORD": "alert-password-5",
}
# What every request has besides.
USUAL = {
    *("host", "accept", "accept-encoding", "connection", "user-agent", "content-length", "content-type"),
    "webhook-id",
}
MODEL = "ft:gpt-4.1-mini-2025-04-14:acme:support-bot-v7:9aBcDeFg"
URL = "https://platform.openai.com/finetune/ftjob-sample4w9Zq2"
BASIC = f"Basic {base64.b64encode(b'ftwatch:alert-password-5').decode()}"


def wire(name: str) -> Any:
    return json.loads(encode(sample(name)))


def text(name: str) -> str:
    return compose(sample(name)).text


def incident(name: str, action: str, key: str, severity: str, at: str, **more: Any) -> dict[str, Any]:
    """An event of PagerDuty's."""
    event = sample(name)
    return {
        "routing_key": VALUES["PAGERDUTY_ROUTING_KEY"],
        "event_action": action,
        "dedup_key": key,
        "payload": {
            "summary": compose(event).title,
            "source": "openai-prod",
            "component": event.data.id,
            "class": event.type,
            "severity": severity,
            "timestamp": at,
            "custom_details": {"text": text(name)},
        },
        "links": [{"href": URL, "text": "Open the job"}],
        "client": "ftwatch",
        **more,
    }


def alert(name: str, alertname: str, starts: str, ends: str, url: str = URL) -> list[dict[str, Any]]:
    """Alerts of Alertmanager's."""
    event = sample(name)
    return [
        {
            "labels": {
                "alertname": alertname,
                "provider": "openai-prod",
                "id": event.data.id,
                "severity": "warning",
            },
            "annotations": {"summary": compose(event).title, "description": text(name)},
            "generatorURL": url,
            "startsAt": starts,
            "endsAt": ends,
        }
    ]


GITHUB = {
    "authorization": "Bearer github-token-1",
    "accept": "application/vnd.github+json",
    "x-github-api-version": "2022-11-28",
}
JOB, STUCK = "openai-prod/ftjob-sample4w9Zq2", "openai-prod/ftjob-sample4w9Zq2/stuck"
END, NOW, TOMORROW = "2026-11-22T22:49:48Z", "2026-11-22T22:50:00Z", "2026-11-23T22:50:00Z"

POSTS = [
    (
        "github-actions",
        "succeeded",
        GITHUB,
        {
            "event_type": "fine-tuning-succeeded",
            "client_payload": {"model": MODEL, "event": wire("succeeded")["data"]},
        },
    ),
    (
        "github-actions",
        "failed",
        GITHUB,
        {
            "event_type": "fine-tuning-failed",
            "client_payload": {"model": None, "event": wire("failed")["data"]},
        },
    ),
    (
        "gitlab-pipeline",
        "succeeded",
        {},
        {
            "token": "glptt-token-2",
            "ref": "main",
            "variables": {
                "FT_STATUS": "succeeded",
                "FT_PROVIDER": "openai-prod",
                "FT_JOB": "ftjob-sample4w9Zq2",
                "FT_MODEL": MODEL,
                "FT_BASE_MODEL": "gpt-4.1-mini-2025-04-14",
            },
        },
    ),
    (
        "argo-events",
        "cancelled",
        {"authorization": "Bearer argo-token-3"},
        {
            "type": "fine_tuning.job.cancelled",
            "provider": "openai-prod",
            "job": "ftjob-sample4w9Zq2",
            "model": None,
            "labels": {"env": "prod", "team": "search"},
            "event": wire("cancelled"),
        },
    ),
    ("pagerduty", "failed", {}, incident("failed", "trigger", JOB, "error", END)),
    ("pagerduty", "succeeded", {}, incident("succeeded", "resolve", JOB, "info", END)),
    ("pagerduty", "stuck", {}, incident("stuck", "trigger", STUCK, "warning", NOW)),
    ("pagerduty", "stuck-resolved", {}, incident("stuck-resolved", "resolve", STUCK, "info", NOW)),
    (
        "pagerduty",
        "degraded",
        {},
        incident("degraded", "trigger", "openai-prod/openai-prod", "warning", NOW, links=[]),
    ),
    (
        "alertmanager",
        "failed",
        {"authorization": BASIC},
        alert("failed", "fine_tuning.job.failed", END, "2026-11-23T22:49:48Z"),
    ),
    (
        "alertmanager",
        "stuck",
        {"authorization": BASIC},
        alert("stuck", "fine_tuning.alert.stuck", NOW, TOMORROW),
    ),
    (
        "alertmanager",
        "stuck-resolved",
        {"authorization": BASIC},
        alert("stuck-resolved", "fine_tuning.alert.stuck", NOW, NOW),
    ),
    (
        "alertmanager",
        "recovered",
        {"authorization": BASIC},
        alert("recovered", "ftwatch.provider.degraded", NOW, NOW, url=""),
    ),
]


def loaded(file: str) -> Any:
    return config.load(FOLDER / f"{file}.yaml", environ={"HOME": "/home/me", **VALUES})


@pytest.mark.parametrize(("file", "name", "headers", "body"), POSTS, ids=[f"{p[0]} {p[1]}" for p in POSTS])
async def test_a_ready_example_posts(
    kit: Any, file: str, name: str, headers: dict[str, str], body: Any
) -> None:
    (notifier,) = loaded(file).notifiers.values()
    async with kit.receiving() as there, Client() as client:
        options = replace(notifier.options, url=Secret(there.url))
        found = load_kind("notifier", "webhook")
        hook = found(NotifierSpec(name=notifier.name, kind="webhook", options=options, client=client))
        event = sample(name)
        assert (await hook.send([event], {}, body=hook.freeze(event))).outcome == Sent("HTTP 200")
    ((first, sent, content),) = there.requests
    assert first == "POST /hook HTTP/1.1"
    assert json.loads(content) == body
    assert {name: value for name, value in sent.items() if name not in USUAL - headers.keys()} == headers
    assert sent["content-type"] == "application/json"


# What each receiver refuses, by its documentation.


def is_dispatch(body: Any) -> bool:
    """GitHub: POST /repos/{owner}/{repo}/dispatches."""
    assert body.keys() == {"event_type", "client_payload"}
    assert 0 < len(body["event_type"]) <= 100
    assert len(body["client_payload"]) <= 10
    return len(json.dumps(body["client_payload"])) < 64 * 1024


def is_trigger(body: Any) -> bool:
    """GitLab: POST /projects/:id/trigger/pipeline takes variables that are texts."""
    assert body["token"]
    assert body["ref"]
    return all(isinstance(value, str) for value in body["variables"].values())


def is_event(body: Any) -> bool:
    """Argo Events takes any JSON object."""
    return isinstance(body, dict)


def is_incident(body: Any) -> bool:
    """PagerDuty: Events API v2."""
    assert body["event_action"] in ("trigger", "acknowledge", "resolve")
    assert len(body["dedup_key"]) <= 255
    assert 0 < len(body["payload"]["summary"]) <= 1024
    assert body["payload"]["source"]
    assert datetime.fromisoformat(body["payload"]["timestamp"]).tzinfo
    assert all(link["href"].startswith("https://") for link in body["links"])
    return body["payload"]["severity"] in ("critical", "error", "warning", "info")


def is_alerts(body: Any) -> bool:
    """Alertmanager: POST /api/v2/alerts."""
    for one in body:
        assert one["labels"]["alertname"]
        assert all(isinstance(value, str) for value in (one["labels"] | one["annotations"]).values())
        assert datetime.fromisoformat(one["startsAt"]) <= datetime.fromisoformat(one["endsAt"])
    return len(body) == 1


RECEIVERS: dict[str, tuple[str, Callable[[Any], bool]]] = {
    "github-actions": ("https://api.github.com/repos/acme/models/dispatches", is_dispatch),
    "gitlab-pipeline": ("https://gitlab.example.com/api/v4/projects/42/trigger/pipeline", is_trigger),
    "argo-events": ("https://argo-events.example.com/fine-tuning", is_event),
    "pagerduty": ("https://events.pagerduty.com/v2/enqueue", is_incident),
    "alertmanager": ("https://alertmanager.example.com/api/v2/alerts", is_alerts),
}


@pytest.mark.parametrize("file", RECEIVERS)
def test_whatever_comes_is_what_the_receiver_takes(file: str, hostile: Event) -> None:
    made, (url, takes) = loaded(file), RECEIVERS[file]
    assert made.warnings == ()
    (notifier,), (recipient,) = made.notifiers.values(), made.routing.recipients
    events = [sample(name) for name in SAMPLES if conditions(sample(name), recipient, made.routing)]
    assert {sample(post[1]).id for post in POSTS if post[0] == file} <= {event.id for event in events}
    assert notifier.options.url.reveal() == url
    for event in (*events, hostile):
        body = frozen.complete(notifier.options.form.freeze(event), notifier.options.body.tree)
        assert takes(json.loads(body)), event.type


def test_what_opens_is_what_is_closed() -> None:
    """An alert's beginning and its end have one name, and different things have different ones."""
    for file, key in (("pagerduty", "dedup_key"), ("alertmanager", "labels")):
        (notifier,) = loaded(file).notifiers.values()

        def named(name: str, form: Any = notifier.options.form, key: str = key) -> Any:
            tree = form.fill(sample(name))
            return (tree[0] if isinstance(tree, list) else tree)[key]

        assert named("stuck") == named("stuck-resolved")
        assert named("degraded") == named("recovered")
        assert named("failed") != named("stuck")
    (notifier,) = loaded("pagerduty").notifiers.values()
    assert (
        len({notifier.options.form.fill(sample(n))["dedup_key"] for n in ("failed", "succeeded", "gone")})
        == 1
    )
