"""Named SQL from files: ``-- name --``, a line of purpose, then the statement."""

import re
from dataclasses import dataclass
from functools import cache
from pathlib import Path

SQL_ROOT = Path(__file__).parent / "sql"

#: Of a dialect: all that a :class:`~orchestrator.adapters.store.session.Session` runs by name.
FILES = ("queries.sql", "reports.sql", "alerts.sql")

_HEADER = re.compile(r"^-- (\w+) --$", re.MULTILINE)


@dataclass(frozen=True, kw_only=True)
class Query:
    """One statement and what it is for."""

    name: str
    purpose: str
    sql: str


def parse(text: str) -> dict[str, Query]:
    """Read a query file.

    :raises ValueError: a block has no purpose line, no statement, or a name that was used before.
    """
    pieces = _HEADER.split(text)
    queries: dict[str, Query] = {}
    for name, body in zip(pieces[1::2], pieces[2::2], strict=True):
        purpose, _, sql = body.strip().partition("\n")
        if not purpose.startswith("-- ") or not sql.strip():
            raise ValueError(f"query {name} needs a purpose line and a statement")
        if name in queries:
            raise ValueError(f"query {name} stands twice")
        queries[name] = Query(name=name, purpose=purpose.removeprefix("-- "), sql=sql.strip())
    return queries


@cache
def load(dialect: str) -> dict[str, Query]:
    """Return the queries of a dialect (``sqlite`` or ``sqlserver``) by name.

    :raises ValueError: a file is broken, or two have a name in common.
    """
    queries: dict[str, Query] = {}
    for file in FILES:
        found = parse((SQL_ROOT / dialect / file).read_text(encoding="utf-8"))
        if twice := queries.keys() & found.keys():
            raise ValueError(f"queries {sorted(twice)} stand in two files")
        queries |= found
    return queries
