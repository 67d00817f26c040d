"""What the API, the dashboard's calls and the command line say of an entry that nobody can read."""

import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

from tests.cli.support import CommandLine
from tests.empty_store import make_empty_store
from tests.web.support import Site, add

ROW = "INSERT INTO track_processing (table_name, status, attempt) VALUES ('loaded', 'NEW', -5)"

#: What the dashboard asks for.
CALLS = (
    "status",
    "health",
    "entries",
    "entries?parameters=true",
    "entries?sort=id",
    "waiting",
    "history",
    "tables",
    "entries/1",
    "entries/2",
)


def load(database: Path) -> None:
    """Insert an entry as a load does that passes the rules by."""
    with closing(sqlite3.connect(database)) as connection, connection:
        connection.execute("PRAGMA ignore_check_constraints = ON")
        connection.execute(ROW)


def of_table(entries: list[dict[str, Any]], table: str) -> dict[str, Any]:
    [found] = [entry for entry in entries if entry["table_name"] == table]
    return found


async def test_the_api_shows_it_and_all_others(site: Site) -> None:
    await add(site, "sales")
    load(site.database)
    statuses = {call: (await site.call("GET", call))[0] for call in CALLS}
    assert {call: status for call, status in statuses.items() if call != "health"} == dict.fromkeys(
        (call for call in CALLS if call != "health"), 200
    )
    _, found = await site.call("GET", "entries")
    odd = of_table(found["entries"], "loaded")
    assert (odd["status"], odd["actions"]) == ("UNREADABLE", [])
    assert odd["last_error"].startswith("status is 'NEW', which is none of PENDING, QUEUED, RUNNING,")
    assert of_table(found["entries"], "sales")["status"] == "PENDING"
    for query in ("state=UNREADABLE", "state=UNREADABLE&sort=id", "state=DEAD&state=UNREADABLE&table=lo*"):
        _, found = await site.call("GET", f"entries?{query}")
        assert [entry["table_name"] for entry in found["entries"]] == ["loaded"], query
    status, health = await site.call("GET", "health")
    assert status == 503
    [reason] = [each for each in health["reasons"] if "left alone" in each]
    assert "1 entry, for example entry 2" in reason
    assert "status is 'NEW'" in reason


async def test_nobody_can_change_it_but_by_sql(site: Site) -> None:
    load(site.database)
    for action, body in (
        ("retry", {}),
        ("cancel", {}),
        ("resolve", {"resolution": "done", "reason": "seen"}),
    ):
        status, problem = await site.call("POST", f"entries/1/{action}", body)
        assert status == 409, problem
        assert "status is 'NEW'" in problem["detail"]
    bulk = {"filter": {"state": "UNREADABLE"}, "dry_run": True}
    status, problem = await site.call("POST", "retry", bulk)
    assert status == 400
    assert problem["detail"].startswith("$.filter.state must be one of PENDING, ")
    assert site.execute("SELECT status, attempt FROM track_processing") == [("NEW", -5)]


def test_the_command_line_shows_it_and_all_others(tmp_path: Path) -> None:
    load(make_empty_store(tmp_path / "state.db"))
    cli = CommandLine(folder=tmp_path, environment={"STATE_DB": "state.db"})
    assert cli("add", "sales").returncode == 0
    for command in (("list",), ("show", "1"), ("export",)):
        done = cli(*command)
        assert done.returncode == 0, (command, done.stderr)
        assert "UNREADABLE" in done.stdout, command
    assert {entry["status"] for entry in cli.json("list")["entries"]} == {"UNREADABLE", "PENDING"}
    for word in ("UNREADABLE", "unreadable"):
        [odd] = cli.json("list", "--state", word)["entries"]
        assert odd["table_name"] == "loaded"
    _heading, row = cli("export", "--state", "UNREADABLE").stdout.splitlines()
    assert "loaded" in row
    refused = cli("retry", "--state", "UNREADABLE", "--dry-run")
    assert refused.returncode == 2
    assert "'UNREADABLE' is not one of" in refused.stderr
