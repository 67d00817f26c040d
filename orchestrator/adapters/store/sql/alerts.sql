-- The events that alerts were sent for.

-- claim_dead (sqlite) --
-- Claim for one message the entries that went DEAD lately and that no message reports yet; inside the lock.
INSERT INTO orchestrator_alert (kind, subject, occurred_at, message, claimed_at)
SELECT
    'dead' AS kind,
    CAST(latest.id AS TEXT) AS subject,
    latest.finished_at AS occurred_at,
    ? AS message,
    utc_now() AS claimed_at
FROM (
    SELECT id, finished_at
    FROM track_processing INDEXED BY ix_track_processing_dead
    WHERE status = 'DEAD' AND finished_at > utc_after(-1000 * ?)
    ORDER BY finished_at DESC, id DESC
    LIMIT ?
) AS latest
WHERE {is_unreported latest}

-- claim_dead (sqlserver) --
-- Claim for one message the entries that went DEAD lately and that no message reports yet; inside the lock.
INSERT INTO orchestrator_alert (kind, subject, occurred_at, message, claimed_at)
SELECT
    'dead' AS kind,
    CAST(latest.id AS nvarchar(32)) AS subject,
    CAST(latest.finished_at AS datetime2(3)) AS occurred_at,
    CAST(? AS nvarchar(36)) AS message,
    SYSUTCDATETIME() AS claimed_at
FROM (
    SELECT id, finished_at
    FROM track_processing
    WHERE status = 'DEAD' AND finished_at > DATEADD(SECOND, -1 * ?, SYSUTCDATETIME())
    ORDER BY finished_at DESC, id DESC
    OFFSET 0 ROWS FETCH NEXT ? ROWS ONLY
) AS latest
WHERE {is_unreported latest}

-- dead_of_message (sqlite) --
-- The first entries that a message reports.
SELECT dead.id, dead.table_name, dead.workspace, SUBSTRING(dead.last_error, 1, 4000) AS last_error
FROM orchestrator_alert AS reported
INNER JOIN track_processing AS dead ON dead.id = CAST(reported.subject AS INTEGER)
WHERE reported.message = ? AND reported.kind = 'dead'
ORDER BY dead.id
LIMIT ?

-- dead_of_message (sqlserver) --
-- The first entries that a message reports.
SELECT dead.id, dead.table_name, dead.workspace, SUBSTRING(dead.last_error, 1, 4000) AS last_error
FROM orchestrator_alert AS reported
INNER JOIN track_processing AS dead ON dead.id = TRY_CAST(reported.subject AS bigint)
WHERE reported.message = ? AND reported.kind = 'dead'
ORDER BY dead.id
OFFSET 0 ROWS FETCH NEXT ? ROWS ONLY

-- claim_pass_event (sqlite) --
-- Claim for one message that a timer function is late or has recovered; inside the lock.
-- Nothing is 'late' after it was 'well': a slow pass may report it long after the function has recovered.
INSERT INTO orchestrator_alert (kind, subject, occurred_at, message, claimed_at)
SELECT event.kind, event.subject, event.occurred_at, ? AS message, utc_now() AS claimed_at
FROM (SELECT ? AS kind, ? AS subject, ? AS occurred_at) AS event
WHERE NOT EXISTS (
    SELECT 1 FROM orchestrator_alert AS reported
    WHERE reported.kind IN (event.kind, 'well')
        AND reported.subject = event.subject
        AND reported.occurred_at = event.occurred_at
)

-- claim_pass_event (sqlserver) --
-- Claim for one message that a timer function is late or has recovered; inside the lock.
-- Nothing is 'late' after it was 'well': a slow pass may report it long after the function has recovered.
INSERT INTO orchestrator_alert (kind, subject, occurred_at, message, claimed_at)
SELECT
    event.kind, event.subject, event.occurred_at, CAST(? AS nvarchar(36)) AS message, SYSUTCDATETIME() AS claimed_at
FROM (
    SELECT
        CAST(? AS nvarchar(16)) AS kind, CAST(? AS nvarchar(32)) AS subject, CAST(? AS datetime2(3)) AS occurred_at
) AS event
WHERE NOT EXISTS (
    SELECT 1 FROM orchestrator_alert AS reported
    WHERE reported.kind IN (event.kind, 'well')
        AND reported.subject = event.subject
        AND reported.occurred_at = event.occurred_at
)

-- uncalled_since --
-- Since when the oldest entry is QUEUED for which nothing was ever called for so many seconds; NULL: there is none.
SELECT MIN(COALESCE(claimed_at, updated_at)) AS since
FROM track_processing {index ix_track_processing_in_flight}
WHERE status IN ('QUEUED', 'RUNNING') AND status = 'QUEUED' AND deliveries = 0 AND postponements = 0
    AND COALESCE(claimed_at, updated_at) < {seconds_ago ?}

-- late_passes --
-- The timer functions that were reported late and still need their "recovered" alert.
SELECT late.subject, late.occurred_at
FROM orchestrator_alert AS late
WHERE {still_late late}
ORDER BY late.occurred_at, late.subject

-- alert_sent --
-- A message has arrived.
UPDATE orchestrator_alert SET sent_at = {now} WHERE message = ? AND sent_at IS NULL

-- release_dead --
-- A message certainly did not arrive: release its entries for the next one; inside the lock.
DELETE FROM orchestrator_alert WHERE message = ? AND sent_at IS NULL AND kind NOT IN ('late', 'well')

-- release_late --
-- The same for functions that have still not begun; one that has begun still needs its "recovered" alert.
DELETE FROM orchestrator_alert
WHERE message = ? AND sent_at IS NULL AND kind = 'late' AND NOT EXISTS (
    SELECT 1 FROM orchestrator_tick AS pass
    WHERE pass.name = orchestrator_alert.subject AND pass.started_at > orchestrator_alert.occurred_at
)

-- release_recovered --
-- The same for functions that were, or were to be, reported late: the next pass finds them again.
DELETE FROM orchestrator_alert
WHERE message = ? AND sent_at IS NULL AND kind = 'well' AND EXISTS (
    SELECT 1 FROM orchestrator_alert AS late
    WHERE late.kind = 'late'
        AND late.subject = orchestrator_alert.subject
        AND late.occurred_at = orchestrator_alert.occurred_at
)

-- keep_recovered_as_late --
-- What is left: functions that have recovered and were never reported late. The next pass finds them as late.
UPDATE orchestrator_alert SET kind = 'late' WHERE message = ? AND sent_at IS NULL AND kind = 'well'

-- forget_dead --
-- Delete claims that are older than any entry that alerts still examine.
DELETE FROM orchestrator_alert
WHERE id IN (
    SELECT old.id FROM orchestrator_alert AS old
    WHERE old.kind = 'dead' AND old.claimed_at <= {seconds_ago ?}
    ORDER BY old.claimed_at, old.id
    {limit ?}
)
