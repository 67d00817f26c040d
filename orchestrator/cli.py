"""The command line: ``python -m orchestrator COMMAND``."""

import argparse
import asyncio
import logging
import sys
from collections.abc import Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

from orchestrator import bootstrap, checks, purge, settings
from orchestrator.errors import OrchestratorError, SettingsError, StoreError
from orchestrator.models import Entry, LogRow, NewEntry
from orchestrator.store import adopt, migrate
from orchestrator.store.pool import PATIENCE_SECONDS
from orchestrator.store.store import Store

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

#: Exit codes: all went well; something did not; the command line itself is wrong (argparse's own).
OK, FAILED, USAGE = 0, 1, 2

#: Adopting changes a whole table in a few statements; the usual 30 seconds would stop at some million rows.
ADOPT_STATEMENT_SECONDS = 600

#: Databricks allows no more (``max_concurrent_runs`` of a job).
MAX_CONCURRENT_RUNS = 1000


def main(argv: list[str]) -> int:
    """Run one command and return its exit code."""
    arguments = _parser().parse_args(argv)
    logging.basicConfig(level=logging.ERROR, format="%(levelname)s %(message)s")  # problems are printed
    try:
        code: int = asyncio.run(arguments.command(arguments))
    except OrchestratorError as error:
        print(error, file=sys.stderr)
        return FAILED
    return code


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m orchestrator",
        description="Settings come from the environment, and below it from ./local.settings.json.",
    )
    commands = parser.add_subparsers(required=True, metavar="COMMAND")

    def command(
        name: str, run: Callable[[argparse.Namespace], Awaitable[int]], text: str
    ) -> argparse.ArgumentParser:
        sub = commands.add_parser(name, help=text, description=text)
        sub.set_defaults(command=run)
        return sub

    init_db = command("init-db", _init_db, "create the tables, or bring them to this version's schema")
    how = init_db.add_mutually_exclusive_group()
    how.add_argument(
        "--adopt",
        action="store_true",
        help="take over a track_processing that is there already (docs/adopt.md)",
    )
    how.add_argument("--print", action="store_true", help="print the SQL instead, for a DBA to run")
    init_db.add_argument(
        "--from-version", type=_version, default=0, help="with --print: the schema that is there (default 0)"
    )
    _add_arguments(command("add", _add, "add a row, as an INSERT into track_processing does"))
    command("status", _status, "count the rows by state and show the last ticks")
    show = command("show", _show, "show a row and every run of it")
    show.add_argument("id", type=_id)
    show.add_argument("--parameters", action="store_true", help="show the row's parameters too")
    for name, run, text in (
        ("retry", _retry, "run final rows again; do not wait for failed ones' back-off"),
        ("cancel", _cancel, "cancel rows, and their runs if they have any"),
    ):
        command(name, run, text).add_argument("ids", type=_id, nargs="+", metavar="ID")
    tick = command("tick", _tick, "make one pass by hand")
    tick.add_argument("function", choices=["trigger", "monitor"])
    job = command("create-job", _create_job, "create the Databricks job and print its id")
    job.add_argument("--notebook", required=True, metavar="PATH", help="the notebook's path in the workspace")
    job.add_argument("--name", default="databricks-job-orchestrator")
    job.add_argument("--workspace", default=settings.DEFAULT_WORKSPACE)
    clean = command("purge", _purge, "delete final rows and their log rows, in small batches")
    clean.add_argument("--older-than", type=_age, required=True, metavar="AGE", help="90d, 12h or 30m")
    command("check", _check, "check settings, store, queue, token, Databricks and job")
    return parser


def _add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("table_name")
    parser.add_argument("--workspace", default=settings.DEFAULT_WORKSPACE)
    parser.add_argument("--job-id", type=_id, help="default: the workspace's job")
    parser.add_argument("--parameter-style", default="notebook_params")
    parser.add_argument("--parameters", metavar="JSON", help='default: {"table_name": …}')
    parser.add_argument("--priority", type=_int32, default=0, help="higher is claimed first")
    parser.add_argument("--max-attempts", type=_int32, help="default: the setting MAX_ATTEMPTS; 0 = no limit")


def _id(text: str) -> int:
    return _whole(text, 1, 2**63 - 1)


def _version(text: str) -> int:
    return _whole(text, 0, len(migrate.available("sqlserver")))  # as many as SQLite has; a test compares


def _int32(text: str) -> int:
    return _whole(text, -(2**31), 2**31 - 1)


def _whole(text: str, least: int, most: int) -> int:
    """A number that its column can hold."""
    try:
        value = int(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number") from None
    if not least <= value <= most:
        raise argparse.ArgumentTypeError(f"{text} is not from {least} to {most}")
    return value


def _age(text: str) -> float:
    try:
        return purge.age_seconds(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from None


def _environment() -> dict[str, str]:
    return settings.environment(Path.cwd())


@asynccontextmanager
async def _store(patience: float = 0) -> "AsyncIterator[Store]":
    """By default without patience: a person waits, and may try again."""
    store = Store(bootstrap.connector(settings.load_store(_environment())), patience=patience)
    try:
        yield store
    finally:
        await store.close()


@asynccontextmanager
async def _application(patience: float = 0) -> "AsyncIterator[bootstrap.Application]":
    app = bootstrap.Application(settings.load(_environment()), patience=patience)
    try:
        yield app
    finally:
        await app.close()


async def _init_db(arguments: argparse.Namespace) -> int:
    connector = bootstrap.connector(settings.load_store(_environment()), create=not arguments.print)
    if arguments.print:
        print(migrate.script(connector.dialect, arguments.from_version), end="")
        return OK
    if arguments.adopt:
        await _adopt()
    try:
        applied = await asyncio.to_thread(migrate.apply, connector)
    except StoreError as error:
        if "already" in str(error):  # "already exists", "There is already an object named …"
            raise StoreError(f"{error}; to take over a table that is there: init-db --adopt") from error
        raise
    for migration in applied:
        print(f"applied {migration.version:04}_{migration.name}")
    print(f"the schema is at version {migrate.available(connector.dialect)[-1].version}")
    return OK


async def _adopt() -> None:
    store = settings.load_store(_environment())
    wanted = adopt.Adoption(
        table_name_column=store.table_name_column,
        parameters_column=store.parameters_column,
        status_map=store.status_map,
    )
    connector = bootstrap.connector(store, statement_timeout_seconds=ADOPT_STATEMENT_SECONDS)
    report = await asyncio.to_thread(adopt.apply, connector, wanted)
    for line in report.lines():
        print(line)


async def _add(arguments: argparse.Namespace) -> int:
    new = NewEntry(
        table_name=arguments.table_name,
        workspace=arguments.workspace,
        job_id=arguments.job_id,
        parameter_style=arguments.parameter_style,
        parameters=arguments.parameters,
        priority=arguments.priority,
        max_attempts=arguments.max_attempts,
    )
    where = settings.load_store(_environment())
    if (where.table_name_column, where.parameters_column) != ("table_name", "parameters"):
        print(
            f"this table's own columns are {where.table_name_column} and {where.parameters_column}: "
            "insert rows by SQL into them",
            file=sys.stderr,
        )
        return FAILED
    async with _store() as store:
        for entry_id in await store.add([new]):
            print(entry_id)
    return OK


async def _status(_: argparse.Namespace) -> int:
    async with _store() as store:
        counts, ticks, now = await store.counts(), await store.ticks(), await store.now()
    if not counts:
        print("no rows")
    for workspace, states in counts.items():
        total = sum(states.values())
        print(
            f"{workspace}: {total} rows; " + ", ".join(f"{count} {state}" for state, count in states.items())
        )
    for tick in ticks:
        age = (now - tick.started_at).total_seconds()
        outcome = tick.outcome or "not finished"
        print(f"{tick.name}: began {tick.started_at:%Y-%m-%d %H:%M:%S} UTC, {age:.0f} s ago: {outcome}")
    return OK


async def _show(arguments: argparse.Namespace) -> int:
    async with _store() as store:
        entry = await store.get(arguments.id)
        logs = await store.logs(arguments.id)
    if entry is None:
        print(f"there is no row {arguments.id}", file=sys.stderr)
        return FAILED
    _print_entry(entry, with_parameters=arguments.parameters)
    for log in logs:
        _print_log(log)
    return OK


def _print_entry(entry: Entry, *, with_parameters: bool) -> None:
    fields = asdict(entry)
    if entry.parameters is not None and not with_parameters:
        fields["parameters"] = f"{len(entry.parameters)} characters (--parameters shows them)"
    for name, value in fields.items():
        if value is not None:
            print(f"{name:18}{value}")


def _print_log(log: LogRow) -> None:
    print(f"\nsubmission {log.submission}, attempt {log.attempt}: {log.status}")
    for name, value in asdict(log).items():
        if value is not None and name not in {"entry_id", "submission", "attempt", "status"}:
            print(f"  {name:18}{value}")


async def _retry(arguments: argparse.Namespace) -> int:
    async with _store() as store:
        return await _each(
            arguments.ids,
            store.retry,
            "waits again",
            "is not there, or neither over nor failed (a waiting row needs no retry)",
        )


async def _cancel(arguments: argparse.Namespace) -> int:
    async with _store() as store:
        return await _each(
            arguments.ids,
            store.request_cancel,
            "is cancelled at the next pass",
            "is over already, or not there",
        )


async def _each(
    ids: list[int], change: Callable[[int], Awaitable[bool]], changed: str, unchanged: str
) -> int:
    code = OK
    for entry_id in ids:
        if await change(entry_id):
            print(f"{entry_id} {changed}")
        else:
            print(f"{entry_id} {unchanged}", file=sys.stderr)
            code = FAILED
    return code


async def _purge(arguments: argparse.Namespace) -> int:
    total = 0
    async with _store(PATIENCE_SECONDS) as store:
        async for total in purge.purge(store, older_than_seconds=arguments.older_than):
            print(f"{total} rows deleted", file=sys.stderr)
    print(total)
    return OK


async def _tick(arguments: argparse.Namespace) -> int:
    async with _application(PATIENCE_SECONDS) as app:
        problems = await (app.trigger() if arguments.function == "trigger" else app.monitor())
    for problem in problems:
        print(problem, file=sys.stderr)
    if not problems:
        print(f"{arguments.function}: {bootstrap.OK}")
    return FAILED if problems else OK


async def _create_job(arguments: argparse.Namespace) -> int:
    async with _application() as app:
        workspace = next((w for w in app.settings.workspaces if w.name == arguments.workspace), None)
        if workspace is None:
            print(f"there is no workspace {arguments.workspace} in the settings", file=sys.stderr)
            return FAILED
        job_id = await app.runs[workspace.name].create_job(
            name=arguments.name,
            notebook_path=arguments.notebook,
            max_concurrent_runs=min(workspace.cap, MAX_CONCURRENT_RUNS),
        )
    print(job_id)
    return OK


async def _check(_: argparse.Namespace) -> int:
    logging.getLogger("orchestrator").setLevel(logging.CRITICAL)  # what is wrong is told in its line
    code = OK
    try:
        async with _application() as app:
            async for finding in checks.run(app):
                print(f"{'ok  ' if finding.ok else 'FAIL'}  {finding.subject}: {finding.text}")
                code = code if finding.ok else FAILED
    except SettingsError as error:
        for problem in error.problems:
            print(f"FAIL  settings: {problem}")
        return FAILED
    except StoreError as error:
        print(f"FAIL  store: {error}")
        return FAILED
    return code
