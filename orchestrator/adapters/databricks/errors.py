"""Reads an error answer of Databricks and tells what it says about the call. Pure.

The body's ``error_code`` is more exact than the HTTP status and is asked first. Bodies that are not JSON
(proxies, maintenance pages) are read as text. https://docs.databricks.com/api/workspace/introduction
"""

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from email.utils import parsedate_to_datetime
from typing import TypeVar

from orchestrator.adapters.databricks.responses import NAME_CHARACTERS, Json, clean
from orchestrator.core import redaction
from orchestrator.core.errors import DatabricksError, NoCapacity, RequestRefused, RunNotFound

#: The longest ``Retry-After`` that is waited for, in seconds; then the next pass is as good.
MAX_RETRY_AFTER_SECONDS = 30.0

#: Longest part of a server's message in an error, in characters.
_MESSAGE_CHARACTERS = 500
#: Part of a message or an error page that is looked at, in characters: it says what it is at its start, and
#: a body of megabytes must not keep the event loop busy.
_READ_CHARACTERS = 20_000
#: Shorter tokens are for local work only; in a good answer they could be part of ordinary words.
_SHORTEST_TOKEN = 20

#: Answers that come and go, whatever status they carry. Whether the request had an effect stays open.
_TRANSIENT_CODES = frozenset(
    {
        "ABORTED",
        "CANCELLED",
        "COULD_NOT_ACQUIRE_LOCK",
        "DEADLINE_EXCEEDED",
        "INTERNAL_ERROR",
        "RESOURCE_CONFLICT",
        "TEMPORARILY_UNAVAILABLE",
        "UNKNOWN",
        "WORKSPACE_TEMPORARILY_UNAVAILABLE",
    }
)
#: Request time-out and conflict: somebody began something.
_TRANSIENT_STATUSES = frozenset({408, 409})
_RATE_CODES = frozenset({"RESOURCE_EXHAUSTED", "REQUEST_LIMIT_EXCEEDED"})
#: Too early and too many requests: turned away before anything was done.
_RATE_STATUSES = frozenset({425, 429})
#: The same request can never succeed.
_PERMANENT_CODES = frozenset({"INVALID_PARAMETER_VALUE", "RESOURCE_DOES_NOT_EXIST"})
#: The address is wrong, not the row: says nothing about one request.
_ADDRESS_CODES = frozenset({"ENDPOINT_NOT_FOUND"})
#: Statuses that speak of the request's content even without an error code.
_CONTENT_STATUSES = frozenset({400, 413, 422})

_WORKSPACE_FULL = re.compile(r"already \d+ active runs", re.IGNORECASE)
_GONE = re.compile(r"does(n't| not) exist", re.IGNORECASE)
#: What Databricks says about the token or the caller's network under 400 and under PERMISSION_DENIED.
_CREDENTIALS = re.compile(
    r"invalid (access )?token|token (is |has )?(been )?(expir|invalid|revoked)"
    r"|jsonwebtoken|ip (acl|access list)",
    re.IGNORECASE,
)
_TAGS = re.compile(r"<[^<>]*>")

E = TypeVar("E", bound=DatabricksError)


@dataclass(frozen=True, kw_only=True)
class Answer:
    """What came back, read to its end."""

    status: int
    headers: Mapping[str, str]
    body: bytes = field(repr=False)


@dataclass(frozen=True, kw_only=True)
class Problem:
    """An error answer, read as far as it could be."""

    status: int
    #: ``error_code`` of the body as it came, empty when there was none; decides what the answer means
    code: str = field(repr=False)
    #: the same without anything that we sent
    label: str
    #: the server's words as they came
    message: str = field(repr=False)
    #: the whole as one line for people, without anything that we sent
    text: str
    #: seconds that the server asked to wait
    retry_after: float | None = None

    @property
    def transient(self) -> bool:
        """Comes and goes; the request may have had its effect."""
        return self.status >= 500 or self.status in _TRANSIENT_STATUSES or self.code in _TRANSIENT_CODES

    @property
    def denied(self) -> bool:
        """Whoever holds the token may not do this."""
        return self.code == "PERMISSION_DENIED"

    @property
    def about_credentials(self) -> bool:
        """The token (or the caller's network) is not accepted, whatever was asked."""
        if self.status == 401 or (self.status == 403 and not self.denied):
            return True
        return (self.denied or not self.code) and bool(_CREDENTIALS.search(self.message))

    @property
    def throttled(self) -> bool:
        """Turned away unread, for the number of requests or of runs."""
        return self.status in _RATE_STATUSES or self.code in _RATE_CODES

    @property
    def workspace_full(self) -> bool:
        """The refusal that means capacity, not rate."""
        full = self.throttled and bool(_WORKSPACE_FULL.search(self.message))
        return full or self.code == "QUOTA_EXCEEDED"

    @property
    def permanent(self) -> bool:
        """Neither asking again nor asking later helps."""
        return self.code in _PERMANENT_CODES

    @property
    def missing(self) -> bool:
        """What was asked for is not there; sent as 404 and as 400."""
        gone = self.permanent and bool(_GONE.search(self.message))
        return gone or self.code == "RESOURCE_DOES_NOT_EXIST"

    def error(self, kind: type[E]) -> E:
        """Make an error of this kind that tells this problem."""
        return kind(self.text, status=self.status, error_code=self.label)


def read_problem(answer: Answer, *, name: str, hidden: Sequence[str]) -> Problem:
    """Read an answer that is not 2xx. Never raises.

    :param name: of the call, for the text.
    :param hidden: what was sent and must not come back in the text: token, parameter values.
    """
    content = json_object(answer.body)
    if content is None:
        code, message = "", _plain_text(answer.body)
    else:
        code, message = _string(content.get("error_code")), _string(content.get("message"))
    label = shown(code, hidden)[:NAME_CHARACTERS]
    words = shown(message, hidden)
    if 300 <= answer.status < 400:
        words = "the host answers with a redirect; check that it is the address of the workspace"
    start = f"Databricks {name}: HTTP {answer.status} {'' if label == str(answer.status) else label}".rstrip()
    return Problem(
        status=answer.status,
        code=code,
        label=label,
        message=message,
        text=f"{start}: {words}" if words else start,
        retry_after=_retry_after(answer.headers),
    )


def submission_refused(problem: Problem) -> DatabricksError | None:
    """The definite no to a ``run-now``, or None when it is not certain that no run was created."""
    if problem.workspace_full:
        return problem.error(NoCapacity)
    definite = bool(problem.code) or problem.status in _CONTENT_STATUSES
    if problem.status < 400 or problem.throttled or problem.code in _ADDRESS_CODES or not definite:
        return None
    return _refused(problem)


def job_refused(problem: Problem) -> DatabricksError | None:
    """The definite no to reading or creating a job."""
    return _refused(problem) if problem.permanent or problem.denied else None


def run_missing(problem: Problem) -> DatabricksError | None:
    """Databricks does not know the run."""
    return problem.error(RunNotFound) if problem.missing else None


def never_refused(_: Problem) -> DatabricksError | None:
    """For calls that nothing can be wrong with: every error is the workspace's."""
    return None


def without_token(body: bytes, token: str) -> bytes:
    """Strike the token out of a good answer: a run's own error text may hold it."""
    if len(token) < _SHORTEST_TOKEN:
        return body
    return body.replace(token.encode(), redaction.REDACTED.encode())


def json_object(body: bytes) -> Json | None:
    """The object that a body holds, or None."""
    try:
        content = json.loads(body)
    except (ValueError, RecursionError):  # not JSON, not UTF-8, or nested thousands deep
        return None
    return content if isinstance(content, dict) else None


def shown(text: str, hidden: Sequence[str]) -> str:
    """Somebody else's words as one line of sane length, without what we sent."""
    text = redaction.without(text[:_READ_CHARACTERS], hidden)
    printable = "".join(c if c.isprintable() else " " for c in clean(text))
    words = " ".join(printable.split())
    return words if len(words) <= _MESSAGE_CHARACTERS else f"{words[: _MESSAGE_CHARACTERS - 1]}…"


def _refused(problem: Problem) -> RequestRefused:
    return RequestRefused(
        problem.text, status=problem.status, error_code=problem.label, permanent=problem.permanent
    )


def _plain_text(body: bytes) -> str:
    return _TAGS.sub(" ", body[:_READ_CHARACTERS].decode("utf-8", "replace"))


def _string(value: object) -> str:
    return str(value) if isinstance(value, str | int) and not isinstance(value, bool) else ""


def _retry_after(headers: Mapping[str, str]) -> float | None:
    """``Retry-After`` in seconds: a number, or a date that is compared with the server's own ``Date``.

    https://www.rfc-editor.org/rfc/rfc9110#name-retry-after
    """
    fields = {name.lower(): value.strip() for name, value in headers.items()}
    value = fields.get("retry-after", "")
    if re.fullmatch(r"\d{1,9}", value, re.ASCII):
        return min(float(value), MAX_RETRY_AFTER_SECONDS)
    until, now = _http_date(value), _http_date(fields.get("date", ""))
    if until is None or now is None:
        return None
    return min(max((until - now).total_seconds(), 0.0), MAX_RETRY_AFTER_SECONDS)


def _http_date(value: str) -> datetime | None:
    try:
        date = parsedate_to_datetime(value)
    except (TypeError, ValueError, IndexError, OverflowError):
        return None
    return date if date.tzinfo is not None else None
