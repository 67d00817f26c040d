"""What one call reads and answers is bounded, however much is in the rows."""

import pytest

from orchestrator.core.search import MAX_RUNS, MAX_WHOLE
from tests.memory import at_most
from tests.web.support import Site, add

#: 50 MB, which SQLite makes itself.
HUGE = "REPLACE(HEX(ZEROBLOB(25000000)), '00', 'ab')"


async def test_a_refresh_of_the_dashboard_reads_no_parameters(site: Site) -> None:
    [entry_id] = await add(site, "sales")
    site.execute(f"UPDATE track_processing SET parameters = {HUGE}")
    with at_most(megabytes=10):
        for address in (
            *(
                "status",
                "waiting",
                "entries",
                "entries?sort=-id",
                "entries?state=PENDING",
                "entries?table=s*",
            ),
            *(f"entries/{entry_id}", "history", "tables"),
        ):
            assert (await site.call("GET", address))[0] == 200
        site.answers.clear()
    with at_most(megabytes=10):
        for address in ("entries?parameters=true", f"entries/{entry_id}?parameters=true"):
            _, told = await site.call("GET", address)
            [entry] = told.get("entries", [told])
            assert len(entry["parameters"]) == 100_001
        site.answers.clear()


async def test_a_page_with_parameters_has_fewer_entries(site: Site) -> None:
    ids = await add(site, *(f"t{number}" for number in range(MAX_WHOLE + 3)))
    found, after = [], ""
    while True:
        _, page = await site.call("GET", f"entries?sort=id&limit=500&parameters=true{after}")
        assert len(page["entries"]) <= MAX_WHOLE
        found += [int(entry["id"]) for entry in page["entries"]]
        if page["next"] is None:
            break
        after = f"&after={page['next']}"
    assert found == ids


@pytest.fixture
async def logged(site: Site) -> int:
    """The id of an entry with 20,000 runs, each with a trace as long as the app writes them: 200 MB."""
    [entry_id] = await add(site, "sales")
    site.execute(
        "WITH n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 20000)"
        " INSERT INTO process_log (entry_id, submission, attempt, status, runid, error_trace)"
        " SELECT ?, i, i, 'FAILED', 500 + i, HEX(ZEROBLOB(5000)) FROM n",
        entry_id,
    )
    return entry_id


async def test_the_log_of_an_entry_comes_in_pages(site: Site, logged: int) -> None:
    with at_most(megabytes=30):
        _, last = await site.call("GET", f"entries/{logged}")
        _, more = await site.call("GET", f"entries/{logged}?runs={MAX_RUNS}&before={last['runs_before']}")
        site.answers.clear()
    assert [run["submission"] for run in last["runs"]] == list(range(19_951, 20_001))
    assert [run["submission"] for run in more["runs"]] == list(range(19_951 - MAX_RUNS, 19_951))
    _, first = await site.call("GET", f"entries/{logged}?before=3")
    assert ([run["submission"] for run in first["runs"]], first["runs_before"]) == ([1, 2], None)
    _, none = await site.call("GET", f"entries/{logged}?before=1")
    assert (none["runs"], none["runs_before"]) == ([], None)
    for wrong in ("runs=0", f"runs={MAX_RUNS + 1}", "before=0", "before=x"):
        assert (await site.call("GET", f"entries/{logged}?{wrong}"))[0] == 400
