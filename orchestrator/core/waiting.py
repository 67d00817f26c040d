"""Decide why each waiting entry still waits, in the order in which the trigger claims entries. Pure."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum

from orchestrator.core.decisions import attempts_left
from orchestrator.core.models import Entry, JobKey
from orchestrator.core.policy import Policy
from orchestrator.core.slots import Obstacles
from orchestrator.core.states import Status

#: How long an entry that had no slot goes behind others of its priority, from the end of its wait.
_GOES_BEHIND = timedelta(minutes=15)


class Reason(StrEnum):
    """Why an entry still waits."""

    CANCEL = "cancel"  #: its cancellation was requested
    BACK_OFF = "back-off"  #: its ``available_at`` is not reached
    SAME_TABLE = "same table"  #: another entry of its table is in flight or comes first
    ATTEMPTS = "attempts"  #: no attempt is left since the limit was lowered: the next pass ends it
    CAP = "cap"  #: no slot is free
    NEXT = "next"  #: the next trigger pass claims it
    JOB = "job"  #: its job already has as many runs as it may have at a time
    #: a run of its table that was over, or that an entry in doubt may have, is active, so the table is busy
    ACTIVE_RUN = "active run"
    WORKSPACE = "workspace"  #: the settings do not know its workspace, so nothing is claimed there
    REFUSED = "refused"  #: its job is refused, for a reason that is not its own; one entry tries now and then
    UNREACHABLE = "unreachable"  #: Databricks cannot list the active runs, so nothing is claimed
    ELSEWHERE = "elsewhere"  #: the workspace has something open at another address, so nothing is claimed


def unknown_workspace(known: Collection[str]) -> str:
    """Say why nothing is submitted for an entry whose workspace is none of these."""
    return (
        f"its workspace is not in the settings, which have {', '.join(sorted(known))}: the entry waits until "
        "DATABRICKS_WORKSPACES has it; or cancel the entry and insert it with the right name"
    )


@dataclass(frozen=True, kw_only=True)
class Candidate:
    """An entry that waits to be claimed."""

    entry: Entry
    #: the same number for all candidates of one table, as the database compares names
    table: int
    #: another entry of its table is in flight, in doubt or still running in Databricks
    table_busy: bool
    #: its table is one of those that obstacles hold
    table_held: bool = False


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
    #: False = the settings do not know the workspace
    known: bool = True
    #: of each job that is refused, for a reason that is not its entries' own, how many of them may try now
    tries: Mapping[JobKey, int] = field(default_factory=dict)
    #: what else keeps entries from being claimed
    obstacles: Obstacles = field(default_factory=Obstacles)


@dataclass(frozen=True, kw_only=True)
class Waiting:
    """An entry that waits, and why."""

    entry: Entry
    reason: Reason


def explain(found: Candidates, slots: Slots, policy: Policy) -> list[Waiting]:
    """Say of each candidate why it waits, by going through them as a claim does."""
    taken: set[int] = set()
    left = len(found.candidates) if slots.free is None else slots.free
    rooms = {room.job_id: room.free for room in slots.obstacles.rooms.values()}
    trying = _trying(found, slots.tries)
    waiting = []
    for candidate in sorted(found.candidates, key=lambda each: _turn(each.entry, found.now)):
        entry = candidate.entry
        reason = (
            _own_reason(entry, policy)
            or (None if slots.known else Reason.WORKSPACE)
            or (Reason.REFUSED if entry.job_key in slots.tries and entry.id not in trying else None)
            or (Reason.BACK_OFF if entry.available_at > found.now else None)
            or _table_reason(candidate, taken, slots.obstacles, policy)
        )
        if reason is None:
            taken.add(candidate.table)
            reason = _job_reason(entry, rooms, slots)
        if reason is None:
            reason = _slot_reason(left, slots)
            left -= 1
        waiting.append(Waiting(entry=entry, reason=reason))
    return waiting


def _turn(entry: Entry, now: datetime) -> tuple[int, bool, int]:
    """Return what a claim sorts entries by; in ``entries.sql`` it is called ``goes_behind``."""
    goes_behind = (
        entry.slot_waits > 0 or entry.doubts is not None
    ) and entry.available_at > now - _GOES_BEHIND
    return -entry.priority, goes_behind, entry.id


def _trying(found: Candidates, tries: Mapping[JobKey, int]) -> set[int]:
    """Return the entries of refused jobs that a claim takes first: who has not heard it, or longest ago."""
    left = dict(tries)
    trying = set()
    for entry in sorted((each.entry for each in found.candidates), key=_try_turn):
        key = entry.job_key
        if left.get(key, 0) > 0 and entry.available_at <= found.now:
            left[key] -= 1
            trying.add(entry.id)
    return trying


def _try_turn(entry: Entry) -> tuple[float, int, int]:
    heard_by_then = entry.available_at.timestamp() if entry.doubts is not None else 0.0
    return heard_by_then, -entry.priority, entry.id


def _own_reason(entry: Entry, policy: Policy) -> Reason | None:
    """Return what holds an entry back regardless of all others."""
    if entry.status is Status.FAILED and not attempts_left(entry, entry.attempt, policy):
        return Reason.ATTEMPTS
    if entry.cancel_requested and entry.deliveries == 0:
        return Reason.CANCEL
    return None


def _table_reason(
    candidate: Candidate, taken: set[int], obstacles: Obstacles, policy: Policy
) -> Reason | None:
    entry = candidate.entry
    if policy.serialize_tables and (candidate.table_busy or candidate.table in taken):
        return Reason.SAME_TABLE
    if entry.id in obstacles.alive_entries:
        return Reason.ACTIVE_RUN
    is_held = candidate.table_held and entry.id not in obstacles.finders
    if policy.serialize_tables and is_held:
        return Reason.ACTIVE_RUN
    return None


def _job_reason(entry: Entry, rooms: dict[int, int], slots: Slots) -> Reason | None:
    """Take a slot of the entry's job, if its limit is known; return the reason if none is free."""
    room = slots.obstacles.rooms.get(entry.job_key)
    if room is None or not slots.reachable:
        return None
    rooms[room.job_id] -= 1
    return Reason.JOB if rooms[room.job_id] < 0 else None


def _slot_reason(left: int, slots: Slots) -> Reason:
    if not slots.reachable:
        return Reason.UNREACHABLE
    return Reason.NEXT if left > 0 else Reason.CAP
