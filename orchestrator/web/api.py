"""What each route of the API does: request → use case → response."""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import replace
from functools import cached_property
from http import HTTPStatus

from orchestrator.bootstrap import Application
from orchestrator.core.errors import OrchestratorError, StoreError, StoreInDoubt
from orchestrator.core.models import Expected
from orchestrator.core.reports import Reason, Waiting, WorkspaceReport
from orchestrator.core.states import CANCELLABLE, RETRIED_BY_DEFAULT, RETRYABLE, Status
from orchestrator.usecases.timer_pass import TIMER_FUNCTIONS
from orchestrator.web import dashboard, health, openapi, query, rendering, schemas
from orchestrator.web.activity import NO_SUCH_WORKSPACE, Active, ActiveRuns
from orchestrator.web.http import Request, Response, conflict, json_response
from orchestrator.web.links import RunPages
from orchestrator.web.validation import read_json, read_query

logger = logging.getLogger(__name__)

#: A pass takes a second or two; a caller of ``/trigger`` waits no longer than this, the pass goes on.
PASS_SECONDS = 20.0

#: Changes entries that are as expected, and returns which.
_Change = Callable[[Sequence[int], Expected], Awaitable[list[int]]]


class Api:
    """Handles the routes' requests. Raises :class:`Problem` and what the application raises.

    :param application: gives the application when a request first needs it.
    """

    def __init__(self, application: Callable[[], Application]) -> None:
        self._application = application
        self._pass: asyncio.Task[list[str]] | None = None

    @cached_property
    def _app(self) -> Application:
        return self._application()

    @cached_property
    def _active(self) -> ActiveRuns:
        return ActiveRuns(self._app.web_runs, self._app.clock)

    @cached_property
    def _caps(self) -> dict[str, int]:
        return {workspace.name: workspace.cap for workspace in self._app.settings.workspaces}

    @cached_property
    def _pages(self) -> RunPages:
        return RunPages(self._app.settings.workspaces)

    async def status(self, request: Request) -> Response:
        """Return the state of the workspaces and of the timer functions."""
        read_query(request.query, schemas.NoQuery)
        reports = {report.name: report for report in await self._app.reports.status()}
        for name in self._caps:
            reports.setdefault(name, WorkspaceReport(name=name))
        active = await self._active.of(reports)
        now = await self._app.web_store.now()
        last = {last_pass.name: last_pass for last_pass in await self._app.web_pass_log.passes()}
        limit = self._app.settings.pass_late_seconds
        return json_response(
            schemas.StatusReport(
                workspaces=[
                    self._workspace(report, active.get(name, NO_SUCH_WORKSPACE))
                    for name, report in sorted(reports.items())
                ],
                passes=[
                    rendering.last_pass(name, last.get(name), late=health.is_late(last.get(name), now, limit))
                    for name in TIMER_FUNCTIONS
                ],
                now=rendering.iso(now),
            )
        )

    async def health(self, request: Request) -> Response:
        """Return whether the app does its work, and if not, why."""
        read_query(request.query, schemas.NoQuery)
        try:
            reasons = await health.reasons(self._app, self._active)
        except OrchestratorError as error:
            reasons = [str(error)]
        if reasons:
            return json_response(
                schemas.Unhealthy(status="unhealthy", reasons=reasons), HTTPStatus.SERVICE_UNAVAILABLE
            )
        return json_response(schemas.Healthy(status="ok"))

    async def entries(self, request: Request) -> Response:
        """Return a page of entries."""
        asked = read_query(request.query, schemas.EntriesQuery)
        page = await self._app.reports.entries(
            query.entry_filter(asked), sort=asked.sort, limit=asked.limit, after=asked.after or None
        )
        found = [
            rendering.entry(row, self._pages.of(row), parameters=asked.parameters) for row in page.entries
        ]
        return json_response(schemas.EntryPage(entries=found, next=page.next))

    async def entry(self, request: Request) -> Response:
        """Return one entry with all its runs."""
        asked = read_query(request.query, schemas.EntryQuery)
        story = await self._app.reports.story(query.entry_id(request))
        if story is None:
            raise query.no_entry(request)
        page = self._pages.of(story.entry)
        return json_response(rendering.entry_with_runs(story, page, parameters=asked.parameters))

    async def add(self, request: Request) -> Response:
        """Insert entries, all or none."""
        read_query(request.query, schemas.NoQuery)
        refusal = self._app.settings.store.inserts_refused
        if refusal is not None:
            raise conflict(refusal)
        new = query.new_entries(request, self._caps)
        ids = await self._app.operations.add(new, query.idempotency(request))
        return json_response(schemas.Inserted(ids=ids), HTTPStatus.CREATED)

    async def retry(self, request: Request) -> Response:
        """Run one entry again."""
        refusal = "run again: it is waiting or in flight"
        return await self._change(request, self._app.operations.retry, refusal)

    async def cancel(self, request: Request) -> Response:
        """Cancel one entry."""
        return await self._change(request, self._app.operations.cancel, "cancelled: it is over")

    async def retry_many(self, request: Request) -> Response:
        """Run the entries of a filter again."""
        return await self._change_many(request, self._app.operations.retry, RETRIED_BY_DEFAULT, RETRYABLE)

    async def cancel_many(self, request: Request) -> Response:
        """Cancel the entries of a filter."""
        return await self._change_many(request, self._app.operations.cancel, CANCELLABLE, CANCELLABLE)

    async def trigger(self, request: Request) -> Response:
        """Start a pass now, one at a time on this instance."""
        read_query(request.query, schemas.NoQuery)
        if self._pass is not None and not self._pass.done():
            raise conflict("a pass is under way already")
        self._pass = asyncio.create_task(self._trigger())
        done, _ = await asyncio.wait({self._pass}, timeout=PASS_SECONDS)
        problems = self._pass.result() if done else [f"not done in {PASS_SECONDS:.0f} s; it goes on"]
        return json_response(schemas.PassStarted(problems=problems), HTTPStatus.ACCEPTED)

    async def waiting(self, request: Request) -> Response:
        """Return what waits, and why."""
        asked = read_query(request.query, schemas.WaitingQuery)
        wanted = asked.workspace or None
        reports = [each for each in await self._app.reports.status() if wanted in {None, each.name}]
        active = await self._active.of(report.name for report in reports)
        found: list[Waiting] = []
        share = max(1, asked.limit // max(1, len(reports)))  # so that no workspace hides another
        for report in reports[: asked.limit]:
            found += await self._waiting(report, share, active)
        rows = [rendering.waiting_entry(row, self._pages.of(row.entry)) for row in found]
        return json_response(schemas.Waiting(waiting=rows))

    async def history(self, request: Request) -> Response:
        """Return what ended, by the hour or by the day."""
        asked = read_query(request.query, schemas.HistoryQuery)
        return json_response(rendering.history(await self._app.reports.history(hours=asked.hours)))

    async def tables(self, request: Request) -> Response:
        """Return how the runs of each table went."""
        asked = read_query(request.query, schemas.TablesQuery)
        found = await self._app.reports.tables(days=asked.days, limit=asked.limit)
        return json_response(rendering.tables(found))

    async def openapi(self, _request: Request) -> Response:
        """Return the API's description. It needs no settings and no database."""
        return json_response(openapi.document())

    async def dashboard(self, _request: Request) -> Response:
        """Return the page. It needs no settings and no database."""
        page = dashboard.page()
        return Response(content=page.html, content_type="text/html", headers=page.headers)

    async def _change(self, request: Request, change: _Change, refusal: str) -> Response:
        read_query(request.query, schemas.NoQuery)
        entry_id, expected = query.entry_id(request), query.expected(request)
        changed = await change([entry_id], expected)
        try:
            row = await self._app.web_store.get(entry_id)
        except StoreError as error:
            raise StoreInDoubt(f"it may be done, but the entry cannot be read: {error}") from error
        if row is None:
            raise query.no_entry(request)
        if not changed and not expected.fits(row.status, row.submission):
            raise conflict(
                f"entry {entry_id} has changed: it is {row.status}, submission {row.submission}; "
                "look at it, and decide again"
            )
        if not changed:
            raise conflict(f"entry {entry_id} is {row.status} and cannot be {refusal}")
        return json_response(rendering.entry(row, self._pages.of(row)))

    async def _change_many(
        self, request: Request, change: _Change, default: frozenset[Status], possible: frozenset[Status]
    ) -> Response:
        read_query(request.query, schemas.NoQuery)
        asked = read_json(request.json(), schemas.Bulk)
        wanted = query.bulk_filter(asked)
        states = possible if wanted.states else default
        found = await self._app.reports.matching(wanted, states=states, limit=asked.limit)
        ids = found.ids if asked.dry_run else await change(found.ids, Expected(states=found.states))
        return json_response(
            schemas.BulkResult(
                ids=ids, count=len(ids), states=sorted(found.states), more=found.more, dry_run=asked.dry_run
            )
        )

    def _workspace(self, report: WorkspaceReport, active: Active) -> schemas.Workspace:
        return rendering.workspace(
            report, cap=self._caps.get(report.name), run_ids=active.run_ids, error=active.error
        )

    async def _trigger(self) -> list[str]:
        try:
            return await self._app.trigger(by_hand=True)
        except OrchestratorError as error:
            logger.warning("a pass that was asked for failed: %s", error)
            return [str(error)]

    def _free(self, report: WorkspaceReport, active: Mapping[str, Active]) -> int | None:
        cap = self._caps.get(report.name)
        if cap is None:
            return None
        return max(0, cap - report.in_flight - report.foreign(active[report.name].run_ids))

    async def _waiting(
        self, report: WorkspaceReport, limit: int, active: Mapping[str, Active]
    ) -> list[Waiting]:
        rows = await self._app.reports.waiting(
            report.name,
            limit,
            free=self._free(report, active),
            max_attempts=self._app.settings.policy.max_attempts,
            serialize_tables=self._app.settings.policy.serialize_tables,
        )
        if report.name not in active or active[report.name].error is None:
            return rows
        for_a_slot = {Reason.NEXT, Reason.CAP}
        return [replace(row, reason=Reason.UNREACHABLE) if row.reason in for_a_slot else row for row in rows]
