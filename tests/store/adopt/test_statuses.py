"""The mapping of a team's words to states."""

import pytest

from orchestrator.adapters.store.adopt.statuses import Group, plan
from orchestrator.core.states import Status


def planned(word: str, *, has_run: bool, status_map: dict[str, str] | None = None) -> Status | str:
    """Return the state that rows with a word get, or the only problem."""
    made = plan([Group(word=word, has_run=has_run, rows=3)], status_map or {})
    if made.problems:
        [problem] = made.problems
        return problem
    [mapped] = made.mapped
    return mapped.to


@pytest.mark.parametrize(
    ("word", "without_run", "with_run"),
    [
        ("", Status.PENDING, Status.PENDING),
        (" new ", Status.PENDING, Status.PENDING),
        ("Queued", Status.PENDING, Status.RUNNING),
        ("Completed", Status.DONE, Status.DONE),
        ("error", Status.DEAD, Status.DEAD),
        ("Aborted", Status.CANCELED, Status.CANCELED),
    ],
)
def test_usual_words(word: str, without_run: Status, with_run: Status) -> None:
    assert planned(word, has_run=False) is without_run
    assert planned(word, has_run=True) is with_run


def test_running_needs_a_run() -> None:
    assert planned("started", has_run=True) is Status.RUNNING
    assert "3 rows are 'started' without a run id" in str(planned("started", has_run=False))
    assert planned("started", has_run=False, status_map={"STARTED": "DEAD"}) is Status.DEAD
    assert "without a run id" in str(planned("odd", has_run=False, status_map={"odd": "running"}))


@pytest.mark.parametrize("state", ["PENDING", "FAILED"])
def test_map_never_starts_a_second_run(state: str) -> None:
    assert planned("RUNNING", has_run=True, status_map={"running": state}) is Status.RUNNING
    assert planned("SUBMITTED", has_run=True, status_map={"submitted": state}) is Status.RUNNING


def test_map_may_end_what_runs() -> None:
    assert planned("RUNNING", has_run=True, status_map={"running": "CANCELED"}) is Status.CANCELED


def test_unknown_words_and_states_are_problems() -> None:
    assert planned("ODD", has_run=False) == (
        '3 rows have the status \'ODD\': map the word: STATUS_MAP={"ODD": "…"}'
    )
    assert "is not one of PENDING, RUNNING, DONE" in str(
        planned("ODD", has_run=False, status_map={"odd": "QUEUED"})
    )
