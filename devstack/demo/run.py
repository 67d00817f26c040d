"""The whole local stack: starts every part, inserts the example's entries and follows them to their end."""

import argparse
import os
import re
import shutil
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from rich.console import Console

from devstack.demo.follow import NotFinished, Outside, follow
from devstack.demo.interruption import Interrupted, Interruption, interruption
from devstack.demo.outcome import Outcome, count_tables, differences, run_ids, show
from devstack.demo.stack import Stack
from devstack.demo.start import (
    DASHBOARD,
    WORKSPACES,
    HostMissing,
    Ports,
    Simulated,
    Started,
    choose_host,
    start,
)
from devstack.demo.state import StateStore
from devstack.processes import ProcessFailed
from devstack.stack_file import STACK_FILE
from examples.entries import ENTRIES

#: The checkout: the parts are modules and the app is a folder in it.
ROOT = Path(__file__).parents[2]

#: The demo's entries end in well under a minute on two cores. A slow machine gets this long.
DEADLINE_SECONDS = 1200.0

#: A folder of one run: sorted by name is sorted by time.
FOLDER_TIME = "%Y%m%dT%H%M%S"
FOLDER_NAME = re.compile(r"\d{8}T\d{6}-\d+")

#: Folders of runs that are kept, this run's own included.
KEPT_FOLDERS = 5

#: What a shell reports for a command ended by Ctrl-C.
EXIT_INTERRUPTED = 130


@dataclass(frozen=True, kw_only=True)
class Options:
    """The command line."""

    #: exit with the outcome instead of staying up
    demo: bool
    #: ``local``, ``func`` or None = Core Tools when they are there
    host: str | None
    ports: Ports
    #: how many simulated workspaces there are
    workspaces: int
    #: each run makes its own folder in it
    runs: Path


def parse(argv: Sequence[str]) -> Options:
    """Read the command line, and ``HOST`` from the environment."""
    parser = argparse.ArgumentParser(prog="python -m devstack run", description=__doc__)
    parser.add_argument(
        "--demo", action="store_true", help="exit once all entries are final: 0 as expected, 1 if not"
    )
    parser.add_argument(
        "--host",
        choices=("local", "func"),
        help="our own Functions host or Core Tools; else the variable HOST, else func when it is on PATH",
    )
    for part in ("host", "databricks", "queue", "blob", "table"):
        parser.add_argument(f"--{part}-port", type=int, default=0, help="0, the default, is a free port")
    parser.add_argument(
        "--workspaces",
        type=int,
        choices=range(1, len(WORKSPACES) + 1),
        default=1,
        help=f"how many simulated workspaces, of these names: {', '.join(WORKSPACES)}; default: 1",
    )
    parser.add_argument(
        "--runs",
        type=Path,
        default=ROOT / ".run",
        help="where each run keeps its state and logs (%(default)s)",
    )
    given = parser.parse_args(argv)
    host = given.host or os.environ.get("HOST") or None
    if host not in {"local", "func", None}:
        parser.error(f"the variable HOST is '{host}'; it must be local or func, or not set")
    ports = Ports(
        host=given.host_port,
        databricks=given.databricks_port,
        queue=given.queue_port,
        blob=given.blob_port,
        table=given.table_port,
    )
    return Options(
        demo=given.demo, host=host, ports=ports, workspaces=given.workspaces, runs=given.runs.absolute()
    )


def new_folder(parent: Path) -> Path:
    """Make a new folder for one run's state and logs, named by the time in UTC, and remove old ones.

    The newest stay, and those of runs that are still up.
    """
    parent.mkdir(parents=True, exist_ok=True)
    folder = parent / f"{datetime.now(UTC):{FOLDER_TIME}}-{os.getpid()}"
    folder.mkdir()
    runs = sorted(path for path in parent.iterdir() if FOLDER_NAME.fullmatch(path.name))
    for old in runs[:-KEPT_FOLDERS]:
        if not _is_running(int(old.name.rpartition("-")[2])):
            shutil.rmtree(old, ignore_errors=True)  # another run may just do the same
    return folder


def _is_running(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        pass  # another user's
    return True


def run_rows(
    stack: Stack, started: Started, console: Console, deadline: float, asked: Interruption
) -> dict[str, Outcome]:
    """Insert the example's entries into each workspace, follow them to their end and count."""
    with StateStore(stack.state_db) as state:
        outsiders = [Outside(each.landing, state, each.name) for each in started.workspaces]
        for outside in outsiders:
            outside.deliver()
            asked.check()
        for name, jobs in started.jobs.items():
            state.insert(ENTRIES, jobs, name)
        follow(stack, state, outsiders, console=console, deadline=deadline, asked=asked)
        return {each.name: outcome_of(each, started.token, state) for each in started.workspaces}


def outcome_of(workspace: Simulated, token: str, state: StateStore) -> Outcome:
    """Gather what became of the entries of a workspace."""
    entries = [entry for entry in state.entries() if entry.workspace == workspace.name]
    ids = {entry.id for entry in entries}
    return Outcome(
        expected=ENTRIES,
        entries=entries,
        log=[ended for ended in state.ended() if ended.entry_id in ids],
        run_ids=set(run_ids(workspace.url, token)) - state.other_runs(),
        counted=count_tables(workspace.lake, workspace.landing),
    )


def show_outcomes(outcomes: Mapping[str, Outcome], console: Console) -> list[str]:
    """Print what became of the entries; return what is not as expected."""
    wrong = []
    for name, outcome in outcomes.items():
        if len(outcomes) > 1:
            console.print(f"Workspace {name}:", highlight=False)
        show(outcome, console)
        wrong += [f"{name}: {words}" if len(outcomes) > 1 else words for words in differences(outcome)]
    for words in wrong:
        console.print(f"not as expected: {words}", highlight=False, markup=False, soft_wrap=True)
    return wrong


def for_commands(stack: Stack, runs: Path) -> str:
    """Let the app's commands find the stack, and say where they do."""
    stack.write_settings()
    if runs.name == STACK_FILE.parent.name and stack.announce(runs / STACK_FILE.name):
        return f"While it is up, the command line reaches it from the folder {runs.parent}."
    return f"For the command line, first, in another shell: . '{stack.settings_file}'"


def show_addresses(stack: Stack, started: Started, console: Console) -> None:
    """Print where everything is and how to look at it. Each address opens something in a browser."""
    python = Path(sys.executable)
    opening = f"  . '{stack.settings_file}'\n"
    databricks = "\n".join(
        f"  {f'Databricks, {each.name}' if place else 'Databricks':18}{each.url}"
        for place, each in enumerate(started.workspaces)
    )
    lines = f"""
The local stack is up; Ctrl-C stops it.
  Dashboard         {started.host_url}{DASHBOARD}
  Functions host    {started.host_url}
{databricks}
  state store       {stack.state_db}
  settings          {stack.settings_file}
To look at it, in another shell:
{"" if stack.is_announced else opening}  '{python}' -m orchestrator status
  '{python}' -m orchestrator add airlines
  '{python}' -m orchestrator pass trigger
"""
    console.print(lines, highlight=False, markup=False, soft_wrap=True)


def stay_up(stack: Stack, asked: Interruption) -> None:
    """Wait for a signal to stop. :raises ProcessFailed: a part has ended."""
    try:
        while True:
            stack.check()
            asked.sleep(1.0)
    except Interrupted:
        return


def run(options: Options, console: Console, asked: Interruption) -> int:
    """Start everything, run the entries and return the exit code."""
    begun = time.monotonic()
    deadline = begun + DEADLINE_SECONDS if options.demo else float("inf")
    host = choose_host(options.host, shutil.which("func"))
    folder = new_folder(options.runs)
    console.print(f"State and logs: {folder}", highlight=False, soft_wrap=True)
    with Stack(ROOT, folder) as stack:
        names = WORKSPACES[: options.workspaces]
        started = start(stack, host, options.ports, asked, workspaces=names)
        ready = time.monotonic() - begun
        console.print(f"Started in {ready:.1f} s: {', '.join(stack.pids)}.", highlight=False)
        if not options.demo:
            where = f"Watch the entries: {started.host_url}{DASHBOARD}"
            lines = f"{for_commands(stack, options.runs)}\n{where}"
            console.print(lines, highlight=False, markup=False, soft_wrap=True)
        wrong = show_outcomes(run_rows(stack, started, console, deadline, asked), console)
        if not wrong:
            console.print(f"As expected, in {time.monotonic() - begun:.0f} s.", highlight=False)
        if not options.demo:
            show_addresses(stack, started, console)
            stay_up(stack, asked)
            return 0
    if wrong:
        return 1
    for each in started.workspaces:  # some 40 MB that nobody looks at any more
        shutil.rmtree(each.landing)
        shutil.rmtree(each.lake)
    return 0


def main(argv: Sequence[str]) -> int:
    """Run the local stack until the demo's end or a signal; every process that was started ends with it."""
    options = parse(argv)
    console = Console()
    with interruption() as asked:
        try:
            return run(options, console, asked)
        except Interrupted:
            print("Stopped.", file=sys.stderr)
            return EXIT_INTERRUPTED
        except (HostMissing, NotFinished, OSError, ProcessFailed) as error:
            print(error, file=sys.stderr)
            return 1
