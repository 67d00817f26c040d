"""Named SQL from files: ``-- name --``, a line of purpose, then the statement, with macros where it differs.

A statement that really differs is written once for each dialect, under ``-- name (sqlite) --`` and
``-- name (sqlserver) --``. ``-- name (fragment) --`` is a condition that several statements share.
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from orchestrator.adapters.store import dialects

SQL_ROOT = Path(__file__).parent / "sql"

#: All that a :class:`~orchestrator.adapters.store.session.Session` runs by name.
_FILES = ("entries.sql", "reports.sql", "alerts.sql")

#: The rest of a purpose of several lines.
_COMMENTS = re.compile(r"\A(--[^\n]*\n)+")

_HEADER = re.compile(r"^-- (\w+)(?: \((\w+)\))? --$", re.MULTILINE)


@dataclass(frozen=True, kw_only=True)
class _Query:
    """One statement and what it is for."""

    name: str
    purpose: str
    sql: str
    #: the dialect that it is written for, ``fragment``, or empty: for both
    kind: str = ""


def _parse(text: str) -> list[_Query]:
    """Read a file of named SQL, as it is written.

    :raises ValueError: a block has no purpose line or no statement, its kind is unknown, or it occurs twice.
    """
    pieces = _HEADER.split(text)
    queries: list[_Query] = []
    for name, kind, body in zip(pieces[1::3], pieces[2::3], pieces[3::3], strict=True):
        purpose, _, sql = body.strip().partition("\n")
        if not purpose.startswith("-- ") or not sql.strip():
            raise ValueError(f"query {name} needs a purpose line and a statement")
        if kind not in {None, "fragment", *dialects.NAMES}:
            raise ValueError(f"query {name}: {kind} is not a dialect")
        query = _Query(name=name, purpose=purpose.removeprefix("-- "), sql=sql.strip(), kind=kind or "")
        queries.append(query)
    return queries


def _rendered(queries: Iterable[_Query], dialect: str) -> dict[str, _Query]:
    """Return the statements of a dialect by name, rendered.

    :raises ValueError: a macro is unknown, or a name occurs twice.
    """
    written = list(queries)
    fragments = {query.name: _COMMENTS.sub("", query.sql) for query in written if query.kind == "fragment"}
    found: dict[str, _Query] = {}
    for query in written:
        if query.kind not in {"", dialect}:
            continue
        if query.name in found:
            raise ValueError(f"query {query.name} is there twice")
        sql = dialects.render(query.sql, dialect, fragments)
        found[query.name] = _Query(name=query.name, purpose=query.purpose, sql=sql)
    return found


@cache
def load(dialect: str) -> dict[str, _Query]:
    """Return the statements that the app runs, by name, as a dialect says them.

    :raises ValueError: a file is broken.
    """
    return _rendered((query for file in _FILES for query in _parse(_read(file))), dialect)


@cache
def load_adoption(dialect: str) -> dict[str, _Query]:
    """Return the statements that adopting a team's table needs. See :func:`load`."""
    return _rendered(_parse(_read("adopt.sql")), dialect)


def script(dialect: str) -> str:
    """Return every statement of the app and of an adoption, each with its purpose, for a DBA to read."""
    found = (*load(dialect).values(), *load_adoption(dialect).values())
    return "\n".join(f"-- {query.name}: {query.purpose}\n{query.sql};\n" for query in found)


def _read(name: str) -> str:
    return (SQL_ROOT / name).read_text(encoding="utf-8")
