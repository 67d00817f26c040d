"""The benchmark of the cold start runs, with one process for each figure."""

from pathlib import Path

import pytest

from benchmarks import cold_start
from benchmarks.tables import markdown


@pytest.mark.slow
def test_each_function_is_invoked_in_a_process_of_its_own(tmp_path: Path) -> None:
    with cold_start.idle_workspace() as url:
        environment = cold_start._environment(tmp_path, url)
        imported = cold_start.imports(environment, turns=1)
        invoked = cold_start.invocations(environment, turns=1)
    assert [row[0] for row in imported.rows] == ["azure.functions alone", "function_app"]
    assert imported.rows[0][2] == "1.00"
    assert float(imported.rows[1][2]) > 0
    assert imported.title == "Import, processor time, medians of 1 pairs", "each run has the same title"
    assert [row[0] for row in invoked.rows] == list(cold_start.FUNCTIONS)
    assert "| submit " in markdown(invoked)


def test_the_deployed_packages_are_found_with_what_they_need() -> None:
    names = cold_start._closure(cold_start._required())
    assert {"azure-functions", "aiohttp", "yarl"} <= names  # aiohttp needs yarl
    assert "pytest" not in names
    assert all(float(row[1]) > 0 for row in cold_start.sizes().rows[:2])
