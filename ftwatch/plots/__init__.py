"""Pictures of how a run went, for messages and terminals. What is drawn is `core.plot`'s affair.

Drawing takes a processor for some milliseconds, so that it has a thread of its own, one picture at a time,
and a limit: no message waits long for its picture, or is lost for want of one.
"""

import anyio
import anyio.to_thread
import structlog
from anyio import CapacityLimiter

from ftwatch.config import PlotsConfig
from ftwatch.core.event import Event
from ftwatch.core.job import JobKey
from ftwatch.core.message import Picture, clean
from ftwatch.core.plot import Plot, is_drawn, plot_of
from ftwatch.plots.image import MISSING, Undrawable, draw, is_possible
from ftwatch.store import Runner, Store
from ftwatch.store.glance import Glance

__all__ = ["Plots"]

log = structlog.get_logger("ftwatch.plots")

# How long a message waits for its picture (seconds).
LIMIT = 10.0
# Among so many of a job's last events the alerts and changes of state are looked for.
STORY = 40


class Plots:
    """Draws for one generation of the daemon."""

    def __init__(self, config: PlotsConfig, store: Store, run: Runner, *, limit: float = LIMIT) -> None:
        self._config = config
        self._store = store
        self._run = run
        self._limit = limit
        self._limiter: CapacityLimiter | None = None
        self._is_drawing = self._is_late = False

    async def picture(self, event: Event) -> tuple[Picture | None, str]:
        """The picture for a message about an event; and why there is none although there should be.

        Raises StoreError.
        """
        if self._config.wanted is False or not is_drawn(event) or event.job is None:
            return None, ""
        if not is_possible():
            return None, MISSING if self._config.wanted else ""
        plot = await self._run(_plot, self._store, event.job.key)
        if plot is None:
            return None, ""
        try:
            return await self._drawn(plot), ""
        except Undrawable as error:
            return None, clean(error, 200)
        except Exception as error:  # a picture may not cost anybody the message
            log.exception("drawing failed", event_id=event.id)
            return None, f"{type(error).__name__} while drawing"

    async def _drawn(self, plot: Plot) -> Picture:
        # A thread cannot be cut off: while one goes on that nobody waits for any more, none is begun.
        if self._is_late and self._is_drawing:
            raise Undrawable("an earlier picture is still being drawn")
        if self._limiter is None:
            self._limiter = CapacityLimiter(1)
        picture: Picture | None = None
        with anyio.move_on_after(self._limit) as scope:
            picture = await anyio.to_thread.run_sync(
                self._draw, plot, limiter=self._limiter, abandon_on_cancel=True
            )
        if picture is None or scope.cancelled_caught:
            self._is_late = True
            raise Undrawable(f"not drawn within {self._limit:g} s")
        self._is_late = False
        return picture

    def _draw(self, plot: Plot) -> Picture:
        """Runs in a thread."""
        self._is_drawing = True
        try:
            return draw(plot, self._config.theme)
        finally:
            self._is_drawing = False


def _plot(store: Store, key: JobKey) -> Plot | None:
    glance = Glance(store.db)
    series = [(point.step, point.at, point.metrics) for point in glance.series(key)]
    if not series:
        return None
    return plot_of(series, store.journals.saved(key), glance.story(key, STORY)[::-1])
