"""Every error the app raises on purpose. No message ever holds a secret or a row's parameters."""


class OrchestratorError(Exception):
    """Base of all errors below."""


class SettingsError(OrchestratorError):
    """The settings cannot be used. Lists every problem at once."""

    def __init__(self, problems: list[str]) -> None:
        self.problems = problems
        super().__init__("the settings cannot be used:\n" + "\n".join(f"  - {p}" for p in problems))


class InvalidEntry(OrchestratorError):
    """An entry that can never be submitted as it stands; the message says what to change.

    :param column: that is wrong; the message begins with its name. None = the message names what is wrong.
    """

    def __init__(self, problem: str, *, column: str | None = None) -> None:
        super().__init__(f"{column} {problem}" if column else problem)
        self.column = column


class StoreError(OrchestratorError):
    """The state store refused or failed a statement."""


class StoreUnavailable(StoreError):
    """The database does not take the statement now and probably will later; it changed nothing."""


class StoreInDoubt(StoreError):
    """The answer to a commit got lost: read the rows again before doing anything about them."""


class SchemaError(StoreError):
    """The tables are missing, or older or newer than this version of the app."""


class QueueError(OrchestratorError):
    """The Storage queue did not take a message, or a message on it is not one of ours."""


class DatabricksError(OrchestratorError):
    """Base of what a Databricks workspace can answer instead of a result.

    :param status: the HTTP status, 0 when no answer arrived.
    :param error_code: ``error_code`` of the body, empty when there was none.
    """

    def __init__(self, message: str, *, status: int = 0, error_code: str = "") -> None:
        super().__init__(message)
        self.status = status
        self.error_code = error_code


class RequestRefused(DatabricksError):
    """A definite no to this one request (bad parameters, no such job, no permission on it).

    :param permanent: asking again with the same request cannot help.
    """

    def __init__(self, message: str, *, status: int, error_code: str, permanent: bool) -> None:
        super().__init__(message, status=status, error_code=error_code)
        self.permanent = permanent


class RunNotFound(DatabricksError):
    """Databricks no longer knows the run (it keeps runs for 60 days)."""


class NoCapacity(DatabricksError):
    """The workspace takes no further run now; no run was created."""


class WorkspaceUnavailable(DatabricksError):
    """No usable answer: connection, time-out, 5xx, rate limit, credentials."""

    #: the request may have had its effect all the same; False only when that is certain not to be so
    in_doubt: bool = True


class Unauthorized(WorkspaceUnavailable):
    """The workspace did not accept the token, also not a freshly fetched one."""


class TokenUnavailable(WorkspaceUnavailable):
    """Key Vault or Entra ID gave no token, so nothing was sent with it."""

    in_doubt = False
