"""Answers that are not a success, as a workspace words them."""

from collections.abc import Mapping
from typing import Any


class ApiError(Exception):
    """An error answer.

    :param error_code: a name, or a number where the workspace's gateway answers instead of the Jobs service.
    :param headers: extra response headers.
    """

    def __init__(
        self, status: int, error_code: str | int, message: str, headers: Mapping[str, str] | None = None
    ) -> None:
        super().__init__(message)
        self.status = status
        self.body: dict[str, Any] = {"error_code": error_code, "message": message, "details": []}
        self.headers = dict(headers or {})


def invalid(message: str) -> ApiError:
    """A request that can never be accepted as it stands."""
    return ApiError(400, "INVALID_PARAMETER_VALUE", message)


def malformed(message: str) -> ApiError:
    """A body that is not the JSON the endpoint reads."""
    return ApiError(400, "MALFORMED_REQUEST", message)


def no_such_endpoint(method: str, path: str) -> ApiError:
    """A request for a path that the workspace does not serve."""
    return ApiError(404, "ENDPOINT_NOT_FOUND", f"No API found for '{method} {path}'")


def no_such_job(job_id: int) -> ApiError:
    """The wording matters: databricks-sdk recognises it."""
    return invalid(f"Job {job_id} does not exist.")


def no_such_run(run_id: int) -> ApiError:
    """The wording matters: databricks-sdk recognises it."""
    return invalid(f"Run {run_id} does not exist.")


def too_many_active_runs(active: int, limit: int) -> ApiError:
    """Capacity, not rate: waiting a second does not help."""
    return ApiError(
        429, "REQUEST_LIMIT_EXCEEDED", f"There are already {active} active runs (limit: {limit})."
    )


def too_many_requests(retry_after: int) -> ApiError:
    """Rate, not capacity. ``retry_after`` is in seconds."""
    message = "Current request has to be retried because the request rate limit has been exceeded."
    return ApiError(429, "RESOURCE_EXHAUSTED", message, {"Retry-After": str(retry_after)})


def no_credentials() -> ApiError:
    """The gateway's numeric error code is what a workspace sends."""
    return ApiError(401, 401, "Credential was not sent or was of an unsupported type for this API.")


def oauth_error(status: int, error: str, description: str) -> ApiError:
    """The wording is that of RFC 6749."""
    refusal = ApiError(status, error, description)
    refusal.body = {"error": error, "error_description": description}
    return refusal


def other_workspace(asked: str, served: int) -> ApiError:
    """A request for a workspace that is not served here."""
    return ApiError(403, "PERMISSION_DENIED", f"Workspace {asked} is not served here, but {served}.")


def bad_token() -> ApiError:
    """The gateway's numeric error code is what a workspace sends."""
    return ApiError(403, 403, "Invalid access token.")
