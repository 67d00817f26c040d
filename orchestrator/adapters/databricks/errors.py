"""Read an error response of Databricks, and show other systems' words safely. Pure.

A body that is not JSON (of a proxy, a maintenance page) is read as text. What a response means is in
:mod:`meanings`.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from email.utils import parsedate_to_datetime
from urllib.parse import unquote

from orchestrator.adapters.databricks.fields import ERROR_TEXTS, NAME_CHARACTERS, clean, json_object
from orchestrator.adapters.databricks.responses import Response
from orchestrator.core import redaction

#: A longer ``Retry-After`` is cut to this, in seconds: an hour, after which it does no harm to ask again.
_MAX_RETRY_AFTER_SECONDS = 3600.0

#: A server's message is cut to this in an error, in characters.
_MESSAGE_CHARACTERS = 500
#: Only this part of a message or an error page is read, in characters. Its start says what it is, and a body
#: of megabytes must not block the event loop.
_READ_CHARACTERS = 20_000
#: Shorter tokens are for local work only. In a 2xx response they could be part of ordinary words.
_SHORTEST_TOKEN = 20

_TAGS = re.compile(r"<[^<>]*>")

#: Where a workspace behind Private Link sends a caller from another network.
_PRIVATE_LINK = re.compile(r"/login\.html\?(?:[^#]*&)?error=private-link-validation-error\b", re.IGNORECASE)
#: A longer address is not read further, in characters.
_LOCATION_CHARACTERS = 2000


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
    #: False = the body is a page or a text, as gateways send; Databricks itself answers with JSON
    is_json: bool = True


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
        message = next((words for name in ERROR_TEXTS if (words := _string(content.get(name)))), "")
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
        is_json=content is not None,
    )


def words_of(content: Mapping[str, object], hidden: Sequence[str]) -> str:
    """Return what a 2xx body says in the fields of an error, for the end of a text; empty if nothing."""
    said = (_string(content.get(name)) for name in ("error_code", *ERROR_TEXTS))
    words = shown(" ".join(part for part in said if part), hidden)
    return f"; it says: {words}" if words else ""


def without_secrets(body: bytes, secrets: Sequence[str]) -> bytes:
    """Strike tokens out of the body of a 2xx response: a run's own error text may hold them."""
    for secret in secrets:
        if len(secret) >= _SHORTEST_TOKEN:
            body = body.replace(secret.encode(), redaction.REDACTED.encode())
    return body


def shown(text: str, hidden: Sequence[str]) -> str:
    """Return a server's words as one line of limited length, without what we sent."""
    text = redaction.without(_read(text), hidden)
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


def _plain_text(body: bytes) -> str:
    return _TAGS.sub(" ", _read(body[: 4 * _READ_CHARACTERS].decode("utf-8", "replace")))


def _read(text: str) -> str:
    """Return the part of a text that is read. Its end is marked, so no piece of a secret is left there."""
    return text if len(text) <= _READ_CHARACTERS else f"{text[:_READ_CHARACTERS]}…"


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
