"""Before and after, in pairs: ``python -m benchmarks.pairs COMMIT TOPIC … [--times N]``.

The benchmarks of a commit and those of this checkout run in turns, so that both meet the same moments of the
machine. Each measures its own code with its own benchmarks; with ``--same``, or if the commit lacks a
topic, the benchmarks of this checkout measure both. Compared are the figures that both print.
"""

import argparse
import os
import re
import shutil
import signal
import statistics
import subprocess
import sys
import tarfile
import tempfile
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from io import BytesIO
from itertools import takewhile
from pathlib import Path

from benchmarks.__main__ import TOPICS
from benchmarks.tables import Table, bullets, markdown

ROOT = Path(__file__).parents[1]

#: Pairs, unless the command line says how many.
TIMES = 3

#: Of one run with all its topics and the large sizes.
RUN_SECONDS = 3600.0

#: Of the end of a failed run's output that is shown.
_SHOWN_CHARACTERS = 2000

#: A number, perhaps with another one behind it: ``12,897``, ``91.2 %``, ``14 (1.4%)``.
_NUMBER = re.compile(r"(-?\d[\d,]*(?:\.\d+)?)(?: ?%)?(?: \(.*\))?")


class CannotCompare(Exception):
    """There is nothing to compare; the message says why and what to do."""


@dataclass(frozen=True, kw_only=True)
class Printed:
    """A table as a run has printed it."""

    #: no two tables of a run have the same: one that comes again has its number behind it
    title: str
    #: no two are the same: a name that comes again has its number behind it
    columns: Sequence[str]
    #: the cells of each row by their column
    rows: Sequence[Mapping[str, str]]


def main(argv: list[str]) -> None:
    """Run what is asked for, and print a table for each one that both print."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.pairs", description=__doc__)
    parser.add_argument("commit", help="what to compare this checkout with: a commit, a tag or a branch")
    parser.add_argument("topics", nargs="+", metavar="TOPIC", choices=TOPICS, help=", ".join(TOPICS))
    parser.add_argument("--times", type=int, default=TIMES, help=f"pairs; {TIMES} by default")
    parser.add_argument("--full", action="store_true", help="the large sizes as well")
    parser.add_argument("--same", action="store_true", help="measure both with this checkout's benchmarks")
    arguments = parser.parse_args(argv)
    if arguments.times < 1:
        parser.error("--times takes a whole number from 1")
    command = [sys.executable, "-m", "benchmarks", *arguments.topics, *["--full"] * arguments.full]
    pairs: list[tuple[str, str]] = []
    try:
        with checked_out(ROOT, arguments.commit) as before:
            print(f"before: {arguments.commit}; after: this checkout; pairs: {arguments.times}", flush=True)
            _agree_on_benchmarks(before, arguments.topics, same=arguments.same)
            pairs.extend(in_turns(before, ROOT, command, arguments.times))
    except CannotCompare as error:
        sys.exit(f"benchmarks: {error}")
    finally:  # the pairs before one that failed have been measured, too
        for text in compared(*zip(*pairs, strict=True)) if pairs else ():
            print(f"\n{text}")


def _agree_on_benchmarks(before: Path, topics: Sequence[str], *, same: bool) -> None:
    """Let this checkout's benchmarks measure both if that is asked for, or if the commit lacks a topic."""
    if lacking := lacking_topics(before, topics):
        print(f"before has no benchmark {', '.join(lacking)}", flush=True)
    if lacking or same:
        replace_benchmarks(before, ROOT)
        print("this checkout's benchmarks measure both", flush=True)


@contextmanager
def checked_out(repository: Path, commit: str) -> Iterator[Path]:
    """Give a folder with the files of a commit.

    :raises CannotCompare: there is no such commit, or no repository.
    """
    command = ["git", "archive", "--format=tar", "--end-of-options", commit]
    try:
        archive = subprocess.run(command, cwd=repository, capture_output=True, timeout=60, check=False)
    except (OSError, subprocess.TimeoutExpired) as error:
        raise CannotCompare(f"git, which has the code of {commit!r}, does not run: {error}") from None
    if archive.returncode:
        said = archive.stderr.decode(errors="replace").strip()
        raise CannotCompare(f"{commit!r} cannot be checked out: {said}; name a commit of this repository")
    runs = repository / ".run"  # on the disk of the other one
    runs.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="before-", dir=runs) as name:
        folder = Path(name)
        with tarfile.open(fileobj=BytesIO(archive.stdout)) as files:
            files.extractall(folder, filter="data")
        for installed in ("node_modules", ".run/airflow"):  # both measure with the same tools
            if (repository / installed).exists():
                (folder / installed).parent.mkdir(exist_ok=True)
                (folder / installed).symlink_to(repository / installed)
        yield folder


def lacking_topics(checkout: Path, topics: Sequence[str]) -> Sequence[str]:
    """Return those of the topics that a checkout cannot measure."""
    return [topic for topic in topics if not (checkout / "benchmarks" / f"{topic}.py").exists()]


def replace_benchmarks(checkout: Path, ours: Path) -> None:
    """Give a checkout our benchmarks in place of its own."""
    shutil.rmtree(checkout / "benchmarks", ignore_errors=True)
    shutil.copytree(ours / "benchmarks", checkout / "benchmarks")


def in_turns(before: Path, after: Path, command: Sequence[str], times: int) -> Iterator[tuple[str, str]]:
    """Run a command in both folders in turns; yield what each pair of runs printed, that of before first."""
    names = {before: "before", after: "after"}
    for number in range(times):
        outputs: dict[Path, str] = {}
        for folder in (before, after) if number % 2 == 0 else (after, before):
            print(f"pair {number + 1} of {times}: {names[folder]}", file=sys.stderr, flush=True)
            outputs[folder] = _output(command, folder, names[folder])
        yield outputs[before], outputs[after]


def _output(command: Sequence[str], folder: Path, name: str) -> str:
    """Run a command in a folder and return its output. :raises CannotCompare: it failed."""
    environment = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"}
    shown = f"{name}: {' '.join(command)}"
    with subprocess.Popen(
        command,
        cwd=folder,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
        start_new_session=True,  # whatever it has started ends with it
    ) as run:
        try:
            said, _ = run.communicate(timeout=RUN_SECONDS)
        except subprocess.TimeoutExpired:
            raise CannotCompare(f"{shown} took more than {RUN_SECONDS:.0f} s") from None
        finally:
            with suppress(ProcessLookupError, PermissionError):  # the whole group has ended
                os.killpg(run.pid, signal.SIGKILL)
    if run.returncode:
        raise CannotCompare(f"{shown} failed; its output ended with:\n{said[-_SHOWN_CHARACTERS:]}")
    return said


def printed(output: str) -> list[Printed]:
    """Return the Markdown tables of an output, each by the last heading above it."""
    found: list[Printed] = []
    title, lines = "", iter(output.splitlines())
    for line in lines:
        if line.startswith("#"):
            title = line.lstrip("# ")
        elif line.startswith("|"):
            columns = _distinct(_cells(line))
            cells = [_cells(row) for row in takewhile(lambda each: each.startswith("|"), lines)]
            # Without the rule, and without what a program says in between.
            rows = [dict(zip(columns, row, strict=True)) for row in cells[1:] if len(row) == len(columns)]
            found.append(Printed(title=title, columns=columns, rows=rows))
    titles = _distinct([table.title for table in found])
    return [replace(table, title=each) for table, each in zip(found, titles, strict=True)]


def _cells(line: str) -> list[str]:
    return [cell.strip() for cell in line.strip().strip("|").split("|")]


def _distinct(names: Sequence[str]) -> list[str]:
    seen: Counter[str] = Counter()
    distinct = []
    for name in names:
        seen[name] += 1
        distinct.append(name if seen[name] == 1 else f"{name} ({seen[name]})")
    return distinct


def compared(before: Sequence[str], after: Sequence[str]) -> Iterator[str]:
    """Yield, as Markdown, how the figures compare that all outputs have, and name what only some have.

    :param before: outputs, each of which is the pair of the one at its place in ``after``.
    """
    runs = [{table.title: table for table in printed(output)} for output in (*before, *after)]
    for title in dict.fromkeys(title for run in runs for title in run):
        if having := _having([title in run for run in runs], len(before)):
            yield f"{having} the table: {title}"
        else:
            table = _comparison([run[title] for run in runs], len(before))
            yield markdown(table) if table.rows else "\n".join([f"### {title}", "", *bullets(table.notes)])


def _having(has: Sequence[bool], pairs: int) -> str:
    """Return who has what not all have, as the beginning of a sentence; empty if all have it."""
    if all(has):
        return ""
    if not any(has[pairs:]):
        return "Only before has"
    return "Not all runs have" if any(has[:pairs]) else "Only after has"


def _comparison(tables: Sequence[Printed], pairs: int) -> Table:
    """Return the medians of each figure, and that of the pairs' own ratios.

    :param tables: those of before, one for each pair, and then those of after.
    """
    labels = _labels(tables)
    runs = [{tuple(row.get(label, "") for label in labels): row for row in table.rows} for table in tables]
    keys = list(dict.fromkeys(key for run in runs for key in run))
    notes = [
        *_missing("column", [table.columns for table in tables], pairs),
        *_missing("row", [[_row_name(key) for key in run] for run in runs], pairs),
    ]
    measured = [column for column in _shared_columns(tables) if column not in labels]
    figures = {
        (key, column): [run[key][column] for run in runs]
        for key in keys
        if all(key in run for run in runs)
        for column in measured
    }
    varying = {column for (_, column), cells in figures.items() if len(set(cells)) > 1}
    rows = [
        (_row_name(key), column, *_medians(cells[:pairs], cells[pairs:]))
        for (key, column), cells in figures.items()
        if column in varying and all(number_of(cell) is not None for cell in cells)
    ]
    if not rows:
        notes.append("no figure that both have differs")
    columns = ("", "", "before", "after", "after / before")
    return Table(title=tables[0].title, columns=columns, rows=rows, notes=notes)


def _shared_columns(tables: Sequence[Printed]) -> list[str]:
    return [name for name in tables[0].columns if all(name in table.columns for table in tables)]


def _labels(tables: Sequence[Printed]) -> Sequence[str]:
    """Return the first columns: as many as it takes to tell rows apart, and those with words only."""
    columns = _shared_columns(tables)
    for count, name in enumerate([*columns, None]):
        if _tell_rows_apart(columns[:count], tables) and not _holds_words(name, tables):
            return columns[:count]
    return columns


def _tell_rows_apart(columns: Sequence[str], tables: Sequence[Printed]) -> bool:
    return all(
        len({tuple(row[name] for name in columns) for row in table.rows}) == len(table.rows)
        for table in tables
    )


def _holds_words(column: str | None, tables: Sequence[Printed]) -> bool:
    cells = [row[column] for table in tables for row in table.rows] if column is not None else []
    return bool(cells) and all(number_of(cell) is None for cell in cells)


def _row_name(key: Sequence[str]) -> str:
    return ", ".join(filter(None, key))


def _missing(what: str, runs: Sequence[Sequence[str]], pairs: int) -> Iterator[str]:
    """Yield a sentence for each name that not all runs have."""
    for name in dict.fromkeys(name for run in runs for name in run):
        if having := _having([name in run for run in runs], pairs):
            yield f"{having} the {what}: {name}"


def _medians(before: Sequence[str], after: Sequence[str]) -> tuple[str, str, str]:
    pairs = [(_number(old), _number(new)) for old, new in zip(before, after, strict=True)]
    ratios = [new / old for old, new in pairs if old]
    return (
        f"{statistics.median(old for old, _ in pairs):,.10g}",
        f"{statistics.median(new for _, new in pairs):,.10g}",
        f"{statistics.median(ratios):.2f}" if len(ratios) == len(pairs) else "",
    )


def _number(cell: str) -> float:
    number = number_of(cell)
    if number is None:
        raise ValueError(f"{cell!r} is not a number")
    return number


def number_of(cell: str) -> float | None:
    """Return the number that a cell holds or begins with, or None."""
    found = _NUMBER.fullmatch(cell)
    return float(found[1].replace(",", "")) if found else None


if __name__ == "__main__":
    main(sys.argv[1:])
