"""AWS's way in: whose requests they are, and how they are signed. Shared by the kinds that live there.

botocore finds and refreshes the credentials, over connections of its own, and makes the signatures; asking is
our client's affair. It is imported when it is first needed, in a worker thread, since it may take its time.
"""

import os
import re
import socket
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from importlib import import_module
from typing import Any, ClassVar, NoReturn, Self, TypeVar
from urllib.parse import urlsplit

import anyio
import anyio.to_thread

from ftwatch.client.api import (
    LARGEST_JOB,
    LARGEST_LISTING,
    LARGEST_PAGE,
    Api,
    Auth,
    can_be_sent,
    is_near,
    url_problem,
)
from ftwatch.client.meaning import Response, retry_after
from ftwatch.log import hide, redacted
from ftwatch.plugins import Duration, Introduction, NotFound, ProviderError, ProviderSpec, Secret
from ftwatch.wire import aws

__all__ = ["Account", "AwsOptions", "Operation", "found_in", "introduced"]

T = TypeVar("T")

AMZ_JSON = "application/x-amz-json-1.1"
FORM = "application/x-www-form-urlencoded"
# Whoever asks may ask who they are, whatever else they may.
WHO = b"Action=GetCallerIdentity&Version=2011-06-15"

NEEDS_BOTOCORE = "requests to AWS are signed with botocore, which is not installed: install ftwatch[aws]"
NO_CREDENTIALS = (
    "there are no AWS credentials: set access_key_id and secret_access_key, or profile, or what AWS's own "
    "chain reads (AWS_ACCESS_KEY_ID, ~/.aws, the role of the machine)"
)
NO_REGION = "there is no AWS region: set region, or AWS_REGION, or one in the profile"
# How long finding or refreshing credentials may take (seconds): a metadata service that does not answer, a
# program of the operator's, a sign-on service.
RESOLVING = 60.0
TOO_LATE = f"no AWS credentials were found within {RESOLVING:g} s"

_REGION = re.compile(r"[a-z]{2,8}(-[a-z]{2,12}){1,3}-[0-9]{1,2}")
# What the names of services end in, by the beginning of the region; elsewhere it is HOME.
HOME = "amazonaws.com"
_SUFFIXES = {
    "cn": "amazonaws.com.cn",
    "eusc": "amazonaws.eu",
    "us-iso": "c2s.ic.gov",
    "us-isob": "sc2s.sgov.gov",
    "us-isof": "csp.hci.ic.gov",
    "eu-isoe": "cloud.adc-e.uk",
}

_ENDS = [f".{end}" for end in (HOME, *_SUFFIXES.values())]

_EXPIRED = "the session is over: renew it, or give a role or profile that renews itself"
_UNKNOWN = (
    "AWS knows no such access key here: is it active, does its session_token belong to it, is the region "
    "enabled for the account?"
)
_UNSIGNED = "is secret_access_key the one of access_key_id, and the clock of this machine right?"
# What is said beside AWS's own words when it does not let us in; `{action}` is what had to be allowed.
_DENIED = {
    "AccessDenied": "allow the action {action}",
    "AccessDeniedException": "allow the action {action}",
    "ExpiredToken": _EXPIRED,
    "ExpiredTokenException": _EXPIRED,
    "IncompleteSignature": _UNSIGNED,
    "IncompleteSignatureException": _UNSIGNED,
    "InvalidClientTokenId": _UNKNOWN,
    "InvalidSignatureException": _UNSIGNED,
    "MissingAuthenticationToken": _UNSIGNED,
    "MissingAuthenticationTokenException": _UNSIGNED,
    "NotAuthorized": "allow the action {action}",
    "OptInRequired": "the account has not signed up for the service in this region",
    "RequestExpired": _UNSIGNED,
    "SignatureDoesNotMatch": _UNSIGNED,
    "SubscriptionRequiredException": "the account has not signed up for the service in this region",
    "UnrecognizedClientException": _UNKNOWN,
}
# Somebody may have renewed what these refuse, in a file or in the environment of a program.
_STALE = frozenset(code for code, advice in _DENIED.items() if advice in (_EXPIRED, _UNKNOWN))
_THROTTLED = frozenset(
    {
        "RequestLimitExceeded",
        "RequestThrottled",
        "RequestThrottledException",
        "SlowDown",
        "Throttling",
        "ThrottlingException",
        "TooManyRequestsException",
    }
)
_NO_OPERATION = frozenset({"UnknownOperation", "UnknownOperationException"})
_NOT_FOUND = frozenset({"ResourceNotFound", "ResourceNotFoundException"})
# SageMaker, and whoever gets a name that none of its jobs can have, call it a mistake of the asker's.
_VALIDATION = frozenset({"ValidationError", "ValidationException"})
_LOST_TOKEN = _VALIDATION | {
    "ExpiredNextTokenException",
    "InvalidNextToken",
    "InvalidNextTokenException",
    "InvalidPaginationTokenException",
    "InvalidToken",
}
_SAYS_NOT_FOUND = re.compile(
    r"not (be )?found|could not find|not exist|no such|failed to satisfy constraint", re.I
)


# --------------------------------------------------------------------------------------------------- options


@dataclass(frozen=True, kw_only=True)
class AwsOptions:
    """What every kind on AWS can be told: where, and who asks. With `regions` a block is several accounts.

    `{region}` in `base_url` stands for the region.
    """

    member_label: ClassVar[str] = "region"

    region: str | None = None
    regions: tuple[str, ...] = ()
    access_key_id: Secret | None = None
    secret_access_key: Secret | None = None
    session_token: Secret | None = None
    profile: str | None = None
    base_url: str | None = None
    timeout: Duration = Duration(seconds=30)

    def members(self) -> dict[str, Self]:
        """One account for each of `regions`."""
        return {region: replace(self, region=region, regions=()) for region in self.regions}

    def problems(self) -> Iterator[tuple[str, str]]:
        """What is wrong with these options, as (option, sentence)."""
        for option, regions in (("region", [self.region] if self.region else []), ("regions", self.regions)):
            for region in regions:
                if not _REGION.fullmatch(region):
                    yield option, f"{region[:40]!r} is no region, like eu-west-1"
        if self.regions and self.region:
            yield "region", "stands beside regions: give one of them"
        if len(set(self.regions)) < len(self.regions):
            yield "regions", "names a region twice"
        keys = self.access_key_id is not None, self.secret_access_key is not None
        if keys == (True, False):
            yield "access_key_id", "needs secret_access_key beside it"
        if keys == (False, True):
            yield "secret_access_key", "needs access_key_id beside it"
        if self.session_token is not None and not any(keys):
            yield "session_token", "needs access_key_id and secret_access_key beside it"
        if self.profile is not None and any(keys):
            yield "profile", "stands beside access_key_id: give one of them"
        if self.base_url is not None and (problem := url_problem(self.base_url)):
            yield "base_url", problem
        if self.timeout.total_seconds() <= 0:
            yield "timeout", "must be longer than nothing"


# --------------------------------------------------------------------------------------------------- account


class Account:
    """Who asks, and in which region, as botocore finds it. One for all operations of a provider."""

    def __init__(self, options: AwsOptions) -> None:
        self._options = options
        self._lock = threading.Lock()
        self._session: Any = None
        self._credentials: Any = None
        self._region = options.region
        self._secrets: tuple[str, ...] = ()

    async def region(self) -> str:
        """The region: what the options say, else the environment or the profile. Raises ProviderError."""
        if self._region is None:
            self._region = await _apart(self._find_region)
        return self._region

    async def signed(
        self, service: str, method: str, url: str, body: bytes, headers: Mapping[str, str]
    ) -> dict[str, str]:
        """`headers`, and those that let the request in. Raises ProviderError, denied where nothing does."""
        region = await self.region()

        def sign() -> dict[str, str]:
            credentials = self._find_credentials()
            request = import_module("botocore.awsrequest").AWSRequest(method, url, dict(headers), body)
            import_module("botocore.auth").SigV4Auth(credentials, service, region).add_auth(request)
            return dict(request.headers)

        return await _apart(sign)

    def secrets(self) -> Sequence[str]:
        """What the credentials in use consist of."""
        return self._secrets

    def forget(self) -> None:
        """What was found is not let in any more: from now on it is looked for anew."""
        self._session = self._credentials = None

    # ------------------------------------------------------------------------------------ worker threads

    def _find_region(self) -> str:
        with self._botocore():
            region = os.environ.get("AWS_REGION") or self._chain().get_config_variable("region")
        if not region:
            raise ProviderError(NO_REGION, denied=True)
        return str(region)

    def _find_credentials(self) -> Any:
        """The credentials to sign with now; those that run out are renewed in time."""
        with self._botocore():
            # They may be forgotten at any moment, by whoever was refused meanwhile.
            credentials = self._credentials or self._given() or self._chain().get_credentials()
            if credentials is None:
                raise ProviderError(NO_CREDENTIALS, denied=True)
            self._credentials = credentials
            found = credentials.get_frozen_credentials()
        if not all(can_be_sent(part) for part in (found.access_key, found.token or "")):
            raise ProviderError("the AWS credentials hold a character that no header can carry", denied=True)
        self._secrets = tuple(filter(None, (found.secret_key, found.token, found.access_key)))
        if not found.token:
            # Those of a session are new every few hours: the log would have ever more to strike out.
            hide(found.secret_key)
        return found

    def _given(self) -> Any:
        """The credentials that the options hold, None where they hold none."""
        options = self._options
        if options.access_key_id is None or options.secret_access_key is None:
            return None
        given = (options.access_key_id, options.secret_access_key, options.session_token)
        return import_module("botocore.credentials").Credentials(
            *(part and part.reveal().strip() for part in given)
        )

    def _chain(self) -> Any:
        session = self._session or import_module("botocore.session").Session(profile=self._options.profile)
        self._session = session
        return session

    @contextmanager
    def _botocore(self) -> Iterator[None]:
        """For one thread at a time; what goes wrong in it becomes ProviderError."""
        try:
            errors = import_module("botocore.exceptions")
        except ModuleNotFoundError:
            raise ProviderError(NEEDS_BOTOCORE, denied=True) from None
        if not self._lock.acquire(timeout=RESOLVING):
            raise ProviderError(TOO_LATE)
        try:
            yield
        except LookupError as error:
            raise ProviderError(f"there are no AWS credentials: {error.args[0]}", denied=True) from None
        except (errors.BotoCoreError, errors.ClientError, OSError, RuntimeError, ValueError) as error:
            # A network that does not answer says nothing about who asks.
            unheard = isinstance(error, OSError | errors.HTTPClientError | errors.MetadataRetrievalError)
            said = " ".join(redacted(str(error)).split())[:300]
            raise ProviderError(f"no AWS credentials could be had: {said}", denied=not unheard) from None
        finally:
            self._lock.release()


async def _apart(work: Callable[[], T]) -> T:
    """Does something that may wait in a thread of its own, which is given up when it takes too long."""
    with anyio.move_on_after(RESOLVING):
        return await anyio.to_thread.run_sync(work, abandon_on_cancel=True)
    raise ProviderError(TOO_LATE)


class Signature(Auth):
    """Signature Version 4 over a request and the headers that go with it."""

    def __init__(self, account: Account, service: str, headers: Mapping[str, str]) -> None:
        self._account = account
        self._service = service
        self._about = headers

    async def headers(self, method: str, url: str, body: bytes) -> dict[str, str]:
        """The headers that were signed, and the signature."""
        return await self._account.signed(self._service, method, url, body, self._about)

    def secrets(self) -> Sequence[str]:
        """What the credentials in use consist of."""
        return self._account.secrets()


# ------------------------------------------------------------------------------------------------- operation


class Operation(Api):
    """One operation of one service: its address, its way in, what its refusals mean.

    `action` is what IAM calls it (`bedrock:GetModelCustomizationJob`), `host` the beginning of the service's
    address. `target` names the operation where all of a service's have one address; `sort` is the type of
    what is posted, where that is neither.
    """

    def __init__(
        self,
        spec: ProviderSpec,
        account: Account,
        action: str,
        *,
        host: str,
        target: str | None = None,
        sort: str | None = None,
    ) -> None:
        service = action.partition(":")[0]
        about = {"content-type": AMZ_JSON, "x-amz-target": target} if target else {}
        about |= {"content-type": sort} if sort else {}
        options = spec.options
        super().__init__(spec, "", Signature(account, service, about), timeout=options.timeout)
        self._account = account
        self._action = action
        self._host = host
        self._elsewhere: str | None = options.base_url

    async def ask(
        self,
        path: str,
        query: Mapping[str, str] | None = None,
        *,
        method: str = "GET",
        content: bytes = b"",
        headers: Mapping[str, str] | None = None,
        cap: int = LARGEST_LISTING,
        packed: bool = False,
    ) -> Response:
        """Any answer, whole. Raises ProviderError where none came."""
        region = await self._account.region()
        home = self._elsewhere or endpoint(self._host, region)
        self._settle_at(home.replace("{region}", region))
        try:
            return await super().ask(
                path, query, method=method, content=content, headers=headers, cap=cap, packed=packed
            )
        except ProviderError as error:
            if self._elsewhere or not _names_nobody(error):
                raise
            host = urlsplit(self._base).hostname
            reason = f"{error.reason}: there is no {host}; is {region!r} a region with it?"
            raise ProviderError(reason) from None

    async def listing(
        self,
        path: str,
        query: Mapping[str, str] | None = None,
        *,
        content: bytes = b"",
        is_anchored: bool = False,
    ) -> bytes:
        """A page of a listing; with `content` it is asked for by POST.

        Raises ProviderError; `missing` where the operation, or the page's token, is not known.
        """
        method = "POST" if content else "GET"
        answer = await self.ask(path, query, method=method, content=content, cap=LARGEST_PAGE)
        if answer.status == 200:
            return answer.body
        code = self._code(answer)
        lost = is_anchored and code in _LOST_TOKEN
        self.refused(answer, missing=lost or code in _NO_OPERATION or answer.status == 404)

    async def document(
        self, path: str, id: str, *, content: bytes = b"", identify: Callable[[bytes], str]
    ) -> bytes:
        """One job's document, which `identify` says is about `id`. Raises NotFound, ProviderError."""
        answer = await self.ask(path, method="POST" if content else "GET", content=content, cap=LARGEST_JOB)
        if answer.status != 200:
            code, said = self._code(answer), self.complaint(answer)
            if code in _NOT_FOUND or (code in _VALIDATION and _SAYS_NOT_FOUND.search(said)):
                raise NotFound(id)
            self.refused(answer, of=id)
        return self.about(answer.body, id, identify)

    def refused(self, answer: Response, *, missing: bool = False, of: str | None = None) -> NoReturn:
        """Raises what an answer other than 200 means: the code says it, whatever the status is."""
        code = self._code(answer)
        reason = f"HTTP {answer.status}: {self.complaint(answer)}"
        if code in _STALE:
            self._account.forget()
        if code in _DENIED:
            advice = _DENIED[code].format(action=self._action)
            raise ProviderError(f"{reason}; {advice}", denied=True)
        if code in _THROTTLED:
            raise ProviderError(reason, throttled=True, retry_after=retry_after(answer.headers))
        super().refused(answer, missing=missing, of=of)

    def complaint(self, answer: Response) -> str:
        """What the answer says went wrong, with its code, as one short line without a key."""
        code, said = self._code(answer), self.shown(aws.message(answer.body)) or super().complaint(answer)
        return f"{code}: {said}" if code and said else code or said

    def _code(self, answer: Response) -> str:
        return aws.error_code(answer.headers, answer.body)


def found_in(environ: Mapping[str, str]) -> Mapping[str, str] | None:
    """What AWS's own chain finds in these variables: a region, and a key or a profile to go there with."""
    region = environ.get("AWS_REGION") or environ.get("AWS_DEFAULT_REGION")
    profile = environ.get("AWS_PROFILE")
    if region and environ.get("AWS_ACCESS_KEY_ID"):
        return {"region": region}
    return {"region": region, "profile": profile} if region and profile else None


async def introduced(spec: ProviderSpec, account: Account) -> Introduction:
    """Whose credentials these are, as STS says. Nothing where a `base_url` leads elsewhere.

    On this very machine one address mostly stands for all of AWS.
    """
    base = spec.options.base_url
    if base is not None and not is_near(base):
        if not (urlsplit(base).hostname or "").endswith(tuple(_ENDS)):
            return Introduction()
        spec = replace(spec, options=replace(spec.options, base_url=None))
    sts = Operation(spec, account, "sts:GetCallerIdentity", host="sts", sort=FORM)
    answer = await sts.ask("/", method="POST", content=WHO, cap=LARGEST_JOB)
    if answer.status != 200:
        sts.refused(answer)
    arn = aws.identity(answer.body)
    if arn is None:
        raise ProviderError("STS does not say whose credentials these are")
    return Introduction(
        whose=f"the credentials are those of {arn.text}, in {await account.region()}",
        beyond="these are the account's root, which may do everything; a role that may list and get is enough"
        if arn.resource == "root"
        else "",
    )


def endpoint(host: str, region: str) -> str:
    """The address of a service in a region."""
    suffix = next((end for start, end in _SUFFIXES.items() if region.startswith(f"{start}-")), HOME)
    return f"https://{host}.{region}.{suffix}"


def _names_nobody(error: BaseException | None) -> bool:
    """Whether an answer did not come because the address has a name that nobody bears."""
    while error is not None and not isinstance(error, socket.gaierror):
        error = error.__cause__ or error.__context__
    return error is not None
