-- The three tables. Times are UTC text 'YYYY-MM-DD HH:MM:SS.mmm', which sorts as it reads and is what
-- SQLite's own date functions give and take.

CREATE TABLE track_processing (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    entry_guid TEXT NOT NULL UNIQUE DEFAULT (
        lower(
            hex(randomblob(4)) || '-' || hex(randomblob(2)) || '-4' || substr(hex(randomblob(2)), 2)
            || '-8' || substr(hex(randomblob(2)), 2) || '-' || hex(randomblob(6))
        )
    ),
    workspace TEXT NOT NULL DEFAULT 'default' CHECK (workspace = rtrim(workspace)),
    table_name TEXT NOT NULL,
    job_id INTEGER,
    parameter_style TEXT NOT NULL DEFAULT 'notebook_params',
    parameters TEXT,
    priority INTEGER NOT NULL DEFAULT 0,
    status TEXT NOT NULL DEFAULT 'PENDING' CHECK (
        status IN ('PENDING', 'QUEUED', 'RUNNING', 'DONE', 'FAILED', 'DEAD', 'CANCELED')
    ),
    runid INTEGER,
    submission INTEGER NOT NULL DEFAULT 0 CHECK (submission >= 0),
    attempt INTEGER NOT NULL DEFAULT 0 CHECK (attempt >= 0),
    max_attempts INTEGER CHECK (max_attempts >= 0),
    available_at TEXT NOT NULL DEFAULT (strftime('%Y-%m-%d %H:%M:%f', 'now')),
    lease_expires_at TEXT,
    deliveries INTEGER NOT NULL DEFAULT 0 CHECK (deliveries >= 0),
    cancel_requested INTEGER NOT NULL DEFAULT 0 CHECK (cancel_requested IN (0, 1)),
    last_error TEXT,
    created_at TEXT NOT NULL DEFAULT (strftime('%Y-%m-%d %H:%M:%f', 'now')),
    updated_at TEXT NOT NULL DEFAULT (strftime('%Y-%m-%d %H:%M:%f', 'now')),
    submitted_at TEXT,
    finished_at TEXT,
    -- A real date in the one form that sorts as it reads: 'YYYY-MM-DD HH:MM:SS', with or without a fraction.
    CHECK (available_at GLOB '????-??-?? ??:??:??*' AND julianday(available_at) IS NOT NULL
        AND date(available_at, '+0 days') = substr(available_at, 1, 10)),
    CHECK (created_at GLOB '????-??-?? ??:??:??*' AND julianday(created_at) IS NOT NULL
        AND date(created_at, '+0 days') = substr(created_at, 1, 10)),
    CHECK (entry_guid = lower(entry_guid)),
    CHECK (status <> 'RUNNING' OR runid IS NOT NULL),
    CHECK (status NOT IN ('QUEUED', 'RUNNING') OR submission > 0)
) STRICT;

-- What waits, in the order of the claim.
CREATE INDEX ix_track_processing_waiting ON track_processing (workspace, priority DESC, id)
WHERE status IN ('PENDING', 'FAILED');

-- What is in flight: counted at every claim, and looked up by table.
CREATE INDEX ix_track_processing_in_flight ON track_processing (workspace, table_name)
WHERE status IN ('QUEUED', 'RUNNING');

CREATE INDEX ix_track_processing_lease ON track_processing (lease_expires_at) WHERE status = 'QUEUED';

CREATE INDEX ix_track_processing_cancel ON track_processing (id)
WHERE cancel_requested = 1 AND status IN ('PENDING', 'FAILED', 'QUEUED');

-- What has ended, oldest first: for the purge and for "what failed last night".
CREATE INDEX ix_track_processing_finished ON track_processing (finished_at, id) WHERE finished_at IS NOT NULL;

-- The last guard: two rows never follow one run.
CREATE UNIQUE INDEX ux_track_processing_run ON track_processing (workspace, runid) WHERE status = 'RUNNING';

CREATE TABLE process_log (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    -- A row that is deleted takes its log with it.
    entry_id INTEGER NOT NULL REFERENCES track_processing (id) ON DELETE CASCADE,
    submission INTEGER NOT NULL,
    attempt INTEGER NOT NULL,
    runid INTEGER,
    status TEXT NOT NULL,
    life_cycle_state TEXT,
    result_state TEXT,
    termination_code TEXT,
    message TEXT,
    error_trace TEXT,
    run_page_url TEXT,
    started_at TEXT,
    finished_at TEXT,
    queue_seconds REAL,
    setup_seconds REAL,
    execution_seconds REAL,
    created_at TEXT NOT NULL DEFAULT (strftime('%Y-%m-%d %H:%M:%f', 'now')),
    -- The last guard: a submission is settled once.
    UNIQUE (entry_id, submission)
) STRICT;

CREATE TABLE orchestrator_tick (
    name TEXT PRIMARY KEY,
    started_at TEXT NOT NULL,
    finished_at TEXT,
    outcome TEXT
) STRICT;
