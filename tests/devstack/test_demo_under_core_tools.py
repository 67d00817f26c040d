"""The whole demo under Core Tools, for which a stand-in runs: nothing of the developer's is touched."""

import asyncio
import json
import os
import sys
from pathlib import Path

import pytest

from devstack.azurite import connection_string
from tests.alerts.receiver import Receiver
from tests.devstack.running import FEW, lay_out
from tests.devstack.test_run import check_outcome

#: Reads its settings as Core Tools do, where a variable that is empty counts as not set, and runs our host.
FUNC = """#!{python}
import json, os, pathlib, sys

values = json.loads(pathlib.Path("local.settings.json").read_text())["Values"]
for name, value in values.items():
    if not os.environ.get(name):
        os.environ[name] = value
assert sys.argv[1:3] == ["start", "--port"], sys.argv
os.environ["PYTHONPATH"] = {root!r}
command = [sys.executable, "-m", "devstack", "host", "--app", ".", "--port", sys.argv[3]]
os.execv(sys.executable, command)
"""


def put_func_on_path(folder: Path, checkout: Path) -> str:
    """Return a PATH with the stand-in before all others."""
    func = folder / "func"
    folder.mkdir()
    func.write_text(FUNC.format(python=sys.executable, root=str(checkout)), encoding="utf-8")
    func.chmod(0o700)
    return f"{folder}{os.pathsep}{os.environ['PATH']}"


async def run_demo(checkout: Path, runs: Path, path: str) -> tuple[int | None, str]:
    """Run ``make demo HOST=func``; return its exit code and what it printed."""
    program = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "devstack", "run", "--demo", "--host", "func", "--runs", str(runs)),
        cwd=checkout,
        env={**os.environ, "PATH": path},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    printed, _ = await program.communicate()
    return program.returncode, printed.decode()


@pytest.mark.e2e
@pytest.mark.timeout(150)
async def test_the_demo_touches_nothing_of_the_developers(tmp_path: Path) -> None:
    checkout = lay_out(tmp_path / "checkout")
    with (checkout / "examples" / "entries.py").open("a", encoding="utf-8") as entries:
        entries.write(FEW)
    path = put_func_on_path(tmp_path / "bin", checkout)
    async with Receiver().serve() as team:
        mine = {
            "ALERT_WEBHOOK_URL": team.url,
            "APPLICATIONINSIGHTS_CONNECTION_STRING": f"InstrumentationKey=0;IngestionEndpoint={team.url}",
            "AzureWebJobsStorage": connection_string(),
            "EVENTS_SECRET": "mine",
            "STATE_DB": str(tmp_path / "mine.db"),
            "SUBMIT_QUEUE_NAME": "mine",
        }
        settings = checkout / "local.settings.json"
        settings.write_text(json.dumps({"IsEncrypted": False, "Values": mine}), encoding="utf-8")
        before = settings.read_bytes()
        code, printed = await run_demo(checkout, tmp_path / "runs", path)
        assert code == 0, printed
        check_outcome(printed)
        assert (team.calls, team.taken) == (0, [])
    assert settings.read_bytes() == before
    assert not (tmp_path / "mine.db").exists()
