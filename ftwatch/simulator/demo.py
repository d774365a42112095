"""The story of `ftwatch demo`: one minute, no key, and nothing lost.

The provider and the receivers are simulated; the daemon is the real one, a process of its own, started from a
real config. What it told is compared with what truly happened, job by job.
"""

import contextlib
import os
import shutil
import signal
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import TextIO

import anyio
import anyio.abc

from ftwatch.core import event as events
from ftwatch.core.event import decode
from ftwatch.core.message import compose
from ftwatch.core.signature import fresh_secret
from ftwatch.simulator.receivers import Arrival, MailSink, SlackSink, WebhookSink
from ftwatch.simulator.script import Script
from ftwatch.simulator.upstream import Clock, Upstream
from ftwatch.store import Store, StoreError

__all__ = ["demo"]

CONFIG = """\
# Written by `ftwatch demo`: what you would write for yourself looks just like this.
providers:
  openai:
    base_url: {upstream}
    api_key: sk-simulated-key
    poll: 1s
    discover: 1s
    rate: 6000/min
notifiers:
  pipeline: {{kind: webhook, url: "{webhook}", secret: {secret}, retry: {{waits: [1s, 2s], throttle: 1s}}}}
  slack: {{webhook_url: "{slack}", retry: {{waits: [1s, 2s], drain: 20/s}}}}
  mail:
    kind: email
    host: 127.0.0.1
    port: {mail}
    security: plain
    from: ftwatch@example.com
    to: [you@example.com]
    retry: {{waits: [1s, 2s]}}
routes:
  - notify: [slack, mail]
  - match: {{type: "fine_tuning.*"}}
    notify: [pipeline]
store: {{path: {folder}/ftwatch.db}}
socket: {folder}/ftwatch.sock
log: {{level: error}}
"""

# Seconds of the story (of sixty), and what the job is by then.
LIVES = {
    "support-bot": (1, ((0, "validating_files"), (4, "queued"), (8, "running"), (32, "succeeded"))),
    "triage": (1, ((0, "validating_files"), (4, "queued"), (9, "running"), (38, "succeeded"))),
    "summariser": (3, ((0, "validating_files"), (4, "queued"), (8, "running"), (21, "failed"))),
    "translator": (6, ((0, "queued"), (5, "running"), (14, "paused"), (26, "running"), (42, "succeeded"))),
    "experiment": (12, ((0, "queued"), (5, "running"), (13, "cancelled"))),
    "night-run": (34, ((0, "validating_files"), (4, "queued"), (8, "running"), (16, "succeeded"))),
}
ERROR = {
    "code": "invalid_training_file",
    "message": "Line 17 of the training file is not valid JSON.",
    "param": "training_file",
}
# One second of the story is a minute to the jobs.
MINUTE = 60.0
# What people are told of without asking for more.
LOUD = {"running", "paused", "succeeded", "failed", "cancelled"}
STYLES = {"webhook": "36", "slack": "35", "mail": "34", "story": "1", "good": "32", "bad": "31", "dim": "2"}


class _Stage:
    """The terminal: one line a thing, with the second of the story at its beginning."""

    def __init__(self, out: TextIO) -> None:
        self._out = out
        self._began = time.monotonic()
        self._colours = out.isatty() and not os.environ.get("NO_COLOR")
        self._width = min(shutil.get_terminal_size((100, 24)).columns, 100)

    def style(self, text: str, name: str) -> str:
        """The text in a style, where there are colours."""
        return f"\x1b[{STYLES[name]}m{text}\x1b[0m" if self._colours else text

    def line(self, text: str = "") -> None:
        """Any line."""
        self._out.write(text + "\n")
        self._out.flush()

    def act(self, text: str) -> None:
        """What happens now, in one sentence."""
        self.line()
        self.line(f"{self._now()}  {self.style('● ' + text, 'story')}")

    def told(self, channel: str, text: str) -> None:
        """Something arrived."""
        room = self._width - 20
        short = text if len(text) <= room else text[: room - 1] + "…"
        self.line(f"{self._now()}  {self.style(f'{channel:<8}', channel)}  {short}")

    def _now(self) -> str:
        return self.style(f"{time.monotonic() - self._began:5.1f}s", "dim")


class _Story:
    """One telling of the story."""

    def __init__(self, stage: _Stage, folder: Path, seconds: float) -> None:
        self.stage = stage
        self.folder = folder
        self.beat = seconds / 60
        secret = fresh_secret(os.urandom(32))
        self.upstream = Upstream(clock=Clock(MINUTE / self.beat), key="sk-simulated-key")
        self.webhook = WebhookSink(secret, on_arrival=self.arrived)
        self.slack = SlackSink(on_arrival=self.arrived)
        self.mail = MailSink(on_arrival=self.arrived)
        self.config = folder / "ftwatch.yaml"
        self._daemon: anyio.abc.Process | None = None
        self._seen: set[str] = set()

    def arrived(self, arrival: Arrival) -> None:
        """Shows what a receiver got."""
        again = arrival.id in self._seen
        self._seen.add(arrival.id)
        if arrival.sink == "webhook":
            text = compose(decode(arrival.body)).title
        elif arrival.sink == "slack":
            text = arrival.what["text"]
        else:
            text = arrival.headers.get("subject", "")
        self.stage.told(arrival.sink, text + ("  (again, the same message)" if again else ""))

    @contextlib.asynccontextmanager
    async def world(self) -> AsyncIterator[None]:
        """The simulated outside, the config, and the daemon."""
        async with (
            self.upstream.serving(),
            self.webhook.serving(),
            self.slack.serving(),
            self.mail.serving(),
        ):
            self.config.write_text(
                CONFIG.format(
                    upstream=self.upstream.url,
                    webhook=self.webhook.url,
                    slack=self.slack.url,
                    mail=self.mail.port,
                    secret=self.webhook.secret,
                    folder=self.folder,
                )
            )
            await self.start()
            try:
                yield
            finally:
                with anyio.CancelScope(shield=True):
                    await self.stop(signal.SIGTERM)

    async def start(self) -> None:
        """Starts the daemon."""
        command = [sys.executable, "-m", "ftwatch", "-c", str(self.config), "run", "--wait-lock", "5s"]
        with (self.folder / "daemon.log").open("ab") as log:
            self._daemon = await anyio.open_process(command, stdout=log, stderr=log)

    async def stop(self, number: signal.Signals) -> None:
        """Ends the daemon with a signal."""
        if self._daemon is not None and self._daemon.returncode is None:
            self._daemon.send_signal(number)
        if self._daemon is not None:
            await self._daemon.wait()

    async def tell(self) -> None:
        """The acts, each at its second."""
        stage = self.stage
        await self._listening()
        stage.act("Five jobs are created, one after another: they wait, and run.")
        began = time.monotonic()

        async def at(second: float) -> None:
            await anyio.sleep(max(0.0, began + second * self.beat - time.monotonic()))

        async with anyio.create_task_group() as group:
            for name, (born, states) in LIVES.items():
                group.start_soon(self._live, at, name, born, states)
            await at(22)
            stage.act("The network goes away. One job fails meanwhile, another is cancelled.")
            await self.upstream.place.down()
            await at(26.5)
            stage.act("The network is back: what happened is told now.")
            await self.upstream.place.up()
            await at(31)
            stage.act("The webhook receiver goes down. Slack and mail do not mind.")
            await self.webhook.place.down()
            await at(38.5)
            stage.act("It is back, and gets what it missed, in order.")
            await self.webhook.place.up()
            await at(41)
            stage.act("The daemon is killed with SIGKILL, in the middle of its work …")
            await self.stop(signal.SIGKILL)
            await at(43.5)
            stage.act("… and started again. It goes on where it was.")
            await self.start()
        await at(51)
        await _until(lambda: not self.lost())

    async def _live(
        self,
        at: Callable[[float], Awaitable[None]],
        name: str,
        born: float,
        states: tuple[tuple[float, str], ...],
    ) -> None:
        """One job: it is created at its second, and lives by its table from then on."""
        await at(born)
        script = Script(name, tuple((MINUTE * after, status) for after, status in states), ERROR)
        self.upstream.create(script, suffix=name, metadata={"team": "demo"})

    async def _listening(self) -> None:
        """Waits until the daemon has looked around: what it finds first is no news."""
        await _until(lambda: bool(self.slack.arrivals and self.mail.arrivals))

    # ------------------------------------------------------------------------------------- the verdict

    def truth(self) -> dict[str, list[str]]:
        """What truly happened: every job's statuses in order."""
        found: dict[str, list[str]] = defaultdict(list)
        for one in self.upstream.history():
            found[one.job].append(one.status)
        return found

    def lost(self) -> list[str]:
        """What happened and was not told, or not in its order, by channel."""
        truth, told = self.truth(), defaultdict(list)
        for arrival in {one.id: one for one in reversed(self.webhook.arrivals)}.values():
            event = decode(arrival.body)
            if event.status is not None and event.type.startswith(events.JOB):
                told[event.data.id].append((event.data.sequence, str(event.status)))
        missing = []
        for job, statuses in truth.items():
            said = [status for _, status in sorted(told[job])]
            missing += ["webhook"] * (len(statuses) - len(said) if said != statuses else 0)
            missing += ["webhook"] * (said != statuses and len(said) >= len(statuses))
        loud = sum(1 + sum(status in LOUD for status in statuses[1:]) for statuses in truth.values())
        letters = {one.id for one in self.mail.arrivals if "x-ftwatch-event" in one.headers}
        # The summary of the baseline goes to people, too.
        missing += ["mail"] * max(0, loud + 1 - len(letters))
        missing += ["slack"] * max(0, loud + 1 - len(self.slack.arrivals))
        return missing

    def summary(self) -> bool:
        """Prints what it came to; says whether all is well."""
        stage, truth, lost = self.stage, self.truth(), self.lost()
        ids = {one.id for one in self.webhook.arrivals}
        retries = 0
        with contextlib.suppress(StoreError):
            store = Store(self.folder / "ftwatch.db", mode="read")
            retries = store.history.outcomes().get("retry", 0)
            store.close()
        stage.line()
        stage.line(stage.style("  What it came to", "story"))
        rows = [
            ("jobs", f"{len(truth)}"),
            ("transitions", f"{sum(len(statuses) for statuses in truth.values())}"),
            ("webhooks", f"{len(ids)} (every signature verified)"),
            ("Slack messages", f"{len(self.slack.arrivals)}"),
            ("letters", f"{len({one.id for one in self.mail.arrivals})}"),
            ("retries", f"{retries}"),
            ("repeated messages", f"{len(self.webhook.arrivals) - len(ids)} (same id, same bytes)"),
            ("forged or refused", f"{len(self.webhook.refused) + len(self.slack.refused)}"),
        ]
        for label, value in rows:
            stage.line(f"  {label:<20}{value}")
        fine = not lost and not self.webhook.refused and not self.slack.refused
        stage.line(f"  {'lost':<20}{stage.style(str(len(lost)), 'good' if fine else 'bad')}")
        stage.line()
        return fine


async def _until(true: Callable[[], bool]) -> None:
    """Waits until something is true, some seconds at most; the mail server's thread cannot ring a bell."""
    with anyio.move_on_after(20):
        while not true():  # noqa: ASYNC110
            await anyio.sleep(0.1)


async def demo(*, keep: bool, seconds: float = 60.0, out: TextIO) -> int:
    """Tells the story in about so many seconds; 0 if nothing was lost. `keep` stays up afterwards."""
    stage = _Stage(out)
    with tempfile.TemporaryDirectory(prefix="ftwatch-demo-") as folder:
        story = _Story(stage, Path(folder), seconds)
        stage.line(
            stage.style("ftwatch demo", "story") + ": a simulated provider, the real daemon, one minute."
        )
        async with story.world():
            await story.tell()
            fine = story.summary()
            log = (Path(folder) / "daemon.log").read_text("utf-8", "replace").strip()
            if not fine and log:
                stage.line(log[-2000:])
            if keep:
                stage.line(f"It stays up until Ctrl-C. Try:  ftwatch -c {story.config} status")
                await anyio.sleep_forever()
        if not keep:
            stage.line("Next:  ftwatch init   (finds your keys, and writes your first config)")
    return 0 if fine else 1
