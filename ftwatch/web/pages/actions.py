"""What can be done from a page, as requests to the JSON API; whether one may is the API's affair."""

import json
from urllib.parse import quote

from ftwatch.core.delivery import Delivery
from ftwatch.core.job import Snapshot
from ftwatch.web.pages.shown import Action, in_path

__all__ = ["ack_of", "drop_of", "expire_of", "retry_all", "retry_of", "silence_of"]

API = "/api/v1"


def silence_of(job: Snapshot) -> Action:
    """Nobody hears of this job for two hours."""
    return Action(
        label="Silence 2 h",
        path=f"{API}/silences",
        body=json.dumps({"job": str(job.key), "for": "2h"}, ensure_ascii=False),
        done="It is silent for two hours",
    )


def ack_of(job: Snapshot) -> Action:
    """Somebody knows of what is open about this job."""
    return Action(
        label="Acknowledge",
        path=f"{API}/jobs/{in_path(job.key)}/ack",
        done="It is acknowledged",
    )


def expire_of(id: str) -> Action:
    """A silence ends now."""
    return Action(
        label="Expire",
        path=f"{API}/silences/{quote(id, safe='')}",
        method="DELETE",
        done="The silence is over",
    )


def retry_of(delivery: Delivery) -> Action:
    """A dead letter goes out once more."""
    return Action(
        label="Replay",
        path=f"{API}/deliveries/{quote(delivery.id, safe='')}/retry",
        done=f"It goes out to {delivery.notifier} once more",
    )


def retry_all(notifier: str, count: int) -> Action:
    """Every dead letter of a notifier goes out once more."""
    return Action(
        label=f"Replay all {count:,} to {notifier}",
        path=f"{API}/deliveries/replay",
        body=json.dumps({"notifier": notifier, "since": 0, "dead": True}),
        done=f"All dead letters go out to {notifier} once more",
        sure=f"Send {count:,} once more?",
    )


def drop_of(delivery: Delivery) -> Action:
    """A dead letter is given up."""
    return Action(
        label="Drop",
        path=f"{API}/deliveries/{quote(delivery.id, safe='')}/drop",
        done="It is dropped",
        sure="Drop it for good?",
    )
