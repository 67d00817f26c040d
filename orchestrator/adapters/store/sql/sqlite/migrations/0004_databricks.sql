-- What the runs in Databricks need to be followed as they really behave. None of the columns must be given.

-- What an entry may ask for. job_name: the job by its name, where job_id is NULL.
ALTER TABLE track_processing ADD COLUMN job_name TEXT;
-- Further fields of run-now, as JSON.
ALTER TABLE track_processing ADD COLUMN options TEXT;
-- 'run' or 'repair'; NULL: the setting.
ALTER TABLE track_processing ADD COLUMN retry_mode TEXT;
ALTER TABLE track_processing ADD COLUMN run_timeout_seconds INTEGER CHECK (run_timeout_seconds >= 0);
ALTER TABLE track_processing ADD COLUMN queue_timeout_seconds INTEGER CHECK (queue_timeout_seconds >= 0);
-- The latest run of all submissions; it may become active again when somebody repairs it.
ALTER TABLE track_processing ADD COLUMN last_runid INTEGER;
-- The call of the current submission as it was first made, as JSON.
ALTER TABLE track_processing ADD COLUMN request TEXT;
ALTER TABLE track_processing ADD COLUMN claimed_at TEXT;
-- Waits of the current submission for a workspace that took no call.
ALTER TABLE track_processing ADD COLUMN postponements INTEGER NOT NULL DEFAULT 0;
-- Times in a row that there was no slot for the run, and that the platform failed.
ALTER TABLE track_processing ADD COLUMN slot_waits INTEGER NOT NULL DEFAULT 0;
ALTER TABLE track_processing ADD COLUMN platform_failures INTEGER NOT NULL DEFAULT 0;
-- How long the run waited in Databricks' queue; NULL: it still waits.
ALTER TABLE track_processing ADD COLUMN queue_seconds REAL;
-- Why the app itself asked Databricks to cancel the run.
ALTER TABLE track_processing ADD COLUMN stop_reason TEXT;
-- Since when Databricks says that there is no such run, or does not let the app see it.
ALTER TABLE track_processing ADD COLUMN missing_since TEXT;
ALTER TABLE track_processing ADD COLUMN unreadable_since TEXT;

ALTER TABLE process_log ADD COLUMN termination_type TEXT;
-- The exit value of the notebook.
ALTER TABLE process_log ADD COLUMN result TEXT;

UPDATE track_processing
SET last_runid = COALESCE(
        runid,
        (
            SELECT settled.runid FROM process_log AS settled
            WHERE settled.entry_id = track_processing.id AND settled.runid IS NOT NULL
            ORDER BY settled.submission DESC
            LIMIT 1
        )
    ),
    queue_seconds = CASE WHEN status = 'RUNNING' THEN 0 END
WHERE submission > 0;

-- Parameters go where the job takes them, unless the entry says where. ALTER TABLE cannot change a default;
-- this is what SQLite's documentation says instead. A team's own default stays.
PRAGMA writable_schema = ON;
UPDATE sqlite_master
SET sql = replace(sql, 'parameter_style TEXT NOT NULL DEFAULT ''notebook_params''', 'parameter_style TEXT NOT NULL DEFAULT ''auto''')
WHERE type = 'table' AND name = 'track_processing';
PRAGMA writable_schema = RESET;

CREATE INDEX ix_track_processing_last_run ON track_processing (workspace, last_runid, status)
WHERE last_runid IS NOT NULL;

-- Entries that wait for a slot, or are failed by the platform, again and again.
CREATE INDEX ix_track_processing_slot_waits ON track_processing (workspace, id) WHERE slot_waits >= 10;
CREATE INDEX ix_track_processing_platform_failures ON track_processing (workspace, id) WHERE platform_failures >= 10;
