"""The submit function looks at no message: people hear it once, and once more when it does."""

import math

import pytest

from tests.alerts.conftest import QUEUED_SECONDS, Desk

_QUEUED = (
    "INSERT INTO track_processing (table_name, status, submission, claimed_at) VALUES (?, 'QUEUED', 1, ?)"
)


async def queued(desk: Desk, table: str) -> str:
    claimed = f"{await desk.store.now():%Y-%m-%d %H:%M:%S.000}"
    desk.execute(_QUEUED, table, claimed)
    return claimed


async def wait(desk: Desk, seconds: float) -> None:
    """Let time pass, with a monitor pass every five minutes."""
    for _ in range(math.ceil(seconds / 300)):
        desk.pass_time(300)
        await desk.make_pass("monitor")


async def test_it_is_told_once_and_its_end_as_well(desk: Desk) -> None:
    await desk.make_pass("monitor")
    await queued(desk, "a")
    await desk.make_pass("monitor")
    assert desk.receiver.taken == []
    await wait(desk, 300)
    await queued(desk, "b")
    await wait(desk, QUEUED_SECONDS + 600)
    assert [alert["title"] for alert in desk.receiver.taken] == ["submit: late"]
    desk.execute("UPDATE track_processing SET status = 'CANCELED' WHERE table_name = 'a'")
    await wait(desk, QUEUED_SECONDS)
    assert len(desk.receiver.taken) == 1  # the other one waits as long
    desk.execute("UPDATE track_processing SET deliveries = 1")
    for _ in range(3):
        await desk.make_pass("monitor")
    assert [alert["title"] for alert in desk.receiver.taken] == ["submit: late", "submit: recovered"]


@pytest.mark.parametrize("column", ["deliveries", "postponements"])
async def test_an_entry_that_was_looked_at_is_no_sign_of_it(desk: Desk, column: str) -> None:
    await desk.make_pass("monitor")
    await queued(desk, "a")
    desk.execute(f"UPDATE track_processing SET {column} = 1")
    await wait(desk, 3 * QUEUED_SECONDS)
    assert [alert["title"] for alert in desk.receiver.taken] == []
