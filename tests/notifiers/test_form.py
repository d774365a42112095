"""Forms: what a template comes to, what it may not do, and that data stays data whatever it holds."""

import json
import re
from pathlib import Path
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from msgspec.structs import replace

from ftwatch.core.event import Event
from ftwatch.core.sample import SAMPLES, sample
from ftwatch.notifiers.webhook import frozen
from ftwatch.notifiers.webhook.form import LARGEST, Body, Unfilled
from ftwatch.plugins import Form, Secret
from ftwatch.wire.template import ENVIRONMENT, LONGEST, METHODS, NAMES

EVENT = sample("succeeded")
KIB = 1024


def made(leaf: Any, event: Event = EVENT) -> Any:
    """What one value of a form comes to."""
    return Body(Form({"it": leaf})).fill(event)["it"]


def named(**job: Any) -> Event:
    """A failure of a job with these properties."""
    event = sample("failed")
    assert event.job is not None
    return replace(event, data=replace(event.data, job=replace(event.job, **job)))


# --------------------------------------------------------------------------------- what it comes to


@pytest.mark.parametrize(
    ("leaf", "value"),
    [
        # What is no template stays what it is.
        ("plain", "plain"),
        ("}} {x} { {y} }", "}} {x} { {y} }"),
        (3, 3),
        (1.5, 1.5),
        (True, True),
        (None, None),
        ("", ""),
        # A template is a text, whatever its value is.
        ("{{ event.type }}", "fine_tuning.job.succeeded"),
        ("{{ event.data.sequence }}", "4"),
        ("a {{ job.seed }} b {{ job.name }}", "a 42 b support-bot-v7"),
        ("{{ true }}", "true"),
        ("{{ job.phase }}", ""),
        ("[{{ none }}]", "[]"),
        ("{{ job.labels }}", '{"env":"prod","team":"search"}'),
        ("{{ job.labels | tojson }}!", '{"env":"prod","team":"search"}!'),
        ("{{ '<&>' | tojson }}.", '"<&>".'),
        # One `tojson` alone is the value.
        ("{{ event.data.sequence | tojson }}", 4),
        ("{{ job.labels | tojson }}", {"env": "prod", "team": "search"}),
        ("{{ job.phase | tojson }}", None),
        ("{{ job.name | tojson }}", "support-bot-v7"),
        ("{{ (job.seed > 3) | tojson }}", True),
        ("{{ job.labels | tojson }}\n", {"env": "prod", "team": "search"}),
        ("{{ [job.id, {'a': job.seed}] | tojson }}", ["ftjob-sample4w9Zq2", {"a": 42}]),
        (" {{ job.seed | tojson }}", " 42"),
        # What it knows.
        ("{{ title }}", "✅ support-bot-v7 succeeded · 1 h 50 m (queued 9 m)"),
        ("{{ text.splitlines is undefined }}", "true"),
        ("{{ url }}", "https://platform.openai.com/finetune/ftjob-sample4w9Zq2"),
        ("{{ event.data.job.id == job.id }}", "true"),
        # What it can.
        ("{{ 'a' if job.seed == 42 else 'b' }}", "a"),
        ("{{ job.labels.get('nix', 'none') }}", "none"),
        ("{{ job.labels['team'] }}", "search"),
        ("{{ job.name.startswith('support') }}", "true"),
        ("{{ job.name.upper() | replace('-', '_') }}", "SUPPORT_BOT_V7"),
        ("{{ job.name | truncate(8) }}", "suppo..."),
        ("{{ job.name[:7] }}", "support"),
        ("{{ job.nix | default('-') }}", "-"),
        ("{{ (job.error or {}).code | default('-') }}", "-"),
        ("{{ job.phase | upper }}", ""),
        ("{{ event.data.changes | map(attribute='field') | first }}", "status"),
        ("{{ event.data.changes | map(attribute='field') | join(' ') | length > 20 }}", "true"),
        ("{{ job.labels | dictsort | tojson }}", [["env", "prod"], ["team", "search"]]),
        ("{{ event.created_at | rfc3339 }}", "2026-11-22T22:49:48Z"),
        ("{{ (event.created_at + 3600) | rfc3339 }}", "2026-11-22T23:49:48Z"),
        ("{{ event.data.summary.metrics.train_loss | round(2) }}", "0.41"),
        ("{{ 'a/b c' | urlencode }}", "a%2Fb%20c"),
        ("{{ job.provider ~ '/' ~ job.seed ~ none ~ true }}", "openai-prod/42true"),
        ("{{ [1] + [2] }}{{ 'a' + 'b' }}{{ 2 * 3 % 4 }}", "[1,2]ab2"),
        ("{# nothing #}", ""),
        ("{{ '{{' }}{% raw %}{{ x }}{% endraw %}", "{{{{ x }}"),
    ],
)
def test_a_leaf_comes_to(leaf: Any, value: Any) -> None:
    found = made(leaf)
    assert found == value
    assert type(found) is type(value)


@pytest.mark.parametrize("name", SAMPLES)
def test_every_name_is_there_for_every_event(name: str) -> None:
    body = Body(Form([f"{{{{ {each} | tojson }}}}" for each in NAMES]))
    wire, job, title, text, url = body.fill(sample(name))
    assert (job is None) == (sample(name).job is None)
    assert wire["data"].get("job") == job
    assert text.startswith(title)
    assert url is None or url.startswith("https://")


# --------------------------------------------------------------------------------- what is no template


@pytest.mark.parametrize(
    ("leaf", "sentence"),
    [
        ("{{ job.name", "unexpected end of template"),
        ("{{ }}", "Expected an expression"),
        ("first\n{{ job. }}", "(line 2 of the text)"),
        ("{{ evnt.type }}", "nothing is called 'evnt' here; did you mean 'event'?"),
        ("{{ 'x' if true else lipsum(9) }}", "nothing is called 'lipsum' here"),
        ("{{ self }}", "nothing is called 'self' here"),
        ("{{ range(9) }}", "nothing is called 'range' here; there are event, job, title, text, url"),
        ("{{ title | uper }}", "there is no filter 'uper' here; did you mean 'upper'?"),
        ("{{ title | center(9) }}", "there is no filter 'center' here; there are abs"),
        ("{{ title | attr('x') }}", "there is no filter 'attr' here"),
        ("{{ title | format(9) }}", "there is no filter 'format' here"),
        ("{{ title is nice }}", "there is no test 'nice' here"),
        ("{{ [1] | map('replace', '1', '2') | list }}", "map takes attribute= only"),
        ("{% for x in job %}x{% endfor %}", "not {% … %}"),
        ("{% set x = 1 %}{{ x }}", "not {% … %}"),
        ("{% if job %}x{% endif %}", "not {% … %}"),
        ("{% include 'x' %}", "not {% … %}"),
        ("{% macro x() %}{% endmacro %}", "not {% … %}"),
        ("{{ " + "(" * 1500 + "1" + ")" * 1500 + " }}", "nested too deep"),
        ("{{ " + "-" * 3900 + "1 }}", "nested too deep"),
        ("{{ '" + "x" * 5000 + "' }}", "at most 4096 characters"),
        (float("nan"), "no JSON number"),
        (float("inf"), "no JSON number"),
        ("\ud800", "surrogates"),
    ],
)
def test_what_is_no_template_is_said_with_its_place(leaf: Any, sentence: str) -> None:
    body = Body(Form({"a": ["fine", leaf]}))
    ((path, said),) = body.problems
    assert path == ("a", 1)
    assert sentence in said
    with pytest.raises(Unfilled) as caught:
        body.fill(EVENT)
    assert caught.value.path == path


def test_a_key_is_no_template() -> None:
    assert Body(Form({"{{ x }}": 1, "a": [{"{% y %}": 2}]})).problems == [
        (("{{ x }}",), "keys are no templates, only values"),
        (("a", 0, "{% y %}"), "keys are no templates, only values"),
    ]


# ------------------------------------------------------------------------------- what it may not come to


@pytest.mark.parametrize(
    ("leaf", "sentence"),
    [
        # What is missing.
        ("{{ job.nam }}", "there is no 'nam' here; did you mean 'name'?"),
        ("{{ job.error.code }}", "there is no 'code' in null"),
        ("{{ job.result_files[7] }}", "there is no 7 here"),
        ("{{ [job.nix] | tojson }}", "there is no 'nix' here"),
        ("{{ job.nix ~ 'a' }}", "there is no 'nix' here"),
        ("{{ job.nix | upper }}", "there is no 'nix' here"),
        # What leads out of the data.
        ("{{ ''.__class__ }}", "there is no '__class__' here"),
        ("{{ job['__class__'] }}", "there is no '__class__' here"),
        ("{{ job.name.format(1) }}", "there is no 'format' here"),
        ("{{ ('{0.__class__}').format(job) }}", "there is no 'format' here"),
        ("{{ job.name.join(job.name) }}", "there is no 'join' here"),
        ("{{ job.name.encode() }}", "there is no 'encode' here"),
        ("{{ job.labels.pop('team') }}", "there is no 'pop' here"),
        ("{{ job.labels.update({}) }}", "there is no 'update' here"),
        ("{{ job.get.__globals__ }}", "there is no '__globals__' here"),
        ("{{ job | map(attribute='__class__') | list | first }}", "there is no '__class__' here"),
        # What would never end, or fill the memory.
        ("{{ 'a' * 10 ** 8 }}", "there is no ** here"),
        ("{{ 9 ** 99999999 }}", "there is no ** here"),
        ("{{ 'a' * 100000000 }}", "* is for numbers"),
        ("{{ [1] * 100000000 }}", "* is for numbers"),
        ("{{ '%100000000d' % 1 }}", "% is for numbers"),
        ("{{ job.name + 1 }}", "+ is for numbers, or two texts"),
        ("{{ " + "9" * 200 + " * " + "9" * 200 + " }}", "a number is too large"),
        (
            "{{ 'a' | replace('a', '" + "b" * 900 + "') | replace('b', '" + "c" * 900 + "') }}",
            "more than 256 KiB",
        ),
        ("{{ '" + "a" * 600 + "' | join('" + "b" * 600 + "') }}", "more than 256 KiB"),
        ("{{ '\"' " + "| tojson " * 30 + "~ '' }}", "more than 256 KiB"),
        # What JSON has no word for.
        ("{{ job.name.upper }}", "are brackets missing after a method"),
        ("{{ job.items() | tojson }}", "or | list?"),
        ("{{ 1e999 }}", "'inf'"),
        ('{{ "\\ud800" }}', "surrogates"),
        # What is wrong otherwise.
        ("{{ 1 / 0 }}", "division by zero"),
        ("{{ job.name | rfc3339 }}", "str"),
        ("{{ 10 ** 2 }}", "there is no ** here"),
        ("{{ 1e300 | rfc3339 }}", ""),
        ("{{ title | truncate(1) }}", "expected length"),
        ("{{ title() }}", "not callable"),
    ],
)
def test_what_cannot_be_is_said_with_its_place(leaf: str, sentence: str) -> None:
    body = Body(Form([{"a": leaf}]))
    assert body.problems == []
    with pytest.raises(Unfilled) as caught:
        body.fill(EVENT)
    assert caught.value.path == (0, "a")
    assert sentence in caught.value.sentence
    assert len(caught.value.sentence) <= 200


def test_the_dearest_template_of_all_is_soon_over() -> None:
    dear = "{{ (" + " ~ ".join(["text | replace('e', text) | replace('e', text)"] * 60) + ") | tojson }}"
    with pytest.raises(Unfilled, match="256 KiB"):
        made(dear)


def test_a_body_has_a_largest_size() -> None:
    much = {str(number): "x" * KIB for number in range(200)}
    event = named(metadata=much)
    assert len(Body(Form(["{{ job | tojson }}"])).freeze(event)) > 200 * KIB
    with pytest.raises(Unfilled, match="larger than 256 KiB"):
        Body(Form(["{{ job | tojson }}", "{{ job | tojson }}"])).freeze(event)
    with pytest.raises(Unfilled, match="more than 256 KiB"):
        Body(Form(["{{ job | tojson }}"])).freeze(named(metadata=much, labels=much))


@pytest.mark.parametrize("depth", [10, 400, 900, 980])
def test_how_deep_an_event_may_be(depth: int) -> None:
    deep: Any = 1
    for _ in range(depth):
        deep = {"a": [deep]} if depth < 500 else {"a": deep}
    body = Body(Form({"it": "{{ job.hyperparameters | tojson }}", "key": Secret("x")}))
    event = named(hyperparameters={"deep": deep})
    try:
        kept = body.freeze(event)
    except Unfilled as error:
        kept, said = b"", error.sentence
        assert depth > 10, said
    assert kept == b"" or kept.count(b'{"a":') == depth


# ----------------------------------------------------------------------------------- data stays data

CLEVER = [
    'quote " and \\ backslash',
    "line\nbreak\r\n\ttab",
    "{{ 7*7 }}",
    "{% for x in event %}{{ x }}{% endfor %}",
    "{# gone #}",
    '"}, "admin": true, {"x": "',
    "'}}{{ event }}",
    "${HOME} $(id) %s {0} {title}",
    "\u2028\u2029\u202e\x00\x1b[2J",
    "</script><script>alert(1)</script>",
    "ftwatch-body:1 [null,[]]",
]


@pytest.mark.parametrize("name", CLEVER)
def test_a_clever_name_stays_a_name(name: str) -> None:
    form = {"text": "<{{ job.name }}>", "value": "{{ job.name | tojson }}", "in": ["{{ job | tojson }}"]}
    found = json.loads(Body(Form(form)).freeze(named(name=name)))
    assert list(found) == ["text", "value", "in"]
    assert found["text"] == f"<{name}>"
    assert found["value"] == name
    assert found["in"][0]["name"] == name


@given(
    name=st.text(st.characters(exclude_categories=["Cs"])),
    metadata=st.dictionaries(
        st.text(st.characters(exclude_categories=["Cs"]), max_size=20),
        st.text(st.characters(exclude_categories=["Cs"]), max_size=40),
        max_size=5,
    ),
)
@example(name="", metadata={"": "|{"})
def test_whatever_is_said_comes_out_as_it_was(name: str, metadata: dict[str, str]) -> None:
    form = {"a": "{{ job.name }}|{{ job.metadata | tojson }}", "b": "{{ job.metadata | tojson }}"}
    found = json.loads(Body(Form(form)).freeze(named(name=name, metadata=metadata)))
    assert found["b"] == metadata
    assert found["a"].startswith(f"{name}|{{")
    assert json.loads(found["a"].removeprefix(f"{name}|")) == metadata


def test_what_strangers_call_things_is_no_method() -> None:
    event = named(metadata={"get": "a", "items": "b", "__class__": "c", "pop": "d"})
    assert made("{{ job.metadata.get('get') }}", event) == "a"
    assert (
        made("{{ job.metadata['items'] }}{{ job.metadata.pop }}{{ job.metadata.__class__ }}", event) == "bdc"
    )


@given(leaf=st.text("{}%#|.()[]'\"~+*- jobnametil01\n", max_size=60))
def test_no_text_whatever_breaks_it(leaf: str) -> None:
    body = Body(Form({"a": leaf}))
    try:
        said = str(json.loads(body.freeze(EVENT)))
    except Unfilled as error:
        said = error.sentence
    assert said


# ------------------------------------------------------------------------------------------ what is kept

SECRETS = {"key": Secret("hush-hush"), "list": [Secret("other"), "{{ title }}"], "n": 1}


def test_a_secret_is_not_among_what_is_kept() -> None:
    kept = Body(Form(SECRETS)).freeze(EVENT)
    assert b"hush" not in kept
    assert b"other" not in kept
    body = frozen.complete(kept, SECRETS)
    assert json.loads(body) == {
        "key": "hush-hush",
        "list": ["other", "✅ support-bot-v7 succeeded · 1 h 50 m (queued 9 m)"],
        "n": 1,
    }
    assert frozen.complete(kept, SECRETS) == body
    assert json.loads(frozen.mask(kept))["key"] == "••••"
    assert json.loads(frozen.mask(kept))["list"][0] == "••••"


def test_a_body_without_secrets_is_kept_as_it_is() -> None:
    kept = Body(Form(["{{ job.seed | tojson }}"])).freeze(EVENT)
    assert kept == frozen.complete(kept, None) == frozen.mask(kept) == b"[42]"


def test_a_secret_that_was_replaced_reaches_what_waits() -> None:
    kept = Body(Form(SECRETS)).freeze(EVENT)
    later = {**SECRETS, "key": Secret("newer"), "more": 1}
    assert json.loads(frozen.complete(kept, later))["key"] == "newer"


@pytest.mark.parametrize(
    "form", [None, {}, {"key": "x"}, {"key": Secret("x"), "list": "text"}, ["key"], {"key": []}]
)
def test_a_form_that_has_no_such_secret_any_more(form: Any) -> None:
    with pytest.raises(frozen.Changed):
        frozen.complete(Body(Form(SECRETS)).freeze(EVENT), form)


def test_nothing_that_an_event_says_asks_for_a_secret() -> None:
    event = named(name="ftwatch-body:1 [null,[[]]]", metadata={"key": '["key"]', "secrets": "[[]]"})
    form = {"key": Secret("hush-hush"), "job": "{{ job | tojson }}"}
    body = frozen.complete(Body(Form(form)).freeze(event), form)
    assert body.count(b"hush-hush") == 1


def test_a_tree_that_only_looks_like_what_is_kept_is_a_body() -> None:
    body = b'["ftwatch-body:1 ",[["key"]]]'
    assert frozen.complete(body, SECRETS) == body


def test_a_text_of_the_config_has_the_same_bound() -> None:
    assert Body(Form({"a": "x" * LARGEST})).problems == [(("a",), "it comes to more than 256 KiB")]


# ------------------------------------------------------------------------------------ what is written of it


def test_what_a_template_knows_is_written_about() -> None:
    page = (Path(__file__).parents[2] / "docs" / "notifiers.md").read_text()
    page = page.partition("### A body of your own")[2].partition("\n### ")[0]
    filters = page.partition("Filters: ")[2].partition(". Methods:")[0]
    assert set(re.findall(r"`([a-z0-9]+)`", filters)) == set(ENVIRONMENT.filters)
    maps, texts = page.partition("Methods:")[2].partition("of texts")[0].split("of mappings")
    assert set(re.findall(r"`([a-z]+)`", maps)) == METHODS[dict]
    assert set(re.findall(r"`([a-z]+)`", texts)) == METHODS[str]
    named = re.findall(r"(?m)^\| (`[a-z`, ]+) \|", page.partition("| name |")[2])
    assert [name for row in named for name in re.findall(r"`([a-z]+)`", row)] == list(NAMES)
    assert f"{LARGEST // KIB} KiB, a template {LONGEST} characters" in page
