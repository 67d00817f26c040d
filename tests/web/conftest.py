"""The API over a real store, with a Databricks workspace that is a small stand-in."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from orchestrator import settings
from orchestrator.bootstrap import Application
from tests.empty_store import make_empty_store
from tests.fakes import FakeRuns
from tests.web.support import Site

ENVIRONMENT = {
    "DATABRICKS_HOST": "http://127.0.0.1:1",
    "DATABRICKS_TOKEN": "token-of-the-workspace",
    "DATABRICKS_JOB_ID": "5",
    "MAX_ACTIVE_RUNS": "3",
    "AzureWebJobsStorage": (
        "DefaultEndpointsProtocol=http;AccountName=a;AccountKey=YQ==;QueueEndpoint=http://127.0.0.1:1/a"
    ),
}


@pytest.fixture
async def site(tmp_path: Path) -> AsyncIterator[Site]:
    """An API on an empty store."""
    database = make_empty_store(tmp_path / "state.db")
    app = Application(settings.load({**ENVIRONMENT, "STATE_DB": str(database)}), patience=0)
    runs = FakeRuns()
    for clients in (app.runs, app.web_runs):
        clients["default"] = runs  # type: ignore[assignment]  # it has all that a client has
    yield Site(app=app, runs=runs, database=database)
    await app.close()
