"""What a message says, and what it never says."""

import json
from datetime import UTC, datetime, timedelta

import pytest

from orchestrator.core.alerts import (
    SHOWN_ROWS,
    Alert,
    DeadRow,
    DeadRows,
    Kind,
    TickEvent,
    as_json,
    as_teams,
    late,
    overdue,
    shortened,
    well_again,
)
from orchestrator.core.models import Tick

AT = datetime(2026, 1, 31, 4, 5, 6, tzinfo=UTC)

#: Teams takes no more: https://learn.microsoft.com/microsoftteams/limits-specifications-teams
TEAMS_BYTES = 28 * 1024


def dead(count: int, error: str = "it failed") -> Alert:
    row = DeadRow(id=1, table_name="sales", workspace="default", error=error)
    return Alert(kind=Kind.DEAD, rows=DeadRows(count=count, shown=[row] * min(count, SHOWN_ROWS)))


def test_two_hundred_failures_are_one_message() -> None:
    message = as_json(dead(200), AT)
    assert (message["kind"], message["title"], message["count"]) == ("dead", "200 rows went DEAD", 200)
    assert len(message["entries"]) == SHOWN_ROWS
    assert message["text"].endswith("\nand 180 more")
    assert message["at"] == "2026-01-31T04:05:06Z"


def test_one_row() -> None:
    message = as_json(dead(1), AT)
    assert message["text"] == "1 row went DEAD\n1 sales (default): it failed"
    assert message["entries"] == [
        {"id": 1, "table_name": "sales", "workspace": "default", "error": "it failed"}
    ]


def test_late_and_well() -> None:
    tick = TickEvent(name="trigger", since=AT)
    told = as_json(Alert(kind=Kind.LATE, ticks=[tick]), AT)
    assert told["text"] == "trigger: late\ntrigger: has not begun since 2026-01-31T04:05:06Z"
    assert (told["count"], told["entries"]) == (1, [])
    assert as_json(Alert(kind=Kind.WELL, ticks=[tick]), AT)["title"] == "trigger: well again"


def test_card_for_teams() -> None:
    message = as_teams(dead(200, "see [here](https://evil.example) " + "é" * 160), AT)
    [attachment] = message["attachments"]
    card = attachment["content"]
    assert message["type"] == "message"
    assert attachment["contentType"] == "application/vnd.microsoft.card.adaptive"
    assert (card["type"], card["body"][0]["text"]) == ("AdaptiveCard", "200 rows went DEAD")
    assert len(card["body"]) == 1 + SHOWN_ROWS + 2
    assert {block["type"] for block in card["body"][1:]} == {"RichTextBlock"}, "no Markdown from an error"
    assert len(json.dumps(message)) < TEAMS_BYTES


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("short", "short"),
        ("two\nlines \t here", "two lines here"),
        ("x" * 101, "x" * 99 + "…"),
        ("\u202egnp.exe", "'\\u202egnp.exe'"),
    ],
)
def test_texts_are_cut_to_one_line(text: str, shown: str) -> None:
    assert shortened(text) == shown


def ticks(**ages: float) -> list[Tick]:
    return [
        Tick(name=name, started_at=AT - timedelta(seconds=age), finished_at=None, outcome=None)
        for name, age in ages.items()
    ]


@pytest.mark.parametrize(
    ("before", "names"),
    [
        (ticks(monitor=60, trigger=60), []),
        (ticks(monitor=60, trigger=899), []),
        (ticks(monitor=60, trigger=900), ["trigger"]),
        (ticks(monitor=900, trigger=5000), []),  # the whole app was stopped
        (ticks(trigger=5000), []),  # the monitor's first pass ever
        (ticks(monitor=60), []),  # the trigger has never been
    ],
)
def test_who_is_late(before: list[Tick], names: list[str]) -> None:
    missing = overdue(before, now=AT, limit_seconds=900)
    assert [event.name for event in late(missing, own="monitor", before=before, ticks=before)] == names


def test_who_has_begun_in_the_meantime_is_not_late() -> None:
    before = ticks(monitor=60, trigger=900)
    missing = overdue(before, now=AT, limit_seconds=900)
    assert late(missing, own="monitor", before=before, ticks=ticks(monitor=0, trigger=1)) == []


def test_who_is_well_again() -> None:
    told = [TickEvent(name="trigger", since=AT), TickEvent(name="gone", since=AT)]
    assert well_again(told, ticks(trigger=0)) == []
    assert [event.name for event in well_again([*told, *told], ticks(trigger=-1))] == ["trigger"]


def test_function_that_was_late_twice_is_named_once() -> None:
    events = [TickEvent(name="trigger", since=AT), TickEvent(name="trigger", since=AT + timedelta(hours=1))]
    alert = Alert(kind=Kind.WELL, ticks=events)
    assert (alert.title, len(alert.lines)) == ("trigger: well again", 2)
