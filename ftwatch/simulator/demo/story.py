"""The acts of the demo, each at its second, and what they came to."""

import contextlib
import os
import signal
import socket
import sys
import tempfile
import time
import webbrowser
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import TextIO

import anyio
import anyio.abc
import anyio.to_thread

from ftwatch.core.event import Event, decode
from ftwatch.core.signature import fresh_secret
from ftwatch.simulator.demo import verdict
from ftwatch.simulator.demo.plot import CAST, CONFIG, KINDS, MINUTE, WHILE_DEAD, Part
from ftwatch.simulator.demo.stage import Stage
from ftwatch.simulator.demo.told import About, read
from ftwatch.simulator.dialect import dialect_of
from ftwatch.simulator.receivers import MailSink, SlackSink, WebhookSink
from ftwatch.simulator.upstream import Clock, Upstream
from ftwatch.store import Store, StoreError

__all__ = ["demo"]

AWAY = "together"
# Of the one that goes away people hear that it is watched, that it is not, and that it is again.
ABOUT_PROVIDERS = {**dict.fromkeys(KINDS, 1), AWAY: 3}
# A shorter story (seconds) goes by faster than a daemon that looks every second can follow.
SHORTEST = 30.0
# How long (seconds) a provider stays away after that has been told: less than the pause before ftwatch tries
# again, so that everybody sees it come back soon.
STAYS_AWAY = 1.8


class _Story:
    """One telling of the story."""

    def __init__(self, stage: Stage, folder: Path, seconds: float) -> None:
        self.stage = stage
        self.folder = folder
        self.config = folder / "ftwatch.yaml"
        self._beat = seconds / 60
        clock = Clock(MINUTE / self._beat)
        self._upstreams = {
            kind: Upstream(clock=clock, key=f"simulated-key-of-{kind}", dialect=dialect_of(kind))
            for kind in KINDS
        }
        self._webhook = WebhookSink(fresh_secret(os.urandom(32)), on_arrival=stage.arrived)
        self._slack = SlackSink(on_arrival=stage.arrived)
        self._mail = MailSink(on_arrival=stage.arrived)
        self._daemon: anyio.abc.Process | None = None
        with socket.create_server(("127.0.0.1", 0)) as listener:
            self._port = int(listener.getsockname()[1])

    @property
    def page(self) -> str:
        """Where the daemon's page is, also after it was killed."""
        return f"http://127.0.0.1:{self._port}/"

    # ------------------------------------------------------------------------------------- the world

    @contextlib.asynccontextmanager
    async def world(self) -> AsyncIterator[None]:
        """The simulated outside, the config, and the daemon."""
        async with contextlib.AsyncExitStack() as outside:
            for upstream in self._upstreams.values():
                await outside.enter_async_context(upstream.serving())
            for receiver in (self._webhook, self._slack, self._mail):
                await outside.enter_async_context(receiver.serving())
            self.config.write_text(
                CONFIG.format(
                    providers="\n".join(self._lines_about(kind) for kind in KINDS),
                    webhook=self._webhook.url,
                    slack=self._slack.url,
                    mail=self._mail.port,
                    secret=self._webhook.secret,
                    folder=self.folder,
                    port=self._port,
                )
            )
            await self._start()
            if self.stage.is_watched:
                await anyio.to_thread.run_sync(_show, self.page)
            try:
                yield
            finally:
                with anyio.CancelScope(shield=True):
                    await self._stop(signal.SIGTERM)

    def _lines_about(self, kind: str) -> str:
        """What the config says of a provider."""
        upstream = self._upstreams[kind]
        options = upstream.dialect.options(upstream.url, upstream.key, self.folder)
        lines = [f"    {name}: {value}" for name, value in options.items() if name != "kind"]
        return "\n".join([f"  {kind}:", *lines, "    <<: *hurry"])

    async def _start(self) -> None:
        command = [sys.executable, "-m", "ftwatch", "-c", str(self.config), "run", "--wait-lock", "5s"]
        with (self.folder / "daemon.log").open("ab") as log:
            self._daemon = await anyio.open_process(command, stdout=log, stderr=log)

    async def _stop(self, number: signal.Signals) -> None:
        """Ends the daemon with a signal."""
        if self._daemon is not None and self._daemon.returncode is None:
            self._daemon.send_signal(number)
        if self._daemon is not None:
            await self._daemon.wait()

    # ------------------------------------------------------------------------------------- the acts

    async def tell(self) -> None:
        """The acts, each at its second."""
        # What the daemon finds at its first look around is no news.
        await self._heard(*((kind, "") for kind in KINDS))
        await self.stage.act(
            "Jobs are created at all three; their own words for the same states stand in brackets."
        )
        began = time.monotonic()

        async def at(second: float) -> None:
            await anyio.sleep(max(0.0, began + second * self._beat - time.monotonic()))

        async with anyio.create_task_group() as group:
            for part in CAST:
                group.start_soon(self._live, part, at)
            await at(15.5)
            await self._a_provider_goes_away()
            await at(27)
            await self._a_receiver_goes_down(lambda: at(35))
            await at(40)
            await self._the_daemon_is_killed(lambda: at(43))
        await at(51)
        await _until(lambda: not self.lost())

    async def _live(self, part: Part, at: Callable[[float], Awaitable[None]]) -> None:
        """One job: it is created at its second, and lives by its table from then on."""
        await at(part.born)
        self._create(part)

    def _create(self, part: Part) -> None:
        self._upstreams[part.kind].create(part.script, suffix=part.name)

    async def _a_provider_goes_away(self) -> None:
        place = self._upstreams[AWAY].place
        await place.down()
        await self.stage.act(f"{AWAY} goes away. The other two go on unhindered.")
        await self._heard((AWAY, ""), times=2)
        await anyio.sleep(STAYS_AWAY)
        await self.stage.act(
            "It is back. Meanwhile a job ran and failed there; only its log still tells that it ran."
        )
        await place.up()
        await self._heard((AWAY, ""), times=3)

    async def _a_receiver_goes_down(self, later: Callable[[], Awaitable[None]]) -> None:
        await self._webhook.place.down()
        await self.stage.act("The webhook receiver goes down. Slack and mail do not mind.")
        await later()
        await self.stage.act("It is back, and gets what it missed, in order.")
        await self._webhook.place.up()

    async def _the_daemon_is_killed(self, later: Callable[[], Awaitable[None]]) -> None:
        await self._stop(signal.SIGKILL)
        await self.stage.act(
            f"The daemon is killed with SIGKILL. Meanwhile a job, {WHILE_DEAD.name}, comes, runs and ends …"
        )
        self._create(WHILE_DEAD)
        await later()
        await self.stage.act("… and started again. It goes on where it was, and finds what it did not see.")
        await self._start()

    async def _heard(self, *about: About, times: int = 1) -> None:
        """Waits until people have heard of each of these so often."""
        await _until(lambda: all(spoke[one] >= times for spoke in self._people().values() for one in about))

    # ------------------------------------------------------------------------------------- the verdict

    def lost(self) -> list[str]:
        """What happened and was not told, or not as it happened: a sentence for each."""
        return verdict.lost(self._lives(), ABOUT_PROVIDERS, self._events(), self._people())

    def _lives(self) -> list[verdict.Life]:
        """What truly happened."""
        return [
            verdict.life(upstream.dialect, job, upstream.now())
            for upstream in self._upstreams.values()
            for job in upstream.jobs.values()
        ]

    def _events(self) -> list[Event]:
        return [decode(arrival.body) for arrival in self._webhook.arrivals]

    def _people(self) -> dict[str, Counter[About]]:
        """How often each channel of people's was told of what; a letter that comes twice counts once."""
        letters = {one.id: one for one in self._mail.arrivals}.values()
        found = {"slack": self._slack.arrivals, "mail": letters}
        return {channel: Counter(read(one).about for one in came) for channel, came in found.items()}

    def summary(self) -> bool:
        """Prints what it came to; says whether all is well."""
        stage, lost = self.stage, self.lost()
        stage.line()
        stage.line(stage.style("  One word for a state, whatever each provider calls it", "story"))
        for row in [("ftwatch", *KINDS), *verdict.vocabulary(self._events(), KINDS)]:
            stage.line("  " + "".join(f"{word or '–':<20}" for word in row).rstrip())
        stage.line()
        stage.line(stage.style("  What it came to", "story"))
        for label, value in self._figures():
            stage.line(f"  {label:<20}{value}")
        fine = not (lost or self._refused() or self._contradicting())
        stage.line(f"  {'lost':<20}{stage.style(str(len(lost)), 'good' if fine else 'bad')}")
        for sentence in lost:
            stage.line(f"    {sentence}")
        stage.line()
        return fine

    def _figures(self) -> list[tuple[str, str]]:
        """What there was of everything, and how often."""
        lives, webhooks = self._lives(), self._webhook.arrivals
        ids = {one.id for one in webhooks}
        proven = {one.id for one in self._events() if one.data.skipped is True and one.status}
        retries = 0
        with contextlib.suppress(StoreError):
            store = Store(self.folder / "ftwatch.db", mode="read")
            retries = store.history.outcomes().get("retry", 0)
            store.close()
        same = "same id, other bytes" if self._contradicting() else "same id, same bytes"
        return [
            ("jobs", f"{len(lives)} at {len(KINDS)} providers"),
            ("transitions", f"{sum(len(one.statuses) for one in lives)}"),
            ("between two looks", f"{len(proven)} of them (proven by the jobs' own logs)"),
            ("webhooks", f"{len(ids)} (every signature verified)"),
            ("Slack messages", f"{len(self._slack.arrivals)}"),
            ("letters", f"{len({one.id for one in self._mail.arrivals})}"),
            ("retries", f"{retries}"),
            ("repeated messages", f"{len(webhooks) - len(ids)} ({same})"),
            ("forged or refused", f"{self._refused()}"),
        ]

    def _refused(self) -> int:
        """How many messages a receiver found forged or broken."""
        return len(self._webhook.refused) + len(self._slack.refused)

    def _contradicting(self) -> bool:
        """Whether a webhook came again with other bytes under the same id."""
        bodies = {(one.id, one.digest) for one in self._webhook.arrivals}
        return len(bodies) > len({id for id, _ in bodies})


def _show(page: str) -> None:
    """Opens a page for whoever has a desktop to look at it; a browser in the terminal would be in the way."""
    if os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY"):
        webbrowser.open(page)


async def _until(true: Callable[[], bool]) -> None:
    """Waits until something is true, some seconds at most; the mail server's thread cannot ring a bell."""
    with anyio.move_on_after(20):
        while not true():  # noqa: ASYNC110
            await anyio.sleep(0.1)


async def demo(*, keep: bool, seconds: float = 60.0, out: TextIO) -> int:
    """Tells the story in about so many seconds, 30 at least; 0 if nothing was lost.

    `keep` stays up afterwards.
    """
    stage = Stage(out)
    stage.line(
        stage.style("ftwatch demo", "story") + ": three simulated providers, the real daemon, one minute."
    )
    with tempfile.TemporaryDirectory(prefix="ftwatch-demo-") as folder:
        story = _Story(stage, Path(folder), max(seconds, SHORTEST))
        stage.line(f"Its page: {stage.style(story.page, 'story')}")
        stage.header()
        async with story.world():
            async with stage.open():
                await story.tell()
            fine = story.summary()
            log = (Path(folder) / "daemon.log").read_text("utf-8", "replace").strip()
            if not fine and log:
                stage.line(log[-2000:])
            if keep:
                stage.line(f"It stays up until Ctrl-C: {story.page}, or  ftwatch -c {story.config} status")
                await anyio.sleep_forever()
        if not keep:
            stage.line("Next:  ftwatch init   (finds your keys, and writes your first config)")
    return 0 if fine else 1
