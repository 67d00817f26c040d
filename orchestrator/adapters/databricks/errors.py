"""Read an error response of Databricks and decide what it says about the request. Pure.

The body's ``error_code`` is more exact than the HTTP status and takes precedence. A body that is not JSON (of
a proxy, a maintenance page) is read as text. https://docs.databricks.com/api/workspace/introduction
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from email.utils import parsedate_to_datetime
from typing import TypeVar
from urllib.parse import unquote

from orchestrator.adapters.databricks import wording
from orchestrator.adapters.databricks.fields import NAME_CHARACTERS, clean, json_object
from orchestrator.adapters.databricks.responses import Response
from orchestrator.core import redaction
from orchestrator.core.errors import (
    DatabricksError,
    NoCapacity,
    RequestRefused,
    RunNotFound,
    TokenRunDeleted,
)

#: A longer ``Retry-After`` is cut to this, in seconds: an hour, after which it does no harm to ask again.
_MAX_RETRY_AFTER_SECONDS = 3600.0

#: Fields of an error's text. The first is that of the API, the others are of gateways and of sign-in.
_MESSAGES = ("message", "detail", "error_description", "error")
#: A server's message is cut to this in an error, in characters.
_MESSAGE_CHARACTERS = 500
#: Only this part of a message or an error page is read, in characters. Its start says what it is, and a body
#: of megabytes must not block the event loop.
_READ_CHARACTERS = 20_000
#: Shorter tokens are for local work only. In a 2xx response they could be part of ordinary words.
_SHORTEST_TOKEN = 20

#: Errors that pass, whatever their HTTP status. Whether the request had an effect is not known.
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
#: Request time-out and conflict: something had begun.
_TRANSIENT_STATUSES = frozenset({408, 409})
_RATE_CODES = frozenset({"RESOURCE_EXHAUSTED", "REQUEST_LIMIT_EXCEEDED"})
#: Too early and too many requests: refused before anything was done.
_RATE_STATUSES = frozenset({425, 429})
#: The same request can never succeed.
_PERMANENT_CODES = frozenset({"INVALID_JOB_ID", "INVALID_PARAMETER_VALUE", "RESOURCE_DOES_NOT_EXIST"})
#: What was sent can be wrong in many ways, so these speak of the request unless the text names the workspace.
_CONTENT_CODES = frozenset({"INVALID_JOB_ID", "INVALID_PARAMETER_VALUE", "MALFORMED_REQUEST"})
#: The same by the status: too large, not acceptable. Proxies send these, too, but without a code.
_CONTENT_STATUSES = frozenset({413, 422})

#: A run that was asked for, or the one of a token, is gone, whatever the text says.
_RUN_DELETED_CODE = "RUN_DELETED"
#: What Databricks says about the token or the caller's network with HTTP 400 and with PERMISSION_DENIED.
_CREDENTIALS = re.compile(
    r"invalid (access )?token|token (is |has )?(been )?(expir|invalid|revoked)"
    r"|jsonwebtoken|ip (acl|access list)",
    re.IGNORECASE,
)
_TAGS = re.compile(r"<[^<>]*>")

#: Where a workspace behind Private Link sends a caller from another network.
_PRIVATE_LINK = re.compile(r"/login\.html\?(?:[^#]*&)?error=private-link-validation-error\b", re.IGNORECASE)
#: A longer address is not read further, in characters.
_LOCATION_CHARACTERS = 2000

_E = TypeVar("_E", bound=DatabricksError)


@dataclass(frozen=True, kw_only=True)
class ErrorResponse:
    """A response that is not 2xx, read as far as possible."""

    status: int
    #: unchanged ``error_code`` of the body, empty when there was none; decides what the response means
    code: str = field(repr=False)
    #: the same without anything that we sent
    label: str
    #: the server's unchanged words
    message: str = field(repr=False)
    #: everything in one line for people, without anything that we sent
    text: str
    #: seconds that the server asked to wait
    retry_after: float | None = None

    @property
    def transient(self) -> bool:
        """Whether the error passes by itself; the request may have had its effect."""
        if self.status >= 500 or self.status in _TRANSIENT_STATUSES or self.code in _TRANSIENT_CODES:
            return True
        # A refused token is renewed, and a rate or a capacity waited for, whatever the text adds.
        known = self.unread or self.workspace_full
        return not known and wording.is_trouble(self.message)

    @property
    def denied(self) -> bool:
        """Whether the owner of the token may not do this."""
        return self.code == "PERMISSION_DENIED"

    @property
    def about_request(self) -> bool:
        """Whether it is known that this one request is refused, and not every request like it."""
        if self.denied:
            return wording.is_of_one_job(self.message)
        if self.code == "RESOURCE_DOES_NOT_EXIST":
            about_content = not self.message or wording.is_of_request(self.message)
        else:
            about_status = self.status in _CONTENT_STATUSES and self.code != ""
            about_content = about_status or self.code in _CONTENT_CODES
        if self.job_missing or self.parameter_wrong:
            return True
        return about_content and not wording.is_of_workspace(self.message)

    @property
    def job_missing(self) -> bool:
        """Whether the text says, under whatever code, that the job does not exist."""
        return self.is_refusal and wording.job_is_gone(self.message)

    @property
    def parameter_wrong(self) -> bool:
        """Whether the text plainly says, under whatever code, that a parameter does not fit the job."""
        return self.is_refusal and self.status == 400 and wording.names_wrong_parameter(self.message)

    @property
    def is_refusal(self) -> bool:
        """Whether the workspace has read the request and refuses it."""
        return 400 <= self.status < 500 and not self.throttled and not self.transient

    @property
    def answered(self) -> bool:
        """Whether the workspace works, and refuses this request for good."""
        return self.is_refusal and self.status != 401

    @property
    def about_credentials(self) -> bool:
        """Whether the token (or the caller's network) is refused, whatever the request."""
        if self.status == 401 or (self.status == 403 and not self.denied):
            return True
        return self._names_credentials

    @property
    def unread(self) -> bool:
        """Whether the request was refused before it was read, for its rate or its token."""
        return self.throttled or self.status == 401 or self._names_credentials

    @property
    def _names_credentials(self) -> bool:
        from_gateway = not self.code or self.code.isdigit()
        return (self.denied or from_gateway) and bool(_CREDENTIALS.search(self.message))

    @property
    def throttled(self) -> bool:
        """Whether the request was refused unread, for the number of requests or of runs."""
        return self.status in _RATE_STATUSES or self.code in _RATE_CODES

    @property
    def workspace_full(self) -> bool:
        """Whether the refusal means capacity, not rate."""
        if not 400 <= self.status < 500 or self.status == 401 or self.code in _TRANSIENT_CODES:
            return False
        return self.code == "QUOTA_EXCEEDED" or wording.is_full(self.message, about_rate=self.throttled)

    @property
    def permanent(self) -> bool:
        """Whether the same request can never succeed."""
        return self.code in _PERMANENT_CODES or self.job_missing or self.parameter_wrong

    @property
    def run_missing(self) -> bool:
        """Whether the run that was asked for does not exist; Databricks sends it as 404 and as 400.

        An answer about permissions never says so: whoever may not see a run is told the same.
        """
        if not self.is_refusal or self.denied or self.status in {401, 403}:
            return False
        if not self.message:
            return self.code == "RESOURCE_DOES_NOT_EXIST" or _RUN_DELETED_CODE in self.code
        return wording.run_is_gone(self.message)

    @property
    def token_used_up(self) -> bool:
        """Whether the answer to ``run-now`` says, under whatever code, that its token's run was deleted."""
        refused = 400 <= self.status < 500 and not self.unread and not self.workspace_full
        if not refused or wording.is_trouble(self.message):
            return False
        return _RUN_DELETED_CODE in self.code or wording.token_is_used_up(self.message)

    def as_error(self, kind: type[_E]) -> _E:
        """Return this response as an error of a kind."""
        return kind(self.text, status=self.status, error_code=self.label)


def read_error(response: Response, *, name: str, hidden: Sequence[str]) -> ErrorResponse:
    """Read a response that is not 2xx. Never raises.

    :param name: of the endpoint, for the text.
    :param hidden: what was sent and must not appear in the text: the token, secret parameters.
    """
    content = json_object(response.body)
    if content is None:
        code, message = "", _plain_text(response.body)
    else:
        code = _string(content.get("error_code"))
        message = next((words for name in _MESSAGES if (words := _string(content.get(name)))), "")
    label = shown(code, hidden)[:NAME_CHARACTERS]
    words = shown(message, hidden)
    if 300 <= response.status < 400:
        words = redirect_reason(response.headers)
    start = (
        f"Databricks {name}: HTTP {response.status} {'' if label == str(response.status) else label}".rstrip()
    )
    return ErrorResponse(
        status=response.status,
        code=code,
        label=label,
        message=message,
        text=f"{start}: {words}" if words else start,
        retry_after=_retry_after(response.headers),
    )


def submission_refused(response: ErrorResponse) -> DatabricksError | None:
    """Return the error of a refused submission, or None when it is not known to speak of this one."""
    if response.workspace_full:
        return response.as_error(NoCapacity)
    if response.token_used_up:
        return TokenRunDeleted(
            response.text, status=response.status, error_code=response.label, permanent=False
        )
    return job_refused(response)


def repair_refused(response: ErrorResponse) -> DatabricksError | None:
    """Return the error of a refused repair, or None when it is not known to speak of this one."""
    if response.workspace_full:
        return response.as_error(NoCapacity)
    return run_missing(response) or job_refused(response)


def job_refused(response: ErrorResponse) -> DatabricksError | None:
    """Return the error of a refusal to read, create or run a job, or None when it is not definite."""
    return _refused(response) if response.is_refusal and response.about_request else None


def run_missing(response: ErrorResponse) -> DatabricksError | None:
    """Return the error of a run that Databricks does not know, or None when it is another error."""
    return response.as_error(RunNotFound) if response.run_missing else None


def never_refused(_: ErrorResponse) -> DatabricksError | None:
    """Return None, for requests that cannot be wrong: every error is the workspace's."""
    return None


def words_of(content: Mapping[str, object], hidden: Sequence[str]) -> str:
    """Return what a 2xx body says in the fields of an error, for the end of a text; empty if nothing."""
    said = (_string(content.get(name)) for name in ("error_code", *_MESSAGES))
    words = shown(" ".join(part for part in said if part), hidden)
    return f"; it says: {words}" if words else ""


def without_token(body: bytes, token: str) -> bytes:
    """Strike the token out of the body of a 2xx response: a run's own error text may hold it."""
    if len(token) < _SHORTEST_TOKEN:
        return body
    return body.replace(token.encode(), redaction.REDACTED.encode())


def shown(text: str, hidden: Sequence[str]) -> str:
    """Return a server's words as one line of limited length, without what we sent."""
    text = redaction.without(text[:_READ_CHARACTERS], hidden)
    printable = "".join(c if c.isprintable() else " " for c in clean(text))
    words = " ".join(printable.split())
    return words if len(words) <= _MESSAGE_CHARACTERS else f"{words[: _MESSAGE_CHARACTERS - 1]}…"


def redirect_reason(headers: Mapping[str, str]) -> str:
    """Say why the host redirects, and what to do about it. The target itself is not shown.

    https://learn.microsoft.com/azure/databricks/security/network/classic/private-link-standard
    """
    location = next((value for name, value in headers.items() if name.lower() == "location"), "")
    if _PRIVATE_LINK.search(unquote(location[:_LOCATION_CHARACTERS])):
        return (
            "the workspace accepts calls through Private Link only, and this call came from another network; "
            "connect the app to the virtual network of the workspace's private endpoint, and check that the "
            "host's name resolves to the private address there, or allow public access to the workspace"
        )
    return "the host redirects; check that it is the address of the workspace"


def _refused(response: ErrorResponse) -> RequestRefused:
    return RequestRefused(
        response.text, status=response.status, error_code=response.label, permanent=response.permanent
    )


def _plain_text(body: bytes) -> str:
    return _TAGS.sub(" ", body[:_READ_CHARACTERS].decode("utf-8", "replace"))


def _string(value: object) -> str:
    return str(value) if isinstance(value, str | int) and not isinstance(value, bool) else ""


def _retry_after(headers: Mapping[str, str]) -> float | None:
    """Return ``Retry-After`` in seconds. A date is compared with the server's own ``Date``.

    https://www.rfc-editor.org/rfc/rfc9110#name-retry-after
    """
    fields = {name.lower(): value.strip() for name, value in headers.items()}
    value = fields.get("retry-after", "")
    if re.fullmatch(r"\d{1,9}(\.\d{1,9})?", value, re.ASCII):
        return min(float(value), _MAX_RETRY_AFTER_SECONDS)
    until, now = _http_date(value), _http_date(fields.get("date", ""))
    if until is None or now is None:
        return None
    return min(max((until - now).total_seconds(), 0.0), _MAX_RETRY_AFTER_SECONDS)


def _http_date(value: str) -> datetime | None:
    try:
        date = parsedate_to_datetime(value)
    except (TypeError, ValueError, IndexError, OverflowError):
        return None
    return date if date.tzinfo is not None else None
