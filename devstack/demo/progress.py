"""Live progress: a bar on a terminal, a line at each change elsewhere."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Protocol

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from devstack.demo.state import Entry, counts, finished


class Show(Protocol):
    """Shows how far the rows are."""

    def __call__(self, entries: Sequence[Entry]) -> None:
        """Show these rows."""
        ...


def states_line(entries: Sequence[Entry]) -> str:
    """The counts by state on one line."""
    return "  ".join(f"{state} {count}" for state, count in counts(entries).items())


@contextmanager
def progress(console: Console) -> Iterator[Show]:
    """Show progress in the way that fits the console."""
    if not console.is_terminal:
        yield _lines(console)
        return
    with Progress(
        BarColumn(40),
        MofNCompleteColumn(),
        TextColumn("{task.fields[states]}"),
        TimeElapsedColumn(),
        console=console,
    ) as bar:
        task = bar.add_task("rows", total=None, states="")

        def show(entries: Sequence[Entry]) -> None:
            bar.update(task, total=len(entries), completed=finished(entries), states=states_line(entries))

        yield show


def _lines(console: Console) -> Show:
    shown = ""

    def show(entries: Sequence[Entry]) -> None:
        nonlocal shown
        line = f"{finished(entries):3} of {len(entries)} finished   {states_line(entries)}"
        if line != shown:
            console.print(line, highlight=False, soft_wrap=True)
            shown = line

    return show
