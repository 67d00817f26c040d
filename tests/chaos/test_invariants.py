"""The check itself: it accepts correct facts and names each violation."""

import copy
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from tests.chaos.invariants import violations
from tests.chaos.load import InsertedEntry, Kind
from tests.chaos.parts import CAP, MAX_ATTEMPTS
from tests.invariants import Facts

INSERTED = [
    InsertedEntry(id=1, kind=Kind.PLAIN, table="a"),
    InsertedEntry(id=2, kind=Kind.FLAKY, table="b"),
    InsertedEntry(id=3, kind=Kind.CANCELED, table="c"),
    InsertedEntry(id=4, kind=Kind.INVALID, table="c"),
]


def step(entry_id: int, old: str, before: int, new: str, after: int) -> dict[str, Any]:
    return {
        "entry_id": entry_id,
        "old": old,
        "new": new,
        "old_submission": before,
        "new_submission": after,
        "at": "2026-01-01 00:00:00.000",
    }


def run(run_id: int, token: str | None, start: int, end: int | None) -> dict[str, Any]:
    return {"run_id": run_id, "idempotency_token": token, "start_time": start, "end_time": end}


def entry(entry_id: int, status: str, submission: int, attempt: int) -> dict[str, Any]:
    return {
        "id": entry_id,
        "entry_guid": f"guid-{entry_id}",
        "table_name": {1: "a", 2: "b"}.get(entry_id, "c"),
        "status": status,
        "submission": submission,
        "attempt": attempt,
        "last_error": None,
    }


def log(entry_id: int, submission: int, run_id: int | None) -> dict[str, Any]:
    return {"entry_id": entry_id, "submission": submission, "runid": run_id, "message": None}


def good() -> Facts:
    """Return correct facts: a plain, a flaky, an early canceled and a refused entry."""
    return Facts(
        entries={
            1: entry(1, "DONE", 1, 1),
            2: entry(2, "DONE", 2, 2),
            3: entry(3, "CANCELED", 0, 0),
            4: entry(4, "DEAD", 1, 1),
        },
        logs=[log(1, 1, 11), log(2, 1, 21), log(2, 2, 22), log(4, 1, None)],
        audit=[
            step(1, "PENDING", 0, "QUEUED", 1),
            step(1, "QUEUED", 1, "RUNNING", 1),
            step(1, "RUNNING", 1, "DONE", 1),
            step(2, "PENDING", 0, "QUEUED", 1),
            step(2, "QUEUED", 1, "RUNNING", 1),
            step(2, "RUNNING", 1, "FAILED", 1),
            step(2, "FAILED", 1, "QUEUED", 2),
            step(2, "QUEUED", 2, "RUNNING", 2),
            step(2, "RUNNING", 2, "DONE", 2),
            step(3, "PENDING", 0, "CANCELED", 0),
            step(4, "PENDING", 0, "QUEUED", 1),
            step(4, "QUEUED", 1, "DEAD", 1),
        ],
        runs=[run(11, "guid-1-1", 0, 10), run(21, "guid-2-1", 0, 10), run(22, "guid-2-2", 10, 20)],
        max_active=CAP,
        cap=CAP,
        max_attempts=MAX_ATTEMPTS,
    )


def test_correct_facts_have_no_violation() -> None:
    assert violations(good(), INSERTED) == []


def lose_an_entry(facts: Facts) -> None:
    del facts.entries[3]


def add_an_entry(facts: Facts) -> None:
    facts.entries[9] = entry(9, "DONE", 0, 0)


def leave_an_entry_queued(facts: Facts) -> None:
    facts.entries[1]["status"] = "QUEUED"


def take_no_edge(facts: Facts) -> None:
    facts.audit[1]["new"] = facts.audit[2]["old"] = "FAILED"


def leave_a_final_status(facts: Facts) -> None:
    facts.audit.append(step(1, "DONE", 1, "PENDING", 1))


def change_without_the_audit(facts: Facts) -> None:
    del facts.audit[1]


def begin_a_submission_while_queued(facts: Facts) -> None:
    facts.audit.insert(1, step(1, "QUEUED", 1, "QUEUED", 2))


def spend_an_attempt_too_many(facts: Facts) -> None:
    facts.entries[2]["attempt"] = 4


def run_twice(facts: Facts) -> None:
    facts.runs.append(run(12, "guid-1-1", 20, 30))


def run_at_the_same_time(facts: Facts) -> None:
    facts.runs[2]["start_time"] = 9


def run_a_table_twice_at_a_time(facts: Facts) -> None:
    facts.entries[2]["table_name"] = "a"


def run_unknown_to_all(facts: Facts) -> None:
    facts.runs.append(run(99, "guid-9-1", 0, 10))


def run_without_a_token(facts: Facts) -> None:
    facts.runs.append(run(99, None, 0, 10))


def run_of_no_submission(facts: Facts) -> None:
    facts.runs.append(run(31, "guid-3-1", 0, 10))


def go_on(facts: Facts) -> None:
    facts.runs[0]["end_time"] = None


def log_nothing(facts: Facts) -> None:
    del facts.logs[0]


def log_twice(facts: Facts) -> None:
    facts.logs.append(log(1, 2, 11))


def log_no_run(facts: Facts) -> None:
    facts.logs.append(log(1, 2, None))


def log_a_run_that_never_was(facts: Facts) -> None:
    facts.logs.append(log(1, 2, 77))


def log_anothers_run(facts: Facts) -> None:
    facts.logs[0]["runid"], facts.logs[1]["runid"] = 21, 11


@pytest.mark.parametrize(
    ("break_it", "words"),
    [
        (lose_an_entry, "entries that are missing: [3]"),
        (add_an_entry, "entries that nobody inserted: [9]"),
        (leave_an_entry_queued, "entry 1 is QUEUED, not final"),
        (take_no_edge, "entry 1: FAILED (1) → DONE (1) is not an edge"),
        (leave_a_final_status, "entry 1: DONE (1) → PENDING (1) is not an edge"),
        (change_without_the_audit, "does not follow ('QUEUED', 1)"),
        (begin_a_submission_while_queued, "begins without a claim"),
        (spend_an_attempt_too_many, "entry 2 began 4 attempts"),
        (run_twice, "plain entry 1 is DONE with 2 runs"),
        (run_at_the_same_time, "entry 2 had the runs 21 and 22 at the same time"),
        (run_a_table_twice_at_a_time, "table a had the runs 11 and 21 at the same time"),
        (run_unknown_to_all, "a token that no entry gave: guid-9-1"),
        (run_without_a_token, "a token that no entry gave: None"),
        (run_of_no_submission, "a token that no entry gave: guid-3-1"),
        (go_on, "run 11 of entry 1 is still active"),
        (log_nothing, "run 11 (guid-1-1) has 0 log rows"),
        (log_twice, "run 11 (guid-1-1) has 2 log rows"),
        (log_no_run, "entry 1, submission 2 has no run"),
        (log_a_run_that_never_was, "names the run 77, which does not exist"),
        (log_anothers_run, "names the run of another submission: guid-2-1"),
    ],
)
def test_each_error_is_named(break_it: Callable[[Facts], None], words: str) -> None:
    facts = copy.deepcopy(good())
    break_it(facts)
    found = violations(facts, INSERTED)
    assert any(words in violation for violation in found), found


def test_the_cap_is_checked() -> None:
    over = replace(good(), max_active=CAP + 1)
    assert violations(over, INSERTED) == [f"{CAP + 1} runs at once, above the cap of {CAP}"]
