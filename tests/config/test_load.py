# ruff: noqa: E501
"""load: a text becomes a typed config, or every mistake at its place; no secret shows anywhere."""

import dataclasses
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ftwatch import config
from ftwatch.config import Config, ConfigError, Problem
from ftwatch.core.event import Severity
from ftwatch.core.flapping import Flapping
from ftwatch.core.route import Recipient
from ftwatch.core.rule import Retiring, Stuck
from ftwatch.plugins import Secret

Load = Callable[..., Config]
Refused = Callable[..., list[str]]

SMALL = "providers: {openai: {}}\n"
PASSWORD = "hunter2-hunter2"

# ------------------------------------------------------------------------------------------ the model


def test_what_is_left_out_has_its_default(load: Load, tmp_path: Path) -> None:
    made = load(SMALL)
    assert made.path == tmp_path / "ftwatch.yaml"
    assert made.folder == tmp_path
    account = made.providers["openai"]
    assert dataclasses.replace(account, options=None) == config.ProviderConfig(name="openai", kind="openai")
    assert (account.poll, account.discover, account.rate) == (30.0, 120.0, 10.0)
    assert (account.degraded_after, account.settle, account.baseline) == (300.0, 120.0, "summary")
    assert account.options.timeout.total_seconds() == 30
    assert made.notifiers == {}
    assert made.routing.routes is None
    assert made.rules == (Stuck(), Retiring(), Flapping())
    assert made.store == config.StoreConfig(path=Path("/home/me/.local/state/ftwatch/ftwatch.db"))
    assert made.store.retention == 90 * 86400
    assert made.socket == Path("/home/me/.local/state/ftwatch/ftwatch.sock")
    assert made.client == config.ClientConfig()
    assert made.log == config.LogConfig(level="info", format="auto")
    assert made.warnings == ()


def test_what_is_said_is_said_in_seconds(load: Load, tmp_path: Path) -> None:
    made = load(
        """
providers:
  prod:
    kind: openai
    labels: {env: prod}
    poll: 1m30s
    discover: 1h
    rate: 120/h
    baseline: all
    watch: {model: "gpt-4.1*", since: 30d}
    degraded_after: 10m
    settle: 0s
    was: old
notifiers:
  slack: {webhook_url: "${URL}", closure: false, retry: {waits: [1s, 500ms], slow: [1m], fold: false, jitter: 0, drain: 60/min, span: 1h}}
  hook: {kind: webhook, url: "https://x.example", headers: {a: b, c: "Bearer ${TOKEN}"}}
rules:
  stuck: {queued: 1h, paused: false, severity: error}
  retiring: {ahead: [90d, 1d], severity: notice}
store: {path: data/x.db, retention: 7d}
client: {proxy: "http://proxy.example:3128", no_proxy: [a, b]}
log: {level: debug, format: json}
socket: ~/x.sock
""",
        {"HOME": "/home/me"},
    )
    account = made.providers["prod"]
    assert (account.poll, account.discover, account.degraded_after, account.settle) == (90, 3600, 600, 0)
    assert account.rate == pytest.approx(1 / 30)
    assert (account.labels, account.baseline, account.was) == ({"env": "prod"}, "all", "old")
    assert str(account.watch) == 'model="gpt-4.1*"'
    assert account.since == 30 * 86400
    slack, hook = made.notifiers["slack"], made.notifiers["hook"]
    assert slack.retry.waits == (1.0, 0.5)
    assert (slack.retry.slow, slack.retry.fold) == ((60.0,), None)
    assert (slack.retry.jitter, slack.retry.drain, slack.retry.span) == (0, 1, 3600)
    # What is not said stays as the kind has it.
    assert slack.retry.throttle == 7.0
    assert hook.options.headers["a"] == "b"
    assert isinstance(hook.options.headers["c"], Secret)
    assert made.routing.recipients == (
        Recipient(name="slack", kind="slack", audience="people", closure=False),
        Recipient(name="hook", kind="webhook", audience="machines", closure=True),
    )
    assert made.rules == (
        Stuck(severity=Severity.ERROR, queued=3600.0, paused=None),
        Retiring(severity=Severity.NOTICE, ahead=(90 * 86400.0, 86400.0)),
        Flapping(),
    )
    assert made.store == config.StoreConfig(path=tmp_path / "data" / "x.db", retention=7 * 86400)
    assert made.client == config.ClientConfig(proxy="http://proxy.example:3128", no_proxy=("a", "b"))
    assert made.log == config.LogConfig(level="debug", format="json")
    assert made.socket == Path("/home/me/x.sock")


@pytest.mark.parametrize(
    ("environ", "path", "socket"),
    [
        ({"STATE_DIRECTORY": "/s"}, "/s/ftwatch.db", "/s/ftwatch.sock"),
        ({"STATE_DIRECTORY": "/s:/t", "RUNTIME_DIRECTORY": "/r:/q"}, "/s/ftwatch.db", "/r/ftwatch.sock"),
        ({"XDG_STATE_HOME": "/x"}, "/x/ftwatch/ftwatch.db", "/x/ftwatch/ftwatch.sock"),
    ],
)
def test_where_state_is_kept(load: Load, environ: dict[str, str], path: str, socket: str) -> None:
    made = load(SMALL, {"HOME": "/home/me", **environ})
    assert (str(made.store.path), str(made.socket)) == (path, socket)


@pytest.mark.parametrize(
    ("said", "meant"),
    [
        ("", config.PlotsConfig()),
        ("plots: false\n", config.PlotsConfig(wanted=False)),
        ("plots: true\n", config.PlotsConfig(wanted=True)),
        ("plots: {}\n", config.PlotsConfig(wanted=True)),
        ("plots: {theme: dark}\n", config.PlotsConfig(wanted=True, theme="dark")),
    ],
)
def test_pictures_are_there_wanted_or_not(load: Load, said: str, meant: config.PlotsConfig) -> None:
    assert load(SMALL + said).plots == meant
    assert load(SMALL + said).warnings == ()


def test_pictures_that_are_wanted_and_cannot_be_drawn_are_warned_of(
    load: Load, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("ftwatch.config.sections.find_spec", lambda name: None)
    (warning,) = load(SMALL + "plots: {}\n").warnings
    assert (warning.line, warning.column) == (2, 8)
    assert warning.sentence == "plots: no picture can be drawn here: pip install 'ftwatch[plots]'"
    assert load(SMALL).warnings == load(SMALL + "plots: false\n").warnings == ()


def test_rules_can_be_turned_off(load: Load) -> None:
    both = (Stuck(), Retiring(), Flapping())
    assert load(SMALL + "rules: {stuck: false}\n").rules == (Retiring(), Flapping())
    assert load(SMALL + "rules: {retiring: false}\n").rules == (Stuck(), Flapping())
    wild = load(SMALL + "rules: {stuck: false, retiring: false, flapping: {times: 5, within: 10m}}\n")
    assert wild.rules == (Flapping(times=5, within=600.0),)
    assert load(SMALL + "rules: {stuck: false, retiring: false, flapping: false}\n").rules == ()
    assert load(SMALL + "rules: {stuck: true, retiring: {}}\n").rules == both
    assert load(SMALL + "rules:\n").rules == both


def test_a_config_is_frozen(load: Load) -> None:
    made = load(SMALL)
    with pytest.raises(dataclasses.FrozenInstanceError):
        made.path = Path("x")  # type: ignore[misc]


def test_anchors_and_keys_of_ones_own(load: Load) -> None:
    text = "x-mine: &a {labels: {team: search}}\nproviders:\n  openai:\n    <<: *a\n    poll: 1m\n"
    account = load(text).providers["openai"]
    assert (account.labels, account.poll) == ({"team": "search"}, 60)


def test_the_fingerprint_stands_for_the_text(load: Load, tmp_path: Path) -> None:
    first = load(SMALL)
    assert first.fingerprint == config.fingerprint(tmp_path / "ftwatch.yaml")
    assert load(SMALL + "# more\n").fingerprint != first.fingerprint
    assert load(SMALL).fingerprint == first.fingerprint


# ----------------------------------------------------------------------------------------- mistakes


def provider(rest: str) -> str:
    return f"providers:\n  p: {{kind: openai, {rest}}}\n"


def notifier(block: str) -> str:
    return f"notifiers:\n  n: {block}\n"


def mail(rest: str) -> str:
    return notifier(f'{{kind: email, host: h, from: "f@x.example", to: [a], {rest}}}')


def slack(rest: str) -> str:
    return notifier(f"{{kind: slack, webhook_url: x, {rest}}}")


# § marks where the mistake is.
MISTAKES = [
    # Unknown and misplaced keys.
    ("§provider: {}", "a config has no key 'provider'; did you mean 'providers'?"),
    (provider("§pol: 30s"), "provider 'p' has no key 'pol'; did you mean 'poll'?"),
    (provider("§Poll: 30s"), "provider 'p' has no key 'Poll'; did you mean 'poll'?"),
    (provider("§api-key: x"), "provider 'p' has no key 'api-key'; did you mean 'api_key'?"),
    (mail("§from_: x"), "notifier 'n' has no key 'from_'; did you mean 'from'?"),
    ("log: {§levl: info}", "log has no key 'levl'; did you mean 'level'?"),
    ("log: {§xyz: info}", "log has no key 'xyz'; it knows format, level"),
    ("rules: {§stuc: {}}", "rules has no key 'stuc'; did you mean 'stuck'?"),
    ("rules: {stuck: {§ququed: 1h}}", "stuck has no key 'ququed'; did you mean 'queued'?"),
    # Kinds.
    ("providers: {§openia: {}}", "'openia' is no kind of provider; did you mean 'openai'?"),
    ("providers: {§prod: {}}", "'prod' is no kind of provider; give it a kind: openai"),
    ("providers: {p: {kind: §opnai}}", "no provider is of kind 'opnai'; did you mean 'openai'?"),
    ("providers: {p: {kind: §x}}", "no provider is of kind 'x'; installed: openai"),
    (
        notifier("{kind: §missing}"),
        "the plug-in of kind 'missing' cannot be used: ModuleNotFoundError: No module",
    ),
    ("notifiers: {§explosive: {}}", "the plug-in of kind 'explosive' cannot be used: RuntimeError: boom"),
    # Names.
    ("providers: {§'a b': {}}", "'a b' is no name: use letters, digits, - _ and . (at most 64)"),
    ("providers: {§a/b: {}}", "'a/b' is no name: use letters, digits, - _ and . (at most 64)"),
    # Types.
    (provider("base_url: §5"), 'base_url should be text, not 5; quote it: "5"'),
    (provider("base_url: §true"), 'base_url should be text, not true; quote it: "true"'),
    (provider("base_url: §010"), 'base_url should be text, not 010; quote it: "010"'),
    (provider("base_url: §[a]"), "base_url should be text, not a list"),
    (provider("base_url: §null"), "base_url should be text, not null"),
    (provider("§base_url: "), "base_url has no value"),
    (provider("labels: {a: §1}"), 'labels.a should be text, not 1; quote it: "1"'),
    (provider("labels: {§a: }"), "labels.a has no value"),
    (provider("labels: §x"), "labels should be a mapping, not 'x'"),
    (provider("metadata: {a: §[b]}"), "metadata.a should be text, not a list"),
    (mail("port: §abc"), "port should be a whole number, not 'abc'"),
    (mail('port: §"25"'), "port should be a whole number, not '25'; leave the quotes out"),
    (mail("port: §1.5"), "port should be a whole number, not 1.5"),
    (mail("port: §true"), "port should be a whole number, not true"),
    (mail("html: §yes"), "html should be true or false, not 'yes'"),
    (mail("html: §1"), "html should be true or false, not 1"),
    (mail("ratio: §.nan"), "ratio should be a finite number, not .nan"),
    (mail("ratio: §1e999"), "ratio should be a finite number, not 1e999"),
    (mail("ratio: §x"), "ratio should be a number, not 'x'"),
    (
        mail("security: §tsl"),
        "security should be 'starttls', 'tls' or 'plain', not 'tsl'; did you mean 'tls'?",
    ),
    (notifier("{kind: command, argv: §./x}"), "argv should be a list, not './x'; write [./x]"),
    (notifier("{kind: command, argv: [./x, §5]}"), 'argv[1] should be text, not 5; quote it: "5"'),
    (notifier("§[x]"), "n should be a mapping"),
    (notifier("§kind:slack"), "n should be a mapping; is a space missing after a colon?"),
    (notifier("{kind: webhook, url: u, secret: §5}"), "secret should be text or a list, not this; quote it"),
    (notifier("{kind: webhook, url: u, secret: [x, §5]}"), "secret[1] should be text, not this; quote it"),
    (notifier("{kind: webhook, url: u, headers: {a: §5}}"), "headers.a should be text, not this; quote it"),
    # What is missing, and what is too much.
    (
        "notifiers:\n  §n: {kind: slack}",
        "notifier 'n' needs webhook_url, webhook_url_file or webhook_url_credential",
    ),
    ("notifiers:\n  §n: {kind: email, host: h, to: [a]}", "notifier 'n' needs from"),
    (provider("api_key_file: a, §api_key: b"), "api_key_file and api_key say the same: give one of them"),
    (mail("username: u").replace("  n:", "  §n:"), "notifier 'n': a username needs a password"),
    # Durations, rates.
    (provider("poll: §30"), "poll: a duration is written 30s, 5m, 2h or 30d"),
    (provider("poll: §30 seconds"), "poll: '30 seconds' is no duration: write 30s, 5m, 2h or 30d"),
    (provider("poll: §500ms"), "poll should be at least 1s"),
    (provider("settle: §99999999d"), "settle is longer than ten years"),
    (provider("settle: §" + "9" * 400 + "d"), "settle: '9999999999"),
    (provider("rate: §600"), "rate: '600' is no rate: write 10/s, 600/min or 1000/h"),
    (provider("rate: §0/s"), "rate: '0/s' is no rate: write 10/s, 600/min or 1000/h"),
    (provider("rate: §" + "9" * 400 + "/s"), "rate: '9999"),
    (provider("rate: §[1/s]"), "rate takes one value, not a list"),
    (
        provider("baseline: §sumary"),
        "baseline should be 'silent', 'summary' or 'all', not 'sumary'; did you mean",
    ),
    (provider("timeout: §5x"), "timeout: '5x' is no duration"),
    (slack("retry: {waits: §[]}"), "waits should be a list of at least 1, not an empty list"),
    (slack("retry: {waits: [1s, §1]}"), "waits[1]: a duration is written 30s, 5m, 2h or 30d"),
    (slack("retry: {slow: §[]}"), "slow should be a list of at least 1, not an empty list"),
    (slack("retry: {fold: §5s}"), "fold should be at least 60s"),
    (slack("retry: {fold: §true}"), "fold"),
    (
        notifier("{kind: webhook, url: x, secret: whsec_x, retry: §{fold: 1h}}"),
        "fold: webhook sends every event on its own",
    ),
    (slack("retry: {jitter: §2}"), "jitter should be at most 1, not 2"),
    (slack("retry: §5"), "retry should be a mapping"),
    # Sections.
    ("rules: {stuck: {queued: §true}}", "queued: a duration is written 30s, 5m, 2h or 30d"),
    (
        "rules: {stuck: {severity: §loud}}",
        "severity should be 'detail', 'info', 'notice', 'warning' or 'error'",
    ),
    ("rules: {retiring: {ahead: §[]}}", "ahead should be a list of at least 1, not an empty list"),
    ("rules: {retiring: {ahead: §7d}}", "ahead should be a list"),
    ("rules: {retiring: {ahead: [7d, §week]}}", "ahead[1]: 'week' is no duration"),
    ("rules: {retiring: {ahead: §[7d, 5s]}}", "ahead: each should be at least 1h"),
    ("rules: {retiring: {§before: [7d]}}", "retiring has no key 'before'"),
    ("rules: {stuck: §5}", "stuck should be a mapping or true or false, not 5"),
    ("plots: {theme: §pink}", "theme should be 'light' or 'dark', not 'pink'"),
    ("plots: {§size: 3}", "plots has no key 'size'"),
    ("plots: §yes", "plots should be true or false, not 'yes'"),
    ("plots: §[x]", "plots should be a mapping or true or false, not a list"),
    ("log: {level: §loud}", "level should be 'debug', 'info', 'warning' or 'error', not 'loud'"),
    ("log: {level: §on}", "level should be 'debug', 'info', 'warning' or 'error', not 'on'"),
    ("client: {proxy: §proxy.example}", "proxy should be a URL that begins with http:// or https://"),
    ("socket: §[x]", "socket should be text, not a list"),
    ("store: §x", "store should be a mapping"),
    ("providers: §[openai]", "providers should be a mapping"),
    ("providers: {p: {kind: openai, was: §q}, q: {kind: openai}}", "was: 'q' is the name of a provider"),
    # Not in this version.
    ("§templates: {}", "'templates' is not in this version"),
    ("store: {§url: postgresql://x}", "'url' is not in this version"),
    (
        slack("timezone: §Europe/Berln"),
        "timezone: there is no zone 'Europe/Berln'; did you mean 'Europe/Berlin'?",
    ),
    (slack("throttle: §10"), "throttle: '10' is no limit: write 10/h, 3/min or 20/d"),
    (slack("throttle: §0/h"), "throttle: '0/h' is no limit"),
    (slack('digest: {at: §"25:00"}'), "at: '25:00' is no time of the day: write 07:30 or 22:00"),
    (slack('digest: {at: "9:00", days: §mo-fr}'), "days: 'mo-fr' names no days: write mon-fri, or sat,sun"),
    (slack("§digest: {days: mon}"), "digest needs at"),
    (slack('quiet_hours: {from: "22:00", to: "7:00", pass: {§typ: x}}'), "nothing has a key 'typ';"),
    (
        slack("closure: true") + "routes: [{notify: [n], group: {by: §[label.team]}}]\n",
        "nothing has a key 'label.team'",
    ),
    (slack("closure: true") + "routes: [{notify: [n], group: {by: §[]}}]\n", "by is empty"),
    (slack("closure: true") + "routes: [{notify: [n], remind: §5s}]\n", "remind should be at least 60s"),
    (
        slack("closure: true") + "routes: [{notify: [n], group: {by: [provider], until: §over}}]\n",
        "until",
    ),
    (
        slack("closure: true") + "routes: [{notify: [n], group: {by: §[type], until: all_terminal}}]\n",
        "'type' is a key of events, and this asks for jobs",
    ),
    ("store: {§url_file: x}", "'url_file' is not in this version"),
    ("rules: {flapping: {times: §1}}", "times"),
    ("rules: {flapping: {within: §5s}}", "within should be at least 60s"),
    ("rules: {§late: {}}", "'late' is not in this version"),
    # The whole.
    ("§", "the file is empty"),
    ("§just words", "a config is a mapping"),
    ("§[1, 2]", "a config is a mapping"),
    # What people trip over.
    (
        notifier("{kind: slack, webhook_url: §${URL}}"),
        'quote a variable inside braces and brackets: "${URL}"',
    ),
    (provider("organization: §@acme"), 'nothing may begin with @; quote it: "@acme"'),
    (provider("organization: §!acme"), '! begins a tag; as text, quote it: "!acme"'),
    (
        provider("organization: §*acme"),
        '*acme asks for an anchor that is not there; as text, quote it: "*acme"',
    ),
    (
        provider("organization: §&acme"),
        'organization has no value; & starts an anchor: as text, quote it: "&acme"',
    ),
    (
        "notifiers:\n  slack:\n    webhook_url: §#ml\n",
        'webhook_url has no value; # starts a comment: as text, quote it: "#ml"',
    ),
    (provider("api_key: §$OPENAI_API_KEY"), "write ${OPENAI_API_KEY} for the variable"),
    (provider('base_url: §"${NOPE}"'), "${NOPE} is not set"),
    (provider('base_url: §"${NOPE:?ask Anna}"'), "ask Anna"),
    (provider('api_key: §"${NOPE"'), "'${NOPE' is no variable"),
]


@pytest.mark.parametrize(("text", "sentence"), MISTAKES)
def test_every_mistake_has_its_place_and_sentence(refused: Refused, text: str, sentence: str) -> None:
    before = text[: text.index("§")]
    place = f"{before.count(chr(10)) + 1}:{len(before) - before.rfind(chr(10))}"
    told = refused(text.replace("§", ""))
    assert [line[: len(place) + 1 + len(sentence)] for line in told] == [f"{place} {sentence}"]


def test_all_mistakes_are_told_at_once_in_the_order_of_the_text(refused: Refused) -> None:
    text = "log: {level: loud}\nstore: 5\nproviders:\n  openai: {pol: 1s, poll: 0s}\n  x: {}\nnope: 1\n"
    assert [line.partition(" ")[0] for line in refused(text)] == ["1:14", "2:8", "4:12", "4:27", "5:3", "6:1"]


def test_a_problem_reads_like_a_compiler_s(load: Load) -> None:
    with pytest.raises(ConfigError) as caught:
        load("providers: {openai: {poll: 5}}\nnope: 1\n")
    lines = str(caught.value).splitlines()
    assert [line.rpartition("/")[2] for line in lines] == [
        "ftwatch.yaml:1:28: error: poll: a duration is written 30s, 5m, 2h or 30d",
        "ftwatch.yaml:2:1: error: a config has no key 'nope'; it knows providers, notifiers, people, routes, "
        "rules, "
        "silences, store, client, web, log, plots, socket, and x-… for your own",
    ]


def test_values_of_variables_take_the_type_of_their_key(load: Load) -> None:
    text = mail('port: "${PORT}", html: "${HTML}", ca_file: "${CA:-}"')
    options = load(text, {"PORT": "2525", "HTML": "false"}).notifiers["n"].options
    assert (options.port, options.html, options.ca_file) == (2525, False, None)


# ------------------------------------------------------------------------------------------- secrets


def test_secrets_are_asked_for_late(load: Load, refused: Refused) -> None:
    text = 'providers:\n  openai:\n    api_key: ${KEY}\nnotifiers:\n  slack: {webhook_url: "${URL:?no channel}"}\n'
    made = load(text, {})
    key = made.providers["openai"].options.api_key
    with pytest.raises(LookupError, match="is not set"):
        key.reveal()
    assert refused(text, {}, secrets=True) == ["3:14 ${KEY} is not set", "5:24 no channel"]
    assert refused(text, {"KEY": "", "URL": "u"}, secrets=True) == ["3:14 KEY is empty"]
    made = load(text, {"KEY": PASSWORD, "URL": "u"}, secrets=True)
    key = made.providers["openai"].options.api_key
    assert (key.reveal(), key.origin) == (PASSWORD, "environment KEY")


def test_secrets_in_files(load: Load, refused: Refused, tmp_path: Path) -> None:
    text = "providers:\n  openai:\n    api_key_file: key\n"
    assert load(text).providers["openai"].options.api_key.origin == f"file {tmp_path / 'key'}"
    place = f"3:19 {tmp_path / 'key'}"
    assert refused(text, secrets=True) == [f"{place} cannot be read: No such file or directory"]
    file = tmp_path / "key"
    file.write_bytes(b"")
    file.chmod(0o600)
    assert refused(text, secrets=True) == [f"{place} is empty"]
    file.write_bytes(b"\xff")
    assert refused(text, secrets=True) == [f"{place} is not UTF-8 text"]
    file.write_bytes(b"x" * 70_000)
    assert refused(text, secrets=True) == [f"{place} is too large for a secret"]
    file.write_text(PASSWORD + "\n")
    made = load(text, secrets=True)
    assert made.providers["openai"].options.api_key.reveal() == PASSWORD
    assert made.warnings == ()
    file.chmod(0o644)
    assert [str(problem).rpartition("/")[0] for problem in load(text).warnings] != []
    assert load(text).warnings[0].sentence == f"everybody on this machine can read {file}: chmod o-r it"


def test_secrets_from_systemd(load: Load, refused: Refused, tmp_path: Path) -> None:
    text = "providers:\n  openai:\n    api_key_credential: key\n"
    (tmp_path / "key").write_text(PASSWORD)
    assert load(text).providers["openai"].options.api_key.origin == "credential key"
    assert refused(text, {}, secrets=True) == [
        "3:25 the credential 'key' is there only in the service: no $CREDENTIALS_DIRECTORY"
    ]
    made = load(text, {"CREDENTIALS_DIRECTORY": str(tmp_path)}, secrets=True)
    assert made.providers["openai"].options.api_key.reveal() == PASSWORD
    assert refused(text.replace("key\n", "../key\n")) == [
        "3:25 '../key' is no credential: give the name from LoadCredential=, not a path"
    ]


def test_the_network_guard_says_what_it_cannot_see(load: Load) -> None:
    strict = "providers: {openai: {api_key: '${K}'}}\nnotifiers: {slack: {webhook_url: '${U}'}}\nclient: {network: strict%s}\n"
    assert load(strict % "").warnings == ()
    made = load(strict % ", proxy: 'http://proxy.example.com:3128'")
    assert made.client.network == "strict"
    assert [one.sentence for one in made.warnings] == [
        "network: strict sees no further than the proxy, which has to do the filtering"
    ]


def test_a_literal_secret_is_a_warning(load: Load) -> None:
    made = load(f"providers:\n  openai:\n    api_key: {PASSWORD}\n")
    assert [(one.line, one.column, one.severity) for one in made.warnings] == [(3, 14, "warning")]
    assert PASSWORD not in made.warnings[0].sentence
    assert made.providers["openai"].options.api_key.reveal() == PASSWORD


@pytest.mark.parametrize(
    ("url", "warned"),
    [
        ("https://ci.example.com/hooks/fine-tuning", False),
        ("http://127.0.0.1:8080", False),
        ("https://hooks.slack.com/services/T0001/B0001/abcdefghijklmnopqrstuvwx", True),
        ("https://user:pw@ci.example.com/", True),
        ("https://ci.example.com/?token=x", True),
        ("ntfy://topic", True),
    ],
)
def test_an_address_is_a_secret_only_if_it_looks_like_one(load: Load, url: str, warned: bool) -> None:
    made = load(SMALL + f"notifiers:\n  slack: {{webhook_url: {url!r}}}\n")
    assert bool(made.warnings) is warned


def test_several_secrets(load: Load, refused: Refused) -> None:
    text = 'notifiers:\n  webhook: {url: u, secret: ["${A}", "${B}"]}\n'
    options = load(text, {"A": "whsec_a", "B": "whsec_b"}, secrets=True).notifiers["webhook"].options
    assert [secret.reveal() for secret in options.secret] == ["whsec_a", "whsec_b"]
    assert refused(text, {"A": "whsec_a"}, secrets=True) == ["2:38 ${B} is not set"]


def test_a_plug_in_s_own_objections(load: Load, refused: Refused) -> None:
    text = 'notifiers:\n  webhook: {url: u, secret: "${A}"}\n'
    assert refused(text, {"A": "nothing"}) == ["2:29 secret: a signing secret begins with whsec_"]
    # Where the secret is not at hand there is nothing to object to.
    assert load(text, {}).notifiers["webhook"].name == "webhook"


SECRETS = [
    f'providers: {{openai: {{api_key: "{PASSWORD}", poll: x}}}}',
    f'providers: {{openai: {{api_key: ["{PASSWORD}"]}}}}',
    f'providers: {{openai: {{api_key: {{a: "{PASSWORD}"}}}}}}',
    'providers: {openai: {timeout: "${KEY}"}}',
    'providers: {openai: {poll: "${KEY}", rate: "${KEY}x", baseline: "${KEY}"}}',
    'providers: {openai: {base_url: "${KEY}", kind: "${KEY}"}}',
    'notifiers: {n: {kind: email, host: h, from: f, to: [a], port: "${KEY}", security: "${KEY}"}}',
    f'notifiers: {{webhook: {{url: u, secret: {{a: "{PASSWORD}"}}}}}}',
    f'notifiers: {{webhook: {{url: ["{PASSWORD}"]}}}}',
    'notifiers: {webhook: {url: u, secret: "${KEY}"}}',
    'log: {level: "${KEY}"}',
    'notifiers: {talker: {token: "${KEY}"}}',
    f'notifiers: {{talker: {{token: "{PASSWORD}"}}}}',
]


@pytest.mark.parametrize("text", SECRETS)
def test_no_message_tells_a_secret(load: Load, text: str) -> None:
    with pytest.raises(ConfigError) as caught:
        load(text, {"KEY": PASSWORD}, secrets=True)
    assert PASSWORD not in str(caught.value)
    assert PASSWORD not in repr(caught.value)


def test_no_message_obeys_a_terminal(refused: Refused) -> None:
    told = refused('notifiers: {n: {kind: command, argv: "\\e[31m\\u202e\\n"}}')
    assert told == [r"1:38 argv should be a list, not '\x1b[31m\u202e\n'; write [\x1b[31m\u202e\n]"]


def test_no_repr_tells_a_secret(load: Load) -> None:
    made = load(
        f'providers: {{openai: {{api_key: "{PASSWORD}"}}}}\n'
        f'notifiers: {{webhook: {{url: "https://{PASSWORD}", headers: {{a: "x ${{KEY}}"}}}}}}\n'
        f'client: {{proxy: "http://u:{PASSWORD}@proxy.example"}}\n',
        {"KEY": PASSWORD},
        secrets=True,
    )
    assert PASSWORD not in repr(made)
    assert PASSWORD not in str(made.warnings)


# --------------------------------------------------------------------------------------- the file itself


def test_find_looks_in_the_usual_places(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    environ = {"XDG_CONFIG_HOME": str(tmp_path / "xdg"), "HOME": "/nowhere"}
    with pytest.raises(ConfigError, match="no config here: looked for ftwatch"):
        config.find(None, environ)
    inside = tmp_path / "xdg" / "ftwatch" / "ftwatch.yaml"
    inside.parent.mkdir(parents=True)
    inside.write_text(SMALL)
    assert config.find(None, environ) == inside
    (tmp_path / "ftwatch.yaml").write_text(SMALL)
    assert config.find(None, environ) == Path("ftwatch.yaml")
    assert config.find(None, {**environ, "FTWATCH_CONFIG": "/b"}) == Path("/b")
    assert config.find("/a", {**environ, "FTWATCH_CONFIG": "/b"}) == Path("/a")


def test_a_file_that_cannot_be_read(tmp_path: Path) -> None:
    for path, why in ((tmp_path / "none", "No such file or directory"), (tmp_path, "Is a directory")):
        with pytest.raises(ConfigError) as caught:
            config.load(path, environ={})
        assert str(caught.value) == f"{path}: error: cannot be read: {why}"


def test_a_huge_file_is_refused(load: Load, refused: Refused) -> None:
    assert refused(b"#" * 3_000_000) == ["0:0 the file is larger than 1024 KiB"]


def test_a_notifier_that_nothing_reaches(load: Load) -> None:
    base = SMALL + "notifiers:\n  a: {kind: slack, webhook_url: '${U}'}\n  b: {kind: command, argv: [x]}\n"
    assert [(one.line, one.sentence) for one in load(base).warnings] == [
        (4, "nothing reaches 'b': a command runs only where a route names it")
    ]
    assert [(one.line, one.sentence) for one in load(base + "routes: [{notify: [b]}]\n").warnings] == [
        (3, "nothing reaches 'a': no route names it, except ftwatch's own events")
    ]


def test_programs_are_not_reminded(load: Load) -> None:
    base = SMALL + "notifiers:\n  a: {kind: slack, webhook_url: '${U}'}\n  b: {kind: command, argv: [x]}\n"
    routes = "routes:\n  - {notify: [a, b], remind: 4h}\n  - notify: [b]\n    remind: 4h\n"
    assert [(one.line, one.sentence) for one in load(base + routes).warnings] == [
        (8, "remind: only people are reminded, and this names none")
    ]


# ---------------------------------------------------------------------------------------------- fuzz

KEYS = [
    *(
        "providers",
        "notifiers",
        "routes",
        "silences",
        "rules",
        "store",
        "client",
        "log",
        "socket",
        "openai",
        "slack",
    ),
    *(
        "kind",
        "api_key",
        "api_key_file",
        "webhook_url",
        "labels",
        "watch",
        "match",
        "except",
        "notify",
        "stuck",
        "retiring",
        "ahead",
    ),
    *(
        "retry",
        "waits",
        "poll",
        "rate",
        "until",
        "min_severity",
        "url",
        "secret",
        "headers",
        "anything",
        "was",
    ),
]
LEAVES = [
    "openai",
    "slack",
    "webhook",
    "untyped",
    "30s",
    "${X}",
    "${Y:-z}",
    "600/min",
    "a=b",
    "re:(",
    "",
    "*",
    "error",
]
values = st.recursive(
    st.one_of(
        st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=5), st.sampled_from(LEAVES)
    ),
    lambda inner: st.one_of(
        st.lists(inner, max_size=3), st.dictionaries(st.sampled_from(KEYS), inner, max_size=4)
    ),
    max_leaves=20,
)
files = st.dictionaries(
    st.sampled_from(KEYS[:9]), st.dictionaries(st.sampled_from(KEYS), values, max_size=3) | values
)


def loads_or_says_why(load: Load, text: str | bytes) -> None:
    try:
        made = load(text, {"HOME": "/home/me", "X": PASSWORD})
    except ConfigError as refusal:
        error = refusal
    else:
        assert isinstance(made, Config)
        assert PASSWORD not in repr(made.warnings)
        return
    assert any(problem.severity == "error" for problem in error.problems)
    assert all(isinstance(problem, Problem) and problem.sentence for problem in error.problems)
    assert PASSWORD not in str(error)


fuzz = settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=150, deadline=None)


@fuzz
@given(files)
def test_any_structure_is_a_config_or_an_error(load: Load, made: Any) -> None:
    loads_or_says_why(load, json.dumps(made))


@fuzz
@given(st.text(max_size=80) | st.binary(max_size=80))
def test_any_text_is_a_config_or_an_error(load: Load, text: str | bytes) -> None:
    loads_or_says_why(load, text if isinstance(text, bytes) else text.encode("utf-8", "surrogatepass"))


BASE = (
    MISTAKES[40][0]
    + "routes: [{match: {type: x}, notify: [n]}]\nsilences: [{match: 'a=b', until: 2027-01-01}]\n"
)


@fuzz
@given(
    st.integers(0, len(BASE)),
    st.integers(0, 9),
    st.sampled_from(list(":{}[]&*!@#\"'$\n\t -,|>?%`\\") + LEAVES),
)
def test_a_scarred_config_is_a_config_or_an_error(load: Load, at: int, cut: int, scar: str) -> None:
    loads_or_says_why(load, BASE[:at] + scar + BASE[at + cut :])
