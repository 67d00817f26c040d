"""``add``: rows from options, a CSV file or JSON lines; all of them or none."""

import asyncio
from collections.abc import Sequence
from typing import IO

import click

from orchestrator import intake, settings
from orchestrator.cli import connecting, rowfiles
from orchestrator.cli.codes import FAILED, OK
from orchestrator.cli.options import ID, INT32, Whole, json_option
from orchestrator.cli.output import complain, print_json
from orchestrator.models import NewEntry

#: ``-`` is standard input. Excel begins a UTF-8 file with a mark, which ``utf-8-sig`` drops.
_FILE = click.File("r", encoding="utf-8-sig")


@click.command("add")
@click.argument("table_name", required=False)
@click.option("--workspace", metavar="NAME", help="A workspace of the settings; default: default.")
@click.option("--job-id", type=ID, help="Default: the workspace's job.")
@click.option("--parameter-style", metavar="STYLE", help="Default: notebook_params.")
@click.option("--parameters", metavar="JSON", help='Default: {"table_name": …}.')
@click.option("--priority", type=INT32, help="Higher is claimed first; default: 0.")
@click.option("--max-attempts", type=Whole(0, 2**31 - 1), help="0 = no limit; default: MAX_ATTEMPTS.")
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
    if csv_file is not None:
        entries = rowfiles.read_csv(csv_file)
    elif jsonl_file is not None:
        entries = rowfiles.read_json_lines(jsonl_file)
    else:
        entries = [intake.new_entry(given)]
    return asyncio.run(_insert(entries, as_json=as_json))


async def _insert(entries: Sequence[NewEntry], *, as_json: bool) -> int:
    where = settings.load_store(connecting.environment())
    if (where.table_name_column, where.parameters_column) != ("table_name", "parameters"):
        complain(
            f"this table's own columns are {where.table_name_column} and {where.parameters_column}: "
            "insert rows by SQL into them"
        )
        return FAILED
    async with connecting.store() as store:
        ids = await store.add(entries)
    if as_json:
        print_json({"ids": ids})
    else:
        click.echo("\n".join(str(entry_id) for entry_id in ids))
    return OK


COMMANDS = (add,)
