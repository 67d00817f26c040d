"""``workspace-moved`` and ``check``: entries whose run is at another address than the settings say."""

import json

from tests.cli.support import CommandLine

ELSEWHERE = "https://old.azuredatabricks.net"


def put_elsewhere(cli: CommandLine) -> None:
    """Make the RUNNING entry 4 of the history one of another address."""
    cli.execute("UPDATE track_processing SET workspace_address = ? WHERE id = 4", ELSEWHERE)


def moved_cli(history: CommandLine, full_cli: CommandLine) -> CommandLine:
    put_elsewhere(history)
    return full_cli


def test_workspace_moved_says_which_entries_are_looked_for_where(
    history: CommandLine, full_cli: CommandLine
) -> None:
    cli, here = moved_cli(history, full_cli), full_cli.environment["DATABRICKS_HOST"]
    done = cli("workspace-moved", "default")
    assert (done.returncode, done.stdout, done.stderr) == (0, f"4 is looked for at {here}\n", "")
    assert cli.query("SELECT workspace_address FROM track_processing WHERE id = 4") == [(here,)]
    again = cli("workspace-moved", "default")
    assert (again.returncode, again.stdout) == (0, "")
    assert again.stderr == f"no entry of workspace default is at another address than {here}\n"
    assert cli.json("workspace-moved", "default") == {"workspace": "default", "address": here, "ids": []}


def test_workspace_moved_names_the_entry_of_a_run_that_nobody_wants(
    history: CommandLine, full_cli: CommandLine
) -> None:
    history.execute(
        "INSERT INTO orchestrator_stray_run (workspace, runid, entry_id, since, address) "
        "VALUES ('default', 77, 1, '2026-01-01 00:00:00.000', ?)",
        ELSEWHERE,
    )
    done = full_cli("workspace-moved", "default")
    here = full_cli.environment["DATABRICKS_HOST"]
    assert (done.returncode, done.stdout, done.stderr) == (0, f"1 is looked for at {here}\n", "")


def test_unknown_workspace(history: CommandLine, full_cli: CommandLine) -> None:
    cli = moved_cli(history, full_cli)
    done = cli("workspace-moved", "eu")
    assert (done.returncode, done.stderr) == (1, "there is no workspace eu in the settings\n")
    assert cli.query("SELECT workspace_address FROM track_processing WHERE id = 4") == [(ELSEWHERE,)]


def test_check_and_pass_and_status_say_so(history: CommandLine, full_cli: CommandLine) -> None:
    cli = moved_cli(history, full_cli)
    checked = json.loads(cli("check", "--json").stdout)
    [finding] = [each for each in checked["findings"] if each["subject"] == "workspace default, address"]
    words = f"1 entry has its run or call at {ELSEWHERE} (for example entry 4"
    assert (checked["ok"], finding["ok"], words in finding["text"]) == (False, False, True)
    made = cli("pass", "monitor")
    assert (made.returncode, words in made.stderr) == (1, True)
    assert words in cli("status").stderr
    assert cli("workspace-moved", "default").returncode == 0
    subjects = [each["subject"] for each in json.loads(cli("check", "--json").stdout)["findings"]]
    assert "workspace default, address" not in subjects
