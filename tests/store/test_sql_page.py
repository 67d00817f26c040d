"""Every statement of docs/sql.md does what the page says, on the store of its dialect."""

import json
import re
from contextlib import closing
from datetime import timedelta

import pytest

from orchestrator.adapters.store.entries import Store
from orchestrator.core.states import Status
from tests.conftest import ROOT
from tests.store.conftest import Database
from tests.store.helpers import (
    add,
    begun,
    claim,
    counts,
    entry_of,
    finish,
    queued,
    request_cancel,
    running,
    status_of,
    verdict,
)
from tests.store.sql_pages import check_statements, statements
from tests.store.test_loaded_rows import pass_rules_by

PAGE = ROOT / "docs" / "sql.md"

#: The statements by name and dialect.
BLOCKS = statements(PAGE)

#: The id of the entry in the page's examples.
ROW = 17


def run(database: Database, name: str) -> list[tuple[object, ...]]:
    """Run a statement of the page unchanged."""
    return database.execute(BLOCKS[name, database.connector.dialect])


@pytest.fixture
def row_17(database: Database) -> None:
    """Make the next entry number 17."""
    for _ in range(ROW - 1):
        database.execute("INSERT INTO track_processing (table_name) VALUES ('filler')")
    database.execute("DELETE FROM track_processing")


async def claimed(store: Store) -> list[int]:
    """Return the entries that a trigger claims now, in order."""
    return [c.entry_id for c in await claim(store)]


async def ended(store: Store, database: Database, run_id: int, to: Status, *, ended_at: str) -> int:
    """Insert an entry and bring it to its end at a time."""
    entry = await running(store, run_id, f"table {run_id}")
    assert await finish(store, entry, to)
    database.execute("UPDATE track_processing SET finished_at = ? WHERE id = ?", ended_at, entry.id)
    return entry.id


def test_every_statement_has_a_name_a_test_and_both_dialects() -> None:
    names = check_statements(PAGE)
    assert [name for name in names if f"test_{name.replace('-', '_')}" not in globals()] == []


@pytest.mark.parametrize("page", ["README.md", "docs/sql.md", "docs/backup.md", "docs/migrating.md"])
def test_times_for_sql_server_are_read_alike_in_every_language(page: str) -> None:
    text = (ROOT / page).read_text("utf-8")
    blocks = re.findall(r"^```sql(?: sqlserver)?\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)
    assert blocks
    assert [found for sql in blocks for found in re.findall(r"'\d{4}-\d\d-\d\d(?: [^']*)?'", sql)] == []


async def test_insert_one(store: Store, database: Database) -> None:
    run(database, "insert-one")
    [entry_id] = await claimed(store)
    entry = await entry_of(store, entry_id)
    assert (entry.table_name, entry.priority) == ("sales", 10)
    assert json.loads(entry.parameters or "") == {"table_name": "sales", "day": "2026-01-31"}


async def test_without_a_state(store: Store, database: Database) -> None:
    await add(store, "sales")
    assert run(database, "without-a-state") == []
    with closing(database.connector.connect().connection) as connection:
        pass_rules_by(database, connection)
        connection.cursor().execute("INSERT INTO track_processing (table_name, status) VALUES ('odd', 'NEW')")
        connection.commit()
    assert [row[1:] for row in run(database, "without-a-state")] == [("odd", "NEW")]


@pytest.mark.usefixtures("row_17")
async def test_give_a_state(store: Store, database: Database) -> None:
    with closing(database.connector.connect().connection) as connection:
        pass_rules_by(database, connection)
        connection.cursor().execute("INSERT INTO track_processing (table_name, status) VALUES ('odd', 'NEW')")
        connection.commit()
    assert await claimed(store) == []
    run(database, "give-a-state")
    assert await claimed(store) == [ROW]


async def test_insert_from_select(store: Store, database: Database) -> None:
    database.execute("DROP TABLE IF EXISTS loads")
    database.execute("CREATE TABLE loads (table_name varchar(50), load_day varchar(10))")
    database.execute("""INSERT INTO loads VALUES ('sales', '2026-01-31'), ('a "b"', '2026-02-01')""")
    await add(store, "sales")
    run(database, "insert-from-select")
    first, second = await claimed(store)
    assert (await entry_of(store, first)).parameters is None
    entry = await entry_of(store, second)
    assert json.loads(entry.parameters or "") == {"table_name": 'a "b"', "load_day": "2026-02-01"}
    run(database, "insert-from-select")  # nothing waits any longer, so both are inserted again
    assert (await counts(store))["default"] == {Status.QUEUED: 2, Status.PENDING: 2}
    database.execute("DROP TABLE loads")


async def test_what_runs(store: Store, database: Database) -> None:
    on_its_way = await queued(store, "orders")
    with_run = await running(store, 77, "sales")
    await finish(store, await running(store, 78, "over"), Status.DONE)
    await add(store, "waiting")
    shown = {row[0]: row[2:6] for row in run(database, "what-runs")}
    assert shown == {
        on_its_way.entry_id: ("orders", "QUEUED", None, 0),
        with_run.id: ("sales", "RUNNING", 77, 1),
    }


async def test_what_waits(store: Store, database: Database) -> None:
    await running(store, 77, "busy")
    out_of_attempts = await running(store, 78, "spent", max_attempts=1)
    await finish(store, out_of_attempts, Status.FAILED)
    failed = await running(store, 79, "failed")
    await finish(store, failed, Status.FAILED, delay_seconds=3600)
    behind, next_one, cancelled = await add(store, "busy", "free", "unwanted")
    [first] = await add(store, "first", priority=5)
    await request_cancel(store, cancelled)
    rows = run(database, "what-waits")
    assert [(row[0], row[3]) for row in rows] == [
        (first, "its turn comes"),
        (out_of_attempts.id, "no attempts left"),
        (failed.id, "held back until available_at"),
        (behind, "its table is in flight"),
        (next_one, "its turn comes"),
        (cancelled, "is being cancelled"),
    ]
    assert rows[2][4] == "why"
    assert await claimed(store) == [row[0] for row in rows if row[3] == "its turn comes"]


async def test_what_failed(store: Store, database: Database) -> None:
    entry = await running(store, 77, "sales")
    await finish(store, entry, Status.DEAD)
    database.execute(
        "UPDATE process_log SET run_page_url = 'https://adb/run/77' WHERE entry_id = ?", entry.id
    )
    await finish(store, await running(store, 78, "fine"), Status.DONE)
    long_ago = database.connector.to_database(await store.now() - timedelta(hours=13))
    await ended(store, database, 79, Status.DEAD, ended_at=long_ago)
    refused = await begun(store, await queued(store, "orders"))
    await store.leave_open(refused, verdict(Status.FAILED))
    shown = [(row[0], row[2], row[5], row[6]) for row in run(database, "what-failed")]
    assert shown == [
        (entry.id, "DEAD", "why", "https://adb/run/77"),
        (refused.id, "FAILED", "why", None),
    ]


@pytest.mark.usefixtures("row_17")
async def test_what_happened(store: Store, database: Database) -> None:
    entry = await running(store, 77)
    await finish(store, entry, Status.FAILED)
    [again] = await claim(store)
    await begun(store, again)
    await store.record_run(again, 78)
    await finish(store, await entry_of(store, ROW), Status.DONE)
    assert [row[:4] for row in run(database, "what-happened")] == [(1, 1, "FAILED", 77), (2, 2, "DONE", 78)]


@pytest.mark.usefixtures("row_17")
async def test_cancel_one(store: Store, database: Database) -> None:
    _, other = await add(store, "sales", "orders")
    run(database, "cancel-one")
    assert await store.cancel_waiting(10) == 1
    assert status_of(database, ROW) == "CANCELED"
    assert await claimed(store) == [other]


@pytest.mark.usefixtures("row_17")
async def test_cancel_one_that_runs(store: Store, database: Database) -> None:
    await running(store, 77)
    run(database, "cancel-one")
    assert await store.cancel_waiting(10) == 0
    assert [(entry.id, entry.cancel_requested) for entry in await store.running("default")] == [(ROW, True)]


async def test_cancel_waiting_of_a_table(store: Store, database: Database) -> None:
    in_flight = await running(store, 77, "sales")
    await add(store, "sales", "sales")
    [other] = await add(store, "orders")
    run(database, "cancel-waiting-of-a-table")
    assert await store.cancel_waiting(10) == 2
    assert not (await entry_of(store, in_flight.id)).cancel_requested
    assert await claimed(store) == [other]


async def test_a_cancelled_entry_keeps_the_error_of_a_run_and_of_no_wait(store: Store) -> None:
    failed = await running(store, 77, "sales")
    await finish(store, failed, Status.FAILED, delay_seconds=600)
    [lost] = await add(store, "orders", workspace="lost")
    await store.note_unknown(["default"], reason="it waits until they have it", limit=10)
    for entry_id in (failed.id, lost):
        await request_cancel(store, entry_id)
    before = (await entry_of(store, failed.id)).last_error
    assert before is not None
    assert await store.cancel_waiting(10) == 2
    assert (await entry_of(store, failed.id)).last_error == before
    assert (await entry_of(store, lost)).last_error is None


@pytest.mark.parametrize("end", [Status.DONE, Status.DEAD, Status.CANCELED])
@pytest.mark.usefixtures("row_17")
async def test_retry_one(store: Store, database: Database, end: Status) -> None:
    entry = await running(store, 77, max_attempts=1)
    await request_cancel(store, ROW)
    await finish(store, entry, end)
    assert await claimed(store) == []
    run(database, "retry-one")
    assert await store.cancel_waiting(10) == 0
    [again] = await claim(store)
    assert (again.entry_id, again.submission) == (ROW, 2)
    assert (await entry_of(store, ROW)).attempt == 0


@pytest.mark.usefixtures("row_17")
async def test_retry_one_leaves_an_entry_in_flight_alone(store: Store, database: Database) -> None:
    await running(store, 77)
    run(database, "retry-one")
    assert status_of(database, ROW) == "RUNNING"


async def test_retry_dead_of_a_day(store: Store, database: Database) -> None:
    times = (
        "2026-01-30 23:59:59.999",
        "2026-01-31 00:00:00.000",
        "2026-01-31 23:59:59.999",
        "2026-02-01 00:00:00",
    )
    _, first, last, _ = [
        await ended(store, database, number, Status.DEAD, ended_at=time) for number, time in enumerate(times)
    ]
    await ended(store, database, 9, Status.DONE, ended_at="2026-01-31 12:00:00")
    run(database, "retry-dead-of-a-day")
    assert await claimed(store) == [first, last]


async def test_retry_failed_now(store: Store, database: Database) -> None:
    entries = [await running(store, run_id, table) for run_id, table in ((77, "sales"), (78, "orders"))]
    for entry in entries:
        await finish(store, entry, Status.FAILED, delay_seconds=3600)
    assert await claimed(store) == []
    run(database, "retry-failed-now")
    database.pass_time(1)
    assert await claimed(store) == [entries[0].id]


@pytest.mark.usefixtures("row_17")
async def test_hold_back_one(store: Store, database: Database) -> None:
    _, other = await add(store, "sales", "orders")
    run(database, "hold-back-one")
    database.pass_time(6 * 3600 - 60)
    assert await claimed(store) == [other]
    database.pass_time(120)
    assert await claimed(store) == [ROW]


async def test_hold_back_a_table(store: Store, database: Database) -> None:
    await add(store, "sales")
    [other] = await add(store, "orders")
    run(database, "hold-back-a-table")
    database.pass_time(365 * 86_400 / 20)
    assert await claimed(store) == [other]
    assert (await counts(store))["default"][Status.PENDING] == 1


@pytest.mark.usefixtures("row_17")
async def test_priority(store: Store, database: Database) -> None:
    [_, other] = await add(store, "sales", "orders", priority=7)
    [urgent] = await add(store, "urgent", priority=99)
    assert await claim(store, 0) == []
    run(database, "priority")
    assert await claimed(store) == [ROW, urgent, other]


async def test_clean_up(store: Store, database: Database) -> None:
    now = await store.now()
    old, young = (database.connector.to_database(now - timedelta(days=days)) for days in (91, 89))
    for number, status in enumerate((Status.DONE, Status.DEAD, Status.CANCELED)):
        await ended(store, database, number, status, ended_at=old)
    recent = await ended(store, database, 10, Status.DONE, ended_at=young)
    not_final = await ended(store, database, 11, Status.FAILED, ended_at=old)
    unsettled = await begun(store, await queued(store, "open"))
    await store.leave_open(unsettled, verdict(Status.DEAD))
    database.execute("UPDATE track_processing SET finished_at = ? WHERE id = ?", old, unsettled.id)
    run(database, "clean-up")
    rows = database.execute("SELECT id FROM track_processing ORDER BY id")
    assert [row[0] for row in rows] == [recent, not_final, unsettled.id]
    logs = database.execute("SELECT entry_id FROM process_log ORDER BY entry_id")
    assert [row[0] for row in logs] == [recent, not_final]
