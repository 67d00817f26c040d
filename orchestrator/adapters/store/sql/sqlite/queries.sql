-- SQLite. utc_now() and utc_after(milliseconds) are registered by the connector: the database's clock here.

-- acquire_lock --
-- Take a lock until the transaction ends; a negative result is a time-out.
SELECT 0 AS result, ? AS waited_ms, ? AS lock  -- BEGIN IMMEDIATE is the lock: one writer at a time

-- in_flight --
-- Rows of a workspace that hold a slot, with their runs; read inside the claim's lock.
SELECT id, runid FROM track_processing WHERE workspace = ? AND status IN ('QUEUED', 'RUNNING')

-- claim --
-- Claim the waiting rows that may be submitted now; runs inside the lock, after the count.
UPDATE track_processing
SET status = 'QUEUED',
    -- A submission number is used again only when its outcome is unknown: it has begun, has no run here and
    -- no log row. Then its token finds the run, if there is one.
    submission = submission + CASE
        WHEN submission = 0 OR runid IS NOT NULL OR EXISTS (
            SELECT 1 FROM process_log AS settled
            WHERE settled.entry_id = track_processing.id
                AND settled.submission = track_processing.submission
        ) THEN 1
        ELSE 0
    END,
    -- A PENDING row whose attempts are spent was put there by an operator: it starts anew.
    attempt = CASE
        WHEN status = 'PENDING' AND max_attempts <> 0 AND attempt >= max_attempts THEN 0
        WHEN status = 'PENDING' AND max_attempts IS NULL AND attempt >= ? THEN 0
        ELSE attempt
    END,
    -- Calls are counted anew at each claim, but not below 2, which says that an earlier one is in doubt.
    deliveries = CASE WHEN deliveries > 2 THEN 2 ELSE deliveries END,
    runid = NULL,
    submitted_at = NULL,
    finished_at = NULL,
    lease_expires_at = utc_after(?),
    updated_at = utc_now()
WHERE status IN ('PENDING', 'FAILED')
    AND available_at <= utc_now()
    AND (cancel_requested = 0 OR deliveries > 0)
    AND id IN (
        SELECT ranked.id
        FROM (
            SELECT
                waiting.id,
                waiting.priority,
                ROW_NUMBER() OVER (
                    PARTITION BY waiting.table_name ORDER BY waiting.priority DESC, waiting.id ASC
                ) AS nth_of_table
            FROM track_processing AS waiting
            WHERE waiting.workspace = ?
                AND waiting.status IN ('PENDING', 'FAILED')
                AND waiting.available_at <= utc_now()
                AND waiting.submission < 2147483647  -- there is no next one, which would stop the whole claim
                AND (waiting.cancel_requested = 0 OR waiting.deliveries > 0)
                AND (
                    waiting.status = 'PENDING'
                    OR waiting.max_attempts = 0
                    OR waiting.attempt < COALESCE(waiting.max_attempts, ?)
                )
                AND (
                    ? = 0
                    OR NOT EXISTS (
                        SELECT 1 FROM track_processing AS busy
                        WHERE busy.workspace = waiting.workspace
                            AND busy.table_name = waiting.table_name
                            AND busy.status IN ('QUEUED', 'RUNNING')
                    )
                )
        ) AS ranked
        WHERE ranked.nth_of_table = 1 OR ? = 0
        ORDER BY ranked.priority DESC, ranked.id ASC
        LIMIT ?
    )
RETURNING id, submission, priority

-- get_entry --
-- One row by its id.
SELECT
    id, entry_guid, workspace, table_name, job_id, parameter_style, parameters, priority, status, runid,
    submission, attempt, max_attempts, available_at, lease_expires_at, deliveries, cancel_requested,
    last_error, created_at, updated_at, submitted_at, finished_at
FROM track_processing
WHERE id = ?

-- begin_submission --
-- Note that run-now is about to be called, and renew the lease, unless a cancellation came first.
UPDATE track_processing
SET deliveries = deliveries + 1,
    lease_expires_at = utc_after(?),
    updated_at = utc_now()
WHERE id = ? AND submission = ? AND status = 'QUEUED' AND (cancel_requested = 0 OR deliveries > 0)
RETURNING
    id, entry_guid, workspace, table_name, job_id, parameter_style, parameters, priority, status, runid,
    submission, attempt, max_attempts, available_at, lease_expires_at, deliveries, cancel_requested,
    last_error, created_at, updated_at, submitted_at, finished_at

-- record_run --
-- QUEUED to RUNNING: Databricks accepted the run.
UPDATE track_processing
SET status = 'RUNNING',
    runid = ?,
    attempt = attempt + 1,
    lease_expires_at = NULL,
    last_error = NULL,
    submitted_at = utc_now(),
    updated_at = utc_now()
WHERE id = ? AND submission = ? AND status = 'QUEUED'

-- release --
-- QUEUED to PENDING: no capacity, no run was created, and nobody else has begun this submission since.
UPDATE track_processing
SET status = 'PENDING',
    available_at = utc_after(?),
    last_error = ?,
    deliveries = 0,
    lease_expires_at = NULL,
    updated_at = utc_now()
WHERE id = ? AND submission = ? AND deliveries = ? AND status = 'QUEUED'

-- refuse --
-- QUEUED to FAILED or DEAD: refused for good, and nobody else has begun this submission since.
UPDATE track_processing
SET status = ?,
    available_at = utc_after(?),
    last_error = ?,
    attempt = attempt + 1,
    deliveries = 0,
    lease_expires_at = NULL,
    updated_at = utc_now(),
    finished_at = utc_now()
WHERE id = ? AND submission = ? AND deliveries = ? AND status = 'QUEUED'

-- leave_open --
-- QUEUED to FAILED or DEAD with the submission left open: a run may exist that only its token finds.
UPDATE track_processing
SET status = ?,
    available_at = utc_after(?),
    last_error = ?,
    attempt = attempt + 1,
    lease_expires_at = NULL,
    updated_at = utc_now(),
    finished_at = utc_now()
WHERE id = ? AND submission = ? AND deliveries = ? AND status = 'QUEUED'

-- postpone --
-- QUEUED stays QUEUED: let the lease end at another time, and take a call back that does not count.
UPDATE track_processing
SET lease_expires_at = utc_after(?),
    last_error = ?,
    deliveries = CASE WHEN deliveries > ? THEN deliveries - 1 ELSE deliveries END,
    updated_at = utc_now()
WHERE id = ? AND submission = ? AND status = 'QUEUED'

-- finish --
-- RUNNING to its end: the run is over.
UPDATE track_processing
SET status = ?,
    available_at = utc_after(?),
    last_error = ?,
    attempt = attempt - ?,
    deliveries = 0,
    updated_at = utc_now(),
    finished_at = utc_now()
WHERE id = ? AND submission = ? AND runid = ? AND status = 'RUNNING'

-- insert_log --
-- The log row of a settled submission; in the transaction that changes the status.
INSERT INTO process_log (
    entry_id, submission, attempt, status, runid, life_cycle_state, result_state, termination_code, message,
    error_trace, run_page_url, started_at, finished_at, queue_seconds, setup_seconds, execution_seconds
)
VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)

-- recover --
-- QUEUED rows whose lease is over get a new one, for their message to be sent again.
UPDATE track_processing
SET lease_expires_at = utc_after(?),
    updated_at = utc_now()
WHERE status = 'QUEUED'
    AND (lease_expires_at IS NULL OR lease_expires_at <= utc_now())
    AND id IN (
        SELECT late.id FROM track_processing AS late
        WHERE late.status = 'QUEUED'
            AND (late.lease_expires_at IS NULL OR late.lease_expires_at <= utc_now())
        ORDER BY late.lease_expires_at, late.id
        LIMIT ?
    )
RETURNING id, submission

-- unanswered --
-- QUEUED rows whose lease is over and that had so many calls of run-now without a known outcome.
SELECT
    id, entry_guid, workspace, table_name, job_id, parameter_style, parameters, priority, status, runid,
    submission, attempt, max_attempts, available_at, lease_expires_at, deliveries, cancel_requested,
    last_error, created_at, updated_at, submitted_at, finished_at
FROM track_processing
WHERE status = 'QUEUED' AND (lease_expires_at IS NULL OR lease_expires_at <= utc_now()) AND deliveries >= ?
ORDER BY lease_expires_at, id
LIMIT ?

-- calls_elsewhere --
-- How run-now fares for the other rows of a workspace: accepted not long ago, or waiting for an answer too.
SELECT
    CASE
        WHEN EXISTS (
            SELECT 1 FROM track_processing AS going
            WHERE going.workspace = ? AND going.status IN ('QUEUED', 'RUNNING')
                AND going.submitted_at > utc_after(?)
        ) THEN 1
        WHEN EXISTS (
            SELECT 1 FROM track_processing AS gone
            WHERE gone.finished_at IS NOT NULL AND gone.finished_at > utc_after(?)
                AND gone.workspace = ? AND gone.submitted_at > utc_after(?)
        ) THEN 1
        ELSE 0
    END AS accepted,
    CASE
        WHEN EXISTS (
            SELECT 1 FROM track_processing AS waiting
            WHERE waiting.workspace = ? AND waiting.status = 'QUEUED' AND waiting.deliveries > 0
                AND waiting.id <> ?
        ) THEN 1
        ELSE 0
    END AS unanswered

-- cancel_waiting --
-- Cancel rows that surely have no run: their submission was never begun, or is settled.
UPDATE track_processing
SET status = 'CANCELED',
    lease_expires_at = NULL,
    updated_at = utc_now(),
    finished_at = utc_now()
WHERE cancel_requested = 1
    AND deliveries = 0
    AND status IN ('PENDING', 'FAILED', 'QUEUED')
    AND id IN (
        SELECT asked.id FROM track_processing AS asked
        WHERE asked.cancel_requested = 1
            AND asked.deliveries = 0
            AND asked.status IN ('PENDING', 'FAILED', 'QUEUED')
        ORDER BY asked.id
        LIMIT ?
    )

-- running --
-- All rows of a workspace that have a run.
SELECT
    id, entry_guid, workspace, table_name, job_id, parameter_style, parameters, priority, status, runid,
    submission, attempt, max_attempts, available_at, lease_expires_at, deliveries, cancel_requested,
    last_error, created_at, updated_at, submitted_at, finished_at
FROM track_processing
WHERE workspace = ? AND status = 'RUNNING'
ORDER BY id

-- running_run --
-- The row that follows a run of a workspace, if one does.
SELECT
    id, entry_guid, workspace, table_name, job_id, parameter_style, parameters, priority, status, runid,
    submission, attempt, max_attempts, available_at, lease_expires_at, deliveries, cancel_requested,
    last_error, created_at, updated_at, submitted_at, finished_at
FROM track_processing
WHERE workspace = ? AND runid = ? AND status = 'RUNNING'

-- running_workspaces --
-- The workspaces that rows with a run name, configured or not.
SELECT DISTINCT workspace FROM track_processing WHERE status = 'RUNNING'

-- waiting_workspaces --
-- The workspaces that waiting rows name, configured or not.
SELECT DISTINCT workspace FROM track_processing WHERE status IN ('PENDING', 'FAILED')

-- request_cancel --
-- Note that a person wants the row cancelled, if it still is as the person saw it.
UPDATE track_processing
SET cancel_requested = 1,
    updated_at = utc_now()
WHERE id = ? AND status IN ('PENDING', 'QUEUED', 'RUNNING', 'FAILED')
    AND submission >= ? AND submission <= ? AND status IN (?, ?, ?, ?, ?, ?, ?)

-- retry --
-- An operator runs a finished row again, with all its attempts, if it still is as the operator saw it.
UPDATE track_processing
SET status = 'PENDING',
    attempt = 0,
    cancel_requested = 0,
    available_at = utc_now(),
    updated_at = utc_now()
WHERE id = ? AND status IN ('DONE', 'DEAD', 'CANCELED')
    AND submission >= ? AND submission <= ? AND status IN (?, ?, ?, ?, ?, ?, ?)

-- retry_now --
-- The same for a failed row: the operator does not want to wait for its back-off.
UPDATE track_processing
SET attempt = 0,
    cancel_requested = 0,
    available_at = utc_now(),
    updated_at = utc_now()
WHERE id = ? AND status = 'FAILED'
    AND submission >= ? AND submission <= ? AND status IN (?, ?, ?, ?, ?, ?, ?)

-- insert_entry --
-- A new row; the table's defaults give the rest.
INSERT INTO track_processing (table_name, workspace, job_id, parameter_style, parameters, priority, max_attempts)
VALUES (?, ?, ?, ?, ?, ?, ?)
RETURNING id

-- logs_of_entry --
-- Every settled submission of a row, first to last.
SELECT
    entry_id, submission, attempt, status, runid, life_cycle_state, result_state, termination_code, message,
    error_trace, run_page_url, started_at, finished_at, queue_seconds, setup_seconds, execution_seconds
FROM process_log
WHERE entry_id = ?
ORDER BY submission

-- counts --
-- How many rows each workspace has in each state.
SELECT workspace, status, COUNT(*) AS entries
FROM track_processing
GROUP BY workspace, status
ORDER BY workspace, status

-- now --
-- The database's clock, which decides leases and back-offs.
SELECT utc_now() AS now

-- pass_started --
-- A pass of a timer function begins; changes no row when it is its first.
UPDATE orchestrator_tick
SET started_at = utc_now()
WHERE name = ?

-- pass_first --
-- The first pass ever of a timer function.
INSERT INTO orchestrator_tick (name, started_at) VALUES (?, utc_now())

-- pass_finished --
-- A pass of a timer function has come to its end.
UPDATE orchestrator_tick
SET finished_at = utc_now(), outcome = ?
WHERE name = ?

-- pass_failed --
-- A pass of a timer function has failed: when the last one came to its end stays.
UPDATE orchestrator_tick
SET outcome = ?
WHERE name = ?

-- passes --
-- The last pass of each timer function.
SELECT name, started_at, finished_at, outcome FROM orchestrator_tick ORDER BY name

-- purge --
-- Delete final rows that ended so many seconds ago, oldest first, but for those whose submission is open.
DELETE FROM track_processing
WHERE status IN ('DONE', 'DEAD', 'CANCELED')
    AND deliveries = 0
    AND id IN (
        SELECT old.id FROM track_processing AS old
        WHERE old.status IN ('DONE', 'DEAD', 'CANCELED')
            AND old.deliveries = 0
            AND old.finished_at IS NOT NULL  -- the index's condition, to the letter
            AND old.finished_at <= utc_after(-1000 * ?)
        ORDER BY old.finished_at, old.id
        LIMIT ?
    )

-- probe_rights --
-- The rights on the tables that the app needs and this login lacks.
SELECT '' AS table_name, '' AS permission WHERE 1 = 0  -- whoever may write the file may do everything in it
