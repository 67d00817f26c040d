"""Choose the listed runs that a pass looks up all the same, because a list may be out of date. Pure.

A gateway's cache, for example, could show a run for ever that is over. So a pass looks up a small sample of
the old runs, and another one than the pass before. While these looks find runs that are over, the pass makes
further rounds, each twice as large, until a round finds the list right.
"""

import math
from collections.abc import Iterable
from datetime import datetime, timedelta
from itertools import count

from orchestrator.core.models import Entry

#: A younger run is hardly ever over and still listed.
_OLD_AFTER = timedelta(minutes=15)

#: The sample: one in so many, and no more than a few. With passes each half minute, each run is looked up
#: within 23 passes (12 minutes) if up to 160 are old, within 127 (64 minutes) if 1,000 are, and within 251
#: (2 hours) if 2,000 are. While the number of old runs changes, these times hold on average only: the turns
#: are numbered anew with each change.
_ONE_IN = 20
_MOST = 8

#: After so long another sample has its turn: the time between two passes on the usual schedules.
_TURN_SECONDS = 30.0

#: The product of the primes that periods of schedules are made of, up to a week.
_PRIMES_OF_SCHEDULES = 2 * 3 * 5 * 7


def in_turn(entries: Iterable[Entry], began: datetime) -> list[int]:
    """Return the ids of the entries whose run is old, first those whose turn it is.

    :param began: when the pass began. Whose turn it is follows from this time alone, so that no instance has
        to remember what another one has looked up.
    """
    ids = sorted(entry.id for entry in entries if _is_old(entry, began))
    turn = math.floor(began.timestamp() / _TURN_SECONDS + 0.5)  # passes begin at whole half minutes
    turns = _turns(len(ids))
    first = turn % turns * len(ids) // turns
    return ids[first:] + ids[:first]


def sample_size(old_runs: int) -> int:
    """Return how many old runs a pass looks up in any case."""
    return min(_MOST, math.ceil(old_runs / _ONE_IN))


def _is_old(entry: Entry, now: datetime) -> bool:
    return entry.submitted_at is not None and now - entry.submitted_at >= _OLD_AFTER


def _turns(old_runs: int) -> int:
    """Return in how many turns all runs are looked up.

    The number has no factor in common with the period of a schedule. Otherwise passes each five minutes, for
    example, would meet one turn of ten again and again.
    """
    least = max(_ONE_IN, math.ceil(old_runs / _MOST))
    return next(turns for turns in count(least) if math.gcd(turns, _PRIMES_OF_SCHEDULES) == 1)
