"""Rate limits: what a workspace that takes ten requests a second gets of them, and how many it refuses.

The app's own clients in simulated time: each instance has one, with ten submissions at once. The workspace
takes ten calls of ``run-now`` a second, a second's worth of them at once, and answers others with 429 and
``Retry-After: 1`` (``benchmarks/simulated/databricks.py``).
"""

import asyncio
import logging
from collections.abc import Iterator
from dataclasses import dataclass

from benchmarks.simulated import clock
from benchmarks.simulated.counts import Counts
from benchmarks.simulated.databricks import Workspace
from benchmarks.tables import Table
from orchestrator.adapters.databricks.client import DatabricksClient
from orchestrator.core.errors import WorkspaceUnavailable
from orchestrator.core.models import RunRequest

#: Calls a second that the workspace takes, and what an answer takes.
RATE, ANSWER_SECONDS = 10, 0.15

#: Submissions at once in an instance (host.json).
AT_ONCE = 10

#: Instances, and submissions of all of them.
SIZES = ((1, 1000), (1, 3000), (3, 1000), (3, 3000))
FULL_SIZES = (*SIZES, (1, 10_000), (3, 10_000))


@dataclass(frozen=True, kw_only=True)
class Measured:
    """How the submissions of some instances went."""

    accepted: int
    refused: int
    #: of the second half of the submissions, when the rate is learnt
    accepted_late: int
    refused_late: int
    #: submissions that were left to a later delivery of their message
    postponed: int
    seconds: float


def tables(*, full: bool) -> Iterator[Table]:
    """Yield the table."""
    logging.disable(logging.WARNING)
    yield compare(FULL_SIZES if full else SIZES)


def compare(sizes: tuple[tuple[int, int], ...]) -> Table:
    """Submit for each of the sizes against a workspace of its own."""
    return Table(
        title=f"A workspace that takes {RATE} calls of run-now a second, ten submissions at once an instance",
        columns=[
            *("instances", "submissions", "seconds", "accepted a second", "of the limit"),
            *("refused", "refused, second half", "postponed"),
        ],
        rows=[_row(*size, clock.run(_submit(*size))) for size in sizes],
        notes=["simulated time; postponed: refused four times in a row, and left to the next message"],
    )


def _row(instances: int, submissions: int, found: Measured) -> list[str]:
    a_second = found.accepted / found.seconds
    return [
        f"{instances}",
        f"{submissions:,}",
        f"{found.seconds:.0f}",
        f"{a_second:.2f}",
        f"{a_second / RATE:.0%}",
        _share(found.refused, found.accepted),
        _share(found.refused_late, found.accepted_late),
        f"{found.postponed}",
    ]


def _share(refused: int, accepted: int) -> str:
    return f"{refused} ({refused / (refused + accepted):.1%})"


async def _submit(instances: int, submissions: int) -> Measured:
    counts = Counts()
    workspace = Workspace(
        counts, answer_seconds=ANSWER_SECONDS, run_seconds=lambda: float("inf"), rates={"run-now": RATE}
    )
    left, postponed = iter(range(submissions)), 0
    half = Counts()

    async def take(client: DatabricksClient) -> None:
        nonlocal postponed, half
        for number in left:
            if number == submissions // 2:
                half = Counts(of=counts.of.copy())
            try:
                await client.run_now(_request(number))
            except WorkspaceUnavailable:
                postponed += 1

    began = asyncio.get_running_loop().time()
    clients = [workspace.client() for _ in range(instances)]
    await asyncio.gather(*(take(client) for client in clients for _ in range(AT_ONCE)))
    late = counts.since(half.of)
    return Measured(
        accepted=_accepted(counts),
        refused=counts.total("refused run-now"),
        accepted_late=_accepted(late),
        refused_late=late.total("refused run-now"),
        postponed=postponed,
        seconds=asyncio.get_running_loop().time() - began,
    )


def _accepted(counts: Counts) -> int:
    return counts.total("calls run-now") - counts.total("refused run-now")


def _request(number: int) -> RunRequest:
    return RunRequest(
        job_id=5, idempotency_token=f"{number}", parameter_style="job_parameters", parameters={}
    )
