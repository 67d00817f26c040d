"""``make run WORKSPACES=2`` as a process: both workspaces work, the dashboard shows both, Ctrl-C ends all."""

import json
import sqlite3
from collections.abc import Iterator
from contextlib import closing

import pytest
from playwright.async_api import Page, expect

from devstack.demo import run
from tests.devstack.proctable import LINUX_ONLY, command_line, descendants
from tests.devstack.running import MadeRun, lay_out, made_run

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(240), LINUX_ONLY]

#: Appended to the example's entries: the large tables as a whole, in place of their slices.
FEW = """
ENTRIES = (
    *(entry for entry in ENTRIES if "/" not in entry.table_name or entry.table_name == AWAITED),
    slice_of("flights"),
    slice_of("weather"),
)
"""


@pytest.fixture(scope="module")
def two(tmp_path_factory: pytest.TempPathFactory) -> Iterator[MadeRun]:
    """``make run WORKSPACES=2`` with few entries. That every process ends is checked at its end."""
    checkout = lay_out(tmp_path_factory.mktemp("two") / "checkout")
    with (checkout / "examples" / "entries.py").open("a", encoding="utf-8") as entries:
        entries.write(FEW)
    with made_run(checkout, "--workspaces", "2") as made:
        yield made


def rows(made: MadeRun, sql: str) -> list[tuple[object, ...]]:
    """Read the stack's own database."""
    with closing(sqlite3.connect(made.settings["STATE_DB"])) as database:
        return database.execute(sql).fetchall()


def test_the_demo_ends_as_expected_in_both(two: MadeRun) -> None:
    printed = "".join(two.printed)
    assert "\nAs expected, in " in printed, printed
    assert [line for line in two.printed if line.startswith("Workspace")] == [
        "Workspace default:\n",
        "Workspace eu:\n",
    ]
    counts = rows(
        two,
        "SELECT workspace, status, COUNT(*) FROM track_processing GROUP BY workspace, status ORDER BY 1, 2",
    )
    ends = [("CANCELED", 1), ("DEAD", 1), ("DONE", 5)]
    assert counts == [(name, *end) for name in ("default", "eu") for end in ends]


def test_each_has_an_address_and_settings_of_its_own(two: MadeRun) -> None:
    [first], [second] = two.addresses["Databricks"], two.addresses["Databricks, eu"]
    assert first != second
    assert two.settings["DATABRICKS_HOST"] == first
    further = json.loads(two.settings["DATABRICKS_WORKSPACES"])
    assert list(further) == ["eu"]
    assert (further["eu"]["host"], further["eu"]["cap"]) == (second, 6)
    simulators = [pid for pid in descendants(two.process.pid) if "devstack databricks" in command_line(pid)]
    assert len(simulators) == 2


@pytest.mark.asyncio(loop_scope="session")
async def test_the_dashboard_shows_both(page: Page, two: MadeRun) -> None:
    [dashboard] = two.addresses["Dashboard"]
    await page.goto(dashboard)
    for name in ("default", "eu"):
        await expect(page.get_by_role("meter", name=f"Active runs in {name}")).to_be_visible()


@pytest.mark.parametrize("number", ["0", "5", "two"])
def test_a_number_that_cannot_be_is_refused(number: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        run.parse(["--workspaces", number])
    assert "--workspaces: invalid" in capsys.readouterr().err
