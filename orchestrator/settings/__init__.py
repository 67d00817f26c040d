"""The settings: environment → one frozen, validated record. The only place that reads the environment."""

import json
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import parse_qsl

from orchestrator.adapters.queue import QueueConnection, queue_connection
from orchestrator.core.errors import SettingsError
from orchestrator.core.policy import Policy
from orchestrator.core.states import Status
from orchestrator.core.urls import PORT_RULE, is_loopback, split_url
from orchestrator.settings.reader import Reader
from orchestrator.settings.workspaces import (
    WorkspaceSettings,
    read_key_vault_url,
    read_names,
    read_workspaces,
)

#: Azure's rule for queue names.
_QUEUE_NAME = re.compile(r"^(?=.{3,63}$)[a-z0-9]+(-[a-z0-9]+)*$")


#: What takes the encryption or its check out of an ODBC or a Storage connection string.
_UNVERIFIED = re.compile(
    r"(?:^|;)\s*(?:TrustServerCertificate\s*=\s*\{?(?:yes|true|1)|Encrypt\s*=\s*\{?(?:no|false|optional|0))",
    re.IGNORECASE,
)
_PLAIN_STORAGE = re.compile(
    r"(?:^|;)\s*(?:DefaultEndpointsProtocol\s*=\s*http\s*(?:;|$)|\w+Endpoint\s*=\s*http:)", re.IGNORECASE
)


#: The secret fields of an ODBC or a Storage connection string; ODBC has braces around odd values.
_SECRET_FIELD = re.compile(
    r"(?:^|;)\s*(?:pwd|password|accountkey|sharedaccesssignature)\s*=\s*(\{(?:[^}]|\}\})*\}|[^;]*)",
    re.IGNORECASE,
)


#: Shorter pieces of a webhook's address are ordinary words: ``services``, ``workflows``, ``2016-06-01``.
_SHORTEST_SIGNATURE = 20

#: A secret that anybody on the internet may try is no shorter.
_SHORTEST_EVENTS_SECRET = 16

#: The database adds these to its clock as a 32-bit number of milliseconds: 24 days at most.
_MAX_SECONDS = 2_000_000


@dataclass(frozen=True, kw_only=True)
class StoreSettings:
    """Where the state is kept: exactly one of the first two is set."""

    #: ODBC connection string of Azure SQL or SQL Server
    sql_connection_string: str | None = field(repr=False)
    #: SQLite file
    state_db: Path | None
    #: user-assigned managed identity for a connection string without credentials; None = the app's own
    client_id: str | None
    #: for ``init-db --adopt``: a team's own columns for the table's name and for the parameters
    table_name_column: str
    parameters_column: str
    #: for ``init-db --adopt``: the team's own status values and ours for them
    status_map: Mapping[str, Status]

    @property
    def inserts_refused(self) -> str | None:
        """Why the app itself inserts no rows: the table may ask for more than it knows. None = it does."""
        if (self.table_name_column, self.parameters_column) == ("table_name", "parameters"):
            return None
        return (
            f"this table's own columns are {self.table_name_column} and {self.parameters_column}: "
            "insert rows by SQL into them"
        )


@dataclass(frozen=True, kw_only=True)
class AlertSettings:
    """Whom to tell when rows go DEAD or a timer function is late."""

    #: takes a POST; its path or query may hold a signature, so it is never shown
    url: str = field(repr=False)
    #: ``json`` or ``teams`` (an Adaptive Card)
    format: str


@dataclass(frozen=True, kw_only=True)
class Settings:
    """Everything the app reads from its environment."""

    workspaces: tuple[WorkspaceSettings, ...]
    policy: Policy
    key_vault_url: str | None
    queue: QueueConnection
    queue_name: str
    trigger_schedule: str | None
    monitor_schedule: str | None
    store: StoreSettings
    #: None = nobody is told
    alerts: AlertSettings | None
    #: a timer function that has not begun for so long is late
    pass_late_seconds: float
    #: password of Databricks' notifications; None = they are not taken
    events_secret: str | None = field(repr=False)
    #: of Application Insights; None = OpenTelemetry is not even imported
    telemetry_connection_string: str | None = field(repr=False)

    def secrets(self) -> tuple[str, ...]:
        """Return what must never be shown, wherever it comes back from: passwords, keys, tokens."""
        texts = (self.store.sql_connection_string or "", self.queue.connection_string or "")
        fields = [_bare(match[1]) for text in texts for match in _SECRET_FIELD.finditer(text)]
        tokens = [workspace.token for workspace in self.workspaces if workspace.token]
        events = [self.events_secret] if self.events_secret else []
        return (*fields, *tokens, *events, *(_signatures(self.alerts.url) if self.alerts else ()))


def _signatures(url: str) -> list[str]:
    """Return the parts of a webhook's address that are long enough to be what keeps it secret."""
    parts = split_url(url)
    pieces = [*parts.path.split("/"), *(value for _, value in parse_qsl(parts.query))]
    return [piece for piece in pieces if len(piece) >= _SHORTEST_SIGNATURE]


def _bare(value: str) -> str:
    """Return a connection string's value without the braces that ODBC puts around it."""
    text = value.strip()
    return text[1:-1].replace("}}", "}") if text.startswith("{") else text


def load(environ: Mapping[str, str] | None = None) -> Settings:
    """Read the settings.

    :raises SettingsError: lists every problem at once and shows no secret.
    """
    reader = Reader(os.environ if environ is None else environ)
    settings = _read(reader)
    if reader.problems or settings is None:
        raise SettingsError(reader.problems)
    return settings


def load_store(environ: Mapping[str, str] | None = None) -> StoreSettings:
    """Read only where the state is kept, for commands that need no more.

    :raises SettingsError: lists every problem at once and shows no secret.
    """
    reader = Reader(os.environ if environ is None else environ)
    store = _store(reader)
    if reader.problems:
        raise SettingsError(reader.problems)
    return store


def load_workspace_names(environ: Mapping[str, str] | None = None) -> frozenset[str] | None:
    """Read only the workspaces' names, which need no token; None where no workspace is set.

    :raises SettingsError: they cannot be read.
    """
    reader = Reader(os.environ if environ is None else environ)
    names = read_names(reader)
    if reader.problems:
        raise SettingsError(reader.problems)
    return names


def environment(folder: Path) -> dict[str, str]:
    """Return the environment over the ``Values`` of a ``local.settings.json``, as the Functions hosts do.

    :raises SettingsError: the file is there and cannot be read.
    """
    path = folder / "local.settings.json"
    if not path.exists():
        return dict(os.environ)
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        values = {str(name): str(value) for name, value in content["Values"].items()}
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise SettingsError([f"{path} is not JSON with an object Values ({type(error).__name__})"]) from error
    return {**values, **os.environ}


def _read(reader: Reader) -> Settings | None:
    key_vault_url = read_key_vault_url(reader)
    workspaces = read_workspaces(reader, key_vault_url)
    queue_name = reader.text("SUBMIT_QUEUE_NAME") or "submit-jobs"
    if not _QUEUE_NAME.match(queue_name):
        reader.problems.append(
            "SUBMIT_QUEUE_NAME must be 3 to 63 lower-case letters, digits and single hyphens"
        )
    policy = _policy(reader)
    store = _store(reader)
    trigger_schedule = _schedule(reader, "TRIGGER_SCHEDULE")
    monitor_schedule = _schedule(reader, "MONITOR_SCHEDULE")
    alerts = _alerts(reader)
    pass_late_seconds = reader.number("TICK_LATE_SECONDS", 900, least=60, most=_MAX_SECONDS)
    events_secret = _events_secret(reader)
    try:
        queue = queue_connection(reader.environ)
    except ValueError as error:
        reader.problems.append(str(error))
        return None
    return Settings(
        workspaces=workspaces,
        policy=policy,
        key_vault_url=key_vault_url,
        queue=queue,
        queue_name=queue_name,
        trigger_schedule=trigger_schedule,
        monitor_schedule=monitor_schedule,
        store=store,
        alerts=alerts,
        pass_late_seconds=pass_late_seconds,
        events_secret=events_secret,
        telemetry_connection_string=reader.text("APPLICATIONINSIGHTS_CONNECTION_STRING"),
    )


def _alerts(reader: Reader) -> AlertSettings | None:
    url, shape = reader.text("ALERT_WEBHOOK_URL"), (reader.text("ALERT_FORMAT") or "json").lower()
    if shape not in {"json", "teams"}:
        reader.problems.append("ALERT_FORMAT must be json or teams")
    if url is None:
        return None
    parts = split_url(url)
    host = parts.hostname or ""
    is_safe = parts.scheme == "https" or (parts.scheme == "http" and is_loopback(host))
    if not host or not is_safe or "@" in parts.netloc:
        reader.problems.append(
            "ALERT_WEBHOOK_URL must be an https address without a user name or blanks (http only for this "
            f"machine); {PORT_RULE}"
        )
    return AlertSettings(url=url, format=shape)


def _events_secret(reader: Reader) -> str | None:
    secret = reader.text("EVENTS_SECRET")
    if secret is not None and len(secret) < _SHORTEST_EVENTS_SECRET:
        reader.problems.append(f"EVENTS_SECRET must have at least {_SHORTEST_EVENTS_SECRET} characters")
    return secret


def _policy(reader: Reader) -> Policy:
    return Policy(
        max_attempts=reader.whole("MAX_ATTEMPTS", 3, least=0, most=1_000_000),
        retry_backoff_seconds=reader.number("RETRY_BACKOFF_SECONDS", 60, least=0, most=3600),
        submit_lease_seconds=reader.number("SUBMIT_LEASE_SECONDS", 900, least=1, most=86_400),
        max_deliveries=reader.whole("MAX_DELIVERIES", 10, least=3, most=1_000_000),
        run_timeout_seconds=reader.number("RUN_TIMEOUT_SECONDS", 0, least=0, most=_MAX_SECONDS),
        serialize_tables=reader.flag("SERIALIZE_TABLES", True),
    )


def _schedule(reader: Reader, name: str) -> str | None:
    """The host validates a schedule in full; this catches the five fields of ordinary cron."""
    text = reader.text(name)
    if text is not None and len(text.split()) != 6:
        reader.problems.append(
            f"{name} must have six fields: {{second}} {{minute}} {{hour}} {{day}} {{month}} {{day of week}}"
        )
    return text


def _store(reader: Reader) -> StoreSettings:
    connection_string, state_db = reader.text("SQL_CONNECTION_STRING"), reader.text("STATE_DB")
    if (connection_string is None) == (state_db is None):
        reader.problems.append(
            "set exactly one of SQL_CONNECTION_STRING (Azure SQL, SQL Server) and STATE_DB (SQLite file)"
        )
    if state_db is not None and _in_azure(reader.environ):
        reader.problems.append(
            "STATE_DB is for one machine only and is refused in Azure: set SQL_CONNECTION_STRING"
        )
    if state_db is not None and ";" in state_db:
        reader.problems.append(
            "STATE_DB must be a SQLite file's path; a connection string belongs into SQL_CONNECTION_STRING"
        )
    if _in_azure(reader.environ):
        _check_encryption(reader, connection_string)
    return StoreSettings(
        sql_connection_string=connection_string,
        state_db=None if state_db is None else Path(state_db),
        client_id=reader.text("AZURE_CLIENT_ID"),
        table_name_column=reader.text("TABLE_NAME_COLUMN") or "table_name",
        parameters_column=reader.text("PARAMETERS_COLUMN") or "parameters",
        status_map=_status_map(reader),
    )


def _status_map(reader: Reader) -> dict[str, Status]:
    text = reader.text("STATUS_MAP") or "{}"
    try:
        return {str(theirs): Status(ours) for theirs, ours in json.loads(text).items()}
    except (ValueError, AttributeError, TypeError):
        states = ", ".join(Status)
        reader.problems.append(f'STATUS_MAP must be JSON like {{"LOADED": "DONE"}}; the states are {states}')
        return {}


def _check_encryption(reader: Reader, connection_string: str | None) -> None:
    """Nothing in Azure needs an unencrypted connection, or one to a server that cannot prove its name."""
    if _UNVERIFIED.search(connection_string or ""):
        reader.problems.append(
            "SQL_CONNECTION_STRING turns encryption or the check of the certificate off, which is refused in "
            "Azure: leave Encrypt and TrustServerCertificate out"
        )
    if _PLAIN_STORAGE.search(reader.text("AzureWebJobsStorage") or ""):
        reader.problems.append("AzureWebJobsStorage uses plain http, which is refused in Azure")


def _in_azure(environ: Mapping[str, str]) -> bool:
    """Azure sets WEBSITE_SITE_NAME on every plan; Core Tools calls its own environment Development."""
    return (
        bool(environ.get("WEBSITE_SITE_NAME")) and environ.get("AZURE_FUNCTIONS_ENVIRONMENT") != "Development"
    )
