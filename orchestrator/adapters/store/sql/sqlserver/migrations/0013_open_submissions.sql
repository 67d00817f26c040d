-- What the app itself knows of each submission that is open: begun, and neither settled nor given back. People change
-- entries by SQL; an entry that differs is put back from here, and one that was deleted has left its run here.

CREATE TABLE orchestrator_open_submission (
    entry_id bigint NOT NULL CONSTRAINT pk_orchestrator_open_submission PRIMARY KEY,
    entry_guid uniqueidentifier NOT NULL,
    workspace nvarchar(64) COLLATE Latin1_General_100_BIN2 NOT NULL,
    -- where its calls are made, and its run is
    address nvarchar(300) NULL,
    -- as long as the indexes of the entries take: a team's own column may be longer than ours
    table_name nvarchar(700) NOT NULL,
    submission int NOT NULL,
    -- NULL: not known, a call may have begun one
    runid bigint NULL,
    -- 1: its entry has been given up, and waits or is over; the next call repeats the token
    left_open bit NOT NULL CONSTRAINT df_orchestrator_open_submission_left_open DEFAULT 0,
    begun_at datetime2(3) NOT NULL
);
GO

CREATE INDEX ix_orchestrator_open_submission_table ON orchestrator_open_submission (workspace, table_name);
GO

INSERT INTO orchestrator_open_submission (
    entry_id, entry_guid, workspace, address, table_name, submission, runid, left_open, begun_at
)
SELECT
    id, entry_guid, workspace, workspace_address AS address, SUBSTRING(table_name, 1, 700) AS table_name, submission, runid,
    CASE WHEN status IN ('QUEUED', 'RUNNING') THEN 0 ELSE 1 END AS left_open, updated_at
-- No nvarchar literals: see 0002_reports.sql.
FROM track_processing
WHERE submission > 0
    AND (status = 'RUNNING' OR (deliveries > 0 AND runid IS NULL))
    AND NOT EXISTS (
        SELECT 1 FROM process_log AS settled
        WHERE settled.entry_id = track_processing.id AND settled.submission = track_processing.submission
    );
