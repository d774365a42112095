"""The main job, end to end: fifty jobs, three channels, a kill -9 and a dead receiver in the middle.

The `openai` package itself creates the jobs on the simulated provider; the real daemon tells of them to a
webhook receiver, a mail server and a Slack-shaped sink. Then every webhook is put before the three published
verifiers, and what arrived is compared with what truly happened, job by job and in order.

    python bench/acceptance.py [--jobs 50] [--dead 60]
"""

import argparse
import contextlib
import json
import random
import signal
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path
from typing import Any

import anyio
import anyio.to_thread
import openai
from standardwebhooks.webhooks import Webhook as StandardWebhook
from svix.webhooks import Webhook as SvixWebhook

from ftwatch.simulator.receivers import MailSink, SlackSink, WebhookSink
from ftwatch.simulator.upstream import Clock, Upstream

SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSwMfKQ9r8GKYo="
KEY = "sk-acceptance-0001"
CONFIG = """
providers:
  sim: {{kind: openai, api_key: {key}, base_url: "{upstream}", poll: 1s, discover: 1s, rate: 6000/min}}
notifiers:
  hook: {{kind: webhook, url: "{hook}", secret: "{secret}", retry: {{waits: [1s, 2s]}}}}
  slack: {{webhook_url: "{slack}", retry: {{waits: [1s, 2s], drain: 50/s}}}}
  mail:
    kind: email
    host: 127.0.0.1
    port: {mail}
    security: plain
    from: "ftwatch <ft@example.com>"
    to: [ml@example.com]
routes:
  - notify: [slack, mail]
  - match: {{type: "fine_tuning.*"}}
    notify: [hook]
rules: {{retiring: false}}
store: {{path: "{folder}/ftwatch.db"}}
socket: "{folder}/ftwatch.sock"
log: {{level: error}}
"""
WORDS = {
    "running": "is running",
    "paused": "is paused",
    "succeeded": "succeeded",
    "failed": "failed",
    "cancelled": "was cancelled",
}
SCRIPTS = ["happy", "happy", "fails", "cancelled", "paused", "invalid"]


async def until(true: Callable[[], bool], seconds: float) -> bool:
    """Waits until something is true; False when the time is over."""
    with anyio.move_on_after(seconds):
        while not true():  # noqa: ASYNC110
            await anyio.sleep(0.1)
        return True
    return False


class Run:
    """One run, and its verdict."""

    def __init__(self, jobs: int, dead: float, folder: Path) -> None:
        self.count, self.dead, self.folder = jobs, dead, folder
        # Three seconds lie between two states of a job at least, so that a poll of one second sees all.
        self.upstream = Upstream(clock=Clock(20), key=KEY)
        self.hook, self.slack, self.mail = WebhookSink(SECRET), SlackSink(), MailSink()

    async def start(self) -> Any:
        command = [sys.executable, "-m", "ftwatch", "-c", str(self.folder / "ftwatch.yaml"), "run"]
        return await anyio.open_process([*command, "--wait-lock", "5s"], stdout=None, stderr=None)

    def create(self) -> None:
        """What a user's program does, with the official client."""
        client = openai.OpenAI(api_key=KEY, base_url=self.upstream.url)
        for number in range(self.count):
            client.fine_tuning.jobs.create(
                model="gpt-4.1-mini",
                training_file="file-train",
                suffix=f"job-{number:03d}",
                metadata={"script": SCRIPTS[number % len(SCRIPTS)]},
            )
            time.sleep(random.uniform(0.05, 0.3))
        listed = [job.id for job in client.fine_tuning.jobs.list(limit=20)]
        assert len(listed) == self.count, "the official client sees every job"

    async def go(self) -> dict[str, Any]:
        async with self.upstream.serving(), self.hook.serving(), self.slack.serving(), self.mail.serving():
            (self.folder / "ftwatch.yaml").write_text(
                CONFIG.format(
                    upstream=self.upstream.url,
                    key=KEY,
                    hook=self.hook.url,
                    secret=SECRET,
                    slack=self.slack.url,
                    mail=self.mail.port,
                    folder=self.folder,
                )
            )
            daemon = await self.start()
            await until(lambda: bool(self.mail.arrivals), 30)
            async with anyio.create_task_group() as group:
                group.start_soon(anyio.to_thread.run_sync, self.create)
                await anyio.sleep(6)
                daemon.send_signal(signal.SIGKILL)
                await daemon.wait()
                daemon = await self.start()
                await anyio.sleep(4)
                await self.hook.place.down()
                await anyio.sleep(self.dead)
                await self.hook.place.up()
            await until(self._all_over, 200)
            arrived = await until(lambda: not self.judge()["lost"], 90)
            daemon.send_signal(signal.SIGTERM)
            code = await daemon.wait()
            return {**self.judge(), "in_time": arrived, "exit_code": code}

    def _all_over(self) -> bool:
        now = self.upstream.clock.now()
        over = ("succeeded", "failed", "cancelled")
        return all(job.status(now) in over for job in self.upstream.jobs.values())

    def judge(self) -> dict[str, Any]:
        truth: dict[str, list[str]] = defaultdict(list)
        names = {job.id: str(job.suffix) for job in self.upstream.jobs.values()}
        for one in self.upstream.history():
            truth[one.job].append(one.status)
        told: dict[str, list[str]] = defaultdict(list)
        bodies: dict[str, set[bytes]] = defaultdict(set)
        for arrival in self.hook.arrivals:
            if arrival.id not in bodies:
                data = arrival.what["data"]
                if data["status"] != data["previous_status"]:
                    told[data["id"]].append(data["status"])
            bodies[arrival.id].add(arrival.body)
        lost = [f"webhook {names[id]}: {told[id]}" for id in truth if told[id] != truth[id]]
        for sink, titles in (
            ("slack", [arrival.what["text"] for arrival in self.slack.arrivals]),
            ("mail", self._letters()),
        ):
            for id, statuses in truth.items():
                wanted = [WORDS[status] for status in statuses[1:] if status in WORDS]
                said = [
                    next((word for word in WORDS.values() if word in title), "")
                    for title in titles
                    if f" {names[id]} " in title and not title.startswith("🆕")
                ]
                if said != wanted:
                    lost.append(f"{sink} {names[id]}: {said} instead of {wanted}")
        return {
            "jobs": len(truth),
            "transitions": sum(len(statuses) for statuses in truth.values()),
            "told": sum(len(statuses) for statuses in told.values()),
            "webhooks": len(bodies),
            "duplicates": len(self.hook.arrivals) - len(bodies),
            "two_bodies": sum(len(found) > 1 for found in bodies.values()),
            "slack": len(self.slack.arrivals),
            "letters": len(self.mail.arrivals),
            "refused": [*self.hook.refused, *self.slack.refused],
            "verified": len(self._fresh()),
            "unverified": self._unverified(),
            "lost": lost,
        }

    def _letters(self) -> list[str]:
        """The first line of each letter that is not the same again; the subject is the whole thread's."""
        texts = {arrival.id: arrival.what.get_body(("plain",)) for arrival in self.mail.arrivals}
        return [text.get_content().partition("\n")[0].strip() for text in texts.values()]

    def _fresh(self) -> list[Any]:
        """Webhooks that are not too old for a verifier; in a longer run, the first ones are."""
        return [arrival for arrival in self.hook.arrivals if time.time() - arrival.at < 280]

    def _unverified(self) -> list[str]:
        """Webhooks that one of the published verifiers refuses."""
        bad = []
        client = openai.OpenAI(api_key="x", webhook_secret=SECRET)
        for arrival in self._fresh():
            for verify in (
                lambda a: StandardWebhook(SECRET).verify(a.body, a.headers),
                lambda a: SvixWebhook(SECRET).verify(a.body, a.headers),
                lambda a: client.webhooks.unwrap(a.body, a.headers),
            ):
                try:
                    verify(arrival)
                except Exception as error:
                    bad.append(f"{arrival.id}: {error!r}")
        return bad


async def main(jobs: int, dead: float) -> dict[str, Any]:
    with tempfile.TemporaryDirectory() as folder:
        return await Run(jobs, dead, Path(folder)).go()


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--jobs", type=int, default=50)
    parser.add_argument("--dead", type=float, default=60.0)
    given = parser.parse_args()
    with contextlib.suppress(KeyboardInterrupt):
        found = anyio.run(main, given.jobs, given.dead)
        print(json.dumps(found, indent=2, ensure_ascii=False))
        bad = found["lost"] or found["two_bodies"] or found["unverified"] or found["refused"]
        sys.exit(1 if bad or found["exit_code"] or not found["in_time"] else 0)
