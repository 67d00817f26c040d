-- A status with blanks behind it is refused: SQL Server takes it for the state wherever it compares, except by LIKE.

-- Those that are there lose their blanks, as far as they are states. What is in flight without a submission or a run
-- waits.
UPDATE track_processing
SET status = CASE
        WHEN status IN ('QUEUED', 'RUNNING') AND COALESCE(submission, 0) <= 0 THEN 'PENDING'
        WHEN status = 'RUNNING' AND runid IS NULL THEN 'PENDING'
        ELSE UPPER(RTRIM(status))
    END
WHERE status LIKE '% '
    AND UPPER(RTRIM(status)) COLLATE Latin1_General_100_BIN2 IN (
        'PENDING', 'QUEUED', 'RUNNING', 'DONE', 'FAILED', 'DEAD', 'CANCELED'
    );
GO

-- A word that is no state is refused by another constraint. Those that are there stay: whoever brought them sets them
-- right.
ALTER TABLE track_processing ADD CONSTRAINT ck_track_processing_status_blanks CHECK (
    status NOT LIKE '% '
    OR status COLLATE Latin1_General_100_BIN2 NOT IN (
        'PENDING', 'QUEUED', 'RUNNING', 'DONE', 'FAILED', 'DEAD', 'CANCELED'
    )
);
