"""The check itself: it accepts correct facts and names each violation."""

import copy
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from orchestrator.core.actions import Resolution
from tests.chaos.invariants import violations, with_hands
from tests.chaos.kinds import Kind
from tests.chaos.load import InsertedEntry
from tests.chaos.parts import CAP, MAX_ATTEMPTS
from tests.invariants import BY_HAND, Facts

INSERTED = [
    InsertedEntry(id=1, kind=Kind.PLAIN, table="a"),
    InsertedEntry(id=2, kind=Kind.FLAKY, table="b"),
    InsertedEntry(id=3, kind=Kind.CANCELED, table="c"),
    InsertedEntry(id=4, kind=Kind.INVALID, table="c"),
    InsertedEntry(id=5, kind=Kind.MENDED, table="d"),
    InsertedEntry(id=6, kind=Kind.REPAIRED, table="e"),
    InsertedEntry(id=7, kind=Kind.RESOLVED, table="f"),
]

RESOLVED = {7: Resolution.FAILED}


def step(  # noqa: PLR0917 - a table of steps is read by its columns
    entry_id: int, old: str, before: int, new: str, after: int, action: str = ""
) -> dict[str, Any]:
    return {
        "entry_id": entry_id,
        "old": old,
        "new": new,
        "old_submission": before,
        "new_submission": after,
        "action": action,
        "at": "2026-01-01 00:00:00.000",
    }


def run(run_id: int, token: str | None, *times: int | None) -> dict[str, Any]:
    """Return a run by its start and end in ms, and those of its repairs."""
    parts = [
        {"start_time": start, "end_time": end} for start, end in zip(times[::2], times[1::2], strict=True)
    ]
    return {
        "run_id": run_id,
        "idempotency_token": token,
        "start_time": times[0],
        "end_time": times[-1],
        "parts": parts,
    }


def first_run(entry_id: int) -> list[dict[str, Any]]:
    """Return the steps of an entry to its first run."""
    return [step(entry_id, "PENDING", 0, "QUEUED", 1), step(entry_id, "QUEUED", 1, "RUNNING", 1)]


def entry(entry_id: int, status: str, submission: int, attempt: int) -> dict[str, Any]:
    return {
        "id": entry_id,
        "entry_guid": f"guid-{entry_id}",
        "table_name": {1: "a", 2: "b", 5: "d", 6: "e", 7: "f"}.get(entry_id, "c"),
        "status": status,
        "submission": submission,
        "attempt": attempt,
        "last_error": None,
    }


def log(entry_id: int, submission: int, run_id: int | None, ended_at: int | None = None) -> dict[str, Any]:
    """Return a log row of a run that ended at this time in ms."""
    time = None if ended_at is None else f"1970-01-01 00:00:00.{ended_at:03}"
    return {
        "entry_id": entry_id,
        "submission": submission,
        "runid": run_id,
        "finished_at": time,
        "message": None,
    }


def good() -> Facts:
    """Return correct facts: an entry of each kind, the canceled one before it had a run."""
    facts = Facts(
        entries={
            1: entry(1, "DONE", 1, 1),
            2: entry(2, "DONE", 2, 2),
            3: entry(3, "CANCELED", 0, 0),
            4: entry(4, "DEAD", 1, 1),
            5: entry(5, "DONE", 2, 2),
            6: entry(6, "DONE", 2, 1),
            7: entry(7, "DEAD", 1, 1),
        },
        logs=[
            log(1, 1, 11, 10),
            log(2, 1, 21, 10),
            log(2, 2, 22, 20),
            log(4, 1, None),
            log(5, 1, 51, 10),
            log(5, 2, 51, 30),
            log(6, 1, 61, 10),
            log(6, 2, 61, 30),
            log(7, 1, 71),
        ],
        audit=[
            *first_run(1),
            step(1, "RUNNING", 1, "DONE", 1),
            *first_run(2),
            step(2, "RUNNING", 1, "FAILED", 1),
            step(2, "FAILED", 1, "QUEUED", 2),
            step(2, "QUEUED", 2, "RUNNING", 2),
            step(2, "RUNNING", 2, "DONE", 2),
            step(3, "PENDING", 0, "CANCELED", 0),
            step(4, "PENDING", 0, "QUEUED", 1),
            step(4, "QUEUED", 1, "DEAD", 1),
            *first_run(5),
            step(5, "RUNNING", 1, "FAILED", 1),
            step(5, "FAILED", 1, "QUEUED", 2),
            step(5, "QUEUED", 2, "RUNNING", 2),
            step(5, "RUNNING", 2, "DONE", 2),
            *first_run(6),
            step(6, "RUNNING", 1, "DEAD", 1),
            step(6, "DEAD", 1, "RUNNING", 2),
            step(6, "RUNNING", 2, "DONE", 2),
            *first_run(7),
            step(7, "RUNNING", 1, "DEAD", 1, "resolve"),
        ],
        runs=[
            run(11, "guid-1-1", 0, 10),
            run(21, "guid-2-1", 0, 10),
            run(22, "guid-2-2", 10, 20),
            run(51, "guid-5-1", 0, 10, 20, 30),
            run(61, "guid-6-1", 0, 10, 20, 30),
            run(71, "guid-7-1", 0, None),
        ],
        foreign=[],
        cap=CAP,
        max_attempts=MAX_ATTEMPTS,
    )
    return with_hands(facts, INSERTED)


def test_correct_facts_have_no_violation() -> None:
    assert violations(good(), INSERTED, RESOLVED) == []


def test_who_changes_entries_by_sql_may_set_any_status_and_number() -> None:
    facts = copy.deepcopy(good())
    facts.audit.extend([step(1, "DONE", 1, "FAILED", 0, BY_HAND), step(1, "FAILED", 0, "DONE", 1, BY_HAND)])
    assert violations(facts, INSERTED, RESOLVED) == []


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
    facts.runs[2]["parts"][0]["start_time"] = 9


def run_beside_a_repair(facts: Facts) -> None:
    facts.entries[5]["submission"] = 3
    facts.audit.append(step(5, "DONE", 2, "PENDING", 2, "retry"))
    facts.audit.append(step(5, "PENDING", 2, "QUEUED", 3))
    facts.runs.append(run(52, "guid-5-3", 25, 40))


def repair_twice(facts: Facts) -> None:
    facts.runs[3] = run(51, "guid-5-1", 0, 10, 20, 30, 35, 40)


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


def revive_what_was_resolved(facts: Facts) -> None:
    facts.audit.append(step(7, "DEAD", 1, "RUNNING", 2))


def revive_under_the_same_number(facts: Facts) -> None:
    facts.audit[-5]["new_submission"] = 1


def end_otherwise_than_resolved(facts: Facts) -> None:
    facts.entries[7]["status"] = facts.audit[-1]["new"] = "DONE"


def run_what_is_resolved(facts: Facts) -> None:
    facts.runs.append(run(72, "guid-7-1", 5, 8))


def log_nothing(facts: Facts) -> None:
    del facts.logs[0]


def log_twice(facts: Facts) -> None:
    facts.logs.append(log(1, 1, 11, 10))


def log_a_repair_twice(facts: Facts) -> None:
    facts.logs.append(log(5, 3, 51, 30))


def log_no_repair(facts: Facts) -> None:
    del facts.logs[5]


def log_an_end_that_never_was(facts: Facts) -> None:
    facts.logs[5]["finished_at"] = "1970-01-01 00:00:00.029"


def log_a_repair_with_the_first_run(facts: Facts) -> None:
    facts.logs[5]["submission"] = 1


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
        (run_beside_a_repair, "entry 5 had the runs 51 and 52 at the same time"),
        (repair_twice, "mended entry 5 is DONE with 1 runs and 2 repairs"),
        (run_a_table_twice_at_a_time, "table a had the runs 11 and 21 at the same time"),
        (run_unknown_to_all, "a token that no entry gave: guid-9-1"),
        (run_without_a_token, "a token that no entry gave: None"),
        (run_of_no_submission, "a token that no entry gave: guid-3-1"),
        (go_on, "run 11 of entry 1 is still active"),
        (revive_what_was_resolved, "entry 7: DEAD (1) → RUNNING (2): an operator has resolved it"),
        (
            revive_under_the_same_number,
            "DEAD (1) → RUNNING (1): a revived run is not a submission of its own",
        ),
        (end_otherwise_than_resolved, "entry 7 was resolved by hand to DEAD and is DONE"),
        (run_what_is_resolved, "resolved entry 7 is DEAD with 2 runs"),
        (log_nothing, "run 11 (guid-1-1) has 0 log rows of its end 0"),
        (log_twice, "run 11 (guid-1-1) has 2 log rows of its end 0"),
        (log_a_repair_twice, "run 51 (guid-5-1) has 2 log rows of its end 1"),
        (log_no_repair, "run 51 (guid-5-1) has 0 log rows of its end 1"),
        (log_an_end_that_never_was, "names an end that the run 51 never had"),
        (log_a_repair_with_the_first_run, "names the run of another submission: guid-5-1"),
        (log_no_run, "entry 1, submission 2 has no run"),
        (log_a_run_that_never_was, "names the run 77, which does not exist"),
        (log_anothers_run, "names the run of another submission: guid-2-1"),
    ],
)
def test_each_error_is_named(break_it: Callable[[Facts], None], words: str) -> None:
    facts = copy.deepcopy(good())
    break_it(facts)
    found = violations(facts, INSERTED, RESOLVED)
    assert any(words in violation for violation in found), found


def test_the_cap_is_checked() -> None:
    others = [run(1000 + number, None, 0, 30) for number in range(CAP)]
    over = replace(good(), foreign=others)
    # Three of our runs began at 0 and one at 20, without what a person repaired.
    assert violations(over, INSERTED, RESOLVED) == [f"{over.max_active} runs at once, above the cap of {CAP}"]
    assert over.max_active == CAP + 5
