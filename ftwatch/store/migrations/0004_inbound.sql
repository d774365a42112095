-- Webhooks that were taken, so that a sender that repeats itself changes nothing.

CREATE TABLE inbound (
    provider    TEXT NOT NULL,
    id          TEXT NOT NULL,
    type        TEXT NOT NULL,
    received_at REAL NOT NULL,
    PRIMARY KEY (provider, id)
);
CREATE INDEX inbound_received ON inbound (received_at);

-- What runs without an API have told of themselves, merged: see wire/push.py.
CREATE TABLE mailbox (
    seq      INTEGER PRIMARY KEY AUTOINCREMENT,
    provider TEXT NOT NULL,
    job      TEXT NOT NULL,
    heard_at REAL NOT NULL,
    document BLOB NOT NULL,
    UNIQUE (provider, job)
);
