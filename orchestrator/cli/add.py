"""``add``: rows from options, a CSV file or JSON lines; all of them or none."""

import asyncio
from collections.abc import Sequence
from typing import IO

import click

from orchestrator import settings
from orchestrator.cli import context, rowfiles
from orchestrator.cli.codes import OK
from orchestrator.cli.options import ID, INT32, Whole, json_option
from orchestrator.cli.output import complain, print_json
from orchestrator.core import new_entry
from orchestrator.core.models import NewEntry
from orchestrator.core.numbers import MAX_INT32
from orchestrator.settings.workspaces import DEFAULT_WORKSPACE

#: ``-`` is standard input. Excel begins a UTF-8 file with a mark, which ``utf-8-sig`` drops.
_FILE = click.File("r", encoding="utf-8-sig")

#: Workspaces that a warning names; a file with its columns mixed up has one a line.
MAX_NAMED = 5


@click.command("add")
@click.argument("table_name", required=False)
@click.option("--workspace", metavar="NAME", help="A workspace of the settings; default: default.")
@click.option("--job-id", type=ID, help="Default: the workspace's job.")
@click.option("--parameter-style", metavar="STYLE", help="Default: notebook_params.")
@click.option("--parameters", metavar="JSON", help='Default: {"table_name": …}.')
@click.option("--priority", type=INT32, help="Higher is claimed first; default: 0.")
@click.option("--max-attempts", type=Whole(0, MAX_INT32), help="0 = no limit; default: MAX_ATTEMPTS.")
@click.option("--csv", "csv_file", type=_FILE, metavar="FILE", help="Rows under a line of column names.")
@click.option("--jsonl", "jsonl_file", type=_FILE, metavar="FILE", help="Rows as JSON, an object a line.")
@json_option
def add(
    csv_file: IO[str] | None, jsonl_file: IO[str] | None, as_json: bool, **columns: str | int | None
) -> int:
    """Add rows and print their ids.

    One row by its table, as an INSERT into track_processing does, or many from a file (- is standard input):
    all of them or, when one is wrong, none.
    """
    given = {name: value for name, value in columns.items() if value is not None}
    files = [file for file in (csv_file, jsonl_file) if file is not None]
    if ("table_name" in given) + len(files) != 1:
        raise click.UsageError("give one of TABLE_NAME, --csv and --jsonl")
    if files and given:
        raise click.UsageError("a row's options do not go with a file: its columns say the same")
    workspaces = settings.load_workspace_names(context.environment())
    if csv_file is not None:
        entries = rowfiles.read_csv(csv_file, workspaces)
    elif jsonl_file is not None:
        entries = rowfiles.read_json_lines(jsonl_file, workspaces)
    else:
        entries = [new_entry.new_entry(given, workspaces)]
    if workspaces is None:
        _warn_of({entry.workspace for entry in entries})
    return asyncio.run(_insert(entries, as_json=as_json))


def _warn_of(workspaces: set[str]) -> None:
    """Say which workspaces nobody has checked; the app's settings always have the default one."""
    named = sorted(workspaces - {DEFAULT_WORKSPACE})
    if not named:
        return
    more = f" and {len(named) - MAX_NAMED} more" if len(named) > MAX_NAMED else ""
    complain(
        f"not checked: workspace {', '.join(named[:MAX_NAMED])}{more}, since neither DATABRICKS_HOST nor "
        "DATABRICKS_WORKSPACES is set here; a row of a workspace that the app does not know ends DEAD"
    )


async def _insert(entries: Sequence[NewEntry], *, as_json: bool) -> int:
    async with context.tools() as tools:
        ids = await tools.operator.add(entries)
    if as_json:
        print_json({"ids": ids})
    else:
        click.echo("\n".join(str(entry_id) for entry_id in ids))
    return OK


COMMANDS = (add,)
