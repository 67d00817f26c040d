"""What each route of the API does: request → use case → response."""

import asyncio
import logging
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from functools import cached_property
from http import HTTPStatus

from orchestrator.bootstrap import Application
from orchestrator.checks import installation
from orchestrator.checks.finding import Finding
from orchestrator.core.actions import CANCEL, Action
from orchestrator.core.errors import OrchestratorError
from orchestrator.core.models import AskedBy
from orchestrator.web import dashboard, openapi, query, rendering, schemas
from orchestrator.web.http import Request, Response, conflict, json_response
from orchestrator.web.validation import read_json, read_query

_logger = logging.getLogger(__name__)

#: A pass takes a second or two; a caller of ``/trigger`` waits no longer than this, the pass goes on.
_PASS_SECONDS = 20.0

#: For all checks of ``/check``: it answers before a request is given up (``routes.py``).
_CHECK_SECONDS = 24.0


class Api:
    """Handles the routes' requests. Raises :class:`Problem` and what the application raises.

    :param application: gives the application when a request first needs it.
    """

    def __init__(self, application: Callable[[], Application]) -> None:
        self._application = application
        self._pass: asyncio.Task[list[str]] | None = None
        self._check: asyncio.Task[list[Finding]] | None = None
        self._closing: set[asyncio.Task[None]] = set()

    @cached_property
    def _app(self) -> Application:
        return self._application()

    async def status(self, request: Request) -> Response:
        """Return the state of the workspaces and of the timer functions."""
        read_query(request.query, schemas.NoQuery)
        return json_response(rendering.status_report(await self._app.overview.status()))

    async def health(self, request: Request) -> Response:
        """Return whether the app does its work, and if not, why."""
        read_query(request.query, schemas.NoQuery)
        try:
            reasons = await self._app.health()
        except OrchestratorError as error:  # the settings cannot be used
            reasons = [str(error)]
        if reasons:
            return json_response(
                schemas.Unhealthy(status="unhealthy", reasons=reasons), HTTPStatus.SERVICE_UNAVAILABLE
            )
        return json_response(schemas.Healthy(status="ok"))

    async def check(self, request: Request) -> Response:
        """Return what the app finds when it tests everything that it needs. Callers share one test."""
        read_query(request.query, schemas.NoQuery)
        if self._check is None or self._check.done():
            self._check = asyncio.create_task(self._findings())
        return json_response(rendering.check_report(await asyncio.shield(self._check)))

    async def entries(self, request: Request) -> Response:
        """Return a page of entries."""
        asked = read_query(request.query, schemas.EntriesQuery)
        page = await self._app.reports.entries(
            query.entry_filter(asked),
            sort=asked.sort,
            limit=asked.limit,
            after=asked.after or None,
            parameters=asked.parameters,
        )
        found = [
            rendering.entry(each, self._app.overview.run_page(each), parameters=asked.parameters)
            for each in page.entries
        ]
        return json_response(schemas.EntryPage(entries=found, next=page.next))

    async def entry(self, request: Request) -> Response:
        """Return one entry with its last runs."""
        asked = read_query(request.query, schemas.EntryQuery)
        story = await self._app.reports.story(
            query.entry_id(request),
            parameters=asked.parameters,
            runs=asked.runs,
            before=asked.before or None,
        )
        if story is None:
            raise query.no_entry(request)
        page = self._app.overview.run_page(story.entry)
        return json_response(rendering.entry_with_runs(story, page, parameters=asked.parameters))

    async def add(self, request: Request) -> Response:
        """Insert entries, all or none."""
        read_query(request.query, schemas.NoQuery)
        self._app.operator.require_inserts()
        workspaces = [workspace.name for workspace in self._app.settings.workspaces]
        new = query.new_entries(request, workspaces)
        ids = await self._app.operator.add(new, query.idempotency(request))
        for workspace in {entry.workspace for entry in new}:
            self._app.refill.after_an_insert(workspace)
        return json_response(schemas.Inserted(ids=[str(each) for each in ids]), HTTPStatus.CREATED)

    async def retry(self, request: Request) -> Response:
        """Run one entry again."""
        asked = read_json(request.json(), schemas.Retry) if request.body else schemas.Retry()
        return await self._change(request, query.retry(asked), asked)

    async def cancel(self, request: Request) -> Response:
        """Cancel one entry."""
        asked = read_json(request.json(), schemas.Expected) if request.body else schemas.Expected()
        return await self._change(request, CANCEL, asked)

    async def resolve(self, request: Request) -> Response:
        """Settle one entry by hand."""
        read_query(request.query, schemas.NoQuery)
        asked = read_json(request.json(), schemas.Resolve)
        entry, run_left = await self._app.operator.resolve_one(
            query.resolve(asked), query.entry_id(request), query.expected(asked)
        )
        return json_response(rendering.resolved(entry, self._app.overview.run_page(entry), run_left))

    async def retry_many(self, request: Request) -> Response:
        """Run the entries of a filter again."""
        asked = read_json(request.json(), schemas.BulkRetry)
        return await self._change_many(request, query.retry(asked), asked)

    async def cancel_many(self, request: Request) -> Response:
        """Cancel the entries of a filter."""
        return await self._change_many(request, CANCEL, read_json(request.json(), schemas.Bulk))

    async def resolve_many(self, request: Request) -> Response:
        """Settle the entries of a filter by hand."""
        asked = read_json(request.json(), schemas.BulkResolve)
        return await self._change_many(request, query.resolve(asked), asked)

    async def trigger(self, request: Request) -> Response:
        """Start a pass now, one at a time on this instance."""
        read_query(request.query, schemas.NoQuery)
        if self._pass is not None and not self._pass.done():
            raise conflict("a pass is under way already")
        self._pass = asyncio.create_task(self._trigger())
        done, _ = await asyncio.wait({self._pass}, timeout=_PASS_SECONDS)
        problems = self._pass.result() if done else [f"not done in {_PASS_SECONDS:.0f} s; it goes on"]
        return json_response(schemas.PassStarted(problems=problems), HTTPStatus.ACCEPTED)

    async def waiting(self, request: Request) -> Response:
        """Return what waits, and why."""
        asked = read_query(request.query, schemas.WaitingQuery)
        found = await self._app.overview.waiting(asked.workspace or None, asked.limit)
        waiting = [rendering.waiting_entry(each, self._app.overview.run_page(each.entry)) for each in found]
        return json_response(schemas.Waiting(waiting=waiting))

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

    async def _findings(self) -> list[Finding]:
        checks = installation.findings(self._application_to_check(), seconds=_CHECK_SECONDS)
        return [finding async for finding in checks]

    @asynccontextmanager
    async def _application_to_check(self) -> AsyncIterator[Application]:
        """Make an application of its own: it signs in anew, waits for nothing, and takes no connection.

        It is closed in the background: a thread of a database that does not answer may take longer than the
        request.
        """
        app = Application(self._app.settings, patience=0)
        try:
            yield app
        finally:
            closing = asyncio.create_task(app.close())
            self._closing.add(closing)
            closing.add_done_callback(self._closing.discard)

    async def _change(self, request: Request, action: Action, asked: schemas.Expected) -> Response:
        read_query(request.query, schemas.NoQuery)
        entry = await self._app.operator.change_one(action, query.entry_id(request), query.expected(asked))
        return json_response(rendering.entry(entry, self._app.overview.run_page(entry)))

    async def _change_many(self, request: Request, action: Action, asked: schemas.Bulk) -> Response:
        read_query(request.query, schemas.NoQuery)
        changes = await self._app.operator.find(action, query.bulk_filter(asked), limit=asked.limit)
        if not asked.dry_run:
            changes = await self._app.operator.change_found(action, changes)
        return json_response(
            schemas.BulkResult(
                ids=[str(each) for each in changes.ids],
                count=len(changes.ids),
                states=sorted(changes.states),
                more=changes.more,
                dry_run=asked.dry_run,
            )
        )

    async def _trigger(self) -> list[str]:
        try:
            return await self._app.trigger(asked_by=AskedBy.API)
        except OrchestratorError as error:
            _logger.warning("a pass that was asked for failed: %s", error)
            return [str(error)]
