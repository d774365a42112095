-- How many jobs there are by status, without reading one of them: metrics ask for it every few seconds. The
-- last column is there so that the index alone is enough.
CREATE INDEX jobs_counted ON jobs (provider, status, active, ignored) WHERE NOT ignored;
