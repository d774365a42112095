-- What is held for one message with others: see core/route/hold.py.
ALTER TABLE deliveries ADD COLUMN bundle TEXT;
CREATE INDEX deliveries_bundle ON deliveries (notifier, bundle, due_at)
    WHERE state = 'pending' AND bundle IS NOT NULL;
