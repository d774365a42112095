"""What is special about `vertex`: two states in one, Google's tokens, refusals that say what is missing."""

import json
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import anyio
import pytest
from google.auth.exceptions import RefreshError

from ftwatch.client import Account, Client
from ftwatch.client.google import GoogleToken
from ftwatch.client.meaning import Response
from ftwatch.core.job import Status
from ftwatch.core.journal import Checkpoint
from ftwatch.core.pace import Budget
from ftwatch.plugins import Introduction, NotFound, Page, ProviderError, ProviderSpec, Secret
from ftwatch.providers.vertex import Options, Vertex
from ftwatch.simulator.dialect import dialect_of
from ftwatch.simulator.upstream import StillClock, Upstream

KEY = "key-id-0123456789"
JOBS = "/v1/projects/acme-research/locations/us-central1/tuningJobs"
PLACE = "projects/123456789012/locations/us-central1"


class Answers:
    """A client that gives one answer to everything but a `listing`, and notes what it was asked."""

    listing: Response | None = None

    def __init__(self, status: int = 200, body: Any = None) -> None:
        self.answer = Response(status, {}, json.dumps({} if body is None else body).encode())
        self.asked: list[tuple[str, dict[str, str]]] = []

    async def request(self, method: str, url: str, *, headers: dict[str, str], **_: Any) -> Response:
        self.asked.append((url, headers))
        return self.listing if self.listing and "/tuningJobs?" in url else self.answer


class FreshToken:
    """Credentials whose token is good."""

    valid, token = True, "ya29.fresh"
    service_account_email = "ftwatch@acme-research.iam.gserviceaccount.com"

    def apply(self, headers: dict[str, str]) -> None:
        headers["authorization"] = f"Bearer {self.token}"


def provider(client: Any = None, *, token: bool = True, **options: Any) -> Vertex:
    given = {"project": "acme-research", "location": "us-central1", **options}
    found = Vertex(
        ProviderSpec(name="p", kind="vertex", labels={}, options=Options(**given), client=client or Answers())
    )
    if token:
        found._token._credentials = FreshToken()
    return found


@asynccontextmanager
async def simulated(folder: Path, **more: Any) -> AsyncIterator[tuple[Upstream, Secret]]:
    """The service, and credentials that let in."""
    dialect = dialect_of("vertex")
    async with Upstream(clock=StillClock(), key=KEY, dialect=dialect, **more).serving() as upstream:
        file = dialect.options(upstream.url, KEY, folder)["credentials_file"]
        yield upstream, Secret(await anyio.Path(file).read_text())


# ----------------------------------------------------------------------------------------------- asking


async def test_pages_lead_on_by_token() -> None:
    client = Answers(200, {"tuningJobs": [{"name": f"{PLACE}/tuningJobs/7"}], "nextPageToken": "a/b="})
    vertex = provider(client)
    page = vertex.split(await vertex.page(None))
    assert page.next == "a/b="
    await vertex.page(page.next)
    home = f"https://us-central1-aiplatform.googleapis.com{JOBS}?pageSize=100"
    assert [url for url, _ in client.asked] == [home, f"{home}&pageToken=a%2Fb%3D"]
    assert client.asked[0][1]["authorization"] == "Bearer ya29.fresh"


async def test_a_token_that_is_forgotten_begins_a_new_walk() -> None:
    client = Answers(
        400, {"error": {"code": 400, "message": "Invalid page token.", "status": "INVALID_ARGUMENT"}}
    )
    with pytest.raises(ProviderError) as caught:
        await provider(client).page("old")
    assert caught.value.missing
    with pytest.raises(ProviderError) as caught:
        await provider(client).page(None)
    assert not caught.value.missing


@pytest.mark.parametrize(
    ("location", "home"),
    [
        ("europe-west4", "https://europe-west4-aiplatform.googleapis.com/"),
        ("global", "https://aiplatform.googleapis.com/"),
        ("eu", "https://aiplatform.eu.rep.googleapis.com/"),
    ],
)
async def test_each_location_has_its_address(location: str, home: str) -> None:
    client = Answers()
    await provider(client, location=location, api_version="v1beta1").page(None)
    assert client.asked[0][0].startswith(f"{home}v1beta1/projects/acme-research/locations/{location}/")


async def test_a_job_is_known_by_the_last_part_of_its_name() -> None:
    client = Answers(200, {"name": f"{PLACE}/tuningJobs/77", "state": "JOB_STATE_PENDING"})
    vertex = provider(client)
    job = vertex.read(await vertex.retrieve("77"))
    assert client.asked[0][0].endswith(f"{JOBS}/77")
    assert (job.id, job.organization_id) == ("77", "123456789012")
    assert job.url == (
        "https://console.cloud.google.com/vertex-ai/generative/language/locations/us-central1/tuning/"
        "tuningJob/77?project=123456789012"
    )
    with pytest.raises(ProviderError, match="asked for job 78, and was told about 77"):
        await vertex.retrieve("78")


# -------------------------------------------------------------------------------------------- refusals


def refusal(code: int, message: str, **about: Any) -> Answers:
    return Answers(code, {"error": {"code": code, "message": message, **about}})


async def test_a_missing_permission_is_named() -> None:
    denied = "Permission 'aiplatform.tuningJobs.list' denied on resource (or it may not exist)."
    with pytest.raises(ProviderError) as caught:
        await provider(refusal(403, denied, status="PERMISSION_DENIED")).page(None)
    assert caught.value.denied
    assert caught.value.reason == (
        f"HTTP 403: {denied}; it takes the permissions aiplatform.tuningJobs.list and "
        "aiplatform.tuningJobs.get on the project acme-research, as in roles/aiplatform.viewer"
    )


async def test_an_api_that_is_not_enabled_is_named() -> None:
    details = [{"@type": "type.googleapis.com/google.rpc.ErrorInfo", "reason": "SERVICE_DISABLED"}, 7]
    said = "Vertex AI API has not been used in project 1 before or it is disabled."
    with pytest.raises(ProviderError) as caught:
        await provider(refusal(403, said, details=details)).page(None)
    assert caught.value.denied
    assert "not enabled in the project acme-research: `gcloud services enable" in caught.value.reason


async def test_a_project_that_is_not_there_is_named() -> None:
    with pytest.raises(ProviderError) as caught:
        await provider(refusal(404, "Requested entity was not found.")).page(None)
    assert caught.value.missing
    assert "are the project acme-research and the location us-central1 right?" in caught.value.reason


async def test_a_vague_404_is_about_the_job_only_where_the_others_are_there() -> None:
    gone = refusal(404, "Requested entity was not found.")
    with pytest.raises(ProviderError, match="HTTP 404"):
        await provider(gone).retrieve("77")
    gone.listing = Response(200, {}, b"{}")
    with pytest.raises(NotFound):
        await provider(gone).retrieve("77")


@pytest.mark.parametrize(
    ("options", "place", "said"),
    [
        ({"location": "us_central1"}, "location", "is no location"),
        ({"project": "a/b"}, "project", "is no id"),
        ({"api_version": "1"}, "api_version", "is no version"),
        ({"base_url": "https://gateway.example.com"}, "base_url", "is not Google's"),
        ({"base_url": "ftp://x.googleapis.com"}, "base_url", "is no http"),
    ],
)
def test_options_that_cannot_be_are_told(options: dict[str, str], place: str, said: str) -> None:
    found = Options(**{"project": "acme-research", "location": "us-central1", **options}).problems()
    assert any(name == place and sentence.startswith(said) for name, sentence in found)


def test_the_environments_credentials_go_to_google_alone() -> None:
    def told(**options: Any) -> list[str]:
        return [name for name, _ in Options(project="acme", location="eu", **options).problems()]

    assert told(base_url="https://psc-ep.p.googleapis.com") == []
    assert told(base_url="http://127.0.0.1:8000") == []
    assert told(base_url="http://x.googleapis.com") == ["base_url"]
    assert told(base_url="https://gateway.example.com", credentials=Secret("{}")) == []


# ------------------------------------------------------------------------------------------------ tokens


async def test_a_token_is_fetched_once_and_kept(tmp_path: Path) -> None:
    async with simulated(tmp_path) as (upstream, credentials):
        token = GoogleToken(credentials, timeout=30)
        found: list[dict[str, str]] = []

        async def ask() -> None:
            found.append(await token.headers("GET", "https://x", b""))

        async with anyio.create_task_group() as group:
            for _ in range(5):
                group.start_soon(ask)
        assert len(found) == 5
        assert len({headers["authorization"] for headers in found}) == 1
        assert token.secrets() == [found[0]["authorization"].removeprefix("Bearer ")]
        upstream.key = "another"  # whoever asked again would be refused
        assert await token.headers("GET", "https://x", b"") == found[0]


async def test_a_token_is_fetched_anew_before_it_expires(tmp_path: Path) -> None:
    async with simulated(tmp_path) as (upstream, credentials):
        token = GoogleToken(credentials, timeout=30)
        await token.headers("GET", "https://x", b"")
        token._credentials.expiry = token._credentials.expiry.replace(year=2001)
        upstream.key = "another"
        with pytest.raises(ProviderError, match=r"gives no token: .*Invalid JWT Signature") as caught:
            await token.headers("GET", "https://x", b"")
        assert caught.value.denied


class _Login:
    """What google-auth finds in the environment: nothing good before somebody logs in."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.is_good, self.looks = False, 0
        monkeypatch.setattr("google.auth.default", self.default)

    def default(self, **_: Any) -> tuple[Any, None]:
        self.looks += 1
        return _Found(self.is_good, f"ya29.{self.looks}"), None


class _Found:
    """Credentials as they were when they were looked for."""

    def __init__(self, is_good: bool, token: str) -> None:
        self.is_good, self.valid, self.token = is_good, False, token

    def refresh(self, _: Any) -> None:
        if not self.is_good:
            raise RefreshError("invalid_grant: Token has been expired or revoked.")  # type: ignore[no-untyped-call]
        self.valid = True

    def apply(self, headers: dict[str, str]) -> None:
        headers["authorization"] = f"Bearer {self.token}"


async def test_credentials_that_were_refused_are_looked_for_again(monkeypatch: pytest.MonkeyPatch) -> None:
    login, token = _Login(monkeypatch), GoogleToken(None, timeout=30)
    with pytest.raises(ProviderError, match="expired or revoked"):
        await token.headers("GET", "https://x", b"")
    login.is_good = True
    for _ in range(2):
        assert await token.headers("GET", "https://x", b"") == {"authorization": "Bearer ya29.2"}


async def test_a_token_that_the_service_does_not_know_is_exchanged(
    service: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    login = _Login(monkeypatch)
    login.is_good = True
    client = service((401, {"error": {"message": "Invalid authentication"}}), (200, {}), (200, {}))
    vertex = provider(client, token=False)
    with pytest.raises(ProviderError, match="Invalid authentication") as caught:
        await vertex.page(None)
    assert caught.value.denied
    assert vertex.api.auth.secrets() == ["ya29.1"], "still struck from what comes late"
    for _ in range(2):
        await vertex.page(None)
    assert [asked["authorization"] for asked in client.headers] == [f"Bearer ya29.{n}" for n in (1, 2, 2)]


async def test_the_service_lets_in_who_has_a_token(tmp_path: Path) -> None:
    async with simulated(tmp_path) as (upstream, credentials), Client() as client:
        upstream.create("happy")
        vertex = provider(
            Account(client, Budget(1000)), token=False, base_url=upstream.url, credentials=credentials
        )
        assert len(vertex.split(await vertex.page(None)).entries) == 1
        assert await vertex.introduce() == Introduction(
            whose="the credentials are those of ftwatch@acme-research.iam.gserviceaccount.com, "
            "for the project acme-research",
            beyond="they can also create jobs (aiplatform.tuningJobs.create); "
            "roles/aiplatform.viewer is enough",
        )
        assert upstream.requests[-1] == "POST /v1/projects/acme-research:testIamPermissions"


@pytest.mark.parametrize(
    ("base_url", "status", "body", "asked"),
    [
        (None, 200, {"permissions": ["aiplatform.tuningJobs.list"]}, True),
        (None, 200, [], True),
        (None, 403, {"error": {"message": "Cloud Resource Manager API has not been used"}}, True),
        ("https://us-central1-aiplatform.googleapis.com", 200, {}, True),
        ("https://gateway.example.com", 200, {"permissions": ["aiplatform.tuningJobs.create"]}, False),
    ],
)
async def test_what_is_not_known_to_be_too_much_is_not_told(
    base_url: str | None, status: int, body: Any, asked: bool
) -> None:
    client = Answers(status, body)
    told = await provider(client, base_url=base_url).introduce()
    assert (told.beyond, bool(told.whose)) == ("", True)
    where = "https://cloudresourcemanager.googleapis.com/v1/projects/acme-research:testIamPermissions"
    assert [url for url, _ in client.asked] == ([where] if asked else [])


async def test_an_id_that_no_job_has_is_not_asked_for() -> None:
    client = Answers()
    with pytest.raises(NotFound):
        await provider(client).retrieve("ftjob-abc")
    assert client.asked == []


async def test_a_token_service_that_is_away_is_no_refusal(tmp_path: Path) -> None:
    async with simulated(tmp_path) as (_, credentials):
        pass
    with pytest.raises(ProviderError) as caught:
        await GoogleToken(credentials, timeout=30).headers("GET", "https://x", b"")
    assert caught.value.reason == "Google's token service cannot be reached"
    assert not caught.value.denied


async def test_a_token_has_one_deadline(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    token = GoogleToken(None, timeout=0.01)
    held = anyio.Event()

    async def wait(*_: Any, **__: Any) -> None:
        await held.wait()

    monkeypatch.setattr("anyio.to_thread.run_sync", wait)
    with pytest.raises(ProviderError, match=r"no token from Google within 0\.01 s"):
        await token.headers("GET", "https://x", b"")


@pytest.mark.parametrize(
    ("credentials", "said"),
    [
        ("{", "malformed"),
        ("[]", "of no type that is read here"),
        ('{"type": "gdch_service_account"}', "GOOGLE_APPLICATION_CREDENTIALS instead"),
        ('{"type": "service_account", "private_key": "SECRET"}', "malformed"),
        ('{"type": "authorized_user"}', "malformed"),
        ('{"type": "external_account"}', "malformed"),
        ('{"type": ["service_account"]}', "of no type that is read here"),
        ('{"type": "impersonated_service_account"}', "malformed"),
        ('{"type": "impersonated_service_account", "source_credentials": {"type": "x"}}', "malformed"),
        (
            '{"type": "external_account", "audience": "x", "subject_token_type": "y", "token_url": 5, '
            '"credential_source": "z"}',
            "malformed",
        ),
    ],
)
async def test_credentials_that_are_none_are_told_not_shown(credentials: str, said: str) -> None:
    with pytest.raises(ProviderError, match=said) as caught:
        await GoogleToken(Secret(credentials), timeout=30).headers("GET", "https://x", b"")
    assert caught.value.denied
    assert "SECRET" not in caught.value.reason


async def test_credentials_that_cannot_be_had_are_told() -> None:
    def gone() -> str:
        raise LookupError("/run/key.json cannot be read: No such file or directory")

    with pytest.raises(ProviderError, match=r"there are no credentials: /run/key\.json") as caught:
        await GoogleToken(Secret(gone), timeout=30).headers("GET", "https://x", b"")
    assert caught.value.denied


async def test_without_any_credentials_it_says_where_they_come_from(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NO_GCE_CHECK", "true")
    monkeypatch.setenv("CLOUDSDK_CONFIG", str(tmp_path))
    monkeypatch.delenv("GOOGLE_APPLICATION_CREDENTIALS", raising=False)
    with pytest.raises(ProviderError, match="set the option credentials_file, or the variable") as caught:
        await GoogleToken(None, timeout=30).headers("GET", "https://x", b"")
    assert caught.value.denied


async def test_the_application_default_credentials_count(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with simulated(tmp_path) as (upstream, _):
        monkeypatch.setenv("GOOGLE_APPLICATION_CREDENTIALS", str(tmp_path / "service-account.json"))
        found = await GoogleToken(None, timeout=30).headers("GET", "https://x", b"")
        assert upstream.dialect.admits(_Bearing(found), KEY)


class _Bearing:
    """A request with these headers."""

    def __init__(self, headers: dict[str, str]) -> None:
        self.headers = headers


async def test_without_google_auth_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in sys.modules if name.startswith("google.auth")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "google.auth", None)  # type: ignore[arg-type]
    with pytest.raises(ProviderError, match=r"install ftwatch\[google\]") as caught:
        await GoogleToken(None, timeout=30).headers("GET", "https://x", b"")
    assert caught.value.denied


def test_it_is_loaded_without_google_auth() -> None:
    code = (
        "import sys, ftwatch.providers.vertex; sys.exit(any(name == 'google.auth' for name in sys.modules))"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False, timeout=60).returncode == 0


# ---------------------------------------------------------------------------------------------- reading


def test_an_answer_that_is_none_of_theirs_is_no_empty_listing() -> None:
    vertex = provider()
    assert vertex.split(b'{"nextPageToken": ""}') == Page(entries=(), next=None)
    with pytest.raises(ProviderError, match="has no `tuningJobs`"):
        vertex.split(b'{"object": "list", "data": {"id": "x"}}')
    with pytest.raises(ProviderError, match="Try again"):
        vertex.split(b'{"error": {"message": "Try again"}}')


def test_checkpoints_stand_in_the_document(make: Any) -> None:
    document = make.case("vertex").document("JOB_STATE_SUCCEEDED")
    told = provider().inline(json.dumps(document).encode())
    assert told.checkpoints == (Checkpoint(id="1", step=40, model="endpoints/7"),)
    assert (told.lines, told.newest_first) == ((), False)


def test_the_endpoint_stands_beside_the_labels(make: Any) -> None:
    document = make.case("vertex").document("JOB_STATE_SUCCEEDED")
    job = provider().read(json.dumps(document).encode())
    assert job.fine_tuned_model == f"{PLACE}/models/9@1"
    assert job.metadata == {"team": "search", "tunedModel.endpoint": f"{PLACE}/endpoints/6"}
    assert job.labels == {"team": "search"}


@pytest.mark.parametrize(
    ("spec", "type"),
    [
        ("preferenceOptimizationSpec", "dpo"),
        ("reinforcementTuningSpec", "reinforcement"),
        ("distillationSpec", "distillation"),
        ("partnerModelTuningSpec", "partner_model"),
    ],
)
def test_each_method_has_its_specification(spec: str, type: str) -> None:
    said = {"validationDatasetUri": "gs://v", "promptDatasetUri": "gs://p", "hyperParameters": {"beta": 0.1}}
    document = {"name": "x/tuningJobs/1", "state": "JOB_STATE_QUEUED", spec: said}
    job = provider().read(json.dumps(document).encode())
    assert job.method is not None
    assert (job.method.type, job.validation_file, job.training_file) == (type, "gs://v", "gs://p")
    assert job.hyperparameters == {"beta": 0.1}


def test_a_model_tuned_before_is_tuned_again() -> None:
    document = {
        "name": "x/tuningJobs/1",
        "state": "JOB_STATE_RUNNING",
        "preTunedModel": {"tunedModelName": "models/9@1", "baseModel": "gemini-2.5-flash"},
        "tuningJobMetadata": {"completedStepCount": "30"},
        "tuningDataStats": {"distillationDataStats": {"trainingDatasetStats": {"tuningStepCount": "120"}}},
        "startTime": "2026-09-21T14:14:20Z",
    }
    job = provider().read(json.dumps(document).encode())
    assert (job.model, job.status, job.started_at) == ("models/9@1", Status.RUNNING, 1_790_000_060)
    assert job.progress is not None
    assert (job.progress.step, job.progress.total_steps, job.progress.percent) == (30, 120, 25.0)
