"""What is believed only once it is heard again in later deliveries of an entry's message.

Each doubt of a submission counts by itself: the waits of an outage are no patience with a refusal.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

#: What is heard again and again within this time may come from one and the same moment.
_LEAST_SECONDS = 120.0


class Doubt(StrEnum):
    """What may be so for a moment only."""

    LAST_RUN = "LAST_RUN"  #: the last run cannot be read, or is missing and cannot be cancelled
    LAST_RUN_GOES_ON = "LAST_RUN_GOES_ON"  #: the last run, which an operator has let go, is active
    JOB = "JOB"  #: the job cannot be read, so the style of its parameters is not known
    NAME = "NAME"  #: the job's name stands for no one job
    REPAIR = "REPAIR"  #: the repair is refused
    REFUSAL = "REFUSAL"  #: the request is refused, perhaps by something other than Databricks
    REQUEST = "REQUEST"  #: the request is refused, and whether the job would take another is not known


@dataclass(frozen=True, kw_only=True)
class Heard:
    """How often something was heard of a submission, this time included."""

    times: int
    #: between the first time and this one
    seconds: float

    def is_believed(self, waits: int) -> bool:
        """Say whether it was heard again after so many waits, two minutes or more after the first time."""
        return self.times > waits and self.seconds >= _LEAST_SECONDS


def read(text: str | None) -> dict[str, tuple[int, datetime]]:
    """Return how often each doubt was heard, and since when; what cannot be read was never heard."""
    try:
        return {
            str(doubt): (int(times), _moment(since))
            for doubt, (times, since) in json.loads(text or "{}").items()
        }
    except (AttributeError, TypeError, ValueError, RecursionError):
        return {}


def _moment(text: str) -> datetime:
    moment = datetime.fromisoformat(text)
    if moment.tzinfo is None:
        raise ValueError(text)  # nothing that the app has written: no other time can be compared with it
    return moment


def write(doubts: Mapping[str, tuple[int, datetime]]) -> str:
    """Return doubts as the database keeps them."""
    return json.dumps({doubt: [times, since.isoformat()] for doubt, (times, since) in doubts.items()})
