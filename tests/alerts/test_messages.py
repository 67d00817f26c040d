"""The content of an alert, and what it never contains."""

import html
import json
import re
from datetime import UTC, datetime, timedelta

import pytest

from orchestrator.core.alerts import (
    SHOWN_ENTRIES,
    Alert,
    DeadEntries,
    DeadEntry,
    Kind,
    PassEvent,
    _as_json,
    _as_teams,
    late,
    overdue,
    recovered,
    shortened,
)
from orchestrator.core.models import LastPass

AT = datetime(2026, 1, 31, 4, 5, 6, tzinfo=UTC)

#: Teams accepts at most this: https://learn.microsoft.com/microsoftteams/limits-specifications-teams
TEAMS_BYTES = 28 * 1024


def dead(count: int, error: str = "it failed") -> Alert:
    row = DeadEntry(id=1, table_name="sales", workspace="default", error=error)
    return Alert(kind=Kind.DEAD, dead=DeadEntries(count=count, shown=[row] * min(count, SHOWN_ENTRIES)))


def test_two_hundred_failures_are_one_message() -> None:
    message = _as_json(dead(200), AT)
    assert (message["kind"], message["title"], message["count"]) == ("dead", "200 entries went DEAD", 200)
    assert len(message["entries"]) == SHOWN_ENTRIES
    assert message["text"].endswith("\nand 180 more")
    assert message["at"] == "2026-01-31T04:05:06Z"


def test_one_entry() -> None:
    message = _as_json(dead(1), AT)
    assert message["text"] == "1 entry went DEAD\n1 sales (default): it failed"
    assert message["entries"] == [
        {"id": "1", "table_name": "sales", "workspace": "default", "error": "it failed"}
    ]


def test_late_and_recovered() -> None:
    last_pass = PassEvent(name="trigger", since=AT)
    message = _as_json(Alert(kind=Kind.LATE, passes=[last_pass]), AT)
    assert message["text"] == "trigger: late\ntrigger: has not started since 2026-01-31T04:05:06Z"
    assert (message["count"], message["entries"]) == (1, [])
    assert _as_json(Alert(kind=Kind.RECOVERED, passes=[last_pass]), AT)["title"] == "trigger: recovered"


#: What an error may say so that a chat does something: errors of Slack, of Mattermost and of Teams.
HOSTILE = [
    "<!channel> <!here> <@U024BE7LH> <#C024BE7LR> <!subteam^SAZ94GDB8>",
    "<https://evil.example|the runbook>",
    "<mailto:bob@evil.example|Bob>",
    "&lt;!channel&gt; AT&T",
    "@channel @here @all @bob",
    "[the runbook](https://evil.example) ![logo](https://evil.example/x.png)",
    "**bold** [the runbook]( https://evil.example )",
    "<at>everybody</at>",
]


@pytest.mark.parametrize("error", HOSTILE)
def test_nothing_in_an_error_is_a_mention_or_a_link_for_slack_and_mattermost(error: str) -> None:
    row = DeadEntry(id=1, table_name=error[:60], workspace=error[:60], error=error)
    alert = Alert(kind=Kind.DEAD, dead=DeadEntries(count=1, shown=[row]))
    text = _as_json(alert, AT)["text"]
    assert not set("<>") & set(text)
    assert re.search(r"&(?!(amp|lt|gt);)", text) is None
    assert re.search(r"@\w", text) is None
    assert "](" not in text
    # What people read is what was said.
    assert html.unescape(text).replace("\u200b", "") == "\n".join([alert.title, *alert.lines])


@pytest.mark.parametrize("error", HOSTILE)
def test_programs_get_an_error_as_it_is(error: str) -> None:
    assert _as_json(dead(1, error), AT)["entries"][0]["error"] == error


@pytest.mark.parametrize("error", HOSTILE)
def test_nothing_on_a_card_of_teams_is_interpreted(error: str) -> None:
    """Only a TextBlock, a fact and a mention entity are; plain text runs are not."""
    event = PassEvent(name=error, since=AT)
    for alert in (dead(1, error), Alert(kind=Kind.LATE, passes=[event])):
        [attachment] = _as_teams(alert, AT)["attachments"]
        card = attachment["content"]
        assert {block["type"] for block in card["body"]} == {"RichTextBlock"}
        assert {run["type"] for block in card["body"] for run in block["inlines"]} == {"TextRun"}
        assert card["msteams"] == {"width": "Full"}


def test_card_for_teams() -> None:
    message = _as_teams(dead(200, "see [here](https://evil.example) " + "é" * 160), AT)
    [attachment] = message["attachments"]
    card = attachment["content"]
    assert message["type"] == "message"
    assert attachment["contentType"] == "application/vnd.microsoft.card.adaptive"
    [title] = card["body"][0]["inlines"]
    assert (card["type"], title["text"]) == ("AdaptiveCard", "200 entries went DEAD")
    assert len(card["body"]) == 1 + SHOWN_ENTRIES + 2
    assert {block["type"] for block in card["body"]} == {"RichTextBlock"}, "no Markdown from an error"
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


def passes(**ages: float) -> list[LastPass]:
    return [
        LastPass(name=name, started_at=AT - timedelta(seconds=age), finished_at=None, outcome=None)
        for name, age in ages.items()
    ]


@pytest.mark.parametrize(
    ("before", "names"),
    [
        (passes(monitor=60, trigger=60), []),
        (passes(monitor=60, trigger=899), []),
        (passes(monitor=60, trigger=900), ["trigger"]),
        (passes(monitor=900, trigger=5000), []),  # the whole app was down
        (passes(trigger=5000), []),  # the monitor's first pass ever
        (passes(monitor=60), []),  # the trigger has never run
    ],
)
def test_which_functions_are_late(before: list[LastPass], names: list[str]) -> None:
    missing = overdue(before, now=AT, limit_seconds=900)
    assert [event.name for event in late(missing, own="monitor", before=before, passes=before)] == names


def test_function_that_has_started_in_the_meantime_is_not_late() -> None:
    before = passes(monitor=60, trigger=900)
    missing = overdue(before, now=AT, limit_seconds=900)
    assert late(missing, own="monitor", before=before, passes=passes(monitor=0, trigger=1)) == []


def test_which_functions_have_recovered() -> None:
    events = [PassEvent(name="trigger", since=AT), PassEvent(name="gone", since=AT)]
    assert recovered(events, passes(trigger=0)) == []
    assert [event.name for event in recovered([*events, *events], passes(trigger=-1))] == ["trigger"]


def test_function_that_was_late_twice_is_named_once() -> None:
    events = [PassEvent(name="trigger", since=AT), PassEvent(name="trigger", since=AT + timedelta(hours=1))]
    alert = Alert(kind=Kind.RECOVERED, passes=events)
    assert (alert.title, len(alert.lines)) == ("trigger: recovered", 2)
