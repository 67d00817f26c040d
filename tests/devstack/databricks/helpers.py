"""What the simulator's tests share: a clock that is set by hand, and short ways to do things."""

import json
import random
import urllib.request
from collections.abc import Sequence
from datetime import timedelta
from http.client import HTTPResponse
from pathlib import Path
from typing import Any, cast

from databricks.sdk import WorkspaceClient
from databricks.sdk.config import Config
from databricks.sdk.service.jobs import (
    NotebookTask,
    RunLifeCycleState,
    RunNowResponse,
    RunResultState,
    Task,
    TaskDependency,
)
from databricks.sdk.service.jobs import Run as SdkRun

from devstack.databricks.executor import Executor
from devstack.databricks.outcomes import Outcomes, parse_rule
from devstack.databricks.requests import ListRuns, RunNow
from devstack.databricks.runs import Run
from devstack.databricks.workspace import Workspace

#: With the jitter of 25 % a simulated run of these tests is over after at most 1.25 + 12.5 seconds.
PENDING_SECONDS = 1.0
RUN_SECONDS = 10.0
LONG_ENOUGH = 14.0

#: The SDK looks at once, then after one to two seconds, then after two to three, and so on.
WAIT = timedelta(seconds=20)

FINAL = {RunLifeCycleState.TERMINATED, RunLifeCycleState.SKIPPED, RunLifeCycleState.INTERNAL_ERROR}

#: The checkout, from which ``python -m devstack`` is started.
ROOT = Path(__file__).parents[3]


def sdk_client(url: str, token: str, **settings: Any) -> WorkspaceClient:
    """The real client; it gives up soon on an answer that it regards as transient."""
    config = Config(
        host=url,
        token=token,
        auth_type="pat",
        retry_timeout_seconds=3,
        http_timeout_seconds=10,
        **settings,
    )
    return WorkspaceClient(config=config)


def submit(sdk: WorkspaceClient, job_id: int, **arguments: Any) -> int:
    """``run_now``; return the run id."""
    run_id = cast(RunNowResponse, sdk.jobs.run_now(job_id, **arguments).response).run_id
    assert run_id is not None
    return run_id


def finished(sdk: WorkspaceClient, run_id: int) -> SdkRun:
    """Look at a run until it is over, and return it. The test's time-out is the bound."""
    while True:
        run = sdk.jobs.get_run(run_id)
        if run.state and run.state.life_cycle_state in FINAL:
            return run


def steer(url: str, route: str, body: dict[str, Any]) -> None:
    """Call a control route."""
    request = urllib.request.Request(f"{url}/_sim/{route}", json.dumps(body).encode(), method="POST")
    response: HTTPResponse
    with urllib.request.urlopen(request, timeout=10) as response:
        assert response.status == 200


def make_job(sdk: WorkspaceClient, *tasks: Task, **settings: Any) -> int:
    """Create a job of one simulated task when none is given."""
    tasks = tasks or (Task(task_key="main", notebook_task=NotebookTask(notebook_path="/simulated")),)
    job_id = sdk.jobs.create(name="made by the test", tasks=list(tasks), **settings).job_id
    assert job_id is not None
    return job_id


def make_chained_job(sdk: WorkspaceClient) -> int:
    """Create the job a -> b -> c, with d by itself."""
    after_a, after_b = TaskDependency(task_key="a"), TaskDependency(task_key="b")
    return make_job(
        sdk,
        Task(task_key="a"),
        Task(task_key="b", depends_on=[after_a]),
        Task(task_key="c", depends_on=[after_b]),
        Task(task_key="d"),
        max_concurrent_runs=10,
    )


def ending(url: str, fate: str, *results: str, **rule: Any) -> dict[str, str]:
    """Decide the results (success when none is named) of the attempts with this parameter; return it."""
    steer(url, "outcomes", {"match": {"fate": fate}, "results": results or ["SUCCESS"], **rule})
    return {"fate": fate}


def result_of(run: SdkRun) -> RunResultState | None:
    assert run.state is not None
    return run.state.result_state


def results_of(run: SdkRun) -> dict[str, str]:
    """The result of each task's newest attempt, by task key."""
    states = [(task.task_key, task.state) for task in run.tasks or []]
    return {key: state.result_state.value for key, state in states if state and state.result_state}


class Clock:
    """Epoch seconds that stand still until told otherwise."""

    def __init__(self) -> None:
        self.now = 1_800_000_000.0

    def __call__(self) -> float:
        return self.now

    def advance(self, seconds: float) -> None:
        self.now += seconds


class FakeExecutor:
    """Takes every path below ``/real`` and notes what it is asked to do."""

    def __init__(self) -> None:
        self.started: list[tuple[int, str, Sequence[str]]] = []
        self.stopped: list[int] = []

    def accepts(self, path: str) -> bool:
        return path.startswith("/real")

    def check(self, path: str) -> None:
        assert self.accepts(path), path

    def start(self, attempt_id: int, path: str, arguments: Sequence[str]) -> None:
        self.started.append((attempt_id, path, arguments))

    def stop(self, attempt_id: int) -> None:
        self.stopped.append(attempt_id)


class SimulatedWorkspace:
    """A workspace on a clock that is set by hand."""

    def __init__(self, *, max_active_runs: int = 2000, executor: Executor | None = None) -> None:
        self.clock = Clock()
        rng = random.Random(7)  # noqa: S311  ids and jitter, nothing secret
        self.workspace = Workspace(
            clock=self.clock,
            rng=rng,
            outcomes=Outcomes(pending_seconds=PENDING_SECONDS, run_seconds=RUN_SECONDS, rng=rng),
            max_active_runs=max_active_runs,
            executor=executor,
        )

    def job(self, *tasks: dict[str, Any], **settings: Any) -> int:
        """Create a job (of one task when none is given) and return its id."""
        settings = {"max_concurrent_runs": 1000, "tasks": list(tasks) or [{"task_key": "main"}], **settings}
        return self.workspace.create_job(settings).job_id

    def start(self, job_id: int, *, token: str = "", **parameters: str) -> Run:
        """Start a run with these ``notebook_params``."""
        styles = {"notebook_params": parameters} if parameters else {}
        run_id = self.workspace.run_now(RunNow(job_id=job_id, token=token, parameters=styles))
        assert run_id is not None, "the job is continuous"
        return self.run(run_id)

    def run(self, run_id: int) -> Run:
        return self.workspace.run(run_id)

    def decide(self, **rule: Any) -> None:
        """Add a rule of how simulated attempts end."""
        self.workspace.outcomes.add(parse_rule(rule))

    def state_after(self, run: Run, seconds: float) -> str:
        """Let time pass and return the run's life cycle state."""
        self.clock.advance(seconds)
        return self.run(run.run_id).state

    def result_of(self, run: Run) -> str:
        """Let the run come to its end and return its result."""
        self.clock.advance(LONG_ENOUGH)
        end = self.run(run.run_id).end
        assert end is not None, "the run is not over"
        return end.result_state

    def active(self) -> list[Run]:
        return self.workspace.list_runs(ListRuns(active_only=True, limit=24))[0]
