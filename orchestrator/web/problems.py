"""Errors as ``application/problem+json`` (RFC 9457). Pure; no text of them holds a secret or a parameter."""

import math
from collections.abc import Mapping
from http import HTTPStatus

from orchestrator.adapters.store.operations import RequestConflict
from orchestrator.core.errors import (
    InvalidEntry,
    OrchestratorError,
    SettingsError,
    StoreError,
    StoreInDoubt,
    WorkspaceUnavailable,
)
from orchestrator.core.search import InvalidCursor


class Problem(Exception):
    """An answer that is an error.

    :param detail: says what is wrong and what to do.
    """

    def __init__(self, status: HTTPStatus, detail: str, headers: Mapping[str, str] | None = None) -> None:
        super().__init__(detail)
        self.status = status
        self.detail = detail
        self.headers = dict(headers or {})


def bad_request(detail: str) -> Problem:
    """The request itself is wrong."""
    return Problem(HTTPStatus.BAD_REQUEST, detail)


def not_found(detail: str) -> Problem:
    """What it is about is not there."""
    return Problem(HTTPStatus.NOT_FOUND, detail)


def conflict(detail: str) -> Problem:
    """The state of things does not allow it."""
    return Problem(HTTPStatus.CONFLICT, detail)


def too_many(detail: str, *, retry_after_seconds: float) -> Problem:
    """There were too many calls. The time is rounded up to whole seconds, as the header has it."""
    seconds = max(1, math.ceil(retry_after_seconds))
    return Problem(
        HTTPStatus.TOO_MANY_REQUESTS, f"{detail}; come again in {seconds} s", {"Retry-After": str(seconds)}
    )


def unavailable(detail: str, *, retry_after_seconds: int = 10) -> Problem:
    """It cannot be answered now."""
    return Problem(HTTPStatus.SERVICE_UNAVAILABLE, detail, {"Retry-After": str(retry_after_seconds)})


def of(error: Exception, *, changes: bool = False) -> Problem | None:
    """Return how an error is told; None for one that nobody foresaw.

    :param changes: the call changes something; when its time is over, that may be done all the same.
    """
    if isinstance(error, Problem):
        return error
    if isinstance(error, TimeoutError) and changes:
        return unavailable(
            "there was no answer in time, and it may be done all the same: look at the rows before you ask "
            "again; with an Idempotency-Key simply ask again"
        )
    if isinstance(error, TimeoutError):
        return unavailable("it was not done in time: ask again, for less if you can")
    if isinstance(error, (InvalidCursor, InvalidEntry)):
        return bad_request(str(error))
    if isinstance(error, RequestConflict):
        return conflict(str(error))
    return _of_ours(error) if isinstance(error, OrchestratorError) else None


def _of_ours(error: OrchestratorError) -> Problem:
    if isinstance(error, StoreInDoubt):
        return unavailable(
            f"{error}: look at the rows before you ask again; with an Idempotency-Key simply ask again"
        )
    if isinstance(error, (StoreError, SettingsError)):
        return unavailable(str(error))
    if isinstance(error, WorkspaceUnavailable):
        return Problem(HTTPStatus.BAD_GATEWAY, str(error))
    return Problem(HTTPStatus.INTERNAL_SERVER_ERROR, str(error))
