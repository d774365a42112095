"""The socket between the simulated service and a kind's way of speaking. Nothing of any kind stands here."""

from collections.abc import Iterator, Mapping, Sequence
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

if TYPE_CHECKING:
    from ftwatch.simulator.upstream import Upstream

__all__ = ["Dialect", "dialect_of"]


class Dialect:
    """How one kind of service speaks. What stands here is what most of them have in common."""

    kind: ClassVar[str]
    prefix: ClassVar[str] = ""
    """What follows the host in a client's base URL."""
    model: ClassVar[str] = "gpt-4.1-mini-2025-04-14"
    """The base model of a job nobody named one for."""
    id_form: ClassVar[str] = "ftjob-sim{number:06d}"
    words: ClassVar[Mapping[str, str]] = {}
    """The service's words for the script's statuses, where they differ."""

    shows: ClassVar[Mapping[str, str]] = {}
    """What ftwatch sees of a script's status that the service has no word for: `{"paused": "running"}`."""
    tells_model: ClassVar[bool] = True
    """Whether a job that succeeded names the model it made."""
    log_tells: ClassVar[frozenset[str]] = frozenset({"states", "figures", "checkpoints"})
    """What stands in its job log, for a kind that reads one; "ends" where lines prove how a job ended."""
    sends_hooks: ClassVar[bool] = False
    """Whether the service sends webhooks when jobs end, and its API says where to."""
    pages: ClassVar[bool] = True
    """Whether its listing comes in pages; then it keeps to `world.page_cap`."""

    def options(self, url: str, key: str | None, folder: Path) -> dict[str, Any]:
        """What a config says below the provider's name, to watch the service at `url`.

        `folder` is for files that the config names (credentials); it lasts as long as the service.
        """
        return {"kind": self.kind, "base_url": url, **({"api_key": key} if key else {})}

    def write(self, world: "Upstream") -> None:
        """Writes the files that the service consists of, as they are now. Most consist of none."""

    def pushes(self, world: "Upstream", since: float) -> Iterator[bytes]:
        """What jobs have told of themselves since then, as bodies of webhooks; most tell nothing."""
        yield from ()

    def routes(self, world: "Upstream") -> Sequence[Route]:
        """The service's addresses, each endpoint guarded by `world.guarded`."""
        raise NotImplementedError

    def admits(self, request: Request, key: str) -> bool:
        """Whether a request brings the right key."""
        return request.headers.get("authorization") == f"Bearer {key}"

    def listing(self, world: "Upstream", request: Request) -> Any:
        """The page of jobs that a request asks for, as JSON values."""
        raise NotImplementedError

    def entries(self, listing: Any) -> list[Any]:
        """The entries within such a page: the very list, so that it can be spoilt."""
        found: list[Any] = listing["data"]
        return found

    def reword(self, entry: dict[str, Any], word: str) -> None:
        """Gives an entry this status, in the service's place for it."""
        entry["status"] = word

    def word(self, status: str) -> str:
        """The service's word for a script's status."""
        return self.words.get(status, status)

    def empty(self, world: "Upstream", request: Request) -> Any:
        """A listing without a job, whatever there is."""
        listing = self.listing(world, request)
        self.entries(listing).clear()
        return listing

    def said(self, status: int, message: str, code: str | None = None) -> Response:
        """An error as the service words it."""
        about = {"message": message, "type": "invalid_request_error", "param": None, "code": code}
        return JSONResponse({"error": about}, status, headers={"retry-after": "1"} if status == 429 else None)

    def missing(self, id: str) -> Response:
        """The answer about a job that the service does not know."""
        return self.said(404, f"Could not find fine tune: {id}", "fine_tune_not_found")


def dialect_of(kind: str) -> Dialect:
    """The dialect of a kind. Raises LookupError where the simulator does not play it."""
    try:
        module = import_module(f"ftwatch.simulator.dialects.{kind}")
    except ModuleNotFoundError:
        raise LookupError(f"the simulator does not play {kind!r}") from None
    found: Dialect = module.DIALECT
    return found
