"""routing: matchers in both tongues, routes, silences and watches, each mistake at the word that is wrong."""

# ruff: noqa: E501

from collections.abc import Callable

import pytest

from ftwatch.config import Config
from ftwatch.core.event import Severity
from ftwatch.core.route import Match, Matcher, Route, Silence

Load = Callable[..., Config]
Refused = Callable[..., list[str]]

BASE = "providers: {prod: {kind: openai}}\nnotifiers: {slack: {webhook_url: '${U}'}, ci: {kind: webhook, url: u}}\n"


def routes(load: Load, text: str) -> tuple[Route, ...]:
    found = load(BASE + text).routing.routes
    assert found is not None
    return found


def test_no_routes_is_not_the_same_as_some(load: Load) -> None:
    assert load(BASE).routing.routes is None
    assert routes(load, "routes: [{notify: [slack]}]") == (Route(notify=("slack",)),)


MATCHES = [
    ("{type: fine_tuning.job.failed}", Match((Matcher("type", "=", "fine_tuning.job.failed"),))),
    ("{model: 'gpt-4.1*'}", Match((Matcher("model", "=", "gpt-4.1*"),))),
    ("{model: 're:gpt-[0-9]+'}", Match((Matcher("model", "=~", "gpt-[0-9]+"),))),
    ("{model: [a, 're:b.*']}", Match((Matcher("model", "=", ("a", "re:b.*")),))),
    ("{labels.team: search}", Match((Matcher("labels.team", "=", "search"),))),
    (
        "{labels: {team: search, cost.center: 7}}",
        Match((Matcher("labels.team", "=", "search"), Matcher("labels.cost.center", "=", "7"))),
    ),
    ("{error: {code: x}}", Match((Matcher("error.code", "=", "x"),))),
    ("{job: {status: running}}", Match((Matcher("job.status", "=", "running"),))),
    # A value is what was written.
    ("{labels.version: 1.10}", Match((Matcher("labels.version", "=", "1.10"),))),
    ("{labels.run: 010}", Match((Matcher("labels.run", "=", "010"),))),
    ("{skipped: true}", Match((Matcher("skipped", "=", "true"),))),
    ("{owner: ''}", Match((Matcher("owner", "=", ""),))),
    ("{owner: '${WHO}'}", Match((Matcher("owner", "=", "anna"),))),
    ("{min_severity: warning}", Match((), Severity.WARNING)),
    ("{kind: openai, min_severity: detail}", Match((Matcher("kind", "=", "openai"),), Severity.DETAIL)),
    # Alertmanager's words.
    ("'labels.team=\"search\"'", Match((Matcher("labels.team", "=", "search"),))),
    (
        "['model=~\"gpt.*\"', 'owner!=\"\"']",
        Match((Matcher("model", "=~", "gpt.*"), Matcher("owner", "!=", ""))),
    ),
    (
        "'{kind=openai, id!~\"x.*\", min_severity=notice}'",
        Match((Matcher("kind", "=", "openai"), Matcher("id", "!~", "x.*")), Severity.NOTICE),
    ),
]


@pytest.mark.parametrize(("written", "match"), MATCHES)
def test_a_match_in_either_tongue(load: Load, written: str, match: Match) -> None:
    text = (
        BASE
        + f"routes: [{{match: {written}, except: {written}, notify: [ci]}}]\nsilences: [{{match: {written}}}]\n"
    )
    made = load(text, {"WHO": "anna"}).routing
    assert made.routes == (Route(match=match, except_=match, notify=("ci",)),)
    assert made.silences == (Silence(match=match, id="config-1"),)


def test_a_route_s_floor_and_names(load: Load) -> None:
    (made,) = routes(load, "routes: [{min_severity: error, notify: [slack, ci, slack]}]")
    assert made == Route(min_severity=Severity.ERROR, notify=("slack", "ci"))


def test_a_silence(load: Load) -> None:
    text = BASE + "silences: [{match: {provider: prod}, until: 2027-01-01T01:00:00+01:00, comment: noisy}]"
    (made,) = load(text).routing.silences
    assert (made.until, made.comment, made.id) == (1798761600.0, "noisy", "config-1")


@pytest.mark.parametrize(
    ("written", "match", "since"),
    [
        ("{since: 30d}", None, 30 * 86400.0),
        ("{model: 'gpt*'}", Match((Matcher("model", "=", "gpt*"),)), None),
        ("{labels: {a: b}, since: 1h}", Match((Matcher("labels.a", "=", "b"),)), 3600.0),
        ("'owner=~\"a.*\"'", Match((Matcher("owner", "=~", "a.*"),)), None),
    ],
)
def test_a_watch(load: Load, written: str, match: Match | None, since: float | None) -> None:
    account = load(f"providers: {{openai: {{watch: {written}}}}}").providers["openai"]
    assert (account.watch, account.since) == (match, since)


MISTAKES = [
    # Routes.
    ("routes: §[]", "routes is empty: leave it out"),
    ("routes: §{notify: [slack]}", "routes should be a list: begin each entry with -"),
    ("routes: [§5]", "route 1 should be a mapping"),
    ("routes:\n  - §match: {kind: openai}", "route 1 needs notify"),
    ("routes: [{notify: [§slak]}]", "there is no notifier 'slak'; did you mean 'slack'?"),
    ("routes: [{notify: [slack, §xyz]}]", "there is no notifier 'xyz'"),
    ("routes: [{notify: §slack}]", "notify should be a list, not 'slack'; write [slack]"),
    ("routes: [{notify: §[]}]", "notify should be a list of at least 1, not an empty list"),
    ("routes: [{notify: [§5]}]", 'notify[0] should be text, not 5; quote it: "5"'),
    ("routes: [{§mtach: {}, notify: [slack]}]", "route 1 has no key 'mtach'; did you mean 'match'?"),
    (
        "routes: [{min_severity: §warn, notify: [slack]}]",
        "min_severity should be 'detail', 'info', 'notice', 'warning' or 'error', not 'warn'; did you mean 'warning'?",
    ),
    (
        "routes: [{match: {min_severity: info}, §min_severity: error, notify: [slack]}]",
        "min_severity is said twice",
    ),
    # Matches.
    ("routes: [{match: §{}, notify: [slack]}]", "match is empty: say what should match"),
    ("routes: [{match: {§tpye: x}, notify: [slack]}]", "nothing has a key 'tpye'; did you mean 'type'?"),
    ("routes: [{match: {§team: x}, notify: [slack]}]", "nothing has a key 'team'"),
    (
        "routes: [{match: {§labels: x}, notify: [slack]}]",
        "'labels' needs the name of one of its keys: labels.team",
    ),
    (
        "routes: [{match: {job: {§statsu: x}}, notify: [slack]}]",
        "nothing has a key 'job.statsu'; did you mean 'job.status'?",
    ),
    ("routes: [{match: {model: §[]}, notify: [slack]}]", "model has an empty list: nothing would match"),
    ("routes: [{match: {model: [§[a]]}, notify: [slack]}]", "model takes one value, not a list"),
    ("routes: [{match: {§model: }, notify: [slack]}]", "model has no value"),
    (
        "routes: [{match: {model: §*mini}, notify: [slack]}]",
        '*mini asks for an anchor that is not there; as text, quote it: "*mini"',
    ),
    (
        "routes: [{match: {model: §'re:('}, notify: [slack]}]",
        "'(' is no regular expression: missing ), unterminated subpattern",
    ),
    (
        "routes: [{match: {model: §'re:[[a]'}, notify: [slack]}]",
        "'[[a]' is no regular expression: Possible nested set",
    ),
    (
        "routes: [{match: {status: §faild}, notify: [slack]}]",
        "status is never 'faild'; did you mean 'failed'?",
    ),
    (
        "routes: [{match: {job.status: §xyz}, notify: [slack]}]",
        "job.status is never 'xyz': it is one of validating_files",
    ),
    (
        "routes: [{match: {skipped: §yes}, notify: [slack]}]",
        "skipped is never 'yes': it is one of true, false",
    ),
    (
        "routes: [{match: {type: §fine_tuning.job.suceeded}, notify: [slack]}]",
        "no event has the type 'fine_tuning.job.suceeded'; did you mean 'fine_tuning.job.succeeded'?",
    ),
    (
        "routes: [{match: {provider: §prd}, notify: [slack]}]",
        "there is no provider 'prd'; did you mean 'prod'?",
    ),
    (
        "routes: [{match: §'provider=prd', notify: [slack]}]",
        "there is no provider 'prd'; did you mean 'prod'?",
    ),
    (
        "routes: [{match: §'labels.team==x', notify: [slack]}]",
        "'labels.team==x': the comparisons are = != =~ !~",
    ),
    ("routes: [{match: ['kind=a', §'x'], notify: [slack]}]", "'x' is no matcher: write"),
    ("routes: [{except: {§modle: x}, notify: [slack]}]", "nothing has a key 'modle'; did you mean 'model'?"),
    # Silences.
    ("silences: §[]", "silences is empty: leave it out"),
    ("silences: [§{comment: x}]", "silence 1 needs match"),
    ("silences: [{match: §{}}]", "match is empty: say what should match"),
    (
        "silences: [{match: {kind: a}, until: §2027-01-01}]",
        "until: '2027-01-01' is no moment: write 2027-01-01T00:00:00Z, with its zone",
    ),
    (
        "silences: [{match: {kind: a}, until: §2027-01-01T00:00:00}]",
        "until: '2027-01-01T00:00:00' is no moment",
    ),
    (
        "silences: [{match: {kind: a}, until: §2027-13-01T00:00:00Z}]",
        "until: '2027-13-01T00:00:00Z' is no moment",
    ),
    # Watches.
    (
        "providers: {openai: {watch: {§status: failed}}}",
        "'status' is a key of events, and this asks for jobs",
    ),
    ("providers: {openai: {watch: {§min_severity: info}}}", "nothing has a key 'min_severity'"),
    ("providers: {openai: {watch: §'type=x'}}", "'type' is a key of events, and this asks for jobs"),
    ("providers: {openai: {watch: {since: §30}}}", "since: a duration is written 30s, 5m, 2h or 30d"),
    ("providers: {openai: {watch: §{}}}", "watch is empty: say what should match"),
]


@pytest.mark.parametrize(("text", "sentence"), MISTAKES)
def test_every_mistake_has_its_place_and_sentence(refused: Refused, text: str, sentence: str) -> None:
    whole = text if text.startswith("providers") else BASE + text
    before = whole[: whole.index("§")]
    place = f"{before.count(chr(10)) + 1}:{len(before) - before.rfind(chr(10))}"
    told = refused(whole.replace("§", ""))
    assert [line[: len(place) + 1 + len(sentence)] for line in told] == [f"{place} {sentence}"]


def test_several_mistakes_in_one_match(refused: Refused) -> None:
    text = (
        BASE + "routes: [{match: {a: 1, status: x, model: ['re:(', 're:)'], kind: k}, notify: [slack, s, t]}]"
    )
    assert [line.partition(" ")[0] for line in refused(text)] == [
        "3:19",
        "3:33",
        "3:44",
        "3:52",
        "3:87",
        "3:90",
    ]
