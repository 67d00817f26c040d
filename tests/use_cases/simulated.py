"""The use cases and the real client against the simulated workspace over HTTP, on one clock set by hand."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path

import aiohttp
from aiohttp.test_utils import TestServer

from devstack.databricks.options import Options
from devstack.databricks.server import make_app
from devstack.databricks.simulator import Simulator
from orchestrator.adapters.databricks.client import DatabricksClient
from orchestrator.adapters.store.entries import Store
from orchestrator.adapters.store.pool import Pool
from orchestrator.core.policy import WorkspacePolicy
from tests.databricks.support import Tokens
from tests.fakes import FakeClock
from tests.world import Database, DeliveredUseCases, workspace


class Time:
    """Epoch seconds for the database and the workspace alike."""

    def __init__(self) -> None:
        self.now = 1_800_000_000.0

    def __call__(self) -> float:
        return self.now

    def utc(self) -> datetime:
        return datetime.fromtimestamp(self.now, UTC)


class SimulatedWorld(DeliveredUseCases):
    """The app and a workspace whose time passes only when the test says so."""

    simulator: Simulator
    database: Database
    time: Time

    def pass_time(self, seconds: float) -> None:
        """Let time pass for the database, the workspace and what the app keeps."""
        self.time.now += seconds
        self.clock.time += seconds

    def requests(self, call: str) -> int:
        """Return how often an endpoint was called, such as ``runs/list``."""
        return self.simulator.requests[f"/api/2.2/jobs/{call}"]

    async def minutes(self, count: int) -> None:
        """Make a pass and deliver its messages every minute."""
        for _ in range(count):
            await self.trigger()
            await self.deliver()
            self.pass_time(60)


@asynccontextmanager
async def simulated(
    folder: Path,
    *,
    run_seconds: float = 50.0,
    cap: int = 130,
    default: WorkspacePolicy | None = None,
) -> AsyncIterator[SimulatedWorld]:
    """Serve a workspace without jobs and wire the app to it."""
    time = Time()
    options = Options(pending_seconds=0.0, run_seconds=run_seconds, seed=1, jobs=())
    simulator = Simulator(options, now=time)
    database = Database(folder, now=time.utc)
    server = TestServer(make_app(simulator), host="127.0.0.1")
    await server.start_server(shutdown_timeout=0.1)
    clock = FakeClock()
    async with aiohttp.ClientSession() as session:
        client = DatabricksClient(
            host=str(server.make_url("/")), tokens=Tokens(), session=lambda: session, clock=clock
        )
        world = SimulatedWorld(
            store=Store(Pool(database.connector)),
            runs={"default": client},
            workspaces={"default": default or workspace(cap=cap)},
            clock=clock,
        )
        world.simulator, world.database, world.time = simulator, database, time
        yield world
        await world.store.pool.close()
    await server.close()
