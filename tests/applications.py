"""The whole app, wired as it is deployed, with a workspace whose answers a test writes."""

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path

from aiohttp import web

from orchestrator import settings
from orchestrator.bootstrap import Application
from tests.databricks.support import Workspace
from tests.empty_store import make_empty_store


@asynccontextmanager
async def served_application(
    folder: Path, reply: Callable[[web.Request], Awaitable[web.StreamResponse]], **changes: str
) -> AsyncIterator[Application]:
    """Yield an application with one workspace, on an empty store in a folder.

    :param reply: answers each request to the workspace.
    :param changes: settings besides those that it needs.
    """
    path = make_empty_store(folder / "state.db")
    workspace = Workspace()
    workspace.replies = [reply]
    async with workspace.serve():
        environment = {
            "AzureWebJobsStorage": "UseDevelopmentStorage=true",
            "DATABRICKS_HOST": workspace.url.rstrip("/"),
            "DATABRICKS_TOKEN": "t",
            "DATABRICKS_JOB_ID": "5",
            "STATE_DB": str(path),
            **changes,
        }
        made = Application(settings.load(environment), patience=0)
        yield made
        await made.close()


async def idle_workspace(request: web.Request) -> web.StreamResponse:
    """Answer as a workspace with one job and no runs."""
    if request.path.endswith("/jobs/get"):
        return web.json_response({"job_id": 5, "settings": {"name": "load", "max_concurrent_runs": 9}})
    return web.json_response({"has_more": False})
