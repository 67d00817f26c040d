-- Runs that Databricks told of when their entries had gone on without them. They are cancelled.

CREATE TABLE orchestrator_stray_run (
    workspace TEXT NOT NULL,
    runid INTEGER NOT NULL,
    entry_id INTEGER NOT NULL,
    since TEXT NOT NULL,
    -- what keeps the app from cancelling it
    problem TEXT NULL,
    PRIMARY KEY (workspace, runid)
) STRICT;
