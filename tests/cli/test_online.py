"""check --online: what it finds out about a provider of any kind, well or not."""

import asyncio
import contextlib
import json
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, ClassVar

import anyio
import pytest

from ftwatch import config
from ftwatch.cli import online
from ftwatch.cli.online import Answer, ask_everybody
from ftwatch.config import Config
from ftwatch.plugins import Introducing, Introduction, Pushed, kinds, load_kind
from ftwatch.providers.openai import OpenAI
from ftwatch.simulator.dialect import dialect_of
from ftwatch.simulator.upstream import StillClock, Upstream

KEY = "sk-simulated-key-0123456789"
KINDS = sorted(kinds("provider"))
# Who is asked at all.
ASKED = [kind for kind in KINDS if not isinstance(load_kind("provider", kind), Pushed)]


def loaded(folder: Path, **providers: Any) -> Config:
    """A config with these providers."""
    file = folder / "ftwatch.yaml"
    file.write_text(json.dumps({"providers": providers, "notifiers": {"console": {}}}))
    return config.load(file, environ={}, secrets=True)


@asynccontextmanager
async def service(
    kind: str, folder: Path, *, key: str = KEY, about: dict[str, Any] | None = None, **more: Any
) -> AsyncIterator[tuple[Upstream, Config]]:
    """A simulated service of a kind, and a config that watches it, with `about` beside its options."""
    dialect = dialect_of(kind)
    async with Upstream(clock=StillClock(), key=KEY, dialect=dialect, **more).serving() as upstream:
        options = dialect.options(upstream.url, key, folder)
        yield upstream, loaded(folder, acme={**options, "rate": "60000/min", **(about or {})})


async def asked(config: Config) -> list[tuple[str, str]]:
    """What is said of the provider: result and sentence, without the milliseconds."""
    return [
        (one.result, one.said.rpartition(" (")[0] if one.said.endswith(" ms)") else one.said)
        for one in await ask_everybody(config)
        if one.what == "provider acme"
    ]


# ------------------------------------------------------------------------------------------- every kind


async def test_whose_jobs_tell_of_themselves_has_nobody_who_could_be_asked(tmp_path: Path) -> None:
    about = {"kind": "push", "token": "not-shown-0123456789"}
    said = "there is nobody to ask: its jobs tell of themselves, at /hooks/acme"
    assert await asked(loaded(tmp_path, acme=about)) == [("answers", said)]


@pytest.mark.parametrize("kind", ASKED)
async def test_a_provider_that_is_as_it_should_be(kind: str, tmp_path: Path) -> None:
    async with service(kind, tmp_path) as (upstream, config):
        for life in ("happy", "slow", "happy"):
            upstream.create(life)
        assert isinstance(upstream.clock, StillClock)
        upstream.clock.move(60)
        upstream.dialect.write(upstream)
        before = dict(upstream.jobs)
        told = await asked(config)
    assert told[0] == ("answers", "it lets ftwatch in, and shows 3 jobs, 3 active")
    assert not [said for result, said in told if result == "error"]
    result, said = told[-1]
    provider = load_kind("provider", kind)
    parts = provider.log_parts if isinstance(getattr(provider, "log_parts", None), tuple) else ()
    assert (result, said.partition(" it shows ")[2].split(", ")[0]) == ("answers", "the document")
    assert all(part in said for part in parts)
    assert KEY not in str(told)
    assert upstream.jobs == before
    assert not [line for line in upstream.requests if line.startswith(("DELETE", "PUT", "PATCH"))]


SAID = {
    "bedrock": "arn:aws:sts::123456789012:assumed-role/ftwatch/simulated, in us-east-1",
    "fireworks": "the key opens the account ",
    "huggingface": "the token is that of kim",
    "kubeflow": "the cluster knows it as system:serviceaccount:ml:ftwatch",
    "openai": "the key is one of the organization acme, the project proj_simulated",
    "sagemaker": "arn:aws:sts::123456789012:assumed-role/ftwatch/simulated, in us-east-1",
    "together": "the key is one of the project Search (proj_simulated)",
    "vertex": "for the project acme-research",
}
MAY = {"huggingface": "can also start jobs (role write)", "vertex": "can also create jobs"}


@pytest.mark.parametrize("kind", ASKED)
async def test_it_says_whose_key_it_is_where_the_service_does(kind: str, tmp_path: Path) -> None:
    assert issubclass(load_kind("provider", kind), Introducing) == (kind in SAID)
    if kind not in SAID:
        return
    async with service(kind, tmp_path) as (_, config):
        told = await asked(config)
    assert [said for result, said in told if result == "answers" and SAID[kind] in said]
    assert [said for result, said in told if result == "hint"] == [
        said for _, said in told if kind in MAY and MAY[kind] in said
    ]
    assert ("answers", "it lets ftwatch in, and shows no jobs yet") in told


@pytest.mark.parametrize("kind", ASKED)
async def test_a_key_that_is_refused(kind: str, tmp_path: Path) -> None:
    if kind == "file":
        return  # a disk knows no keys
    async with service(kind, tmp_path, key="sk-of-somebody-else-987654") as (_, config):
        ((result, said),) = await asked(config)
    assert result == "error"
    assert said.startswith("it does not let ftwatch in: ")
    assert "987654" not in said


# ------------------------------------------------------------------------------------------ how many jobs


@pytest.mark.parametrize(
    ("jobs", "page_cap", "said"),
    [
        (1, 100, "1 job, 1 active"),
        (100, 100, "100 jobs, 100 active"),
        (101, 100, "100+ jobs, 100 active among the first 100"),
        (101, 60, "101 jobs, 101 active"),
        (130, 60, "120+ jobs, 120 active among the first 120"),
        (50, 2, "40+ jobs, 40 active among the first 40"),
    ],
)
async def test_jobs_are_counted_up_to_a_bound(jobs: int, page_cap: int, said: str, tmp_path: Path) -> None:
    async with service("openai", tmp_path, page_cap=page_cap) as (upstream, config):
        for _ in range(jobs):
            upstream.create("slow")
        told = await asked(config)
    assert told[0] == ("answers", f"it lets ftwatch in, and shows {said}")


async def test_each_listing_is_asked_for(tmp_path: Path) -> None:
    async with service("fireworks", tmp_path) as (upstream, config):
        for _ in range(3):
            upstream.create("slow")
        told = await asked(config)
    heads = ("supervisedFineTuningJobs", "dpoJobs", "reinforcementFineTuningJobs")
    assert [sum(line.endswith(head) for line in upstream.requests) for head in heads] == [1, 1, 1]
    assert told[0][1].endswith("3 jobs, 3 active")


async def test_what_cannot_be_read_is_counted(tmp_path: Path) -> None:
    async with service("openai", tmp_path) as (upstream, config):
        upstream.create("slow")
        upstream.trouble("spoiled", times=1)
        told = await asked(config)
    assert told[0] == ("answers", "it lets ftwatch in, and shows 2 jobs, 2 active")
    assert ("error", "4 of the listed entries cannot be read") in told


# --------------------------------------------------------------------------------------- what is missing


@pytest.mark.parametrize(
    ("trouble", "said"),
    [
        ("missing", "the listing of jobs is missing: HTTP 404: Unknown request URL"),
        ("error", "the listing of jobs: HTTP 500: The server had an error"),
        ("circle", "the listing of jobs: the listing leads back to where it was"),
        ("html", "the listing of jobs: the answer is no list"),
    ],
)
async def test_a_listing_that_cannot_be_had(trouble: str, said: str, tmp_path: Path) -> None:
    async with service("openai", tmp_path) as (upstream, config):
        upstream.create("slow")
        upstream.trouble(trouble)
        ((result, told),) = await asked(config)
    assert (result, told[: len(said)]) == ("error", said)


class Lacking(OpenAI):
    """A server that lacks what `lacks` names, by the ends of paths, with these answers in their place."""

    lacks: ClassVar[dict[str, tuple[int, str]]] = {}

    def __init__(self, spec: Any) -> None:
        super().__init__(spec)
        ask = self.api.ask

        async def asked(path: str, *args: Any, **more: Any) -> Any:
            answer = await ask(path, *args, **more)
            for end, (status, message) in self.lacks.items():
                if path.endswith(end):
                    return type(answer)(status, {}, json.dumps({"error": {"message": message}}).encode())
            return answer

        self.api.ask = asked  # type: ignore[method-assign]


@pytest.fixture
def lacking(monkeypatch: pytest.MonkeyPatch) -> dict[str, tuple[int, str]]:
    """What the server lacks, to be filled in."""
    found: dict[str, tuple[int, str]] = {}
    monkeypatch.setattr(Lacking, "lacks", found)
    monkeypatch.setattr("ftwatch.assembly.load_kind", lambda *_: Lacking)
    return found


@pytest.mark.parametrize(
    ("end", "answer", "said"),
    [
        (
            "/checkpoints",
            (404, "Not Found"),
            "the job log's checkpoints of job {id}: missing: HTTP 404: Not Found; "
            "`job_log: false` does without",
        ),
        (
            "/events",
            (403, "Missing scopes: api.fine_tuning.jobs.read"),
            "the job log's events of job {id}: not to be had: HTTP 403: "
            "Missing scopes: api.fine_tuning.jobs.read; `job_log: false` does without",
        ),
        ("{id}", (404, "No such job: x"), "the document: there is no job {id}, which is listed"),
        ("{id}", (404, "Not Found"), "the document of job {id}: not to be had: HTTP 404: Not Found"),
        ("/events", (404, "No such job: x"), "the job log's events: there is no job {id}, which is listed"),
    ],
)
async def test_what_of_a_look_is_missing_is_named(
    end: str,
    answer: tuple[int, str],
    said: str,
    tmp_path: Path,
    lacking: dict[str, tuple[int, str]],
) -> None:
    async with service("openai", tmp_path) as (upstream, config):
        id = upstream.create("slow").id
        lacking[end.format(id=id)] = answer
        told = await asked(config)
    assert [said for result, said in told if result == "error"] == [said.format(id=id)]
    had = {"the document", "events", "checkpoints"} - {end.strip("/").replace("{id}", "the document")}
    assert set(told[-1][1].partition(" it shows ")[2].split(", ")) == had


@pytest.mark.parametrize("wanted", [False, None])
async def test_a_job_log_that_is_not_read_is_not_tried(
    wanted: bool | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(OpenAI, "log_is_cheap", wanted is False)
    about = {} if wanted is None else {"job_log": wanted}
    async with service("openai", tmp_path, about=about) as (upstream, config):
        id = upstream.create("slow").id
        told = await asked(config)
    assert told[-1] == ("answers", f"of job {id} it shows the document")


async def test_what_is_the_matter_with_an_account_is_a_mistake_and_what_is_too_much_is_none(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def introduce(self: OpenAI) -> Introduction:
        return Introduction(whose="kim's", beyond="it may create", lacks="no pauses", wrong="suspended")

    monkeypatch.setattr(OpenAI, "introduce", introduce)
    async with service("openai", tmp_path) as (_, config):
        answers = await ask_everybody(config)
    assert [(one.result, one.said, one.ok) for one in answers[1:5]] == [
        ("answers", "kim's", True),
        ("hint", "it may create", True),
        ("hint", "no pauses", True),
        ("error", "suspended", False),
    ]


async def test_that_nobody_says_whose_key_it_is_is_a_hint(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("ftwatch.providers.together.WHOAMI", "/v9/whoami")
    async with service("together", tmp_path) as (_, config):
        told = await asked(config)
    (hint,) = [said for result, said in told if result == "hint"]
    assert hint.startswith("whose key it is cannot be found out: HTTP 404")


# ---------------------------------------------------------------------------------------------- in time


async def test_who_hangs_is_given_up_and_slows_nobody(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The one that hangs is asked until its time is over; the other was done long before."""
    done: list[str] = []
    provide = online._provider

    async def noted(config: Any, *about: Any) -> list[Answer]:
        told = await provide(config, *about)
        done.append(config.name)
        return told

    monkeypatch.setattr(online, "_provider", noted)
    monkeypatch.setattr(online, "LONGEST", 2.0)
    dialect = dialect_of("openai")
    stuck = Upstream(clock=StillClock(), key=KEY, dialect=dialect)
    async with service("openai", tmp_path) as (well, _), stuck.serving():
        stuck.trouble("hang")
        well.create("slow")
        options = {"kind": "openai", "api_key": KEY}
        config = loaded(
            tmp_path,
            acme={**options, "base_url": stuck.url},
            fine={**options, "base_url": well.url},
        )
        answers = await ask_everybody(config)
    assert done == ["fine", "acme"]
    assert answers[0] == Answer("provider acme", "error", "nothing could be found out within 2 s")
    assert [one.ok for one in answers[1:]] == [True] * len(answers[1:])


async def test_what_was_found_out_before_the_time_was_over_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def forever(self: OpenAI) -> Introduction:
        await anyio.sleep_forever()
        raise AssertionError

    monkeypatch.setattr(online, "LONGEST", 2.0)
    monkeypatch.setattr(OpenAI, "introduce", forever)
    async with service("openai", tmp_path) as (_, config):
        told = await asked(config)
    assert told == [
        ("answers", "it lets ftwatch in, and shows no jobs yet"),
        ("error", "no more could be found out within 2 s"),
    ]


# --------------------------------------------------------------------------------------------- guests


@pytest.mark.parametrize("method", ["page", "split", "introduce", "retrieve", "read_log"])
async def test_the_bug_of_a_guest_is_an_answer(
    method: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: Any) -> Any:
        raise ZeroDivisionError

    monkeypatch.setattr(OpenAI, method, fail)
    async with service("openai", tmp_path) as (upstream, config):
        upstream.create("slow")
        told = await asked(config)
    assert told[-1] == ("error", "the plug-in failed: ZeroDivisionError")


async def test_a_receiver_is_greeted_as_it_wants_to_be(authority: Path, tmp_path: Path) -> None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(authority / "server.pem", authority / "server.key")
    context.load_verify_locations(authority / "ca.pem")
    context.verify_mode = ssl.CERT_REQUIRED

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError):
            await reader.readuntil(b"\r\n\r\n")
            writer.write(b"HTTP/1.1 405 No\r\ncontent-length: 0\r\n\r\n")
            await writer.drain()
        writer.close()

    async with await asyncio.start_server(answer, "127.0.0.1", 0, ssl=context) as server:
        url = f"https://127.0.0.1:{server.sockets[0].getsockname()[1]}/in"
        files = {"ca_file": "ca.pem", "cert_file": "client.pem", "key_file": "client.key"}
        tls = {name: str(authority / file) for name, file in files.items()}
        notifiers = {
            "shows": {"kind": "webhook", "url": url, "body": {"a": 1}, "tls": tls},
            "hides": {"kind": "webhook", "url": url, "body": {"a": 1}},
        }
        file = tmp_path / "ftwatch.yaml"
        file.write_text(json.dumps({"providers": {}, "notifiers": notifiers}))
        found = await ask_everybody(config.load(file, environ={}))
    said = {one.what.split()[1]: (one.result, one.said.partition("/: ")[2]) for one in found}
    assert said["shows"] == ("answers", "it answers (HTTP 405), nothing was sent")
    assert said["hides"][0] == "error"
    assert said["hides"][1].startswith("TLS: ")


async def test_relative_paths_start_at_the_configs_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir("/")
    (tmp_path / "saves" / "bot").mkdir(parents=True)
    (tmp_path / "saves" / "bot" / "trainer_log.jsonl").write_text(
        '{"current_steps": 1, "total_steps": 9, "loss": 2.0}\n'
    )
    told = await asked(loaded(tmp_path, acme={"kind": "file", "paths": ["saves/*"]}))
    assert told[0][1].startswith("it lets ftwatch in, and shows 1 job")
