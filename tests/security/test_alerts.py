"""Canaries in an entry's parameters and in the receiver's address, whatever the receiver does."""

import json

import pytest

from orchestrator.core.models import NewEntry
from tests.alerts.receiver import Receiver
from tests.databricks.support import Workspace, ok
from tests.security.app import ROW, Apps
from tests.security.canary import SIGNATURE, Evidence
from tests.security.servers import FAULTS

#: A webhook's own secrets are in its path or in its query.
ADDRESSES = ("/hooks/a?sig={}", "/workflows/{}/run")


@pytest.mark.parametrize("address", ADDRESSES)
@pytest.mark.parametrize("shape", ["json", "teams"])
@pytest.mark.parametrize("answer", [200, 302, 403, 500, "drop"])
async def test_message_about_an_entry_that_became_dead(
    apps: Apps, workspace: Workspace, evidence: Evidence, *, address: str, shape: str, answer: int | str
) -> None:
    """Databricks refuses the entry and repeats its parameters; the entry ends DEAD, and an alert is sent."""
    workspace.replies = [ok({})]
    async with Receiver(answers=[answer]).serve() as receiver:
        url = receiver.url.partition("/hooks")[0] + address.format(SIGNATURE)
        async with apps.app(
            workspace, ALERT_WEBHOOK_URL=url, ALERT_FORMAT=shape, MAX_ATTEMPTS="1"
        ) as running:
            await running.app.operator.add([ROW])
            assert await running.app.trigger() == []
            workspace.replies = [FAULTS["json 400"]]
            await running.submit_all()
            workspace.replies = [ok({})]
            assert await running.app.monitor() == []
            [entry] = [await running.app.store.get(1)]
            assert entry is not None
            assert entry.status == "DEAD"
            running.look_everywhere()
        assert receiver.calls == 1
        evidence.add("alert", json.dumps([*receiver.taken, *receiver.doubtful]))


async def test_unreachable_receiver(apps: Apps, workspace: Workspace) -> None:
    workspace.replies = [ok({})]
    async with Receiver().serve() as receiver:
        url = receiver.url.partition("/hooks")[0] + ADDRESSES[0].format(SIGNATURE)
    async with apps.app(workspace, ALERT_WEBHOOK_URL=url) as running:
        await running.app.operator.add([NewEntry(table_name="a", parameter_style="nothing"), ROW])
        assert await running.app.trigger() == []
        await running.submit_all()  # the first one ends DEAD: nobody knows its style
        assert await running.app.monitor() == []
        running.look_everywhere()
        entry = await running.app.store.get(1)
        assert entry is not None
        assert entry.status == "DEAD"
