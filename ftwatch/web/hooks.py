"""Webhooks that come in: proved, taken once, and either a reason to look at a job now or passed on.

Nothing is answered with 204 before it is committed. What a hook says of a job is not believed: it only wakes
the poller, whose own look counts. Who sends is proved by `core.inbound`, what is sent is read by the kind.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from typing import Any

import structlog
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route

from ftwatch.config import HookConfig, ProviderConfig
from ftwatch.core import announce
from ftwatch.core.inbound import Forged, Malformed, content_id, message_of
from ftwatch.core.pace import Budget
from ftwatch.core.signature import BadSecret, Stale
from ftwatch.plugins import Hook, Hooked, Pushed, Unreadable, load_kind
from ftwatch.store import Damaged, Receipt, StoreError
from ftwatch.web.house import House
from ftwatch.web.metrics import count_hook
from ftwatch.web.server import read_body
from ftwatch.wire import hooks as wire

__all__ = ["Gate", "mail_of", "routes"]

log = structlog.get_logger("ftwatch.web.hooks")

# How many webhooks may be under way at once, and how many a second one provider may send, in the long run and
# after a rest: a flood is refused before anything is computed for it.
AT_ONCE, RATE, BURST = 50, 50.0, 200.0
SOON = {"retry-after": "5"}


class Gate:
    """Keeps a flood out: a budget for each provider, and a limit on how many are under way."""

    def __init__(self) -> None:
        self._inside = 0
        self._budgets: dict[str, Budget] = {}

    @contextmanager
    def passing(self, provider: str, ticks: float) -> Iterator[None]:
        """Lets one in. Raises HTTPException: 429, 503."""
        budget = self._budgets.setdefault(provider, Budget(RATE, BURST))
        if budget.delay(ticks) > 0:
            raise HTTPException(429, "too many webhooks: send them more slowly", {"retry-after": "1"})
        budget.wait(ticks)
        if self._inside >= AT_ONCE:
            raise HTTPException(503, "too many webhooks at once: send it again", SOON)
        self._inside += 1
        try:
            yield
        finally:
            self._inside -= 1


# What is counted, by how a webhook was answered.
VERDICTS = {401: "forged", 404: "unknown", 408: "slow", 413: "large", 429: "flood", 503: "busy"}


async def receive(request: Request) -> Response:
    """`POST /hooks/<provider>`: 204 once it is committed, or known to have been before."""
    house: House = request.app.state.house
    name = request.path_params["provider"]
    try:
        answer = await _receive(request, house, name)
    except HTTPException as error:
        count_hook(house, name, VERDICTS.get(error.status_code, "malformed"))
        raise
    count_hook(house, name, "taken")
    return answer


async def _receive(request: Request, house: House, name: str) -> Response:
    config = house.config.providers.get(name)
    if config is None or config.hook is None:
        raise HTTPException(404, "no webhooks are accepted here: see webhook_secret of the provider")
    with request.app.state.gate.passing(name, house.clock.ticks()):
        if request.headers.get("content-encoding", "identity").lower() != "identity":
            raise HTTPException(400, "an encoded body is not accepted")
        body = await read_body(request)
        return await _take(house, config, config.hook, dict(request.headers), body)


async def _take(
    house: House, config: ProviderConfig, proof: HookConfig, headers: dict[str, str], body: bytes
) -> Response:
    now = house.clock.now()
    id = _proved(proof, headers, body, now)
    kind = load_kind("provider", config.kind)
    try:
        hook = _read(kind, proof.scheme, headers, body)
    except Unreadable as error:
        raise HTTPException(400, str(error)) from None
    own = (id or hook.id or headers.get("idempotency-key", ""))[:256]
    said = None
    if not hook.jobs and not hook.documents:
        own = own or content_id(body)
        said = announce.relayed(
            config.name,
            config.kind,
            own,
            hook.type,
            hook.about,
            body.decode(),
            house.store.silences.over(house.config.routing),
            now,
            created_at=hook.created_at,
        )
    # Who tells of itself says the same again and again, and means it; a job may be looked at again, too.
    receipt = Receipt(
        provider=config.name, id=own or None, type=hook.type, said=said, mail=mail_of(kind, hook, now)
    )
    try:
        is_new = await house.work(house.store.receive, receipt, now)
    except Damaged:
        raise
    except StoreError as error:
        log.error("a webhook could not be taken", provider=config.name, error=str(error))
        raise HTTPException(503, "it could not be stored: send it again", SOON) from None
    jobs = [*hook.jobs, *(job for job, _ in hook.documents)]
    # A run may tell of itself every second.
    say = log.debug if hook.documents else log.info
    say("webhook", provider=config.name, type=hook.type, is_new=is_new, jobs=len(jobs))
    poller = house.pollers.get(config.name)
    if poller is not None and jobs:
        # Also for one that was taken before: whoever took it may have died before the look.
        poller.hear(jobs)
    if said is not None and is_new:
        house.ring()
    return Response(status_code=204)


def _read(kind: Any, scheme: str, headers: dict[str, str], body: bytes) -> Hook:
    """What a proved body says. Raises Unreadable."""
    if isinstance(kind, Hooked):
        return kind.hook(body)
    if scheme == "github":
        return wire.github(body, headers.get("x-github-event", ""))
    return wire.openai(body)


def _proved(proof: HookConfig, headers: dict[str, str], body: bytes, now: float) -> str:
    """The sender's id of a message that is proved to be theirs. Raises HTTPException."""
    try:
        secrets = [secret.reveal() for secret in proof.secrets]
        return message_of(
            proof.scheme, headers, body, secrets, now, tolerance=proof.tolerance, header=proof.header
        )
    except (Malformed, Stale) as error:
        raise HTTPException(400, str(error)) from None
    except Forged as error:
        raise HTTPException(401, str(error)) from None
    except (LookupError, BadSecret) as error:
        log.error("the secret of a provider's webhooks cannot be used", error=str(error))
        raise HTTPException(503, "the secret cannot be had here at the moment", SOON) from None


def mail_of(kind: Any, hook: Hook, now: float) -> Sequence[tuple[str, Callable[[bytes | None], bytes]]]:
    """What jobs told of themselves, for the store: each job's id, and how its document goes on."""
    if not hook.documents or not isinstance(kind, Pushed):
        return ()

    def merge(told: dict[str, Any], before: bytes | None) -> bytes:
        return kind.merge(before, told, now)

    return [(job, partial(merge, told)) for job, told in hook.documents]


routes: list[BaseRoute] = [Route("/hooks/{provider}", receive, methods=["POST"])]
