-- The first schema. Times are Unix seconds (REAL), bodies are JSON as it left the encoder.

CREATE TABLE meta (
    key   TEXT PRIMARY KEY,
    value TEXT NOT NULL
);

-- What is remembered of a provider: see core/announce.py, ProviderState.
CREATE TABLE providers (
    name    TEXT PRIMARY KEY,
    version INTEGER NOT NULL,
    state   BLOB NOT NULL
);

-- What is remembered of a job: `known` is core/decide.py's Known, the other columns are there to be searched.
CREATE TABLE jobs (
    provider    TEXT NOT NULL,
    id          TEXT NOT NULL,
    version     INTEGER NOT NULL,
    status      TEXT NOT NULL,
    active      INTEGER NOT NULL,
    ignored     INTEGER NOT NULL,
    name        TEXT,
    asked       INTEGER NOT NULL,
    fingerprint BLOB,
    changed_at  REAL NOT NULL,
    known       BLOB NOT NULL,
    PRIMARY KEY (provider, id)
);
CREATE INDEX jobs_active ON jobs (provider) WHERE active;
CREATE INDEX jobs_changed ON jobs (changed_at);
CREATE INDEX jobs_id ON jobs (id);

CREATE TABLE events (
    seq         INTEGER PRIMARY KEY AUTOINCREMENT,
    id          TEXT NOT NULL UNIQUE,
    type        TEXT NOT NULL,
    severity    TEXT NOT NULL,
    provider    TEXT,
    job         TEXT,
    volatile    INTEGER NOT NULL,
    recorded_at REAL NOT NULL,
    body        BLOB NOT NULL
);
CREATE INDEX events_job ON events (provider, job, seq) WHERE job IS NOT NULL;
CREATE INDEX events_recorded ON events (recorded_at);

CREATE TABLE deliveries (
    seq              INTEGER PRIMARY KEY AUTOINCREMENT,
    id               TEXT NOT NULL UNIQUE,
    event_id         TEXT NOT NULL,
    notifier         TEXT NOT NULL,
    lane             TEXT NOT NULL,
    why              TEXT NOT NULL,
    state            TEXT NOT NULL,
    reason           TEXT NOT NULL,
    due_at           REAL NOT NULL,
    attempts         INTEGER NOT NULL DEFAULT 0,
    throttles        INTEGER NOT NULL DEFAULT 0,
    first_attempt_at REAL,
    rejected_at      REAL,
    created_at       REAL NOT NULL,
    settled_at       REAL,
    epoch            INTEGER NOT NULL DEFAULT 0,
    claimed_until    REAL,
    body             BLOB
);
CREATE INDEX deliveries_due ON deliveries (notifier, due_at) WHERE state = 'pending';
CREATE INDEX deliveries_lane ON deliveries (notifier, lane, seq) WHERE state = 'pending';
CREATE INDEX deliveries_event ON deliveries (event_id);
CREATE INDEX deliveries_settled ON deliveries (settled_at) WHERE settled_at IS NOT NULL;
CREATE INDEX deliveries_dead ON deliveries (notifier) WHERE state = 'dead';

CREATE TABLE attempts (
    seq      INTEGER PRIMARY KEY AUTOINCREMENT,
    delivery TEXT NOT NULL,
    at       REAL NOT NULL,
    took     REAL NOT NULL,
    outcome  TEXT NOT NULL,
    reason   TEXT NOT NULL
);
CREATE INDEX attempts_delivery ON attempts (delivery);

-- Why somebody was not told.
CREATE TABLE verdicts (
    event_id TEXT NOT NULL,
    notifier TEXT NOT NULL,
    reason   TEXT NOT NULL,
    PRIMARY KEY (event_id, notifier)
);

CREATE TABLE notifiers (
    name     TEXT PRIMARY KEY,
    breaker  BLOB NOT NULL,
    disabled TEXT
);

-- What a notifier wants to find again: message ids, thread ids.
CREATE TABLE memory (
    notifier TEXT NOT NULL,
    lane     TEXT NOT NULL,
    value    BLOB NOT NULL,
    PRIMARY KEY (notifier, lane)
);
