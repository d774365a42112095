"""A fine-tuning API as plain as can be, so that the client's cost is what a benchmark sees.

Serves N jobs as the real service does: indented JSON, in pages (with `limit` and `after`) and one by one;
`POST /change?count=N` ends N of those that run. Prints its port as its first line. Run in a process of its
own:

    python bench/upstream.py JOBS RUNNING [gzip] [spread] [slow]

`gzip` packs what it sends; `spread`: those that run stand all over the list, not at its head; `slow`: every
answer takes 100 ms, as one from far away does.
"""

import asyncio
import gzip
import json
import sys
from functools import lru_cache
from urllib.parse import parse_qs, urlsplit

CREATED = 1_790_000_000
# So many of the jobs' texts are kept: where one has changed, the page is made as quickly as by a service.
KEPT = 2000
# The real service sends about so much beside the body.
HEAD = (
    b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ndate: Thu, 01 Oct 2026 00:00:00 GMT\r\n"
    b"openai-organization: acme\r\nopenai-processing-ms: 42\r\nopenai-version: 2020-10-01\r\n"
    b"x-request-id: req_0123456789abcdef0123456789abcdef\r\nserver: cloudflare\r\n"
    b"cf-cache-status: DYNAMIC\r\nx-content-type-options: nosniff\r\n"
    b"strict-transport-security: max-age=31536000; includeSubDomains; preload\r\n"
)


# What a job says, with `number` in it; what is a number there stands in quotes here.
SAID = {
    "object": "fine_tuning.job",
    "id": "ftjob-%(number)024d",
    "model": "gpt-4.1-mini-2025-04-14",
    "created_at": "%(created)d",
    "finished_at": None,
    "fine_tuned_model": None,
    "organization_id": "org-0123456789abcdefghijklmn",
    "result_files": [],
    "status": "running",
    "validation_file": "file-%(number)022d",
    "training_file": "file-%(next)022d",
    "hyperparameters": {"n_epochs": 3, "batch_size": 4, "learning_rate_multiplier": 1.8},
    "trained_tokens": None,
    "error": {"code": None, "message": None, "param": None},
    "user_provided_suffix": "run-%(number)d",
    "seed": 42,
    "estimated_finish": None,
    "integrations": [],
    "metadata": {"team": "search", "run": "no %(number)d"},
    "usage_metrics": None,
    "shared_with_openai": False,
    "method": {
        "type": "supervised",
        "supervised": {"hyperparameters": {"batch_size": 4, "learning_rate_multiplier": 1.8, "n_epochs": 3}},
    },
}
# What it says besides once it has ended.
ENDED = {
    "finished_at": "%(finished)d",
    "fine_tuned_model": "ft:gpt-4.1-mini-2025-04-14:acme:run-%(number)d:%(number)08x",
    "result_files": ["file-%(number)022x"],
    "status": "succeeded",
    "trained_tokens": 5_768_000,
}


def template(said: dict[str, object]) -> str:
    """Jobs are made from it by `%`, which is fifty times as quick as to render each of a million anew."""
    text = json.dumps(said, indent=2)
    for name in ("created", "finished"):
        text = text.replace(f'"%({name})d"', f"%({name})d")
    return text


TEMPLATES = {False: template(SAID), True: template(SAID | ENDED)}


@lru_cache(maxsize=KEPT)
def body(number: int, *, ended: bool) -> bytes:
    """What the service says of one job, as it stands in a listing."""
    created = CREATED + number
    about = {"number": number, "next": number + 1, "created": created, "finished": created + 3600}
    return (TEMPLATES[ended] % about).encode()


class Upstream:
    """Jobs 1 to `count`, newest first; `running` of them run: the newest or (`spread`) some on every page.

    What a job says follows from its number and its status, so that a million of them take no room. Answers
    are made once and kept, until something changes.
    """

    def __init__(self, count: int, running: int, *, packs: bool, spread: bool, slow: bool) -> None:
        self.count = count
        every = count / running if spread and running else 1
        self.running = [count - int(place * every) for place in range(running)]
        self.run = set(self.running)
        self.packs = packs
        self.delay = 0.1 if slow else 0.0
        self.pages: dict[str, tuple[bytes, bytes]] = {}

    def body(self, number: int) -> bytes:
        return body(number, ended=number not in self.run)

    def change(self, count: int) -> None:
        """Ends so many of the jobs that run, from all over the list."""
        ended = set(self.running[:: max(1, len(self.running) // count)][:count])
        self.running = [number for number in self.running if number not in ended]
        self.run -= ended
        self.pages.clear()

    def answer(self, method: str, target: str) -> bytes:
        url = urlsplit(target)
        query = parse_qs(url.query)
        if method == "POST":
            self.change(int(query["count"][0]))
            return b"{}"
        *_, parent, tail = url.path.split("/")
        if tail.startswith("ftjob-"):
            return self.body(int(tail.removeprefix("ftjob-")))
        if parent.startswith("ftjob-"):
            return b'{"object": "list", "data": [], "has_more": false}'
        limit = int(query.get("limit", ["20"])[0])
        after = query.get("after", [None])[0]
        first = int(after.removeprefix("ftjob-")) - 1 if after else self.count
        last = max(first - limit, 0)
        entries = b",\n    ".join(self.body(number) for number in range(first, last, -1))
        more = b"true" if last else b"false"
        return (
            b'{\n  "object": "list",\n  "data": [\n    ' + entries + b'\n  ],\n  "has_more": ' + more + b"\n}"
        )

    def made(self, method: str, target: str, *, packed: bool) -> tuple[bytes, bytes]:
        """The answer's body, and the header that says how it is packed.

        What was asked for once is kept, and so are the texts of many jobs: a service answers at once; what
        it takes for that is nobody's gate.
        """
        if method != "GET":
            return self.answer(method, target), b""
        if target not in self.pages:
            body, coding = self.answer(method, target), b""
            if packed and len(body) > 1000:
                body, coding = gzip.compress(body, 5, mtime=0), b"content-encoding: gzip\r\n"
            self.pages[target] = body, coding
        return self.pages[target]

    def whole(self, method: str, target: str, *, packed: bool) -> bytes:
        """The answer as it goes out."""
        body, coding = self.made(method, target, packed=packed)
        return b"%b%bcontent-length: %d\r\n\r\n%b" % (HEAD, coding, len(body), body)


class Connection(asyncio.Protocol):
    """One connection of a client, which asks one thing after the other. Streams would cost twice as much."""

    def __init__(self, upstream: Upstream) -> None:
        self.upstream = upstream
        self.rest = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport

    def data_received(self, data: bytes) -> None:
        self.rest += data
        while b"\r\n\r\n" in self.rest:
            head, _, self.rest = self.rest.partition(b"\r\n\r\n")
            if self.upstream.delay and head.startswith(b"GET"):
                asyncio.get_running_loop().call_later(self.upstream.delay, self.answer, head)
            else:
                self.answer(head)

    def answer(self, head: bytes) -> None:
        method, target, _ = head.split(b"\r\n", 1)[0].decode().split(" ")
        packed = self.upstream.packs and b"gzip" in head
        self.transport.write(self.upstream.whole(method, target, packed=packed))


async def main(count: int, running: int, how: list[str]) -> None:
    upstream = Upstream(count, running, packs="gzip" in how, spread="spread" in how, slow="slow" in how)
    loop = asyncio.get_running_loop()
    server = await loop.create_server(lambda: Connection(upstream), "127.0.0.1", 0)
    print(server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(main(int(sys.argv[1]), int(sys.argv[2]), sys.argv[3:]))
