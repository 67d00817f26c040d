-- What people ask of the entries. The windows give the rows that a search may look at, in its order, by one index each
-- and up to a bound; entries_of_window follows them. The shared conditions are in entries.sql.

-- window_changed_desc --
-- All entries, last changed first: least and most recent change, the place to continue after, the limit.
SELECT id, updated_at
FROM track_processing {index ix_track_processing_updated}
WHERE updated_at >= {time ?} AND updated_at <= {time ?} AND (updated_at < {time ?} OR id < ?)
ORDER BY updated_at DESC, id DESC
{limit ?}

-- window_changed_asc --
-- All entries, first changed first.
SELECT id, updated_at
FROM track_processing {index ix_track_processing_updated}
WHERE updated_at >= {time ?} AND updated_at <= {time ?} AND (updated_at > {time ?} OR id > ?)
ORDER BY updated_at ASC, id ASC
{limit ?}

-- window_status_desc --
-- The entries in one state, last changed first.
SELECT id, updated_at
FROM track_processing {index ix_track_processing_status}
WHERE {sqlite updated_at > '' AND} status = {as_state ?} AND updated_at >= {time ?} AND updated_at <= {time ?} AND (updated_at < {time ?} OR id < ?)
ORDER BY updated_at DESC, id DESC
{limit ?}

-- window_status_asc --
-- The entries in one state, first changed first.
SELECT id, updated_at
FROM track_processing {index ix_track_processing_status}
WHERE {sqlite updated_at > '' AND} status = {as_state ?} AND updated_at >= {time ?} AND updated_at <= {time ?} AND (updated_at > {time ?} OR id > ?)
ORDER BY updated_at ASC, id ASC
{limit ?}

-- window_table_desc --
-- The entries of one source table, last changed first.
SELECT id, updated_at
FROM track_processing {index ix_track_processing_table}
WHERE table_name = ? AND updated_at >= {time ?} AND updated_at <= {time ?} AND (updated_at < {time ?} OR id < ?)
ORDER BY updated_at DESC, id DESC
{limit ?}

-- window_table_asc --
-- The entries of one source table, first changed first.
SELECT id, updated_at
FROM track_processing {index ix_track_processing_table}
WHERE table_name = ? AND updated_at >= {time ?} AND updated_at <= {time ?} AND (updated_at > {time ?} OR id > ?)
ORDER BY updated_at ASC, id ASC
{limit ?}

-- window_id_desc --
-- All entries, newest first: the id to continue after, the limit.
SELECT id, updated_at
FROM track_processing
WHERE id < ?
ORDER BY id DESC
{limit ?}

-- window_id_asc --
-- All entries, oldest first.
SELECT id, updated_at
FROM track_processing
WHERE id > ?
ORDER BY id ASC
{limit ?}

-- window_run --
-- The entries that one run belongs to, now or earlier; other workspaces may have a run of the same number.
SELECT id, updated_at
FROM track_processing
WHERE id IN (
    SELECT current_run.id FROM track_processing AS current_run WHERE current_run.runid = ?
    UNION
    SELECT earlier_run.entry_id FROM process_log AS earlier_run WHERE earlier_run.runid = ?
)

-- window_without_status --
-- The entries whose status is none of the states.
SELECT parts.id, parts.updated_at
FROM (
    {between_statuses}
) AS parts

-- window_ids --
-- The entries that are named; the caller adds the condition that names them.
SELECT id, updated_at
FROM track_processing
WHERE 1 = 1

-- entries_of_window --
-- The entries of a window; the caller puts the window before it and conditions, order and limit after it.
SELECT
    {listed_columns entry},
    {exact entry.updated_at} AS place
FROM reached
{join_in_order} track_processing AS entry ON entry.id = reached.id
WHERE 1 = 1

-- whole_entries_of_window --
-- The same with the entries' parameters.
SELECT
    {entry_columns entry},
    {exact entry.updated_at} AS place
FROM reached
{join_in_order} track_processing AS entry ON entry.id = reached.id
WHERE 1 = 1

-- keys_of_window --
-- The keys of a window; the caller puts the window before it, order and limit after it.
SELECT reached.id, {exact reached.updated_at} AS place FROM reached

-- open_states --
-- How many entries of each workspace are in each state that is not final.
SELECT {name workspace} AS workspace, {state status} AS status, {count} AS entries
FROM track_processing {index ix_track_processing_open}
WHERE status IN ('PENDING', 'QUEUED', 'RUNNING', 'FAILED')
GROUP BY workspace, status

-- oldest_waiting --
-- In each workspace, since when the entry waits that has been available for the longest time.
SELECT {name workspace} AS workspace, MIN(available_at) AS since
FROM track_processing {index ix_track_processing_open}
WHERE status IN ('PENDING', 'FAILED') AND status IN ('PENDING', 'QUEUED', 'RUNNING', 'FAILED')
    AND available_at <= ?
GROUP BY workspace

-- flying_runs --
-- The runs of the entries in flight, the jobs that they name, and whether run-now was called between two times.
SELECT
    {name workspace} AS workspace, runid, job_id, {name job_name} AS job_name,
    CASE WHEN status = 'QUEUED' AND deliveries > 0 AND updated_at >= ? AND updated_at <= ? THEN 1 ELSE 0 END AS is_called
FROM track_processing {index ix_track_processing_in_flight}
WHERE status IN ('QUEUED', 'RUNNING')

-- late_runs --
-- The last runs of the entries that were changed since a time: a list of active runs of that time may hold them.
SELECT {name entry.workspace} AS workspace, settled.runid
FROM track_processing AS entry {index ix_track_processing_updated}
{join_in_order} process_log AS settled
    ON settled.entry_id = entry.id AND settled.submission >= entry.submission - 2
WHERE entry.updated_at >= ? AND settled.runid IS NOT NULL

-- ended --
-- How many entries of each workspace ended in which state: since a recent time, and since an earlier one.
SELECT
    {name workspace} AS workspace, {state status} AS status, {count} AS entries,
    SUM(CASE WHEN finished_at >= ? THEN 1 ELSE 0 END) AS lately
FROM track_processing {index ix_track_processing_finished}
WHERE finished_at IS NOT NULL AND finished_at >= ?
    AND status IN ('DONE', 'DEAD', 'CANCELED')
GROUP BY workspace, status

-- waiting --
-- The waiting entries of a workspace, in the order of the claim, and whether their table is busy.
SELECT
    {listed_columns entry},
    CASE WHEN {table_is_busy entry} THEN 1 ELSE 0 END AS is_busy
FROM (
    SELECT waiting.id
    FROM track_processing AS waiting
    WHERE waiting.workspace = ? AND waiting.status IN ('PENDING', 'FAILED')
    ORDER BY waiting.priority DESC, {goes_behind waiting} ASC, waiting.id ASC
    {limit ?}
) AS reached
{join_in_order} track_processing AS entry ON entry.id = reached.id
ORDER BY entry.priority DESC, {goes_behind entry} ASC, entry.id ASC

-- tables_of --
-- Which of some entries have the same table, as the database compares names, and whether it is one of these.
SELECT
    id,
    DENSE_RANK() OVER (ORDER BY table_name) AS number_of_table,
    CASE WHEN table_name IN (SELECT held.value FROM {names ?} AS held) THEN 1 ELSE 0 END AS is_held
FROM track_processing
WHERE id IN (SELECT candidate.value FROM {numbers ?} AS candidate)

-- waiting_jobs --
-- How many waiting entries of a workspace name which job, by the style of their parameters.
SELECT job_id, {letters {name job_name}} AS job_name, parameter_style, {count} AS entries
FROM track_processing
WHERE workspace = ? AND status IN ('PENDING', 'FAILED')
GROUP BY job_id, {letters {name job_name}}, parameter_style
ORDER BY entries DESC, job_id ASC, job_name ASC, parameter_style ASC

-- overdue --
-- An entry of a workspace that could have been claimed before a time: its job has room, and no run that is active again
-- keeps its table busy.
SELECT entry.id
FROM track_processing AS entry
LEFT JOIN {job_rooms ?} AS full_job
    ON full_job.job_id = COALESCE(entry.job_id, 0)
    AND full_job.job_name = {letters COALESCE(entry.job_name, '')}
WHERE entry.workspace = ?
    AND entry.available_at <= ?
    AND {waits_since_available entry}
    AND {may_be_claimed entry}
    AND COALESCE(full_job.room, 1) > 0
    AND entry.id NOT IN (SELECT held.value FROM {numbers ?} AS held)
    AND (
        entry.table_name NOT IN (SELECT busy.value FROM {names ?} AS busy)
        OR entry.id IN (SELECT finder.value FROM {numbers ?} AS finder)
    )
ORDER BY entry.priority DESC, entry.id ASC
{limit 1}

-- left_open --
-- The workspaces with entries that ended since a time and whose submission was left open.
SELECT DISTINCT begun.workspace
FROM orchestrator_open_submission AS begun
INNER JOIN track_processing AS entry ON entry.id = begun.entry_id
WHERE begun.left_open = 1 AND entry.status IN ('DEAD', 'CANCELED') AND entry.updated_at >= ?

-- held_by_running --
-- The RUNNING entries that were submitted before a time and whose table has entries that wait since before a time.
SELECT {listed_columns holder}, counted.entries, counted.first_id, counted.since
FROM (
    SELECT workspace, table_name, {count} AS entries, MIN(id) AS first_id, MIN(available_at) AS since
    FROM track_processing {index ix_track_processing_open}
    WHERE status IN ('PENDING', 'FAILED') AND status IN ('PENDING', 'QUEUED', 'RUNNING', 'FAILED')
        AND available_at <= ?
    GROUP BY workspace, table_name
) AS counted
{join_in_order} track_processing AS holder
    ON holder.workspace = counted.workspace AND holder.table_name = counted.table_name
WHERE holder.status IN ('QUEUED', 'RUNNING') AND holder.status = 'RUNNING' AND holder.submitted_at <= ?
ORDER BY holder.id

-- held_waiting --
-- The entries of a workspace that wait since before a time, by their table, if it is one of these, as given. Of names
-- that the database takes for one, one stands for all.
SELECT
    busy.value AS table_name,
    COUNT(DISTINCT waiting.id) AS entries,
    MIN(waiting.id) AS first_id,
    MIN(waiting.available_at) AS since
FROM {names ?} AS busy
INNER JOIN track_processing AS waiting {index ix_track_processing_open} ON waiting.table_name = busy.value
WHERE waiting.workspace = ?
    AND waiting.status IN ('PENDING', 'FAILED') AND waiting.status IN ('PENDING', 'QUEUED', 'RUNNING', 'FAILED')
    AND waiting.available_at <= ?
GROUP BY busy.value
ORDER BY first_id

-- last_end --
-- When an entry of a source table ended last, among a number of those that were changed last.
SELECT MAX(recent.finished_at) AS finished_at
FROM (
    SELECT workspace, finished_at
    FROM track_processing {index ix_track_processing_table}
    WHERE table_name = ?
    ORDER BY updated_at DESC, id DESC
    {limit ?}
) AS recent
WHERE recent.workspace = ?

-- silences --
-- The workspaces that gave no answer to this many passes in a row, nor since a time.
SELECT workspace, since, SUBSTRING(problem, 1, 4000) AS problem
FROM orchestrator_silence
WHERE passes >= ? AND since <= ?
ORDER BY workspace

-- repeated (fragment) --
-- In each workspace, the entries with 10 or more of a count, and the oldest of them.
SELECT {listed_columns example}, counted.entries
FROM (
    SELECT MIN(id) AS id, {count} AS entries
    FROM track_processing {index ix_track_processing_{alias}}
    WHERE {alias} >= 10 AND status IN ('PENDING', 'QUEUED', 'FAILED')
    GROUP BY workspace
) AS counted
{join_in_order} track_processing AS example ON example.id = counted.id
ORDER BY example.workspace

-- without_slot --
-- In each workspace, the waiting entries that got no slot 10 times in a row or more, and the oldest of them.
{repeated slot_waits}

-- failed_by_platform --
-- The same for failures of the platform.
{repeated platform_failures}

-- with_status (fragment) --
-- The entries in a part of the statuses.
SELECT id, workspace, updated_at
FROM track_processing {index ix_track_processing_status}
WHERE {sqlite updated_at > '' AND} {alias}

-- between_statuses (fragment) --
-- The entries whose status is none of the states: between two states, since nothing else finds them by an index.
{with_status status < 'CANCELED'}
UNION ALL
{with_status status > 'CANCELED' AND status < 'DEAD'}
UNION ALL
{with_status status > 'DEAD' AND status < 'DONE'}
UNION ALL
{with_status status > 'DONE' AND status < 'FAILED'}
UNION ALL
{with_status status > 'FAILED' AND status < 'PENDING'}
UNION ALL
{with_status status > 'PENDING' AND status < 'QUEUED'}
UNION ALL
{with_status status > 'QUEUED' AND status < 'RUNNING'}
UNION ALL
{with_status status > 'RUNNING'}
{sqlserver UNION ALL {with_status status IS NULL}}

-- without_status --
-- In each workspace, the entries whose status is none of the states, and the oldest of them.
SELECT {listed_columns example}, counted.entries
FROM (
    SELECT MIN(parts.id) AS id, {count} AS entries
    FROM (
        {between_statuses}
    ) AS parts
    GROUP BY parts.workspace
) AS counted
{join_in_order} track_processing AS example ON example.id = counted.id
ORDER BY example.workspace

-- queued_for_long (fragment) --
-- In each workspace, the entries that were claimed before a time and are QUEUED still, and the oldest of them.
SELECT {listed_columns example}, counted.entries
FROM (
    SELECT MIN(id) AS id, {count} AS entries
    FROM track_processing {index ix_track_processing_in_flight}
    WHERE status IN ('QUEUED', 'RUNNING') AND status = 'QUEUED' AND COALESCE(claimed_at, updated_at) < ?
        AND ({alias})
    GROUP BY workspace
) AS counted
{join_in_order} track_processing AS example ON example.id = counted.id
ORDER BY example.workspace

-- long_queued --
-- The entries that are QUEUED for long although their messages arrive.
{queued_for_long deliveries > 0 OR postponements > 0}

-- uncalled --
-- The entries that are QUEUED for long and for which nothing was ever called: no message of theirs has been looked at.
{queued_for_long deliveries = 0 AND postponements = 0}

-- strays --
-- The runs that came when their entries had gone on without them, and that cannot be cancelled.
SELECT workspace, runid, entry_id, since, SUBSTRING(problem, 1, 4000) AS problem
FROM orchestrator_stray_run
WHERE problem IS NOT NULL
ORDER BY since, runid

-- ownerless_strays --
-- The same of entries that were deleted.
SELECT stray.workspace, stray.runid, stray.entry_id, stray.since, SUBSTRING(stray.problem, 1, 4000) AS problem
FROM orchestrator_stray_run AS stray
WHERE stray.problem IS NOT NULL
    AND NOT EXISTS (SELECT 1 FROM track_processing AS entry WHERE entry.id = stray.entry_id)
ORDER BY stray.since, stray.runid

-- troubled_runs --
-- The RUNNING entries whose run is missing, cannot be read, is to be cancelled, stands still, or has waited in
-- Databricks' queue since before a time.
SELECT {listed_columns}
FROM track_processing {index ix_track_processing_in_flight}
WHERE status IN ('QUEUED', 'RUNNING') AND status = 'RUNNING'
    AND (
        missing_since IS NOT NULL
        OR unreadable_since IS NOT NULL
        OR cancel_asked_at IS NOT NULL
        OR run_state IS NOT NULL
        OR (queue_seconds IS NULL AND submitted_at < ?)
    )
ORDER BY id

-- long_running --
-- The RUNNING entries that were submitted before a time, oldest first; not those that wait in Databricks' queue.
SELECT {listed_columns}
FROM track_processing {index ix_track_processing_in_flight}
WHERE status IN ('QUEUED', 'RUNNING') AND status = 'RUNNING' AND queue_seconds IS NOT NULL AND submitted_at < ?
ORDER BY submitted_at, id
{limit ?}

-- successes --
-- How long the last successful runs of a source table took, among a number of its entries, last changed first.
SELECT
    settled.started_at, settled.finished_at, settled.queue_seconds, settled.setup_seconds, settled.execution_seconds
FROM (
    SELECT id, workspace
    FROM track_processing {index ix_track_processing_table}
    WHERE table_name = ?
    ORDER BY updated_at DESC, id DESC
    {limit ?}
) AS recent
{join_in_order} process_log AS settled ON settled.entry_id = recent.id
WHERE recent.workspace = ? AND settled.status = 'DONE'
ORDER BY settled.id DESC
{limit ?}

-- settled_before --
-- When the run was settled that has a given number of newer ones since a time; nothing if there are fewer.
SELECT created_at
FROM process_log
WHERE created_at >= ?
ORDER BY created_at DESC
{nth ?}

-- settled_by (fragment) --
-- What was settled since a time, by the hour or the day that a log row was made in.
SELECT
    {alias} AS start,
    SUM(CASE WHEN status = 'DONE' THEN 1 ELSE 0 END) AS done,
    SUM(CASE WHEN status IN ('FAILED', 'DEAD') THEN 1 ELSE 0 END) AS failed,
    AVG(queue_seconds) AS queue_seconds_mean,
    AVG(execution_seconds) AS execution_seconds_mean
FROM process_log
WHERE created_at >= ?
GROUP BY {alias}
ORDER BY {alias}

-- history_by_hour --
-- What was settled since a time, hour by hour.
{settled_by {hour created_at}}

-- history_by_day --
-- What was settled since a time, day by day.
{settled_by {day created_at}}

-- tables --
-- How the runs of each source table went since a time, the one with most failures first.
SELECT
    ranked.table_name, ranked.workspace, ranked.runs, ranked.failed, ranked.mean_seconds, ranked.max_seconds,
    {state last_run.status} AS last_status, COALESCE(last_run.finished_at, last_run.created_at) AS last_finished_at
FROM (
    SELECT
        entry.table_name,
        entry.workspace,
        SUM(CASE WHEN settled.status IN ('DONE', 'FAILED', 'DEAD') THEN 1 ELSE 0 END) AS runs,
        SUM(CASE WHEN settled.status IN ('FAILED', 'DEAD') THEN 1 ELSE 0 END) AS failed,
        AVG(settled.execution_seconds) AS mean_seconds,
        MAX(settled.execution_seconds) AS max_seconds,
        MAX(settled.id) AS last_id
    FROM process_log AS settled
    {join_in_order} track_processing AS entry ON entry.id = settled.entry_id
    WHERE settled.created_at >= ?
    GROUP BY entry.workspace, entry.table_name
    ORDER BY failed DESC, runs DESC, entry.table_name ASC, entry.workspace ASC
    {limit ?}
) AS ranked
INNER JOIN process_log AS last_run ON last_run.id = ranked.last_id
ORDER BY ranked.failed DESC, ranked.runs DESC, ranked.table_name ASC, ranked.workspace ASC

-- answer_of_request --
-- The first answer to an Idempotency-Key, unless it is older than a number of seconds.
SELECT body_hash, answer
FROM orchestrator_request
WHERE idempotency_key = ? AND created_at >= {seconds_ago ?}

-- forget_requests --
-- Delete answers that are older than a number of seconds.
DELETE FROM orchestrator_request WHERE created_at < {seconds_ago ?}

-- remember_request --
-- Keep the answer for a repeat of the request with the same Idempotency-Key.
INSERT INTO orchestrator_request (idempotency_key, body_hash, answer, created_at) VALUES (?, ?, ?, {now})
