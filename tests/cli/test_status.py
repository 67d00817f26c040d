"""``status``: one look, many looks, and what it says when something does not answer."""

import json

import pytest

from orchestrator.adapters.store.migrate import available
from orchestrator.core.version import VERSION
from tests.cli.support import CommandLine
from tests.cli.terminal import terminal


def test_one_look_in_lines(history: CommandLine) -> None:
    history.execute("UPDATE track_processing SET finished_at = datetime('now', '-30 minutes') WHERE id = 2")
    history.execute("UPDATE track_processing SET available_at = datetime('now', '-3 hours') WHERE id = 6")
    history.execute(
        "INSERT INTO orchestrator_tick (name, started_at, finished_at, outcome)"
        " VALUES ('trigger', '2026-01-31 06:00:00', NULL, NULL)"
    )
    workspace, trigger, monitor = history("status").stdout.splitlines()
    assert workspace.startswith(
        "default: 1 PENDING, 1 RUNNING, 1 FAILED; in the last hour 1 DEAD; in the last day 1 DEAD; "
        "the oldest waits 3 h 0 min; 1 of ? slots, foreign runs: the settings are incomplete or wrong"
    )
    assert trigger.startswith("trigger: began 2026-01-31 06:00:00 UTC, ")
    assert trigger.endswith(" s ago: not finished")
    assert monitor == "monitor: has never begun"


def test_an_empty_store(cli: CommandLine) -> None:
    assert cli("status").stdout.splitlines()[0] == "no entry is open or has ended in the last day"
    document = cli.json("status")
    assert document["workspaces"] == []
    assert (document["version"], document["schema_version"]) == (VERSION, len(available("sqlite")))
    assert cli("--version").stdout == f"orchestrator, version {VERSION}\n"
    assert [(last_pass["name"], last_pass["started_at"]) for last_pass in document["passes"]] == [
        ("trigger", None), ("monitor", None),
    ]  # fmt: skip


def test_the_slots_count_foreign_runs(full_cli: CommandLine) -> None:
    full_cli.environment["DATABRICKS_JOB_ID"] = full_cli("create-job", "--notebook", "/x").stdout.strip()
    full_cli("pass", "monitor")
    full_cli.execute("UPDATE orchestrator_tick SET started_at = datetime('now', '-1 day')")
    document = json.loads(full_cli("status", "--json").stdout)
    [workspace] = document["workspaces"]
    assert (workspace["name"], workspace["cap"]) == ("default", 130)
    assert workspace["active"] == {"ours": 0, "foreign": 0, "foreign_queued": 0, "error": None}
    assert [(last_pass["name"], last_pass["late"]) for last_pass in document["passes"]] == [
        ("trigger", True), ("monitor", True),
    ]  # fmt: skip
    assert full_cli("status").stdout.splitlines()[-1].endswith("; LATE")


@pytest.mark.parametrize(
    ("changes", "text"),
    [
        ({"DATABRICKS_TOKEN": "wrong-canary"}, "foreign runs: "),
        ({"DATABRICKS_HOST": "http://127.0.0.1:9"}, "foreign runs: "),
    ],
)
def test_databricks_does_not_answer(full_cli: CommandLine, changes: dict[str, str], text: str) -> None:
    begin(full_cli)
    done = full_cli("status", **changes)
    assert (done.returncode, done.stderr) == (0, "")
    assert text in done.stdout
    assert "canary" not in done.stdout
    offline = full_cli("status", "--offline", **changes)
    assert "0 of 130 slots, foreign runs: not asked for" in offline.stdout


def begin(cli: CommandLine) -> None:
    """Let both timer functions have begun just now, as far as the store knows."""
    for name in ("trigger", "monitor"):
        cli.execute(
            "INSERT INTO orchestrator_tick (name, started_at, finished_at, outcome)"
            " VALUES (?, datetime('now'), datetime('now'), 'ok')",
            name,
        )


def test_the_exit_code_says_that_the_app_does_not_do_its_work(full_cli: CommandLine) -> None:
    never = full_cli("status")
    assert never.returncode == 4
    assert never.stderr.splitlines() == [
        "unhealthy: trigger has never begun",
        "unhealthy: monitor has never begun",
    ]
    assert never.stdout.splitlines()[-1] == "monitor: has never begun; LATE"
    document = full_cli("status", "--json")
    assert (document.returncode, document.stderr) == (4, never.stderr)
    assert json.loads(document.stdout)["passes"][0]["late"] is True
    begin(full_cli)
    well = full_cli("status")
    assert (well.returncode, well.stderr) == (0, "")


def test_rows_that_wait_for_no_reason_are_an_exit_code(full_cli: CommandLine) -> None:
    begin(full_cli)
    full_cli.execute(
        "INSERT INTO track_processing (table_name, created_at, available_at)"
        " VALUES ('sales', datetime('now', '-1 day'), datetime('now', '-1 day'))"
    )
    waits = full_cli("status")
    assert (waits.returncode, waits.stderr) == (
        4,
        "unhealthy: entries of workspace default wait although slots are free\n",
    )
    down = full_cli("status", DATABRICKS_TOKEN="wrong-canary")
    assert down.returncode == 4
    assert down.stderr.startswith(
        "unhealthy: entries of workspace default wait, and its active runs cannot be listed: "
    )
    assert "canary" not in down.stderr
    offline = full_cli("status", "--offline")
    assert (offline.returncode, offline.stderr) == (
        0,
        "whether entries wait for no reason is not known: --offline\n",
    )


def test_the_store_alone_cannot_tell_whether_the_app_is_well(history: CommandLine) -> None:
    done = history("status")
    assert done.returncode == 0
    assert done.stderr.startswith("whether the app does its work is not known: the settings are incomplete")


def test_watch_shows_what_changes_until_ctrl_c(history: CommandLine) -> None:
    with terminal(history, "status", "--watch", "--interval", "1") as screen:
        screen.read_until("function")
        history.execute("UPDATE track_processing SET status = 'PENDING', workspace = 'another'")
        screen.read_until("another")
        screen.interrupt()
        assert screen.exit_code() == 0
    assert "Traceback" not in screen.text


def test_watch_outlives_a_store_that_does_not_answer(history: CommandLine) -> None:
    with terminal(history, "status", "--watch", "--interval", "1") as screen:
        screen.read_until("function")
        history.execute("ALTER TABLE track_processing RENAME TO elsewhere")
        screen.read_until("no such table")
        history.execute("ALTER TABLE elsewhere RENAME TO track_processing")
        screen.read_until("function")
        screen.interrupt()
        assert screen.exit_code() == 0


def test_watch_is_no_document(cli: CommandLine) -> None:
    assert cli("status", "--watch", "--json").returncode == 2
