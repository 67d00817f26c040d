"""The commands that tend to rows and to the installation."""

import json
import sqlite3
from pathlib import Path

import pytest

from tests.cli.support import AT_LATEST, CommandLine


def test_help_lists_the_commands(cli: CommandLine) -> None:
    text = cli("--help").stdout
    for command in ("init-db", "add", "status", "show", "retry", "cancel", "pass", "create-job", "check"):
        assert command in text


def test_no_command_is_a_usage_error(cli: CommandLine) -> None:
    assert cli().returncode == 2


def test_init_db_creates_the_store_and_again_changes_nothing(tmp_path: Path) -> None:
    cli = CommandLine(folder=tmp_path, environment={"STATE_DB": "state.db"})
    created = cli("init-db").stdout
    assert created.startswith("applied 0001_")
    assert created.endswith(AT_LATEST)
    assert cli("init-db").stdout == AT_LATEST


def test_init_db_prints_the_statements_that_a_dba_reads(tmp_path: Path) -> None:
    cli = CommandLine(folder=tmp_path, environment={})
    printed = cli("init-db", "--print-queries")
    assert printed.returncode == 0
    assert "-- claim: Claim these entries" in printed.stdout
    assert "SYSUTCDATETIME()" in printed.stdout
    assert "utc_now" not in printed.stdout


def test_init_db_prints_what_a_dba_runs(tmp_path: Path) -> None:
    cli = CommandLine(folder=tmp_path, environment={"STATE_DB": "state.db"})
    printed = cli("init-db", "--print")
    assert printed.returncode == 0
    connection = sqlite3.connect(tmp_path / "state.db")
    connection.executescript(printed.stdout)
    connection.close()
    assert cli("init-db").stdout == AT_LATEST


def test_grant_is_for_a_database_with_users(tmp_path: Path) -> None:
    cli = CommandLine(folder=tmp_path, environment={"STATE_DB": "state.db"})
    cli("init-db")
    refused = cli("grant", "id-app", "--client-id", "1d3b9d8c-0000-4000-8000-00000000000a")
    assert (refused.returncode, "a SQLite file has no users" in refused.stderr) == (1, True)
    assert cli("grant", "id-app", "--client-id", "not an id").returncode == 2


def test_init_db_adopts_a_table_that_is_there(tmp_path: Path) -> None:
    connection = sqlite3.connect(tmp_path / "state.db")
    connection.execute(
        "CREATE TABLE track_processing (ID INTEGER PRIMARY KEY, SOURCE_TABLE TEXT, STATUS TEXT)"
    )
    connection.execute(
        "INSERT INTO track_processing (SOURCE_TABLE, STATUS) VALUES ('sales', 'NEW'), ('old', 'LOADED')"
    )
    connection.commit()
    connection.close()
    environment = {
        "STATE_DB": "state.db",
        "TABLE_NAME_COLUMN": "SOURCE_TABLE",
        "STATUS_MAP": '{"LOADED": "DONE"}',
    }
    cli = CommandLine(folder=tmp_path, environment=environment)
    assert "already exists; to adopt an existing table: init-db --adopt" in cli("init-db").stderr
    assert cli("init-db", "--adopt", "--print").returncode == 2
    for other in (("--adopt",), ("--print",), ("--json",), ("--from-version", "1")):
        assert cli("init-db", "--print-queries", *other).returncode == 2
    assert cli("init-db", "--print", "--from-version", "9999").returncode == 2
    adopted = cli("init-db", "--adopt")
    assert (adopted.returncode, adopted.stderr) == (0, "")
    assert adopted.stdout.endswith(AT_LATEST)
    assert cli.query("SELECT table_name, status FROM track_processing") == [
        ("sales", "PENDING"),
        ("old", "DONE"),
    ]
    assert cli("init-db", "--adopt").returncode == 0
    refused = cli("add", "orders")
    assert (refused.returncode, "insert rows by SQL" in refused.stderr) == (1, True)


def test_missing_settings_are_listed(tmp_path: Path) -> None:
    empty = CommandLine(folder=tmp_path, environment={})
    result = empty("check")
    assert result.returncode == 1
    for name in ("DATABRICKS_HOST", "AzureWebJobsStorage", "SQL_CONNECTION_STRING"):
        assert any(
            line.startswith("FAIL  settings: ") and name in line for line in result.stdout.splitlines()
        )
    assert "Traceback" not in result.stderr


def test_local_settings_are_read(tmp_path: Path) -> None:
    (tmp_path / "local.settings.json").write_text(json.dumps({"Values": {"STATE_DB": "from-file.db"}}))
    assert CommandLine(folder=tmp_path, environment={})("init-db").returncode == 0
    assert (tmp_path / "from-file.db").exists()


def test_add_show_cancel_retry_status(cli: CommandLine) -> None:
    added = cli(
        "add", "sales", "--priority", "7", "--parameters", '{"secret": "s3cr3t"}', "--max-attempts", "5"
    )
    assert (added.returncode, added.stdout) == (0, "1\n")
    assert cli.query("SELECT table_name, priority, max_attempts FROM track_processing") == [("sales", 7, 5)]
    shown = cli("show", "1").stdout
    assert "PENDING" in shown
    assert "s3cr3t" not in shown
    assert "s3cr3t" in cli("show", "1", "--parameters").stdout
    assert cli("cancel", "1").stdout == "1 is cancelled at the next pass\n"
    assert cli.query("SELECT cancel_requested FROM track_processing") == [(1,)]
    assert "default: 1 PENDING; " in cli("status").stdout


def test_purge_deletes_old_final_rows_only(cli: CommandLine) -> None:
    cli("add", "waits")
    cli("add", "done")
    connection = sqlite3.connect(cli.folder / "state.db")
    connection.execute(
        "UPDATE track_processing SET status = 'DONE', finished_at = '2020-01-01 00:00:00' WHERE id = 2"
    )
    connection.commit()
    connection.close()
    assert cli("purge", "--older-than", "90d").stdout == "1\n"
    assert cli.query("SELECT table_name FROM track_processing") == [("waits",)]
    refused = cli("purge", "--older-than", "soon")
    assert refused.returncode == 2
    assert "90d" in refused.stderr


def test_what_cannot_be_done_says_so(cli: CommandLine) -> None:
    cli("add", "sales")
    result = cli("retry", "1", "99")
    assert result.returncode == 1
    assert result.stderr.splitlines() == [
        "entry 1 is PENDING and cannot be run again: it is waiting or in flight",
        "there is no entry 99",
    ]
    assert cli("show", "99").returncode == 1


def test_bad_store_is_one_clear_line(tmp_path: Path) -> None:
    result = CommandLine(folder=tmp_path, environment={"STATE_DB": "mistyped.db"})("status")
    assert result.returncode == 1
    assert result.stderr == (
        "SQLite (mistyped.db): unable to open database file; check STATE_DB, "
        "and for a new file run: python -m orchestrator init-db\n"
    )
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    "arguments",
    [("show", "99999999999999999999"), ("retry", str(2**63)), ("add", "sales", "--priority", "99999999999")],
)
def test_numbers_that_no_column_holds_are_usage_errors(cli: CommandLine, arguments: tuple[str, ...]) -> None:
    result = cli(*arguments)
    assert result.returncode == 2
    assert "must be a whole number from" in result.stderr


@pytest.mark.parametrize("option", ["--notebook", "--name"])
def test_create_job_takes_no_empty_text(full_cli: CommandLine, option: str) -> None:
    refused = full_cli("create-job", "--notebook", "/Jobs/ingest", option, " ")
    assert (refused.returncode, refused.stdout) == (2, "")
    assert f"Invalid value for '{option}': it is empty" in refused.stderr


def test_create_job_check_and_passes(full_cli: CommandLine) -> None:
    created = full_cli("create-job", "--notebook", "/Jobs/ingest", MAX_ACTIVE_RUNS="40")
    assert created.returncode == 0, created.stderr
    full_cli.environment["DATABRICKS_JOB_ID"] = created.stdout.strip()
    checked = full_cli("check", MAX_ACTIVE_RUNS="40")
    assert checked.returncode == 0, checked.stdout
    assert checked.stdout.count("ok  ") == len(checked.stdout.splitlines()) == 8
    full_cli("add", "sales")
    assert full_cli("pass", "trigger").returncode == 0
    assert full_cli.query("SELECT status, submission FROM track_processing") == [("QUEUED", 1)]
    assert full_cli("pass", "monitor").returncode == 0
    assert "trigger: " in full_cli("status").stdout


@pytest.mark.parametrize(
    ("changes", "line"),
    [
        ({"DATABRICKS_TOKEN": "wrong-canary"}, "FAIL  workspace default, Databricks: "),
        ({"DATABRICKS_HOST": "http://127.0.0.1:9"}, "FAIL  workspace default, Databricks: "),
        ({"DATABRICKS_JOB_ID": "999"}, "FAIL  workspace default, job: "),
        ({"STATE_DB": "no/such/folder.db"}, "FAIL  store: SQLite (no/such/folder.db): "),
        ({"TRIGGER_SCHEDULE": ""}, "FAIL  settings: set TRIGGER_SCHEDULE"),
    ],
)
def test_check_says_what_is_wrong(full_cli: CommandLine, changes: dict[str, str], line: str) -> None:
    result = full_cli("check", **changes)
    assert result.returncode == 1
    assert line in result.stdout
    assert "canary" not in result.stdout + result.stderr
    assert "Traceback" not in result.stderr


def test_check_compares_the_job_with_the_cap(full_cli: CommandLine, simulator: str) -> None:
    job_id = full_cli("create-job", "--notebook", "/Jobs/ingest", MAX_ACTIVE_RUNS="2").stdout.strip()
    result = full_cli("check", DATABRICKS_JOB_ID=job_id, MAX_ACTIVE_RUNS="40")
    assert f"{job_id} allows 2 runs at once and the cap is 40" in result.stdout


def test_the_older_name_of_pass_still_works_and_is_not_shown(full_cli: CommandLine) -> None:
    assert full_cli.json("tick", "monitor") == {"function": "monitor", "problems": []}
    shown = full_cli("--help").stdout
    assert "  pass" in shown
    assert "  tick" not in shown
