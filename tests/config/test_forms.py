"""Forms and paths among a plug-in's options: what is wrong in them has its line and column."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from ftwatch import config
from ftwatch.config import Config, ConfigError
from ftwatch.plugins import Secret

HEAD = "providers: {openai: {}}\nnotifiers:\n"
ROUTES = "routes: [{match: {type: fine_tuning.job.failed}, notify: [it]}]\n"
Load = Callable[..., Config]


@pytest.fixture
def load(tmp_path: Path) -> Load:
    def load(text: str, routes: str = ROUTES, environ: dict[str, str] | None = None, **more: Any) -> Config:
        path = tmp_path / "ftwatch.yaml"
        path.write_text(HEAD + text + "\n" + routes)
        return config.load(path, environ={"HOME": "/home/me", **(environ or {})}, **more)

    return load


@pytest.fixture
def said(load: Load) -> Callable[..., list[str]]:
    def said(text: str, routes: str = ROUTES, **more: Any) -> list[str]:
        with pytest.raises(ConfigError) as caught:
            load(text, routes, **more)
        return [f"{p.line}:{p.column} {p.sentence}" for p in caught.value.problems if p.severity == "error"]

    return said


BLOCK = "  it:\n    kind: webhook\n    url: https://x.example/in\n    body:\n"


# --------------------------------------------------------------------------------------------- the form


def test_a_form_is_the_tree_as_it_was_written(load: Load) -> None:
    text = BLOCK + (
        "      text: '{{ title }}'\n      number: 1.5\n      on: yes\n      truth: true\n"
        "      nothing: null\n"
        "      many: [010, 'a', {deep: $$x}]\n      key: ${KEY}\n      more: 'Bearer ${KEY}-${OTHER:-o}'\n"
    )
    form = load(text, environ={"KEY": "{{ 7*7 }}"}).notifiers["it"].options.body.tree
    key, more = form.pop("key"), form.pop("more")
    assert form == {
        "text": "{{ title }}",
        "number": 1.5,
        "on": "yes",
        "truth": True,
        "nothing": None,
        "many": [10, "a", {"deep": "$x"}],
    }
    assert isinstance(key, Secret)
    assert (key.reveal(), more.reveal()) == ("{{ 7*7 }}", "Bearer {{ 7*7 }}-o")
    assert "7*7" not in repr(form)


def test_what_a_variable_holds_is_no_template(load: Load) -> None:
    made = load(BLOCK + "      a: ${KEY}\n", environ={"KEY": "{{ no such thing"}).notifiers["it"].options
    assert made.form.problems == []


def test_a_variable_that_is_not_there_is_missed_only_by_what_needs_it(load: Load, said: Any) -> None:
    text = BLOCK + "      a: [1, '${KEY}']\n"
    assert load(text)
    assert said(text, secrets=True) == ["7:14 ${KEY} is not set"]


@pytest.mark.parametrize(
    ("body", "problems"),
    [
        ("      a: '{{ titel }}'\n", ["7:10 body.a: nothing is called 'titel' here; did you mean 'title'?"]),
        (
            "      - ok\n      - {b: [1, '{{ job.nam }}']}\n",
            ["8:17 body[1].b[1]: there is no 'nam' here; did you mean 'name'? (sample failed)"],
        ),
        (
            "      a: '{% x %}'\n      c.d: '{{ y'\n",
            [
                "7:10 body.a: Encountered unknown tag 'x'.",
                "8:12 body.c.d: unexpected end of template, expected 'end of print statement'.",
            ],
        ),
        (
            "      a: 'pre ${KEY} {{ title }}'\n",
            ["7:10 body.a: a text is a template or has variables, not both"],
        ),
        ("      '{{ title }}': 1\n", ["7:22 body.{{ title }}: keys are no templates, only values"]),
        ("      a:\n", ["7:7 body.a has no value"]),
        ("      a: .nan\n", ["7:10 body.a: no JSON number is like this"]),
        ("      a: $KEY\n", None),
        (
            "      a: {{ title }}\n",
            ['7:10 quote a template, like any text that begins with a brace: "{{ … }}"'],
        ),
        (
            "      a: {{ job.id }}/{{ job.name }}\n",
            ['7:10 quote a template, like any text that begins with a brace: "{{ … }}"'],
        ),
        (
            "      {a: {{ title | upper }}, b: [{{ job.id | tojson }}], c: '{{ title }}'}\n",
            [
                '7:11 quote a template, like any text that begins with a brace: "{{ … }}"',
                '7:36 quote a template, like any text that begins with a brace: "{{ … }}"',
            ],
        ),
        (
            "      a: {{ job['id'] | default(\"x\") }}\n",
            ['7:10 quote a template, like any text that begins with a brace: "{{ … }}"'],
        ),
    ],
)
def test_what_is_wrong_in_a_form_has_its_place(said: Any, body: str, problems: list[str] | None) -> None:
    found = said(BLOCK + body)
    if problems is None:
        (only,) = found
        assert only.startswith("7:10 write ${KEY} for the variable")
    else:
        assert found == problems


def test_a_form_is_no_single_value(said: Any) -> None:
    text = BLOCK.replace("body:\n", "body: '{{ event }}'\n")
    assert said(text) == ["6:11 body: a form is a mapping or a list"]


def test_the_same_text_elsewhere_is_no_template(said: Any) -> None:
    text = "  it: {kind: webhook, url: 'https://x', body: {a: 1}, headers: {x-a: {{ title }}}}\n"
    assert "quote a template" in said(text)[0]


# ----------------------------------------------------------------------------- by what can reach it

ONLY_ENDS = BLOCK + "      ran_for: '{{ event.data.summary.ran_for }}'\n"


@pytest.mark.parametrize(
    ("match", "sample"),
    [
        ("{type: [fine_tuning.job.failed, fine_tuning.job.succeeded]}", None),
        ("{type: fine_tuning.job.succeeded, model: nix, labels.team: ads}", None),
        ("{type: 'fine_tuning.job.*', status: [failed, cancelled]}", None),
        ("{severity: error, type: 'fine_tuning.*'}", None),
        ("{type: fine_tuning.job.running}", "running"),
        ("{labels.team: ads}", "created and "),
        ("{type: [fine_tuning.job.failed, ftwatch.provider.degraded]}", "degraded"),
    ],
)
def test_only_what_can_reach_it_counts(load: Load, said: Any, match: str, sample: str | None) -> None:
    routes = f"routes: [{{match: {match}, notify: [it]}}]\n"
    if sample is None:
        assert load(ONLY_ENDS, routes)
    else:
        (problem,) = said(ONLY_ENDS, routes)
        assert problem.startswith("7:16 body.ran_for: there is no 'summary' here")
        assert f"(sample {sample}" in problem


def test_without_routes_it_is_what_machines_are_told(said: Any) -> None:
    (problem,) = said(ONLY_ENDS, "")
    assert problem.startswith("7:16 body.ran_for: there is no 'summary' here")
    assert "(sample created and" in problem


def test_what_github_would_refuse_has_its_place(said: Any) -> None:
    text = BLOCK.replace("https://x.example/in", "https://api.github.com/repos/o/r/dispatches")
    assert said(text + "      event_type: ft\n      inputs: {a: 1}\n") == [
        "8:15 body.inputs: GitHub takes event_type and client_payload only: put it into the latter"
        " (sample failed)"
    ]
    assert said(text + "      client_payload: {event: '{{ event | tojson }}'}\n") == [
        "7:7 body: GitHub needs an event_type, by which a workflow is chosen (sample failed)"
    ]


# -------------------------------------------------------------------------------------- login and files


def test_secrets_of_inner_blocks_have_all_their_forms(load: Load, tmp_path: Path) -> None:
    (tmp_path / "token").write_text("t0ken\n")
    (tmp_path / "token").chmod(0o600)
    text = BLOCK + "      a: 1\n    auth: {bearer_file: token}\n"
    made = load(text)
    assert made.warnings == ()
    assert made.notifiers["it"].options.auth.header() == "Bearer t0ken"


@pytest.mark.parametrize(
    ("more", "problem"),
    [
        ("auth: {}", "8:5 auth: give username and password, or bearer"),
        ("auth: {user: x}", "8:12 auth has no key 'user'; did you mean 'username'?"),
        ("auth: {bearer: '${T}', headers: 1}", "8:28 auth has no key 'headers'; did you mean"),
        (
            "tls: {ca_file: nix.pem}",
            "8:20 tls.ca_file: cannot read {folder}/nix.pem: no such file or directory",
        ),
        ("tls: {cert: x.pem}", "8:11 tls has no key 'cert'; did you mean"),
        ("headers: {authorization: a}\n    auth: {bearer: '${T}'}", "3:3 notifier 'it': auth and the header"),
    ],
)
def test_what_is_wrong_in_a_block_has_its_place(said: Any, tmp_path: Path, more: str, problem: str) -> None:
    (found,) = said(BLOCK + f"      a: 1\n    {more}\n")
    assert found.startswith(problem.replace("{folder}", str(tmp_path)))


def test_it_needs_a_secret_or_a_body(said: Any) -> None:
    assert said("  it: {kind: webhook, url: 'https://x.example/in'}\n") == [
        "3:3 notifier 'it': it needs secret, secret_file or secret_credential, unless it has a body"
    ]


def test_paths_start_at_the_configs_folder(load: Load, tmp_path: Path, authority: Path) -> None:
    for name in ("ca.pem", "client.pem", "client.key"):
        (tmp_path / name).write_text((authority / name).read_text())
    (tmp_path / "client.key").chmod(0o644)
    text = BLOCK + "      a: 1\n    tls: {ca_file: ca.pem, cert_file: ./client.pem, key_file: client.key}\n"
    made = load(text)
    tls = made.notifiers["it"].options.tls
    assert (tls.ca_file, tls.cert_file) == (tmp_path / "ca.pem", tmp_path / "client.pem")
    assert [(w.line, w.column, w.sentence) for w in made.warnings] == [
        (8, 63, f"everybody on this machine can read {tmp_path}/client.key: chmod o-r it")
    ]
    assert "PRIVATE" not in repr(tls.trust())
    (tmp_path / "client.key").chmod(0o600)
    assert load(text).warnings == ()
