"""The app as it is wired claims without a trigger pass: after a POST, and for the slots that a pass frees."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from pathlib import Path

import pytest
from aiohttp import web

from orchestrator.adapters.queue import StorageQueue, _encode
from orchestrator.bootstrap import Application
from orchestrator.core.models import Claim, NewEntry
from orchestrator.web.api import Api
from orchestrator.web.http import Request
from tests.applications import served_application

SOON_SECONDS = 20

RUN_ID = 501


class Databricks:
    """A workspace whose run goes on until it is ended."""

    def __init__(self) -> None:
        self.is_over = False

    async def reply(self, request: web.Request) -> web.StreamResponse:
        if request.path.endswith("run-now"):
            return web.json_response({"run_id": RUN_ID})
        if request.path.endswith("jobs/get"):
            return web.json_response({"job_id": 5, "settings": {"name": "load", "max_concurrent_runs": 9}})
        if request.path.endswith("runs/get"):
            return web.json_response(self._run())
        return web.json_response({"runs": [] if self.is_over else [self._run()], "has_more": False})

    def _run(self) -> dict[str, object]:
        over = {"life_cycle_state": "TERMINATED", "result_state": "SUCCESS"}
        state = over if self.is_over else {"life_cycle_state": "RUNNING"}
        return {"run_id": RUN_ID, "job_id": 5, "number_in_job": RUN_ID, "state": state}


@pytest.fixture
def sent(monkeypatch: pytest.MonkeyPatch) -> "asyncio.Queue[Claim]":
    """What the app puts on the queue."""
    kept: asyncio.Queue[Claim] = asyncio.Queue()

    async def send(_: StorageQueue, claims: Sequence[Claim]) -> list[Claim]:
        for claim in claims:
            kept.put_nowait(claim)
        return []

    monkeypatch.setattr(StorageQueue, "send", send)
    return kept


@pytest.fixture
def databricks() -> Databricks:
    return Databricks()


@pytest.fixture
async def app(tmp_path: Path, databricks: Databricks) -> AsyncIterator[Application]:
    """The app with one slot."""
    async with served_application(tmp_path, databricks.reply, MAX_ACTIVE_RUNS="1") as made:
        yield made


async def test_a_post_of_an_entry_claims_it_without_a_pass(
    app: Application, databricks: Databricks, sent: "asyncio.Queue[Claim]"
) -> None:
    databricks.is_over = True  # the slot is free
    body = b'{"entries": [{"table_name": "sales"}]}'
    headers = {"content-type": "application/json"}
    answer = await Api(lambda: app).add(Request(method="POST", headers=headers, body=body))
    assert answer.status == 201
    async with asyncio.timeout(SOON_SECONDS):
        assert (await sent.get()).entry_id == 1


async def test_a_monitor_pass_claims_for_the_slot_that_it_frees(
    app: Application, databricks: Databricks, sent: "asyncio.Queue[Claim]"
) -> None:
    first, second = await app.operator.add([NewEntry(table_name=name) for name in ("a", "b")])
    databricks.is_over = True
    assert await app.trigger() == []
    claim = sent.get_nowait()
    assert (claim.entry_id, sent.empty()) == (first, True)
    databricks.is_over = False
    await app.submit(_encode(claim).encode())
    assert await app.monitor() == []
    assert sent.empty(), "the run goes on"
    databricks.is_over = True
    assert await app.monitor() == []
    assert sent.get_nowait().entry_id == second
