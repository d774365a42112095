"""Messages in the config's words: what a template changes, and that none of them costs a message."""

import pytest

from ftwatch.core.event import Event
from ftwatch.core.message import BODY, TITLE, Message, Wording, compose
from ftwatch.core.route import Match, Matcher, Mention, Recipient, Route, Routing
from ftwatch.core.sample import SAMPLES, sample
from ftwatch.wire.wording import Phrasing, Unworded, worded
from tests.notifiers.conftest import HOSTILE, hostile_event

FAILED = sample("failed")
TO_ALL = Routing(recipients=(Recipient(name="slack", kind="slack"),))


def told(event: Event, **words: str) -> Message:
    return worded(compose(event, page="https://w.example"), event, Wording(**words))


def test_a_title_takes_the_place_of_the_title_alone() -> None:
    plain, message = compose(FAILED, page="https://w.example"), told(FAILED, title="{{ job.name }} is ill")
    assert message.title == "support-bot-v7 is ill"
    assert message.headline == message.title
    assert message.icon == ""
    assert message.topic == ""
    assert (message.quote, message.facts, message.links) == (plain.quote, plain.facts, plain.links)
    assert told(FAILED, title="🔥 {{ title }}").icon == "🔥"


def test_a_body_takes_the_place_of_all_between_title_and_links() -> None:
    message = told(FAILED, body="Why: {{ job.error.message }}\nWhere: {{ job.error.param }}\n")
    assert message.text.splitlines() == [
        "❌ support-bot-v7 failed after 1 h 50 m (queued 9 m)",
        "Why: The job failed due to an invalid training file: line 17 is not valid JSON.",
        "Where: training_file",
        *(f"{text}: {url}" for text, url in compose(FAILED, page="https://w.example").links),
        "openai-prod · ftjob-sample4w9Zq2",
    ]


def test_what_an_event_says_is_text_and_one_line_and_short() -> None:
    message = told(hostile_event(), title="{{ job.name }}", body="{{ job.name }}\n{{ job.error.message }}")
    assert "{{7*7}}" in message.lines[0]
    assert len(message.lines) == 2
    for line in (message.title, *message.lines):
        assert line.isprintable()
        assert "\u202e" not in line
    assert len(message.title) <= TITLE
    assert HOSTILE.split()[0] in message.title


def test_no_template_makes_an_endless_message() -> None:
    message = told(FAILED, body="{{ text }}" * 200)
    assert sum(map(len, message.lines)) <= BODY


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        ({"title": "{{ job.nmae }}"}, "template.title: there is no 'nmae' here; did you mean 'name'?"),
        ({"title": "{{ '' }}"}, "template.title: it comes to nothing"),
        ({"body": "{{ job.metadata.nix }}"}, "template.body: there is no 'nix' here"),
        ({"body": "{{ 1 / 0 }}"}, "template.body: division by zero"),
    ],
)
def test_what_cannot_be_filled_in_says_why(words: dict[str, str], sentence: str) -> None:
    with pytest.raises(Unworded) as caught:
        told(FAILED, **words)
    assert str(caught.value).startswith(sentence)


def test_the_message_goes_out_all_the_same_and_the_reason_is_known() -> None:
    phrasing = Phrasing("slack", TO_ALL, Wording(title="{{ job.name }}!"), "https://w.example")
    assert phrasing(FAILED).title == "support-bot-v7!"
    assert phrasing.remark(FAILED) == ""
    own = sample("degraded")
    assert phrasing(own) == compose(own, page="https://w.example")
    assert phrasing.remark(own) == "in the plain form, since template.title: there is no 'name' in null"
    assert phrasing(FAILED, own) == compose(FAILED, own)
    assert phrasing.remark(own, FAILED) == "", "a digest has a form of its own"


def test_the_words_of_a_route_go_before_the_notifiers() -> None:
    failed = Match((Matcher("type", "=", (FAILED.type,)),))
    routes = (
        Route(match=failed, notify=("slack",), template=Wording(title="route")),
        Route(notify=("slack",)),
    )
    routing = Routing(recipients=TO_ALL.recipients, routes=routes)
    phrasing = Phrasing("slack", routing, Wording(title="notifier"))
    assert phrasing(FAILED).title == "route"
    assert phrasing(sample("running")).title == "notifier"
    assert Phrasing("slack", routing)(sample("running")) == compose(sample("running"))
    assert Phrasing("nobody", routing)(FAILED) == compose(FAILED)


def test_a_message_mentions_whoever_any_of_its_routes_does() -> None:
    failed, degraded = sample("failed"), sample("degraded")
    only = Match((Matcher("type", "=", (failed.type,)),))
    annas = Match((Matcher("owner", "=", ("anna",)),))
    routes = (
        Route(notify=("slack",)),
        Route(match=only, notify=("slack",), mention={"slack": (Mention("@oncall"), Mention("U1", annas))}),
        Route(match=only, notify=("slack",), mention={"slack": (Mention("U2", only), Mention("@oncall"))}),
        Route(notify=("slack",), min_severity=failed.severity, mention={"mail": (Mention("U3"),)}),
        Route(except_=only, notify=("slack",), mention={"slack": (Mention("U4"),)}),
    )
    phrasing = Phrasing("slack", Routing(recipients=TO_ALL.recipients, routes=routes), Wording(title="x"))
    assert phrasing(failed).mention == ("@oncall", "U1", "U2")
    assert phrasing(failed).title == "x"
    assert phrasing(sample("succeeded")).mention == ("U4",)
    assert phrasing(sample("succeeded"), failed).mention == ("U4", "@oncall", "U1", "U2"), "of a digest: all"
    assert phrasing(failed, bundle="remind 1795400000").mention == ("@oncall", "U1", "U2")
    assert phrasing(degraded).mention == ("U4",), "a route that takes it counts, whatever it is about"
    assert phrasing(sample("report")).mention == (), "a report is nobody's call"
    assert Phrasing("mail", Routing(routes=routes[:3]))(failed).mention == ()


@pytest.mark.parametrize("name", SAMPLES)
def test_every_icon_is_one(name: str) -> None:
    message = compose(sample(name))
    assert message.title == f"{message.icon} {message.headline}"
    assert message.icon
