"""Read the settings from the environment into one frozen, validated record. Nothing else reads it."""

import os
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar
from urllib.parse import parse_qsl

from orchestrator.core import health, pass_budget
from orchestrator.core.errors import SettingsError
from orchestrator.core.numbers import MAX_INT32
from orchestrator.core.policy import RETRY_MODES, Policy
from orchestrator.core.urls import PORT_RULE, is_loopback, split_url
from orchestrator.settings import local_file
from orchestrator.settings.proxies import Proxies, read_proxies
from orchestrator.settings.queue import QueueConnection, read_queue, read_queue_name
from orchestrator.settings.reader import Reader
from orchestrator.settings.site import Site, is_disabled, read_site
from orchestrator.settings.store import StoreSettings, read_store
from orchestrator.settings.workspaces import (
    WorkspaceSettings,
    read_key_vault_url,
    read_names,
    read_workspaces,
)

_T = TypeVar("_T")

#: The secret fields of an ODBC or a Storage connection string. ODBC puts braces around unusual values.
_SECRET_FIELD = re.compile(
    r"(?:^|;)\s*(?:pwd|password|accountkey|sharedaccesssignature)\s*=\s*(\{(?:[^}]|\}\})*\}|[^;]*)",
    re.IGNORECASE,
)


#: Shorter pieces of a webhook's address are ordinary words: ``services``, ``workflows``, ``2016-06-01``.
_SHORTEST_SIGNATURE = 20

#: Anybody on the internet can try to guess this secret, so it has at least this many characters.
_SHORTEST_EVENTS_SECRET = 16

#: The database adds these to its clock as a 32-bit number of milliseconds, which is at most 24 days.
_MAX_SECONDS = 2_000_000


@dataclass(frozen=True, kw_only=True)
class _AlertSettings:
    """Where alerts go when entries become DEAD or a timer function is late."""

    #: accepts a POST; its path or query may hold a signature, so it is never shown
    url: str = field(repr=False)
    #: ``json`` or ``teams`` (an Adaptive Card)
    format: str


@dataclass(frozen=True, kw_only=True)
class Settings:
    """Everything the app reads from its environment."""

    workspaces: tuple[WorkspaceSettings, ...]
    policy: Policy
    key_vault_url: str | None
    proxies: Proxies
    queue: QueueConnection
    queue_name: str
    trigger_schedule: str | None
    monitor_schedule: str | None
    #: names of settings that the Functions host needs and that are not set
    host_lacks: tuple[str, ...]
    store: StoreSettings
    #: None = no alerts are sent
    alerts: _AlertSettings | None
    #: a timer function whose last pass began longer ago than this is late
    pass_late_seconds: float
    #: bytes of a request's body that the Functions host reads at most; None = its own limit, 100 MB
    request_body_limit: int | None
    #: password of Databricks' notifications; None = the app refuses them
    events_secret: str | None = field(repr=False)
    #: of Application Insights; None = OpenTelemetry is not imported
    telemetry_connection_string: str | None = field(repr=False)
    #: the function trigger is disabled, so nothing is claimed unless somebody asks for a pass
    holds_claims: bool = False
    #: the app's own address in Azure; None = it does not run there
    site_host: str | None = None
    #: the function app or its slot; None = it does not run in Azure
    site: Site | None = None
    #: settings that the app does without, since Azure has not resolved what they refer to
    unresolved: tuple[str, ...] = ()

    def secrets(self) -> tuple[str, ...]:
        """Return the passwords, keys and tokens that must never be shown, whatever text holds them."""
        texts = (self.store.sql_connection_string or "", self.queue.connection_string or "")
        fields = [_bare(match[1]) for text in texts for match in _SECRET_FIELD.finditer(text)]
        signing_in = [text for each in self.workspaces for text in (each.token, each.client_secret) if text]
        signing_in += [self.queue.client_secret] if self.queue.client_secret else []
        events = [self.events_secret] if self.events_secret else []
        signatures = _signatures(self.alerts.url) if self.alerts else []
        return (*fields, *signing_in, *events, *signatures, *self.proxies.secrets())


def _signatures(url: str) -> list[str]:
    """Return the parts of a webhook's address that are long enough to be its signature."""
    parts = split_url(url)
    pieces = [*parts.path.split("/"), *(value for _, value in parse_qsl(parts.query))]
    return [piece for piece in pieces if len(piece) >= _SHORTEST_SIGNATURE]


def _bare(value: str) -> str:
    """Return a connection string's value without the braces that ODBC puts around it."""
    text = value.strip()
    return text[1:-1].replace("}}", "}") if text.startswith("{") else text


def load(environ: Mapping[str, str] | None = None) -> Settings:
    """Read all settings, by default those of the host.

    :raises SettingsError: lists every problem at once and shows no secret.
    """
    if environ is None and (other := local_file.other_stack(Path.cwd(), os.environ)):
        raise SettingsError([other])
    return _checked(_read, environ)


def host_lacks(environ: Mapping[str, str] | None = None) -> tuple[str, ...]:
    """Return the settings that the Functions host needs to start, and reads itself, and that are not set."""
    return _host_lacks(Reader(os.environ if environ is None else environ))


def _host_lacks(reader: Reader) -> tuple[str, ...]:
    names = ("SUBMIT_QUEUE_NAME", "TRIGGER_SCHEDULE", "MONITOR_SCHEDULE")
    return tuple(name for name in names if reader.text(name) is None)


def load_store(environ: Mapping[str, str] | None = None) -> StoreSettings:
    """Read only where the state is kept, for commands that need no more.

    :raises SettingsError: lists every problem at once and shows no secret.
    """
    return _checked(read_store, environ)


def load_site(environ: Mapping[str, str] | None = None) -> Site | None:
    """Read only the function app or its slot; None outside of Azure."""
    return read_site(Reader(os.environ if environ is None else environ))


def load_workspace_names(environ: Mapping[str, str] | None = None) -> frozenset[str] | None:
    """Read only the workspaces' names, which need no token. None = no workspace is set.

    :raises SettingsError: they cannot be read.
    """
    return _checked(read_names, environ)


def _checked(read: Callable[[Reader], _T], environ: Mapping[str, str] | None) -> _T:
    """Return what was read, by default from the process's environment, if no problem was found."""
    reader = Reader(os.environ if environ is None else environ)
    found = read(reader)
    if problems := reader.all_problems():
        raise SettingsError([*problems, *map(health.unresolved, reader.unresolved)])
    return found


def _read(reader: Reader) -> Settings:
    key_vault_url = read_key_vault_url(reader)
    return Settings(
        workspaces=read_workspaces(reader, key_vault_url),
        policy=_policy(reader),
        key_vault_url=key_vault_url,
        proxies=read_proxies(reader),
        queue=read_queue(reader),
        queue_name=read_queue_name(reader),
        trigger_schedule=_schedule(reader, "TRIGGER_SCHEDULE"),
        monitor_schedule=_schedule(reader, "MONITOR_SCHEDULE"),
        host_lacks=_host_lacks(reader),
        store=read_store(reader),
        alerts=_alerts(reader),
        pass_late_seconds=reader.number("TICK_LATE_SECONDS", 900, least=60, most=_MAX_SECONDS),
        request_body_limit=_request_body_limit(reader),
        events_secret=_events_secret(reader),
        telemetry_connection_string=reader.optional("APPLICATIONINSIGHTS_CONNECTION_STRING"),
        holds_claims=is_disabled(reader, "trigger"),
        site_host=reader.text("WEBSITE_HOSTNAME") if reader.in_azure else None,
        site=read_site(reader),
        unresolved=tuple(reader.unresolved),  # the last one, when all others are read
    )


def _alerts(reader: Reader) -> _AlertSettings | None:
    url, alert_format = reader.optional("ALERT_WEBHOOK_URL"), (reader.text("ALERT_FORMAT") or "json").lower()
    if alert_format not in {"json", "teams"}:
        reader.problems.append("ALERT_FORMAT must be json or teams")
    if url is None:
        return None
    parts = split_url(url)
    host = parts.hostname or ""
    is_safe = parts.scheme == "https" or (parts.scheme == "http" and is_loopback(host))
    if not host or not is_safe or "@" in parts.netloc:
        reader.problems.append(
            "ALERT_WEBHOOK_URL must be an https address without a user name or blanks (http only on this "
            f"machine); {PORT_RULE}"
        )
    return _AlertSettings(url=url, format=alert_format)


def _request_body_limit(reader: Reader) -> int | None:
    name = "FUNCTIONS_REQUEST_BODY_SIZE_LIMIT"
    return None if reader.text(name) is None else reader.whole(name, 0, least=1, most=MAX_INT32)


def _events_secret(reader: Reader) -> str | None:
    secret = reader.optional("EVENTS_SECRET")
    if secret is not None and len(secret) < _SHORTEST_EVENTS_SECRET:
        reader.problems.append(f"EVENTS_SECRET must have at least {_SHORTEST_EVENTS_SECRET} characters")
    return secret


def _policy(reader: Reader) -> Policy:
    return Policy(
        max_attempts=reader.whole("MAX_ATTEMPTS", 3, least=0, most=1_000_000),
        retry_backoff_seconds=reader.number("RETRY_BACKOFF_SECONDS", 60, least=0, most=3600),
        submit_lease_seconds=reader.number(
            "SUBMIT_LEASE_SECONDS", 900, least=pass_budget.SHORTEST_LEASE_SECONDS, most=86_400
        ),
        max_deliveries=reader.whole("MAX_DELIVERIES", 10, least=3, most=1_000_000),
        run_timeout_seconds=reader.number("RUN_TIMEOUT_SECONDS", 0, least=0, most=_MAX_SECONDS),
        serialize_tables=reader.flag("SERIALIZE_TABLES", True),
        queue_timeout_seconds=reader.number("QUEUE_TIMEOUT_SECONDS", 0, least=0, most=_MAX_SECONDS),
        retry_mode=_retry_mode(reader),
        retry_canceled_runs=reader.flag("RETRY_CANCELED_RUNS", False),
        max_platform_retries=reader.whole("MAX_PLATFORM_RETRIES", 10, least=0, most=1_000_000),
        store_results=reader.flag("STORE_RESULTS", False),
    )


def _retry_mode(reader: Reader) -> str:
    mode = (reader.text("RETRY_MODE") or RETRY_MODES[0]).lower()
    if mode not in RETRY_MODES:
        reader.problems.append(f"RETRY_MODE must be {' or '.join(RETRY_MODES)}")
    return mode


def _schedule(reader: Reader, name: str) -> str | None:
    """Return a schedule. The host validates it in full; this catches the five fields of ordinary cron."""
    text = reader.text(name)
    if text is not None and len(text.split()) != 6:
        reader.problems.append(
            f"{name} must have six fields: {{second}} {{minute}} {{hour}} {{day}} {{month}} {{day of week}}"
        )
    return text
