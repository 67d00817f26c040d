"""Cold start and size: what an instance pays before its first answer, beside azure.functions alone."""

import json
import os
import statistics
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from importlib import metadata
from pathlib import Path

from packaging.requirements import Requirement

from benchmarks.tables import Table
from orchestrator.adapters.store import migrate
from orchestrator.adapters.store.sqlite import SqliteConnector

ROOT = Path(__file__).parent.parent

#: Processes for each figure, in turns, so that a busy moment of the machine concerns all alike.
TURNS, FULL_TURNS = 7, 25

#: What is imported, by its name in the table.
IMPORTS = {"azure.functions alone": "azure.functions", "function_app": "function_app"}

#: Imports a module, invokes one of its functions if one is named, and says what that took: processor time, so
#: that other processes have no say in it, and memory in KiB.
PROGRAM = r"""
import asyncio, importlib, json, pathlib, re, sys, time, types
module, name = sys.argv[1], sys.argv[2]
began = time.process_time()
app = importlib.import_module(module)
imported = time.process_time()
if name:
    import azure.functions as func
    request = func.HttpRequest("GET", "http://127.0.0.1/api/status", body=b"")
    arguments = {
        "trigger": types.SimpleNamespace(past_due=False),
        "monitor": types.SimpleNamespace(past_due=False),
        "submit": func.QueueMessage(body=b'{"entry_id": 1, "submission": 1}'),
        "api_status": request,
        "databricks_events": request,
    }
    [function] = [each for each in app.app.get_functions() if each.get_function_name() == name]
    asyncio.run(function.get_user_function()(arguments[name]))
took = time.process_time() - imported
# getrusage would count the process that started this one, which may have measured something large.
status = pathlib.Path("/proc/self/status").read_text()
print(json.dumps({
    "import": imported - began,
    "invocation": took,
    "memory": int(re.search(r"VmHWM:\s+(\d+) kB", status)[1]),
}))
"""

#: One of each kind; the other routes of the API are like ``api_status``.
FUNCTIONS = ("trigger", "submit", "monitor", "api_status", "databricks_events")

Figures = dict[str, float]


def tables(*, full: bool) -> Iterator[Table]:
    """Yield the times and the sizes."""
    turns = FULL_TURNS if full else TURNS
    with tempfile.TemporaryDirectory() as folder, idle_workspace() as url:
        environment = _environment(Path(folder), url)
        yield imports(environment, turns)
        yield invocations(environment, turns)
    yield sizes()


class _NoRuns(BaseHTTPRequestHandler):
    """A workspace without runs."""

    def do_GET(self) -> None:
        """Answer with an empty list."""
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", "2")
        self.end_headers()
        self.wfile.write(b"{}")

    def log_message(self, *_: object) -> None:
        """Write no log."""


@contextmanager
def idle_workspace() -> Iterator[str]:
    """Serve a workspace without runs, and give its address."""
    with ThreadingHTTPServer(("127.0.0.1", 0), _NoRuns) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}"
        finally:
            server.shutdown()
            thread.join()


def imports(environment: dict[str, str], turns: int) -> Table:
    """Measure the imports in pairs."""
    figures = _in_turns({name: (module, "") for name, module in IMPORTS.items()}, environment, turns)
    base = figures["azure.functions alone"]
    pairs = zip(*(figures[name] for name in IMPORTS), strict=True)
    ratio = statistics.median(app["import"] / alone["import"] for alone, app in pairs)
    times = ["1.00", f"{ratio:.2f}"]
    rows = [
        [name, _ms(found, "import"), as_long, f"{_mib(found)}", f"{_mib(found) - _mib(base)}"]
        for (name, found), as_long in zip(figures.items(), times, strict=True)
    ]
    return Table(
        title=f"Import, processor time, medians of {turns} pairs",
        columns=["", "ms", "times as long", "memory, MiB", "more, MiB"],
        rows=rows,
        notes=["modules are compiled already; times as long: the median of the pairs' own ratios"],
    )


def invocations(environment: dict[str, str], turns: int) -> Table:
    """Measure the first invocation of a function in a process that has invoked none."""
    figures = _in_turns({name: ("function_app", name) for name in FUNCTIONS}, environment, turns)
    return Table(
        title="First invocation in a new process, processor time",
        columns=["function", "import, ms", "invocation, ms", "together, ms", "memory, MiB"],
        rows=[
            [name, _ms(found, "import"), _ms(found, "invocation"), _ms(found, "import", "invocation"),
             f"{_mib(found)}"]
            for name, found in figures.items()
        ],
        notes=[
            "SQLite without an entry, and a workspace without a run",
            "databricks_events: a call without the password",
        ],
    )  # fmt: skip


def sizes() -> Table:
    """Add up the files that are deployed."""
    own = _bytes([ROOT / "function_app.py", ROOT / "host.json", *(ROOT / "orchestrator").rglob("*")])
    packages = {name: _package_bytes(name) for name in _closure(_required())}
    largest = sorted(packages.items(), key=lambda each: -each[1])[:5]
    return Table(
        title="Size of what is deployed, without compiled modules",
        columns=["", "MiB"],
        rows=[
            ["the app's own files", f"{own / 2**20:.1f}"],
            [f"its {len(packages)} packages", f"{sum(packages.values()) / 2**20:.1f}"],
            *([f"of them {name}", f"{size / 2**20:.1f}"] for name, size in largest),
        ],
        notes=["as installed on this machine, unpacked"],
    )


def _in_turns(
    programs: dict[str, tuple[str, str]], environment: dict[str, str], turns: int
) -> dict[str, list[Figures]]:
    """Run each program in a process of its own, one after the other, in an order that alternates."""
    for arguments in programs.values():
        _run(arguments, environment)  # compiles what is not compiled yet
    found: dict[str, list[Figures]] = {name: [] for name in programs}
    for turn in range(turns):
        for name in list(programs) if turn % 2 else reversed(programs):
            found[name].append(_run(programs[name], environment))
    return found


def _run(arguments: tuple[str, str], environment: dict[str, str]) -> Figures:
    command = [sys.executable, "-c", PROGRAM, *arguments]
    done = subprocess.run(command, env=environment, cwd=ROOT, check=True, capture_output=True)
    figures: Figures = json.loads(done.stdout)
    return figures


def _environment(folder: Path, url: str) -> dict[str, str]:
    """Return the environment of a process, with settings of an app that has nothing to do."""
    database = folder / "state.db"
    migrate.apply(SqliteConnector(database, create=True))
    return {
        "PATH": os.environ["PATH"],
        "PYTHONPYCACHEPREFIX": str(folder / "compiled"),
        "AzureWebJobsStorage": "UseDevelopmentStorage=true",
        "DATABRICKS_HOST": url,
        "DATABRICKS_TOKEN": "none",
        "DATABRICKS_JOB_ID": "1",
        "EVENTS_SECRET": "a secret that nobody knows, of enough letters",
        "STATE_DB": str(database),
    }


def _required() -> list[str]:
    lines = (ROOT / "requirements.txt").read_text(encoding="utf-8").splitlines()
    return [line for line in (line.partition("#")[0].strip() for line in lines) if line and line[0] != "-"]


def _closure(requirements: Iterable[str]) -> set[str]:
    """Return the names of the packages that these need, with themselves, as far as they are installed."""
    found: set[str] = set()
    left = [(Requirement(each), "") for each in requirements]
    while left:
        requirement, extra = left.pop()
        name = requirement.name.lower().replace("_", "-")
        if requirement.marker and not requirement.marker.evaluate({"extra": extra}):
            continue
        try:
            needs = metadata.requires(name) or []
        except metadata.PackageNotFoundError:
            continue
        if name not in found:
            found.add(name)
            extras = requirement.extras or {""}
            left += [(Requirement(each), wanted) for each in needs for wanted in extras]
    return found


def _package_bytes(name: str) -> int:
    files = metadata.files(name) or []
    return _bytes(Path(str(each.locate())) for each in files if ".." not in each.parts)


def _bytes(files: Iterable[Path]) -> int:
    return sum(file.stat().st_size for file in files if file.is_file() and file.suffix != ".pyc")


def _ms(figures: list[Figures], *names: str) -> str:
    return f"{1000 * statistics.median(sum(each[name] for name in names) for each in figures):.0f}"


def _mib(figures: list[Figures]) -> int:
    return round(statistics.median(each["memory"] for each in figures) / 1024)
