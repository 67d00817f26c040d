-- What the runs in Databricks need to be followed as they really behave. None of the columns must be given.

-- What an entry may ask for. job_name: the job by its name, where job_id is NULL.
ALTER TABLE track_processing ADD job_name nvarchar(400) NULL;
GO

-- Further fields of run-now, as JSON.
ALTER TABLE track_processing ADD options nvarchar(max) NULL;
GO

-- 'run' or 'repair'; NULL: the setting.
ALTER TABLE track_processing ADD retry_mode nvarchar(16) NULL;
GO

ALTER TABLE track_processing ADD run_timeout_seconds int NULL
CONSTRAINT ck_track_processing_run_timeout CHECK (run_timeout_seconds >= 0);
GO

ALTER TABLE track_processing ADD queue_timeout_seconds int NULL
CONSTRAINT ck_track_processing_queue_timeout CHECK (queue_timeout_seconds >= 0);
GO

-- The latest run of all submissions; it may become active again when somebody repairs it.
ALTER TABLE track_processing ADD last_runid bigint NULL;
GO

-- The call of the current submission as it was first made, as JSON.
ALTER TABLE track_processing ADD request nvarchar(max) NULL;
GO

ALTER TABLE track_processing ADD claimed_at datetime2(3) NULL;
GO

-- Waits of the current submission for a workspace that took no call.
ALTER TABLE track_processing ADD postponements int NOT NULL
CONSTRAINT df_track_processing_postponements DEFAULT 0;
GO

-- Times in a row that there was no slot for the run, and that the platform failed.
ALTER TABLE track_processing ADD slot_waits int NOT NULL CONSTRAINT df_track_processing_slot_waits DEFAULT 0;
GO

ALTER TABLE track_processing ADD platform_failures int NOT NULL
CONSTRAINT df_track_processing_platform_failures DEFAULT 0;
GO

-- How long the run waited in Databricks' queue; NULL: it still waits.
ALTER TABLE track_processing ADD queue_seconds float NULL;
GO

-- Why the app itself asked Databricks to cancel the run.
ALTER TABLE track_processing ADD stop_reason nvarchar(16) NULL;
GO

-- Since when Databricks says that there is no such run, or does not let the app see it.
ALTER TABLE track_processing ADD missing_since datetime2(3) NULL;
GO

ALTER TABLE track_processing ADD unreadable_since datetime2(3) NULL;
GO

ALTER TABLE process_log ADD termination_type nvarchar(64) NULL;
GO

-- The exit value of the notebook.
ALTER TABLE process_log ADD result nvarchar(4000) NULL;
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

-- Parameters go where the job takes them, unless the entry says where. Another default of a team's own stays.
DECLARE @default sysname;
SELECT @default = found.name
FROM sys.default_constraints AS found
INNER JOIN sys.columns AS of_column
    ON of_column.object_id = found.parent_object_id AND of_column.column_id = found.parent_column_id
WHERE found.parent_object_id = OBJECT_ID(N'track_processing')
    AND of_column.name = N'parameter_style'
    AND found.[definition] LIKE N'%notebook[_]params%';
IF @default IS NOT NULL
    BEGIN
        DECLARE @drop nvarchar(400)
            = N'ALTER TABLE track_processing DROP CONSTRAINT IF EXISTS ' + QUOTENAME(@default);
        EXEC (@drop);
        ALTER TABLE track_processing ADD CONSTRAINT df_track_processing_parameter_style
        DEFAULT N'auto' FOR parameter_style;
    END;
