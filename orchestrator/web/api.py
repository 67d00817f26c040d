"""What each route of the API does. Nothing of HTTP but :class:`Call` and :class:`Answer`."""

import asyncio
import hashlib
import json
import logging
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import replace
from http import HTTPStatus
from pathlib import Path
from typing import Any

from orchestrator.bootstrap import Application
from orchestrator.core.errors import OrchestratorError, StoreError, StoreInDoubt
from orchestrator.core.models import Entry, Expected
from orchestrator.core.reports import MAX_DAYS, Reason, Waiting, WorkspaceReport
from orchestrator.core.search import MAX_PAGE
from orchestrator.core.states import CANCELLABLE, RETRIED_BY_DEFAULT, RETRYABLE, Status
from orchestrator.usecases.timer_pass import TIMER_FUNCTIONS
from orchestrator.web import dashboard, health, query, schemas
from orchestrator.web.activity import ActiveRuns
from orchestrator.web.http import Answer, Call, answer
from orchestrator.web.links import RunPages
from orchestrator.web.problems import conflict, not_found

logger = logging.getLogger(__name__)

#: A pass takes a second or two; a caller of ``/trigger`` waits no longer than this, the pass goes on.
PASS_SECONDS = 20.0

_DEFAULT_PAGE = 50

_ENTRIES_FIELDS = (
    *("state", "table", "workspace", "run_id", "since", "until", "error"),
    *("sort", "limit", "after", "parameters"),
)

_OPENAPI = Path(__file__).with_name("openapi.json")


#: Changes rows that are as expected, and returns which.
Change = Callable[[Sequence[int], Expected], Awaitable[list[int]]]


class Api:
    """The routes' work, over one application. Raises :class:`Problem` and what the application raises."""

    def __init__(self, app: Application) -> None:
        self._app = app
        self._active = ActiveRuns(app.web_runs, app.clock)
        self._caps = {workspace.name: workspace.cap for workspace in app.settings.workspaces}
        self._pages = RunPages(app.settings.workspaces)
        self._pass: asyncio.Task[list[str]] | None = None

    async def status(self, call: Call) -> Answer:
        """How the workspaces and the timer functions stand."""
        query.only(call.query, ())
        reports = {report.name: report for report in await self._app.reports.status()}
        for name in self._caps:
            reports.setdefault(name, WorkspaceReport(name=name))
        active = await self._active.of(reports)
        now = await self._app.web_store.now()
        last = {last_pass.name: last_pass for last_pass in await self._app.web_pass_log.passes()}
        limit = self._app.settings.pass_late_seconds
        return answer(
            {
                "workspaces": [
                    schemas.workspace(
                        report, self._caps.get(name), active.get(name, schemas.NO_SUCH_WORKSPACE)
                    )
                    for name, report in sorted(reports.items())
                ],
                "passes": [
                    schemas.last_pass(name, last.get(name), late=health.is_late(last.get(name), now, limit))
                    for name in TIMER_FUNCTIONS
                ],
                "now": schemas.iso(now),
            }
        )

    async def health(self, call: Call) -> Answer:
        """Whether all is well, and if not, why."""
        query.only(call.query, ())
        reasons = await health.reasons(self._app, self._active)
        if reasons:
            return ill(reasons)
        return answer({"status": "ok"})

    async def entries(self, call: Call) -> Answer:
        """A page of rows."""
        fields = call.query
        query.only(fields, _ENTRIES_FIELDS)
        wanted = query.filter_of_query(fields)
        limit = query.one(fields, "limit")
        shown = query.flag(query.one(fields, "parameters"), "parameters")
        page = await self._app.reports.entries(
            wanted,
            sort=query.sort(query.one(fields, "sort")),
            limit=query.number(limit, "limit", least=1, most=MAX_PAGE, default=_DEFAULT_PAGE),
            after=query.one(fields, "after"),
        )
        found = [self._entry(row, parameters=shown) for row in page.entries]
        return answer({"entries": found, "next": page.next})

    async def entry(self, call: Call) -> Answer:
        """One row with all its runs."""
        query.only(call.query, ("parameters",))
        shown = query.flag(query.one(call.query, "parameters"), "parameters")
        story = await self._app.reports.story(_entry_id(call))
        if story is None:
            raise _no_entry(call)
        return answer({**schemas.story(story, parameters=shown), **self._more(story.entry)})

    async def add(self, call: Call) -> Answer:
        """Insert rows, all or none."""
        query.only(call.query, ())
        refusal = self._app.settings.store.inserts_refused
        if refusal is not None:
            raise conflict(refusal)
        new = query.new_entries(call.json(), self._caps)
        request = query.request_key(call.headers, hashlib.sha256(call.body).hexdigest())
        ids = await self._app.operations.add(new, request)
        return answer({"ids": ids}, HTTPStatus.CREATED)

    async def retry(self, call: Call) -> Answer:
        """Run one row again."""
        query.only(call.query, ())
        return await self._change(call, self._app.operations.retry, "run again: it is waiting or in flight")

    async def cancel(self, call: Call) -> Answer:
        """Cancel one row."""
        query.only(call.query, ())
        return await self._change(call, self._app.operations.cancel, "cancelled: it is over")

    async def retry_many(self, call: Call) -> Answer:
        """Run the rows of a filter again."""
        return await self._change_many(call, self._app.operations.retry, RETRIED_BY_DEFAULT, RETRYABLE)

    async def cancel_many(self, call: Call) -> Answer:
        """Cancel the rows of a filter."""
        return await self._change_many(call, self._app.operations.cancel, CANCELLABLE, CANCELLABLE)

    async def trigger(self, call: Call) -> Answer:
        """Start a pass now, one at a time on this instance."""
        query.only(call.query, ())
        if self._pass is not None and not self._pass.done():
            raise conflict("a pass is under way already")
        self._pass = asyncio.create_task(self._trigger())
        done, _ = await asyncio.wait({self._pass}, timeout=PASS_SECONDS)
        problems = self._pass.result() if done else [f"not done in {PASS_SECONDS:.0f} s; it goes on"]
        return answer({"problems": problems}, HTTPStatus.ACCEPTED)

    async def waiting(self, call: Call) -> Answer:
        """What waits, and why."""
        query.only(call.query, ("workspace", "limit"))
        text = query.one(call.query, "limit")
        limit = query.number(text, "limit", least=1, most=MAX_PAGE, default=_DEFAULT_PAGE)
        wanted = query.text(call.query, "workspace")
        reports = [each for each in await self._app.reports.status() if wanted in {None, each.name}]
        active = await self._active.of(report.name for report in reports)
        found: list[Waiting] = []
        share = max(1, limit // max(1, len(reports)))  # so that no workspace hides another
        for report in reports[:limit]:
            found += await self._waiting(report, share, active)
        return answer({"waiting": [{**self._entry(row.entry), "reason": row.reason.value} for row in found]})

    async def history(self, call: Call) -> Answer:
        """What ended, by the hour or by the day."""
        query.only(call.query, ("hours",))
        text = query.one(call.query, "hours")
        hours = query.number(text, "hours", least=1, most=MAX_DAYS * 24, default=24)
        told = await self._app.reports.history(hours=hours)
        return answer(
            {"buckets": [schemas.bucket(each) for each in told.buckets], "since": schemas.iso(told.since)}
        )

    async def tables(self, call: Call) -> Answer:
        """How the runs of each table went."""
        query.only(call.query, ("days", "limit"))
        days = query.number(query.one(call.query, "days"), "days", least=1, most=MAX_DAYS, default=7)
        text = query.one(call.query, "limit")
        limit = query.number(text, "limit", least=1, most=MAX_PAGE, default=100)
        told = await self._app.reports.tables(days=days, limit=limit)
        return answer(
            {"tables": [schemas.table(each) for each in told.tables], "since": schemas.iso(told.since)}
        )

    async def _change(self, call: Call, change: Change, refusal: str) -> Answer:
        entry_id, expected = _entry_id(call), query.expected(call)
        changed = await change([entry_id], expected)
        try:
            row = await self._app.web_store.get(entry_id)
        except StoreError as error:
            raise StoreInDoubt(f"it may be done, but the row cannot be read: {error}") from error
        if row is None:
            raise _no_entry(call)
        if not changed and not expected.fits(row.status, row.submission):
            raise conflict(
                f"entry {entry_id} has changed: it is {row.status}, submission {row.submission}; "
                "look at it, and decide again"
            )
        if not changed:
            raise conflict(f"entry {entry_id} is {row.status} and cannot be {refusal}")
        return answer(self._entry(row))

    async def _change_many(
        self, call: Call, change: Change, default: frozenset[Status], possible: frozenset[Status]
    ) -> Answer:
        query.only(call.query, ())
        wanted, dry_run, limit = query.bulk(call.json())
        states = possible if wanted.states else default
        found = await self._app.reports.matching(wanted, states=states, limit=limit)
        ids = found.ids if dry_run else await change(found.ids, Expected(states=found.states))
        return answer(
            {
                "ids": ids,
                "count": len(ids),
                "states": sorted(found.states),
                "more": found.more,
                "dry_run": dry_run,
            }
        )

    def _entry(self, row: Entry, *, parameters: bool = False) -> dict[str, Any]:
        return {**schemas.entry(row, parameters=parameters), **self._more(row)}

    def _more(self, row: Entry) -> dict[str, Any]:
        """Return what the settings and the rules add to a row."""
        return {"run_page_url": self._pages.of(row), "actions": schemas.actions(row)}

    async def _trigger(self) -> list[str]:
        try:
            return await self._app.trigger(by_hand=True)
        except OrchestratorError as error:
            logger.warning("a pass that was asked for failed: %s", error)
            return [str(error)]

    def _free(self, report: WorkspaceReport, active: Mapping[str, schemas.Active]) -> int | None:
        cap = self._caps.get(report.name)
        if cap is None:
            return None
        return max(0, cap - report.in_flight - report.foreign(active[report.name].run_ids))

    async def _waiting(
        self, report: WorkspaceReport, limit: int, active: Mapping[str, schemas.Active]
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


def ill(reasons: Sequence[str]) -> Answer:
    """The answer of an app that does not do its work."""
    return answer({"status": "ill", "reasons": list(reasons)}, HTTPStatus.SERVICE_UNAVAILABLE)


def openapi() -> Answer:
    """The API's description. It needs no settings and no database."""
    document: dict[str, Any] = json.loads(_OPENAPI.read_text(encoding="utf-8"))
    return answer(document)


def dashboard_page() -> Answer:
    """The page."""
    page = dashboard.page()
    return Answer(content=page.html, content_type="text/html", headers=page.headers)


def _entry_id(call: Call) -> int:
    entry_id = query.entry_id(call.route.get("id", ""))
    if entry_id is None:
        raise _no_entry(call)
    return entry_id


def _no_entry(call: Call) -> Exception:
    return not_found(f"there is no entry {call.route.get('id', '')[:40]!r}")
