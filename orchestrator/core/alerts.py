"""Alerts: which functions and workspaces stand still or have recovered, and each alert's text and JSON. Pure.

An alert never contains an entry's parameters.
"""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any

from orchestrator.core.models import LastPass
from orchestrator.core.numbers import id_text
from orchestrator.core.redaction import one_line
from orchestrator.core.times import iso_utc

#: Entries listed in an alert; the rest is only counted. With the lengths below, a card stays under the 28 KB
#: that Teams accepts.
SHOWN_ENTRIES = 20

#: Longest error and name of an entry in an alert, in characters.
ERROR_LENGTH = 200
_NAME_LENGTH = 100

#: Longest name of what stands still, in characters: the width of ``orchestrator_alert.subject``.
_SUBJECT_LENGTH = 32

_WORKSPACE = "workspace "


class Kind(StrEnum):
    """What an alert reports."""

    DEAD = "dead"  #: entries went DEAD
    LATE = "late"  #: a timer function did not start in time
    STUCK = "stuck"  #: nothing begins in a workspace
    RECOVERED = "well"  #: a function that was late has started again, or a workspace goes on


class Delivery(StrEnum):
    """What became of an alert."""

    SENT = "sent"  #: the receiver accepted it
    REFUSED = "refused"  #: it certainly did not arrive; it may be sent again
    UNCERTAIN = "uncertain"  #: it may have arrived; it is never sent again


@dataclass(frozen=True, kw_only=True)
class DeadEntry:
    """An entry that went DEAD."""

    id: int
    table_name: str
    workspace: str
    error: str


@dataclass(frozen=True, kw_only=True)
class DeadEntries:
    """The DEAD entries that one alert reports."""

    count: int
    #: the first :data:`SHOWN_ENTRIES` entries
    shown: Sequence[DeadEntry]


@dataclass(frozen=True, kw_only=True)
class PassEvent:
    """A function or a workspace that stands still or has recovered."""

    #: the function's, or that of :func:`name_of_workspace`
    name: str
    #: the function's last start before it was late, or when it was noticed that nothing begins in the
    #: workspace; with the name it identifies the event
    since: datetime
    #: why nothing begins in a workspace
    reason: str = ""

    @property
    def is_of_workspace(self) -> bool:
        """Whether it is a workspace that stands still."""
        return self.name.startswith(_WORKSPACE)


@dataclass(frozen=True, kw_only=True)
class Alert:
    """One alert."""

    kind: Kind
    dead: DeadEntries | None = None
    passes: Sequence[PassEvent] = ()

    @property
    def title(self) -> str:
        """Say in one line what happened."""
        if self.dead is not None:
            return f"{self.dead.count} {'entry' if self.dead.count == 1 else 'entries'} went DEAD"
        names = " and ".join(dict.fromkeys(event.name for event in self.passes))
        return f"{names}: {_TITLES[self.kind]}"

    @property
    def lines(self) -> list[str]:
        """List the events, one line each."""
        if self.dead is None:
            return [event.reason or _in_words(event, self.kind) for event in self.passes]
        shown = [
            f"{entry.id} {shortened(entry.table_name)} ({shortened(entry.workspace)}): {entry.error}"
            for entry in self.dead.shown
        ]
        rest = self.dead.count - len(shown)
        return [*shown, *([f"and {rest} more"] if rest > 0 else [])]


_TITLES = {Kind.LATE: "late", Kind.STUCK: "nothing begins", Kind.RECOVERED: "recovered"}


def _in_words(event: PassEvent, kind: Kind) -> str:
    if event.is_of_workspace:  # one that stands still says why
        words = "goes on again; nothing had begun since"
    elif kind is Kind.LATE:
        words = "has not started since"
    else:
        words = "has started again; it had not started since"
    return f"{event.name}: {words} {iso_utc(event.since, 'seconds')}"


def name_of_workspace(name: str) -> str:
    """Return how alerts name a workspace; what is too long is cut, and told apart by a digest."""
    whole = f"{_WORKSPACE}{one_line(name)}"
    if len(whole) <= _SUBJECT_LENGTH:
        return whole
    digest = hashlib.sha256(name.encode()).hexdigest()[:6]
    return f"{whole[: _SUBJECT_LENGTH - len(digest) - 1]}…{digest}"


def overdue(passes: Sequence[LastPass], *, now: datetime, limit_seconds: float) -> list[PassEvent]:
    """Return the timer functions that have not started for `limit_seconds`; not those that never ran."""
    return [
        PassEvent(name=last_pass.name, since=last_pass.started_at)
        for last_pass in passes
        if (now - last_pass.started_at).total_seconds() >= limit_seconds
    ]


def late(
    missing: Sequence[PassEvent], *, own: str, before: Sequence[LastPass], passes: Sequence[LastPass]
) -> list[PassEvent]:
    """Return the timer functions that a pass must report as late: those that have still not started.

    If the pass's own function was overdue as well, it reports nothing: the whole app was down and has just
    come back, so the other function is about to start. If it does not, the next pass reports it.

    :param missing: the events that were overdue before this pass.
    :param own: the function that makes this pass.
    :param before: the last passes as they were before this one.
    :param passes: the last passes as they are now.
    """
    was_there = {last_pass.name for last_pass in before} - {event.name for event in missing}
    if own not in was_there:
        return []
    back = recovered(missing, passes)
    return [event for event in missing if event not in back]


def recovered(missing: Sequence[PassEvent], passes: Sequence[LastPass]) -> list[PassEvent]:
    """Return the events whose function has started since, each event once."""
    started = {last_pass.name: last_pass.started_at for last_pass in passes}
    return [
        event
        for event in dict.fromkeys(missing)
        if event.name in started and started[event.name] > event.since
    ]


def shortened(text: str, length: int = _NAME_LENGTH) -> str:
    """Return a text on one line, cut to `length` characters."""
    line = one_line(" ".join(text.split()))
    return line if len(line) <= length else line[: length - 1] + "…"


def _as_json(alert: Alert, at: datetime) -> dict[str, Any]:
    """Return the generic JSON message; Slack's and Mattermost's webhooks read its ``text``.

    Only ``text`` is written for these two. Programs read the other fields, which hold the plain words.
    """
    dead = alert.dead or DeadEntries(count=0, shown=())
    return {
        "kind": alert.kind,
        "title": alert.title,
        "text": _for_chat("\n".join([alert.title, *alert.lines])),
        "at": iso_utc(at),
        "count": dead.count or len(alert.passes),
        "entries": [
            {
                "id": id_text(entry.id),
                "table_name": shortened(entry.table_name),
                "workspace": shortened(entry.workspace),
                "error": entry.error,
            }
            for entry in dead.shown
        ],
        "passes": [
            {"name": event.name, "since": iso_utc(event.since), "reason": event.reason}
            for event in alert.passes
        ],
    }


def _as_teams(alert: Alert, at: datetime) -> dict[str, Any]:
    """Return an Adaptive Card in the message format of Teams' workflows.

    Source:
    https://learn.microsoft.com/microsoftteams/platform/webhooks-and-connectors/how-to/connectors-using
    """
    color = "Good" if alert.kind is Kind.RECOVERED else "Attention"
    card = {
        "$schema": "http://adaptivecards.io/schemas/adaptive-card.json",
        "type": "AdaptiveCard",
        "version": "1.4",
        "body": [
            _plain(alert.title, weight="Bolder", color=color),
            *(_plain(line) for line in alert.lines),
            _plain(iso_utc(at), isSubtle=True),
        ],
        "msteams": {"width": "Full"},
    }
    content = {"contentType": "application/vnd.microsoft.card.adaptive", "contentUrl": None, "content": card}
    return {"type": "message", "attachments": [content]}


#: The formats that the setting ``ALERT_FORMAT`` may name.
FORMATS = {"json": _as_json, "teams": _as_teams}


#: Ends what a chat would take for a mention or a link, and cannot be seen.
_ZERO_WIDTH_SPACE = "\u200b"


def _for_chat(text: str) -> str:
    """Return a text that Slack and Mattermost show as it is: an error is not theirs to interpret.

    Slack takes ``<!channel>`` for a mention and ``<address|words>`` for a link; an escaped text has neither:
    https://docs.slack.dev/messaging/formatting-message-text#escaping. Mattermost reads Markdown as well, in
    which ``@channel`` is a mention and ``[words](address)`` a link.
    """
    escaped = text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    return escaped.replace("@", f"@{_ZERO_WIDTH_SPACE}").replace("](", f"]{_ZERO_WIDTH_SPACE}(")


def _plain(text: str, **style: object) -> Mapping[str, object]:
    """Return a line of plain text. A TextBlock renders Markdown, so an error could put a link on the card."""
    return {"type": "RichTextBlock", "inlines": [{"type": "TextRun", "text": text, **style}]}
