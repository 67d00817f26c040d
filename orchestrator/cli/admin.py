"""Administration: ``init-db``, ``grant``, ``create-job``, ``pass``, ``workspace-moved`` and ``purge``."""

import asyncio
from uuid import UUID

import click

from orchestrator import bootstrap, settings
from orchestrator.cli import context
from orchestrator.cli.options import Age, Filled, Whole, json_option
from orchestrator.cli.output import FAILED, OK, complain, print_json
from orchestrator.core.errors import StoreError
from orchestrator.core.models import AskedBy
from orchestrator.core.numbers import id_text
from orchestrator.core.redaction import one_line
from orchestrator.settings.workspaces import DEFAULT_WORKSPACE
from orchestrator.usecases.timer_pass import OK as PASS_OK
from orchestrator.usecases.timer_pass import TIMER_FUNCTIONS

#: Databricks' maximum of a job's ``max_concurrent_runs``.
_MAX_CONCURRENT_RUNS = 1000


@click.command("init-db")
@click.option("--adopt", "adopts", is_flag=True, help="Adopt an existing table track_processing.")
@click.option("--print", "prints", is_flag=True, help="Only print the SQL, for a DBA to run.")
@click.option("--print-queries", is_flag=True, help="Print the T-SQL that the app runs, for a DBA to read.")
@click.option(
    "--from-version",
    type=Whole(0, bootstrap.Setup.latest_version()),
    default=0,
    show_default=True,
    help="With --print: the schema that the database has.",
)
@json_option
def _init_db(adopts: bool, prints: bool, print_queries: bool, from_version: int, as_json: bool) -> int:
    """Create the tables, or bring them up to date.

    See docs/adopt.md before you use --adopt.
    """
    if prints and (adopts or as_json):
        raise click.UsageError("--print cannot be combined with --adopt or --json: it only prints SQL")
    if print_queries and (adopts or prints or from_version or as_json):
        raise click.UsageError("--print-queries cannot be combined with another option: it only prints SQL")
    if print_queries:
        click.echo(bootstrap.Setup.queries(), nl=False)
        return OK
    if prints:
        store = settings.load_store(context.environment())
        click.echo(bootstrap.Setup.migrations(store, from_version), nl=False)
        return OK
    adopted = _adopt(quiet=as_json) if adopts else []
    applied = _migrate()
    version = bootstrap.Setup.latest_version()
    if as_json:
        print_json({"adopted": adopted, "applied": applied, "version": version})
    else:
        click.echo(
            "\n".join([*(f"applied {name}" for name in applied), f"the schema is at version {version}"])
        )
    return OK


def _migrate() -> list[str]:
    """Bring the tables up to date and return the migrations applied."""
    try:
        return context.setup(create=True).migrate()
    except StoreError as error:
        if "already" in str(error):  # "already exists", "There is already an object named …"
            raise StoreError(f"{error}; to adopt an existing table: init-db --adopt") from error
        raise


def _adopt(*, quiet: bool) -> list[str]:
    """Adopt the table and return what was done, one line each; print it before anything else can fail."""
    lines = context.setup(create=False).adopt()
    if not quiet:
        click.echo("".join(f"{line}\n" for line in lines), nl=False)
    return lines


@click.command("grant")
@click.argument("name")
@click.option(
    "--client-id", type=click.UUID, help="The identity's client id, with which a missing user is created."
)
@json_option
def _grant(name: str, client_id: UUID | None, as_json: bool) -> int:
    """Give the app's own identity its rights on the tables, as the database's administrator.

    NAME is the database user: the managed identity's name. Running it again changes nothing.
    """
    statements = context.setup(create=False).grant(name, client_id)
    if as_json:
        print_json({"statements": statements})
    else:
        click.echo("".join(f"{statement}\n" for statement in statements), nl=False)
    return OK


@click.command("create-job")
@click.option(
    "--notebook", required=True, type=Filled(), metavar="PATH", help="The notebook's path in the workspace."
)
@click.option(
    "--name",
    default="databricks-job-orchestrator",
    type=Filled(),
    metavar="NAME",
    show_default=True,
    help="The job's name.",
)
@click.option("--workspace", default=DEFAULT_WORKSPACE, show_default=True, metavar="NAME")
@json_option
def _create_job(notebook: str, name: str, workspace: str, as_json: bool) -> int:
    """Create the Databricks job and print its id."""
    job_id = asyncio.run(_make_job(notebook, name, workspace))
    if job_id is None:
        complain(f"there is no workspace {workspace} in the settings")
        return FAILED
    if as_json:
        print_json({"job_id": id_text(job_id)})
    else:
        click.echo(job_id)
    return OK


async def _make_job(notebook: str, name: str, workspace: str) -> int | None:
    async with context.application() as app:
        found = next((known for known in app.settings.workspaces if known.name == workspace), None)
        if found is None:
            return None
        return await app.runs[workspace].create_job(
            name=name,
            notebook_path=notebook,
            max_concurrent_runs=min(found.cap, _MAX_CONCURRENT_RUNS),
        )


@click.command("pass")
@click.argument("function", type=click.Choice(TIMER_FUNCTIONS))
@json_option
def _pass(function: str, as_json: bool) -> int:
    """Make one pass of a timer function by hand."""
    problems = asyncio.run(_make_pass(function))
    if as_json:
        print_json({"function": function, "problems": problems})
    for problem in problems:
        complain(problem)
    if not problems and not as_json:
        click.echo(f"{function}: {PASS_OK}")
    return FAILED if problems else OK


async def _make_pass(function: str) -> list[str]:
    async with context.application(patience=context.PATIENCE_SECONDS) as app:
        make_pass = app.trigger if function == "trigger" else app.monitor
        return await make_pass(asked_by=AskedBy.COMMAND_LINE)


@click.command("workspace-moved")
@click.argument("name")
@json_option
def _workspace_moved(name: str, as_json: bool) -> int:
    """Say that a workspace has moved to the address in the settings.

    Runs of its entries at another address, and calls there whose outcome is not known, are looked for at this
    one from now on. A run that it does not know is taken for gone, though three or more only after an hour or
    a day, and its entry is tried again: make sure that none of them is active at the other address.
    """
    found = asyncio.run(_move(name))
    if found is None:
        complain(f"there is no workspace {one_line(name)} in the settings")
        return FAILED
    address, moved = found
    if as_json:
        print_json({"workspace": name, "address": address, "ids": moved})
    else:
        click.echo("".join(f"{each} is looked for at {address}\n" for each in moved), nl=False)
        if not moved:
            complain(f"no entry of workspace {one_line(name)} is at another address than {address}")
    return OK


async def _move(name: str) -> tuple[str, list[int]] | None:
    """Return the workspace's address and the entries that were elsewhere; None = no such workspace."""
    known = settings.load(context.environment()).workspaces
    address = next((each.address for each in known if each.name == name), None)
    if address is None:
        return None
    async with context.tools() as tools:
        return address, await tools.operator.move(name, address)


@click.command("purge")
@click.option(
    "--older-than", type=Age(), required=True, help="Delete what ended longer ago, e.g. 90d, 12h or 30m."
)
@json_option
def _purge(older_than: float, as_json: bool) -> int:
    """Delete old final entries and their log rows, in small batches."""
    deleted = asyncio.run(_delete(older_than))
    if as_json:
        print_json({"deleted": deleted})
    else:
        click.echo(deleted)
    return OK


async def _delete(older_than: float) -> int:
    total = 0
    async with context.tools() as tools:
        async for total in tools.purge(older_than_seconds=older_than):
            complain(f"{total} entries deleted")
    return total


#: The former name of ``pass``; scripts may still use it.
_tick = click.Command("tick", callback=_pass.callback, params=_pass.params, hidden=True)

COMMANDS = (_init_db, _grant, _create_job, _pass, _tick, _workspace_moved, _purge)
