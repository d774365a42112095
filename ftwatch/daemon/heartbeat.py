"""The dead man's switch: a sign of life to somebody else, as long as all is well. Their alarm is our silence.

Ready is what `/readyz` calls so. The address is a secret, since whoever knows it can give the sign.
"""

from typing import TYPE_CHECKING

import structlog

from ftwatch.client import Client, Unreachable
from ftwatch.config import WebConfig
from ftwatch.plugins import Secret

if TYPE_CHECKING:
    from ftwatch.web import House

__all__ = ["Heartbeat"]

log = structlog.get_logger("ftwatch.daemon.heartbeat")

DEADLINE = 10.0
# How soon (seconds) it is tried again while it is not ready, or nobody answered.
AGAIN = 10.0


class Heartbeat:
    """Gives the sign of life; keeps its time from one generation to the next."""

    def __init__(self, house: "House") -> None:
        self._house = house
        self._due = 0.0
        self._failing = False

    async def run(self, client: Client, web: WebConfig | None) -> None:
        """Gives it for as long as this config is in force; returns at once where it wants none."""
        if web is None or web.heartbeat_url is None:
            return
        # Whoever has no web need not load it.
        from ftwatch.web.health import Examiner

        clock, examiner = self._house.clock, Examiner(self._house)
        while True:
            await clock.sleep(max(self._due - clock.ticks(), 0.0))
            health = await examiner.examine()
            given = health.is_ready and await self._give(client, web.heartbeat_url)
            self._due = clock.ticks() + (web.heartbeat if given else min(web.heartbeat, AGAIN))

    async def _give(self, client: Client, url: Secret) -> bool:
        """Asks for the address once; whether it was heard."""
        try:
            answer = await client.request("GET", url.reveal(), deadline=DEADLINE, head_is_enough=True)
            problem = None if answer.ok else f"HTTP {answer.status}"
        except Unreachable as error:
            problem = error.reason
        if problem is not None and not self._failing:
            log.warning("the heartbeat was not heard", error=problem)
        elif problem is None and self._failing:
            log.info("the heartbeat is heard again")
        self._failing = problem is not None
        return not self._failing
