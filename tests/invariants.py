"""Check the rules that always hold by what Databricks and the database recorded, not by the app's own words.

For the end of a trial, when every entry should be final.
"""

import math
import sqlite3
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from functools import cached_property
from itertools import accumulate, pairwise
from pathlib import Path
from typing import Any

from orchestrator.adapters.store.connector import as_utc
from orchestrator.core.states import EDGES, FINAL, REVIVABLE, Status

Record = dict[str, Any]

#: Makes the database itself record every change of status and its time, whoever makes it, and what operators
#: did (:class:`tests.operators.Operator`).
AUDIT = """
CREATE TABLE audit (
    at TEXT DEFAULT (strftime('%Y-%m-%d %H:%M:%f', 'now')),
    entry_id INT, old TEXT, new TEXT, old_submission INT, new_submission INT, action TEXT DEFAULT ''
);
CREATE INDEX ix_audit ON audit (new, at);
CREATE TRIGGER audit AFTER UPDATE OF status, submission ON track_processing BEGIN
    INSERT INTO audit (entry_id, old, new, old_submission, new_submission)
    VALUES (NEW.id, OLD.status, NEW.status, OLD.submission, NEW.submission);
END;
"""


#: The action of a change by SQL that knows nothing of the app's rules.
BY_HAND = "hand"

#: Edges that only an operator takes, besides those out of a final state that are not a revival.
OPERATORS_EDGES = frozenset(
    {
        (Status.PENDING, Status.DONE),
        (Status.PENDING, Status.DEAD),
        (Status.FAILED, Status.DONE),
        (Status.QUEUED, Status.DONE),
    }
)


def is_allowed(old: str, new: str, action: str) -> bool:
    """Say whether a change of status is an edge, and one that whoever made it may take.

    :param action: of an operator, or :data:`BY_HAND`; empty if the app made the change.
    """
    if action == BY_HAND:
        return True
    if Status(new) not in EDGES[Status(old)]:
        return False
    by_app = (old, new) not in OPERATORS_EDGES and (old not in FINAL or new == Status.RUNNING)
    return bool(action) or by_app


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
    #: runs of others, as reported by the simulator
    foreign: list[Record]
    cap: int
    max_attempts: int
    #: runs that a person repaired in Databricks, and nobody else
    by_hand: frozenset[int] = frozenset()

    @cached_property
    def _owners(self) -> dict[str, int]:
        return {entry["entry_guid"]: entry_id for entry_id, entry in self.entries.items()}

    @cached_property
    def max_active(self) -> int:
        """Most runs that were ever active at once, others' included, but without what a person repaired.

        A person asks nobody for a slot.
        """
        steps = []
        for run in (*self.runs, *self.foreign):
            for part in run["parts"][:1] if run["run_id"] in self.by_hand else run["parts"]:
                steps += [(part["start_time"], 1), (part["end_time"] or math.inf, -1)]
        return max(accumulate(step for _, step in sorted(steps)), default=0)

    @cached_property
    def touched(self) -> frozenset[int]:
        """Entries that somebody changed by SQL, against the app's rules."""
        return frozenset(step["entry_id"] for step in self.audit if step["action"] == BY_HAND)

    @cached_property
    def let_go(self) -> dict[int, int]:
        """Entries that an operator resolved → the latest submission whose run was let go."""
        return {
            step["entry_id"]: step["new_submission"] for step in self.audit if step["action"] == "resolve"
        }

    def last_submission(self, entry_id: int) -> int:
        """Return the greatest submission that an entry has had, whatever it was set to by hand."""
        if entry_id not in self.touched:
            return int(self.entries[entry_id]["submission"])
        return max(int(step["new_submission"]) for step in self.audit if step["entry_id"] == entry_id)

    def owner(self, run: Record) -> tuple[int | None, int]:
        """Return the entry and submission that a run's token names, or None and 0."""
        guid, _, submission = str(run["idempotency_token"]).rpartition("-")
        return self._owners.get(guid), int(submission) if submission.isdecimal() else 0


def gather(
    database: Path,
    *,
    runs: Sequence[Record],
    cap: int,
    max_attempts: int,
    by_hand: Iterable[int] = (),
) -> Facts:
    """Read the database, which holds the :data:`AUDIT`.

    :param runs: of the simulator, ``GET /_sim/runs``.
    :param by_hand: the runs that a person repaired.
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
            foreign=[run for run in runs if run["foreign"]],
            cap=cap,
            max_attempts=max_attempts,
            by_hand=frozenset(by_hand),
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
    """I1, I5, I6: every change of status is an edge, by somebody who may, and begins what it must."""
    latest: dict[int, tuple[str, int]] = {}
    resolved: set[int] = set()
    for step in facts.audit:
        entry_id, old, new, action = step["entry_id"], step["old"], step["new"], step["action"]
        where = f"entry {entry_id}: {old} ({step['old_submission']}) → {new} ({step['new_submission']})"
        if latest.get(entry_id, ("PENDING", 0)) != (old, step["old_submission"]):
            yield f"{where} does not follow {latest.get(entry_id)}"
        revived = new == Status.RUNNING and old in REVIVABLE
        if not is_allowed(old, new, action):
            yield f"{where} is not an edge"
        if revived and entry_id in resolved:
            yield f"{where}: an operator has resolved it"
        yield from _submission(facts, step, where, revived=revived)
        if action:
            (resolved.add if action == "resolve" else resolved.discard)(entry_id)
        latest[entry_id] = (new, step["new_submission"])
    for entry_id, entry in facts.entries.items():
        if latest.get(entry_id, ("PENDING", 0)) != (entry["status"], entry["submission"]):
            yield f"entry {entry_id} is {entry['status']}, but its last change was {latest.get(entry_id)}"


def _submission(facts: Facts, step: Record, where: str, *, revived: bool) -> Iterator[str]:
    """A submission begins at a claim, when a run is revived, or when an operator resolves an entry."""
    if step["entry_id"] in facts.touched:
        return
    begun = step["new_submission"] - step["old_submission"]
    may_begin = (step["new"] == "QUEUED" and step["old"] != "QUEUED") or step["action"] == "resolve"
    if begun not in {0, 1} or (begun and not (may_begin or revived)):
        yield f"{where}: the submission begins without a claim"
    if revived and not begun:
        yield f"{where}: a revived run is not a submission of its own"


def _single_runs(facts: Facts) -> Iterator[str]:
    """I2: at most one live run per entry and per table. I8: none of our runs is unknown or still active.

    What an operator let go counts no longer, and for a table nor does a run that a person repaired.
    """
    by_owner: dict[str, list[Record]] = defaultdict(list)
    for run in facts.runs:
        owner, submission = facts.owner(run)
        if owner is None or not 1 <= submission <= facts.last_submission(owner):
            yield f"run {run['run_id']} has a token that no entry gave: {run['idempotency_token']}"
            continue
        if submission <= facts.let_go.get(owner, 0):
            continue
        if run["end_time"] is None:
            yield f"run {run['run_id']} of entry {owner} is still active, but its entry is final"
        parts = [{"run_id": run["run_id"], **part} for part in run["parts"]]
        by_owner[f"entry {owner}"] += parts
        of_app = parts[:1] if run["run_id"] in facts.by_hand else parts
        by_owner[f"table {facts.entries[owner]['table_name']}"] += of_app
    for name, runs in by_owner.items():
        yield from _overlaps(name, runs)


def _overlaps(name: str, runs: Iterable[Record]) -> Iterator[str]:
    ordered = sorted(runs, key=lambda run: run["start_time"])
    for earlier, later in pairwise(ordered):
        if earlier["end_time"] is None or earlier["end_time"] > later["start_time"]:
            yield f"{name} had the runs {earlier['run_id']} and {later['run_id']} at the same time"


def _logs(facts: Facts) -> Iterator[str]:
    """I4: one log row for each end of a run, be it the first or that of a repair, of the right entry."""
    runs = {run["run_id"]: run for run in facts.runs}
    logs = [log for log in facts.logs if facts.let_go.get(log["entry_id"]) != log["submission"]]
    logged = Counter((log["runid"], _ended_at(log)) for log in logs if log["runid"] is not None)
    for run in runs.values():
        yield from _ends(facts, run, logged)
    for log in logs:
        where = f"the log row of entry {log['entry_id']}, submission {log['submission']}"
        if log["runid"] is not None and log["runid"] not in runs:
            yield f"{where} names the run {log['runid']}, which does not exist"
        elif log["runid"] is not None:
            yield from _belongs(facts, log, runs[log["runid"]], where)


def _ends(facts: Facts, run: Record, logged: Mapping[tuple[int, int | None], int]) -> Iterator[str]:
    owner, submission = facts.owner(run)
    let_go = owner is not None and submission <= facts.let_go.get(owner, 0)
    for number, part in enumerate(run["parts"]):
        rows = logged.get((run["run_id"], part["end_time"]), 0)
        # No pass may have seen the run active, when a person repaired it and it was over at once.
        unseen = let_go or (number > 0 and run["run_id"] in facts.by_hand)
        if part["end_time"] is not None and rows != 1 and not (unseen and rows == 0):
            yield f"run {run['run_id']} ({run['idempotency_token']}) has {rows} log rows of its end {number}"


def _belongs(facts: Facts, log: Record, run: Record, where: str) -> Iterator[str]:
    """A run belongs to the submission that started it, and its repairs to later ones of the same entry."""
    owner, submission = facts.owner(run)
    is_first = _ended_at(log) == run["parts"][0]["end_time"]
    fits = log["submission"] == submission if is_first else log["submission"] > submission
    fits = fits or owner in facts.touched  # the number may have been set by hand
    if log["entry_id"] != owner or not fits:
        yield f"{where} names the run of another submission: {run['idempotency_token']}"
    if _ended_at(log) not in {part["end_time"] for part in run["parts"]}:
        yield f"{where} names an end that the run {run['run_id']} never had"


def _ended_at(log: Record) -> int | None:
    """Return when the run of a log row was over, in milliseconds as Databricks counts."""
    time = as_utc(log["finished_at"])
    return None if time is None else round(time.timestamp() * 1000)
