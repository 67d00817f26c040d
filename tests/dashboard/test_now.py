"""The first view: is the app healthy, what failed, and what is waiting and why. And the history."""

import pytest
from playwright.async_api import Page, expect

from tests.dashboard.site import CAP, CREWS_ERROR, FOREIGN_RUNS, RUNNING, Site

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(120), pytest.mark.asyncio(loop_scope="session")]

HOSTILE_TABLE = '<img src=x onerror="window.hacked = 1">'
HOSTILE_ERROR = "<script>window.hacked = 1</script> & <b>no such table</b>"


async def test_the_first_screen_answers_with_what_the_database_holds(page: Page, site: Site) -> None:
    await page.goto(site.dashboard())
    summary = page.get_by_role("region", name="Summary")
    await expect(summary).to_contain_text("Healthy")
    await expect(summary).to_contain_text(f"{site.stack.count('DEAD')} dead in 24 h")
    await expect(summary).to_contain_text(f"{site.stack.count('PENDING', 'FAILED')} entries")
    await expect(summary).to_contain_text("1 waiting for another entry of the same table")
    await expect(page.get_by_role("meter", name="Active runs in default")).to_have_attribute(
        "aria-valuetext", f"{len(RUNNING)} ours and {FOREIGN_RUNS} foreign runs in {CAP} slots"
    )
    crews = page.get_by_role("table", name="Recent failures").get_by_role("row").filter(has_text="crews")
    await expect(crews).to_contain_text(CREWS_ERROR)
    running = page.get_by_role("table", name="In flight")
    await expect(running.get_by_role("row").nth(1)).to_contain_text(str(site.entry_ids("flights")[0]))
    waiting = page.get_by_role("table", name="Waiting")
    await expect(waiting.get_by_role("row").filter(has_text="flights")).to_contain_text(
        "another entry of this table is in flight or comes first"
    )
    await expect(waiting.get_by_role("row").filter(has_text="budget")).to_contain_text("not before")


async def test_states_are_counted(page: Page, site: Site) -> None:
    await page.goto(site.dashboard())
    card = page.locator("[data-workspace=default]")
    for state, label in [("RUNNING", "RUNNING"), ("PENDING", "PENDING"), ("DONE", "DONE in 24 h")]:
        counted = card.locator(".states div").filter(has=page.get_by_text(label, exact=True)).locator("dd")
        await expect(counted).to_have_text(str(site.stack.count(state)))


async def test_a_hostile_entry_is_shown_as_text(page: Page, site: Site) -> None:
    await site.outcome(HOSTILE_TABLE, ["FAILED"], error=HOSTILE_ERROR)
    (entry_id,) = site.insert(HOSTILE_TABLE)
    await site.until([entry_id], "DEAD")
    await page.goto(site.dashboard())
    row = page.get_by_role("table", name="Recent failures").get_by_role("row").filter(has_text="<img src=x")
    await expect(row).to_contain_text(HOSTILE_TABLE)
    await expect(row).to_contain_text(HOSTILE_ERROR)
    site.stack.execute(
        "UPDATE process_log SET run_page_url = 'javascript:window.hacked=1' WHERE entry_id = ?", [(entry_id,)]
    )
    for view in ("history=24", "search=no such table", f"entry={entry_id}"):
        await page.goto(site.dashboard(view))
        await expect(page.get_by_text(HOSTILE_TABLE).first).to_be_visible()
    await expect(page.get_by_role("region", name="Runs")).to_contain_text("in Databricks")
    assert await page.locator("main a[href^='javascript']").count() == 0
    assert await page.locator("main img, main script, main b").count() == 0
    assert await page.evaluate("window.hacked") is None


async def test_history_is_shown_as_charts_and_numbers(page: Page, site: Site) -> None:
    await page.goto(site.dashboard())
    await page.get_by_role("link", name="History").click()
    chart = page.get_by_role("img", name="runs done")
    await expect(chart.locator("rect.failed")).not_to_have_count(0)
    await page.get_by_text("As a table").first.click()
    ended = "SELECT COUNT(*) FROM process_log WHERE created_at > datetime('now', '-1 day') AND status IN"
    dead = site.stack.query(f"{ended} ('DEAD', 'FAILED')")[0][0]
    done = site.stack.query(f"{ended} ('DONE')")[0][0]
    await expect(chart).to_have_attribute("aria-label", f"{done} runs done and {dead} failed")
    for column, total in ((2, done), (3, dead)):
        cells = await page.locator(f"details[open] td:nth-child({column})").all_inner_texts()
        assert sum(map(int, cells)) == total
    crews = page.get_by_role("table", name="Table by table").get_by_role("row").filter(has_text="crews")
    await expect(crews).to_contain_text("0 %")
    await page.get_by_role("link", name="Week").click()
    await expect(page.get_by_role("heading", name="The last 7 days")).to_be_visible()
    await expect(page.get_by_role("table", name="Table by table")).to_contain_text("crews")
