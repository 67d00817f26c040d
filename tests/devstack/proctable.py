"""The table of processes in ``/proc``: who started whom, and who still runs."""

import sys
import time
from collections.abc import Collection
from pathlib import Path

import pytest

LINUX_ONLY = pytest.mark.skipif(sys.platform != "linux", reason="reads the process table in /proc")


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


def command_line(pid: int) -> str:
    """How a process was started, empty when it is gone."""
    try:
        return Path(f"/proc/{pid}/cmdline").read_text(encoding="utf-8", errors="replace").replace("\0", " ")
    except (FileNotFoundError, ProcessLookupError):
        return ""


def is_alive(pid: int) -> bool:
    """Whether a process runs; one that is over and not yet collected by its parent does not."""
    try:
        text = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace")
    except (FileNotFoundError, ProcessLookupError):
        return False
    return text.rpartition(")")[2].split()[0] != "Z"


def wait_until_gone(pids: Collection[int], *, seconds: float) -> None:
    """Return once none of them runs. :raises AssertionError: some still do after the time."""
    deadline = time.monotonic() + seconds
    while left := {pid: command_line(pid) for pid in pids if is_alive(pid)}:
        assert time.monotonic() < deadline, f"still there after {seconds:g} seconds: {left}"
        time.sleep(0.05)
