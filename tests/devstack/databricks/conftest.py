"""Fixtures: a workspace on a hand-set clock, the server inside the test, the server as a process."""

import sys
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
from aiohttp import web
from aiohttp.test_utils import TestClient, TestServer
from databricks.sdk import WorkspaceClient

from devstack import processes
from devstack.databricks.options import Options
from devstack.databricks.server import make_app
from devstack.databricks.simulator import Simulator
from tests.devstack.databricks.helpers import ROOT, SimulatedWorkspace, sdk_client

Client = TestClient[web.Request, web.Application]

#: A simulated job that exists at the start.
JOB_ID = 7


@pytest.fixture
def world() -> SimulatedWorkspace:
    return SimulatedWorkspace()


@pytest.fixture
async def client() -> AsyncIterator[Client]:
    """The server inside the test, called with a bearer token."""
    simulator = Simulator(
        Options(tokens=("secret",), pending_seconds=0.0, run_seconds=60.0, jobs=((JOB_ID, "/simulated"),))
    )
    headers = {"Authorization": "Bearer secret"}
    async with TestClient(TestServer(make_app(simulator)), headers=headers) as client:
        yield client


@pytest.fixture(scope="module")
def simulator_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The server as a process, as the local stack starts it."""
    argv = [sys.executable, "-m", "devstack", "databricks", "--port", "0", "--token", "secret", "--seed", "1"]
    argv += ["--pending-seconds", "0.05", "--run-seconds", "0.1", "--with-job", str(JOB_ID)]
    log = tmp_path_factory.mktemp("simulator") / "simulator.log"
    process = processes.start("databricks", argv, log=log, cwd=ROOT)
    yield process.url
    assert process.stop() == 0, process.tail()


@pytest.fixture
def sdk(simulator_url: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> WorkspaceClient:
    """The real client, without the settings of the machine it runs on."""
    monkeypatch.setenv("DATABRICKS_CONFIG_FILE", str(tmp_path / "none"))
    return sdk_client(simulator_url, "secret")
