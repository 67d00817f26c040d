"""Tables of figures, printed as Markdown so that the documents can quote them as they come."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class Table:
    """Figures of one run, side by side."""

    #: What was measured, with its numbers: "Submitting 1,000 entries, run-now takes 150 ms". It holds
    #: nothing that is measured: ``benchmarks.pairs`` finds the same table of another run by it.
    title: str
    columns: Sequence[str]
    #: as many cells in each row as there are columns
    rows: Sequence[Sequence[str]]
    #: what a reader has to know to believe the figures: the ceiling of the server, what was left out and why
    notes: Sequence[str] = ()


def markdown(table: Table) -> str:
    """Return a table as Markdown, its columns padded so that a terminal shows them aligned."""
    rows = [table.columns, *table.rows]
    widths = [max(len(row[column]) for row in rows) for column in range(len(table.columns))]
    lines = [_line(row, widths) for row in rows]
    lines.insert(1, "|" + "|".join("-" * (width + 2) for width in widths) + "|")
    notes = ["", *bullets(table.notes)] if table.notes else []
    return "\n".join([f"### {table.title}", "", *lines, *notes])


def bullets(notes: Iterable[str]) -> list[str]:
    """Return notes as the lines of a Markdown list."""
    return [f"- {note}" for note in notes]


def _line(cells: Sequence[str], widths: Iterable[int]) -> str:
    padded = (cell.ljust(width) for cell, width in zip(cells, widths, strict=True))
    return f"| {' | '.join(padded)} |"
