-- What people ask for while ftwatch runs: silences, and acks.

-- `matchers` is core/route's Match as JSON; `provider` and `job` are the ones that it names, where it does.
CREATE TABLE silences (
    id         TEXT PRIMARY KEY,
    matchers   TEXT NOT NULL,
    provider   TEXT,
    job        TEXT,
    until      REAL,
    until_end  INTEGER NOT NULL,
    comment    TEXT NOT NULL,
    author     TEXT NOT NULL,
    created_at REAL NOT NULL,
    expired_at REAL
);

-- Which ack holds stands in jobs.known; these are all that were given: see core/known.py, Ack.
CREATE TABLE acks (
    seq      INTEGER PRIMARY KEY AUTOINCREMENT,
    provider TEXT NOT NULL,
    job      TEXT NOT NULL,
    at       REAL NOT NULL,
    author   TEXT NOT NULL,
    comment  TEXT NOT NULL,
    state    TEXT,
    alerts   TEXT NOT NULL
);
CREATE INDEX acks_job ON acks (provider, job);
