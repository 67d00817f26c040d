"""Routes under ``/_sim/``, by which tests steer and watch the simulator, and a browser's page; no token."""

from typing import Any

from aiohttp import web

from devstack.databricks.clock import milliseconds
from devstack.databricks.pages import page
from devstack.databricks.routes import read_object, site_of
from devstack.databricks.runs import Part, Run
from devstack.databricks.simulator import Simulator
from devstack.databricks.views import output_json, run_json


class ControlApi:
    """The handlers of ``/_sim``."""

    def __init__(self, simulator: Simulator) -> None:
        self._simulator = simulator
        self._workspace = simulator.workspace

    def routes(self) -> list[web.RouteDef]:
        """Every control route."""
        return [
            web.post("/_sim/faults", self.add_fault),
            web.delete("/_sim/faults", self.clear_faults),
            web.post("/_sim/tokens", self.replace_tokens),
            web.post("/_sim/clients", self.replace_clients),
            web.post("/_sim/outcomes", self.add_outcome),
            web.delete("/_sim/outcomes", self.clear_outcomes),
            web.post("/_sim/foreign-runs", self.add_foreign_runs),
            web.get("/_sim/runs", self.list_runs),
            web.get(r"/_sim/runs/{run_id:\d+}", self.get_run),
            web.delete(r"/_sim/runs/{run_id:\d+}", self.remove_run),
            web.get("/_sim/stats", self.stats),
            web.get("/", self.page),
        ]

    async def add_fault(self, request: web.Request) -> web.Response:
        """Let coming requests meet a fault."""
        self._simulator.faults.add(await read_object(request))
        return web.json_response({})

    async def clear_faults(self, _request: web.Request) -> web.Response:
        """End all faults."""
        self._simulator.faults.clear()
        return web.json_response({})

    async def replace_tokens(self, request: web.Request) -> web.Response:
        """Replace the accepted bearer tokens."""
        self._simulator.commands.perform("tokens", await read_object(request))
        return web.json_response({})

    async def replace_clients(self, request: web.Request) -> web.Response:
        """Replace the service principals."""
        self._simulator.commands.perform("clients", await read_object(request))
        return web.json_response({})

    async def add_outcome(self, request: web.Request) -> web.Response:
        """Decide how coming simulated attempts end."""
        self._simulator.commands.perform("outcomes", await read_object(request))
        return web.json_response({})

    async def clear_outcomes(self, _request: web.Request) -> web.Response:
        """Let all simulated attempts succeed again."""
        self._simulator.commands.perform("clear-outcomes", {})
        return web.json_response({})

    async def add_foreign_runs(self, request: web.Request) -> web.Response:
        """Start runs of other users."""
        run_ids = self._simulator.commands.perform("foreign-runs", await read_object(request))
        return web.json_response({"run_ids": run_ids})

    async def remove_run(self, request: web.Request) -> web.Response:
        """Remove a run as if its 60 days were over."""
        self._simulator.commands.perform("delete", {"run_id": int(request.match_info["run_id"])})
        return web.json_response({})

    async def list_runs(self, _request: web.Request) -> web.Response:
        """Every run that was not removed, the oldest first."""
        return web.json_response({"runs": [_record(run) for run in reversed(self._workspace.runs())]})

    async def get_run(self, request: web.Request) -> web.Response:
        """One run, with its tasks and their outputs, as the Jobs API answers."""
        run = self._workspace.run(int(request.match_info["run_id"]))
        site = site_of(request, self._simulator.workspace_id)
        outputs = [output_json(run, attempt, site) for attempt in run.attempts]
        return web.json_response({"run": run_json(run, site, with_tasks=True), "outputs": outputs})

    async def page(self, _request: web.Request) -> web.Response:
        """The jobs and runs, and what the link to a run opens."""
        return web.Response(text=page(self._workspace), content_type="text/html")

    async def stats(self, _request: web.Request) -> web.Response:
        """Counts: of the workspace since it came to be, of requests and answers since the start."""
        return web.json_response(
            {
                "active": self._workspace.active(),
                "max_active": self._workspace.max_active,
                "runs_created": self._workspace.runs_created,
                "by_token": self._workspace.tokens,
                "requests": self._simulator.requests,
                "by_workspace_id": self._simulator.workspace_ids,
                "calls_by_status": self._simulator.answers,
            }
        )


def _record(run: Run) -> dict[str, Any]:
    return {
        "run_id": run.run_id,
        "job_id": run.job.job_id,
        "idempotency_token": run.request.token or None,
        "parameters": run.parameters,
        "arguments": run.request.listed,
        "foreign": run.foreign,
        "trigger": run.trigger,
        "attempts": len(run.attempts),
        "parts": [_part(part) for part in run.parts],
        "start_time": milliseconds(run.created_at),
        "end_time": None if run.ended_at is None else milliseconds(run.ended_at),
        "life_cycle_state": run.state,
        "result_state": run.end.result_state if run.end else None,
    }


def _part(part: Part) -> dict[str, Any]:
    return {
        "repair_id": part.repair_id,
        "start_time": milliseconds(part.started_at),
        "end_time": None if part.ended_at is None else milliseconds(part.ended_at),
    }
