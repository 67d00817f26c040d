-- What people were told of. An event is claimed here before its message is sent, so that nobody sends it twice.

CREATE TABLE orchestrator_alert (
    id bigint IDENTITY(1, 1) NOT NULL CONSTRAINT pk_orchestrator_alert PRIMARY KEY,
    -- 'dead': a row went DEAD; 'late' and 'well': a timer function did not begin in time, and does so again
    kind nvarchar(16) NOT NULL
        CONSTRAINT ck_orchestrator_alert_kind CHECK (kind IN (N'dead', N'late', N'well')),
    -- the row's id, or the timer function's name
    subject nvarchar(32) NOT NULL,
    -- when the row went DEAD; for 'late' and 'well' the last start before the function was late
    occurred_at datetime2(3) NOT NULL,
    -- the message that tells of it
    message nvarchar(36) NOT NULL,
    claimed_at datetime2(3) NOT NULL CONSTRAINT df_orchestrator_alert_claimed_at DEFAULT SYSUTCDATETIME(),
    -- NULL: it is under way, or whether it arrived is not known
    sent_at datetime2(3) NULL,
    -- The last guard: one event, one message.
    CONSTRAINT ux_orchestrator_alert_event UNIQUE (kind, subject, occurred_at)
);
GO

CREATE INDEX ix_orchestrator_alert_message ON orchestrator_alert (message) INCLUDE (subject, sent_at);
GO

CREATE INDEX ix_orchestrator_alert_claimed ON orchestrator_alert (claimed_at, id)
INCLUDE (kind)
WHERE kind = N'dead';
GO

-- What went DEAD lately.
CREATE INDEX ix_track_processing_dead ON track_processing (finished_at, id)
INCLUDE (status)
-- No nvarchar literal: see 0002_reports.sql.
WHERE status = 'DEAD';
