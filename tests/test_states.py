"""The state machine in the code is the one drawn in docs/states.md."""

import re
from pathlib import Path

from orchestrator.core.states import CLAIMABLE, EDGES, FINAL, IN_FLIGHT, Status

DRAWING = Path(__file__).parents[1] / "docs" / "states.md"


def test_drawing_has_exactly_the_edges_of_the_code() -> None:
    drawn = re.findall(r"^ +(\w+) --> (\w+)", DRAWING.read_text(encoding="utf-8"), flags=re.MULTILINE)
    assert drawn, "no edges found in the drawing"
    assert sorted(drawn) == sorted((start, end) for start, ends in EDGES.items() for end in ends)


def test_every_status_is_in_one_group() -> None:
    assert set(Status) == IN_FLIGHT | CLAIMABLE | FINAL
    assert not IN_FLIGHT & CLAIMABLE
    assert not IN_FLIGHT & FINAL
    assert not CLAIMABLE & FINAL


def test_only_people_leave_a_final_status() -> None:
    by_people = FINAL | {Status.PENDING, Status.RUNNING}
    assert all(EDGES[status] <= by_people for status in FINAL)
