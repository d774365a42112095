"""AWS's way in, for both kinds that take it: whose credentials, which region, what a refusal says."""

import asyncio
import json
import re
import socket
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from botocore import auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials

from ftwatch.client import Account, Client, Paced, Response
from ftwatch.client import aws as way_in
from ftwatch.client.aws import AwsOptions
from ftwatch.core.pace import Budget
from ftwatch.plugins import (
    Duration,
    Introducing,
    Introduction,
    NotFound,
    ProviderError,
    ProviderSpec,
    Secret,
    load_kind,
)

KINDS = ("bedrock", "sagemaker")
KEY = "AKIAIOSFODNN7EXAMPLE"
SECRET = "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY"
TOKEN = "session/token+of+an/hour=="
LISTING = {"modelCustomizationJobSummaries": [], "TrainingJobSummaries": []}
JOB = {
    "jobName": "a+b.c",
    "status": "InProgress",
    "TrainingJobName": "a+b.c",
    "TrainingJobStatus": "InProgress",
}
ACTIONS = {
    "bedrock": ("bedrock:ListModelCustomizationJobs", "bedrock:GetModelCustomizationJob"),
    "sagemaker": ("sagemaker:ListTrainingJobs", "sagemaker:DescribeTrainingJob"),
}


@pytest.fixture(autouse=True)
def _nobody_else(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """No account of whoever runs the tests, and nobody asked for one."""
    for name in ("CONFIG_FILE", "SHARED_CREDENTIALS_FILE"):
        monkeypatch.setenv(f"AWS_{name}", str(tmp_path / "none"))
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    for name in (
        "PROFILE",
        "REGION",
        "DEFAULT_REGION",
        "ACCESS_KEY_ID",
        "SECRET_ACCESS_KEY",
        "SESSION_TOKEN",
    ):
        monkeypatch.delenv(f"AWS_{name}", raising=False)


class Service:
    """What it answers next, and what it was asked: request line and headers, and the body."""

    def __init__(self) -> None:
        self.status, self.body, self.headers = 200, b"", {}
        self.asked: list[tuple[str, bytes]] = []
        self.url = ""

    def say(self, status: int, body: Any, **headers: str) -> None:
        self.status, self.headers = status, headers
        self.body = body if isinstance(body, bytes) else json.dumps(body).encode()

    async def meet(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            head = (await reader.readuntil(b"\r\n\r\n")).decode()
            self.asked.append((head, b""))
            length = int(self.header("content-length") or 0)
            self.asked[-1] = (head, await reader.readexactly(length))
            lines = [f"HTTP/1.1 {self.status} X", f"Content-Length: {len(self.body)}", "Connection: close"]
            lines += [f"{name.replace('_', '-')}: {value}" for name, value in self.headers.items()]
            writer.write("\r\n".join([*lines, "", ""]).encode() + self.body)
            await writer.drain()
        finally:
            writer.close()

    def header(self, name: str) -> str | None:
        found = [line for line in self.asked[-1][0].splitlines() if line.lower().startswith(f"{name}:")]
        return found[0].partition(":")[2].strip() if found else None


def provider(kind: str, client: Any = None, **options: Any) -> Any:
    found = load_kind("provider", kind)
    spec = ProviderSpec(name="p", kind=kind, labels={}, options=found.Options(**options), client=client)
    return found(spec)


KEYS = {"access_key_id": Secret(KEY), "secret_access_key": Secret(SECRET), "region": "eu-west-1"}


@asynccontextmanager
async def account(kind: str, **options: Any) -> AsyncIterator[tuple[Any, Service]]:
    """An account on a service, both on loopback."""
    service = Service()
    listener = await asyncio.start_server(service.meet, "127.0.0.1", 0)
    service.url = f"http://127.0.0.1:{listener.sockets[0].getsockname()[1]}"
    async with listener, Client() as client:
        given = {"base_url": service.url, **(options or KEYS)}
        yield provider(kind, Account(client, Budget(1000)), **given), service


# ------------------------------------------------------------------------------------------ the signature


def signed_again(service: Service, kind: str, monkeypatch: pytest.MonkeyPatch) -> str:
    """The signature of what came over the wire, made anew from its signed headers alone."""
    head, body = service.asked[-1]
    method, target, _ = head.splitlines()[0].split(" ")
    authorization = service.header("authorization") or ""
    names = authorization.partition("SignedHeaders=")[2].partition(",")[0].split(";")
    made = {name: service.header(name) or "" for name in names if name not in ("host", "x-amz-date")}
    date = datetime.strptime(service.header("x-amz-date") or "", "%Y%m%dT%H%M%SZ").replace(tzinfo=UTC)
    monkeypatch.setattr(auth, "get_current_datetime", lambda *_: date)
    url = f"http://{service.header('host')}{target}"
    made.pop("x-amz-security-token", None)
    request = AWSRequest(method, url, made, body)
    token = service.header("x-amz-security-token")
    auth.SigV4Auth(Credentials(KEY, SECRET, token), kind, "eu-west-1").add_auth(request)
    assert {"host", "x-amz-date"} <= set(names)
    return str(request.headers["Authorization"])


@pytest.mark.parametrize("which", KINDS)
@pytest.mark.parametrize("token", [None, TOKEN])
async def test_what_travels_is_what_was_signed(
    which: str, token: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    more = {"session_token": Secret(token)} if token else {}
    async with account(which, **KEYS, **more) as (it, service):
        service.say(200, LISTING)
        await it.page("to/ken+with=signs &~*")
        authorization = service.header("authorization") or ""
        assert f"Credential={KEY}/" in authorization
        assert f"/eu-west-1/{which}/aws4_request" in authorization
        assert service.header("x-amz-security-token") == token
        assert authorization == signed_again(service, which, monkeypatch)
        service.say(200, JOB)
        await it.retrieve("a+b.c")
        assert service.header("authorization") == signed_again(service, which, monkeypatch)


async def test_bedrock_is_asked_by_paths() -> None:
    async with account("bedrock") as (it, service):
        service.say(200, {**LISTING, "nextToken": "to/ken"})
        following = it.split(await it.page(None)).next
        first = "GET /model-customization-jobs?maxResults=100&sortBy=CreationTime&sortOrder=Descending"
        assert service.asked[-1][0].startswith(f"{first} HTTP")
        await it.page(following)
        assert service.asked[-1][0].startswith(f"{first}&nextToken=to%2Fken HTTP")
        service.say(200, JOB)
        await it.retrieve("a+b.c")
        assert service.asked[-1][0].startswith("GET /model-customization-jobs/a%2Bb.c HTTP")


async def test_sagemaker_is_asked_by_the_names_of_operations() -> None:
    async with account("sagemaker") as (it, service):
        service.say(200, {**LISTING, "NextToken": "t"})
        following = it.split(await it.page(None)).next
        await it.page(following)
        assert service.asked[-1][0].startswith("POST / HTTP")
        assert service.header("x-amz-target") == "SageMaker.ListTrainingJobs"
        assert service.header("content-type") == "application/x-amz-json-1.1"
        assert [json.loads(body) for _, body in service.asked] == [
            {"MaxResults": 100, "SortBy": "CreationTime", "SortOrder": "Descending"},
            {"MaxResults": 100, "SortBy": "CreationTime", "SortOrder": "Descending", "NextToken": "t"},
        ]
        assert "x-amz-target" in (service.header("authorization") or "")
        service.say(200, JOB)
        await it.retrieve("a+b.c")
        assert service.header("x-amz-target") == "SageMaker.DescribeTrainingJob"
        assert json.loads(service.asked[-1][1]) == {"TrainingJobName": "a+b.c"}


# ---------------------------------------------------------------------------- whose credentials, which region


async def used(options: dict[str, Any]) -> tuple[str, str]:
    """The access key and the region that a request is signed with."""
    async with account("bedrock", **options) as (it, service):
        service.say(200, LISTING)
        await it.page(None)
        scope = (service.header("authorization") or "").partition("Credential=")[2].split("/")
        return scope[0], scope[2]


def write_profiles(monkeypatch: pytest.MonkeyPatch, folder: Path) -> None:
    (folder / "config").write_text("[profile team]\nregion = ap-south-1\n[default]\nregion = us-west-2\n")
    (folder / "credentials").write_text(
        "[team]\naws_access_key_id = AKIATEAM\naws_secret_access_key = t\n"
        "[default]\naws_access_key_id = AKIADEFAULT\naws_secret_access_key = d\n"
    )
    monkeypatch.setenv("AWS_CONFIG_FILE", str(folder / "config"))
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(folder / "credentials"))


async def test_credentials_come_from_options_profile_environment_or_files(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    write_profiles(monkeypatch, tmp_path)
    given = {name: KEYS[name] for name in ("access_key_id", "secret_access_key")}
    assert await used({"timeout": Duration(seconds=9)}) == ("AKIADEFAULT", "us-west-2")
    assert await used({"profile": "team"}) == ("AKIATEAM", "ap-south-1")
    assert await used({"profile": "team", "region": "eu-west-1"}) == ("AKIATEAM", "eu-west-1")
    assert await used(given) == (KEY, "us-west-2")
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "AKIAENVIRONMENT")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "e")
    monkeypatch.setenv("AWS_DEFAULT_REGION", "eu-north-1")
    assert await used({"timeout": Duration(seconds=9)}) == ("AKIAENVIRONMENT", "eu-north-1")
    monkeypatch.setenv("AWS_REGION", "eu-south-1")
    assert await used({"timeout": Duration(seconds=9)}) == ("AKIAENVIRONMENT", "eu-south-1")
    assert await used({"profile": "team", "region": "eu-west-1"}) == ("AKIATEAM", "eu-west-1")


async def test_credentials_that_run_out_are_renewed(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    def say(key: str, year: int) -> None:
        until = f"{year}-01-01T00:00:00Z"
        found = {"Version": 1, "AccessKeyId": key, "SecretAccessKey": "s", "SessionToken": "t"}
        (tmp_path / "keys.json").write_text(json.dumps({**found, "Expiration": until}))

    (tmp_path / "config").write_text(f"[profile team]\ncredential_process = cat {tmp_path}/keys.json\n")
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "config"))
    async with account("bedrock", profile="team", region="eu-west-1") as (it, service):
        service.say(200, LISTING)
        say("AKIAFIRST", 2020)
        with pytest.raises(ProviderError, match="still expired") as caught:
            await it.page(None)
        assert caught.value.denied
        say("AKIASECOND", 2120)
        await it.page(None)
        assert "Credential=AKIASECOND/" in (service.header("authorization") or "")
        say("AKIATHIRD", 2120)
        await it.page(None)
        assert "Credential=AKIASECOND/" in (service.header("authorization") or ""), "it has not run out"


@pytest.mark.parametrize("code", ["ExpiredTokenException", "UnrecognizedClientException"])
async def test_keys_that_were_refused_are_looked_for_anew(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, code: str
) -> None:
    write_profiles(monkeypatch, tmp_path)
    async with account("bedrock", profile="team") as (it, service):
        service.say(403, {"message": "no"}, x_amzn_errortype=code)
        with pytest.raises(ProviderError):
            await it.page(None)
        file = tmp_path / "credentials"
        file.write_text(file.read_text().replace("AKIATEAM", "AKIARENEWED"))
        service.say(200, LISTING)
        await it.page(None)
        assert "Credential=AKIARENEWED/" in (service.header("authorization") or "")


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"region": "eu-west-1"}, "there are no AWS credentials: set access_key_id"),
        ({"profile": "nobody", "region": "eu-west-1"}, r"config profile \(nobody\) could not be found"),
        ({**KEYS, "region": None}, "there is no AWS region: set region, or AWS_REGION"),
        ({**KEYS, "access_key_id": Secret("AKIA\nSECRET")}, "no header can carry"),
    ],
)
async def test_what_cannot_be_signed_is_not_asked(options: dict[str, Any], sentence: str) -> None:
    async with account("bedrock", **options) as (it, service):
        with pytest.raises(ProviderError, match=sentence) as caught:
            await it.page(None)
        assert caught.value.denied
        assert "SECRET" not in caught.value.reason
        assert service.asked == []


async def test_a_secret_that_cannot_be_had_is_said() -> None:
    def gone() -> str:
        raise LookupError("the variable TEAM_KEY is not set")

    async with account("sagemaker", **{**KEYS, "secret_access_key": Secret(gone)}) as (it, _):
        with pytest.raises(
            ProviderError, match="no AWS credentials: the variable TEAM_KEY is not set"
        ) as caught:
            await it.retrieve("x")
        assert caught.value.denied


@pytest.mark.parametrize("which", KINDS)
async def test_without_botocore_one_sentence_says_what_to_install(
    which: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in [name for name in sys.modules if name.partition(".")[0] == "botocore"]:
        monkeypatch.setitem(sys.modules, name, None)
    async with account(which) as (it, _):
        with pytest.raises(ProviderError, match=r"install ftwatch\[aws\]") as caught:
            await it.page(None)
        assert caught.value.denied


# ----------------------------------------------------------------------------------------------- refusals


def refusal(kind: str, code: str, message: str) -> tuple[dict[str, str], dict[str, str]]:
    """How the services word an error: body, headers."""
    if kind == "bedrock":
        return {"Message": message}, {"x-amzn-errortype": f"{code}:http://internal/"}
    return {"__type": f"com.amazon#{code}", "Message": message}, {}


@pytest.mark.parametrize("which", KINDS)
@pytest.mark.parametrize(
    ("status", "code", "advice"),
    [
        (403, "ExpiredTokenException", "the session is over: renew it"),
        (400, "ExpiredTokenException", "the session is over: renew it"),
        (403, "UnrecognizedClientException", "AWS knows no such access key here"),
        (400, "UnrecognizedClientException", "is the region enabled for the account"),
        (403, "InvalidSignatureException", "the clock of this machine"),
        (403, "AccessDeniedException", "allow the action ACTION"),
        (400, "AccessDeniedException", "allow the action ACTION"),
        (403, "OptInRequired", "has not signed up"),
    ],
)
async def test_who_is_not_let_in_is_told_why(which: str, status: int, code: str, advice: str) -> None:
    async with account(which) as (it, service):
        body, headers = refusal(which, code, "No. The security token, say.")
        service.say(status, body, **headers)
        for ask, action in zip((it.page, it.retrieve), ACTIONS[which], strict=True):
            with pytest.raises(ProviderError) as caught:
                await ask("anchor")
            error = caught.value
            assert f"HTTP {status}: {code}: No. The security token, say.; " in error.reason
            assert advice.replace("ACTION", action) in error.reason
            assert (error.denied, error.throttled, error.missing) == (True, False, False)


@pytest.mark.parametrize("which", KINDS)
@pytest.mark.parametrize("status", [400, 429, 503])
async def test_throttling_has_a_code_and_any_status(which: str, status: int) -> None:
    async with account(which) as (it, service):
        body, headers = refusal(which, "ThrottlingException", "Rate exceeded")
        service.say(status, body, retry_after="7", **headers)
        with pytest.raises(ProviderError, match="ThrottlingException: Rate exceeded") as caught:
            await it.page(None)
        assert (caught.value.throttled, caught.value.retry_after, caught.value.denied) == (True, 7, False)


@pytest.mark.parametrize("which", KINDS)
@pytest.mark.parametrize(
    ("status", "code", "message", "is_gone"),
    [
        (404, "ResourceNotFoundException", "Could not find it", True),
        (400, "ResourceNotFoundException", "", True),
        (400, "ResourceNotFound", "RecordNotFound", True),
        (400, "ValidationException", "Requested resource not found.", True),
        (400, "ValidationException", "Could not find training job 'x'.", True),
        (400, "ValidationException", "Value 'x' at 'jobIdentifier' failed to satisfy constraint", True),
        (400, "ValidationException", "Input validation failed.", False),
        (404, "UnknownOperationException", "not found", False),
        (404, "", "not found", False),
        (400, "ThrottlingException", "not found", False),
        (403, "AccessDeniedException", "not found", False),
    ],
)
async def test_a_job_is_gone_where_the_code_says_so(
    which: str, status: int, code: str, message: str, is_gone: bool
) -> None:
    async with account(which) as (it, service):
        body, headers = refusal(which, code, message)
        service.say(status, body, **headers)
        with pytest.raises(NotFound if is_gone else ProviderError):
            await it.retrieve("x")


@pytest.mark.parametrize("which", KINDS)
async def test_a_strange_token_and_a_strange_operation_are_missing(which: str) -> None:
    async with account(which) as (it, service):
        for code, anchor, is_missing in (
            ("ValidationException", "token", True),
            ("InvalidToken", "token", True),
            ("ValidationException", None, False),
            ("UnknownOperationException", None, True),
        ):
            body, headers = refusal(which, code, "The token is invalid")
            service.say(400, body, **headers)
            with pytest.raises(ProviderError) as caught:
                await it.page(anchor)
            assert caught.value.missing is is_missing, code


@pytest.mark.parametrize("which", KINDS)
async def test_an_answer_about_another_job_or_none_decides_nothing(which: str) -> None:
    async with account(which) as (it, service):
        service.say(200, JOB)
        with pytest.raises(ProviderError, match=r"asked for job other, and was told about a\+b\.c"):
            await it.retrieve("other")
        for body in (b"<html>", {"message": "hello"}):
            service.say(200, body)
            with pytest.raises(ProviderError, match="the answer is no job"):
                await it.retrieve("other")


@pytest.mark.parametrize("which", KINDS)
async def test_no_answer_hands_a_credential_on(which: str) -> None:
    async with account(which, **KEYS, session_token=Secret(TOKEN)) as (it, service):
        service.say(500, {"message": f"{KEY} {SECRET} {TOKEN}"})
        with pytest.raises(ProviderError) as caught:
            await it.page(None)
        service.say(200, {**JOB, "note": f"{KEY} {SECRET} {TOKEN}"})
        told = caught.value.reason + (await it.retrieve("a+b.c")).decode()
        assert not [secret for secret in (KEY, SECRET, TOKEN) if secret in told]
        assert "••••" in told


# ------------------------------------------------------------------------------------------ whose they are

USER = "arn:aws:iam::123456789012:user/kim"


def who(arn: str) -> bytes:
    return f"<GetCallerIdentityResponse><Arn>{arn}</Arn></GetCallerIdentityResponse>".encode()


@pytest.mark.parametrize("which", KINDS)
async def test_sts_says_whose_credentials_they_are(which: str, monkeypatch: pytest.MonkeyPatch) -> None:
    async with account(which) as (it, service):
        service.say(200, who(USER))
        assert isinstance(it, Introducing)
        assert await it.introduce() == Introduction(
            whose=f"the credentials are those of {USER}, in eu-west-1"
        )
        head, body = service.asked[-1]
        assert head.startswith("POST / HTTP/1.1")
        assert body == b"Action=GetCallerIdentity&Version=2011-06-15"
        assert service.header("content-type") == "application/x-www-form-urlencoded"
        assert service.header("authorization") == signed_again(service, "sts", monkeypatch)
        service.say(200, who("arn:aws:iam::123456789012:root"))
        told = await it.introduce()
        assert told.beyond.startswith("these are the account's root, which may do everything")


@pytest.mark.parametrize("which", KINDS)
async def test_sts_may_refuse_in_xml_or_talk_nonsense(which: str) -> None:
    async with account(which) as (it, service):
        code = "<Error><Code>InvalidClientTokenId</Code><Message>No such token.</Message></Error>"
        service.say(403, code.encode())
        with pytest.raises(ProviderError, match="InvalidClientTokenId: No such token") as caught:
            await it.introduce()
        assert caught.value.denied
        service.say(200, b"<html>")
        with pytest.raises(ProviderError, match="does not say whose"):
            await it.introduce()


@pytest.mark.parametrize(
    ("base_url", "asked"),
    [
        (None, ["https://sts.eu-west-1.amazonaws.com/"]),
        ("https://bedrock-fips.{region}.amazonaws.com", ["https://sts.eu-west-1.amazonaws.com/"]),
        ("http://127.0.0.1:4566", ["http://127.0.0.1:4566/"]),
        ("https://aws.example.com", []),
        ("https://amazonaws.com.example.com", []),
    ],
)
async def test_credentials_are_shown_to_aws_and_this_machine_only(
    base_url: str | None, asked: list[str]
) -> None:
    told: list[str] = []

    class Recorder:
        async def request(self, method: str, url: str, **_: Any) -> Response:
            told.append(url)
            return Response(200, {}, who(USER))

    it = provider("bedrock", Recorder(), **KEYS, base_url=base_url)
    assert bool((await it.introduce()).whose) == bool(asked)
    assert told == asked


@pytest.mark.parametrize(
    ("environ", "options"),
    [
        ({"AWS_ACCESS_KEY_ID": KEY, "AWS_REGION": "eu-west-1"}, {"region": "eu-west-1"}),
        ({"AWS_ACCESS_KEY_ID": KEY, "AWS_DEFAULT_REGION": "eu-west-1"}, {"region": "eu-west-1"}),
        (
            {"AWS_PROFILE": "research", "AWS_REGION": "eu-west-1"},
            {"region": "eu-west-1", "profile": "research"},
        ),
        (
            {"AWS_PROFILE": "research", "AWS_ACCESS_KEY_ID": KEY, "AWS_REGION": "eu-west-1"},
            {"region": "eu-west-1"},
        ),
        ({"AWS_ACCESS_KEY_ID": KEY}, None),
        ({"AWS_PROFILE": "research"}, None),
        ({"AWS_REGION": "eu-west-1"}, None),
        ({}, None),
    ],
)
@pytest.mark.parametrize("which", KINDS)
def test_an_account_is_found_in_the_environment(
    which: str, environ: dict[str, str], options: dict[str, str] | None
) -> None:
    assert load_kind("provider", which).found(environ) == options


# ------------------------------------------------------------------------------------------ where it is


async def asked_at(which: str, **options: Any) -> str:
    """The address that a request goes to."""
    asked = []

    class Recorder:
        async def request(self, method: str, url: str, **_: Any) -> Any:
            asked.append(url)
            raise Paced(1)

    with pytest.raises(ProviderError):
        await provider(which, Recorder(), **{**KEYS, **options}).page(None)
    return asked[0].partition("?")[0]


@pytest.mark.parametrize(
    ("which", "region", "host"),
    [
        ("bedrock", "us-east-1", "bedrock.us-east-1.amazonaws.com"),
        ("sagemaker", "us-east-1", "api.sagemaker.us-east-1.amazonaws.com"),
        ("bedrock", "us-gov-west-1", "bedrock.us-gov-west-1.amazonaws.com"),
        ("sagemaker", "cn-north-1", "api.sagemaker.cn-north-1.amazonaws.com.cn"),
        ("sagemaker", "us-iso-east-1", "api.sagemaker.us-iso-east-1.c2s.ic.gov"),
        ("sagemaker", "us-isob-east-1", "api.sagemaker.us-isob-east-1.sc2s.sgov.gov"),
        ("bedrock", "eusc-de-east-1", "bedrock.eusc-de-east-1.amazonaws.eu"),
    ],
)
async def test_a_service_is_at_its_address_in_a_region(which: str, region: str, host: str) -> None:
    path = "/model-customization-jobs" if which == "bedrock" else "/"
    assert await asked_at(which, region=region) == f"https://{host}{path}"


async def test_a_base_url_may_name_the_region() -> None:
    base = "https://api-fips.sagemaker.{region}.amazonaws.com/"
    assert [*AwsOptions(base_url=base).problems()] == []
    assert await asked_at("sagemaker", base_url=base) == base.replace("{region}", "eu-west-1")


@pytest.mark.parametrize("which", KINDS)
async def test_a_region_that_has_no_such_service_is_asked_about(
    which: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def nobody(*_: Any, **__: Any) -> Any:
        raise socket.gaierror(-2, "Name or service not known")

    monkeypatch.setattr(socket, "getaddrinfo", nobody)
    async with Client() as client:
        it = provider(which, Account(client, Budget(1000)), **{**KEYS, "region": "eu-moon-1"})
        sentence = r"not known: there is no \S+\.eu-moon-1\.amazonaws\.com; is 'eu-moon-1' a region with it\?"
        with pytest.raises(ProviderError, match=sentence) as caught:
            await it.page(None)
        assert not caught.value.denied
        elsewhere = provider(which, Account(client, Budget(1000)), **KEYS, base_url="https://aws.example.com")
        with pytest.raises(ProviderError) as caught:
            await elsewhere.page(None)
        assert "region" not in caught.value.reason


async def test_who_takes_too_long_to_say_who_asks_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(way_in, "RESOLVING", 0.0)
    async with account("bedrock") as (it, _):
        with pytest.raises(ProviderError, match="no AWS credentials were found within"):
            await it.page(None)


# ------------------------------------------------------------------------------------------------ options


@pytest.mark.parametrize(
    ("options", "wrong"),
    [
        ({}, []),
        (KEYS, []),
        ({**KEYS, "session_token": Secret(TOKEN)}, []),
        ({"profile": "team", "regions": ("us-east-1", "eusc-de-east-1", "us-gov-west-1")}, []),
        ({"region": "mars"}, ["region"]),
        ({"regions": ("us-east-1", "us-east-1")}, ["regions"]),
        ({"region": "us-east-1", "regions": ("us-east-2",)}, ["region"]),
        ({"access_key_id": Secret(KEY)}, ["access_key_id"]),
        ({"secret_access_key": Secret(SECRET)}, ["secret_access_key"]),
        ({"session_token": Secret(TOKEN)}, ["session_token"]),
        ({**KEYS, "profile": "team"}, ["profile"]),
        ({"base_url": "ftp://x"}, ["base_url"]),
        ({"timeout": Duration(0)}, ["timeout"]),
    ],
)
def test_options_that_make_no_sense_are_told(options: dict[str, Any], wrong: list[str]) -> None:
    assert [option for option, _ in AwsOptions(**options).problems()] == wrong


def test_regions_are_members() -> None:
    options = AwsOptions(regions=("us-east-1", "eu-west-1"), profile="team")
    members = options.members()
    assert list(members) == ["us-east-1", "eu-west-1"]
    assert members["eu-west-1"] == AwsOptions(region="eu-west-1", profile="team")
    assert members["eu-west-1"].members() == {}
    assert AwsOptions.member_label == "region"


# ------------------------------------------------------------------------------------------- what it may do


def test_the_policies_that_are_shown_allow_what_is_asked_for_and_no_more() -> None:
    page = (Path(__file__).parents[2] / "docs" / "providers.md").read_text()
    allowed = []
    for block in re.findall(r"(?ms)^```jsonc\n(.*?)^```$", page):
        for statement in json.loads(block).get("Statement", []):
            actions = statement["Action"]
            allowed += [actions] if isinstance(actions, str) else actions
    assert sorted(allowed) == sorted(action for actions in ACTIONS.values() for action in actions)
