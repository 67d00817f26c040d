"""``check``: test everything that the app needs, and say what to do about each problem."""

import asyncio
import contextlib
import logging
import socket
from collections.abc import AsyncGenerator, Awaitable, Iterator, Sequence
from dataclasses import asdict, dataclass

import click

from orchestrator.bootstrap import Application
from orchestrator.cli import context, exposure
from orchestrator.cli.options import json_option
from orchestrator.cli.output import FAILED, OK, print_json
from orchestrator.core import health
from orchestrator.core.errors import (
    OrchestratorError,
    RequestRefused,
    SchemaError,
    SettingsError,
    StoreError,
    Unauthorized,
    WorkspaceUnavailable,
)
from orchestrator.core.models import Job, JobKey
from orchestrator.core.redaction import one_line
from orchestrator.core.reports import JobUse
from orchestrator.core.run_requests import AUTO, JOB_PARAMETERS
from orchestrator.settings import Settings, host_lacks
from orchestrator.settings.workspaces import DEFAULT_WORKSPACE, WorkspaceSettings

#: Time limit of a connection to the database server's port, which takes one round trip.
_REACH_SECONDS = 5.0

#: Jobs looked at for one workspace; entries rarely name more than a few.
_MAX_JOBS = 50

_SETTING = "SQL_CONNECTION_STRING"

#: Values to begin with.
_EXAMPLES = {
    "SUBMIT_QUEUE_NAME": "submit-jobs",
    "TRIGGER_SCHEDULE": "0 * * * * *",
    "MONITOR_SCHEDULE": "30 * * * * *",
}

#: What the API takes. A host that reads more than the second lets strangers fill its memory.
_LARGEST_BODY_BYTES = 256 * 1024
_MOST_BODY_BYTES = 10 * 1024 * 1024


@dataclass(frozen=True, kw_only=True)
class _Finding:
    """One line of the result."""

    #: what was tested
    subject: str
    ok: bool
    #: what was found, or what is wrong and what to do
    text: str


async def run(app: Application) -> AsyncGenerator[_Finding, None]:
    """Test one thing after another, each even if an earlier one failed."""
    yield _settings(app.settings)
    yield _bodies(app.settings)
    if app.settings.site_host is not None:
        async for finding in _exposure(app.settings.site_host):
            yield finding
    store = await _finding("store", _store(app))
    yield store
    yield await _finding("entries", _entries(app))
    yield await _finding("queue", _queue(app))
    for workspace in app.settings.workspaces:
        name = f"workspace {workspace.name}"
        place = await _finding(f"{name}, address", _address(app, workspace))
        if store.ok and not place.ok:
            yield place
        token = await _finding(f"{name}, token", _token(app, workspace))
        yield token
        if not token.ok:
            continue
        answers = await _finding(f"{name}, Databricks", _databricks(app, workspace))
        yield answers
        if answers.ok:
            async for finding in _jobs(app, workspace):
                yield finding


class _Problem(OrchestratorError):
    """Something responds, but not as it should."""


async def _finding(subject: str, look: Awaitable[str]) -> _Finding:
    try:
        return _Finding(subject=subject, ok=True, text=await look)
    except OrchestratorError as error:
        return _Finding(subject=subject, ok=False, text=str(error))


def _settings(settings: Settings) -> _Finding:
    if settings.host_lacks:
        return _missing(settings.host_lacks)
    if settings.unresolved:
        text = "; ".join(map(health.unresolved, settings.unresolved))
        return _Finding(subject="settings", ok=False, text=text)
    names = ", ".join(workspace.name for workspace in settings.workspaces)
    through = "".join(f"; {proxy}" for proxy in settings.proxies.all())
    return _Finding(subject="settings", ok=True, text=f"complete; workspaces: {names}{through}")


def _missing(names: Sequence[str]) -> _Finding:
    """Name settings without which the function app does not start."""
    given = ", ".join(f"{name} (e.g. {_EXAMPLES[name]})" for name in names)
    text = f"set {given}: the function app does not start without"
    return _Finding(subject="settings", ok=False, text=text)


async def _exposure(host: str) -> AsyncGenerator[_Finding, None]:
    """Look at how the function app is exposed to the network."""
    for subject, sight in (
        ("plain HTTP", await exposure.plain_http(host)),
        ("TLS", await exposure.old_tls(host)),
        ("publishing", exposure.publishing()),
    ):
        yield _Finding(subject=f"function app, {subject}", ok=sight.ok, text=sight.text)


def _bodies(settings: Settings) -> _Finding:
    """Look at how much of a request the Functions host reads before the app can refuse it."""
    limit, name = settings.request_body_limit, "FUNCTIONS_REQUEST_BODY_SIZE_LIMIT"
    subject, remedy = "request bodies", f"set {name} to 1048576"
    if limit is not None and limit < _LARGEST_BODY_BYTES:
        text = f"{name} is {limit}, and the API takes bodies of {_LARGEST_BODY_BYTES} bytes: {remedy}"
        return _Finding(subject=subject, ok=False, text=text)
    if limit is not None and limit <= _MOST_BODY_BYTES:
        return _Finding(subject=subject, ok=True, text=f"the host reads at most {limit} bytes")
    text = (
        f"the host reads {'100 MB' if limit is None else f'{limit} bytes'} from anybody who calls "
        f"/api/databricks-events before the app can refuse it: {remedy}"
    )
    # Without events nobody is told that address, so this is advice.
    return _Finding(subject=subject, ok=settings.events_secret is None, text=text)


async def _store(app: Application) -> str:
    if (server := app.server_address()) is not None:
        await _reach(*server)
    try:
        version = await app.schema_version()
    except SchemaError as error:
        raise await _schema_problem(app, error) from error
    if missing := await app.missing_rights():
        raise _Problem(f"this login lacks rights; let an administrator run: {_grants(missing)}")
    clock = await app.store.now()
    return f"answers, schema {version}, its clock says {clock:%Y-%m-%d %H:%M:%S} UTC"


async def _entries(app: Application) -> str:
    """Look for entries whose workspace the settings do not know."""
    found, now = await app.store.open_workspaces(), await app.store.now()
    known = [workspace.name for workspace in app.settings.workspaces]
    if problems := health.unknown_workspaces(found, known, now):
        raise _Problem("; ".join(problems))
    return "the settings know the workspaces of all that are open"


async def _address(app: Application, workspace: WorkspaceSettings) -> str:
    elsewhere = await app.store.elsewhere(workspace.name, workspace.address)
    if elsewhere is not None:
        raise _Problem(health.elsewhere(elsewhere))
    return workspace.address


async def _reach(host: str, port: int) -> None:
    """Connect to the server's port: the driver itself only reports a time-out of the login."""
    try:
        async with asyncio.timeout(_REACH_SECONDS):
            _, writer = await asyncio.open_connection(host, port)
    except socket.gaierror as error:
        raise _Problem(f"the name {host} does not resolve: correct SERVER in {_SETTING}") from error
    except OSError as error:  # TimeoutError is one
        raise _Problem(
            f"nothing accepts a connection on port {port} of {host}: check SERVER in {_SETTING}, "
            "the server's firewall and that it runs"
        ) from error
    writer.close()


async def _schema_problem(app: Application, error: SchemaError) -> OrchestratorError:
    """Return what to do: tables may be missing, or be invisible to a login without rights."""
    missing = await app.missing_rights()
    if "SELECT" not in missing.get("orchestrator_schema", []):
        return error
    return _Problem(
        f"{error}; or, if that has been done, this login may not see the tables: let an administrator run: "
        f"{_grants(missing)}"
    )


def _grants(missing: dict[str, list[str]]) -> str:
    return "; ".join(f"GRANT {', '.join(rights)} ON {table} TO [USER]" for table, rights in missing.items())


async def _queue(app: Application) -> str:
    await app.queue.check()
    return f"{app.settings.queue_name} can be used"


async def _token(app: Application, workspace: WorkspaceSettings) -> str:
    await app.tokens[workspace.name].token()
    if workspace.auth == "oauth":
        return "found, from Databricks OAuth, for a service principal"
    if workspace.auth == "entra":
        return f"found, from Microsoft Entra ID, for {_identity(workspace)}"
    if workspace.secret is not None:
        return "found, in Key Vault"
    setting = "DATABRICKS_TOKEN"
    if workspace.name != DEFAULT_WORKSPACE:
        setting = f"DATABRICKS_WORKSPACES.{workspace.name}.token"
    return f"found, in {setting} (for local work)"


def _identity(workspace: WorkspaceSettings) -> str:
    if workspace.tenant_id is not None:
        return "a service principal"
    return "the app's identity" if workspace.client_id is None else "a managed identity of its own"


async def _databricks(app: Application, workspace: WorkspaceSettings) -> str:
    try:
        active = await app.runs[workspace.name].active_runs()
    except Unauthorized as error:
        raise _Problem(f"{error}; check that the token is valid and of this workspace") from error
    except WorkspaceUnavailable as error:
        raise _Problem(f"{error}; check that {workspace.host} is a workspace and can be reached") from error
    return f"{workspace.host} answers, {len(active)} active runs, cap {workspace.cap}"


async def _jobs(app: Application, workspace: WorkspaceSettings) -> AsyncGenerator[_Finding, None]:
    """Look at the default job and at every other job that waiting entries name."""
    uses: dict[JobKey, list[JobUse]] = {JobKey(): []}
    with contextlib.suppress(StoreError):  # the store has a finding of its own
        for use in await app.reports.waiting_jobs(workspace.name):
            uses.setdefault(use.key, []).append(use)
    name = f"workspace {workspace.name}"
    for key in list(uses)[:_MAX_JOBS]:
        subject = f"{name}, job{_shown(key)}"
        if key == JobKey() and workspace.job_id is None and workspace.job_name is None and not uses[key]:
            text = "no default job: every entry must name its job_id or job_name"
            yield _Finding(subject=subject, ok=True, text=text)
        else:
            yield await _finding(subject, _job(app, workspace, key, uses[key]))
    if len(uses) > _MAX_JOBS:
        text = f"{len(uses) - _MAX_JOBS} further jobs that waiting entries name were not looked at"
        yield _Finding(subject=f"{name}, jobs", ok=True, text=text)


def _shown(key: JobKey) -> str:
    if key.job_id is not None:
        return f" {key.job_id}"
    return "" if key.job_name is None else f" {one_line(key.job_name)!r}"


async def _job(app: Application, workspace: WorkspaceSettings, key: JobKey, uses: Sequence[JobUse]) -> str:
    if key.job_id is not None and key.job_name is not None:
        raise _Problem(f"entries also name the job {one_line(key.job_name)!r}: leave one of the two NULL")
    try:
        job = await app.jobs.resolve(workspace.name, key)
    except RequestRefused as error:
        raise _Problem(f"{error}; correct the job id, or: python -m orchestrator create-job") from error
    if problems := [*_never_runs(job), *_wrong_styles(job, uses)]:
        raise _Problem("; ".join(problems))
    text = f"{job.job_id} allows {job.max_concurrent_runs} runs at once"
    if job.max_concurrent_runs >= workspace.cap:
        return f"{text}, cap {workspace.cap}"
    return (
        f"{text} and the cap is {workspace.cap}: further entries wait; "
        "raise the job's max_concurrent_runs to run more of them at once"
    )


def _never_runs(job: Job) -> Iterator[str]:
    """Say why no entry can run on a job."""
    if job.continuous:
        continuous = job.settings.get("continuous") or {}
        state = "paused" if continuous.get("pause_status") == "PAUSED" else "running"
        yield (
            f"{job.job_id} has a continuous trigger ({state}), and a run of an entry would restart it: "
            "its entries are refused; give them another job, or remove the trigger"
        )
    if job.max_concurrent_runs < 1:
        yield f"{job.job_id} has max_concurrent_runs 0 and runs nothing: raise it"


def _wrong_styles(job: Job, uses: Sequence[JobUse]) -> Iterator[str]:
    """Say which entries a job refuses because it declares parameters."""
    for use in uses if job.parameters else ():
        if use.parameter_style not in {AUTO, JOB_PARAMETERS}:
            yield (
                f"{job.job_id} declares job parameters and refuses {one_line(use.parameter_style)}, the "
                f"parameter_style of {use.entries} waiting entries: make it {AUTO} or {JOB_PARAMETERS}"
            )


@click.command("check")
@json_option
def _check(as_json: bool) -> int:
    """Check that everything works that the app needs.

    Settings, store, queue, token, Databricks and every job that waiting entries name; each problem comes with
    what to do about it.
    """
    logging.getLogger("orchestrator").setLevel(logging.CRITICAL)  # each problem has its line
    findings = asyncio.run(_print_findings(as_json=as_json))
    ok = all(finding.ok for finding in findings)
    if as_json:
        print_json({"ok": ok, "findings": [asdict(finding) for finding in findings]})
    return OK if ok else FAILED


async def _print_findings(*, as_json: bool) -> list[_Finding]:
    """Return the findings; print each at once, since the next may take long."""
    findings: list[_Finding] = []
    async with contextlib.aclosing(_findings()) as stream:
        async for finding in stream:
            findings.append(finding)
            if not as_json:
                click.echo(f"{'ok  ' if finding.ok else 'FAIL'}  {finding.subject}: {finding.text}")
    return findings


async def _findings() -> AsyncGenerator[_Finding, None]:
    """Test everything; settings or a store that cannot be used at all are findings, too."""
    try:
        async with context.application() as app, contextlib.aclosing(run(app)) as stream:
            async for finding in stream:
                yield finding
    except SettingsError as error:
        for problem in error.problems:
            yield _Finding(subject="settings", ok=False, text=problem)
        if lacking := host_lacks(context.environment()):
            yield _missing(lacking)
    except StoreError as error:
        yield _Finding(subject="store", ok=False, text=str(error))


COMMANDS = (_check,)
