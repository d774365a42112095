"""Does a bad receiver slow a good one? The real daemon with 200 webhooks, of which 80 go bad.

A fine-tuning API in this process moves jobs on at a steady pace; the receivers live in another one, each at a
port of its own, ten to a team, and each job is one team's. First all of them answer, then four of each ten
hang, drip, reset, flood, talk nonsense or refuse, then all of them answer again; that is repeated. What
counts is how long a good receiver waits: from the moment when the API first showed a new status until the
message of it is there. The pace keeps the machine far from its limit: where a queue grows, its length would
be measured and not what a neighbour does. The API moves as many jobs on at each look at its listing, so that
one look brings as much to deliver as another. Half of a pair's good time lies before its bad time, and half
after it, so that what else the machine does is in both. The first pair warms everything up, uncounted.

    python bench/isolation.py [--pairs 5] [--endpoints 200] [--bad 80] [--seconds 30]
"""

import argparse
import asyncio
import contextlib
import itertools
import json
import random
import re
import signal
import socket
import statistics
import struct
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import kills

# How the bad ones are bad, in turn: of 80, twenty hang, twenty drip, and ten each do one of the rest.
WAYS = ("hang", "drip", "hang", "drip", "reset", "endless", "garbage", "refuse")
ACTIVE = 10
TEAM = 10
# What is asked of the medians of all pairs, and of the daemon from the first pair to the last (MiB, files).
MOST = {"p50_ratio": 1.1, "p99_ratio": 1.5, "rss_mib": 8.0, "files": 20.0}
HEAD = """
providers:
  sim:
    kind: openai
    base_url: "{base}/v1"
    poll: 1s
    discover: 1s
    rate: 6000/min
routes:
{routes}
rules: {{retiring: false}}
store: {{path: "{folder}/ftwatch.db"}}
socket: "{folder}/ftwatch.sock"
log: {{level: error}}
notifiers:
"""
ROUTE = """\
  - match: {{type: "fine_tuning.*", metadata.team: "{team}"}}
    notify: [{names}]"""
ENTRY = """\
  hook-{number:03d}:
    kind: webhook
    url: "http://127.0.0.1:{port}/hook"
    secret: "{secret}"
    timeout: 5s
    retry: {{waits: [5s], drain: 50/s}}
"""


# ------------------------------------------------------------------------------------------- the receivers


class Endpoint:
    """One receiver; `way` is how it behaves while it is bad (None: it never is)."""

    def __init__(self, number: int, way: str | None) -> None:
        self.number, self.way = number, way
        self.bad = False
        self.port = 0
        self.arrivals: list[tuple[float, bytes]] = []
        self.met = 0
        self._server: asyncio.Server | None = None
        self._open: set[asyncio.StreamWriter] = set()

    async def listen(self) -> None:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", self.port)
        self.port = self._server.sockets[0].getsockname()[1]

    async def turn(self, *, bad: bool) -> None:
        """Goes bad, or good again."""
        if self.way is None or bad == self.bad:
            return
        self.bad = bad
        if self.way == "refuse" and self._server is not None:
            if bad:
                self._server.close()
                for writer in self._open:
                    writer.transport.abort()
            else:
                await self.listen()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._open.add(writer)
        with contextlib.suppress(OSError, EOFError):
            while True:
                head = await reader.readuntil(b"\r\n\r\n")
                length = re.search(rb"(?i)content-length: (\d+)", head)
                body = await reader.readexactly(int(length[1]) if length else 0)
                if not head.startswith(b"POST /hook "):
                    break  # Not for us: who refuses gives up its port for a while, and others may know it.
                if self.bad:
                    self.met += 1
                    await self._misbehave(reader, writer)
                    break
                self.arrivals.append((time.monotonic(), body))
                writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n")
                await writer.drain()
        self._open.discard(writer)
        writer.transport.abort()

    async def _misbehave(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        match self.way:
            case "hang":
                while await reader.read(1000):
                    pass
            case "drip":
                writer.write(b"HTTP/1.1 200 OK\r\nx-a: ")
                while True:
                    writer.write(b"b")
                    await writer.drain()
                    await asyncio.sleep(0.2)
            case "reset":
                linger = struct.pack("ii", 1, 0)
                writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
            case "endless":
                writer.write(b"HTTP/1.1 200 OK\r\n\r\n")
                while True:
                    writer.write(b"x" * 65536)
                    await writer.drain()
            case "garbage":
                writer.write(bytes(range(256)) * 4)
                await writer.drain()


def bad_ones(count: int, bad: int) -> list[int]:
    """Which of the receivers go bad: as many in each team as its share is."""
    return [number for number in range(count) if number % TEAM < TEAM * bad // count]


def of_team(team: int) -> range:
    """The receivers of a team."""
    return range(team * TEAM, (team + 1) * TEAM)


async def receive(count: int, bad: int) -> None:
    """The other process: tells its ports, then does as the lines say that it is given."""
    ways = dict(zip(bad_ones(count, bad), itertools.cycle(WAYS)))
    endpoints = [Endpoint(number, ways.get(number)) for number in range(count)]
    for endpoint in endpoints:
        await endpoint.listen()
    print(json.dumps([endpoint.port for endpoint in endpoints]), flush=True)
    while line := (await asyncio.to_thread(sys.stdin.readline)).strip():
        told: list[Any] = []
        if line == "met":
            told = [[endpoint.way, endpoint.met] for endpoint in endpoints if endpoint.way is not None]
        elif line == "report":
            for endpoint in endpoints:
                for at, body in endpoint.arrivals:
                    data = json.loads(body)["data"]
                    told.append((endpoint.number, at, data["id"], data["sequence"]))
                endpoint.arrivals.clear()
        else:
            for endpoint in endpoints:
                await endpoint.turn(bad=line == "bad")
        print(json.dumps(told), flush=True)


# ------------------------------------------------------------------------------------------- the provider


class Stream(kills.World):
    """Jobs that move on one after the other, so that no state is too short to be seen."""

    def __init__(self, teams: int, moves: int) -> None:
        super().__init__(random.Random(1))
        self.teams = teams
        self.moves = moves
        self.is_moving = False
        self.team: dict[str, int] = {}
        self.calm = True  # its API never fails
        self.served: dict[tuple[str, int], float] = {}

    def create(self) -> None:
        super().create()
        (id, job) = next(iter(self.jobs.items()))
        self.team[id] = len(self.team) % self.teams
        job["metadata"] = {"team": f"team-{self.team[id]}"}

    def step(self) -> None:
        """A new job until there are enough; else the one that has waited longest moves on."""
        waiting = [id for id, life in self.lives.items() if life]
        if len(waiting) < ACTIVE:
            self.create()
        else:
            self.move(waiting[0])
            self.lives[waiting[0]] = self.lives.pop(waiting[0])

    def api(self, target: str) -> tuple[int, bytes]:
        path, _, query = target.partition("?")
        if self.is_moving and path.endswith("/jobs") and "after=" not in query:
            for _ in range(self.moves):
                self.step()
        status, answer = super().api(target)
        found = json.loads(answer)
        now = time.monotonic()
        for job in found.get("data", [found]):
            if job["id"] not in self.truth:
                continue  # a line of a job's log
            self.served.setdefault((job["id"], len(self.truth[job["id"]])), now)
        return status, answer


# ------------------------------------------------------------------------------------------- the measuring


def resident(pid: int) -> float:
    """MiB of resident memory."""
    found = re.search(r"VmRSS:\s+(\d+)", Path(f"/proc/{pid}/status").read_text())
    assert found is not None
    return round(int(found[1]) / 1024, 1)


def open_files(pid: int) -> int:
    """How many descriptors a process holds."""
    return len(list(Path(f"/proc/{pid}/fd").iterdir()))


def cpu(pid: int) -> float:
    """Seconds of CPU that a process has used."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(") ")[2].split()
    return (int(fields[11]) + int(fields[12])) / 100


def summary(*phases: dict[str, Any]) -> dict[str, Any]:
    """Phases of one kind, taken together."""
    waits = sorted(itertools.chain.from_iterable(phase["waits"] for phase in phases))
    return {
        "deliveries": len(waits),
        "in_time": all(phase["in_time"] for phase in phases),
        "p50": round(statistics.median(waits), 4),
        "p99": round(waits[int(len(waits) * 0.99)], 4),
        "cpu": round(sum(phase["cpu"] for phase in phases), 2),
        "files": max(phase["files"] for phase in phases),
    }


class Bench:
    """One run: the daemon, its receivers, and what was measured."""

    def __init__(self, given: argparse.Namespace, folder: Path) -> None:
        self.given, self.folder = given, folder
        self.bad = frozenset(bad_ones(given.endpoints, given.bad))
        self.world = Stream(given.endpoints // TEAM, given.moves)
        self.database = folder / "ftwatch.db"
        self.arrived: dict[tuple[int, str, int], float] = {}
        self.receivers: asyncio.subprocess.Process
        self.daemon: asyncio.subprocess.Process

    async def _ask(self, line: str) -> list[Any]:
        assert self.receivers.stdin is not None
        assert self.receivers.stdout is not None
        self.receivers.stdin.write(f"{line}\n".encode())
        return list(json.loads(await self.receivers.stdout.readline()))

    async def _start(self, base: str) -> None:
        given = self.given
        self.receivers = await asyncio.create_subprocess_exec(
            *(sys.executable, __file__, "--serve"),
            *("--endpoints", str(given.endpoints), "--bad", str(given.bad)),
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            limit=2**28,
        )
        assert self.receivers.stdout is not None
        ports = json.loads(await self.receivers.stdout.readline())
        routes = [
            ROUTE.format(team=f"team-{team}", names=", ".join(f"hook-{n:03d}" for n in of_team(team)))
            for team in range(self.world.teams)
        ]
        config = self.folder / "ftwatch.yaml"
        config.write_text(
            HEAD.format(base=base, folder=self.folder, routes="\n".join(routes))
            + "".join(
                ENTRY.format(number=number, port=port, secret=kills.SECRET)
                for number, port in enumerate(ports)
            )
        )
        self.daemon = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "ftwatch", "-c", str(config), "run"
        )
        for _ in range(600):
            await asyncio.sleep(0.1)
            if kills.is_watching(self.database):
                return
        raise SystemExit("the daemon does not start")

    async def _take(self) -> None:
        for number, at, job, sequence in await self._ask("report"):
            self.arrived.setdefault((number, job, sequence), at)

    def _missing(self) -> list[tuple[int, str, int]]:
        """What has not come to a good receiver yet."""
        return [
            key
            for job, truth in self.world.truth.items()
            for number in of_team(self.world.team[job])
            for key in ((number, job, sequence + 1) for sequence in range(len(truth)))
            if number not in self.bad and key not in self.arrived
        ]

    async def phase(self, mood: str, seconds: float) -> dict[str, Any]:
        """Lets things happen for a while: how long the good receivers waited for each, and what it cost."""
        await self._ask(mood)
        before, used = set(self.world.served), cpu(self.daemon.pid)
        self.world.is_moving = True
        await asyncio.sleep(seconds)
        self.world.is_moving = False
        for _ in range(120):
            await self._take()
            if not self._missing():
                break
            await asyncio.sleep(0.5)
        waits = [
            at - self.world.served[job, sequence]
            for (number, job, sequence), at in self.arrived.items()
            if number not in self.bad and (job, sequence) not in before
        ]
        return {
            "waits": waits,
            "in_time": not self._missing(),
            "cpu": cpu(self.daemon.pid) - used,
            "files": open_files(self.daemon.pid),
        }

    async def pair(self) -> dict[str, Any]:
        """The good times, in two halves, and the bad time between them."""
        seconds = self.given.seconds
        before = await self.phase("good", seconds / 2)
        bad = await self.phase("bad", seconds)
        met = await self._ask("met")
        await self._ask("good")
        if not self.given.small:
            await self.settled()
        after = await self.phase("good", seconds / 2)
        pair = {"good": summary(before, after), "bad": summary(bad)}
        pair["bad"]["misbehaved"] = sum(way == "refuse" or count > 0 for way, count in met)
        ratios = {
            f"{name}_ratio": round(pair["bad"][name] / pair["good"][name], 3) for name in ("p50", "p99")
        }
        return {**pair, **ratios}

    async def settled(self) -> None:
        """Waits until nobody is owed anything any more: the next pair is to begin with a clean slate."""
        for _ in range(240):
            await asyncio.sleep(0.5)
            if kills._rows(self.database, "SELECT COUNT(*) FROM deliveries WHERE state = 'pending'") == [
                (0,)
            ]:
                await self._take()
                return

    def costs(self) -> dict[str, float]:
        """What the daemon holds now."""
        return {"rss_mib": resident(self.daemon.pid), "files": open_files(self.daemon.pid)}

    async def go(self) -> dict[str, Any]:
        server = await asyncio.start_server(self.world.serve, "127.0.0.1", 0)
        await self._start(f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}")
        costs = {"begin": self.costs()}
        pairs = []
        for number in range(self.given.pairs + 1):
            pair = await self.pair()
            costs["end"] = self.costs()
            costs.setdefault("after the first pair", costs["end"])
            print(json.dumps(pair), file=sys.stderr)
            if number or self.given.small:
                pairs.append(pair)
            if self.given.small:
                break
        self.daemon.send_signal(signal.SIGTERM)
        code = await self.daemon.wait()
        assert self.receivers.stdin is not None
        self.receivers.stdin.close()
        await self.receivers.wait()
        server.close()
        median = {
            f"{name}_{mood}": round(statistics.median(pair[mood][name] for pair in pairs), 4)
            for mood in ("good", "bad")
            for name in ("p50", "p99")
        }
        ratios = {
            name: round(statistics.median(pair[name] for pair in pairs), 3)
            for name in ("p50_ratio", "p99_ratio")
        }
        begin, end = costs["after the first pair"], costs["end"]
        grown = {name: round(end[name] - begin[name], 1) for name in begin}
        return {
            "endpoints": self.given.endpoints,
            "bad": self.given.bad,
            "pairs": pairs,
            "transitions": sum(len(truth) for truth in self.world.truth.values()),
            "deliveries": len(self.arrived),
            "lost": [f"hook-{number:03d} {job} {n}" for number, job, n in self._missing()],
            **median,
            **ratios,
            **{f"daemon, {when}": what for when, what in costs.items()},
            "grown": grown,
            "missed": [name for name, most in MOST.items() if {**ratios, **grown}[name] > most],
            "exit_code": code,
        }


async def main(given: argparse.Namespace) -> dict[str, Any]:
    with tempfile.TemporaryDirectory() as folder:
        return await Bench(given, Path(folder)).go()


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--pairs", type=int, default=5)
    parser.add_argument("--endpoints", type=int, default=200)
    parser.add_argument("--bad", type=int, default=80)
    parser.add_argument("--seconds", type=float, default=30.0)
    parser.add_argument("--moves", type=int, default=4, help="transitions at each look, one look a second")
    parser.add_argument("--small", action="store_true", help="do not wait for what the bad ones are owed")
    parser.add_argument("--serve", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.serve:
        with contextlib.suppress(KeyboardInterrupt):
            asyncio.run(receive(options.endpoints, options.bad))
    else:
        found = asyncio.run(main(options))
        print(json.dumps(found, indent=2))
        missed = found["missed"] and not options.small
        sys.exit(1 if found["lost"] or found["exit_code"] or missed else 0)
