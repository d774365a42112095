"""Upgrades: a database of every version goes on with this one, and dies at no statement of a migration."""

import contextlib
import json
import sqlite3
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from ftwatch.core.delivery import Sent, State
from ftwatch.core.job import Status
from ftwatch.store import Settled, Store
from ftwatch.store import sqlite as module
from ftwatch.store.sqlite import Database

SCHEMAS = sorted((Path(__file__).parents[1] / "data" / "schemas").glob("*.sql"))
NOW = 1_795_000_000.0

# What a later migration may have to do: change tables that are full, rebuild one, fill what is new.
NEXT = """
ALTER TABLE jobs ADD COLUMN team TEXT;
UPDATE jobs SET team = 'search';
CREATE TABLE attempts_new (seq INTEGER PRIMARY KEY AUTOINCREMENT, delivery TEXT NOT NULL, told TEXT NOT NULL);
INSERT INTO attempts_new (seq, delivery, told) SELECT seq, delivery, outcome || ': ' || reason FROM attempts;
DROP TABLE attempts;
ALTER TABLE attempts_new RENAME TO attempts;
CREATE INDEX attempts_delivery ON attempts (delivery);
"""
AFTER_NEXT = """
CREATE INDEX jobs_team ON jobs (team);
DELETE FROM verdicts;
"""

# Opens a database, and is killed at the statement of this number; says how many there were if it survives.
CHILD = """
import json, os, signal, sqlite3, sys
from functools import partial
from pathlib import Path
from ftwatch.store import sqlite as module

path, at, more = Path(sys.argv[1]), int(sys.argv[2]), json.loads(sys.argv[3])

class Killed(sqlite3.Connection):
    count = 0
    def execute(self, *args):
        Killed.count += 1
        if Killed.count == at:
            os.kill(os.getpid(), signal.SIGKILL)
        done = super().execute(*args)
        return done
    def backup(self, *args, **named):
        Killed.count += 1
        if Killed.count == at:
            os.kill(os.getpid(), signal.SIGKILL)
        return super().backup(*args, **named)

module.sqlite3.connect = partial(sqlite3.connect, factory=Killed)
steps = [*module._migrations(), *map(tuple, more)]
module._migrations = lambda: steps
module.Database(path).close()
print(Killed.count)
"""


def restored(schema: Path, path: Path) -> None:
    """The database that a fixture is of."""
    with contextlib.closing(sqlite3.connect(path)) as file:
        file.executescript(schema.read_text())
        file.execute(f"PRAGMA user_version = {int(schema.stem)}")
        file.commit()


def test_every_schema_has_its_fixture() -> None:
    assert [int(schema.stem) for schema in SCHEMAS] == [number for number, _ in module._migrations()]


@pytest.mark.parametrize("schema", [pytest.param(schema, id=schema.stem) for schema in SCHEMAS])
def test_a_database_of_every_version_goes_on(schema: Path, tmp_path: Path) -> None:
    path = tmp_path / "ftwatch.db"
    restored(schema, path)
    store = Store(path)
    known = store.jobs.active("openai") | store.jobs.load("openai", ["ftjob-a", "ftjob-b"])
    assert {id: one.snapshot.status for id, one in known.items()} == {
        "ftjob-a": Status.SUCCEEDED,
        "ftjob-b": Status.FAILED,
    }
    assert [event.type for _, event in store.history.events()][:2] == [
        "ftwatch.provider.watching",
        "fine_tuning.job.created",
    ]
    assert store.history.providers()[0].baseline_at == NOW
    assert store.outbox.breaker("hook").is_open
    assert store.outbox.disabled("old") == "HTTP 410"
    assert store.outbox.memory("slack", ["openai/ftjob-a"]) == {"openai/ftjob-a": {"thread": "17"}}
    owed = len(store.history.deliveries(state="pending"))
    assert owed > 4
    sent = 0
    for notifier in ("slack", "hook"):
        while claims := store.outbox.backlog(notifier, 2e9, until=2e9, limit=50, lease=1):
            for claim in claims:
                assert json.loads(claim.event)["object"] == "event"
                store.settle([_arrived(claim)], None, 2e9)
                sent += 1
    assert sent == owed
    assert store.prune(4e9, 1.0) > 0
    store.close()


def _arrived(claim: Any) -> Settled:
    from ftwatch.core.delivery import RetryPolicy, settle

    done = settle(claim.delivery, Sent("HTTP 200"), RetryPolicy(), 2e9, 0.5)
    assert done.state is State.DELIVERED
    return Settled(claim=claim, settlement=done, outcome="sent", at=2e9, took=0.1)


@pytest.mark.parametrize("schema", [None, *SCHEMAS], ids=lambda schema: schema.stem if schema else "none")
def test_a_migration_killed_at_any_statement_is_done_or_undone(schema: Path | None, tmp_path: Path) -> None:
    latest = module._migrations()[-1][0]
    more = json.dumps([[latest + 1, NEXT], [latest + 2, AFTER_NEXT]])
    killed = 0
    for at in range(1, 500):
        path = tmp_path / str(at) / "ftwatch.db"
        path.parent.mkdir()
        if schema is not None:
            restored(schema, path)
        before = _content(path) if schema is not None else None
        command = [sys.executable, "-c", CHILD, str(path), str(at), more]
        first = subprocess.run(command, capture_output=True, text=True, check=False)
        if first.returncode == 0:
            assert int(first.stdout) < at, "the last statement has been reached"
            break
        assert first.returncode == -9, first.stderr
        killed += 1
        if before is not None and _version(path) == int(schema.stem if schema else 0):
            assert _content(path) == before, "undone means: as it was"
        command[4] = "0"
        again = subprocess.run(command, capture_output=True, text=True, check=False)
        assert again.returncode == 0, again.stderr
        assert _version(path) == latest + 2
        if before is not None:
            after = _content(path)
            assert after["jobs"] == before["jobs"]
            assert after["deliveries"] == before["deliveries"]
            assert len(after["attempts"]) == len(before["attempts"])
            assert not list(path.parent.glob("*.partial")), "no half copy is left for a whole one"
            kept = path.parent / f"ftwatch.db.v{int(schema.stem if schema else 0)}.bak"
            assert _content(kept) == before, "the version before finds its file as it left it"
    assert killed > 15


def _version(path: Path) -> int:
    with contextlib.closing(sqlite3.connect(path)) as file:
        return int(file.execute("PRAGMA user_version").fetchone()[0])


def _content(path: Path) -> dict[str, list[Any]]:
    columns = {
        "jobs": "provider, id, version, status, known",
        "deliveries": "seq, id, event_id, notifier, lane, state, reason, due_at, attempts, epoch, body",
        "attempts": "seq, delivery",
    }
    with contextlib.closing(sqlite3.connect(path)) as file:
        return {
            table: file.execute(f"SELECT {wanted} FROM {table} ORDER BY 1, 2").fetchall()
            for table, wanted in columns.items()
        }


def test_a_database_may_be_reopened_by_its_own_version(tmp_path: Path) -> None:
    path = tmp_path / "ftwatch.db"
    for _ in range(2):
        Database(path).close()
    assert not list(tmp_path.glob("*.bak")), "no migration, no copy"
