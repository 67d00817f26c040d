-- Runs that Databricks told of when their entries had gone on without them. They are cancelled.

CREATE TABLE orchestrator_stray_run (
    workspace nvarchar(64) COLLATE Latin1_General_100_BIN2 NOT NULL,
    runid bigint NOT NULL,
    entry_id bigint NOT NULL,
    since datetime2(3) NOT NULL,
    -- what keeps the app from cancelling it
    problem nvarchar(4000) NULL,
    CONSTRAINT pk_orchestrator_stray_run PRIMARY KEY (workspace, runid)
);
