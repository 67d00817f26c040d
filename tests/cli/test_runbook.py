"""Every command of docs/runbook.md that needs no Azure does something on a store with these troubles."""

import pytest

from tests import runbook
from tests.cli.support import CommandLine

#: The page's entries: id, table, status, run and last error.
ENTRIES = (
    (17, "sales", "DEAD", 77, "IngestError: the file has not been delivered"),
    (18, "sales", "RUNNING", 78, None),
    (19, "orders", "QUEUED", None, "HTTP 503"),
    (20, "stock", "PENDING", None, "no permission on job 5"),
    (21, "stock", "FAILED", 81, "INTERNAL_ERROR: the cluster did not start"),
    (22, "prices", "DEAD", 82, "no such job"),
    (23, "sales_eu", "DEAD", 83, "IngestError: the file has not been delivered"),
)

#: What there is besides for some commands, by one of their words.
CHANGES = {
    "lost": "INSERT INTO track_processing (table_name, workspace) VALUES ('sales', 'lost')",
    "workspace-moved": "UPDATE track_processing SET workspace_address = 'https://old.example' WHERE id = 18",
}

#: Of commands that say how the app is; the others end with 0.
EXIT_CODES = {"status": {0, 4}}


@pytest.fixture
def troubled(full_cli: CommandLine) -> CommandLine:
    """A command line whose store has the page's entries."""
    full_cli.environment["DATABRICKS_JOB_ID"] = full_cli("create-job", "--notebook", "/x").stdout.strip()
    for entry_id, table, status, run_id, error in ENTRIES:
        full_cli.execute(
            "INSERT INTO track_processing (id, table_name, status, runid, last_error, submission, attempt,"
            " submitted_at, claimed_at, lease_expires_at) VALUES (?, ?, ?, ?, ?, 1, 1, utc, utc, ?)".replace(
                "utc", "strftime('%Y-%m-%d %H:%M:%f', 'now')"
            ),
            *(entry_id, table, status, run_id, error),
            "9999-12-31 00:00:00.000" if status == "QUEUED" else None,
        )
    return full_cli


@pytest.mark.parametrize("block", runbook.command_blocks(), ids=lambda block: " ".join(block[0][3:])[:50])
def test_commands(block: list[list[str]], troubled: CommandLine) -> None:
    for word in CHANGES.keys() & set(block[0]):
        troubled.execute(CHANGES[word])
    for command in block:
        assert command[:3] == ["python", "-m", "orchestrator"]
        done = troubled(*command[3:])
        assert done.returncode in EXIT_CODES.get(command[3], {0}), (command, done.stdout, done.stderr)
        assert done.stdout, command
