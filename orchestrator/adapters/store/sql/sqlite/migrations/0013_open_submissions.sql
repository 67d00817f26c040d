-- What the app itself knows of each submission that is open: begun, and neither settled nor given back. People change
-- entries by SQL; an entry that differs is put back from here, and one that was deleted has left its run here.

CREATE TABLE orchestrator_open_submission (
    entry_id INTEGER PRIMARY KEY,
    entry_guid TEXT NOT NULL,
    workspace TEXT NOT NULL,
    -- where its calls are made, and its run is
    address TEXT,
    table_name TEXT NOT NULL,
    submission INTEGER NOT NULL,
    -- NULL: not known, a call may have begun one
    runid INTEGER,
    -- 1: its entry has been given up, and waits or is over; the next call repeats the token
    left_open INTEGER NOT NULL DEFAULT 0,
    begun_at TEXT NOT NULL
) STRICT;

CREATE INDEX ix_orchestrator_open_submission_table ON orchestrator_open_submission (workspace, table_name);

INSERT INTO orchestrator_open_submission (
    entry_id, entry_guid, workspace, address, table_name, submission, runid, left_open, begun_at
)
SELECT
    id, entry_guid, workspace, workspace_address AS address, table_name, submission, runid,
    CASE WHEN status IN ('QUEUED', 'RUNNING') THEN 0 ELSE 1 END AS left_open, updated_at
FROM track_processing
WHERE submission > 0
    AND (status = 'RUNNING' OR (deliveries > 0 AND runid IS NULL))
    AND NOT EXISTS (
        SELECT 1 FROM process_log AS settled
        WHERE settled.entry_id = track_processing.id AND settled.submission = track_processing.submission
    );
