-- Tries are found by the number of their delivery. Those that are written together stand side by side then; ids
-- lie in no order, and each of them had a page of the index written anew.
CREATE TABLE attempts_numbered (
    seq      INTEGER PRIMARY KEY,
    delivery INTEGER NOT NULL,
    at       REAL NOT NULL,
    took     REAL NOT NULL,
    outcome  TEXT NOT NULL,
    reason   TEXT NOT NULL
);
INSERT INTO attempts_numbered (seq, delivery, at, took, outcome, reason)
    SELECT a.seq, d.seq, a.at, a.took, a.outcome, a.reason
    FROM attempts a JOIN deliveries d ON d.id = a.delivery ORDER BY a.seq;
DROP TABLE attempts;
ALTER TABLE attempts_numbered RENAME TO attempts;
CREATE INDEX attempts_delivery ON attempts (delivery);

-- Nobody asks for what was settled of all notifiers at once.
DROP INDEX IF EXISTS deliveries_settled;
