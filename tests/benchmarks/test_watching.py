"""The benchmark of watching runs: it counts calls, and finds all runs alive."""

import asyncio
from pathlib import Path

import pytest

from benchmarks import watching
from benchmarks.databricks_server import PAGE, running_server


@pytest.mark.e2e
def test_a_pass_asks_for_pages_and_the_others_for_each_run(tmp_path: Path) -> None:
    size = 2 * PAGE
    with running_server(tmp_path) as server:
        table = asyncio.run(watching.compare(server, (size,), 0.01))
    young, old = table.rows
    assert (young[2], young[3]) == ("2", f"{size}")
    assert int(old[2]) >= 2
