-- What notifiers are owed at its time: see ftwatch/duties.py.

-- Of which problems whom to remind, and when next (null: no more): see core/remind.py.
CREATE TABLE reminders (
    notifier TEXT NOT NULL,
    lane     TEXT NOT NULL,
    problem  TEXT NOT NULL,
    event_id TEXT NOT NULL,
    due_at   REAL,
    held     INTEGER NOT NULL DEFAULT 0,
    count    INTEGER NOT NULL DEFAULT 0,
    reason   TEXT NOT NULL DEFAULT '',
    PRIMARY KEY (notifier, lane, problem)
);
CREATE INDEX reminders_due ON reminders (notifier, due_at) WHERE due_at IS NOT NULL;
CREATE INDEX reminders_event ON reminders (event_id);

-- The first failures of sweeps, told at once, which stand in their sweep's message all the same.
CREATE TABLE heralds (
    notifier TEXT NOT NULL,
    bundle   TEXT NOT NULL,
    event_id TEXT NOT NULL,
    PRIMARY KEY (notifier, bundle)
);
