"""Output: tables on a terminal, tab-separated lines elsewhere, or one JSON document; and the exit codes.

Names and errors come from outside. Characters that would move a terminal's cursor are printed as escapes, and
a text that a spreadsheet would run as a formula gets an apostrophe in a CSV file (CWE-1236,
https://owasp.org/www-community/attacks/CSV_Injection).
"""

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any

import click
from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from orchestrator.core.states import Status

# The exit codes, on which scripts rely; documented in docs/cli.md. Wrong use is 2, click's own code.

#: done
OK = 0
#: something failed, or was refused
FAILED = 1
#: the filter matched no entry
NOTHING = 3
#: ``status``: the app does not do its work
UNHEALTHY = 4
#: Ctrl-C, or an unanswered question: 128 + SIGINT, as in shells
INTERRUPTED = 130

#: The words say the same as the colours. ``NO_COLOR`` turns them off.
_STYLES = {
    Status.DONE: "green",
    Status.DEAD: "bold red",
    Status.FAILED: "yellow",
    Status.RUNNING: "cyan",
    Status.QUEUED: "blue",
    Status.CANCELED: "dim",
}

#: Width of a field's name in :func:`print_fields`.
_NAME_WIDTH = 18


def console(*, stderr: bool = False) -> Console:
    """Return the terminal; it interprets no markup, links or numbers in a text."""
    return Console(stderr=stderr, markup=False, highlight=False, emoji=False)


def print_json(document: Any) -> None:
    """Print one JSON document."""
    click.echo(json.dumps(document, indent=2))


def complain(text: str) -> None:
    """Print a line on stderr."""
    click.echo(visible(text), err=True)


def print_table(columns: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
    """Print a table on a terminal; elsewhere tab-separated lines in full, under a line of names."""
    terminal = console()
    if terminal.is_terminal:
        terminal.print(drawn([_heading(name) for name in columns], rows, fixed=len(columns) - 1))
        return
    for row in (columns, *rows):
        click.echo("\t".join(cell(value) for value in row))


def drawn(headings: Sequence[str], rows: Iterable[Sequence[object]], *, fixed: int) -> Table:
    """Return a table for a terminal.

    :param fixed: the first `fixed` columns never wrap; the others share the remaining width.
    """
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for position, heading in enumerate(headings):
        table.add_column(Text(visible(heading)), no_wrap=position < fixed, overflow="fold")
    for row in rows:
        table.add_row(*(_styled(value) for value in row))
    return table


def _heading(name: str) -> str:
    return name.removesuffix("_name").removesuffix("_at").replace("_", " ")


def _styled(value: object) -> Text:
    if isinstance(value, datetime):
        return Text(f"{value:%m-%d %H:%M:%S}")  # the year is in ``show``
    return Text(cell(value), style=_STYLES.get(value, "") if isinstance(value, Status) else "")


def cell(value: object) -> str:
    """Return a value as one line; None is empty."""
    if value is None:
        return ""
    if isinstance(value, datetime):
        return f"{value:%Y-%m-%d %H:%M:%S}"
    return visible(" ".join(str(value).split(None)) if isinstance(value, str) else str(value))


def print_fields(fields: Mapping[str, object], *, indent: str = "") -> None:
    """Print a line for each field that has a value; indent the further lines of a long one."""
    start = len(indent) + _NAME_WIDTH
    for name, value in fields.items():
        if value is not None:
            text = visible(str(value)).replace("\n", "\n" + " " * start)
            click.echo(f"{indent}{name:{_NAME_WIDTH}}{text}")


def visible(text: str) -> str:
    """Return a text with its control characters, except line feeds, as escapes."""
    return "".join(
        character if character.isprintable() or character == "\n" else _escaped(character)
        for character in text
    )


def _escaped(character: str) -> str:
    return character.encode("unicode_escape").decode("ascii")


#: What a formula begins with, its full-width forms too, behind any number of apostrophes: a text that has
#: one already gets one more, so that exactly one can be taken away again.
_FORMULA = re.compile("'*[=+\\-@\t\n\uff1d\uff0b\uff0d\uff20]")


def guarded(text: str) -> str:
    """Return a text for a cell, with an apostrophe before what could be a formula.

    Line ends become plain line feeds: Python before 3.13 leaves a carriage return outside of quotes, where it
    begins a new row.
    """
    lines = text.replace("\r\n", "\n").replace("\r", "\n")
    return f"'{lines}" if _FORMULA.match(lines) else lines


def unguarded(text: str) -> str:
    """Return the text of a cell that :func:`guarded` may have made."""
    return text[1:] if text.startswith("'") and _FORMULA.match(text) else text
