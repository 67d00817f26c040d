"""Check the rules that always hold by what Databricks and the database recorded, not by the app's own words.

For the end of a trial, when every entry should be final and no operator has retried one.
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

#: Makes the database itself record every change of status and its time, whoever makes it.
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
    """The content of the database and the runs that the simulator saw."""

    #: entry id → its columns
    entries: dict[int, Record]
    #: of ``process_log``, as columns
    logs: list[Record]
    #: entry id, status and submission before and after, in the order of the changes
    audit: list[Record]
    #: our runs, as reported by the simulator
    runs: list[Record]
    #: most runs that were ever active at once, foreign runs included
    max_active: int
    cap: int
    max_attempts: int

    @cached_property
    def _owners(self) -> dict[str, int]:
        return {entry["entry_guid"]: entry_id for entry_id, entry in self.entries.items()}

    def owner(self, run: Record) -> tuple[int | None, int]:
        """Return the entry and submission that a run's token names, or None and 0."""
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
            entries={row["id"]: row for row in records("SELECT * FROM track_processing")},
            logs=records("SELECT * FROM process_log ORDER BY id"),
            audit=records("SELECT * FROM audit ORDER BY rowid"),
            runs=[run for run in runs if not run["foreign"]],
            max_active=stats["max_active"],
            cap=cap,
            max_attempts=max_attempts,
        )


def violations(facts: Facts) -> list[str]:
    """Return every violation, one line each."""
    checks = (_entries, _edges, _single_runs, _logs)
    return [violation for check in checks for violation in check(facts)]


def _entries(facts: Facts) -> Iterator[str]:
    """I1: every entry is final. I3: the cap was kept. I6: attempts stay within their limit."""
    for entry_id, entry in facts.entries.items():
        if entry["status"] not in FINAL:
            yield f"entry {entry_id} is {entry['status']}, not final: {entry['last_error']}"
        if entry["attempt"] > facts.max_attempts:
            yield f"entry {entry_id} began {entry['attempt']} attempts"
    if facts.max_active > facts.cap:
        yield f"{facts.max_active} runs at once, above the cap of {facts.cap}"


def _edges(facts: Facts) -> Iterator[str]:
    """I1, I5, I6: every change of status is an edge, final stays final, a submission begins at a claim."""
    latest: dict[int, tuple[str, int]] = {}
    for step in facts.audit:
        entry_id, old, new = step["entry_id"], step["old"], step["new"]
        where = f"entry {entry_id}: {old} ({step['old_submission']}) → {new} ({step['new_submission']})"
        if latest.get(entry_id, ("PENDING", 0)) != (old, step["old_submission"]):
            yield f"{where} does not follow {latest.get(entry_id)}"
        if old in FINAL or Status(new) not in EDGES[Status(old)]:
            yield f"{where} is not an edge"
        begun = step["new_submission"] - step["old_submission"]
        if begun not in {0, 1} or (begun and (new != "QUEUED" or old == "QUEUED")):
            yield f"{where}: the submission begins without a claim"
        latest[entry_id] = (new, step["new_submission"])
    for entry_id, entry in facts.entries.items():
        if latest.get(entry_id, ("PENDING", 0)) != (entry["status"], entry["submission"]):
            yield f"entry {entry_id} is {entry['status']}, but its last change was {latest.get(entry_id)}"


def _single_runs(facts: Facts) -> Iterator[str]:
    """I2: at most one live run per entry and per table. I8: none of our runs is unknown or still active."""
    by_owner: dict[str, list[dict[str, Any]]] = defaultdict(list)
    for run in facts.runs:
        owner, submission = facts.owner(run)
        if owner is None or not 1 <= submission <= facts.entries[owner]["submission"]:
            yield f"run {run['run_id']} has a token that no entry gave: {run['idempotency_token']}"
            continue
        if run["end_time"] is None:
            yield f"run {run['run_id']} of entry {owner} is still active, but its entry is final"
        by_owner[f"entry {owner}"].append(run)
        by_owner[f"table {facts.entries[owner]['table_name']}"].append(run)
    for name, runs in by_owner.items():
        yield from _overlaps(name, runs)


def _overlaps(name: str, runs: Iterable[dict[str, Any]]) -> Iterator[str]:
    ordered = sorted(runs, key=lambda run: run["start_time"])
    for earlier, later in pairwise(ordered):
        if earlier["end_time"] is None or earlier["end_time"] > later["start_time"]:
            yield f"{name} had the runs {earlier['run_id']} and {later['run_id']} at the same time"


def _logs(facts: Facts) -> Iterator[str]:
    """I4: one log row for each run that ended, with its entry and submission."""
    runs = {run["run_id"]: run for run in facts.runs}
    logged = Counter(log["runid"] for log in facts.logs if log["runid"] is not None)
    for run_id, run in runs.items():
        if run["end_time"] is not None and logged[run_id] != 1:
            yield f"run {run_id} ({run['idempotency_token']}) has {logged[run_id]} log rows"
    for log in facts.logs:
        where = f"the log row of entry {log['entry_id']}, submission {log['submission']}"
        if log["runid"] is not None and log["runid"] not in runs:
            yield f"{where} names the run {log['runid']}, which does not exist"
        elif log["runid"] is not None and facts.owner(runs[log["runid"]]) != (
            log["entry_id"],
            log["submission"],
        ):
            yield f"{where} names the run of another submission: {runs[log['runid']]['idempotency_token']}"
