"""The state store as a third party sees it: plain SQL on the tables that are the product's contract."""

import json
import sqlite3
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Self

from examples.entries import ExampleEntry

#: The app does nothing more with entries in these states.
FINAL = frozenset({"DONE", "DEAD", "CANCELED"})

#: The order in which counts are shown: the way of an entry.
STATES = ("PENDING", "QUEUED", "RUNNING", "FAILED", "DONE", "DEAD", "CANCELED")

#: How long a writer may hold SQLite's lock before a look at the state fails.
BUSY_TIMEOUT_SECONDS = 10.0


@dataclass(frozen=True, kw_only=True)
class Entry:
    """What the demo looks at of an entry."""

    id: int
    workspace: str
    table_name: str
    status: str
    last_error: str | None


@dataclass(frozen=True, kw_only=True)
class Ended:
    """What the demo looks at of a row of ``process_log``: a run that ended."""

    entry_id: int
    attempt: int
    runid: int | None
    status: str
    message: str | None
    error_trace: str | None


class StateStore:
    """One connection to the SQLite state store, for use by one thread."""

    def __init__(self, path: Path) -> None:
        self._connection = sqlite3.connect(path, timeout=BUSY_TIMEOUT_SECONDS)
        #: ids of the demo's entries
        self._inserted: set[int] = set()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._connection.close()

    def insert(self, entries: Iterable[ExampleEntry], jobs: Mapping[str, int], workspace: str) -> None:
        """Insert the demo's entries in one transaction. :param jobs: job ids by the notebook's name."""
        with self._connection:
            for entry in entries:
                inserted = self._connection.execute(
                    "INSERT INTO track_processing (workspace, table_name, parameters, priority, job_id)"
                    " VALUES (?, ?, ?, ?, ?) RETURNING id",
                    (
                        workspace,
                        entry.table_name,
                        _json(entry.parameters),
                        entry.priority,
                        jobs[entry.notebook],
                    ),
                )
                self._inserted |= {key for (key,) in inserted}

    def cancel(self, entry_id: int) -> None:
        """Ask for the end of an entry, whatever state it is in."""
        with self._connection:
            self._connection.execute(
                "UPDATE track_processing SET cancel_requested = 1 WHERE id = ?", (entry_id,)
            )

    def entries(self) -> list[Entry]:
        """The entries that were inserted here, oldest first; whoever watches may have added others."""
        found = self._connection.execute(
            "SELECT id, workspace, table_name, status, last_error FROM track_processing ORDER BY id"
        )
        return [
            Entry(id=key, workspace=workspace, table_name=name, status=status, last_error=error)
            for key, workspace, name, status, error in found
            if key in self._inserted
        ]

    def ended(self) -> list[Ended]:
        """Their log rows, by entry and attempt."""
        found = self._connection.execute(
            "SELECT entry_id, attempt, runid, status, message, error_trace FROM process_log"
            " ORDER BY entry_id, submission"
        )
        return [
            Ended(entry_id=key, attempt=attempt, runid=run, status=status, message=message, error_trace=trace)
            for key, attempt, run, status, message, trace in found
            if key in self._inserted
        ]

    def other_runs(self) -> set[int]:
        """The runs of entries that others have added."""
        found = self._connection.execute(
            "SELECT id, runid FROM track_processing UNION SELECT entry_id, runid FROM process_log"
        )
        return {run for key, run in found if run is not None and key not in self._inserted}


def _json(parameters: Mapping[str, str] | None) -> str | None:
    return None if parameters is None else json.dumps(parameters)


def counts(entries: Iterable[Entry]) -> dict[str, int]:
    """The number of entries in each state that has any, in the order of an entry's way."""
    found = Counter(entry.status for entry in entries)
    known = {state: found.pop(state) for state in STATES if state in found}
    return {**known, **found}


def finished(entries: Iterable[Entry]) -> int:
    """The number of entries that the app does nothing more with."""
    return sum(entry.status in FINAL for entry in entries)
