"""The documents' commands that need no Azure do what they are there for, on a store with troubles."""

import pytest

from tests.cli.support import CommandLine
from tests.pages import blocks
from tests.test_documentation import DOCUMENTS

#: The documents' entries: id, table, status, run and last error.
ENTRIES = (
    (1, "airlines", "DONE", 61, None),
    (2, "sales_eu", "DEAD", 62, "IngestError: the file has not been delivered"),
    (4, "leads", "PENDING", None, None),
    (16, "stores", "DEAD", 76, "IngestError: the file has not been delivered"),
    (17, "sales", "DEAD", 77, "IngestError: the file has not been delivered"),
    (18, "sales", "RUNNING", 78, None),
    (19, "orders", "QUEUED", None, "HTTP 503"),
    (20, "stock", "PENDING", None, "no permission on job 5"),
    (21, "stock", "FAILED", 81, "INTERNAL_ERROR: the cluster did not start"),
    (22, "prices", "DEAD", 82, "no such job"),
    (23, "crew", "DEAD", 83, "IngestError: the file has not been delivered"),
)

#: What there is besides for some commands, by one of their words.
CHANGES = {
    "lost": "INSERT INTO track_processing (table_name, workspace) VALUES ('sales', 'lost')",
    "workspace-moved": "UPDATE track_processing SET workspace_address = 'https://old.example' WHERE id = 18",
}

#: How commands begin that tests of their own run: the first one never ends, the others need a SQL Server and
#: exported pipelines.
ELSEWHERE = (["status", "--watch"], ["grant"], ["import-adf"])

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


def documented(*, needs_azure: bool) -> list[object]:
    """Return the blocks with commands of ours, each as the commands' arguments."""
    return [
        pytest.param(block.orchestrator, id=f"{document.name} {' '.join(block.orchestrator[0])}"[:70])
        for document in DOCUMENTS
        for block in blocks(document.read_text(encoding="utf-8"))
        if block.orchestrator and block.needs_azure is needs_azure
    ]


@pytest.mark.parametrize("block", documented(needs_azure=False))
def test_commands(block: list[list[str]], troubled: CommandLine) -> None:
    (troubled.folder / "rows.csv").write_text("table_name,priority\nreturns,5\n", encoding="utf-8")
    for command in block:
        if any(command[: len(beginning)] == beginning for beginning in ELSEWHERE):
            continue
        for word in CHANGES.keys() & set(command):
            troubled.execute(CHANGES[word])
        done = troubled(*command)
        assert done.returncode in EXIT_CODES.get(command[0], {0}), (command, done.stdout, done.stderr)
        assert done.stdout, command


@pytest.mark.parametrize("block", documented(needs_azure=True))
def test_commands_that_need_azure_are_known(block: list[list[str]], cli: CommandLine) -> None:
    for command in block:
        assert cli(*command, "--help").returncode == 0, command
