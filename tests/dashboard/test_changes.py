"""Retry, cancel and start a pass from the dashboard."""

import asyncio
import re

import pytest
from playwright.async_api import Page, Route, expect

from tests.dashboard.site import FOR_THE_WHOLE_TIME_SECONDS, Site

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(120), pytest.mark.asyncio(loop_scope="session")]


async def test_a_failed_table_is_found_and_run_again(page: Page, site: Site) -> None:
    await site.outcome("invoices", ["FAILED", "SUCCESS"], error="ValueError: amount is not a number")
    ids = site.insert("invoices")
    await site.until(ids, "DEAD")
    await page.goto(site.dashboard())
    await page.get_by_role("searchbox").fill("invoices")
    await page.keyboard.press("Enter")
    await page.get_by_role("link", name=f"#{ids[0]}").click()
    await expect(page.get_by_role("region", name="Runs")).to_contain_text("amount is not a number")
    await page.get_by_role("button", name=f"Retry entry {ids[0]}").click()
    assert site.states(*ids) == {"DEAD"}, "nothing happens before the dialog is confirmed"
    await page.get_by_role("dialog").get_by_role("button", name=f"Retry entry {ids[0]}").click()
    await expect(page.get_by_role("status")).to_contain_text(f"Entry {ids[0]} (invoices) is PENDING")
    await expect(page.get_by_role("region", name="Entry").locator(".status")).to_have_text("DONE")
    assert site.states(*ids) == {"DONE"}
    await expect(page.get_by_role("region", name="Runs").locator("li")).to_have_count(2)


async def test_a_running_entry_is_cancelled(page: Page, site: Site) -> None:
    await site.outcome("endless", ["SUCCESS"], run_seconds=FOR_THE_WHOLE_TIME_SECONDS)
    ids = site.insert("endless")
    await site.until(ids, "RUNNING")
    await page.goto(site.dashboard())
    running = page.get_by_role("table", name="In flight")
    await running.get_by_role("button", name=f"Cancel entry {ids[0]}").click()
    dialog = page.get_by_role("dialog")
    await dialog.get_by_role("button", name="No, go back").click()
    await expect(dialog).to_be_hidden()
    await running.get_by_role("button", name=f"Cancel entry {ids[0]}").click()
    await dialog.get_by_role("button", name=f"Cancel entry {ids[0]}").click()
    await expect(running).not_to_contain_text("endless")
    await site.until(ids, "CANCELED")


async def test_all_found_are_retried_after_a_dry_run(page: Page, site: Site) -> None:
    tables = [f"batch_{number}" for number in range(3)]
    for table in tables:
        await site.outcome(table, ["FAILED", "SUCCESS"], error="Boom")
    ids = site.insert(*tables)
    await site.until(ids, "DEAD")
    await page.goto(site.dashboard("search=batch_*"))
    await page.get_by_role("button", name="Retry all found…").click()
    dialog = page.get_by_role("dialog")
    await expect(dialog).to_contain_text("Retry 3 entries?")
    assert site.states(*ids) == {"DEAD"}
    await dialog.get_by_role("button", name="Retry 3 entries").click()
    await expect(page.get_by_role("status")).to_contain_text("3 entries will run again")
    statuses = page.get_by_role("table", name="Found").locator(".status")
    await expect(statuses).to_have_text(["DONE", "DONE", "DONE"])
    await page.get_by_role("button", name="Cancel all found…").click()
    await expect(dialog).to_contain_text("Nothing to cancel")


async def test_all_found_are_those_that_the_dialog_counted(page: Page, site: Site) -> None:
    """An entry that fails or is settled while somebody reads the dialog is left alone."""
    for table in ("lot_1", "lot_2", "lot_3"):
        await site.outcome(table, ["FAILED"], error="Boom")
    first, second = site.insert("lot_1", "lot_2")
    await site.until([first, second], "DEAD")
    await page.goto(site.dashboard("search=lot_*"))
    await page.get_by_role("button", name="Retry all found…").click()
    dialog = page.get_by_role("dialog")
    await expect(dialog).to_contain_text("Retry 2 entries?")
    (third,) = site.insert("lot_3")
    await site.until([third], "DEAD")
    site.stack.execute("UPDATE track_processing SET status = 'DONE' WHERE id = ?", [(first,)])
    await dialog.get_by_role("button", name="Retry 2 entries").click()
    await expect(page.get_by_role("status")).to_contain_text(
        "1 entry will run again. Skipped 1 entry that changed in the meantime."
    )
    assert site.states(first) == {"DONE"}
    assert site.states(third) == {"DEAD"}


async def test_an_entry_that_changed_behind_the_dialog_is_left_alone(page: Page, site: Site) -> None:
    await site.outcome("repaired", ["FAILED"], error="Boom")
    (entry_id,) = site.insert("repaired")
    await site.until([entry_id], "DEAD")
    await page.goto(site.dashboard(f"entry={entry_id}"))
    await page.get_by_role("button", name=f"Retry entry {entry_id}").click()
    site.stack.execute("UPDATE track_processing SET status = 'DONE' WHERE id = ?", [(entry_id,)])
    dialog = page.get_by_role("dialog")
    await dialog.get_by_role("button", name=f"Retry entry {entry_id}").click()
    await expect(dialog.get_by_role("alert")).to_contain_text(f"entry {entry_id} has changed: it is DONE")
    assert site.states(entry_id) == {"DONE"}


async def test_a_waiting_entry_is_cancelled_even_if_it_was_claimed_in_the_meantime(
    page: Page, site: Site
) -> None:
    await site.outcome("unwanted", ["SUCCESS"], run_seconds=FOR_THE_WHOLE_TIME_SECONDS)
    (entry_id,) = site.insert("unwanted", at="2099-01-01 00:00:00")
    await page.goto(site.dashboard(f"entry={entry_id}"))
    await page.get_by_role("button", name=f"Cancel entry {entry_id}").click()
    site.stack.execute("UPDATE track_processing SET available_at = created_at WHERE id = ?", [(entry_id,)])
    await site.until([entry_id], "RUNNING")
    await page.get_by_role("dialog").get_by_role("button", name=f"Cancel entry {entry_id}").click()
    await site.until([entry_id], "CANCELED")


async def test_the_dialog_says_why_a_change_is_refused(page: Page, site: Site) -> None:
    ids = site.insert("settled")
    await site.until(ids, "DONE")
    await page.goto(site.dashboard(f"entry={ids[0]}"))
    await page.get_by_role("button", name=f"Retry entry {ids[0]}").click()
    site.stack.execute("DELETE FROM track_processing WHERE id = ?", [(ids[0],)])
    dialog = page.get_by_role("dialog")
    await dialog.get_by_role("button", name=f"Retry entry {ids[0]}").click()
    await expect(dialog.get_by_role("alert")).to_have_text(re.compile(r"\w+"))
    await page.keyboard.press("Escape")
    await expect(dialog).to_be_hidden()
    await expect(page.get_by_role("main")).to_contain_text(f"There is no entry {ids[0]}")


async def test_a_failed_entry_is_repaired(page: Page, site: Site) -> None:
    await site.outcome("half_loaded", ["FAILED", "SUCCESS"], error="Boom")
    (entry_id,) = site.insert("half_loaded")
    await site.until([entry_id], "DEAD")
    await page.goto(site.dashboard(f"entry={entry_id}"))
    await page.get_by_role("button", name=f"Retry entry {entry_id}").click()
    dialog = page.get_by_role("dialog")
    await dialog.get_by_label("How").select_option("repair")
    await dialog.get_by_role("button", name=f"Retry entry {entry_id}").click()
    await expect(page.get_by_role("status")).to_contain_text(f"Entry {entry_id} (half_loaded) is PENDING")
    await expect(page.get_by_role("region", name="Entry")).to_contain_text("repair")
    await site.until([entry_id], "DONE")
    logs = "SELECT COUNT(*), COUNT(DISTINCT runid) FROM process_log WHERE entry_id = ?"
    assert site.stack.write(logs, entry_id) == [(2, 1)], "the same run, twice"


async def test_a_running_entry_is_restarted(page: Page, site: Site) -> None:
    await site.outcome("stuck", ["SUCCESS"], run_seconds=FOR_THE_WHOLE_TIME_SECONDS)
    (entry_id,) = site.insert("stuck")
    await site.until([entry_id], "RUNNING")
    await page.goto(site.dashboard(f"entry={entry_id}"))
    await page.get_by_role("button", name=f"Restart entry {entry_id}").click()
    assert site.stack.write("SELECT stop_reason FROM track_processing WHERE id = ?", entry_id) == [(None,)]
    dialog = page.get_by_role("dialog")
    await expect(dialog).to_contain_text("its run is cancelled in Databricks")
    await site.outcome("stuck", ["SUCCESS"])
    await dialog.get_by_role("button", name=f"Restart entry {entry_id}").click()
    await expect(page.get_by_role("status")).to_contain_text(
        f"Entry {entry_id} (stuck) is RUNNING; its run is cancelled first"
    )
    await site.until([entry_id], "DONE")
    runs = "SELECT COUNT(DISTINCT runid) FROM process_log WHERE entry_id = ?"
    assert site.stack.write(runs, entry_id) == [(2,)]


async def test_an_entry_is_settled_by_hand_with_a_reason(page: Page, site: Site) -> None:
    await site.outcome("unreadable", ["SUCCESS"], run_seconds=FOR_THE_WHOLE_TIME_SECONDS)
    (entry_id,) = site.insert("unreadable")
    await site.until([entry_id], "RUNNING")
    run_id = site.entry("unreadable")["run_id"]
    await page.goto(site.dashboard(f"entry={entry_id}"))
    await page.get_by_role("button", name=f"Resolve entry {entry_id}").click()
    dialog = page.get_by_role("dialog")
    await expect(dialog).to_contain_text("is not cancelled, and is no longer followed")
    reason = dialog.get_by_label("Reason, for the log")
    await expect(reason).to_be_focused()
    confirm = dialog.get_by_role("button", name=f"Resolve entry {entry_id}")
    await confirm.click()
    assert site.states(entry_id) == {"RUNNING"}, "nothing happens without a reason"
    await reason.fill(" \n ")
    await confirm.click()
    await expect(dialog.get_by_role("alert")).to_contain_text("must say why")
    await dialog.get_by_label("Settle it as").select_option("release")
    await reason.fill("nobody may see the run <b>any more</b>")
    await confirm.click()
    await expect(page.get_by_role("status")).to_contain_text(
        f"Entry {entry_id} (unreadable) is CANCELED; run {run_id} is not cancelled, and is no longer followed"
    )
    await expect(page.get_by_role("region", name="Runs")).to_contain_text(
        "resolved by hand: nobody may see the run <b>any more</b>"
    )
    assert site.states(entry_id) == {"CANCELED"}
    await page.get_by_role("button", name=f"Resolve entry {entry_id}").click()
    await expect(dialog.get_by_label("Settle it as").locator("option")).to_have_count(2)
    await site.cancel_run(run_id)  # it would run on as a foreign run, which other tests count


async def test_successes_with_failures_are_found_and_marked(page: Page, site: Site) -> None:
    partly, whole = site.insert("partly", "wholly")
    await site.until([partly, whole], "DONE")
    site.stack.execute(
        "UPDATE track_processing SET last_error = 'SUCCESS_WITH_FAILURES: boom' WHERE id = ?", [(partly,)]
    )
    await page.goto(site.dashboard("search=*ly"))
    found = page.get_by_role("table", name="Found")
    await expect(found.get_by_role("row")).to_have_count(3)
    await page.get_by_label("State").select_option("with-failures")
    await expect(found.get_by_role("row")).to_have_count(2)
    await expect(found).to_contain_text("with failures")
    await expect(found).to_contain_text("SUCCESS_WITH_FAILURES: boom")
    await page.get_by_role("button", name="Retry all found…").click()
    dialog = page.get_by_role("dialog")
    await expect(dialog).to_contain_text("Retry 1 entry?")
    await dialog.get_by_label("How").select_option("run")
    await dialog.get_by_role("button", name="Retry 1 entry").click()
    await expect(page.get_by_role("status")).to_contain_text("1 entry will run again")
    await site.until([partly], "DONE")
    chosen = "SELECT retry_mode, last_error FROM track_processing WHERE id = ?"
    assert site.stack.write(chosen, partly) == [("run", None)]


async def test_a_pass_is_started(page: Page, site: Site) -> None:
    await page.goto(site.dashboard())
    await page.get_by_role("button", name="Start a pass now").click()
    await page.get_by_role("dialog").get_by_role("button", name="Start a pass").click()
    await expect(page.get_by_role("status")).to_contain_text("The pass")


async def test_the_focus_comes_back_though_the_view_was_rebuilt(page: Page, site: Site) -> None:
    """Data that were on their way when the dialog was opened are shown behind it."""
    crews = site.entry("crews")["id"]
    await page.goto(site.dashboard(f"entry={crews}"))
    retry = page.get_by_role("button", name=f"Retry entry {crews}")
    await expect(retry).to_be_visible()
    is_held, is_open = asyncio.Event(), asyncio.Event()

    async def hold(route: Route) -> None:
        is_held.set()
        await is_open.wait()
        await route.continue_()

    await page.route(f"**/api/entries/{crews}*", hold)
    await is_held.wait()
    await retry.press("Enter")
    dialog = page.get_by_role("dialog")
    await expect(dialog).to_be_visible()
    site.stack.execute("UPDATE track_processing SET last_error = 'another word' WHERE id = ?", [(crews,)])
    is_open.set()
    await expect(page.get_by_text("another word").first).to_be_visible()
    await page.keyboard.press("Escape")
    await expect(dialog).to_be_hidden()
    await expect(retry).to_be_focused()


async def test_everything_works_by_keyboard(page: Page, site: Site) -> None:
    crews = site.entry("crews")["id"]
    await page.goto(site.dashboard())
    await page.keyboard.press("/")
    await expect(page.get_by_role("searchbox")).to_be_focused()
    await page.keyboard.type("crews")
    await page.keyboard.press("Enter")
    link = page.get_by_role("table", name="Found").get_by_role("link", name=f"#{crews}")
    await expect(link).to_be_visible()
    await tab_to(page, f"entry-{crews}")
    await page.keyboard.press("Enter")
    retry = page.get_by_role("button", name=f"Retry entry {crews}")
    await expect(retry).to_be_visible()
    await tab_to(page, f"retry-{crews}")
    await page.keyboard.press("Enter")
    dialog = page.get_by_role("dialog")
    await expect(dialog.get_by_role("button", name=f"Retry entry {crews}")).to_be_focused()
    await page.keyboard.press("Escape")
    await expect(dialog).to_be_hidden()
    await expect(retry).to_be_focused()
    await page.keyboard.press("Escape")
    await expect(link).to_be_visible()


async def tab_to(page: Page, key: str) -> None:
    """Press Tab until the element with a key has the focus, and check that the focus is visible."""
    for _ in range(40):
        await page.keyboard.press("Tab")
        focused, outline = await page.evaluate(
            "[document.activeElement.dataset.key, getComputedStyle(document.activeElement).outlineStyle]"
        )
        if focused == key:
            assert outline != "none"
            return
    raise AssertionError(f"Tab does not reach {key}")
