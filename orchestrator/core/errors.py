"""Every error that the app raises on purpose. No message contains a secret or an entry's parameters.

OrchestratorError
  SettingsError
  PackageMissing
  InvalidEntry
    JobContinuous
    JobUnclear
  ExportUnreadable
  EntryNotFound
  Conflict
  StoreError
    StoreUnavailable
    StoreInDoubt
    RequestConflict
    RunTaken
    SchemaError
  QueueError
  DatabricksError
    RequestRefused
      NoRunNamed
      TokenRunDeleted
    RunNotFound
    NoCapacity
    WorkspaceUnavailable
      Unauthorized
      TokenUnavailable
      ListIncomplete
      RunOfAnotherJob
"""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from orchestrator.core.models import ActiveRun


class OrchestratorError(Exception):
    """Base class of all errors below."""


class SettingsError(OrchestratorError):
    """The settings cannot be used; the message lists every problem at once."""

    def __init__(self, problems: list[str]) -> None:
        self.problems = problems
        super().__init__("the settings cannot be used:\n" + "\n".join(f"  - {p}" for p in problems))


#: What to do about a package that is there and cannot be loaded.
OTHER_BUILD_ADVICE = (
    "it was built for another system or another Python: publish with a remote build "
    "(docs/deploy.md#publish), or, on a machine, install requirements.txt again"
)


class PackageMissing(OrchestratorError):
    """A Python package is not there, as after publishing without a build.

    :param name: of the module that cannot be imported; None = it is not known.
    """

    def __init__(self, name: str | None) -> None:
        super().__init__(
            f"the Python package {name} is not there: publish with a remote build, which installs "
            "requirements.txt (docs/deploy.md#publish), or, on a machine: pip install -r requirements.txt"
        )


class InvalidEntry(OrchestratorError):
    """The entry can never be submitted as it stands; the message says what to change.

    :param column: the invalid column; its name begins the message. None = the message says it all.
    """

    #: it speaks of the job, whatever the entry asks of it
    of_job: bool = False

    def __init__(self, problem: str, *, column: str | None = None) -> None:
        super().__init__(f"{column} {problem}" if column else problem)
        self.column = column


class ExportUnreadable(OrchestratorError):
    """Files that should be exports of Data Factory cannot be used; the message says which one and why."""


class JobUnclear(InvalidEntry):
    """A name stands for no job, for several, or for one that cannot be had.

    While jobs are deployed anew that may be so for a moment only.
    """

    of_job = True


class JobContinuous(InvalidEntry):
    """The job has a continuous trigger: Databricks keeps one run of it going, and no entry can run on it."""

    of_job = True


class EntryNotFound(OrchestratorError):
    """There is no entry with this id."""

    def __init__(self, entry_id: int) -> None:
        super().__init__(f"there is no entry {entry_id}")


class Conflict(OrchestratorError):
    """The operator's request contradicts the entry's state or the settings; nothing was changed."""


class StoreError(OrchestratorError):
    """The database refused or failed a statement."""


class StoreUnavailable(StoreError):
    """The database cannot run the statement now but probably can later; nothing was changed."""


class StoreInDoubt(StoreError):
    """The response to a commit was lost: read the entries again before acting on them."""


class RequestConflict(StoreError):
    """The Idempotency-Key was used with a different body before."""


class RunTaken(StoreError):
    """The run belongs to another entry, or to an earlier submission; nothing was changed.

    :param entry_id: the entry that has, or had, it.
    """

    def __init__(self, run_id: int, entry_id: int) -> None:
        super().__init__(f"run {run_id} is that of entry {entry_id}")
        self.run_id = run_id
        self.entry_id = entry_id


class SchemaError(StoreError):
    """The tables are missing, or older or newer than this version of the app."""


class QueueError(OrchestratorError):
    """The Storage queue did not accept a message, or a message on it was not written by this app."""


class DatabricksError(OrchestratorError):
    """Base class of the errors of a Databricks workspace.

    :param status: the HTTP status, 0 if no response arrived.
    :param error_code: ``error_code`` of the body, empty if there was none.
    """

    def __init__(self, message: str, *, status: int = 0, error_code: str = "") -> None:
        super().__init__(message)
        self.status = status
        self.error_code = error_code


class RequestRefused(DatabricksError):
    """Databricks definitely refused this request (bad parameters, no such job, no permission on the job).

    :param permanent: repeating the same request cannot succeed.
    """

    #: its words name the job, the run or something of the request; False = a gateway that answers every call
    #: alike could say the same
    is_worded: bool = True
    #: it speaks of the job, whatever the call asks of it: it does not exist, or may not be used
    of_job: bool = False

    def __init__(self, message: str, *, status: int, error_code: str, permanent: bool) -> None:
        super().__init__(message, status=status, error_code=error_code)
        self.permanent = permanent


class NoRunNamed(RequestRefused):
    """``run-now`` was accepted, and the answer names neither a run nor an error, as for a continuous job.

    There may be a run, so the submission stays open: its token finds the run.
    """

    is_worded = False


class TokenRunDeleted(RequestRefused):
    """The run of this submission was deleted: the one that its token started, or the one that it repairs.

    This settles the submission, also one whose earlier calls are in doubt: they made that run active.
    """


class RunNotFound(DatabricksError):
    """Databricks no longer knows the run (it keeps runs for 60 days)."""


class RunNotCancelled(OrchestratorError):
    """A run that is to be cancelled goes on, since Databricks did not take the call."""


class NoCapacity(DatabricksError):
    """The workspace accepts no further run now; no run was created."""


class WorkspaceUnavailable(DatabricksError):
    """There was no usable answer: connection, time-out, 5xx, rate limit or credentials.

    Nor is an answer usable that is not known to speak of this one request. The message has its words.
    """

    #: the request may have taken effect; False only if it certainly has not
    in_doubt: bool = True
    #: the workspace answers, but this answer is not understood: a 4xx that is neither transient nor about the
    #: rate, or an object of another shape
    answered: bool = False
    #: seconds that the workspace asked to wait
    retry_after: float | None = None


class Unauthorized(WorkspaceUnavailable):
    """The workspace rejected the token, even a freshly fetched one."""


class TokenUnavailable(WorkspaceUnavailable):
    """Key Vault or Entra ID returned no token, so no request was sent."""

    in_doubt = False


class RunOfAnotherJob(WorkspaceUnavailable):
    """The answer names a run of another job, so it says nothing about the run of this entry.

    A gateway has mixed up two answers, or another workspace answers, which has a run of the same number.
    """

    answered = True


class ListIncomplete(WorkspaceUnavailable):
    """Only a part of the active runs could be listed.

    The rest may hold any number of runs. So the part shows which slots are taken, and never that one is free.

    :param runs: those that were listed.
    """

    def __init__(self, message: str, *, status: int, error_code: str, runs: "tuple[ActiveRun, ...]") -> None:
        super().__init__(message, status=status, error_code=error_code)
        self.runs = runs
