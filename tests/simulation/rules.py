"""The rules that always hold, checked after every step by what the database and Databricks recorded."""

import asyncio
import json
from collections import Counter
from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from orchestrator.adapters.store.connector import as_utc
from orchestrator.core.models import ActiveRun, StopReason
from orchestrator.core.policy import Policy
from orchestrator.core.states import REVIVABLE, Status
from tests.invariants import BY_HAND, is_allowed
from tests.simulation.databricks import SimulatedRuns
from tests.simulation.runs import SimulatedRun

#: Makes the database record first calls that begin while something is open at another address.
WATCH_ADDRESSES = """
CREATE TABLE begun_beside (entry_id INT, other_id INT);
CREATE TRIGGER begun_beside AFTER UPDATE OF deliveries ON track_processing
WHEN OLD.deliveries = 0 AND NEW.deliveries = 1 BEGIN
    INSERT INTO begun_beside SELECT NEW.id, id FROM track_processing
    WHERE workspace = NEW.workspace AND id <> NEW.id AND workspace_address <> NEW.workspace_address
        AND (status = 'RUNNING' OR (status IN ('PENDING', 'QUEUED', 'FAILED') AND deliveries > 0));
END;
"""

_IN_FLIGHT = "status IN ('QUEUED', 'RUNNING')"

_IS_SETTLED = (
    "EXISTS (SELECT 1 FROM process_log AS l WHERE l.entry_id = t.id AND l.submission = t.submission)"
)


#: Waits for a run that does not answer, after which the app goes on without it.
_PATIENCE = 5


class _Change(NamedTuple):
    """A row of the audit."""

    entry_id: int
    old: str
    new: str
    before: int
    after: int
    #: of an operator, empty if the app made the change
    action: str


@dataclass(frozen=True, kw_only=True)
class _Row:
    """What decides whether a run of an entry is followed."""

    id: int
    status: str
    submission: int
    runid: int | None
    last_runid: int | None
    deliveries: int
    request: str | None
    stop_reason: str | None
    postponements: int
    is_settled: int

    @property
    def is_open(self) -> bool:
        """Whether the current submission may have a run that only its token or its request finds."""
        return self.runid is None and not self.is_settled

    def asks_to_repair(self, run: SimulatedRun) -> bool:
        """Say whether the current submission is the repair of a run."""
        return repaired_run(self.request) == run.run_id


def repaired_run(request: str | None) -> int | None:
    """Return the run that a submission's request repairs, or None."""
    asked: int | None = json.loads(request or "{}").get("repair", {}).get("run_id")
    return asked


@dataclass
class Rules:
    """Checks the rules, and remembers what people did, which the app cannot always make good."""

    sql: Callable[..., list[tuple[Any, ...]]]
    databricks: SimulatedRuns
    policy: Policy
    cap: int
    inserted: int = 0
    #: entries whose cancellation somebody asked for
    to_cancel: set[int] = field(default_factory=set)
    #: GUID of an entry → the latest submission whose run an operator let go
    let_go: dict[str, int] = field(default_factory=dict)
    #: runs that a person repaired when the app could not know or had already begun another run
    astray: set[SimulatedRun] = field(default_factory=set)
    #: runs that a person repaired and whose end was seen before their workspace moved, which nobody looks for
    left_behind: set[SimulatedRun] = field(default_factory=set)
    #: run → the number of its repairs when an entry followed it last
    followed: dict[int, int] = field(default_factory=dict)
    #: runs that were cancelled for a restart when their entry had been settled already
    cancelled_late: set[SimulatedRun] = field(default_factory=set)
    #: runs of a workspace that is no more
    lost: set[SimulatedRun] = field(default_factory=set)
    #: entries that somebody changed by SQL, against the app's rules
    touched: set[int] = field(default_factory=set)
    _resolved: set[int] = field(default_factory=set)
    _repairs: Counter[tuple[str, int]] = field(default_factory=Counter)
    #: the ends that are logged: run, and time or NOT_FOUND
    _logged: set[tuple[int, object]] = field(default_factory=set)
    _checked: int = 0
    _claims_checked: int = 0
    _logs_checked: int = 0

    def check(self) -> None:
        """Check the rules that always hold."""
        self._check_rows()
        self._check_runs()
        self._check_logs()

    # -- entries

    def _check_rows(self) -> None:
        changes = self.sql(
            "SELECT rowid, entry_id, old, new, old_submission, new_submission, action FROM audit"
            " WHERE rowid > ? ORDER BY rowid",
            self._checked,
        )
        for self._checked, *change in changes:
            self._check_change(_Change(*change))
        [(count, over, under)] = self.sql(
            "SELECT COUNT(*), SUM(attempt > ?), SUM(attempt < 0) FROM track_processing",
            self.policy.max_attempts,
        )
        assert count == self.inserted, "an entry was lost"
        assert not over, "attempts over the limit"
        assert not under, "an attempt was given back that was never begun"
        beside = self.sql("SELECT entry_id, other_id FROM begun_beside")
        assert beside == [], f"begun while others are open at another address: {beside}"

    def _check_change(self, change: _Change) -> None:
        entry_id, old, new, before, after, action = change
        revived = new == Status.RUNNING and old in REVIVABLE
        claimed = new == Status.QUEUED and old != Status.QUEUED
        assert old == new or is_allowed(old, new, action), (change, "is not an edge")
        assert not revived or entry_id not in self._resolved, (change, "what an operator resolved stays")
        if action == BY_HAND:
            self.touched.add(entry_id)
        elif entry_id in self.touched:
            assert after >= before, (change, "a number is used again")
        else:
            self._check_submission(change, claimed=claimed, revived=revived)
        if action:
            self._resolved.discard(entry_id)
        if action == "resolve":
            self._resolved.add(entry_id)

    def _check_submission(self, change: _Change, *, claimed: bool, revived: bool) -> None:
        before, after = change.before, change.after
        assert after in {before, before + 1}, change
        assert after == before or claimed or revived or change.action == "resolve", (
            change,
            "nobody asked for it",
        )
        assert not revived or after > before, (change, "a revived run is a submission of its own")

    def check_claim(self, workspace: str, listing: Collection[ActiveRun]) -> None:
        """After a claim, all in flight and the known foreign runs fit into the cap; no table is doubled."""
        claimed = self.sql(
            "SELECT t.id, t.table_name, t.last_runid FROM audit AS a JOIN track_processing AS t"
            " ON t.id = a.entry_id"
            " WHERE a.rowid > ? AND a.old IN ('PENDING', 'FAILED') AND a.new = 'QUEUED'",
            self._claims_checked,
        )
        [(self._claims_checked,)] = self.sql("SELECT COALESCE(MAX(rowid), 0) FROM audit")
        # What people set in flight, or a pass has put back after them, no claim has counted.
        claimed = [row for row in claimed if row[0] not in self.touched]
        if not claimed:
            return
        rows = self.sql(
            "SELECT entry_guid, submission, runid, request FROM track_processing"
            f" WHERE workspace = ? AND {_IN_FLIGHT}",
            workspace,
        )
        ours = {found for row in rows for found in self._runs_of(*row)}
        foreign = [run for run in listing if run.takes_slot and run.run_id not in ours]
        assert len(rows) + len(foreign) <= self.cap, "over the cap"
        # The list may be older than what was settled since: what it holds and what goes on is counted once.
        still = {run for run, began in self.databricks.listed_in(listing).items() if run.began == began}
        counted = {run.run_id for run in foreign if run.run_id > 0}
        going_on = {run.run_id for run in still if run.is_live and not run.is_queued}
        assert going_on <= ours | counted, "a run that goes on is not counted"
        assert not counted & ours, "a run is counted twice"
        active = {run.run_id for run in listing} - {run.run_id for run in self.left_behind}
        for entry_id, table, _ in claimed:
            others = self.sql(
                f"SELECT {_IN_FLIGHT}, last_runid FROM track_processing WHERE table_name = ? AND id <> ?",
                table,
                entry_id,
            )
            assert not any(in_flight for in_flight, _ in others), "two entries of a table are in flight"
            assert not active & {last for _, last in others}, "another run of the table is active"
        assert not active & {last for _, _, last in claimed}, "its own last run is active"

    def _runs_of(self, guid: str, submission: int, runid: int | None, request: str | None) -> set[int]:
        by_token = self.databricks.by_token.get(f"{guid}-{submission}")
        found = {runid, by_token.run_id if by_token else None, repaired_run(request)}
        return {run_id for run_id in found if run_id is not None}

    # -- runs

    def _check_runs(self) -> None:
        """An entry has at most one live run, and each is recorded, can be found, or was let go."""
        for (run_id,) in self.sql("SELECT runid FROM track_processing WHERE status = 'RUNNING'"):
            self.followed[run_id] = len(self.databricks.runs[run_id].repairs)
        live = [run for run in self.databricks.live() if self._is_ours(run)]
        assert len(live) == len({run.guid for run in live}), "an entry has two live runs"
        for run in live:
            assert self._is_followed(run, self.row(run)), f"nobody follows run {run.run_id}"

    def _is_ours(self, run: SimulatedRun) -> bool:
        return run not in self.astray and run.submission > self.let_go.get(run.guid, 0)

    def row(self, run: SimulatedRun) -> _Row:
        """Return the entry that a run was started for."""
        [values] = self.sql(
            "SELECT id, status, submission, runid, last_runid, deliveries, request, stop_reason,"
            f" postponements, {_IS_SETTLED} FROM track_processing AS t WHERE entry_guid = ?",
            run.guid,
        )
        return _Row(**dict(zip(_Row.__dataclass_fields__, values, strict=True)))

    def _is_followed(self, run: SimulatedRun, row: _Row) -> bool:
        if row.id in self.touched:  # the run is known, or the number will be used again and finds it
            return run.run_id in {row.runid, row.last_runid} or not self._is_logged(run)
        if row.status == Status.RUNNING:
            return row.runid == run.run_id
        if row.is_open and (row.submission == run.submission or row.asks_to_repair(run)):
            return True
        if row.last_runid != run.run_id:
            return False
        # The next pass finds it, or the submission that is about to look at it. A person may also repair it
        # while the call of another submission is on its way, and after the end that made its entry DONE.
        person_came_between = run.repaired_by_person and (row.is_open or row.status == Status.DONE)
        return self.is_revivable(row) or person_came_between

    def _is_logged(self, run: SimulatedRun) -> bool:
        """Say whether the submission that a run was started for has its log row."""
        found = self.sql(
            "SELECT 1 FROM process_log AS l JOIN track_processing AS t ON t.id = l.entry_id"
            " WHERE t.entry_guid = ? AND l.submission = ?",
            run.guid,
            run.submission,
        )
        return bool(found)

    def is_revivable(self, row: _Row) -> bool:
        """Say whether the next pass must return an entry to RUNNING if its last run is active."""
        return row.status in REVIVABLE and row.deliveries == 0

    def person_repairs(self, run: SimulatedRun) -> None:
        """Note that a person repairs a run that is over: whether the app has a chance to follow it."""
        row = self.row(run)
        is_last = row.last_runid == run.run_id and row.status != Status.DONE
        is_free = is_last and row.deliveries == 0
        followed = row.status == Status.RUNNING and row.runid == run.run_id
        in_doubt = row.is_open and row.asks_to_repair(run)
        if not (is_free or followed or in_doubt):
            self.astray.add(run)

    def workspace_moved(self) -> None:
        """Note that nobody finds a run that a person repaired after its end was seen at the place before."""
        self._leave_behind(run for run in self.databricks.live() if not self._is_open(run))

    def repaired_at(self, place: str, run: SimulatedRun) -> None:
        """Note that a person repairs a run that was over before the workspace moved to a place."""
        [(address,)] = self.sql(
            "SELECT workspace_address FROM track_processing WHERE entry_guid = ?", run.guid
        )
        if address != place and not self._is_open(run):
            self._leave_behind([run])

    def _leave_behind(self, runs: Iterable[SimulatedRun]) -> None:
        self.left_behind.update(runs)
        self.astray |= self.left_behind

    def _is_open(self, run: SimulatedRun) -> bool:
        """Say whether the submission of a run goes on, so that a workspace that moves takes it along."""
        row = self.row(run)
        return row.is_open or (row.status == Status.RUNNING and row.runid == run.run_id)

    def check_start(self, token: str) -> None:
        """No run is started beside another one, unless a person repaired that one a moment ago."""
        guid = token.rpartition("-")[0]
        for run in self.databricks.live():
            if run.guid == guid and (self._is_ours(run) or self._must_be_waited_for(run)):
                look = run.looks.get(asyncio.current_task())
                assert look is not None, f"the last run {run.run_id} is live and nobody looked"
                assert run.repaired_by_person, f"the last run {run.run_id} is live"
                assert look < run.began or run.unreadable, f"the last run {run.run_id} was seen to be live"
                self.astray.add(run)

    def _must_be_waited_for(self, run: SimulatedRun) -> bool:
        """Say whether no run may begin beside a run that was let go: it is the entry's last that is logged.

        One that the app has never heard of is not waited for. Nor is one that cannot be read: the list may
        lack it, too.
        """
        row = self.row(run)
        logged = self.sql(
            "SELECT runid FROM process_log WHERE entry_id = ? AND runid IS NOT NULL"
            " ORDER BY submission DESC LIMIT 1",
            row.id,
        )
        is_last = row.last_runid is None and logged == [(run.run_id,)]
        return run not in self.astray and is_last and not run.unreadable and row.postponements < _PATIENCE

    def check_repair(self, run: SimulatedRun) -> None:
        """The app repairs a run for a submission that asks for it, and once only."""
        if not self._is_ours(run):
            return
        row = self.row(run)
        assert row.is_open, f"no submission waits for the repair of run {run.run_id}"
        assert row.asks_to_repair(run), f"no submission asks for the repair of run {run.run_id}"
        self._repairs[run.guid, row.submission] += 1
        assert self._repairs[run.guid, row.submission] == 1, "a submission repairs twice"

    def check_cancel(self, run: SimulatedRun) -> None:
        """A run is cancelled only on request, when it is overdue, or when its entry has moved on."""
        row = self.row(run)
        [(overdue,)] = self.sql(
            "SELECT COALESCE(submitted_at <= utc_after(?), 0) FROM track_processing WHERE id = ?",
            -1000 * self.policy.run_timeout_seconds,
            row.id,
        )
        is_followed = row.runid == run.run_id or row.submission == run.submission
        moved_on = not is_followed or not self._is_ours(run)
        wanted = row.id in self.to_cancel or row.stop_reason is not None or overdue
        assert moved_on or wanted, "a good run is cancelled"
        if row.stop_reason == StopReason.RESTART and row.status != Status.RUNNING:
            self.cancelled_late.add(run)

    # -- the log

    def _check_logs(self) -> None:
        unlogged = self.sql(
            "SELECT id FROM track_processing AS t"
            f" WHERE runid IS NOT NULL AND status <> 'RUNNING' AND NOT {_IS_SETTLED}"
        )
        assert self.touched.issuperset(entry_id for (entry_id,) in unlogged), (
            "a run ended without its log row"
        )
        rows = self.sql(
            "SELECT l.id, t.entry_guid, l.runid, l.life_cycle_state, l.finished_at FROM process_log AS l"
            " JOIN track_processing AS t ON t.id = l.entry_id"
            " WHERE l.id > ? AND l.life_cycle_state IS NOT NULL ORDER BY l.id",
            self._logs_checked,
        )
        for log_id, guid, run_id, life_cycle, finished_at in rows:
            self._logs_checked = log_id
            self._check_log(self.databricks.runs[run_id], guid, life_cycle, as_utc(finished_at))

    def _check_log(self, run: SimulatedRun, guid: str, life_cycle: str, finished_at: object) -> None:
        end = (run.run_id, finished_at or life_cycle)
        assert run.guid == guid, f"run {run.run_id} stands in the log of another entry"
        assert end not in self._logged, f"an end of run {run.run_id} has two log rows"
        if life_cycle == "NOT_FOUND":
            assert run.deleted, f"run {run.run_id} was taken for gone"
        else:
            assert finished_at in {each.finished_at for each in run.ends}, f"run {run.run_id} never ended so"
        self._logged.add(end)

    def check_at_the_end(self) -> None:
        """When all is over, the last end of each run has its log row."""
        for run in self.databricks.runs.values():
            if self._is_ours(run) and run not in self.lost:
                assert self._last_end_is_logged(run) or self._was_missed(run), (
                    f"run {run.run_id} is not logged"
                )

    def _last_end_is_logged(self, run: SimulatedRun) -> bool:
        ends = {(run.run_id, run.ends[-1].finished_at), (run.run_id, "NOT_FOUND")}
        # The answer that its token's run was deleted settles a submission, too.
        return bool(ends & self._logged) or (run.deleted and self._is_logged(run))

    def _was_missed(self, run: SimulatedRun) -> bool:
        """Say whether a person repaired a run and it ended before any pass could see it active.

        Or a pass saw it, and cancelled it for a restart when another had settled the entry by its old end.
        """
        was_seen = run.seen == run.began and self.followed.get(run.run_id) == len(run.repairs)
        return run.repaired_by_person and (not was_seen or run in self.cancelled_late)
