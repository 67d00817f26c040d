"""Why a run failed and what its notebooks returned, whatever the shape of the run."""

from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import pytest
from aiohttp import web

from orchestrator.adapters.databricks import run_reader
from orchestrator.adapters.databricks.client import DatabricksClient, Limits
from orchestrator.core.models import Run, RunFailure
from tests.databricks.support import Reply, Workspace, connected, drop, error, hang, ok, plain

PAGE = 100

#: What a failed run says itself, where its code failed.
REFERENCE = "Workload failed, see run output for details"
IPYTHON = (
    "---------------------------------------------------------------------------\n"
    "\x1b[0;31mNotReady\x1b[0m                                  Traceback (most recent call last)\n"
    "File \x1b[0;32m<command-1>:1\x1b[0m\n----> 1 raise NotReady('failed')\n\n"
    "\x1b[0;31mNotReady\x1b[0m: table a is locked"
)
PYTHON = (
    'Traceback (most recent call last):\n  File "/a/etl.py", line 3, in <module>\n'
    '    raise NotReady("failed")\netl.NotReady: table a is locked\n'
)
JAVA = (
    'Exception in thread "main" java.lang.RuntimeException: boom\n\tat a.b.FooException.raise(Foo.java:1)\n'
    "Caused by: org.a.LockedException: table a is locked\n\tat a.C.error(C.java:7)\n\t... 12 more\n"
)
DBT = (
    "12:00:01  1 of 2 ERROR creating sql table model a ... [ERROR in 0.4s]\n12:00:01  \n"
    "12:00:02  Completed with 1 error and 0 warnings:\n12:00:02  \n"
    "12:00:02    Database Error in model a (models/a.sql)\n12:00:02    table a is locked\n"
    "12:00:02  Done. PASS=1 WARN=0 ERROR=1 SKIP=0 TOTAL=2\n"
)


@dataclass
class Runs:
    """The runs and outputs that a workspace shows, by run id."""

    workspace: Workspace
    runs: dict[int, dict[str, Any]] = field(default_factory=dict)
    outputs: dict[int, Any] = field(default_factory=dict)
    #: answers that replace a page, by run id and page token
    pages: dict[tuple[int, str], Reply] = field(default_factory=dict)

    async def handle(self, request: web.Request) -> web.StreamResponse:
        run_id, token = int(request.query["run_id"]), request.query.get("page_token", "")
        if request.path.endswith("/get-output"):
            return await self._output(run_id)(request)
        if (run_id, token) in self.pages:
            return await self.pages[run_id, token](request)
        return await self._page(run_id, int(token or 0))(request)

    def _output(self, run_id: int) -> Reply:
        output = self.outputs.get(run_id, {})
        return ok(output) if isinstance(output, dict) else output

    def _page(self, run_id: int, number: int) -> Reply:
        run, start = dict(self.runs[run_id]), number * PAGE
        lists = {name: run[name] for name in ("tasks", "iterations") if name in run}
        for name, values in lists.items():
            # Databricks sends the For each task itself on each page.
            run[name] = values if len(values) == 1 else values[start : start + PAGE]
        if any(len(values) > start + PAGE for values in lists.values()):
            run["next_page_token"] = str(number + 1)
        return ok(run)

    def asked(self, endpoint: str) -> list[int]:
        """Return the run ids that an endpoint was asked for."""
        return [int(seen.query["run_id"]) for seen in self.workspace.seen if seen.path.endswith(endpoint)]


@pytest.fixture
def runs(workspace: Workspace) -> Runs:
    held = Runs(workspace)
    workspace.replies = [held.handle]
    return held


@asynccontextmanager
async def read(runs: Runs, run_id: int = 1, **limits: float) -> AsyncIterator[tuple[DatabricksClient, Run]]:
    async with connected(runs.workspace, limits=Limits(**limits)) as client:  # type: ignore[arg-type]
        yield client, await client.get_run(run_id)


async def failure_of(runs: Runs, run_id: int = 1, **limits: float) -> RunFailure:
    async with read(runs, run_id, **limits) as (client, run):
        return await client.failure_of(run)


async def result_of(runs: Runs, run_id: int = 1) -> str | None:
    async with read(runs, run_id) as (client, run):
        return await client.result_of(run)


def task(run_id: int, key: str, result: str = "FAILED", *, attempt: int = 0, **fields: Any) -> dict[str, Any]:
    state = {"life_cycle_state": "TERMINATED", "result_state": result}
    return {"run_id": run_id, "task_key": key, "attempt_number": attempt, "state": state, **fields}


def many(count: int, *, start: int = 1_000) -> list[dict[str, Any]]:
    return [task(start + i, f"t{i}", "SUCCESS") for i in range(count)]


def run_of(
    tasks: Iterable[dict[str, Any]], *, result: str = "FAILED", message: str = "The run failed."
) -> dict[str, Any]:
    state = {"life_cycle_state": "TERMINATED", "result_state": result, "state_message": message}
    return {"run_id": 1, "state": state, "tasks": list(tasks)}


def ended(message: str | None = None, *, state_message: str | None = None) -> dict[str, Any]:
    """The fields of a task that ended for a reason of the platform."""
    return {
        "state": {
            "life_cycle_state": "INTERNAL_ERROR",
            "result_state": "FAILED",
            "state_message": state_message,
        },
        "status": {
            "state": "TERMINATED",
            "termination_details": {"code": "CLUSTER_ERROR", "type": "CLIENT_ERROR", "message": message},
        },
    }


# --- pages ---


@pytest.mark.parametrize("before", [99, 100, 199, 200, 450])
async def test_a_failed_task_on_a_later_page_says_why(runs: Runs, before: int) -> None:
    runs.runs[1] = run_of([*many(before), task(7, "late")])
    runs.outputs[7] = {"error": "boom", "error_trace": "trace"}
    assert await failure_of(runs) == RunFailure(message="boom", error_trace="trace")
    assert runs.asked("/get-output") == [7]


async def test_a_task_that_recovered_on_a_later_page_is_not_named(runs: Runs) -> None:
    retried = [task(5, "flaky"), *many(150), task(6, "flaky", "SUCCESS", attempt=1), task(7, "bad")]
    runs.runs[1] = run_of(retried)
    runs.outputs = {5: {"error": "recovered"}, 7: {"error": "boom"}}
    assert await failure_of(runs) == RunFailure(message="boom")


async def test_a_task_that_was_repaired_is_not_named(runs: Runs) -> None:
    """A repair may count its attempts anew: then the times say which one is the last."""
    runs.runs[1] = run_of(
        [
            task(11, "a", attempt=0, start_time=1_000),
            task(12, "a", attempt=1, start_time=2_000),
            task(13, "a", "SUCCESS", attempt=0, start_time=3_000),
            task(14, "b", attempt=0, start_time=3_000),
        ]
    )
    runs.outputs = {11: {"error": "first"}, 12: {"error": "second"}, 14: {"error": "boom"}}
    assert await failure_of(runs) == RunFailure(message="boom")


@pytest.mark.parametrize(
    "reply",
    [
        drop,
        hang,
        error(500, {}),
        error(400, {"error_code": "INVALID_PARAMETER_VALUE", "message": "Run 1 does not exist."}),
        error(403, {"error_code": "PERMISSION_DENIED", "message": "no"}),
        plain(200, "<html>"),
        ok([]),
        ok({"tasks": "none"}),
    ],
)
async def test_a_page_that_cannot_be_read_leaves_what_was_read(runs: Runs, reply: Reply) -> None:
    runs.runs[1] = run_of([task(7, "early"), *many(250)])
    runs.outputs[7] = {"error": "boom"}
    runs.pages[1, "1"] = reply
    async with read(runs, operation_seconds=1.5) as (client, run):
        assert run.result_state == "FAILED"
        failure = await client.failure_of(run)
    assert failure.message == "boom\n(Not all of the run's tasks could be read.)"


async def test_the_pages_are_asked_for_as_the_first_was(runs: Runs) -> None:
    """A page token may hold for the same question only."""
    runs.runs[1] = run_of([*many(150), task(7, "late")])
    runs.outputs[7] = {"error": "boom"}
    async with connected(runs.workspace) as client:
        for with_history in (True, False):
            run = await client.get_run(1, with_history=with_history)
            assert (await client.failure_of(run)).message == "boom"
    assert [seen.query for seen in runs.workspace.seen if seen.path.endswith("/get")] == [
        {"run_id": "1", "include_history": "true"},
        {"run_id": "1", "include_history": "true", "page_token": "1"},
        {"run_id": "1"},
        {"run_id": "1", "page_token": "1"},
    ]


async def test_a_page_without_tasks_leads_on(runs: Runs) -> None:
    """Other arrays of the run may be longer than its tasks, whose pages are then empty, null or absent."""
    runs.runs[1] = run_of([task(7, "early"), *many(99)]) | {"next_page_token": "a"}
    runs.pages[1, "a"] = ok({"tasks": None, "next_page_token": "b"})
    runs.pages[1, "b"] = ok({"tasks": [], "next_page_token": "c"})
    runs.pages[1, "c"] = ok({"tasks": [task(8, "early", "SUCCESS", attempt=1), task(9, "last")]})
    runs.outputs = {7: {"error": "recovered"}, 9: {"error": "boom"}}
    assert await failure_of(runs) == RunFailure(message="boom")


async def test_a_repeated_page_token_ends_the_pages(runs: Runs) -> None:
    runs.runs[1] = run_of([task(7, "early")]) | {"next_page_token": "a"}
    runs.pages[1, "a"] = ok({"tasks": [task(8, "other")], "next_page_token": "a"})
    runs.outputs = {7: {"error": "boom"}, 8: {"error": "bang"}}
    failure = await failure_of(runs)
    assert failure.message == "early: boom\nother: bang\n(Not all of the run's tasks could be read.)"
    assert runs.asked("/get") == [1, 1]


async def test_pages_are_bounded(runs: Runs, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(run_reader, "_MAX_PAGES", 3)
    runs.runs[1] = run_of([task(7, "early"), *many(2_000)])
    runs.outputs[7] = {"error": "boom"}
    assert (await failure_of(runs)).message == "boom\n(Not all of the run's tasks could be read.)"
    assert len(runs.asked("/get")) == 1 + 3


@pytest.mark.parametrize("token", [5, "", None, [], {}, "x" * 5_000, "\ud800", True])
async def test_an_odd_page_token_leaves_the_verdict(runs: Runs, token: Any) -> None:
    runs.runs[1] = run_of([task(7, "early")]) | {"next_page_token": token}
    runs.outputs[7] = {"error": "boom"}
    assert await failure_of(runs) == RunFailure(message="boom")


# --- texts outside the output ---


@pytest.mark.parametrize(
    "output",
    [
        {},
        {"error": None},
        {"error": ""},
        error(400, {"error_code": "INVALID_PARAMETER_VALUE", "message": "no output"}),
        error(500, {}),
        drop,
    ],
)
@pytest.mark.parametrize(
    ("fields", "message"),
    [
        (ended("Library installation failed: foo==9.9"), "Library installation failed: foo==9.9"),
        (ended(state_message="Cluster 1-2 was terminated: SPOT"), "Cluster 1-2 was terminated: SPOT"),
        (ended("Details.", state_message="State."), "Details."),
        (ended("Workload failed, see run output for details", state_message="Lib."), "Lib."),
        (ended("Workload failed, see run output for details"), "Workload failed, see run output for details"),
        (ended(state_message="State.") | {"status": None}, "State."),
        (ended("Details.") | {"state": None}, "Details."),
        (ended(), "The run failed."),
    ],
)
async def test_a_failure_outside_the_code_is_in_the_task(
    runs: Runs, output: Any, fields: dict[str, Any], message: str
) -> None:
    runs.runs[1] = run_of([task(7, "main", **fields)])
    runs.outputs[7] = output
    assert await failure_of(runs) == RunFailure(message=message)


async def test_the_error_of_the_code_comes_first(runs: Runs) -> None:
    runs.runs[1] = run_of([task(7, "main", **ended("Workload failed."))])
    runs.outputs[7] = {"error": "ZeroDivisionError"}
    assert await failure_of(runs) == RunFailure(message="ZeroDivisionError")


async def test_an_error_that_only_refers_to_the_output_gives_way(runs: Runs) -> None:
    reference = "Workload failed, see run output for details"
    runs.runs[1] = run_of([task(7, "main", **ended("No library."))])
    runs.outputs[7] = {"error": reference}
    assert await failure_of(runs) == RunFailure(message="No library.")
    runs.runs[1] = run_of([task(7, "main")])
    assert await failure_of(runs) == RunFailure(message=reference)


async def test_texts_of_the_tasks_outlast_a_time_out(runs: Runs) -> None:
    runs.runs[1] = run_of([task(7, "a", **ended("No cluster.")), task(8, "b", **ended("No library."))])
    runs.outputs[7] = hang
    failure = await failure_of(runs, operation_seconds=0.3)
    assert failure.message == "a: No cluster.\nb: No library."


@pytest.mark.parametrize("code", ["LIBRARY_INSTALLATION_ERROR", None])
async def test_a_task_with_only_the_newer_status_has_failed(runs: Runs, code: str | None) -> None:
    details = {"code": code, "type": "CLIENT_ERROR", "message": "No library."}
    status = {"state": "TERMINATED", "termination_details": details}
    runs.runs[1] = run_of([{"run_id": 7, "task_key": "main", "status": status}])
    assert await failure_of(runs) == RunFailure(message="No library.")


async def test_a_task_whose_cluster_died_has_failed(runs: Runs) -> None:
    """Databricks may call such a task canceled; the code tells it from one that somebody cancelled."""
    tasks = []
    for run_id, code in ((7, "CLUSTER_ERROR"), (8, "USER_CANCELED"), (9, "CANCELED"), (10, None)):
        details = {"code": code, "message": f"{code}!"}
        tasks.append(task(run_id, f"t{run_id}", "CANCELED", status={"termination_details": details}))
    runs.runs[1] = run_of(tasks)
    assert await failure_of(runs) == RunFailure(message="CLUSTER_ERROR!")


# --- errors that stand in a trace, in the logs or in tasks that others ended ---


@pytest.mark.parametrize("name", ["error_trace", "logs"])
@pytest.mark.parametrize("end", ["", "\n\n  \n---\n", "\nINFO closing: errors: 0, failed: 0\n"])
@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("ValueError: table a is locked", None),
        (PYTHON, None),
        (IPYTHON, None),
        (JAVA, None),
        (DBT, None),
        ("x" * 10_000_000 + "\n" + PYTHON, None),
        ("start\nERROR main: table a is locked", REFERENCE),
        (f"{PYTHON}Command failed", "Task main failed."),
        (f"start\n{PYTHON}\ngiving up, failed for good", "dbt failed. Check logs for more details."),
    ],
    ids=["line", "python", "ipython", "java", "dbt", "long", "reference", "failed", "see logs"],
)
async def test_an_error_without_a_text_is_in_the_trace_or_the_logs(
    runs: Runs, name: str, end: str, text: str, told: str | None
) -> None:
    runs.runs[1] = run_of([task(7, "main")], message=REFERENCE)
    runs.outputs[7] = {"error": told, name: text[-5_000_000:] + end}
    message = (await failure_of(runs)).message
    assert message is not None
    assert "table a is locked" in message.splitlines()[0] or "Database Error in model a" in message
    assert "table a is locked" in message
    assert message.count("\n") < 6


async def test_without_an_error_the_last_line_counts(runs: Runs) -> None:
    runs.runs[1] = run_of([task(7, "main")], message=REFERENCE)
    runs.outputs[7] = {"error": None, "logs": "reading\ntable a is locked\n\n---\n12:00\n"}
    assert await failure_of(runs) == RunFailure(message="table a is locked")


@pytest.mark.parametrize("logs", [None, "", " \n", "---\n", 5, ["x"], {"a": 1}])
async def test_logs_that_say_nothing_leave_the_runs_own_message(runs: Runs, logs: Any) -> None:
    runs.runs[1] = run_of([task(7, "main")], message="It broke.")
    runs.outputs[7] = {"error": None, "logs": logs, "error_trace": None}
    assert await failure_of(runs) == RunFailure(message="It broke.")


async def test_the_end_of_a_process_stands_beside_its_logs(runs: Runs) -> None:
    runs.runs[1] = run_of([task(7, "main")])
    runs.outputs[7] = {"error": "The process exited with code 137.", "logs": "reading part 5"}
    assert await failure_of(runs) == RunFailure(message="The process exited with code 137.\nreading part 5")


async def test_logs_do_not_replace_an_error(runs: Runs) -> None:
    runs.runs[1] = run_of([task(7, "main"), task(8, "lib", **ended("Library a cannot be installed"))])
    runs.outputs = {7: {"error": "boom", "logs": "ERROR x"}, 8: {"logs": "INFO starting"}}
    assert await failure_of(runs) == RunFailure(message="main: boom\nlib: Library a cannot be installed")


def cancelled(run_id: int, key: str, message: str | None, code: str = "CANCELED") -> dict[str, Any]:
    details = {"code": code, "type": "CLIENT_ERROR", "message": message}
    return task(run_id, key, "CANCELED", status={"state": "TERMINATED", "termination_details": details})


@pytest.mark.parametrize("code", ["CANCELED", "USER_CANCELED", "UPSTREAM_CANCELED", "UPSTREAM_FAILED"])
@pytest.mark.parametrize(
    ("own", "expected"),
    [
        ("", "a: stopped, since b was too slow"),
        (REFERENCE, "a: stopped, since b was too slow"),
        ("Run failed.", "a: stopped, since b was too slow"),
        ("Out of time.", "Out of time.\na: stopped, since b was too slow"),
        ("It stopped, since b was too slow", "It stopped, since b was too slow"),
    ],
)
async def test_a_run_whose_tasks_were_all_ended_says_why(
    runs: Runs, own: str, expected: str, code: str
) -> None:
    text = "stopped, since b was too slow"
    tasks = [cancelled(7, "a", text, code), cancelled(8, "c", text, code), cancelled(9, "d", None, code)]
    runs.runs[1] = run_of([*tasks, task(10, "e", "SUCCESS")], message=own)
    assert await failure_of(runs) == RunFailure(message=expected)
    assert runs.asked("/get-output") == []


async def test_a_task_that_was_ended_is_not_named_beside_one_that_failed(runs: Runs) -> None:
    runs.runs[1] = run_of([cancelled(7, "a", "stopped, since b failed"), task(8, "b")])
    runs.outputs[8] = {"error": "boom"}
    assert await failure_of(runs) == RunFailure(message="boom")


async def test_a_child_whose_tasks_were_all_ended_says_why(runs: Runs) -> None:
    runs.runs = {1: run_of([run_job(7)]), 2: run_of([cancelled(8, "a", "stopped")], message=REFERENCE)}
    runs.runs[2]["run_id"] = 2
    runs.outputs[7] = starts(2)
    assert await failure_of(runs) == RunFailure(message="a: stopped")


# --- For each ---


def for_each(run_id: int, key: str = "each", **stats: Any) -> dict[str, Any]:
    return task(run_id, key, for_each_task={"inputs": "[1, 2]", "stats": stats})


async def test_the_error_of_a_for_each_is_that_of_its_iterations(runs: Runs) -> None:
    runs.runs[1] = run_of([for_each(7)])
    iterations = [task(100 + i, "inner", "SUCCESS") for i in range(240)]
    iterations[5] |= task(105, "inner")
    iterations[230] |= task(330, "inner")
    runs.runs[7] = run_of([for_each(7)]) | {"run_id": 7, "iterations": iterations}
    runs.outputs = {
        7: {"error": "2 iterations failed"},
        105: {"error": "boom"},
        330: {"error": "bang", "error_trace": "trace"},
    }
    assert await failure_of(runs) == RunFailure(
        message="each > inner (run 105): boom\neach > inner (run 330): bang",
        error_trace="each > inner (run 330): trace",
    )


@pytest.mark.parametrize("keys", [("inner", "inner"), ("inner_0", "inner_1")])
async def test_an_iteration_that_recovered_is_not_named(runs: Runs, keys: tuple[str, str]) -> None:
    runs.runs[1] = run_of([for_each(7)])
    iterations = [
        task(10, keys[0]),
        task(11, keys[0], "SUCCESS", attempt=1),
        task(12, keys[1]),
        task(13, keys[1], attempt=1),
    ]
    runs.runs[7] = run_of([for_each(7)]) | {"run_id": 7, "iterations": iterations}
    runs.outputs = {10: {"error": "recovered"}, 12: {"error": "first"}, 13: {"error": "boom"}}
    assert (await failure_of(runs)).message == f"each > {keys[1]} (run 13): boom"


@pytest.mark.parametrize("iterations", [None, [], "x", [5, None, {}], [task(10, "inner", "SUCCESS")]])
async def test_a_for_each_without_iterations_says_what_it_knows(runs: Runs, iterations: Any) -> None:
    common = [{"count": 3, "error_message": "boom"}]
    runs.runs[1] = run_of([for_each(7, error_message_stats=common)])
    runs.pages[7, ""] = ok({"run_id": 7, "iterations": iterations})
    assert "boom" in str(await failure_of(runs))
    runs.outputs[7] = {"error": "2 iterations failed"}
    assert "2 iterations failed" in str(await failure_of(runs))


async def test_a_for_each_whose_iterations_were_all_ended_says_why(runs: Runs) -> None:
    runs.runs[1] = run_of([for_each(7)])
    iterations = [cancelled(10, "inner", "stopped"), cancelled(11, "inner", "stopped")]
    runs.runs[7] = run_of([for_each(7)]) | {"run_id": 7, "iterations": iterations}
    assert await failure_of(runs) == RunFailure(message="inner: stopped")


async def test_iterations_may_stand_among_the_tasks(runs: Runs) -> None:
    runs.runs[1] = run_of([for_each(7)])
    runs.runs[7] = run_of([for_each(7), task(10, "inner")]) | {"run_id": 7}
    runs.outputs[10] = {"error": "boom"}
    assert await failure_of(runs) == RunFailure(message="each > inner (run 10): boom")


async def test_the_outputs_are_shared_and_bounded(runs: Runs) -> None:
    runs.runs[1] = run_of([for_each(7, "x"), for_each(8, "y"), task(9, "z")])
    for each in (7, 8):
        iterations = [task(each * 100 + i, "inner") for i in range(50)]
        runs.runs[each] = run_of([for_each(each)]) | {"run_id": each, "iterations": iterations}
        runs.outputs |= {each * 100 + i: {"error": f"boom {i}"} for i in range(50)}
    runs.outputs[9] = {"error": "bang"}
    message = (await failure_of(runs)).message or ""
    assert message.splitlines()[0] == "x > inner (run 700): boom 0"
    assert message.splitlines()[-1] == "z: bang"
    assert {line.split(" ")[0] for line in message.splitlines()} == {"x", "y", "z:"}
    assert len(runs.asked("/get-output")) <= 10


# --- Run Job ---


def starts(child: int, error: str | None = None) -> dict[str, Any]:
    return {"error": error, "run_job_output": {"run_id": child}}


def run_job(run_id: int, key: str = "call") -> dict[str, Any]:
    return task(run_id, key, run_job_task={"job_id": 9})


async def test_the_error_of_a_run_job_is_that_of_the_childs_task(runs: Runs) -> None:
    runs.runs[1] = run_of([run_job(7)])
    runs.runs[50] = run_of([*many(120), task(51, "load")]) | {"run_id": 50}
    runs.outputs = {7: starts(50, "Run 50 failed"), 51: {"error": "boom", "error_trace": "trace"}}
    assert await failure_of(runs) == RunFailure(message="call > load: boom", error_trace="call > load: trace")


@pytest.mark.parametrize("output", [{}, {"run_job_output": None}, error(403, {}), starts(50)])
async def test_a_task_may_name_its_child_itself(runs: Runs, output: Any) -> None:
    runs.runs[1] = run_of([task(7, "call", run_job_task={"job_id": 9, "run_id": 50})])
    runs.runs[50] = run_of([task(51, "load")]) | {"run_id": 50}
    runs.outputs = {7: output, 51: {"error": "boom"}}
    assert await failure_of(runs) == RunFailure(message="call > load: boom")


async def test_what_failed_is_found_through_iterations_and_children(runs: Runs) -> None:
    runs.runs[1] = run_of([for_each(7)])
    runs.runs[7] = run_of([for_each(7)]) | {"run_id": 7, "iterations": [run_job(10, "inner")]}
    runs.runs[50] = run_of([run_job(51, "again")]) | {"run_id": 50}
    runs.runs[60] = run_of([task(61, "load")]) | {"run_id": 60}
    runs.outputs = {10: starts(50), 51: starts(60), 61: {"error": "boom"}}
    assert (await failure_of(runs)).message == "each > inner (run 10) > again > load: boom"


async def test_a_child_that_never_ran_says_why(runs: Runs) -> None:
    runs.runs[1] = run_of([run_job(7)])
    state = {"life_cycle_state": "SKIPPED", "state_message": "There are already 1 active runs."}
    runs.runs[50] = {"run_id": 50, "state": state, "tasks": []}
    runs.outputs[7] = starts(50)
    assert (await failure_of(runs)).message == "There are already 1 active runs."


@pytest.mark.parametrize(
    "reply",
    [
        error(404, {"error_code": "RESOURCE_DOES_NOT_EXIST", "message": "Run 50 does not exist."}),
        error(403, {"error_code": "PERMISSION_DENIED", "message": "no"}),
        error(500, {}),
        ok({}),
        drop,
    ],
)
async def test_a_child_that_cannot_be_read_leaves_the_tasks_own_error(runs: Runs, reply: Reply) -> None:
    runs.runs[1] = run_of([run_job(7)])
    runs.pages[50, ""] = reply
    runs.outputs[7] = starts(50, "Run 50 failed")
    assert await failure_of(runs) == RunFailure(message="Run 50 failed")


@pytest.mark.parametrize("child", ["50", 0, -1, None, True, 2**70, [], {}])
async def test_an_odd_child_is_ignored(runs: Runs, child: Any) -> None:
    runs.runs[1] = run_of([run_job(7)])
    runs.outputs[7] = starts(child, "boom")
    assert await failure_of(runs) == RunFailure(message="boom")


async def test_children_that_start_one_another_end(runs: Runs) -> None:
    runs.runs[1] = run_of([run_job(7)])
    runs.runs[50] = run_of([run_job(51)]) | {"run_id": 50}
    runs.outputs = {7: starts(50), 51: starts(50)}
    assert (await failure_of(runs)).message == "The run failed."
    assert runs.asked("/get") == [1, 50]
    runs.outputs[51] = starts(1, "boom")
    assert (await failure_of(runs)).message == "call > call: boom"


async def test_the_depth_is_bounded(runs: Runs) -> None:
    runs.runs[1] = run_of([run_job(1_001)])
    for i in range(1, 50):
        runs.outputs[1_000 + i] = starts(10 + i)
        runs.runs[10 + i] = run_of([run_job(1_001 + i)]) | {"run_id": 10 + i}
    assert (await failure_of(runs)).message == " > ".join(["call"] * 7) + ": The run failed."
    assert len(runs.workspace.seen) < 20


async def test_the_children_of_many_tasks_share_the_outputs(runs: Runs) -> None:
    runs.runs[1] = run_of(run_job(100 + i, f"call{i}") for i in range(30))
    for i in range(30):
        runs.outputs[100 + i] = starts(200 + i)
        tasks = [task(1_000 + 100 * i + j, f"t{j}") for j in range(30)]
        runs.runs[200 + i] = run_of(tasks) | {"run_id": 200 + i}
        runs.outputs |= {1_000 + 100 * i + j: {"error": f"boom {i}"} for j in range(30)}
    lines = ((await failure_of(runs)).message or "").splitlines()
    assert lines == [f"call{i} > t0: boom {i}" for i in range(10)]
    assert len(runs.workspace.seen) == 1 + 10 * 3


# --- success with failures ---


async def test_a_success_with_failures_names_the_tasks_that_failed(runs: Runs) -> None:
    tasks = [task(7, "bad"), task(8, "good", "SUCCESS"), task(9, "off", "EXCLUDED")]
    runs.runs[1] = run_of(tasks, result="SUCCESS_WITH_FAILURES")
    runs.outputs[7] = {"error": "boom"}
    assert await failure_of(runs) == RunFailure(message="boom")


async def test_a_child_that_succeeded_with_failures_is_looked_into(runs: Runs) -> None:
    call = task(7, "call", "SUCCESS_WITH_FAILURES", run_job_task={"job_id": 9})
    runs.runs[1] = run_of([call], result="SUCCESS_WITH_FAILURES")
    runs.runs[50] = run_of([task(51, "bad"), task(52, "good", "SUCCESS")]) | {"run_id": 50}
    runs.outputs = {7: starts(50), 51: {"error": "boom"}}
    assert await failure_of(runs) == RunFailure(message="call > bad: boom")
    runs.runs[1]["tasks"].append(task(8, "main"))
    runs.outputs[8] = {"error": "bang"}
    assert await failure_of(runs) == RunFailure(message="bang")


# --- results ---


def exits(value: Any, **fields: Any) -> dict[str, Any]:
    return {"notebook_output": {"result": value, **fields}}


async def test_the_exit_value_of_a_notebook(runs: Runs) -> None:
    runs.runs[1] = run_of([task(7, "main", "SUCCESS", notebook_task={})], result="SUCCESS")
    runs.outputs[7] = exits('{"rows": 5}', truncated=False)
    assert await result_of(runs) == '{"rows": 5}'


async def test_the_exit_values_of_several_notebooks(runs: Runs) -> None:
    tasks = [
        task(7, "b", "SUCCESS", notebook_task={}),
        task(8, "a", "SUCCESS"),
        task(9, "c", "SUCCESS", notebook_task={}),
        task(10, "sql", "SUCCESS", sql_task={}),
        task(11, "bad", notebook_task={}),
        *many(150),
        task(12, "b", "SUCCESS", attempt=1, notebook_task={}),
    ]
    for each in tasks[5:-1]:
        each["condition_task"] = {}
    runs.runs[1] = run_of(tasks)
    runs.outputs = {i: exits(f"value {i}") for i in (7, 8, 10, 11, 12)} | {9: exits(None)}
    assert await result_of(runs) == "a: value 8\nb: value 12"
    assert runs.asked("/get-output") == [8, 12, 9]


async def test_a_run_without_tasks_has_its_own_value(runs: Runs) -> None:
    runs.runs[1] = run_of([], result="SUCCESS")
    runs.outputs[1] = exits("5")
    assert await result_of(runs) == "5"


@pytest.mark.parametrize(
    ("value", "truncated", "expected"),
    [
        ("x" * 4_000, False, "x" * 4_000),
        ("x" * 4_001, False, "x" * 3_999 + "…"),
        ("x" * 4_001, True, "x" * 3_999 + "…"),
        ("abc", True, "abc…"),
        ("abc", "yes", "abc"),
    ],
)
async def test_a_long_value_is_cut(runs: Runs, value: str, truncated: Any, expected: str) -> None:
    runs.runs[1] = run_of([task(7, "main", "SUCCESS")], result="SUCCESS")
    runs.outputs[7] = exits(value, truncated=truncated)
    assert await result_of(runs) == expected


async def test_many_values_are_bounded(runs: Runs) -> None:
    runs.runs[1] = run_of([task(100 + i, f"t{i:02}", "SUCCESS") for i in range(30)], result="SUCCESS")
    runs.outputs = {100 + i: exits("é" * 5_000) for i in range(30)}
    result = await result_of(runs) or ""
    assert [line[:6] for line in result.splitlines()] == [f"t{i:02}: é" for i in range(10)]
    assert len(result) <= 4_000
    assert len(runs.asked("/get-output")) == 10


@pytest.mark.parametrize(
    "output",
    [
        {},
        {"notebook_output": None},
        {"notebook_output": {}},
        exits(None),
        exits(""),
        exits(5),
        exits(["x"]),
        error(400, {"error_code": "INVALID_PARAMETER_VALUE", "message": "no output"}),
        error(403, {"error_code": "PERMISSION_DENIED", "message": "no"}),
        error(500, {}),
        plain(200, "<html>"),
        drop,
    ],
)
async def test_without_a_value_there_is_no_result(runs: Runs, output: Any) -> None:
    runs.runs[1] = run_of([task(7, "main", "SUCCESS")], result="SUCCESS")
    runs.outputs[7] = output
    assert await result_of(runs) is None


async def test_a_result_that_cannot_be_read_is_logged(runs: Runs, caplog: pytest.LogCaptureFixture) -> None:
    runs.runs[1] = run_of([task(7, "a", "SUCCESS"), task(8, "b", "SUCCESS")], result="SUCCESS")
    runs.outputs = {7: error(400, {"error_code": "X", "message": "no"}), 8: exits("5")}
    assert await result_of(runs) == "5"
    assert "the output of task run 7 could not be read" in caplog.text
    runs.outputs[7] = hang
    async with read(runs, operation_seconds=0.3) as (client, run):
        assert await client.result_of(run) is None
    assert "run 1: not all results could be read" in caplog.text
