"""Names and definitions in DDL: the only place in the product that builds SQL from a team's names.

A statement of ``adopt.sql`` writes ``the_column``, quoted, in place of a team's column; :func:`with_column`
inserts the name. All other SQL that is built consists of text from our own migrations, and of the team's
``CREATE TABLE`` as SQLite stores it.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass

_PIECE = re.compile(
    r"""\s+ | --[^\n]* | /\*.*?\*/
    | '(?:[^']|'')*' | "(?:[^"]|"")*" | \[[^\]]*\] | `(?:[^`]|``)*`
    | [\w$]+ | .""",
    re.DOTALL | re.VERBOSE,
)

#: A definition that begins with one of these, unquoted, is a table constraint, not a column.
_TABLE_CONSTRAINTS = frozenset({"CONSTRAINT", "PRIMARY", "UNIQUE", "CHECK", "FOREIGN"})

#: What may follow PRIMARY KEY, but not UNIQUE.
_PRIMARY_KEY_OPTIONS = frozenset({"ASC", "DESC", "AUTOINCREMENT"})

_CLOSING_QUOTES = {'"': '"', "[": "]", "`": "`", "'": "'"}


def quoted(name: str, dialect: str) -> str:
    """Quote a name as an identifier, safely whatever characters it holds."""
    if dialect == "sqlserver":
        return "[" + name.replace("]", "]]") + "]"
    return '"' + name.replace('"', '""') + '"'


def with_column(sql: str, name: str, dialect: str) -> str:
    """Put a column's name into a statement in place of ``the_column``."""
    return sql.replace(quoted("the_column", dialect), quoted(name, dialect))


@dataclass(frozen=True, kw_only=True)
class Definition:
    """One item of a ``CREATE TABLE``: a column, or a table constraint."""

    #: the name of a column; None for a constraint
    name: str | None
    #: the definition as written, without comments
    text: str
    #: the text after the first word, which for a column is its name
    rest: str


def definitions(create_table: str) -> list[Definition]:
    """Return the items between the parentheses of a ``CREATE TABLE``."""
    found: list[Definition] = []
    current: list[str] = []
    depth = 0
    for piece in _split(create_table):
        closes = piece == ")" and depth == 1
        if closes or (piece == "," and depth == 1):
            found.append(_definition(current))
            current = []
        elif depth:
            current.append(piece)
        if closes:
            break
        depth += (piece == "(") - (piece == ")")
    return found


def without_primary_key(definition: str) -> str:
    """Return a definition with UNIQUE in place of PRIMARY KEY."""
    pieces = [piece for piece in _split(definition) if not piece.isspace()]
    kept: list[str] = []
    after_key = False
    for piece in pieces:
        word = piece.upper()
        if word == "KEY" and kept and kept[-1].upper() == "PRIMARY":
            kept[-1] = "UNIQUE"
            after_key = True
        elif not (after_key and word in _PRIMARY_KEY_OPTIONS):
            after_key = False
            kept.append(piece)
    return " ".join(kept)


def mentions(text: str, column: str) -> bool:
    """Say whether a constraint may refer to a column. A word in a literal counts, too."""
    return re.search(rf"\b{re.escape(column)}\b", text, re.IGNORECASE) is not None


def _split(sql: str) -> Iterator[str]:
    for match in _PIECE.finditer(sql):
        if not match[0].startswith(("--", "/*")):
            yield match[0]


def _definition(pieces: list[str]) -> Definition:
    text = "".join(pieces).strip()
    first = next(piece for piece in pieces if not piece.isspace())
    return Definition(
        name=None if first.upper() in _TABLE_CONSTRAINTS else _unquoted(first),
        text=text,
        rest=text[len(first) :].strip(),
    )


def _unquoted(piece: str) -> str:
    closing = _CLOSING_QUOTES.get(piece[0])
    return piece[1:-1].replace(closing * 2, closing) if closing else piece
