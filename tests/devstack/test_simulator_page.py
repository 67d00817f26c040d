"""The commands of docs/simulator.md, run by a shell against a simulator."""

import json
import subprocess
import sys
from pathlib import Path

from devstack import processes
from tests.conftest import ROOT
from tests.pages import blocks

PAGE = (ROOT / "docs" / "simulator.md").read_text(encoding="utf-8")

#: The run of the page's examples.
RUN = "740865532228085"

#: As on the page; besides, a response that is an error ends the script.
CURL = 'set -e; curl() { command curl --fail --silent --show-error "$@"; }'

#: A run is over as soon as it has begun: one that is active cannot be removed.
AT_ONCE = ("--pending-seconds", "0", "--run-seconds", "0")

RUN_NOW = """curl -H 'Authorization: Bearer any' $SIM/api/2.2/jobs/run-now -d '{"job_id": 1}'"""


def shell(address: str, *commands: str) -> str:
    """Run commands one after another and return what they print."""
    done = subprocess.run(
        ["bash", "-c", "\n".join([CURL, *commands])],
        env={"SIM": address, "PATH": "/usr/bin:/bin"},
        capture_output=True,
        text=True,
        timeout=40,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout


def test_commands(tmp_path: Path) -> None:
    commands = [each for block in blocks(PAGE) for each in block.commands if "$SIM" in each]
    assert len(commands) == 12
    commands.sort(key=lambda each: "DELETE" in each)  # what is removed cannot be looked at any more
    process = processes.start(
        "databricks",
        [sys.executable, "-m", "devstack", "databricks", "--port", "0", *AT_ONCE],
        log=tmp_path / "databricks.log",
        cwd=ROOT,
    )
    try:
        run_id = str(json.loads(shell(process.url, RUN_NOW))["run_id"])
        assert run_id in shell(process.url, *(each.replace(RUN, run_id) for each in commands))
    finally:
        process.stop()
