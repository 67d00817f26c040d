-- What tells that a run stands still. None of the columns must be given.

-- When Databricks first and last accepted a call to cancel the run.
ALTER TABLE track_processing ADD cancel_asked_at datetime2(3) NULL;
GO

ALTER TABLE track_processing ADD cancel_repeated_at datetime2(3) NULL;
GO

-- Databricks' state of a run that neither executes nor ends, and since when the app sees it.
ALTER TABLE track_processing ADD run_state nvarchar(64) NULL;
GO

ALTER TABLE track_processing ADD run_state_since datetime2(3) NULL;
