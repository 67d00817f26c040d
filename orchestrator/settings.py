"""The settings: environment → one frozen, validated record. The only place that reads the environment."""

import json
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import SplitResult

from orchestrator.errors import SettingsError
from orchestrator.models import Policy, WorkspacePolicy
from orchestrator.net import is_loopback, split_url
from orchestrator.states import Status
from orchestrator.submissions import QueueConnection, queue_connection

DEFAULT_WORKSPACE = "default"

#: Keys of one workspace in ``DATABRICKS_WORKSPACES``.
_WORKSPACE_KEYS = frozenset({"host", "auth", "secret", "token", "job_id", "cap"})

#: Azure's rule for queue names.
_QUEUE_NAME = re.compile(r"^(?=.{3,63}$)[a-z0-9]+(-[a-z0-9]+)*$")

#: Azure's rule for names of secrets in Key Vault.
_SECRET_NAME = re.compile(r"[0-9A-Za-z-]{1,127}")

#: What takes the encryption or its check out of an ODBC or a Storage connection string.
_UNVERIFIED = re.compile(
    r"(?:^|;)\s*(?:TrustServerCertificate\s*=\s*\{?(?:yes|true|1)|Encrypt\s*=\s*\{?(?:no|false|optional|0))",
    re.IGNORECASE,
)
_PLAIN_STORAGE = re.compile(
    r"(?:^|;)\s*(?:DefaultEndpointsProtocol\s*=\s*http\s*(?:;|$)|\w+Endpoint\s*=\s*http:)", re.IGNORECASE
)

#: What a personal access token begins with. In the setting for the secret's name it would be shown.
_TOKEN = re.compile(r"dapi[0-9a-f]{16}")

#: The secret fields of an ODBC or a Storage connection string; ODBC has braces around odd values.
_SECRET_FIELD = re.compile(
    r"(?:^|;)\s*(?:pwd|password|accountkey|sharedaccesssignature)\s*=\s*(\{(?:[^}]|\}\})*\}|[^;]*)",
    re.IGNORECASE,
)

#: A key of an object in a setting; anything else may be a value in the wrong place, and is not shown.
_KEY = re.compile(r"[A-Za-z_]{1,30}")

#: ``runs/list`` is paged to the end for every tick; a workspace allows 2,000 task runs at once.
_MAX_CAP = 2000

#: The database adds these to its clock as a 32-bit number of milliseconds: 24 days at most.
_MAX_SECONDS = 2_000_000


@dataclass(frozen=True, kw_only=True)
class WorkspaceSettings:
    """One Databricks workspace: where it is, how to sign in, which job, how much of it to use."""

    name: str
    #: https address of the workspace
    host: str
    #: ``pat`` (a personal access token) or ``entra`` (Microsoft Entra ID)
    auth: str
    #: secret in Key Vault that holds the token; None = ``token`` is used
    secret: str | None
    #: token from the environment, for local work
    token: str | None = field(repr=False)
    job_id: int | None
    #: most active runs, foreign ones included
    cap: int

    def policy(self) -> WorkspacePolicy:
        """Return what the use cases need to know."""
        return WorkspacePolicy(name=self.name, job_id=self.job_id, cap=self.cap)


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

    def secrets(self) -> tuple[str, ...]:
        """Return what must never be shown, wherever it comes back from: passwords, keys, tokens."""
        texts = (self.store.sql_connection_string or "", self.queue.connection_string or "")
        fields = [_bare(match[1]) for text in texts for match in _SECRET_FIELD.finditer(text)]
        return (*fields, *(workspace.token for workspace in self.workspaces if workspace.token))


def _bare(value: str) -> str:
    """Return a connection string's value without the braces that ODBC puts around it."""
    text = value.strip()
    return text[1:-1].replace("}}", "}") if text.startswith("{") else text


def load(environ: Mapping[str, str] | None = None) -> Settings:
    """Read the settings.

    :raises SettingsError: lists every problem at once and shows no secret.
    """
    reader = _Reader(os.environ if environ is None else environ)
    settings = _read(reader)
    if reader.problems or settings is None:
        raise SettingsError(reader.problems)
    return settings


def load_store(environ: Mapping[str, str] | None = None) -> StoreSettings:
    """Read only where the state is kept, for commands that need no more.

    :raises SettingsError: lists every problem at once and shows no secret.
    """
    reader = _Reader(os.environ if environ is None else environ)
    store = _store(reader)
    if reader.problems:
        raise SettingsError(reader.problems)
    return store


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


class _Reader:
    """Reads single values and collects what is wrong with them."""

    def __init__(self, environ: Mapping[str, str]) -> None:
        self.environ = environ
        self.problems: list[str] = []

    def text(self, name: str) -> str | None:
        """Return a value without blanks around it; an empty one counts as not set."""
        return self.environ.get(name, "").strip() or None

    def number(self, name: str, default: float, *, least: float, most: float) -> float:
        text = self.text(name)
        if text is None:
            return default
        try:
            value = float(text)
        except ValueError:
            value = float("nan")
        if not least <= value <= most:
            self.problems.append(f"{name} must be a number from {least:,g} to {most:,.0f}")
            return default
        return value

    def whole(self, name: str, default: int, *, least: int, most: int) -> int:
        value = self.number(name, default, least=least, most=most)
        if value != int(value):
            self.problems.append(f"{name} must be a whole number")
        return int(value)

    def flag(self, name: str, default: bool) -> bool:
        text = (self.text(name) or str(default)).lower()
        if text not in {"true", "false", "1", "0"}:
            self.problems.append(f"{name} must be true or false")
        return text in {"true", "1"}


def _read(reader: _Reader) -> Settings | None:
    key_vault_url = _key_vault_url(reader)
    workspaces = _workspaces(reader, key_vault_url)
    queue_name = reader.text("SUBMIT_QUEUE_NAME") or "submit-jobs"
    if not _QUEUE_NAME.match(queue_name):
        reader.problems.append(
            "SUBMIT_QUEUE_NAME must be 3 to 63 lower-case letters, digits and single hyphens"
        )
    policy = _policy(reader)
    store = _store(reader)
    trigger_schedule = _schedule(reader, "TRIGGER_SCHEDULE")
    monitor_schedule = _schedule(reader, "MONITOR_SCHEDULE")
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
    )


def _policy(reader: _Reader) -> Policy:
    return Policy(
        max_attempts=reader.whole("MAX_ATTEMPTS", 3, least=0, most=1_000_000),
        retry_backoff_seconds=reader.number("RETRY_BACKOFF_SECONDS", 60, least=0, most=3600),
        submit_lease_seconds=reader.number("SUBMIT_LEASE_SECONDS", 900, least=1, most=86_400),
        max_deliveries=reader.whole("MAX_DELIVERIES", 10, least=3, most=1_000_000),
        run_timeout_seconds=reader.number("RUN_TIMEOUT_SECONDS", 0, least=0, most=_MAX_SECONDS),
        serialize_tables=reader.flag("SERIALIZE_TABLES", True),
    )


def _schedule(reader: _Reader, name: str) -> str | None:
    """The host validates a schedule in full; this catches the five fields of ordinary cron."""
    text = reader.text(name)
    if text is not None and len(text.split()) != 6:
        reader.problems.append(
            f"{name} must have six fields: {{second}} {{minute}} {{hour}} {{day}} {{month}} {{day of week}}"
        )
    return text


def _store(reader: _Reader) -> StoreSettings:
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


def _status_map(reader: _Reader) -> dict[str, Status]:
    text = reader.text("STATUS_MAP") or "{}"
    try:
        return {str(theirs): Status(ours) for theirs, ours in json.loads(text).items()}
    except (ValueError, AttributeError, TypeError):
        states = ", ".join(Status)
        reader.problems.append(f'STATUS_MAP must be JSON like {{"LOADED": "DONE"}}; the states are {states}')
        return {}


def _check_encryption(reader: _Reader, connection_string: str | None) -> None:
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


def _key_vault_url(reader: _Reader) -> str | None:
    url = reader.text("KEY_VAULT_URL")
    parts = split_url(url or "")
    if url is not None and (
        parts.scheme != "https" or not parts.hostname or "@" in parts.netloc or parts.query
    ):
        reader.problems.append("KEY_VAULT_URL must look like https://NAME.vault.azure.net")
    return url


def _workspaces(reader: _Reader, key_vault_url: str | None) -> tuple[WorkspaceSettings, ...]:
    default = _workspace(
        reader,
        key_vault_url,
        DEFAULT_WORKSPACE,
        {
            "host": reader.text("DATABRICKS_HOST"),
            "auth": reader.text("DATABRICKS_AUTH"),
            "secret": reader.text("DATABRICKS_TOKEN_SECRET"),
            "token": reader.text("DATABRICKS_TOKEN"),
            "job_id": reader.text("DATABRICKS_JOB_ID"),
            "cap": reader.text("MAX_ACTIVE_RUNS"),
        },
        _DEFAULT_LABELS,
    )
    workspaces = (default, *_further_workspaces(reader, key_vault_url))
    hosts = [workspace.host.lower() for workspace in workspaces if workspace.host]
    for host in sorted({host for host in hosts if hosts.count(host) > 1}):
        reader.problems.append(f"two workspaces have the host {host}: each would fill the cap of its own")
    return workspaces


_DEFAULT_LABELS = {
    "host": "DATABRICKS_HOST",
    "auth": "DATABRICKS_AUTH",
    "secret": "DATABRICKS_TOKEN_SECRET",
    "token": "DATABRICKS_TOKEN",
    "job_id": "DATABRICKS_JOB_ID",
    "cap": "MAX_ACTIVE_RUNS",
}


def _further_workspaces(reader: _Reader, key_vault_url: str | None) -> list[WorkspaceSettings]:
    text = reader.text("DATABRICKS_WORKSPACES")
    if text is None:
        return []
    try:
        named = json.loads(text)
    except ValueError:
        named = None
    if not isinstance(named, dict) or not all(isinstance(value, dict) for value in named.values()):
        reader.problems.append('DATABRICKS_WORKSPACES must be JSON like {"NAME": {"host": "https://…"}}')
        return []
    found = []
    for name, values in named.items():
        label = f"DATABRICKS_WORKSPACES.{name}"
        if name == DEFAULT_WORKSPACE or not 0 < len(name) <= 64:
            reader.problems.append(f"{label}: a name has 1 to 64 characters and is not '{DEFAULT_WORKSPACE}'")
        unknown = sorted(set(values) - _WORKSPACE_KEYS)
        if unknown:
            allowed = ", ".join(sorted(_WORKSPACE_KEYS))
            shown = ", ".join(key if _KEY.fullmatch(key) else "(not a name)" for key in unknown)
            reader.problems.append(f"{label}: unknown keys {shown}; allowed: {allowed}")
        labels = {key: f"{label}.{key}" for key in _WORKSPACE_KEYS}
        found.append(_workspace(reader, key_vault_url, name, values, labels))
    return found


def _workspace(
    reader: _Reader,
    key_vault_url: str | None,
    name: str,
    values: Mapping[str, Any],
    labels: Mapping[str, str],
) -> WorkspaceSettings:
    host = _host(reader, values.get("host"), labels["host"])
    auth = str(values.get("auth") or "pat").lower()
    if auth not in {"pat", "entra"}:
        reader.problems.append(f"{labels['auth']} must be pat or entra")
    secret = values.get("secret")
    token = values.get("token")
    if auth == "pat":
        _check_token_source(reader, labels, secret, token, key_vault_url)
    return WorkspaceSettings(
        name=name,
        host=host,
        auth=auth,
        secret=None if secret is None else str(secret),
        token=None if token is None else str(token),
        job_id=_whole_or_none(reader, values.get("job_id"), labels["job_id"], most=2**63 - 1),
        cap=_whole_or_none(reader, values.get("cap"), labels["cap"], most=_MAX_CAP) or 130,
    )


def _check_token_source(
    reader: _Reader, labels: Mapping[str, str], secret: object, token: object, key_vault_url: str | None
) -> None:
    if secret is not None and token is not None:
        reader.problems.append(
            f"{labels['secret']} and {labels['token']} are both set: "
            "keep the first in Azure, the second for local work"
        )
    elif secret is not None and (not _SECRET_NAME.fullmatch(str(secret)) or _TOKEN.match(str(secret))):
        reader.problems.append(
            f"{labels['secret']} must be the name of a secret in Key Vault (letters, digits and hyphens), "
            "not the token itself"
        )
    elif secret is not None and key_vault_url is None:
        reader.problems.append(f"{labels['secret']} needs KEY_VAULT_URL")
    elif secret is None and token is None:
        reader.problems.append(
            f"no token: set KEY_VAULT_URL and {labels['secret']}, or {labels['token']} for local work"
        )


def _host(reader: _Reader, value: object, label: str) -> str:
    text = str(value or "").rstrip("/")
    if not text:
        reader.problems.append(
            f"{label} must be set, e.g. https://adb-1234567890123456.7.azuredatabricks.net"
        )
        return ""
    url = split_url(text if "://" in text else f"https://{text}")
    if not _is_workspace_address(url):
        reader.problems.append(
            f"{label} must be an https address without a path (http only for this machine)"
        )
        return ""  # whatever it is, it is not shown
    return url.geturl()


def _is_workspace_address(url: SplitResult) -> bool:
    """Say whether nothing but scheme, host and port is there; a host without a dot may be a token."""
    host = url.hostname or ""
    if "@" in url.netloc or url.path or url.query or not ("." in host or is_loopback(host)):
        return False
    return url.scheme == "https" or (url.scheme == "http" and is_loopback(host))


def _whole_or_none(reader: _Reader, value: object, label: str, *, most: int) -> int | None:
    if value is None:
        return None
    text = str(value)
    if isinstance(value, bool) or not text.isascii() or not text.isdigit() or not 0 < int(text[:20]) <= most:
        reader.problems.append(f"{label} must be a whole number from 1 to {most}")
        return None
    return int(text)
