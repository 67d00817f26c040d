-- The workspaces that did not answer the last pass that asked them for their active runs.

CREATE TABLE orchestrator_silence (
    workspace nvarchar(64) COLLATE Latin1_General_100_BIN2 NOT NULL
        CONSTRAINT pk_orchestrator_silence PRIMARY KEY,
    -- the first pass without an answer
    since datetime2(3) NOT NULL,
    -- passes without an answer, in a row
    passes int NOT NULL,
    -- what the last of them met
    problem nvarchar(4000) NOT NULL
);
