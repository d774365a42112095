"""The live stream of events, /api/v1/events/stream (server-sent events)."""

from starlette.routing import BaseRoute

__all__ = ["routes"]

routes: list[BaseRoute] = []
