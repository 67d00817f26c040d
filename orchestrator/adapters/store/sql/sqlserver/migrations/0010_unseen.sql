-- What tells that nobody looks at entries or passes. None of the columns must be given.

-- Times in a row that the message of the current submission was sent again without any call.
ALTER TABLE track_processing ADD resends int NOT NULL
CONSTRAINT df_track_processing_resends DEFAULT (0);
GO

-- Who asked for the last pass.
ALTER TABLE orchestrator_tick ADD asked_by nvarchar(16) NULL;
GO

-- Since when each pass has ended with a problem; NULL: the last one had none.
ALTER TABLE orchestrator_tick ADD troubled_since datetime2(3) NULL;
