-- What the dashboard, the HTTP API and the command line ask for, without reading a whole table.

-- Newest change first: all rows, those in a state, those of a table.
CREATE INDEX ix_track_processing_updated ON track_processing (updated_at, id);
GO

CREATE INDEX ix_track_processing_status ON track_processing (status, updated_at, id);
GO

CREATE INDEX ix_track_processing_table ON track_processing (table_name, updated_at, id);
GO

CREATE INDEX ix_track_processing_runid ON track_processing (runid) WHERE runid IS NOT NULL;
GO

-- What is not over: counted by workspace and state, with the one that has waited longest.
CREATE INDEX ix_track_processing_open ON track_processing (workspace, status, available_at)
-- No nvarchar literals: an adopted STATUS may be varchar, whose filtered indexes refuse them (error 10620).
WHERE status IN ('PENDING', 'QUEUED', 'RUNNING', 'FAILED');
GO

-- As before, and with what the counts of the last hour and day need.
DROP INDEX ix_track_processing_finished ON track_processing;
GO

CREATE INDEX ix_track_processing_finished ON track_processing (finished_at, id)
INCLUDE (workspace, status, deliveries)
WHERE finished_at IS NOT NULL;
GO

-- The runs of a time, with what the charts need.
CREATE INDEX ix_process_log_created ON process_log (created_at)
INCLUDE (entry_id, status, queue_seconds, execution_seconds);
GO

CREATE INDEX ix_process_log_runid ON process_log (runid) INCLUDE (entry_id) WHERE runid IS NOT NULL;
GO

-- Answers to inserts that came with an Idempotency-Key: a repeat gets the first one's. Kept for a day.
CREATE TABLE orchestrator_request (
    idempotency_key nvarchar(200) COLLATE Latin1_General_100_BIN2 NOT NULL
        CONSTRAINT pk_orchestrator_request PRIMARY KEY,
    body_hash nvarchar(64) NOT NULL,
    answer nvarchar(max) NOT NULL,
    created_at datetime2(3) NOT NULL
);
GO

CREATE INDEX ix_orchestrator_request_created ON orchestrator_request (created_at);
