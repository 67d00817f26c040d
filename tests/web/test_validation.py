"""How requests are read by their types: what is taken, and which path and remedy a problem names."""

from collections.abc import Iterator
from typing import Any

import pytest
from msgspec import UNSET, Struct, inspect

from orchestrator.core.search import Sort
from orchestrator.core.states import NoStatus, Status
from orchestrator.web import openapi, schemas
from orchestrator.web.http import Problem
from orchestrator.web.validation import read_json, read_query

STATES = "PENDING, QUEUED, RUNNING, DONE, FAILED, DEAD, CANCELED"


def test_a_body_becomes_its_type() -> None:
    body = {"filter": {"state": ["DEAD", "FAILED"], "ids": [7, 8.0], "table": "sales*"}, "dry_run": False}
    found = read_json(body, schemas.Bulk)
    assert found == schemas.Bulk(
        filter=schemas.Filter(state=[Status.DEAD, Status.FAILED], ids=[7, 8], table="sales*"),
        dry_run=False,
        limit=1000,
    )
    assert read_json({"filter": {"state": "DEAD"}}, schemas.Bulk).filter.state is Status.DEAD


@pytest.mark.parametrize(
    ("struct", "body", "problem"),
    [
        (schemas.Bulk, {}, "$.filter must be given"),
        (schemas.Bulk, {"filter": []}, "$.filter is not an object"),
        (schemas.Bulk, {"filter": {}, "x": 1}, "$ has no field 'x'; the fields are filter, dry_run, limit"),
        (schemas.Bulk, {"filter": {"x" * 99: 1}}, f"$.filter has no field '{'x' * 40}'; the fields are "),
        (schemas.Bulk, {"filter": {"state": 5}}, "$.filter.state must be a text or a list"),
        (schemas.Bulk, {"filter": {"state": "X"}}, f"$.filter.state must be one of {STATES}"),
        (schemas.Bulk, {"filter": {"state": ["DEAD", "X"]}}, f"$.filter.state[1] must be one of {STATES}"),
        (schemas.Bulk, {"filter": {"state": []}}, "$.filter.state must be a list with at least 1 value"),
        (schemas.Bulk, {"filter": {"ids": [1, "2 "]}}, "$.filter.ids[1] must be a whole number from -9"),
        (schemas.Bulk, {"filter": {"table": ""}}, "$.filter.table must be a text of 1 to 500 characters"),
        (schemas.Bulk, {"filter": {"table": "a\n"}}, "$.filter.table: 'a\\n' has characters that are not"),
        (
            schemas.Bulk,
            {"filter": {"since": "now"}},
            "$.filter.since: 'now' is not a time; use 2026-01-31T04",
        ),
        (schemas.Bulk, {"filter": {}, "dry_run": 1}, "$.dry_run must be true or false"),
        (schemas.NewEntries, {"entries": [{"table_name": 5}]}, "$.entries[0].table_name must be a text of 1"),
        (
            schemas.NewEntries,
            {"entries": [{"table_name": "a", "parameters": 5}]},
            "$.entries[0].parameters must be an object or a list or a text",
        ),
        (
            schemas.Notification,
            {"run": {"run_id": 0}, "job": 1},
            "$.run.run_id must be a whole number from 1",
        ),
    ],
)
def test_a_problem_names_the_path_and_the_remedy(struct: type[Struct], body: object, problem: str) -> None:
    with pytest.raises(Problem) as raised:
        read_json(body, struct)
    assert raised.value.detail.startswith(problem)


def test_a_query_string_becomes_its_type() -> None:
    fields = {"state": ["DEAD,DONE", "FAILED"], "sort": ["id"], "limit": ["007"], "parameters": ["true"]}
    assert read_query({**fields, "code": ["key"]}, schemas.EntriesQuery) == schemas.EntriesQuery(
        state=["DEAD", "DONE", "FAILED"], sort=Sort.OLDEST, limit=7, parameters=True
    )
    assert read_query({}, schemas.EntriesQuery).state is UNSET


@pytest.mark.parametrize(
    ("fields", "problem"),
    [
        ({"x": ["1"]}, "there is no field 'x'; the fields are table, "),
        ({"limit": ["1", "2"]}, "`limit` is given twice"),
        ({"limit": ["1", "2", "3"]}, "`limit` is given 3 times"),
        ({"limit": [""]}, "`limit` is empty: give it a value, or leave it out"),
        ({"limit": ["5.0"]}, "limit must be a whole number from 1 to 500"),
        ({"parameters": ["1"]}, "parameters must be true or false"),
        ({"state": ["DEAD,X"]}, f"state must be one of {', '.join(sorted([*Status, *NoStatus]))}"),
        ({"sort": ["name"]}, "sort must be one of -id, id, -updated, updated"),
    ],
)
def test_a_problem_names_the_field(fields: dict[str, list[str]], problem: str) -> None:
    with pytest.raises(Problem) as raised:
        read_query(fields, schemas.EntriesQuery)
    assert raised.value.detail.startswith(problem)


def test_a_route_without_fields() -> None:
    with pytest.raises(Problem, match="there is no field 'x'; there are no fields"):
        read_query({"x": ["1"]}, schemas.NoQuery)


def types_in(type_: Any) -> Iterator[inspect.Type]:
    """Return a type and all types in it."""
    yield type_
    for name in ("type", "item_type"):
        if hasattr(type_, name):
            yield from types_in(getattr(type_, name))
    for each in getattr(type_, "types", ()):
        yield from types_in(each)
    for each in getattr(type_, "fields", ()):
        yield from types_in(each.type)


def test_every_number_in_a_request_has_bounds() -> None:
    structs = {
        each
        for operation in openapi._OPERATIONS.values()
        for each in (operation.path, operation.query, operation.body)
        if each is not None
    }
    numbers = [
        each
        for struct in structs
        for each in types_in(inspect.type_info(struct))
        if isinstance(each, inspect.IntType)
    ]
    assert len(numbers) > 10
    assert all(each.ge is not None and each.le is not None for each in numbers)
