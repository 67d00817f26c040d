"""Notifications of runs that are over, as a job's notification destination of the kind Webhook gets them."""

import asyncio
import sys
from typing import Any

import aiohttp

from devstack.databricks.results import SUCCESSES
from devstack.databricks.runs import Run

#: Events that wait to be sent; what is over it is lost, as it may be in Databricks.
MAX_WAITING = 1000

#: For one notification, in seconds.
TIMEOUT_SECONDS = 10.0


class Notifier:
    """Sends an event for each run that is over, in their order, once.

    :param url: gets the events; a user name and password in it are sent as basic authentication.
    :param workspace_id: named by the events, None = 1.
    """

    def __init__(self, url: str, *, workspace_id: int | None = None) -> None:
        self._url = url
        self._workspace_id = 1 if workspace_id is None else workspace_id
        self._waiting: asyncio.Queue[dict[str, Any]] = asyncio.Queue(MAX_WAITING)

    def run_over(self, run: Run) -> None:
        """Let an event be sent soon."""
        if not self._waiting.full():
            self._waiting.put_nowait(_event(run, self._workspace_id))

    async def send(self) -> None:
        """Send what waits, until cancelled."""
        async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=TIMEOUT_SECONDS)) as session:
            while True:
                await self._post(session, await self._waiting.get())

    async def _post(self, session: aiohttp.ClientSession, event: dict[str, Any]) -> None:
        try:
            async with session.post(self._url, json=event) as response:
                outcome = f"HTTP {response.status}"
        except (aiohttp.ClientError, TimeoutError) as error:
            outcome = type(error).__name__
        print(f"webhook: run {event['run']['run_id']}: {outcome}", file=sys.stderr, flush=True)


def _event(run: Run, workspace_id: int) -> dict[str, Any]:
    succeeded = run.end is not None and run.end.result_state in SUCCESSES
    return {
        "event_type": "jobs.on_success" if succeeded else "jobs.on_failure",
        "workspace_id": workspace_id,
        "run": {"run_id": run.run_id},
        "job": {"job_id": run.job.job_id, "name": run.job.name},
    }
