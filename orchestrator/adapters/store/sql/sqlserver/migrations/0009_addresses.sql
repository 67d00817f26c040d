-- Runs, and calls whose outcome is not known, belong to the address of the workspace that was called. NULL: the one in
-- the settings. None of the columns must be given.

-- Where the calls of the latest submission are made, and where the latest run is.
ALTER TABLE track_processing ADD workspace_address nvarchar(300) NULL;
GO

-- The first submission that was made there, if earlier ones were made elsewhere.
ALTER TABLE track_processing ADD address_submission int NULL;
GO

ALTER TABLE orchestrator_stray_run ADD address nvarchar(300) NULL;
GO

-- What is open although it was begun at another address than the one in the settings.
CREATE INDEX ix_track_processing_address ON track_processing (workspace, workspace_address)
INCLUDE (status, deliveries)
-- No nvarchar literals: see 0002_reports.sql.
WHERE status IN ('PENDING', 'QUEUED', 'RUNNING', 'FAILED') AND workspace_address IS NOT NULL;
