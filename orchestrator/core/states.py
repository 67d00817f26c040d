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
    CANCELED = "CANCELED"  #: cancelled on request


#: In flight: a run may be active, so the entry takes one slot of its workspace's cap.
IN_FLIGHT = frozenset({Status.QUEUED, Status.RUNNING})

#: Waiting: the trigger may claim the entry.
CLAIMABLE = frozenset({Status.PENDING, Status.FAILED})

#: Open, that is not final: an operator may request the entry's cancellation.
OPEN = CLAIMABLE | IN_FLIGHT

#: Final: the app never leaves these states by itself; an operator may.
FINAL = frozenset({Status.DONE, Status.DEAD, Status.CANCELED})

#: An operator may retry the entry; a FAILED entry then does not wait for its back-off.
RETRYABLE = FINAL | {Status.FAILED}

#: The states that a retry by filter selects by default: what failed, not what is done or canceled.
RETRIED_BY_DEFAULT = frozenset({Status.DEAD, Status.FAILED})

#: Every edge: from each state to the states that may follow.
EDGES: dict[Status, frozenset[Status]] = {
    Status.PENDING: frozenset({Status.QUEUED, Status.CANCELED}),
    Status.FAILED: frozenset({Status.QUEUED, Status.CANCELED}),
    Status.QUEUED: frozenset(
        {Status.QUEUED, Status.RUNNING, Status.PENDING, Status.FAILED, Status.DEAD, Status.CANCELED}
    ),
    Status.RUNNING: frozenset({Status.DONE, Status.FAILED, Status.DEAD, Status.PENDING, Status.CANCELED}),
    Status.DONE: frozenset({Status.PENDING}),
    Status.DEAD: frozenset({Status.PENDING}),
    Status.CANCELED: frozenset({Status.PENDING}),
}
