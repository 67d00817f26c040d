"""Ids in JSON: text in responses, text or numbers in requests, so that no program changes a digit of them."""

import base64
import json
import re
from typing import Any

import pytest

from orchestrator.core.numbers import ID_PATTERN
from tests.web.support import Site

#: The first whole numbers that a 64-bit float does not have, and ids that an adopted table may have.
BIG, NEXT = 2**53, 2**53 + 1
IDS = (-(2**63) + 1, -5, 0, BIG, NEXT, 2**62)


def as_javascript_reads(content: str) -> Any:
    """Read JSON as JavaScript does: its numbers are 64-bit floats."""
    return json.loads(content, parse_int=lambda digits: int(float(digits)))


@pytest.fixture
def rows(site: Site) -> None:
    for entry_id in IDS:
        sql = (
            "INSERT INTO track_processing (id, table_name, status, job_id, last_error) VALUES (?, ?, ?, ?, ?)"
        )
        site.execute(sql, entry_id, f"t{entry_id}", "DEAD", NEXT, "why")


@pytest.mark.usefixtures("rows")
async def test_what_a_dry_run_listed_is_what_is_changed(site: Site) -> None:
    """A browser sends back the ids that it was given, whatever its numbers are."""
    await site.call("POST", "retry", {"filter": {"table": f"t{NEXT}"}})
    found = as_javascript_reads(site.answers[-1].content)
    again = {"filter": {"ids": found["ids"], "state": found["states"]}, "dry_run": False}
    await site.call("POST", "retry", again)
    assert as_javascript_reads(site.answers[-1].content)["ids"] == [str(NEXT)]
    assert site.execute("SELECT id FROM track_processing WHERE status = 'PENDING'") == [(NEXT,)]


@pytest.mark.usefixtures("rows")
@pytest.mark.parametrize("entry_id", IDS)
async def test_every_entry_opens_and_changes(site: Site, entry_id: int) -> None:
    status, told = await site.call("GET", f"entries/{entry_id}")
    assert (status, told["id"], told["job_id"]) == (200, str(entry_id), str(NEXT))
    status, told = await site.call("POST", f"entries/{entry_id}/retry")
    assert (status, told["id"], told["status"]) == (200, str(entry_id), "PENDING")
    for given in (entry_id, str(entry_id)):
        _, told = await site.call("POST", "cancel", {"filter": {"ids": [given]}})
        assert told["ids"] == [str(entry_id)]


@pytest.mark.usefixtures("rows")
@pytest.mark.parametrize("sort", ["id", "-id", "updated", "-updated"])
async def test_pages_contain_every_entry(site: Site, sort: str) -> None:
    found, after = [], ""
    while True:
        _, page = await site.call("GET", f"entries?sort={sort}&limit=2{after}")
        found += [int(entry["id"]) for entry in page["entries"]]
        if page["next"] is None:
            break
        after = f"&after={page['next']}"
    assert sorted(found) == list(IDS)


@pytest.mark.usefixtures("rows")
async def test_runs_and_jobs_are_named_by_text_or_number(site: Site) -> None:
    site.execute("UPDATE track_processing SET runid = ? WHERE id = ?", NEXT, BIG)
    assert (await site.call("GET", f"entries?run_id={NEXT}"))[1]["entries"][0]["run_id"] == str(NEXT)
    assert (await site.call("GET", f"entries?run_id={BIG}"))[1]["entries"] == []
    for run_id in (NEXT, str(NEXT)):
        _, told = await site.call("POST", "retry", {"filter": {"run_id": run_id}})
        assert told["ids"] == [str(BIG)]
    for job_id in (NEXT, str(NEXT)):
        new = {"entries": [{"table_name": "sales", "job_id": job_id}]}
        status, told = await site.call("POST", "entries", new)
        [made] = told["ids"]
        assert (status, (await site.call("GET", f"entries/{made}"))[1]["job_id"]) == (201, str(NEXT))


@pytest.mark.parametrize("wrong", ["", "x", "5.0", "1e3", " 5", "5 ", "\u0665", str(2**63), "1" * 400])
async def test_what_is_no_id(site: Site, wrong: str) -> None:
    for body in ({"filter": {"ids": [wrong]}}, {"filter": {"run_id": wrong}}):
        status, told = await site.call("POST", "retry", body)
        assert (status, "must be a whole number from" in told["detail"]) == (400, True)
    status, _ = await site.call("POST", "entries", {"entries": [{"table_name": "a", "job_id": wrong}]})
    assert status == 400
    assert re.match(ID_PATTERN, wrong) is None


@pytest.mark.parametrize("wrong", [None, {}, [], True])
async def test_what_is_neither_text_nor_number(site: Site, wrong: object) -> None:
    for wanted in ({"ids": [wrong]}, {"run_id": wrong}):
        status, told = await site.call("POST", "retry", {"filter": wanted})
        assert (status, "must be a whole number" in told["detail"]) == (400, True)


def test_the_documented_pattern_has_exactly_the_ids() -> None:
    ids = [*IDS, 2**63 - 1, 1, 9, 10**18, 9 * 10**18, 922337203685477579, 9223372036854775799]
    assert [each for each in ids if not re.fullmatch(ID_PATTERN, str(each))] == []
    others = [2**63, 2**63 + 2, 9223372036854775810, 93 * 10**17, 10**19, -(2**63)]
    assert [each for each in others if re.fullmatch(ID_PATTERN, str(each))] == []


@pytest.mark.parametrize(
    "time", ["0001-01-01T00:00:00+14:00", "9999-12-31T23:59:59-14:00", "0000-01-01T00:00:00Z", "x"]
)
@pytest.mark.parametrize("sort", ["id", "-updated"])
async def test_a_cursor_with_an_odd_year_is_refused(site: Site, time: str, sort: str) -> None:
    made = base64.urlsafe_b64encode(json.dumps([sort, 1, time]).encode()).decode().rstrip("=")
    status, told = await site.call("GET", f"entries?sort={sort}&after={made}")
    assert (status, "cursor" in told["detail"]) == (400, True)
