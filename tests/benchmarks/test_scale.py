"""The benchmark of many workspaces runs at a small size, and its simulated services do what theirs would."""

import asyncio
import time
from pathlib import Path

import pytest

from benchmarks import scale
from benchmarks.simulated import clock
from benchmarks.simulated.counts import Counts
from benchmarks.simulated.databricks import Workspace
from benchmarks.simulated.http_cost import http_seconds
from benchmarks.simulated.store import CountingPool, Database
from benchmarks.tables import markdown
from orchestrator.adapters.store.entries import Store
from tests.empty_store import make_empty_store


def workspace(**changes: object) -> Workspace:
    usual = {"answer_seconds": 0.1, "run_seconds": lambda: 60.0, "rates": {}}
    return Workspace(Counts(), **{**usual, **changes})  # type: ignore[arg-type]


def test_a_pass_lists_every_page_of_every_workspace() -> None:
    table = scale.passes([(2, 50)], 0.0)
    [row] = table.rows
    found = dict(zip(table.columns, row, strict=True))
    assert found["calls of runs/list"] == "6"  # 24, 24 and 2 runs in each
    assert float(found["seconds"]) >= 0.3


def test_a_slow_core_is_shown() -> None:
    table = scale.slow_cores([(1, 30)])
    assert [row[0] for row in table.rows] == ["1 × 30", "1 × 30"]  # noqa: RUF001
    assert float(table.rows[0][3]) >= 20
    assert table.rows[0][5] == "0"  # runs that go on are not looked up


def test_a_slice_of_the_day_and_the_limits_that_follow() -> None:
    [day] = [scale.a_slice(2, 40_000, 65.0, 0.0)]
    assert day.each("messages") == 1
    assert day.each("calls run-now") == 1
    assert "runs created in an hour" in markdown(scale.limits(day, day))
    assert "| 40,000" in markdown(scale.days([day]))


def test_a_burst_fills_every_slot() -> None:
    table = scale.bursts((1, 15), 0.0)
    assert all(float(row[1]) < 60 for row in table.rows)


def test_time_jumps_over_what_waits() -> None:
    async def wait() -> float:
        began = asyncio.get_running_loop().time()
        await asyncio.sleep(3600)
        return asyncio.get_running_loop().time() - began

    began = time.monotonic()
    assert clock.run(wait()) == pytest.approx(3600, abs=1)
    assert time.monotonic() - began < 30


def test_a_simulation_in_which_nothing_can_happen_ends() -> None:
    async def forever() -> None:
        await asyncio.Event().wait()

    with pytest.raises(RuntimeError, match="never end"):
        clock.run(forever())


def test_a_simulated_server_s_work_costs_no_time() -> None:
    async def work() -> float:
        before = clock.processor_seconds()
        with clock.for_free():
            sum(range(1_000_000))
        return clock.processor_seconds() - before

    assert clock.run(work()) < 0.005


def test_a_workspace_refuses_what_comes_too_fast() -> None:
    async def ask(busy: Workspace) -> int:
        client = busy.client()
        await asyncio.gather(*(client.get_run(busy.start(str(number), 5)) for number in range(9)))
        return busy.counts.total("refused runs/get")

    assert clock.run(ask(workspace(rates={"runs/get": 5}))) >= 4
    assert clock.run(ask(workspace())) == 0


def test_runs_end_when_their_time_is_over() -> None:
    async def look() -> None:
        there = workspace(run_seconds=lambda: 10.0)
        client = there.client()
        run_id = there.start("a", 6)
        assert there.start("a", 6) == run_id
        assert [(run.run_id, run.job_id) for run in await client.active_runs()] == [(run_id, 6)]
        await asyncio.sleep(10)
        assert await client.active_runs() == ()
        assert (await client.get_run(run_id)).result_state == "SUCCESS"

    clock.run(look())


def test_claims_wait_for_one_another_as_on_sql_server(tmp_path: Path) -> None:
    """A statement takes a second here, so the second claim ends its seconds after the first one."""
    database_file = make_empty_store(tmp_path / "state.db")

    async def claim() -> float:
        database = Database(database_file, Counts(), round_trip_seconds=1.0)
        stores = [Store(CountingPool(database)) for _ in range(2)]
        claims = [
            store.claim(
                "default", cap=1, active=[], jobs={}, lease_seconds=1, max_attempts=1, serialize_tables=True
            )
            for store in stores
        ]
        began = asyncio.get_running_loop().time()
        await asyncio.gather(*claims)
        taken = asyncio.get_running_loop().time() - began
        statements = database.counts.total("statements")
        assert taken == pytest.approx(statements + 2, abs=0.5)  # and their commits
        return taken

    assert clock.run(claim()) > 4


def test_a_real_call_costs_more_than_a_simulated_one() -> None:
    assert 0 <= http_seconds(5) < 1
