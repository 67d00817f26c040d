"""Judge mutants of named SQL: run the fast tests that use a query until one of them fails.

Each mutant is judged in a child of this process, which has imported the app and the tests already. The child
reads the changed file; nothing is written to the project.
"""

import contextlib
import json
import os
import re
import signal
import sqlite3
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum
from pathlib import Path
from typing import Any

import pytest

from orchestrator.adapters.store import queries
from orchestrator.adapters.store.sqlite import SqliteConnector
from tests.empty_store import make_empty_store
from tests.mutation.statements import Mutant

#: Where the tests are that say how a statement behaves. Those that read its text or its plan judge no mutant.
TESTS = ("tests/store", "tests/use_cases", "tests/alerts")
_TEXTS = (
    "tests/store/test_plans.py",
    "tests/store/test_search_plans.py",
    "tests/store/test_bounds.py",
    "tests/store/test_queries.py",
)

#: Which test runs which query, and how long it takes: measured once, then kept until a test is younger.
_RECORD = Path(".run/mutation/queries.json")

#: Tests of one mutant take no longer than this, by what they took before.
_MOST_SECONDS = 30.0

_OPTIONS = ("-x", "-q", "-p", "no:cacheprovider", "--no-header", "--tb=no")

_MACRO = re.compile(r"\{(\w+)")


class Fate(Enum):
    """What became of a mutant."""

    KILLED = "killed"  #: a test failed
    TIMED_OUT = "timed out"  #: the tests did not come to their end
    SURVIVED = "survived"  #: no test noticed
    UNTESTED = "untested"  #: no test runs the query
    INVALID = "invalid"  #: SQLite does not take the statement


#: What a child says whose statement is none, and one that raised an error.
_INVALID = 97
_BROKEN = 98

#: Exit code → fate. Any other one is a fault of the judge.
_FATES = {
    int(pytest.ExitCode.OK): Fate.SURVIVED,
    int(pytest.ExitCode.TESTS_FAILED): Fate.KILLED,
    _INVALID: Fate.INVALID,
}


@dataclass(kw_only=True)
class Record:
    """Which tests run a query."""

    #: test → seconds
    seconds: dict[str, float] = field(default_factory=dict)
    #: query → tests
    tests: dict[str, list[str]] = field(default_factory=dict)
    #: test → how many mutants it has noticed in this run
    noticed: Counter[str] = field(default_factory=Counter)

    def of(self, names: set[str]) -> list[str]:
        """Return the tests that run one of these queries, as far as the time goes.

        First come those that have noticed most, then those of the store itself, then the fastest.
        """
        found = {test for name in names for test in self.tests.get(name, ())}
        chosen: list[str] = []
        left = _MOST_SECONDS
        for test in sorted(found, key=self._rank):
            left -= self.seconds[test]
            if left < 0 and chosen:
                break
            chosen.append(test)
        return chosen

    def _rank(self, test: str) -> tuple[int, bool, float]:
        return -self.noticed[test], not test.startswith(TESTS[0]), self.seconds[test]


def recorded() -> Record:
    """Return which test runs which query: as it was measured, or measure it now.

    :raises SystemExit: a test fails before anything is changed.
    """
    newest = max(file.stat().st_mtime for folder in TESTS for file in Path(folder).rglob("*.py"))
    if not _RECORD.exists() or _RECORD.stat().st_mtime < newest:
        _RECORD.parent.mkdir(parents=True, exist_ok=True)
        say("running the tests once, unchanged")
        if _in_child(_measure, limit=1800) != 0:
            raise SystemExit("a test fails although nothing was changed; see above")
    return Record(**json.loads(_RECORD.read_text(encoding="utf-8")))


def judge(file: str, mutant: Mutant, record: Record) -> Fate:
    """Run the tests that are about a mutant and say what became of it.

    :raises KeyError: the tests could not be run.
    """
    tests = record.of(_users(file, mutant.query))
    if not tests:
        return Fate.UNTESTED
    limit = 30 + 5 * sum(record.seconds[test] for test in tests)
    noticed = Path(tempfile.gettempdir()) / f"mutation-{os.getpid()}"
    code = _in_child(lambda: _try(file, mutant, tests, noticed), limit=limit)
    if noticed.exists():
        record.noticed[noticed.read_text(encoding="utf-8")] += 1
        noticed.unlink()
    if code is None:
        return Fate.TIMED_OUT
    return _FATES[code]


def warm_up() -> None:
    """Import the app and the tests, so that no child has to."""
    with _silence():
        pytest.main(["--collect-only", *_OPTIONS, *TESTS])


def _users(file: str, query: str) -> set[str]:
    """Return a query, and those that have it as a piece."""
    found = {query}
    written = queries._parse(queries._read(file))
    while more := {
        each.name for each in written if each.name not in found and found & set(_MACRO.findall(each.sql))
    }:
        found |= more
    return found


def _try(file: str, mutant: Mutant, tests: Sequence[str], noticed: Path) -> int:
    read = queries._read
    before = queries.load("sqlite")
    queries._read = lambda name: mutant.text if name == file else read(name)
    queries.load.cache_clear()
    changed = [query.sql for name, query in queries.load("sqlite").items() if query != before[name]]
    if not all(map(_is_valid, changed)):
        return _INVALID
    with _silence():
        return int(pytest.main([*_OPTIONS, *tests], plugins=[_Noticer(file=noticed)]))


def _is_valid(sql: str) -> bool:
    with tempfile.TemporaryDirectory() as folder:
        connection = SqliteConnector(make_empty_store(Path(folder) / "state.db")).connect().connection
        try:
            connection.cursor().execute(f"EXPLAIN {sql}", [None] * sql.count("?"))
        except sqlite3.Error:
            return False
        finally:
            connection.close()
    return True


def _in_child(work: Callable[[], int], *, limit: float) -> int | None:
    """Return the exit code of a piece of work in a process of its own; None = it took too long."""
    child = os.fork()
    if child == 0:
        code = _BROKEN
        try:
            os.setsid()
            code = work()
        finally:
            sys.stdout.flush()
            os._exit(code)  # nothing of what the parent would do at its end
    end = time.monotonic() + limit
    while time.monotonic() < end:
        done, status = os.waitpid(child, os.WNOHANG)
        if done:
            return os.waitstatus_to_exitcode(status)
        time.sleep(0.02)
    os.killpg(child, signal.SIGKILL)
    os.waitpid(child, 0)
    return None


def _measure() -> int:
    recorder = _Recorder()
    queries.load = recorder.load  # type: ignore[assignment]
    ignored = [f"--ignore={file}" for file in _TEXTS]
    code = int(pytest.main([*_OPTIONS, *ignored, *TESTS], plugins=[recorder]))
    if code == 0:
        record = {"seconds": recorder.record.seconds, "tests": recorder.record.tests}
        _RECORD.write_text(json.dumps(record), encoding="utf-8")
    return code


@dataclass(frozen=True, kw_only=True)
class _Noticer:
    """A plugin of pytest that writes down the test that fails."""

    file: Path

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        if report.failed:
            self.file.write_text(report.nodeid, encoding="utf-8")


class _Recorder:
    """A plugin of pytest that notes which test asks for which query."""

    def __init__(self) -> None:
        self.record = Record()
        self._load = queries.load
        self._asked: set[str] = set()

    def load(self, dialect: str) -> Mapping[str, Any]:
        return _Noting(self._load(dialect), self._asked)

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        seconds = self.record.seconds
        seconds[report.nodeid] = seconds.get(report.nodeid, 0.0) + report.duration
        if report.when == "teardown":
            for name in self._asked:
                self.record.tests.setdefault(name, []).append(report.nodeid)
            self._asked.clear()


class _Noting(dict[str, Any]):
    def __init__(self, found: Mapping[str, Any], asked: set[str]) -> None:
        super().__init__(found)
        self._asked = asked

    def __getitem__(self, name: str) -> Any:
        self._asked.add(name)
        return super().__getitem__(name)


@contextlib.contextmanager
def _silence() -> Iterator[None]:
    """Let nobody hear what the tests print, be it by Python or by the system."""
    sys.stdout.flush()
    kept, nowhere = os.dup(1), os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 1)
    try:
        yield
    finally:
        sys.stdout.flush()
        os.dup2(kept, 1)
        os.close(kept)
        os.close(nowhere)


def say(line: str) -> None:
    """Print a line at once."""
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()
