"""The log: nothing secret, nothing that moves a cursor, one line of JSON where nobody is watching."""

import io
import json
import logging
from collections.abc import Iterator

import pytest
import structlog
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ftwatch import log as logs
from ftwatch.plugins import Secret


@pytest.fixture(autouse=True)
def _as_it_was(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.delenv("JOURNAL_STREAM", raising=False)
    # What other tests used as a secret is none here.
    monkeypatch.setattr(logs, "_secrets", set())
    root = logging.getLogger()
    handlers, level = root.handlers, root.level
    yield
    structlog.reset_defaults()
    root.handlers, root.level = handlers, level


def said(format: str = "json", level: str = "info") -> io.StringIO:
    out = io.StringIO()
    logs.configure(level, format, stream=out)  # type: ignore[arg-type]
    return out


def test_a_line_is_json_with_its_level_and_time() -> None:
    out = said()
    structlog.get_logger("x").info("delivered", job="ftjob-1", took=0.5)
    line = json.loads(out.getvalue())
    assert (line["event"], line["level"], line["job"], line["took"]) == ("delivered", "info", "ftjob-1", 0.5)
    assert line["timestamp"].endswith("Z")


def test_under_the_journal_a_line_begins_with_its_priority(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("JOURNAL_STREAM", "8:1")
    out = said("auto")
    structlog.get_logger("x").error("oh")
    assert out.getvalue().startswith('<3>{"')


def test_what_is_below_the_level_is_not_said() -> None:
    out = said(level="warning")
    structlog.get_logger("x").info("psst")
    assert out.getvalue() == ""


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.data())
def test_a_shape_is_looked_for_wherever_it_can_be(data: st.DataObject) -> None:
    mark, shape, _ = data.draw(st.sampled_from(logs._SHAPES))
    assert mark in data.draw(st.from_regex(shape)).lower()


@pytest.mark.parametrize("format", ["json", "console"])
@pytest.mark.parametrize(
    "secret",
    [
        "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw",
        "sk-proj-abcdefghijklmnop",
        "xoxb-123456-abcdef",
        "https://hooks.slack.com/services/T000/B000/XXXXXXXX",
        "Authorization: Bearer abcdef123456",
        "https://user:hunter2222@example.com/x",
        "HTTPS://abcdef123456@example.com/x",
        "x-api-key: abcdef123456",
        "hf_abcdefghijklmnop",
        "https://example.com/?token=abcdef123456",
    ],
)
def test_a_secret_is_known_by_its_shape(format: str, secret: str) -> None:
    out = said(format)
    log = structlog.get_logger("x")
    log.info("event", url=secret, deep={"list": [secret]})
    try:
        raise ValueError(f"could not use {secret}")
    except ValueError:
        log.exception("oops")
    logging.getLogger("somebody").warning("using %s", secret)
    shown = out.getvalue()
    assert secret not in shown
    for tell in ("hunter2222", "abcdef123456", "abcdefghijklmnop", "XXXXXXXX", "MfKQ9r8GKYq"):
        assert tell not in shown
    assert "••••" in shown


def test_a_secret_that_was_used_is_known_by_its_value() -> None:
    out = said()
    Secret(lambda: "plain and simple words").reveal()
    structlog.get_logger("x").info("oops", text="it said: plain and simple words")
    assert "simple" not in out.getvalue()


@pytest.mark.parametrize("format", ["json", "console"])
def test_what_strangers_wrote_moves_no_cursor(format: str) -> None:
    out = said(format)
    structlog.get_logger("x").info("job", name="\x1b[2J\x07evil\u202egnp.exe\x9b31m\rline", lone="\ud800")
    shown = out.getvalue()
    assert not {"\x1b", "\x07", "\u202e", "\x9b", "\r", "\ud800"} & set(shown)


def test_a_strangers_line_break_forges_no_line() -> None:
    out = said("console")
    forged = "a\n2026-01-01T00:00:00Z [error] all is lost"
    structlog.get_logger("x").info("job", name=forged)
    structlog.get_logger("x").info(forged)
    logging.getLogger("somebody").warning(forged)
    assert len(out.getvalue().splitlines()) == 3


def test_an_exception_is_short_and_shows_no_variable() -> None:
    def deeper(left: int) -> None:
        hidden = "the value of a variable"
        if left == 0:
            raise ValueError(len(hidden))
        deeper(left - 1)

    for format in ("json", "console"):
        out = said(format)
        try:
            deeper(30)
        except ValueError:
            structlog.get_logger("x").exception("oops")
        shown = out.getvalue()
        assert "ValueError: 23" in shown
        assert "the value of" not in shown.replace('hidden = "the value of a variable"', "")
        assert shown.count("in deeper") <= logs.FRAMES


def test_the_standard_librarys_loggers_go_the_same_way() -> None:
    out = said()
    logging.getLogger("somebody").info("chatter")
    logging.getLogger("somebody").warning("watch out")
    (line,) = out.getvalue().splitlines()
    assert json.loads(line)["event"] == "watch out"


def test_colours_are_for_terminals(monkeypatch: pytest.MonkeyPatch) -> None:
    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    for no_colour, coloured in (("", True), ("1", False)):
        monkeypatch.setenv("NO_COLOR", no_colour)
        out = Terminal()
        logs.configure("info", "auto", stream=out)
        structlog.get_logger("x").info("hello")
        assert ("\x1b[" in out.getvalue()) is coloured
