"""Before and after, in pairs: ``python -m benchmarks.pairs COMMIT TOPIC … [--times N]``.

The benchmarks of a commit and those of this checkout run in turns, so that both meet the same moments of the
machine. Each measures its own code with its own benchmarks; compared are the cells of tables that both print.
"""

import argparse
import os
import re
import statistics
import subprocess
import sys
import tarfile
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from io import BytesIO
from itertools import takewhile
from pathlib import Path

from benchmarks.__main__ import TOPICS
from benchmarks.tables import Table, markdown

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

    title: str
    columns: Sequence[str]
    rows: Sequence[Sequence[str]]


def main(argv: list[str]) -> None:
    """Run what is asked for, and print a table for each one that both print."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.pairs", description=__doc__)
    parser.add_argument("commit", help="what to compare this checkout with: a commit, a tag or a branch")
    parser.add_argument("topics", nargs="+", metavar="TOPIC", choices=TOPICS, help=", ".join(TOPICS))
    parser.add_argument("--times", type=int, default=TIMES, help=f"pairs; {TIMES} by default")
    parser.add_argument("--full", action="store_true", help="the large sizes as well")
    arguments = parser.parse_args(argv)
    if arguments.times < 1:
        parser.error("--times takes a whole number from 1")
    command = [sys.executable, "-m", "benchmarks", *arguments.topics, *["--full"] * arguments.full]
    try:
        with checked_out(ROOT, arguments.commit) as before:
            print(f"before: {arguments.commit}; after: this checkout; pairs: {arguments.times}", flush=True)
            outputs = in_turns(before, ROOT, command, arguments.times)
    except CannotCompare as error:
        sys.exit(f"benchmarks: {error}")
    for text in compared(*outputs):
        print(f"\n{text}")


@contextmanager
def checked_out(repository: Path, commit: str) -> Iterator[Path]:
    """Give a folder with the files of a commit.

    :raises CannotCompare: there is no such commit, or no repository.
    """
    archive = subprocess.run(
        ["git", "archive", "--format=tar", "--end-of-options", commit],
        cwd=repository,
        capture_output=True,
        timeout=60,
        check=False,
    )
    if archive.returncode:
        said = archive.stderr.decode(errors="replace").strip()
        raise CannotCompare(f"{commit!r} cannot be checked out: {said}; name a commit of this repository")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        with tarfile.open(fileobj=BytesIO(archive.stdout)) as files:
            files.extractall(folder, filter="data")
        for installed in ("node_modules", ".run/airflow"):  # both measure with the same tools
            if (repository / installed).exists():
                (folder / installed).parent.mkdir(exist_ok=True)
                (folder / installed).symlink_to(repository / installed)
        yield folder


def in_turns(before: Path, after: Path, command: Sequence[str], times: int) -> tuple[list[str], list[str]]:
    """Run a command in both folders in turns, and return what it printed in each."""
    outputs: dict[Path, list[str]] = {before: [], after: []}
    for number in range(times):
        for folder in (before, after) if number % 2 == 0 else (after, before):
            outputs[folder].append(_output(command, folder))
    return outputs[before], outputs[after]


def _output(command: Sequence[str], folder: Path) -> str:
    """Run a command in a folder and return its output. :raises CannotCompare: it failed."""
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    try:
        run = subprocess.run(
            command,
            cwd=folder,
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=RUN_SECONDS,
            check=False,
        )
    except subprocess.TimeoutExpired:
        raise CannotCompare(f"{' '.join(command)} took more than {RUN_SECONDS:.0f} s in {folder}") from None
    if run.returncode:
        end = run.stdout[-_SHOWN_CHARACTERS:]
        raise CannotCompare(f"{' '.join(command)} failed in {folder}; its output ended with:\n{end}")
    return run.stdout


def printed(output: str) -> list[Printed]:
    """Return the Markdown tables of an output, each by the last heading above it."""
    found: list[Printed] = []
    title, lines = "", iter(output.splitlines())
    for line in lines:
        if line.startswith("#"):
            title = line.lstrip("# ")
        elif line.startswith("|"):
            rows = [_cells(row) for row in takewhile(lambda each: each.startswith("|"), lines)]
            found.append(Printed(title=title, columns=_cells(line), rows=rows[1:]))  # without the rule
    return found


def _cells(line: str) -> list[str]:
    return [cell.strip() for cell in line.strip().strip("|").split("|")]


def compared(before: Sequence[str], after: Sequence[str]) -> Iterator[str]:
    """Yield, as Markdown, how the figures of the tables compare that all outputs have.

    A column is compared if its cells are numbers, and not the same in all outputs.

    :param before: outputs, each of which is the pair of the one at its place in ``after``.
    """
    runs = [_by_title(output) for output in (*before, *after)]
    for title in dict.fromkeys(title for run in runs for title in run):
        tables = [run[title] for run in runs if title in run]
        if len(tables) < len(runs) or not _are_alike(tables):
            yield f"Not compared, since not all runs print this table alike: {title}"
        else:
            yield markdown(_comparison(title, tables[: len(before)], tables[len(before) :]))


def _by_title(output: str) -> dict[str, Printed]:
    return {table.title: table for table in printed(output)}


def _are_alike(tables: Sequence[Printed]) -> bool:
    shapes = {(tuple(table.columns), len(table.rows)) for table in tables}
    words = {
        tuple(tuple(cell for cell in row if number_of(cell) is None) for row in table.rows)
        for table in tables
    }
    return len(shapes) == len(words) == 1


def _comparison(title: str, before: Sequence[Printed], after: Sequence[Printed]) -> Table:
    """Return the medians of each number, and that of the pairs' own ratios."""
    first = before[0]
    tables = [*before, *after]
    measured = [
        column
        for column in range(len(first.columns))
        if len({tuple(row[column] for row in table.rows) for table in tables}) > 1
    ]
    named = range(min(measured, default=len(first.columns)))
    rows = [
        (
            ", ".join(filter(None, (cells[column] for column in named))),
            first.columns[column],
            *_medians(
                [table.rows[number][column] for table in before],
                [table.rows[number][column] for table in after],
            ),
        )
        for number, cells in enumerate(first.rows)
        for column in measured
        if number_of(cells[column]) is not None
    ]
    notes = [] if rows else ["all figures are the same"]
    return Table(title=title, columns=("", "", "before", "after", "after / before"), rows=rows, notes=notes)


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
