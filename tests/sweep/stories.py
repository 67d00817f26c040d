"""Short stories of a few entries each, and how every entry must end whatever breaks.

A trial replays a whole story to break one boundary, so short stories cost a fraction of one long one.
Together they meet every kind of boundary. Each has several entries, because one may disturb another.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

#: Duration of a simulated run, and the time between two passes.
RUN_SECONDS = 30.0
PASS_SECONDS = 60.0

MAX_ATTEMPTS = 2

#: Instead of a status: somebody deletes the entry by SQL, and the app must cancel its run.
DELETED = "DELETED"

#: Long enough for somebody to come in between.
_A_DAY = 86_400.0


@dataclass(frozen=True, kw_only=True)
class Planned:
    """An entry, what happens to its runs, and how it must end."""

    #: in which nothing else runs; some names tell people what to do (:mod:`tests.sweep.scenario`)
    table: str
    #: columns that it has besides its table
    columns: Mapping[str, Any] = field(default_factory=dict)
    #: of its first run, of the second, …; the last one repeats
    results: Sequence[str] = ("SUCCESS",)
    #: of each run, in seconds; None = the usual time
    run_seconds: float | None = None
    #: the status that it must end in, or :data:`DELETED`
    status: str = "DONE"
    #: the attempts that it must have begun
    attempts: int = 1
    #: the runs that Databricks must have started for it
    runs: int = 1
    #: the repairs of these runs, whoever asked for them
    repairs: int = 0


@dataclass(frozen=True, kw_only=True)
class Story:
    """Entries that are brought to their end together."""

    name: str
    entries: Sequence[Planned]
    #: the most runs at once
    cap: int
    #: whether others act as well (:mod:`tests.sweep.others`)
    has_others: bool = False


_ATTEMPTS = Story(
    name="attempts",
    cap=3,  # the entry that comes fourth waits for a slot
    entries=(
        Planned(table="good"),
        Planned(table="flaky", results=("FAILED", "SUCCESS"), attempts=2, runs=2),
        Planned(table="hopeless", results=("FAILED",), status="DEAD", attempts=MAX_ATTEMPTS, runs=2),
        Planned(table="twin"),
        Planned(table="twin"),  # a table is never in flight twice
    ),
)

_NO_RUN = Story(
    name="no run",
    cap=8,
    entries=(
        Planned(table="not json", columns={"parameters": "{"}, status="DEAD", runs=0),
        Planned(table="no such job", columns={"job_id": 999}, status="DEAD", runs=0),
        Planned(table="never wanted", columns={"cancel_requested": 1}, status="CANCELED", attempts=0, runs=0),
        Planned(table="good"),
    ),
)

_REPAIRS = Story(
    name="repairs",
    cap=8,
    entries=(
        Planned(
            table="mended",
            columns={"retry_mode": "repair"},
            results=("FAILED", "SUCCESS"),
            attempts=2,
            repairs=1,
        ),
        Planned(
            table="repaired",
            columns={"max_attempts": 1},
            results=("FAILED", "SUCCESS"),
            # Long enough for a pass to see the repaired run active.
            run_seconds=1.5 * PASS_SECONDS,
            repairs=1,
        ),
    ),
)

_PEOPLE = Story(
    name="people",
    cap=8,
    entries=(
        Planned(table="unwanted", run_seconds=_A_DAY, status="CANCELED"),
        Planned(table="resolved", run_seconds=_A_DAY),
        # Long enough for an operator to find it running.
        Planned(table="restarted", run_seconds=1.5 * PASS_SECONDS, runs=2),
    ),
)

_OTHERS = Story(
    name="others",
    cap=8,
    has_others=True,
    entries=(
        Planned(
            table="changed",
            columns={"max_attempts": 1},
            results=("FAILED", "SUCCESS"),
            attempts=0,  # somebody has said so
            runs=2,  # an operator retries it
        ),
        Planned(table="deleted", run_seconds=_A_DAY, status=DELETED),
    ),
)

STORIES = (_ATTEMPTS, _NO_RUN, _REPAIRS, _PEOPLE, _OTHERS)
