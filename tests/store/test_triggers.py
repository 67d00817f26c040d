"""A team's triggers on the tables: everything works, and every count is the statement's own."""

import pytest

from orchestrator.adapters.store.entries import Store
from orchestrator.adapters.store.operations import Operations
from orchestrator.core.actions import Resolution, resolve
from orchestrator.core.errors import StoreError
from orchestrator.core.states import Status
from tests.store.conftest import Database
from tests.store.helpers import (
    add,
    begun,
    claim,
    entry_of,
    finish,
    queued,
    refuse,
    request_cancel,
    retry,
    running,
    verdict,
)

#: Each change adds two rows, or none, so that no count of a trigger is that of the statement.
_SQLITE = """
CREATE TRIGGER team_{table}_{event} AFTER {event} ON {table} BEGIN
    INSERT INTO team_audit (what) VALUES ('{event}'), ('again');
END
"""

#: Without ``SET NOCOUNT ON``, or with OFF, a trigger sends its counts to the client; it may send rows, too.
_SQLSERVER = """
CREATE TRIGGER team_{table}_{event} ON {table} AFTER {event} AS BEGIN
    SET NOCOUNT OFF;
    INSERT INTO team_audit (what) VALUES ('{event}'), ('again');
    UPDATE team_audit SET what = 'nothing' WHERE 1 = 0;
    SELECT what FROM team_audit WHERE what = 'again';
END
"""

TRIGGERS = {"sqlite": _SQLITE, "sqlserver": _SQLSERVER}


@pytest.fixture(autouse=True)
def triggers(database: Database) -> None:
    """Put triggers for every event on both tables."""
    database.execute("DROP TABLE IF EXISTS team_audit")
    database.execute("CREATE TABLE team_audit (what varchar(20))")
    for table in ("track_processing", "process_log"):
        for event in ("INSERT", "UPDATE", "DELETE"):
            database.execute(TRIGGERS[database.connector.dialect].format(table=table, event=event))


async def test_an_entry_goes_its_way(store: Store) -> None:
    ids = await add(store, "a", "b")
    assert len(set(ids)) == 2
    claims = await claim(store)
    assert [each.entry_id for each in claims] == ids
    for run_id, each in enumerate(claims, 1):
        await begun(store, each)
        assert await store.record_run(each, run_id)
        assert not await store.record_run(each, run_id), "a stale writer changes nothing, and is told so"
    first, second = [await entry_of(store, entry_id) for entry_id in ids]
    assert await finish(store, first, Status.DONE)
    assert not await finish(store, first, Status.DONE)
    assert await finish(store, second, Status.FAILED)
    assert [log.status for log in await store.logs(second.id)] == [Status.FAILED]
    assert len(await claim(store)) == 1


async def test_refused_released_and_recovered(store: Store, database: Database) -> None:
    refused, let_go, lost = [await begun(store, await queued(store, table)) for table in "abc"]
    assert await refuse(store, refused, Status.DEAD)
    assert not await refuse(store, refused, Status.DEAD)
    assert await store.unclaim(let_go, verdict(Status.PENDING))
    database.pass_time(1000)
    assert [each.entry_id for each in await store.recover(lease_seconds=900, limit=10)] == [lost.id]


async def test_operators_and_purge_are_told_what_was_done(store: Store) -> None:
    done = await running(store, 1, "a")
    assert await finish(store, done, Status.DONE)
    assert await retry(store, done.id)
    assert not await retry(store, done.id)
    assert await request_cancel(store, done.id)
    assert await store.cancel_waiting(10) == 1
    [other] = await add(store, "b")
    by_hand = resolve(Resolution.DONE, "it was loaded by hand")
    assert await Operations(store.pool).change(by_hand, [other]) == [other]
    assert await store.purge(older_than_seconds=-5, limit=100) == 2


async def test_a_change_of_several_rows_where_one_is_meant_is_undone(store: Store) -> None:
    followed = [await running(store, run_id, table) for run_id, table in ((1, "a"), (2, "b"))]
    with pytest.raises(StoreError, match="2 rows were changed where one was meant"):
        await store.pool.transact(
            lambda session: session.changes_one("note_address", "https://a", "default"), writes=True
        )
    assert {(await entry_of(store, entry.id)).workspace_address for entry in followed} == {None}
