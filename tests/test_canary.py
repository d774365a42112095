"""No secret is ever shown: struck by value and by shape, and found nowhere after a run in which all echoes.

The run is a real daemon, at its most talkative, whose providers and receivers fail in many ways and repeat
in their answers every secret that they were sent. Afterwards no canary, nor ten letters of one, may stand in
the log, the database, a backup, what the commands print, or a message.
"""

import asyncio
import base64
import contextlib
import html
import itertools
import json
import os
import re
import shlex
import signal
import sqlite3
import sys
import time
from collections import Counter, defaultdict
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from functools import cache
from pathlib import Path
from typing import Any
from urllib.parse import quote, unquote

import pytest

from ftwatch import log as logs
from ftwatch.simulator.script import Script
from ftwatch.simulator.upstream import Clock, Upstream

ROWS = json.loads((Path(__file__).parent / "data" / "secrets.json").read_text(encoding="utf-8"))["rows"]
FRAGMENT = 10
PATIENCE = 40.0


def numbered(use: str) -> list[tuple[int, dict[str, Any]]]:
    return [(number, row) for number, row in enumerate(ROWS) if row["as"] == use]


# ------------------------------------------------------------------------------------------- one sentence

PLACES = {"host": "receiver.example:8443", "proxy": "proxy.example:3128"}


def filled(row: dict[str, Any], places: dict[str, str] = PLACES) -> str:
    """The row's secret with its addresses filled in."""
    secret: str = row["secret"]
    for name, place in places.items():
        secret = secret.replace("{" + name + "}", place)
    return secret


@cache
def needles(canary: str) -> tuple[set[str], set[str]]:
    """Every piece of a canary that must not be seen: in small letters, and as base64 has it."""
    plain = {canary[start : start + FRAGMENT].lower() for start in range(len(canary) - FRAGMENT + 1)}
    coded = set()
    for before in range(3):
        whole = base64.b64encode(bytes(before) + canary.encode()).decode()
        coded |= {whole[start : start + 12] for start in range(4, len(whole) - 15, 4)}
    return plain, coded


@cache
def small(text: str) -> str:
    return text.lower()


def seen(row: dict[str, Any], text: str) -> str | None:
    """A piece of the canary in a text, with its neighbourhood."""
    plain, coded = needles(row["canary"])
    for where, pieces in ((small(text), plain), (text, coded)):
        for piece in pieces:
            if (at := where.find(piece)) >= 0:
                return text[max(0, at - 60) : at + 60]
    return None


@pytest.fixture
def unknown(monkeypatch: pytest.MonkeyPatch) -> None:
    """No secret was told yet."""
    monkeypatch.setattr(logs, "_secrets", set())


def written(secret: str) -> dict[str, str]:
    """The ways in which others write what they were sent."""
    return {
        "as it is": secret,
        "in a JSON text": json.dumps(secret),
        "in a JSON text of ASCII only": json.dumps(secret, ensure_ascii=True),
        "in a web address": quote(secret, safe=""),
        "in the path of a web address": quote(secret),
        "in HTML": html.escape(secret),
        "on one line": " ".join(secret.split()),
        "as Python shows it": repr(secret),
    }


def rows(**wanted: Any) -> list[Any]:
    """The rows as parameters; with `wanted` only those that say so."""
    return [pytest.param(row, id=row["name"]) for row in ROWS if wanted.items() <= row.items()]


@pytest.mark.parametrize("row", rows())
def test_a_secret_that_was_told_is_struck(row: dict[str, Any], unknown: None) -> None:
    logs.hide(filled(row))
    said = row["said"].replace("{}", filled(row))
    assert seen(row, said)
    assert seen(row, logs.redacted(said)) is None


@pytest.mark.parametrize("row", rows())
def test_a_secret_that_was_told_is_struck_however_it_is_written(row: dict[str, Any], unknown: None) -> None:
    logs.hide(filled(row))
    told = {way: logs.redacted(row["said"].replace("{}", it)) for way, it in written(filled(row)).items()}
    assert {way: text for way, text in told.items() if seen(row, text)} == {}


@pytest.mark.parametrize("row", rows(by_shape=True))
def test_a_secret_is_known_by_its_shape(row: dict[str, Any], unknown: None) -> None:
    said = row["said"].replace("{}", filled(row))
    assert seen(row, said)
    assert seen(row, logs.redacted(said)) is None


def test_the_corpus_is_in_order() -> None:
    assert len({row["name"] for row in ROWS}) == len({row["canary"] for row in ROWS}) == len(ROWS) >= 20
    for row, other in itertools.permutations(ROWS, 2):
        assert seen(row, filled(other)) is None, "a canary stands for one secret only"
    for row in ROWS:
        assert seen(row, filled(row)), row["name"]


# ------------------------------------------------------------------------------------------- the other side

# Where what has a secret in its body goes.
FORMED = "/formed"


class Echo:
    """Providers, receivers, a proxy and a mail server that fail, and repeat what they were sent."""

    STATUSES = (503, 500, 429, 408, 503, 409, 423, 500, 425)

    def __init__(self) -> None:
        self.count: Counter[str] = Counter()
        self.bodies: dict[str, list[bytes]] = defaultdict(list)
        self.heads: list[str] = []
        self.host = self.mail = ""

    @contextlib.asynccontextmanager
    async def serving(self) -> AsyncIterator["Echo"]:
        web = await asyncio.start_server(self._guarded(self._http), "127.0.0.1", 0)
        mail = await asyncio.start_server(self._guarded(self._smtp), "127.0.0.1", 0)
        async with web, mail:
            self.host, self.mail = (
                f"127.0.0.1:{server.sockets[0].getsockname()[1]}" for server in (web, mail)
            )
            yield self

    def _guarded(
        self, serve: Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]
    ) -> Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]:
        async def served(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            with contextlib.suppress(asyncio.IncompleteReadError, ConnectionError):
                await serve(reader, writer)
            writer.close()

        return served

    async def _http(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while True:
            head = await reader.readuntil(b"\r\n\r\n")
            length = re.search(rb"(?i)content-length: *(\d+)", head)
            body = await reader.readexactly(int(length[1])) if length else b""
            self.heads.append(head.decode("latin-1"))
            line, *lines = self.heads[-1].split("\r\n")
            method, target, _ = line.split(" ")
            headers = {
                name.lower(): value for name, _, value in (one.partition(": ") for one in lines if one)
            }
            if body:
                self.bodies[headers.get("x-is", target)].append(body)
            status, answer = self._answer(method, target, headers)
            if target == FORMED:
                answer = b"cannot use " + body
            told = b"HTTP/1.1 %d %s\r\ncontent-length: %d\r\n" % (status, b"No", len(answer))
            if status == 302:
                told += b"location: /elsewhere?key=" + answer[:200].replace(b"\n", b" ") + b"\r\n"
            writer.write(told + b"\r\n" + answer)
            await writer.drain()

    def _answer(self, method: str, target: str, headers: dict[str, str]) -> tuple[int, bytes]:
        path = target.partition("?")[0]
        number = self.count[headers.get("x-is", target)]
        self.count[headers.get("x-is", target)] += 1
        if path.startswith("/good"):
            return 200, b"ok"
        quotes = list(_quotes(target, headers))
        said = quotes[number % len(quotes)].encode()
        if method == "CONNECT":
            return 407, said
        if method == "GET":
            key = headers.get("authorization", "").removeprefix("Bearer ")
            return _refusal(key, number + int(re.sub(r"\D", "", path[:5]) or 0))
        return (400 if "refusing" in headers.get("x-is", "") else self.STATUSES[number % 9]), said

    async def _smtp(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"220 here\r\n")
        while line := (await reader.readline()).strip():
            word = line.decode("latin-1").split(" ")
            if word[0].upper() == "EHLO":
                writer.write(b"250-here\r\n250 AUTH PLAIN LOGIN\r\n")
            elif word[0].upper() == "AUTH":
                self.count["smtp"] += 1
                plain = base64.b64decode(word[-1]).replace(b"\0", b" ") if len(word) > 2 else b"?"
                shown = (plain.split(b" ")[-1], plain, line)[self.count["smtp"] // 2 % 3]
                code = b"454" if self.count["smtp"] < 12 else b"535"
                writer.write(code + b" 5.7.8 " + shown + b" is not accepted\r\n")
            else:
                writer.write(b"500 what?\r\n")
            await writer.drain()


def _quotes(target: str, headers: dict[str, str]) -> Iterator[str]:
    """What others say of a request that they do not like, with everything in it that was meant for them."""
    yield f"Cannot POST {target}"
    yield "Cannot POST " + unquote(target)
    for name, value in headers.items():
        if name.startswith(("webhook-", "content-", "x-is", "host", "accept", "user-agent", "connection")):
            continue
        word = value.rpartition(" ")[2]
        yield f"{name}: {value}"
        if word != value:
            yield f"not accepted: {word}"
        yield json.dumps({"error": "not accepted", "headers": {name: value}})
        with contextlib.suppress(ValueError):
            yield "no such login: " + base64.b64decode(word, validate=True).decode()
        # So that the end of what is kept of an answer cuts the secret in two.
        yield "x" * (145 - len(value) // 2) + " " + value


def _refusal(key: str, number: int) -> tuple[int, bytes]:
    """How a provider says no to a key."""
    return (
        (401, json.dumps({"error": {"message": f"Incorrect API key provided: {key}."}}).encode()),
        (403, f"authorization: Bearer {key}".encode()),
        (400, ("x" * (285 - len(key) // 2) + " " + key).encode()),
        (200, b"this is no JSON but " + key.encode()),
        (200, json.dumps({"data": [{"id": f"ftjob-{key}"}, {"status": key}, key]}).encode()),
        (500, json.dumps({"detail": f"no account for {key!r}"}).encode()),
        (302, key.encode()),
        (200, json.dumps({"object": "error", "message": f"{key} is wrong"}).encode()),
        (429, json.dumps({"error": {"message": f"too many requests with {key}"}}).encode()),
    )[number % 9]


# ------------------------------------------------------------------------------------------- the run

# Those that have much to quote are tried often, those that cost a thread or a process are not.
OFTEN = "retry: {waits: [20ms], jitter: 0, throttle: 20ms, drain: 1000/s, span: 2s}"
SELDOM = "retry: {waits: [400ms], jitter: 0, throttle: 400ms, drain: 1000/s, span: 1s}"
SIGNED = "secret: whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSwMfKQ9r8GKYo="


class Run:
    """A folder, a daemon in it, and in the end all that was shown to anybody: by where it was."""

    def __init__(self, folder: Path, echo: Echo, upstream: Upstream) -> None:
        self.folder, self.echo, self.upstream = folder, echo, upstream
        self.places = {"host": echo.host, "proxy": echo.host}
        self.config, self.database = folder / "ftwatch.yaml", folder / "ftwatch.db"
        self.failing: list[str] = []
        self.shown: dict[str, str] = {}
        self.environ = {
            **{name: os.environ[name] for name in ("PATH", "HOME") if name in os.environ},
            # What Apprise sends to others goes nowhere else.
            **{f"{scheme}_proxy": f"http://{echo.host}" for scheme in ("http", "https")},
            "no_proxy": "127.0.0.1",
        }

    def write(self, slip: str = "") -> None:
        """The config: every row of the corpus in its place."""
        lines = ["providers:"]
        good = self.given("api_key", *numbered("job")[0])
        lines += [f"  good: {{kind: openai, base_url: '{self.upstream.url}', {good}, {POLL}}}"]
        for number, row in numbered("api_key"):
            url = f"http://{self.echo.host}/p{number:02d}/v1"
            key = self.given("api_key", number, row)
            lines += [f"  p{number}: {{kind: openai, base_url: '{url}', {key}, {POLL}}}"]
        lines += ["notifiers:"]
        lines += [f"  team: {{kind: slack, webhook_url: 'http://{self.echo.host}/good/slack'}}"]
        lines += [f"  tools: {{kind: webhook, url: 'http://{self.echo.host}/good/hook', {SIGNED}}}"]
        self.failing = []
        for name, block in self.bad():
            self.failing.append(name)
            lines += [f"  {name}: {{{block}, {OFTEN if name == 'failing' else SELDOM}}}"]
        lines += ["routes:", "  - {match: {type: '*'}, min_severity: detail, notify: [team, tools]}"]
        lines += [f"  - {{match: {{type: 'fine_tuning.*'}}, notify: [{', '.join(self.failing)}]}}"]
        proxy = f"${{CANARY_{numbered('proxy')[0][0]}}}"
        self.given("proxy", *numbered("proxy")[0])
        lines += [f"client: {{proxy: '{proxy}', no_proxy: [127.0.0.1]}}"]
        lines += [f"store: {{path: {self.database}}}", f"socket: {self.folder}/ftwatch.sock"]
        lines += ["log: {level: debug, format: json}", slip]
        self.config.write_text("\n".join(lines) + "\n")

    def bad(self) -> Iterator[tuple[str, str]]:
        """The notifiers that never reach anybody, with their secrets."""
        here = f"http://{self.echo.host}"
        headers = {}
        for number, row in numbered("header"):
            self.given("x", number, row)
            name = row.get("header", f"x-secret-{number}")
            headers[name] = row.get("value", "{}").replace("{}", f"${{CANARY_{number}}}")
        for name in ("failing", "refusing"):
            said = ", ".join(f"{key}: '{value}'" for key, value in {**headers, "x-is": name}.items())
            yield name, f"kind: webhook, url: '{here}/{name}', headers: {{{said}}}, {SIGNED}"
        yield "proxied", f"kind: webhook, url: 'http://receiver.example/in', {SIGNED}"
        for number, row in numbered("slack"):
            yield f"n{number}", f"kind: slack, {self.given('webhook_url', number, row)}"
        for number, row in numbered("url"):
            yield f"n{number}", f"kind: webhook, {self.given('url', number, row)}, {SIGNED}"
        for number, row in numbered("secret"):
            yield f"n{number}", f"kind: webhook, url: '{here}/in', {self.given('secret', number, row)}"
        for use, login in (("basic", "username: ftwatch, "), ("bearer", "")):
            for number, row in numbered(use):
                key = "password" if use == "basic" else "bearer"
                auth = f"auth: {{{login}{self.given(key, number, row)}}}"
                yield f"n{number}", f"kind: webhook, url: '{here}/in', {auth}, {SIGNED}"
        for number, row in numbered("body"):
            form = f"body: {{title: '{{{{ title }}}}', {self.given('key', number, row)}}}"
            yield f"n{number}", f"kind: webhook, url: '{here}{FORMED}', {form}"
        for number, row in numbered("apprise"):
            yield f"n{number}", f"kind: apprise, {self.given('url', number, row)}"
        for number, row in numbered("ntfy"):
            yield f"n{number}", f"kind: ntfy, url: '{here}', topic: mine, {self.given('token', number, row)}"
        for number, row in numbered("alertmanager"):
            login = f"username: ftwatch, {self.given('password', number, row)}"
            yield f"n{number}", f"kind: alertmanager, url: '{here}/am', {login}"
        for number, row in numbered("env"):
            script = (
                f'env >{self.folder}/env.{number}; echo "no login with $IT" >&2; exit $((75 * ($RANDOM % 2)))'
            )
            argv = json.dumps(["/bin/bash", "-c", script.replace("$", "$$")])
            given = self.given("IT", number, row)
            yield f"n{number}", f"kind: command, argv: {argv}, env: {{{given}}}"
        for number, row in numbered("password"):
            host, port = self.echo.mail.split(":")
            people = "from: a@b.example, to: [c@d.example]"
            secret = self.given("password", number, row)
            where = f"host: {host}, port: {port}, security: plain, username: ftwatch"
            yield f"n{number}", f"kind: email, {where}, {people}, {secret}"

    def given(self, key: str, number: int, row: dict[str, Any]) -> str:
        """A secret as it stands in the config, by its variable or its file."""
        if row.get("file"):
            path = self.folder / f"secret.{number}"
            path.write_text(filled(row, self.places) + "\n")
            path.chmod(0o600)
            return f"{key}_file: '{path}'"
        self.environ[f"CANARY_{number}"] = filled(row, self.places)
        return f"{key}: '${{CANARY_{number}}}'"

    # ---------------------------------------------------------------------------------- what happens

    async def go(self) -> None:
        self.write()
        log = self.folder / "log"
        with log.open("wb") as out:
            daemon = await self.start("run", out, out)
            try:
                await self.until("SELECT 1 FROM events WHERE type = 'ftwatch.provider.watching'")
                key = filled(numbered("job")[0][1])
                error = {"code": "invalid_key", "message": f"cannot read with {key}", "param": "x"}
                for script in (SHORT, SHORT, Script("quoting", ((0, "running"), (40, "failed")), error)):
                    self.upstream.create(script, suffix="canary")
                await self.all_failed()
                self.write(slip=self.slip())
                daemon.send_signal(signal.SIGHUP)
                await self.until("SELECT 1 FROM events WHERE type = 'ftwatch.config.rejected'")
                self.write()
                await self.ask()
                self.shown["the database in use"] = self.bytes_of("ftwatch.db*")
            finally:
                daemon.send_signal(signal.SIGTERM)
                await daemon.wait()
        self.shown["the log"] = log.read_text()
        self.shown["the database"] = self.bytes_of("ftwatch.db*")
        self.shown["the backup"] = self.bytes_of("backup.db")
        told = b"\n".join(
            # What is meant to be told its secret within the message is told it.
            body
            for target, bodies in self.echo.bodies.items()
            if target != FORMED
            for body in bodies
        )
        self.shown["the messages"] = told.decode()
        if daemon.returncode != 0:
            raise AssertionError(
                f"the daemon ended with {daemon.returncode}: {self.shown['the log'][-2000:]}"
            )

    def slip(self) -> str:
        """What somebody writes who never heard that YAML reserves the @."""
        return f"x-old:\n  password: {numbered('slip')[0][1]['secret']}"

    async def start(self, command: str, out: Any, err: Any) -> asyncio.subprocess.Process:
        args = ["-m", "ftwatch", "-c", str(self.config), *shlex.split(command)]
        return await asyncio.create_subprocess_exec(
            sys.executable, *args, stdout=out, stderr=err, env=self.environ, cwd=self.folder
        )

    async def ask(self) -> None:
        """Every command that shows something, two at a time."""
        job = next(iter(self.upstream.jobs))
        commands = [
            "status",
            f"why {job}",
            f"show {job}",
            "outbox list -n 500 -o json",
            "events -n 500 -o json",
            "check --online",
            "notify test failing",
            f"backup {self.folder}/backup.db",
        ]
        turn = asyncio.Semaphore(2)

        async def one(command: str) -> None:
            async with turn:
                pipe = asyncio.subprocess.PIPE
                asked = await self.start(command, pipe, asyncio.subprocess.STDOUT)
                said, _ = await asked.communicate()
                name = command.replace(str(self.folder), "…").replace(job, "JOB")
                self.shown[f"ftwatch {name}"] = said.decode()
                if "Traceback" in said.decode():
                    raise AssertionError(said.decode())

        await asyncio.gather(*map(one, commands))

    async def all_failed(self) -> None:
        """Waits until every failing notifier has failed often, and every provider was asked."""
        tries = (
            "SELECT d.notifier, COUNT(*) FROM attempts a JOIN deliveries d ON d.seq = a.delivery GROUP BY 1"
        )
        end = time.monotonic() + PATIENCE
        while True:
            told = dict(self.rows(tries))
            late = [name for name in self.failing if told.get(name, 0) < ENOUGH.get(name, 3)]
            degraded = self.rows("SELECT provider FROM events WHERE type = 'ftwatch.provider.degraded'")
            late += [f"p{number}" for number, _ in numbered("api_key") if (f"p{number}",) not in degraded]
            ends = self.rows("SELECT 1 FROM events WHERE type IN ('fine_tuning.job.failed')")
            if not late and ends:
                return
            if time.monotonic() > end:
                raise AssertionError(f"nothing was heard of {late}: {told}")
            await asyncio.sleep(0.1)

    async def until(self, sql: str) -> None:
        end = time.monotonic() + PATIENCE
        while not self.rows(sql):
            if time.monotonic() > end:
                raise AssertionError(
                    f"it never came true: {sql}\n{(self.folder / 'log').read_text()[-3000:]}"
                )
            await asyncio.sleep(0.05)

    def rows(self, sql: str) -> list[Any]:
        try:
            uri = f"file:{self.database}?mode=ro"
            with contextlib.closing(sqlite3.connect(uri, uri=True, timeout=5)) as connection:
                return connection.execute(sql).fetchall()
        except sqlite3.Error:
            return []

    def bytes_of(self, pattern: str) -> str:
        found = [path.read_bytes() for path in sorted(self.folder.glob(pattern))]
        if not found:
            raise AssertionError(f"no {pattern}")
        return b"\n".join(found).decode("latin-1")


POLL = "poll: 1s, discover: 1s, rate: 6000/min, degraded_after: 1s"
SHORT = Script("short", ((0, "queued"), (20, "running"), (60, "succeeded")))
# How often each must fail before all that it sends has been quoted.
ENOUGH = {"failing": 65, "refusing": 1}


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    """One run for all; what came of it is looked at by the tests."""

    async def going() -> Run:
        key = filled(numbered("job")[0][1])
        async with Upstream(clock=Clock(20), key=key).serving() as upstream, Echo().serving() as echo:
            run = Run(tmp_path_factory.mktemp("canary"), echo, upstream)
            await run.go()
            return run

    return asyncio.run(going())


@pytest.mark.parametrize("row", rows())
def test_where_all_echoes_it_is_shown_nowhere(row: dict[str, Any], run: Run) -> None:
    assert {place: found for place, text in run.shown.items() if (found := seen(row, text))} == {}


def test_the_run_showed_enough_to_be_found_out(run: Run) -> None:
    job = next(iter(run.upstream.jobs))
    for place in ("the log", "the database", "the backup", "the messages", "ftwatch why JOB"):
        assert job in run.shown[place] or "JOB" in place, place
    assert all(len(text) > 20 for text in run.shown.values()), run.shown
    heads = "".join(run.echo.heads)
    sent = {row["name"] for row in ROWS if seen(row, heads)}
    heads += b"".join(run.echo.bodies[FORMED]).decode()
    sent |= {row["name"] for _, row in numbered("body") if seen(row, heads)}
    for use in ("api_key", "header", "url", "proxy", "basic", "bearer", "body"):
        assert sent >= {row["name"] for _, row in numbered(use)}, use
    assert run.echo.count["smtp"] > 1


def test_a_command_is_told_its_own_secret_only(run: Run) -> None:
    for number, row in numbered("env"):
        environ = (run.folder / f"env.{number}").read_text()
        assert [other["name"] for other in ROWS if seen(other, environ)] == [row["name"]]
