"""What Prometheus scrapes: right, well-formed, bounded, and without anybody's name in it."""

import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import httpx2
import pytest
from prometheus_client.openmetrics.parser import text_string_to_metric_families as parse_open
from prometheus_client.parser import text_string_to_metric_families as parse_plain

from ftwatch import __version__
from ftwatch.core import announce
from ftwatch.core.delivery import Breaker
from ftwatch.core.event import FULL, Severity
from ftwatch.meter import Allowance, Look
from ftwatch.store import Batch, Receipt, StoreError
from ftwatch.web import metrics
from ftwatch.web.metrics import FAMILIES, count_hook
from tests.web.house import TestHouse, house
from tests.web.test_health import CONFIG, STRANGER, keep, look, owe

ROOT = Path(__file__).parents[2]
OPEN = "application/openmetrics-text;version=1.0.0,text/plain;version=0.0.4;q=0.5,*/*;q=0.1"


async def scrape(made: TestHouse, accept: str = "*/*") -> httpx2.Response:
    async with httpx2.AsyncClient() as client:
        answer = await client.get(f"{made.url}/metrics", headers={**STRANGER, "accept": accept})
        made.clock.at += 1
        return answer


class Told:
    """A scrape, read as Prometheus reads it."""

    def __init__(self, text: str) -> None:
        self.types = {family.name: family.type for family in parse_plain(text)}
        self.samples = [sample for family in parse_plain(text) for sample in family.samples]

    def of(self, name: str, **labels: str) -> float | None:
        (value,) = [s.value for s in self.samples if s.name == name and s.labels == labels] or [None]
        return value

    def all(self, name: str) -> dict[tuple[str, ...], float]:
        return {tuple(s.labels.values()): s.value for s in self.samples if s.name == name}


async def told(made: TestHouse) -> Told:
    answer = await scrape(made)
    assert answer.status_code == 200
    return Told(answer.text)


def busy(made: TestHouse) -> None:
    """Something of everything has happened."""
    meter = made.store.meter
    look(made, "oa")
    owe(made)
    count_hook(made, "oa", "taken")
    heard = meter.hears("oa")
    heard("ok", 0.2)
    heard("paced", None)
    meter.allowances["oa"] = lambda: Allowance(3.5, 10.0, 0.0)
    meter.look_seconds.add(0.01, "oa")
    meter.attempts.add("ci", "sent")
    meter.attempt_seconds.add(0.02, "ci")
    meter.deliveries.add("ci", "delivered")
    meter.delivery_seconds.add(0.1, "ci")


# ---------------------------------------------------------------------------------------------- formats


async def test_it_is_told_in_both_formats(tmp_path: Path) -> None:
    async with house(tmp_path, CONFIG) as made:
        busy(made)
        plain = await scrape(made)
        assert plain.headers["content-type"] == "text/plain; version=0.0.4; charset=utf-8"
        open = await scrape(made, OPEN)
        assert open.headers["content-type"].startswith("application/openmetrics-text; version=1.0.0")
        assert open.text.endswith("# EOF\n")
        names = {family.name for family in parse_open(open.text)}
        assert names == {name.removesuffix("_total") for name in FAMILIES}
        assert set(Told(plain.text).types) == names


@pytest.mark.parametrize(
    "accept",
    [
        "",
        "application/openmetrics-text; version=nine",
        "application/openmetrics-text;version=9;escaping=\x7f",
        ",",
    ],
)
async def test_no_wish_for_a_format_is_too_odd(tmp_path: Path, accept: str) -> None:
    async with house(tmp_path, CONFIG) as made:
        assert (await scrape(made, accept)).status_code == 200


@pytest.mark.skipif(shutil.which("promtool") is None, reason="promtool is not installed")
async def test_promtool_has_no_objection(tmp_path: Path) -> None:
    async with house(tmp_path, CONFIG) as made:
        busy(made)
        text = (await scrape(made)).text
    assert promtool(text) == (0, "")
    assert promtool(text.replace("ftwatch_events_total", "ftwatch_events"))[0] != 0, "it would have objected"


def promtool(text: str) -> tuple[int, str]:
    """What `promtool check metrics` says: its exit code, and its objections."""
    command = ["promtool", "check", "metrics"]
    checked = subprocess.run(command, input=text, capture_output=True, text=True, check=False)
    return checked.returncode, checked.stdout + checked.stderr


def test_names_end_in_their_unit() -> None:
    for name, family in FAMILIES.items():
        assert re.fullmatch(r"(ftwatch|process)_[a-z_]+", name)
        assert name.endswith("_total") == (family.kind == "counter"), name
        if family.kind == "histogram":
            assert name.endswith("_seconds"), name
        assert not re.search(r"_(ms|milliseconds|minutes|mb|kb)(_|$)", name), name
        assert family.help.endswith("."), name


def test_every_metric_is_written_about() -> None:
    page = (ROOT / "docs" / "operations.md").read_text().partition("\n## Metrics\n")[2].partition("\n## ")[0]
    rows = dict(re.findall(r"(?m)^\| `(\w+)` \| ([^|]+) \|", page))
    assert {name: labels.replace("`", "").strip() for name, labels in rows.items()} == {
        name: ", ".join(family.labels) or "–" for name, family in FAMILIES.items()
    }


# ---------------------------------------------------------------------------------------------- what is said


async def test_nothing_grows_out_of_nothing(tmp_path: Path) -> None:
    """A counter that appears with its first event has not risen, by Prometheus's reckoning."""
    async with house(tmp_path, CONFIG) as made:
        first = await told(made)
        assert first.all("ftwatch_deliveries_total") == {
            (name, state): 0 for name in ("ci", "desk") for state in ("delivered", "dead", "folded")
        }
        assert first.of("ftwatch_events_total", provider="oa", type="fine_tuning.job.failed") == 0
        assert first.of("ftwatch_provider_requests_total", provider="far", outcome="throttled") == 0
        assert first.of("ftwatch_outbox_oldest_seconds", notifier="ci") == 0
        assert (
            first.of("ftwatch_build_info", version=__version__, python=metrics.platform.python_version()) == 1
        )


async def test_providers_and_their_jobs(tmp_path: Path) -> None:
    async with house(tmp_path, CONFIG) as made:
        busy(made)
        made.pollers["far"].problem = "HTTP 500"
        keep(made, "far", degraded_at=made.clock.now())
        made.store.meter.looked["left the config"] = Look(1.0, 1.0)
        now = made.clock.now()
        said = await told(made)
        assert said.all("ftwatch_jobs") == {("oa", "failed"): 1}
        assert said.all("ftwatch_provider_up") == {("oa",): 1, ("far",): 0}
        assert said.all("ftwatch_provider_degraded") == {("oa",): 0, ("far",): 1}
        assert said.all("ftwatch_provider_last_look_timestamp_seconds") == {("oa",): now}
        assert said.all("ftwatch_provider_budget_requests") == {("oa",): 3.5}
        assert said.of("ftwatch_provider_requests_total", provider="oa", outcome="ok") == 1
        assert said.of("ftwatch_provider_requests_total", provider="oa", outcome="paced") == 1
        assert said.of("ftwatch_provider_request_seconds_count", provider="oa") == 1
        assert said.of("ftwatch_provider_request_seconds_bucket", provider="oa", le="0.1") == 0
        assert said.of("ftwatch_provider_request_seconds_bucket", provider="oa", le="0.25") == 1
        assert said.of("ftwatch_ready") == 0
        made.store.jobs.swap_provider(announce.ProviderState(name="far", version=1, retired_at=now))
        assert (await told(made)).all("ftwatch_provider_retired") == {("oa",): 0, ("far",): 1}


async def test_notifiers_and_what_they_are_owed(tmp_path: Path) -> None:
    async with house(tmp_path, CONFIG) as made:
        owe(made)
        store = made.store
        store.db.execute("UPDATE deliveries SET notifier = 'left' WHERE notifier = 'desk'")
        store.outbox.put_breaker("ci", Breaker(open_at=made.clock.now(), failing_since=made.clock.now()))
        store.outbox.disable("desk", "HTTP 410")
        made.clock.at += 100
        owed = len(store.history.deliveries(notifier="ci"))
        said = await told(made)
        assert said.all("ftwatch_outbox_deliveries") == {("ci",): owed, ("desk",): 0, ("left",): owed}
        assert said.all("ftwatch_outbox_oldest_seconds") == {("ci",): 100, ("desk",): 0, ("left",): 100}
        assert said.all("ftwatch_notifier_breaker_open") == {("ci",): 1, ("desk",): 0}
        assert said.all("ftwatch_notifier_disabled") == {("ci",): 0, ("desk",): 1}
        assert said.all("ftwatch_notifier_failing_seconds") == {("ci",): 100, ("desk",): 0}
        store.db.execute("UPDATE deliveries SET state = 'dead' WHERE notifier = 'ci'")
        assert (await told(made)).all("ftwatch_dead_letters") == {("ci",): owed, ("desk",): 0, ("left",): 0}


async def test_what_is_committed_is_counted_and_nothing_else(tmp_path: Path) -> None:
    async with house(tmp_path, CONFIG) as made:
        owe(made)
        now, store = made.clock.now(), made.store
        said = announce.about_ourselves("store", FULL, Severity.ERROR, "…", made.config.routing, now)
        store.commit(Batch(announcements=[said]), now)
        store.commit(Batch(announcements=[said]), now)
        store.db.execute("CREATE TRIGGER no BEFORE INSERT ON verdicts BEGIN SELECT RAISE(ABORT, 'no'); END")
        store.db.execute("CREATE TRIGGER no2 BEFORE INSERT ON events BEGIN SELECT RAISE(ABORT, 'no'); END")
        other = announce.about_ourselves("store", FULL, Severity.ERROR, "…", made.config.routing, now + 1)
        with pytest.raises(StoreError):
            store.commit(Batch(announcements=[other]), now)
        found = (await told(made)).all("ftwatch_events_total")
        assert {labels: count for labels, count in found.items() if count} == {
            ("oa", "fine_tuning.job.created"): 1,
            ("oa", "fine_tuning.job.failed"): 1,
            ("", "ftwatch.store.full"): 1,
        }
        assert (await told(made)).of("ftwatch_store_commit_seconds_count", what="looks") == 3


async def test_a_strangers_word_is_no_label(tmp_path: Path) -> None:
    async with house(tmp_path, CONFIG) as made:
        now = made.clock.now()
        for number in range(50):
            relayed = announce.relayed(
                *("oa", "openai", f"id{number}", f"x.{number}", "", "{}", made.config.routing, now),
                created_at=None,
            )
            made.store.receive(Receipt(provider="oa", id=f"id{number}", type="x", said=relayed), now)
            count_hook(made, f"nobody{number}", "unknown")
        said = await told(made)
        assert said.of("ftwatch_events_total", provider="oa", type="relayed") == 50
        assert said.all("ftwatch_hooks_total") == {("", "unknown"): 50}
        assert said.of("ftwatch_store_commit_seconds_count", what="hooks") == 50
        assert not any("x.7" in value for sample in said.samples for value in sample.labels.values())


async def test_no_job_and_no_secret_is_told(tmp_path: Path) -> None:
    async with house(tmp_path, CONFIG) as made:
        busy(made)
        text = (await scrape(made)).text
        for word in ("ftjob", "sk-", "secret", "whsec", "token"):
            assert word not in text


async def test_counters_outlive_a_reload(tmp_path: Path) -> None:
    async with house(tmp_path, CONFIG) as made:
        busy(made)
        before = await told(made)
        made.pollers, made.dispatchers, made.generation = {}, {}, 2
        made.store.meter.allowances.clear()
        after = await told(made)
        assert after.of("ftwatch_config_generation") == 2
        for sample in before.samples:
            if sample.name.endswith(("_total", "_count", "_sum", "_bucket")):
                now = after.of(sample.name, **sample.labels)
                assert now is not None
                assert now >= sample.value, sample


async def test_where_the_store_fails_the_rest_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with house(tmp_path, CONFIG) as made:
        busy(made)

        async def fail(question: Any) -> Any:
            raise StoreError("busy")

        monkeypatch.setattr(made, "read", fail)
        said = await told(made)
        assert said.of("ftwatch_ready") == 0
        assert said.of("ftwatch_deliveries_total", notifier="ci", state="delivered") == 1
        assert said.all("ftwatch_jobs") == {}
        monkeypatch.undo()
        assert (await told(made)).all("ftwatch_jobs") == {("oa", "failed"): 1}


async def test_the_process_is_told_of_where_the_machine_is_hidden(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Under the systemd unit (`ProcSubset=pid`) there is no /proc/stat."""
    async with house(tmp_path, CONFIG) as made:
        said = await told(made)
        for name in (
            "cpu_seconds_total",
            "resident_memory_bytes",
            "open_fds",
            "max_fds",
            "start_time_seconds",
        ):
            assert (said.of(f"process_{name}") or 0) > 0
        assert (said.of("process_resident_memory_bytes") or 0) > 10 * 2**20
        monkeypatch.setattr(metrics, "STATM", tmp_path / "none")
        assert (await told(made)).of("process_resident_memory_bytes") is None
