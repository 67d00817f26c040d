"""How everything stands: the rows by state, the slots and the timer functions, gathered from all sources."""

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from orchestrator import bootstrap, settings
from orchestrator.adapters.store.entries import Store
from orchestrator.adapters.store.passes import PassLog
from orchestrator.adapters.store.reports import Reports
from orchestrator.cli import context, documents
from orchestrator.core.errors import SettingsError
from orchestrator.core.models import LastPass
from orchestrator.core.reports import WorkspaceReport
from orchestrator.usecases.timer_pass import TIMER_FUNCTIONS
from orchestrator.web import health
from orchestrator.web.activity import NO_SUCH_WORKSPACE, Active, ActiveRuns

#: Why nothing but the store can be asked.
INCOMPLETE = "the settings are incomplete or wrong (python -m orchestrator check)"


@dataclass(frozen=True, kw_only=True)
class WorkspaceView:
    """One workspace."""

    report: WorkspaceReport
    #: most runs at once; None = not in the settings, or these are incomplete
    cap: int | None
    active: Active


@dataclass(frozen=True, kw_only=True)
class Overview:
    """Everything at one moment of the database's clock."""

    workspaces: list[WorkspaceView]
    #: by the timer function's name; None = it has never begun
    passes: Mapping[str, LastPass | None]
    now: datetime
    #: a timer function that has not begun for so long is late; None = the settings are incomplete
    late_seconds: float | None

    def is_late(self, name: str) -> bool:
        """Say whether a timer function should have begun again by now."""
        return self.late_seconds is not None and health.is_late(
            self.passes[name], self.now, self.late_seconds
        )

    def age(self, last_pass: LastPass) -> float:
        """Return how many seconds ago a timer function began."""
        return (self.now - last_pass.started_at).total_seconds()


@dataclass(frozen=True, kw_only=True)
class Health:
    """Whether the app does its work."""

    #: why not, a line each
    reasons: list[str] = field(default_factory=list)
    #: what could not be found out, and why; None = nothing
    unknown: str | None = None


class Sources:
    """The store and, when the settings are complete, the workspaces.

    :param offline: do not ask Databricks.
    """

    def __init__(self, store: Store, app: bootstrap.Application | None, *, offline: bool) -> None:
        self._store = store
        self._app = app
        self._caps = {known.name: known.cap for known in app.settings.workspaces} if app else {}
        self._late_seconds = app.settings.pass_late_seconds if app else None
        self._active = ActiveRuns(app.runs, app.clock) if app and not offline else None
        self._why_not = "not asked for" if app else INCOMPLETE

    async def look(self) -> Overview:
        """Gather everything. :raises StoreError: the store does not answer."""
        reports = {report.name: report for report in await Reports(self._store.pool).status()}
        names = sorted({*reports, *self._caps})
        active = await self._active.of(names) if self._active else dict.fromkeys(names, self._unknown())
        last = {last_pass.name: last_pass for last_pass in await PassLog(self._store.pool).passes()}
        return Overview(
            workspaces=[
                WorkspaceView(
                    report=reports.get(name, WorkspaceReport(name=name)),
                    cap=self._caps.get(name),
                    active=active.get(name, NO_SUCH_WORKSPACE),
                )
                for name in names
            ],
            passes={name: last.get(name) for name in TIMER_FUNCTIONS},
            now=await self._store.now(),
            late_seconds=self._late_seconds,
        )

    async def health(self) -> Health:
        """Find out whether the app does its work, by the rules of the HTTP API's ``/api/health``."""
        if self._app is None:
            return Health(unknown=f"whether the app does its work is not known: {INCOMPLETE}")
        reasons = await health.reasons(self._app, self._active)
        if self._active is None:
            return Health(reasons=reasons, unknown="whether rows wait for no reason is not known: --offline")
        return Health(reasons=reasons)

    def _unknown(self) -> Active:
        return Active(error=self._why_not)


@asynccontextmanager
async def sources(*, offline: bool, patience: float) -> AsyncIterator[Sources]:
    """Reach for everything; settings that lack more than the store are no hindrance.

    :param patience: of the store.
    """
    async with context.store(patience) as store:
        try:
            loaded = settings.load(context.environment())
        except SettingsError:
            yield Sources(store, None, offline=offline)
            return
        async with context.application(loaded) as app:
            yield Sources(store, app, offline=offline)


def document(overview: Overview) -> dict[str, Any]:
    """Return the overview as the HTTP API's ``/api/status`` gives it."""
    return {
        "workspaces": [
            documents.workspace(view.report, view.cap, view.active) for view in overview.workspaces
        ],
        "passes": [
            documents.last_pass(name, last_pass, late=overview.is_late(name))
            for name, last_pass in overview.passes.items()
        ],
        "now": documents.iso(overview.now),
    }
