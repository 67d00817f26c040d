"""Call one Databricks workspace over HTTP. What to send and what a response means is in :mod:`jobs_api`."""

import asyncio
import logging
from collections import defaultdict
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from typing import Any, TypeVar

import aiohttp
from yarl import URL

from orchestrator.adapters.databricks import jobs_api
from orchestrator.adapters.databricks.auth.token_source import TokenSource, workspace_header
from orchestrator.adapters.databricks.jobs_api import Failure, Remedy, Request, Success
from orchestrator.adapters.databricks.rate import RateGate
from orchestrator.adapters.databricks.responses import Response
from orchestrator.adapters.databricks.run_reader import RunReader
from orchestrator.core import pass_budget
from orchestrator.core.errors import (
    ListIncomplete,
    RunNotFound,
    SettingsError,
    TokenUnavailable,
    WorkspaceUnavailable,
)
from orchestrator.core.models import ActiveRun, Job, RepairRequest, Run, RunFailure, RunRequest
from orchestrator.core.proxy import Proxy
from orchestrator.core.urls import is_loopback
from orchestrator.ports import Clock

_logger = logging.getLogger(__name__)

_T = TypeVar("_T")

#: A workspace runs 2,000 tasks at once (84 pages) and accepts 10,000 runs an hour, which it may queue: 12,000
#: runs in pages of 24. With more than that nothing is claimed, because the slots would be counted wrongly.
_MAX_PAGES = 500

#: Jobs are listed by their name, so that there are hardly ever more than a few.
_MAX_JOB_PAGES = 20

#: After a list that took longer its first pages are read again: runs that have begun since are not in them.
_LONG_LIST_SECONDS = 20.0

_CHUNK_BYTES = 64 * 1024


@dataclass(frozen=True, kw_only=True)
class Limits:
    """The bounds of every operation of the client."""

    #: to open a connection
    connect_seconds: float = 10.0
    #: for a request with its whole response: runs/list takes a second at most, get-output of 5 MB a few
    request_seconds: float = 30.0
    #: for an operation with all its tries, pages and tokens; far below the functions' time-out
    operation_seconds: float = pass_budget.OPERATION_SECONDS
    #: for all waits of one request; a longer one is left to the caller. Half of the operation's time, so that
    #: a refusal after the waits is still reported as what it is
    wait_seconds: float = 45.0
    #: of a request: enough for a dropped connection or a burst of 429; a longer fault is for the next pass
    tries: int = 4
    #: of a response: get-output sends 5 MB at most, everything else far less
    response_bytes: int = 6 * 1024 * 1024


_DEFAULT_LIMITS = Limits()


@dataclass
class _Access:
    """The token that the tries of one request use."""

    token: str = field(repr=False)
    #: whether a fresh one was asked for already
    renewed: bool = False


class DatabricksClient:
    """The runs of one workspace (:class:`orchestrator.ports.Runs`).

    :param host: address of the workspace, with or without ``https://``.
    :param session: returns the shared session, made inside the running loop. It stays the caller's to close.
    :param workspace_id: tells the workspaces behind one host apart; None = the host has one workspace.
    :param proxy: that the calls go through; None = they are made directly.
    :raises SettingsError: the host is not an address, or the token would cross a network unencrypted.
    """

    def __init__(
        self,
        *,
        host: str,
        tokens: TokenSource,
        session: Callable[[], aiohttp.ClientSession],
        clock: Clock,
        workspace_id: int | None = None,
        proxy: Proxy | None = None,
        limits: Limits = _DEFAULT_LIMITS,
    ) -> None:
        self._host = _workspace_url(host)
        self._tokens = tokens
        self._session = session
        self._clock = clock
        self._proxy = proxy
        self._headers = workspace_header(workspace_id)
        self._limits = limits
        #: by the endpoint's name
        self._gates: defaultdict[str, RateGate] = defaultdict(lambda: RateGate(clock))
        self._timeout = aiohttp.ClientTimeout(
            total=limits.request_seconds, sock_connect=limits.connect_seconds
        )

    async def run_now(self, request: RunRequest) -> int:
        """Start a run, or find the one that the same token started, and return its run id."""
        return await self._operation(jobs_api.run_now(request))

    async def repair(self, request: RepairRequest) -> int:
        """Run the failed tasks of a run again and return the repair's id."""
        return await self._operation(jobs_api.repair_run(request))

    async def active_runs(self, *, seconds: float | None = None) -> tuple[ActiveRun, ...]:
        """Return all active runs of the workspace.

        :param seconds: how long it may take; None = as long as other operations.
        :raises ListIncomplete: only some of them could be listed.
        """
        runs: dict[int, ActiveRun] = {}  # a run may move to the next page while pages are read
        began = self._clock.monotonic()
        try:
            async with self._bounded("runs/list", seconds):
                await self._read_pages(runs)
                if self._clock.monotonic() - began > _LONG_LIST_SECONDS:
                    await self._read_pages(runs, only_new=True)
        except WorkspaceUnavailable as error:
            if not runs:
                raise
            text = f"{error} (after {len(runs):,} active runs)"
            raise ListIncomplete(
                text, status=error.status, error_code=error.error_code, runs=tuple(runs.values())
            ) from None
        return tuple(runs.values())

    async def get_run(self, run_id: int, *, with_history: bool = False) -> Run:
        """Return a run, with its newest repair if the history is asked for."""
        return await self._operation(jobs_api.get_run(run_id, with_history=with_history))

    async def failure_of(self, run: Run) -> RunFailure:
        """Return the errors of a run's failed tasks, or the run's own message when they cannot be read."""
        reader = self._reader(run)
        try:
            async with self._bounded("runs/get-output"):
                await reader.read_failure()
        except WorkspaceUnavailable as error:
            _logger.info("run %d: not all error texts could be read: %s", run.run_id, error)
        return reader.failure()

    async def result_of(self, run: Run) -> str | None:
        """Return the exit values of a run's notebooks, or None without one that could be read."""
        reader = self._reader(run)
        try:
            async with self._bounded("runs/get-output"):
                await reader.read_results()
        except WorkspaceUnavailable as error:
            _logger.info("run %d: not all results could be read: %s", run.run_id, error)
        return reader.result()

    async def cancel(self, run_id: int) -> None:
        """Ask for a run's cancellation; harmless on a run that is over or gone."""
        try:
            await self._operation(jobs_api.cancel_run(run_id))
        except RunNotFound:
            _logger.info("run %d is not cancelled: Databricks no longer knows it", run_id)

    async def get_job(self, job_id: int) -> Job:
        """Return a job."""
        return await self._operation(jobs_api.get_job(job_id))

    async def create_job(self, *, name: str, notebook_path: str, max_concurrent_runs: int) -> int:
        """Create a job with one notebook task on serverless or default compute and return its id."""
        request = jobs_api.create_job(
            name=name, notebook_path=notebook_path, max_concurrent_runs=max_concurrent_runs
        )
        return await self._operation(request)

    async def find_jobs(self, name: str) -> list[int]:
        """Return the ids of the jobs with exactly this name. Once there are two, no more are looked for.

        :raises WorkspaceUnavailable: there is no usable answer, or the list has no end.
        """
        found: set[int] = set()
        page_token: str | None = None
        async with self._bounded("jobs/list"):
            for _ in range(_MAX_JOB_PAGES):
                page = await self._send(jobs_api.find_jobs(name, page_token))
                found.update(page.job_ids)
                page_token = page.next_page_token
                if page_token is None or len(found) > 1:
                    return sorted(found)
        raise WorkspaceUnavailable(f"Databricks jobs/list: more than {_MAX_JOB_PAGES} pages of one name")

    async def _read_pages(self, runs: dict[int, ActiveRun], *, only_new: bool = False) -> None:
        """Read the pages of active runs into ``runs``.

        :param only_new: stop at a page without a new run; the newest runs come first.
        """
        page_token: str | None = None
        asked: set[str] = set()
        for _ in range(_MAX_PAGES):
            page = await self._send(jobs_api.list_active_runs(page_token))
            has_new = any(run.run_id not in runs for run in page.runs)
            runs |= {run.run_id: run for run in page.runs}
            page_token = page.next_page_token
            if page_token is None or (only_new and not has_new):
                return
            if page_token in asked:
                raise WorkspaceUnavailable("Databricks runs/list: the same page token came twice")
            asked.add(page_token)
        raise WorkspaceUnavailable(f"Databricks runs/list: more than {_MAX_PAGES} pages of active runs")

    def _reader(self, run: Run) -> RunReader:
        return RunReader(run, self._send, page_seconds=self._limits.operation_seconds / 3)

    async def _operation(self, request: Request[_T]) -> _T:
        async with self._bounded(request.name):
            return await self._send(request)

    @asynccontextmanager
    async def _bounded(self, name: str, seconds: float | None = None) -> AsyncIterator[None]:
        seconds = self._limits.operation_seconds if seconds is None else seconds
        try:
            async with asyncio.timeout(seconds):
                yield
        except TimeoutError:
            text = f"Databricks {name}: not done within {seconds:g} s, with all tries and waits"
            raise WorkspaceUnavailable(text) from None

    async def _send(self, request: Request[_T]) -> _T:
        """Send a request, repeat it where that may help, and return its result."""
        if self._proxy is not None:
            request = replace(request, hidden=(*request.hidden, *self._proxy.secrets()))
        access = _Access(await self._tokens.token())
        gate = self._gates[request.name]
        latest = self._clock.monotonic() + self._limits.wait_seconds
        in_doubt = False
        for tries in range(1, self._limits.tries + 1):
            await self._pass(gate, request, latest, in_doubt=in_doubt)
            closed = gate.closed
            try:
                result = await self._try(request, access, in_doubt=in_doubt)
            except TokenUnavailable as error:
                error.in_doubt = in_doubt
                raise
            if isinstance(result, Success):
                gate.accepted()
                return result.value
            failure = result
            if failure.remedy is Remedy.WAIT:
                gate.close(failure.error, retry_after=failure.retry_after, closed=closed)
                failure = replace(failure, retry_after=max(failure.retry_after or 0.0, gate.left()))
            if tries == self._limits.tries or not jobs_api.may_repeat(request, failure):
                break
            seconds = self._pause(gate, failure, tries)
            if self._clock.monotonic() + seconds > latest:
                break
            in_doubt = in_doubt or failure.remedy is Remedy.REPLAY
            _logger.warning("%s; try %d follows in %.1f s", failure.error, tries + 1, seconds)
            await self._clock.sleep(seconds)
        raise jobs_api.final_error(failure, in_doubt=in_doubt)

    def _pause(self, gate: RateGate, failure: Failure, tries: int) -> float:
        if failure.remedy is Remedy.WAIT:
            return gate.pause()
        return jobs_api.pause(failure, tries=tries, jitter=self._clock.jitter())

    async def _pass(self, gate: RateGate, request: Request[Any], latest: float, *, in_doubt: bool) -> None:
        """Wait until the endpoint may be called again.

        :param latest: when the request must have been sent, on the clock.
        :raises WorkspaceUnavailable: that is too late; nothing more was sent.
        """
        while (seconds := gate.turn()) > 0:
            if self._clock.monotonic() + seconds > latest:
                raise jobs_api.held_back(request, gate.refusal, seconds=gate.left(), in_doubt=in_doubt)
            await self._clock.sleep(seconds)

    async def _try(self, request: Request[_T], access: _Access, *, in_doubt: bool) -> Success[_T] | Failure:
        """Send a request, and once more immediately when a fresh token may help."""
        result = await self._exchange(request, access.token, in_doubt=in_doubt)
        if isinstance(result, Success) or result.remedy is not Remedy.RENEW or access.renewed:
            return result
        access.renewed = True
        fresh = await self._tokens.refresh(access.token)
        if fresh == access.token:
            return result
        access.token = fresh
        return await self._exchange(request, access.token, in_doubt=in_doubt)

    async def _exchange(self, request: Request[_T], token: str, *, in_doubt: bool) -> Success[_T] | Failure:
        """Send a request once and interpret its response."""
        try:
            async with self._session().request(
                request.method,
                self._host.with_path(request.path),
                params=request.query,
                json=request.json,
                headers={**self._headers, "Authorization": f"Bearer {token}"},
                proxy=self._proxy.url if self._proxy else None,
                timeout=self._timeout,
                allow_redirects=False,  # the token is for this host only
                raise_for_status=False,
            ) as received:
                body = await self._read(received)
                response = Response(status=received.status, headers=received.headers, body=body)
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            # Returned as a value, so that no error chain keeps the request with its headers.
            return jobs_api.no_response(request, self._reason(error), secrets=self._secrets(token))
        if len(body) > self._limits.response_bytes:
            return jobs_api.too_long(request, self._limits.response_bytes)
        return jobs_api.interpret(request, response, secrets=self._secrets(token), in_doubt=in_doubt)

    def _secrets(self, token: str) -> tuple[str, ...]:
        return (token, *self._tokens.secrets())

    async def _read(self, response: aiohttp.ClientResponse) -> bytes:
        """Read the body, up to one chunk more than the limit."""
        body = bytearray()
        async for chunk in response.content.iter_chunked(_CHUNK_BYTES):
            body += chunk
            if len(body) > self._limits.response_bytes:
                break
        return bytes(body)

    def _reason(self, error: Exception) -> str:
        """Say why there is no response. A proxy is named, because it may be the cause."""
        reason = f"{type(error).__name__}: {error}" if str(error) else type(error).__name__
        return f"{reason}; the call goes through {self._proxy}" if self._proxy else reason


def _workspace_url(host: str) -> URL:
    """Return the origin of a workspace's address.

    :raises SettingsError: it is not an address, or it is plain ``http`` and not on this machine.
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
