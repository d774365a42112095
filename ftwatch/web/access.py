"""Who may ask what: one middleware in front of every route, which refuses what nobody has let in.

Health, metrics and hooks are open, as probes and senders carry no token of ours (a hook proves itself); all
else needs a token, a session begun with it, a proxy that vouches for its user, or a listener that only this
machine can reach. No route may decide about access by itself.
"""

import hashlib
import hmac
import secrets
from dataclasses import dataclass
from email.utils import formatdate
from functools import lru_cache
from html import escape
from ipaddress import IPv4Network, IPv6Network, ip_address, ip_network
from typing import Literal
from urllib.parse import parse_qs, urlsplit

import structlog
from starlette.datastructures import MutableHeaders
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, RedirectResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from ftwatch.config import WebConfig
from ftwatch.store import StoreError
from ftwatch.web.house import House
from ftwatch.web.server import LARGEST_HEAD, read_body

__all__ = ["Access", "Visitor", "csrf_token", "failure", "refusal", "visitor_of", "wants_page"]

log = structlog.get_logger("ftwatch.web")

# Probes come by address and without a token; what they learn holds no name of a job.
PROBES = frozenset({"/healthz", "/readyz", "/metrics"})
HOOKS = "/hooks/"
LOGIN, LOGOUT = "/login", "/logout"
SAFE = frozenset({"GET", "HEAD", "OPTIONS"})
COOKIE = "ftwatch"
# How long a session lasts (seconds).
SESSION = 7 * 86400
LARGEST_FORM = 64 * 1024
LOCAL_NAMES = frozenset({"localhost", "127.0.0.1", "::1"})

HEADERS = {
    "content-security-policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self';"
        " form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
    ),
    "x-content-type-options": "nosniff",
    "x-frame-options": "DENY",
    # Nothing for others; with no referrer at all browsers also hide from us where a form's request is from.
    "referrer-policy": "same-origin",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
}


@dataclass(frozen=True)
class Visitor:
    """Who asks. `name` is what acks and silences are signed with; `way` is how they got in.

    `session` is what a browser's writes have to prove that they know (see `csrf_token`).
    """

    name: str
    way: Literal["token", "session", "proxy", "local"]
    session: str = ""


def visitor_of(request: Request) -> Visitor:
    """Who asks; on a path that is open to everybody, too."""
    found: Visitor | None = request.scope.get("ftwatch.visitor")
    return found or Visitor("somebody", "local")


def csrf_token(request: Request) -> str:
    """What a page's form sends along as `csrf`, or its script as `x-csrf-token`, with every write."""
    return str(request.scope.get("ftwatch.csrf", ""))


class Access:
    """The middleware. Reads the config anew for each request, so that a reload needs nothing of it."""

    def __init__(self, application: ASGIApp, house: House) -> None:
        self._application = application
        self._house = house
        self._secret = secrets.token_bytes(32)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """One request."""
        if scope["type"] != "http":
            return
        begun = False

        async def say(message: Message) -> None:
            nonlocal begun
            if message["type"] == "http.response.start":
                begun = True
                _dress(message)
            await send(message)

        request = Request(scope, receive)
        try:
            answer = await self._meet(request)
            await (answer or self._application)(scope, request.scope.get("ftwatch.receive", receive), say)
        except HTTPException as error:
            await refusal(request, error)(scope, receive, say)
        except Exception as error:  # a stranger's request must not be able to end anything but itself
            log.exception("a request failed", path=scope["path"], method=scope["method"])
            if not begun:
                await refusal(request, failure(error))(scope, receive, say)

    async def _meet(self, request: Request) -> Response | None:
        """Lets a request in (None), or answers it at the door. Raises HTTPException."""
        path, method = request.url.path, request.method
        if sum(len(name) + len(value) for name, value in request.scope["headers"]) > LARGEST_HEAD:
            raise HTTPException(431, "the headers are too large", {"connection": "close"})
        if path in PROBES:
            return None
        config = self._house.config.web or WebConfig()
        _check_host(request, config)
        if path.startswith(HOOKS):
            return None
        _check_origin(request, config)
        if path == LOGIN and method == "POST":
            return self._login(await _form(request), config)
        visitor = self._visitor(request, config)
        if visitor is None:
            raise HTTPException(401, "this needs the token of the config (web.token)")
        request.scope["ftwatch.visitor"] = visitor
        request.scope["ftwatch.csrf"] = wanted = self._mac("csrf", visitor.session or visitor.name)
        if method not in SAFE and _is_browser(request):
            given = request.headers.get("x-csrf-token") or (await _form(request)).get("csrf", "")
            if not _same(given, wanted):
                raise HTTPException(403, "this page is too old to change anything: load it anew")
        if path == LOGOUT and method == "POST":
            return _logged_out()
        return None

    def _visitor(self, request: Request, config: WebConfig) -> Visitor | None:
        """Who asks; None where nobody vouches for them."""
        word, _, given = request.headers.get("authorization", "").partition(" ")
        token = config.token.reveal() if config.token is not None else None
        if word.lower() == "bearer" and token is not None and _same(given.strip(), token):
            return Visitor("token", "token")
        session = request.cookies.get(COOKIE, "")
        if token is not None and session and self._is_session(session, token):
            return Visitor("token", "session", session)
        if config.user_header is not None and _is_among(request, config.trusted_proxies):
            name = request.headers.get(config.user_header, "").strip()
            if name and name.isprintable():
                return Visitor(name[:200], "proxy")
        return Visitor("local", "local") if config.is_open else None

    # -------------------------------------------------------------------------------------- sessions

    def _login(self, form: dict[str, str], config: WebConfig) -> Response:
        """Begins a session for whoever knows the token."""
        token = config.token.reveal() if config.token is not None else None
        if token is None or not _same(form.get("token", "").strip(), token):
            raise HTTPException(401, "that is not the token")
        after = form.get("next", "/")
        after = after if after.startswith("/") and not after.startswith(("//", "/\\")) else "/"
        answer = RedirectResponse(after, 303)
        issued = str(int(self._house.clock.now()))
        answer.set_cookie(
            COOKIE,
            f"{issued}.{_session_mac(token, issued)}",
            max_age=SESSION,
            httponly=True,
            samesite="strict",
            secure=(config.public_url or "").startswith("https:"),
        )
        return answer

    def _is_session(self, session: str, token: str) -> bool:
        issued, _, mac = session.partition(".")
        if not issued.isdecimal() or not issued.isascii() or len(issued) > 12:
            return False
        age = self._house.clock.now() - int(issued)
        return _same(mac, _session_mac(token, issued)) and -60 <= age <= SESSION

    def _mac(self, *parts: str) -> str:
        return hmac.digest(self._secret, "\0".join(parts).encode(), "sha256").hex()


def _session_mac(token: str, issued: str) -> str:
    # By the token itself: with another token every session is over, and none is lost in a restart.
    return hmac.digest(token.encode(), f"ftwatch session {issued}".encode(), "sha256").hex()


def _logged_out() -> Response:
    answer = RedirectResponse("/", 303)
    answer.delete_cookie(COOKIE, httponly=True, samesite="strict")
    return answer


def _same(given: str, wanted: str) -> bool:
    """Whether two secrets are equal, without telling by the time how far they are."""
    one, other = (
        hashlib.sha256(text.encode("utf-8", "surrogateescape")).digest() for text in (given, wanted)
    )
    return hmac.compare_digest(one, other)


# ------------------------------------------------------------------------------------------- checks


def _check_host(request: Request, config: WebConfig) -> None:
    """A page of another name that leads here (DNS rebinding) is refused."""
    host = _host_of(request.headers.get("host", ""))
    ours = request.scope.get("server") or ("",)
    public = urlsplit(config.public_url).hostname if config.public_url else None
    allowed = {
        *LOCAL_NAMES,
        *(one.lower() for one in config.allowed_hosts),
        config.listen[0],
        ours[0],
        public,
    }
    if host is None or host not in allowed - {"", "::", "0.0.0.0", None}:
        raise HTTPException(421, "this name is not one of ours: see web.public_url and web.allowed_hosts")


def _check_origin(request: Request, config: WebConfig) -> None:
    """What another site's page asks for is refused, also where it could only look."""
    origin = request.headers.get("origin")
    if origin is not None:
        own = {urlsplit(f"//{request.headers.get('host', '')}").netloc.lower()}
        if config.public_url:
            own.add(urlsplit(config.public_url).netloc.lower())
        parts = urlsplit(origin)
        if parts.scheme not in ("http", "https") or parts.netloc.lower() not in own:
            raise HTTPException(403, "a page of another site asked for this")
    elif request.method not in SAFE and request.headers.get("sec-fetch-site") not in (
        None,
        "same-origin",
        "none",
    ):
        raise HTTPException(403, "a page of another site asked for this")


def _is_browser(request: Request) -> bool:
    """Whether a browser asks, which may be somebody else's instrument; a program's token is proof enough."""
    visitor = visitor_of(request)
    if visitor.way == "token":
        return False
    return visitor.way == "session" or "origin" in request.headers or "sec-fetch-site" in request.headers


def _host_of(header: str) -> str | None:
    """The name in a Host header, in lower case and without its port; None where it is none."""
    try:
        parts = urlsplit(f"//{header}")
        name, _ = parts.hostname, parts.port
    except ValueError:
        return None
    return name if name and parts.netloc == header and "@" not in header else None


def _is_among(request: Request, networks: tuple[str, ...]) -> bool:
    """Whether the other end of the connection is one of these networks."""
    try:
        address = ip_address(request.client.host) if request.client else None
    except ValueError:
        return False
    if address is None:
        return False
    plain = getattr(address, "ipv4_mapped", None) or address
    return any(plain in network for network in _networks(networks))


@lru_cache(maxsize=8)
def _networks(texts: tuple[str, ...]) -> tuple[IPv4Network | IPv6Network, ...]:
    return tuple(ip_network(text) for text in texts)


async def _form(request: Request) -> dict[str, str]:
    """The fields of a form, each once; none where the body is no form. The route is given its bytes, too."""
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind != "application/x-www-form-urlencoded":
        return {}
    body = await read_body(request, LARGEST_FORM)
    sent = False

    async def again() -> Message:
        nonlocal sent
        if sent:
            return {"type": "http.disconnect"}
        sent = True
        return {"type": "http.request", "body": body, "more_body": False}

    request.scope["ftwatch.receive"] = again
    try:
        return {name: values[0] for name, values in parse_qs(body.decode(), max_num_fields=50).items()}
    except ValueError:
        raise HTTPException(400, "the form cannot be read") from None


# ------------------------------------------------------------------------------------------ answers


def _dress(message: Message) -> None:
    """Gives every answer the headers that all have."""
    headers = MutableHeaders(scope=message)
    for name, value in HEADERS.items():
        headers.setdefault(name, value)
    headers.setdefault("cache-control", "no-store")
    headers.setdefault("date", formatdate(usegmt=True))


def failure(error: Exception) -> HTTPException:
    """What becomes of a request that something went wrong with here."""
    if isinstance(error, StoreError):
        return HTTPException(503, "the database does not answer; try again", {"retry-after": "5"})
    return HTTPException(500, "something went wrong here; the log has it")


def refusal(request: Request, error: HTTPException) -> Response:
    """The answer to what is refused: JSON for programs, a page (with a way in) for a browser."""
    headers = dict(error.headers or {})
    if error.status_code == 401:
        headers["www-authenticate"] = "Bearer"
    if not wants_page(request):
        return JSONResponse({"error": error.detail}, error.status_code, headers)
    return HTMLResponse(_door(request, error), error.status_code, headers)


def wants_page(request: Request) -> bool:
    """Whether a browser asks for something that people look at."""
    is_page = not request.url.path.startswith(("/api/", HOOKS))
    return is_page and "text/html" in request.headers.get("accept", "")


def _door(request: Request, error: HTTPException) -> str:
    """The page that somebody sees who is not let in, with the form that lets in who knows the token."""
    # A link in a chat leads here without the cookie, which is only sent from our own pages: this is one.
    again = request.headers.get("sec-fetch-site") == "cross-site" and request.method == "GET"
    refresh = '<meta http-equiv="refresh" content="0">' if again and error.status_code == 401 else ""
    form = ""
    if error.status_code == 401:
        where = request.url.path if request.method == "GET" else "/"
        form = (
            f'<form method="post" action="{LOGIN}"><input type="hidden" name="next" value="{escape(where)}">'
            '<p><label>Token <input name="token" type="password" autocomplete="current-password" autofocus>'
            "</label> <button>Sign in</button></p></form>"
        )
    return (
        f'<!doctype html><html lang="en"><head><meta charset="utf-8">{refresh}<title>ftwatch</title>'
        '<meta name="viewport" content="width=device-width"><meta name="color-scheme" content="light dark">'
        f"</head><body><h1>ftwatch</h1><p>{escape(error.detail)}</p>{form}</body></html>"
    )
