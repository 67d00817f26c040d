"""Faults that tests ask for: which request meets which, how often and for how long."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

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
    #: for ``status``: an object is sent as JSON, a text as it is
    body: dict[str, Any] | str
    #: for ``status``: extra response headers
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
    try:
        for_seconds = body.get("for_seconds")
        once = None if for_seconds is not None else 1
        return Fault(
            match=str(body.get("match", "")),
            kind=Kind(body["kind"]),
            status=int(body.get("status", 503)),
            body=body.get("body", {"error_code": "TEMPORARILY_UNAVAILABLE", "message": "Try again later."}),
            headers={str(name): str(value) for name, value in body.get("headers", {}).items()},
            seconds=float(body.get("seconds", 0)),
            times=int(body["times"]) if "times" in body else once,
            until=None if for_seconds is None else now + float(for_seconds),
        )
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        kinds = ", ".join(Kind)
        raise invalid(f"A fault needs a kind ({kinds}) and numbers where numbers go: {error!r}") from error


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
