"""The statements of docs/runbook.md show what the page says, on each store."""

from orchestrator.adapters.store.entries import Store
from orchestrator.adapters.store.passes import PassLog
from tests import runbook
from tests.store.conftest import Database


def test_every_statement_is_run_below() -> None:
    assert runbook.STATEMENTS.keys() == {"passes", "strays"}
    assert runbook.PAGE.count("```sql") == len(runbook.STATEMENTS)


async def test_passes(store: Store, database: Database) -> None:
    passes = PassLog(store.pool)
    for name in ("trigger", "monitor"):
        await passes.pass_started(name)
    await passes.pass_finished("monitor", "ok")
    shown = database.execute(runbook.STATEMENTS["passes"])
    assert [(row[0], row[2] is None, row[3]) for row in shown] == [
        ("monitor", False, "ok"),
        ("trigger", True, None),
    ]


async def test_runs_that_nobody_wants(store: Store, database: Database) -> None:
    assert await store.now()
    database.execute(
        "INSERT INTO orchestrator_stray_run (workspace, runid, entry_id, since, problem)"
        " VALUES ('default', 77, 17, '2026-01-01 00:00:00.000', 'HTTP 403')"
    )
    [row] = database.execute(runbook.STATEMENTS["strays"])
    assert (row[0], row[1], row[2], row[4]) == ("default", 77, 17, "HTTP 403")
