"""What an HTTP call costs the app in processor time, beside reading its answer: measured, not simulated."""

import asyncio
import sys
import tempfile
import time
from pathlib import Path

from benchmarks.simulated import clock
from benchmarks.simulated.counts import Counts
from benchmarks.simulated.databricks import Workspace
from devstack.azurite import ROOT
from devstack.processes import start
from orchestrator.adapters.clock import SystemClock
from orchestrator.adapters.databricks.auth.token_source import StaticToken
from orchestrator.adapters.databricks.client import DatabricksClient
from orchestrator.adapters.http_session import Connections


def http_seconds(calls: int) -> float:
    """Return the processor seconds that a call of this process takes more than a simulated one does.

    The server, a process of its own, has no runs, so that its answers are as short as the simulated ones.
    """
    with tempfile.TemporaryDirectory() as folder:
        argv = [sys.executable, "-m", "devstack", "databricks", "--port", "0"]
        server = start("databricks", argv, log=Path(folder) / "databricks.log", cwd=ROOT)
        try:
            real = asyncio.run(_real(server.url, calls))
        finally:
            server.stop()
    return max(0.0, real - clock.run(_simulated(calls)))


async def _real(url: str, calls: int) -> float:
    connections = Connections(per_host=10)
    client = DatabricksClient(
        host=url,
        tokens=StaticToken("local-token", "DATABRICKS_TOKEN"),
        session=connections.session,
        clock=SystemClock(),
    )
    try:
        return await _each(client, calls)
    finally:
        await connections.close()


async def _simulated(calls: int) -> float:
    workspace = Workspace(Counts(), answer_seconds=0.0, run_seconds=lambda: 0.0, rates={})
    return await _each(workspace.client(), calls)


async def _each(client: DatabricksClient, calls: int) -> float:
    await client.active_runs()
    began = time.process_time()
    for _ in range(calls):
        await client.active_runs()
    return (time.process_time() - began) / calls
