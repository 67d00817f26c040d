-- What has to outlast a pass and its process. None of the columns must be given.

-- When the run vanished together with others, or could be read again after that. NULL: it is not doubted.
ALTER TABLE track_processing ADD COLUMN vanished_at TEXT;
-- The job of the run that nobody wants; NULL: it is not known.
ALTER TABLE orchestrator_stray_run ADD COLUMN job_id INTEGER;
-- When Databricks was last asked to cancel it.
ALTER TABLE orchestrator_stray_run ADD COLUMN asked_at TEXT;
