-- SQL Server: what adopting a team's table needs. [the_column] stands for a column of the team's.

-- objects --
-- The tables and views that are there.
SELECT LOWER(name) AS name, CASE RTRIM(type) WHEN 'U' THEN 'table' ELSE 'view' END AS kind
FROM sys.objects
WHERE schema_id = SCHEMA_ID() AND type IN ('U', 'V')

-- case_matters --
-- Whether the database tells STATUS from status.
SELECT CASE WHEN N'a' COLLATE DATABASE_DEFAULT = N'A' THEN 0 ELSE 1 END AS case_matters

-- count_rows --
-- How many rows there are; nobody else reads or writes the table until the end of the transaction.
SELECT COUNT(*) AS entries FROM track_processing WITH (TABLOCKX, HOLDLOCK)

-- columns --
-- The team's columns with their base types; max_length is in bytes.
SELECT
    c.name, t.name AS type, c.max_length, c.is_nullable, c.is_identity, c.is_computed, d.name AS default_name
FROM sys.columns AS c
LEFT JOIN sys.types AS t ON t.user_type_id = c.system_type_id
LEFT JOIN sys.default_constraints AS d
    ON d.parent_object_id = c.object_id AND d.parent_column_id = c.column_id
WHERE c.object_id = OBJECT_ID(N'track_processing')
ORDER BY c.column_id

-- indexed --
-- The columns of every index; key_columns of it are its key, the others are included.
SELECT
    LOWER(c.name) AS column_name, i.name AS index_name, i.is_unique, i.has_filter, k.key_ordinal,
    (
        SELECT COUNT(*) FROM sys.index_columns AS a
        WHERE a.object_id = i.object_id AND a.index_id = i.index_id AND a.key_ordinal > 0
    ) AS key_columns
FROM sys.indexes AS i
INNER JOIN sys.index_columns AS k ON k.object_id = i.object_id AND k.index_id = i.index_id
INNER JOIN sys.columns AS c ON c.object_id = k.object_id AND c.column_id = k.column_id
WHERE i.object_id = OBJECT_ID(N'track_processing') AND i.is_disabled = 0

-- checks --
-- The team's CHECK constraints.
SELECT k.name, k.[definition] FROM sys.check_constraints AS k
WHERE k.parent_object_id = OBJECT_ID(N'track_processing')

-- triggers --
-- What runs on a change of the table.
SELECT t.name, t.is_instead_of_trigger, e.type_desc AS event
FROM sys.triggers AS t
INNER JOIN sys.trigger_events AS e ON e.object_id = t.object_id
WHERE t.parent_id = OBJECT_ID(N'track_processing') AND t.is_disabled = 0

-- count_without_name --
-- Rows that name no source table.
SELECT COUNT(*) AS entries FROM track_processing WHERE [the_column] IS NULL OR LTRIM(RTRIM([the_column])) = N''

-- statuses --
-- The words for a row's state, and whether the rows have a run.
SELECT told.word, told.has_run, COUNT(*) AS entries
FROM (
    SELECT
        COALESCE(CAST(status AS nvarchar(400)), N'') COLLATE Latin1_General_100_BIN2 AS word,
        CASE WHEN COALESCE(LTRIM(RTRIM(CAST(runid AS nvarchar(100)))), N'') = N'' THEN 0 ELSE 1 END AS has_run
    FROM track_processing
) AS told
GROUP BY told.word, told.has_run
ORDER BY told.word, told.has_run

-- statuses_without_runs --
-- The words for a row's state in a table that keeps no run ids.
SELECT told.word, 0 AS has_run, COUNT(*) AS entries
FROM (
    SELECT COALESCE(CAST(status AS nvarchar(400)), N'') COLLATE Latin1_General_100_BIN2 AS word
    FROM track_processing
) AS told
GROUP BY told.word
ORDER BY told.word

-- bad_run_ids --
-- Run ids that are no positive whole numbers, the first few of them.
SELECT TOP (5) told.runid, COUNT(*) AS entries
FROM (SELECT LTRIM(RTRIM(CAST(runid AS nvarchar(100)))) AS runid FROM track_processing) AS told
WHERE told.runid <> N''
    AND (told.runid LIKE N'%[^0-9]%' OR COALESCE(TRY_CAST(told.runid AS bigint), 0) <= 0)
GROUP BY told.runid
ORDER BY told.runid

-- runs_of_status --
-- The run ids of the rows with one word.
SELECT told.runid, COUNT(*) AS entries
FROM (
    SELECT
        COALESCE(CAST(status AS nvarchar(400)), N'') COLLATE Latin1_General_100_BIN2 AS word,
        LTRIM(RTRIM(CAST(runid AS nvarchar(100)))) AS runid
    FROM track_processing
) AS told
WHERE told.word = ? AND told.runid <> N''
GROUP BY told.runid

-- drop_default --
-- A default of the team's makes room for ours.
ALTER TABLE track_processing DROP CONSTRAINT IF EXISTS [the_column]

-- empty_blank_runs --
-- No run is NULL, not an empty text.
UPDATE track_processing SET runid = NULL WHERE LTRIM(RTRIM(runid)) = N''

-- widen_runs --
-- Run ids of Databricks have 64 bits.
ALTER TABLE track_processing ALTER COLUMN runid bigint

-- show_table_name --
-- The team's column goes on holding the source table's name.
ALTER TABLE track_processing ADD table_name AS [the_column]

-- require_table_name --
-- A row without a source table cannot be run.
ALTER TABLE track_processing ADD CONSTRAINT ck_track_processing_table_name CHECK ([the_column] IS NOT NULL)

-- show_parameters --
-- The team's column goes on holding the parameters.
ALTER TABLE track_processing ADD parameters AS [the_column]

-- show_id --
-- The team's identity goes on numbering the rows; a table has only one.
ALTER TABLE track_processing ADD id AS CAST([the_column] AS bigint) PERSISTED NOT NULL
    CONSTRAINT ux_track_processing_id UNIQUE

-- add_id --
-- Rows without a number get one.
ALTER TABLE track_processing ADD id bigint IDENTITY(1, 1) NOT NULL CONSTRAINT ux_track_processing_id UNIQUE

-- map_status --
-- Every row goes to its state, in one statement, so that none is mapped twice; JSON tells which word is which.
UPDATE entry
SET status = mapped.target,
    finished_at = CASE
        WHEN mapped.target IN (N'PENDING', N'RUNNING') THEN entry.finished_at
        ELSE COALESCE(entry.finished_at, SYSUTCDATETIME())
    END,
    last_error = CASE mapped.target
        WHEN N'DEAD' THEN mapped.word + N' when it was adopted'
        ELSE entry.last_error
    END
FROM track_processing AS entry
INNER JOIN OPENJSON(?) WITH (word nvarchar(400), has_run int, target nvarchar(16)) AS mapped
    ON mapped.word COLLATE Latin1_General_100_BIN2
        = COALESCE(CAST(entry.status AS nvarchar(400)), N'') COLLATE Latin1_General_100_BIN2
        AND mapped.has_run = CASE WHEN entry.runid IS NULL THEN 0 ELSE 1 END

-- follow_runs --
-- A run that was started before is the row's first submission.
UPDATE track_processing
SET submission = 1, attempt = 1, submitted_at = SYSUTCDATETIME()
WHERE status = N'RUNNING'

-- record_version --
-- The table has version 1 of the schema now.
INSERT INTO orchestrator_schema (version, name) VALUES (?, ?)
