"""How deep the calls are nested between a queue message and the database driver."""

import concurrent.futures
import json
import sys
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from types import FrameType
from typing import Any

import azure.functions as func
import pytest

import function_app
from orchestrator import bootstrap, settings
from orchestrator.adapters.store.connector import Connection, Opened
from orchestrator.adapters.store.sqlite import SqliteConnector
from orchestrator.core.models import NewEntry
from tests.empty_store import make_empty_store
from tests.fakes import FakeRuns

#: Functions of this project that may be on the stack, in all, when a submission runs a statement.
MOST_FRAMES = 9

ROOT = Path(function_app.__file__).parent

#: Functions of this project, outermost first.
Chain = tuple[str, ...]

#: In a thread of the pool: the chain on the event loop that waits for it.
_waiting = threading.local()


class Executor(concurrent.futures.ThreadPoolExecutor):
    """Tells each thread which functions wait for it."""

    def submit(self, work: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Any:
        chain = own_functions(sys._getframe(1))

        def traced() -> Any:
            _waiting.chain = chain
            return work(*args, **kwargs)

        return super().submit(traced)


class TracedConnector(SqliteConnector):
    """Notes the chain of calls that leads to each statement."""

    def __init__(self, path: Path) -> None:
        super().__init__(path)
        self.chains: list[Chain] = []

    def connect(self) -> Opened:
        return Opened(connection=TracedConnection(super().connect().connection, self))


class TracedConnection:
    def __init__(self, real: Connection, connector: TracedConnector) -> None:
        self._real = real
        self._connector = connector
        self.commit, self.rollback, self.close = real.commit, real.rollback, real.close

    def cursor(self) -> "TracedCursor":
        return TracedCursor(self._real.cursor(), self._connector)


class TracedCursor:
    def __init__(self, real: Any, connector: TracedConnector) -> None:
        self._real = real
        self._connector = connector

    def execute(self, sql: str, parameters: Any = ()) -> None:
        chain = (*getattr(_waiting, "chain", ()), *own_functions(sys._getframe(1)))
        self._connector.chains.append(chain)
        self._real.execute(sql, parameters)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._real, name)


def own_functions(frame: FrameType | None) -> Chain:
    """Return the functions of this project on a stack."""
    return tuple(reversed([_name(each.f_code) for each in _outwards(frame) if _is_own(each.f_code)]))


def _outwards(frame: FrameType | None) -> Iterator[FrameType]:
    while frame is not None:
        yield frame
        frame = frame.f_back


def _is_own(code: Any) -> bool:
    path = Path(code.co_filename)
    return path == ROOT / "function_app.py" or path.is_relative_to(ROOT / "orchestrator")


def _name(code: Any) -> str:
    return f"{Path(code.co_filename).stem}.{code.co_qualname}"


@pytest.fixture
def connector(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> TracedConnector:
    """An empty store, whose threads are traced, too."""
    made = TracedConnector(make_empty_store(tmp_path / "state.db"))
    monkeypatch.setattr(bootstrap, "connector", lambda _, **__: made)
    monkeypatch.setattr("orchestrator.adapters.store.pool.ThreadPoolExecutor", Executor)
    return made


@pytest.fixture
async def app(
    connector: TracedConnector, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[bootstrap.Application]:
    """The app as the functions find it, on a workspace that takes every run."""
    environment = {
        "AzureWebJobsStorage": "UseDevelopmentStorage=true",
        "DATABRICKS_HOST": "http://127.0.0.1:9",
        "DATABRICKS_TOKEN": "x",
        "DATABRICKS_JOB_ID": "1",
        "STATE_DB": "as traced",
    }
    made = bootstrap.Application(settings.load(environment))
    monkeypatch.setitem(made.runs, "default", FakeRuns())
    monkeypatch.setattr(bootstrap, "application", lambda: made)
    yield made
    await made.close()


async def test_few_calls_lie_between_a_message_and_the_driver(
    app: bootstrap.Application, connector: TracedConnector
) -> None:
    await app.operator.add([NewEntry(table_name="sales"), NewEntry(table_name="stock")])
    claims = await app.store.claim(
        "default", cap=2, active=[], jobs={}, lease_seconds=900, max_attempts=1, serialize_tables=True
    )
    connector.chains.clear()
    for claim in claims:  # the job of the second is known at once
        message = json.dumps({"entry_id": claim.entry_id, "submission": claim.submission})
        await function_app.submit(func.QueueMessage(body=message.encode()))
    for name in ("Store.take_up", "Store.begin_submission", "Store.record_run"):
        assert any(f"entries.{name}" in chain for chain in connector.chains), "the whole way was traced"
    deepest = max(connector.chains, key=len)
    assert len(deepest) <= MOST_FRAMES, " → ".join(deepest)
