"""One simulated run: its beginnings, its ends, and what Databricks shows of it."""

from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta

from orchestrator.core.models import Run

#: Ends of a run: life-cycle state, result state, termination code and type.
ENDS = {
    "success": ("TERMINATED", "SUCCESS", "SUCCESS", "SUCCESS"),
    "some tasks failed": ("TERMINATED", "SUCCESS_WITH_FAILURES", "SUCCESS_WITH_FAILURES", "SUCCESS"),
    "failed": ("TERMINATED", "FAILED", "RUN_EXECUTION_ERROR", "CLIENT_ERROR"),
    "canceled": ("TERMINATED", "CANCELED", "USER_CANCELED", "SUCCESS"),
    "hopeless": ("INTERNAL_ERROR", "FAILED", "INVALID_CLUSTER_REQUEST", "CLIENT_ERROR"),
    "no slot": ("SKIPPED", "MAXIMUM_CONCURRENT_RUNS_REACHED", "MAX_CONCURRENT_RUNS_EXCEEDED", "CLIENT_ERROR"),
    "skipped": ("SKIPPED", None, "SKIPPED", "CLIENT_ERROR"),
    "platform": ("INTERNAL_ERROR", "FAILED", "DRIVER_ERROR", "INTERNAL_ERROR"),
}

#: How long a run that was just repaired may show its old end.
_LAG = timedelta(seconds=60)


@dataclass(eq=False)
class SimulatedRun:
    """A run of one of our entries."""

    run_id: int
    token: str
    #: the number of its latest beginning among the beginnings of all runs, repairs included
    began: int
    #: where it is
    host: str = ""
    #: every end so far, each at a time of its own
    ends: list[Run] = field(default_factory=list)
    #: every repair so far: whether a person asked for it
    repairs: list[bool] = field(default_factory=list)
    #: when its newest repair began
    repaired_at: datetime | None = None
    #: somebody deleted it, or its 60 days have passed
    deleted: bool = False
    #: for the moment the app is not allowed to see it
    unreadable: bool = False
    #: a task → the number of all beginnings when it last looked at the run
    looks: dict[object, int] = field(default_factory=dict)
    #: its latest beginning that an answer has shown to be active
    seen: int = 0
    _state: Run = field(init=False)
    _old_end_until: datetime | None = None
    _was_missed: bool = False

    @property
    def guid(self) -> str:
        """GUID of the entry that it was started for."""
        return self.token.rpartition("-")[0]

    @property
    def submission(self) -> int:
        """The submission that it was started for."""
        return int(self.token.rpartition("-")[2])

    @property
    def is_live(self) -> bool:
        """Whether it is not over."""
        return self._state.life_cycle_state in {"RUNNING", "QUEUED"}

    @property
    def is_queued(self) -> bool:
        """Whether it waits in Databricks' own queue."""
        return self._state.life_cycle_state == "QUEUED"

    @property
    def latest_repair_id(self) -> int | None:
        """Its newest repair."""
        return len(self.repairs) or None

    @property
    def repaired_by_person(self) -> bool:
        """Whether its latest beginning is a person's repair."""
        return bool(self.repairs) and self.repairs[-1]

    def begin(self, *, queued: bool) -> None:
        """Begin, or begin again."""
        self._state = Run(run_id=self.run_id, life_cycle_state="QUEUED" if queued else "RUNNING")

    def leave_queue(self) -> None:
        """Begin to execute."""
        self.begin(queued=False)

    def end(self, how: str, now: datetime) -> None:
        """Be over, at a time that no other end of the run has."""
        life_cycle, result, code, whose = ENDS[how]
        finished_at = now + timedelta(milliseconds=len(self.ends))
        self._state = Run(
            run_id=self.run_id,
            life_cycle_state=life_cycle,
            result_state=result,
            termination_code=code,
            termination_type=whose,
            started_at=finished_at - timedelta(seconds=1),
            finished_at=finished_at,
        )
        self.ends.append(self._state)

    def show_old_end(self, now: datetime) -> None:
        """Look over for a moment, although a repair has begun."""
        self._old_end_until = now + _LAG

    def shows_old_end(self, now: datetime) -> bool:
        """Say whether it looks over although it is not."""
        return self.is_live and self._old_end_until is not None and now < self._old_end_until

    def shown(self, now: datetime, *, with_history: bool) -> Run:
        """Return the run as Databricks shows it."""
        state, repairs = self._state, len(self.repairs)
        if self.shows_old_end(now):
            state, repairs = self.ends[-1], repairs - 1
        newest = (repairs or None) if with_history else None
        began = self.repaired_at if newest == self.latest_repair_id else None
        return replace(
            state,
            with_history=with_history,
            latest_repair_id=newest,
            latest_repair_at=began if newest else None,
        )

    def may_be_missed(self, *, with_history: bool) -> bool:
        """Say whether Databricks may say now, wrongly, that the run does not exist: once, while it is live.

        Not to the look before a new submission, since the run is cancelled then before another one begins.
        """
        if not self.is_live or with_history or self._was_missed:
            return False
        self._was_missed = True
        return True
