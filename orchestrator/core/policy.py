"""How entries are claimed, submitted and retried: what the settings decide and the use cases obey."""

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class WorkspacePolicy:
    """What the use cases need to know of one workspace."""

    name: str
    #: job of rows that name none; None = every row must name its own
    job_id: int | None
    #: most runs at once, foreign ones included
    cap: int


@dataclass(frozen=True, kw_only=True)
class Policy:
    """How rows are claimed and retried."""

    #: attempts of a row that sets no limit of its own; 0 = no limit
    max_attempts: int
    #: back-off before the second attempt; doubles with each further one
    retry_backoff_seconds: float
    #: how long a claimed row's message may take before it counts as lost
    submit_lease_seconds: float
    #: calls of ``run-now`` without an answer after which a row is given up, if its workspace is well
    max_deliveries: int
    #: a run over it is cancelled and fails; 0 = no limit
    run_timeout_seconds: float
    #: at most one row of a table in flight
    serialize_tables: bool
