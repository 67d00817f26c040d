"""Invalid entries inserted by third parties never block valid ones and always say what is wrong."""

import json
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestrator.core import run_requests
from orchestrator.core.errors import InvalidEntry
from tests.badinput.columns import CANARY, GIVEN, OWN, SPOILT, json_texts, names, styles, wrong_types
from tests.badinput.support import tries
from tests.badinput.third_party import RawText, ThirdParty


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ThirdParty]:
    made = ThirdParty(tmp_path_factory.mktemp("badinput"))
    yield made
    made.close()


@st.composite
def rows(draw: st.DrawFn) -> dict[str, Any]:
    """Draw an entry with invalid columns, sometimes without the one that it must have."""
    columns = {**GIVEN, **OWN}
    chosen = draw(st.lists(st.sampled_from(list(columns)), unique=True, max_size=4))
    row = {name: draw(columns[name] | wrong_types) for name in chosen}
    if "table_name" not in row and draw(st.integers(0, 19)):
        row["table_name"] = draw(st.sampled_from(["sales", "orders"]))
    return row


@tries(120)
@given(st.lists(rows(), min_size=1, max_size=4))
def test_invalid_entry_does_not_block_others(world: ThirdParty, bad: list[dict[str, Any]]) -> None:
    world.reset()
    good = [world.insert({"table_name": "good_1"})]
    for row in bad:
        world.insert(row)
    good.append(world.insert({"table_name": "good_2", "parameters": '{"day": 1}'}))
    world.run()
    assert world.unfinished() == []
    for entry_id in good:
        assert world.sql("SELECT status FROM track_processing WHERE id = ?", entry_id) == [("DONE",)]
    check_ends(world)


@tries(40)
@given(st.fixed_dictionaries({}, optional={name: column | wrong_types for name, column in SPOILT.items()}))
def test_entry_that_becomes_invalid_during_its_run_does_not_block_others(
    world: ThirdParty, changes: dict[str, Any]
) -> None:
    world.reset()
    for table in ("a", "b", "c"):
        world.insert({"table_name": table})
    world.start()
    for name, value in changes.items():
        world.update("b", name, value)
    world.run()
    assert world.sql("SELECT status FROM track_processing") == [("DONE",)] * 3


@pytest.mark.parametrize(
    "column", ["table_name", "parameter_style", "parameters", "entry_guid", "last_error"]
)
def test_text_that_is_not_utf_8_does_not_block_others(world: ThirdParty, column: str) -> None:
    world.reset()
    world.insert({"table_name": "bad", column: RawText(b"\xff\xed\xa0\x80")})
    world.insert({"table_name": "good"})
    world.run()
    assert world.unfinished() == []
    check_ends(world)


def test_workspace_that_is_not_utf_8_does_not_block_others(world: ThirdParty) -> None:
    world.reset()
    world.insert({"table_name": "bad", "workspace": RawText(b"\xff")})
    world.insert({"table_name": "good"})
    world.run()
    assert world.sql("SELECT status FROM track_processing ORDER BY id") == [("PENDING",), ("DONE",)]


@pytest.mark.parametrize("entry_id", [-(2**63), -1, 0, 2**53 + 1])
def test_an_entry_may_have_any_id(world: ThirdParty, entry_id: int) -> None:
    world.reset()
    world.insert({"table_name": "odd", "id": entry_id})
    world.insert({"table_name": "good"})
    world.run()
    assert world.unfinished() == []


def check_ends(world: ThirdParty) -> None:
    """Check that every refused entry says why, once, without its parameters."""
    ends = world.sql(
        "SELECT t.status, t.last_error, COUNT(l.id), MAX(l.message), t.submission FROM track_processing AS t"
        " LEFT JOIN process_log AS l ON l.entry_id = t.id GROUP BY t.id"
    )
    for status, error, logged, message, submission in ends:
        if submission == 0:
            continue  # inserted at its end, cancelled before its turn, or still held back
        assert logged == 1
        if status == "DEAD":
            assert error
            assert error == message
            assert error.isprintable()
            assert len(error) < 500
            assert CANARY not in error


@tries(2_000)
@given(
    table_name=names,
    style=styles,
    text=st.none() | json_texts,
)
def test_any_parameters_are_accepted_or_refused(table_name: str, style: str, text: str | None) -> None:
    found: dict[str, str] | list[str] = []
    refusal = ""
    try:
        found = run_requests.run_parameters(table_name, style, text)
    except InvalidEntry as error:
        refusal = str(error)
    assert CANARY not in refusal
    assert refusal.isprintable()
    values = list(found.values()) if isinstance(found, dict) else found
    assert all(isinstance(value, str) for value in values)
    assert len(json.dumps(found, ensure_ascii=False).encode()) <= run_requests.MAX_PARAMETERS_BYTES


def test_parameters_of_many_megabytes_are_refused_unread(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(json, "loads", lambda *_, **__: pytest.fail("parsed"))
    for text in (" " * 20_000_000, '{"a": "' + "x" * 20_000_000, "[" * 20_000_000):
        with pytest.raises(InvalidEntry, match=r"parameters is [\d,]+ characters long"):
            run_requests.run_parameters("sales", "notebook_params", text)


def test_escapes_and_white_space_do_not_count() -> None:
    text = json.dumps({"a": "\x01" * 1_600, "b": "é" * 1}, indent=200)
    assert len(text) > 9_900
    assert len(run_requests.run_parameters("sales", "notebook_params", text)) == 2


@pytest.mark.parametrize(
    "number", ["1e999", "-0", "1.10", "0.1000000000000000055511151231257827", "9" * 5_000]
)
def test_a_number_is_passed_on_as_it_was_written(number: str) -> None:
    found = run_requests.run_parameters("sales", "notebook_params", f'{{"a": {number}}}')
    assert found == {"a": number}


def test_a_long_table_name_is_refused_too() -> None:
    with pytest.raises(InvalidEntry, match="bytes"):
        run_requests.run_parameters("x" * 10_000, "notebook_params", None)
