"""A receiver of webhooks as plain as can be, so that the sender's cost is what a benchmark sees.

Takes every POST with an empty 200, and remembers when it came and by which `webhook-id`. Prints its port as
its first line; then answers questions, a line of JSON each: `{"posts": N}` is answered once so many have come
since the question before (or a minute has gone by), with how many came, under how many ids, and when
(monotonic seconds, which all processes share) the last one did. Run in a process of its own.
"""

import asyncio
import contextlib
import json
import re
import sys
import time

PATIENCE = 60.0
TAKEN = b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n"
LENGTH = re.compile(rb"(?i)\r\ncontent-length: (\d+)\r\n")
ID = re.compile(rb"(?i)\r\nwebhook-id: ([^\r]+)\r\n")


class Arrivals:
    """What has come since the last question."""

    def __init__(self) -> None:
        self.posts, self.last = 0, 0.0
        self.ids: set[bytes] = set()
        self.wanted = 0
        self.enough = asyncio.Event()

    def add(self, id: bytes) -> None:
        self.posts += 1
        self.last = time.monotonic()
        self.ids.add(id)
        if self.posts >= self.wanted:
            self.enough.set()

    async def told(self, wanted: int) -> dict[str, float]:
        """Waits for so many, and forgets them."""
        self.wanted = wanted
        if self.posts < wanted:
            self.enough.clear()
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self.enough.wait(), PATIENCE)
        told = {"posts": self.posts, "ids": len(self.ids), "last": self.last}
        self.posts = 0
        self.ids.clear()
        return told


class Connection(asyncio.Protocol):
    """One connection of a sender."""

    def __init__(self, arrivals: Arrivals) -> None:
        self.arrivals = arrivals
        self.rest = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport

    def data_received(self, data: bytes) -> None:
        self.rest += data
        while (end := self.rest.find(b"\r\n\r\n") + 4) >= 4:
            head = self.rest[: end - 2]
            length = LENGTH.search(head)
            whole = end + (int(length[1]) if length else 0)
            if len(self.rest) < whole:
                return
            id = ID.search(head)
            self.arrivals.add(id[1] if id else b"")
            self.rest = self.rest[whole:]
            self.transport.write(TAKEN)


async def main() -> None:
    arrivals = Arrivals()
    loop = asyncio.get_running_loop()
    server = await loop.create_server(lambda: Connection(arrivals), "127.0.0.1", 0, backlog=1024)
    print(server.sockets[0].getsockname()[1], flush=True)
    while line := await asyncio.to_thread(sys.stdin.readline):
        print(json.dumps(await arrivals.told(json.loads(line)["posts"])), flush=True)


if __name__ == "__main__":
    asyncio.run(main())
