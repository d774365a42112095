"""route: who gets an event and why; matchers in both tongues; a notifier gets an event once."""

import random
import re
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ftwatch.core.diff import Change
from ftwatch.core.event import Data, Event, Severity
from ftwatch.core.job import JobError, Method, Snapshot, Status
from ftwatch.core.route import (
    KEYS,
    Match,
    Matcher,
    Recipient,
    Route,
    Routing,
    Silence,
    check_key,
    check_value,
    covers,
    did_you_mean,
    literal,
    matches,
    parse_match,
    parse_matcher,
    route,
    watches,
)

NOW = 1_795_000_000.0

JOB = Snapshot(
    id="ftjob-1",
    provider="prod",
    kind="openai",
    status=Status.FAILED,
    model="meta/llama-3.1-8b",
    name="support-bot",
    owner="anna",
    method=Method(type="dpo"),
    error=JobError(code="server_error", message="x"),
    labels={"team": "search", "cost.center": "7"},
    metadata={"sweep": "lr"},
)

SLACK = Recipient(name="slack", kind="slack")
MAIL = Recipient(name="mail", kind="email")
HOOK = Recipient(name="hook", kind="webhook", audience="machines")
EVALUATE = Recipient(name="evaluate", kind="command", audience="machines")
ALL = (SLACK, MAIL, HOOK, EVALUATE)


def event(type: str = "fine_tuning.job.failed", severity: Severity = Severity.ERROR, **data: Any) -> Event:
    base: dict[str, Any] = {
        "id": JOB.id,
        "provider": "prod",
        "kind": "openai",
        "name": JOB.name,
        "labels": JOB.labels,
        "status": Status.FAILED,
        "previous_status": Status.RUNNING,
        "skipped": False,
        "changes": (Change("status", "running", "failed"), Change("error.code", None, "server_error")),
        "job": JOB,
        "occurred_at": int(NOW),
        "observed_at": int(NOW),
    }
    return Event(id="evt_1", type=type, created_at=int(NOW), severity=severity, data=Data(**{**base, **data}))


def own(type: str = "ftwatch.provider.degraded", severity: Severity = Severity.WARNING, **data: Any) -> Event:
    about = {"id": "prod", "provider": "prod", "kind": "openai", **data}
    return Event(
        id="evt_2",
        type=type,
        created_at=int(NOW),
        severity=severity,
        data=Data(occurred_at=int(NOW), observed_at=int(NOW), **about),
    )


FOREIGN = Event(
    id="evt_3",
    type="batch.completed",
    created_at=int(NOW),
    severity=Severity.DETAIL,
    data=Data(id="batch_1", provider="prod", occurred_at=int(NOW), observed_at=int(NOW)),
)


def policy(routes: tuple[Route, ...], silences: tuple[Silence, ...], plain: bool) -> Routing:
    return Routing(recipients=ALL, routes=None if plain else routes, silences=silences)


def selected(
    event: Event, *routes: Route, silences: tuple[Silence, ...] = (), plain: bool = False
) -> dict[str, str]:
    return dict(route(event, policy(routes, silences, plain), NOW).selected)


def refused(
    event: Event, *routes: Route, silences: tuple[Silence, ...] = (), plain: bool = False
) -> dict[str, str]:
    verdicts = route(event, policy(routes, silences, plain), NOW).verdicts
    return {verdict.notifier: verdict.reason for verdict in verdicts}


# --------------------------------------------------------------------------------------- without routes


def test_without_routes_every_notifier_but_commands_hears_of_jobs() -> None:
    assert selected(event(), plain=True) == {"slack": "default", "mail": "default", "hook": "default"}
    assert refused(event(), plain=True) == {"evaluate": "a command runs only where a route names it"}


def test_without_routes_alerts_go_where_jobs_go() -> None:
    alert = event("fine_tuning.alert.stuck", Severity.WARNING)
    assert set(selected(alert, plain=True)) == {"slack", "mail", "hook"}


def test_without_routes_details_are_left_out() -> None:
    quiet = event("fine_tuning.job.queued", Severity.DETAIL)
    assert selected(quiet, plain=True) == {}
    assert refused(quiet, plain=True)["slack"] == "below the default floor (info)"
    assert set(selected(event("fine_tuning.job.running", Severity.INFO), plain=True)) == {
        "slack",
        "mail",
        "hook",
    }


def test_without_routes_ftwatch_s_own_events_go_to_people() -> None:
    assert selected(own(), plain=True) == {"slack": "default", "mail": "default"}
    reason = "ftwatch's own events go to machines only where a route names the type"
    assert refused(own(), plain=True) == {"hook": reason, "evaluate": reason}


def test_without_routes_foreign_events_go_nowhere() -> None:
    assert selected(FOREIGN, plain=True) == {}
    assert refused(FOREIGN, plain=True)["hook"] == "foreign events go only where a route matches them"


def test_an_event_about_a_notifier_never_goes_out_over_it() -> None:
    dead = own("ftwatch.delivery.dead", Severity.ERROR, id="slack", notifier="slack")
    assert selected(dead, plain=True) == {"mail": "default"}
    assert refused(dead, plain=True)["slack"] == "the event is about this notifier itself"
    named = Route(match=parse_match({"type": "ftwatch.*"}), notify=("slack", "mail"))
    assert selected(dead, named) == {"mail": "route 1"}


# ------------------------------------------------------------------------------------------ with routes


def test_routes_add_up_and_a_notifier_gets_an_event_once() -> None:
    routes = (
        Route(notify=("slack",)),
        Route(match=parse_match({"type": "fine_tuning.job.failed"}), notify=("mail", "slack")),
        Route(match=parse_match({"type": "fine_tuning.job.succeeded"}), notify=("hook",)),
    )
    assert selected(event(), *routes) == {"slack": "route 1", "mail": "route 2"}
    assert refused(event(), *routes) == {"hook": "no route matches", "evaluate": "no route names it"}


def test_a_route_s_floor() -> None:
    low = event("fine_tuning.job.queued", Severity.DETAIL)
    assert selected(low, Route(notify=("slack",))) == {}
    assert refused(low, Route(notify=("slack",)))["slack"] == "below the floor of route 1 (info)"
    for written in ({"type": "fine_tuning.job.*"}, {"changed": "status"}):
        assert selected(low, Route(match=parse_match(written), notify=("slack",))) == {"slack": "route 1"}
    # What is said counts, beside the match or in it, also where naming types would lift the floor.
    for said in (
        Route(min_severity=Severity.NOTICE, match=parse_match({"type": "*"}), notify=("slack",)),
        Route(match=parse_match({"type": "*", "min_severity": "notice"}), notify=("slack",)),
    ):
        assert selected(low, said) == {}
        assert refused(low, said)["slack"] == "below the floor of route 1 (notice)"
        assert selected(event(), said) == {"slack": "route 1"}
    assert selected(low, Route(min_severity=Severity.DETAIL, notify=("slack",))) == {"slack": "route 1"}


def test_except_excludes_from_its_own_route_only() -> None:
    spared = Route(except_=parse_match({"labels.team": "search"}), notify=("slack", "mail"))
    assert selected(event(), spared) == {}
    assert refused(event(), spared)["slack"] == "excepted by route 1"
    assert selected(event(), spared, Route(notify=("slack",))) == {"slack": "route 2"}
    loud = Route(except_=parse_match({"min_severity": "error"}), notify=("slack",))
    assert selected(event(), loud) == {}
    assert selected(event("fine_tuning.job.running", Severity.INFO), loud) == {"slack": "route 1"}


def test_the_verdict_is_that_of_the_route_that_came_nearest() -> None:
    routes = (
        Route(match=parse_match({"type": "x"}), notify=("slack",)),
        Route(min_severity=Severity.ERROR, notify=("slack",)),
        Route(match=parse_match({"type": "y"}), notify=("slack",)),
    )
    quiet = event("fine_tuning.job.running", Severity.INFO)
    assert refused(quiet, *routes)["slack"] == "below the floor of route 2 (error)"


def test_people_hear_of_ftwatch_itself_whatever_the_routes() -> None:
    narrow = Route(match=parse_match({"labels.team": "x"}), notify=("slack", "hook"))
    assert selected(own(), narrow) == {"slack": "default", "mail": "default"}


def test_machines_hear_of_ftwatch_itself_only_where_the_type_is_named() -> None:
    assert set(selected(own(), Route(notify=("hook", "slack")))) == {"slack", "mail"}
    reason = "route 1 names no type, as ftwatch's own events need it for machines"
    assert refused(own(), Route(notify=("hook",)))["hook"] == reason
    for written in ("type=ftwatch.provider.degraded", "type=~ftwatch.*", "type=*"):
        named = Route(match=parse_match(written), notify=("hook", "evaluate"))
        assert set(selected(own(), named)) == {"slack", "mail", "hook", "evaluate"}
    negative = Route(match=parse_match("type!=ftwatch.test"), notify=("hook",))
    assert "hook" not in selected(own(), negative)


def test_foreign_events_go_where_a_route_matches_them() -> None:
    assert selected(FOREIGN, Route(notify=("hook",))) == {}
    assert selected(FOREIGN, Route(match=parse_match({"type": "batch.*"}), notify=("hook",))) == {
        "hook": "route 1"
    }


def test_a_command_runs_where_a_route_names_it() -> None:
    assert selected(event(), Route(notify=("evaluate",))) == {"evaluate": "route 1"}


# --------------------------------------------------------------------------------------------- silences


def test_a_silence_mutes_until_it_ends() -> None:
    for until, muted in ((None, True), (NOW + 1, True), (NOW, False), (NOW - 1, False)):
        silence = Silence(match=parse_match({"labels.team": "search"}), until=until, comment="noisy")
        assert (selected(event(), plain=True, silences=(silence,)) == {}) is muted


def test_a_silence_is_the_reason_for_everybody() -> None:
    silence = Silence(match=parse_match({"provider": "prod"}), comment="noisy", id="s1")
    reasons = refused(event(), Route(notify=("slack",)), silences=(silence,))
    assert reasons == dict.fromkeys(["slack", "mail", "hook", "evaluate"], "silenced by noisy")
    nameless = Silence(match=parse_match({"provider": "prod"}))
    assert refused(event(), silences=(nameless,))["slack"] == 'silenced by provider="prod"'


def test_a_silence_that_does_not_match_mutes_nothing() -> None:
    silence = Silence(match=parse_match({"labels.team": "other"}))
    assert set(selected(event(), plain=True, silences=(silence,))) == {"slack", "mail", "hook"}


def test_a_silence_that_somebody_asked_for_says_whose_it_is() -> None:
    asked = Silence(match=parse_match({"provider": "prod"}), comment="outage", author="anna", id="sil_1")
    assert refused(event(), silences=(asked,))["slack"] == "silenced by outage (sil_1, by anna)"


@pytest.mark.parametrize(
    ("written", "job"),
    [
        (['provider="prod"', 'id="ftjob-1"'], ("prod", "ftjob-1")),
        (['provider="prod"', 'id="ftjob-1"', "type=x"], ("prod", "ftjob-1")),
        (['provider="prod"', 'id="ftjob-*"'], None),
        (['provider="prod"', 'id=~"ftjob.1"'], None),
        (['provider="prod"', 'id!="ftjob-1"'], None),
        (['id="ftjob-1"'], None),
        (['provider="prod"', 'name="ftjob-1"'], None),
        (['provider="prod"', 'id=""'], None),
    ],
)
def test_a_silence_knows_the_one_job_that_it_names(written: list[str], job: tuple[str, str] | None) -> None:
    assert Silence(match=parse_match(written)).job == job


# --------------------------------------------------------------------------------------------- matchers

HOLDS: list[tuple[Any, bool]] = [
    ("type=fine_tuning.job.failed", True),
    ("type=fine_tuning.job.cancelled", False),
    ("type=fine_tuning.*", True),
    ("severity=error", True),
    ("provider=prod", True),
    ("kind=openai", True),
    ("id=ftjob-1", True),
    ("id=ftjob-?", True),
    ("id=ftjob-??", False),
    ("name=support*", True),
    ("name=Support*", False),
    ("owner=anna", True),
    ("model=meta*8b", True),
    ("model=*/llama-3.1-8b", True),
    ("model=llama", False),
    ("model=meta/llama-3x1-8b", False),
    ("model=~meta/llama-3.1.*", True),
    ("model=~llama", False),
    ("model!~llama", True),
    ("model!~.*llama.*", False),
    ("fine_tuned_model=", True),
    ("fine_tuned_model=*", True),
    ("fine_tuned_model=?*", False),
    ("method=dpo", True),
    ("error.code=server_error", True),
    ("error.code!=server_error", False),
    ("labels.team=search", True),
    ("labels.cost.center=7", True),
    ("labels.nope=", True),
    ("labels.nope!=x", True),
    ("metadata.sweep=lr", True),
    ("metadata.nope=lr", False),
    ("skipped=false", True),
    ("skipped=true", False),
    ("status=failed", True),
    ("previous_status=running", True),
    ("job.status=failed", True),
    ("changed=status", True),
    ("changed=error.code", True),
    ("changed=error", True),
    ("changed=error.*", True),
    ("changed=code", False),
    ("changed!=model", True),
    ("changed!=status", False),
    ({"labels": {"team": ["x", "search"]}}, True),
    ({"labels.team": ["x", "y"]}, False),
    ({"labels.team": ["x", "re:s.*h"]}, True),
    ({"model": "re:meta/.*"}, True),
    ({"model": "re:llama"}, False),
    ({"skipped": False}, True),
    ({"metadata": {"sweep": "lr"}, "owner": "bob"}, False),
    ({"min_severity": "error"}, True),
    ({}, True),
    (["owner=anna", "kind=openai"], True),
    (["owner=anna", "kind=azure"], False),
]


@pytest.mark.parametrize(("written", "holds"), HOLDS)
def test_what_a_match_says_of_an_event(written: Any, holds: bool) -> None:
    assert matches(parse_match(written), event()) is holds


def test_status_is_that_of_the_event_that_changed_it() -> None:
    updated = event("fine_tuning.job.updated", Severity.NOTICE, previous_status=Status.FAILED)
    for key in ("status", "previous_status"):
        assert not matches(parse_match({key: "failed"}), updated)
        assert matches(parse_match({key: ""}), updated)
    assert matches(parse_match({"job.status": "failed"}), updated)


def test_an_event_without_a_job_has_empty_keys() -> None:
    for key in (
        *(key for key in KEYS if key not in ("type", "severity", "skipped")),
        "labels.a",
        "metadata.a",
    ):
        bare = own(provider="", kind="", id="")
        assert matches(Match((Matcher(key, "=", ""),)), bare), key
    assert matches(parse_match({"skipped": "false"}), own())


@pytest.mark.parametrize(("written", "holds"), [(w, h) for w, h in HOLDS if "min_severity" not in w])
def test_a_watch_asks_the_job_alone(written: Any, holds: bool) -> None:
    match = parse_match(written)
    if all(matcher.key not in ("type", "severity", "skipped", "changed") for matcher in match.matchers):
        if any("status" in matcher.key for matcher in match.matchers):
            return
        assert watches(match, JOB) is holds


def test_a_glob_is_no_regular_expression() -> None:
    assert Matcher("name", "=", "a.c[d]+*").holds(["a.c[d]+\n/x"])
    assert not Matcher("name", "=", "a.c").holds(["abc"])


@given(glob=st.text("ab*?", max_size=12), text=st.text("ab\n", max_size=12))
def test_a_glob_means_what_it_always_did(glob: str, text: str) -> None:
    special = {"*": ".*", "?": "."}
    plain = "".join(special.get(letter) or re.escape(letter) for letter in glob)
    assert Matcher("name", "=", glob).holds([text]) is bool(re.fullmatch(plain, text, re.DOTALL))


def test_no_glob_takes_for_ever() -> None:
    assert not Matcher("name", "=", "*a" * 100 + "b").holds(["a" * 10_000])
    assert Matcher("name", "=", "*a" * 100).holds(["a" * 10_000])


def test_any_of_and_none_of() -> None:
    assert Matcher("name", "=", ("a", "b*")).holds(["bc"])
    assert not Matcher("name", "!=", ("a", "b*")).holds(["bc"])
    assert Matcher("name", "!=", ("a", "b*")).holds(["c"])


@pytest.mark.parametrize(
    ("text", "matcher"),
    [
        ('labels.team="search"', Matcher("labels.team", "=", "search")),
        (" labels.team = search ", Matcher("labels.team", "=", "search")),
        ('model=~"gpt.*"', Matcher("model", "=~", "gpt.*")),
        ('model!="gpt"', Matcher("model", "!=", "gpt")),
        ("model!~gpt", Matcher("model", "!~", "gpt")),
        ('"labels.a b"="c"', Matcher("labels.a b", "=", "c")),
        (r'name="say \"hi\" \\ \n"', Matcher("name", "=", 'say "hi" \\ \n')),
        (r'name=~"\d+"', Matcher("name", "=~", r"\d+")),
        ("name=a b c", Matcher("name", "=", "a b c")),
        ('name="a,b"', Matcher("name", "=", "a,b")),
        ("{owner=x}", Matcher("owner", "=", "x")),
        ("owner=", Matcher("owner", "=", "")),
        ("model=re:a.*", Matcher("model", "=~", "a.*")),
    ],
)
def test_alertmanager_s_words(text: str, matcher: Matcher) -> None:
    assert parse_matcher(text) == matcher
    assert parse_matcher(str(matcher)) == matcher


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("", "is no matcher: write key"),
        ("team", "is no matcher: write key"),
        ("owner==x", "the comparisons are = != =~ !~"),
        ("owner=~~x", "the comparisons are = != =~ !~"),
        ('owner="x" y', "a comma is missing before 'y'"),
        ('owner="x', "a comma is missing before '\"x'"),
        ("owner=x,kind=y", "is not one matcher"),
        ("min_severity=info", "is a threshold, not a matcher"),
        ("ownr=x", "nothing has a key 'ownr'; did you mean 'owner'?"),
        ("labels=x", "'labels' needs the name of one of its keys: labels.team"),
        ("metadata.=x", "nothing has a key 'metadata.'"),
        ("model=~(", "is no regular expression"),
        ("model=~" + "(" * 500, "is no regular expression"),
        ("status=don", "status is never 'don': it is one of validating_files"),
        ("severity=warn", "severity is never 'warn'; did you mean 'warning'?"),
    ],
)
def test_what_is_no_matcher_says_why(text: str, sentence: str) -> None:
    with pytest.raises(ValueError, match=re.escape(sentence)):
        parse_matcher(text)


@pytest.mark.parametrize(
    ("given_", "sentence"),
    [
        ({"model": None}, "a value is missing: write '' for an empty one"),
        ({"model": []}, "'model' has an empty list"),
        ({"model": {"a": {"b": "c"}}}, "nothing has a key 'model.a.b'"),
        ({"model": [["a"]]}, "a matcher compares text, not a list"),
        (
            {"min_severity": "loud"},
            "'loud' is no severity: it is one of detail, info",
        ),
        ({5: "x"}, "nothing has a key '5'"),
        ("min_severity!=info", 'write min_severity="warning", with ='),
    ],
)
def test_what_is_no_match_says_why(given_: Any, sentence: str) -> None:
    with pytest.raises(ValueError, match=re.escape(sentence)):
        parse_match(given_)


def test_several_matchers_in_one_string() -> None:
    expected = Match((Matcher("owner", "=", "x"), Matcher("kind", "!=", "y,z")), Severity.NOTICE)
    for text in (
        'owner=x, kind!="y,z", min_severity=notice',
        '{owner="x",kind!="y,z",min_severity="notice",}',
    ):
        assert parse_match(text) == expected
    assert str(expected) == 'owner="x", kind!="y,z", min_severity="notice"'
    assert str(Match()) == "everything"


def test_keys_that_a_narrower_choice_leaves_out() -> None:
    check_key("labels.a", ("model",))
    with pytest.raises(ValueError, match="'status' is a key of events, and this asks for jobs: model"):
        check_key("status", ("model",))


def test_values_that_globs_leave_open() -> None:
    for value in ("fail*", "", "re:fai.*"):
        check_value("status", value)
    check_value("type", "batch.completed")


def test_did_you_mean() -> None:
    assert did_you_mean("Provider", ["provider", "notifier"]) == "; did you mean 'provider'?"
    assert did_you_mean("zzz", ["provider"]) == ""
    assert did_you_mean("x", []) == ""


# ------------------------------------------------------------------------------------------- properties

texts = st.text(max_size=12)


@given(texts, texts)
def test_a_literal_is_true_of_just_what_it_was_made_for(value: str, other: str) -> None:
    matcher = literal("id", value)
    assert matcher.literal == value
    assert matcher.holds([value])
    assert matcher.holds([other]) is (other == value)
    assert parse_matcher(str(matcher)) == matcher


@pytest.mark.parametrize("value", ["a*", "a?", "re:.*", "a.b", "\\", "(", "[a-z]", "\n"])
def test_what_looks_like_a_pattern_is_taken_as_it_stands(value: str) -> None:
    assert literal("id", value).literal == value
    assert not literal("id", value).holds(["a", "ab", "axb"])


@pytest.mark.parametrize(
    ("written", "covered"),
    [
        ('labels.team="search"', True),
        ('labels.team="other"', False),
        ('type="fine_tuning.alert.*"', True),
        (['type="fine_tuning.alert.*"', 'model="gpt*"'], False),
        ("job.status=failed", True),
        ("job.status=running", False),
        ("status=running", True),
        ("min_severity=error", True),
        (['provider="prod"', 'id="ftjob-1"'], True),
        ('id!="ftjob-1"', False),
        ("metadata.sweep=lr", True),
    ],
)
def test_a_match_covers_the_jobs_that_it_may_be_true_of(written: Any, covered: bool) -> None:
    assert covers(parse_match(written), JOB) is covered


@given(texts, texts)
def test_an_exact_value_matches_itself_and_a_star_everything(value: str, other: str) -> None:
    assert Matcher("name", "=", "*").holds([value])
    if not {"*", "?"} & set(value) and not value.startswith("re:"):
        assert Matcher("name", "=", value).holds([other]) is (value == other)
        assert Matcher("name", "!=", value).holds([other]) is (value != other)


@given(texts)
def test_a_matcher_s_words_are_read_back(value: str) -> None:
    if value.startswith("re:"):
        return
    matcher = Matcher("labels.x", "!=", value)
    assert parse_matcher(str(matcher)) == matcher


@given(st.text(alphabet='ab=!~"\\{}, .*(', max_size=20))
def test_any_words_are_a_match_or_a_sentence(text: str) -> None:
    try:
        match = parse_match(text)
    except ValueError as error:
        said = str(error)
    else:
        said = str(match)
        assert parse_match(said) == match
    assert said


@given(st.integers(0, 2**32))
def test_every_recipient_is_selected_once_or_has_one_verdict(seed: int) -> None:
    luck = random.Random(seed)
    some = [
        "type=*",
        "labels.team=search",
        "owner=bob",
        "changed=status",
        "min_severity=error",
        "provider!=x",
    ]
    names = [recipient.name for recipient in ALL]
    routes = tuple(
        Route(
            match=parse_match(luck.sample(some, luck.randint(0, 2))),
            except_=luck.choice([None, parse_match(luck.choice(some))]),
            min_severity=luck.choice([None, *Severity]),
            notify=tuple(luck.sample(names, luck.randint(1, 4))),
        )
        for _ in range(luck.randint(0, 4))
    )
    made = policy(routes, (), plain=luck.random() < 0.2)
    for one in (event(), own(), own(id="slack", notifier="slack"), FOREIGN):
        routed = route(one, made, NOW)
        told = [name for name, _ in routed.selected] + [verdict.notifier for verdict in routed.verdicts]
        assert sorted(told) == sorted(names)
        assert all(reason for _, reason in routed.selected)
        assert all(verdict.reason for verdict in routed.verdicts)
