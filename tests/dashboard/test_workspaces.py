"""Several workspaces: the slots of each, what waits for it, and a workspace that does not respond."""

import json
from collections.abc import AsyncIterator
from urllib.parse import urlsplit

import pytest
import pytest_asyncio
from playwright.async_api import Locator, Page, expect

from tests.conftest import Azurite
from tests.dashboard.site import CAP, FOR_THE_WHOLE_TIME_SECONDS, Site, new_site
from tests.e2e.stack import JOB_ID

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(120), pytest.mark.asyncio(loop_scope="session")]

#: The caps of the additional workspaces. ``us`` gets one entry, so that slots stay free.
CAPS = {"eu": 2, "us": 4}

EU_TABLES = ("bookings", "customers", "payments")


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def world(
    chromium: str, azurite: Azurite, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[Site]:
    """Three workspaces: ``eu`` is full, and ``us`` does not respond."""
    made = new_site(azurite, tmp_path_factory.mktemp("workspaces"))
    try:
        hosts = {name: start_workspace(made, seed) for seed, name in enumerate(CAPS, start=2)}
        made.stack.settings["DATABRICKS_WORKSPACES"] = json.dumps(
            {
                name: {"host": host, "token": "a-token", "job_id": JOB_ID, "cap": CAPS[name]}
                for name, host in hosts.items()
            }
        )
        made.stack.terminate(made.stack.processes[-1])  # us; its address stays free for a restart
        await made.outcome("sales", ["SUCCESS"], run_seconds=FOR_THE_WHOLE_TIME_SECONDS)
        running = [*made.insert("sales"), *made.insert(*EU_TABLES[:2], workspace="eu")]
        made.start_host()
        await made.until(running, "RUNNING")
        made.insert("sales")
        made.insert(EU_TABLES[2], workspace="eu")
        yield made
    finally:
        made.stack.stop()


def start_workspace(site: Site, seed: int, address: str = "") -> str:
    """Start another simulator, whose runs do not end, and return its address.

    :param address: the address of an earlier simulator; empty = a free port.
    """
    port = urlsplit(address).port or 0
    options = ("--run-seconds", str(FOR_THE_WHOLE_TIME_SECONDS), "--seed", str(seed))
    return site.stack.start("databricks", "--port", str(port), "--with-job", str(JOB_ID), *options).url


def gauge(page: Page, workspace: str) -> Locator:
    return page.get_by_role("meter", name=f"Active runs in {workspace}")


async def test_each_workspace_has_its_gauge_and_its_counts(page: Page, world: Site) -> None:
    await page.goto(world.dashboard())
    for name, text in [
        ("default", f"1 ours and 0 foreign runs in {CAP} slots"),
        ("eu", "2 ours and 0 foreign runs in 2 slots"),
    ]:
        await expect(gauge(page, name)).to_have_attribute("aria-valuetext", text)
    eu = page.locator("[data-workspace=eu]")
    await expect(eu).to_contain_text("2 of 2 slots in use")
    await expect(eu).to_contain_text("0 free")
    pending = eu.locator(".states div").filter(has=page.get_by_text("PENDING", exact=True))
    await expect(pending.locator("dd")).to_have_text("1")
    in_flight = page.get_by_role("table", name="In flight").get_by_role("row")
    for table in EU_TABLES[:2]:
        await expect(in_flight.filter(has_text=table)).to_contain_text("eu")
    await expect(in_flight.filter(has_text="sales")).to_contain_text("default")


async def test_each_workspace_has_its_own_reason_to_wait(page: Page, world: Site) -> None:
    await page.goto(world.dashboard())
    waiting = page.get_by_role("table", name="Waiting").get_by_role("row")
    for table, workspace, why in [
        ("sales", "default", "another entry of this table is in flight or comes first"),
        (EU_TABLES[2], "eu", "no free slot: the cap is reached"),
    ]:
        row = waiting.filter(has_text=table)
        await expect(row).to_contain_text(workspace)
        await expect(row).to_contain_text(why)
    summary = page.get_by_role("region", name="Summary")
    await expect(summary).to_contain_text("1 waiting for a free slot")
    await expect(summary).to_contain_text("1 waiting for another entry of the same table")


async def test_a_search_can_be_narrowed_to_a_workspace(page: Page, world: Site) -> None:
    await page.goto(world.dashboard("search="))
    rows = page.get_by_role("table", name="Found").locator("tbody tr")
    await expect(rows.filter(has_text="sales")).to_have_count(2)
    choice = page.get_by_role("combobox", name="Workspace")
    assert await choice.locator("option").all_inner_texts() == ["all", "default", "eu", "us"]
    await choice.select_option("eu")
    await expect(rows).to_have_count(len(EU_TABLES))
    assert sorted(await rows.locator("td:nth-child(2)").all_inner_texts()) == sorted(EU_TABLES)
    await page.get_by_role("combobox", name="State").select_option("PENDING")
    await expect(rows).to_have_count(1)
    await expect(rows).to_contain_text(EU_TABLES[2])
    await page.reload()  # the address holds both
    await expect(rows).to_have_count(1)
    await expect(choice).to_have_value("eu")


async def test_a_workspace_that_the_settings_do_not_name_has_no_card(page: Page, world: Site) -> None:
    (entry,) = world.insert("parcels", workspace="ue")
    await page.goto(world.dashboard())
    cards = page.locator("[data-workspace]")
    await expect(cards).to_have_count(1 + len(CAPS))
    health = page.get_by_role("region", name="Summary")
    await expect(health).to_contain_text("workspace 'ue' is not in the settings: 1 waiting and 0 in flight")
    waiting = page.get_by_role("table", name="Waiting").get_by_role("row").filter(has_text="parcels")
    await expect(waiting).to_contain_text("ue")
    world.stack.execute("UPDATE track_processing SET cancel_requested = 1 WHERE id = ?", [(entry,)])
    await world.until([entry], "CANCELED")
    await page.goto(world.dashboard())
    await expect(health).to_contain_text("Is it healthy?")
    await expect(health).not_to_contain_text("is not in the settings")
    await expect(cards).to_have_count(1 + len(CAPS))
    await page.goto(world.dashboard("search=parcels"))
    await expect(page.get_by_role("table", name="Found").locator("tbody tr")).to_contain_text("CANCELED")


async def test_a_workspace_that_does_not_respond_says_so_and_recovers(page: Page, world: Site) -> None:
    (entry,) = world.insert("orders", workspace="us")
    await page.goto(world.dashboard())
    us = page.locator("[data-workspace=us]")
    await expect(us).to_contain_text("unknown: ")
    await expect(us).not_to_contain_text("free")
    await expect(us).to_contain_text("at least 0 of 4 slots in use")
    await expect(gauge(page, "us")).to_have_attribute(
        "aria-valuetext", "0 ours and an unknown number of foreign runs in 4 slots"
    )
    row = page.get_by_role("table", name="Waiting").get_by_role("row").filter(has_text="orders")
    await expect(row).to_contain_text("Databricks does not say which runs are active, so nothing is claimed")
    await expect(page.get_by_role("region", name="Summary")).to_contain_text(
        "1 waiting for Databricks to respond"
    )
    await expect(gauge(page, "eu")).to_have_attribute(
        "aria-valuetext", "2 ours and 0 foreign runs in 2 slots"
    )

    host = json.loads(world.stack.settings["DATABRICKS_WORKSPACES"])["us"]["host"]
    start_workspace(world, seed=4, address=host)
    await world.until([entry], "RUNNING")
    await expect(gauge(page, "us")).to_have_attribute(
        "aria-valuetext", "1 ours and 0 foreign runs in 4 slots"
    )
    await expect(us).to_contain_text("3 free")
    await expect(row).to_have_count(0)
