"""The rules that always hold, counted in Databricks and in the database, never in the app's own words.

For the end of a trial, when every row should be at its end and no operator has run one again.
"""

import sqlite3
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise
from pathlib import Path
from typing import Any

from orchestrator.core.states import EDGES, FINAL, Status

Record = dict[str, Any]

#: Lets the database itself write down every change of status, with its time, whoever makes it.
AUDIT = """
CREATE TABLE audit (
    at TEXT DEFAULT (strftime('%Y-%m-%d %H:%M:%f', 'now')),
    entry_id INT, old TEXT, new TEXT, old_submission INT, new_submission INT
);
CREATE INDEX ix_audit ON audit (new, at);
CREATE TRIGGER audit AFTER UPDATE OF status, submission ON track_processing BEGIN
    INSERT INTO audit (entry_id, old, new, old_submission, new_submission)
    VALUES (NEW.id, OLD.status, NEW.status, OLD.submission, NEW.submission);
END;
"""


@dataclass(frozen=True, kw_only=True)
class Facts:
    """What the database holds and what the simulator saw."""

    #: row id → its columns
    rows: dict[int, Record]
    #: of ``process_log``, as columns
    logs: list[Record]
    #: row id, status and submission before and after, in the order of the changes
    audit: list[Record]
    #: our runs, as the simulator tells them
    runs: list[Record]
    #: the most runs that were ever active at once, other users' included
    max_active: int
    cap: int
    max_attempts: int

    @cached_property
    def _owners(self) -> dict[str, int]:
        return {row["entry_guid"]: row_id for row_id, row in self.rows.items()}

    def owner(self, run: Record) -> tuple[int | None, int]:
        """The row and the submission that a run's token names; None and 0 when it names none."""
        guid, _, submission = str(run["idempotency_token"]).rpartition("-")
        return self._owners.get(guid), int(submission) if submission.isdecimal() else 0


def gather(
    database: Path, *, runs: Sequence[Record], stats: Mapping[str, Any], cap: int, max_attempts: int
) -> Facts:
    """Read the database, which holds the :data:`AUDIT`.

    :param runs: of the simulator, ``GET /_sim/runs``.
    :param stats: of the simulator, ``GET /_sim/stats``.
    """
    with closing(sqlite3.connect(database, timeout=30)) as connection:
        connection.row_factory = sqlite3.Row

        def records(sql: str) -> list[Record]:
            return [dict(row) for row in connection.execute(sql)]

        return Facts(
            rows={row["id"]: row for row in records("SELECT * FROM track_processing")},
            logs=records("SELECT * FROM process_log ORDER BY id"),
            audit=records("SELECT * FROM audit ORDER BY rowid"),
            runs=[run for run in runs if not run["foreign"]],
            max_active=stats["max_active"],
            cap=cap,
            max_attempts=max_attempts,
        )


def violations(facts: Facts) -> list[str]:
    """Everything that is not as it must be, a line each."""
    checks = (_rows, _edges, _single_runs, _logs)
    return [violation for check in checks for violation in check(facts)]


def _rows(facts: Facts) -> Iterator[str]:
    """I1: every row is final. I3: the cap was kept. I6: attempts within their limit."""
    for row_id, row in facts.rows.items():
        if row["status"] not in FINAL:
            yield f"row {row_id} is {row['status']}, not final: {row['last_error']}"
        if row["attempt"] > facts.max_attempts:
            yield f"row {row_id} has begun {row['attempt']} attempts"
    if facts.max_active > facts.cap:
        yield f"{facts.max_active} runs at once, over the cap of {facts.cap}"


def _edges(facts: Facts) -> Iterator[str]:
    """I1, I5, I6: every change of status is an edge, final stays final, a submission begins at a claim."""
    latest: dict[int, tuple[str, int]] = {}
    for step in facts.audit:
        row_id, old, new = step["entry_id"], step["old"], step["new"]
        where = f"row {row_id}: {old} ({step['old_submission']}) → {new} ({step['new_submission']})"
        if latest.get(row_id, ("PENDING", 0)) != (old, step["old_submission"]):
            yield f"{where} does not follow {latest.get(row_id)}"
        if old in FINAL or Status(new) not in EDGES[Status(old)]:
            yield f"{where} is no edge"
        begun = step["new_submission"] - step["old_submission"]
        if begun not in {0, 1} or (begun and (new != "QUEUED" or old == "QUEUED")):
            yield f"{where}: a submission that begins elsewhere than at a claim"
        latest[row_id] = (new, step["new_submission"])
    for row_id, row in facts.rows.items():
        if latest.get(row_id, ("PENDING", 0)) != (row["status"], row["submission"]):
            yield f"row {row_id} is {row['status']}, but its last change was {latest.get(row_id)}"


def _single_runs(facts: Facts) -> Iterator[str]:
    """I2: one live run a row, one a table; I8: no run is ours and unknown, or still goes on."""
    by_row: dict[str, list[dict[str, Any]]] = defaultdict(list)
    for run in facts.runs:
        owner, submission = facts.owner(run)
        if owner is None or not 1 <= submission <= facts.rows[owner]["submission"]:
            yield f"run {run['run_id']} has a token that no row has given: {run['idempotency_token']}"
            continue
        if run["end_time"] is None:
            yield f"run {run['run_id']} of row {owner} still goes on, and its row is final"
        by_row[f"row {owner}"].append(run)
        by_row[f"table {facts.rows[owner]['table_name']}"].append(run)
    for name, runs in by_row.items():
        yield from _overlaps(name, runs)


def _overlaps(name: str, runs: Iterable[dict[str, Any]]) -> Iterator[str]:
    ordered = sorted(runs, key=lambda run: run["start_time"])
    for earlier, later in pairwise(ordered):
        if earlier["end_time"] is None or earlier["end_time"] > later["start_time"]:
            yield f"{name} had the runs {earlier['run_id']} and {later['run_id']} at the same time"


def _logs(facts: Facts) -> Iterator[str]:
    """I4: one log row for each run that ended, on its row and submission."""
    runs = {run["run_id"]: run for run in facts.runs}
    logged = Counter(log["runid"] for log in facts.logs if log["runid"] is not None)
    for run_id, run in runs.items():
        if run["end_time"] is not None and logged[run_id] != 1:
            yield f"run {run_id} ({run['idempotency_token']}) has {logged[run_id]} log rows"
    for log in facts.logs:
        where = f"the log row of entry {log['entry_id']}, submission {log['submission']}"
        if log["runid"] is not None and log["runid"] not in runs:
            yield f"{where} names the run {log['runid']}, which there never was"
        elif log["runid"] is not None and facts.owner(runs[log["runid"]]) != (
            log["entry_id"],
            log["submission"],
        ):
            yield f"{where} names another's run: {runs[log['runid']]['idempotency_token']}"
