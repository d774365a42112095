"""Webhooks in, webhooks out, while the daemon is killed between proof, commit and reply.

In this process: a sender that repeats every webhook until it is answered with 2xx, and a receiver. Below it:
the real daemon, which dies by SIGKILL at a chosen point or at a random moment, and is started anew. At the
end every webhook that was taken must have been relayed: byte for byte, under one id. With `--latency` nobody
dies, and the time from a webhook's first byte to its relay at the receiver is measured.

    python bench/hooks.py [--kills 500] [--seed 1]
    python bench/hooks.py --latency 2000
"""

import argparse
import asyncio
import contextlib
import json
import random
import re
import signal
import socket
import statistics
import sys
import tempfile
import time
from collections import defaultdict
from pathlib import Path
from typing import Any

import httpx2
from child import HOOKS
from standardwebhooks.webhooks import Webhook

from ftwatch.core.signature import sign

BENCH = Path(__file__).parent
SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSwMfKQ9r8GKYo="
CONFIG = """
providers:
  oa: {{kind: openai, base_url: "{base}/v1", poll: 1h, discover: 1h, webhook_secret: "{secret}"}}
notifiers:
  hook:
    kind: webhook
    url: "{base}/hook"
    secret: "{secret}"
    retry: {{waits: [100ms], jitter: 0.5, throttle: 100ms, drain: 1000/s, span: 1h}}
routes:
  - match: {{type: "batch.*"}}
    notify: [hook]
store: {{path: "{folder}/ftwatch.db"}}
socket: "{folder}/ftwatch.sock"
web: {{listen: "127.0.0.1:{port}"}}
log: {{level: error}}
"""
# How many webhooks are on their way at once.
AT_ONCE = 4


class World:
    """What was sent and acknowledged, and what came out at the other end."""

    def __init__(self, luck: random.Random, port: int) -> None:
        self.luck = luck
        self.url = f"http://127.0.0.1:{port}/hooks/oa"
        self.number = 0
        self.taken: dict[str, bytes] = {}
        self.received: list[tuple[str, bytes, float]] = []
        self.begun: dict[bytes, float] = {}
        self.verified = Webhook(SECRET)
        self.forged = self.repeats = 0
        self.calm = False
        self.busy = asyncio.Event()

    async def send(self, client: httpx2.AsyncClient) -> None:
        """One webhook, again and again until somebody has taken it."""
        self.number += 1
        if self.number >= 3 * AT_ONCE:
            self.busy.set()
        id = f"wh_{self.number:06d}"
        body = json.dumps(
            {"type": "batch.completed", "data": {"id": f"batch_{self.number}"}, "é": 1}
        ).encode()
        self.begun[body] = time.perf_counter()
        while True:
            stamp = int(time.time())
            headers = {
                "webhook-id": id,
                "webhook-timestamp": str(stamp),
                "webhook-signature": sign([SECRET], id, stamp, body),
            }
            with contextlib.suppress(httpx2.HTTPError):
                answer = await client.post(self.url, content=body, headers=headers)
                if answer.is_success:
                    self.taken[id] = body
                    return
                if answer.status_code < 500 and answer.status_code != 429:
                    raise SystemExit(f"a good webhook was refused: {answer.status_code} {answer.text}")
            self.repeats += 1
            await asyncio.sleep(0.05)

    async def stream(self, client: httpx2.AsyncClient) -> None:
        """Sends until all is calm."""
        while not self.calm:
            await self.send(client)
            await asyncio.sleep(self.luck.random() * 0.05)

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """The receiver, and a provider without jobs."""
        with contextlib.suppress(asyncio.IncompleteReadError, ConnectionError):
            while True:
                head = await reader.readuntil(b"\r\n\r\n")
                length = re.search(rb"(?i)content-length: (\d+)", head)
                body = await reader.readexactly(int(length[1])) if length else b""
                answer = b'{"object": "list", "data": [], "has_more": false}'
                if head.startswith(b"POST"):
                    self.take(head, body)
                    answer = b"ok"
                writer.write(b"HTTP/1.1 200 X\r\ncontent-length: %d\r\n\r\n" % len(answer) + answer)
                await writer.drain()
        writer.close()

    def take(self, head: bytes, body: bytes) -> None:
        """A relayed webhook."""
        at = time.perf_counter()
        pairs = (line.partition(": ") for line in head.decode().split("\r\n")[1:] if line)
        headers = {name.lower(): value for name, _, value in pairs}
        try:
            self.verified.verify(body, headers, json_parse=False)
        except Exception:
            self.forged += 1
        self.received.append((headers.get("webhook-id", ""), body, at))

    def verdict(self) -> dict[str, Any]:
        """What is wrong, if anything is: lost, or relayed under several ids, or with several bodies."""
        ids: dict[bytes, set[str]] = defaultdict(set)
        bodies: dict[str, set[bytes]] = defaultdict(set)
        for id, body, _ in self.received:
            ids[body].add(id)
            bodies[id].add(body)
        sent = set(self.taken.values())
        return {
            "webhooks": len(self.taken),
            "repeats": self.repeats,
            "deliveries": len(self.received),
            "duplicates": len(self.received) - len({(id, body) for id, body, _ in self.received}),
            "lost": sorted(id for id, body in self.taken.items() if body not in ids),
            "phantom": sorted(body.decode() for body in ids if body not in sent),
            "two_bodies": sorted(id for id, found in bodies.items() if len(found) > 1),
            "doubled": sorted(body.decode() for body, found in ids.items() if len(found) > 1),
            "forged": self.forged,
        }


async def start(config: Path, *die: str) -> asyncio.subprocess.Process:
    """The daemon, which dies where it is told to."""
    return await asyncio.create_subprocess_exec(
        sys.executable,
        str(BENCH / "child.py"),
        *die,
        "-c",
        str(config),
        "run",
        "--wait-lock",
        "10s",
        stderr=asyncio.subprocess.PIPE,
    )


async def answers(port: int) -> None:
    """Waits until the web listens."""
    while True:
        try:
            _, writer = await asyncio.open_connection("127.0.0.1", port)
        except OSError:
            await asyncio.sleep(0.02)
        else:
            writer.close()
            return


def free_port() -> int:
    """A port that nobody has at the moment."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return int(listener.getsockname()[1])


async def kill_again_and_again(world: World, config: Path, port: int, kills: int, bug: list[str]) -> int:
    """Runs the daemon and lets it die; returns how often it did."""
    deaths = 0
    while deaths < kills:
        if deaths % 2:
            daemon = await start(config, *bug)
            await answers(port)
            await asyncio.sleep(world.luck.random() * 0.4)
            with contextlib.suppress(ProcessLookupError):
                daemon.send_signal(signal.SIGKILL)
        else:
            point = HOOKS[(deaths // 2) % len(HOOKS)]
            daemon = await start(config, *bug, "--die", point, "--on", str(world.luck.randint(1, 6)))
        try:
            _, said = await asyncio.wait_for(daemon.communicate(), 60)
        except TimeoutError:
            daemon.kill()
            raise SystemExit("the daemon did not die where it should") from None
        if daemon.returncode != -signal.SIGKILL:
            raise SystemExit(f"the daemon ended by itself ({daemon.returncode}): {said.decode()[-2000:]}")
        deaths += 1
    return deaths


async def settled(world: World, seconds: float = 60) -> None:
    """Waits until all that was taken has come out, or no more comes."""
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        if set(world.taken.values()) <= {body for _, body, _ in world.received}:
            await asyncio.sleep(0.5)
            return
        await asyncio.sleep(0.1)


async def main(kills: int, latency: int, seed: int, bug: list[str]) -> int:
    luck, begun = random.Random(seed), time.monotonic()
    port = free_port()
    world = World(luck, port)
    server = await asyncio.start_server(world.serve, "127.0.0.1", 0)
    base = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    with tempfile.TemporaryDirectory() as folder:
        config = Path(folder) / "ftwatch.yaml"
        config.write_text(CONFIG.format(base=base, secret=SECRET, folder=folder, port=port))
        async with httpx2.AsyncClient(trust_env=False, timeout=5) as client:
            deaths = 0
            if kills:
                streams = [asyncio.create_task(world.stream(client)) for _ in range(AT_ONCE)]
                deaths = await kill_again_and_again(world, config, port, kills, bug)
            daemon = await start(config, *bug)
            await answers(port)
            if kills:
                # On a slow machine it may die each time before it takes anything; the last life takes some.
                await world.busy.wait()
                world.calm = True
                await asyncio.gather(*streams)
            for _ in range(latency):
                await world.send(client)
                await asyncio.sleep(luck.random() * 0.02)
            await settled(world, 60 if not bug else 5)
            daemon.terminate()
            await daemon.communicate()
    server.close()
    found = {"kills": deaths, **world.verdict(), "seconds": round(time.monotonic() - begun, 1)}
    if latency:
        first: dict[bytes, float] = {}
        for _, body, at in world.received:
            first.setdefault(body, at)
        took = sorted((first[body] - world.begun[body]) * 1000 for body in world.taken.values())
        found["p50_ms"] = round(statistics.median(took), 2)
        found["p99_ms"] = round(took[int(len(took) * 0.99)], 2)
    print(json.dumps(found, indent=2))
    bad = ("lost", "phantom", "two_bodies", "doubled", "forged")
    return 1 if any(found[key] for key in bad) else 0


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--kills", type=int, default=500)
    parser.add_argument("--latency", type=int, default=0, help="how many webhooks; nobody is killed")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--bug", help="one of bench/bugs.py, to see that it is found")
    given = parser.parse_args()
    planted = ["--bug", given.bug] if given.bug else []
    sys.exit(asyncio.run(main(0 if given.latency else given.kills, given.latency, given.seed, planted)))
