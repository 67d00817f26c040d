"""``make run`` as a process, and what it prints."""

import os
import re
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path

ROOT = Path(__file__).parents[2]


def start_run(runs: Path, *argv: str) -> subprocess.Popen[str]:
    """Start it; its stack's folders are made below ``runs``."""
    environment = {name: value for name, value in os.environ.items() if name != "HOST"}
    return subprocess.Popen(
        [sys.executable, "-m", "devstack", "run", "--host", "local", "--runs", str(runs), *argv],
        cwd=ROOT,
        env={**environment, "PYTHONUNBUFFERED": "1"},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )


def addresses(lines: Iterable[str]) -> dict[str, list[str]]:
    """The addresses that a run prints when it is up, by what is there."""
    found: dict[str, list[str]] = {}
    for line in lines:
        if match := re.match(r"  (Dashboard|Functions host|Databricks|Storage) +(http.*)", line):
            found[match[1]] = match[2].split()
        if "/admin/functions/trigger" in line:  # the last line
            break
    return found
