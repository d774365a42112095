-- The highest order number of any look, which every start asks for: without it a million rows are read. It is
-- of no use to who asks for anything else of a provider's jobs, and says so by its condition.
CREATE INDEX jobs_asked ON jobs (provider, asked) WHERE asked > 0;
