"""The rows' way to their end, watched and, where the demo asks for it, acted upon from outside."""

import time
from collections.abc import Sequence

from rich.console import Console

from devstack.demo.interruption import Interruption
from devstack.demo.progress import progress
from devstack.demo.stack import Stack
from devstack.demo.state import FINAL, Entry, StateStore
from examples import landing
from examples.rows import AWAITED, LATE_TABLE

#: A look at the state is one read of some fifty rows.
POLL_SECONDS = 0.5


class NotFinished(Exception):
    """The rows are not at their end in time; the message holds the ends of the logs."""


class Outside:
    """What others do while the rows run: a sender delivers late, an operator cancels."""

    def __init__(self, stack: Stack) -> None:
        self._stack = stack
        self._cancelled = False

    def deliver(self) -> None:
        """Deliver every table but the late one."""
        for table in landing.TABLES:
            if table != LATE_TABLE:
                landing.deliver(table, self._stack.landing)

    def act(self, entries: Sequence[Entry], failed: set[int]) -> list[str]:
        """Do what is due now and return what was done, in words.

        :param failed: ids of the rows with a failed attempt
        """
        done = []
        by_name = {entry.table_name: entry for entry in entries}
        if by_name[LATE_TABLE].id in failed and not (self._stack.landing / f"{LATE_TABLE}.csv").exists():
            landing.deliver(LATE_TABLE, self._stack.landing)
            done.append(f"{LATE_TABLE} has failed once: its source file is delivered now")
        awaited = by_name[AWAITED]
        if awaited.status == "RUNNING" and not self._cancelled:
            self._stack.orchestrator("cancel", str(awaited.id))
            self._cancelled = True
            done.append(f"{AWAITED} is running: its cancellation is asked for")
        return done


def follow(
    stack: Stack,
    state: StateStore,
    outside: Outside,
    *,
    console: Console,
    deadline: float,
    asked: Interruption,
) -> None:
    """Show the rows' progress until all are at their end.

    :param deadline: on ``time.monotonic``
    :raises NotFinished: they are not at their end by then.
    """
    with progress(console) as shown:
        while True:
            entries = state.entries()
            shown(entries)
            if all(entry.status in FINAL for entry in entries):
                return
            stack.check()
            if time.monotonic() > deadline:
                raise NotFinished(f"the rows are not at their end after the time limit\n{stack.tails()}")
            failed = {ended.entry_id for ended in state.ended() if ended.status == "FAILED"}
            for words in outside.act(entries, failed):
                console.print(f"    {words}", highlight=False, soft_wrap=True)
            asked.sleep(POLL_SECONDS)
