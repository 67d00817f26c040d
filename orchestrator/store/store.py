"""The state store: every read and every change of state, each one short transaction of named SQL."""

import asyncio
import threading
from collections.abc import Callable, Collection, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime
from typing import Any, TypeVar

from orchestrator.errors import StoreError
from orchestrator.models import Claim, Entry, LogRow, NewEntry, Tick, Verdict
from orchestrator.states import Status
from orchestrator.store import queries
from orchestrator.store.connector import Connection, Connector, as_utc

_T = TypeVar("_T")

#: One connection each. Ten submissions run at once on an instance; more threads would only wait for locks.
THREADS = 10

#: How long a claim waits for another one to end.
GATE_TIMEOUT_MS = 10_000

#: All claims of a database pass through one gate, whatever the workspace: a claim takes milliseconds.
GATE_NAME = "databricks-job-orchestrator/claim"

#: ``attempt`` is a 32-bit column; this stands for "no limit" in the claim.
NO_LIMIT = 2**31 - 1

#: ``last_error`` and ``message`` hold this many characters.
MAX_ERROR_LENGTH = 4000


class Session:
    """One transaction: runs named queries on its connection."""

    def __init__(self, connection: Connection, connector: Connector) -> None:
        self._connection = connection
        self._connector = connector
        self._queries = queries.load(connector.dialect)

    def rows(self, name: str, *parameters: Any) -> list[dict[str, Any]]:
        """Run a query and return its rows by column name."""
        cursor = self._connection.cursor()
        try:
            cursor.execute(self._queries[name].sql, [self._adapt(value) for value in parameters])
            columns = [column[0] for column in cursor.description]
            return [dict(zip(columns, row, strict=True)) for row in cursor.fetchall()]
        finally:
            cursor.close()

    def change(self, name: str, *parameters: Any) -> int:
        """Run a statement and return how many rows it changed."""
        cursor = self._connection.cursor()
        try:
            cursor.execute(self._queries[name].sql, [self._adapt(value) for value in parameters])
            return int(cursor.rowcount)
        finally:
            cursor.close()

    def _adapt(self, value: Any) -> Any:
        return self._connector.to_database(value) if isinstance(value, datetime) else value


class Store:
    """The rows of ``track_processing`` and their log.

    Every method runs on a thread of its own pool, never on the event loop, and raises
    :class:`~orchestrator.errors.StoreError` when the database does not do it. A change that names a state the
    row is no longer in changes nothing and says so.
    """

    def __init__(self, connector: Connector) -> None:
        self._connector = connector
        self._pool = ThreadPoolExecutor(THREADS, thread_name_prefix="store")
        self._local = threading.local()
        self._lock = threading.Lock()
        self._connections: set[Connection] = set()

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
        whose row has just ended counts as such for one tick: too few rows are claimed then, never too many.
        """

        def work(session: Session) -> list[Claim]:
            _pass_gate(session)
            in_flight = session.rows("in_flight", workspace)
            foreign = set(active_run_ids) - {row["runid"] for row in in_flight}
            free = cap - len(in_flight) - len(foreign)
            if free <= 0:
                return []
            rows = session.rows(
                "claim",
                _milliseconds(lease_seconds),
                workspace,
                max_attempts or NO_LIMIT,
                int(serialize_tables),
                int(serialize_tables),
                free,
            )
            rows.sort(key=lambda row: (-row["priority"], row["id"]))
            return [_claim(row) for row in rows]

        return await self._write(work)

    async def get(self, entry_id: int) -> Entry | None:
        """Return a row, or None."""
        rows = await self._read(lambda session: session.rows("get_entry", entry_id))
        return _entry(rows[0]) if rows else None

    async def begin_submission(self, claim: Claim, lease_seconds: float) -> Entry | None:
        """Note that ``run-now`` is about to be called, renew the lease and return the row.

        None: the row is no longer QUEUED for this submission, or a cancellation came before the first call.
        """
        rows = await self._write(
            lambda session: session.rows(
                "begin_submission", _milliseconds(lease_seconds), claim.entry_id, claim.submission
            )
        )
        return _entry(rows[0]) if rows else None

    async def record_run(self, claim: Claim, run_id: int) -> bool:
        """QUEUED → RUNNING. False: the row is no longer QUEUED for this submission."""
        return await self._write(
            lambda session: session.change("record_run", run_id, claim.entry_id, claim.submission) == 1
        )

    async def release(self, entry: Entry, verdict: Verdict) -> bool:
        """QUEUED → PENDING for lack of capacity. False: another delivery has taken over."""
        return await self._write(
            lambda session: (
                session.change(
                    "release",
                    _milliseconds(verdict.delay_seconds),
                    _cut(verdict.error),
                    entry.id,
                    entry.submission,
                    entry.deliveries,
                )
                == 1
            )
        )

    async def refuse(self, entry: Entry, verdict: Verdict, log: LogRow) -> bool:
        """QUEUED → FAILED or DEAD with its log row. False: another delivery has taken over."""

        def work(session: Session) -> bool:
            changed = session.change(
                "refuse",
                verdict.to,
                _milliseconds(verdict.delay_seconds),
                _cut(verdict.error),
                entry.id,
                entry.submission,
                entry.deliveries,
            )
            return _log_if(changed == 1, session, log)

        return await self._write(work)

    async def give_up(self, entry: Entry, error: str) -> bool:
        """QUEUED → DEAD, the submission left open: a later retry replays its token and finds the run, if any.

        False: another delivery has taken over.
        """
        return await self._write(
            lambda session: (
                session.change("give_up", _cut(error), entry.id, entry.submission, entry.deliveries) == 1
            )
        )

    async def postpone(self, claim: Claim, *, seconds: float, reason: str, no_effect: bool = False) -> bool:
        """Let a QUEUED row's lease end in so many seconds: then its message is sent again.

        :param no_effect: the submission that was just begun surely started no run, so it was not begun.
        """
        return await self._write(
            lambda session: (
                session.change(
                    "postpone",
                    _milliseconds(seconds),
                    _cut(reason),
                    int(no_effect),
                    claim.entry_id,
                    claim.submission,
                )
                == 1
            )
        )

    async def finish(self, entry: Entry, verdict: Verdict, log: LogRow) -> bool:
        """RUNNING → its end, with its log row. False: another monitor was faster."""

        def work(session: Session) -> bool:
            changed = session.change(
                "finish",
                verdict.to,
                _milliseconds(verdict.delay_seconds),
                _cut(verdict.error),
                0 if verdict.attempt_spent else 1,
                entry.id,
                entry.submission,
                entry.runid,
            )
            return _log_if(changed == 1, session, log)

        return await self._write(work)

    async def recover(self, *, lease_seconds: float, limit: int) -> list[Claim]:
        """Give QUEUED rows whose lease is over a new one and return their claims, to be sent again."""
        rows = await self._write(lambda session: session.rows("recover", _milliseconds(lease_seconds), limit))
        return [_claim(row) for row in rows]

    async def cancel_waiting(self, limit: int) -> int:
        """Cancel requested rows that surely have no run; return how many."""
        return await self._write(lambda session: session.change("cancel_waiting", limit))

    async def running(self, workspace: str) -> list[Entry]:
        """Return all rows of a workspace that have a run."""
        rows = await self._read(lambda session: session.rows("running", workspace))
        return [_entry(row) for row in rows]

    async def waiting_workspaces(self) -> set[str]:
        """Return the workspaces that waiting rows name, configured or not."""
        rows = await self._read(lambda session: session.rows("waiting_workspaces"))
        return {row["workspace"] for row in rows}

    async def add(self, entries: Sequence[NewEntry]) -> list[int]:
        """Insert rows, all or none, and return their ids."""

        def work(session: Session) -> list[int]:
            return [
                int(
                    session.rows(
                        "insert_entry",
                        new.table_name,
                        new.workspace,
                        new.job_id,
                        new.parameter_style,
                        new.parameters,
                        new.priority,
                        new.max_attempts,
                    )[0]["id"]
                )
                for new in entries
            ]

        return await self._write(work)

    async def request_cancel(self, entry_id: int) -> bool:
        """Ask for a row's cancellation. False: there is no such row, or it is final."""
        return await self._write(lambda session: session.change("request_cancel", entry_id) == 1)

    async def retry(self, entry_id: int) -> bool:
        """Run a final row again, or a FAILED one without waiting. False: neither, or no such row."""
        return await self._write(
            lambda session: (
                session.change("retry", entry_id) == 1 or session.change("retry_now", entry_id) == 1
            )
        )

    async def logs(self, entry_id: int) -> list[LogRow]:
        """Return a row's settled submissions, first to last."""
        rows = await self._read(lambda session: session.rows("logs_of_entry", entry_id))
        return [_log_row(row) for row in rows]

    async def counts(self) -> dict[str, dict[Status, int]]:
        """Return per workspace how many rows are in each state."""
        counts: dict[str, dict[Status, int]] = {}
        for row in await self._read(lambda session: session.rows("counts")):
            counts.setdefault(row["workspace"], {})[Status(row["status"])] = int(row["entries"])
        return counts

    async def now(self) -> datetime:
        """Return the database's clock."""
        rows = await self._read(lambda session: session.rows("now"))
        return _time(rows[0]["now"])

    async def tick_started(self, name: str) -> None:
        """Note that a pass of a timer function begins."""

        def work(session: Session) -> None:
            if session.change("tick_started", name) == 0:
                session.change("tick_first", name)

        await self._write(work)

    async def tick_finished(self, name: str, outcome: str) -> None:
        """Note that a pass of a timer function is over."""
        await self._write(lambda session: session.change("tick_finished", _cut(outcome), name))

    async def ticks(self) -> list[Tick]:
        """Return the last pass of each timer function."""
        rows = await self._read(lambda session: session.rows("ticks"))
        return [
            Tick(
                name=row["name"],
                started_at=_time(row["started_at"]),
                finished_at=as_utc(row["finished_at"]),
                outcome=row["outcome"],
            )
            for row in rows
        ]

    async def close(self) -> None:
        """End the threads, once their work is done, and close the connections."""
        await asyncio.to_thread(self._pool.shutdown)
        with self._lock:
            for connection in self._connections:
                connection.close()
            self._connections.clear()

    async def _read(self, work: Callable[[Session], _T]) -> _T:
        return await self._run(work, writes=False)

    async def _write(self, work: Callable[[Session], _T]) -> _T:
        return await self._run(work, writes=True)

    async def _run(self, work: Callable[[Session], _T], *, writes: bool) -> _T:
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._pool, self._transact, work, writes)

    def _transact(self, work: Callable[[Session], _T], writes: bool) -> _T:
        connection = self._connection()
        try:
            if writes:
                self._connector.begin_write(connection)
            result = work(Session(connection, self._connector))
            connection.commit()
        except BaseException as error:
            # Closing rolls back. A connection that has failed once is not trusted again.
            self._discard(connection)
            if isinstance(error, self._connector.error):
                raise StoreError(self._connector.explain(error)) from error
            raise
        return result

    def _connection(self) -> Connection:
        connection: Connection | None = getattr(self._local, "connection", None)
        if connection is None:
            connection = self._connector.connect()
            with self._lock:
                self._connections.add(connection)
            self._local.connection = connection
        return connection

    def _discard(self, connection: Connection) -> None:
        self._local.connection = None
        with self._lock:
            self._connections.discard(connection)
        try:
            connection.close()
        except self._connector.error:  # it is being thrown away because it is broken
            return


def _pass_gate(session: Session) -> None:
    result = session.rows("enter_claim_gate", GATE_TIMEOUT_MS, GATE_NAME)[0]["result"]
    if result < 0:
        raise StoreError(f"another claim held the gate for {GATE_TIMEOUT_MS} ms (result {result})")


def _log_if(changed: bool, session: Session, log: LogRow) -> bool:
    if changed:
        session.change(
            "insert_log",
            log.entry_id,
            log.submission,
            log.attempt,
            log.status,
            log.runid,
            log.life_cycle_state,
            log.result_state,
            log.termination_code,
            _cut(log.message),
            log.error_trace,
            log.run_page_url,
            log.started_at,
            log.finished_at,
            log.queue_seconds,
            log.setup_seconds,
            log.execution_seconds,
        )
    return changed


def _milliseconds(seconds: float) -> int:
    return round(seconds * 1000)


def _cut(text: str | None) -> str | None:
    return None if text is None else text[:MAX_ERROR_LENGTH]


def _time(value: object) -> datetime:
    time = as_utc(value)
    if time is None:
        raise StoreError("a time that must be there is NULL")
    return time


def _claim(row: dict[str, Any]) -> Claim:
    return Claim(entry_id=int(row["id"]), submission=int(row["submission"]))


_TIMES = ("available_at", "created_at", "updated_at")
_OPTIONAL_TIMES = ("lease_expires_at", "submitted_at", "finished_at")


def _entry(row: dict[str, Any]) -> Entry:
    return Entry(
        **{
            **row,
            "entry_guid": str(row["entry_guid"]).lower(),
            "status": Status(row["status"]),
            "cancel_requested": bool(row["cancel_requested"]),
            **{name: _time(row[name]) for name in _TIMES},
            **{name: as_utc(row[name]) for name in _OPTIONAL_TIMES},
        }
    )


def _log_row(row: dict[str, Any]) -> LogRow:
    return LogRow(
        **{
            **row,
            "status": Status(row["status"]),
            "started_at": as_utc(row["started_at"]),
            "finished_at": as_utc(row["finished_at"]),
        }
    )
