"""Times of any precision in a team's own columns: no page loses an entry, and no guard misses one."""

import pytest

from orchestrator.adapters.store import migrate
from orchestrator.adapters.store.entries import Store
from orchestrator.adapters.store.pool import Pool
from orchestrator.adapters.store.reports import Reports
from orchestrator.core.search import EntryFilter, Sort
from orchestrator.core.states import Status
from tests.store.conftest import Database
from tests.store.helpers import add

#: Entries of a page, and more of them whose times are equal to three digits.
_SHOWN = 7
_TIMES = [f"2026-03-01 12:00:{second:02}.123{digits}" for second in (0, 1) for digits in range(4560, 4575)]


async def _pages(reports: Reports, sort: Sort, wanted: EntryFilter) -> list[int]:
    """Return the entries of all pages, with those that come twice."""
    found: list[int] = []
    after = None
    for _ in range(20):
        page = await reports.entries(wanted, sort=sort, limit=_SHOWN, after=after)
        found += [entry.id for entry in page.entries]
        after = page.next
        if after is None:
            return found
    raise AssertionError("the pages have no end")


_FILTERS = {
    "all": EntryFilter(),
    "a state": EntryFilter(states=frozenset({Status.PENDING})),
    "two states": EntryFilter(states=frozenset({Status.PENDING, Status.DEAD})),
    "a table": EntryFilter(table="sales"),
    "a pattern": EntryFilter(table="sal*"),
    "a workspace": EntryFilter(workspace="default"),
}


@pytest.mark.parametrize("sort", Sort)
@pytest.mark.parametrize("wanted", _FILTERS.values(), ids=_FILTERS)
async def test_pages_hold_each_entry_once_although_times_have_seven_digits(
    store: Store, database: Database, sort: Sort, wanted: EntryFilter
) -> None:
    rows = await add(store, *["sales"] * len(_TIMES))
    for entry_id, time in zip(rows, _TIMES, strict=True):
        database.execute("UPDATE track_processing SET updated_at = ? WHERE id = ?", time, entry_id)
    await _assert_every_page(store, sort, wanted, rows)


async def _assert_every_page(store: Store, sort: Sort, wanted: EntryFilter, rows: list[int]) -> None:
    found = await _pages(Reports(store.pool), sort, wanted)
    assert found == (rows[::-1] if sort.descending else rows)


def _retype(database: Database, kind: str) -> None:
    """Give the time of the last change another type, as a team may at any time after an adoption."""
    indexes = {"updated": "updated_at", "status": "status, updated_at", "table": "table_name, updated_at"}
    for name in indexes:
        database.execute(f"DROP INDEX ix_track_processing_{name} ON track_processing")
    database.execute("ALTER TABLE track_processing DROP CONSTRAINT IF EXISTS df_track_processing_updated_at")
    database.execute(f"ALTER TABLE track_processing ALTER COLUMN updated_at {kind}")
    for name, columns in indexes.items():
        database.execute(f"CREATE INDEX ix_track_processing_{name} ON track_processing ({columns}, id)")


@pytest.mark.parametrize("kind", ["datetime2", "datetime2(7)", "datetime2(3)", "datetime"])
@pytest.mark.parametrize("sort", [Sort.LAST_CHANGED, Sort.FIRST_CHANGED])
async def test_a_team_s_column_of_another_precision_is_paged(
    sqlserver: Database, kind: str, sort: Sort
) -> None:
    migrate.apply(sqlserver.connector)
    _retype(sqlserver, kind)
    for time in _TIMES:
        given = time[:23] if kind == "datetime" else time
        sqlserver.execute(
            f"INSERT INTO track_processing (table_name, updated_at) VALUES ('sales', CAST(? AS {kind}))",
            given,
        )
    store = Store(Pool(sqlserver.connector))
    ids = [entry_id for (entry_id,) in sqlserver.execute("SELECT id FROM track_processing ORDER BY id")]
    for name in ("all", "a state", "a table"):
        await _assert_every_page(store, sort, _FILTERS[name], ids)
    await store.pool.close()
