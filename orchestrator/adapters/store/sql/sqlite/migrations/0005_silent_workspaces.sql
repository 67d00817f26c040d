-- The workspaces that did not answer the last pass that asked them for their active runs.

CREATE TABLE orchestrator_silence (
    workspace TEXT PRIMARY KEY,
    -- the first pass without an answer
    since TEXT NOT NULL,
    -- passes without an answer, in a row
    passes INTEGER NOT NULL,
    -- what the last of them met
    problem TEXT NOT NULL
) STRICT;
