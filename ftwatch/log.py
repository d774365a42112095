"""How ftwatch speaks to its operator: structlog, to stderr; a console for people, JSON for journals.

What goes through here is shown to others, so secrets are struck out by value and by shape, and what strangers
wrote cannot move a terminal's cursor.
"""

import base64
import binascii
import html
import json
import logging
import os
import re
import sys
import threading
import traceback
from collections.abc import Iterator, Mapping, MutableMapping
from typing import Any, Literal, TextIO
from urllib.parse import quote, unquote

# structlog takes rich along where it finds it, to show tracebacks with the values of variables, which hold
# keys. That is never wanted here, and it takes longer to load than structlog itself.
_rich = sys.modules.get("rich")
sys.modules["rich"] = None  # type: ignore[assignment]
import structlog  # noqa: E402

if _rich is None:
    del sys.modules["rich"]
else:
    sys.modules["rich"] = _rich

__all__ = ["HIDDEN", "configure", "hide", "redacted", "shapeless"]

HIDDEN = "••••"
# Shorter values stand for themselves in too many innocent words.
SHORTEST_SECRET = 6
# So many frames of an exception are shown, the innermost ones: a log line is no core dump.
FRAMES = 6

# Shorter parts of one (a word of it, a step of its path) are too common to be struck for themselves.
SHORTEST_PART = 12

_secrets: set[str] = set()
# The same, the longest first: a part may not hide the shape of the whole.
_longest_first: tuple[str, ...] = ()
_lock = threading.Lock()

# Shapes of secrets, each behind what stands in every text that holds one (in lower case): that is found out
# much sooner, and hardly any text does.
_SHAPES = [
    ("whsec_", re.compile(r"\bwhsec_[A-Za-z0-9+/=]{8,}"), f"whsec_{HIDDEN}"),
    ("sk-", re.compile(r"\bsk-[A-Za-z0-9_-]{8,}"), f"sk-{HIDDEN}"),
    ("-", re.compile(r"\b(xox[a-z]|xapp)-[A-Za-z0-9-]{8,}"), rf"\1-{HIDDEN}"),
    ("_", re.compile(r"\b(hf_|fw_|gh[pousr]_|github_pat_)[A-Za-z0-9_]{12,}"), rf"\1{HIDDEN}"),
    ("a", re.compile(r"\b(AIza|AKIA|ASIA)[A-Za-z0-9_-]{12,}"), rf"\1{HIDDEN}"),
    ("eyj", re.compile(r"\beyJ[A-Za-z0-9_-]{6,}\.[A-Za-z0-9_-]{6,}\.[A-Za-z0-9_-]*"), HIDDEN),
    (
        "-----begin ",
        re.compile(r"(?s)(-----BEGIN [A-Z ]*PRIVATE KEY-----).*?(-----END|\Z)"),
        rf"\1{HIDDEN}\2",
    ),
    ("/services/", re.compile(r"(hooks\.slack\.com/services/)[A-Za-z0-9/_-]+"), rf"\1{HIDDEN}"),
    ("/webhooks/", re.compile(r"(discord(?:app)?\.com/api/webhooks/)[A-Za-z0-9/_-]+"), rf"\1{HIDDEN}"),
    (":aa", re.compile(r"\b((?:bot)?[0-9]{8,12}:)AA[A-Za-z0-9_-]{12,}"), rf"\1{HIDDEN}"),
    (
        "b",
        re.compile(r"(?i)\b(authorization\W{1,4}(?:bearer|basic)|bearer)\s+[A-Za-z0-9._~+/=-]{6,}"),
        rf"\1 {HIDDEN}",
    ),
    (
        "=",
        re.compile(r"(?i)([?&](?:token|key|api_key|apikey|secret|password|sig|signature)=)[^&\s\"']+"),
        rf"\1{HIDDEN}",
    ),
    ("-key", re.compile(r"(?i)\b((?:x-)?api-key\W{1,4})[A-Za-z0-9._~+/=-]{6,}"), rf"\1{HIDDEN}"),
    ("://", re.compile(r"(?i)(\b[a-z][a-z0-9+.-]{0,30}://)[^\s/@?#]+@"), rf"\1{HIDDEN}@"),
]
_UNPRINTABLE = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff]"
)

Event = MutableMapping[str, Any]


def hide(secret: str) -> None:
    """Strikes this value out of everything that is shown from now on, however others write it."""
    if len(secret) < SHORTEST_SECRET or secret in _secrets:
        return
    found = {form for part in _parts(secret) for form in _forms(part)}
    global _longest_first
    with _lock:
        _secrets.update(found)
        _longest_first = tuple(sorted(_secrets, key=len, reverse=True))


def _parts(secret: str) -> Iterator[str]:
    """The secret, and what of it alone would be told: a password, a path, the word behind `Bearer`."""
    yield secret
    words = secret.split()
    yield from (word for word in words if len(word) >= SHORTEST_PART)
    if len(words) == 2 and words[0].lower() == "basic":
        try:
            login = base64.b64decode(words[1], validate=True).decode()
        except (binascii.Error, ValueError):
            login = ""
        yield from (part for part in (login, login.partition(":")[2]) if len(part) >= SHORTEST_SECRET)
    _, is_url, rest = secret.partition("://")
    if is_url and len(words) == 1:
        authority, slash, tail = rest.partition("/")
        login = authority.rpartition("@")[0]
        if login:
            coded = base64.b64encode(unquote(login).encode()).decode()
            parts = (login, unquote(login), login.partition(":")[2], unquote(login.partition(":")[2]), coded)
            yield from (part for part in parts if len(part) >= SHORTEST_SECRET)
        for part in (slash + tail, *re.split(r"[/?&=#]", tail)):
            if len(part) >= SHORTEST_PART:
                yield part
                yield unquote(part)


def _forms(part: str) -> Iterator[str]:
    """How others write it: in JSON, in a web address, in a page, on one line."""
    yield part
    for plain in (part, " ".join(part.split())):
        yield plain
        yield html.escape(plain)
        yield from (quote(plain, safe=safe) for safe in ("", "/", "/:", "/:@?&=+"))
        yield repr(plain)[1:-1]
        for ascii in (True, False):
            escaped = json.dumps(plain, ensure_ascii=ascii)[1:-1]
            yield escaped
            yield escaped.replace("/", "\\/")


def redacted(text: str) -> str:
    """A text without any secret in it: known ones by value, others by their shape."""
    for secret in _longest_first:
        text = text.replace(secret, HIDDEN)
    return shapeless(text)


def shapeless(text: str) -> str:
    """A text without anything that has the shape of a secret."""
    lowered = text.lower()
    for mark, shape, instead in _SHAPES:
        if mark in lowered:
            text = shape.sub(instead, text)
    return text


def _safe(value: Any, depth: int = 0) -> Any:
    match value:
        case str():
            return _UNPRINTABLE.sub(lambda match: f"\\x{ord(match[0]):02x}", redacted(value))
        case bool() | int() | float() | None:
            return value
        case Mapping() if depth < 4:
            return {str(key): _safe(item, depth + 1) for key, item in value.items()}
        case list() | tuple() | set() | frozenset() if depth < 4:
            return [_safe(item, depth + 1) for item in value]
    return _safe(str(value))


def _redact(logger: Any, method: str, event: Event) -> Event:
    return {key: _safe(value) for key, value in event.items()}


def _on_one_line(logger: Any, method: str, event: Event) -> Event:
    """The console quotes every value but the sentence itself, whose line break could forge a line."""
    event["event"] = str(event.get("event", "")).replace("\n", "\\n")
    return event


def _briefly(exc_info: Any) -> str:
    """An exception with its innermost frames, without any variable's value."""
    shown = traceback.TracebackException(*exc_info, limit=-FRAMES, compact=True, capture_locals=False)
    return "".join(shown.format(chain=True)).rstrip("\n")


def _priority(logger: Any, method: str, event: Event) -> Event:
    """The level as the journal's `<N>`, put before the line by `_journal`."""
    event["_priority"] = {"debug": 7, "info": 6, "warning": 4, "error": 3}.get(method, 3)
    return event


class _Journal:
    """Renders JSON, with the priority that the journal reads off the beginning of a line."""

    def __init__(self) -> None:
        self._json = structlog.processors.JSONRenderer(ensure_ascii=False)

    def __call__(self, logger: Any, method: str, event: Event) -> str:
        priority = event.pop("_priority", 6)
        return f"<{priority}>{self._json(logger, method, event)!s}"


def configure(
    level: str = "info", format: Literal["auto", "console", "json"] = "auto", *, stream: TextIO | None = None
) -> None:
    """Sets structlog up for this process; the standard library's logging goes the same way, from warning on.

    `auto`: a console on a terminal, JSON otherwise. Under the journal each line begins with its priority.
    """
    out = stream if stream is not None else sys.stderr
    is_terminal = out.isatty()
    console = format == "console" or (format == "auto" and is_terminal)
    journal = not console and "JOURNAL_STREAM" in os.environ
    renderer: Any
    if console:
        colours = is_terminal and not os.environ.get("NO_COLOR")
        # Rich would show local variables in tracebacks, and those hold keys.
        renderer = structlog.dev.ConsoleRenderer(
            colors=colours, exception_formatter=structlog.dev.plain_traceback
        )
    else:
        renderer = _Journal() if journal else structlog.processors.JSONRenderer(ensure_ascii=False)
    stamp = structlog.processors.TimeStamper(fmt="%Y-%m-%dT%H:%M:%SZ" if console else "iso", utc=True)
    shared: list[Any] = [
        structlog.contextvars.merge_contextvars,
        structlog.processors.add_log_level,
        stamp,
        structlog.processors.ExceptionRenderer(_briefly),
        _redact,
    ]
    if console:
        shared.append(_on_one_line)
    if journal:
        shared.append(_priority)
    threshold = getattr(logging, level.upper())
    structlog.configure(
        processors=[*shared, renderer],
        wrapper_class=structlog.make_filtering_bound_logger(threshold),
        logger_factory=structlog.PrintLoggerFactory(out),
        cache_logger_on_first_use=False,
    )
    handler = logging.StreamHandler(out)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, renderer],
            foreign_pre_chain=shared,
        )
    )
    root = logging.getLogger()
    root.handlers = [handler]
    root.setLevel(logging.WARNING)
