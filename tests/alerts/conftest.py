"""A store whose clock and commits the test controls, a real receiver, and alerting between them."""

import sqlite3
import threading
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path

import aiohttp
import pytest

from orchestrator.adapters.store.alerts import AlertLog
from orchestrator.adapters.store.connector import Connection, Opened
from orchestrator.adapters.store.entries import Store
from orchestrator.adapters.store.passes import PassLog
from orchestrator.adapters.store.pool import Pool
from orchestrator.adapters.store.reports import Reports
from orchestrator.adapters.store.sqlite import SqliteConnector
from orchestrator.adapters.webhook import Webhook
from orchestrator.core import alerts
from orchestrator.core.models import LastPass
from orchestrator.core.policy import WorkspacePolicy
from orchestrator.usecases.alerting import Alerting
from orchestrator.usecases.standstill import Standstill
from tests.alerts.receiver import Receiver
from tests.empty_store import make_empty_store
from tests.world import workspace

#: A timer function that has not started for this long is late, in seconds.
LATE_SECONDS = 600.0

#: How long an entry may be QUEUED without any call.
QUEUED_SECONDS = 1800.0

#: A commit is never held longer than this, whatever the test does.
HOLD_SECONDS = 20.0


class Hold:
    """Blocks the next transaction before its begin or its commit, or loses its response."""

    def __init__(self, place: str | None = None, *, loses_answer: bool = False) -> None:
        self._place = place
        self._loses_answer = loses_answer
        self.reached = threading.Event()
        self.go_on = threading.Event()
        self.committed = threading.Event()

    def stop(self, place: str) -> None:
        """Block if this is the chosen place; called by the transaction's thread."""
        if place == self._place:
            self.reached.set()
            assert self.go_on.wait(HOLD_SECONDS), f"held for {HOLD_SECONDS} s"

    def commit(self, real: Connection) -> None:
        """Commit in the same thread."""
        self.stop("commit")
        real.commit()
        self.committed.set()
        if self._loses_answer:
            raise sqlite3.OperationalError("the connection broke")


class HeldConnector(SqliteConnector):
    """A SQLite file whose next transaction can be blocked."""

    hold: Hold | None = None

    def connect(self) -> Opened:
        return Opened(connection=_HeldConnection(super().connect().connection))

    def begin_write(self, connection: Connection) -> None:
        assert isinstance(connection, _HeldConnection)
        connection.hold, self.hold = self.hold, None
        if connection.hold is not None:
            connection.hold.stop("begin")
        super().begin_write(connection)


class _HeldConnection:
    def __init__(self, real: Connection) -> None:
        self._real = real
        self.hold: Hold | None = None
        self.cursor, self.rollback, self.close = real.cursor, real.rollback, real.close

    def commit(self) -> None:
        hold, self.hold = self.hold, None
        if hold is None:
            self._real.commit()
        else:
            hold.commit(self._real)


@dataclass
class Pass:
    """A pass of a timer function in progress."""

    name: str
    store: Store
    alerting: Alerting
    before: tuple[Sequence[LastPass], datetime]

    async def end(self) -> None:
        """End the pass and send its alerts."""
        await PassLog(self.store.pool).pass_finished(self.name, "ok")
        await self.send_alerts()

    async def send_alerts(self) -> None:
        await self.alerting(self.name, *self.before)


@dataclass
class Desk:
    """A database whose clock the test moves, a real receiver, and a pass's alerts."""

    connector: HeldConnector
    store: Store
    session: aiohttp.ClientSession
    receiver: Receiver
    offset: timedelta = timedelta()
    workspaces: Mapping[str, WorkspacePolicy] = field(default_factory=lambda: {"default": workspace()})

    def alerting(self, store: Store | None = None, *, timeout_seconds: float = 5.0) -> Alerting:
        """Return the alerting of one instance of the app."""
        of_instance = store or self.store
        return Alerting(
            store=AlertLog(of_instance.pool),
            pass_log=PassLog(of_instance.pool),
            receiver=Webhook(
                self.receiver.url,
                body=alerts._as_json,
                session=lambda: self.session,
                timeout_seconds=timeout_seconds,
            ),
            standstill=Standstill(reports=Reports(of_instance.pool), workspaces=self.workspaces),
            pass_late_seconds=LATE_SECONDS,
            queued_seconds=QUEUED_SECONDS,
        )

    async def make_pass(self, name: str) -> None:
        """Make a pass of a timer function, with its alerts."""
        await (await self.begin(name)).end()

    async def begin(self, name: str, store: Store | None = None) -> "Pass":
        """Begin a pass of a timer function in one instance of the app."""
        of_instance = store or self.store
        alerting = self.alerting(of_instance)
        before = await alerting.snapshot()
        await PassLog(of_instance.pool).pass_started(name)
        return Pass(name=name, store=of_instance, alerting=alerting, before=before)

    def execute(self, sql: str, *parameters: object) -> list[tuple[object, ...]]:
        connection = self.connector.connect().connection
        try:
            cursor = connection.cursor()
            cursor.execute(sql, parameters)
            rows = list(cursor.fetchall())
            connection.commit()
        finally:
            connection.close()
        return rows

    def kill(self, count: int = 1, *, table: str = "sales", error: str = "it failed") -> None:
        """Insert entries that went DEAD just now."""
        for _ in range(count):
            self.execute(
                "INSERT INTO track_processing (table_name, status, last_error, parameters, finished_at)"
                " VALUES (?, 'DEAD', ?, '{\"pin\": \"secret-8462\"}', utc_now())",
                table,
                error,
            )

    def pass_time(self, seconds: float) -> None:
        self.offset += timedelta(seconds=seconds)


@pytest.fixture
async def desk(tmp_path: Path) -> AsyncIterator[Desk]:
    made: Desk
    file = make_empty_store(tmp_path / "state.db")
    connector = HeldConnector(file, now=lambda: datetime.now(UTC) + made.offset)
    async with Receiver().serve() as receiver, aiohttp.ClientSession() as session:
        made = Desk(connector=connector, store=Store(Pool(connector)), session=session, receiver=receiver)
        yield made
        await made.store.pool.close()
