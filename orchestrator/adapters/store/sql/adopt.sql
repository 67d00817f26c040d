-- What adopting a team's table needs. "the_column" and [the_column] stand for a column of the team's.

-- objects (sqlite) --
-- The tables and views that exist.
SELECT lower(name) AS name, type AS kind FROM sqlite_master WHERE type IN ('table', 'view')

-- objects (sqlserver) --
-- The tables and views that exist.
SELECT LOWER(name) AS name, CASE RTRIM(type) WHEN 'U' THEN 'table' ELSE 'view' END AS kind
FROM sys.objects
WHERE schema_id = SCHEMA_ID() AND type IN ('U', 'V')

-- create_statement (sqlite) --
-- The table as the team made it.
SELECT sql FROM sqlite_master WHERE type = 'table' AND lower(name) = 'track_processing'

-- features (sqlite) --
-- Whether the table is STRICT, and whether it has no rowid.
SELECT strict, wr AS without_rowid FROM pragma_table_list
WHERE schema = 'main' AND lower(name) = 'track_processing'

-- columns (sqlite) --
-- The team's columns; pk is the place in the primary key, hidden above 1 a generated column.
SELECT name, type, "notnull" AS required, dflt_value, pk, hidden FROM pragma_table_xinfo('track_processing')

-- columns (sqlserver) --
-- The team's columns with their base types; max_length is in bytes.
SELECT
    c.name, t.name AS type, c.max_length, c.scale, c.is_nullable, c.is_identity, c.is_computed, c.generated_always_type,
    d.name AS default_name
FROM sys.columns AS c
LEFT JOIN sys.types AS t ON t.user_type_id = c.system_type_id
LEFT JOIN sys.default_constraints AS d
    ON d.parent_object_id = c.object_id AND d.parent_column_id = c.column_id
WHERE c.object_id = OBJECT_ID(N'track_processing')
ORDER BY c.column_id

-- defaults (sqlite) --
-- What our columns hold when an insert does not say.
SELECT lower(name) AS name, dflt_value, "notnull" AS required FROM pragma_table_xinfo('track_processing_adopted')

-- owned (sqlite) --
-- The team's own indexes and triggers, which are dropped with the old table and made again.
SELECT name, sql FROM sqlite_master
WHERE type IN ('index', 'trigger') AND lower(tbl_name) = 'track_processing' AND sql IS NOT NULL
ORDER BY type, rowid

-- count_rows (sqlite) --
-- How many entries there are.
SELECT COUNT(*) AS entries FROM track_processing

-- count_rows (sqlserver) --
-- How many entries there are; nobody else reads or writes the table until the end of the transaction.
SELECT COUNT(*) AS entries FROM track_processing WITH (TABLOCKX, HOLDLOCK)

-- count_without_name (sqlite) --
-- Entries without a source table.
SELECT COUNT(*) AS entries FROM track_processing WHERE "the_column" IS NULL OR trim("the_column") = ''

-- count_without_name (sqlserver) --
-- Entries without a source table.
SELECT COUNT(*) AS entries FROM track_processing WHERE [the_column] IS NULL OR LTRIM(RTRIM([the_column])) = N''

-- bad_ids (sqlite) --
-- How many ids are not whole numbers, are missing, or occur twice.
SELECT COUNT(*) - COUNT(DISTINCT CASE WHEN typeof(id) = 'integer' THEN id END) AS entries FROM track_processing

-- statuses (sqlite) --
-- The team's words for a status, and whether the entries have a run.
SELECT
    COALESCE(status, '') AS word,
    COALESCE(trim(CAST(runid AS TEXT)), '') <> '' AS has_run,
    COUNT(*) AS entries
FROM track_processing
GROUP BY COALESCE(status, ''), COALESCE(trim(CAST(runid AS TEXT)), '') <> ''
ORDER BY 1, 2

-- statuses (sqlserver) --
-- The team's words for a status, and whether the entries have a run.
SELECT found.word, found.has_run, COUNT(*) AS entries
FROM (
    SELECT
        COALESCE(CAST(status AS nvarchar(400)), N'') COLLATE Latin1_General_100_BIN2 AS word,
        CASE WHEN COALESCE(LTRIM(RTRIM(CAST(runid AS nvarchar(100)))), N'') = N'' THEN 0 ELSE 1 END AS has_run
    FROM track_processing
) AS found
GROUP BY found.word, found.has_run
ORDER BY found.word, found.has_run

-- statuses_without_runs (sqlite) --
-- The team's words for a status in a table that keeps no run ids.
SELECT COALESCE(status, '') AS word, 0 AS has_run, COUNT(*) AS entries
FROM track_processing
GROUP BY COALESCE(status, '')
ORDER BY 1

-- statuses_without_runs (sqlserver) --
-- The team's words for a status in a table that keeps no run ids.
SELECT found.word, 0 AS has_run, COUNT(*) AS entries
FROM (
    SELECT COALESCE(CAST(status AS nvarchar(400)), N'') COLLATE Latin1_General_100_BIN2 AS word
    FROM track_processing
) AS found
GROUP BY found.word
ORDER BY found.word

-- bad_run_ids (sqlite) --
-- The first few run ids that are not positive whole numbers.
SELECT trim(CAST(runid AS TEXT)) AS runid, COUNT(*) AS entries
FROM track_processing
WHERE COALESCE(trim(CAST(runid AS TEXT)), '') <> ''
    AND (
        trim(CAST(runid AS TEXT)) GLOB '*[^0-9]*'
        OR length(trim(CAST(runid AS TEXT))) > 18
        OR CAST(trim(CAST(runid AS TEXT)) AS INTEGER) = 0
    )
GROUP BY trim(CAST(runid AS TEXT))
ORDER BY 1
LIMIT 5

-- bad_run_ids (sqlserver) --
-- The first few run ids that are not positive whole numbers.
SELECT TOP (5) found.runid, COUNT(*) AS entries
FROM (SELECT LTRIM(RTRIM(CAST(runid AS nvarchar(100)))) AS runid FROM track_processing) AS found
WHERE found.runid <> N''
    AND (found.runid LIKE N'%[^0-9]%' OR COALESCE(TRY_CAST(found.runid AS bigint), 0) <= 0)
GROUP BY found.runid
ORDER BY found.runid

-- runs_of_status (sqlite) --
-- The run ids of the entries with one status word.
SELECT trim(CAST(runid AS TEXT)) AS runid, COUNT(*) AS entries
FROM track_processing
WHERE COALESCE(status, '') = ? AND COALESCE(trim(CAST(runid AS TEXT)), '') <> ''
GROUP BY trim(CAST(runid AS TEXT))

-- runs_of_status (sqlserver) --
-- The run ids of the entries with one status word.
SELECT found.runid, COUNT(*) AS entries
FROM (
    SELECT
        COALESCE(CAST(status AS nvarchar(400)), N'') COLLATE Latin1_General_100_BIN2 AS word,
        LTRIM(RTRIM(CAST(runid AS nvarchar(100)))) AS runid
    FROM track_processing
) AS found
WHERE found.word = ? AND found.runid <> N''
GROUP BY found.runid

-- foreign_key_violations (sqlite) --
-- References to missing rows in the whole file; they were not checked while the table was rebuilt.
SELECT COUNT(*) AS entries FROM pragma_foreign_key_check

-- last_id (sqlite) --
-- The highest id that was ever given, where SQLite remembers it.
SELECT seq FROM sqlite_sequence WHERE lower(name) = 'track_processing'

-- remember_last_id (sqlite) --
-- An id is never used twice, even if its entry is gone.
UPDATE sqlite_sequence SET seq = max(seq, ?) WHERE name = 'track_processing'

-- record_version --
-- The table has version 1 of the schema now.
INSERT INTO orchestrator_schema (version, name) VALUES (?, ?)

-- case_matters (sqlserver) --
-- Whether the database tells STATUS from status.
SELECT CASE WHEN N'a' COLLATE DATABASE_DEFAULT = N'A' THEN 0 ELSE 1 END AS case_matters

-- indexed (sqlserver) --
-- The columns of every index; key_columns of it are its key, the others are included.
SELECT
    LOWER(c.name) AS column_name, i.name AS index_name, i.type AS index_type, i.is_unique, i.has_filter,
    i.filter_definition, k.key_ordinal,
    (
        SELECT COUNT(*) FROM sys.index_columns AS a
        WHERE a.object_id = i.object_id AND a.index_id = i.index_id AND a.key_ordinal > 0
    ) AS key_columns
FROM sys.indexes AS i
INNER JOIN sys.index_columns AS k ON k.object_id = i.object_id AND k.index_id = i.index_id
INNER JOIN sys.columns AS c ON c.object_id = k.object_id AND c.column_id = k.column_id
WHERE i.object_id = OBJECT_ID(N'track_processing') AND i.is_disabled = 0

-- loose_workspace (sqlserver) --
-- The collation of the team's own column of workspaces, if it is one that takes two spellings for one name.
SELECT collation_name FROM sys.columns
WHERE object_id = OBJECT_ID(N'track_processing') AND LOWER(name) = N'workspace'
    AND collation_name NOT LIKE N'%[_]BIN%' AND collation_name NOT LIKE N'%[_]CS[_]AS%'

-- kind_of_table (sqlserver) --
-- Whether the table is a temporal one or a ledger.
SELECT * -- noqa: AM04
-- Before SQL Server 2022 there is no ledger_type that could be named.
FROM sys.tables WHERE object_id = OBJECT_ID(N'track_processing')

-- hand_made_statistics (sqlserver) --
-- Statistics that somebody made; those that SQL Server makes by itself are in nobody's way.
SELECT s.name FROM sys.stats AS s
WHERE s.object_id = OBJECT_ID(N'track_processing') AND s.user_created = 1
ORDER BY s.name

-- checks (sqlserver) --
-- The team's CHECK constraints.
SELECT k.name, k.[definition] FROM sys.check_constraints AS k
WHERE k.parent_object_id = OBJECT_ID(N'track_processing')

-- computed (sqlserver) --
-- The team's computed columns.
SELECT c.name, c.[definition] FROM sys.computed_columns AS c
WHERE c.object_id = OBJECT_ID(N'track_processing')
ORDER BY c.column_id

-- schema_bound (sqlserver) --
-- Views and functions that keep the columns that they name as they are.
SELECT OBJECT_NAME(m.object_id) AS name, m.[definition] FROM sys.sql_modules AS m
WHERE m.is_schema_bound = 1
ORDER BY m.object_id

-- triggers (sqlserver) --
-- What runs on a change of the table.
SELECT t.name, t.is_instead_of_trigger, e.type_desc AS event
FROM sys.triggers AS t
INNER JOIN sys.trigger_events AS e ON e.object_id = t.object_id
WHERE t.parent_id = OBJECT_ID(N'track_processing') AND t.is_disabled = 0

-- drop_default (sqlserver) --
-- A default of the team's makes room for ours.
ALTER TABLE track_processing DROP CONSTRAINT IF EXISTS [the_column]

-- empty_blank_runs (sqlserver) --
-- No run is NULL, not an empty text.
UPDATE track_processing SET runid = NULL WHERE LTRIM(RTRIM(runid)) = N''

-- widen_runs (sqlserver) --
-- Run ids of Databricks have 64 bits.
ALTER TABLE track_processing ALTER COLUMN runid bigint

-- show_table_name (sqlserver) --
-- The team's column keeps the source table's name.
ALTER TABLE track_processing ADD table_name AS [the_column]

-- require_table_name (sqlserver) --
-- An entry without a source table cannot be run.
ALTER TABLE track_processing ADD CONSTRAINT ck_track_processing_table_name CHECK ([the_column] IS NOT NULL)

-- show_parameters (sqlserver) --
-- The team's column keeps the parameters.
ALTER TABLE track_processing ADD parameters AS [the_column]

-- show_id (sqlserver) --
-- The team's identity keeps numbering the entries; a table has only one identity.
ALTER TABLE track_processing ADD id AS CAST([the_column] AS bigint) PERSISTED NOT NULL
    CONSTRAINT ux_track_processing_id UNIQUE

-- add_id (sqlserver) --
-- Number entries that have no id.
ALTER TABLE track_processing ADD id bigint IDENTITY(1, 1) NOT NULL CONSTRAINT ux_track_processing_id UNIQUE

-- map_status (sqlserver) --
-- Map every entry's status in one statement, so that none is mapped twice; the JSON says which word is which.
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

-- follow_runs (sqlserver) --
-- A run that was started before is the entry's first submission.
UPDATE track_processing
SET submission = 1, attempt = 1, submitted_at = SYSUTCDATETIME()
WHERE status = N'RUNNING'
