"""Rows from a CSV file or from JSON lines: all good, or an error that names every bad line."""

import csv
import json
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from typing import IO, Any, TypeVar

from orchestrator.cli import cells
from orchestrator.core import new_entry
from orchestrator.core.errors import InvalidEntry, OrchestratorError
from orchestrator.core.models import NewEntry

_Raw = TypeVar("_Raw")

#: Rows of one file. They are one transaction, and others wait for its locks.
MAX_ROWS = 10_000

#: Problems that are listed; a file in a wrong format has one a line.
MAX_PROBLEMS = 20


class BadFile(OrchestratorError):
    """A file of rows that cannot be added as it stands. Lists the problems, a line each."""

    def __init__(self, problems: list[str]) -> None:
        shown = problems[:MAX_PROBLEMS]
        if len(problems) > MAX_PROBLEMS:
            shown.append(f"and {len(problems) - MAX_PROBLEMS} problems more")
        super().__init__("\n".join([*shown, "no row was added"]))


def read_csv(file: IO[str], workspaces: Collection[str] | None) -> list[NewEntry]:
    """Read rows under a line of column names, as ``export`` writes them; an empty cell is the default.

    :param workspaces: see :func:`orchestrator.core.new_entry.new_entry`.
    :raises BadFile: names each line that is wrong.
    """
    return _collect(_rows(file), _from_cells, workspaces)


def read_json_lines(file: IO[str], workspaces: Collection[str] | None) -> list[NewEntry]:
    """Read an object a line; ``parameters`` may be the object itself or its JSON text.

    :param workspaces: see :func:`orchestrator.core.new_entry.new_entry`.
    :raises BadFile: names each line that is wrong.
    """
    lines = ((number, line) for number, line in enumerate(file, start=1) if line.strip())
    return _collect(lines, _from_json, workspaces)


def _collect(
    lines: Iterable[tuple[int, _Raw]],
    read: Callable[[_Raw], Mapping[str, Any]],
    workspaces: Collection[str] | None,
) -> list[NewEntry]:
    entries: list[NewEntry] = []
    problems: list[str] = []
    try:
        for count, (number, raw) in enumerate(lines):
            if count == MAX_ROWS:
                problems.append(f"line {number}: more than {MAX_ROWS:,} rows; split the file")
                break
            try:
                entries.append(new_entry.new_entry(read(raw), workspaces))
            except InvalidEntry as error:
                problems.append(f"line {number}: {error}")
    except csv.Error as error:
        problems.append(f"the file is not CSV: {error}")
    except UnicodeDecodeError:
        problems.append("the file is not text in UTF-8")
    if not entries and not problems:
        problems.append("the file has no rows")
    if problems:
        raise BadFile(problems)
    return entries


def _rows(file: IO[str]) -> Iterator[tuple[int, Mapping[str | None, str | list[str] | None]]]:
    reader = csv.DictReader(file, strict=True)
    for row in reader:
        yield reader.line_num, row


def _from_cells(row: Mapping[str | None, str | list[str] | None]) -> dict[str, str | int]:
    given: dict[str, str | int] = {}
    for name, text in row.items():
        if name is None:
            raise InvalidEntry("more cells than column names; put a cell with commas into double quotes")
        if isinstance(text, str) and text.strip():
            is_number = name.strip() in new_entry.NUMBERS
            given[name.strip()] = _number(name, text) if is_number else cells.unguarded(text)
    return given


def _number(name: str, text: str) -> int:
    try:
        return int(text)
    except ValueError:
        raise InvalidEntry(f"{name} must be a whole number") from None


def _from_json(line: str) -> dict[str, Any]:
    try:
        given = json.loads(line)
    except (ValueError, RecursionError):
        raise InvalidEntry("not JSON; give one object a line") from None
    if not isinstance(given, dict):
        raise InvalidEntry("not an object")
    return given
