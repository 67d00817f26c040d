"""The rules from the settings for claims, submissions and retries, overall and per workspace."""

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class WorkspacePolicy:
    """The rules of one workspace."""

    name: str
    #: job of entries that name none; None = every entry must name its own
    job_id: int | None
    #: most active runs at a time, foreign runs included
    cap: int


@dataclass(frozen=True, kw_only=True)
class Policy:
    """The rules that all workspaces share."""

    #: limit of attempts of an entry without a limit of its own; 0 = no limit
    max_attempts: int
    #: back-off before the second attempt; doubles with each further one
    retry_backoff_seconds: float
    #: lease: how long a QUEUED entry's message may take before it counts as lost
    submit_lease_seconds: float
    #: calls of ``run-now`` without an answer after which an entry is given up, unless its workspace is down
    max_deliveries: int
    #: a run that takes longer is cancelled and fails; 0 = no limit
    run_timeout_seconds: float
    #: True = at most one entry of a table is in flight
    serialize_tables: bool
