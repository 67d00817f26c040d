"""Is the app doing its work? The reasons why not, for ``GET /api/health`` and whoever is called by it."""

from collections.abc import Sequence
from datetime import datetime

from orchestrator.bootstrap import Application
from orchestrator.core.errors import OrchestratorError
from orchestrator.core.models import LastPass
from orchestrator.core.reports import WorkspaceReport
from orchestrator.usecases.timer_pass import OK, TIMER_FUNCTIONS
from orchestrator.web.activity import Active, ActiveRuns

#: A row that could be claimed and is not for so long while slots are free: something is wrong. Also never
#: sooner than a timer function counts as late.
OVERDUE_SECONDS = 300.0


def is_late(last_pass: LastPass | None, now: datetime, limit_seconds: float) -> bool:
    """Say whether a timer function has not begun for so long, or never did."""
    return last_pass is None or (now - last_pass.started_at).total_seconds() > limit_seconds


async def reasons(app: Application, active: ActiveRuns | None) -> list[str]:
    """Return what is wrong, a line each; nothing when all is well.

    :param active: None = Databricks is not to be asked; whether rows wait for no reason is left open then.
    """
    try:
        await app.schema_version()
        passes, now = await app.web_pass_log.passes(), await app.web_store.now()
        late = _late(app, passes, now)
        return late or (await _overdue(app, active, passes) if active else [])
    except OrchestratorError as error:
        return [str(error)]
    except TimeoutError:
        return ["the state store does not answer in time"]


def _late(app: Application, passes: Sequence[LastPass], now: datetime) -> list[str]:
    last = {last_pass.name: last_pass for last_pass in passes}
    limit = app.settings.pass_late_seconds
    return [why for name in TIMER_FUNCTIONS if (why := _lateness(name, last.get(name), now, limit))]


def _lateness(name: str, last_pass: LastPass | None, now: datetime, limit_seconds: float) -> str:
    """Say what is wrong with a timer function's passes; nothing when one came to its end not long ago."""
    if last_pass is None:
        return f"{name} has never begun"
    if is_late(last_pass, now, limit_seconds):
        return f"{name} has not begun since {_second(last_pass.started_at)}"
    if last_pass.finished_at is not None and (now - last_pass.finished_at).total_seconds() <= limit_seconds:
        return ""
    since = f"since {_second(last_pass.finished_at)}" if last_pass.finished_at else "yet"
    return f"no pass of {name} has come to its end {since}{_last(last_pass)}"


def _second(time: datetime) -> str:
    return f"{time:%Y-%m-%d %H:%M:%S} UTC"


def _last(last_pass: LastPass) -> str:
    return f"; the last pass: {last_pass.outcome}" if last_pass.outcome not in {OK, None} else ""


async def _overdue(app: Application, active: ActiveRuns, passes: Sequence[LastPass]) -> list[str]:
    """Return the workspaces whose rows wait for no reason, with what the last pass had to say."""
    reports = {report.name: report for report in await app.reports.status()}
    caps = {workspace.name: workspace.cap for workspace in app.settings.workspaces}
    waiting = [name for name, report in reports.items() if name in caps and _waits(report)]
    overdue = [name for name in waiting if await _is_overdue(app, name)]
    runs = await active.of(overdue)
    last = next((_last(last_pass) for last_pass in passes if last_pass.name == "trigger"), "")
    return [
        f"rows of workspace {name} wait{why}{last}"
        for name in overdue
        if (why := _why(runs[name], reports[name], caps[name]))
    ]


def _why(runs: Active, report: WorkspaceReport, cap: int) -> str:
    """Say what is wrong when rows wait; nothing when the slots are taken."""
    if runs.error is not None:
        return f", and its active runs cannot be listed: {runs.error}"
    taken = report.in_flight + report.foreign(runs.run_ids)
    return " although slots are free" if taken < cap else ""


def _waits(report: WorkspaceReport) -> bool:
    return (report.oldest_waiting_seconds or 0.0) > OVERDUE_SECONDS


async def _is_overdue(app: Application, workspace: str) -> bool:
    policy = app.settings.policy
    return await app.reports.is_overdue(
        workspace,
        seconds=max(OVERDUE_SECONDS, app.settings.pass_late_seconds),
        max_attempts=policy.max_attempts,
        serialize_tables=policy.serialize_tables,
    )
