"""One box finds an entry, and the entry's story says why it failed."""

import re
import sqlite3
from contextlib import closing

import pytest
from playwright.async_api import Page, expect

from tests.dashboard.site import CREWS_ERROR, LATER, RUNNING, Site

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(120), pytest.mark.asyncio(loop_scope="session")]


async def search(page: Page, text: str) -> None:
    """Type into the box and press Find."""
    await page.get_by_role("searchbox").fill(text)
    await page.get_by_role("button", name="Find").click()


@pytest.mark.parametrize(
    ("typed", "found"),
    [
        ("crews", ["crews"]),
        ("sales", ["sales_2025", "sales_2026"]),
        ("*_2026", ["sales_2026"]),
        ("ales_20", ["sales_2025", "sales_2026"]),
        ("did not answer in 300", ["orders_eu"]),
        ("ingesterror", ["crews"]),
    ],
)
async def test_a_table_or_an_error_is_found(page: Page, site: Site, typed: str, found: list[str]) -> None:
    await page.goto(site.dashboard())
    await search(page, typed)
    rows = page.get_by_role("table", name="Found").locator("tbody tr")
    await expect(rows).to_have_count(len(found))
    assert sorted(await rows.locator("td:nth-child(2)").all_inner_texts()) == found
    await page.reload()  # the address holds the search
    await expect(rows).to_have_count(len(found))


@pytest.mark.parametrize("number", ["id", "run_id"])
async def test_a_number_is_an_entry_or_a_run(page: Page, site: Site, number: str) -> None:
    await page.goto(site.dashboard())
    await search(page, str(site.entry("orders_eu")[number]))
    rows = page.get_by_role("table", name="Found").locator("tbody tr")
    await expect(rows).to_have_count(1)
    await expect(rows).to_contain_text("orders_eu")


async def test_a_text_found_in_table_names_can_be_searched_in_the_errors(page: Page, site: Site) -> None:
    await page.goto(site.dashboard("search=planes"))
    rows = page.get_by_role("table", name="Found").locator("tbody tr")
    await expect(page.locator("#found")).to_have_text("1 entry of table *planes*")
    await page.get_by_role("link", name="search the errors instead").click()
    await expect(rows).to_have_count(1)
    await expect(rows).to_contain_text("crews")


async def test_filters_narrow_a_search_and_an_empty_result_says_so(page: Page, site: Site) -> None:
    await page.goto(site.dashboard("search="))
    rows = page.get_by_role("table", name="Found").locator("tbody tr")
    await expect(rows).not_to_have_count(0)
    await page.get_by_role("combobox", name="State").select_option("RUNNING")
    await expect(rows).to_have_count(len(RUNNING))
    await page.get_by_role("combobox", name="Changed", exact=True).select_option("last hour")
    await expect(rows.filter(has_text="flights")).to_be_visible()
    await search(page, "no-such-table")
    await expect(page.get_by_role("main")).to_contain_text("Nothing found.")


async def test_entries_without_a_state_are_found_and_not_changed(page: Page, empty_site: Site) -> None:
    empty_site.insert("sales", at=LATER)
    with closing(sqlite3.connect(empty_site.stack.database, timeout=30)) as connection, connection:
        connection.execute("PRAGMA ignore_check_constraints = ON")
        connection.execute("INSERT INTO track_processing (table_name, status) VALUES ('odd', 'NEW')")
    await page.goto(empty_site.dashboard("search="))
    rows = page.get_by_role("table", name="Found").locator("tbody tr")
    await expect(rows).to_have_count(2)
    bulk = page.get_by_role("button", name="all found…")
    await expect(bulk).to_have_count(0)
    state = page.get_by_role("combobox", name="State")
    await state.select_option("PENDING")
    await expect(rows).to_have_count(1)
    await expect(rows).to_have_text(re.compile("sales"))
    await expect(bulk).not_to_have_count(0)
    await state.select_option("UNREADABLE")
    await expect(rows.filter(has_text="odd")).to_have_count(1)
    await expect(rows).to_have_count(1)
    await expect(bulk).to_have_count(0)


async def test_a_chosen_workspace_is_shown_even_if_it_is_the_only_one(page: Page, site: Site) -> None:
    await page.goto(site.dashboard("history=24"))
    await page.get_by_role("table", name="Table by table").get_by_role("link", name="crews").click()
    choice = page.get_by_role("combobox", name="Workspace")
    await expect(choice).to_have_value("default")
    await page.goto(site.dashboard("search=crews&workspace=gone"))
    await expect(choice).to_have_value("gone")
    await expect(page.get_by_role("main")).to_contain_text("Nothing found.")
    await choice.select_option("all")
    await expect(page.get_by_role("table", name="Found")).to_contain_text("crews")


async def test_pages_follow_one_another(page: Page, site: Site) -> None:
    ids = site.insert(*(f"page_{number:02}" for number in range(60)), at="2099-01-01 00:00:00")
    await page.goto(site.dashboard("search=page_"))
    rows = page.get_by_role("table", name="Found").locator("tbody tr")
    await expect(rows).to_have_count(50)
    await page.get_by_role("button", name="Show more").click()
    await expect(rows).to_have_count(60)
    await expect(page.get_by_role("button", name="Show more")).to_have_count(0)
    assert sorted(await rows.locator("td:first-child").all_inner_texts()) == sorted(f"#{one}" for one in ids)
    site.stack.execute("DELETE FROM track_processing WHERE id = ?", [(one,) for one in ids])


async def test_a_page_that_fails_is_loaded_again_and_the_list_stays(page: Page, site: Site) -> None:
    ids = site.insert(*(f"later_{number:02}" for number in range(60)), at="2099-01-01 00:00:00")
    rows = page.get_by_role("table", name="Found").locator("tbody tr")
    await page.goto(site.dashboard("search=later_"))
    await expect(rows).to_have_count(50)
    await page.route("**/api/entries?*after=*", lambda route: route.abort(), times=1)
    await page.get_by_role("button", name="Show more").click()
    await expect(page.get_by_role("alert")).to_contain_text("The API cannot be reached")
    await expect(rows).to_have_count(60)
    await expect(page.get_by_role("alert")).to_be_hidden()
    await page.route("**/api/entries/*", lambda route: route.abort(), times=1)
    await page.goto(site.dashboard(f"entry={ids[0]}"))  # leaving the list ends its pause
    await expect(page.get_by_role("region", name="Entry")).to_contain_text("later_00")
    site.stack.execute("DELETE FROM track_processing WHERE id = ?", [(one,) for one in ids])


async def test_the_story_of_an_entry(page: Page, site: Site) -> None:
    crews = site.entry("crews")
    await page.goto(site.dashboard())
    await (
        page.get_by_role("table", name="Recent failures").get_by_role("link", name=f"#{crews['id']}").click()
    )
    await expect(page).to_have_url(site.dashboard(f"entry={crews['id']}"))
    story = page.get_by_role("region", name="Runs")
    await expect(story).to_contain_text("Submission 2, attempt 2")
    await expect(story).to_contain_text(CREWS_ERROR)
    link = story.get_by_role("link", name=f"run {crews['run_id']} in Databricks")
    assert str(crews["run_id"]) in (await link.get_attribute("href") or "")
    assert await link.get_attribute("rel") == "noopener noreferrer"
    trace = story.locator("details pre").first
    await expect(trace).to_be_hidden()
    await story.get_by_text("Trace", exact=True).first.click()
    await expect(trace).to_contain_text("line 7, in ingest")
    at = await page.locator("dl time").first.get_attribute("title")
    assert at is not None
    assert at.endswith(" UTC")


async def test_the_exit_value_of_a_notebook_is_shown(page: Page, site: Site) -> None:
    planes = site.entry("planes")["id"]
    value = '{"rows": 17, "note": "<b>well</b>"}'
    site.stack.execute("UPDATE process_log SET result = ? WHERE entry_id = ?", [(value, planes)])
    await page.goto(site.dashboard(f"entry={planes}"))
    story = page.get_by_role("region", name="Runs")
    shown = story.locator("details pre")
    await expect(shown).to_be_hidden()
    await story.get_by_text("Exit value", exact=True).click()
    await expect(shown).to_have_text(value)


async def test_a_run_in_flight_links_to_databricks(page: Page, site: Site) -> None:
    """The first view and the entry's story both link to the run, and the link opens it."""
    entry_id, _ = site.entry_ids("flights")
    ((run_id,),) = site.stack.write("SELECT runid FROM track_processing WHERE id = ?", entry_id)
    await page.goto(site.dashboard())
    flights = page.get_by_role("table", name="In flight").get_by_role("row").filter(has_text="flights")
    link = flights.get_by_role("link", name=str(run_id))
    shown = await link.get_attribute("href")
    assert shown is not None
    await flights.get_by_role("link", name=f"#{entry_id}").click()
    under_way = page.get_by_role("region", name="Runs").get_by_role("listitem").first
    await expect(under_way).to_contain_text("Submission 1, attempt 1RUNNING")
    await expect(under_way).to_contain_text("submitted ")
    link = under_way.get_by_role("link", name=f"run {run_id} in Databricks")
    assert await link.get_attribute("href") == shown
    opened = await page.context.new_page()
    await opened.goto(shown)
    await expect(opened.get_by_role("heading", name=f"Run {run_id}")).to_be_visible()
    await expect(opened.locator("pre")).to_contain_text('"life_cycle_state": "RUNNING"')
    answer = await opened.request.get(f"{shown.partition('/#')[0]}/_sim/runs/{run_id}")
    theirs = (await answer.json())["run"]["run_page_url"]
    assert theirs.partition("#")[2] == shown.partition("#")[2], "made as Databricks makes it"


async def test_an_entry_that_waits_says_why(page: Page, site: Site) -> None:
    _, waiting = site.entry_ids("flights")
    await page.goto(site.dashboard(f"entry={waiting}"))
    facts = page.get_by_role("region", name="Entry")
    await expect(facts).to_contain_text("another entry of this table is in flight or comes first")
    await expect(facts).not_to_contain_text("Finished")


async def test_an_entry_that_does_not_exist(page: Page, site: Site) -> None:
    await page.goto(site.dashboard("entry=999999"))
    await expect(page.get_by_role("main")).to_contain_text("There is no entry 999999")


async def test_an_adopted_entry_with_a_long_id_below_zero_and_a_long_log(page: Page, site: Site) -> None:
    """JavaScript's numbers would make this id another one, and the log does not fit one page."""
    entry_id = -(2**53) - 1
    site.stack.write(
        "INSERT INTO track_processing (id, table_name, status, updated_at) VALUES (?, 'old', 'CANCELED', ?)",
        entry_id,
        "2020-01-01 00:00:00.000",
    )
    site.stack.write(
        "WITH n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 60)"
        " INSERT INTO process_log (entry_id, submission, attempt, status, created_at)"
        " SELECT ?, i, i, 'FAILED', '2020-01-01 00:00:00.000' FROM n",
        entry_id,
    )
    try:
        await page.goto(site.dashboard(f"search={entry_id}"))
        await page.get_by_role("link", name=f"#{entry_id}").click()
        runs = page.get_by_role("region", name="Runs")
        await expect(runs.get_by_text("the last 50 ended")).to_be_visible()
        await runs.get_by_role("button", name="Show earlier").click()
        await expect(runs.get_by_role("listitem")).to_have_count(60)
        await expect(runs.get_by_role("listitem").last).to_contain_text("Submission 1,")
        await expect(runs.get_by_role("button", name="Show earlier")).to_have_count(0)
    finally:
        site.stack.write("DELETE FROM track_processing WHERE id = ?", entry_id)
