"""Submitting: how long it takes until every entry has its run.

``make bench TOPICS=submitting``. Ten calls of ``run-now`` at once, each of which takes a given time, so the
ideal is a tenth of the sum. Times are the server's: from the first call that arrives to the last answer.
"""

import asyncio
import concurrent.futures
import dataclasses
import json
import logging
import os
import subprocess
import sys
import tempfile
import time
import uuid
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

import aiohttp
from azure.storage.queue import TextBase64EncodePolicy
from azure.storage.queue.aio import QueueClient
from databricks.sdk import WorkspaceClient
from databricks.sdk.core import Config

from benchmarks.databricks_server import ROOT, Report, Server, running_server
from benchmarks.tables import Table
from devstack import azurite, processes
from orchestrator import settings
from orchestrator.adapters import queue
from orchestrator.adapters.store import migrate
from orchestrator.adapters.store.sqlite import SqliteConnector
from orchestrator.bootstrap import Application
from orchestrator.core.models import Claim

#: What ``host.json`` lets run at once in an instance, and what the others are given.
AT_ONCE = 10

#: Entries, and how long an answer takes.
SIZE, SECONDS = 300, 0.15
FULL_SIZE, FULL_SECONDS = 1000, (0.05, 0.15, 0.5)

#: The server takes any.
TOKEN = "none"  # noqa: S105

#: Never: the passes are asked for.
NEVER = "0 0 0 29 2 *"

#: Data Factory starts an activity about half a second after the one before it has ended, at best: an
#: assumption, since this cannot be measured here. An iteration has two, the call and the procedure that
#: stores the run id.
ACTIVITY_SECONDS = 0.5

#: Of the command for the environment of Airflow, which is large.
INSTALL_SECONDS = 600
AIRFLOW = "apache-airflow-providers-databricks>=7,<8"

#: Airflow's hook from a thread pool of ten, as ten tasks at once; run by a Python that has it.
AIRFLOW_PROGRAM = """
import concurrent.futures, logging, os, sys
from airflow.providers.databricks.hooks.databricks import DatabricksHook
logging.disable(logging.INFO)
size, at_once = int(sys.argv[1]), int(sys.argv[2])

def run(number):
    call = {"job_id": 1, "idempotency_token": f"airflow-{number}", "notebook_params": {"table_name": "a"}}
    return DatabricksHook(retry_limit=1).run_now(call)

run(-1)  # signs in and imports what it needs
print("ready", flush=True)
sys.stdin.readline()
with concurrent.futures.ThreadPoolExecutor(at_once) as pool:
    list(pool.map(run, range(size)))
"""

#: A function that makes the call and does nothing else.
BARE_FUNCTION = """
import os
import aiohttp
import azure.functions as func

app = func.FunctionApp()
session = None

@app.function_name("submit")
@app.queue_trigger(arg_name="message", queue_name="%SUBMIT_QUEUE_NAME%", connection="AzureWebJobsStorage")
async def submit(message: func.QueueMessage) -> None:
    global session
    session = session or aiohttp.ClientSession()
    call = {"job_id": 1, "idempotency_token": message.get_body().decode()}
    url = os.environ["DATABRICKS_HOST"] + "/api/2.2/jobs/run-now"
    async with session.post(url, json=call) as response:
        await response.json()
"""


@dataclass(frozen=True, kw_only=True)
class Measured:
    """How one way of submitting did."""

    report: Report
    #: from the insert, or from when the work was handed over, to the last answer; None = as the report
    whole_seconds: float | None = None


class Unavailable(Exception):
    """A way cannot be measured here; the message says why."""


Way = Callable[[Server, int, float], Awaitable[Measured]]


async def without_queue(server: Server, size: int, seconds: float) -> Measured:
    """Measure this app's submissions without Storage and the host: the claims are handed over in memory."""
    await server.begin(0)  # no run of somebody else is active
    with _folder() as folder:
        migrate.apply(SqliteConnector(folder / "state.db", create=True))
        app = Application(settings.load(_settings(server, folder, size)))
        try:
            _insert(folder / "state.db", size)
            claims = _Claims()
            await dataclasses.replace(app._trigger, queue=claims)()
            messages = iter([queue._encode(claim) for claim in claims.sent])
            await server.begin(seconds)
            await asyncio.gather(*(_take(app, messages) for _ in range(AT_ONCE)))
            return Measured(report=await server.report())
        finally:
            await app.close()


async def through_the_host(server: Server, size: int, seconds: float) -> Measured:
    """Measure this app through Azurite and the local Functions host, from the insert on."""
    with _folder() as folder, azurite.emulator(folder / "azurite.log") as storage:
        migrate.apply(SqliteConnector(folder / "state.db", create=True))
        (folder / "function_app.py").symlink_to(ROOT / "function_app.py")
        (folder / "orchestrator").symlink_to(ROOT / "orchestrator")
        environment = _settings(server, folder, size) | _storage(storage.urls)
        with _host(folder, environment) as url:
            await server.begin(seconds)
            inserted = time.perf_counter()
            _insert(folder / "state.db", size)
            await _ask_for_a_pass(url)
            report = await _all_called(server, size)
            return Measured(report=report, whole_seconds=report.last - inserted)


async def bare_function(server: Server, size: int, seconds: float) -> Measured:
    """Measure a queue function that only makes the call, through the same host and Azurite."""
    with _folder() as folder, azurite.emulator(folder / "azurite.log") as storage:
        (folder / "function_app.py").write_text(BARE_FUNCTION)
        environment = _settings(server, folder, size) | _storage(storage.urls)
        names = environment["AzureWebJobsStorage"], environment["SUBMIT_QUEUE_NAME"]
        with _host(folder, environment):
            await server.begin(seconds)
            async with QueueClient.from_connection_string(*names) as client:
                for _ in range(size):
                    await client.send_message(TextBase64EncodePolicy().encode(uuid.uuid4().hex))
            return Measured(report=await _all_called(server, size))


async def databricks_sdk(server: Server, size: int, seconds: float) -> Measured:
    """Measure Databricks' own Python SDK from a thread pool."""
    client = WorkspaceClient(config=Config(host=server.url, token=TOKEN, auth_type="pat", rate_limit=10_000))

    def run(number: int) -> None:
        client.jobs.run_now(1, idempotency_token=f"sdk-{number}", notebook_params={"table_name": "a"})

    await asyncio.to_thread(run, -1)  # connects
    await server.begin(seconds)
    await asyncio.to_thread(_in_a_pool, run, size)
    return Measured(report=await server.report())


async def airflow(server: Server, size: int, seconds: float) -> Measured:
    """Measure Airflow's hook, in an environment of its own."""
    python = await asyncio.to_thread(_airflow)
    with _folder() as folder:
        place = urlsplit(server.url)
        connection = {
            "conn_type": "databricks",
            "schema": place.scheme,
            "host": place.hostname,
            "port": place.port,
            "password": TOKEN,
        }
        environment = {
            **os.environ,
            "AIRFLOW_HOME": str(folder),
            "AIRFLOW_CONN_DATABRICKS_DEFAULT": json.dumps(connection),
        }
        program = await asyncio.create_subprocess_exec(
            *(python, "-c", AIRFLOW_PROGRAM, str(size), str(AT_ONCE)),
            env=environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )
        async with asyncio.timeout(120 + 2 * size * seconds / AT_ONCE):
            await _until_ready(program)
            await server.begin(seconds)
            await program.communicate(b"\n")
        return Measured(report=await server.report())


async def _until_ready(program: asyncio.subprocess.Process) -> None:
    output = program.stdout
    while output is not None and (line := await output.readline()):
        if line == b"ready\n":
            return
    _, errors = await program.communicate()
    raise Unavailable(f"its hook failed: {errors.decode().strip().splitlines()[-1]}")


async def data_factory(server: Server, size: int, seconds: float) -> Measured:
    """Measure the first of two Data Factory pipelines as it works, with an assumed time between activities.

    ForEach hands its items to ten lines beforehand, and each line takes one after the other: a Web activity
    with the call, then a stored procedure that writes the run id.
    """
    await server.begin(seconds)
    async with aiohttp.ClientSession() as session:

        async def line(numbers: Sequence[int]) -> None:
            for number in numbers:
                await asyncio.sleep(ACTIVITY_SECONDS)
                call = {"job_id": 1, "idempotency_token": f"factory-{number}"}
                async with session.post(f"{server.url}/api/2.2/jobs/run-now", json=call) as response:
                    await response.json()
                await asyncio.sleep(ACTIVITY_SECONDS)

        began = time.perf_counter()
        await asyncio.gather(*(line(range(size)[first::AT_ONCE]) for first in range(AT_ONCE)))
    report = await server.report()
    return Measured(report=dataclasses.replace(report, first=began))


#: In the order of the table.
WAYS: dict[str, Way] = {
    "this app without the queue": without_queue,
    "databricks-sdk, thread pool of ten": databricks_sdk,
    "Airflow's hook, ten tasks at once": airflow,
    "this app, through Azurite and its host": through_the_host,
    "a function that only calls, through the same": bare_function,
    "Data Factory, ForEach of ten (a model)": data_factory,
}


def tables(*, full: bool) -> Iterator[Table]:
    """Yield a table for each time that an answer takes."""
    logging.disable(logging.INFO)
    size, times = (FULL_SIZE, FULL_SECONDS) if full else (SIZE, (SECONDS,))
    with _folder() as folder, running_server(folder) as server:
        for seconds in times:
            yield asyncio.run(compare(server, size, seconds))


async def compare(server: Server, size: int, seconds: float, ways: dict[str, Way] | None = None) -> Table:
    """Measure all ways, one after the other, against the same server."""
    ceiling = await _ceiling(server)
    ideal = -(-size // AT_ONCE) * seconds
    rows, notes = [], [f"The server itself answers {ceiling:,.0f} calls a second to this machine."]
    if data_factory in (ways or WAYS).values():
        notes.append(
            f"Data Factory: {ACTIVITY_SECONDS} s before and after each call is assumed, not measured."
        )
    for name, way in (WAYS if ways is None else ways).items():
        try:
            measured = await way(server, size, seconds)
        except Unavailable as error:
            notes.append(f"{name}: not measured, {error}.")
            continue
        rows.append(_row(name, measured, size, ideal))
    answer = f"run-now takes {seconds * 1000:.0f} ms"
    return Table(
        title=f"Submitting {size:,} entries, ten at once, {answer}; ideal {ideal:.2f} s",
        columns=("way", "first to last, s", "ratio", "from the insert, s", "ratio", "most at once"),
        rows=rows,
        notes=notes,
    )


def _row(name: str, measured: Measured, size: int, ideal: float) -> tuple[str, ...]:
    report = measured.report
    if report.runs != size:
        raise AssertionError(f"{name}: {report.runs} runs of {size} entries")
    whole = measured.whole_seconds
    return (
        name,
        f"{report.seconds:.2f}",
        f"{report.seconds / ideal:.2f}",
        "" if whole is None else f"{whole:.2f}",
        "" if whole is None else f"{whole / ideal:.2f}",
        str(report.most_at_once),
    )


async def _ceiling(server: Server, calls: int = 1000) -> float:
    """Return how many calls a second the server answers when it takes no time, asked by fifty at once."""
    await server.begin(0)
    numbers = iter(range(calls))
    async with aiohttp.ClientSession() as session:

        async def ask() -> None:
            for number in numbers:
                call = {"job_id": 1, "idempotency_token": str(number)}
                async with session.post(f"{server.url}/api/2.2/jobs/run-now", json=call) as response:
                    await response.read()

        await asyncio.gather(*(ask() for _ in range(50)))
    return calls / (await server.report()).seconds


class _Claims:
    """A queue that keeps what is sent."""

    def __init__(self) -> None:
        self.sent: list[Claim] = []

    async def send(self, claims: Sequence[Claim]) -> Sequence[Claim]:
        """Keep the claims, all of them."""
        self.sent += claims
        return ()


async def _take(app: Application, messages: Iterator[str]) -> None:
    for message in messages:
        await app.submit(message.encode())


def _settings(server: Server, folder: Path, size: int) -> dict[str, str]:
    return {
        "DATABRICKS_HOST": server.url,
        "DATABRICKS_TOKEN": TOKEN,
        "DATABRICKS_JOB_ID": "1",
        "MAX_ACTIVE_RUNS": str(size),
        "STATE_DB": str(folder / "state.db"),
        "SUBMIT_QUEUE_NAME": f"bench-{uuid.uuid4().hex}",
        "TRIGGER_SCHEDULE": NEVER,
        "MONITOR_SCHEDULE": NEVER,
        "AzureWebJobsStorage": azurite.connection_string(),
    }


def _storage(urls: Sequence[str]) -> dict[str, str]:
    return {"AzureWebJobsStorage": azurite.connection_string(*urls)}


def _insert(file: Path, size: int) -> None:
    with closing(SqliteConnector(file).connect().connection) as connection:
        connection.cursor().executemany(
            "INSERT INTO track_processing (table_name) VALUES (?)", [(f"table_{n}",) for n in range(size)]
        )
        connection.commit()


def _in_a_pool(run: Callable[[int], None], size: int) -> None:
    with concurrent.futures.ThreadPoolExecutor(AT_ONCE) as pool:
        list(pool.map(run, range(size)))


async def _ask_for_a_pass(host: str) -> None:
    async with aiohttp.ClientSession() as session:
        response = await session.post(f"{host}/admin/functions/trigger", json={"input": ""})
        response.raise_for_status()


async def _all_called(server: Server, size: int) -> Report:
    """Wait until the server has seen a run for each entry, and no call goes on."""
    async with asyncio.timeout(300):
        while True:
            report = await server.report()
            if report.runs >= size and report.at_once == 0:
                return report
            await asyncio.sleep(0.1)


@contextmanager
def _host(folder: Path, environment: dict[str, str]) -> Iterator[str]:
    """Run the local Functions host with the app of a folder, and give its address."""
    (folder / "host.json").symlink_to(ROOT / "host.json")
    host = processes.start(
        "host",
        [sys.executable, "-m", "devstack", "host", "--app", str(folder), "--port", "0"],
        log=folder / "host.log",
        env=environment,
        cwd=ROOT,
    )
    try:
        yield host.url
    finally:
        host.stop()


@contextmanager
def _folder() -> Iterator[Path]:
    with tempfile.TemporaryDirectory() as folder:
        yield Path(folder)


def _airflow() -> str:
    """Return the Python of an environment with Airflow's hook, made at the first time."""
    folder = ROOT / ".run" / "airflow"
    python = folder / "bin" / "python"
    commands = [
        [sys.executable, "-m", "venv", str(folder)],
        [str(python), "-m", "pip", "install", "--quiet", "--disable-pip-version-check", AIRFLOW],
    ]
    if not (folder / "complete").exists():
        for command in commands:
            try:
                subprocess.run(command, check=True, capture_output=True, text=True, timeout=INSTALL_SECONDS)
            except (subprocess.SubprocessError, OSError) as error:
                said = getattr(error, "stderr", None) or str(error)
                raise Unavailable(f"Airflow cannot be installed: {said.strip().splitlines()[-1]}") from error
        (folder / "complete").touch()
    return str(python)
