"""The journal: a simulator that is killed and started again has forgotten nothing."""

import io
import json
import random
import sys
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from databricks.sdk.service.jobs import NotebookTask, Task
from hypothesis import given
from hypothesis import strategies as st

from devstack import processes
from devstack.databricks.clock import WorkspaceClock
from devstack.databricks.commands import Commands
from devstack.databricks.credentials import Credentials
from devstack.databricks.errors import ApiError
from devstack.databricks.journal import Command, Journal, JournalError, Origin, open_journal
from devstack.databricks.options import parse_arguments
from devstack.databricks.outcomes import Outcomes
from devstack.databricks.runs import Run
from devstack.databricks.server import main
from devstack.databricks.workspace import Workspace
from devstack.processes import Process
from tests.devstack.databricks.helpers import ROOT, Clock, sdk_client, submit

JOB_ID = 7

ORIGIN = Origin(
    at=1.0, seed=3, pending_seconds=0.1, run_seconds=0.2, max_active_runs=9, jobs=((JOB_ID, "/n"),)
)

RUN_NOW = Command(at=2.0, name="run-now", body={"job_id": JOB_ID}, result=5)

Start = Callable[..., Process]


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Start]:
    """Start the simulator as a process with the test's journal."""
    started: list[Process] = []

    def run(*arguments: str) -> Process:
        argv = [sys.executable, "-m", "devstack", "databricks", "--port", "0", "--with-job", str(JOB_ID)]
        argv += ["--journal", str(tmp_path / "journal"), "--pending-seconds", "0.05", "--run-seconds", "300"]
        started.append(processes.start("databricks", [*argv, *arguments], log=tmp_path / "log", cwd=ROOT))
        return started[-1]

    yield run
    for process in started:
        process.kill()


def get(process: Process, path: str) -> Any:
    with urllib.request.urlopen(f"{process.url}{path}", timeout=10) as answer:
        return json.load(answer)


def post(process: Process, path: str, body: dict[str, Any]) -> None:
    urllib.request.urlopen(f"{process.url}{path}", json.dumps(body).encode(), timeout=10).close()


def facts(process: Process) -> list[Any]:
    """What a workspace must not forget."""
    stats = get(process, "/_sim/stats")
    return [get(process, "/_sim/runs")["runs"], stats["max_active"], stats["runs_created"], stats["by_token"]]


def test_a_kill_forgets_nothing(start: Start, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("DATABRICKS_CONFIG_FILE", str(tmp_path / "none"))
    first = start()
    post(first, "/_sim/outcomes", {"match": {"table_name": "t"}, "results": ["FAILED"], "run_seconds": 0.1})
    post(first, "/_sim/foreign-runs", {"count": 2, "seconds": 300})
    post(first, "/_sim/tokens", {"tokens": ["new"]})
    sdk = sdk_client(first.url, "new")
    task = Task(task_key="main", notebook_task=NotebookTask(notebook_path="/n"))
    made = sdk.jobs.create(name="made by hand", tasks=[task]).job_id
    assert made is not None
    failed = submit(sdk, JOB_ID, idempotency_token="a", notebook_params={"table_name": "t"})
    canceled = submit(sdk, JOB_ID, idempotency_token="b")
    submit(sdk, made, idempotency_token="c")
    sdk.jobs.cancel_run(canceled)
    while get(first, "/_sim/stats")["active"] > 3:  # those of others and c; the test's time-out is the bound
        pass
    before = facts(first)
    first.kill()

    second = start()
    assert facts(second) == before
    sdk = sdk_client(second.url, "new")
    assert sdk.jobs.get(made).created_time is not None
    assert sdk.jobs.get_run_output(failed).error == "SimulatedError: this run was asked to fail"
    assert submit(sdk, JOB_ID, idempotency_token="a", notebook_params={"table_name": "t"}) == failed
    assert submit(sdk, JOB_ID, idempotency_token="d") not in {run["run_id"] for run in before[0]}


def test_a_run_ends_at_its_time_while_the_simulator_is_away(start: Start) -> None:
    first = start("--seed", "3")
    post(first, "/_sim/foreign-runs", {"count": 1, "seconds": 0.01})
    first.kill()
    second = start("--seed", "3")
    (run,) = get(second, "/_sim/runs")["runs"]
    assert run["end_time"] == pytest.approx(run["start_time"] + 10, abs=1)


@pytest.mark.parametrize("what", ["another flag", "in use"])
def test_a_journal_that_is_not_this_workspaces(what: str, start: Start) -> None:
    first = start("--seed", "3")
    if what == "in use":
        with pytest.raises(processes.ProcessFailed, match="is in use by another simulator"):
            start("--seed", "3")
        return
    first.kill()
    with pytest.raises(processes.ProcessFailed, match=r"with run_seconds 300\.0, not 2\.0: start"):
        start("--seed", "3", "--run-seconds", "2")


# -- the file


def write(path: Path, *commands: Command) -> list[bytes]:
    """Write a journal and return its lines."""
    with open_journal(path, ORIGIN) as journal:
        for command in commands:
            journal.append(command)
    return path.read_bytes().splitlines(keepends=True)


def read(path: Path, origin: Origin = ORIGIN, *, any_seed: bool = False) -> Journal:
    with open_journal(path, origin, any_seed=any_seed) as journal:
        return journal


@pytest.mark.parametrize("left", [0.0, 0.5, 0.99])
def test_a_torn_last_line_is_left_out(tmp_path: Path, left: float) -> None:
    path = tmp_path / "journal"
    *whole, last = write(path, RUN_NOW, RUN_NOW)
    path.write_bytes(b"".join(whole) + last[: int(len(last) * left)])
    assert read(path).commands == [RUN_NOW]
    with open_journal(path, ORIGIN) as journal:
        journal.append(RUN_NOW)
    assert read(path).commands == [RUN_NOW, RUN_NOW]


def test_a_torn_first_line_is_a_new_journal(tmp_path: Path) -> None:
    path = tmp_path / "journal"
    (first,) = write(path)
    path.write_bytes(first[:-1])
    assert read(path).commands == []
    assert path.read_bytes() == first


@pytest.mark.parametrize("line", [b"{\n", b"[]\n", b"\xff\n", b'{"at": 1}\n', b"1\n"])
@pytest.mark.parametrize("number", [1, 2])
def test_a_line_that_is_no_command_is_an_error(tmp_path: Path, line: bytes, number: int) -> None:
    path = tmp_path / "journal"
    lines = write(path, RUN_NOW)
    lines[number - 1] = line
    path.write_bytes(b"".join(lines))
    with pytest.raises(JournalError, match=f"line {number} of the journal .* cannot be read"):
        read(path)


def test_the_seed_is_the_journals_when_none_is_asked_for(tmp_path: Path) -> None:
    path = tmp_path / "journal"
    write(path)
    other = Origin(**{**vars(ORIGIN), "seed": 4, "at": 9.0})
    assert read(path, other, any_seed=True).origin == ORIGIN
    with pytest.raises(JournalError, match="with seed 3, not 4"):
        read(path, other)


def test_a_file_that_cannot_be_opened(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--port", "0", "--journal", str(tmp_path)]) == 1
    assert f"databricks: the journal {tmp_path} cannot be opened: Is a directory" in capsys.readouterr().err


def test_notebooks_do_not_survive_and_are_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        parse_arguments(["--journal", str(tmp_path / "journal"), "--notebook-root", str(tmp_path)])
    assert "--journal does not go with --notebook-root" in capsys.readouterr().err


# -- the model


class Made:
    """A workspace that is made from a journal's commands and goes on by a clock that is set by hand."""

    def __init__(self, clock: Clock, commands: list[Command]) -> None:
        self.file = io.BytesIO()
        rng = random.Random(3)  # noqa: S311  ids and jitter, nothing secret
        held = WorkspaceClock(clock)
        self.workspace = Workspace(
            clock=held,
            rng=rng,
            outcomes=Outcomes(pending_seconds=1.0, run_seconds=10.0, rng=rng),
            max_active_runs=3,
        )
        journal = Journal(self.file, ORIGIN, commands)
        credentials = Credentials(tokens=(), clients={}, token_seconds=60.0, clock=clock)
        self.commands = Commands(self.workspace, held, credentials=credentials, journal=journal)

    def written(self) -> list[Command]:
        return [Command(**json.loads(line)) for line in self.file.getvalue().splitlines()]

    def facts(self) -> list[Any]:
        runs = [
            [run.run_id, run.request, run.created_at, run.ended_at, run.end, *map(vars, run.parts)]
            for run in self.workspace.runs()
        ]
        return [runs, self.workspace.max_active, self.workspace.runs_created, self.workspace.tokens]


#: A job that fails now and then, is tried again, and has a queue: it draws ids long after its ``run-now``.
RETRIED_JOB = {
    "max_concurrent_runs": 2,
    "queue": {"enabled": True},
    "tasks": [
        {"task_key": "first", "max_retries": 2, "min_retry_interval_millis": 500},
        {"task_key": "second", "depends_on": [{"task_key": "first"}]},
    ],
}

#: A job whose runs follow each other.
STREAM = {"continuous": {}, "tasks": [{"task_key": "stream"}]}


def nested(job_id: int) -> dict[str, Any]:
    """A job that goes over a list, and then runs another job if something failed."""
    loop = {"inputs": "[1, 2, 3]", "concurrency": 2, "task": {"task_key": "item", "max_retries": 1}}
    call = {"task_key": "call", "run_if": "AT_LEAST_ONE_FAILED", "depends_on": [{"task_key": "loop"}]}
    return {
        "max_concurrent_runs": 2,
        "tasks": [{"task_key": "loop", "for_each_task": loop}, {**call, "run_job_task": {"job_id": job_id}}],
    }


#: Steps that are called otherwise than their command.
COMMANDS = {"stream": "create", "nested": "create"}

STEPS = st.lists(
    st.tuples(
        st.sampled_from(
            (
                *("run-now", "run-now", "repair", "repair", "cancel", "delete"),
                *("create", "stream", "nested", "outcomes", "foreign-runs", "read"),
            )
        ),
        st.integers(0, 5),
        st.floats(0, 9),
    ),
    max_size=30,
)


def body_of(name: str, number: int, runs: list[Run], jobs: list[int]) -> dict[str, Any]:
    """A body for a command; ``number`` chooses."""
    run = runs[number % len(runs)] if runs else None
    run_id = run.run_id if run else 1
    bodies: dict[str, dict[str, Any]] = {
        "run-now": {
            "job_id": jobs[number % len(jobs)],
            "idempotency_token": f"token {number}" if number else "",
        },
        "outcomes": {"results": ["FAILED", "SUCCESS"][: number + 1]},
        "create": RETRIED_JOB,
        "stream": STREAM,
        "nested": nested(jobs[number % len(jobs)]),
        "repair": {
            "run_id": run_id,
            "rerun_all_failed_tasks": True,
            "latest_repair_id": run.parts[-1].repair_id if run else None,
        },
        "foreign-runs": {"count": 1, "seconds": number},
    }
    return bodies.get(name, {"run_id": run_id})


@given(STEPS)
def test_a_workspace_follows_from_its_commands(steps: list[tuple[str, int, float]]) -> None:
    """Whoever looked at it in between, and whatever it refused."""
    clock = Clock()
    live = Made(clock, [])
    jobs = [live.commands.perform("create", RETRIED_JOB)]
    for name, number, seconds in steps:
        clock.advance(seconds)
        if name == "read":
            live.workspace.settle()
            continue
        runs = live.workspace.runs() if number % 2 else []
        try:
            result = live.commands.perform(COMMANDS.get(name, name), body_of(name, number, runs, jobs))
        except ApiError:
            continue
        if COMMANDS.get(name, name) == "create":
            jobs.append(result)
    again = Made(clock, live.written())
    clock.advance(100)
    assert repr(again.facts()) == repr(live.facts())


def test_a_journal_of_another_version_is_an_error() -> None:
    live = Made(Clock(), [])
    live.commands.perform("create", RETRIED_JOB)
    (created,) = live.written()
    for changed, words in [
        (Command(**{**vars(created), "result": 1}), "line 2 of the journal led to 1 at"),
        (Command(**{**vars(created), "name": "paint"}), "line 2 of the journal cannot be repeated: KeyError"),
        (Command(**{**vars(created), "body": {"tasks": []}}), "cannot be repeated: .*A job must have 1 to"),
    ]:
        with pytest.raises(JournalError, match=words):
            Made(Clock(), [changed])
