"""``make run WORKSPACES=2`` as a process, and shells beside it.

Both workspaces work, the dashboard shows both, Ctrl-C ends all, and nobody in its folder works on other data.
"""

import json
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any
from urllib.error import HTTPError
from urllib.request import Request, urlopen

import pytest
from playwright.async_api import BrowserContext, Page, expect

from devstack import processes
from devstack.demo import run
from tests.cli.support import CommandLine
from tests.conftest import ROOT
from tests.devstack.proctable import LINUX_ONLY, command_line, descendants
from tests.devstack.running import FEW, MadeRun, lay_out, made_run

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(240), LINUX_ONLY]


@pytest.fixture(scope="module")
def two(tmp_path_factory: pytest.TempPathFactory) -> Iterator[MadeRun]:
    """``make run WORKSPACES=2`` with few entries. That every process ends is checked at its end."""
    checkout = lay_out(tmp_path_factory.mktemp("two") / "checkout")
    with (checkout / "examples" / "entries.py").open("a", encoding="utf-8") as entries:
        entries.write(FEW)
    with made_run(checkout, "--workspaces", "2") as made:
        yield made


def rows(made: MadeRun, sql: str) -> list[tuple[Any, ...]]:
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


@pytest.mark.asyncio(loop_scope="session")
async def test_the_link_to_a_run_opens_what_its_notebook_printed(
    context: BrowserContext, two: MadeRun
) -> None:
    page = await context.new_page()
    [address] = two.addresses["Databricks, eu"]
    await page.goto(address)
    await page.get_by_role("row").filter(has_text="airlines").get_by_role("link").click()
    await expect(page.get_by_role("heading", name="Run ")).to_be_visible()
    await expect(page.locator("pre")).to_contain_text("airlines/all.parquet: 16 rows")
    await expect(page.get_by_role("heading", name="Jobs")).to_be_hidden()
    await page.get_by_role("link", name="All jobs and runs").click()
    await expect(page.get_by_role("heading", name="Jobs")).to_be_visible()
    await page.close()


@pytest.mark.parametrize("number", ["0", "5", "two"])
def test_a_number_that_cannot_be_is_refused(number: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        run.parse(["--workspaces", number])
    assert "--workspaces: invalid" in capsys.readouterr().err


# ---- shells beside it


#: Commands that read or change the database.
COMMANDS = (
    ("init-db",),
    ("check",),
    ("status",),
    ("list",),
    ("show", "1"),
    ("export", "--table", "airlines"),
    ("create-job", "--notebook", "ingest", "--name", "mine", "--workspace", "eu"),
    ("add", "planes", "--workspace", "eu"),
    ("retry", "--table", "crews", "--dry-run"),
    ("cancel", "--table", "nothing", "--dry-run"),
    ("pass", "trigger"),
    ("pass", "monitor"),
    ("purge", "--older-than", "90d"),
)

#: Stands in for Core Tools: gives the worker the values of local.settings.json, and its own mark.
FUNC = """#!{python}
import json, os, pathlib, sys
values = json.loads(pathlib.Path("local.settings.json").read_text())["Values"]
environment = {{**values, **os.environ, "FUNCTIONS_CORETOOLS_ENVIRONMENT": "true"}}
command = [sys.executable, "-m", "devstack", "host", "--app", ".", "--port", "0"]
os.execve(sys.executable, command, environment)
"""


@pytest.fixture
def shell(two: MadeRun) -> CommandLine:
    """A shell in the checkout, where the developer's own file names another database and another queue."""
    sample = json.loads((ROOT / "local.settings.sample.json").read_text(encoding="utf-8"))
    sample["Values"] |= {"STATE_DB": "mine.db", "SUBMIT_QUEUE_NAME": "mine"}
    (two.checkout / "local.settings.json").write_text(json.dumps(sample), encoding="utf-8")
    return CommandLine(folder=two.checkout, environment={})


def databases(two: MadeRun) -> set[Path]:
    """Every SQLite file below the checkout."""
    return {path.resolve() for path in two.checkout.rglob("*.db")}


def test_every_command_of_a_shell_reaches_the_stack(two: MadeRun, shell: CommandLine) -> None:
    """Some have nothing to do (3), or find something wrong (4)."""
    before = rows(two, "SELECT COUNT(*) FROM track_processing")[0][0]
    for command in COMMANDS:
        done = shell.from_shell(*command)
        assert done.returncode in {0, 3, 4}, (command, done.stdout, done.stderr)
        assert "using the local stack that is up (.run/stack.json)\n" in done.stderr, command
    added = rows(two, "SELECT workspace, table_name FROM track_processing ORDER BY id DESC LIMIT 1")
    assert added == [("eu", "planes")]
    assert rows(two, "SELECT COUNT(*) FROM track_processing") == [(before + 1,)]
    assert databases(two) == {Path(two.settings["STATE_DB"]).resolve()}


def test_func_start_in_a_second_shell_touches_no_other_database(
    two: MadeRun, shell: CommandLine, tmp_path: Path
) -> None:
    func = tmp_path / "func"
    func.write_text(FUNC.format(python=sys.executable), encoding="utf-8")
    func.chmod(0o700)
    storage = {"AzureWebJobsStorage": two.settings["AzureWebJobsStorage"]}  # or it could not start at all
    environment = shell.whole_environment(**storage)
    host = processes.start(
        "host", [str(func), "start"], log=tmp_path / "log", env=environment, cwd=two.checkout
    )
    try:
        with pytest.raises(HTTPError) as refused:
            urlopen(f"{host.url}/api/status", timeout=30)
        refused.value.close()
        urlopen(Request(f"{host.url}/admin/functions/trigger", b'{"input": ""}'), timeout=30).close()
    finally:
        host.stop()
    assert "is up, with another database and another queue" in host.tail(200)
    assert databases(two) == {Path(two.settings["STATE_DB"]).resolve()}


def test_the_local_host_in_a_second_shell_refuses_another_database(two: MadeRun, shell: CommandLine) -> None:
    command = [sys.executable, "-m", "devstack", "host", "--port", "0"]
    done = subprocess.run(
        command,
        cwd=two.checkout,
        env=shell.whole_environment(),
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 1
    assert "local.settings.json has another STATE_DB and AzureWebJobsStorage" in done.stderr
    assert databases(two) == {Path(two.settings["STATE_DB"]).resolve()}


def test_a_host_with_the_stacks_settings_works_on_its_database(
    two: MadeRun, shell: CommandLine, tmp_path: Path
) -> None:
    environment = {**shell.whole_environment(), **two.settings}
    command = [sys.executable, "-m", "devstack", "host", "--port", "0"]
    host = processes.start("host", command, log=tmp_path / "log", env=environment, cwd=two.checkout)
    try:
        with urlopen(f"{host.url}/api/status", timeout=30) as answer:
            names = [each["name"] for each in json.load(answer)["workspaces"]]
    finally:
        host.stop()
    assert names == ["default", "eu"]
    assert databases(two) == {Path(two.settings["STATE_DB"]).resolve()}
