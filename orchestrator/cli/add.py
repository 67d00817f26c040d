"""``add``: insert entries from options, a CSV file or JSON lines; all or none."""

import asyncio
import csv
import json
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from typing import IO, Any, TypeVar

import click

from orchestrator import settings
from orchestrator.cli import context
from orchestrator.cli.options import DATABRICKS_ID, INT32, Whole, json_option
from orchestrator.cli.output import OK, complain, print_json, unguarded
from orchestrator.core import new_entry
from orchestrator.core.errors import InvalidEntry, OrchestratorError
from orchestrator.core.models import NewEntry
from orchestrator.core.numbers import MAX_INT32, whole_of_text
from orchestrator.core.policy import RETRY_MODES
from orchestrator.settings.workspaces import DEFAULT_WORKSPACE

#: ``-`` is standard input. Excel begins a UTF-8 file with a byte order mark, which ``utf-8-sig`` drops.
_FILE = click.File("r", encoding="utf-8-sig")

#: Most workspaces that a warning names; a file with mixed-up columns has one per line.
_MAX_NAMED = 5


@click.command("add")
@click.argument("table_name", required=False)
@click.option("--workspace", metavar="NAME", help="A workspace of the settings; default: default.")
@click.option("--job-id", type=DATABRICKS_ID, help="Default: the workspace's job.")
@click.option("--job-name", metavar="NAME", help="The job by its name, in place of --job-id.")
@click.option(
    "--parameter-style",
    metavar="STYLE",
    help="Default: auto, which is job_parameters or notebook_params, as the job asks for.",
)
@click.option("--parameters", metavar="JSON", help='Default: {"table_name": …}.')
@click.option(
    "--options", metavar="JSON", help='More of run-now: {"only": ["load"]}; docs/entries.md has the keys.'
)
@click.option("--priority", type=INT32, help="Higher is claimed first; default: 0.")
@click.option("--max-attempts", type=Whole(0, MAX_INT32), help="0 = no limit; default: MAX_ATTEMPTS.")
@click.option(
    "--retry-mode",
    type=click.Choice(RETRY_MODES),
    help="A retry is a new run, or runs the failed tasks again; default: RETRY_MODE.",
)
@click.option(
    "--run-timeout-seconds",
    type=Whole(0, MAX_INT32),
    help="Of the run's execution, 0 = no limit; default: RUN_TIMEOUT_SECONDS.",
)
@click.option(
    "--queue-timeout-seconds",
    type=Whole(0, MAX_INT32),
    help="Of the run's wait in Databricks' own queue, 0 = no limit; default: QUEUE_TIMEOUT_SECONDS.",
)
@click.option(
    "--csv", "csv_file", type=_FILE, metavar="FILE", help="A CSV file with column names in its first line."
)
@click.option(
    "--jsonl", "jsonl_file", type=_FILE, metavar="FILE", help="A file with one JSON object per line."
)
@json_option
def _add(
    csv_file: IO[str] | None, jsonl_file: IO[str] | None, as_json: bool, **columns: str | int | None
) -> int:
    """Add entries and print their ids.

    One entry by its table, as an INSERT into track_processing does, or many from a file (- is standard
    input): all of them, or none if one is wrong.
    """
    given = {name: value for name, value in columns.items() if value is not None}
    files = [file for file in (csv_file, jsonl_file) if file is not None]
    if ("table_name" in given) + len(files) != 1:
        raise click.UsageError("give one of TABLE_NAME, --csv and --jsonl")
    if files and given:
        raise click.UsageError("an entry's options cannot be combined with a file, which has them as columns")
    workspaces = settings.load_workspace_names(context.environment())
    if csv_file is not None:
        entries = _read_csv(csv_file, workspaces)
    elif jsonl_file is not None:
        entries = _read_json_lines(jsonl_file, workspaces)
    else:
        entries = [new_entry.new_entry(given, workspaces)]
    if workspaces is None:
        _warn_of({entry.workspace for entry in entries})
    return asyncio.run(_insert(entries, as_json=as_json))


def _warn_of(workspaces: set[str]) -> None:
    """Name the workspaces that cannot be checked here; the default one always exists."""
    named = sorted(workspaces - {DEFAULT_WORKSPACE})
    if not named:
        return
    more = f" and {len(named) - _MAX_NAMED} more" if len(named) > _MAX_NAMED else ""
    complain(
        f"not checked: workspace {', '.join(named[:_MAX_NAMED])}{more}, since neither DATABRICKS_HOST nor "
        "DATABRICKS_WORKSPACES is set here; an entry of a workspace that the app does not know ends DEAD"
    )


async def _insert(entries: Sequence[NewEntry], *, as_json: bool) -> int:
    async with context.tools() as tools:
        ids = await tools.operator.add(entries)
    if as_json:
        print_json({"ids": [str(entry_id) for entry_id in ids]})
    else:
        click.echo("\n".join(str(entry_id) for entry_id in ids))
    return OK


_Raw = TypeVar("_Raw")

#: Most entries of one file. They are one transaction, and others wait for its locks.
_MAX_ENTRIES = 10_000

#: Most problems that are listed; a file in a wrong format has one per line.
_MAX_PROBLEMS = 20


class _BadFile(OrchestratorError):
    """The file cannot be added as it stands; the message lists the problems, one line each."""

    def __init__(self, problems: list[str]) -> None:
        shown = problems[:_MAX_PROBLEMS]
        if len(problems) > _MAX_PROBLEMS:
            shown.append(f"and {len(problems) - _MAX_PROBLEMS} more problems")
        super().__init__("\n".join([*shown, "no entry was added"]))


def _read_csv(file: IO[str], workspaces: Collection[str] | None) -> list[NewEntry]:
    """Read CSV with column names in the first line, as ``export`` writes it; an empty cell is the default.

    :param workspaces: see :func:`orchestrator.core.new_entry.new_entry`.
    :raises BadFile: names each line that is wrong.
    """
    return _collect(_rows(file), _from_cells, workspaces)


def _read_json_lines(file: IO[str], workspaces: Collection[str] | None) -> list[NewEntry]:
    """Read one JSON object per line; ``parameters`` and ``options`` may be objects or their JSON text.

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
            if count == _MAX_ENTRIES:
                problems.append(f"line {number}: more than {_MAX_ENTRIES:,} entries; split the file")
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
        problems.append("the file has no entries")
    if problems:
        raise _BadFile(problems)
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
            column = name.strip()
            given[column] = _number(column, text) if column in new_entry.NUMBERS else unguarded(text)
    return given


def _number(column: str, text: str) -> int:
    least, most = new_entry.NUMBERS[column]
    try:
        return whole_of_text(text.strip(), least=least, most=most)
    except ValueError as error:
        raise InvalidEntry(f"{column} {error}") from None


def _from_json(line: str) -> dict[str, Any]:
    try:
        given = json.loads(line)
    except (ValueError, RecursionError):
        raise InvalidEntry("not JSON; write one object per line") from None
    if not isinstance(given, dict):
        raise InvalidEntry("not an object")
    return given


COMMANDS = (_add,)
