-- What the dashboard, the HTTP API and the command line ask for, without reading a whole table.

-- Newest change first: all rows, those in a state, those of a table.
CREATE INDEX ix_track_processing_updated ON track_processing (updated_at, id);

-- The condition holds for every row. Without statistics SQLite would take this index for whatever names a
-- state, the purge and the claim too; so it is left to the queries that repeat the condition.
CREATE INDEX ix_track_processing_status ON track_processing (status, updated_at, id)
WHERE updated_at > '';

CREATE INDEX ix_track_processing_table ON track_processing (table_name, updated_at, id);

CREATE INDEX ix_track_processing_runid ON track_processing (runid) WHERE runid IS NOT NULL;

-- What is not over: counted by workspace and state, with the one that has waited longest.
CREATE INDEX ix_track_processing_open ON track_processing (workspace, status, available_at)
WHERE status IN ('PENDING', 'QUEUED', 'RUNNING', 'FAILED');

-- As before, and with what the counts of the last hour and day need.
DROP INDEX ix_track_processing_finished;

CREATE INDEX ix_track_processing_finished ON track_processing (finished_at, id, workspace, status)
WHERE finished_at IS NOT NULL;

-- The runs of a time, with what the charts need.
CREATE INDEX ix_process_log_created ON process_log (
    created_at, entry_id, status, queue_seconds, execution_seconds
);

CREATE INDEX ix_process_log_runid ON process_log (runid) WHERE runid IS NOT NULL;

-- Answers to inserts that came with an Idempotency-Key: a repeat gets the first one's. Kept for a day.
CREATE TABLE orchestrator_request (
    idempotency_key TEXT PRIMARY KEY,
    body_hash TEXT NOT NULL,
    answer TEXT NOT NULL,
    created_at TEXT NOT NULL
) STRICT;

CREATE INDEX ix_orchestrator_request_created ON orchestrator_request (created_at);
