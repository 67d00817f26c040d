"""The Jobs API's routes: JSON in, JSON out. The rules are in ``workspace.py`` and ``requests.py``."""

import json
from typing import Any

from aiohttp import web

from devstack.databricks.array_pages import array_page
from devstack.databricks.errors import invalid, malformed
from devstack.databricks.paging import take_page
from devstack.databricks.requests import flag, page_limit, parse_list_runs, required_id
from devstack.databricks.runs import Attempt, Run
from devstack.databricks.simulator import Simulator
from devstack.databricks.views import attempt_json, job_json, output_json, run_json

#: The versions of the Jobs API that are served; both answer alike.
PREFIX = r"/api/{version:2\.[12]}/jobs"

#: The workspace id that links carry when the workspace has none of its own.
ORGANISATION = 1234567890123456

#: https://docs.databricks.com/api/workspace/jobs/list
DEFAULT_JOBS_LIMIT = 20
MAX_JOBS_LIMIT = 100


async def read_object(request: web.Request) -> dict[str, Any]:
    """Return the body's JSON object. :raises ApiError: it is none."""
    try:
        body = json.loads(await request.text() or "{}")
    except ValueError as error:
        raise malformed("Could not parse request object: the body is not JSON.") from error
    if not isinstance(body, dict):
        raise malformed("Could not parse request object: the body must be a JSON object.")
    return body


class JobsApi:
    """The handlers of ``/api/2.x/jobs``."""

    def __init__(self, simulator: Simulator) -> None:
        self._simulator = simulator
        self._workspace = simulator.workspace

    def routes(self) -> list[web.RouteDef]:
        """Every endpoint that is served."""
        return [
            web.post(f"{PREFIX}/run-now", self.run_now),
            web.get(f"{PREFIX}/runs/list", self.list_runs),
            web.get(f"{PREFIX}/runs/get", self.get_run),
            web.get(f"{PREFIX}/runs/get-output", self.get_output),
            web.post(f"{PREFIX}/runs/repair", self.repair_run),
            web.post(f"{PREFIX}/runs/cancel", self.cancel_run),
            web.post(f"{PREFIX}/runs/delete", self.delete_run),
            web.post(f"{PREFIX}/create", self.create_job),
            web.post(f"{PREFIX}/delete", self.delete_job),
            web.get(f"{PREFIX}/get", self.get_job),
            web.get(f"{PREFIX}/list", self.list_jobs),
        ]

    async def run_now(self, request: web.Request) -> web.Response:
        """Start a run."""
        self._simulator.check_rate()
        run_id = self._simulator.commands.perform("run-now", await read_object(request))
        if run_id is None:  # the job is continuous
            return web.json_response({})
        return web.json_response({"run_id": run_id, "number_in_job": run_id})

    async def list_runs(self, request: web.Request) -> web.Response:
        """A page of runs. The key ``runs`` is absent when the page is empty."""
        query = parse_list_runs(request.query)
        page, next_token = self._workspace.list_runs(query)
        site = self._site(request)
        runs = [_first_page(run_json(run, site, with_tasks=query.expand_tasks)) for run in page]
        return _page_response("runs", runs, next_token)

    async def get_run(self, request: web.Request) -> web.Response:
        """A run, or the run of a task."""
        run_id, site = required_id(request.query, "run_id"), self._site(request)
        known = self._workspace.attempt(run_id)
        if known:
            view = attempt_json(*known, site)
        else:
            with_history = flag(request.query, "include_history")
            view = run_json(self._workspace.run(run_id), site, with_tasks=True, with_history=with_history)
        page, next_token = array_page(view, request.query.get("page_token", ""))
        return web.json_response({**page, "next_page_token": next_token} if next_token else page)

    async def get_output(self, request: web.Request) -> web.Response:
        """The output of a task's run, or of a run's only task: of its last attempt."""
        run_id = required_id(request.query, "run_id")
        known = self._workspace.attempt(run_id) or self._only_task(run_id)
        return web.json_response(output_json(*known, self._site(request)))

    def _site(self, request: web.Request) -> str:
        return site_of(request, self._simulator.workspace_id)

    def _only_task(self, run_id: int) -> tuple[Run, Attempt]:
        run = self._workspace.run(run_id)
        if len(run.job.tasks) > 1:
            raise invalid(
                "Retrieving the output of runs with multiple tasks is not supported. "
                "Please retrieve the output of each individual task run instead."
            )
        if not run.attempts:
            raise invalid(f"Run {run_id} was never started and has no output.")
        return run, run.attempts[-1]

    async def repair_run(self, request: web.Request) -> web.Response:
        """Run tasks of a run again."""
        repair_id = self._simulator.commands.perform("repair", await read_object(request))
        return web.json_response({"repair_id": repair_id})

    async def cancel_run(self, request: web.Request) -> web.Response:
        """Ask for a run's end."""
        self._simulator.commands.perform("cancel", await read_object(request))
        return web.json_response({})

    async def delete_run(self, request: web.Request) -> web.Response:
        """Remove a run that is over."""
        self._simulator.commands.perform("delete", await read_object(request))
        return web.json_response({})

    async def create_job(self, request: web.Request) -> web.Response:
        """Create a job."""
        job_id = self._simulator.commands.perform("create", await read_object(request))
        return web.json_response({"job_id": job_id})

    async def delete_job(self, request: web.Request) -> web.Response:
        """Delete a job."""
        self._simulator.commands.perform("delete-job", await read_object(request))
        return web.json_response({})

    async def get_job(self, request: web.Request) -> web.Response:
        """A job's settings."""
        view = job_json(self._workspace.job(required_id(request.query, "job_id")), with_tasks=True)
        view["settings"], next_token = array_page(view["settings"], request.query.get("page_token", ""))
        return web.json_response({**view, "next_page_token": next_token} if next_token else view)

    async def list_jobs(self, request: web.Request) -> web.Response:
        """A page of jobs."""
        limit = page_limit(request.query, default=DEFAULT_JOBS_LIMIT, most=MAX_JOBS_LIMIT)
        name = request.query.get("name", "").lower()
        jobs = (job for job in self._workspace.jobs() if name in {"", job.name.lower()})
        page, next_token = take_page(jobs, limit=limit, page_token=request.query.get("page_token", ""))
        with_tasks = flag(request.query, "expand_tasks")
        views = [job_json(job, with_tasks=with_tasks) for job in page]
        for view in views:
            view["settings"], more = array_page(view["settings"])
            view["has_more"] = bool(more)
        return _page_response("jobs", views, next_token)


def site_of(request: web.Request, workspace_id: int | None) -> str:
    """What the links to the workspace's pages start with, up to the part that no server sees."""
    return f"{host_of(request)}/?o={ORGANISATION if workspace_id is None else workspace_id}"


def host_of(request: web.Request) -> str:
    """The address under which the caller knows the workspace."""
    return f"{request.scheme}://{request.host}"


def _first_page(view: dict[str, Any]) -> dict[str, Any]:
    """A run as ``runs/list`` shows it: what more there is, ``runs/get`` has."""
    page, more = array_page(view)
    return {**page, "has_more": bool(more)}


def _page_response(key: str, items: list[dict[str, Any]], next_token: str) -> web.Response:
    body: dict[str, Any] = {"has_more": bool(next_token)}
    if items:
        body[key] = items
    if next_token:
        body["next_page_token"] = next_token
    return web.json_response(body)
