"""Which connections to the database each kind of function holds: docs/sqlserver.md counts sessions by it."""

import asyncio

import pytest

from orchestrator.adapters.queue import _encode
from orchestrator.adapters.store.pool import _THREADS
from orchestrator.bootstrap import _WEB_THREADS, Application
from orchestrator.core.models import AskedBy, Claim
from tests.conftest import ROOT
from tests.store.helpers import queued
from tests.web.support import Site, add

READS = ("status", "health", "entries", "entries/1", "waiting", "history", "tables")

CHANGES: tuple[tuple[str, dict[str, object]], ...] = (
    ("entries/1/cancel", {}),
    ("entries/2/resolve", {"resolution": "failed", "reason": "by hand"}),
    ("retry", {"filter": {"state": ["DEAD"]}}),
    ("cancel", {"filter": {"state": ["PENDING"]}}),
)


def held(app: Application) -> dict[str, int]:
    """Return how many connections of each pool are open; one that is idle stays open for two minutes."""
    pools = {"functions": app.store.pool, "HTTP": app.web_store.pool, "health": app._health_pool}
    return {name: len(pool._idle) for name, pool in pools.items()}


async def test_http_functions_hold_those_for_http_and_for_health(site: Site) -> None:
    await add(site, "sales", "stock")
    for _ in range(3):
        answers = await asyncio.gather(*(site.call("GET", path) for path in READS))
        assert {status for status, _ in answers} <= {200, 503}
    for path, body in CHANGES:
        status, told = await site.call("POST", path, body)
        assert status == 200, told
    assert (await site.call("POST", "entries", {"entries": [{"table_name": "orders"}]}))[0] == 201
    assert await site.app.run_ended(77) is False
    found = held(site.app)
    assert (found["functions"], found["health"]) == (0, 1)
    assert 1 <= found["HTTP"] <= _WEB_THREADS


async def test_a_pass_over_http_takes_those_of_the_functions(site: Site) -> None:
    assert (await site.call("POST", "trigger"))[0] == 202
    assert 1 <= held(site.app)["functions"] <= _THREADS


async def test_a_check_opens_some_of_its_own(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    """It works with an application of its own, which is closed behind it."""
    closed: list[dict[str, int]] = []
    close = Application.close

    async def note(app: Application) -> None:
        closed.append(held(app))
        await close(app)

    monkeypatch.setattr(Application, "close", note)
    assert (await site.call("GET", "check"))[0] == 200
    [found] = closed
    assert (found["functions"], found["health"]) == (1, 0)
    assert 1 <= found["HTTP"] <= _WEB_THREADS
    assert held(site.app)["functions"] == 0


async def test_submissions_and_passes_take_none_of_those_for_http(site: Site) -> None:
    claims = [await queued(site.app.store, f"table {number}") for number in range(_THREADS)]

    async def submit(claim: Claim) -> None:
        await site.app.submit(_encode(claim).encode())

    await asyncio.gather(*map(submit, claims))
    await site.app.monitor()
    await site.app.trigger(asked_by=AskedBy.TIMER)
    found = held(site.app)
    assert (found["HTTP"], found["health"]) == (0, 0)
    assert 1 <= found["functions"] <= _THREADS


def test_the_documented_numbers() -> None:
    text = " ".join((ROOT / "docs" / "sqlserver.md").read_text("utf-8").split())
    words = {4: "four", 5: "five", 10: "ten"}
    ours, http, check = words[_THREADS], words[_WEB_THREADS], words[1 + _WEB_THREADS]
    for part in (
        f"at most **{_THREADS + _WEB_THREADS + 1} sessions**: {ours} for the functions, {http} for HTTP",
        f"{check} more for the seconds of a `GET /api/check`",
        f"an instance of `submit` or of a timer holds {ours} at most, and one of HTTP {check}",
    ):
        assert part in text
