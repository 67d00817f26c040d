"""The workspace together with what stands before it: tokens, limits, faults and counts."""

import math
import random
import secrets
import time
from collections import Counter
from collections.abc import Callable

from devstack.databricks.clock import WorkspaceClock
from devstack.databricks.commands import Commands
from devstack.databricks.credentials import Credentials
from devstack.databricks.errors import other_workspace, too_many_requests
from devstack.databricks.faults import Faults
from devstack.databricks.journal import Journal, Origin
from devstack.databricks.notebooks import NotebookRunner
from devstack.databricks.options import Options
from devstack.databricks.outcomes import Outcomes
from devstack.databricks.webhook import Notifier
from devstack.databricks.workspace import Workspace


class RateLimit:
    """A limit of requests a second for all callers together: a token bucket that holds one second's worth.

    :param per_second: requests let through a second, 0 = no limit.
    :param clock: returns seconds.
    """

    def __init__(self, per_second: float, clock: Callable[[], float]) -> None:
        self._per_second = per_second
        self._most = max(1.0, per_second)
        self._left = self._most
        self._clock = clock
        self._seen_at = clock()

    def wait_seconds(self) -> int:
        """Take one request; return 0 when it may pass, else after how many whole seconds to try again."""
        if not self._per_second:
            return 0
        now = self._clock()
        self._left = min(self._most, self._left + (now - self._seen_at) * self._per_second)
        self._seen_at = now
        if self._left >= 1:
            self._left -= 1
            return 0
        return math.ceil((1 - self._left) / self._per_second)


class Simulator:
    """All state of one simulated workspace.

    :param journal: of the same options; the workspace goes on from what it holds.
    :param now: the workspace's time in epoch seconds, for tests that decide it.
    :raises JournalError: what the journal holds cannot be repeated.
    """

    def __init__(
        self, options: Options, journal: Journal | None = None, *, now: Callable[[], float] = time.time
    ) -> None:
        origin = journal.origin if journal else origin_of(options)
        rng = random.Random(origin.seed)  # noqa: S311  ids and jitter, nothing secret
        clock = WorkspaceClock(now)
        self.notebooks = NotebookRunner(options.notebook_root) if options.notebook_root else None
        self.notifier = (
            Notifier(options.webhook, workspace_id=options.workspace_id) if options.webhook else None
        )
        outcomes = Outcomes(pending_seconds=options.pending_seconds, run_seconds=options.run_seconds, rng=rng)
        self.workspace = Workspace(
            clock=clock,
            rng=rng,
            outcomes=outcomes,
            max_active_runs=options.max_active_runs,
            executor=self.notebooks,
            on_over=self.notifier.run_over if self.notifier else None,
        )
        with clock.held(origin.at):
            for job_id, path in options.jobs:
                self.workspace.create_job(_notebook_job(job_id, path), job_id)
        self.faults = Faults(time.time)
        #: None = it has none of its own, and every one is accepted
        self.workspace_id = options.workspace_id
        self.credentials = Credentials(
            tokens=options.tokens,
            clients=dict(options.clients),
            token_seconds=options.oauth_seconds,
            clock=time.time,
        )
        self.requests: Counter[str] = Counter()
        #: requests by the workspace id that they named
        self.workspace_ids: Counter[str] = Counter()
        self.answers: Counter[str] = Counter()
        self._rate_limit = RateLimit(options.rate_limit, time.monotonic)
        #: everything that changes the workspace
        self.commands = Commands(self.workspace, clock, credentials=self.credentials, journal=journal)

    def check_workspace(self, asked: str) -> None:
        """Check an ``X-Databricks-Workspace-Id`` header, empty = none. :raises ApiError: it names another."""
        if asked:
            self.workspace_ids[asked] += 1
        if asked and self.workspace_id is not None and asked != str(self.workspace_id):
            raise other_workspace(asked, self.workspace_id)

    def check_rate(self) -> None:
        """Count a ``run-now``. :raises ApiError: there were too many in the last second."""
        if wait := self._rate_limit.wait_seconds():
            raise too_many_requests(wait)


def origin_of(options: Options) -> Origin:
    """What a workspace with these options that comes to be now follows from."""
    seed = secrets.randbits(64) if options.seed is None else options.seed
    return Origin(
        at=time.time(),
        seed=seed,
        pending_seconds=options.pending_seconds,
        run_seconds=options.run_seconds,
        max_active_runs=options.max_active_runs,
        jobs=options.jobs,
    )


def _notebook_job(job_id: int, path: str) -> dict[str, object]:
    task = {"task_key": "main", "notebook_task": {"notebook_path": path}}
    return {"name": f"job {job_id}", "max_concurrent_runs": 1000, "tasks": [task]}
