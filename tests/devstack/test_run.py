"""The runner of the whole local stack: its command line, the demo from end to end, and its way out."""

import contextlib
import http.client
import json
import os
import re
import signal
import socket
import sqlite3
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any, ClassVar
from urllib.parse import urlsplit

import pytest

from devstack.azurite import connection_string
from devstack.demo import run
from devstack.demo.interruption import Interruption
from devstack.demo.stack import Stack
from devstack.demo.start import SETTINGS, HostMissing, Ports, choose_host, start
from examples.entries import AWAITED, ENTRIES, slice_of
from orchestrator import settings
from orchestrator.core.errors import SettingsError
from tests.devstack.proctable import LINUX_ONLY, command_line, descendants, is_alive, wait_until_gone
from tests.devstack.running import MadeRun, start_run

ROOT = Path(__file__).parents[2]


# ---- the command line


def test_the_command_line_wins_over_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOST", "func")
    assert run.parse([]).host == "func"
    options = run.parse(["--demo", "--host", "local", "--queue-port", "10001"])
    assert (options.demo, options.host, options.ports.queue, options.ports.host) == (True, "local", 10001, 0)


def test_an_unknown_host_is_refused(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("HOST", "my-laptop")
    with pytest.raises(SystemExit):
        run.parse([])
    assert "HOST is 'my-laptop'; it must be local or func" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("forced", "func", "chosen"),
    [
        (None, None, "local"),
        (None, "/bin/func", "func"),
        ("local", "/bin/func", "local"),
        ("func", "/bin/func", "func"),
    ],
)
def test_core_tools_are_used_when_they_are_there(forced: str | None, func: str | None, chosen: str) -> None:
    assert choose_host(forced, func) == chosen


def test_core_tools_that_are_asked_for_must_be_there() -> None:
    with pytest.raises(HostMissing, match="no 'func' on PATH"):
        choose_host("func", None)


# ---- the folders of the runs


def test_only_the_newest_folders_and_those_in_use_are_kept(tmp_path: Path) -> None:
    over = 2**22  # no system of ours has a process with so high a number
    names = [f"2026010{day}T000000-{over}" for day in range(1, 8)]
    in_use = f"20260101T000000-{os.getppid()}"
    for name in (*names, in_use, "notes"):
        (tmp_path / name).mkdir()
    made = run.new_folder(tmp_path)
    left = {path.name for path in tmp_path.iterdir()}
    assert left == {*names[-4:], in_use, "notes", made.name}


# ---- what a user has set


def test_every_setting_of_the_app_is_the_stacks_own(tmp_path: Path) -> None:
    class Asked(dict[str, str]):
        """Notes the names that are asked for."""

        names: ClassVar[set[str]] = set()

        def get(self, name: str, default: Any = None) -> Any:
            self.names.add(name)
            return super().get(name, default)

    own = {"AzureWebJobsStorage", "DATABRICKS_HOST", "DATABRICKS_TOKEN", "DATABRICKS_JOB_ID", "STATE_DB"}
    azure = {"WEBSITE_SITE_NAME", "WEBSITE_SLOT_NAME", "AZURE_FUNCTIONS_ENVIRONMENT"}
    # Each way of being connected to Storage asks for names of its own.
    with contextlib.suppress(SettingsError):
        settings.load(Asked(AzureWebJobsStorage__accountName="a"))
    settings.load(
        Asked(
            AzureWebJobsStorage=connection_string(),
            DATABRICKS_HOST="http://127.0.0.1:1",
            DATABRICKS_TOKEN="t",
            STATE_DB=str(tmp_path / "state.db"),
        )
    )
    assert {"DATABRICKS_TOKEN_SECRET", "RUN_TIMEOUT_SECONDS", "KEY_VAULT_URL"} < Asked.names
    assert Asked.names - azure <= SETTINGS.keys() | own


# ---- everything, as processes


def watch_to_its_end(process: subprocess.Popen[str], timeout: float = 50) -> set[int]:
    """Wait for a process's end and return the ids of all processes that were seen below it."""
    seen: set[int] = set()
    deadline = time.monotonic() + timeout
    while process.poll() is None and time.monotonic() < deadline:
        seen |= descendants(process.pid)
        time.sleep(0.05)
    return seen


def wait_for_notebooks(demo: subprocess.Popen[str], timeout: float = 45) -> set[int]:
    """Return the ids of all processes below a demo, once notebooks are among them."""
    deadline = time.monotonic() + timeout
    while time.monotonic() < deadline and demo.poll() is None:
        started = descendants(demo.pid)
        if any("examples/notebooks/" in command_line(pid) for pid in started):
            return started
        time.sleep(0.05)
    raise AssertionError(f"no notebook runs; exit code {demo.poll()}")


@pytest.fixture
def cleanup() -> Iterator[list[subprocess.Popen[str]]]:
    """Ends what a failed test leaves behind."""
    started: list[subprocess.Popen[str]] = []
    yield started
    for process in started:
        if process.poll() is None:
            process.terminate()
        process.communicate(timeout=60)


@pytest.mark.e2e
def test_what_a_user_has_in_local_settings_does_not_matter(tmp_path: Path) -> None:
    app, folder = tmp_path / "app", tmp_path / "run"
    app.mkdir()
    folder.mkdir()
    parts = ("devstack", "examples", "orchestrator", "node_modules", "function_app.py", "host.json")
    for name in parts:
        (app / name).symlink_to(ROOT / name)
    values = dict.fromkeys(SETTINGS, "nonsense") | {"KEY_VAULT_URL": "https://mine.vault.azure.net"}
    (app / "local.settings.json").write_text(json.dumps({"IsEncrypted": False, "Values": values}))

    with Stack(app, folder) as stack:
        started = start(stack, "local", Ports(), Interruption())
        assert status_of(f"{started.host_url}/nowhere") == 404
        stack.orchestrator("add", "airlines")
        assert "\tairlines\t" in stack.orchestrator("list")


#: The demo's entries that are no slices, and the two sliced tables as a whole.
FEW_ENTRIES = (
    *(entry for entry in ENTRIES if "/" not in entry.table_name or entry.table_name == AWAITED),
    slice_of("flights"),
    slice_of("weather"),
)


@pytest.mark.e2e
@pytest.mark.timeout(150)
def test_the_demo_exits_when_all_entries_are_final(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """With few entries; that all of them end as expected is seen where ``make run`` follows them."""
    monkeypatch.setattr(run, "ENTRIES", FEW_ENTRIES)
    code = run.main(["--demo", "--host", "local", "--runs", str(tmp_path)])
    output = capsys.readouterr()
    assert code == 0, output
    check_outcome(output.out)
    (folder,) = tmp_path.iterdir()
    assert not {"landing", "lake"} & {path.name for path in folder.iterdir()}


@pytest.mark.e2e
@pytest.mark.timeout(240)
@LINUX_ONLY
def test_all_entries_end_as_expected(make_run: MadeRun) -> None:
    check_outcome("".join(make_run.printed))


def check_outcome(output: str) -> None:
    """Check what a run prints when every table is in the lake."""
    assert "  flights    336,776 of  336,776 rows" in output
    assert "  weather     26,115 of   26,115 rows" in output
    assert "  planes       3,322 of    3,322 rows" in output
    assert "  airports     1,458 of    1,458 rows" in output
    assert "  airlines        16 of       16 rows" in output
    assert "there is no table 'crews'" in output
    assert "airports.csv has not been delivered" in output
    assert "not as expected" not in output
    assert "\nAs expected, in " in output


def status_of(url: str) -> int:
    """The HTTP status with which an address answers, whatever it is."""
    parts = urlsplit(url)
    connection = http.client.HTTPConnection(parts.netloc, timeout=10)
    try:
        connection.request("GET", parts.path or "/")
        return connection.getresponse().status
    finally:
        connection.close()


def test_one_stack_of_two_has_the_place(tmp_path: Path) -> None:
    place = tmp_path / "stack.json"
    place.write_text("left by one that was killed")
    with Stack(ROOT, tmp_path) as first, Stack(ROOT, tmp_path) as second:
        first.settings = {"A_SETTING": "first"}
        assert first.announce(place)
        assert not second.announce(place)
        assert json.loads(place.read_text()) == {"Values": {"A_SETTING": "first"}}
        assert place.stat().st_mode & 0o777 == 0o600
    assert list(tmp_path.iterdir()) == []


def check_second_shell(made: MadeRun, folder: Path) -> None:
    """A shell with no settings of its own adds an entry to the stack's own database."""
    (folder / "local.settings.json").write_text('{"Values": {"STATE_DB": "state.db"}}', encoding="utf-8")
    done = subprocess.run(
        [sys.executable, "-m", "orchestrator", "add", "second_shell", "--job-id", "1"],
        cwd=folder,
        env={"PATH": os.environ["PATH"], "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    assert done.stderr == "using the local stack that is up (.run/stack.json)\n"
    with closing(sqlite3.connect(made.settings["STATE_DB"])) as database:
        added = "SELECT id FROM track_processing WHERE table_name = 'second_shell'"
        assert database.execute(added).fetchall() == [(int(done.stdout),)]
    assert not (folder / "state.db").exists()


@pytest.mark.e2e
@pytest.mark.timeout(240)
@LINUX_ONLY
def test_a_run_stays_up_with_its_addresses(make_run: MadeRun) -> None:
    """That Ctrl-C ends it, and every process of it, is what ``made_run`` checks at its end."""
    found = make_run.addresses
    told = r"While it is up, the command line reaches it from the folder (.+)\.\n"
    opening = make_run.printed[:4]
    found_from = re.fullmatch(told, opening[-2])
    assert found_from, opening
    check_second_shell(make_run, Path(found_from[1]))
    assert opening[-1] == f"Watch the entries: {found['Dashboard'][0]}\n", "before the first of them runs"
    assert list(found) == ["Dashboard", "Functions host", "Databricks"]
    token = make_run.settings["DATABRICKS_TOKEN"]
    started = descendants(make_run.process.pid)
    assert started
    assert not any(token in command_line(pid) for pid in started)
    with pytest.raises(subprocess.TimeoutExpired):
        make_run.process.wait(2)


@pytest.mark.e2e
@pytest.mark.timeout(240)
@LINUX_ONLY
def test_every_address_that_a_run_prints_opens_a_page(make_run: MadeRun) -> None:
    printed = set(re.findall(r"https?://[^\s'\"]+", "".join(make_run.printed)))
    pages = {url: page_at(url) for url in printed}
    [databricks] = make_run.addresses["Databricks"]
    [host] = make_run.addresses["Functions host"]
    assert printed >= {databricks, host, f"{host}/api/dashboard"}
    assert pages[host] == pages[f"{host}/api/dashboard"]
    assert "<td>ingest</td>" in pages[databricks]
    [(job, run_id), *_] = re.findall(r'<a href="#job/(\d+)/run/(\d+)">\2</a>', pages[databricks])
    assert f"<td>{job}</td>" in pages[databricks]
    assert f'"run_id": {run_id}' in page_at(f"{databricks}/_sim/runs/{run_id}", "application/json")


def page_at(url: str, kind: str = "text/html") -> str:
    """What a browser shows of an address."""
    with urllib.request.urlopen(url, timeout=10) as response:
        assert response.headers.get_content_type() == kind, url
        text: str = response.read().decode()
        return text


@pytest.mark.e2e
@LINUX_ONLY
def test_a_run_that_is_killed_leaves_no_process(cleanup: list[subprocess.Popen[str]], tmp_path: Path) -> None:
    demo = start_run(tmp_path, "--demo")
    cleanup.append(demo)
    started = wait_for_notebooks(demo)
    demo.kill()
    wait_until_gone(started, seconds=30)


@pytest.mark.e2e
@pytest.mark.timeout(90)
@LINUX_ONLY
def test_ctrl_c_stops_every_process(cleanup: list[subprocess.Popen[str]], tmp_path: Path) -> None:
    demo = start_run(tmp_path, "--demo")
    cleanup.append(demo)
    started = wait_for_notebooks(demo)

    demo.send_signal(signal.SIGINT)
    _, errors = demo.communicate(timeout=60)

    assert demo.returncode == run.EXIT_INTERRUPTED, errors
    assert not {pid for pid in started if is_alive(pid)}


@pytest.mark.e2e
@LINUX_ONLY
def test_ctrl_c_while_parts_start_stops_what_runs(
    cleanup: list[subprocess.Popen[str]], tmp_path: Path
) -> None:
    demo = start_run(tmp_path, "--demo")
    cleanup.append(demo)
    assert demo.stdout is not None
    assert demo.stdout.readline().startswith("State and logs: ")
    demo.send_signal(signal.SIGINT)
    started = watch_to_its_end(demo)

    assert demo.returncode == run.EXIT_INTERRUPTED
    assert not {pid for pid in started if is_alive(pid)}


@pytest.mark.e2e
@LINUX_ONLY
def test_a_start_that_fails_half_way_stops_what_runs(
    cleanup: list[subprocess.Popen[str]], tmp_path: Path
) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        demo = start_run(tmp_path, "--demo", "--databricks-port", str(taken.getsockname()[1]))
        cleanup.append(demo)
        started = watch_to_its_end(demo)
        output, errors = demo.communicate(timeout=10)

    assert demo.returncode == 1, output
    assert "databricks did not become ready" in errors
    assert len(started) >= 3  # Azurite, its node, and the simulator
    assert not {pid for pid in started if is_alive(pid)}
