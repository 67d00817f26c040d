"""What people are told and in which words. Pure; never a row's parameters."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any

from orchestrator.core.models import LastPass
from orchestrator.core.redaction import one_line
from orchestrator.core.times import iso_utc

#: Rows that a message shows; the rest is a number. With what follows a card stays below Teams' 28 KB.
SHOWN_ROWS = 20

#: Characters of a row's error and of its names that a message shows.
ERROR_LENGTH = 200
NAME_LENGTH = 100


class Kind(StrEnum):
    """What a message tells of."""

    DEAD = "dead"  #: rows went DEAD
    LATE = "late"  #: a timer function did not begin in time
    WELL = "well"  #: it begins again


class Delivery(StrEnum):
    """What became of a message."""

    SENT = "sent"  #: the receiver took it
    REFUSED = "refused"  #: it surely did not; the same may be sent again
    UNCERTAIN = "uncertain"  #: nobody knows; it is never sent again


@dataclass(frozen=True, kw_only=True)
class DeadRow:
    """A row that went DEAD."""

    id: int
    table_name: str
    workspace: str
    error: str


@dataclass(frozen=True, kw_only=True)
class DeadRows:
    """All rows that one message tells of."""

    count: int
    #: the first :data:`SHOWN_ROWS` of them
    shown: Sequence[DeadRow]


@dataclass(frozen=True, kw_only=True)
class PassEvent:
    """A timer function that is late, or well again."""

    name: str
    #: its last start before it was late; together with the name it tells this event from every other
    since: datetime


@dataclass(frozen=True, kw_only=True)
class Alert:
    """One message."""

    kind: Kind
    rows: DeadRows | None = None
    passes: Sequence[PassEvent] = ()

    @property
    def title(self) -> str:
        """Say in one line what happened."""
        if self.rows is not None:
            return f"{self.rows.count} {'row' if self.rows.count == 1 else 'rows'} went DEAD"
        names = " and ".join(dict.fromkeys(last_pass.name for last_pass in self.passes))
        return f"{names}: {'late' if self.kind is Kind.LATE else 'well again'}"

    @property
    def lines(self) -> list[str]:
        """Say what it is about, a line each."""
        if self.rows is None:
            return [
                f"{last_pass.name}: {_PASS_TEXT[self.kind]} {iso_utc(last_pass.since, 'seconds')}"
                for last_pass in self.passes
            ]
        shown = [
            f"{row.id} {shortened(row.table_name)} ({shortened(row.workspace)}): {row.error}"
            for row in self.rows.shown
        ]
        rest = self.rows.count - len(shown)
        return [*shown, *([f"and {rest} more"] if rest > 0 else [])]


_PASS_TEXT = {
    Kind.LATE: "has not begun since",
    Kind.WELL: "has begun again; it had not since",
}


def overdue(passes: Sequence[LastPass], *, now: datetime, limit_seconds: float) -> list[PassEvent]:
    """Return the timer functions that have not begun for so long. One that never ran was never expected."""
    return [
        PassEvent(name=last_pass.name, since=last_pass.started_at)
        for last_pass in passes
        if (now - last_pass.started_at).total_seconds() >= limit_seconds
    ]


def late(
    missing: Sequence[PassEvent], *, own: str, before: Sequence[LastPass], passes: Sequence[LastPass]
) -> list[PassEvent]:
    """Return the timer functions that a pass has to call late: those that have still not begun.

    A pass whose own function was missing, too, says nothing: the whole app was stopped and has just come
    back, so the other function's turn is about to come. If it does not, the next pass says so.

    :param missing: what was overdue before this pass.
    :param own: the function that this pass is of.
    :param before: the last passes as they were before this one.
    :param passes: the last passes as they are now.
    """
    was_there = {last_pass.name for last_pass in before} - {event.name for event in missing}
    if own not in was_there:
        return []
    back = well_again(missing, passes)
    return [event for event in missing if event not in back]


def well_again(missing: Sequence[PassEvent], passes: Sequence[LastPass]) -> list[PassEvent]:
    """Return those of the functions that were missing that have begun since, each event once."""
    started = {last_pass.name: last_pass.started_at for last_pass in passes}
    return [
        event
        for event in dict.fromkeys(missing)
        if event.name in started and started[event.name] > event.since
    ]


def shortened(text: str, length: int = NAME_LENGTH) -> str:
    """Return a text cut to a length, on one line."""
    line = one_line(" ".join(text.split()))
    return line if len(line) <= length else line[: length - 1] + "…"


def as_json(alert: Alert, at: datetime) -> dict[str, Any]:
    """Return the generic message; ``text`` is what Slack's and Mattermost's webhooks read."""
    rows = alert.rows or DeadRows(count=0, shown=())
    return {
        "kind": alert.kind,
        "title": alert.title,
        "text": "\n".join([alert.title, *alert.lines]),
        "at": iso_utc(at),
        "count": rows.count or len(alert.passes),
        "entries": [
            {
                "id": row.id,
                "table_name": shortened(row.table_name),
                "workspace": shortened(row.workspace),
                "error": row.error,
            }
            for row in rows.shown
        ],
        "passes": [{"name": last_pass.name, "since": iso_utc(last_pass.since)} for last_pass in alert.passes],
    }


def as_teams(alert: Alert, at: datetime) -> dict[str, Any]:
    """Return an Adaptive Card in the message that Teams' workflows take.

    https://learn.microsoft.com/microsoftteams/platform/webhooks-and-connectors/how-to/connectors-using
    """
    color = "Good" if alert.kind is Kind.WELL else "Attention"
    title = {"type": "TextBlock", "text": alert.title, "weight": "Bolder", "color": color, "wrap": True}
    card = {
        "$schema": "http://adaptivecards.io/schemas/adaptive-card.json",
        "type": "AdaptiveCard",
        "version": "1.4",
        "body": [
            title,
            *(_plain(line) for line in alert.lines),
            _plain(iso_utc(at), isSubtle=True),
        ],
        "msteams": {"width": "Full"},
    }
    content = {"contentType": "application/vnd.microsoft.card.adaptive", "contentUrl": None, "content": card}
    return {"type": "message", "attachments": [content]}


#: What ``ALERT_FORMAT`` may be.
FORMATS = {"json": as_json, "teams": as_teams}


def _plain(text: str, **style: object) -> Mapping[str, object]:
    """A line as it is. A TextBlock would read Markdown, so that an error could put a link on the card."""
    return {"type": "RichTextBlock", "inlines": [{"type": "TextRun", "text": text, **style}]}
