"""Decide why each waiting entry still waits, in the order in which the trigger claims entries. Pure."""

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from orchestrator.core.decisions import attempts_left
from orchestrator.core.models import Entry
from orchestrator.core.policy import Policy
from orchestrator.core.states import Status


class Reason(StrEnum):
    """Why an entry still waits."""

    CANCEL = "cancel"  #: its cancellation was requested
    BACK_OFF = "back-off"  #: its ``available_at`` is not reached
    SAME_TABLE = "same table"  #: another entry of its table is in flight or comes first
    ATTEMPTS = "attempts"  #: no attempt is left since the limit was lowered: it is not claimed
    CAP = "cap"  #: no slot is free
    NEXT = "next"  #: the next trigger pass claims it
    UNREACHABLE = "unreachable"  #: Databricks cannot list the active runs, so nothing is claimed


@dataclass(frozen=True, kw_only=True)
class Candidate:
    """An entry that waits to be claimed."""

    entry: Entry
    #: another entry of its table is in flight, in doubt or still running in Databricks
    table_busy: bool


@dataclass(frozen=True, kw_only=True)
class Candidates:
    """The first entries of a workspace that wait."""

    #: in the order of the claim
    candidates: list[Candidate]
    #: the time by the database's clock
    now: datetime


@dataclass(frozen=True, kw_only=True)
class Slots:
    """The slots of a workspace that a claim could fill now."""

    #: None = unknown, assumed to be enough
    free: int | None = None
    #: False = Databricks cannot list the active runs, so nothing is claimed
    reachable: bool = True


@dataclass(frozen=True, kw_only=True)
class Waiting:
    """An entry that waits, and why."""

    entry: Entry
    reason: Reason


def explain(found: Candidates, slots: Slots, policy: Policy) -> list[Waiting]:
    """Say of each candidate why it waits, by going through them as a claim does."""
    taken: set[str] = set()
    left = len(found.candidates) if slots.free is None else slots.free
    waiting = []
    for candidate in found.candidates:
        reason = _own_reason(candidate.entry, found.now, policy) or _table_reason(candidate, taken, policy)
        if reason is None:
            reason = _slot_reason(left, slots)
            taken.add(candidate.entry.table_name)
            left -= 1
        waiting.append(Waiting(entry=candidate.entry, reason=reason))
    return waiting


def _own_reason(entry: Entry, now: datetime, policy: Policy) -> Reason | None:
    """Return what holds an entry back regardless of all others."""
    if entry.status is Status.FAILED and not attempts_left(entry, entry.attempt, policy):
        return Reason.ATTEMPTS
    if entry.cancel_requested and entry.deliveries == 0:
        return Reason.CANCEL
    return Reason.BACK_OFF if entry.available_at > now else None


def _table_reason(candidate: Candidate, taken: set[str], policy: Policy) -> Reason | None:
    if policy.serialize_tables and (candidate.table_busy or candidate.entry.table_name in taken):
        return Reason.SAME_TABLE
    return None


def _slot_reason(left: int, slots: Slots) -> Reason:
    if not slots.reachable:
        return Reason.UNREACHABLE
    return Reason.NEXT if left > 0 else Reason.CAP
