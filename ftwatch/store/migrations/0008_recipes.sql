-- What runs of one recipe have in common: see core/compare.py. Of jobs that were known before it is not known.
ALTER TABLE jobs ADD COLUMN recipe TEXT;
CREATE INDEX jobs_recipe ON jobs (provider, recipe, changed_at) WHERE recipe IS NOT NULL AND status = 'succeeded';
