"""Children end whatever they or their own children do, and whatever happens to their parent."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from devstack import processes
from tests.devstack.proctable import LINUX_ONLY, is_alive, wait_until_gone

ROOT = Path(__file__).parents[2]

#: Starts a child that inherits its output, tells the child's pid as its URL, and then waits or ends.
PARENT = """
import subprocess, sys, time
child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(45)"], start_new_session={session})
print(f"ready part {{child.pid}}", flush=True)
{then}
"""

#: Starts the simulator, tells its pid and waits.
RUNNER = """
import sys, time
from pathlib import Path
from devstack import processes
argv = [sys.executable, "-m", "devstack", "databricks", "--port", "0"]
part = processes.start("databricks", argv, log=Path(sys.argv[1]))
print(part.pid, flush=True)
time.sleep(50)
"""


@pytest.fixture
def strays() -> Iterator[list[int]]:
    """Processes that the code under test need not end; the test does."""
    pids: list[int] = []
    yield pids
    for pid in pids:
        if is_alive(pid):
            os.kill(pid, signal.SIGKILL)


def start(tmp_path: Path, *, session: bool = False, then: str = "time.sleep(45)") -> processes.Process:
    script = PARENT.format(session=session, then=then)
    return processes.start("part", [sys.executable, "-c", script], log=tmp_path / "log", timeout=20)


@LINUX_ONLY
@pytest.mark.parametrize("end", ["kill", "stop"])
def test_a_grandchild_in_a_session_of_its_own_holds_nothing_up(
    tmp_path: Path, strays: list[int], end: str
) -> None:
    part = start(tmp_path, session=True)
    strays.append(int(part.url))
    began = time.monotonic()
    code = part.kill() if end == "kill" else part.stop()
    assert time.monotonic() - began < 10
    assert code == (-signal.SIGKILL if end == "kill" else -signal.SIGTERM)


@LINUX_ONLY
@pytest.mark.parametrize("end", ["kill", "stop"])
def test_the_group_is_ended_also_when_its_leader_is_gone(tmp_path: Path, strays: list[int], end: str) -> None:
    part = start(tmp_path, then="")
    grandchild = int(part.url)
    strays.append(grandchild)
    while part.returncode is None:
        time.sleep(0.01)
    assert is_alive(grandchild)
    began = time.monotonic()
    assert (part.kill() if end == "kill" else part.stop()) == 0
    wait_until_gone({grandchild}, seconds=5)
    assert time.monotonic() - began < 10


@LINUX_ONLY
def test_a_part_ends_when_its_parent_is_killed(tmp_path: Path, strays: list[int]) -> None:
    with subprocess.Popen(
        [sys.executable, "-c", RUNNER, str(tmp_path / "log")], cwd=ROOT, stdout=subprocess.PIPE, text=True
    ) as runner:
        assert runner.stdout is not None
        part = int(runner.stdout.readline())
        strays.append(part)
        runner.kill()
    wait_until_gone({part}, seconds=15)


@LINUX_ONLY
def test_a_part_started_by_hand_does_not_look_at_its_input(tmp_path: Path) -> None:
    with subprocess.Popen(
        [sys.executable, "-m", "devstack", "databricks", "--port", "0"],
        cwd=ROOT,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        text=True,
    ) as part:
        assert part.stdout is not None
        assert part.stdout.readline().startswith("ready databricks http://")
        with pytest.raises(subprocess.TimeoutExpired):
            part.wait(1)
        part.terminate()
        assert part.wait(10) == 0


def test_a_parts_own_children_know_nothing_of_the_pipe(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    tell = "import os; print('ready part', os.environ.get('DEVSTACK_PARENT_PIPE'))"
    first = "from devstack import processes; processes.end_with_parent(); "
    nested = f"import subprocess, sys; {first}subprocess.run([sys.executable, '-c', {tell!r}])"
    part = processes.start("part", [sys.executable, "-c", nested], log=tmp_path / "log", cwd=ROOT)
    part.stop()
    assert part.url == "None"
