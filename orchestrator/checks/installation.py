"""Test everything that the app needs, and say what to do about each problem."""

import asyncio
import contextlib
import logging
import socket
import traceback
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, aclosing
from dataclasses import replace

from orchestrator.bootstrap import Application
from orchestrator.checks import exposure, neighbours
from orchestrator.checks.finding import Finding
from orchestrator.core import health, ledger_tables
from orchestrator.core.errors import (
    ListIncomplete,
    OrchestratorError,
    PackageMissing,
    RequestRefused,
    SchemaError,
    SettingsError,
    StoreError,
    Unauthorized,
    WorkspaceUnavailable,
)
from orchestrator.core.models import Job, JobKey
from orchestrator.core.redaction import one_line, without
from orchestrator.core.reports import JobUse
from orchestrator.core.run_requests import AUTO, JOB_PARAMETERS
from orchestrator.settings import Settings, host_lacks, load_site
from orchestrator.settings.workspaces import DEFAULT_WORKSPACE, WorkspaceSettings

_logger = logging.getLogger(__name__)

#: Time limit of a connection to the database server's port, which takes one round trip.
_REACH_SECONDS = 5.0

#: Jobs looked at for one workspace; entries rarely name more than a few.
_MAX_JOBS = 50

_SETTING = "SQL_CONNECTION_STRING"

#: What the default of SQL Server and of Managed Instance means.
_READERS_WAIT = (
    "; READ_COMMITTED_SNAPSHOT is off, so who reads waits for who writes: a long transaction of others, also "
    "one that only inserts entries, holds up the app, and a long report holds up both; let an administrator "
    "run: ALTER DATABASE CURRENT SET READ_COMMITTED_SNAPSHOT ON WITH ROLLBACK IMMEDIATE"
)

#: Values to begin with.
_EXAMPLES = {
    "SUBMIT_QUEUE_NAME": "submit-jobs",
    "TRIGGER_SCHEDULE": "0 * * * * *",
    "MONITOR_SCHEDULE": "30 * * * * *",
}

#: What the API takes. A host that reads more than the second lets strangers fill its memory.
_LARGEST_BODY_BYTES = 256 * 1024
_MOST_BODY_BYTES = 10 * 1024 * 1024


class _Looks:
    """Looks at one thing after another until the time is over; what is left then is reported as such.

    :param secrets: never appear in a finding.
    """

    def __init__(self, *, seconds: float, secrets: Iterable[str]) -> None:
        self.until = asyncio.get_running_loop().time() + seconds
        self._seconds = seconds
        self._secrets = tuple(secrets)

    async def finding(self, subject: str, look: Awaitable[str]) -> Finding:
        """Return what a look finds, or why it finds nothing."""
        try:
            async with asyncio.timeout_at(self.until):
                return self.found(Finding(subject=subject, ok=True, text=await look))
        except OrchestratorError as error:
            text = str(error)
        except ModuleNotFoundError as error:
            text = str(PackageMissing(error.name))
        except TimeoutError:
            text = f"no result within the {self._seconds:g} s that these checks may take"
        except Exception as error:  # noqa: BLE001 - the other findings are wanted all the more
            details = without(traceback.format_exc(), self._secrets)
            _logger.error("the check of %s failed:\n%s", subject, details)  # noqa: TRY400 - without secrets
            text = f"this check itself failed ({type(error).__name__}): the log has the details"
        return self.found(Finding(subject=subject, ok=False, text=text))

    def found(self, finding: Finding) -> Finding:
        """Return a finding without secrets."""
        return replace(finding, text=without(finding.text, self._secrets))

    def seconds_left(self) -> float:
        """Return how long looks may still take."""
        return max(0.0, self.until - asyncio.get_running_loop().time())


async def findings(
    application: AbstractAsyncContextManager[Application],
    environ: Mapping[str, str] | None = None,
    *,
    seconds: float,
) -> AsyncGenerator[Finding, None]:
    """Test everything; settings or a store that cannot be used at all are findings, too.

    :param application: makes and closes what is tested.
    :param environ: the settings that the Functions host reads; None = those of the process.
    :param seconds: for all tests; closing the application may take longer.
    """
    try:
        async with application as app, aclosing(run(app, seconds=seconds)) as stream:
            async for finding in stream:
                yield finding
    except SettingsError as error:
        for problem in error.problems:
            yield Finding(subject="settings", ok=False, text=problem)
        if lacking := host_lacks(environ):
            yield Finding(subject="settings", ok=False, text=_lacking(lacking))
        for finding in neighbours.findings(load_site(environ)):
            yield finding
    except StoreError as error:
        yield Finding(subject="store", ok=False, text=str(error))
    except PackageMissing as error:
        yield Finding(subject="packages", ok=False, text=str(error))


async def run(app: Application, *, seconds: float) -> AsyncGenerator[Finding, None]:
    """Test one thing after another, each even if an earlier one failed; workspaces at the same time.

    :param seconds: for all tests. The store has half of it, so that the others come up for themselves.
    """
    secrets = app.settings.secrets()
    first, then = (_Looks(seconds=each, secrets=secrets) for each in (seconds / 2, seconds))
    for finding in (_settings(app.settings), _bodies(app.settings), *neighbours.findings(app.settings.site)):
        yield first.found(finding)
    store_ok = True
    async for finding in _each(_exposure(app.settings.site_host), _store_parts(app, first)):
        store_ok = store_ok and (finding.ok or finding.subject != "store")
        yield finding
    workspaces = (_workspace(app, each, then, store_ok=store_ok) for each in app.settings.workspaces)
    async for finding in _each(_queue_parts(app, then), *workspaces):
        yield finding


async def _each(*parts: AsyncIterator[Finding]) -> AsyncIterator[Finding]:
    """Run the parts at the same time, and yield their findings in the order of the parts."""
    tasks = [asyncio.create_task(_all(part)) for part in parts]
    try:
        for task in tasks:
            for finding in await task:
                yield finding
    finally:
        for task in tasks:
            task.cancel()


async def _all(part: AsyncIterator[Finding]) -> list[Finding]:
    return [finding async for finding in part]


async def _store_parts(app: Application, looks: _Looks) -> AsyncIterator[Finding]:
    """Look at the store; what is in it is no question while it cannot be used."""
    store = await looks.finding("store", _store(app))
    yield store
    if not store.ok:
        return
    yield await looks.finding("entries", _entries(app))
    kinds = await looks.finding("kinds of tables", _kinds_of_tables(app))
    if not kinds.ok:
        yield kinds
    rules = await looks.finding("rules of track_processing", _rules(app))
    if not rules.ok:
        yield rules
    for workspace in app.settings.workspaces:
        place = await looks.finding(f"workspace {workspace.name}, address", _address(app, workspace))
        if not place.ok:
            yield place


async def _queue_parts(app: Application, looks: _Looks) -> AsyncIterator[Finding]:
    yield await looks.finding("queue", _queue(app))


async def _workspace(
    app: Application, workspace: WorkspaceSettings, looks: _Looks, *, store_ok: bool
) -> AsyncIterator[Finding]:
    """Look at a workspace: nothing can be read without a token, and no job of one that does not answer."""
    name = f"workspace {workspace.name}"
    token = await looks.finding(f"{name}, token", _token(app, workspace))
    yield token
    if not token.ok:
        return
    answers = await looks.finding(f"{name}, Databricks", _databricks(app, workspace, looks))
    yield answers
    if not answers.ok:
        return
    async for finding in _jobs(app, workspace, looks, store_ok=store_ok):
        yield finding


class _Problem(OrchestratorError):
    """Something responds, but not as it should."""


def _settings(settings: Settings) -> Finding:
    lacking = [_lacking(settings.host_lacks)] if settings.host_lacks else []
    if problems := [*lacking, *map(health.unresolved, settings.unresolved)]:
        return Finding(subject="settings", ok=False, text="; ".join(problems))
    names = ", ".join(workspace.name for workspace in settings.workspaces)
    through = "".join(f"; {proxy}" for proxy in settings.proxies.all())
    return Finding(subject="settings", ok=True, text=f"complete; workspaces: {names}{through}")


def _lacking(names: Sequence[str]) -> str:
    """Name settings without which the function app does not start."""
    given = ", ".join(f"{name} (e.g. {_EXAMPLES[name]})" for name in names)
    return f"set {given}: the function app does not start without"


async def _exposure(host: str | None) -> AsyncIterator[Finding]:
    """Look at how the function app is exposed to the network, if it runs in Azure."""
    if host is None:
        return
    plain_http, old_tls = await asyncio.gather(exposure.plain_http(host), exposure.old_tls(host))
    for subject, sight in (
        ("plain HTTP", plain_http),
        ("TLS", old_tls),
        ("publishing", exposure.publishing()),
    ):
        yield Finding(subject=f"function app, {subject}", ok=sight.ok, text=sight.text)


def _bodies(settings: Settings) -> Finding:
    """Look at how much of a request the Functions host reads before the app can refuse it."""
    limit, name = settings.request_body_limit, "FUNCTIONS_REQUEST_BODY_SIZE_LIMIT"
    subject, remedy = "request bodies", f"set {name} to 1048576"
    if limit is not None and limit < _LARGEST_BODY_BYTES:
        text = f"{name} is {limit}, and the API takes bodies of {_LARGEST_BODY_BYTES} bytes: {remedy}"
        return Finding(subject=subject, ok=False, text=text)
    if limit is not None and limit <= _MOST_BODY_BYTES:
        return Finding(subject=subject, ok=True, text=f"the host reads at most {limit} bytes")
    text = (
        f"the host reads {'100 MB' if limit is None else f'{limit} bytes'} from anybody who calls "
        f"/api/databricks-events before the app can refuse it: {remedy}"
    )
    # Without events nobody is told that address, so this is advice.
    return Finding(subject=subject, ok=settings.events_secret is None, text=text)


async def _store(app: Application) -> str:
    if (server := app.server_address()) is not None:
        await _reach(*server)
    try:
        version = await app.schema_version()
    except SchemaError as error:
        raise await _schema_problem(app, error) from error
    if missing := await app.missing_rights():
        raise _Problem(f"this login lacks rights; let an administrator run: {_grants(missing)}")
    waits = _READERS_WAIT if await app.readers_wait() else ""
    clock = await app.store.now()
    return f"answers, schema {version}, its clock says {clock:%Y-%m-%d %H:%M:%S} UTC{waits}"


async def _entries(app: Application) -> str:
    """Look for entries whose workspace the settings do not know."""
    found, now = await app.store.open_workspaces(), await app.store.now()
    known = [workspace.name for workspace in app.settings.workspaces]
    if problems := health.unknown_workspaces(found, known, now):
        raise _Problem("; ".join(problems))
    return "the settings know the workspaces of all that are open"


async def _kinds_of_tables(app: Application) -> str:
    """Look for tables whose rows cannot be changed as the app does."""
    if found := await app.ledger_tables():
        raise _Problem("; ".join(map(ledger_tables.problem, found)))
    return "ordinary ones"


async def _rules(app: Application) -> str:
    """Look for constraints that do not hold for all entries."""
    if names := ", ".join(await app.unenforced_rules()):
        remedy = f"ALTER TABLE track_processing WITH CHECK CHECK CONSTRAINT {names}"
        raise _Problem(
            f"somebody has switched off {names}, or loaded entries past them: load in bulk as docs/sql.md "
            f"says, set right what it finds, then run: {remedy}"
        )
    return "all hold"


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


async def _databricks(app: Application, workspace: WorkspaceSettings, looks: _Looks) -> str:
    more = ""
    try:
        active = await app.runs[workspace.name].active_runs(seconds=looks.seconds_left() / 2)
    except ListIncomplete as error:  # it answers; the pass has longer for its list
        active, more = error.runs, "at least "
    except Unauthorized as error:
        raise _Problem(f"{error}; check that the token is valid and of this workspace") from error
    except WorkspaceUnavailable as error:
        raise _Problem(f"{error}; check that {workspace.host} is a workspace and can be reached") from error
    return f"{workspace.host} answers, {more}{len(active)} active runs, cap {workspace.cap}"


async def _jobs(
    app: Application, workspace: WorkspaceSettings, looks: _Looks, *, store_ok: bool
) -> AsyncIterator[Finding]:
    """Look at the default job and at every other job that waiting entries name."""
    uses: dict[JobKey, list[JobUse]] = {JobKey(): []}
    with contextlib.suppress(StoreError, TimeoutError):  # the store has a finding of its own
        async with asyncio.timeout_at(looks.until):
            for use in await app.reports.waiting_jobs(workspace.name) if store_ok else ():
                uses.setdefault(use.key, []).append(use)
    name = f"workspace {workspace.name}"
    for key in list(uses)[:_MAX_JOBS]:
        subject = f"{name}, job{_shown(key)}"
        if key == JobKey() and workspace.job_id is None and workspace.job_name is None and not uses[key]:
            text = "no default job: every entry must name its job_id or job_name"
            yield Finding(subject=subject, ok=True, text=text)
        else:
            yield await looks.finding(subject, _job(app, workspace, key, uses[key]))
    if len(uses) > _MAX_JOBS:
        text = f"{len(uses) - _MAX_JOBS} further jobs that waiting entries name were not looked at"
        yield Finding(subject=f"{name}, jobs", ok=True, text=text)


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
