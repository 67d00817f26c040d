"""How SQLite and SQL Server say what named statements leave open: the clock, a bound, a hint, a column list.

A statement is written once. Where the two databases differ it has a macro in braces, ``{limit ?}``, which is
rendered when the statements are loaded. An unknown macro is an error.
"""

import re
import textwrap
from collections.abc import Mapping
from dataclasses import fields

from orchestrator.core.models import Entry, LogRow
from orchestrator.core.run_requests import MAX_REQUEST_CHARACTERS, MAX_TEXT_CHARACTERS
from orchestrator.core.states import Status

NAMES = ("sqlite", "sqlserver")

#: The state that the database takes a word for, or the word. SQL Server does not tell blanks at the end, and
#: a team's own column may not tell case.
_STATE = "CASE $ " + " ".join(f"WHEN '{state}' THEN '{state}'" for state in Status) + " ELSE $ END"

#: Macro → what it is in SQLite and in SQL Server; ``$`` stands for what the macro is given, unless it begins
#: a JSON path.
_MACROS: dict[str, tuple[str, str]] = {
    # The database's clock; a time in milliseconds from now; a time in seconds ago.
    "now": ("utc_now()", "SYSUTCDATETIME()"),
    "after_ms": ("utc_after($)", "DATEADD(MILLISECOND, $, SYSUTCDATETIME())"),
    "seconds_ago": ("utc_after(-1000 * $)", "DATEADD(SECOND, -1 * $, SYSUTCDATETIME())"),
    # The first rows; one row behind others; a page: how many rows are left out, how many are read.
    "limit": ("LIMIT $", "OFFSET 0 ROWS FETCH NEXT $ ROWS ONLY"),
    "nth": ("LIMIT 1 OFFSET $", "OFFSET $ ROWS FETCH NEXT 1 ROWS ONLY"),
    "page": ("LIMIT ?, ?", "OFFSET ? ROWS FETCH NEXT ? ROWS ONLY"),
    # How many characters a text has. LEN does not count blanks at the end, and reads the whole text.
    "length": ("LENGTH($)", "DATALENGTH(CAST($ AS nvarchar(max))) / 2"),
    # A power of two, a whole number.
    "two_to": ("(1 << ($))", "POWER(2, $)"),
    # A time in the form that sorts as it reads; now for what is none.
    "as_time": (
        "CASE WHEN strftime('%Y-%m-%d %H:%M:%f', $) GLOB '[0-9][0-9][0-9][0-9]-*'"
        " THEN strftime('%Y-%m-%d %H:%M:%f', $) ELSE utc_now() END",
        "COALESCE($, SYSUTCDATETIME())",
    ),
    "new_guid": (
        "lower(hex(randomblob(4)) || '-' || hex(randomblob(2)) || '-4' || substr(hex(randomblob(2)), 2)"
        " || '-8' || substr(hex(randomblob(2)), 2) || '-' || hex(randomblob(6)))",
        "NEWID()",
    ),
    # A time to the last digit that its column has, as text; such a text, or NULL for any other, as a time.
    # Style 121 is read alike in every language.
    "exact": ("$", "CONVERT(nvarchar(27), CAST($ AS datetime2(7)), 121)"),
    "time": ("$", "TRY_CONVERT(datetime2(7), $, 121)"),
    # A state that is bound, in a type that no column is converted for: nvarchar, which the driver sends,
    # makes an index on a team's own varchar column useless under SQL Server's own collations (``SQL_…``).
    "as_state": ("$", "CAST($ AS varchar(16))"),
    # A text of a team's own column, to be compared with one of the app's tables.
    "as_ours": ("$", "$ COLLATE DATABASE_DEFAULT"),
    "state": (_STATE, _STATE),
    # A text to the letter, without what the database or a team's own column does not tell apart.
    "letters": ("$ COLLATE BINARY", "$ COLLATE Latin1_General_100_BIN2"),
    # A name of a workspace or job without blanks at its end, if the database takes it for the same.
    "name": ("$", "RTRIM($)"),
    # 64 bits.
    "count": ("COUNT(*)", "COUNT_BIG(*)"),
    # Read rows as they are committed and pass by those that another transaction holds; the same for rows that
    # are about to be changed, which are held. READPAST needs READCOMMITTEDLOCK where READ_COMMITTED_SNAPSHOT
    # is on, and that one takes no ROWLOCK beside it:
    # https://learn.microsoft.com/sql/t-sql/queries/hints-transact-sql-table
    "passing_by": ("", "WITH (READPAST, READCOMMITTEDLOCK)"),
    "claimed": ("", "WITH (UPDLOCK, READPAST, READCOMMITTEDLOCK)"),
    # Rows that must stay as they are, and those that are not there yet, until the transaction ends.
    "range_locked": ("", "WITH (UPDLOCK, HOLDLOCK)"),
    # SQLite needs to be given the index; SQL Server chooses by its statistics.
    "index": ("INDEXED BY $", ""),
    # The table before it is the outer loop; SQL Server's planner decides by itself.
    "join_in_order": ("CROSS JOIN", "INNER JOIN"),
    # A moment later: a team's own column may be less precise, and its default another clock. No moment comes
    # after the last one, which stands for "never": to ask for it fails the whole statement (error 517).
    "moment_after": (
        "strftime('%Y-%m-%d %H:%M:%f', $, '+0.02 seconds')",
        "CASE WHEN YEAR($) BETWEEN 1900 AND 9998 THEN DATEADD(MILLISECOND, 20, $) ELSE $ END",
    ),
    # Which five minutes a time lies in, as a number.
    "five_minutes": (
        "CAST(strftime('%s', $) AS INTEGER) / 300",
        "DATEDIFF(MINUTE, '20000101', $) / 5",
    ),
    # The hour and the day of a time.
    "hour": ("SUBSTR($, 1, 13) || ':00'", "DATEADD(HOUR, DATEDIFF(HOUR, '20000101', $), '20000101')"),
    "day": ("SUBSTR($, 1, 10)", "CAST(CAST($ AS date) AS datetime2(3))"),
    # A JSON list of numbers or of names as rows; one of objects that say how
    # an entry names its job (0 or '' = not at all), which job that is, and how many slots of it are free.
    "numbers": ("json_each($)", "(SELECT CAST(value AS bigint) AS value FROM OPENJSON($))"),
    "names": ("json_each($)", "(SELECT value FROM OPENJSON($))"),
    "job_rooms": (
        "(SELECT json_extract(value, '$.job_id') AS job_id, json_extract(value, '$.job_name') AS job_name,"
        " json_extract(value, '$.job') AS job, json_extract(value, '$.room') AS room FROM json_each($))",
        "OPENJSON($) WITH (job_id bigint, job_name nvarchar(400), job bigint, room int)",
    ),
    # A condition that only SQLite needs, for a partial index.
    "sqlite": ("$", ""),
    # A part that only SQL Server needs, where a team's own column may hold NULL.
    "sqlserver": ("", "$"),
}

#: How many characters the columns of another length hold that the app writes; third parties may write more.
_MAX_ERROR = 4_000
_MAX_TRACE = 10_000
_MAX_URL = 1_000
_MAX_DOUBTS = 1_000

#: A text column → how many characters of it are read at most, whatever somebody has written there. One more
#: than the app accepts shows that a text is too long.
_MOST_READ = {
    "parameters": MAX_TEXT_CHARACTERS + 1,
    "options": MAX_TEXT_CHARACTERS + 1,
    "request": MAX_REQUEST_CHARACTERS,
    "last_error": _MAX_ERROR,
    "message": _MAX_ERROR,
    "result": _MAX_ERROR,
    "error_trace": _MAX_TRACE,
    "run_page_url": _MAX_URL,
    "doubts": _MAX_DOUBTS,
}

#: A field that is no column → the column whose length it is.
LENGTHS = {"parameters_length": "parameters", "options_length": "options"}

#: A column that is selected as the database compares it → the macro that does so.
_COMPARED = {"status": "state", "workspace": "name", "job_name": "name"}

_ENTRY = tuple(field.name for field in fields(Entry))
_LOG = tuple(field.name for field in fields(LogRow))

#: Macro → the fields of a record that it selects, in their order. Given an alias, each is qualified. What is
#: not shown is not read: a list of entries leaves their parameters out.
_SELECTED = {
    "entry_columns": _ENTRY,
    "listed_columns": tuple(name for name in _ENTRY if name != "parameters" and name not in LENGTHS),
    "log_fields": _LOG,
}

_GIVEN = re.compile(r"\$(?!\.)")

_MACRO = re.compile(r"\{(\w+)(?: ([^{}]*))?\}")

#: What an INSERT or UPDATE returns: written where T-SQL has it, and moved to the end for SQLite.
_RETURNING = re.compile(r"\{returning ([^{}]*)\}\s*")

#: A column that a statement returns → its type in T-SQL.
_RETURNED = {"id": "bigint", "entry_guid": "uniqueidentifier", "entry_id": "bigint", "submission": "int"}

#: What changes rows, behind comments.
_CHANGE = re.compile(r"(?:\s*--[^\n]*\n)*\s*(INSERT|UPDATE|DELETE)\b")

#: The column of T-SQL's count of changed rows.
ROW_COUNT = "changed_rows"

_LINE_LENGTH = 110


def render(sql: str, dialect: str, fragments: Mapping[str, str] | None = None) -> str:
    """Return a statement as one database says it.

    :param fragments: shared conditions by name; ``{alias}`` in them stands for what the macro is given.
    :raises ValueError: it has an unknown macro.
    """
    known = fragments or {}

    def replace(match: re.Match[str]) -> str:
        name, given = match[1], match[2] or ""
        if name == "returning":
            return match[0]
        if name in known:
            return known[name].replace("{alias}", given).replace("\n", "\n" + _indentation(match))
        if name == "log_columns":
            return ", ".join(_LOG)
        if name in _SELECTED:
            return ", ".join(_selected(name, given))
        if name in _MACROS:
            return _GIVEN.sub(lambda _: given, _MACROS[name][NAMES.index(dialect)])
        raise ValueError(f"there is no macro {name!r} for named SQL")

    while (rendered := _MACRO.sub(replace, sql)) != sql:
        sql = rendered
    change = _CHANGE.match(sql)
    return _tidy(sql if change is None else _told(sql, change[1], dialect))


def _indentation(match: re.Match[str]) -> str:
    """Return the blanks that the line of a match begins with."""
    line = match.string[match.string.rfind("\n", 0, match.start()) + 1 :]
    return line[: len(line) - len(line.lstrip(" "))]


def _told(sql: str, verb: str, dialect: str) -> str:
    """Let a change tell what it changed: columns of the rows, or how many rows.

    T-SQL refuses ``OUTPUT`` without ``INTO`` on a table with triggers (error 334), and a driver's own count
    may be that of a trigger. So both come from a SELECT at the batch's end:
    https://learn.microsoft.com/sql/t-sql/queries/output-clause-transact-sql#triggers
    """
    match = _RETURNING.search(sql)
    if match is None:
        return sql if dialect == "sqlite" else f"{sql.rstrip()};\nSELECT @@ROWCOUNT AS {ROW_COUNT}"
    if verb == "DELETE":
        raise ValueError("a DELETE returns nothing: T-SQL has no inserted rows there")
    columns = re.split(r",\s+", match[1].strip())
    without = _RETURNING.sub("", sql)
    if dialect == "sqlite":
        return f"{without.rstrip()}\nRETURNING{_wrapped(', '.join(columns))}"
    declared = ", ".join(f"{column} {_RETURNED[column]}" for column in columns)
    inserted = ", ".join(f"inserted.{column}" for column in columns)
    output = f"OUTPUT{_wrapped(inserted)}\nINTO @changed\n"
    changing = f"{without[: match.start()]}{output}{without[match.start() :]}".rstrip()
    return f"DECLARE @changed TABLE ({declared});\n{changing};\nSELECT {', '.join(columns)} FROM @changed"


def _selected(what: str, alias: str) -> list[str]:
    return [_field(name, alias) for name in _SELECTED[what]]


def _field(name: str, alias: str) -> str:
    """Return what a field of a record is selected by: no text is read beyond its bound."""
    if name in _COMPARED:
        return f"{{{_COMPARED[name]} {_qualified(name, alias)}}} AS {name}"
    if name in LENGTHS:
        return f"COALESCE({{length {_qualified(LENGTHS[name], alias)}}}, 0) AS {name}"
    if name in _MOST_READ:
        return f"SUBSTRING({_qualified(name, alias)}, 1, {_MOST_READ[name]}) AS {name}"
    return _qualified(name, alias)


def _qualified(column: str, alias: str) -> str:
    return f"{alias}.{column}" if alias else column


def _wrapped(text: str) -> str:
    if len(text) < _LINE_LENGTH:
        return f" {text}"
    return "\n" + textwrap.fill(text, _LINE_LENGTH, initial_indent="    ", subsequent_indent="    ")


def _tidy(sql: str) -> str:
    """Take away the blanks that an empty macro leaves."""
    lines = (re.sub(r"(?<=\S) {2,}(?!-)", " ", line).rstrip() for line in sql.splitlines())
    return "\n".join(lines).strip()
