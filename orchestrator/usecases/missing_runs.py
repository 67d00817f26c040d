"""Judge the runs that a pass has missed: each is gone, or it is followed until that is certain enough."""

import asyncio
from collections.abc import Sequence

from orchestrator.core import missing
from orchestrator.core.errors import OrchestratorError, RunNotFound
from orchestrator.core.models import Entry
from orchestrator.usecases.settle import Settle, View
from orchestrator.usecases.tasks import gather_all

#: Entries judged at the same time; each needs a statement or two, and rarely a call.
_CONCURRENCY = 10


async def judge_missing(
    settle: Settle, found: Sequence[tuple[Entry, RunNotFound]], view: View, *, others_are_read: bool
) -> list[tuple[Entry, OrchestratorError]]:
    """Finish the entries whose runs are gone, and note what is wrong with the others; return the failures.

    The error of a statement is among them, too.

    :param found: RUNNING entries of one workspace whose run does not exist, as Databricks says.
    :param view: with the list of active runs; without a list no run is gone.
    :param others_are_read: whether other runs of the workspace could be read.
    """
    together = missing.vanished_together((entry for entry, _ in found), view.began)
    limit = asyncio.Semaphore(_CONCURRENCY)
    failures: list[tuple[Entry, OrchestratorError]] = []

    async def judge(entry: Entry, error: RunNotFound) -> None:
        judgement = missing.judge(
            entry, error, view.began, missed=len(found), together=together, others_are_read=others_are_read
        )
        async with limit:
            try:
                if view.active is not None and entry.runid in view.active:
                    await settle(entry, view)  # it was looked up before the list was there
                elif view.active is not None and judgement.is_gone:
                    await settle.finish_missing(entry, error)
                else:
                    await settle.note_missing(entry, judgement, view.began)
            except OrchestratorError as failure:
                failures.append((entry, failure))

    await gather_all(judge(*each) for each in found)
    return failures
