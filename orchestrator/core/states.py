"""The states of an entry and the only edges between them. ``docs/states.md`` draws them; a test compares."""

from enum import StrEnum


class Status(StrEnum):
    """The status of an entry."""

    PENDING = "PENDING"  #: waits for a free slot and for its ``available_at``
    QUEUED = "QUEUED"  #: claimed: holds a slot and a lease, its message is on the queue
    RUNNING = "RUNNING"  #: Databricks accepted the run; ``runid`` is stored
    DONE = "DONE"  #: the run succeeded
    FAILED = "FAILED"  #: the attempt failed; the entry is retried after its back-off
    DEAD = "DEAD"  #: failed, and is not retried unless an operator asks
    CANCELED = "CANCELED"  #: cancelled, on request or by a person in Databricks


class NoStatus(StrEnum):
    """What stands for a ``status`` that is none of these, brought by a load that passes the rules by."""

    UNREADABLE = "UNREADABLE"  #: the app leaves the entry alone; whoever brought it sets it right by SQL


#: In flight: a run may be active, so the entry takes one slot of its workspace's cap.
IN_FLIGHT = frozenset({Status.QUEUED, Status.RUNNING})

#: Waiting: the trigger may claim the entry.
CLAIMABLE = frozenset({Status.PENDING, Status.FAILED})

#: Open, that is not final: an operator may request the entry's cancellation.
OPEN = CLAIMABLE | IN_FLIGHT

#: Final: only people leave these states, by a retry, a resolution, or a repair in Databricks.
FINAL = frozenset({Status.DONE, Status.DEAD, Status.CANCELED})

#: An operator may retry the entry; a FAILED entry then does not wait for its back-off.
RETRYABLE = FINAL | {Status.FAILED}

#: The states that a retry by filter selects by default: what failed, not what is done or canceled.
RETRIED_BY_DEFAULT = frozenset({Status.DEAD, Status.FAILED})

#: The last run of an entry in one of these states may become active again: somebody repaired it.
REVIVABLE = frozenset({Status.PENDING, Status.FAILED, Status.DEAD, Status.CANCELED})

#: Every edge: from each state to the states that may follow. An operator may resolve an entry in any state,
#: so each leads to every final state but itself.
EDGES: dict[Status, frozenset[Status]] = {
    Status.PENDING: frozenset({Status.QUEUED, Status.RUNNING}) | FINAL,
    Status.FAILED: frozenset({Status.QUEUED, Status.RUNNING}) | FINAL,
    Status.QUEUED: frozenset({Status.QUEUED, Status.RUNNING, Status.PENDING, Status.FAILED}) | FINAL,
    Status.RUNNING: frozenset({Status.PENDING, Status.FAILED}) | FINAL,
    Status.DONE: frozenset({Status.PENDING, Status.DEAD, Status.CANCELED}),
    Status.DEAD: frozenset({Status.PENDING, Status.RUNNING, Status.DONE, Status.CANCELED}),
    Status.CANCELED: frozenset({Status.PENDING, Status.RUNNING, Status.DONE, Status.DEAD}),
}
