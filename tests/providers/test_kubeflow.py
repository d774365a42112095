"""What is special about kubeflow: states without a word, places that are forgotten, a stream of changes."""

import asyncio
import json
import ssl
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing, asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from ftwatch.client import Account, Answered, Client, Response, Trust, Unreachable
from ftwatch.client.kubeconfig import Found
from ftwatch.core.job import Status
from ftwatch.core.pace import Budget
from ftwatch.plugins import (
    Introducing,
    Introduction,
    NotFound,
    ProviderError,
    ProviderSpec,
    Unreadable,
    Watching,
)
from ftwatch.providers.kubeflow import Kubeflow, Options
from ftwatch.simulator.dialect import dialect_of
from ftwatch.simulator.upstream import StillClock, Upstream

JOBS = "https://10.0.0.1:6443/apis/trainer.kubeflow.org/v1alpha1/namespaces/ml/trainjobs"
GONE = {
    "kind": "Status",
    "reason": "Expired",
    "message": "The provided continue parameter is too old",
    "code": 410,
}


class Service:
    """An account that answers from a list, and keeps what it was asked, and by whom it was told to trust."""

    def __init__(self, *answers: Any) -> None:
        self.answers = list(answers)
        self.asked: list[str] = []
        self.tokens: list[str | None] = []
        self.trusts: list[Trust] = []
        self.parted = 0

    def trusting(self, trust: Trust) -> "Service":
        if trust.authorities == "junk":
            raise ValueError("the certificate authority is no PEM certificate")
        self.trusts.append(trust)
        return self

    async def part(self, branch: "Service") -> None:
        self.parted += 1

    def _next(self, url: str, headers: dict[str, str]) -> Any:
        self.asked.append(url)
        self.tokens.append(headers.get("authorization"))
        return self.answers.pop(0)

    async def request(self, method: str, url: str, *, headers: dict[str, str], **_: Any) -> Response:
        status, body = self._next(url, headers)
        return Response(status, {}, body if isinstance(body, bytes) else json.dumps(body).encode())

    async def lines(
        self, method: str, url: str, *, headers: dict[str, str], idle: float
    ) -> AsyncGenerator[bytes]:
        told = self._next(url, headers)
        if isinstance(told, Exception):
            raise told
        for line in told:
            yield line if isinstance(line, bytes) else json.dumps(line).encode()


class Way:
    """A cluster whose way in is what a test says."""

    def __init__(self, *found: Found, fresh: bool = False) -> None:
        self.found = list(found)
        self.fresh = fresh

    async def look(self) -> Found:
        return self.found.pop(0) if len(self.found) > 1 else self.found[0]

    def refused(self, found: Found) -> bool:
        return self.fresh

    async def headers(self, *_: object) -> dict[str, str]:
        return {"authorization": f"Bearer {self.found[0].token}"}

    def secrets(self) -> list[str]:
        return []


def found(token: str = "token", **more: Any) -> Found:
    return Found(
        **{"server": "https://10.0.0.1:6443", "namespace": "ml", "trust": Trust(), "token": token, **more}
    )


def provider(service: Any, *ways: Found, fresh: bool = False, **options: Any) -> Any:
    spec = ProviderSpec(name="acme", kind="kubeflow", labels={}, options=Options(**options), client=service)
    kubeflow: Any = Kubeflow(spec)
    kubeflow._cluster = Way(*(ways or (found(),)), fresh=fresh)
    return kubeflow


@pytest.fixture
def case(make: Any) -> Any:
    return make.case("kubeflow")


def missing(name: str, kind: str = "trainjobs") -> dict[str, Any]:
    return {
        "kind": "Status",
        "message": f"{kind} {name!r} not found",
        "details": {"name": name, "kind": kind},
    }


# --------------------------------------------------------------------------------------------- asking


async def test_pages_go_on_at_a_place_that_the_cluster_names(case: Any) -> None:
    first = {**case.listing([]), "metadata": {"continue": "a+b/c=", "resourceVersion": "7"}}
    service = Service((200, first), (200, case.listing([])))
    kubeflow = provider(service)
    page = kubeflow.split(await kubeflow.page(None))
    assert kubeflow.split(await kubeflow.page(page.next)).next is None
    assert service.asked == [f"{JOBS}?limit=100", f"{JOBS}?limit=100&continue=a%2Bb%2Fc%3D"]
    assert service.tokens == ["Bearer token"] * 2


async def test_a_place_that_is_forgotten_is_no_end_of_the_service() -> None:
    kubeflow = provider(Service((410, GONE), (410, GONE)))
    with pytest.raises(ProviderError, match="continue parameter is too old") as caught:
        await kubeflow.page("old")
    assert (caught.value.missing, caught.value.closed) == (True, False)
    with pytest.raises(ProviderError) as caught:
        await kubeflow.page(None)
    assert caught.value.closed


async def test_a_cluster_without_the_trainer_is_no_cluster_without_jobs() -> None:
    kubeflow = provider(Service((404, b"404 page not found\n"), (404, b"404 page not found\n")))
    with pytest.raises(ProviderError, match=r"is Kubeflow Trainer v2 installed in this cluster\?") as caught:
        await kubeflow.page(None)
    assert caught.value.missing
    with pytest.raises(ProviderError, match="HTTP 404"):
        await kubeflow.retrieve("demo")


@pytest.mark.parametrize(
    "body",
    [
        missing("other"),
        missing("demo", "namespaces"),
        {"message": "the server could not find the requested resource", "details": {}},
        {"details": None},
        [],
    ],
)
async def test_another_404_says_nothing_about_the_job(body: Any) -> None:
    with pytest.raises(ProviderError, match="HTTP 404"):
        await provider(Service((404, body))).retrieve("demo")


async def test_a_job_is_missing_where_the_cluster_says_so_of_it() -> None:
    with pytest.raises(NotFound):
        await provider(Service((404, missing("demo")))).retrieve("demo")


async def test_who_may_not_look_is_told_what_the_role_needs() -> None:
    said = {"message": 'trainjobs.trainer.kubeflow.org is forbidden: User "ftwatch" cannot list', "code": 403}
    with pytest.raises(
        ProviderError, match=r"cannot list; the role needs get, list and watch of trainjobs"
    ) as caught:
        await provider(Service((403, said))).page(None)
    assert caught.value.denied


@pytest.mark.parametrize(
    ("namespace", "of_context", "path"),
    [
        ("research", "ml", "namespaces/research/trainjobs"),
        (None, "ml", "namespaces/ml/trainjobs"),
        (None, None, "namespaces/default/trainjobs"),
        ("*", "ml", "v1alpha1/trainjobs"),
        ("a/b?c", None, "namespaces/a%2Fb%3Fc/trainjobs"),
    ],
)
async def test_which_namespace(namespace: str | None, of_context: str | None, path: str, case: Any) -> None:
    service = Service((200, case.listing([])))
    await provider(service, found(namespace=of_context), namespace=namespace).page(None)
    assert service.asked[0].endswith(f"{path}?limit=100")


async def test_in_all_namespaces_a_job_is_named_with_its_own(case: Any) -> None:
    document = case.document("Active")
    service = Service((200, document), (404, missing("helpdesk-9")))
    kubeflow = provider(service, namespace="*")
    job = kubeflow.read(await kubeflow.retrieve("ml/helpdesk-1"))
    assert (job.id, job.name, job.labels["namespace"]) == ("ml/helpdesk-1", "helpdesk-1", "ml")
    assert service.asked == [f"{JOBS}/helpdesk-1"]
    with pytest.raises(NotFound):
        await kubeflow.retrieve("ml/helpdesk-9")


@pytest.mark.parametrize(("namespace", "id"), [("*", "helpdesk-1"), ("ml", "ml/helpdesk-1")])
async def test_who_now_watches_other_namespaces_knows_no_job_of_that_name(namespace: str, id: str) -> None:
    with pytest.raises(NotFound):
        await provider(Service(), namespace=namespace).retrieve(id)


# ----------------------------------------------------------------------------------------- the way in


def may(*verbs: str, group: str = "trainer.kubeflow.org", resource: str = "trainjobs") -> dict[str, Any]:
    return {"apiGroups": [group], "resources": [resource], "verbs": [*verbs]}


@pytest.mark.parametrize(
    ("rules", "said"),
    [
        ([may("get", "list", "watch"), may("create", group="apps"), may("*", resource="pods")], ""),
        ([may("get", "delete"), may("create")], "create, delete jobs"),
        ([may("*", group="*", resource="*")], "do anything with jobs"),
        ([{"verbs": "all"}, 7], ""),
        (None, ""),
    ],
)
async def test_who_it_is_and_what_that_may_beyond_need(rules: Any, said: str) -> None:
    who = (201, {"status": {"userInfo": {"username": "system:serviceaccount:ml:ftwatch"}}})
    service = Service(who, (201, {"status": {"resourceRules": rules}}))
    kubeflow = provider(service)
    assert isinstance(kubeflow, Introducing)
    assert await kubeflow.introduce() == Introduction(
        whose="the cluster knows it as system:serviceaccount:ml:ftwatch",
        beyond=f"it can also {said}; get, list and watch are enough" if said else "",
    )


async def test_an_old_cluster_cannot_say_who_it_is() -> None:
    old = Service((404, b"404 page not found"), (201, b"junk"))
    assert await provider(old).introduce() == Introduction()
    with pytest.raises(ProviderError, match="HTTP 401"):
        await provider(Service((401, {}))).introduce()


async def test_a_refused_token_is_tried_once_more_where_a_plugin_has_another(case: Any) -> None:
    service = Service((401, {}), (200, case.listing([])))
    await provider(service, found("old"), found("new"), fresh=True).page(None)
    service = Service((401, {"message": "Unauthorized"}), (401, {"message": "Unauthorized"}))
    with pytest.raises(
        ProviderError, match="Unauthorized; the cluster does not take these credentials"
    ) as caught:
        await provider(service, fresh=True).page(None)
    assert caught.value.denied
    assert len(service.asked) == 2
    service = Service((401, {}))
    with pytest.raises(ProviderError):
        await provider(service, fresh=False).page(None)


async def test_only_another_trust_makes_another_client_and_old_ones_end(case: Any) -> None:
    trusts = [Trust(authorities=name) for name in ("a", "a", "b", "c", "c", "d")]
    service = Service(*[(200, case.listing([]))] * len(trusts))
    kubeflow = provider(service, *(found(trust=trust) for trust in trusts))
    for _ in trusts:
        await kubeflow.page(None)
    assert [trust.authorities for trust in service.trusts] == ["a", "b", "c", "d"]
    assert service.parted == 2, "the one before may still be in use"


async def test_a_trust_that_cannot_be_used_is_said_again_and_again(case: Any) -> None:
    junk, fine = found(trust=Trust(authorities="junk")), found()
    service = Service((200, case.listing([])))
    kubeflow = provider(service, junk, junk, fine)
    for _ in range(2):
        with pytest.raises(ProviderError, match="no PEM certificate") as caught:
            await kubeflow.page(None)
        assert caught.value.denied
    await kubeflow.page(None)


async def test_a_cluster_with_an_authority_of_its_own_and_certificates(
    authority: Path, tmp_path: Path
) -> None:
    upstream = Upstream(clock=StillClock(), dialect=dialect_of("kubeflow"))
    job = upstream.create("slow")

    async with tls(upstream, authority) as port, Client() as client:
        user = {
            "client-certificate": str(authority / "client.pem"),
            "client-key": str(authority / "client.key"),
        }
        cluster = {"server": f"https://127.0.0.1:{port}", "certificate-authority": str(authority / "ca.pem")}
        file = tmp_path / "config"
        file.write_text(
            json.dumps(
                {
                    "clusters": [{"name": "c", "cluster": cluster}],
                    "users": [{"name": "u", "user": user}],
                    "contexts": [{"name": "x", "context": {"cluster": "c", "user": "u", "namespace": "ml"}}],
                }
            )
        )
        spec = ProviderSpec(
            name="acme",
            kind="kubeflow",
            labels={},
            options=Options(kubeconfig="config", context="x"),
            client=Account(client, Budget(1000)),
            folder=str(tmp_path),
        )
        kubeflow = Kubeflow(spec)
        assert kubeflow.read(await kubeflow.retrieve(job.id)).status is Status.QUEUED
        user.clear()
        file.write_text(file.read_text().replace("client-certificate", "x-certificate"))
        with pytest.raises(ProviderError):
            await kubeflow.retrieve(job.id)


@asynccontextmanager
async def tls(upstream: Upstream, authority: Path) -> AsyncIterator[int]:
    """The port of a door to the service, which speaks TLS and asks for certificates."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(authority / "server.pem", authority / "server.key")
    context.verify_mode = ssl.CERT_REQUIRED
    context.load_verify_locations(authority / "ca.pem")

    async def carry(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while piece := await reader.read(65536):
            writer.write(piece)
            await writer.drain()
        writer.close()

    async def meet(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        inner, outer = await asyncio.open_connection("127.0.0.1", upstream.place.port)
        await asyncio.gather(carry(reader, outer), carry(inner, writer), return_exceptions=True)

    async with upstream.serving():
        door = await asyncio.start_server(meet, "127.0.0.1", 0, ssl=context)
        async with door:
            yield door.sockets[0].getsockname()[1]


# -------------------------------------------------------------------------------------------- reading


def read(make: Any, document: Any) -> Any:
    return make("kubeflow").read(json.dumps(document).encode())


def test_everything_that_is_told_is_read_and_no_secret_with_it(make: Any, case: Any) -> None:
    job = read(make, case.document("Active"))
    assert (job.id, job.name) == ("helpdesk-1", "helpdesk-1")
    assert (job.model, job.training_file) == ("hf://meta-llama/Llama-3.2-1B", "hf://acme/tickets")
    assert job.metadata == {"team": "search"}
    assert job.labels == {"namespace": "ml", "runtime": "torch", "team": "search", "env": "prod"}
    assert job.hyperparameters == {"numNodes": 2}
    assert (job.raw_status, job.phase) == ("Active", "node")
    assert "not_to_be_told" not in repr(job).replace("-", "_")


@pytest.mark.parametrize(
    ("children", "status", "phase"),
    [
        ([], Status.QUEUED, None),
        ([("dataset-initializer", {}), ("node", {})], Status.QUEUED, None),
        (
            [("dataset-initializer", {"active": 1}), ("model-initializer", {"active": "1"}), ("node", {})],
            Status.RUNNING,
            "dataset-initializer, model-initializer",
        ),
        ([("dataset-initializer", {"succeeded": 1}), ("node", {})], Status.RUNNING, None),
        ([("node", {"active": 2, "ready": 2})], Status.RUNNING, "node"),
        ([("node", {"failed": 1})], Status.RUNNING, None),
        ([("node", {"active": -1, "ready": None, "suspended": 2})], Status.QUEUED, None),
    ],
)
def test_without_a_condition_the_child_jobs_tell(
    children: Any, status: Status, phase: str | None, make: Any, case: Any
) -> None:
    counts = [case.child(name, **counts) for name, counts in children]
    job = read(make, case.conditioned(jobsStatus=counts))
    assert (job.status, job.phase) == (status, phase)


def test_who_waits_for_kueue_is_queued(make: Any, case: Any) -> None:
    document = case.document("Suspended")
    document["metadata"]["labels"] = {"kueue.x-k8s.io/queue-name": "gpus"}
    assert (read(make, document).status, read(make, document).raw_status) == (Status.QUEUED, "Suspended")


@pytest.mark.parametrize("status", [7, "Complete", [], {"conditions": {}}, {"conditions": "Complete"}])
def test_a_status_that_is_none_is_not_taken_for_a_new_jobs(status: Any, make: Any, case: Any) -> None:
    with pytest.raises(Unreadable, match="helpdesk-1 has no status that can be read"):
        read(make, {**case.document("Active"), "status": status})


def test_a_strange_condition_beside_an_end_changes_nothing(make: Any, case: Any) -> None:
    strange, done = case.condition("Archived"), case.condition("Complete")
    assert read(make, case.conditioned(strange, done)).status is Status.SUCCEEDED
    assert read(make, case.conditioned(strange)).status is Status.UNKNOWN
    assert read(make, case.conditioned(case.condition("Archived", "Unknown"))).status is Status.RUNNING


def told(make: Any, document: Any) -> list[Any]:
    page = make("kubeflow").inline(json.dumps(document).encode())
    assert not page.newest_first
    return list(page.lines)


def test_conditions_prove_states_and_ends(make: Any, case: Any) -> None:
    resumed = case.condition(
        "Suspended", "False", reason="Resumed", message="", lastTransitionTime="2026-09-21T14:14:20Z"
    )
    lines = told(make, case.conditioned(case.condition("Failed"), resumed))
    assert [(line.at, line.status, line.level, line.message) for line in lines] == [
        (1_790_000_060, Status.QUEUED, "info", "not Suspended: Resumed"),
        (1_790_001_800, Status.FAILED, "error", "Failed: DeadlineExceeded: Job exceeded its deadline"),
    ]
    (line,) = told(make, case.conditioned(case.condition("Failed", "False")))
    assert (line.status, line.level) == (None, "info")


def test_figures_are_text_and_may_lack_a_step(make: Any, case: Any) -> None:
    (line,) = told(make, case.conditioned(trainerStatus=case.TRAINER))
    assert (line.step, line.metrics, line.at) == (120, {"train_loss": 0.42}, 1_790_001_200)
    metrics = [{"name": "eval_loss", "value": "0.5"}, {"name": "loss", "value": "nan"}, {"name": 7}, 7]
    (line,) = told(make, case.conditioned(trainerStatus={"metrics": metrics}))
    assert (line.step, line.metrics, line.message) == (None, {"valid_loss": 0.5}, "valid_loss=0.5")


@pytest.mark.parametrize(
    ("percent", "shown"), [(40, 40.0), ("40", 40.0), (140, 100.0), (-1, 0.0), (True, None)]
)
def test_per_cent_stay_in_their_bounds(percent: Any, shown: float | None, make: Any, case: Any) -> None:
    progress = read(make, case.conditioned(trainerStatus={"progressPercentage": percent})).progress
    assert (progress.percent if progress else None) == shown


@pytest.mark.parametrize(
    ("options", "option"), [({"context": "prod"}, "context"), ({"timeout": Options().timeout * 0}, "timeout")]
)
def test_options_that_cannot_work_are_named(options: dict[str, Any], option: str) -> None:
    assert [name for name, _ in Options(**options).problems()] == [option]
    assert list(Options(kubeconfig="x", context="prod", namespace="*").problems()) == []


# ---------------------------------------------------------------------------------------- the stream


def change(word: str, name: str, version: str) -> dict[str, Any]:
    return {
        "type": word,
        "object": {"metadata": {"name": name, "namespace": "ml", "resourceVersion": version}},
    }


LISTED = (200, {"items": [], "metadata": {"resourceVersion": "100"}})
MORE = "allowWatchBookmarks=true&timeoutSeconds=300"


async def seen(kubeflow: Any) -> list[str]:
    async with aclosing(kubeflow.watch()) as ids:
        return [id async for id in ids]


async def test_changes_are_told_and_the_next_stream_goes_on_after_them() -> None:
    bookmark = {"type": "BOOKMARK", "object": {"metadata": {"resourceVersion": "109"}}}
    junk = [b"", b"no json", b"7", {"type": "MODIFIED", "object": {}}, {"type": "MODIFIED", "object": 7}, {}]
    changes = [
        change("ADDED", "a", "101"),
        *junk,
        change("MODIFIED", "b", "102"),
        change("DELETED", "a", "103"),
    ]
    service = Service(LISTED, [*changes, bookmark], [change("MODIFIED", "c", "110")])
    kubeflow = provider(service)
    assert isinstance(kubeflow, Watching)
    assert await seen(kubeflow) == ["a", "b", "a"]
    assert await seen(kubeflow) == ["c"]
    assert service.asked == [
        f"{JOBS}?limit=1",
        f"{JOBS}?watch=1&resourceVersion=100&{MORE}",
        f"{JOBS}?watch=1&resourceVersion=109&{MORE}",
    ]


@pytest.mark.parametrize(
    "forgotten",
    [
        [{"type": "ERROR", "object": {"kind": "Status", "code": 410, "message": "too old resource version"}}],
        Answered(Response(410, {}, json.dumps(GONE).encode())),
    ],
)
async def test_a_version_that_is_forgotten_begins_anew(forgotten: Any) -> None:
    service = Service(LISTED, forgotten, LISTED, [change("ADDED", "a", "101")])
    kubeflow = provider(service)
    assert await seen(kubeflow) == []
    assert await seen(kubeflow) == ["a"]
    assert [asked.partition("?")[2].partition("=")[0] for asked in service.asked] == ["limit", "watch"] * 2


@pytest.mark.parametrize(
    ("told", "sentence", "denied"),
    [
        ([{"type": "ERROR", "object": {"code": 500, "message": "etcd is gone"}}], "etcd is gone", False),
        ([{"type": "ERROR"}], "the cluster ended the stream", False),
        (Unreachable("nothing came within 330 s", timeout=True), "nothing came within 330 s", False),
        (
            Answered(Response(403, {}, b'{"message": "forbidden"}')),
            "HTTP 403: forbidden; the role needs",
            True,
        ),
    ],
)
async def test_a_stream_that_fails_says_why(told: Any, sentence: str, denied: bool) -> None:
    with pytest.raises(ProviderError, match=sentence) as caught:
        await seen(provider(Service(LISTED, told)))
    assert caught.value.denied == denied


@pytest.mark.parametrize(
    ("answer", "sentence"),
    [
        ((403, {"message": "forbidden"}), "the role needs"),
        ((200, {"items": []}), "has no resourceVersion"),
        ((200, b"<html>"), "no listing"),
    ],
)
async def test_without_a_place_to_begin_there_is_no_stream(answer: Any, sentence: str) -> None:
    with pytest.raises(ProviderError, match=sentence):
        await seen(provider(Service(answer)))


async def test_the_simulated_cluster_tells_of_every_change(tmp_path: Path) -> None:
    upstream = Upstream(clock=StillClock(), key="a-key-of-the-cluster", dialect=dialect_of("kubeflow"))
    assert isinstance(upstream.clock, StillClock)
    async with upstream.serving(), Client() as client:
        options = dict(upstream.dialect.options(upstream.url, upstream.key, tmp_path))
        del options["kind"]
        spec = ProviderSpec(
            name="acme",
            kind="kubeflow",
            labels={},
            options=Options(**options),
            client=Account(client, Budget(1000)),
        )
        kubeflow = Kubeflow(spec)
        kubeflow._version = "0"
        first = upstream.create("happy")
        async with aclosing(kubeflow.watch()) as ids:
            assert await anext(ids) == first.id
            second = upstream.create("happy")
            assert await anext(ids) == second.id
            upstream.clock.move(61)
            assert {await anext(ids), await anext(ids)} == {first.id, second.id}
            del upstream.jobs[first.id]
            assert await anext(ids) == first.id
        told = await kubeflow.introduce()
        assert told == Introduction(whose="the cluster knows it as system:serviceaccount:ml:ftwatch")
