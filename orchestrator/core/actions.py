"""What operators may do to entries: retry, restart, cancel and resolve; the result for many entries. Pure."""

from dataclasses import dataclass, field
from enum import StrEnum
from typing import Literal

from orchestrator.core.models import Entry, StopReason
from orchestrator.core.policy import RetryMode
from orchestrator.core.redaction import in_one_line
from orchestrator.core.states import OPEN, RETRIED_BY_DEFAULT, RETRYABLE, Status

#: Longest reason of a resolution in characters; what follows is cut off.
MAX_REASON = 1000

#: In every description of a resolution: the app neither stops a live run nor ever looks at it again.
RUN_IS_LEFT = "a run that is still active is not cancelled, and is no longer followed"


class Resolution(StrEnum):
    """How an operator settles an entry by hand."""

    DONE = "done"  #: what the run was for is done
    FAILED = "failed"  #: it failed, and is not retried
    RELEASE = "release"  #: neither: the app lets go of the entry

    @property
    def status(self) -> Status:
        """The state that the entry goes to."""
        return _RESOLVED[self]


_RESOLVED = {
    Resolution.DONE: Status.DONE,
    Resolution.FAILED: Status.DEAD,
    Resolution.RELEASE: Status.CANCELED,
}


@dataclass(frozen=True, kw_only=True)
class Action:
    """A change that an operator makes to entries."""

    name: Literal["retry", "restart", "cancel", "resolve"]
    #: an entry in one of these states can be changed
    states: frozenset[Status]
    #: a filter without states of its own selects these
    by_default: frozenset[Status]
    #: ends "entry 7 is DONE and cannot be …"
    refusal: str


@dataclass(frozen=True, kw_only=True)
class Retry(Action):
    """Run entries again; a restart also those that are RUNNING, whose runs are cancelled first."""

    #: how, from now on; None = as the entry or the setting says
    mode: RetryMode | None = None


@dataclass(frozen=True, kw_only=True)
class Resolve(Action):
    """Settle entries by hand."""

    #: the state that they go to
    to: Status
    #: why, in one line
    reason: str

    @property
    def message(self) -> str:
        """What the log says."""
        return f"resolved by hand: {self.reason}"


RETRY = Retry(
    name="retry",
    states=RETRYABLE,
    by_default=RETRIED_BY_DEFAULT,
    refusal="run again: it is waiting or in flight",
)

RESTART = Retry(
    name="restart",
    states=RETRYABLE | {Status.RUNNING},
    by_default=RETRIED_BY_DEFAULT | {Status.RUNNING},
    refusal="restarted: it waits already, or its run is about to begin; once that is RUNNING, repeat this",
)

CANCEL = Action(
    name="cancel",
    states=OPEN,
    by_default=OPEN,
    refusal="cancelled: it is over",
)


def resolve(resolution: Resolution, reason: str) -> Resolve:
    """Return the action that settles entries by hand.

    :param reason: any text; unprintable characters are replaced, and what is too long is cut off.
    :raises ValueError: there is nothing in the reason that can be read; follows its name.
    """
    line = in_one_line(reason)[:MAX_REASON].rstrip()
    if not line:
        raise ValueError("must say why")
    to = resolution.status
    return Resolve(
        name="resolve",
        states=frozenset(Status) - {to},
        by_default=(OPEN | {Status.DEAD}) - {to},
        refusal=f"resolved: it is {to} already",
        to=to,
        reason=line,
    )


def offered(entry: Entry) -> list[str]:
    """Return the names of the actions that are offered for an entry as it is now.

    A cancellation and a restart are requests, which a later pass carries out: once is enough.
    """
    asked = entry.stop_reason == StopReason.RESTART
    offers = {
        "retry": entry.status in RETRY.states,
        "restart": entry.status is Status.RUNNING and not asked,
        "cancel": entry.status in CANCEL.states and not entry.cancel_requested,
        "resolve": isinstance(entry.status, Status),
    }
    return [name for name, is_offered in offers.items() if is_offered]


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
