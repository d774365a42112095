"""What Prometheus scrapes. Numbers by provider, notifier and status; nothing here names a job."""

from starlette.routing import BaseRoute

__all__ = ["routes"]

routes: list[BaseRoute] = []
