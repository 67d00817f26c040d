"""``python -m orchestrator check``: is everything there that the app needs, and what to do if not."""

import asyncio
from collections.abc import AsyncIterator, Awaitable
from dataclasses import dataclass

from orchestrator.bootstrap import Application, connector
from orchestrator.errors import OrchestratorError, RequestRefused, Unauthorized, WorkspaceUnavailable
from orchestrator.models import Job
from orchestrator.settings import Settings, WorkspaceSettings
from orchestrator.store import migrate


@dataclass(frozen=True, kw_only=True)
class Finding:
    """One line of the check's answer."""

    #: what was looked at
    subject: str
    ok: bool
    #: what was found, or what is wrong and what to do
    text: str


async def run(app: Application) -> AsyncIterator[Finding]:
    """Look at one thing after the other; each is tried even when an earlier one failed."""
    yield _schedules(app.settings)
    yield await _finding("store", _store(app))
    yield await _finding("queue", _queue(app))
    for workspace in app.settings.workspaces:
        name = f"workspace {workspace.name}"
        token = await _finding(f"{name}, token", _token(app, workspace))
        yield token
        if not token.ok:
            continue
        answers = await _finding(f"{name}, Databricks", _databricks(app, workspace))
        yield answers
        if answers.ok:
            yield await _finding(f"{name}, job", _job(app, workspace))


class _NotGood(OrchestratorError):
    """Something answers, but not as it should."""


async def _finding(subject: str, look: Awaitable[str]) -> Finding:
    try:
        return Finding(subject=subject, ok=True, text=await look)
    except OrchestratorError as error:
        return Finding(subject=subject, ok=False, text=str(error))


def _schedules(settings: Settings) -> Finding:
    missing = [
        name
        for name, value in (
            ("TRIGGER_SCHEDULE", settings.trigger_schedule),
            ("MONITOR_SCHEDULE", settings.monitor_schedule),
        )
        if value is None
    ]
    if missing:
        text = f"set {' and '.join(missing)}: the function app does not start without (e.g. 0 * * * * *)"
        return Finding(subject="settings", ok=False, text=text)
    names = ", ".join(workspace.name for workspace in settings.workspaces)
    return Finding(subject="settings", ok=True, text=f"complete; workspaces: {names}")


async def _store(app: Application) -> str:
    version = await asyncio.to_thread(migrate.check, connector(app.settings.store))
    clock = await app.store.now()
    return f"answers, schema {version}, its clock says {clock:%Y-%m-%d %H:%M:%S} UTC"


async def _queue(app: Application) -> str:
    await app.submissions.check()
    return f"{app.settings.queue_name} can be used"


async def _token(app: Application, workspace: WorkspaceSettings) -> str:
    await app.tokens[workspace.name].token()
    if workspace.auth == "entra":
        return "found, from Microsoft Entra ID"
    return "found, in Key Vault" if workspace.secret else "found, in DATABRICKS_TOKEN (for local work)"


async def _databricks(app: Application, workspace: WorkspaceSettings) -> str:
    try:
        active = await app.runs[workspace.name].active_run_ids()
    except Unauthorized as error:
        raise _NotGood(f"{error}; check that the token is valid and of this workspace") from error
    except WorkspaceUnavailable as error:
        raise _NotGood(f"{error}; check that {workspace.host} is a workspace and can be reached") from error
    return f"{workspace.host} answers, {len(active)} active runs, cap {workspace.cap}"


async def _job(app: Application, workspace: WorkspaceSettings) -> str:
    if workspace.job_id is None:
        return "no default job: every row must name its job_id"
    try:
        job = await app.runs[workspace.name].get_job(workspace.job_id)
    except RequestRefused as error:
        raise _NotGood(f"{error}; correct the job id, or: python -m orchestrator create-job") from error
    if job.max_concurrent_runs >= workspace.cap:
        return f"{job.job_id} allows {job.max_concurrent_runs} runs at once, cap {workspace.cap}"
    return _too_few_runs(job, workspace.cap)


def _too_few_runs(job: Job, cap: int) -> str:
    text = f"{job.job_id} allows {job.max_concurrent_runs} runs at once and the cap is {cap}"
    if job.queue_enabled:
        return f"{text}: what is over it waits in the job's own queue"
    raise _NotGood(f"{text}: runs over it are skipped; raise the job's max_concurrent_runs or lower the cap")
