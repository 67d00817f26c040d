-- Entries, their log, locks and passes. ../dialects.py says what each macro in braces is in each database. States are
-- plain literals, so that SQL Server can use an index on a team's own varchar column, too.

-- attempts_left (fragment) --
-- The entry may begin another attempt. A limit of 0 is none; NULL stands for the setting, a parameter.
{alias}.attempt < CASE {alias}.max_attempts WHEN 0 THEN 2147483647 ELSE COALESCE({alias}.max_attempts, ?) END

-- holds_table_of (fragment) --
-- The open submission holds the table of an entry, and is another entry's.
holding.workspace = {alias}.workspace
AND holding.table_name = {as_ours {alias}.table_name}
AND holding.entry_id <> {alias}.id
AND holding.left_open = 0

-- table_is_held (fragment) --
-- A submission of another entry of the same workspace and table is open, whatever somebody has made of that entry.
EXISTS (
    SELECT 1 FROM orchestrator_open_submission AS holding
    WHERE {holds_table_of {alias}}
)

-- table_is_taken (fragment) --
-- The same for who is about to call: until its transaction ends, nobody else opens a submission of the table.
EXISTS (
    SELECT 1 FROM orchestrator_open_submission AS holding {range_locked}
    WHERE {holds_table_of {alias}}
)

-- table_is_busy (fragment) --
-- Another entry of the same workspace and table is in flight.
(
    EXISTS (
        SELECT 1 FROM track_processing AS busy
        WHERE busy.workspace = {alias}.workspace
            AND busy.table_name = {alias}.table_name
            AND busy.status IN ('QUEUED', 'RUNNING')
    )
    OR {table_is_held {alias}}
)

-- has_its_entry (fragment) --
-- The entry of an open submission is there: not deleted, nor one that was inserted later and got its id.
EXISTS (
    SELECT 1 FROM track_processing AS owner
    WHERE owner.id = {alias}.entry_id
        AND (owner.entry_guid = {alias}.entry_guid OR owner.created_at <= {alias}.begun_at)
)

-- is_open (fragment) --
-- A submission of the entry is open, and was not given up: the next pass puts the entry back if it is not in flight.
EXISTS (
    SELECT 1 FROM orchestrator_open_submission AS begun
    WHERE begun.entry_id = {alias}.id AND begun.left_open = 0
)

-- left_open (fragment) --
-- The submission of the entry that was given up and left open, or NULL: it is repeated, so that its token finds the run.
(
    SELECT given_up.submission FROM orchestrator_open_submission AS given_up
    WHERE given_up.entry_id = {alias}.id AND given_up.left_open = 1
)

-- lacks_a_value (fragment) --
-- NULL in a column that always has a value, unless it is a team's own and its rule was passed by. What the app adds to a
-- value or compares with it would be NULL then.
(
    {alias}.entry_guid IS NULL OR {alias}.parameter_style IS NULL OR {alias}.priority IS NULL
    OR {alias}.submission IS NULL OR {alias}.attempt IS NULL OR {alias}.deliveries IS NULL
    OR {alias}.available_at IS NULL OR {alias}.created_at IS NULL OR {alias}.updated_at IS NULL
    OR {alias}.cancel_requested IS NULL OR {alias}.in_doubt IS NULL OR {alias}.postponements IS NULL
    OR {alias}.resends IS NULL OR {alias}.slot_waits IS NULL OR {alias}.platform_failures IS NULL
)

-- may_be_claimed (fragment) --
-- What else a claim asks of an available entry. Parameters: MAX_ATTEMPTS, SERIALIZE_TABLES (0 or 1).
{alias}.status IN ('PENDING', 'FAILED')
AND {alias}.submission < 2147483647  -- there is no next one, which would stop the whole claim
AND ({alias}.cancel_requested = 0 OR {alias}.deliveries > 0)
AND NOT {is_open {alias}}
AND ({alias}.status = 'PENDING' OR {attempts_left {alias}})
AND NOT {lacks_a_value {alias}}  -- a pass puts it right first
AND (? = 0 OR NOT {table_is_busy {alias}})

-- waits_since_available (fragment) --
-- The entry has waited since its available_at: it was neither inserted nor made PENDING by SQL after that time. Times
-- in the future, left by a clock that went back, say nothing.
(
    {alias}.available_at >= {alias}.created_at
    OR {moment_after {alias}.available_at} >= {alias}.created_at
    OR {alias}.created_at > {now}
)
AND (
    {alias}.status <> 'PENDING'
    OR {alias}.finished_at IS NULL
    OR {alias}.available_at > {alias}.finished_at
    OR {alias}.finished_at > {now}
)

-- by_now (fragment) --
-- A time of a row, but none in the future, which is left by a clock that went back.
CASE WHEN {alias} > {now} THEN {now} ELSE {alias} END

-- waits_by_gone_clock (fragment) --
-- The app let the entry wait, or somebody inserted it to begin at once, and the clock has gone back since: its
-- available_at would keep it for as long as the clock went back. A time that people chose is kept.
{alias}.available_at > {now}
AND (
    ({alias}.created_at > {after_ms 60000} AND {alias}.available_at <= {moment_after {alias}.created_at})
    OR (
        {alias}.updated_at > {after_ms 60000}
        AND (
            {alias}.available_at <= {moment_after {alias}.updated_at}
            OR {alias}.status = 'FAILED'
            OR {alias}.slot_waits > 0
            OR {alias}.doubts IS NOT NULL
        )
    )
)

-- lease_is_over (fragment) --
-- The lease of a QUEUED entry is over. One that ends later than it can last has been given before the clock went back.
-- Parameters: how long a first lease can last, and how long a later one or a wait that Databricks asked for, in
-- milliseconds.
(
    {alias}.lease_expires_at IS NULL
    OR {alias}.lease_expires_at <= {now}
    OR {alias}.lease_expires_at
    > {after_ms CASE WHEN {alias}.postponements = 0 AND {alias}.resends <= 1 THEN CAST(? AS int) ELSE CAST(? AS int) END}
)

-- goes_behind (fragment) --
-- 1 for an entry that had no slot, or whose job is refused: others of its priority come first, or it would be claimed in
-- vain at each pass. Who has waited for a quarter of an hour since then comes by its id again, so that nobody waits for
-- ever.
CASE
    WHEN ({alias}.slot_waits > 0 OR {alias}.doubts IS NOT NULL) AND {alias}.available_at > {seconds_ago 900} THEN 1
    ELSE 0
END

-- is_settled (fragment) --
-- The submission has its log row.
EXISTS (
    SELECT 1 FROM process_log AS settled
    WHERE settled.entry_id = {alias}.id AND settled.submission = {alias}.submission
)

-- has_its_run (fragment) --
-- What became of the submission is known.
({left_open {alias}} IS NULL AND ({alias}.runid IS NOT NULL OR {is_settled {alias}}))

-- begins_anew (fragment) --
-- The next claim begins a new submission. A number is used again only when its outcome is unknown: it has begun, has
-- no run here and no log row. Then its token finds the run, if there is one.
({left_open {alias}} IS NULL AND {alias}.submission <= 0) OR {has_its_run {alias}}

-- next_submission (fragment) --
-- The number of the next submission: above every one that the log has, whatever somebody has set by SQL.
(
    SELECT MAX(known.submission) + 1
    FROM (
        SELECT 0 AS submission
        UNION ALL
        SELECT {alias}.submission
        UNION ALL
        SELECT logged.submission FROM process_log AS logged WHERE logged.entry_id = {alias}.id
    ) AS known
)

-- is_unclaimable (fragment) --
-- No claim can ever take the waiting entry: no attempts are left, or no further submission. Parameter: MAX_ATTEMPTS.
(({alias}.status = 'FAILED' AND NOT {attempts_left {alias}}) OR {alias}.submission >= 2147483647)

-- is_out_of_range (fragment) --
-- The open entry has values that a CHECK forbids, which may have been switched off, or lacks one.
(
    {lacks_a_value {alias}}
    OR {alias}.submission < 0
    OR {alias}.attempt NOT BETWEEN 0 AND 1000000000
    OR {alias}.deliveries NOT BETWEEN 0 AND 1000000000
    OR {alias}.postponements NOT BETWEEN 0 AND 1000000000
    OR {alias}.resends NOT BETWEEN 0 AND 1000000000
    OR {alias}.slot_waits NOT BETWEEN 0 AND 1000000000
    OR {alias}.platform_failures NOT BETWEEN 0 AND 1000000000
    OR {alias}.cancel_requested NOT IN (0, 1)
    OR {alias}.in_doubt NOT IN (0, 1)
    OR ({alias}.status IN ('QUEUED', 'RUNNING') AND {alias}.submission = 0)
    OR ({alias}.status = 'RUNNING' AND {alias}.runid IS NULL)
    -- blanks behind it, which LIKE alone tells, or a state in small letters in a team's own column
    OR {alias}.status LIKE '% '
    OR {letters {alias}.status} NOT IN ('PENDING', 'QUEUED', 'RUNNING', 'FAILED')
    {sqlite OR strftime('%Y-%m-%d %H:%M', {alias}.available_at) IS NOT SUBSTRING({alias}.available_at, 1, 16)}
    {sqlite OR {alias}.created_at NOT GLOB '[0-9][0-9][0-9][0-9]-[0-9][0-9]-[0-9][0-9] [0-9][0-9]:[0-9][0-9]:[0-9][0-9]*'}
)

-- counter (fragment) --
-- What the app counts, from 0 to a number that nothing reaches: one more would not fit into the column's type otherwise.
CASE WHEN {alias} > 1000000000 THEN 1000000000 WHEN {alias} > 0 THEN {alias} ELSE 0 END

-- is_at (fragment) --
-- The entry's latest run and submission are at an address, a parameter, or began before addresses were kept.
({alias}.workspace_address IS NULL OR {alias}.workspace_address = ?)

-- logged_runs (fragment) --
-- Entries with one of these runs in the log, made where the entry is now. Parameters: the runs, workspace, address.
FROM process_log AS ended
INNER JOIN track_processing AS {alias} ON {alias}.id = ended.entry_id
WHERE ended.runid IN (SELECT run.value FROM {numbers ?} AS run)
    AND {alias}.workspace = ?
    AND {is_at {alias}}
    AND ended.submission >= COALESCE({alias}.address_submission, 0)
    AND COALESCE({alias}.stop_reason, '') <> 'RESTART'  -- its next submission cancels the run first

-- is_elsewhere (fragment) --
-- The entry has its run, or calls whose outcome is not known, at another address than the parameter.
{alias}.workspace_address <> ?
AND {alias}.workspace_address IS NOT NULL  -- the index's condition, to the letter
AND {alias}.status IN ('PENDING', 'QUEUED', 'RUNNING', 'FAILED')
AND ({alias}.status = 'RUNNING' OR {alias}.deliveries > 0)

-- as_seen (fragment) --
-- The entry is still as the operator saw it: least and most submission, and the states, '' for none.
submission >= ? AND submission <= ? AND status IN (?, ?, ?, ?, ?, ?, ?)

-- nothing_noted (fragment) --
-- What the passes have noted about a run is forgotten: it is over, or another one begins.
missing_since = NULL,
vanished_at = NULL,
unreadable_since = NULL,
cancel_asked_at = NULL,
cancel_repeated_at = NULL,
run_state = NULL,
run_state_since = NULL

-- begun_anew (fragment) --
-- What an operator's retry sets. Parameters: 1 for a restart, and the mode from now on or NULL. A restart cancels the
-- run that is active, also one that an operator has let go, and is kept until the entry has a new run.
stop_reason = CASE WHEN ? = 1 THEN 'RESTART' END,
retry_mode = COALESCE(?, retry_mode),
slot_waits = 0,
platform_failures = 0,
doubts = NULL,
cancel_requested = 0,
updated_at = {now}

-- acquire_lock (sqlite) --
-- Take a lock until the transaction ends; a negative result is a time-out.
SELECT 0 AS result, ? AS waited_ms, ? AS lock  -- BEGIN IMMEDIATE is the lock: one writer at a time

-- acquire_lock (sqlserver) --
-- Take a lock until the transaction ends; a negative result is a time-out.
DECLARE @result int;
-- ODBC works with implicit transactions: only a statement that reads a table begins one, and the lock needs it.
SELECT @result = COUNT(*) FROM sys.schemas;
EXEC @result = sp_getapplock
    @LockTimeout = ?, @Resource = ?, @LockMode = N'Exclusive', @LockOwner = N'Transaction';
SELECT @result AS result

-- in_flight --
-- The entries of a workspace that hold a slot, with their jobs and runs; read inside the claim's lock.
SELECT id, runid, job_id, {name job_name} AS job_name
FROM track_processing
WHERE workspace = ? AND status IN ('QUEUED', 'RUNNING')

-- refused --
-- The waiting and QUEUED entries of a workspace that may have heard a refusal lately: whoever hears one is changed then.
SELECT id, job_id, {name job_name} AS job_name, SUBSTRING(doubts, 1, 1000) AS doubts
FROM track_processing {index ix_track_processing_updated}
WHERE updated_at >= {seconds_ago 900}
    AND workspace = ? AND status IN ('PENDING', 'QUEUED') AND doubts IS NOT NULL

-- last_accepted --
-- When a call of run-now was accepted last in a workspace, at this address and within a quarter of an hour: for any
-- entry, and for one that names no job itself. Of what is in flight, and of what is over.
SELECT
    MAX(going.submitted_at) AS of_any_job,
    MAX(CASE WHEN going.job_id IS NULL AND going.job_name IS NULL THEN going.submitted_at END) AS of_own_job
FROM track_processing AS going
WHERE going.workspace = ? AND going.status IN ('QUEUED', 'RUNNING')
    AND going.submitted_at > {seconds_ago 900} AND going.submitted_at <= {now}
    AND {is_at going}
    AND going.request IS NOT NULL  -- otherwise a person repaired its run: no call was accepted
UNION ALL
SELECT
    MAX(gone.submitted_at) AS of_any_job,
    MAX(CASE WHEN gone.job_id IS NULL AND gone.job_name IS NULL THEN gone.submitted_at END) AS of_own_job
FROM track_processing AS gone
WHERE gone.finished_at IS NOT NULL AND gone.finished_at > {seconds_ago 900}
    AND gone.workspace = ? AND gone.submitted_at > {seconds_ago 900} AND gone.submitted_at <= {now}
    AND {is_at gone}
    AND gone.request IS NOT NULL

-- elsewhere --
-- What a workspace has open at another address than this one: entries, and runs that nobody wants.
SELECT COUNT(*) OVER () AS entries, parts.id, parts.address, parts.since
FROM (
    SELECT entry.id, entry.workspace_address AS address, COALESCE(entry.submitted_at, entry.claimed_at) AS since
    FROM track_processing AS entry {index ix_track_processing_address}
    WHERE entry.workspace = ? AND {is_elsewhere entry}
    UNION ALL
    SELECT stray.entry_id AS id, stray.address, stray.since
    FROM orchestrator_stray_run AS stray
    WHERE stray.workspace = ? AND stray.address <> ?
) AS parts
ORDER BY parts.since, parts.id
{limit 1}

-- note_address --
-- RUNNING stays RUNNING: runs that began before addresses were kept are taken to be at this one.
UPDATE track_processing
SET workspace_address = ?,
    updated_at = {now}
WHERE workspace = ? AND status = 'RUNNING' AND workspace_address IS NULL

-- leave_address --
-- QUEUED stays QUEUED: nothing is open where the entry was before, so this submission is made at another address.
UPDATE track_processing
SET workspace_address = ?,
    address_submission = submission,
    last_runid = NULL,
    request = NULL,
    updated_at = {now}
WHERE id = ? AND submission = ? AND deliveries = 0 AND status = 'QUEUED'

-- move --
-- An operator says that a workspace has moved: what is open elsewhere is looked for at this address from now on, and so
-- are last runs that nobody saw over. In steps, by id.
UPDATE track_processing
SET workspace_address = ?,
    {nothing_noted},
    updated_at = {now}
{returning id}
WHERE id IN (
    SELECT moved.id FROM track_processing AS moved {claimed}
    WHERE moved.workspace = ?
        AND moved.id > ?
        AND moved.workspace_address <> ?
        AND (
            moved.status = 'RUNNING'
            OR moved.deliveries > 0
            OR (
                moved.status IN ('PENDING', 'QUEUED', 'FAILED')
                AND NOT EXISTS (
                    SELECT 1 FROM process_log AS settled
                    WHERE settled.entry_id = moved.id
                        AND settled.runid = moved.last_runid
                        AND settled.life_cycle_state <> 'NOT_FOUND'
                )
            )
        )
    ORDER BY moved.id
    {limit ?}
)

-- move_strays --
-- The same for runs that nobody wants.
UPDATE orchestrator_stray_run
SET address = ?
{returning entry_id}
WHERE workspace = ? AND address <> ?

-- move_open --
-- The same for open submissions: should an entry be deleted, its run is cancelled there.
UPDATE orchestrator_open_submission
SET address = ?
WHERE workspace = ? AND address <> ?

-- alive --
-- The entries that are not in flight although one of their runs is among these, which are active in Databricks: the
-- last one, or one that the log names. An entry without a last run has let go of it, so its table stays free. A run
-- that came when its entry had gone on without it holds the table in any case.
SELECT entry.id, entry.last_runid AS runid, entry.table_name AS busy_table
FROM track_processing AS entry
WHERE entry.workspace = ?
    AND entry.status NOT IN ('QUEUED', 'RUNNING')
    AND entry.last_runid IN (SELECT run.value FROM {numbers ?} AS run)
    AND {is_at entry}
UNION
SELECT entry.id, ended.runid, CASE WHEN entry.last_runid IS NOT NULL THEN entry.table_name END AS busy_table
{logged_runs entry}
    AND entry.status NOT IN ('QUEUED', 'RUNNING')
UNION
SELECT entry.id, stray.runid, entry.table_name AS busy_table
FROM orchestrator_stray_run AS stray
INNER JOIN track_processing AS entry ON entry.id = stray.entry_id
WHERE stray.workspace = ?
    AND (stray.address IS NULL OR stray.address = ?)
    AND stray.runid IN (SELECT run.value FROM {numbers ?} AS run)
    AND entry.status NOT IN ('QUEUED', 'RUNNING')

-- in_doubt --
-- The entries of a workspace whose submission was left open: those that wait, and those that ended since a time. Its
-- table is the one that was called for, whatever the entry says now.
SELECT
    {listed_columns entry},
    CASE
        WHEN begun.table_name = {as_ours entry.table_name} THEN entry.table_name ELSE begun.table_name
    END AS begun_table
FROM orchestrator_open_submission AS begun
INNER JOIN track_processing AS entry ON entry.id = begun.entry_id
WHERE begun.workspace = ? AND begun.left_open = 1
    AND entry.status NOT IN ('QUEUED', 'RUNNING')
    AND (entry.status IN ('PENDING', 'FAILED') OR entry.updated_at >= ?)

-- claimable --
-- The waiting entries that may be submitted now, in the order of their claim; runs inside the lock, after the count. It
-- only reads, however many wait.
SELECT ranked.id
FROM (
    SELECT
        first_of_table.id,
        first_of_table.priority,
        first_of_table.goes_behind,
        first_of_table.room,
        ROW_NUMBER() OVER (
            PARTITION BY first_of_table.job
            ORDER BY
                first_of_table.heard_it ASC, first_of_table.heard_by_then ASC,
                first_of_table.priority DESC, first_of_table.goes_behind ASC, first_of_table.id ASC
        ) AS nth_of_job
    FROM (
        SELECT
            waiting.id,
            waiting.priority,
            full_job.job,
            full_job.room,
            {goes_behind waiting} AS goes_behind,
            -- Of a job that is refused, whoever has not heard it tries first, then who heard it longest ago.
            CASE WHEN full_job.job <= 0 AND waiting.doubts IS NOT NULL THEN 1 ELSE 0 END AS heard_it,
            CASE
                WHEN full_job.job <= 0 AND waiting.doubts IS NOT NULL THEN waiting.available_at
            END AS heard_by_then,
            ROW_NUMBER() OVER (
                PARTITION BY waiting.table_name
                ORDER BY waiting.priority DESC, {goes_behind waiting} ASC, waiting.id ASC
            ) AS nth_of_table
        FROM track_processing AS waiting {passing_by}
        LEFT JOIN {job_rooms ?} AS full_job
            ON full_job.job_id = COALESCE(waiting.job_id, 0)
            AND full_job.job_name = {letters COALESCE(waiting.job_name, '')}
        WHERE waiting.workspace = ?
            AND waiting.available_at <= {now}
            AND {may_be_claimed waiting}
            AND waiting.id NOT IN (SELECT held.value FROM {numbers ?} AS held)
            AND (
                waiting.table_name NOT IN (SELECT busy.value FROM {names ?} AS busy)
                OR waiting.id IN (SELECT finder.value FROM {numbers ?} AS finder)
            )
            -- While something is open at another address, only calls that were made here are repeated.
            AND (? = 0 OR (waiting.deliveries > 0 AND waiting.workspace_address = ?))
    ) AS first_of_table
    WHERE first_of_table.nth_of_table = 1 OR ? = 0
) AS ranked
-- A job that is not in the list has room for all.
WHERE ranked.room IS NULL OR ranked.nth_of_job <= ranked.room
ORDER BY ranked.priority DESC, ranked.goes_behind ASC, ranked.id ASC
{limit ?}

-- claim --
-- Claim these entries, unless one has changed since it was found claimable. By id, so that no other row is locked.
UPDATE track_processing
SET status = 'QUEUED',
    submission = CASE
        WHEN {begins_anew track_processing} THEN {next_submission track_processing}
        ELSE COALESCE({left_open track_processing}, submission)
    END,
    -- A repeated submission sends what it sent before.
    request = CASE WHEN {begins_anew track_processing} THEN NULL ELSE request END,
    -- An operator made a PENDING entry whose attempts are spent PENDING again: it starts anew.
    attempt = CASE
        WHEN attempt < 0 OR (status = 'PENDING' AND NOT {attempts_left track_processing}) THEN 0
        ELSE attempt
    END,
    -- Calls are counted anew at each claim, but one that may have started a run stays counted. Somebody may have set
    -- less than none: one entry must not stop the claim of all.
    deliveries = CASE
        WHEN {left_open track_processing} IS NOT NULL THEN 1
        WHEN deliveries <= 0 OR {has_its_run track_processing} THEN 0
        ELSE 1
    END,
    in_doubt = CASE
        WHEN {left_open track_processing} IS NOT NULL THEN 1
        WHEN {has_its_run track_processing} THEN 0
        ELSE in_doubt
    END,
    postponements = 0,
    -- What was heard of the submission is forgotten; that a job is refused stays until a run begins.
    doubts = CASE WHEN doubts LIKE '%"HEARD"%' THEN doubts END,
    resends = 0,
    runid = NULL,
    -- A restart is over once the entry has a run again: until then a run that was let go is cancelled.
    stop_reason = CASE stop_reason WHEN 'RESTART' THEN stop_reason END,
    queue_seconds = NULL,
    submitted_at = NULL,
    finished_at = NULL,
    claimed_at = {now},
    lease_expires_at = {after_ms ?},
    updated_at = {now}
{returning id, submission}
WHERE status IN ('PENDING', 'FAILED')
    AND available_at <= {now}
    AND submission < 2147483647
    AND (cancel_requested = 0 OR deliveries > 0)
    AND NOT {is_open track_processing}
    AND id IN (SELECT chosen.value FROM {numbers ?} AS chosen)

-- get_entry --
-- One entry by its id.
SELECT {entry_columns}
FROM track_processing
WHERE id = ?

-- find_entry --
-- One entry by its id, without its parameters.
SELECT {listed_columns}
FROM track_processing
WHERE id = ?

-- begin_submission --
-- Note that run-now is about to be called, where and with what, and renew the lease, unless a cancellation came first,
-- the workspace has something open at another address, or the table of the entry is held by another one. A call that
-- was made may be repeated all the same, if it was made here, in this workspace and for this submission.
UPDATE track_processing
SET deliveries = deliveries + 1,
    -- What became of an earlier call is not known: it may still be under way.
    in_doubt = CASE
        WHEN deliveries > 0 OR EXISTS (
            SELECT 1 FROM orchestrator_open_submission AS begun
            WHERE begun.entry_id = track_processing.id AND begun.submission = track_processing.submission
        ) THEN 1
        ELSE in_doubt
    END,
    request = COALESCE(request, ?),
    workspace_address = COALESCE(?, workspace_address),
    resends = 0,
    lease_expires_at = {after_ms ?},
    updated_at = {now}
WHERE id = ? AND submission = ? AND status = 'QUEUED' AND (cancel_requested = 0 OR deliveries > 0)
    AND (
        (deliveries > 0 AND workspace_address = ?)
        OR NOT EXISTS (
            SELECT 1 FROM track_processing AS entry {index ix_track_processing_address}
            WHERE entry.workspace = track_processing.workspace AND {is_elsewhere entry}
        )
    )
    -- Its own open submission, as long as nobody has changed either of them, keeps the table for it: 2. One that was
    -- given up, or none, needs the table to be free: 1.
    AND COALESCE(
        (
            SELECT CASE
                    WHEN begun.submission <> track_processing.submission
                        OR begun.entry_guid <> track_processing.entry_guid
                        OR begun.workspace <> track_processing.workspace
                        OR begun.runid IS NOT NULL THEN 0
                    WHEN begun.left_open = 1 THEN 1
                    ELSE 2
                END
            FROM orchestrator_open_submission AS begun
            WHERE begun.entry_id = track_processing.id
        ),
        1
    ) > CASE WHEN ? = 1 AND {table_is_taken track_processing} THEN 1 ELSE 0 END

-- give_way --
-- QUEUED to PENDING: another entry of its table is in flight, so somebody has set this one QUEUED by SQL.
UPDATE track_processing
SET status = 'PENDING',
    lease_expires_at = NULL,
    updated_at = {now}
WHERE id = ? AND submission = ? AND status = 'QUEUED'
    AND NOT {is_open track_processing} AND {table_is_held track_processing}

-- open_again --
-- The submission of an entry is open, as the entry says now; no row is changed if none was.
UPDATE orchestrator_open_submission
SET submission = (
        SELECT entry.submission FROM track_processing AS entry
        WHERE entry.id = orchestrator_open_submission.entry_id
    ),
    address = (
        SELECT entry.workspace_address FROM track_processing AS entry
        WHERE entry.id = orchestrator_open_submission.entry_id
    ),
    runid = ?,
    left_open = 0
WHERE entry_id = ?

-- open_submission --
-- The first call of an entry, or a run that is followed without one; nothing if one is open.
INSERT INTO orchestrator_open_submission (
    entry_id, entry_guid, workspace, address, table_name, submission, runid, begun_at
)
SELECT
    id,
    entry_guid,
    workspace,
    workspace_address AS address,
    SUBSTRING(table_name, 1, 700) AS table_name,
    submission,
    CAST(? AS bigint) AS runid,
    {now} AS begun_at
FROM track_processing
WHERE id = ?
    AND NOT EXISTS (
        SELECT 1 FROM orchestrator_open_submission AS begun
        WHERE begun.entry_id = track_processing.id
    )

-- keep_run --
-- The run of an open submission is known, although somebody has changed the entry meanwhile.
UPDATE orchestrator_open_submission
SET runid = ?
WHERE entry_id = ? AND submission = ? AND runid IS NULL

-- give_up --
-- An open submission is left open: its entry waits or is over.
UPDATE orchestrator_open_submission
SET left_open = 1
WHERE entry_id = ?

-- close_submission --
-- A submission is settled, or was given back.
DELETE FROM orchestrator_open_submission WHERE entry_id = ?

-- close_uncalled --
-- The same if no call of it can have had an effect.
DELETE FROM orchestrator_open_submission
WHERE entry_id = ? AND runid IS NULL
    AND EXISTS (
        SELECT 1 FROM track_processing AS entry
        WHERE entry.id = orchestrator_open_submission.entry_id AND entry.deliveries = 0 AND entry.in_doubt = 0
    )

-- close_settled --
-- The same for those that the log settles, or whose entry was deleted before a run was known.
DELETE FROM orchestrator_open_submission
WHERE EXISTS (
        SELECT 1 FROM process_log AS settled
        WHERE settled.entry_id = orchestrator_open_submission.entry_id
            AND settled.submission = orchestrator_open_submission.submission
    )
    OR (
        NOT {has_its_entry orchestrator_open_submission}
        AND runid IS NULL
        AND (left_open = 1 OR begun_at < {seconds_ago 3600})
    )

-- open_from_now --
-- What seems to have begun in the future, by a clock that has gone back since, began now.
UPDATE orchestrator_open_submission SET begun_at = {now} WHERE begun_at > {after_ms 60000}

-- not_kept --
-- RUNNING entries whose open submission is not kept: another version of the app began it, or somebody set it by SQL.
SELECT entry.id, entry.runid
FROM track_processing AS entry {index ix_track_processing_in_flight}
WHERE entry.status IN ('QUEUED', 'RUNNING') AND entry.status = 'RUNNING'
    AND NOT EXISTS (SELECT 1 FROM orchestrator_open_submission AS begun WHERE begun.entry_id = entry.id)
    AND NOT {is_settled entry}
ORDER BY entry.id
{limit ?}

-- return_not_kept --
-- QUEUED to PENDING: the same of one that seems to have been called. A claim keeps its number, so that the token finds
-- its run, if it has one, and knows what keeps its table. No call is counted, or it would be returned once more.
UPDATE track_processing
SET status = 'PENDING',
    deliveries = 0,
    in_doubt = 0,
    lease_expires_at = NULL,
    updated_at = {now}
WHERE status = 'QUEUED'
    AND id IN (
        SELECT entry.id
        FROM track_processing AS entry {index ix_track_processing_in_flight}
        WHERE entry.status IN ('QUEUED', 'RUNNING') AND entry.status = 'QUEUED' AND entry.deliveries > 0
            AND NOT EXISTS (SELECT 1 FROM orchestrator_open_submission AS begun WHERE begun.entry_id = entry.id)
        ORDER BY entry.id
        {limit ?}
    )

-- changed_by_sql --
-- Entries that are no longer what their open submission says, unless another entry has their run or GUID now.
SELECT
    entry.id,
    entry.status AS status_set,
    entry.submission AS submission_set,
    begun.submission,
    begun.runid,
    begun.workspace,
    begun.entry_guid
FROM orchestrator_open_submission AS begun
{join_in_order} track_processing AS entry ON entry.id = begun.entry_id
WHERE (begun.left_open = 0 OR begun.runid IS NOT NULL OR entry.status = 'QUEUED')
    AND {has_its_entry begun}
    AND (
        entry.status <> CASE WHEN begun.runid IS NULL THEN 'QUEUED' ELSE 'RUNNING' END
        OR entry.submission <> begun.submission
        OR entry.workspace <> begun.workspace
        OR entry.entry_guid <> begun.entry_guid
        OR COALESCE(entry.runid, 0) <> COALESCE(begun.runid, 0)
        OR (begun.runid IS NULL AND begun.left_open = 0 AND entry.deliveries < 1)
    )
    AND NOT EXISTS (
        SELECT 1 FROM track_processing AS other
        WHERE other.workspace = begun.workspace AND other.runid = begun.runid
            AND other.status = 'RUNNING' AND other.id <> begun.entry_id
    )
    AND NOT EXISTS (
        SELECT 1 FROM track_processing AS other
        WHERE other.entry_guid = begun.entry_guid AND other.id <> begun.entry_id
    )
ORDER BY entry.id
{limit ?}

-- put_back --
-- To RUNNING, or to QUEUED while the run is not known: the submission is open, whatever somebody has set by SQL. Who
-- set the entry CANCELED wants no run.
UPDATE track_processing
SET status = ?,
    cancel_requested = CASE WHEN status = 'CANCELED' OR cancel_requested <> 0 THEN 1 ELSE 0 END,
    submission = ?,
    workspace = ?,
    entry_guid = ?,
    runid = ?,
    last_runid = COALESCE(?, last_runid),
    deliveries = CASE WHEN deliveries < 1 THEN 1 ELSE deliveries END,
    in_doubt = CASE CAST(? AS nvarchar(16)) WHEN 'QUEUED' THEN 1 ELSE 0 END,
    submitted_at = CASE CAST(? AS nvarchar(16)) WHEN 'RUNNING' THEN COALESCE(submitted_at, {now}) END,
    lease_expires_at = CASE CAST(? AS nvarchar(16)) WHEN 'QUEUED' THEN COALESCE(lease_expires_at, {now}) END,
    finished_at = NULL,
    last_error = ?,
    updated_at = {now}
WHERE id = ? AND status = ? AND submission = ?
    AND EXISTS (
        SELECT 1 FROM orchestrator_open_submission AS begun
        WHERE begun.entry_id = track_processing.id
            AND begun.submission = ?
            -- The run may have become known since.
            AND COALESCE(begun.runid, 0) = COALESCE(CAST(? AS bigint), 0)
    )

-- ownerless --
-- Runs whose entry was deleted: nobody wants them.
INSERT INTO orchestrator_stray_run (workspace, runid, entry_id, address, since)
SELECT begun.workspace, begun.runid, begun.entry_id, begun.address, {now} AS since
FROM orchestrator_open_submission AS begun
WHERE begun.runid IS NOT NULL
    AND NOT {has_its_entry begun}
    AND NOT EXISTS (
        SELECT 1 FROM orchestrator_stray_run AS stray
        WHERE stray.workspace = begun.workspace AND stray.runid = begun.runid
    )

-- put_in_range --
-- Values that a CHECK forbids, which would make every later change of the entry fail, and those that are missing. An
-- entry that is QUEUED without a submission, or RUNNING without a run, waits; a run without a submission gets one.
UPDATE track_processing
SET status = CASE
        WHEN status = 'QUEUED' AND COALESCE(submission, 0) <= 0 THEN 'PENDING'
        WHEN status = 'RUNNING' AND runid IS NULL THEN 'PENDING'
        ELSE {state status}
    END,
    entry_guid = COALESCE(entry_guid, {new_guid}),
    parameter_style = COALESCE(parameter_style, 'auto'),
    priority = COALESCE(priority, 0),
    submission = CASE
        WHEN submission > 0 THEN submission
        WHEN status = 'RUNNING' AND runid IS NOT NULL THEN {next_submission track_processing}
        ELSE 0
    END,
    attempt = {counter attempt},
    deliveries = {counter deliveries},
    cancel_requested = CASE COALESCE(cancel_requested, 0) WHEN 0 THEN 0 ELSE 1 END,
    in_doubt = CASE COALESCE(in_doubt, 0) WHEN 0 THEN 0 ELSE 1 END,
    postponements = {counter postponements},
    resends = {counter resends},
    slot_waits = {counter slot_waits},
    platform_failures = {counter platform_failures},
    available_at = {as_time available_at},
    created_at = {as_time created_at},
    updated_at = {now}
WHERE id IN (
    SELECT odd.id
    FROM (
        SELECT waiting.id
        FROM track_processing AS waiting {index ix_track_processing_waiting}
        WHERE waiting.status IN ('PENDING', 'FAILED') AND {is_out_of_range waiting}
        UNION ALL
        SELECT going.id
        FROM track_processing AS going {index ix_track_processing_in_flight}
        WHERE going.status IN ('QUEUED', 'RUNNING') AND {is_out_of_range going}
    ) AS odd
    ORDER BY odd.id
    {limit ?}
)

-- replace_request --
-- QUEUED stays QUEUED: another request is to be made, or the same one under other conditions.
UPDATE track_processing
SET request = ?,
    updated_at = {now}
WHERE id = ? AND submission = ? AND deliveries = ? AND in_doubt = ? AND status = 'QUEUED'

-- record_run --
-- QUEUED to RUNNING: Databricks accepted the run, or an earlier run is followed again and no call was begun.
UPDATE track_processing
SET status = 'RUNNING',
    runid = ?,
    last_runid = ?,
    -- Attempts are the app's own: a run that a person repaired counts as one only if there is none.
    attempt = attempt + CASE WHEN deliveries > 0 OR attempt = 0 THEN 1 ELSE 0 END,
    request = CASE WHEN deliveries > 0 THEN request END,
    in_doubt = 0,
    postponements = 0,
    doubts = NULL,
    lease_expires_at = NULL,
    last_error = NULL,
    -- A run that is followed again is the one that a restart is to end.
    stop_reason = CASE WHEN deliveries = 0 AND stop_reason = 'RESTART' THEN stop_reason END,
    queue_seconds = 0,
    {nothing_noted},
    submitted_at = {now},
    updated_at = {now}
WHERE id = ? AND submission = ? AND deliveries <= ? AND status = 'QUEUED'

-- run_taken --
-- Whom a run of a workspace belongs to, if it is not the new run of an entry: another entry, or an earlier submission;
-- and whether it is kept as one that nobody wants.
SELECT
    MIN(taken.entry_id) AS entry_id,
    (SELECT COUNT(*) FROM orchestrator_stray_run AS stray WHERE stray.workspace = ? AND stray.runid = ?) AS strays
FROM (
    SELECT followed.id AS entry_id
    FROM track_processing AS followed
    WHERE followed.workspace = ? AND followed.last_runid = ? AND followed.id <> ? AND {is_at followed}
    UNION ALL
    SELECT settled.entry_id
    FROM process_log AS settled
    INNER JOIN track_processing AS logged ON logged.id = settled.entry_id
    WHERE settled.runid = ? AND logged.workspace = ? AND {is_at logged}
        AND settled.submission >= COALESCE(logged.address_submission, 0)
        -- A workspace that has moved may begin its numbers anew.
        AND COALESCE(settled.life_cycle_state, '') <> 'NOT_FOUND'
) AS taken

-- note_stray --
-- Keep a run that came when its entry had gone on without it.
INSERT INTO orchestrator_stray_run (workspace, runid, entry_id, job_id, address, since) VALUES (?, ?, ?, ?, ?, {now})

-- stray_runs --
-- The runs of a workspace that came when their entries had gone on without them.
SELECT runid, entry_id, job_id, address, since, asked_at, SUBSTRING(problem, 1, 4000) AS problem
FROM orchestrator_stray_run
WHERE workspace = ?
ORDER BY since, runid

-- stray_goes_on --
-- A run was to be cancelled; what keeps the app from it, or NULL.
UPDATE orchestrator_stray_run
SET problem = ?,
    asked_at = {now}
WHERE workspace = ? AND runid = ?

-- forget_stray --
-- A run is over, or its entry has it after all.
DELETE FROM orchestrator_stray_run WHERE workspace = ? AND runid = ?

-- close_ownerless --
-- A run is over whose entry was deleted.
DELETE FROM orchestrator_open_submission
WHERE workspace = ? AND runid = ?
    AND NOT {has_its_entry orchestrator_open_submission}

-- revive --
-- To RUNNING: a run is active again, since somebody repaired it. It counts as a submission of its own.
UPDATE track_processing
SET status = 'RUNNING',
    submission = {next_submission track_processing},
    runid = ?,
    last_runid = ?,
    -- Attempts are the app's own: a run that a person repaired counts as one only if there is none.
    attempt = CASE attempt WHEN 0 THEN 1 ELSE attempt END,
    request = NULL,
    deliveries = 0,
    in_doubt = 0,
    -- A request that has ended the entry is done; one that is still open now means this run.
    cancel_requested = CASE WHEN status IN ('PENDING', 'FAILED') THEN cancel_requested ELSE 0 END,
    stop_reason = CASE stop_reason WHEN 'RESTART' THEN stop_reason END,
    queue_seconds = 0,
    {nothing_noted},
    last_error = ?,
    submitted_at = {now},
    finished_at = NULL,
    updated_at = {now}
WHERE id = ? AND submission = ? AND last_runid = ? AND deliveries = ? AND in_doubt = ? AND submission < 2147483647
    AND status IN ('PENDING', 'FAILED', 'DEAD', 'CANCELED')

-- unclaim --
-- QUEUED to PENDING: no capacity, no run was created, and nobody else has begun this submission since.
UPDATE track_processing
SET status = 'PENDING',
    available_at = {after_ms ?},
    last_error = ?,
    slot_waits = ?,
    doubts = ?,
    request = NULL,  -- nothing was started, so the entry may be changed
    deliveries = 0,
    in_doubt = 0,
    lease_expires_at = NULL,
    updated_at = {now}
WHERE id = ? AND submission = ? AND deliveries = ? AND in_doubt = ? AND status = 'QUEUED'

-- refuse --
-- QUEUED to FAILED, DEAD or CANCELED: refused for good, and nobody else has begun this submission since.
UPDATE track_processing
SET status = ?,
    available_at = {after_ms ?},
    last_error = ?,
    attempt = attempt + ?,
    doubts = NULL,
    stop_reason = NULL,
    slot_waits = 0,
    platform_failures = 0,
    deliveries = 0,
    in_doubt = 0,
    lease_expires_at = NULL,
    updated_at = {now},
    finished_at = {now}
WHERE id = ? AND submission = ? AND deliveries = ? AND in_doubt = ? AND status = 'QUEUED'

-- leave_open --
-- QUEUED to FAILED, DEAD or CANCELED with the submission left open: a run may exist that only its token finds.
UPDATE track_processing
SET status = ?,
    available_at = {after_ms ?},
    last_error = ?,
    attempt = attempt + ?,
    in_doubt = 1,
    doubts = NULL,
    stop_reason = NULL,
    lease_expires_at = NULL,
    updated_at = {now},
    finished_at = {now}
WHERE id = ? AND submission = ? AND deliveries = ? AND in_doubt = ? AND status = 'QUEUED'

-- postpone --
-- QUEUED stays QUEUED: end the lease at another time. A call that may have started a run leaves the entry in doubt; one
-- that does not count is subtracted, but never the last one of an entry in doubt.
UPDATE track_processing
SET lease_expires_at = {after_ms ?},
    last_error = ?,
    postponements = postponements + ?,
    resends = 0,
    in_doubt = CASE WHEN ? = 1 THEN 1 ELSE in_doubt END,
    deliveries = CASE
        WHEN ? = 1 AND (deliveries > 1 OR (deliveries = 1 AND in_doubt = 0 AND ? = 0)) THEN deliveries - 1
        ELSE deliveries
    END,
    updated_at = {now}
WHERE id = ? AND submission = ? AND status = 'QUEUED'

-- not_sent --
-- QUEUED stays QUEUED: the queue did not take its message, so that it is sent again by the next pass, then later each time.
-- The second keeps a look at lost messages that goes on beside the claim from sending it in the same moment.
UPDATE track_processing
SET lease_expires_at = {after_ms CASE
        WHEN resends = 0 THEN 1000
        ELSE CAST(? AS int) * {two_to CASE WHEN resends > 4 THEN 3 ELSE resends - 1 END}
    END},
    last_error = ?,
    updated_at = {now}
WHERE id = ? AND submission = ? AND status = 'QUEUED'

-- note_doubts --
-- QUEUED stays QUEUED: what was heard that is believed only once it is repeated.
UPDATE track_processing
SET doubts = ?,
    updated_at = {now}
WHERE id = ? AND submission = ? AND status = 'QUEUED'

-- finish --
-- RUNNING to its end: the run is over, and nobody has asked for a restart since it was looked at.
UPDATE track_processing
SET status = ?,
    available_at = {after_ms ?},
    last_error = ?,
    attempt = CASE WHEN attempt > 0 THEN attempt - ? ELSE 0 END,
    slot_waits = ?,
    platform_failures = ?,
    deliveries = 0,
    in_doubt = 0,
    -- An older version of the app, which ran beside this one during a deployment, did not keep it.
    last_runid = COALESCE(last_runid, runid),
    -- The next submission has to know that it starts anew.
    stop_reason = CASE WHEN stop_reason = 'RESTART' AND ? = 'PENDING' THEN stop_reason END,
    {nothing_noted},
    updated_at = {now},
    finished_at = {now}
WHERE id = ? AND submission = ? AND runid = ? AND status = 'RUNNING' AND COALESCE(stop_reason, '') = ?
    -- Somebody may have set another run, which settles nothing; the entry is put back.
    AND NOT EXISTS (
        SELECT 1 FROM orchestrator_open_submission AS begun
        WHERE begun.entry_id = track_processing.id AND COALESCE(begun.runid, 0) <> track_processing.runid
    )

-- note_trouble --
-- RUNNING stays RUNNING: what is wrong with its run, and since when it is missing or cannot be read. That it vanished
-- together with others is kept until somebody says otherwise: 1 = it did so now, 0 = it is not doubted, NULL = no news.
UPDATE track_processing
SET last_error = ?,
    missing_since = CASE WHEN ? = 1 THEN COALESCE(missing_since, {now}) END,
    vanished_at = CASE CAST(? AS int) WHEN 1 THEN {now} WHEN 0 THEN NULL ELSE vanished_at END,
    unreadable_since = CASE WHEN ? = 1 THEN COALESCE(unreadable_since, {now}) END,
    updated_at = {now}
WHERE id = ? AND submission = ? AND runid = ? AND status = 'RUNNING'

-- note_queue --
-- RUNNING stays RUNNING: how long the run waited in Databricks' own queue; NULL while it does.
UPDATE track_processing
SET queue_seconds = ?,
    updated_at = {now}
WHERE id = ? AND submission = ? AND runid = ? AND status = 'RUNNING'

-- note_stop --
-- RUNNING stays RUNNING: why the app is about to cancel its run. The first reason stays.
UPDATE track_processing
SET stop_reason = COALESCE(stop_reason, ?),
    updated_at = {now}
WHERE id = ? AND submission = ? AND runid = ? AND status = 'RUNNING'

-- note_cancel --
-- RUNNING stays RUNNING: Databricks accepted a call to cancel its run.
UPDATE track_processing
SET cancel_asked_at = COALESCE(cancel_asked_at, {now}),
    cancel_repeated_at = {now},
    updated_at = {now}
WHERE id = ? AND submission = ? AND runid = ? AND status = 'RUNNING'

-- note_state --
-- RUNNING stays RUNNING: the state in which its run stands still from now on; NULL = it does not.
UPDATE track_processing
SET run_state = ?,
    run_state_since = CASE WHEN ? = 1 THEN {now} END,
    updated_at = {now}
WHERE id = ? AND submission = ? AND runid = ? AND status = 'RUNNING'

-- insert_log --
-- The log row of a settled submission; in the transaction that changes the status.
INSERT INTO process_log ({log_columns})
VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)

-- recover --
-- Renew the lease of QUEUED entries whose lease is over, so that their message can be sent again. Without a call in
-- between, each lease is twice as long as the one before, up to a number of times.
UPDATE track_processing
SET lease_expires_at = {after_ms CAST(? AS int) * {two_to CASE WHEN resends < ? THEN resends ELSE ? END}},
    resends = resends + 1,
    claimed_at = COALESCE(claimed_at, {now}),  -- somebody may have set the status by SQL
    updated_at = {now}
{returning id, submission}
WHERE status = 'QUEUED'
    AND {lease_is_over track_processing}
    AND id IN (
        SELECT late.id FROM track_processing AS late {claimed}
        WHERE late.status = 'QUEUED'
            AND {lease_is_over late}
        ORDER BY late.lease_expires_at, late.id
        {limit ?}
    )

-- unanswered --
-- QUEUED entries whose lease is over, with at least this many calls of run-now without a known outcome. None of them is
-- under way; after the clock went back that is not known, so a renewed lease has to end first.
SELECT {listed_columns}
FROM track_processing
WHERE status = 'QUEUED' AND (lease_expires_at IS NULL OR lease_expires_at <= {now}) AND deliveries >= ?
ORDER BY lease_expires_at, id
{limit ?}

-- calls_accepted --
-- Whether a call of run-now was accepted for some entry of a workspace, at this address, not long ago. Times in the
-- future, left by a clock that went back, say nothing.
SELECT
    CASE
        WHEN EXISTS (
            SELECT 1 FROM track_processing AS going
            WHERE going.workspace = ? AND going.status IN ('QUEUED', 'RUNNING')
                AND going.submitted_at > {after_ms ?} AND going.submitted_at <= {now}
                AND {is_at going}
                AND going.request IS NOT NULL  -- otherwise a person repaired its run: no call was accepted
        ) THEN 1
        WHEN EXISTS (
            SELECT 1 FROM track_processing AS gone
            WHERE gone.finished_at IS NOT NULL AND gone.finished_at > {after_ms ?}
                AND gone.workspace = ? AND gone.submitted_at > {after_ms ?} AND gone.submitted_at <= {now}
                AND {is_at gone}
                AND gone.request IS NOT NULL
        ) THEN 1
        ELSE 0
    END AS accepted

-- cancel_waiting --
-- Cancel entries that certainly have no run: their submission was never begun, or is settled.
UPDATE track_processing
SET status = 'CANCELED',
    stop_reason = NULL,
    -- What was said of a wait is over; what a failed attempt has left stays.
    last_error = CASE status WHEN 'FAILED' THEN last_error END,
    available_at = {by_now available_at},
    lease_expires_at = NULL,
    updated_at = {now},
    finished_at = {now}
WHERE cancel_requested = 1
    AND deliveries = 0
    AND status IN ('PENDING', 'FAILED', 'QUEUED')
    AND NOT {is_open track_processing}
    AND id IN (
        SELECT asked.id FROM track_processing AS asked
        WHERE asked.cancel_requested = 1
            AND asked.deliveries = 0
            AND asked.status IN ('PENDING', 'FAILED', 'QUEUED')
        ORDER BY asked.id
        {limit ?}
    )

-- return_settled --
-- QUEUED to PENDING, and RUNNING to what the log says: somebody set an entry so by SQL whose submission is over. Where
-- somebody has written a word into the log that is no end of a run, the entry is DEAD, which people are told.
UPDATE track_processing
SET status = CASE status
        WHEN 'QUEUED' THEN 'PENDING'
        ELSE (
            SELECT
                CASE
                    WHEN ended.status IN ('PENDING', 'DONE', 'FAILED', 'DEAD', 'CANCELED') THEN {state ended.status}
                    ELSE 'DEAD'
                END
            FROM process_log AS ended
            WHERE ended.entry_id = track_processing.id AND ended.submission = track_processing.submission
        )
    END,
    deliveries = 0,
    in_doubt = 0,
    lease_expires_at = NULL,
    {nothing_noted},
    updated_at = {now},
    finished_at = COALESCE(finished_at, {now})
WHERE status IN ('QUEUED', 'RUNNING')
    AND id IN (
        SELECT back.id
        FROM track_processing AS back {index ix_track_processing_in_flight}
        {join_in_order} process_log AS ended ON ended.entry_id = back.id AND ended.submission = back.submission
        WHERE back.status IN ('QUEUED', 'RUNNING') AND (back.status = 'QUEUED' OR ended.runid = back.runid)
        ORDER BY back.id
        {limit ?}
    )

-- stands_still --
-- Whether a pass has to change entries: put_in_range, begin_wait and end_unclaimable say which. It reads all that wait,
-- so it is asked before a transaction begins that would hold up all others meanwhile.
SELECT waiting.id
FROM track_processing AS waiting {index ix_track_processing_waiting}
WHERE waiting.status IN ('PENDING', 'FAILED')
    AND (
        (waiting.available_at <= {now} AND NOT ({waits_since_available waiting}))
        OR ({waits_by_gone_clock waiting})
        OR {is_unclaimable waiting}
        OR {is_out_of_range waiting}
    )
UNION ALL
SELECT going.id
FROM track_processing AS going {index ix_track_processing_in_flight}
WHERE going.status IN ('QUEUED', 'RUNNING') AND {is_out_of_range going}
ORDER BY id
{limit 1}

-- begin_wait --
-- PENDING stays PENDING, FAILED stays FAILED: by SQL it has got an available_at from before it began to wait, or the
-- clock has gone back since it got one. The wait counts from now, since nothing tells when that was done.
UPDATE track_processing
SET available_at = {now},
    updated_at = {now}
WHERE status IN ('PENDING', 'FAILED')
    AND (available_at <= {now} OR updated_at > {after_ms 60000} OR created_at > {after_ms 60000})
    AND id IN (
        SELECT waiting.id
        FROM track_processing AS waiting {index ix_track_processing_waiting}
        WHERE waiting.status IN ('PENDING', 'FAILED')
            AND (
                (waiting.available_at <= {now} AND NOT ({waits_since_available waiting}))
                OR ({waits_by_gone_clock waiting})
            )
        ORDER BY waiting.id
        {limit ?}
    )

-- count_from_now --
-- QUEUED stays QUEUED, RUNNING stays RUNNING: the clock has gone back since something was noted, so that nobody knows
-- how long ago that was. It counts from now.
UPDATE track_processing
SET
    claimed_at = {by_now claimed_at},
    submitted_at = {by_now submitted_at},
    missing_since = {by_now missing_since},
    vanished_at = {by_now vanished_at},
    unreadable_since = {by_now unreadable_since},
    cancel_asked_at = {by_now cancel_asked_at},
    cancel_repeated_at = {by_now cancel_repeated_at},
    run_state_since = {by_now run_state_since},
    updated_at = {now}
WHERE status IN ('QUEUED', 'RUNNING')
    AND id IN (
        SELECT ahead.id
        FROM track_processing AS ahead {index ix_track_processing_in_flight}
        WHERE ahead.status IN ('QUEUED', 'RUNNING')
            AND (
                ahead.claimed_at > {after_ms 60000}
                OR ahead.submitted_at > {after_ms 60000}
                OR ahead.missing_since > {after_ms 60000}
                OR ahead.vanished_at > {after_ms 60000}
                OR ahead.unreadable_since > {after_ms 60000}
                OR ahead.cancel_asked_at > {after_ms 60000}
                OR ahead.cancel_repeated_at > {after_ms 60000}
                OR ahead.run_state_since > {after_ms 60000}
            )
        ORDER BY ahead.id
        {limit ?}
    )

-- renumber --
-- RUNNING stays RUNNING: the log row of its submission tells of another run, so this run is a submission of its own.
UPDATE track_processing
SET submission = {next_submission track_processing},
    updated_at = {now}
WHERE status = 'RUNNING'
    AND submission < 2147483647
    AND id IN (
        SELECT other.id
        FROM track_processing AS other {index ix_track_processing_in_flight}
        {join_in_order} process_log AS ended ON ended.entry_id = other.id AND ended.submission = other.submission
        WHERE other.status IN ('QUEUED', 'RUNNING') AND other.status = 'RUNNING'
            AND (ended.runid IS NULL OR ended.runid <> other.runid)
        ORDER BY other.id
        {limit ?}
    )

-- end_unclaimable --
-- PENDING or FAILED to DEAD, or to CANCELED if that was asked for: no claim can ever take the entry. Its submission
-- has its log row, or stays open.
UPDATE track_processing
SET status = CASE cancel_requested WHEN 1 THEN 'CANCELED' ELSE 'DEAD' END,
    last_error = COALESCE(last_error, ?),
    stop_reason = NULL,
    slot_waits = 0,
    platform_failures = 0,
    available_at = {by_now available_at},
    lease_expires_at = NULL,
    updated_at = {now},
    finished_at = {now}
WHERE status IN ('PENDING', 'FAILED')
    AND {is_unclaimable track_processing}
    AND id IN (
        SELECT spent.id FROM track_processing AS spent {index ix_track_processing_waiting}
        WHERE spent.status IN ('PENDING', 'FAILED') AND {is_unclaimable spent}
        ORDER BY spent.id
        {limit ?}
    )

-- running --
-- All entries of a workspace that have a run.
SELECT {listed_columns}
FROM track_processing
WHERE workspace = ? AND status = 'RUNNING'
ORDER BY id

-- running_run --
-- The RUNNING entry that a run of a workspace belongs to, if there is one.
SELECT {listed_columns}
FROM track_processing
WHERE workspace = ? AND runid = ? AND status = 'RUNNING'

-- ended_runs --
-- The entries that are over or wait, with the run of theirs among these: the last one, or an earlier one of the log. An
-- entry without a last run has let go of all; one that is restarted wants none of them.
SELECT {listed_columns}, last_runid AS found_runid, submission AS found_submission
FROM track_processing
WHERE workspace = ?
    AND status IN ('PENDING', 'FAILED', 'DEAD', 'CANCELED')
    AND last_runid IN (SELECT run.value FROM {numbers ?} AS run)
    AND (workspace_address IS NULL OR workspace_address = ?)
UNION ALL
SELECT {listed_columns entry}, ended.runid AS found_runid, ended.submission AS found_submission
{logged_runs entry}
    AND entry.status IN ('PENDING', 'FAILED', 'DEAD', 'CANCELED')
    AND entry.last_runid <> ended.runid

-- open_jobs --
-- The jobs that the open entries of a workspace name. Databricks tells case in a job's name.
SELECT DISTINCT job_id, {letters {name job_name}} AS job_name
FROM track_processing
WHERE workspace = ? AND status IN ('PENDING', 'QUEUED', 'RUNNING', 'FAILED')

-- last_success --
-- When the latest successful run of a source table started; a resolution by hand is no run. NULL without one.
SELECT MAX(settled.started_at) AS started_at
FROM track_processing AS entry
INNER JOIN process_log AS settled ON settled.entry_id = entry.id
WHERE entry.table_name = ? AND entry.workspace = ? AND settled.status = 'DONE' AND settled.runid IS NOT NULL

-- open_workspaces --
-- The workspaces that open entries name, configured or not: how many entries wait, how many are in flight, and since
-- when the oldest of them may be claimed.
SELECT
    {name workspace} AS workspace,
    SUM(CASE WHEN status IN ('PENDING', 'FAILED') THEN 1 ELSE 0 END) AS waiting,
    SUM(CASE WHEN status IN ('QUEUED', 'RUNNING') THEN 1 ELSE 0 END) AS in_flight,
    MIN(available_at) AS since
FROM track_processing {index ix_track_processing_open}
WHERE status IN ('PENDING', 'QUEUED', 'RUNNING', 'FAILED')
GROUP BY workspace
ORDER BY workspace

-- note_unknown --
-- PENDING stays PENDING, FAILED stays FAILED: its workspace is none of these. An error of its own stays.
UPDATE track_processing
SET last_error = ?,
    updated_at = {now}
WHERE status IN ('PENDING', 'FAILED')
    AND last_error IS NULL
    AND id IN (
        SELECT lost.id FROM track_processing AS lost {index ix_track_processing_waiting}
        WHERE lost.status IN ('PENDING', 'FAILED')
            AND lost.workspace NOT IN (SELECT known.value FROM {names ?} AS known)
            AND lost.last_error IS NULL
        ORDER BY lost.id
        {limit ?}
    )

-- request_cancel --
-- Note that a person wants the entry cancelled, if it is still as the person saw it.
UPDATE track_processing
SET cancel_requested = 1,
    updated_at = {now}
WHERE id = ? AND status IN ('PENDING', 'QUEUED', 'RUNNING', 'FAILED')
    AND {as_seen}

-- retry --
-- An operator runs a final entry again, with all its attempts, if it is still as the operator saw it.
UPDATE track_processing
SET status = 'PENDING',
    attempt = 0,
    available_at = {now},
    {begun_anew}
WHERE id = ? AND status IN ('DONE', 'DEAD', 'CANCELED')
    AND {as_seen}

-- retry_now --
-- The same for a FAILED entry, without waiting for its back-off.
UPDATE track_processing
SET attempt = 0,
    available_at = {now},
    {begun_anew}
WHERE id = ? AND status = 'FAILED'
    AND {as_seen}

-- restart --
-- The same for an entry with a live run: a later pass cancels the run, awaits its end and makes the entry wait again.
UPDATE track_processing
SET attempt = 1,
    {begun_anew}
WHERE id = ? AND status = 'RUNNING'
    AND {as_seen}

-- resolve --
-- An operator settles an entry by hand, whatever state it is in. Its run, if there is one, is followed no longer.
UPDATE track_processing
SET status = ?,
    submission = CASE
        WHEN submission <= 0 OR {is_settled track_processing} THEN {next_submission track_processing}
        ELSE submission
    END,
    -- The log has one row for each end of a run: a submission of the operator's own has no run.
    runid = CASE WHEN {is_settled track_processing} THEN NULL ELSE runid END,
    attempt = CASE attempt WHEN 0 THEN 1 ELSE attempt END,
    last_runid = NULL,
    last_error = ?,
    deliveries = 0,
    in_doubt = 0,
    slot_waits = 0,
    platform_failures = 0,
    cancel_requested = 0,
    stop_reason = NULL,
    {nothing_noted},
    available_at = {by_now available_at},
    lease_expires_at = NULL,
    finished_at = {now},
    updated_at = {now}
WHERE id = ? AND status <> ? AND submission < 2147483647
    AND {as_seen}

-- insert_entries --
-- New entries; the table's defaults fill the rest. The row of values is repeated for each further entry.
INSERT INTO track_processing (
    entry_guid, table_name, workspace, job_id, job_name, parameter_style, parameters, options, priority, max_attempts,
    retry_mode, run_timeout_seconds, queue_timeout_seconds
)
{returning id, entry_guid}
VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)

-- logs_of_entry --
-- The settled submissions of an entry up to one of them, last first.
SELECT {log_fields}
FROM process_log
WHERE entry_id = ? AND submission <= ?
ORDER BY submission DESC
{limit ?}

-- last_logged_run --
-- The run of an entry's last settled submission that has one, since one of them.
SELECT runid
FROM process_log
WHERE entry_id = ? AND submission >= ? AND runid IS NOT NULL
ORDER BY submission DESC
{limit 1}

-- logs_of_run --
-- The settled submissions of an entry that a run belongs to, last first.
SELECT {log_fields}
FROM process_log
WHERE entry_id = ? AND runid = ?
ORDER BY submission DESC
{limit ?}

-- now --
-- The database's clock, which decides leases and back-offs.
SELECT {now} AS now

-- still_late (fragment) --
-- What was reported late, or to stand still, and still needs its "recovered" alert.
{alias}.kind = 'late' AND NOT EXISTS (
    SELECT 1 FROM orchestrator_alert AS well
    WHERE well.kind = 'well' AND well.subject = {alias}.subject AND well.occurred_at = {alias}.occurred_at
)

-- is_unreported (fragment) --
-- The entry went DEAD, and no message reports it yet.
NOT EXISTS (
    SELECT 1 FROM orchestrator_alert AS reported
    WHERE reported.kind = 'dead'
        AND reported.subject = CAST({alias}.id AS nvarchar(32))
        -- cast, so that a team's own column of another precision compares equal to what was stored of it
        AND reported.occurred_at = {sqlite {alias}.finished_at}{sqlserver CAST({alias}.finished_at AS datetime2(3))}
)

-- pass_idle --
-- A whole pass of a timer function that has nothing to do: it reads that, and notes that the function lives. No row is
-- changed where there may be something: an entry that is not over, or whose run may be repaired, an open submission, a
-- run that nobody wants, a workspace that did not answer, an alert that is owed, a pass before that did not end well.
-- Nor is one at the first pass of each five minutes, which looks at everything. Parameters: who asks, the function, 1 if
-- alerts are sent, after how many seconds a function is late, how far back alerts look.
UPDATE orchestrator_tick
SET started_at = {now}, finished_at = {now}, asked_by = ?
WHERE name = ?
    AND outcome = 'ok' AND troubled_since IS NULL AND finished_at >= started_at
    AND {five_minutes started_at} = {five_minutes {now}}
    AND NOT EXISTS (
        SELECT 1 FROM track_processing AS entry {index ix_track_processing_open} {passing_by}
        WHERE entry.status IN ('PENDING', 'QUEUED', 'RUNNING', 'FAILED')
    )
    -- One that was given up, and has no run, waits for its entry to be run again.
    AND NOT EXISTS (
        SELECT 1 FROM orchestrator_open_submission AS begun WHERE begun.left_open = 0 OR begun.runid IS NOT NULL
    )
    AND NOT EXISTS (SELECT 1 FROM orchestrator_stray_run)
    AND NOT EXISTS (SELECT 1 FROM orchestrator_silence)
    -- Somebody may repair the run of one that failed over the weekend, or was cancelled today, and only the list of
    -- active runs tells. After that a repair which begins and ends between two whole passes shows in none.
    AND NOT EXISTS (
        SELECT 1 FROM track_processing AS failed {index ix_track_processing_dead} {passing_by}
        WHERE failed.status = 'DEAD' AND failed.finished_at > {seconds_ago 259200} AND failed.finished_at <= {now}
            AND failed.last_runid IS NOT NULL
    )
    AND NOT EXISTS (
        SELECT 1 FROM track_processing AS stopped {index ix_track_processing_finished} {passing_by}
        WHERE stopped.finished_at > {seconds_ago 86400} AND stopped.finished_at <= {now} AND stopped.status = 'CANCELED'
            AND stopped.finished_at IS NOT NULL AND stopped.last_runid IS NOT NULL
    )
    AND (
        ? = 0
        OR NOT (
            EXISTS (SELECT 1 FROM orchestrator_tick AS pass WHERE pass.started_at <= {seconds_ago ?})
            OR EXISTS (SELECT 1 FROM orchestrator_alert AS late WHERE {still_late late})
            OR EXISTS (
                SELECT 1 FROM track_processing AS dead {index ix_track_processing_dead} {passing_by}
                WHERE dead.status = 'DEAD' AND dead.finished_at > {seconds_ago ?} AND {is_unreported dead}
            )
        )
    )

-- pass_started --
-- A pass of a timer function begins; no row is changed at its first.
UPDATE orchestrator_tick
SET started_at = {now}, asked_by = ?
WHERE name = ?

-- pass_first --
-- The first pass ever of a timer function.
INSERT INTO orchestrator_tick (asked_by, name, started_at) VALUES (?, ?, {now})

-- pass_finished --
-- A pass of a timer function has come to its end.
UPDATE orchestrator_tick
SET finished_at = {now},
    outcome = ?,
    troubled_since = CASE WHEN ? = 1 THEN COALESCE(troubled_since, {now}) END
WHERE name = ?

-- pass_failed --
-- A pass of a timer function has failed; the time at which one last came to its end stays.
UPDATE orchestrator_tick
SET outcome = ?,
    troubled_since = COALESCE(troubled_since, {now})
WHERE name = ?

-- passes --
-- The last pass of each timer function.
SELECT name, started_at, finished_at, outcome, asked_by, troubled_since FROM orchestrator_tick ORDER BY name

-- silence_goes_on --
-- A pass got no answer from a workspace; no row is changed at the first such pass.
UPDATE orchestrator_silence
SET passes = passes + 1, since = {by_now since}, problem = ?
WHERE workspace = ?

-- silence_begins --
-- The first pass in a row that got no answer from a workspace.
INSERT INTO orchestrator_silence (workspace, since, passes, problem) VALUES (?, {now}, 1, ?)

-- is_silent --
-- Whether the last pass got no answer from a workspace.
SELECT passes FROM orchestrator_silence WHERE workspace = ?

-- silence_ends --
-- A workspace has answered.
DELETE FROM orchestrator_silence WHERE workspace = ?

-- purge --
-- Delete entries that have been final for this many seconds, oldest first, except those with an open submission.
DELETE FROM track_processing
WHERE status IN ('DONE', 'DEAD', 'CANCELED')
    AND deliveries = 0
    AND id IN (
        SELECT old.id FROM track_processing AS old {claimed}
        WHERE old.status IN ('DONE', 'DEAD', 'CANCELED')
            AND old.deliveries = 0
            AND old.finished_at IS NOT NULL  -- the index's condition, to the letter
            AND old.finished_at <= {seconds_ago ?}
        ORDER BY old.finished_at, old.id
        {limit ?}
    )

-- readers_wait (sqlite) --
-- Whether who reads rows waits for who writes them, in the whole database.
SELECT 0 AS readers_wait  -- by the write-ahead log

-- readers_wait (sqlserver) --
-- Whether who reads rows waits for who writes them, in the whole database.
SELECT CASE is_read_committed_snapshot_on WHEN 1 THEN 0 ELSE 1 END AS readers_wait
FROM sys.databases
WHERE database_id = DB_ID()

-- unenforced (sqlite) --
-- The rules of the table of entries that are switched off, or that a bulk load has passed by.
SELECT '' AS name WHERE 1 = 0  -- SQLite keeps no record of it

-- unenforced (sqlserver) --
-- The rules of the table of entries that are switched off, or that a bulk load has passed by.
SELECT rules.name
FROM sys.check_constraints AS rules
WHERE rules.parent_object_id = OBJECT_ID(N'track_processing')
    AND rules.name LIKE N'ck[_]track[_]processing%'
    AND (rules.is_disabled = 1 OR rules.is_not_trusted = 1)
ORDER BY rules.name

-- kinds_of_tables (sqlite) --
-- What kinds of tables the app's are.
SELECT '' AS name WHERE 1 = 0  -- there is one kind only

-- kinds_of_tables (sqlserver) --
-- What kinds of tables the app's are.
SELECT * -- noqa: AM04
-- Before SQL Server 2022 there is no ledger_type that could be named.
FROM sys.tables
WHERE schema_id = SCHEMA_ID()
    AND (name IN (N'track_processing', N'process_log') OR name LIKE N'orchestrator[_]%')

-- probe_rights (sqlite) --
-- The rights on the tables that the app needs, and whether this login has them.
SELECT '' AS table_name, '' AS permission, 1 AS held WHERE 1 = 0  -- whoever may write the file may do everything in it

-- probe_rights (sqlserver) --
-- The rights on the tables that the app needs, and whether this login has them.
SELECT
    needed.table_name, needed.permission,
    -- NULL: the table is not there, or this login may not even see it
    COALESCE(HAS_PERMS_BY_NAME(needed.table_name, N'OBJECT', needed.permission), 0) AS held
FROM (
    VALUES
    (N'orchestrator_alert', N'DELETE'),
    (N'orchestrator_alert', N'INSERT'),
    (N'orchestrator_alert', N'SELECT'),
    (N'orchestrator_alert', N'UPDATE'),
    (N'orchestrator_open_submission', N'DELETE'),
    (N'orchestrator_open_submission', N'INSERT'),
    (N'orchestrator_open_submission', N'SELECT'),
    (N'orchestrator_open_submission', N'UPDATE'),
    (N'orchestrator_request', N'DELETE'),
    (N'orchestrator_request', N'INSERT'),
    (N'orchestrator_request', N'SELECT'),
    (N'orchestrator_schema', N'SELECT'),
    (N'orchestrator_silence', N'DELETE'),
    (N'orchestrator_silence', N'INSERT'),
    (N'orchestrator_silence', N'SELECT'),
    (N'orchestrator_silence', N'UPDATE'),
    (N'orchestrator_stray_run', N'DELETE'),
    (N'orchestrator_stray_run', N'INSERT'),
    (N'orchestrator_stray_run', N'SELECT'),
    (N'orchestrator_stray_run', N'UPDATE'),
    (N'orchestrator_tick', N'INSERT'),
    (N'orchestrator_tick', N'SELECT'),
    (N'orchestrator_tick', N'UPDATE'),
    (N'process_log', N'INSERT'),
    (N'process_log', N'SELECT'),
    (N'track_processing', N'INSERT'),
    (N'track_processing', N'SELECT'),
    (N'track_processing', N'UPDATE')
) AS needed (table_name, permission)
ORDER BY needed.table_name, needed.permission
