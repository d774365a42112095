"""Fine-tuning on Azure OpenAI and Microsoft Foundry, over the v1 paths or those with an `api-version`."""

import os
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import ClassVar
from urllib.parse import quote, urlsplit

from ftwatch.client.api import Api, ApiOptions, Auth, Key, is_near
from ftwatch.client.openai import Relative
from ftwatch.plugins import ProviderError, ProviderSpec, Secret
from ftwatch.wire.dialect import AZURE

__all__ = ["Azure", "Options"]

ENDPOINT = "AZURE_OPENAI_ENDPOINT"
NO_ADDRESS = f"there is no address: set {ENDPOINT} or the option base_url"
ADVICE = (
    "the key must be this resource's, or the identity hold the role Cognitive Services OpenAI User on it "
    "(Microsoft.CognitiveServices/accounts/OpenAI/fine-tunes/read)"
)

# What people copy along with a resource's address, because OpenAI's own client wants it.
_TAIL = re.compile(r"/(openai(/v1)?)?/*$")
_VERSION = re.compile(r"\d{4}-\d\d-\d\d(-preview)?|preview|latest|v1")
# Where resources answer. Other names below azure.com are anybody's who rents a machine there.
_MICROSOFT = (
    *(
        f".{service}.azure.{cloud}"
        for service in ("openai", "services.ai", "cognitiveservices")
        for cloud in ("com", "us", "cn")
    ),
    *(".api.cognitive.microsoft.com", ".api.cognitive.microsoft.us", ".api.cognitive.azure.cn"),
)


@dataclass(frozen=True, kw_only=True)
class Options(ApiOptions):
    """What `kind: azure` can be told: the resource, a key or an identity's token, and the API's version.

    `base_url` is the resource, `https://NAME.openai.azure.com`; without one AZURE_OPENAI_ENDPOINT counts. The
    key is by default AZURE_OPENAI_API_KEY. With a date as its `api_version` the older paths are used.
    """

    token: Secret | None = None
    api_version: str | None = None

    @property
    def resource(self) -> str:
        """The resource's address without a path of the API; empty where nobody says."""
        return _TAIL.sub("", self.base_url or os.environ.get(ENDPOINT, "").strip())

    @property
    def address(self) -> str:
        """What the paths of jobs follow."""
        if self.api_version is None:
            return f"{self.resource}/openai/v1"
        path = "/openai" if self.api_version[:1].isdigit() else "/openai/v1"
        return f"{self.resource}{path}?api-version={quote(self.api_version, safe='')}"

    def problems(self) -> Iterator[tuple[str, str]]:
        """What is wrong with these options, as (option, sentence)."""
        yield from ApiOptions.problems(self)
        if not self.resource:
            yield "base_url", f"is missing: the resource's address, unless {ENDPOINT} names it"
        elif "?" in self.resource:
            yield "base_url", "ends before the question mark; the version is an option, api_version"
        if self.api_key is not None and self.token is not None:
            yield "token", "is one way in and api_key the other; give one of them"
        if self.api_version is not None and not _VERSION.fullmatch(self.api_version):
            yield "api_version", "is no version, like 2024-10-21; without one the v1 paths are used"


class Way(Auth):
    """A token of an identity, a key of the resource, or neither where nobody says which resource it is."""

    def __init__(self, options: Options) -> None:
        self._has_address = bool(options.resource)
        if options.token is not None:
            self._key = Key(options.token, name="token")
        else:
            self._key = Key(
                options.api_key,
                (AZURE.variable,),
                trusts_variable=_is_theirs(options),
                header="api-key",
                scheme="",
            )

    async def headers(self, method: str, url: str, body: bytes) -> dict[str, str]:
        """The one header that lets in. Raises ProviderError(denied)."""
        if not self._has_address:
            raise ProviderError(NO_ADDRESS, denied=True)
        return await self._key.headers(method, url, body)

    def secrets(self) -> Sequence[str]:
        """The key or the token."""
        return self._key.secrets()


def _is_theirs(options: Options) -> bool:
    """Whether the environment's key may go there: to the resource it names, any other, this machine."""
    host = urlsplit(options.resource).hostname or ""
    named = _TAIL.sub("", os.environ.get(ENDPOINT, "").strip())
    is_azure = options.resource.startswith("https://") and host.endswith(_MICROSOFT)
    return options.resource == named or is_azure or is_near(options.resource)


class Azure(Relative):
    """A resource of Azure OpenAI or Foundry."""

    Options: ClassVar[type] = Options
    key_variable: ClassVar[str] = AZURE.variable
    address_variable: ClassVar[str] = ENDPOINT

    def __init__(self, spec: ProviderSpec) -> None:
        options: Options = spec.options
        advice = {401: ADVICE, 403: ADVICE}
        super().__init__(
            spec,
            Api(spec, options.address, Way(options), timeout=options.timeout, advice=advice),
            AZURE,
        )
