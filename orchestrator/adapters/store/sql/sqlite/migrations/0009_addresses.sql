-- Runs, and calls whose outcome is not known, belong to the address of the workspace that was called. NULL: the one in
-- the settings. None of the columns must be given.

-- Where the calls of the latest submission are made, and where the latest run is.
ALTER TABLE track_processing ADD COLUMN workspace_address TEXT;
-- The first submission that was made there, if earlier ones were made elsewhere.
ALTER TABLE track_processing ADD COLUMN address_submission INTEGER;
ALTER TABLE orchestrator_stray_run ADD COLUMN address TEXT;

-- What is open although it was begun at another address than the one in the settings.
CREATE INDEX ix_track_processing_address ON track_processing (workspace, workspace_address, status, deliveries)
WHERE status IN ('PENDING', 'QUEUED', 'RUNNING', 'FAILED') AND workspace_address IS NOT NULL;
