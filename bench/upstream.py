"""A fine-tuning API as plain as can be, so that the client's cost is what a benchmark sees.

Holds N jobs in memory, each rendered once as indented JSON as the real service does; serves the listing (with
`limit` and `after`) and single jobs; `POST /change?count=N` moves the next N running jobs on. Prints its
port as its first line. Run in a process of its own, with `gzip` as third argument one that packs its pages.
"""

import asyncio
import gzip
import hashlib
import json
import sys
from urllib.parse import parse_qs, urlsplit

CREATED = 1_790_000_000
# The real service sends about so much beside the body.
HEAD = (
    b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ndate: Thu, 01 Oct 2026 00:00:00 GMT\r\n"
    b"openai-organization: acme\r\nopenai-processing-ms: 42\r\nopenai-version: 2020-10-01\r\n"
    b"x-request-id: req_0123456789abcdef0123456789abcdef\r\nserver: cloudflare\r\n"
    b"cf-cache-status: DYNAMIC\r\nx-content-type-options: nosniff\r\n"
    b"strict-transport-security: max-age=31536000; includeSubDomains; preload\r\n"
)


def job(number: int, status: str) -> dict[str, object]:
    done = status == "succeeded"
    return {
        "object": "fine_tuning.job",
        "id": f"ftjob-{number:024d}",
        "model": "gpt-4.1-mini-2025-04-14",
        "created_at": CREATED + number,
        "finished_at": CREATED + number + 3600 if done else None,
        "fine_tuned_model": f"ft:gpt-4.1-mini-2025-04-14:acme:run-{number}:{number:08x}" if done else None,
        "organization_id": "org-0123456789abcdefghijklmn",
        "result_files": [f"file-{number:022x}"] if done else [],
        "status": status,
        "validation_file": f"file-{number:022d}",
        "training_file": f"file-{number + 1:022d}",
        "hyperparameters": {"n_epochs": 3, "batch_size": 4, "learning_rate_multiplier": 1.8},
        "trained_tokens": 5_768_000 if done else None,
        "error": {"code": None, "message": None, "param": None},
        "user_provided_suffix": f"run-{number}",
        "seed": 42,
        "estimated_finish": None,
        "integrations": [],
        "metadata": {"team": "search", "run": str(number)},
        "usage_metrics": None,
        "shared_with_openai": False,
        "method": {
            "type": "supervised",
            "supervised": {
                "hyperparameters": {"batch_size": 4, "learning_rate_multiplier": 1.8, "n_epochs": 3}
            },
        },
    }


class Upstream:
    """The jobs, newest first, and their rendered bytes."""

    def __init__(self, count: int, running: int, *, packs: bool) -> None:
        self.ids: list[str] = []
        self.bodies: dict[str, bytes] = {}
        self.places: dict[str, int] = {}
        self.running: list[int] = []
        self.packs = packs
        self.gzipped: dict[bytes, bytes] = {}
        for number in range(count, 0, -1):
            status = "running" if number > count - running else "succeeded"
            self.put(number, status)
            if status == "running":
                self.running.append(number)

    def put(self, number: int, status: str) -> None:
        document = job(number, status)
        id = str(document["id"])
        if id not in self.bodies:
            self.places[id] = len(self.ids)
            self.ids.append(id)
        self.bodies[id] = json.dumps(document, indent=2).encode()

    def answer(self, method: str, target: str) -> bytes:
        url = urlsplit(target)
        query = parse_qs(url.query)
        if method == "POST":
            for _ in range(int(query["count"][0])):
                self.put(self.running.pop(), "succeeded")
            return b"{}"
        *_, parent, tail = url.path.split("/")
        if tail in self.bodies:
            return self.bodies[tail]
        if parent in self.bodies:
            return b'{"object": "list", "data": [], "has_more": false}'
        limit = int(query.get("limit", ["20"])[0])
        after = query.get("after", [None])[0]
        start = self.places[after] + 1 if after else 0
        ids = self.ids[start : start + limit]
        more = b"true" if start + limit < len(self.ids) else b"false"
        entries = b",\n    ".join(self.bodies[id] for id in ids)
        return (
            b'{\n  "object": "list",\n  "data": [\n    ' + entries + b'\n  ],\n  "has_more": ' + more + b"\n}"
        )

    def packed(self, body: bytes) -> bytes:
        """The body with gzip; the work is done once for the same bytes."""
        mark = hashlib.sha256(body).digest()
        if mark not in self.gzipped:
            self.gzipped[mark] = gzip.compress(body, 5, mtime=0)
        return self.gzipped[mark]

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while head := await reader.readuntil(b"\r\n\r\n"):
                method, target, _ = head.split(b"\r\n", 1)[0].decode().split(" ")
                body = self.answer(method, target)
                coding = b""
                if self.packs and len(body) > 1000 and b"gzip" in head:
                    body, coding = self.packed(body), b"content-encoding: gzip\r\n"
                writer.write(HEAD + coding + b"content-length: %d\r\n\r\n" % len(body))
                writer.write(body)
                await writer.drain()
        except (asyncio.IncompleteReadError, ConnectionError):
            writer.close()


async def main(count: int, running: int, packs: bool) -> None:
    upstream = Upstream(count, running, packs=packs)
    server = await asyncio.start_server(upstream.serve, "127.0.0.1", 0)
    print(server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(main(int(sys.argv[1]), int(sys.argv[2]), sys.argv[3:] == ["gzip"]))
