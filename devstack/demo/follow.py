"""The entries' way to their end, watched and, where the demo asks for it, acted upon from outside."""

import math
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Protocol

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from devstack.demo.interruption import Interruption
from devstack.demo.stack import Stack
from devstack.demo.state import FINAL, Entry, StateStore, counts, finished
from examples import landing
from examples.entries import AWAITED, LATE_TABLE

#: A look at the state is one read of some fifty entries. The late delivery must come well before the retry.
POLL_SECONDS = 0.2


#: After this long without any change of an entry's state something is wrong: each run takes seconds.
STILL_SECONDS = 60.0


class NotFinished(Exception):
    """The entries are not at their end in time; the message holds the ends of the logs."""


class Patience:
    """Ends when nothing has changed for long, or all takes too long.

    :param deadline: on ``time.monotonic``; infinity = without end.
    :param clock: returns the time.
    """

    def __init__(self, deadline: float, clock: Callable[[], float] = time.monotonic) -> None:
        self._deadline = deadline
        self._clock = clock
        self._seen: object = None
        self._changed = clock()

    def check(self, entries: Sequence[Entry]) -> None:
        """Look at the entries again. :raises NotFinished: the patience is at its end."""
        now = self._clock()
        seen = list(entries)
        if seen != self._seen:
            self._seen, self._changed = seen, now
        if self._deadline == math.inf:
            return
        if now - self._changed > STILL_SECONDS:
            why = f"no entry has changed for {STILL_SECONDS:.0f} s"
        elif now > self._deadline:
            why = "the time limit is over"
        else:
            return
        raise NotFinished(
            f"{why}: {finished(entries)} of {len(entries)} entries are finished ({states_line(entries)}). "
            "Read the ends of the logs below, or start `make run`, which waits without end, and look at its "
            "dashboard"
        )


class Outside:
    """What others do while the entries of a workspace run: a sender delivers late, an operator cancels.

    :param folder: the landing folder.
    """

    def __init__(self, folder: Path, state: StateStore, workspace: str) -> None:
        self._folder = folder
        self._workspace = workspace
        self._state = state
        self._cancelled = False

    def deliver(self) -> None:
        """Deliver every table but the late one."""
        for table in landing.TABLES:
            if table != LATE_TABLE:
                landing.deliver(table, self._folder)

    def act(self, entries: Sequence[Entry], failed: set[int]) -> list[str]:
        """Do what is due now and return what was done, in words.

        :param entries: of all workspaces.
        :param failed: ids of the entries with a failed attempt
        """
        done = []
        by_name = {entry.table_name: entry for entry in entries if entry.workspace == self._workspace}
        if by_name[LATE_TABLE].id in failed and not (self._folder / f"{LATE_TABLE}.csv").exists():
            landing.deliver(LATE_TABLE, self._folder)
            done.append(f"{LATE_TABLE} has failed once: its source file is delivered now")
        awaited = by_name[AWAITED]
        if awaited.status == "RUNNING" and not self._cancelled:
            self._state.cancel(awaited.id)
            self._cancelled = True
            done.append(f"{AWAITED} is running: its cancellation is asked for")
        return done


def follow(
    stack: Stack,
    state: StateStore,
    outsiders: Sequence[Outside],
    *,
    console: Console,
    deadline: float,
    asked: Interruption,
) -> None:
    """Show the entries' progress until all are at their end.

    :param deadline: on ``time.monotonic``
    :raises NotFinished: they are not at their end by then, or stand still.
    """
    patience = Patience(deadline)
    with progress(console) as shown:
        while True:
            entries = state.entries()
            shown(entries)
            if all(entry.status in FINAL for entry in entries):
                return
            stack.check()
            try:
                patience.check(entries)
            except NotFinished as error:
                raise NotFinished(f"{error}\n{stack.tails()}") from None
            failed = {ended.entry_id for ended in state.ended() if ended.status == "FAILED"}
            for words in (done for outside in outsiders for done in outside.act(entries, failed)):
                console.print(f"    {words}", highlight=False, soft_wrap=True)
            asked.sleep(POLL_SECONDS)


class Show(Protocol):
    """Shows how far the entries are."""

    def __call__(self, entries: Sequence[Entry]) -> None:
        """Show these entries."""
        ...


def states_line(entries: Sequence[Entry]) -> str:
    """The counts by state on one line."""
    return "  ".join(f"{state} {count}" for state, count in counts(entries).items())


@contextmanager
def progress(console: Console) -> Iterator[Show]:
    """Show progress: a bar on a terminal, a line at each change elsewhere."""
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
        task = bar.add_task("entries", total=None, states="")

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
