"""What is done to the installation: its tables, its job, a pass by hand, the purge, the check."""

import asyncio

import click

from orchestrator import bootstrap, settings
from orchestrator.adapters.store import adopt, migrate
from orchestrator.adapters.store.connector import Connector
from orchestrator.cli import context
from orchestrator.cli.options import Age, Whole, json_option
from orchestrator.cli.output import FAILED, OK, complain, print_json
from orchestrator.core.errors import StoreError
from orchestrator.settings.workspaces import DEFAULT_WORKSPACE
from orchestrator.usecases import timer_pass

#: Adopting changes a whole table in a few statements; the usual 30 seconds would stop at some million rows.
MIGRATION_STATEMENT_SECONDS = 600

#: Databricks allows no more (``max_concurrent_runs`` of a job).
MAX_CONCURRENT_RUNS = 1000

#: As many as SQLite has; a test compares.
_LATEST = len(migrate.available("sqlserver"))


@click.command("init-db")
@click.option("--adopt", "adopts", is_flag=True, help="Take over a track_processing that is there already.")
@click.option("--print", "prints", is_flag=True, help="Print the SQL instead, for a DBA to run.")
@click.option("--print-queries", is_flag=True, help="Print the T-SQL that the app runs, for a DBA to read.")
@click.option(
    "--from-version",
    type=Whole(0, _LATEST),
    default=0,
    show_default=True,
    help="With --print: what is there.",
)
@json_option
def init_db(adopts: bool, prints: bool, print_queries: bool, from_version: int, as_json: bool) -> int:
    """Create the tables, or bring them up to date.

    docs/adopt.md has what --adopt needs to know.
    """
    if prints and (adopts or as_json):
        raise click.UsageError(
            "--print goes with neither --adopt nor --json: it prints SQL and looks at nothing"
        )
    if print_queries:
        click.echo(bootstrap.print_queries(), nl=False)
        return OK
    # A new index of a large table takes its time.
    connector = bootstrap.connector(
        settings.load_store(context.environment()),
        create=not prints,
        statement_timeout_seconds=MIGRATION_STATEMENT_SECONDS,
    )
    if prints:
        click.echo(migrate.script(connector.dialect, from_version), nl=False)
        return OK
    adopted = _adopt(quiet=as_json) if adopts else []
    applied = _migrate(connector)
    version = migrate.available(connector.dialect)[-1].version
    if as_json:
        print_json({"adopted": adopted, "applied": applied, "version": version})
    else:
        click.echo(
            "\n".join([*(f"applied {name}" for name in applied), f"the schema is at version {version}"])
        )
    return OK


def _migrate(connector: Connector) -> list[str]:
    """Bring the tables up to date and return the migrations applied."""
    asyncio.run(context.wake(connector))
    try:
        return [f"{migration.version:04}_{migration.name}" for migration in migrate.apply(connector)]
    except StoreError as error:
        if "already" in str(error):  # "already exists", "There is already an object named …"
            raise StoreError(f"{error}; to take over a table that is there: init-db --adopt") from error
        raise


def _adopt(*, quiet: bool) -> list[str]:
    """Take the table over and return what was done, a line each; print it before anything else can fail."""
    store = settings.load_store(context.environment())
    wanted = adopt.Adoption(
        table_name_column=store.table_name_column,
        parameters_column=store.parameters_column,
        status_map=store.status_map,
    )
    connector = bootstrap.connector(store, statement_timeout_seconds=MIGRATION_STATEMENT_SECONDS)
    asyncio.run(context.wake(connector))
    lines = list(adopt.apply(connector, wanted).lines())
    if not quiet:
        click.echo("".join(f"{line}\n" for line in lines), nl=False)
    return lines


@click.command("create-job")
@click.option("--notebook", required=True, metavar="PATH", help="The notebook's path in the workspace.")
@click.option("--name", default="databricks-job-orchestrator", show_default=True, help="The job's name.")
@click.option("--workspace", default=DEFAULT_WORKSPACE, show_default=True, metavar="NAME")
@json_option
def create_job(notebook: str, name: str, workspace: str, as_json: bool) -> int:
    """Create the Databricks job and print its id."""
    job_id = asyncio.run(_create_job(notebook, name, workspace))
    if job_id is None:
        complain(f"there is no workspace {workspace} in the settings")
        return FAILED
    if as_json:
        print_json({"job_id": job_id})
    else:
        click.echo(job_id)
    return OK


async def _create_job(notebook: str, name: str, workspace: str) -> int | None:
    async with context.application() as app:
        found = next((known for known in app.settings.workspaces if known.name == workspace), None)
        if found is None:
            return None
        return await app.runs[workspace].create_job(
            name=name,
            notebook_path=notebook,
            max_concurrent_runs=min(found.cap, MAX_CONCURRENT_RUNS),
        )


@click.command("pass")
@click.argument("function", type=click.Choice(["trigger", "monitor"]))
@json_option
def pass_(function: str, as_json: bool) -> int:
    """Make one pass of a timer function by hand."""
    problems = asyncio.run(_pass(function))
    if as_json:
        print_json({"function": function, "problems": problems})
    for problem in problems:
        complain(problem)
    if not problems and not as_json:
        click.echo(f"{function}: {timer_pass.OK}")
    return FAILED if problems else OK


async def _pass(function: str) -> list[str]:
    async with context.application(patience=context.PATIENCE_SECONDS) as app:
        return await (app.trigger(by_hand=True) if function == "trigger" else app.monitor(by_hand=True))


@click.command("purge")
@click.option("--older-than", type=Age(), required=True, help="Ended longer ago than 90d, 12h or 30m.")
@json_option
def purge_(older_than: float, as_json: bool) -> int:
    """Delete final rows and their log rows, in small batches."""
    deleted = asyncio.run(_purge(older_than))
    if as_json:
        print_json({"deleted": deleted})
    else:
        click.echo(deleted)
    return OK


async def _purge(older_than: float) -> int:
    total = 0
    async with context.tools() as tools:
        async for total in tools.purge(older_than_seconds=older_than):
            complain(f"{total} rows deleted")
    return total


#: The command's older name.
_tick = click.Command("tick", callback=pass_.callback, params=pass_.params, hidden=True)

COMMANDS = (init_db, create_job, pass_, _tick, purge_)
