"""Webhooks that come in: proved, remembered once, and either a reason to look at a job now or relayed."""

from starlette.routing import BaseRoute

__all__ = ["routes"]

routes: list[BaseRoute] = []
