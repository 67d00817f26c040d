"""Faults that tests ask for: which request meets which, how often and for how long."""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from multidict import CIMultiDict

from devstack.databricks.errors import invalid


class Kind(StrEnum):
    """What happens to a request."""

    STATUS = "status"  #: a chosen answer, without the effect
    DELAY = "delay"  #: the effect at once, the answer late
    DROP_BEFORE = "drop_before"  #: the connection closes, without the effect
    DROP_AFTER = "drop_after"  #: the effect, then the connection closes without an answer


@dataclass(kw_only=True)
class Fault:
    """A fault and how much of it is left."""

    #: part of the request's path, empty = every path
    match: str
    kind: Kind
    #: for ``status``: the HTTP status
    status: int
    #: for ``status``: the answer's body
    payload: bytes
    #: for ``status``: the answer's headers; Content-Type is always among them
    headers: Mapping[str, str] = field(default_factory=dict)
    #: for ``delay``: how late the answer is
    seconds: float = 0.0
    #: requests left to meet it, None = no limit
    times: int | None = None
    #: epoch seconds, None = no end
    until: float | None = None


def parse_fault(body: Mapping[str, Any], now: float) -> Fault:
    """Read a fault. Without ``times`` and ``for_seconds`` it happens once.

    :raises ApiError: it cannot be used.
    """
    kind = body.get("kind")
    if kind not in list(Kind):
        raise invalid(f"kind must be one of {', '.join(Kind)}, not {kind!r}.")
    for_seconds = _number(body, "for_seconds", None)
    content = body.get("body", {"error_code": "TEMPORARILY_UNAVAILABLE", "message": "Try again later."})
    is_text = isinstance(content, str)
    return Fault(
        match=str(body.get("match", "")),
        kind=Kind(kind),
        status=_whole(body, "status", 503, range(200, 600)),
        payload=(content if is_text else json.dumps(content)).encode(),
        headers=_headers(body, "text/plain; charset=utf-8" if is_text else "application/json; charset=utf-8"),
        seconds=_number(body, "seconds", 0.0) or 0.0,
        times=_whole(body, "times", 1, range(1, 2**31)) if "times" in body or for_seconds is None else None,
        until=None if for_seconds is None else now + for_seconds,
    )


def _headers(body: Mapping[str, Any], content_type: str) -> Mapping[str, str]:
    given = body.get("headers", {})
    if not isinstance(given, dict) or not all(isinstance(value, str | int) for value in given.values()):
        raise invalid("headers must be an object with texts and numbers.")
    headers = CIMultiDict({"Content-Type": content_type})
    headers.update({name: str(value) for name, value in given.items()})
    return headers


def _whole(body: Mapping[str, Any], name: str, default: int, allowed: range) -> int:
    value = body.get(name, default)
    if isinstance(value, bool) or not isinstance(value, int) or value not in allowed:
        raise invalid(f"{name} must be a whole number from {allowed[0]} to {allowed[-1]}, not {value!r}.")
    return value


def _number(body: Mapping[str, Any], name: str, default: float | None) -> float | None:
    value = body.get(name, default)
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value < float("inf"):
        raise invalid(f"{name} must be a number of seconds, 0 or more, not {value!r}.")
    return float(value)


class Faults:
    """The faults that wait for their requests, oldest first."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._faults: list[Fault] = []

    def add(self, body: Mapping[str, Any]) -> None:
        """Take in a fault as it was posted. :raises ApiError: it cannot be used."""
        self._faults.append(parse_fault(body, self._clock()))

    def clear(self) -> None:
        """Forget all faults."""
        self._faults.clear()

    def take(self, path: str) -> Fault | None:
        """Return the fault that a request to this path meets."""
        now = self._clock()
        self._faults = [f for f in self._faults if f.times != 0 and (f.until is None or now < f.until)]
        fault = next((f for f in self._faults if f.match in path), None)
        if fault and fault.times is not None:
            fault.times -= 1
        return fault
