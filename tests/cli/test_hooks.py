"""hooks list, register, test, remove: before a simulated service, and once with the daemon that is called."""

import json
import os
import signal
import socket
import stat
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from anyio.from_thread import BlockingPortal, start_blocking_portal
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from ftwatch import config as configs
from ftwatch.cli import Exit, endpoints
from ftwatch.cli import hooks as commands
from ftwatch.cli.endpoints import stuck
from ftwatch.control import ask
from ftwatch.core.signature import signing_key
from ftwatch.plugins import Endpoint, Tried
from ftwatch.simulator import hooks as simulated
from ftwatch.simulator.receivers import WebhookSink
from ftwatch.simulator.serving import Place
from ftwatch.simulator.upstream import StillClock, Upstream
from ftwatch.store import Receipt, Store

KEY = "sk-simulated-key-0123456789"
WHSEC = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSwMfKQ9r8GKYo="
URL = "https://ft.example.com/hooks/oa"
TUNING = [type for type in simulated.TYPES if type.startswith("fine_tuning.")]
PATIENCE = 30.0


def until(true: Callable[[], Any]) -> None:
    end = time.monotonic() + PATIENCE
    while not true():
        assert time.monotonic() < end, "it never came true"
        time.sleep(0.05)


@pytest.fixture
def portal() -> Iterator[BlockingPortal]:
    """An event loop in a thread: the commands have loops of their own."""
    with start_blocking_portal() as portal:
        yield portal


@pytest.fixture
def upstream(portal: BlockingPortal) -> Iterator[Upstream]:
    made = Upstream(clock=StillClock(), key=KEY)
    with portal.wrap_async_context_manager(made.serving()):
        yield made


def configure(
    upstream: Upstream, web: str = "{public_url: 'https://ft.example.com'}", more: str = ""
) -> None:
    Path("ftwatch.yaml").write_text(
        "providers:\n"
        f"  oa: {{kind: openai, base_url: '{upstream.url}', api_key: {KEY}{more}}}\n"
        "  own: {kind: openai, base_url: 'http://10.0.0.5:8000/v1'}\n"
        "  tg: {kind: together, api_key: tok-0123456789}\n"
        "notifiers: {console: {}}\n"
        f"web: {web}\n"
        "store: {path: ftwatch.db}\n"
        "socket: ftwatch.sock\n"
    )


@pytest.fixture(autouse=True)
def _config(folder: Path, upstream: Upstream) -> None:
    configure(upstream)


def registered(upstream: Upstream) -> list[dict[str, Any]]:
    return [one.shown(with_secret=True) for one in upstream.hooks.endpoints.values()]


# ------------------------------------------------------------------------------------------------ register


def test_a_secret_that_is_printed_has_stdout_for_itself(tool: Any, upstream: Upstream) -> None:
    said = tool("hooks", "register", "oa")
    assert said.code == Exit.OK
    (made,) = registered(upstream)
    assert said.out == made["signing_secret"] + "\n"
    assert (made["url"], made["name"], made["event_types"]) == (URL, "ftwatch oa", TUNING)
    assert made["signing_secret"] not in said.err
    assert f"{made['id']} is registered: {URL}, for fine_tuning.job.succeeded" in said.err
    assert "    webhook_secret_file: /run/secrets/oa-hooks\n" in said.err


@pytest.mark.parametrize("name", ["hook.secret", "a $HOME of: 'secrets'"])
def test_a_secret_that_is_kept_is_nobody_elses_and_the_config_takes_it(
    tool: Any, upstream: Upstream, folder: Path, name: str
) -> None:
    before = os.umask(0)
    try:
        said = tool("hooks", "register", "oa", "--secret-file", name)
    finally:
        os.umask(before)
    assert (said.code, said.err) == (Exit.OK, "")
    (made,) = registered(upstream)
    file = folder / name
    assert file.read_text() == made["signing_secret"] + "\n"
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert made["signing_secret"] not in said.out
    # What is said to be put into the config works there.
    lines = said.out.partition("\n\n")[2].partition("\n\n")[0]
    whole = yaml.safe_load(Path("ftwatch.yaml").read_text())
    whole["providers"]["oa"] |= yaml.safe_load(lines)["providers"]["oa"]
    Path("ftwatch.yaml").write_text(json.dumps(whole))
    hook = configs.load(Path("ftwatch.yaml"), secrets=True).providers["oa"].hook
    assert hook is not None
    assert [secret.reveal() for secret in hook.secrets] == [made["signing_secret"]]
    assert signing_key(made["signing_secret"])


@pytest.mark.parametrize("how", ["a file", "a link", "a folder that is missing"])
def test_nothing_is_registered_whose_secret_would_find_no_place(
    tool: Any, upstream: Upstream, folder: Path, how: str
) -> None:
    path = folder / "hook.secret"
    if how == "a file":
        path.write_text("somebody's")
    elif how == "a link":
        path.symlink_to(folder / "elsewhere")
    else:
        path = folder / "nowhere" / "hook.secret"
    said = tool("hooks", "register", "oa", "--secret-file", str(path))
    assert said.code == Exit.USAGE
    assert ("cannot be written" if "missing" in how else "is there already") in said.err
    assert registered(upstream) == []
    assert how != "a file" or path.read_text() == "somebody's"
    assert not (folder / "elsewhere").exists()


def test_a_disk_that_fills_up_loses_no_secret(
    tool: Any, upstream: Upstream, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(file: int, data: bytes) -> int:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("ftwatch.cli.secretfile.os.write", full)
    said = tool("hooks", "register", "oa", "--secret-file", "hook.secret")
    assert said.code == Exit.OK
    assert said.out == registered(upstream)[0]["signing_secret"] + "\n"
    assert "hook.secret could not be written" in said.err
    assert not (folder / "hook.secret").exists()


def test_it_is_registered_once_and_then_given_other_secrets(tool: Any, upstream: Upstream) -> None:
    said = tool("hooks", "register", "oa", "--rotate")
    assert (said.code, said.out) == (Exit.NOTHING, "")
    assert f"{URL} is not registered" in said.err
    first = tool("hooks", "register", "oa").out.strip()
    (made,) = registered(upstream)
    said = tool("hooks", "register", "oa", "--secret-file", "x")
    assert (said.code, said.out) == (Exit.NO, "")
    assert f"is registered already, as {made['id']}; `--rotate`" in said.err
    assert not Path("x").exists()
    second = tool("hooks", "register", "oa", "--rotate").out.strip()
    assert second == registered(upstream)[0]["signing_secret"]
    assert second != first
    (endpoint,) = upstream.hooks.endpoints.values()
    assert [secret for secret, _ in endpoint.secrets] == [second, first], "the old one counts for a while"
    assert tool("hooks", "register", "oa", "--rotate", "--types", "batch.failed").code == Exit.USAGE
    upstream.hooks.add("by hand", URL, TUNING, 0)
    said = tool("hooks", "register", "oa", "--rotate")
    assert said.code == Exit.NO
    assert "`ftwatch hooks remove ID` removes one" in said.err


@pytest.mark.parametrize(
    ("given", "more"),
    [
        (["--types", "batch.completed"], {"batch.completed"}),
        (["--types", "batch.completed,batch.failed"], {"batch.completed", "batch.failed"}),
        (["--types", "eval.run.*", "--types", "video.failed"], {"eval.run.succeeded", "eval.run.failed"}),
    ],
)
def test_more_types_are_taken_by_name(
    tool: Any, upstream: Upstream, given: list[str], more: set[str]
) -> None:
    assert tool("hooks", "register", "oa", *given).code == Exit.OK
    types = registered(upstream)[0]["event_types"]
    assert {*TUNING, *more} <= set(types)
    assert "response.completed" not in types


@pytest.mark.parametrize(
    ("type", "sentence"),
    [
        ("batch.complete", "did you mean 'batch.completed'?"),
        ("zzz", "there are: batch.completed, "),
        ("fine_tuning.job.running", "did you mean 'fine_tuning.job."),
    ],
)
def test_a_type_that_there_is_not_is_named(tool: Any, upstream: Upstream, type: str, sentence: str) -> None:
    said = tool("hooks", "register", "oa", "--types", type)
    assert said.code == Exit.USAGE
    assert sentence in said.err
    assert registered(upstream) == []


def test_a_service_that_tells_nothing_of_jobs(
    tool: Any, upstream: Upstream, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(simulated, "TYPES", ("batch.completed",))
    said = tool("hooks", "register", "oa")
    assert (said.code, said.out) == (Exit.NOTHING, "")
    assert "no webhooks about fine-tuning jobs" in said.err
    assert tool("hooks", "register", "oa", "--types", "batch.completed").code == Exit.OK


def test_a_secret_that_does_not_come_along_can_be_had_anew(
    tool: Any, upstream: Upstream, monkeypatch: pytest.MonkeyPatch
) -> None:
    shown = simulated._Endpoint.shown
    with monkeypatch.context() as patch:
        patch.setattr(simulated._Endpoint, "shown", lambda self, with_secret=False: shown(self))
        said = tool("hooks", "register", "oa", "--secret-file", "x")
    assert (said.code, said.out) == (Exit.UNREACHABLE, "")
    assert "its secret did not come along; `--rotate` gives another one" in said.err
    assert not Path("x").exists()
    assert tool("hooks", "register", "oa", "--rotate", "--secret-file", "x").code == Exit.OK


@pytest.mark.parametrize("command", ["register", "test", "remove"])
@pytest.mark.parametrize(
    ("web", "more", "sentence"),
    [
        ("", "", "the config has no `web`"),
        ("{}", "", "web.public_url is not set"),
        ("{public_url: 'http://ft.example.com'}", "", "are sent to https only"),
        (
            "{public_url: 'https://ft.example.com'}",
            ", webhook_secret: 'shared-and-secret', scheme: github",
            "has `scheme: github` in the config",
        ),
    ],
)
def test_what_the_config_lacks_is_said_before_anybody_is_asked(
    tool: Any, upstream: Upstream, command: str, web: str, more: str, sentence: str
) -> None:
    configure(upstream, web, more)
    if not web:
        text = Path("ftwatch.yaml").read_text()
        Path("ftwatch.yaml").write_text(text.replace("web: \n", ""))
    said = tool("hooks", command, "oa")
    assert (said.code, said.out) == (Exit.USAGE, "")
    assert sentence in said.err
    assert upstream.requests == []


# -------------------------------------------------------------------------------------------- who is asked


@pytest.mark.parametrize(
    ("name", "sentence"),
    [
        ("own", "only OpenAI itself sends webhooks"),
        ("tg", "webhooks of kind together are not registered by an API"),
        ("aa", "no provider is called 'aa'"),
    ],
)
@pytest.mark.parametrize("command", ["list", "register", "test"])
def test_who_has_nothing_to_register_says_so(tool: Any, command: str, name: str, sentence: str) -> None:
    if command == "test":
        text = Path("ftwatch.yaml").read_text()
        secret = f", webhook_secret: {WHSEC}}}"
        Path("ftwatch.yaml").write_text(
            text.replace("/v1'}", "/v1'" + secret).replace("789}", "789" + secret)
        )
    said = tool("hooks", command, name)
    assert (said.code, said.out) == (Exit.USAGE, "")
    assert sentence in said.err


def test_a_key_that_is_refused_and_what_would_help(tool: Any, upstream: Upstream, portal: Any) -> None:
    upstream.trouble("denied")
    for command in (
        ["list"],
        ["register", "oa", "--secret-file", "x"],
        ["remove", "oa"],
        ["remove", "whe_1"],
    ):
        said = tool("hooks", *command)
        assert (said.code, said.out) == (Exit.UNREACHABLE, "")
        assert (
            "error: oa: HTTP 401: Incorrect API key provided.; webhooks are managed with a key that may"
            in said.err
        )
        assert "shows whether it is there" not in said.err
        assert KEY not in said.err
    assert not Path("x").exists()
    upstream.trouble("missing")
    assert "make the endpoint by hand" in tool("hooks", "register", "oa").err
    portal.call(upstream.place.down)
    said = tool("hooks", "list", "-o", "json")
    assert (said.code, said.json) == (Exit.UNREACHABLE, [])
    assert "connection refused" in said.err


def test_a_failure_half_way_says_how_to_find_out(
    tool: Any, upstream: Upstream, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(upstream.hooks, "add", lambda *_: 1 / 0)
    said = tool("hooks", "register", "oa", "--secret-file", "x")
    assert said.code == Exit.UNREACHABLE
    assert "`ftwatch hooks list oa` shows whether it is there" in said.err
    assert not Path("x").exists()


def test_a_guest_that_fails_is_a_sentence(tool: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ftwatch.client.endpoints.wire.page", lambda body: 1 / 0)
    said = tool("hooks", "list")
    assert said.code == Exit.UNREACHABLE
    assert "oa: the plug-in failed: ZeroDivisionError" in said.err


# --------------------------------------------------------------------------------------------- list, remove


def test_what_is_registered_is_listed(tool: Any, upstream: Upstream) -> None:
    said = tool("hooks", "list")
    assert (said.code, said.out, said.err) == (Exit.OK, "", "no endpoint is registered\n")
    other = upstream.hooks.add("ci \x1b[31mred\x1b[0m", "https://ci.example.com/\u202e", ["batch.failed"], 60)
    ours = upstream.hooks.add("ftwatch", "HTTPS://FT.example.com:443/hooks/oa/", TUNING, 120)
    said = tool("hooks", "list", "oa")
    head, first, second = said.out.splitlines()
    assert head.split() == ["ID", "PROVIDER", "OURS", "URL", "TYPES", "NAME", "CREATED"]
    assert first.split()[:3] == [ours.id, "oa", "yes"]
    assert second.split()[:3] == [other.id, "oa", "https://ci.example.com/\\u202e"]
    assert "ci \\x1b[31mred\\x1b[0m" in second
    assert said.out.replace("\n", "").isprintable()
    rows = tool("hooks", "list", "-o", "json").json
    assert [(row["id"], row["ours"], row["types"]) for row in rows] == [
        (ours.id, True, TUNING),
        (other.id, False, ["batch.failed"]),
    ]
    assert rows[0]["created"] == "1970-01-01T00:02:00Z"
    assert not any(secret in said.out for one in (ours, other) for secret, _ in one.secrets)
    configure(upstream, "{}")
    said = tool("hooks", "list")
    assert said.out.splitlines()[1].split()[:3] == [ours.id, "oa", ours.url]
    assert "web.public_url is not set" in said.err


def test_an_endpoint_is_removed_by_its_provider_or_its_id(tool: Any, upstream: Upstream) -> None:
    other = upstream.hooks.add("ci", "https://ci.example.com/", ["batch.failed"], 0)
    assert tool("hooks", "remove", "oa", "--yes").code == Exit.NOTHING
    tool("hooks", "register", "oa")
    said = tool("hooks", "remove", "oa")
    assert said.code == Exit.USAGE
    assert "say --yes" in said.err
    assert len(registered(upstream)) == 2
    said = tool("hooks", "remove", "oa", "--yes")
    assert said.code == Exit.OK
    assert said.out.endswith(f" is removed; nothing is sent to {URL} any more\n")
    assert [one["id"] for one in registered(upstream)] == [other.id]
    said = tool("hooks", "remove", "whe_\x1b", "--yes")
    assert said.code == Exit.NOTHING
    assert "no provider and no endpoint is called 'whe_\\x1b'" in said.err
    assert tool("hooks", "remove", other.id, "--yes").code == Exit.OK
    assert registered(upstream) == []


def test_of_two_at_the_same_address_one_has_to_be_named(tool: Any, upstream: Upstream) -> None:
    ids = [upstream.hooks.add("n", URL, TUNING, 0).id for _ in range(2)]
    said = tool("hooks", "remove", "oa", "--yes")
    assert said.code == Exit.USAGE
    assert all(id in said.err for id in ids)
    assert len(registered(upstream)) == 2


@pytest.mark.parametrize(
    ("registered", "is_ours"),
    [
        (URL, True),
        ("HTTPS://FT.Example.com:443/hooks/oa/", True),
        ("https://ft.example.com/hooks/oa2", False),
        ("https://ft.example.com/hooks/OA", False),
        ("https://ft.example.com:8443/hooks/oa", False),
        ("http://ft.example.com/hooks/oa", False),
        ("https://ft.example.com/hooks/oa?x=1", False),
        ("https://ft.example.com:no/hooks/oa", False),
        ("https://[", False),
        ("", False),
    ],
)
def test_ours_is_what_leads_here(registered: str, is_ours: bool) -> None:
    assert endpoints.is_at(Endpoint(id="x", url=registered), URL) == is_ours
    assert not endpoints.is_at(Endpoint(id="x", url=registered), None)


# ---------------------------------------------------------------------------------------------------- test


@pytest.mark.parametrize(
    ("tried", "runs", "said"),
    [
        (
            Tried(None, "Could not\x1b connect."),
            True,
            f"could not deliver it to {URL}: Could not\\x1b connect.",
        ),
        (Tried(None, "timeout"), False, "timeout; no daemon runs on this config here"),
        (Tried(204), True, "HTTP 204, but not by this ftwatch"),
        (Tried(200), False, "HTTP 200, but not by this ftwatch"),
        (Tried(502), False, "HTTP 502, and no daemon runs on this config here"),
        (Tried(502), True, "HTTP 502; does a proxy there pass on"),
        (Tried(502), None, "HTTP 502; does a proxy there pass on"),
        (Tried(301), True, "a redirect, which is not followed"),
        (Tried(400), True, "is the clock right?"),
        (Tried(401), True, "`ftwatch hooks register oa --rotate`"),
        (Tried(404), True, "takes no webhooks there"),
        (Tried(421), True, "web.allowed_hosts"),
        (Tried(418), True, "answered HTTP 418"),
    ],
)
def test_where_a_sample_is_stuck(tried: Tried, runs: bool | None, said: str) -> None:
    assert said in stuck(tried, URL, "oa", runs)


@pytest.fixture
def front(portal: BlockingPortal) -> Iterator[Any]:
    """Somebody who answers in ftwatch's place: with `status`, after having done what `meets` says."""

    class Front:
        status = 204
        meets: Callable[[], None] | None = None

        async def take(self, request: Request) -> Response:
            if self.meets is not None:
                self.meets()
            return Response(status_code=self.status)

    front: Any = Front()
    front.place = Place(Starlette(routes=[Route("/hooks/{name}", front.take, methods=["POST"])]))
    with portal.wrap_async_context_manager(front.place.serving()):
        yield front


def in_front(upstream: Upstream, front: Any, types: list[str] = TUNING) -> None:
    """The config leads to whoever is in front, and that is registered."""
    configure(upstream, f"{{public_url: '{front.place.url}'}}", f", webhook_secret: {WHSEC}")
    upstream.hooks.add("ftwatch", f"{front.place.url}/hooks/oa", types, 0)


def test_without_a_secret_or_an_endpoint_there_is_nothing_to_try(tool: Any, upstream: Upstream) -> None:
    said = tool("hooks", "test", "oa")
    assert said.code == Exit.USAGE
    assert "`ftwatch hooks register oa` gives one" in said.err
    configure(upstream, more=f", webhook_secret: {WHSEC}")
    said = tool("hooks", "test", "oa")
    assert said.code == Exit.NOTHING
    assert f"{URL} is not registered at the service of oa" in said.err


def test_a_sample_that_arrives(tool: Any, upstream: Upstream, front: Any, folder: Path) -> None:
    in_front(upstream, front, ["batch.failed", "fine_tuning.job.failed"])
    Store(folder / "ftwatch.db").close()

    def arrive(type: str) -> None:
        store = Store(folder / "ftwatch.db")
        store.receive(Receipt(provider="oa", id=f"wh_{type}", type=type), time.time())
        store.close()

    front.meets = lambda: arrive("fine_tuning.job.failed")
    said = tool("hooks", "test", "oa")
    assert (said.code, said.err) == (Exit.OK, "")
    assert said.out.startswith("oa: the service's sample of fine_tuning.job.failed has arrived (")


def test_a_sample_that_somebody_else_took(
    tool: Any, upstream: Upstream, front: Any, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(commands, "PATIENCE", 0.2)
    in_front(upstream, front)
    said = tool("hooks", "test", "oa")
    assert (said.code, said.out) == (Exit.NO, "")
    assert "HTTP 204, but not by this ftwatch" in said.err
    # What came in before is not what was sent now.
    store = Store(folder / "ftwatch.db")
    store.receive(Receipt(provider="oa", id="wh_1", type="fine_tuning.job.succeeded"), time.time() - 60)
    store.receive(Receipt(provider="tg", id="wh_1", type="fine_tuning.job.succeeded"), time.time() + 60)
    store.receive(Receipt(provider="oa", id="wh_2", type="batch.failed"), time.time() + 60)
    store.close()
    assert tool("hooks", "test", "oa").code == Exit.NO


def test_a_sample_that_is_refused_or_finds_nobody(
    tool: Any, upstream: Upstream, front: Any, portal: BlockingPortal
) -> None:
    in_front(upstream, front)
    front.status = 401
    said = tool("hooks", "test", "oa")
    assert said.code == Exit.NO
    assert "HTTP 401, and no daemon runs on this config here" in said.err
    portal.call(front.place.down)
    said = tool("hooks", "test", "oa")
    assert said.code == Exit.NO
    assert "could not be reached: connection refused; no daemon runs" in said.err
    portal.call(upstream.place.down)
    assert tool("hooks", "test", "oa").code == Exit.UNREACHABLE


# ---------------------------------------------------------------------------------------------- completion


def test_names_of_providers_are_completed(folder: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "ftwatch"],
        env={
            **os.environ,
            "_FTWATCH_COMPLETE": "bash_complete",
            "COMP_WORDS": "ftwatch hooks test o",
            "COMP_CWORD": "3",
        },
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.stdout.split() == ["plain,oa", "plain,own"]


# ------------------------------------------------------------------------------------- the whole of the way


def test_from_registering_to_the_message(
    tool: Any, upstream: Upstream, portal: BlockingPortal, folder: Path
) -> None:
    """With a poll of an hour the end of a job is told at once, since the service tells of it, and once."""
    clock = upstream.clock
    assert isinstance(clock, StillClock)
    clock.move(-1000)
    job = upstream.create("happy").id
    clock.move(200)
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    sink = WebhookSink(WHSEC)

    def configured(more: str, name: str = "ftwatch.yaml") -> None:
        account = f"base_url: '{upstream.url}', api_key: {KEY}, poll: 1h, discover: 1h{more}"
        Path(name).write_text(
            f"providers:\n  oa: {{kind: openai, {account}}}\n"
            f"notifiers:\n  out: {{kind: webhook, url: '{sink.url}', secret: {WHSEC}}}\n"
            f"web: {{listen: '127.0.0.1:{port}', public_url: 'http://127.0.0.1:{port}'}}\n"
            "store: {path: ftwatch.db}\nsocket: ftwatch.sock\nlog: {level: debug}\n"
        )

    def told() -> list[str]:
        return [one.what["type"] for one in sink.arrivals if one.what["data"]["id"] == job]

    def next_look() -> float:
        turns: dict[str, Any] = ask(folder / "ftwatch.sock", "turns")["turns"].get("oa", {})
        return float(turns[job][0]) - time.time() if job in turns else 0.0

    configured("")
    log = (folder / "daemon.log").open("wb")
    with portal.wrap_async_context_manager(sink.serving()), log:
        daemon = subprocess.Popen(
            [sys.executable, "-m", "ftwatch", "run"], cwd=folder, env=os.environ, stderr=log
        )
        try:
            until(lambda: tool("jobs").out)
            said = tool("hooks", "register", "oa", "--secret-file", "hook.secret")
            assert said.code == Exit.OK, said.err
            # Nobody takes it before the daemon's config has the secret, and `test` says why.
            configured(", webhook_secret_file: hook.secret", "next.yaml")
            said = tool("-c", "next.yaml", "hooks", "test", "oa")
            assert (said.code, said.out) == (Exit.NO, "")
            assert "HTTP 404: ftwatch takes no webhooks there: `ftwatch reload`" in said.err
            configured(", webhook_secret_file: hook.secret")
            assert tool("reload").code == Exit.OK
            said = tool("hooks", "test", "oa")
            assert (said.code, said.err) == (Exit.OK, "")

            # The sample was about a job that nobody knows: nobody hears of it.
            until(lambda: next_look() > 600)
            assert told() == []
            clock.move(750)
            until(lambda: told() == ["fine_tuning.job.succeeded"])

            # Once more, under another secret, which the daemon does not know at first.
            assert (
                tool("hooks", "register", "oa", "--rotate", "--secret-file", "other.secret").code == Exit.OK
            )
            assert tool("hooks", "test", "oa").code == Exit.OK, "the old secret still counts"
            clock.move(90_000)
            said = tool("hooks", "test", "oa")
            assert said.code == Exit.NO
            assert "HTTP 401: ftwatch finds it signed with another secret" in said.err
            configured(", webhook_secret_file: other.secret")
            assert tool("reload").code == Exit.OK
            assert tool("hooks", "test", "oa").code == Exit.OK
            assert told() == ["fine_tuning.job.succeeded"]
            assert tool("hooks", "remove", "oa", "--yes").code == Exit.OK
            assert tool("hooks", "test", "oa").code == Exit.NOTHING
        finally:
            daemon.send_signal(signal.SIGTERM)
            daemon.wait(PATIENCE)
    written = (folder / "daemon.log").read_text() + (folder / "ftwatch.db").read_bytes().decode("latin-1")
    for name in ("hook.secret", "other.secret"):
        assert Path(name).read_text().strip() not in written
    store = Store(folder / "ftwatch.db", mode="read")
    assert [type for _, type in store.inbound.since("oa", 0)] == ["fine_tuning.job.succeeded"] * 4
    store.close()
