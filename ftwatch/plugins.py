"""The sockets on one page: what a provider and a notifier must be, and how a kind is found.

Plug-ins import only `ftwatch.client`, `ftwatch.plugins` and `ftwatch.core`; nothing imports them: a kind is
an entry point in the group `ftwatch.providers` or `ftwatch.notifiers`, built-in ones included. An `Options`
class is a frozen keyword-only dataclass; `config` checks the YAML against it and names every mistake's place.
"""

from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from functools import cache
from importlib.metadata import EntryPoint, distributions
from typing import TYPE_CHECKING, Any, ClassVar, Literal, Protocol, runtime_checkable

from msgspec import Struct

from ftwatch.core.delivery import Outcome, RetryPolicy
from ftwatch.core.event import Event
from ftwatch.core.job import Snapshot
from ftwatch.core.journal import Checkpoint, Line
from ftwatch.core.known import Known
from ftwatch.core.message import Message, compose

if TYPE_CHECKING:
    from pydantic import GetCoreSchemaHandler
    from pydantic_core import CoreSchema

__all__ = [
    "Audience",
    "Composer",
    "Duration",
    "Endpoint",
    "Findable",
    "Form",
    "Heard",
    "Hook",
    "HookScheme",
    "Hooked",
    "Introducing",
    "Introduction",
    "JobLog",
    "Living",
    "LogPage",
    "Mailbox",
    "Memory",
    "NotFound",
    "Notifier",
    "NotifierSpec",
    "Page",
    "Posting",
    "Provider",
    "ProviderError",
    "ProviderSpec",
    "Pushed",
    "Registering",
    "Result",
    "Retiring",
    "Secret",
    "TellingDocument",
    "Tried",
    "Unreadable",
    "Watching",
    "kinds",
    "load_kind",
    "look_again",
]

# --------------------------------------------------------------------------------------- option types


class Secret:
    """A value that shows itself only to who asks with `reveal()`; its repr is dots.

    It is resolved late, so that commands which only look at a config work without its secrets.
    """

    __slots__ = ("_source", "origin")

    def __init__(self, source: str | Callable[[], str], origin: str = "literal") -> None:
        self._source = source
        self.origin = origin

    def reveal(self) -> str:
        """The value itself. Raises LookupError, with a sentence, where it cannot be had."""
        if callable(self._source):
            self._source = self._source()
        # A secret in use must never show in the log; imported late, since logging is not cheap to load.
        from ftwatch.log import hide

        hide(self._source)
        return self._source

    def __repr__(self) -> str:
        return "Secret(••••)"

    __str__ = __repr__

    @classmethod
    def from_config(cls, value: object) -> "Secret":
        """What stands in the config as a secret. Raises ValueError with a sentence for what cannot be one."""
        if isinstance(value, Secret):
            return value
        if isinstance(value, str) and value:
            return Secret(value)
        raise ValueError("a secret is a non-empty string")

    @classmethod
    def __get_pydantic_core_schema__(cls, source: object, handler: "GetCoreSchemaHandler") -> "CoreSchema":
        from pydantic_core import core_schema

        return core_schema.no_info_plain_validator_function(
            cls.from_config, json_schema_input_schema=core_schema.str_schema()
        )


_UNITS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}


class Duration(timedelta):
    """A span of time, written `30s`, `5m`, `2h`, `30d` or `1h30m` in the config."""

    @classmethod
    def parse(cls, text: str) -> "Duration":
        """The span that `text` names. Raises ValueError with a sentence for anything else."""
        import re

        parts = re.findall(r"(\d+(?:\.\d+)?)(ms|[smhd])", text)
        if not parts or "".join(number + unit for number, unit in parts) != text.strip():
            raise ValueError(f"{text!r} is no duration: write 30s, 5m, 2h or 30d")
        try:
            return cls(seconds=sum(float(number) * _UNITS[unit] for number, unit in parts))
        except OverflowError:
            raise ValueError(f"{text[:40]!r} is longer than anything lasts") from None

    @classmethod
    def from_config(cls, value: object) -> "Duration":
        """What stands in the config as a span. Raises ValueError with a sentence for what cannot be one."""
        if isinstance(value, Duration):
            return value
        if isinstance(value, str):
            return cls.parse(value)
        raise ValueError("a duration is written 30s, 5m, 2h or 30d")

    @classmethod
    def __get_pydantic_core_schema__(cls, source: object, handler: "GetCoreSchemaHandler") -> "CoreSchema":
        from pydantic_core import core_schema

        return core_schema.no_info_plain_validator_function(
            cls.from_config,
            json_schema_input_schema=core_schema.str_schema(pattern=r"^(\d+(\.\d+)?(ms|[smhd]))+$"),
        )


class Form:
    """A list or a mapping as the YAML has it, all that is in it included, to be filled in by its reader.

    `tree` has lists, maps by text, texts, numbers, truths and None. A text with variables in it (`${VAR}`) is
    a Secret, and stands for itself; one without may be a template, whatever that is to who reads it.
    """

    __slots__ = ("tree",)

    def __init__(self, tree: dict[str, Any] | list[Any]) -> None:
        self.tree = tree

    @classmethod
    def from_config(cls, value: object) -> "Form":
        """What stands in the config as a form. Raises ValueError with a sentence for what cannot be one."""
        if isinstance(value, Form):
            return value
        if isinstance(value, dict | list):
            return cls(value)
        raise ValueError("a form is a mapping or a list")

    @classmethod
    def __get_pydantic_core_schema__(cls, source: object, handler: "GetCoreSchemaHandler") -> "CoreSchema":
        from pydantic_core import core_schema

        return core_schema.no_info_plain_validator_function(
            cls.from_config,
            json_schema_input_schema=core_schema.union_schema(
                [core_schema.dict_schema(), core_schema.list_schema()]
            ),
        )


# ------------------------------------------------------------------------------------------ providers


class ProviderError(Exception):
    """A provider could not be asked, or did not answer as it should. Decides nothing about any job.

    `denied`: the credentials were refused (401, 403), told at once. `retry_after` is in seconds.
    `missing`: the endpoint itself is not there (404 on a listing): drift, not a vanished job. `closed`: the
    service says that it has ended for good.
    """

    def __init__(
        self,
        reason: str,
        *,
        denied: bool = False,
        retry_after: float | None = None,
        throttled: bool = False,
        missing: bool = False,
        closed: bool = False,
    ) -> None:
        super().__init__(reason)
        self.reason = reason
        self.denied = denied
        self.retry_after = retry_after
        self.throttled = throttled
        self.missing = missing
        self.closed = closed


class NotFound(Exception):
    """The provider knows no job of this id."""


class Unreadable(Exception):
    """One entry that is no job (no id, no status): told once, never hides the others."""


class Page(Struct, frozen=True, kw_only=True):
    """A window of a listing, newest first: its raw entries, undecoded, and where the next window starts.

    `next` is the anchor of the following window, None at the end of the listing: the id of a job, or whatever
    word the service gives for it.
    """

    entries: tuple[bytes, ...]
    next: str | None


class Provider(Protocol):
    """A configured account on a fine-tuning service.

    `Options` may have `members()`: several accounts that one block names (regions, for one), as a map from
    what is added to the provider's name to options of its own; empty where the block is one account. Its
    `member_label` (None, or no such attribute: none) is the label under which a job says whose it is.
    """

    Options: ClassVar[type]
    list_is_truth: ClassVar[bool]
    """Whether a list entry counts as much as a retrieve."""
    lists_documents: ClassVar[bool]
    """Whether an entry of a listing is a job's whole document, though an old one. May be left out: False."""
    key_variable: ClassVar[str | None]
    """The variable from which the service's own SDK reads a key, where that is enough to get in.

    The option that holds the key is `api_key`, or the only `Secret` among the options.
    """
    address_variable: ClassVar[str]
    """From which the SDK reads another `base_url`. May be left out: `…_BASE_URL`, as the key's."""
    heads: ClassVar[tuple[str | None, ...]]
    """The anchors where the listings of the service begin. May be left out: one listing, (None,)."""
    newest_first: ClassVar[bool]
    """Whether new jobs come first, so that a page without one ends the search. May be left out: True."""

    names_models: ClassVar[bool]
    """Whether a job that succeeded tells which model it made. May be left out: True."""
    model_from_checkpoint: ClassVar[bool]
    """Whether that stands in its last checkpoint instead. May be left out: False."""
    rate: ClassVar[float]
    """How many requests per second the service lets an account ask. May be left out: 10."""
    log_types: ClassVar[frozenset[str]]
    """Every type that a line of a job log can have; another one is drift. May be left out: any will do."""

    async def page(self, anchor: str | None) -> bytes:
        """The window after the job `anchor` (None: the newest), as it came: equal bytes, equal jobs.

        Raises ProviderError. What it returns is split only when its bytes have not been seen before.
        """
        ...

    def split(self, body: bytes) -> Page:
        """The entries of one window (pure). Raises ProviderError where `body` is no listing."""
        ...

    async def retrieve(self, id: str) -> bytes:
        """One job's document. Raises NotFound, ProviderError."""
        ...

    def identify(self, raw: bytes) -> str:
        """The id in one entry, cheaply. Raises Unreadable."""
        ...

    def read(self, raw: bytes) -> Snapshot:
        """The canonical job in one document (pure). Raises Unreadable."""
        ...


class LogPage(Struct, frozen=True, kw_only=True):
    """One page of what a provider tells of a job besides its state.

    `lines` and `checkpoints` stand in the page's own order, which `newest_first` names. `next` is the anchor
    of the page that follows, None at the end.
    """

    lines: tuple[Line, ...] = ()
    checkpoints: tuple[Checkpoint, ...] = ()
    next: str | None = None
    newest_first: bool = True


@runtime_checkable
class JobLog(Protocol):
    """What a provider also has, when its service keeps a log of each job, or its checkpoints.

    `log_parts` are the lists that the service keeps ("events", "checkpoints"), in the order to ask for them;
    `log_is_cheap`: whether they are asked for unless the config says otherwise.
    """

    log_parts: ClassVar[tuple[str, ...]]
    log_is_cheap: ClassVar[bool]

    async def log(self, id: str, part: str, anchor: str | None) -> bytes:
        """A page of one part of a job's log, as it came. Raises NotFound, ProviderError."""
        ...

    def read_log(self, part: str, body: bytes) -> LogPage:
        """What stands on it (pure). Raises ProviderError where `body` is no such page."""
        ...


@runtime_checkable
class TellingDocument(Protocol):
    """What a provider also has, when a job's document tells of past states, checkpoints or figures."""

    def inline(self, raw: bytes) -> LogPage:
        """What one document tells besides the state (pure). Raises nothing: it was read before."""
        ...


@runtime_checkable
class Watching(Protocol):
    """What a provider also has, when its service tells of news by itself. A hint to look; polling decides."""

    def watch(self) -> AsyncIterator[str]:
        """The ids of jobs that something happened to, as it happens, until the service ends the stream.

        Raises ProviderError.
        """
        ...


@runtime_checkable
class Retiring(Protocol):
    """What a provider also has, when its service says when models stop answering."""

    async def retirements(self) -> dict[str, int]:
        """When models end, by their names (Unix seconds). Raises ProviderError."""
        ...


class Introduction(Struct, frozen=True, kw_only=True):
    """What a service says of a key or of other credentials: a sentence each, empty where it says nothing.

    `whose`: the user, project or account that they open. `beyond`: what they may do that nobody needs here.
    `lacks`: what of the service the account does without. `wrong`: what is the matter with the account.
    """

    whose: str = ""
    beyond: str = ""
    lacks: str = ""
    wrong: str = ""


@runtime_checkable
class Introducing(Protocol):
    """What a provider or a notifier also has, when it can say whose key this is and what the key may do."""

    async def introduce(self) -> Introduction:
        """For `check --online`. Changes nothing at the service. Raises ProviderError."""
        ...


@runtime_checkable
class Findable(Protocol):
    """What a provider's class also has, when its way in is no single key, and the environment may have it."""

    @classmethod
    def found(cls, environ: Mapping[str, str]) -> Mapping[str, str] | None:
        """The options of the account that these variables open, None where they open none.

        No secret is among them: what lets in stays where the service's own tools look for it. Asks nobody.
        """
        ...


@dataclass(frozen=True, kw_only=True)
class ProviderSpec:
    """What a provider's constructor is given. `client` is the account's own, paced by its rate budget.

    `folder` is the config's: relative paths start there. `mailbox` (None: nobody keeps one here) is what came
    in by webhook from jobs without an API.
    """

    name: str
    kind: str
    labels: dict[str, str]
    options: Any
    client: Any
    folder: str = "."
    mailbox: "Mailbox | None" = None


HookScheme = Literal["standard", "stripe", "github", "header", "bearer"]


class Hook(Struct, frozen=True, kw_only=True):
    """What a verified webhook says. `id` is the sender's own of this message, empty where it gives none.

    `jobs` are the ids of jobs to look at now. `documents` are what runs without an API tell of themselves,
    each with its job's id, in their order. What is neither is relayed as `type`; `about` is the id of what
    it is about, `created_at` its own time (Unix seconds).
    """

    type: str = ""
    id: str = ""
    jobs: tuple[str, ...] = ()
    documents: tuple[tuple[str, dict[str, Any]], ...] = ()
    about: str = ""
    created_at: int | None = None


@runtime_checkable
class Hooked(Protocol):
    """What a provider's class also has, when its service sends webhooks of a form of its own.

    Without it they are taken to be OpenAI's. `hook_scheme` is how they are signed unless the config says
    otherwise, `hook_secret` the option that holds the secret where it is not `webhook_secret`; both may be
    left out.
    """

    @classmethod
    def hook(cls, body: bytes) -> Hook:
        """What a verified body says (pure). Raises Unreadable."""
        ...


@runtime_checkable
class Pushed(Protocol):
    """What a provider's class also has, when its jobs have no API and tell of themselves by webhooks.

    Their documents wait in the `mailbox` of its ProviderSpec.
    """

    @classmethod
    def merge(cls, before: bytes | None, told: Mapping[str, Any], now: float) -> bytes:
        """A job's document after it told something at `now` (pure); `before` is the one until then."""
        ...


@runtime_checkable
class Heard(Protocol):
    """What a provider also has, when its documents say when a job was last heard of."""

    def heard_at(self, raw: bytes) -> float:
        """That moment in one document (pure), Unix seconds. Raises Unreadable."""
        ...


class Endpoint(Struct, frozen=True, kw_only=True):
    """An address that a service sends webhooks to. `types` are those of the events that it sends there.

    `secret` is what it signs them with, given once: when the endpoint is made, or gets another.
    """

    id: str
    url: str
    name: str = ""
    types: tuple[str, ...] = ()
    created_at: int | None = None
    secret: Secret | None = None


class Tried(Struct, frozen=True):
    """What became of a sample webhook: the HTTP status that it was answered with at its endpoint.

    None: the service could not deliver it at all, for the reason that `said` gives.
    """

    status: int | None
    said: str = ""


@runtime_checkable
class Registering(Protocol):
    """What a provider also has, when its service can be told where to send webhooks.

    For `ftwatch hooks`; the daemon asks for nothing of it. Every method raises ProviderError.
    """

    @property
    def unmanaged(self) -> str:
        """Why this account has nothing to manage here, as a sentence; empty where it has."""
        ...

    async def endpoints(self) -> list[Endpoint]:
        """All that are registered, newest first."""
        ...

    async def hook_types(self) -> list[str]:
        """The types of the events that the service sends to endpoints."""
        ...

    async def register(self, url: str, types: Sequence[str], name: str) -> Endpoint:
        """Makes an endpoint. Its secret comes along, this once."""
        ...

    async def rotate(self, id: str) -> Endpoint:
        """Gives an endpoint another secret, which comes along; the old one counts for another day."""
        ...

    async def remove(self, id: str) -> None:
        """Removes an endpoint: nothing is sent there any more."""
        ...

    async def test(self, id: str, type: str) -> Tried:
        """Has the service send a sample event of this type to an endpoint."""
        ...


class Mailbox(Protocol):
    """The documents of one provider's jobs, which tell of themselves."""

    async def documents(self, after: str | None, limit: int) -> list[tuple[str, bytes]]:
        """Up to so many after the job `after`, the newest jobs first, each with its job's id."""
        ...

    async def document(self, id: str) -> bytes | None:
        """One job's document."""
        ...


# ------------------------------------------------------------------------------------------ notifiers

Audience = Literal["people", "machines"]
Memory = dict[str, Any]


class Result(Struct, frozen=True):
    """What a send came to, and the memory to keep (None: as it was), committed with the settling."""

    outcome: Outcome
    memory: Memory | None = None


class Notifier(Protocol):
    """A configured destination. `send` is called with one event, or with several that make one digest.

    `body` is what `freeze` gave before the first attempt (None where a kind renders when sending).
    A raised exception counts as Retry with the exception's type as reason: a guest may not crash the house.

    `Options` may have `problems()`: (option, sentence) of what only shows once secrets are had; and
    `objections(samples)`: the same of what it could not tell of these events, one by name of every sort that
    can reach it. An option's name leads by dots into its block; a tuple of steps leads into a form.
    `mention_problem(word)`: why nobody can be notified by this word of a route's `mention` (a sentence), None
    where somebody can; without it a kind mentions nobody.

    A notifier may have `client()`, awaited by `check --online`: the HTTP client that reaches its receiver,
    where that is not `spec.client`. Raises ValueError or LookupError with a sentence.
    """

    Options: ClassVar[type]
    audience: ClassVar[Audience]
    """People get ftwatch's own events and closure by default; machines only what a route names."""
    retry: ClassVar[RetryPolicy]
    concurrency: ClassVar[int]
    """How many deliveries of different lanes may be under way at once."""
    folds: ClassVar[int]
    """How many events one message may name, for a digest after an outage. 0, or no such attribute: one."""
    address: ClassVar[str]
    """The option that says where it goes, so that `people` may have one each. May be left out: none."""
    sends_wire: bool
    """Whether it sends the wire form as it is: then `freeze` is not asked. May be left out: it does not."""
    names_bundles: ClassVar[bool]
    """Whether `send` takes `bundle`: what several events were held for on purpose. May be left out."""
    marks_replays: ClassVar[bool]
    """Whether `send` takes `manual`: True for what somebody has sent again by hand. May be left out."""
    marks_repeats: ClassVar[bool]
    """Whether `send` takes `again`: True for what was taken before, and may have arrived. May be left out."""
    shows_pictures: bool
    """Whether `send`, and `render`, take `picture`: how a run went, where it was drawn. May be left out."""
    timeout: float
    """Seconds that one `send` may take in all, enforced by the dispatcher."""

    def freeze(self, event: Event) -> bytes | None:
        """The bytes that every attempt will send, stored before the first; None renders when sending."""
        ...

    async def send(self, events: Sequence[Event], memory: Memory, *, body: bytes | None = None) -> Result:
        """Deliver. Never raises for what the receiver does: that is an Outcome with its reason."""
        ...


@runtime_checkable
class Posting(Protocol):
    """What a notifier also has that sends the wire form, and has to know nothing else of an event.

    Where it says that it `posts`, `post` is called instead of `send` for what is told by itself, with the id
    of the delivery (`message_id`). The dispatcher does not read the event for it, and leaves the deadline to
    it.
    """

    posts: bool
    timeout: float

    async def post(self, id: str, body: bytes, *, manual: bool = False) -> Result:
        """Deliver these bytes within `timeout` seconds. Else as `send`; `manual` as there."""
        ...


@runtime_checkable
class Living(Protocol):
    """What a notifier also has, when a message of its own is to show how far a job is by now.

    `refresh_every` is how often that is to be seen to, in seconds (None: it has no such messages). How far a
    job is owes nobody a delivery: what `refresh` could not show is shown the next time.
    """

    refresh_every: float | None
    timeout: float

    async def refresh(self, known: Known, memory: Memory) -> Result | None:
        """Shows how a job is that was told of, by its memory; None where nothing was to be done."""
        ...


class Composer(Protocol):
    """What makes the message about an event, or several: `core.message.compose`, as the config has it."""

    def __call__(self, event: Event, *more: Event, most: int = 1000, bundle: str | None = None) -> Message:
        """The message; where more than `most` events come as one, they are summed up."""
        ...


@dataclass(frozen=True, kw_only=True)
class NotifierSpec:
    """What a notifier's constructor is given.

    Who shows a Message has it made by `compose`, which knows the config's templates and where the page is;
    `page` says it, too, for what is shown without any event. `mentions` are all whom messages may mention.
    """

    name: str
    kind: str
    options: Any
    client: Any
    folder: str = "."
    """The config's folder: relative paths and commands start there."""
    compose: Composer = compose
    page: str = ""
    mentions: tuple[str, ...] = ()


# ---------------------------------------------------------------------------------------- finding kinds

GROUPS = {"provider": "ftwatch.providers", "notifier": "ftwatch.notifiers"}


def kinds(socket: Literal["provider", "notifier"]) -> dict[str, EntryPoint]:
    """The installed kinds by name, without importing any of them."""
    found: dict[str, EntryPoint] = {}
    for point in _installed():
        if point.group == GROUPS[socket]:
            found.setdefault(point.name, point)
    return found


def look_again() -> None:
    """Forgets what is installed: the next question looks anew."""
    _installed.cache_clear()


@cache
def _installed() -> tuple[EntryPoint, ...]:
    """The entry points of both sockets, in the order of Python's path: the first of a name counts."""
    found: list[EntryPoint] = []
    for distribution in distributions():
        # Read is only what speaks of kinds: a machine may have hundreds of packages installed.
        if "[ftwatch." in (distribution.read_text("entry_points.txt") or ""):
            found += distribution.entry_points
    return tuple(found)


def load_kind(socket: Literal["provider", "notifier"], kind: str) -> Any:
    """The class behind a kind. Raises LookupError that lists what is installed."""
    installed = kinds(socket)
    if kind not in installed:
        known = ", ".join(sorted(installed)) or "none: install the project first"
        raise LookupError(f"no {socket} of kind {kind!r}; installed: {known}")
    return installed[kind].load()
