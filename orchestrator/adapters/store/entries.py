"""The state store: every read and every change of state, each one short transaction of named SQL."""

import math
from collections.abc import Callable, Collection, Sequence
from datetime import datetime
from typing import Any, TypeVar

from orchestrator.adapters.store.connector import Connector, as_utc
from orchestrator.adapters.store.pool import Pool
from orchestrator.adapters.store.records import read_claim, read_entry, read_log_row, read_time
from orchestrator.adapters.store.session import Session, acquire_lock
from orchestrator.core.models import (
    ANYTHING,
    IN_DOUBT,
    CallsElsewhere,
    Claim,
    Entry,
    Expected,
    LastPass,
    LogRow,
    NewEntry,
    Unanswered,
    Verdict,
)
from orchestrator.core.numbers import MAX_INT32
from orchestrator.core.states import Status

_T = TypeVar("_T")

#: How long a transaction waits at a lock for another one to end.
LOCK_TIMEOUT_MS = 10_000

#: All claims of a database pass through one lock, whatever the workspace: a claim takes milliseconds.
CLAIM_LOCK = "databricks-job-orchestrator/claim"

#: Behind it, two processes never both find that a timer function has no row yet.
PASSES_LOCK = "databricks-job-orchestrator/passes"

#: ``attempt`` and ``submission`` are 32-bit columns; this stands for "no limit".
NO_LIMIT = MAX_INT32

#: A call is taken back from ``deliveries`` while there are more than so many.
_TAKEN_BACK_ABOVE = {Unanswered.NO_EFFECT: 0, Unanswered.OUTAGE: IN_DOUBT, Unanswered.ENTRY: NO_LIMIT}

#: Lengths of the columns, in UTF-16 units: ``last_error`` and ``message``; states and codes; the run's page.
MAX_ERROR_LENGTH = 4000
MAX_NAME_LENGTH = 64
MAX_URL_LENGTH = 1000


class Store:
    """The rows of ``track_processing`` and their log.

    Every method runs on a thread of its own pool, never on the event loop, and raises
    :class:`~orchestrator.core.errors.StoreError` when the database does not do it. A change that names a
    state the row is no longer in changes nothing and says so.

    :param options: of the pool, see :class:`~orchestrator.adapters.store.pool.Pool`.
    """

    def __init__(self, connector: Connector, **options: Any) -> None:
        self._pool = Pool(connector, **options)

    @property
    def pool(self) -> Pool:
        """The connections, for what else reads and writes this database."""
        return self._pool

    async def claim(
        self,
        workspace: str,
        *,
        cap: int,
        active_run_ids: Collection[int],
        lease_seconds: float,
        max_attempts: int,
        serialize_tables: bool,
    ) -> list[Claim]:
        """Claim as many waiting rows as the workspace has free slots, highest priority first.

        A slot is taken by each row in flight and by each active run that belongs to no row in flight. A run
        whose row has just ended counts as such for one pass: too few rows are claimed then, never too many.
        """

        def work(session: Session) -> list[Claim]:
            acquire_lock(session, CLAIM_LOCK, LOCK_TIMEOUT_MS)
            in_flight = session.rows("in_flight", workspace)
            foreign = set(active_run_ids) - {row["runid"] for row in in_flight}
            free = cap - len(in_flight) - len(foreign)
            if free <= 0:
                return []
            rows = session.rows(
                "claim",
                max_attempts or NO_LIMIT,
                _milliseconds(lease_seconds),
                workspace,
                max_attempts or NO_LIMIT,
                int(serialize_tables),
                int(serialize_tables),
                free,
            )
            rows.sort(key=lambda row: (-row["priority"], row["id"]))
            return [read_claim(row) for row in rows]

        return await self._write(work)

    async def get(self, entry_id: int) -> Entry | None:
        """Return a row, or None."""
        rows = await self._read(lambda session: session.rows("get_entry", entry_id))
        return read_entry(rows[0]) if rows else None

    async def begin_submission(self, claim: Claim, lease_seconds: float) -> Entry | None:
        """Note that ``run-now`` is about to be called, renew the lease and return the row.

        None: the row is no longer QUEUED for this submission, or a cancellation came before the first call.
        """
        rows = await self._write(
            lambda session: session.rows(
                "begin_submission", _milliseconds(lease_seconds), claim.entry_id, claim.submission
            )
        )
        return read_entry(rows[0]) if rows else None

    async def record_run(self, claim: Claim, run_id: int) -> bool:
        """QUEUED → RUNNING. False: the row is no longer QUEUED for this submission."""
        return await self._write(
            lambda session: session.changed_one("record_run", run_id, claim.entry_id, claim.submission)
        )

    async def release(self, entry: Entry, verdict: Verdict) -> bool:
        """QUEUED → PENDING for lack of capacity. False: another delivery has taken over."""
        return await self._write(
            lambda session: session.changed_one(
                "release",
                _milliseconds(verdict.delay_seconds),
                _cut(verdict.error),
                entry.id,
                entry.submission,
                entry.deliveries,
            )
        )

    async def refuse(self, entry: Entry, verdict: Verdict, log: LogRow) -> bool:
        """QUEUED → FAILED or DEAD with its log row. False: another delivery has taken over."""

        def work(session: Session) -> bool:
            changed = session.changed_one(
                "refuse",
                verdict.to,
                _milliseconds(verdict.delay_seconds),
                _cut(verdict.error),
                entry.id,
                entry.submission,
                entry.deliveries,
            )
            return _log_if(changed, session, log)

        return await self._write(work)

    async def leave_open(self, entry: Entry, verdict: Verdict) -> bool:
        """QUEUED → FAILED or DEAD, the submission left open: its token is replayed and finds the run, if any.

        False: another delivery has taken over.
        """
        return await self._write(
            lambda session: session.changed_one(
                "leave_open",
                verdict.to,
                _milliseconds(verdict.delay_seconds),
                _cut(verdict.error),
                entry.id,
                entry.submission,
                entry.deliveries,
            )
        )

    async def postpone(
        self, claim: Claim, *, seconds: float, reason: str, unanswered: Unanswered = Unanswered.ENTRY
    ) -> bool:
        """Let a QUEUED row's lease end in so many seconds: then its message is sent again.

        :param unanswered: what the submission that was just begun came to; by default its delivery counts.
        """
        return await self._write(
            lambda session: session.changed_one(
                "postpone",
                _milliseconds(seconds),
                _cut(reason),
                _TAKEN_BACK_ABOVE[unanswered],
                claim.entry_id,
                claim.submission,
            )
        )

    async def finish(self, entry: Entry, verdict: Verdict, log: LogRow) -> bool:
        """RUNNING → its end, with its log row. False: another monitor was faster."""

        def work(session: Session) -> bool:
            changed = session.changed_one(
                "finish",
                verdict.to,
                _milliseconds(verdict.delay_seconds),
                _cut(verdict.error),
                0 if verdict.attempt_spent else 1,
                entry.id,
                entry.submission,
                entry.runid,
            )
            return _log_if(changed, session, log)

        return await self._write(work)

    async def recover(self, *, lease_seconds: float, limit: int) -> list[Claim]:
        """Give QUEUED rows whose lease is over a new one and return their claims, to be sent again."""
        rows = await self._write(lambda session: session.rows("recover", _milliseconds(lease_seconds), limit))
        return [read_claim(row) for row in rows]

    async def unanswered(self, *, deliveries: int, limit: int) -> list[Entry]:
        """Return QUEUED rows whose lease is over and that had so many calls without a known outcome."""
        rows = await self._read(lambda session: session.rows("unanswered", deliveries, limit))
        return [read_entry(row) for row in rows]

    async def calls_elsewhere(self, entry: Entry, *, within_seconds: float) -> CallsElsewhere:
        """Say how ``run-now`` fares for the other rows of a row's workspace.

        :param within_seconds: accepted runs are looked for so far back.
        """
        since, name = -_milliseconds(within_seconds), entry.workspace
        rows = await self._read(
            lambda session: session.rows("calls_elsewhere", name, since, since, name, since, name, entry.id)
        )
        return CallsElsewhere(accepted=bool(rows[0]["accepted"]), unanswered=bool(rows[0]["unanswered"]))

    async def cancel_waiting(self, limit: int) -> int:
        """Cancel requested rows that surely have no run; return how many."""
        return await self._write(lambda session: session.change("cancel_waiting", limit))

    async def running(self, workspace: str) -> list[Entry]:
        """Return all rows of a workspace that have a run."""
        rows = await self._read(lambda session: session.rows("running", workspace))
        return [read_entry(row) for row in rows]

    async def running_run(self, workspace: str, run_id: int) -> Entry | None:
        """Return the row that follows a run now, or None."""
        rows = await self._read(lambda session: session.rows("running_run", workspace, run_id))
        return read_entry(rows[0]) if rows else None

    async def running_workspaces(self) -> set[str]:
        """Return the workspaces that rows with a run name, configured or not."""
        rows = await self._read(lambda session: session.rows("running_workspaces"))
        return {row["workspace"] for row in rows}

    async def waiting_workspaces(self) -> set[str]:
        """Return the workspaces that waiting rows name, configured or not."""
        rows = await self._read(lambda session: session.rows("waiting_workspaces"))
        return {row["workspace"] for row in rows}

    async def add(self, entries: Sequence[NewEntry]) -> list[int]:
        """Insert rows, all or none, and return their ids."""
        return await self._write(lambda session: insert_entries(session, entries))

    async def request_cancel(self, entry_id: int) -> bool:
        """Ask for a row's cancellation. False: there is no such row, or it is final."""
        return await self._write(lambda session: ask_to_cancel(session, entry_id, ANYTHING))

    async def retry(self, entry_id: int) -> bool:
        """Run a final row again, or a FAILED one without waiting. False: neither, or no such row."""
        return await self._write(lambda session: run_again(session, entry_id, ANYTHING))

    async def purge(self, *, older_than_seconds: float, limit: int) -> int:
        """Delete the oldest final rows, with their logs, that ended so long ago; return how many.

        A row whose submission is left open stays, also when it is DEAD: its token alone finds the run that
        may have come of it.
        """
        return await self._write(
            lambda session: session.change("purge", math.ceil(older_than_seconds), limit)
        )

    async def logs(self, entry_id: int) -> list[LogRow]:
        """Return a row's settled submissions, first to last."""
        rows = await self._read(lambda session: session.rows("logs_of_entry", entry_id))
        return [read_log_row(row) for row in rows]

    async def counts(self) -> dict[str, dict[Status, int]]:
        """Return per workspace how many rows are in each state."""
        counts: dict[str, dict[Status, int]] = {}
        for row in await self._read(lambda session: session.rows("counts")):
            counts.setdefault(row["workspace"], {})[Status(row["status"])] = int(row["entries"])
        return counts

    async def now(self) -> datetime:
        """Return the database's clock."""
        rows = await self._read(lambda session: session.rows("now"))
        return read_time(rows[0]["now"])

    async def pass_started(self, name: str) -> None:
        """Note that a pass of a timer function begins."""

        def work(session: Session) -> None:
            acquire_lock(session, PASSES_LOCK, LOCK_TIMEOUT_MS)
            if session.change("pass_started", name) == 0:
                session.change("pass_first", name)

        await self._write(work)

    async def pass_finished(self, name: str, outcome: str) -> None:
        """Note that a pass of a timer function has come to its end."""
        await self._write(lambda session: session.change("pass_finished", _cut(outcome), name))

    async def pass_failed(self, name: str, outcome: str) -> None:
        """Note why a pass of a timer function did not come to its end."""
        await self._write(lambda session: session.change("pass_failed", _cut(outcome), name))

    async def passes(self) -> list[LastPass]:
        """Return the last pass of each timer function."""
        rows = await self._read(lambda session: session.rows("passes"))
        return [
            LastPass(
                name=row["name"],
                started_at=read_time(row["started_at"]),
                finished_at=as_utc(row["finished_at"]),
                outcome=row["outcome"],
            )
            for row in rows
        ]

    async def missing_rights(self) -> dict[str, list[str]]:
        """Return by table which rights on it the app needs and this login lacks. Changes nothing."""
        missing: dict[str, list[str]] = {}
        for row in await self._write(lambda session: session.rows("probe_rights")):
            missing.setdefault(row["table_name"], []).append(row["permission"])
        return missing

    async def close(self) -> None:
        """End the threads, once their work is done, and close the connections."""
        await self._pool.close()

    async def patiently(self, work: Callable[[], _T]) -> _T:
        """Do blocking work on the database that is safe to do again, as patiently as everything else."""
        return await self._pool.patiently(work)

    async def _read(self, work: Callable[[Session], _T]) -> _T:
        return await self._run(work, writes=False)

    async def _write(self, work: Callable[[Session], _T]) -> _T:
        return await self._run(work, writes=True)

    async def _run(self, work: Callable[[Session], _T], *, writes: bool) -> _T:
        return await self._pool.transact(work, writes=writes)


def insert_entries(session: Session, entries: Sequence[NewEntry]) -> list[int]:
    """Insert rows and return their ids."""
    rows = [
        session.rows(
            "insert_entry",
            new.table_name,
            new.workspace,
            new.job_id,
            new.parameter_style,
            new.parameters,
            new.priority,
            new.max_attempts,
        )
        for new in entries
    ]
    return [int(inserted["id"]) for [inserted] in rows]


def ask_to_cancel(session: Session, entry_id: int, expected: Expected) -> bool:
    """Ask for a row's cancellation, if it is as expected; see :meth:`Store.request_cancel`."""
    return session.changed_one("request_cancel", entry_id, *as_seen(expected))


def run_again(session: Session, entry_id: int, expected: Expected) -> bool:
    """Run a row again, if it is as expected; see :meth:`Store.retry`."""
    seen = as_seen(expected)
    return session.changed_one("retry", entry_id, *seen) or session.changed_one("retry_now", entry_id, *seen)


def as_seen(expected: Expected) -> tuple[int | str, ...]:
    """Return the parameters by which a statement names how a row must be; '' is no state."""
    least, most = (0, NO_LIMIT) if expected.submission is None else (expected.submission,) * 2
    return (least, most, *(state.value if state in expected.states else "" for state in Status))


def _log_if(changed: bool, session: Session, log: LogRow) -> bool:
    if changed:
        session.change(
            "insert_log",
            log.entry_id,
            log.submission,
            log.attempt,
            log.status,
            log.runid,
            _cut(log.life_cycle_state, MAX_NAME_LENGTH),
            _cut(log.result_state, MAX_NAME_LENGTH),
            _cut(log.termination_code, MAX_NAME_LENGTH),
            _cut(log.message),
            log.error_trace,
            _cut(log.run_page_url, MAX_URL_LENGTH),
            log.started_at,
            log.finished_at,
            log.queue_seconds,
            log.setup_seconds,
            log.execution_seconds,
        )
    return changed


def _milliseconds(seconds: float) -> int:
    return round(seconds * 1000)


def _cut(text: str | None, units: int = MAX_ERROR_LENGTH) -> str | None:
    """Cut to so many UTF-16 units, which is what ``nvarchar`` counts."""
    if text is None or len(text.encode("utf-16-le", "replace")) <= 2 * units:
        return text
    return text.encode("utf-16-le", "replace")[: 2 * units].decode("utf-16-le", "ignore")
