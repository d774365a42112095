"""How soon it is there, and what it costs while nothing happens.

    python bench/gate_start.py [--small]

Start: from the start of the process to its first request for a page of jobs, as the API sees it, beside a
script that does no more than list jobs with the official `openai` package. The daemon finds its database as
it left it. Help: `ftwatch --help` beside an interpreter that does nothing. Idling: the daemon as systemd runs
it, with a watchdog (`WatchdogSec` of our unit) that it has to feed, looks at one page every 30 s; its CPU is
counted to the nanosecond over some minutes, and scaled to an hour.
"""

import asyncio
import compileall
import contextlib
import os
import re
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from gauge import BENCH, MEASURED, SERVER, Child, given, median_ratio, pin, say, upstream, verdict

ROUNDS = 9
# So many seconds are watched, after as many as a start may echo.
IDLE, SETTLE = 150.0, 15.0
FTWATCH = [str(Path(sys.executable).with_name("ftwatch"))]
UNIT = BENCH.parent / "systemd" / "ftwatch.service"
CONFIG = """
providers:
  bench: {{kind: openai, base_url: "{base}", api_key: sk-bench-0000, poll: 30s, discover: 30s}}
notifiers:
  hook:
    kind: webhook
    url: "http://127.0.0.1:9/"
    secret: "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSwMfKQ9r8GKYo="
store: {{path: "{folder}/ftwatch.db"}}
socket: "{folder}/ftwatch.sock"
"""
SCRIPT = """
import openai
for job in openai.OpenAI(api_key="sk-bench-0000", base_url="{base}").fine_tuning.jobs.list(limit=100):
    print(job.id, job.status)
"""


# ---------------------------------------------------------------------------------------------- start


async def watch() -> None:
    """An API with a few jobs that says, unasked, when it was asked for a page."""
    from upstream import Upstream

    page = Upstream(5, 0, packs=False, spread=False, slow=False).answer(
        "GET", "/v1/fine_tuning/jobs?limit=100"
    )

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(asyncio.IncompleteReadError, ConnectionError):
            while head := await reader.readuntil(b"\r\n\r\n"):
                if head.startswith(b"GET /v1/fine_tuning/jobs?"):
                    print(time.monotonic(), flush=True)
                writer.write(b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\n")
                writer.write(b"content-length: %d\r\n\r\n" % len(page) + page)
                await writer.drain()
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    print(server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()


def until_first_page(command: list[str], api: Child) -> float:
    """Seconds from the start of a command to its first request for a page; it is ended thereafter."""
    began = time.monotonic()
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    pin(MEASURED, process.pid)
    while (came := float(api.heard())) < began:
        pass  # what the one before has asked for since
    process.send_signal(signal.SIGTERM)
    process.wait()
    return came - began


def until_done(command: list[str]) -> float:
    """Seconds that a command takes."""
    began = time.monotonic()
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
    pin(MEASURED, process.pid)
    process.wait()
    return time.monotonic() - began


# --------------------------------------------------------------------------------------------- idling


def used(pid: int) -> float:
    """Seconds of CPU that a process has used, to the nanosecond: Linux has a clock of each process."""
    return time.clock_gettime((~pid << 3) | 2)


@contextmanager
def systemd(folder: Path) -> Iterator[tuple[dict[str, str], list[str]]]:
    """What systemd would give a service, and a list of what the service says to it."""
    said: list[str] = []
    seconds = re.search(r"(?m)^WatchdogSec=(\d+)", UNIT.read_text())
    assert seconds is not None
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as line:
        line.bind(str(folder / "notify"))

        def listen() -> None:
            with contextlib.suppress(OSError):
                while message := line.recv(4096):
                    said.extend(message.decode().splitlines())

        threading.Thread(target=listen, daemon=True).start()
        yield {"NOTIFY_SOCKET": f"{folder}/notify", "WATCHDOG_USEC": f"{seconds[1]}000000"}, said


def idle(folder: Path, seconds: float) -> dict[str, Any]:
    """What a daemon does that sees one page every 30 s, in which nothing ever changes."""
    with upstream(50, 0, "gzip") as base, systemd(folder) as (environment, said):
        config = folder / "idle.yaml"
        config.write_text(CONFIG.format(base=base, folder=folder))
        daemon = subprocess.Popen(
            [*FTWATCH, "-c", str(config), "run"],
            env={**os.environ, **environment},
            stderr=subprocess.DEVNULL,
        )
        pin(MEASURED, daemon.pid)
        try:
            while "READY=1" not in said:
                time.sleep(0.1)
            time.sleep(min(SETTLE, seconds))
            fed, before, began = said.count("WATCHDOG=1"), used(daemon.pid), time.monotonic()
            time.sleep(seconds)
            spent, took = used(daemon.pid) - before, time.monotonic() - began
            return {"an_hour": spent / took * 3600, "fed": said.count("WATCHDOG=1") - fed}
        finally:
            daemon.terminate()
            daemon.wait()


def main() -> None:
    options = given(__doc__)
    if options.who == "api":
        return asyncio.run(watch())
    # An installation compiles what it installs, as it did the peer's package; a checkout may not be yet.
    compileall.compile_dir(BENCH.parent / "ftwatch", quiet=1)
    rounds, seconds = (1, 3.0) if options.small else (ROUNDS, IDLE)
    times: dict[str, list[float]] = {"daemon": [], "script": [], "help": [], "bare": []}
    with tempfile.TemporaryDirectory() as made, Child(__file__, "--as", "api", core=SERVER) as api:
        folder, base = Path(made), f"http://127.0.0.1:{api.heard()}/v1"
        config = folder / "ftwatch.yaml"
        config.write_text(CONFIG.format(base=base, folder=folder))
        script = SCRIPT.format(base=base)
        for number in range(rounds + 1):
            took = {
                "daemon": until_first_page([*FTWATCH, "-c", str(config), "run"], api),
                "script": until_first_page([sys.executable, "-c", script], api),
                "help": until_done([*FTWATCH, "--help"]),
                "bare": until_done([sys.executable, "-c", "pass"]),
            }
            for name, one in took.items():
                times[name] += [one] * (number > 0)  # the first round only warms up
        found = idle(folder, seconds)
    middle = {name: statistics.median(some) * 1e3 for name, some in times.items()}
    say(
        [
            verdict(
                "start to the first list page",
                wanted="<= 0.5",
                ratio=median_ratio(times["daemon"], times["script"]),
                ours=middle["daemon"],
                theirs=middle["script"],
                unit="ms",
                peer="openai package, a script of two lines",
            ),
            verdict(
                "`ftwatch --help`",
                wanted="<= 3",
                ratio=median_ratio(times["help"], times["bare"]),
                ours=middle["help"],
                theirs=middle["bare"],
                unit="ms",
                peer="`python -c pass`",
            ),
            verdict(
                "CPU of an idle hour",
                wanted="<= 0.6",
                ratio=found["an_hour"],
                ours=found["an_hour"],
                unit="s",
                note=f"scaled from {seconds:g} s, the watchdog fed {found['fed']} times",
            ),
        ]
    )
    return None


if __name__ == "__main__":
    main()
