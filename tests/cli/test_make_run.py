"""The commands against ``make run``, with the settings that it leaves for a shell."""

from pathlib import Path

import pytest

from orchestrator.cli.output import OK
from tests.cli.support import CommandLine
from tests.devstack.proctable import LINUX_ONLY
from tests.devstack.running import MadeRun

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(240), LINUX_ONLY]


def test_why_a_table_failed_and_run_it_again(make_run: MadeRun, tmp_path: Path) -> None:
    cli = CommandLine(folder=tmp_path, environment=dict(make_run.settings))
    assert cli("status").returncode == 0
    [entry_id] = cli.json("add", "tugs", "--max-attempts", "1")["ids"]
    until_dead(cli)
    story = cli.json("show", str(entry_id))
    assert "there is no table 'tugs'" in story["last_error"]
    assert [run["status"] for run in story["runs"]] == ["DEAD"]
    assert cli.json("retry", "--table", "tugs", "--dry-run")["ids"] == [entry_id]
    assert cli("retry", str(entry_id)).stdout == f"{entry_id} waits again\n"
    until_dead(cli)
    assert [run["submission"] for run in cli.json("show", str(entry_id))["runs"]] == [1, 2]
    assert f"\n{entry_id},default,tugs," in cli("export", "--table", "tugs").stdout


def until_dead(cli: CommandLine) -> None:
    """Make passes, as the timers do, until the row is over; each takes a second or so."""
    for _ in range(60):
        if cli("list", "--table", "tugs", "--state", "DEAD").returncode == OK:
            return
        assert cli("pass", "trigger").returncode == OK
    raise AssertionError(cli("list", "--table", "tugs").stdout)
