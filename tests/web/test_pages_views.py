"""What the pages say, worked out without a store: trust, progress, times, owners, outcomes, addresses."""

import json
from contextlib import suppress
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from ftwatch.core.announce import ProviderState
from ftwatch.core.delivery import Breaker, Delivery, State
from ftwatch.core.event import Event
from ftwatch.core.job import JobError, JobKey, Progress, Snapshot, Status
from ftwatch.core.known import Known
from ftwatch.core.sample import SAMPLES, sample
from ftwatch.core.span import DAY, HOUR
from ftwatch.store.glance import Cursor, Lane, Letter
from ftwatch.store.history import Attempt, Row
from ftwatch.web.pages import shown
from ftwatch.web.pages.asked import Asked, asked
from ftwatch.web.pages.frame import BadQuery
from ftwatch.web.pages.row import row_of
from ftwatch.web.pages.shown import Pill, in_path
from ftwatch.web.pages.story import told
from ftwatch.web.pages.trust import Facts, Looks, trust

NOW = 1_795_712_345.0


def job(status: Status = Status.RUNNING, **more: Any) -> Snapshot:
    return Snapshot(**{"id": "j", "provider": "p", "kind": "openai", "status": status, **more})


# ----------------------------------------------------------------------------------------------- trust


def looks(**more: Any) -> Looks:
    said = {
        "name": "openai",
        "kind": "openai",
        "good_at": NOW - 5,
        "problem": None,
        "next_look": NOW + 20,
        "every": 120,
    }
    return Looks(**{**said, **more})


def facts(*seen: Looks, lanes: tuple[Lane, ...] = (), **more: Any) -> Facts:
    said: dict[str, Any] = {
        "lanes": lanes or (Lane(name="slack", delivered_at=NOW - 180),),
        "states": {},
        "looks": seen or (looks(),),
        "notifiers": ("slack", "ci"),
        "is_full": False,
        "late": (),
        "started_at": NOW - DAY,
        "is_between": False,
    }
    return Facts(**{**said, **more})


def degraded(**more: Any) -> dict[str, ProviderState]:
    return {"openai": ProviderState(name="openai", baseline_at=1.0, **more)}


@pytest.mark.parametrize(
    ("found", "kind", "sentence"),
    [
        (facts(), "good", "All is well: openai was seen within the last 5s, nothing waits to be sent."),
        (
            facts(looks(), looks(name="b", good_at=NOW - 90)),
            "good",
            "All is well: both providers were seen within the last 1m 30s, nothing waits to be sent.",
        ),
        (
            facts(
                looks(),
                looks(name="b"),
                looks(name="c"),
                lanes=(Lane(name="slack", pending=2, oldest=NOW - 3),),
            ),
            "good",
            "All is well: all 3 providers were seen within the last 5s, 2 on the way.",
        ),
        (
            facts(lanes=(Lane(name="slack", held=4),)),
            "good",
            "All is well: openai was seen within the last 5s, 4 held for later.",
        ),
        (facts(looks(good_at=None), started_at=NOW - 3), "good", "The first looks are under way."),
        (facts(looks(good_at=None)), "warn", "openai has not been seen since the start."),
        (facts(looks=(), is_between=True), "good", "The config is being taken anew; a moment, please."),
        (facts(looks=()), "good", "No provider is watched."),
        (facts(late=("poller openai",)), "bad", "No sign of life from poller openai."),
        (facts(is_full=True), "bad", "The disk is full: no job is looked at until there is room."),
        (
            facts(looks(problem="HTTP 503"), states=degraded(degraded_at=NOW - HOUR, reason="HTTP 500")),
            "bad",
            "openai cannot be watched for 1h: HTTP 503.",
        ),
        (
            facts(looks(problem="connection refused")),
            "warn",
            "openai did not answer well just now: connection refused.",
        ),
        (facts(looks(good_at=NOW - HOUR)), "warn", "openai was last seen 1h ago."),
        (
            facts(states=degraded(retired_at=NOW - DAY, reason="HTTP 410")),
            "good",
            "All is well: openai was seen within the last 5s, nothing waits to be sent.",
        ),
        (
            facts(lanes=(Lane(name="ci", pending=14, oldest=NOW - 700, breaker=Breaker(open_at=NOW - 600)),)),
            "bad",
            "ci is out of reach for 10m; 14 wait.",
        ),
        (
            facts(
                lanes=(
                    Lane(name="ci", pending=1, oldest=NOW - 700, breaker=Breaker(failing_since=NOW - 600)),
                )
            ),
            "warn",
            "ci has taken nothing for 10m; 1 waits.",
        ),
        (
            facts(lanes=(Lane(name="ci", pending=3, oldest=NOW - 300),)),
            "warn",
            "ci is behind: 3 wait, the oldest for 5m.",
        ),
        (facts(lanes=(Lane(name="ci", disabled="HTTP 410"),)), "bad", "ci wants no more messages: HTTP 410."),
        (
            facts(lanes=(Lane(name="old", pending=3, oldest=NOW),)),
            "warn",
            "old is no longer in the config; what waits for it to come back: 3.",
        ),
        (facts(lanes=(Lane(name="ci", dead=1),)), "warn", "1 dead letter waits for your word."),
    ],
)  # fmt: skip
def test_the_top_line_is_one_true_sentence(found: Facts, kind: str, sentence: str) -> None:
    line = trust(found, NOW)
    assert (line.kind, line.sentence) == (kind, sentence)


def test_what_is_worse_is_said_first_and_nothing_is_left_out() -> None:
    found = facts(
        looks(problem="slow"),
        lanes=(Lane(name="ci", disabled="gone"), Lane(name="slack", dead=2)),
        is_full=True,
    )
    line = trust(found, NOW)
    assert [one.kind for one in line.wrong] == ["bad", "bad", "warn", "warn"]
    assert line.sentence == line.wrong[0].said
    assert line.dead == 2


def test_what_a_provider_answers_is_cleaned() -> None:
    line = trust(facts(looks(problem="<b>\x1b[31m\u202e" + "x" * 900)), NOW)
    assert "\u202e" not in line.sentence
    assert len(line.sentence) < 300


# -------------------------------------------------------------------------------------------- progress


@pytest.mark.parametrize(
    ("found", "value", "words"),
    [
        (Progress(step=120, total_steps=600), 20, "120/600"),
        (Progress(step=1200, total_steps=3000, percent=41.7), 41, "1,200/3,000"),
        (Progress(step=7), None, "7 steps"),
        (Progress(step=7, total_steps=0), None, "7 steps"),
        (Progress(percent=130.0), 100, ""),
        (Progress(percent=-3.0), 0, ""),
        (Progress(percent=float("nan"), epoch=1.5), None, "epoch 1.5"),
    ],
)
def test_how_far_a_job_is(found: Progress, value: int | None, words: str) -> None:
    progress = shown.progress_of(job(progress=found), NOW)
    assert progress is not None
    assert (progress.value, progress.words, progress.finish) == (value, words, None)


def test_what_nobody_knows_is_not_shown_as_progress() -> None:
    assert shown.progress_of(job(), NOW) is None
    assert shown.progress_of(job(progress=Progress()), NOW) is None
    assert shown.progress_of(job(Status.SUCCEEDED, progress=Progress(percent=50.0)), NOW) is None
    late = shown.progress_of(job(estimated_finish=int(NOW - 5)), NOW)
    assert late is None, "an end that is past says nothing"
    soon = shown.progress_of(job(estimated_finish=int(NOW + 60)), NOW)
    assert soon is not None
    assert soon.finish is not None
    assert soon.finish.text == "1m left"


# ----------------------------------------------------------------------------------------------- times


@pytest.mark.parametrize(
    ("when", "text"),
    [
        (NOW, "16:59 UTC"),
        (NOW - 5 * DAY, "21 Nov 16:59 UTC"),
        (NOW - 400 * DAY, "22 Oct 2025 16:59 UTC"),
    ],
)
def test_a_time_has_its_date_where_that_is_another_one(when: float, text: str) -> None:
    found = shown.at(when, NOW)
    assert found is not None
    assert found.text == text


@given(st.one_of(st.none(), st.floats(), st.integers(-(2**70), 2**70)))
def test_no_time_is_too_strange_to_be_left_out(when: float | None) -> None:
    for say in (shown.at, shown.ago, shown.lasting, shown.soon, shown.left):
        found = say(when, NOW)
        assert found is None or found.iso.endswith("Z")


# ------------------------------------------------------------------------------------------------ jobs


@pytest.mark.parametrize("status", Status)
def test_every_state_has_its_pill(status: Status) -> None:
    assert shown.pill(status).kind in {"run", "wait", "pause", "good", "bad", "off", "odd"}
    assert shown.pill(status, gone=True) == Pill("gone", "odd")
    assert shown.pill("nobody knows") == Pill("unknown", "odd")


@pytest.mark.parametrize(
    ("more", "owner"),
    [
        ({}, None),
        ({"owner": "ann"}, ("ann", "owner=ann")),
        ({"labels": {"owner": "bob", "team": "x"}}, ("bob", "label=owner%3Dbob")),
        ({"labels": {"team": "search & ads"}}, ("search & ads", "label=team%3Dsearch+%26+ads")),
        ({"owner": "ann", "labels": {"owner": "bob"}}, ("ann", "owner=ann")),
    ],
)
def test_whose_a_job_is(more: dict[str, Any], owner: tuple[str, str] | None) -> None:
    assert shown.owner_of(job(**more)) == owner


@pytest.mark.parametrize(
    ("known", "outcome"),
    [
        (Known(snapshot=job(), status_since=NOW), ("", "")),
        (Known(snapshot=job(), status_since=NOW, gone=True), ("the provider no longer knows it", "odd")),
        (Known(snapshot=job(Status.FAILED), status_since=NOW), ("no reason given", "bad")),
        (
            Known(
                snapshot=job(Status.FAILED, error=JobError(message="CUDA out of memory")), status_since=NOW
            ),
            ("out of memory", "bad"),
        ),
        (
            Known(
                snapshot=job(Status.SUCCEEDED, created_at=1, started_at=100, finished_at=3700),
                status_since=NOW,
            ),
            ("took 1h", ""),
        ),
        (
            Known(snapshot=job(Status.CANCELLED, created_at=10, finished_at=70), status_since=NOW),
            ("after 1m", ""),
        ),
        (Known(snapshot=job(Status.SUCCEEDED, created_at=100, finished_at=70), status_since=NOW), ("", "")),
    ],
)
def test_what_came_of_a_job_stands_in_its_row(known: Known, outcome: tuple[str, str]) -> None:
    row = row_of(Row(known, NOW), [], [], NOW)
    assert (row.outcome, row.outcome_kind) == outcome


@pytest.mark.parametrize(
    ("known", "labels"),
    [
        (Known(snapshot=job(), status_since=NOW), ["Silence 2 h"]),
        (Known(snapshot=job(Status.FAILED), status_since=NOW), ["Silence 2 h", "Acknowledge"]),
        (
            Known(snapshot=job(), status_since=NOW, alerts={"stuck": ("queued", ())}),
            ["Silence 2 h", "Acknowledge"],
        ),
        (Known(snapshot=job(Status.PAUSED), status_since=NOW, gone=True), ["Silence 2 h", "Acknowledge"]),
    ],
)
def test_only_what_is_open_can_be_acknowledged(known: Known, labels: list[str]) -> None:
    assert [action.label for action in row_of(Row(known, NOW), [], [], NOW).actions] == labels


def test_a_button_sends_the_job_as_the_api_takes_it() -> None:
    silence, ack = row_of(
        Row(Known(snapshot=job(Status.FAILED, id='a/"b'), status_since=NOW), NOW), [], [], NOW
    ).actions
    assert (silence.path, json.loads(silence.body)) == ("/api/v1/silences", {"job": 'p/a/"b', "for": "2h"})
    assert (ack.path, ack.body) == ("/api/v1/jobs/p/a/%22b/ack", "{}")


@pytest.mark.parametrize(
    ("id", "path"),
    [
        ("ftjob-1", "p/ftjob-1"),
        ("projects/1/jobs/2", "p/projects/1/jobs/2"),
        ("a//b", "p/a%2F%2Fb"),
        ("a/../b", "p/a%2F..%2Fb"),
        ("?#%\n", "p/%3F%23%25%0A"),
    ],
)
def test_a_job_in_a_path(id: str, path: str) -> None:
    assert in_path(JobKey("p", id)) == path


# ------------------------------------------------------------------------------------------- addresses


@given(
    st.builds(
        Asked,
        provider=st.one_of(st.none(), st.text(min_size=1, max_size=20)),
        status=st.one_of(st.none(), st.sampled_from([*Status, "gone"])),
        owner=st.one_of(st.none(), st.text(min_size=1, max_size=20)),
        label=st.one_of(
            st.none(), st.tuples(st.text(max_size=9).filter(lambda t: "=" not in t), st.text(max_size=9))
        ),
        text=st.one_of(st.none(), st.text(min_size=1, max_size=20)),
        everything=st.booleans(),
        after=st.one_of(
            st.none(),
            st.builds(Cursor, st.booleans(), st.floats(0, 1e12), st.text(max_size=9), st.text(max_size=9)),
        ),
    )
)  # fmt: skip
def test_an_address_says_again_what_was_asked(question: Asked) -> None:
    def said(one: Asked) -> Asked:
        # Blanks around a word are nobody's wish.
        words = {name: (getattr(one, name) or "").strip() or None for name in ("provider", "owner", "text")}
        label = tuple("=".join(one.label).strip().split("=", 1)) if one.label else None
        return replace(one, label=label, **words)

    address = question.address(after=question.after)
    query = dict(parse_qsl(urlsplit(address).query, keep_blank_values=True))
    assert asked(query) == said(question)


@given(
    st.dictionaries(
        st.sampled_from(["provider", "status", "owner", "label", "q", "show", "after"]), st.text()
    )
)
def test_any_address_is_understood_or_refused(query: dict[str, str]) -> None:
    with suppress(BadQuery):
        asked(query)


# ---------------------------------------------------------------------------------------------- events


@pytest.mark.parametrize("name", SAMPLES)
def test_every_event_has_a_headline_without_a_sign(name: str) -> None:
    event: Event = sample(name)
    for named in (True, False):
        said, tone = shown.headline(event, named=named)
        assert said
        assert ord(said[0]) < 0x2000, said
        assert tone in {"good", "bad", "warn", "off"}
    if event.job is not None:
        assert shown.headline(event, named=True)[0].startswith(event.job.title)
        assert not shown.headline(event, named=False)[0].startswith(event.job.title)


def letter(state: State, **more: Any) -> Letter:
    said: dict[str, Any] = {
        "id": "msg_1", "event_id": "evt_1", "notifier": "ci", "lane": "x", "state": state,
        "due_at": NOW, "created_at": NOW - 600,
    }  # fmt: skip
    return Letter(
        1, Delivery(**{**said, **more}), None, "route 1", (Attempt(NOW, 0.314, "retry", "HTTP 503"),)
    )


@pytest.mark.parametrize(
    ("one", "said", "kind"),
    [
        (letter(State.DELIVERED, attempts=1, settled_at=NOW - 599), "delivered", "good"),
        (letter(State.DELIVERED, attempts=3, settled_at=NOW), "delivered after 10m, 3 tries", "good"),
        (letter(State.PENDING), "on its way", "wait"),
        (letter(State.PENDING, reason="held for the digest"), "held for the digest", "wait"),
        (letter(State.PENDING, attempts=1, reason="HTTP 503"), "waits, one try so far: HTTP 503", "wait"),
        (letter(State.DEAD, attempts=2, reason="HTTP 404"), "gave up after 2 tries: HTTP 404", "bad"),
        (letter(State.FOLDED, reason="in the digest msg_2"), "told in the digest msg_2", "good"),
        (letter(State.SUPERSEDED, reason="dropped by hand"), "dropped by hand", "off"),
    ],
)
def test_what_became_of_a_delivery(one: Letter, said: str, kind: str) -> None:
    found = told(one, NOW)
    assert (found.state, found.kind, found.because) == (said, kind, "route 1")
    assert found.tries[0][1] == "retry in 0.31 s: HTTP 503"


@given(st.recursive(st.one_of(st.none(), st.text(), st.integers(-(2**60), 2**60)), st.lists, max_leaves=5))
def test_a_document_is_json_that_hides_nothing(value: Any) -> None:
    text = shown.as_json(value)
    assert json.loads(text) == value
    assert all(c.isprintable() or c == "\n" for c in text)
