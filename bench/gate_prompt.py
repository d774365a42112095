"""How soon the news is out: from the start of a poll to the webhook at the receiver.

    python bench/gate_prompt.py [--small]

A job ends at the API, and the real poller is told to look: at that job, as it does while few are active, or
at the listing, as it does in a crowd. The clock starts there. What follows is the product's: the answers are
read, the job's document and log asked for, the change decided and committed with an fsync, the dispatcher
woken, the webhook signed and posted. The clock stops when the receiver, another process, has the whole of
it. In turn with that an alert is posted to Alertmanager, every one a group of its own without a wait, and
timed in the same way until its webhook is there.
"""

import asyncio
import gc
import http.client
import json
import logging
import shutil
import socket
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from gauge import MEASURED, SERVER, Child, given, pin, reply, say, upstream, verdict

PEER = "prometheus-alertmanager"
# Jobs of the API, and how many of them are active: few are asked for one by one, more through the listing.
JOBS, FEW, CROWD = 100, 20, 90
# How long the world is left alone after each look (seconds).
REST = 0.05
CONFIG = """
providers:
  bench:
    {{kind: openai, base_url: "{base}", api_key: sk-bench-0000, poll: 1h, discover: 1h, rate: 100000/min}}
notifiers:
  hook:
    kind: webhook
    url: "http://127.0.0.1:{port}/hook"
    secret: "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSwMfKQ9r8GKYo="
rules: {{retiring: false}}
store: {{path: "{folder}/ftwatch.db"}}
"""
ALERTS = """
route: {{receiver: hook, group_by: ["..."], group_wait: 0s, group_interval: 1s}}
receivers:
  - name: hook
    webhook_configs: [{{url: "http://127.0.0.1:{port}/hook", send_resolved: false}}]
"""


# ----------------------------------------------------------------------------------------------- ours


async def ours(base: str, port: str) -> None:
    """Poller and dispatcher, running as in the daemon; says when each look began."""
    import structlog

    from ftwatch.assembly import make_client, make_loops, open_store
    from ftwatch.config import load
    from ftwatch.daemon import WallClock, threaded

    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.ERROR))
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "ftwatch.yaml"
        path.write_text(CONFIG.format(base=base, port=port, folder=folder))
        config = load(path)
        store = open_store(config, 0.0)
        async with make_client(config.client) as client:
            loops: list[Any] = []
            dispatchers, pollers = make_loops(
                config, client, store, threaded(), WallClock(), lambda owed: [one.ring() for one in loops]
            )
            loops += dispatchers.values()
            (poller,) = pollers.values()
            while await poller.poll_once():
                pass
            running = [asyncio.ensure_future(loop.run(lambda seconds: None)) for loop in (*loops, poller)]
            await asyncio.sleep(1)
            gc.freeze()  # as the daemon does once it has started
            reply("ready")
            while line := await asyncio.to_thread(sys.stdin.readline):
                at = time.monotonic()
                poller.poke(json.loads(line)["job"])
                await asyncio.sleep(REST)
                reply(at)
            for one in running:
                one.cancel()
        store.close()


def news(base: str, port: str, receiver: Child, *, active: int, count: int) -> Iterator[float]:
    """For each of so many jobs that end, the seconds from the look at it to its message; one at a time."""
    with Child(__file__, "--as", "ours", base, port) as us:
        us.heard()
        receiver.ask(posts=0)
        for number in range(count):
            urllib.request.urlopen(urllib.request.Request(f"{base}/change?count=1", method="POST")).read()
            job = f"ftjob-{JOBS - number:024d}" if active == FEW else None
            began = us.ask(job=job)
            came = receiver.ask(posts=1)
            if came["posts"] != 1:
                raise RuntimeError(f"of one change came {came['posts']} messages")
            yield came["last"] - began


# --------------------------------------------------------------------------------------------- theirs


@contextmanager
def alertmanager(port: str) -> Iterator[http.client.HTTPConnection | None]:
    """A connection to an Alertmanager of our own that posts to the receiver; None where there is none."""
    command = shutil.which(PEER)
    if command is None:
        yield None
        return
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        own = free.getsockname()[1]
    with tempfile.TemporaryDirectory() as folder:
        config = Path(folder) / "alertmanager.yml"
        config.write_text(ALERTS.format(port=port))
        process = subprocess.Popen(
            [
                *(command, f"--config.file={config}", f"--storage.path={folder}/data", "--log.level=error"),
                *(f"--web.listen-address=127.0.0.1:{own}", "--cluster.listen-address="),
            ]
        )
        pin(MEASURED, process.pid)
        try:
            yield _connected(own)
        finally:
            process.kill()
            process.wait()


def _connected(port: int) -> http.client.HTTPConnection:
    for _ in range(100):
        connection = http.client.HTTPConnection("127.0.0.1", port)
        try:
            connection.request("GET", "/-/ready")
            if connection.getresponse().read() is not None:
                return connection
        except OSError:
            time.sleep(0.1)
    raise RuntimeError("Alertmanager does not start")


def alert(connection: http.client.HTTPConnection, receiver: Child, number: int) -> float:
    """The seconds from the posting of an alert to its webhook."""
    labels = {"alertname": "fine_tuning.job.succeeded", "job": f"ftjob-{number:024d}"}
    notes = {"summary": "gpt-4.1-mini-2025-04-14, support-bot-v7: from running to succeeded"}
    body = json.dumps([{"labels": labels, "annotations": notes}])
    began = time.monotonic()
    connection.request("POST", "/api/v2/alerts", body, {"content-type": "application/json"})
    connection.getresponse().read()
    return float(receiver.ask(posts=1)["last"]) - began


def main() -> None:
    options = given(__doc__)
    if options.who == "ours":
        return asyncio.run(ours(*options.rest))
    rounds = 1 if options.small else 3
    times: dict[str, list[float]] = {"few": [], "crowd": [], "theirs": []}
    with Child("receiver.py", core=SERVER) as receiver:
        port = str(receiver.heard())
        with alertmanager(port) as peer:
            number = 0
            for name, active in [("few", FEW), ("crowd", CROWD)] * rounds:
                with upstream(JOBS, active) as base:
                    count = 5 if options.small else FEW
                    for took in news(base, port, receiver, active=active, count=count):
                        times[name].append(took)
                        if peer is not None:
                            number += 1
                            time.sleep(REST)
                            times["theirs"].append(alert(peer, receiver, number))
    few, crowd = (statistics.median(times[name]) * 1e3 for name in ("few", "crowd"))
    theirs = statistics.median(times["theirs"]) * 1e3 if times["theirs"] else None
    say(
        [
            verdict(
                "poll of a job to its webhook", wanted="<= 5", ratio=few, ours=few, unit="ms", note="median"
            ),
            verdict(
                "poll of the listing to its webhook",
                wanted="<= 5",
                ratio=crowd,
                ours=crowd,
                unit="ms",
                note="median",
            ),
            verdict(
                "poll to webhook against alert to webhook",
                wanted="<= 4",
                ratio=few / theirs if theirs else None,
                ours=few,
                theirs=theirs,
                unit="ms",
                peer="Alertmanager" if theirs else f"{PEER} is not installed",
            ),
        ]
    )
    return None


if __name__ == "__main__":
    main()
