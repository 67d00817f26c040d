"""The composition root: settings become wired use cases. Nothing is connected before it is used."""

import asyncio
import functools
import logging
import time
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AsyncExitStack
from typing import TYPE_CHECKING
from uuid import UUID

from orchestrator import settings as settings_module
from orchestrator.adapters import credentials, queue
from orchestrator.adapters.clock import SystemClock
from orchestrator.adapters.http_session import Connections
from orchestrator.adapters.safe_telemetry import SafeTelemetry
from orchestrator.adapters.store import migrate, queries
from orchestrator.adapters.store.access_token import SqlToken
from orchestrator.adapters.store.alerts import AlertLog
from orchestrator.adapters.store.connector import (
    LOGIN_TIMEOUT_SECONDS,
    STATEMENT_TIMEOUT_SECONDS,
    Connector,
)
from orchestrator.adapters.store.entries import Store
from orchestrator.adapters.store.operations import Operations
from orchestrator.adapters.store.passes import PassLog
from orchestrator.adapters.store.pool import PATIENCE_SECONDS, Pool
from orchestrator.adapters.store.reports import Reports
from orchestrator.core import alerts, pass_budget
from orchestrator.core.errors import PackageMissing
from orchestrator.core.ledger_tables import LedgerTable
from orchestrator.core.models import AskedBy
from orchestrator.core.reports import Known, KnownWorkspace
from orchestrator.core.telemetry import NO_TELEMETRY
from orchestrator.core.urls import is_loopback, split_url
from orchestrator.ports import Clock, Telemetry
from orchestrator.settings import Settings
from orchestrator.settings.queue import QueueConnection
from orchestrator.settings.store import StoreSettings
from orchestrator.settings.workspaces import WorkspaceSettings
from orchestrator.usecases.alerting import Alerting
from orchestrator.usecases.jobs import Jobs
from orchestrator.usecases.monitor import Monitor
from orchestrator.usecases.operator import Operator
from orchestrator.usecases.overview import ActiveRuns, Overview
from orchestrator.usecases.planning import Planner
from orchestrator.usecases.purge import purge
from orchestrator.usecases.refill import Refill
from orchestrator.usecases.run_ended import RunEnded
from orchestrator.usecases.settle import Settle
from orchestrator.usecases.standstill import Standstill
from orchestrator.usecases.submit import Submit
from orchestrator.usecases.timer_pass import PassWork, TimerPass
from orchestrator.usecases.trigger import Trigger

if TYPE_CHECKING:
    from azure.core.credentials_async import AsyncTokenCredential

    from orchestrator.adapters.databricks.auth.token_source import TokenSource
    from orchestrator.adapters.databricks.client import DatabricksClient

_logger = logging.getLogger(__name__)

#: ``cloud_RoleName`` of an app that does not run in Azure.
_LOCAL_ROLE = "databricks-job-orchestrator"

#: Connections to a workspace for submissions and passes: ten submissions at once (host.json); in each of
#: three passes, those of the two timers and one that was asked for over HTTP, ten look-ups of runs that left
#: the list and ten of listed ones; and ten of jobs.
_CONNECTIONS = 80

#: Connections to a workspace for HTTP requests, so that they never delay a submission: ten events at once,
#: the listing for one claim that follows them, and one that all dashboards share.
_WEB_CONNECTIONS = 12

#: Connections to a workspace for its OAuth tokens: one token is fetched at a time.
_TOKEN_CONNECTIONS = 2

#: Connections to the database for HTTP requests.
_WEB_THREADS = 4

#: Time limit of a statement of a migration or an adoption. Adopting changes a whole table in few statements,
#: and the usual 30 seconds would not suffice for more than some million rows.
_MIGRATION_STATEMENT_SECONDS = 600

#: For ``GET /api/health``: those who ask give up after ten seconds or so. Its connection is its own, so that
#: no other request keeps it from answering, and its limits are short: the driver takes whole seconds, and
#: four more of them for a statement that gets no answer at all.
_HEALTH_SECONDS = 9.0
_HEALTH_LOGIN_SECONDS = 3
_HEALTH_STATEMENT_SECONDS = 4

#: HTTP requests soon say that the database is away, in seconds.
_WEB_PATIENCE_SECONDS = 3.0


class Application:
    """All use cases, wired from complete settings. Lives within one event loop.

    :param patience: how long the store waits for a database that asks to retry later, in seconds.
    :param sleep: waits between the store's tries.
    :param telemetry: where metrics and spans go.
    """

    def __init__(
        self,
        settings: Settings,
        *,
        patience: float = PATIENCE_SECONDS,
        sleep: Callable[[float], None] = time.sleep,
        telemetry: Telemetry = NO_TELEMETRY,
    ) -> None:
        logging.getLogger("azure").setLevel(logging.WARNING)  # the SDKs log every request at INFO
        self.settings = settings
        self.telemetry = telemetry = SafeTelemetry(telemetry)
        self.clock = SystemClock()
        self._schema_checked = False
        self._policies = {workspace.name: workspace.policy() for workspace in settings.workspaces}
        token = _sql_token(settings.store)
        database = connector(settings.store, token=token)
        pool = functools.partial(Pool, idle_seconds=settings.store.idle_seconds, sleep=sleep)
        self._pool = pool(database, patience=patience)
        web_patience = min(patience, _WEB_PATIENCE_SECONDS)
        self._web_pool = pool(database, threads=_WEB_THREADS, patience=web_patience)
        self._health_pool = pool(
            connector(
                settings.store,
                token=token,
                login_timeout_seconds=_HEALTH_LOGIN_SECONDS,
                statement_timeout_seconds=_HEALTH_STATEMENT_SECONDS,
            ),
            threads=1,
            patience=web_patience,
        )
        self.store = Store(self._pool)
        self.pass_log = PassLog(self._pool)
        self.web_store = Store(self._web_pool)
        self.queue = _queue(settings)
        self._workspaces = _Workspaces(settings, self.clock)
        self.tokens = self._workspaces.tokens
        self._connections = Connections(per_host=_CONNECTIONS)
        self._web_connections = Connections(per_host=_WEB_CONNECTIONS)
        self.runs = self._workspaces.clients(self._connections)
        self.jobs = Jobs(runs=self.runs, workspaces=self._policies, clock=self.clock)
        self.web_runs = self._workspaces.clients(self._web_connections)
        self._wire_functions()
        self._wire_operators()

    def _wire_functions(self) -> None:
        """Wire what the timer, queue and event functions do."""
        planner = Planner(
            store=self.store,
            runs=self.runs,
            workspaces=self._policies,
            policy=self.settings.policy,
            jobs=self.jobs,
        )
        self._submit = Submit(
            store=self.store,
            runs=self.runs,
            policy=self.settings.policy,
            clock=self.clock,
            planner=planner,
            telemetry=self.telemetry,
        )
        self._trigger = self._trigger_over(self.store, self.runs)
        web_trigger = self._trigger_over(self.web_store, self.web_runs)
        self.refill = Refill(trigger=web_trigger, clock=self.clock, is_off=self.settings.holds_claims)
        self._run_ended = RunEnded(
            store=self.web_store,
            runs=self.web_runs,
            workspaces=self._policies,
            settle=web_trigger.monitor.settle,
            refill=self.refill,
        )
        self._timer_pass = TimerPass(
            pass_log=self.pass_log,
            alerting=self._alerts(),
            telemetry=self.telemetry,
            clock=self.clock,
            check=functools.partial(self._check_schema, self._pool),
        )

    def _wire_operators(self) -> None:
        """Wire what operators read and do over HTTP."""
        self.reports = Reports(self._web_pool)
        active = ActiveRuns(self.web_runs, self.clock, self._trigger.lists)
        self.overview = _overview(self._web_pool, self.reports, self.settings, active, self.jobs)
        self._health = _overview(
            self._health_pool, Reports(self._health_pool), self.settings, active, self.jobs
        )
        self.operator = _operator(self.web_store, self.reports, self.settings.store)

    async def trigger(self, *, past_due: bool = False, asked_by: AskedBy = AskedBy.TIMER) -> list[str]:
        """Make a trigger pass and return its problems, a line each."""
        return await self._pass("trigger", self._trigger, past_due, asked_by)

    async def monitor(self, *, past_due: bool = False, asked_by: AskedBy = AskedBy.TIMER) -> list[str]:
        """Make a monitor pass and return its problems, a line each."""
        work = self._trigger.monitor if self.settings.holds_claims else self._trigger.watch
        return await self._pass("monitor", work, past_due, asked_by)

    async def submit(self, message: bytes) -> None:
        """Submit the entry of a queue message.

        :raises QueueError: the message is not one of ours; the host moves it to the poison queue.
        :raises TimeoutError: it was not done in ``pass_budget.INVOCATION_SECONDS``; it is safe to repeat.
        """
        claim = queue.decode(message)
        with self.telemetry.span("submit", entry_id=claim.entry_id, submission=claim.submission):
            async with asyncio.timeout(pass_budget.INVOCATION_SECONDS):
                await self._check_schema(self._pool)
                await self._submit(claim)

    async def run_ended(self, run_id: int) -> bool:
        """Check a run that is reported as over, and say whether its entry was finished.

        :raises StoreError: the entry could not be read or changed.
        :raises TimeoutError: it was not done in time; the next pass does the rest.
        """
        with self.telemetry.span("run ended", run_id=run_id):
            await self._check_schema(self._web_pool)
            return await self._run_ended(run_id)

    async def health(self) -> list[str]:
        """Return why the app does not do its work, one line each, in ``_HEALTH_SECONDS`` at most."""
        return (await self._health.health(seconds=_HEALTH_SECONDS)).reasons

    async def schema_version(self) -> int:
        """Read the version of the database's schema. :raises SchemaError: it is not this app's version."""
        return await self._web_pool.transact(migrate.check, writes=False)

    async def missing_rights(self) -> dict[str, list[str]]:
        """Return, by table, the rights that the app needs and its login lacks."""
        return await self._pool.transact(migrate.missing_rights, writes=True)

    async def readers_wait(self) -> bool:
        """Say whether who reads rows of the database waits for who writes them."""
        return await self._pool.transact(migrate.readers_wait, writes=False)

    async def unenforced_rules(self) -> list[str]:
        """Return the CHECK constraints that are switched off, or that a bulk load has passed by."""
        return await self._pool.transact(migrate.unenforced_rules, writes=False)

    async def ledger_tables(self) -> list[LedgerTable]:
        """Return the app's tables whose changes the database keeps for ever, or refuses."""
        return await self._pool.transact(migrate.ledger_tables, writes=False)

    def server_address(self) -> tuple[str, int] | None:
        """Return the database server's host and port; None for SQLite, or if the settings name neither."""
        from orchestrator.adapters.store import sqlserver

        connection_string = self.settings.store.sql_connection_string
        return None if connection_string is None else sqlserver.address(connection_string)

    async def close(self) -> None:
        """Close every connection, even if one of them cannot be closed."""
        async with AsyncExitStack() as last_first:
            for close in (
                *(self._pool.close, self._web_pool.close, self._health_pool.close, self.queue.close),
                *(self._connections.close, self._web_connections.close, self._workspaces.close),
                self.refill.close,
            ):
                last_first.push_async_callback(close)

    async def _pass(self, name: str, work: PassWork, past_due: bool, asked_by: AskedBy) -> list[str]:
        if past_due:
            _logger.warning("%s: this pass is late", name)
        return await self._timer_pass(name, work, asked_by=asked_by)

    def _alerts(self) -> Alerting | None:
        """Return what sends alerts; None = the settings name no receiver."""
        if self.settings.alerts is None:
            return None
        from orchestrator.adapters.webhook import Webhook

        return Alerting(
            store=AlertLog(self._pool),
            pass_log=self.pass_log,
            receiver=Webhook(
                self.settings.alerts.url,
                body=alerts.FORMATS[self.settings.alerts.format],
                session=self._web_connections.session,
                proxy=self.settings.proxies.of(self.settings.alerts.url),
            ),
            standstill=Standstill(reports=Reports(self._pool), workspaces=self._policies),
            pass_late_seconds=self.settings.pass_late_seconds,
            queued_seconds=2 * self.settings.policy.submit_lease_seconds,
        )

    async def _check_schema(self, pool: Pool) -> None:
        """Check once, before anything is written, that the tables are those of this version."""
        if not self._schema_checked:
            await pool.transact(migrate.check, writes=False)
            self._schema_checked = True

    def _trigger_over(self, store: Store, runs: Mapping[str, "DatabricksClient"]) -> Trigger:
        """Return a trigger, with its monitor, that uses these connections."""
        settle = Settle(
            store=store,
            runs=runs,
            policy=self.settings.policy,
            clock=self.clock,
            jobs=self.jobs,
            secrets=self.settings.secrets(),
            telemetry=self.telemetry,
        )
        monitor = Monitor(
            store=store,
            queue=self.queue,
            runs=runs,
            workspaces=self._policies,
            policy=self.settings.policy,
            clock=self.clock,
            settle=settle,
        )
        return Trigger(
            store=store,
            queue=self.queue,
            runs=runs,
            workspaces=self._policies,
            policy=self.settings.policy,
            monitor=monitor,
            jobs=self.jobs,
            clock=self.clock,
            telemetry=self.telemetry,
        )


class _Workspaces:
    """The Databricks workspaces of the settings: their tokens, and clients that use these."""

    def __init__(self, settings: Settings, clock: Clock) -> None:
        self._settings = settings
        self._clock = clock
        self._connections = Connections(per_host=_TOKEN_CONNECTIONS)
        self._identities: dict[str | None, credentials.SharedCredential] = {}
        self.tokens = {workspace.name: self._token_source(workspace) for workspace in settings.workspaces}

    def clients(self, connections: Connections) -> dict[str, "DatabricksClient"]:
        """Return a client of each workspace. All sets of clients share the tokens."""
        from orchestrator.adapters.databricks.client import DatabricksClient

        return {
            workspace.name: DatabricksClient(
                host=workspace.host,
                tokens=self.tokens[workspace.name],
                session=connections.session,
                clock=self._clock,
                workspace_id=workspace.workspace_id,
                proxy=self._settings.proxies.of(workspace.host),
            )
            for workspace in self._settings.workspaces
        }

    async def close(self) -> None:
        """Close the tokens' connections, even if one of them cannot be closed."""
        async with AsyncExitStack() as last_first:
            identities = (identity.close for identity in self._identities.values())
            for close in (
                self._connections.close,
                *identities,
                *(each.close for each in self.tokens.values()),
            ):
                last_first.push_async_callback(close)

    def _token_source(self, workspace: WorkspaceSettings) -> "TokenSource":
        if workspace.auth == "oauth":
            from orchestrator.adapters.databricks.auth.oauth import OAuthToken

            return OAuthToken(
                workspace.host,
                workspace.client_id or "",
                self._client_secret(workspace),
                session=self._connections.session,
                clock=self._clock,
                workspace_id=workspace.workspace_id,
                proxy=self._settings.proxies.of(workspace.host),
            )
        if workspace.auth == "entra":
            return self._entra_token(workspace)
        return self._secret(workspace.secret, workspace.token, "DATABRICKS_TOKEN")

    def _entra_token(self, workspace: WorkspaceSettings) -> "TokenSource":
        from orchestrator.adapters.databricks.auth.entra import EntraPrincipalToken, EntraToken

        if workspace.tenant_id is None:
            return EntraToken(self._identity(workspace.client_id).get, clock=self._clock)
        principal = functools.partial(
            credentials.service_principal, workspace.tenant_id, workspace.client_id or ""
        )
        return EntraPrincipalToken(self._client_secret(workspace), principal, clock=self._clock)

    def _client_secret(self, workspace: WorkspaceSettings) -> "TokenSource":
        return self._secret(workspace.client_secret_name, workspace.client_secret, "DATABRICKS_CLIENT_SECRET")

    def _secret(self, name: str | None, value: str | None, setting: str) -> "TokenSource":
        """Return a secret of Key Vault if it has a name there, else the setting's value."""
        url = self._settings.key_vault_url
        if name is None or url is None:
            from orchestrator.adapters.databricks.auth.token_source import StaticToken

            return StaticToken(value or "", setting)
        from orchestrator.adapters.databricks.auth.key_vault import KeyVaultToken

        return KeyVaultToken(
            url,
            name,
            self._identity(None).get,
            clock=self._clock,
            verify_challenge_resource=not is_loopback(split_url(url).hostname or ""),
            proxy=self._settings.proxies.of(url),
        )

    def _identity(self, client_id: str | None) -> credentials.SharedCredential:
        """Return the credential of an identity, which those who sign in with it share."""
        return self._identities.setdefault(client_id, credentials.SharedCredential(client_id))


class OperatorTools:
    """What operators read and do from the command line; only the store's settings must be complete.

    :param settings: None = they are incomplete.
    :param offline: do not ask Databricks.
    :param patience: how long the store waits for a database that asks to retry later, in seconds.
    :param sleep: waits between the store's tries.
    """

    def __init__(
        self,
        store: StoreSettings,
        settings: Settings | None,
        *,
        offline: bool,
        patience: float,
        sleep: Callable[[float], None],
    ) -> None:
        self._pool = Pool(connector(store), patience=patience, sleep=sleep)
        self._connections = Connections(per_host=_CONNECTIONS)
        self._workspaces: _Workspaces | None = None
        active: ActiveRuns | None = None
        jobs: Jobs | None = None
        if settings is not None and not offline:
            clock = SystemClock()
            self._workspaces = _Workspaces(settings, clock)
            runs = self._workspaces.clients(self._connections)
            active = ActiveRuns(runs, clock)
            policies = {workspace.name: workspace.policy() for workspace in settings.workspaces}
            jobs = Jobs(runs=runs, workspaces=policies, clock=clock)
        self._store = Store(self._pool)
        self.reports = Reports(self._pool)
        self.overview = _overview(self._pool, self.reports, settings, active, jobs)
        self.operator = _operator(self._store, self.reports, store)

    def purge(self, *, older_than_seconds: float) -> AsyncIterator[int]:
        """Delete old final entries; yield the total after each batch."""
        return purge(self._store, older_than_seconds=older_than_seconds)

    async def close(self) -> None:
        """Close every connection, even if one of them cannot be closed."""
        async with AsyncExitStack() as last_first:
            last_first.push_async_callback(self._pool.close)
            last_first.push_async_callback(self._connections.close)
            if self._workspaces is not None:
                last_first.push_async_callback(self._workspaces.close)


def _overview(
    pool: Pool,
    reports: Reports,
    settings: Settings | None,
    active: ActiveRuns | None,
    jobs: Jobs | None,
) -> Overview:
    return Overview(
        reports=reports,
        pass_log=PassLog(pool),
        check_schema=functools.partial(pool.transact, migrate.check, writes=False),
        schema_version=migrate.latest_version(),
        known=_known(settings) if settings is not None else None,
        active=active,
        jobs=jobs,
        trouble=lambda: pool.trouble,
    )


def _operator(store: Store, reports: Reports, settings: StoreSettings) -> Operator:
    return Operator(
        operations=Operations(store.pool),
        entries=store,
        reports=reports,
        inserts_refused=settings.inserts_refused,
    )


def _known(settings: Settings) -> Known:
    """Return what the overview needs of the settings."""
    workspaces = tuple(
        KnownWorkspace(
            name=each.name,
            host=each.host,
            workspace_id=each.workspace_id,
            job_id=each.job_id,
            job_name=each.job_name,
            cap=each.cap,
        )
        for each in settings.workspaces
    )
    return Known(
        workspaces=workspaces,
        policy=settings.policy,
        pass_late_seconds=settings.pass_late_seconds,
        unresolved=settings.unresolved,
    )


def _queue(settings: Settings) -> queue.StorageQueue:
    """Return the queue that carries the submissions."""
    return queue.StorageQueue(
        settings.queue_name,
        connection_string=settings.queue.connection_string,
        service_url=settings.queue.service_url,
        credential=_queue_credential(settings.queue),
    )


def _queue_credential(connection: QueueConnection) -> "Callable[[], AsyncTokenCredential]":
    """Return what makes the credential of the queue's sender."""
    if connection.managed:
        return functools.partial(
            credentials.managed_identity, connection.client_id, resource_id=connection.resource_id
        )
    if connection.tenant_id and connection.client_id and connection.client_secret:
        return functools.partial(
            credentials.service_principal,
            connection.tenant_id,
            connection.client_id,
            connection.client_secret,
        )
    return functools.partial(credentials.async_credential, connection.client_id)


def _sql_token(settings: StoreSettings) -> SqlToken:
    """Return what gives the access token for a connection string without credentials."""
    return SqlToken(functools.partial(credentials.blocking_credential, settings.client_id))


def connector(
    settings: StoreSettings,
    *,
    token: SqlToken | None = None,
    create: bool = False,
    login_timeout_seconds: int = LOGIN_TIMEOUT_SECONDS,
    statement_timeout_seconds: int = STATEMENT_TIMEOUT_SECONDS,
) -> Connector:
    """Return how to reach the state store.

    :param token: to be shared with other connectors; without it, one of its own.
    :param create: make the SQLite file when it is not there.
    :param login_timeout_seconds: for SQL Server.
    :param statement_timeout_seconds: for statements of SQL Server.
    :raises StoreError: the database's driver is not installed.
    """
    if settings.state_db is not None:
        from orchestrator.adapters.store.sqlite import SqliteConnector

        return SqliteConnector(settings.state_db, create=create)
    from orchestrator.adapters.store.sqlserver import SqlServerConnector

    return SqlServerConnector(
        settings.sql_connection_string or "",
        token=token or _sql_token(settings),
        login_timeout_seconds=login_timeout_seconds,
        statement_timeout_seconds=statement_timeout_seconds,
    )


class Setup:
    """Creates, upgrades or adopts the tables. All methods but :meth:`wake` and :meth:`close` block.

    :param create: create the SQLite file if it does not exist.
    :param patience: how long :meth:`wake` waits for the database, in seconds.
    :param sleep: waits between its tries.
    """

    def __init__(
        self, settings: StoreSettings, *, create: bool, patience: float, sleep: Callable[[float], None]
    ) -> None:
        self._settings = settings
        self._connector = connector(
            settings, create=create, statement_timeout_seconds=_MIGRATION_STATEMENT_SECONDS
        )
        self._pool = Pool(self._connector, threads=1, patience=patience, sleep=sleep)

    @staticmethod
    def latest_version() -> int:
        """Return the version of the schema that this app needs, the same for both databases."""
        return migrate.latest_version()

    @staticmethod
    def migrations(settings: StoreSettings, from_version: int) -> str:
        """Return the migrations after a version as one script, for a DBA to run."""
        return migrate.script(connector(settings).dialect, from_version)

    @staticmethod
    def queries() -> str:
        """Return every statement that the app runs on SQL Server, with its purpose, for a DBA to read."""
        return queries.script("sqlserver")

    async def wake(self) -> None:
        """Wait until the database accepts connections. :raises StoreError: it does not."""
        await Store(self._pool).now()

    def migrate(self) -> list[str]:
        """Bring the tables up to date and return the names of the migrations applied."""
        return [f"{each.version:04}_{each.name}" for each in migrate.apply(self._connector)]

    def adopt(self) -> list[str]:
        """Adopt the existing table and return what was done, one line each."""
        from orchestrator.adapters.store import adopt

        wanted = adopt.Adoption(
            table_name_column=self._settings.table_name_column,
            parameters_column=self._settings.parameters_column,
            status_map=self._settings.status_map,
        )
        return list(adopt.apply(self._connector, wanted).lines())

    def grant(self, name: str, client_id: UUID | None) -> list[str]:
        """Create the app's user if it is missing, grant what the app needs, and return the statements run."""
        from orchestrator.adapters.store import grants

        return grants.apply(self._connector, name, client_id)

    async def close(self) -> None:
        """Close the connections of :meth:`wake`."""
        await self._pool.close()


@functools.cache
def application() -> Application:
    """Return the process's application, made at the first invocation.

    :raises SettingsError: the settings cannot be used; each invocation says so until they can.
    :raises PackageMissing: the app was published without its packages.
    """
    settings = settings_module.load()
    telemetry = _telemetry(settings.telemetry_connection_string, _role(settings))
    try:
        return Application(settings, telemetry=telemetry)
    except ModuleNotFoundError as error:
        raise PackageMissing(error.name) from error


def _role(settings: Settings) -> str:
    """Return ``cloud_RoleName``: the first part of the app's own address. That of a slot has the slot in it.

    Not every plan tells the address; then it is the name that the Functions host makes.
    """
    if settings.site_host:
        return settings.site_host.partition(".")[0].lower()
    return settings.site.full_name if settings.site else _LOCAL_ROLE


def _telemetry(connection_string: str | None, role: str = _LOCAL_ROLE) -> Telemetry:
    """Return where metrics and spans go. The app works without: what is wrong with it is only logged."""
    if connection_string is None:
        return NO_TELEMETRY
    try:
        from orchestrator.adapters import azure_monitor

        return azure_monitor.start(connection_string, role)
    except Exception as error:  # noqa: BLE001 - the app never stands still for its telemetry
        # The text of the error may hold the connection string.
        _logger.error("no telemetry: APPLICATIONINSIGHTS_CONNECTION_STRING: %s", type(error).__name__)  # noqa: TRY400
        return NO_TELEMETRY
