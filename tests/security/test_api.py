"""Canaries through the HTTP API: no request, failed or not, brings a secret or a parameter out."""

import json

import pytest

from tests.databricks.support import Workspace
from tests.fakes import FakeRuns
from tests.security.app import ROW, Apps, Running
from tests.security.canary import PARAMETERS, TOKEN, Evidence
from tests.security.servers import FAULTS
from tests.web.support import Site

#: Every route, with an entry that exists.
CALLS = (
    ("GET", "status", None),
    ("GET", "health", None),
    ("GET", "entries?state=PENDING&limit=5", None),
    ("GET", "entries/1", None),
    ("GET", "waiting", None),
    ("GET", "history", None),
    ("GET", "tables", None),
    ("POST", "entries/1/cancel", None),
    ("POST", "entries/1/retry", None),
    ("POST", "retry", {"filter": {"error": TOKEN[:5]}}),
    ("POST", "cancel", {"filter": {"table": "sales"}}),
    ("POST", "trigger", None),
)

#: Inserts with secret parameters, each with something else that is wrong.
REFUSED = (
    {"entries": [{"table_name": "", "parameters": PARAMETERS}]},
    {"entries": [{"table_name": "a", "parameters": json.dumps(PARAMETERS)[:-1]}]},
    {"entries": [{"table_name": "a", "parameters": list(PARAMETERS.values())}]},
    {"entries": [{"table_name": "a", "parameters": PARAMETERS, "workspace": "none"}]},
    {"entries": [{"table_name": "a", "parameters": PARAMETERS, "priority": "high"}]},
    {"entries": [{"table_name": "a", "parameters": {"customer": PARAMETERS}, "job_id": 0}]},
)


def site_of(running: Running) -> Site:
    return Site(app=running.app, runs=FakeRuns(), database=running.database)


def keep_answers(site: Site, evidence: Evidence) -> None:
    for answer in site.answers:
        evidence.add("answer", answer.content)
        evidence.add("headers", answer.headers)


@pytest.mark.parametrize("fault", FAULTS)
async def test_no_call_brings_a_secret_out(
    apps: Apps, workspace: Workspace, evidence: Evidence, fault: str
) -> None:
    workspace.replies = [FAULTS[fault]]
    async with apps.app(workspace) as running:
        site = site_of(running)
        await running.app.operator.add([ROW])
        for method, address, body in CALLS:
            await running.attempt(site.call(method, address, body))
        assert len(site.answers) == len(CALLS)
        keep_answers(site, evidence)
    assert any(TOKEN in seen.authorization for seen in workspace.seen)


async def test_no_refusal_repeats_the_parameters(
    apps: Apps, workspace: Workspace, evidence: Evidence
) -> None:
    async with apps.app(workspace) as running:
        site = site_of(running)
        for body in REFUSED:
            status, _ = await site.call("POST", "entries", body)
            assert status == 400
        keep_answers(site, evidence)


async def test_a_database_that_fails_repeats_nothing(
    apps: Apps, workspace: Workspace, evidence: Evidence
) -> None:
    async with apps.app(workspace) as running:
        site = site_of(running)
        site.execute("DROP TABLE track_processing")
        body = {"entries": [{"table_name": "sales", "parameters": PARAMETERS}]}
        assert (await site.call("POST", "entries", body))[0] == 503
        for method, address, each in CALLS[:-1]:
            await running.attempt(site.call(method, address, each))
        keep_answers(site, evidence)
