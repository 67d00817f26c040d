"""The Protocols: what the use cases need from a database, a queue, Databricks, a clock and a webhook.

Adapters implement them and ``bootstrap`` connects the two. All durations are in seconds.
"""

from collections.abc import Callable, Collection, Mapping, Sequence
from contextlib import AbstractContextManager
from datetime import datetime
from typing import Protocol

from orchestrator.core.actions import Action
from orchestrator.core.addresses import Elsewhere
from orchestrator.core.alerts import Alert, DeadEntries, Delivery, Kind, PassEvent
from orchestrator.core.doubts import Doubt, Heard
from orchestrator.core.health import Troubled
from orchestrator.core.models import (
    ActiveRun,
    AskedBy,
    Claim,
    EndedRun,
    Entry,
    Expected,
    IdempotencyKey,
    Job,
    JobKey,
    JobLimit,
    LastPass,
    LogRow,
    NewEntry,
    RepairRequest,
    Run,
    RunFailure,
    RunRequest,
    StopReason,
    StrayRun,
    TakenUp,
    Unanswered,
    Verdict,
)
from orchestrator.core.refused_jobs import Hold
from orchestrator.core.reports import (
    History,
    JobUse,
    OpenWorkspace,
    Period,
    Silence,
    Story,
    Tables,
    TimedEntry,
    WorkspaceReport,
)
from orchestrator.core.search import EntryFilter, EntryPage, Matching, Sort
from orchestrator.core.slots import Obstacles
from orchestrator.core.states import Status
from orchestrator.core.telemetry import Metric
from orchestrator.core.waiting import Candidates


class Runs(Protocol):
    """The runs and jobs of one Databricks workspace.

    Every method may raise :class:`~orchestrator.core.errors.WorkspaceUnavailable` (or a subclass) when there
    is no usable answer; then the request may or may not have taken effect. Every method ends in bounded time.
    """

    async def run_now(self, request: RunRequest) -> int:
        """Start a run, or find the run that the same token started, and return its id.

        :raises RequestRefused: the request is refused for good; no run was created.
        :raises NoCapacity: no run was created because the workspace is full.
        """
        ...

    async def repair(self, request: RepairRequest) -> int:
        """Run the failed tasks of a run again and return the repair's id. The call has no token.

        :raises RequestRefused: nothing was started: the run is active, was repaired since, or cannot be.
        """
        ...

    async def active_runs(self, *, seconds: float | None = None) -> tuple[ActiveRun, ...]:
        """Return all active runs of the workspace, foreign runs included.

        :param seconds: how long it may take; None = as long as other operations.
        :raises ListIncomplete: only some of them could be listed in time, or at all.
        """
        ...

    async def get_run(self, run_id: int, *, with_history: bool = False) -> Run:
        """Return a run. :raises RunNotFound: Databricks no longer knows it.

        :param with_history: also ask for its repairs.
        """
        ...

    async def failure_of(self, run: Run) -> RunFailure:
        """Return the errors of a run's failed tasks; of a run that succeeded with failures as well.

        Of each task the last attempt counts. The errors of a *For each* are those of its iterations, and the
        errors of a *Run Job* those of the child run's tasks. What cannot be read is left out; without any
        error the run's own message is returned. It raises no WorkspaceUnavailable.
        """
        ...

    async def result_of(self, run: Run) -> str | None:
        """Return what a run's notebooks gave to ``dbutils.notebook.exit``, at most 4,000 characters.

        With several such tasks each line begins with the task's key. None = there is no such value, or it
        could not be read, which is logged. It raises no WorkspaceUnavailable.
        """
        ...

    async def cancel(self, run_id: int) -> None:
        """Ask Databricks to cancel a run; harmless if the run is over or gone."""
        ...

    async def get_job(self, job_id: int) -> Job:
        """Return a job. :raises RequestRefused: the job does not exist or may not be seen."""
        ...

    async def find_jobs(self, name: str) -> list[int]:
        """Return the ids of the jobs with exactly this name, or of some of them if there are several."""
        ...

    async def create_job(self, *, name: str, notebook_path: str, max_concurrent_runs: int) -> int:
        """Create a job with one notebook task on serverless or default compute and return its id."""
        ...


class Queue(Protocol):
    """The queue that carries claims to the submit function."""

    async def send(self, claims: Sequence[Claim]) -> Sequence[Claim]:
        """Send one message per claim and return the claims whose message may not have arrived."""
        ...


class Store(Protocol):
    """The entries and their log rows; ``orchestrator.adapters.store.entries`` states each method's rules.

    Every method may raise :class:`~orchestrator.core.errors.StoreError`. Methods that return a bool say
    whether the entry was still in the expected state and was changed.
    """

    async def claim(
        self,
        workspace: str,
        *,
        cap: int,
        active: Collection[ActiveRun],
        jobs: Mapping[JobKey, JobLimit],
        lease_seconds: float,
        max_attempts: int,
        serialize_tables: bool,
        setting: str = "",
        address: str = ...,
    ) -> list[Claim]:
        """PENDING or FAILED → QUEUED: claim at most as many entries as there are free slots."""
        ...

    async def note_silence(self, workspace: str, problem: str) -> None:
        """Count a pass that got no list of active runs from a workspace."""
        ...

    async def note_answer(self, workspace: str) -> None:
        """End a workspace's silence: it has listed its active runs."""
        ...

    async def get(self, entry_id: int) -> Entry | None:
        """Return an entry, or None if there is no such id. Entries from other methods have no parameters."""
        ...

    async def take_up(
        self,
        claim: Claim,
        lease_seconds: float,
        *,
        address_of: Callable[[Entry], str],
        request_of: Callable[[Entry, Elsewhere | None], str | None],
        serialize_tables: bool = ...,
    ) -> TakenUp | None:
        """Return the entry of a claim, and begin its submission if its request is known at once.

        None: the claim is stale.
        """
        ...

    async def elsewhere(self, workspace: str, address: str) -> Elsewhere | None:
        """Return what a workspace has open at another address, or None."""
        ...

    async def note_address(self, workspace: str, address: str) -> None:
        """RUNNING stays RUNNING: note where the runs are that began before addresses were kept."""
        ...

    async def leave_address(self, entry: Entry, address: str) -> None:
        """QUEUED stays QUEUED: nothing of the entry is open where it was; it goes on at another address."""
        ...

    async def begin_submission(
        self,
        claim: Claim,
        lease_seconds: float,
        request: str,
        *,
        address: str = ...,
        serialize_tables: bool = ...,
    ) -> Entry | None:
        """Record the call that is about to be made; return None if it must not be made."""
        ...

    async def replace_request(self, entry: Entry, request: str) -> bool:
        """QUEUED stays QUEUED: keep another request; the first was refused and started nothing."""
        ...

    async def record_run(
        self,
        claim: Claim,
        run_id: int,
        *,
        deliveries: int | None = None,
        new_in: str | None = None,
        address: str = ...,
    ) -> bool:
        """QUEUED → RUNNING: store the run's id.

        :param deliveries: how many calls of ``run-now`` may have been begun; None = any number.
        """
        ...

    async def note_stray(
        self, workspace: str, run_id: int, entry_id: int, *, job_id: int | None = ..., address: str = ...
    ) -> bool:
        """Keep a run that came when its entry had gone on without it. False: it is another entry's."""
        ...

    async def strays(self, workspace: str) -> list[StrayRun]:
        """Return these runs, oldest first."""

    async def stray_goes_on(self, stray: StrayRun, problem: str | None) -> None:
        """Note that such a run was to be cancelled now, and what keeps the app from it; None = nothing."""

    async def forget_stray(self, stray: StrayRun) -> None:
        """Forget such a run: it is over."""

    async def revive(self, entry: Entry, run_id: int, reason: str) -> bool:
        """PENDING, FAILED, DEAD or CANCELED → RUNNING: a run of the entry is active again."""
        ...

    async def unclaim(self, entry: Entry, verdict: Verdict) -> bool:
        """QUEUED → PENDING: undo the claim."""
        ...

    async def refuse(self, entry: Entry, verdict: Verdict, log: LogRow) -> bool:
        """QUEUED → FAILED, DEAD or CANCELED: settle the submission and write its log row."""
        ...

    async def leave_open(self, entry: Entry, verdict: Verdict) -> bool:
        """QUEUED → FAILED, DEAD or CANCELED: end the entry but leave its submission open."""
        ...

    async def postpone(
        self, claim: Claim, *, seconds: float, reason: str, unanswered: Unanswered | None = None
    ) -> bool:
        """Keep an entry QUEUED and have its message sent again after `seconds`."""
        ...

    async def not_sent(self, claim: Claim, reason: str) -> bool:
        """Keep an entry QUEUED whose message the queue did not take; a later pass sends it again."""
        ...

    async def hear(self, entry: Entry, doubt: Doubt) -> Heard:
        """Count what was heard of a QUEUED entry's submission, and return how often it was."""
        ...

    async def forget(self, entry: Entry, doubt: Doubt) -> None:
        """Forget what was heard of a QUEUED entry's submission: it is so no more."""
        ...

    async def finish(self, entry: Entry, verdict: Verdict, log: LogRow) -> bool:
        """RUNNING → the verdict's state: settle the run and write its log row."""
        ...

    async def note_trouble(
        self,
        entry: Entry,
        reason: str | None,
        *,
        missing: bool = False,
        unreadable: bool = False,
        vanished: bool | None = None,
    ) -> bool:
        """RUNNING stays RUNNING: note what is wrong with its run; None = nothing any more."""
        ...

    async def note_queue(self, entry: Entry, seconds: float | None) -> bool:
        """RUNNING stays RUNNING: note how long its run was queued in Databricks; None = it still is."""
        ...

    async def note_stop(self, entry: Entry, reason: StopReason) -> bool:
        """RUNNING stays RUNNING: note why the app is about to cancel its run."""
        ...

    async def note_cancel(self, entry: Entry) -> bool:
        """RUNNING stays RUNNING: note that Databricks accepted a call to cancel its run."""
        ...

    async def note_state(self, entry: Entry, state: str | None) -> bool:
        """RUNNING stays RUNNING: note in which state its run stands still from now on; None = it does not."""
        ...

    async def recover(self, *, lease_seconds: float, limit: int) -> list[Claim]:
        """Renew at most `limit` expired leases and return their claims, to be sent again."""
        ...

    async def unanswered(self, *, deliveries: int, limit: int) -> list[Entry]:
        """Return at most `limit` QUEUED entries with an expired lease and at least `deliveries` open calls.

        An open call is a call of ``run-now`` whose outcome is unknown.
        """
        ...

    async def holds(self, workspace: str, *, setting: str, address: str) -> tuple[list[Hold], datetime]:
        """Return the refusals of jobs that stand and are not their entries' own, and the database's time."""
        ...

    async def calls_accepted(self, workspace: str, *, within_seconds: float, address: str = ...) -> bool:
        """Say whether a call of ``run-now`` was accepted lately for some entry of a workspace."""
        ...

    async def cancel_waiting(self, limit: int) -> int:
        """Cancel at most `limit` entries on request that certainly have no run; return their number."""
        ...

    async def put_right(self, *, max_attempts: int, limit: int) -> int:
        """Bring on at most `limit` entries of each kind that would stand still for ever; return how many."""
        ...

    async def running(self, workspace: str) -> list[Entry]:
        """Return the RUNNING entries of a workspace."""
        ...

    async def running_run(self, workspace: str, run_id: int) -> Entry | None:
        """Return the RUNNING entry that a run belongs to, or None if it is a foreign run."""
        ...

    async def ended_runs(
        self, workspace: str, run_ids: Collection[int], *, address: str = ...
    ) -> list[EndedRun]:
        """Return the entries that are over or wait, with the run of theirs that is one of these."""
        ...

    async def open_jobs(self, workspace: str) -> set[JobKey]:
        """Return how the open entries of a workspace name their jobs."""
        ...

    async def last_success(self, workspace: str, table_name: str) -> datetime | None:
        """Return when the latest successful run of a source table started, or None without one."""
        ...

    async def open_workspaces(self) -> list[OpenWorkspace]:
        """Return the workspaces that open entries name."""
        ...

    async def note_unknown(self, known: Collection[str], *, reason: str, limit: int) -> int:
        """Say of at most `limit` waiting entries without an error that their workspace is not known."""
        ...

    async def logs(self, entry_id: int, *, run_id: int | None = None) -> list[LogRow]:
        """Return the last log rows of an entry, or of one of its runs, one per settled submission."""
        ...

    async def last_log(self, entry_id: int, *, until: int = ...) -> LogRow | None:
        """Return the log row of an entry's last settled submission, of those up to one of them, or None."""
        ...

    async def last_logged_run(self, entry_id: int, *, since: int = ...) -> int | None:
        """Return the run of an entry's last settled submission that has one, since one of them, or None."""
        ...

    async def now(self) -> datetime:
        """Return the time by the database's clock."""
        ...


class EntryReader(Protocol):
    """Entries one by one. It may raise :class:`~orchestrator.core.errors.StoreError`."""

    async def get(self, entry_id: int) -> Entry | None:
        """Return an entry, or None if there is no such id."""
        ...


class Operations(Protocol):
    """Changes that people request. Every method may raise :class:`~orchestrator.core.errors.StoreError`."""

    async def change(self, action: Action, entry_ids: Sequence[int], expected: Expected) -> list[int]:
        """Change, in one transaction, the entries that are as expected; return which."""
        ...

    async def move(self, workspace: str, address: str, *, after: int, limit: int) -> list[int]:
        """Look for at most `limit` entries' runs at this address from now on; return whose, by id."""
        ...

    async def move_strays(self, workspace: str, address: str) -> list[int]:
        """Do the same for runs that nobody wants; return whose they are, by id."""
        ...

    async def add(self, entries: Sequence[NewEntry], key: IdempotencyKey | None) -> list[int]:
        """Insert entries, all or none, and return their ids; a repeated request gets the ids of the first.

        :raises RequestConflict: the key came with different entries before.
        """
        ...


class Reports(Protocol):
    """Searches and summaries of the entries; ``orchestrator.adapters.store.reports`` states their bounds.

    Every method may raise :class:`~orchestrator.core.errors.StoreError`.
    """

    async def entries(
        self, wanted: EntryFilter, *, sort: Sort, limit: int, after: str | None, parameters: bool = False
    ) -> EntryPage:
        """Return a page of entries."""
        ...

    async def story(
        self, entry_id: int, *, parameters: bool = False, runs: int = ..., before: int | None = None
    ) -> Story | None:
        """Return an entry with its last settled submissions, or None."""
        ...

    async def status(self, *, listed: Period | None = None) -> list[WorkspaceReport]:
        """Return the counts of each workspace that has open entries or some that ended in the last day.

        :param listed: when the active runs were listed; also return what belonged to an entry then.
        """
        ...

    async def silences(self, *, passes: int, seconds: float) -> list[Silence]:
        """Return the workspaces that answered none of so many passes in a row, and not for `seconds`."""
        ...

    async def open_workspaces(self) -> list[OpenWorkspace]:
        """Return the workspaces that open entries name."""
        ...

    async def candidates(self, workspace: str, limit: int, held: Collection[str] = ()) -> Candidates:
        """Return at most `limit` waiting entries, in the order of the claim.

        :param held: tables that something holds.
        """
        ...

    async def waiting_jobs(self, workspace: str) -> list[JobUse]:
        """Return which jobs the waiting entries of a workspace name, those of most entries first."""
        ...

    async def elsewhere(self, workspace: str, address: str) -> Elsewhere | None:
        """Return what a workspace has open at another address, or None."""
        ...

    async def obstacles(
        self, workspace: str, foreign: Collection[ActiveRun], *, address: str = ...
    ) -> Obstacles:
        """Return what the active runs of no entry in flight keep from being claimed, without jobs' rooms."""
        ...

    async def refused(self, workspace: str, *, setting: str, address: str) -> list[Troubled]:
        """Return which entries of a workspace wait since their job is refused for no fault of theirs."""
        ...

    async def tries(self, workspace: str, *, setting: str, address: str) -> dict[JobKey, int]:
        """Return of each job of a workspace that is refused how many of its entries may try now."""
        ...

    async def left_open(self) -> set[str]:
        """Return the workspaces with entries that ended in doubt lately."""
        ...

    async def held_by_running(self) -> list[Troubled]:
        """Return the tables whose entries wait for hours behind a RUNNING entry."""
        ...

    async def held_by_alive(self, workspace: str, obstacles: Obstacles) -> list[Troubled]:
        """Return the tables whose entries wait for hours behind an active run of no entry in flight."""
        ...

    async def is_overdue(
        self,
        workspace: str,
        *,
        seconds: float,
        max_attempts: int,
        serialize_tables: bool,
        obstacles: Obstacles = ...,
    ) -> bool:
        """Say whether an entry has been claimable for `seconds`, given a free slot."""
        ...

    async def troubled(self, *, queued_seconds: float) -> list[Troubled]:
        """Return what is wrong with entries that the app cannot bring on by itself."""
        ...

    async def ownerless_runs(self) -> list[StrayRun]:
        """Return the runs of deleted entries that cannot be cancelled, oldest first."""
        ...

    async def long_runs(self, *, seconds: float, limit: int) -> list[TimedEntry]:
        """Return at most `limit` entries whose run has been active for `seconds`, the longest first."""
        ...

    async def history(self, *, hours: int) -> History:
        """Count what was settled in the last `hours`."""
        ...

    async def tables(self, *, days: int, limit: int) -> Tables:
        """Summarize the runs of each source table in the last `days`."""
        ...

    async def matching(self, wanted: EntryFilter, *, states: Collection[Status], limit: int) -> Matching:
        """Return at most `limit` entries of a filter that are in one of the states."""
        ...


class Purgeable(Protocol):
    """What the purge needs of the store. It may raise :class:`~orchestrator.core.errors.StoreError`."""

    async def purge(self, *, older_than_seconds: float, limit: int) -> int:
        """Delete at most `limit` old final entries in one transaction and return their number."""
        ...


class Clock(Protocol):
    """Time and randomness, injected so that tests choose both."""

    def monotonic(self) -> float:
        """Return seconds on a clock that never goes back."""
        ...

    async def sleep(self, seconds: float) -> None:
        """Wait for this many seconds."""
        ...

    def jitter(self) -> float:
        """Return a random number from 0 up to, but not including, 1."""
        ...


class PassLog(Protocol):
    """The last pass of each timer function (table ``orchestrator_tick``).

    Every method may raise :class:`~orchestrator.core.errors.StoreError`.
    """

    async def pass_idle(self, name: str, *, late_seconds: float | None, window_seconds: float) -> bool:
        """Say whether a timer's pass has nothing to do, and if so record it as a whole pass.

        :param late_seconds: an alert is owed of a function that has not begun for so long; None = no alerts
            are sent.
        :param window_seconds: how far back alerts look for entries that went DEAD.
        """
        ...

    async def pass_started(self, name: str, asked_by: AskedBy = AskedBy.TIMER) -> None:
        """Record that a pass has started, and who asked for it."""
        ...

    async def pass_finished(self, name: str, outcome: str, *, ok: bool = True) -> None:
        """Record that a pass has finished, its outcome, and whether it met no problem."""
        ...

    async def pass_failed(self, name: str, outcome: str) -> None:
        """Record why a pass did not finish."""
        ...

    async def passes(self) -> list[LastPass]:
        """Return the last pass of each timer function."""
        ...

    async def now(self) -> datetime:
        """Return the time by the database's clock."""
        ...


class AlertStore(Protocol):
    """Which events have been reported in which alert.

    Every method may raise :class:`~orchestrator.core.errors.StoreError`.
    """

    async def claim_dead(
        self, message: str, *, window_seconds: int, examined: int, shown: int
    ) -> DeadEntries | None:
        """Claim the unreported DEAD entries for an alert; return None if there are none.

        :param message: the alert's id.
        :param window_seconds: how long ago an entry may have gone DEAD.
        :param examined: how many DEAD entries to examine at most, newest first.
        :param shown: how many of them to return in full; the rest is only counted.
        """
        ...

    async def claim_passes(self, message: str, kind: Kind, events: Sequence[PassEvent]) -> list[PassEvent]:
        """Claim events for an alert and return those that no other alert has claimed.

        An event that was reported as recovered is never reported as late afterwards; nor is a workspace in
        which nothing begins before it was reported as recovered.
        """
        ...

    async def uncalled_since(self, seconds: float) -> datetime | None:
        """Return since when the oldest entry is QUEUED without any call for `seconds`; None = none is."""
        ...

    async def late_passes(self) -> list[PassEvent]:
        """Return the late events that still need their "recovered" alert."""
        ...

    async def sent(self, message: str) -> None:
        """Record that an alert was delivered."""
        ...

    async def release(self, message: str) -> None:
        """Release the events of an alert that was not delivered, so that the next pass reports them."""
        ...

    async def forget(self, *, older_than_seconds: int, limit: int) -> None:
        """Delete at most `limit` old claims."""
        ...


class Receiver(Protocol):
    """Where alerts are sent."""

    async def deliver(self, alert: Alert, at: datetime) -> Delivery:
        """Send an alert; end in bounded time and never raise."""
        ...


class Telemetry(Protocol):
    """Where metrics and spans are sent. No method fails or blocks."""

    def record(self, metric: Metric, value: float, **attributes: str) -> None:
        """Add to a counter, set a gauge, or record a value in a histogram."""
        ...

    def span(self, name: str, **attributes: str | int) -> AbstractContextManager[object]:
        """Time a piece of work; spans opened inside become its children."""
        ...
