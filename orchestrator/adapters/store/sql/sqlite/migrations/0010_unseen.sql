-- What tells that nobody looks at entries or passes. None of the columns must be given.

-- Times in a row that the message of the current submission was sent again without any call.
ALTER TABLE track_processing ADD COLUMN resends INTEGER NOT NULL DEFAULT 0;
-- Who asked for the last pass.
ALTER TABLE orchestrator_tick ADD COLUMN asked_by TEXT;
-- Since when each pass has ended with a problem; NULL: the last one had none.
ALTER TABLE orchestrator_tick ADD COLUMN troubled_since TEXT;
