"""Kill -9 the daemon again and again, at random moments, and count what got lost.

In this process: a fine-tuning API whose jobs move on by themselves, and a webhook receiver that sometimes
fails before or after it has taken a message. Below it: the real daemon, killed and started anew. At the end
the daemon may finish its work in peace; then every job's messages must form an unbroken chain from its
creation to its end, hold nothing that never happened, and no id may have come with two different bodies.

    python bench/kills.py [--kills 300] [--seed 1]
"""

import argparse
import asyncio
import contextlib
import hashlib
import json
import random
import re
import signal
import sqlite3
import sys
import tempfile
import time
from collections import defaultdict
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

from standardwebhooks.webhooks import Webhook

SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSwMfKQ9r8GKYo="
LIVES = [
    ["validating_files", "queued", "running", "succeeded"],
    ["queued", "running", "failed"],
    ["queued", "running", "paused", "running", "succeeded"],
    ["validating_files", "queued", "cancelled"],
]
CONFIG = """
providers:
  sim:
    kind: openai
    base_url: "{base}/v1"
    poll: 1s
    discover: 1s
    rate: 6000/min
notifiers:
  hook:
    kind: webhook
    url: "{base}/hook"
    secret: "{secret}"
    retry: {{waits: [200ms], jitter: 0.5, throttle: 200ms, drain: 1000/s, span: 1h}}
routes:
  - match: {{type: "*"}}
    notify: [hook]
rules: {{retiring: false}}
store: {{path: "{folder}/ftwatch.db"}}
socket: "{folder}/ftwatch.sock"
log: {{level: error}}
"""
# What the log of a job says when it becomes this.
SAID = {
    "validating_files": "Validating training file: file-1",
    "queued": "Files validated, moving job to queued state",
    "running": "Fine-tuning job started",
    "paused": "Job paused",
}


class World:
    """What truly happened, and what was told of it."""

    def __init__(self, luck: random.Random) -> None:
        self.luck = luck
        self.jobs: dict[str, dict[str, Any]] = {}
        self.lives: dict[str, list[str]] = {}
        self.truth: dict[str, list[str]] = {}
        self.logs: dict[str, list[dict[str, Any]]] = {}
        self.received: list[tuple[str, bytes]] = []
        self.verified = Webhook(SECRET)
        self.refused = self.forged = 0
        self.calm = self.denied = False

    def create(self) -> None:
        id = f"ftjob-{len(self.jobs):05d}"
        self.lives[id] = list(self.luck.choice(LIVES))
        self.truth[id], self.logs[id] = [], []
        self.jobs = {id: {"id": id, "object": "fine_tuning.job", "created_at": int(time.time())}, **self.jobs}
        self.move(id)

    def move(self, id: str) -> None:
        status = self.lives[id].pop(0)
        self.truth[id].append(status)
        message = SAID.get(status, "The job has ended")
        self.logs[id].append(
            {"id": f"{id}-{len(self.logs[id])}", "created_at": int(time.time()), "message": message}
        )
        ended = status in ("succeeded", "failed", "cancelled")
        self.jobs[id] |= {
            "status": status,
            "model": "gpt-4.1-mini",
            "fine_tuned_model": "ft:gpt-4.1-mini:x" if status == "succeeded" else None,
            "finished_at": int(time.time()) if ended else None,
            "error": {"code": "x", "message": "boom"} if status == "failed" else None,
        }

    def step(self) -> None:
        """Something happens: a job is created, or one moves on."""
        open_jobs = [id for id, life in self.lives.items() if life]
        if not self.calm and (not open_jobs or (len(open_jobs) < 30 and self.luck.random() < 0.3)):
            self.create()
        else:
            self.move(self.luck.choice(open_jobs))

    # -------------------------------------------------------------------------------------- both servers

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(asyncio.IncompleteReadError, ConnectionError):
            while True:
                head = await reader.readuntil(b"\r\n\r\n")
                length = re.search(rb"(?i)content-length: (\d+)", head)
                body = await reader.readexactly(int(length[1])) if length else b""
                line, *lines = head.decode().split("\r\n")
                method, target, _ = line.split(" ")
                pairs = (one.partition(": ") for one in lines if one)
                headers = {name.lower(): value for name, _, value in pairs}
                status, answer = self.hook(headers, body) if method == "POST" else self.api(target)
                if status == 0:
                    break
                writer.write(b"HTTP/1.1 %d X\r\ncontent-length: %d\r\n\r\n" % (status, len(answer)) + answer)
                await writer.drain()
        writer.close()

    def api(self, target: str) -> tuple[int, bytes]:
        url = urlsplit(target)
        if self.denied:
            return 401, b'{"error": {"message": "Incorrect API key provided."}}'
        if not self.calm and self.luck.random() < 0.03:
            return 503, b"no"
        *_, parent, tail = url.path.split("/")
        if tail in self.jobs:
            return 200, json.dumps(self.jobs[tail]).encode()
        if parent in self.jobs:
            lines = self.logs[parent] if tail == "events" else []
            return 200, json.dumps({"object": "list", "data": lines[::-1], "has_more": False}).encode()
        query = parse_qs(url.query)
        ids = list(self.jobs)
        start = ids.index(query["after"][0]) + 1 if "after" in query else 0
        page = [self.jobs[id] for id in ids[start : start + 20]]
        return 200, json.dumps({"object": "list", "data": page, "has_more": start + 20 < len(ids)}).encode()

    def hook(self, headers: dict[str, str], body: bytes) -> tuple[int, bytes]:
        dice = 1.0 if self.calm else self.luck.random()
        if dice < 0.05:
            self.refused += 1
            return 500, b"not now"
        try:
            self.verified.verify(body, headers)
        except Exception:
            self.forged += 1
        self.received.append((headers["webhook-id"], body))
        return (0, b"") if dice < 0.1 else (200, b"ok")  # taken, but the sender does not learn it

    # -------------------------------------------------------------------------------------- the verdict

    def judge(self) -> dict[str, Any]:
        bodies: dict[str, set[str]] = defaultdict(set)
        told: dict[str, list[dict[str, Any]]] = defaultdict(list)
        for id, body in self.received:
            if id not in bodies:
                event = json.loads(body)
                if event["type"].startswith("fine_tuning.job."):
                    told[event["data"]["id"]].append(event)
            bodies[id].add(hashlib.sha256(body).hexdigest())
        lost, phantom, disordered = [], [], []
        for id, truth in self.truth.items():
            seen = told.pop(id, [])
            numbers = [event["data"]["sequence"] for event in seen]
            if numbers != list(range(1, len(numbers) + 1)):
                (lost if sorted(numbers) != list(range(1, len(numbers) + 1)) else disordered).append(id)
            said = [e["data"]["status"] for e in seen if e["data"]["status"] != e["data"]["previous_status"]]
            said = [status for status in said if status is not None]
            if not said or said[-1] != truth[-1]:
                lost.append(id)
            remaining = iter(truth)
            if not all(status in remaining for status in said):
                phantom.append(id)
        phantom += list(told)
        return {
            "jobs": len(self.truth),
            "transitions": sum(len(truth) - 1 for truth in self.truth.values()),
            "messages": len(self.received),
            "duplicates": len(self.received) - len(bodies),
            "refused": self.refused,
            "lost": sorted(set(lost)),
            "phantom": sorted(set(phantom)),
            "disordered": sorted(set(disordered)),
            "two_bodies": sorted(id for id, found in bodies.items() if len(found) > 1),
            "forged": self.forged,
        }


async def main(kills: int, seed: int) -> dict[str, Any]:
    luck = random.Random(seed)
    world = World(luck)
    with tempfile.TemporaryDirectory() as folder:
        server = await asyncio.start_server(world.serve, "127.0.0.1", 0)
        base = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        config = Path(folder) / "ftwatch.yaml"
        config.write_text(CONFIG.format(base=base, secret=SECRET, folder=folder))
        command = [sys.executable, "-m", "ftwatch", "-c", str(config), "run", "--wait-lock", "5s"]

        async def live() -> None:
            while True:
                world.step()
                await asyncio.sleep(luck.uniform(0.05, 0.3))

        async def start() -> asyncio.subprocess.Process:
            return await asyncio.create_subprocess_exec(*command)

        daemon = await start()
        # The baseline must be over before the first job: what it finds is no news.
        database = Path(folder) / "ftwatch.db"
        for _ in range(100):
            await asyncio.sleep(0.1)
            if is_watching(database):
                break
        living = asyncio.create_task(live())
        for number in range(kills):
            # Half of the kills hit the start, where a restarted daemon has most to catch up with.
            await asyncio.sleep(luck.uniform(0.3, 1.0) if number % 2 else luck.uniform(0.8, 2.5))
            if daemon.returncode is not None:
                raise SystemExit(f"the daemon ended by itself: {daemon.returncode}")
            daemon.send_signal(signal.SIGKILL)
            await daemon.wait()
            daemon = await start()
        living.cancel()
        world.calm = True
        while any(world.lives.values()):
            world.step()
            await asyncio.sleep(0.01)
        await drained(world, database)
        daemon.send_signal(signal.SIGTERM)
        code = await daemon.wait()
        server.close()
        return {"kills": kills, **world.judge(), "exit_code": code}


def _rows(database: Path, sql: str) -> list[Any]:
    try:
        connection = sqlite3.connect(f"file:{database}?mode=ro", uri=True, timeout=5)
        with contextlib.closing(connection):
            return connection.execute(sql).fetchall()
    except sqlite3.Error:
        return []


def is_watching(database: Path) -> bool:
    return bool(
        _rows(database, "SELECT 1 FROM providers WHERE CAST(state AS TEXT) LIKE '%\"baseline_at\":1%'")
    )


async def drained(world: World, database: Path) -> None:
    """Waits until every job's end is known and nothing is pending any more, two minutes at most."""
    for _ in range(240):
        await asyncio.sleep(0.5)
        statuses = dict(_rows(database, "SELECT id, status FROM jobs"))
        known = all(statuses.get(id) == truth[-1] for id, truth in world.truth.items())
        pending = _rows(database, "SELECT COUNT(*) FROM deliveries WHERE state = 'pending'")
        if known and pending == [(0,)]:
            return


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--kills", type=int, default=300)
    parser.add_argument("--seed", type=int, default=random.SystemRandom().randrange(10**6))
    given = parser.parse_args()
    found = {"seed": given.seed, **asyncio.run(main(given.kills, given.seed))}
    print(json.dumps(found, indent=2))
    bad = any(found[key] for key in ("lost", "phantom", "disordered", "two_bodies", "forged", "exit_code"))
    sys.exit(1 if bad else 0)
