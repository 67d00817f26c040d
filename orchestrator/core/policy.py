"""The rules from the settings for claims, submissions and retries, overall and per workspace."""

from dataclasses import dataclass
from enum import StrEnum

from orchestrator.core.refused_jobs import setting_of


class RetryMode(StrEnum):
    """How a retry runs an entry again."""

    RUN = "run"  #: as a new run
    REPAIR = "repair"  #: by running the failed tasks of its last run again


RETRY_MODES = tuple(mode.value for mode in RetryMode)


@dataclass(frozen=True, kw_only=True)
class WorkspacePolicy:
    """The rules of one workspace."""

    name: str
    #: job of entries that name none; None = every entry must name its own
    job_id: int | None
    #: most active runs at a time, foreign runs included
    cap: int
    #: name of the job of entries that name none, in place of ``job_id``
    job_name: str | None = None
    #: where it is (:func:`~orchestrator.core.addresses.address_of`); empty = its addresses are not told apart
    address: str = ""

    @property
    def setting(self) -> str:
        """What is refused when its own job is (:func:`~orchestrator.core.refused_jobs.setting_of`)."""
        return setting_of(self.job_id, self.job_name)


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
    #: a run that waits longer in Databricks' own queue is cancelled and tried again later; 0 = no limit
    queue_timeout_seconds: float = 0
    #: ``run`` or ``repair``: how a retry runs an entry again that does not say so itself
    retry_mode: str = "run"
    #: True = a run that a person cancels in Databricks is retried
    retry_canceled_runs: bool = False
    #: retries in a row after failures of the platform, which spend no attempt
    max_platform_retries: int = 10
    #: True = exit values of notebooks are kept in the log
    store_results: bool = False
