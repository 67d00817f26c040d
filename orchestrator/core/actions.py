"""What an operator may do to entries, retry and cancel, and the result of doing it to many. Pure."""

from dataclasses import dataclass, field
from typing import Literal

from orchestrator.core.models import Entry
from orchestrator.core.states import OPEN, RETRIED_BY_DEFAULT, RETRYABLE, Status


@dataclass(frozen=True, kw_only=True)
class Action:
    """A change that an operator makes to entries."""

    name: Literal["retry", "cancel"]
    #: an entry in one of these states can be changed
    states: frozenset[Status]
    #: a filter without states of its own selects these
    by_default: frozenset[Status]
    #: ends "entry 7 is DONE and cannot be …"
    refusal: str
    #: it sets ``cancel_requested``, and a later pass does the rest: once is enough
    is_request: bool = False

    def applies_to(self, entry: Entry) -> bool:
        """Say whether the action is offered for an entry as it is now."""
        return entry.status in self.states and not (self.is_request and entry.cancel_requested)


RETRY = Action(
    name="retry",
    states=RETRYABLE,
    by_default=RETRIED_BY_DEFAULT,
    refusal="run again: it is waiting or in flight",
)

CANCEL = Action(
    name="cancel",
    states=OPEN,
    by_default=OPEN,
    refusal="cancelled: it is over",
    is_request=True,
)

ACTIONS = (RETRY, CANCEL)


@dataclass(frozen=True, kw_only=True)
class Refusal:
    """An entry that was not changed, and why."""

    entry_id: int
    reason: str


@dataclass(frozen=True, kw_only=True)
class Changes:
    """Which entries were changed, or would be."""

    #: the entries that were changed; in a dry run those that would be
    ids: list[int]
    refused: list[Refusal] = field(default_factory=list)
    #: the entries were in one of these states; one that leaves them before its change is left alone
    states: frozenset[Status] = frozenset(Status)
    #: True = the filter matches more entries, or may do so
    more: bool = False
