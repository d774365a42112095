"""OpenAI's fine-tuning API, and every server that speaks it or a dialect of it (`base_url`, `dialect`).

Only where the account is and how it lets in stands here. How jobs are asked for is `ftwatch.client.openai`'s
affair, what the answers mean that of `ftwatch.wire`.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import ClassVar, Literal
from urllib.parse import urlencode

from ftwatch.client.api import Api, ApiOptions, can_be_sent, is_near
from ftwatch.client.endpoints import Registrar
from ftwatch.client.openai import Relative, is_home, key_of
from ftwatch.plugins import Introduction, ProviderSpec
from ftwatch.wire.dialect import DIALECTS, OPENAI

__all__ = ["OpenAI", "Options"]

DialectName = Literal["openai", "litellm", "localai", "opea", "telnyx", "tt-inference-server", "unsloth"]


@dataclass(frozen=True, kw_only=True)
class Options(ApiOptions):
    """What `kind: openai` can be told: where the account is, how to be let in, and what is spoken there.

    `base_url` is where the API is, by default the dialect's own service. `metadata` lets the service list
    only jobs with these pairs. Without an `api_key` the variable of the environment counts (OPENAI_API_KEY;
    with `dialect: telnyx` TELNYX_API_KEY); a server of one's own may want none. `custom_llm_provider` says
    whose jobs a LiteLLM proxy is to show.
    """

    dialect: DialectName = "openai"
    organization: str | None = None
    project: str | None = None
    metadata: dict[str, str] = field(default_factory=dict)
    custom_llm_provider: str | None = None

    @property
    def address(self) -> str:
        """Where the API is; empty where nobody says."""
        return self.base_url or DIALECTS[self.dialect].home or ""

    def problems(self) -> Iterator[tuple[str, str]]:
        """What is wrong with these options, as (option, sentence)."""
        yield from ApiOptions.problems(self)
        if not self.address:
            yield "base_url", f"is missing: `dialect: {self.dialect}` is spoken by servers of one's own"
        if self.custom_llm_provider is not None and self.dialect != "litellm":
            yield "custom_llm_provider", "means something with `dialect: litellm` only"
        for option in ("organization", "project"):
            value = getattr(self, option)
            if value is not None and not can_be_sent(value):
                yield option, "holds a character that no header can carry"


class OpenAI(Relative, Registrar):
    """An account on OpenAI or on a server that speaks its wire format."""

    Options: ClassVar[type] = Options
    key_variable: ClassVar[str] = "OPENAI_API_KEY"

    def __init__(self, spec: ProviderSpec) -> None:
        options: Options = spec.options
        dialect, base = DIALECTS[options.dialect], options.address
        at_home = is_home(base, dialect)
        # A service on this machine may be a simulated one; it says itself what it does not have.
        self._has_endpoints = dialect is OPENAI and (at_home or is_near(base))
        self.lists_documents = dialect is OPENAI and at_home
        advice = {}
        if options.api_key is None and not at_home:
            advice[401] = "no key was sent: set the option api_key"
        if options.dialect == "litellm" and options.custom_llm_provider is None:
            advice |= dict.fromkeys((400, 422), "set the option custom_llm_provider")
        if options.custom_llm_provider is not None:
            chosen = urlencode({"custom_llm_provider": options.custom_llm_provider})
            base += ("&" if "?" in base else "?") + chosen
        about = {"openai-organization": options.organization, "openai-project": options.project}
        super().__init__(
            spec,
            Api(
                spec,
                base,
                key_of(options.api_key, options.address, dialect),
                timeout=options.timeout,
                headers={name: value for name, value in about.items() if value},
                advice=advice,
            ),
            dialect,
            only={f"metadata[{key}]": value for key, value in options.metadata.items()},
            page=dialect.page if at_home else None,
        )

    @property
    def unmanaged(self) -> str:
        """Why there are no webhook endpoints to manage; empty for OpenAI itself."""
        if self._has_endpoints:
            return ""
        return "only OpenAI itself sends webhooks; other servers that speak like it have none to register"

    async def introduce(self) -> Introduction:
        """Whose key it is: every answer says that in its headers, where OpenAI itself gives it."""
        if self._dialect is not OPENAI:
            return Introduction()
        answer = await self.api.ask(OPENAI.jobs, {"limit": "1"})
        if answer.status != 200:
            self.api.refused(answer)
        told = [
            f"the {sort} {self.api.shown(name)}"
            for sort in ("organization", "project")
            if (name := answer.headers.get(f"openai-{sort}"))
        ]
        return Introduction(whose=f"the key is one of {', '.join(told)}" if told else "")
