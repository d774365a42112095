"""Templates of messages: what is wrong with one is told at its place, tried with what can come."""

from typing import Any

import pytest

SLACK = "providers: {openai: {api_key: x}}\nnotifiers:\n  slack:\n    webhook_url: https://x\n    template:\n"
ROUTES = (
    "providers: {openai: {api_key: x}}\nnotifiers: {slack: {webhook_url: https://x}}\n"
    "routes:\n  - notify: [slack]\n"
)


def mistakes(load: Any, text: str) -> list[str]:
    """What is wrong with a file, each as `LINE:COLUMN sentence`."""
    from ftwatch.config import ConfigError

    try:
        load(text)
    except ConfigError as error:
        return [
            f"{one.line}:{one.column} {one.sentence}" for one in error.problems if one.severity == "error"
        ]
    return []


@pytest.mark.parametrize(
    ("given", "place", "sentence"),
    [
        ("      title: '{{ titel }}'", "6:14", "template.title: nothing is called 'titel' here"),
        ("      body: '{% for x in y %}{% endfor %}'", "6:13", "template.body: only {{ … }} may stand here"),
        ("      title: '{{ job.nam }}'", "6:14", "template.title: there is no 'nam' here; did you mean"),
        (
            "      title: '{{ job.name }}'",
            "6:14",
            "template.title: there is no 'name' in null (sample watching",
        ),
        ("      titel: x", "6:7", "template has no key 'titel'"),
        ("      {}", "5:14", "template: give title, body or both"),
    ],
)
def test_a_template_that_cannot_do_is_told_at_its_place(
    load: Any, given: str, place: str, sentence: str
) -> None:
    found = mistakes(load, SLACK + given + "\n")
    assert any(sentence in one for one in found), found
    assert found[0].startswith(place.split(":")[0])


def test_a_good_template_is_kept(load: Any) -> None:
    found = load(SLACK + "      title: '{{ title }}!'\n      body: \"{{ job.name if job else text }}\"\n")
    assert found.notifiers["slack"].template.title == "{{ title }}!"
    assert found.notifiers["slack"].template.body == "{{ job.name if job else text }}"


def test_a_routes_template_is_tried_with_what_goes_by_it(load: Any) -> None:
    only = "    match: {type: fine_tuning.job.failed}\n    template: {title: '{{ job.error.code }}'}\n"
    (route,) = load(ROUTES + only).routing.routes
    assert route.template.title == "{{ job.error.code }}"
    wider = "    match: {type: 'fine_tuning.job.*'}\n    template: {title: '{{ job.error.code }}'}\n"
    (found,) = mistakes(load, ROUTES + wider)
    assert found.startswith("6:23 template.title: there is no 'code' in null (sample created and ")


def test_a_program_has_no_words(load: Any) -> None:
    text = "providers: {openai: {api_key: x}}\nnotifiers:\n  it:\n    kind: webhook\n    url: https://x\n"
    text += "    secret: x\n    template: {title: x}\n"
    (found,) = mistakes(load, text)
    assert found == "7:5 template: webhook sends no message, but the event itself"
