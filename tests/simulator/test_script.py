"""How simulated jobs live: a table over time, and orders that end it."""

import pytest

from ftwatch.core.job import Status
from ftwatch.simulator.dialects.openai import DIALECT
from ftwatch.simulator.script import SCRIPTS, Job, Script

BORN = 1_790_000_000.0


def job(script: str | Script = "happy") -> Job:
    return Job(id="ftjob-1", script=SCRIPTS[script] if isinstance(script, str) else script, created_at=BORN)


@pytest.mark.parametrize(
    ("after", "status"),
    [
        (0, "validating_files"),
        (59, "validating_files"),
        (60, "queued"),
        (180, "running"),
        (9000, "succeeded"),
    ],
)
def test_a_job_follows_its_script(after: float, status: str) -> None:
    assert job().status(BORN + after) == status
    assert DIALECT.document(job(), BORN + after)["status"] == status


def test_what_a_job_shows_grows_with_it() -> None:
    young, old = (DIALECT.document(job(), BORN + after) for after in (1, 1000))
    assert young["hyperparameters"]["n_epochs"] == "auto"
    assert (young["fine_tuned_model"], young["finished_at"], young["trained_tokens"]) == (None, None, None)
    assert old["hyperparameters"]["n_epochs"] == 3
    assert old["fine_tuned_model"].startswith("ft:")
    assert old["finished_at"] == BORN + 900
    assert DIALECT.document(job("fails"), BORN + 1000)["error"]["code"] == "exceeded_quota"


def test_an_order_ends_the_script() -> None:
    one = job()
    one.order("cancelled", BORN + 200)
    assert [what.status for what in one.transitions(BORN + 9000)] == [
        *("validating_files", "queued", "running"),
        "cancelled",
    ]


def test_a_resumed_job_runs_to_its_end() -> None:
    one = job()
    one.order("paused", BORN + 200)
    one.order("queued", BORN + 300)
    assert [what.status for what in one.transitions(BORN + 9000)][2:] == [
        *("running", "paused", "queued", "running"),
        "succeeded",
    ]


@pytest.mark.parametrize("name", SCRIPTS)
def test_every_script_is_in_order_and_ends(name: str) -> None:
    times = [after for after, _ in SCRIPTS[name].states]
    assert times == sorted(times)
    assert times[0] == 0
    assert Status(SCRIPTS[name].states[-1][1]).is_terminal
    assert all(Status(status) for _, status in SCRIPTS[name].states)
