"""The parts that several tests share."""

import fcntl
import gc
import os
import shutil
import signal
import sys
import tempfile
import uuid
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from devstack import azurite as emulator
from tests import published
from tests.devstack.running import MadeRun, lay_out, made_run

ROOT = Path(__file__).parents[1]

#: The property (``record_property``) of a test that tells how much it has tried.
FIGURE = "figure"


#: Where Linux keeps files in memory.
MEMORY = Path("/dev/shm")

#: Far more than the tests ever keep at once.
ENOUGH_BYTES = 2 * 1024**3

#: The time limit of a long test, at least.
LONG_SECONDS = 150

#: The fixture whose tests are kept together.
MAKE_RUN = "make_run"


def pytest_configure() -> None:
    """Make the surroundings the same for every test, whoever starts the run."""
    _keep_files_in_memory()
    _keep_what_is_compiled()
    _let_ctrl_c_arrive()


@pytest.hookimpl(wrapper=True)
def pytest_collection() -> Iterator[None]:
    """Collect the tests without looking for garbage; no later search looks through what stays to the end."""
    gc.disable()
    try:
        return (yield)
    finally:
        gc.collect()
        gc.freeze()
        gc.enable()


@pytest.hookimpl(trylast=True)  # what -m and -k leave
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Begin with the long tests, and let every process begin with some.

    Each process takes its part of the list, from the front. One that has nothing left takes tests from the
    end of another's: long ones together at the front would be left to one process, and end last.
    """
    items.sort(key=_length, reverse=True)  # keeps the order of those that are as long
    processes = getattr(config, "workerinput", {}).get("workercount", 1)
    items[:] = _dealt(items, processes)


def _dealt(items: Sequence[pytest.Item], processes: int) -> list[pytest.Item]:
    """Return the tests in an order whose parts, one a process, begin with a few of the long modules each."""
    modules: dict[object, list[pytest.Item]] = {}
    rest = [item for item in items if not _is_long(item)]
    for item in filter(_is_long, items):
        modules.setdefault(MAKE_RUN if _uses_make_run(item) else item.path, []).append(item)
    hands: list[list[pytest.Item]] = [[] for _ in range(processes)]
    for number, module in enumerate(modules.values()):
        hands[number % processes] += module
    dealt: list[pytest.Item] = []
    for number, hand in enumerate(hands):
        part = (len(items) - len(dealt)) // (processes - number)  # as xdist divides them
        filling = max(0, part - len(hand))
        dealt += hand + rest[:filling]
        del rest[:filling]
    return dealt + rest


def _length(item: pytest.Item) -> tuple[bool, float]:
    """Return whether a test needs ``make run``, and the time limit of a long one in seconds."""
    limit = item.get_closest_marker("timeout")
    seconds = 0.0 if limit is None else float(limit.args[0])
    return _uses_make_run(item), seconds if seconds >= LONG_SECONDS else 0


def _is_long(item: pytest.Item) -> bool:
    return _length(item) > (False, 0)


def _uses_make_run(item: pytest.Item) -> bool:
    """Whether a test shares the ``make run`` of its process: all of these belong to one process."""
    return MAKE_RUN in getattr(item, "fixturenames", ())


def _keep_files_in_memory() -> None:
    """Put the tests' files into memory where there is room, unless ``TMPDIR`` names another place.

    SQLite waits for the disk at every commit, and the tests make hundreds of thousands of them. No test cuts
    the power, so a disk would prove nothing more.
    """
    if "TMPDIR" not in os.environ and _can_hold_files(MEMORY):
        os.environ["TMPDIR"] = str(MEMORY)  # for the processes that tests start as well
        tempfile.tempdir = None  # forget what was found before


def _keep_what_is_compiled() -> None:
    """Let every process read what one has compiled, also where ``PYTHONDONTWRITEBYTECODE`` is set.

    Containers often set it. The tests start hundreds of processes, and compiling the app and the local stack
    costs each of them a third of its start.
    """
    os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
    sys.dont_write_bytecode = False


def _can_hold_files(folder: Path) -> bool:
    """Whether a folder takes the tests' files and programs."""
    if not os.access(folder, os.W_OK | os.X_OK) or os.statvfs(folder).f_flag & os.ST_NOEXEC:
        return False
    return shutil.disk_usage(folder).free >= ENOUGH_BYTES


def _let_ctrl_c_arrive() -> None:
    """Undo what a shell script does to its background jobs: they, and all that they start, ignore SIGINT."""
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Print what the tests have counted; docs/reliability.md quotes it."""
    figures = [
        f"{value}"
        for report in terminalreporter.getreports("passed")
        for name, value in report.user_properties
        if name == FIGURE
    ]
    if figures:
        terminalreporter.section("figures")
        for figure in sorted(figures):
            terminalreporter.line(figure)


@dataclass(frozen=True, kw_only=True)
class Azurite:
    """A running Storage emulator."""

    #: of the queue service, with the account
    queue_url: str
    connection_string: str = field(repr=False)


@pytest.fixture(scope="session")
def azurite(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Azurite]:
    """One Storage emulator for a whole test process; each test has a queue of its own (``queue_name``)."""
    with emulator.emulator(tmp_path_factory.mktemp("azurite") / "azurite.log") as process:
        yield Azurite(queue_url=process.url, connection_string=emulator.connection_string(*process.urls))


@pytest.fixture(scope="session")
def make_run(tmp_path_factory: pytest.TempPathFactory) -> Iterator[MadeRun]:
    """``make run``, once for a whole test process, when the demo's rows have come to their end."""
    with made_run(lay_out(tmp_path_factory.mktemp("make-run") / "checkout")) as made:
        yield made


@pytest.fixture
def queue_name() -> str:
    """The name of a queue that no other test uses, and that is not there yet."""
    return f"test-{uuid.uuid4().hex}"


@pytest.fixture(scope="session")
def package(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The package that is published, built once for all processes of a run. Nobody may write to it."""
    base = tmp_path_factory.getbasetemp()
    shared = base.parent if "PYTEST_XDIST_WORKER" in os.environ else base
    with (shared / "package.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        folder = shared / "wwwroot"
        return folder if folder.exists() else published.built(folder)
