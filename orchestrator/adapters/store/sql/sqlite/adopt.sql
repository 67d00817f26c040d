-- SQLite: what adopting a team's table needs. "the_column" stands for a column of the team's.

-- objects --
-- The tables and views that are there.
SELECT lower(name) AS name, type AS kind FROM sqlite_master WHERE type IN ('table', 'view')

-- create_statement --
-- The table as the team made it.
SELECT sql FROM sqlite_master WHERE type = 'table' AND lower(name) = 'track_processing'

-- features --
-- Whether the table is STRICT, and whether it has no rowid.
SELECT strict, wr AS without_rowid FROM pragma_table_list
WHERE schema = 'main' AND lower(name) = 'track_processing'

-- columns --
-- The team's columns; pk is the place in the primary key, hidden above 1 a generated column.
SELECT name, type, "notnull" AS required, dflt_value, pk, hidden FROM pragma_table_xinfo('track_processing')

-- defaults --
-- What our columns hold when an insert does not say.
SELECT lower(name) AS name, dflt_value, "notnull" AS required FROM pragma_table_xinfo('track_processing_adopted')

-- owned --
-- The team's own indexes and triggers, which end with the old table and are made again.
SELECT name, sql FROM sqlite_master
WHERE type IN ('index', 'trigger') AND lower(tbl_name) = 'track_processing' AND sql IS NOT NULL
ORDER BY type, rowid

-- count_rows --
-- How many rows there are.
SELECT COUNT(*) AS entries FROM track_processing

-- count_without_name --
-- Rows that name no source table.
SELECT COUNT(*) AS entries FROM track_processing WHERE "the_column" IS NULL OR trim("the_column") = ''

-- bad_ids --
-- Ids that are no whole numbers, are missing, or are there twice.
SELECT COUNT(*) - COUNT(DISTINCT CASE WHEN typeof(id) = 'integer' THEN id END) AS entries FROM track_processing

-- statuses --
-- The words for a row's state, and whether the rows have a run.
SELECT
    COALESCE(status, '') AS word,
    COALESCE(trim(CAST(runid AS TEXT)), '') <> '' AS has_run,
    COUNT(*) AS entries
FROM track_processing
GROUP BY COALESCE(status, ''), COALESCE(trim(CAST(runid AS TEXT)), '') <> ''
ORDER BY 1, 2

-- statuses_without_runs --
-- The words for a row's state in a table that keeps no run ids.
SELECT COALESCE(status, '') AS word, 0 AS has_run, COUNT(*) AS entries
FROM track_processing
GROUP BY COALESCE(status, '')
ORDER BY 1

-- bad_run_ids --
-- Run ids that are no positive whole numbers, the first few of them.
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

-- runs_of_status --
-- The run ids of the rows with one word.
SELECT trim(CAST(runid AS TEXT)) AS runid, COUNT(*) AS entries
FROM track_processing
WHERE COALESCE(status, '') = ? AND COALESCE(trim(CAST(runid AS TEXT)), '') <> ''
GROUP BY trim(CAST(runid AS TEXT))

-- foreign_key_violations --
-- References to rows that are not there, in the whole file; they were not checked while the table was made anew.
SELECT COUNT(*) AS entries FROM pragma_foreign_key_check

-- last_id --
-- The highest id that was ever given, where SQLite remembers it.
SELECT seq FROM sqlite_sequence WHERE lower(name) = 'track_processing'

-- remember_last_id --
-- An id that was given once is not given again, although its row is gone.
UPDATE sqlite_sequence SET seq = max(seq, ?) WHERE name = 'track_processing'

-- record_version --
-- The table has version 1 of the schema now.
INSERT INTO orchestrator_schema (version, name) VALUES (?, ?)
