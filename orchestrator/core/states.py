"""The states of a row and the only edges between them. Drawn in ``docs/states.md``; a test compares."""

from enum import StrEnum


class Status(StrEnum):
    """The status of a row in ``track_processing``."""

    PENDING = "PENDING"  #: waits for a free slot and for its ``available_at``
    QUEUED = "QUEUED"  #: claimed: holds a slot and a lease, its message is on the queue
    RUNNING = "RUNNING"  #: Databricks accepted the run; ``runid`` is stored
    DONE = "DONE"  #: the run succeeded
    FAILED = "FAILED"  #: the attempt failed; it is tried again after its back-off
    DEAD = "DEAD"  #: failed, and is not tried again unless an operator asks
    CANCELED = "CANCELED"  #: cancelled on request


#: A run of the row may be live, so the row takes one slot of its workspace's cap.
IN_FLIGHT = frozenset({Status.QUEUED, Status.RUNNING})

#: The trigger may claim the row.
CLAIMABLE = frozenset({Status.PENDING, Status.FAILED})

#: A person may ask for the row's cancellation.
CANCELLABLE = CLAIMABLE | IN_FLIGHT

#: The app never leaves these by itself; an operator may.
FINAL = frozenset({Status.DONE, Status.DEAD, Status.CANCELED})

#: A person may run the row again; a FAILED one then does not wait for its back-off.
RETRYABLE = FINAL | {Status.FAILED}

#: What a retry over a filter takes when it names no state: what went wrong, not what is done or unwanted.
RETRIED_BY_DEFAULT = frozenset({Status.DEAD, Status.FAILED})

#: Every edge that may be taken: from → the states it may lead to.
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
