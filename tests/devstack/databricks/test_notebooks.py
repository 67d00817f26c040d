"""Real notebook files: what they are given, how they end, and that none is left behind."""

import os
import signal
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from databricks.sdk import WorkspaceClient
from databricks.sdk.errors import InvalidParameterValue
from databricks.sdk.service.jobs import (
    ForEachTask,
    NotebookTask,
    Run,
    RunLifeCycleState,
    RunOutput,
    RunResultState,
    SparkPythonTask,
    Task,
)

from devstack import processes
from devstack.azurite import connection_string
from devstack.databricks import results
from devstack.databricks.notebooks import MAX_OUTPUT_BYTES, NotebookRunner, run_file
from tests.cli.support import CommandLine
from tests.devstack.databricks.helpers import ROOT, WAIT, finished, sdk_client, submit
from tests.devstack.proctable import LINUX_ONLY, wait_until_gone

ECHO = """
import sys
print("given", *sys.argv[1:])
"""

FAIL = """
def load():
    raise ValueError("boom")
load()
"""

#: Says its process id through a file, then waits to be ended.
SLEEP = """
import os, pathlib, time
note = pathlib.Path(__file__).with_name("pid.part")
note.write_text(str(os.getpid()))
note.rename(note.with_name("pid"))
time.sleep(600)
"""

#: Settings of the app that no command here uses.
OTHERS = {
    "AzureWebJobsStorage": connection_string(),
    "STATE_DB": "state.db",
    "SUBMIT_QUEUE_NAME": "submit-jobs",
    "TRIGGER_SCHEDULE": "0 * * * * *",
    "MONITOR_SCHEDULE": "30 * * * * *",
}


@pytest.fixture
def root(tmp_path: Path) -> Path:
    folder = tmp_path / "notebooks"
    (folder / "Shared").mkdir(parents=True)
    for name, text in {"echo": ECHO, "fail": FAIL, "sleep": SLEEP}.items():
        (folder / "Shared" / f"{name}.py").write_text(text)
    return folder


@pytest.fixture
def simulator(root: Path, tmp_path: Path) -> Iterator[processes.Process]:
    argv = [sys.executable, "-m", "devstack", "databricks", "--port", "0", "--pending-seconds", "0.01"]
    argv += ["--notebook-root", str(root), "--with-job", "7=/Shared/echo", "--run-seconds", "0.05"]
    argv += ["--with-job", "8=/Shared/elsewhere"]
    process = processes.start("databricks", argv, log=tmp_path / "log", cwd=ROOT)
    yield process
    process.stop()


@pytest.fixture
def sdk(simulator: processes.Process, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> WorkspaceClient:
    monkeypatch.setenv("DATABRICKS_CONFIG_FILE", str(tmp_path / "none"))
    return sdk_client(simulator.url, "any")


def job_of(sdk: WorkspaceClient, path: str, retries: int = 0) -> int:
    task = Task(task_key="main", notebook_task=NotebookTask(notebook_path=path), max_retries=retries)
    job_id = sdk.jobs.create(name="n", tasks=[task]).job_id
    assert job_id is not None
    return job_id


def output_of(sdk: WorkspaceClient, run: Run) -> RunOutput:
    """The output of a run's last attempt."""
    assert run.tasks is not None
    task_run_id = run.tasks[-1].run_id
    assert task_run_id is not None
    return sdk.jobs.get_run_output(task_run_id)


def result_of(run: Run) -> RunResultState | None:
    return run.state.result_state if run.state else None


def process_exists(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


def wait_for_pid(sdk: WorkspaceClient, run_id: int, root: Path) -> int:
    """Wait until the sleeping notebook has said its process id."""

    def noted(_run: Run) -> None:
        if (root / "Shared" / "pid").exists():
            raise FileExistsError

    with pytest.raises(FileExistsError):
        sdk.jobs.wait_get_run_job_terminated_or_skipped(run_id, timeout=WAIT, callback=noted)
    return int((root / "Shared" / "pid").read_text())


def test_success(sdk: WorkspaceClient) -> None:
    run = finished(sdk, submit(sdk, 7, notebook_params={"table_name": "flights", "month": "1"}))
    output = output_of(sdk, run)
    assert result_of(run) == RunResultState.SUCCESS
    assert output.logs == "given --table_name flights --month 1\n"
    assert (output.error, output.error_trace, output.logs_truncated) == (None, None, False)


def test_failure_tells_the_error_and_its_trace_of_the_last_attempt(sdk: WorkspaceClient) -> None:
    run = finished(sdk, submit(sdk, job_of(sdk, "Shared/fail.py", retries=1)))
    output = output_of(sdk, run)
    assert result_of(run) == RunResultState.FAILED
    assert [task.attempt_number for task in run.tasks or []] == [0, 1]
    assert output.error == "ValueError: boom"
    assert output.error_trace is not None
    assert output.error_trace.startswith("Traceback (most recent call last):")
    assert "in load" in output.error_trace


def test_cancel_ends_the_process(sdk: WorkspaceClient, root: Path) -> None:
    run_id = submit(sdk, job_of(sdk, "/Shared/sleep"))
    pid = wait_for_pid(sdk, run_id, root)
    state = sdk.jobs.get_run(run_id).state
    assert state is not None
    assert state.life_cycle_state == RunLifeCycleState.RUNNING
    run = sdk.jobs.cancel_run(run_id).result(timeout=WAIT)
    assert result_of(run) == RunResultState.CANCELED
    assert not process_exists(pid)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_stop_of_the_simulator_ends_its_notebooks(
    sdk: WorkspaceClient, simulator: processes.Process, root: Path, number: signal.Signals
) -> None:
    run_id = submit(sdk, job_of(sdk, "/Shared/sleep"))
    pid = wait_for_pid(sdk, run_id, root)
    os.kill(simulator.pid, number)
    os.waitid(os.P_PID, simulator.pid, os.WEXITED | os.WNOWAIT)
    assert simulator.stop() == 0
    assert not process_exists(pid)


@LINUX_ONLY
def test_a_killed_simulator_leaves_no_notebook(
    sdk: WorkspaceClient, simulator: processes.Process, root: Path
) -> None:
    run_id = submit(sdk, job_of(sdk, "/Shared/sleep"))
    pid = wait_for_pid(sdk, run_id, root)
    simulator.kill()
    wait_until_gone({pid}, seconds=5)


def test_a_job_from_the_start_without_a_file_is_simulated(sdk: WorkspaceClient) -> None:
    run = finished(sdk, submit(sdk, 8))
    assert result_of(run) == RunResultState.SUCCESS
    assert output_of(sdk, run).logs is None


@pytest.mark.parametrize(
    ("path", "file"),
    [("/Jobs/mine", "Jobs/mine.py"), ("Shared/ecko.py", "Shared/ecko.py"), ("/Shared", "Shared.py")],
)
def test_create_job_says_where_its_notebook_is_missing(
    path: str, file: str, sdk: WorkspaceClient, simulator: processes.Process, root: Path
) -> None:
    settings = {"DATABRICKS_HOST": simulator.url, "DATABRICKS_TOKEN": "any", **OTHERS}
    cli = CommandLine(folder=root, environment=settings)
    done = cli("create-job", "--notebook", path)
    assert (done.returncode, done.stdout) == (1, "")
    assert f"There is no notebook '{path}': it must be the file {file} in {root.resolve()}." in done.stderr
    assert {job.job_id for job in sdk.jobs.list()} == {7, 8}


def test_every_file_of_a_job_must_be_there(sdk: WorkspaceClient) -> None:
    inner = Task(task_key="each", spark_python_task=SparkPythonTask(python_file="Shared/ecko.py"))
    task = Task(task_key="main", for_each_task=ForEachTask(inputs="[1]", task=inner))
    with pytest.raises(InvalidParameterValue, match="There is no notebook 'Shared/ecko"):
        sdk.jobs.create(name="n", tasks=[task])


def test_only_files_below_the_root_are_run(root: Path, tmp_path: Path) -> None:
    (tmp_path / "outside.py").touch()
    (root / "link.py").symlink_to(tmp_path / "outside.py")
    runner = NotebookRunner(root)
    accepted = [path for path in ("/Shared/echo", "Shared/echo.py") if runner.accepts(path)]
    assert accepted == ["/Shared/echo", "Shared/echo.py"]
    refused = ("", "/", "/Shared", "../outside", str(tmp_path / "outside.py"), "/link", "x" * 5_000, "a\0b")
    assert not any(runner.accepts(path) for path in refused)


async def test_long_output_is_cut_at_its_beginning(tmp_path: Path) -> None:
    file = tmp_path / "long.py"
    file.write_text(f"print('x' * {MAX_OUTPUT_BYTES + 10}); print('end')")
    result, output = await run_file(file, [])
    assert result == results.SUCCESS
    assert output.logs_truncated
    assert len(output.logs) == MAX_OUTPUT_BYTES
    assert output.logs.endswith("end\n")


async def test_a_notebook_that_runs_too_long_is_ended(tmp_path: Path) -> None:
    file = tmp_path / "sleep.py"
    file.write_text(SLEEP)
    result, output = await run_file(file, [], timeout_seconds=2.0)
    assert result == results.TIMEDOUT
    assert output.error == "The notebook ran longer than 2 s."
    assert not process_exists(int((tmp_path / "pid").read_text()))


async def test_a_failure_without_a_word_names_its_exit_code(tmp_path: Path) -> None:
    file = tmp_path / "exit.py"
    file.write_text("raise SystemExit(3)")
    result, output = await run_file(file, [])
    assert (result, output.error) == (results.FAILED, "The notebook ended with exit code 3.")
