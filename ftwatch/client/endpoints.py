"""Whom a project's webhooks go to: OpenAI's API for endpoints, asked for whoever manages them by hand.

What the answers mean stands in `ftwatch.wire.endpoints`. No answer that holds a secret leaves as a sentence.
"""

from collections.abc import Callable, Mapping, Sequence
from json import dumps
from typing import Any, NoReturn, TypeVar
from urllib.parse import quote

from ftwatch.client.api import LARGEST_JOB, Api
from ftwatch.client.meaning import Response
from ftwatch.plugins import Endpoint, ProviderError, Tried
from ftwatch.wire import endpoints as wire

__all__ = ["Registrar"]

T = TypeVar("T")

ENDPOINTS, TYPES = "/webhook_endpoints", "/webhook_event_types"
PAGE_SIZE, MOST_PAGES = 100, 50
# How a service that is well says of an endpoint that it cannot be reached; anything else is about itself.
UNDELIVERED = frozenset({400, 408, 409, 422, 424, 502, 504})
BY_HAND = (
    "this project has no API for webhooks: make the endpoint by hand, at"
    " https://platform.openai.com/settings/project/webhooks"
)
PERMISSION = (
    "webhooks are managed with a key that may write: one with all permissions, or a restricted one with that"
    " for webhooks"
)


class Registrar:
    """What manages a project's endpoints, for a kind that has an `api`. Every method raises ProviderError."""

    api: Api

    @property
    def unmanaged(self) -> str:
        """Why this account has nothing to manage here; empty where it has."""
        return ""

    async def endpoints(self) -> list[Endpoint]:
        """All that are registered, newest first."""
        found: dict[str, Endpoint] = {}
        query = {"limit": str(PAGE_SIZE)}
        for _ in range(MOST_PAGES):
            page, following = self._read(wire.page, await self._asked(ENDPOINTS, query=query))
            found |= {one.id: one for one in page}
            if following is None:
                return list(found.values())
            query["after"] = following
        raise ProviderError("the list of webhook endpoints does not end")

    async def hook_types(self) -> list[str]:
        """The types of the events that the service sends to endpoints."""
        return self._read(wire.types, await self._asked(TYPES))

    async def register(self, url: str, types: Sequence[str], name: str) -> Endpoint:
        """Makes an endpoint; its secret comes along."""
        about = {"name": name, "url": url, "event_types": list(types)}
        return self._made(await self._asked(ENDPOINTS, "POST", about))

    async def rotate(self, id: str) -> Endpoint:
        """Gives an endpoint another secret; the old one counts for another 24 hours."""
        about = {"keep_old_secret_active_for_24_hours": True}
        return self._made(await self._asked(_path(id, "/rotate_secret"), "POST", about))

    async def remove(self, id: str) -> None:
        """Removes an endpoint."""
        await self._asked(_path(id), "DELETE")

    async def test(self, id: str, type: str) -> Tried:
        """Has a sample event of this type sent to an endpoint."""
        path = _path(id, "/test")
        answer = await self._answer(path, "POST", {"event_type": type})
        if answer.ok:
            return Tried(self._read(wire.status, answer))
        if answer.status in UNDELIVERED:
            return Tried(None, self.api.complaint(answer) or f"HTTP {answer.status}")
        self._refused(path, answer)

    # ------------------------------------------------------------------------------------------ asking

    async def _asked(
        self,
        path: str,
        method: str = "GET",
        about: Mapping[str, Any] | None = None,
        query: Mapping[str, str] | None = None,
    ) -> Response:
        """A good answer."""
        answer = await self._answer(path, method, about, query)
        if not answer.ok:
            self._refused(path, answer)
        return answer

    async def _answer(
        self,
        path: str,
        method: str,
        about: Mapping[str, Any] | None,
        query: Mapping[str, str] | None = None,
    ) -> Response:
        """Any answer."""
        if self.unmanaged:
            raise ProviderError(self.unmanaged)
        content = dumps(about).encode() if about is not None else b""
        return await self.api.ask(path, query, method=method, content=content, cap=LARGEST_JOB)

    def _refused(self, path: str, answer: Response) -> NoReturn:
        """Raises what a refusal means, and what helps."""
        try:
            self.api.refused(answer, missing=answer.status == 404)
        except ProviderError as error:
            hint = (
                PERMISSION
                if error.denied
                else BY_HAND
                if error.missing and path in (ENDPOINTS, TYPES)
                else ""
            )
            if not hint:
                raise
            raise ProviderError(
                f"{error.reason}; {hint}", denied=error.denied, missing=error.missing
            ) from None

    def _made(self, answer: Response) -> Endpoint:
        """An endpoint with its secret."""
        found = self._read(wire.made, answer)
        if found.secret is not None:
            found.secret.reveal()  # From now on the log strikes it out, whoever else may come across it.
        return found

    def _read(self, reader: Callable[[bytes], T], answer: Response) -> T:
        """What a reader makes of an answer."""
        return self.api.told(reader, answer.body)


def _path(id: str, action: str = "") -> str:
    return f"{ENDPOINTS}/{quote(id, safe='')}{action}"
