-- What the runs in Databricks need to be followed as they really behave. None of the columns must be given.

ALTER TABLE track_processing ADD
    -- What an entry may ask for. job_name: the job by its name, where job_id is NULL.
    job_name nvarchar(400) NULL,
    -- further fields of run-now, as JSON
    options nvarchar(max) NULL,
    -- 'run' or 'repair'; NULL: the setting
    retry_mode nvarchar(16) NULL,
    run_timeout_seconds int NULL
        CONSTRAINT ck_track_processing_run_timeout CHECK (run_timeout_seconds >= 0),
    queue_timeout_seconds int NULL
        CONSTRAINT ck_track_processing_queue_timeout CHECK (queue_timeout_seconds >= 0),
    -- the latest run of all submissions; it may become active again when somebody repairs it
    last_runid bigint NULL,
    -- the call of the current submission as it was first made, as JSON
    request nvarchar(max) NULL,
    claimed_at datetime2(3) NULL,
    -- waits of the current submission for a workspace that took no call
    postponements int NOT NULL CONSTRAINT df_track_processing_postponements DEFAULT 0,
    -- times in a row that there was no slot for the run, and that the platform failed
    slot_waits int NOT NULL CONSTRAINT df_track_processing_slot_waits DEFAULT 0,
    platform_failures int NOT NULL CONSTRAINT df_track_processing_platform_failures DEFAULT 0,
    -- how long the run waited in Databricks' queue; NULL: it still waits
    queue_seconds float NULL,
    -- why the app itself asked Databricks to cancel the run
    stop_reason nvarchar(16) NULL,
    -- since when Databricks says that there is no such run, or does not let the app see it
    missing_since datetime2(3) NULL,
    unreadable_since datetime2(3) NULL;
GO

ALTER TABLE process_log ADD
    termination_type nvarchar(64) NULL,
    -- the exit value of the notebook
    result nvarchar(4000) NULL;
GO

UPDATE track_processing
SET last_runid = COALESCE(
        runid,
        (
            SELECT MAX(settled.runid) FROM process_log AS settled
            WHERE settled.entry_id = track_processing.id
                AND settled.submission = (
                    SELECT MAX(latest.submission) FROM process_log AS latest
                    WHERE latest.entry_id = track_processing.id AND latest.runid IS NOT NULL
                )
        )
    ),
    queue_seconds = CASE WHEN status = 'RUNNING' THEN 0 END
WHERE submission > 0;
GO

CREATE INDEX ix_track_processing_last_run ON track_processing (workspace, last_runid)
INCLUDE (status)
WHERE last_runid IS NOT NULL;
GO

-- Entries that wait for a slot, or are failed by the platform, again and again.
CREATE INDEX ix_track_processing_slot_waits ON track_processing (workspace, id)
INCLUDE (status, slot_waits)
WHERE slot_waits >= 10;
GO

CREATE INDEX ix_track_processing_platform_failures ON track_processing (workspace, id)
INCLUDE (status, platform_failures)
WHERE platform_failures >= 10;
GO

-- Parameters go where the job takes them, unless the entry says where. A team's own default stays.
IF EXISTS (
    SELECT 1 FROM sys.default_constraints
    WHERE name = N'df_track_processing_parameter_style' AND parent_object_id = OBJECT_ID(N'track_processing')
)
BEGIN
    ALTER TABLE track_processing DROP CONSTRAINT df_track_processing_parameter_style;
    ALTER TABLE track_processing ADD CONSTRAINT df_track_processing_parameter_style
        DEFAULT N'auto' FOR parameter_style;
END;
