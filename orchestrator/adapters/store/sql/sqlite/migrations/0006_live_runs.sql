-- What tells that a run stands still. None of the columns must be given.

-- When Databricks first and last accepted a call to cancel the run.
ALTER TABLE track_processing ADD COLUMN cancel_asked_at TEXT;
ALTER TABLE track_processing ADD COLUMN cancel_repeated_at TEXT;
-- Databricks' state of a run that neither executes nor ends, and since when the app sees it.
ALTER TABLE track_processing ADD COLUMN run_state TEXT;
ALTER TABLE track_processing ADD COLUMN run_state_since TEXT;
