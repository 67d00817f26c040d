"""A pipeline of Data Factory becomes jobs and entries, and these run to their ends as they are."""

import json
import sqlite3
import subprocess
import sys
import urllib.request
from contextlib import closing
from typing import Any

import pytest

from tests.cli.factory_exports import EXISTING, LOAD, VAULT, databricks, pipeline
from tests.conftest import ROOT
from tests.e2e.stack import Stack

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(120)]

#: Every kind of task that the app can start, each without a condition.
PIPELINE = pipeline(
    LOAD,
    databricks("Jar", "DatabricksSparkJar", {"mainClassName": "com.example.Load", "parameters": ["orders"]}),
    databricks("Python", "DatabricksSparkPython", {"pythonFile": "dbfs:/load.py", "parameters": ["stock"]}),
)


def import_adf(stack: Stack, *options: str) -> str:
    """Return what the command prints for the pipeline."""
    for name, document in (("p", PIPELINE), ("s", EXISTING), ("v", VAULT)):
        (stack.folder / f"{name}.json").write_text(json.dumps(document))
    command = [sys.executable, "-m", "orchestrator", "import-adf", "p.json", "s.json", "v.json", *options]
    environment = {"PYTHONPATH": str(ROOT)}
    done = subprocess.run(
        command, cwd=stack.folder, env=environment, capture_output=True, text=True, timeout=60, check=True
    )
    return done.stdout


def call(stack: Stack, path: str, body: Any = None) -> Any:
    """Call the simulated workspace."""
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(
        f"{stack.simulator_url}/api/2.2/jobs/{path}",
        data=data,
        headers={"Authorization": "Bearer local-token", "Content-Type": "application/json"},
    )
    with urllib.request.urlopen(request, timeout=10) as answer:
        return json.load(answer)


async def test_what_is_proposed_runs_as_it_is(stack: Stack) -> None:
    stack.start_simulator("--run-seconds", "0.2")
    jobs = json.loads(import_adf(stack, "--json"))["jobs"]
    created = [call(stack, "create", job["job"])["job_id"] for job in jobs]
    with closing(sqlite3.connect(stack.database)) as connection:
        connection.executescript(import_adf(stack))
    stack.start_host(DATABRICKS_TOKEN="local-token", MAX_ACTIVE_RUNS="10")
    await stack.until_all_ended(60)
    assert stack.query("SELECT table_name, status FROM track_processing ORDER BY id") == [
        ("sales", "DONE"),
        ("Nightly/Jar", "DONE"),
        ("Nightly/Python", "DONE"),
    ]
    runs = [run_id for (run_id,) in stack.query("SELECT runid FROM track_processing ORDER BY id")]
    shown = [call(stack, f"runs/get?run_id={run_id}") for run_id in runs]
    assert [run["job_id"] for run in shown] == created
    assert [run["overriding_parameters"] for run in shown] == [
        {"notebook_params": {"table_name": "sales", "days": "7", "full": "false"}},
        {"jar_params": ["orders"]},
        {"python_params": ["stock"]},
    ]
