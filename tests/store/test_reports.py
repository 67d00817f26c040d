"""The reports and searches, on every store."""

import base64
import itertools
import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from orchestrator.adapters.store import reports as store_reports
from orchestrator.adapters.store.entries import Store
from orchestrator.adapters.store.operations import Operations
from orchestrator.adapters.store.reports import Reports
from orchestrator.adapters.store.search import Search
from orchestrator.core import search
from orchestrator.core.actions import CANCEL, RETRY
from orchestrator.core.errors import RequestConflict, StoreInDoubt, StoreUnavailable
from orchestrator.core.models import Expected, IdempotencyKey, NewEntry
from orchestrator.core.search import EntryFilter, InvalidCursor, Sort
from orchestrator.core.states import CLAIMABLE, Status
from orchestrator.core.waiting import Reason, Slots, Waiting, explain
from orchestrator.usecases import operator as operator_module
from orchestrator.usecases.operator import Operator
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
)
from tests.store.rivals import Rival, race
from tests.world import policy


@pytest.fixture
def reports(store: Store) -> Reports:
    return Reports(store.pool)


@pytest.fixture
def operations(store: Store) -> Operations:
    return Operations(store.pool)


async def ids(reports: Reports, sort: Sort = Sort.OLDEST, **fields: Any) -> list[int]:
    """Return the ids of all matching entries, over all pages."""
    found: list[int] = []
    after: str | None = None
    for _ in range(100):
        page = await reports.entries(EntryFilter(**fields), sort=sort, limit=2, after=after)
        found += [entry.id for entry in page.entries]
        after = page.next
        if after is None:
            return found
    raise AssertionError("the pages have no end")


def changed_at(database: Database, entry_id: int, minute: int) -> datetime:
    """Set the time of an entry's last change."""
    time = datetime(2026, 3, 1, 12, minute, tzinfo=UTC)
    value = database.connector.to_database(time)
    database.execute("UPDATE track_processing SET updated_at = ? WHERE id = ?", value, entry_id)
    return time


async def test_pages_in_every_order_hold_each_entry_once(
    store: Store, reports: Reports, database: Database
) -> None:
    rows = await add(store, *"abcdefg")
    for entry_id, minute in zip(rows, (3, 1, 2, 2, 2, 5, 4), strict=True):
        changed_at(database, entry_id, minute)
    by_change = [rows[index] for index in (1, 2, 3, 4, 0, 6, 5)]
    assert await ids(reports, Sort.OLDEST) == rows
    assert await ids(reports, Sort.NEWEST) == rows[::-1]
    assert await ids(reports, Sort.FIRST_CHANGED) == by_change
    assert await ids(reports, Sort.LAST_CHANGED) == by_change[::-1]


@pytest.mark.parametrize("sort", Sort)
async def test_pages_with_every_filter_and_order(
    store: Store, reports: Reports, database: Database, sort: Sort
) -> None:
    sales = [(await running(store, 70 + number, f"sales_{number}")) for number in range(5)]
    for entry in sales:
        assert await finish(store, entry, Status.DEAD)
    other = await add(store, "stock", "sales", "salary")
    dead = [entry.id for entry in sales]
    every = sorted(dead + other)
    for wanted, fields in (
        (dead, {"states": frozenset({Status.DEAD})}),
        (every, {"states": frozenset({Status.DEAD, Status.PENDING, Status.RUNNING})}),
        (dead, {"states": frozenset({Status.DEAD, Status.FAILED}), "error": "WHY"}),
        (dead[3:4], {"table": "sales_3"}),
        (dead, {"table": "sales_*"}),
        (dead[1:2], {"table": "*les*1"}),
        (other[1:2], {"table": "sales"}),
        (dead[2:3], {"run_id": 72}),
        (every, {"workspace": "default"}),
        ([], {"workspace": "elsewhere"}),
        ([], {"error": "100%"}),
    ):
        found = await ids(reports, sort, **fields)
        assert (sorted(found), len(found)) == (wanted, len(wanted)), fields


async def test_a_time_range_counts_its_ends(store: Store, reports: Reports, database: Database) -> None:
    rows = await add(store, "a", "b", "c")
    first, middle, last = (changed_at(database, row, minute) for minute, row in enumerate(rows))
    for sort in Sort:
        assert await ids(reports, sort, since=first, until=first) == rows[:1]
        assert sorted(await ids(reports, sort, since=middle)) == rows[1:]
        assert sorted(await ids(reports, sort, until=middle)) == rows[:2]
        assert await ids(reports, sort, since=last, until=first) == []


async def test_text_of_a_filter_is_taken_literally(
    store: Store, reports: Reports, database: Database
) -> None:
    odd, even = await add(store, "100%_a\\", "100 percent a")
    for row, text in ((odd, "100%_a\\ 'failed'"), (even, "100 percent")):
        database.execute("UPDATE track_processing SET last_error = ? WHERE id = ?", text, row)
    assert await ids(reports, table="100%*") == [odd]
    assert await ids(reports, table="*0%_a\\") == [odd]
    assert await ids(reports, error="0%_A\\ 'F") == [odd]
    assert await ids(reports, error="100") == [odd, even]


def test_a_bracket_is_literal_for_like() -> None:
    """T-SQL has sets of characters in brackets. SQLite does not, and takes an escaped bracket literally."""
    wanted = EntryFilter(table="*[a]*")
    for dialect in ("sqlite", "sqlserver"):
        search = Search(dialect=dialect, wanted=wanted, sort=Sort.NEWEST)
        assert "%\\[a]%" in search.entries(window=1, limit=1).values


async def test_an_earlier_run_finds_its_entry(store: Store, reports: Reports) -> None:
    entry = await running(store, 501)
    assert await finish(store, entry, Status.FAILED)
    [again] = await claim(store)
    await begun(store, again)
    assert await store.record_run(again, 502)
    assert await ids(reports, run_id=501) == await ids(reports, run_id=502) == [entry.id]


async def test_a_search_that_stops_at_its_bound_can_be_continued(
    store: Store, reports: Reports, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(store_reports, "_WINDOWS", (2, 3))
    rows = await add(store, "wanted", *["other"] * 12, "wanted")
    page = await reports.entries(EntryFilter(table="want*"), limit=5)
    assert [entry.id for entry in page.entries] == rows[-1:]
    assert page.next is not None
    empty = await reports.entries(EntryFilter(table="want*"), limit=5, after=page.next)
    assert empty.entries == []
    assert empty.next is not None
    assert await ids(reports, table="want*") == [rows[0], rows[-1]]


def cursor_of(*parts: object) -> str:
    return base64.urlsafe_b64encode(json.dumps(parts).encode()).decode()


@pytest.mark.parametrize(
    "text",
    [
        "",
        "x",
        "é",
        "AAAA",
        cursor_of("-updated", 1),
        cursor_of("-updated", 1, "yesterday"),
        cursor_of("-updated", 2**63, "2026-01-01T00:00:00Z"),
        cursor_of("-updated", -(2**63) - 1, "2026-01-01T00:00:00Z"),
        cursor_of("-updated", 1, "0001-01-01T00:00:00+14:00"),  # in UTC it is in the year 0
        cursor_of("-updated", 1, "9999-12-31T23:59:59-01:00"),
        cursor_of("-updated", 1, "12026-01-01T00:00:00Z"),
        cursor_of("-updated", 1, 2026),
        cursor_of("id", 1, "2026-01-01T00:00:00Z"),
        base64.urlsafe_b64encode(b"[" * 100_000).decode(),
    ],
    ids=range(14),
)
async def test_what_is_not_a_cursor_of_this_order_is_refused(reports: Reports, text: str) -> None:
    with pytest.raises(InvalidCursor, match="cursor"):
        await reports.entries(EntryFilter(), after=text)


@pytest.mark.parametrize("sort", Sort)
async def test_ids_of_an_adopted_table_may_be_negative(
    reports: Reports, database: Database, sort: Sort
) -> None:
    ids = [-(2**63) + 1, -5, 0, 7, 2**53 + 1]
    for entry_id in ids:
        if database.connector.dialect == "sqlserver":
            pytest.skip("only an adopted table's own column takes an id")
        database.execute("INSERT INTO track_processing (id, table_name) VALUES (?, 'sales')", entry_id)
    found: list[int] = []
    after = None
    while True:
        page = await reports.entries(EntryFilter(), sort=sort, limit=2, after=after)
        found += [entry.id for entry in page.entries]
        after = page.next
        if after is None:
            break
    assert sorted(found) == ids
    if sort.by_id:
        assert found == sorted(ids, reverse=sort.descending)


async def test_the_story_of_an_entry(store: Store, reports: Reports) -> None:
    entry = await running(store, 601)
    await finish(store, entry, Status.FAILED)
    told = await reports.story(entry.id)
    assert told is not None
    assert (told.entry.status, [log.runid for log in told.logs]) == (Status.FAILED, [601])
    assert await reports.story(entry.id + 1) is None


async def test_the_status_of_each_workspace(store: Store, reports: Reports, database: Database) -> None:
    waits = await running(store, 701, "waits")
    done, dead = await running(store, 702, "done"), await running(store, 703, "dead")
    await finish(store, done, Status.DONE)
    await finish(store, dead, Status.DEAD)
    long_ago = await running(store, 704, "long ago")
    await finish(store, long_ago, Status.DONE)
    earlier = database.connector.to_database(datetime.now(UTC) - timedelta(hours=5))
    database.execute("UPDATE track_processing SET finished_at = ? WHERE id = ?", earlier, long_ago.id)
    await queued(store, "queued")
    await add(store, "stock", workspace="elsewhere")
    early = database.connector.to_database(datetime.now(UTC) - timedelta(seconds=90))
    database.execute("UPDATE track_processing SET available_at = ? WHERE workspace = 'elsewhere'", early)
    default, elsewhere = await reports.status()
    assert (default.name, elsewhere.name) == ("default", "elsewhere")
    assert default.open == {Status.RUNNING: 1, Status.QUEUED: 1}
    assert default.in_flight == 2
    assert default.run_ids == {waits.runid}
    assert default.finished_hour == {Status.DONE: 1, Status.DEAD: 1}
    assert default.finished_day == {Status.DONE: 2, Status.DEAD: 1}
    assert default.oldest_waiting_seconds is None
    assert elsewhere.open == {Status.PENDING: 1}
    assert 89 < (elsewhere.oldest_waiting_seconds or 0) < 150


async def waiting(
    reports: Reports, *, limit: int = 50, free: int | None = None, **changes: Any
) -> list[Waiting]:
    """Why the first entries wait, by the rule."""
    candidates = await reports.candidates("default", limit)
    return explain(candidates, Slots(free=free), policy(**changes))


async def test_why_an_entry_waits(store: Store, reports: Reports, database: Database) -> None:
    await running(store, 801, "busy")
    backed_off = await running(store, 802, "backed off")
    await finish(store, backed_off, Status.FAILED, delay_seconds=600)
    same, first, second, third, unwanted = await add(store, "busy", "a", "a", "b", "c")
    await request_cancel(store, unwanted)
    found = {row.entry.id: row.reason for row in await waiting(reports, free=1)}
    assert found == {
        backed_off.id: Reason.BACK_OFF,
        same: Reason.SAME_TABLE,
        first: Reason.NEXT,
        second: Reason.SAME_TABLE,
        third: Reason.CAP,
        unwanted: Reason.CANCEL,
    }
    apart = await waiting(reports, serialize_tables=False)
    assert [row.reason for row in apart if row.entry.id in {same, second, third}] == [Reason.NEXT] * 3
    assert [row.entry.id for row in await waiting(reports, limit=2)] == [backed_off.id, same]
    # The reported reasons are what the trigger does.
    assert [claimed.entry_id for claimed in await claim(store, 2)] == [first]


async def test_a_short_list_of_what_waits_begins_with_what_is_claimed_first(
    store: Store, reports: Reports, database: Database
) -> None:
    """An entry that had no slot comes behind the others of its priority, however old it is."""
    had_none, first, second = await add(store, "a", "b", "c")
    [low] = await add(store, "d", priority=-1)
    database.execute("UPDATE track_processing SET slot_waits = 1 WHERE id = ?", had_none)
    assert [row.entry.id for row in await waiting(reports, limit=2)] == [first, second]
    assert [row.entry.id for row in await waiting(reports, limit=4)] == [first, second, had_none, low]
    assert [claimed.entry_id for claimed in await claim(store, 1)] == [first]


async def test_an_entry_that_could_have_been_claimed(
    store: Store, reports: Reports, database: Database
) -> None:
    async def is_overdue(seconds: float = 300) -> bool:
        return await reports.is_overdue("default", seconds=seconds, max_attempts=3, serialize_tables=True)

    [entry_id] = await add(store, "sales")
    assert not await is_overdue()
    early = database.connector.to_database(datetime.now(UTC) - timedelta(seconds=400))
    database.execute("UPDATE track_processing SET created_at = ?, available_at = ?", early, early)
    assert await is_overdue()
    assert not await is_overdue(500)
    await request_cancel(store, entry_id)
    assert not await is_overdue()
    await retry(store, entry_id)
    database.execute("UPDATE track_processing SET cancel_requested = 0, table_name = 'busy'")
    await running(store, 805, "other")
    database.execute("UPDATE track_processing SET table_name = 'busy'")
    assert not await is_overdue()


@pytest.mark.parametrize("wait", ["inserted", "made PENDING again"])
async def test_a_wait_begins_no_earlier_than_its_entry_waits(
    store: Store, reports: Reports, database: Database, wait: str
) -> None:
    async def is_overdue(seconds: float) -> bool:
        return await reports.is_overdue("default", seconds=seconds, max_attempts=3, serialize_tables=True)

    long_ago, early = (
        database.connector.to_database(datetime.now(UTC) - timedelta(seconds=seconds))
        for seconds in (300 * 86_400, 900)
    )
    await add(store, "sales")
    if wait == "made PENDING again":
        sql = "UPDATE track_processing SET status = 'DONE', created_at = ?, available_at = ?, finished_at = ?"
        database.execute(sql, long_ago, early, early)
        database.execute("UPDATE track_processing SET status = 'PENDING'")
    else:
        database.execute("UPDATE track_processing SET available_at = ?", long_ago)
    assert not await is_overdue(300)
    assert await store.put_right(max_attempts=3, limit=10) == 0
    [report] = await reports.status()
    assert (report.oldest_waiting_seconds or 0) < 60
    assert await is_overdue(-1)  # from now on
    database.execute("UPDATE track_processing SET created_at = ?, finished_at = NULL", early)
    database.execute("UPDATE track_processing SET available_at = ?", early)
    assert await is_overdue(300)


async def test_history_and_tables_report_how_runs_went(
    store: Store, reports: Reports, database: Database
) -> None:
    good = await running(store, 901, "good")
    await finish(store, good, Status.DONE)
    bad = await running(store, 902, "bad")
    await finish(store, bad, Status.FAILED)
    [again] = await claim(store)
    await begun(store, again)
    await store.record_run(again, 903)
    await finish(store, await entry_of(store, bad.id), Status.DONE)
    refused = await begun(store, await queued(store, "worse"))
    await refuse(store, refused, Status.DEAD)
    for run_id, seconds in ((901, 10.0), (902, 20.0), (903, 40.0)):
        database.execute(
            "UPDATE process_log SET queue_seconds = 3, execution_seconds = ? WHERE runid = ?", seconds, run_id
        )
    for hours in (24, 168):
        told = await reports.history(hours=hours)
        assert sum(bucket.done for bucket in told.buckets) == 2
        assert sum(bucket.failed for bucket in told.buckets) == 2
        assert all(bucket.start.minute == 0 and bucket.start.tzinfo is UTC for bucket in told.buckets)
        assert told.buckets[0].queue_seconds_mean == 3
    tables = {report.table: report for report in (await reports.tables(days=7, limit=10)).tables}
    assert list(tables) == ["bad", "worse", "good"]
    assert (tables["bad"].runs, tables["bad"].failed, tables["bad"].success_rate) == (2, 1, 0.5)
    assert (tables["bad"].mean_seconds, tables["bad"].max_seconds) == (30, 40)
    assert (tables["bad"].last_status, tables["worse"].last_status) == (Status.DONE, Status.DEAD)
    assert tables["worse"].mean_seconds is None
    assert tables["good"].last_finished_at is not None
    assert [each.table for each in (await reports.tables(days=1, limit=1)).tables] == ["bad"]


async def test_only_the_newest_runs_are_counted(
    store: Store, reports: Reports, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(store_reports, "MAX_COUNTED", 2)
    for number in range(4):
        entry = await running(store, 950 + number, f"table {number}")
        await finish(store, entry, Status.DONE)
        time = datetime.now(UTC) - timedelta(minutes=50 - 10 * number)
        database.execute(
            "UPDATE process_log SET created_at = ? WHERE entry_id = ?",
            database.connector.to_database(time),
            entry.id,
        )
    told = await reports.history(hours=168)
    assert sum(bucket.done for bucket in told.buckets) == 3
    assert datetime.now(UTC) - told.since < timedelta(minutes=41)
    assert (await reports.tables(days=7, limit=10)).since == told.since


async def test_entries_to_change(store: Store, reports: Reports) -> None:
    rows = [await running(store, 960 + number, f"t{number}") for number in range(5)]
    for row in rows[:4]:
        await finish(store, row, Status.DEAD)
    wanted = EntryFilter(table="t*")
    found = await reports.matching(wanted, states={Status.DEAD}, limit=3)
    assert (len(found.ids), found.more) == (3, True)
    every = await reports.matching(wanted, states={Status.DEAD, Status.FAILED}, limit=9)
    assert (sorted(every.ids), every.more) == ([r.id for r in rows[:4]], False)
    assert every.states == {Status.DEAD, Status.FAILED}
    done = EntryFilter(states=frozenset({Status.DONE}))
    assert (await reports.matching(done, states={Status.DEAD}, limit=9)).ids == []


async def test_entries_that_are_named_are_found_once_however_many_they_are(
    store: Store, reports: Reports
) -> None:
    rows = await add(store, *(f"t{number}" for number in range(600)))
    wanted = EntryFilter(ids=frozenset(rows))
    found = await reports.matching(wanted, states={Status.PENDING}, limit=1000)
    assert (sorted(found.ids), found.more) == (rows, False)


async def test_entries_that_are_named(store: Store, reports: Reports) -> None:
    rows = [await running(store, 965 + number, f"n{number}") for number in range(4)]
    await finish(store, rows[0], Status.DEAD)
    named = EntryFilter(ids=frozenset({rows[0].id, rows[1].id, rows[3].id, 2**62}))
    for sort in Sort:
        first = await reports.entries(named, sort=sort, limit=2)
        rest = await reports.entries(named, sort=sort, limit=2, after=first.next)
        assert [len(first.entries), len(rest.entries), rest.next] == [2, 1, None]
        assert {e.id for e in first.entries + rest.entries} == {rows[0].id, rows[1].id, rows[3].id}
    for wanted in (
        replace(named, run_id=968),
        replace(named, table="n3"),
        replace(named, table="*3", states=frozenset({Status.RUNNING})),
        replace(named, since=rows[3].updated_at, ids=named.ids - {rows[0].id}),
    ):
        assert [entry.id for entry in (await reports.entries(wanted)).entries] == [rows[3].id]


async def test_many_entries_are_run_again_or_cancelled(store: Store, operations: Operations) -> None:
    dead, waiting = await running(store, 971, "a"), (await add(store, "b"))[0]
    await finish(store, dead, Status.DEAD)
    assert await operations.change(RETRY, [dead.id, waiting, 999]) == [dead.id]
    assert (await entry_of(store, dead.id)).status is Status.PENDING
    assert await operations.change(CANCEL, [dead.id, waiting, 999]) == [dead.id, waiting]
    assert await store.cancel_waiting(10) == 2
    assert await operations.change(CANCEL, [dead.id]) == []


async def test_many_entries_of_which_only_some_could_be_changed(
    store: Store, reports: Reports, operations: Operations, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each batch is a transaction of its own: earlier changes stay, and the error counts them."""
    operator = Operator(operations=operations, entries=store, reports=reports, inserts_refused=None)
    first, second = await add(store, "a", "b")
    monkeypatch.setattr(operator_module, "_BATCH", 1)
    transact, calls = store.pool.transact, itertools.count()

    async def breaking(*arguments: Any, **options: Any) -> Any:
        if next(calls):
            raise StoreUnavailable("the connection broke")
        return await transact(*arguments, **options)

    monkeypatch.setattr(store.pool, "transact", breaking)
    with pytest.raises(
        StoreInDoubt, match="1 of 2 entries were changed, then it failed: the connection broke"
    ):
        await operator.change_each(CANCEL, [first, second], dry_run=False)
    monkeypatch.undo()
    assert (await entry_of(store, first)).cancel_requested
    assert not (await entry_of(store, second)).cancel_requested


async def test_a_failed_entry_that_is_run_again_is_no_longer_to_be_cancelled(
    store: Store, operations: Operations
) -> None:
    """The last request of a person wins."""
    row = await running(store, 974, "a")
    await finish(store, row, Status.FAILED)
    assert await operations.change(CANCEL, [row.id]) == [row.id]
    assert await operations.change(RETRY, [row.id]) == [row.id]
    assert await store.cancel_waiting(10) == 0


async def test_an_entry_whose_attempts_are_spent_is_not_reported_as_next(
    store: Store, reports: Reports
) -> None:
    """The limit was lowered while it waited: it is not claimed and takes no slot from the next entry."""
    spent = await running(store, 975, "spent")
    await finish(store, spent, Status.FAILED)
    [behind] = await add(store, "behind")
    rows = await waiting(reports, free=1, max_attempts=1)
    assert {row.entry.id: row.reason for row in rows} == {spent.id: Reason.ATTEMPTS, behind: Reason.NEXT}
    assert [claimed.entry_id for claimed in await claim(store, max_attempts=1)] == [behind]
    unlimited = await waiting(reports, max_attempts=0)
    assert [(row.entry.id, row.reason) for row in unlimited] == [(spent.id, Reason.NEXT)]


async def test_an_entry_that_is_not_as_it_was_seen_is_left_alone(
    store: Store, operations: Operations
) -> None:
    row = await running(store, 972, "a")
    await finish(store, row, Status.DEAD)
    seen = Expected(states=frozenset({Status.DEAD}), submission=row.submission)
    for other in (
        replace(seen, submission=row.submission + 1),
        replace(seen, states=frozenset({Status.DONE})),
    ):
        assert await operations.change(RETRY, [row.id, 999], other) == []
    assert (await entry_of(store, row.id)).status is Status.DEAD
    assert await operations.change(RETRY, [row.id, 999], seen) == [row.id]
    assert await operations.change(RETRY, [row.id], Expected(submission=row.submission)) == []
    assert await operations.change(CANCEL, [row.id], seen) == []
    assert await operations.change(CANCEL, [row.id], Expected(submission=row.submission)) == [row.id]


async def test_an_entry_is_checked_and_changed_in_one_transaction(
    store: Store, rivals: tuple[Rival, Rival]
) -> None:
    """The claim goes first; then the entry no longer waits, as it did when the person saw it."""
    [waiting] = await add(store, "a")
    one, other = rivals
    claims, cancelled = await race(
        (one, claim),
        (other, lambda rival: Operations(rival.pool).change(CANCEL, [waiting], Expected(states=CLAIMABLE))),
    )
    assert ([each.entry_id for each in claims], cancelled) == ([waiting], [])
    assert not (await entry_of(store, waiting)).cancel_requested


async def test_a_request_that_comes_twice_inserts_once(
    store: Store, other_store: Store, operations: Operations, database: Database
) -> None:
    new = [NewEntry(table_name="a"), NewEntry(table_name="b")]
    request = IdempotencyKey(key="key-1", body_hash="0" * 64)
    first = await operations.add(new, request)
    assert await Operations(other_store.pool).add(new, request) == first
    with pytest.raises(RequestConflict, match="use a new key"):
        await operations.add(new, IdempotencyKey(key="key-1", body_hash="1" * 64))
    assert await operations.add(new, IdempotencyKey(key="KEY-1", body_hash="1" * 64)) != first
    assert await operations.add(new) != first
    assert len(database.execute("SELECT id FROM track_processing")) == 6


async def test_a_key_is_forgotten_after_a_day(operations: Operations, database: Database) -> None:
    request = IdempotencyKey(key="key-1", body_hash="0" * 64)
    first = await operations.add([NewEntry(table_name="a")], request)
    old = database.connector.to_database(datetime.now(UTC) - timedelta(days=1, minutes=1))
    database.execute("UPDATE orchestrator_request SET created_at = ?", old)
    assert await operations.add([NewEntry(table_name="a")], request) != first


async def test_an_entry_that_cannot_be_inserted_takes_all_and_the_key_with_it(
    operations: Operations, database: Database
) -> None:
    request = IdempotencyKey(key="key-1", body_hash="0" * 64)
    wrong = NewEntry(table_name="b", workspace="blank at the end ")
    with pytest.raises(Exception, match=r"CHECK|refused|constraint"):
        await operations.add([NewEntry(table_name="a"), wrong], request)
    assert database.execute("SELECT id FROM track_processing") == []
    assert len(await operations.add([NewEntry(table_name="a")], request)) == 1


def test_a_cursor_keeps_the_place() -> None:
    key = search.Key(id=5, updated_at="2026-01-01 01:02:03.0040001")
    assert search.read_cursor(search.cursor(key, Sort.NEWEST), Sort.NEWEST) == key
