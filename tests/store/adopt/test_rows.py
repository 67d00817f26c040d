"""Every row of a team's table is kept, keeps its meaning, and is worked on."""

from collections import Counter

from orchestrator.adapters.store import migrate
from orchestrator.adapters.store.adopt import Adoption
from orchestrator.adapters.store.entries import Store
from orchestrator.adapters.store.pool import Pool
from orchestrator.core.states import Status
from tests.store.adopt.legacy import EXTRAS, WORDS, Legacy, expected
from tests.store.helpers import begun, claim, counts, entry_of, finish, retry, schema_version, status_of


async def test_every_row_is_kept_and_mapped(legacy: Legacy) -> None:
    report = legacy.adopt()
    assert report.rows == expected()
    assert sum(report.rows.values()) == len(legacy.extras) == 3000
    store = Store(Pool(legacy.database.connector))
    assert await counts(store) == {"default": expected()}
    await store.pool.close()
    assert legacy.execute(f"SELECT {EXTRAS} FROM track_processing ORDER BY TRACK_ID") == legacy.extras
    assert legacy.execute(
        "SELECT COUNT(*) FROM track_processing WHERE id <> TRACK_ID OR table_name <> SOURCE_TABLE"
    ) == [(0,)]
    assert legacy.execute("SELECT COUNT(DISTINCT entry_guid) FROM track_processing") == [(3000,)]
    assert legacy.execute("SELECT COUNT(*) FROM track_processing WHERE runid IS NOT NULL") == [
        (sum(count for _, has_run, count, _ in WORDS if has_run),)
    ]
    assert schema_version(legacy.database.connector) == len(
        migrate.available(legacy.database.connector.dialect)
    )


async def test_team_s_own_insert_is_run_to_its_end(legacy: Legacy) -> None:
    legacy.adopt()
    legacy.execute(
        "INSERT INTO track_processing (SOURCE_TABLE, PAYLOAD) VALUES ('fresh_sales', '{\"a\": \"1\"}')"
    )
    store = Store(Pool(legacy.database.connector))
    [entry_id] = [
        row[0] for row in legacy.execute("SELECT id FROM track_processing WHERE table_name = 'fresh_sales'")
    ]
    assert status_of(legacy.database, entry_id) == "PENDING"
    [claimed] = [c for c in await claim(store, cap=1000) if c.entry_id == entry_id]
    entry = await begun(store, claimed)
    assert (entry.table_name, entry.parameters, entry.submission) == ("fresh_sales", '{"a": "1"}', 1)
    assert await store.record_run(claimed, 77)
    assert await finish(store, await entry_of(store, entry_id), Status.DONE)
    assert (await entry_of(store, entry_id)).status is Status.DONE
    assert len(await store.logs(entry_id)) == 1
    await store.pool.close()
    assert legacy.execute("SELECT STATUS, RUNID FROM track_processing WHERE TRACK_ID = ?", entry_id) == [
        ("DONE", 77)
    ]


async def test_adopted_runs_are_followed_to_their_end(legacy: Legacy) -> None:
    legacy.adopt()
    store = Store(Pool(legacy.database.connector))
    running = await store.running("default")
    assert len(running) == expected()[Status.RUNNING]
    for entry in running:
        assert (entry.submission, entry.attempt, entry.deliveries) == (1, 1, 0)
        assert entry.runid == 10**14 + entry.id
        assert entry.submitted_at is not None
    assert await finish(store, running[0], Status.FAILED)
    assert await finish(store, running[1], Status.DONE)
    again = [c for c in await claim(store, cap=1000) if c.entry_id == running[0].id]
    assert [c.submission for c in again] == [2]
    await store.pool.close()


async def test_old_failures_wait_for_an_operator(legacy: Legacy) -> None:
    legacy.adopt()
    store = Store(Pool(legacy.database.connector))
    [(entry_id,)] = legacy.execute("SELECT MIN(id) FROM track_processing WHERE status = 'DEAD'")
    entry = await entry_of(store, entry_id)
    assert (entry.last_error, entry.attempt) == ("FAILED when it was adopted", 0)
    assert entry.finished_at is not None
    assert await retry(store, entry_id)
    assert entry_id in {c.entry_id for c in await claim(store, cap=1000)}
    await store.pool.close()


def test_status_map_says_what_words_mean(legacy: Legacy) -> None:
    legacy.execute("UPDATE track_processing SET STATUS = 'Odd' WHERE TRACK_ID <= 3")
    legacy.execute("UPDATE track_processing SET STATUS = 'RUNNING' WHERE TRACK_ID IN (4, 5)")
    report = legacy.adopt(
        Adoption(
            table_name_column="SOURCE_TABLE",
            status_map={"odd": "CANCELED", "Running": "PENDING", "FAILED": "FAILED", "done": "canceled"},
        )
    )
    wanted = Counter(expected())
    wanted[Status.CANCELED] += 3 + 1000
    wanted[Status.DONE] -= 1000
    wanted[Status.FAILED] += 200
    wanted[Status.DEAD] -= 200
    wanted[Status.PENDING] -= 3
    assert Counter(report.rows) == wanted, "the RUNNING rows that have a run still follow it"
