-- What a provider tells of a job besides its state, by job and attempt: see core/journal.py.

CREATE TABLE job_log (
    seq         INTEGER PRIMARY KEY AUTOINCREMENT,
    provider    TEXT NOT NULL,
    job         TEXT NOT NULL,
    key         TEXT NOT NULL,
    attempt     INTEGER NOT NULL,
    at          INTEGER,
    level       TEXT NOT NULL,
    type        TEXT NOT NULL,
    message     TEXT NOT NULL,
    status      TEXT,
    step        INTEGER,
    recorded_at REAL NOT NULL,
    UNIQUE (provider, job, key)
);
CREATE INDEX job_log_recorded ON job_log (recorded_at);

CREATE TABLE checkpoints (
    provider    TEXT NOT NULL,
    job         TEXT NOT NULL,
    key         TEXT NOT NULL,
    attempt     INTEGER NOT NULL,
    recorded_at REAL NOT NULL,
    body        BLOB NOT NULL,
    PRIMARY KEY (provider, job, key)
);
CREATE INDEX checkpoints_recorded ON checkpoints (recorded_at);

CREATE TABLE series (
    provider    TEXT NOT NULL,
    job         TEXT NOT NULL,
    attempt     INTEGER NOT NULL,
    step        INTEGER NOT NULL,
    at          INTEGER,
    metrics     BLOB NOT NULL,
    recorded_at REAL NOT NULL,
    PRIMARY KEY (provider, job, attempt, step)
);
CREATE INDEX series_recorded ON series (recorded_at);

-- When to look at a job again although nothing came; also at one that has ended.
ALTER TABLE jobs ADD COLUMN wake_at REAL;
UPDATE jobs SET wake_at = json_extract(CAST(known AS TEXT), '$.wake_at');
CREATE INDEX jobs_wake ON jobs (provider, wake_at) WHERE wake_at IS NOT NULL;

-- Told so long after it happened that people want it in one piece with the rest.
ALTER TABLE events ADD COLUMN late INTEGER NOT NULL DEFAULT 0;
