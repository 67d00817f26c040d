"""Every route over HTTP against ``make run``, in the order in which somebody would use them."""

import asyncio
import re
from http import HTTPStatus
from typing import Any

import aiohttp
import pytest

from orchestrator.web.routes import ROUTES
from tests.devstack.proctable import LINUX_ONLY
from tests.devstack.running import MadeRun

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(240), LINUX_ONLY]

#: A row's way from its insert to its end, on a busy machine.
END_SECONDS = 60.0


class Caller:
    """Calls routes and notes which; waits as long as it is told to when it has called too often."""

    def __init__(self, api: str, session: aiohttp.ClientSession) -> None:
        self._api = api
        self._session = session
        self.called: set[tuple[str, str]] = set()

    async def __call__(
        self, method: str, address: str, body: object = None, **headers: str
    ) -> tuple[int, Any]:
        path = re.sub(r"entries/\d+", "entries/{id}", address.partition("?")[0])
        self.called.add((method, path))
        async with asyncio.timeout(END_SECONDS):
            while True:
                status, answer, wait = await self._once(method, address, body, headers)
                if status != HTTPStatus.TOO_MANY_REQUESTS:
                    return status, answer
                await asyncio.sleep(wait)

    async def _once(
        self, method: str, address: str, body: object, headers: dict[str, str]
    ) -> tuple[int, Any, float]:
        async with self._session.request(
            method, f"{self._api}/{address}", json=body, headers=headers
        ) as response:
            answer = await (response.json() if "json" in response.content_type else response.text())
            return response.status, answer, float(response.headers.get("Retry-After", 1))

    async def ended(self, entry_id: str) -> dict[str, Any]:
        """Return a row once it has come to its end; each pass that is asked for brings it on."""
        async with asyncio.timeout(END_SECONDS):
            while True:
                _, entry = await self("GET", f"entries/{entry_id}")
                if entry["status"] in {"DONE", "DEAD", "CANCELED"}:
                    found: dict[str, Any] = entry
                    return found
                await self("POST", "trigger")


async def test_every_route(make_run: MadeRun) -> None:
    async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=40)) as session:
        call = Caller(make_run.api, session)
        await look(call)
        failed = await add(call, {"table_name": "pilots", "max_attempts": 1}, ends="DEAD")
        await find_out_why(call, failed)
        done = await add(call, {"table_name": "airlines", "priority": 5}, ends="DONE")
        await run_it_again(call, done)
        await change_many(call, failed)
        await resolve(call, failed)
        assert call.called == {(route.method, route.path) for route in ROUTES}


async def look(call: Caller) -> None:
    """Is it well, and what is there?"""
    assert await call("GET", "health") == (200, {"status": "ok"})
    _, status = await call("GET", "status")
    [workspace] = status["workspaces"]
    assert (workspace["name"], workspace["cap"], workspace["active"]["error"]) == ("default", 6, None)
    assert workspace["finished_last_day"]["DONE"] > 0
    _, checked = await call("GET", "check")
    assert checked["ok"] is True, checked
    assert (await call("GET", "waiting?workspace=default"))[0] == 200
    _, history = await call("GET", "history?hours=24")
    assert sum(bucket["failed"] for bucket in history["buckets"]) > 0
    _, page = await call("GET", "dashboard")
    assert "<title>Job orchestrator</title>" in page
    _, document = await call("GET", "openapi.json")
    assert document["openapi"].startswith("3.")


async def add(call: Caller, row: dict[str, Any], *, ends: str) -> str:
    """A new row comes to its end; the same request again inserts nothing."""
    key = {"Idempotency-Key": row["table_name"]}
    first = await call("POST", "entries", {"entries": [row]}, **key)
    assert first[0] == 201
    assert await call("POST", "entries", {"entries": [row]}, **key) == first
    entry_id: str = first[1]["ids"][0]
    assert (await call.ended(entry_id))["status"] == ends
    return entry_id


async def find_out_why(call: Caller, entry_id: str) -> None:
    """From the table that always fails to its entry, the error of its run and the way to it."""
    _, tables = await call("GET", "tables?days=1")
    [pilots] = [table for table in tables["tables"] if table["table_name"] == "pilots"]
    assert (pilots["runs"], pilots["failed"], pilots["success_rate"]) == (1, 1, 0.0)
    _, found = await call("GET", "entries?table=pilots&error=NO%20table")
    assert [entry["id"] for entry in found["entries"]] == [entry_id]
    _, story = await call("GET", f"entries/{entry_id}")
    [run] = story["runs"]
    assert "there is no table 'pilots'" in run["message"]
    assert run["run_page_url"].endswith(f"/run/{run['run_id']}")


async def run_it_again(call: Caller, entry_id: str) -> None:
    """As it was seen, and no other way."""
    _, seen = await call("GET", f"entries/{entry_id}")
    assert seen["actions"] == ["retry", "resolve"]
    other = {"status": "DEAD", "submission": seen["submission"]}
    assert (await call("POST", f"entries/{entry_id}/retry", other))[0] == 409
    same = {"status": "DONE", "submission": seen["submission"]}
    assert (await call("POST", f"entries/{entry_id}/retry", same))[0] == 200
    status, _ = await call("POST", f"entries/{entry_id}/cancel")
    ended = await call.ended(entry_id)
    # The pass may have been faster than the cancellation.
    assert (status, ended["status"]) in {(200, "CANCELED"), (200, "DONE"), (409, "DONE")}


async def change_many(call: Caller, failed: str) -> None:
    """First a dry run, then exactly that."""
    _, tried = await call("POST", "retry", {"filter": {"table": "pilots", "state": "DEAD"}})
    assert (tried["ids"], tried["dry_run"]) == ([failed], True)
    same = {"filter": {"ids": tried["ids"], "state": tried["states"]}, "dry_run": False}
    _, done = await call("POST", "retry", same)
    assert done["ids"] == tried["ids"]
    assert (await call.ended(failed))["status"] == "DEAD"
    _, none = await call("POST", "cancel", {"filter": {"table": "pilots"}, "dry_run": False})
    assert (none["ids"], none["more"]) == ([], False)


async def resolve(call: Caller, entry_id: str) -> None:
    """Settle an entry by hand, first alone and then by a filter."""
    by_hand = {"resolution": "done", "reason": "loaded by hand"}
    assert (await call("POST", f"entries/{entry_id}/resolve", by_hand))[0] == 200
    _, story = await call("GET", f"entries/{entry_id}")
    assert (story["status"], story["runs"][-1]["message"]) == ("DONE", "resolved by hand: loaded by hand")
    back = {"filter": {"ids": [entry_id], "state": ["DONE"]}, "resolution": "failed", "reason": "was wrong"}
    _, found = await call("POST", "resolve", {**back, "dry_run": False})
    assert found["ids"] == [entry_id]
