-- Whether a call of the current submission before the latest one may have started a run. Need not be given.
ALTER TABLE track_processing ADD in_doubt bit NOT NULL
CONSTRAINT df_track_processing_in_doubt DEFAULT (0);
GO

-- Until now the number of calls stood for it. Whether one of them is under way is not known, so all are doubted.
UPDATE track_processing SET in_doubt = 1 WHERE deliveries > 0 AND status <> 'RUNNING';
