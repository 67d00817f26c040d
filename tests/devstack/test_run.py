"""The runner of the whole local stack: its command line, the demo from end to end, and its way out."""

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from devstack import run
from devstack.demo.start import HostMissing, choose_host

ROOT = Path(__file__).parents[2]

LINUX_ONLY = pytest.mark.skipif(sys.platform != "linux", reason="reads the process table in /proc")


# ---- the command line


def test_the_command_line_wins_over_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOST", "func")
    assert run.parse([]).host == "func"
    options = run.parse(["--demo", "--host", "local", "--queue-port", "10001"])
    assert (options.demo, options.host, options.ports.queue, options.ports.host) == (True, "local", 10001, 0)


def test_an_unknown_host_is_refused(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("HOST", "my-laptop")
    with pytest.raises(SystemExit):
        run.parse([])
    assert "HOST is 'my-laptop'; it must be local or func" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("forced", "func", "chosen"),
    [
        (None, None, "local"),
        (None, "/bin/func", "func"),
        ("local", "/bin/func", "local"),
        ("func", "/bin/func", "func"),
    ],
)
def test_core_tools_are_used_when_they_are_there(forced: str | None, func: str | None, chosen: str) -> None:
    assert choose_host(forced, func) == chosen


def test_core_tools_that_are_asked_for_must_be_there() -> None:
    with pytest.raises(HostMissing, match="no 'func' on PATH"):
        choose_host("func", None)


# ---- everything, as processes


def descendants(pid: int) -> set[int]:
    """The ids of all processes that a process has started, and theirs."""
    parents: dict[int, int] = {}
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            # pid (name) state ppid …; the name may hold anything, blanks and brackets too
            fields = stat.read_text(encoding="utf-8", errors="replace").rpartition(")")[2].split()
        except (FileNotFoundError, ProcessLookupError):
            continue  # it has just ended
        parents[int(stat.parent.name)] = int(fields[1])
    found = {pid}
    while more := {child for child, parent in parents.items() if parent in found} - found:
        found |= more
    return found - {pid}


def is_alive(pid: int) -> bool:
    """Whether a process runs; one that is over and not yet collected by its parent does not."""
    try:
        text = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace")
    except (FileNotFoundError, ProcessLookupError):
        return False
    return text.rpartition(")")[2].split()[0] != "Z"


def watch_to_its_end(process: subprocess.Popen[str], timeout: float = 50) -> set[int]:
    """Wait for a process's end and return the ids of all processes that were seen below it."""
    seen: set[int] = set()
    deadline = time.monotonic() + timeout
    while process.poll() is None and time.monotonic() < deadline:
        seen |= descendants(process.pid)
        time.sleep(0.05)
    return seen


def start_demo(runs: Path, *argv: str) -> subprocess.Popen[str]:
    environment = {name: value for name, value in os.environ.items() if name != "HOST"}
    return subprocess.Popen(
        [sys.executable, "-m", "devstack", "run", "--demo", "--host", "local", "--runs", str(runs), *argv],
        cwd=ROOT,
        env={**environment, "PYTHONUNBUFFERED": "1"},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )


@pytest.fixture
def cleanup() -> Iterator[list[subprocess.Popen[str]]]:
    """Ends what a failed test leaves behind."""
    started: list[subprocess.Popen[str]] = []
    yield started
    for process in started:
        if process.poll() is None:
            process.terminate()
        process.communicate(timeout=60)


@pytest.mark.e2e
@pytest.mark.timeout(150)
def test_the_demo_ends_as_expected(cleanup: list[subprocess.Popen[str]], tmp_path: Path) -> None:
    demo = start_demo(tmp_path)
    cleanup.append(demo)
    output, errors = demo.communicate(timeout=140)

    assert demo.returncode == 0, output + errors
    assert "  flights    336,776 of  336,776 rows" in output
    assert "  weather     26,115 of   26,115 rows" in output
    assert "  planes       3,322 of    3,322 rows" in output
    assert "  airports     1,458 of    1,458 rows" in output
    assert "  airlines        16 of       16 rows" in output
    assert "there is no table 'crews'" in output
    assert "airports.csv has not been delivered" in output
    assert "not as expected" not in output


@pytest.mark.e2e
@pytest.mark.timeout(90)
@LINUX_ONLY
def test_ctrl_c_stops_every_process(cleanup: list[subprocess.Popen[str]], tmp_path: Path) -> None:
    demo = start_demo(tmp_path)
    cleanup.append(demo)
    assert demo.stdout is not None
    # Rows are running, so the notebooks' processes are there as well.
    progressing = next((line for line in demo.stdout if "RUNNING" in line), "no such line")
    started = descendants(demo.pid)
    assert len(started) >= 4, progressing  # Azurite and its node, the simulator, the host

    demo.send_signal(signal.SIGINT)
    _, errors = demo.communicate(timeout=60)

    assert demo.returncode == run.EXIT_INTERRUPTED, errors
    assert not {pid for pid in started if is_alive(pid)}


@pytest.mark.e2e
@LINUX_ONLY
def test_ctrl_c_while_parts_start_stops_what_runs(
    cleanup: list[subprocess.Popen[str]], tmp_path: Path
) -> None:
    demo = start_demo(tmp_path)
    cleanup.append(demo)
    assert demo.stdout is not None
    assert demo.stdout.readline().startswith("State and logs: ")
    demo.send_signal(signal.SIGINT)
    started = watch_to_its_end(demo)

    assert demo.returncode == run.EXIT_INTERRUPTED
    assert not {pid for pid in started if is_alive(pid)}


@pytest.mark.e2e
@LINUX_ONLY
def test_a_start_that_fails_half_way_stops_what_runs(
    cleanup: list[subprocess.Popen[str]], tmp_path: Path
) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        demo = start_demo(tmp_path, "--databricks-port", str(taken.getsockname()[1]))
        cleanup.append(demo)
        started = watch_to_its_end(demo)
        output, errors = demo.communicate(timeout=10)

    assert demo.returncode == 1, output
    assert "databricks did not become ready" in errors
    assert len(started) >= 3  # Azurite, its node, and the simulator
    assert not {pid for pid in started if is_alive(pid)}
