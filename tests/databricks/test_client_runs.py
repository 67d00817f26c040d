"""The client lists active runs, notices missing ones and reads why a run failed."""

from typing import Any

import pytest
from aiohttp import web

from orchestrator.adapters.databricks import client as client_module
from orchestrator.adapters.databricks.client import Limits
from orchestrator.core.errors import (
    RunNotFound,
    WorkspaceUnavailable,
)
from orchestrator.core.models import Run, RunFailure, TaskRun
from tests.databricks.support import (
    REQUEST,
    Workspace,
    connected,
    drop,
    error,
    hang,
    ok,
)


def page(request: web.Request, *, runs: int, pages: int) -> web.Response:
    number = int(request.query.get("page_token", "0"))
    content: dict[str, Any] = {"has_more": False}
    if runs:
        content["runs"] = [{"run_id": 1 + number * runs + i} for i in range(runs)]
    if number + 1 < pages:
        content |= {"has_more": True, "next_page_token": str(number + 1)}
    return web.json_response(content)


@pytest.mark.parametrize(("runs", "pages"), [(0, 1), (1, 1), (24, 1), (24, 5), (0, 3)])
async def test_all_pages_of_active_runs_are_read(workspace: Workspace, runs: int, pages: int) -> None:
    async def reply(request: web.Request) -> web.Response:
        return page(request, runs=runs, pages=pages)

    workspace.replies = [reply]
    async with connected(workspace) as client:
        assert {run.run_id for run in await client.active_runs()} == set(range(1, 1 + runs * pages))
    assert [seen.query.get("page_token") for seen in workspace.seen] == [None, *map(str, range(1, pages))]
    assert {(seen.query["active_only"], seen.query["limit"]) for seen in workspace.seen} == {("true", "24")}


async def test_a_fault_in_the_middle_of_the_pages_loses_nothing(workspace: Workspace) -> None:
    first = ok({"runs": [{"run_id": 1}], "has_more": True, "next_page_token": "b"})
    workspace.replies = [first, drop, error(429, {}), ok({"runs": [{"run_id": 2}]})]
    async with connected(workspace) as client:
        assert [run.run_id for run in await client.active_runs()] == [1, 2]


@pytest.mark.parametrize(
    "content",
    [
        {"runs": [{"run_id": 1}], "has_more": True},
        {"runs": [{"run_id": 1}, {"id": 2}]},
        {"runs": [{"run_id": "one"}]},
        {"runs": {"run_id": 1}},
        {"runs": None, "next_page_token": 5},
    ],
)
async def test_a_list_that_may_be_incomplete_is_refused(workspace: Workspace, content: Any) -> None:
    workspace.replies = [ok(content)]
    async with connected(workspace) as client:
        with pytest.raises(WorkspaceUnavailable):
            await client.active_runs()


async def test_a_repeated_page_token_ends_the_listing(workspace: Workspace) -> None:
    workspace.replies = [ok({"runs": [{"run_id": 1}], "has_more": True, "next_page_token": "a"})]
    async with connected(workspace) as client:
        with pytest.raises(WorkspaceUnavailable, match="the same page token came twice"):
            await client.active_runs()
    assert len(workspace.seen) == 2


async def test_pages_are_bounded(workspace: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(client_module, "_MAX_PAGES", 3)

    async def reply(request: web.Request) -> web.Response:
        return page(request, runs=1, pages=99)

    workspace.replies = [reply]
    async with connected(workspace) as client:
        with pytest.raises(WorkspaceUnavailable, match="more than 3 pages"):
            await client.active_runs()
    assert len(workspace.seen) == 3


@pytest.mark.parametrize(
    ("status", "code"), [(400, "INVALID_PARAMETER_VALUE"), (404, "RESOURCE_DOES_NOT_EXIST")]
)
async def test_a_run_that_is_gone(workspace: Workspace, status: int, code: str) -> None:
    workspace.replies = [error(status, {"error_code": code, "message": "Run 11 does not exist."})]
    async with connected(workspace) as client:
        with pytest.raises(RunNotFound):
            await client.get_run(11)
        await client.cancel(11)


def failed_run(*tasks: TaskRun) -> Run:
    return Run(
        run_id=1,
        life_cycle_state="INTERNAL_ERROR",
        result_state="FAILED",
        message="Task a failed",
        tasks=tasks,
    )


def task(run_id: int, key: str, *, attempt: int = 0, result: str | None = "FAILED") -> TaskRun:
    return TaskRun(
        run_id=run_id,
        task_key=key,
        attempt_number=attempt,
        life_cycle_state="TERMINATED",
        result_state=result,
    )


async def outputs(request: web.Request) -> web.Response:
    run_id = request.query["run_id"]
    return web.json_response({"error": f"error {run_id}", "error_trace": f"\x1b[0;31mtrace {run_id}\x1b[0m"})


async def test_the_last_attempt_of_each_failed_task_says_why(workspace: Workspace) -> None:
    run = failed_run(
        task(12, "a", attempt=1),
        task(11, "a", attempt=0),
        task(21, "b", result="SUCCESS"),
        task(31, "c", attempt=0),
        task(32, "c", attempt=1, result="SUCCESS"),
        task(41, "d", result="UPSTREAM_FAILED"),
        task(51, "e", result="SOMETHING_NEW"),
    )
    workspace.replies = [outputs]
    async with connected(workspace) as client:
        failure = await client.failure_of(run)
        assert await client.failure_of(failed_run(task(12, "a"))) == RunFailure(
            message="error 12", error_trace="trace 12"
        )
    assert failure == RunFailure(message="a: error 12\ne: error 51", error_trace="a: trace 12\ne: trace 51")
    assert [seen.query["run_id"] for seen in workspace.seen] == ["12", "51", "12"]


async def test_an_error_text_that_cannot_be_read_is_the_runs_own(workspace: Workspace) -> None:
    multi = {
        "error_code": "INVALID_PARAMETER_VALUE",
        "message": "Retrieving the output of runs with multiple…",
    }
    workspace.replies = [error(400, multi), outputs]
    async with connected(workspace) as client:
        both = await client.failure_of(failed_run(task(11, "a"), task(21, "b")))
        workspace.replies = [drop]
        none = await client.failure_of(failed_run(task(11, "a")))
    assert both == RunFailure(message="error 21", error_trace="trace 21")
    assert none == RunFailure(message="Task a failed")


async def test_the_error_texts_of_a_run_are_bounded(workspace: Workspace) -> None:
    workspace.replies = [outputs]
    async with connected(workspace) as client:
        await client.failure_of(failed_run(*(task(i, f"t{i}") for i in range(1, 40))))
    assert len(workspace.seen) == 10
    workspace.replies = [hang]
    async with connected(workspace, limits=Limits(operation_seconds=0.05)) as client:
        failure = await client.failure_of(failed_run(task(11, "a"), task(21, "b")))
    assert failure.message == "Task a failed"


@pytest.mark.parametrize("run_id", [5, "5", 5.0])
async def test_an_id_may_be_written_in_other_ways(workspace: Workspace, run_id: Any) -> None:
    workspace.replies = [
        ok({"run_id": run_id}),
        ok({"runs": [{"run_id": run_id}]}),
        ok({"run_id": run_id, "status": {"state": "RUNNING"}}),
    ]
    async with connected(workspace) as client:
        assert await client.run_now(REQUEST) == 5
        assert [run.run_id for run in await client.active_runs()] == [5]
        assert (await client.get_run(5)).run_id == 5


async def test_an_answer_about_another_run_is_not_believed(workspace: Workspace) -> None:
    workspace.replies = [ok({"run_id": 6, "state": {"life_cycle_state": "TERMINATED"}})]
    async with connected(workspace) as client:
        with pytest.raises(WorkspaceUnavailable, match="asked for run_id 5 and sent 6") as caught:
            await client.get_run(5)
    assert caught.value.answered


@pytest.mark.parametrize(
    ("metadata", "message"),
    [
        ({}, "its own"),
        ({"run_id": 11}, "its own"),
        ({"run_id": 12, "job_run_id": 11}, "its own"),
        ({"run_id": 12}, "of the run"),
        ({"run_id": 12, "job_run_id": 13}, "of the run"),
    ],
)
async def test_the_output_of_another_run_is_not_taken(
    workspace: Workspace, metadata: Any, message: str
) -> None:
    workspace.replies = [ok({"error": "its own", "metadata": metadata})]
    run = Run(run_id=11, life_cycle_state="TERMINATED", result_state="FAILED", message="of the run")
    async with connected(workspace) as client:
        assert (await client.failure_of(run)).message == message
