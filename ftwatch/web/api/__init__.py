"""The JSON API, /api/v1: jobs, events, deliveries, silences, acks; what it offers, and where.

Each question is answered by a function of the store in one of the modules here; what changes something is
done by the daemon's own operations. `openapi.json` beside this folder says the same to programs.
"""

from starlette.convertors import Convertor, register_url_convertor
from starlette.routing import BaseRoute, Route

from ftwatch.web.api import deliveries, events, jobs, silences, whole

__all__ = ["routes"]


class _Whole(Convertor[str]):
    """All that is left of a path, whatever signs are in it; the ids of jobs are strangers' words."""

    regex = r"[\s\S]+"

    def convert(self, value: str) -> str:
        return value

    def to_string(self, value: str) -> str:
        return value


register_url_convertor("whole", _Whole())

routes: list[BaseRoute] = [
    Route("/api/v1/openapi.json", whole.document),
    Route("/api/v1/status", whole.status),
    Route("/api/v1/config", whole.config),
    Route("/api/v1/jobs", jobs.listed),
    Route("/api/v1/jobs/find", jobs.find),
    Route("/api/v1/jobs/look", jobs.discover, methods=["POST"]),
    # Before the job itself, whose id may have any sign in it.
    Route("/api/v1/jobs/{provider}/{id:whole}/ack", jobs.ack, methods=["POST"]),
    Route("/api/v1/jobs/{provider}/{id:whole}/look", jobs.look, methods=["POST"]),
    Route("/api/v1/jobs/{provider}/{id:whole}", jobs.one),
    Route("/api/v1/events", events.listed),
    Route("/api/v1/events/{id}", events.one),
    Route("/api/v1/deliveries", deliveries.listed),
    Route("/api/v1/deliveries/replay", deliveries.replay, methods=["POST"]),
    Route("/api/v1/deliveries/{id}", deliveries.one),
    Route("/api/v1/deliveries/{id}/retry", deliveries.retry, methods=["POST"]),
    Route("/api/v1/deliveries/{id}/drop", deliveries.drop, methods=["POST"]),
    Route("/api/v1/silences", silences.listed_or_added, methods=["GET", "POST"]),
    Route("/api/v1/silences/preview", silences.preview, methods=["POST"]),
    Route("/api/v1/silences/{id}", silences.expire, methods=["DELETE"]),
]
