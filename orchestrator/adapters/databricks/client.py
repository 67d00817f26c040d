"""Talks to one Databricks workspace. What to send and what an answer means is in ``protocol``."""

import asyncio
import logging
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import TypeVar

import aiohttp
from yarl import URL

from orchestrator.adapters.databricks import jobs_api, responses
from orchestrator.adapters.databricks.auth import TokenSource
from orchestrator.adapters.databricks.errors import Answer
from orchestrator.adapters.databricks.jobs_api import Call, Failure, Remedy, Success
from orchestrator.core.errors import (
    DatabricksError,
    RunNotFound,
    SettingsError,
    TokenUnavailable,
    WorkspaceUnavailable,
)
from orchestrator.core.models import Job, Run, RunFailure, RunRequest
from orchestrator.core.urls import is_loopback
from orchestrator.ports import Clock

logger = logging.getLogger(__name__)

T = TypeVar("T")

#: A workspace runs 2,000 tasks at once (84 pages) and takes 10,000 runs an hour, which may be queued: 12,000
#: runs in pages of 24. With more than that nothing is claimed, rather than counted wrongly.
MAX_PAGES = 500

_CHUNK_BYTES = 64 * 1024


@dataclass(frozen=True, kw_only=True)
class Limits:
    """The bounds of every call."""

    #: a connection that takes longer is not coming
    connect_seconds: float = 10.0
    #: one request with its whole answer; runs/list takes a second at most, get-output of 5 MB a few
    request_seconds: float = 30.0
    #: one operation with all its tries, pages and tokens; far below the functions' time-out
    operation_seconds: float = 90.0
    #: rides out a dropped connection or a burst of 429; what lasts longer is for the next pass
    tries: int = 4
    #: get-output sends 5 MB at most, everything else far less
    answer_bytes: int = 6 * 1024 * 1024


DEFAULT_LIMITS = Limits()


@dataclass
class _Access:
    """The token that one call goes on with."""

    token: str = field(repr=False)
    #: a fresh one was asked for already
    renewed: bool = False


class DatabricksClient:
    """The runs of one workspace (:class:`orchestrator.ports.Runs`).

    :param host: address of the workspace, with or without ``https://``.
    :param session: gives the shared session, made inside the running loop. It stays the caller's to close.
    :raises SettingsError: the host is no address, or would send the token in clear over a network.
    """

    def __init__(
        self,
        *,
        host: str,
        tokens: TokenSource,
        session: Callable[[], aiohttp.ClientSession],
        clock: Clock,
        limits: Limits = DEFAULT_LIMITS,
    ) -> None:
        self._host = workspace_url(host)
        self._tokens = tokens
        self._session = session
        self._clock = clock
        self._limits = limits
        self._timeout = aiohttp.ClientTimeout(
            total=limits.request_seconds, sock_connect=limits.connect_seconds
        )

    async def run_now(self, request: RunRequest) -> int:
        """Start a run, or find the one that the same token started, and return its run id."""
        return await self._operation(jobs_api.run_now(request))

    async def active_run_ids(self) -> frozenset[int]:
        """Return the ids of all active runs of the workspace."""
        async with self._bounded("runs/list"):
            return await self._all_pages()

    async def get_run(self, run_id: int) -> Run:
        """Return a run."""
        return await self._operation(jobs_api.get_run(run_id))

    async def failure_of(self, run: Run) -> RunFailure:
        """Return the errors of a run's failed tasks, or the run's own message where they cannot be had."""
        outputs: dict[str, RunFailure] = {}
        try:
            async with self._bounded("runs/get-output"):
                for task in responses.failed_tasks(run):
                    outputs[task.task_key] = await self._output(task.run_id)
        except WorkspaceUnavailable as error:
            logger.info("run %d: not all error texts could be read: %s", run.run_id, error)
        return responses.combine(run, outputs)

    async def cancel(self, run_id: int) -> None:
        """Ask for a run's cancellation; harmless on a run that is over or gone."""
        try:
            await self._operation(jobs_api.cancel_run(run_id))
        except RunNotFound:
            logger.info("run %d is not cancelled: Databricks no longer knows it", run_id)

    async def get_job(self, job_id: int) -> Job:
        """Return a job."""
        return await self._operation(jobs_api.get_job(job_id))

    async def create_job(self, *, name: str, notebook_path: str, max_concurrent_runs: int) -> int:
        """Create a job with one notebook task on serverless or default compute and return its id."""
        call = jobs_api.create_job(
            name=name, notebook_path=notebook_path, max_concurrent_runs=max_concurrent_runs
        )
        return await self._operation(call)

    async def _all_pages(self) -> frozenset[int]:
        run_ids: set[int] = set()
        page_token: str | None = None
        asked: set[str] = set()
        for _ in range(MAX_PAGES):
            page = await self._call(jobs_api.list_active_runs(page_token))
            run_ids |= page.run_ids
            page_token = page.next_page_token
            if page_token is None:
                return frozenset(run_ids)
            if page_token in asked:
                raise WorkspaceUnavailable("Databricks runs/list: the same page token came twice")
            asked.add(page_token)
        raise WorkspaceUnavailable(f"Databricks runs/list: more than {MAX_PAGES} pages of active runs")

    async def _output(self, task_run_id: int) -> RunFailure:
        """The error of one task run; an empty one where Databricks has none to give."""
        try:
            return await self._call(jobs_api.get_output(task_run_id))
        except DatabricksError as error:
            logger.info("the error of task run %d could not be read: %s", task_run_id, error)
            return RunFailure()

    async def _operation(self, call: Call[T]) -> T:
        async with self._bounded(call.name):
            return await self._call(call)

    @asynccontextmanager
    async def _bounded(self, name: str) -> AsyncIterator[None]:
        seconds = self._limits.operation_seconds
        try:
            async with asyncio.timeout(seconds):
                yield
        except TimeoutError:
            text = f"Databricks {name}: not done within {seconds:g} s, tries and waits included"
            raise WorkspaceUnavailable(text) from None

    async def _call(self, call: Call[T]) -> T:
        """Send a call, again where that may help, and return its result."""
        access = _Access(await self._tokens.token())
        in_doubt = False
        for attempt in range(1, self._limits.tries + 1):
            try:
                outcome = await self._attempt(call, access)
            except TokenUnavailable as error:
                error.in_doubt = in_doubt
                raise
            if isinstance(outcome, Success):
                return outcome.value
            failure = outcome
            if attempt == self._limits.tries or not jobs_api.may_repeat(call, failure):
                break
            in_doubt = in_doubt or failure.remedy is Remedy.REPLAY
            seconds = jobs_api.pause(failure, attempt=attempt, jitter=self._clock.jitter())
            logger.warning("%s; try %d comes in %.1f s", failure.error, attempt + 1, seconds)
            await self._clock.sleep(seconds)
        raise jobs_api.settle(call, failure, in_doubt=in_doubt)

    async def _attempt(self, call: Call[T], access: _Access) -> Success[T] | Failure:
        """Send a call, and once more at once when a fresh token may help."""
        outcome = await self._exchange(call, access.token)
        if isinstance(outcome, Success) or outcome.remedy is not Remedy.RENEW or access.renewed:
            return outcome
        access.renewed = True
        fresh = await self._tokens.refresh(access.token)
        if fresh == access.token:
            return outcome
        access.token = fresh
        return await self._exchange(call, access.token)

    async def _exchange(self, call: Call[T], token: str) -> Success[T] | Failure:
        request = call.request
        try:
            async with self._session().request(
                request.method,
                self._host.with_path(request.path),
                params=request.query,
                json=request.json,
                headers={"Authorization": f"Bearer {token}"},
                timeout=self._timeout,
                allow_redirects=False,  # the token is for this host only
                raise_for_status=False,
            ) as response:
                body = await self._read(response)
                answer = Answer(status=response.status, headers=response.headers, body=body)
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            # Told as a value, so that no error chain keeps the request with its headers.
            return jobs_api.no_answer(call, _reason(error), token=token)
        if len(body) > self._limits.answer_bytes:
            return jobs_api.too_long(call, self._limits.answer_bytes)
        return jobs_api.interpret(call, answer, token=token)

    async def _read(self, response: aiohttp.ClientResponse) -> bytes:
        """Read the body, at most one chunk over the limit."""
        body = bytearray()
        async for chunk in response.content.iter_chunked(_CHUNK_BYTES):
            body += chunk
            if len(body) > self._limits.answer_bytes:
                break
        return bytes(body)


def workspace_url(host: str) -> URL:
    """Return the origin of a workspace's address.

    :raises SettingsError: it is no address, or it is plain ``http`` and not on this machine.
    """
    try:
        url = URL(host if "://" in host else f"https://{host}")
        origin = url.origin()
    except ValueError:
        raise SettingsError(
            ["the Databricks host is not an address such as adb-1.2.azuredatabricks.net"]
        ) from None
    if origin.scheme != "https" and not (origin.scheme == "http" and is_loopback(origin.host or "")):
        raise SettingsError(["the Databricks host must begin with https:// (http:// only on this machine)"])
    return origin


def _reason(error: Exception) -> str:
    return f"{type(error).__name__}: {error}" if str(error) else type(error).__name__
