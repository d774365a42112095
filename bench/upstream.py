"""A fine-tuning API as plain as can be, so that the client's cost is what a benchmark sees.

Holds N jobs in memory, each rendered once as indented JSON as the real service does; serves the listing (with
`limit` and `after`) and single jobs; `POST /change?count=N` moves the next N running jobs on. Prints its
port as its first line. Run in a process of its own.
"""

import asyncio
import json
import sys
from urllib.parse import parse_qs, urlsplit

CREATED = 1_790_000_000


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

    def __init__(self, count: int, running: int) -> None:
        self.ids: list[str] = []
        self.bodies: dict[str, bytes] = {}
        self.places: dict[str, int] = {}
        self.running: list[int] = []
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

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while head := await reader.readuntil(b"\r\n\r\n"):
                method, target, _ = head.split(b"\r\n", 1)[0].decode().split(" ")
                body = self.answer(method, target)
                writer.write(
                    b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n"
                    % len(body)
                )
                writer.write(body)
                await writer.drain()
        except (asyncio.IncompleteReadError, ConnectionError):
            writer.close()


async def main(count: int, running: int) -> None:
    upstream = Upstream(count, running)
    server = await asyncio.start_server(upstream.serve, "127.0.0.1", 0)
    print(server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(main(int(sys.argv[1]), int(sys.argv[2])))
