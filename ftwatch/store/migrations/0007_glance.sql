-- What the page asks for.

-- By what a job is sorted among others: see store/jobs.py. Here as near to it as the stored document tells.
ALTER TABLE jobs ADD COLUMN moment REAL NOT NULL DEFAULT 0;
UPDATE jobs SET moment = CASE
    WHEN active THEN json_extract(CAST(known AS TEXT), '$.status_since')
    WHEN json_extract(CAST(known AS TEXT), '$.gone') THEN changed_at
    ELSE COALESCE(
        MIN(json_extract(CAST(known AS TEXT), '$.snapshot.finished_at'), changed_at),
        CASE WHEN json_extract(CAST(known AS TEXT), '$.sequence') > 0
            THEN json_extract(CAST(known AS TEXT), '$.status_since')
            ELSE json_extract(CAST(known AS TEXT), '$.snapshot.created_at') END,
        0)
    END;
CREATE INDEX jobs_shown ON jobs (active, moment, provider, id, status) WHERE NOT ignored;

-- When a notifier last got something, and since when something waits for it.
CREATE INDEX deliveries_last ON deliveries (notifier, settled_at) WHERE state = 'delivered';
CREATE INDEX deliveries_waiting ON deliveries (notifier, created_at, bundle, due_at) WHERE state = 'pending';
