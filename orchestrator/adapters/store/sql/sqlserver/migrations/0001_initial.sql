-- The three tables. Times are UTC. Workspaces and states are compared to the letter: a workspace that differs
-- in case alone has a cap of its own.

CREATE TABLE track_processing (
    id bigint IDENTITY(1, 1) NOT NULL CONSTRAINT pk_track_processing PRIMARY KEY,
    entry_guid uniqueidentifier NOT NULL CONSTRAINT df_track_processing_entry_guid DEFAULT NEWID()
        CONSTRAINT ux_track_processing_entry_guid UNIQUE,
    workspace nvarchar(64) COLLATE Latin1_General_100_BIN2 NOT NULL
        CONSTRAINT df_track_processing_workspace DEFAULT N'default'
        CONSTRAINT ck_track_processing_workspace CHECK (workspace NOT LIKE N'% '),
    table_name nvarchar(256) NOT NULL,
    job_id bigint NULL,
    parameter_style nvarchar(32) NOT NULL
        CONSTRAINT df_track_processing_parameter_style DEFAULT N'notebook_params',
    parameters nvarchar(max) NULL,
    priority int NOT NULL CONSTRAINT df_track_processing_priority DEFAULT 0,
    status nvarchar(16) COLLATE Latin1_General_100_BIN2 NOT NULL
        CONSTRAINT df_track_processing_status DEFAULT N'PENDING'
        CONSTRAINT ck_track_processing_status CHECK (
            status IN (N'PENDING', N'QUEUED', N'RUNNING', N'DONE', N'FAILED', N'DEAD', N'CANCELED')
        ),
    runid bigint NULL,
    submission int NOT NULL CONSTRAINT df_track_processing_submission DEFAULT 0
        CONSTRAINT ck_track_processing_submission CHECK (submission >= 0),
    attempt int NOT NULL CONSTRAINT df_track_processing_attempt DEFAULT 0
        CONSTRAINT ck_track_processing_attempt CHECK (attempt >= 0),
    max_attempts int NULL CONSTRAINT ck_track_processing_max_attempts CHECK (max_attempts >= 0),
    available_at datetime2(3) NOT NULL
        CONSTRAINT df_track_processing_available_at DEFAULT SYSUTCDATETIME(),
    lease_expires_at datetime2(3) NULL,
    deliveries int NOT NULL CONSTRAINT df_track_processing_deliveries DEFAULT 0
        CONSTRAINT ck_track_processing_deliveries CHECK (deliveries >= 0),
    cancel_requested bit NOT NULL CONSTRAINT df_track_processing_cancel_requested DEFAULT 0,
    last_error nvarchar(4000) NULL,
    created_at datetime2(3) NOT NULL CONSTRAINT df_track_processing_created_at DEFAULT SYSUTCDATETIME(),
    updated_at datetime2(3) NOT NULL CONSTRAINT df_track_processing_updated_at DEFAULT SYSUTCDATETIME(),
    submitted_at datetime2(3) NULL,
    finished_at datetime2(3) NULL,
    CONSTRAINT ck_track_processing_running CHECK (status <> N'RUNNING' OR runid IS NOT NULL),
    CONSTRAINT ck_track_processing_in_flight CHECK (status NOT IN (N'QUEUED', N'RUNNING') OR submission > 0)
);
GO

-- What waits, in the order of the claim.
CREATE INDEX ix_track_processing_waiting ON track_processing (workspace, priority DESC, id)
INCLUDE (table_name, available_at, attempt, max_attempts, cancel_requested, status)
WHERE status IN (N'PENDING', N'FAILED');
GO

-- What is in flight: counted at every claim, and looked up by table.
CREATE INDEX ix_track_processing_in_flight ON track_processing (workspace, table_name)
INCLUDE (status, runid)
WHERE status IN (N'QUEUED', N'RUNNING');
GO

CREATE INDEX ix_track_processing_lease ON track_processing (lease_expires_at)
INCLUDE (submission)
WHERE status = N'QUEUED';
GO

CREATE INDEX ix_track_processing_cancel ON track_processing (id)
INCLUDE (status, deliveries)
WHERE cancel_requested = 1 AND status IN (N'PENDING', N'FAILED', N'QUEUED');
GO

-- What has ended, oldest first: for the purge and for "what failed last night".
CREATE INDEX ix_track_processing_finished ON track_processing (finished_at, id)
INCLUDE (status, deliveries)
WHERE finished_at IS NOT NULL;
GO

-- The last guard: two rows never follow one run.
CREATE UNIQUE INDEX ux_track_processing_run ON track_processing (workspace, runid)
WHERE status = N'RUNNING';
GO

CREATE TABLE process_log (
    id bigint IDENTITY(1, 1) NOT NULL CONSTRAINT pk_process_log PRIMARY KEY,
    -- A row that is deleted takes its log with it.
    entry_id bigint NOT NULL
        CONSTRAINT fk_process_log_entry REFERENCES track_processing (id) ON DELETE CASCADE,
    submission int NOT NULL,
    attempt int NOT NULL,
    runid bigint NULL,
    status nvarchar(16) NOT NULL,
    life_cycle_state nvarchar(64) NULL,
    result_state nvarchar(64) NULL,
    termination_code nvarchar(64) NULL,
    message nvarchar(4000) NULL,
    error_trace nvarchar(max) NULL,
    run_page_url nvarchar(1000) NULL,
    started_at datetime2(3) NULL,
    finished_at datetime2(3) NULL,
    queue_seconds float NULL,
    setup_seconds float NULL,
    execution_seconds float NULL,
    created_at datetime2(3) NOT NULL CONSTRAINT df_process_log_created_at DEFAULT SYSUTCDATETIME(),
    -- The last guard: a submission is settled once.
    CONSTRAINT ux_process_log_submission UNIQUE (entry_id, submission)
);
GO

CREATE TABLE orchestrator_tick (
    name nvarchar(32) NOT NULL CONSTRAINT pk_orchestrator_tick PRIMARY KEY,
    started_at datetime2(3) NOT NULL,
    finished_at datetime2(3) NULL,
    outcome nvarchar(4000) NULL
);
