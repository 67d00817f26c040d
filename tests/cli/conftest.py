"""Command lines with an empty store, and with everything that the app needs."""

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from devstack import processes
from tests.cli.support import PARAMETERS, TOKEN, CommandLine
from tests.conftest import ROOT, Azurite
from tests.empty_store import make_empty_store


@pytest.fixture
def cli(tmp_path: Path) -> CommandLine:
    """A command line whose store is an empty SQLite file."""
    make_empty_store(tmp_path / "state.db")
    return CommandLine(folder=tmp_path, environment={"STATE_DB": "state.db"})


@pytest.fixture(scope="module")
def simulator(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    process = processes.start(
        "databricks",
        [sys.executable, "-m", "devstack", "databricks", "--port", "0", "--token", TOKEN],
        log=tmp_path_factory.mktemp("cli") / "databricks.log",
        cwd=ROOT,
    )
    yield process.url
    process.stop()


@pytest.fixture
def full_cli(cli: CommandLine, azurite: Azurite, queue_name: str, simulator: str) -> CommandLine:
    """A command line with everything that the app needs."""
    cli.environment |= {
        "AzureWebJobsStorage": azurite.connection_string,
        "SUBMIT_QUEUE_NAME": queue_name,
        "DATABRICKS_HOST": simulator,
        "DATABRICKS_TOKEN": TOKEN,
        "TRIGGER_SCHEDULE": "0 * * * * *",
        "MONITOR_SCHEDULE": "30 * * * * *",
    }
    return cli


@pytest.fixture
def history(cli: CommandLine) -> CommandLine:
    """A command line whose store has a past: rows 1 to 6, one in each state but QUEUED."""
    rows = (
        ("sales", "DONE", 11, None),
        ("sales_eu", "DEAD", 12, "IngestError: no file\x1b[2J"),
        ("orders", "FAILED", 13, "TIMEDOUT: over 3600 s"),
        ("orders_eu", "RUNNING", 14, None),
        ("crm/leads", "CANCELED", None, None),
        ("crm/people", "PENDING", None, None),
    )
    for number, (table, status, run_id, error) in enumerate(rows, start=1):
        changed = f"2026-01-31 0{number}:00:00.000"
        cli.execute(
            "INSERT INTO track_processing (table_name, parameters, status, runid, last_error, submission,"
            " attempt, max_attempts, updated_at, finished_at) VALUES (?, ?, ?, ?, ?, 1, 1, 3, ?, ?)",
            *(table, PARAMETERS, status, run_id, error, changed),
            changed if status in {"DONE", "DEAD", "CANCELED"} else None,
        )
    cli.execute(
        "INSERT INTO process_log (entry_id, submission, attempt, runid, status, message, error_trace,"
        " run_page_url) VALUES (2, 1, 1, 12, 'DEAD', 'IngestError: no file', 'Traceback\n  line 7', 'https://adb/run/12')"
    )
    return cli
