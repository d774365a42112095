"""The JSON API, /api/v1: jobs, events, deliveries, silences, acks."""

from starlette.routing import BaseRoute

__all__ = ["routes"]

routes: list[BaseRoute] = []
