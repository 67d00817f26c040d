-- What people were told of. An event is claimed here before its message is sent, so that nobody sends it twice.

CREATE TABLE orchestrator_alert (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    -- 'dead': a row went DEAD; 'late' and 'well': a timer function did not begin in time, and does so again
    kind TEXT NOT NULL CHECK (kind IN ('dead', 'late', 'well')),
    -- the row's id, or the timer function's name
    subject TEXT NOT NULL,
    -- when the row went DEAD; for 'late' and 'well' the last start before the function was late
    occurred_at TEXT NOT NULL,
    -- the message that tells of it
    message TEXT NOT NULL,
    claimed_at TEXT NOT NULL DEFAULT (strftime('%Y-%m-%d %H:%M:%f', 'now')),
    -- NULL: it is under way, or whether it arrived is not known
    sent_at TEXT,
    -- The last guard: one event, one message.
    UNIQUE (kind, subject, occurred_at)
) STRICT;

CREATE INDEX ix_orchestrator_alert_message ON orchestrator_alert (message);

CREATE INDEX ix_orchestrator_alert_claimed ON orchestrator_alert (claimed_at, id) WHERE kind = 'dead';

-- What went DEAD lately.
CREATE INDEX ix_track_processing_dead ON track_processing (finished_at, id) WHERE status = 'DEAD';
