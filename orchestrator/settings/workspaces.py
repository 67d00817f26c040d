"""Read the settings of the Databricks workspaces: the default one, and further ones by name."""

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import SplitResult

from orchestrator.core.addresses import address_of
from orchestrator.core.numbers import MAX_ID, whole_of_text
from orchestrator.core.policy import WorkspacePolicy
from orchestrator.core.urls import PORT_RULE, is_host, is_loopback, split_url
from orchestrator.settings.reader import Reader
from orchestrator.settings.sign_in import SIGN_IN_KEYS, check_sign_in

DEFAULT_WORKSPACE = "default"

#: Keys of one workspace in ``DATABRICKS_WORKSPACES``.
_WORKSPACE_KEYS = SIGN_IN_KEYS | {"host", "workspace_id", "job_id", "job_name", "cap"}

#: A key of an object in a setting. Anything else may be a secret in the wrong place and is not shown.
_KEY = re.compile(r"[A-Za-z_]{1,30}")

#: Every pass reads ``runs/list`` to its last page; a workspace allows 2,000 task runs at once.
_MAX_CAP = 2000


@dataclass(frozen=True, kw_only=True)
class WorkspaceSettings:
    """One Databricks workspace: its address, how to sign in, its default job and its cap."""

    name: str
    #: https address of the workspace
    host: str
    #: tells the workspaces behind one host apart; None = the host has one workspace
    workspace_id: int | None
    #: ``pat`` (a personal access token), ``oauth`` (a service principal of Databricks) or ``entra``
    #: (Microsoft Entra ID)
    auth: str
    #: name of the secret in Key Vault that holds the token; None = ``token`` is used
    secret: str | None
    #: token from the environment, for local work
    token: str | None = field(repr=False)
    #: of the service principal, or, without a client secret, of a user-assigned managed identity; None = the
    #: app's own identity
    client_id: str | None
    #: of the service principal in Microsoft Entra ID; None = a managed identity, or Databricks' own
    tenant_id: str | None
    #: name of the secret in Key Vault that holds the client secret; None = ``client_secret`` is used, if any
    client_secret_name: str | None
    #: client secret from the environment, for local work
    client_secret: str | None = field(repr=False)
    #: default job of the workspace's entries; None = ``job_name``, or each entry names its own
    job_id: int | None
    #: name of the default job, in place of ``job_id``
    job_name: str | None
    #: highest number of active runs, foreign runs included
    cap: int

    @property
    def address(self) -> str:
        """Where the workspace is, as it is kept with its runs."""
        return address_of(self.host, self.workspace_id)

    def policy(self) -> WorkspacePolicy:
        """Return the part that the use cases need."""
        return WorkspacePolicy(
            name=self.name, job_id=self.job_id, job_name=self.job_name, cap=self.cap, address=self.address
        )


def read_key_vault_url(reader: Reader) -> str | None:
    """Return the address of the Key Vault, or None when it is not set."""
    url = reader.text("KEY_VAULT_URL")
    parts = split_url(url or "")
    if url is not None and (
        parts.scheme != "https" or not parts.hostname or "@" in parts.netloc or parts.query
    ):
        reader.problems.append("KEY_VAULT_URL must look like https://NAME.vault.azure.net")
    return url


def read_names(reader: Reader) -> frozenset[str] | None:
    """Return the workspaces' names. None = none is set, as on a machine that only inserts entries."""
    if reader.text("DATABRICKS_HOST") is None and reader.text("DATABRICKS_WORKSPACES") is None:
        return None
    return frozenset({DEFAULT_WORKSPACE, *_named(reader)})


def read_workspaces(reader: Reader, key_vault_url: str | None) -> tuple[WorkspaceSettings, ...]:
    """Return the default workspace and the further ones. No two may be the same workspace."""
    default = _workspace(
        reader,
        key_vault_url,
        DEFAULT_WORKSPACE,
        {key: reader.text(name) for key, name in _DEFAULT_LABELS.items()},
        _DEFAULT_LABELS,
    )
    workspaces = (default, *_further_workspaces(reader, key_vault_url))
    _check_places(reader, workspaces)
    return workspaces


def _check_places(reader: Reader, workspaces: Sequence[WorkspaceSettings]) -> None:
    by_host: dict[str, list[int | None]] = {}
    for workspace in workspaces:
        by_host.setdefault(workspace.host, []).append(workspace.workspace_id)
    for host, ids in sorted(by_host.items()):
        is_ambiguous = None in ids or len(set(ids)) < len(ids)
        if host and len(ids) > 1 and is_ambiguous:
            reader.problems.append(
                f"two workspaces have the host {host}, and each would fill a cap of its own: "
                "keep one of them, or give each the workspace_id of its own "
                "(DATABRICKS_WORKSPACE_ID for the default workspace)"
            )


_DEFAULT_LABELS = {
    "host": "DATABRICKS_HOST",
    "workspace_id": "DATABRICKS_WORKSPACE_ID",
    "auth": "DATABRICKS_AUTH",
    "secret": "DATABRICKS_TOKEN_SECRET",
    "token": "DATABRICKS_TOKEN",
    "client_id": "DATABRICKS_CLIENT_ID",
    "tenant_id": "DATABRICKS_TENANT_ID",
    "client_secret_name": "DATABRICKS_CLIENT_SECRET_NAME",
    "client_secret": "DATABRICKS_CLIENT_SECRET",
    "job_id": "DATABRICKS_JOB_ID",
    "job_name": "DATABRICKS_JOB_NAME",
    "cap": "MAX_ACTIVE_RUNS",
}


def _named(reader: Reader) -> dict[str, dict[str, Any]]:
    """Return the further workspaces by name, as they are written in the setting."""
    try:
        named = json.loads(reader.text("DATABRICKS_WORKSPACES") or "{}")
    except (ValueError, RecursionError):
        named = None
    if not isinstance(named, dict) or not all(isinstance(value, dict) for value in named.values()):
        reader.problems.append('DATABRICKS_WORKSPACES must be JSON like {"NAME": {"host": "https://…"}}')
        return {}
    return named


def _further_workspaces(reader: Reader, key_vault_url: str | None) -> list[WorkspaceSettings]:
    found = []
    for name, values in _named(reader).items():
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
    reader: Reader,
    key_vault_url: str | None,
    name: str,
    values: Mapping[str, Any],
    labels: Mapping[str, str],
) -> WorkspaceSettings:
    host = _host(reader, values.get("host"), labels["host"])
    texts = {key: None if values.get(key) is None else str(values[key]) for key in SIGN_IN_KEYS}
    auth = texts["auth"] = (texts["auth"] or "pat").lower()
    check_sign_in(reader, texts, labels, key_vault_url)
    return WorkspaceSettings(
        name=name,
        host=host,
        workspace_id=_whole_or_none(reader, values.get("workspace_id"), labels["workspace_id"], most=MAX_ID),
        auth=auth,
        secret=texts["secret"],
        token=texts["token"],
        client_id=texts["client_id"],
        tenant_id=texts["tenant_id"],
        client_secret_name=texts["client_secret_name"],
        client_secret=texts["client_secret"],
        job_id=_whole_or_none(reader, values.get("job_id"), labels["job_id"], most=MAX_ID),
        job_name=_job_name(reader, values, labels),
        cap=_whole_or_none(reader, values.get("cap"), labels["cap"], most=_MAX_CAP) or 130,
    )


def _job_name(reader: Reader, values: Mapping[str, Any], labels: Mapping[str, str]) -> str | None:
    name = values.get("job_name")
    if name is None:
        return None
    if not isinstance(name, str) or not name.strip() or not name.isprintable():
        reader.problems.append(f"{labels['job_name']} must be a job's name")
    if values.get("job_id") is not None:
        reader.problems.append(
            f"{labels['job_id']} and {labels['job_name']} are both set: "
            "keep the one that names the default job"
        )
    return str(name)


def _host(reader: Reader, value: object, label: str) -> str:
    text = str(value or "").rstrip("/")
    if not text:
        reader.problems.append(
            f"{label} must be set, e.g. https://adb-1234567890123456.7.azuredatabricks.net"
        )
        return ""
    url = split_url(text if "://" in text else f"https://{text}")
    if not _is_workspace_address(url):
        reader.problems.append(
            f"{label} must be an https address of a host, without a path or blanks (http only on this "
            f"machine); {PORT_RULE}"
        )
        return ""  # the value may be a secret in the wrong place, so it is not shown
    return _canonical(url)


def _canonical(url: SplitResult) -> str:
    """Return a workspace's address in the one form that tells whether two are the same.

    Capitals, a dot at the end of the name and the scheme's own port make no other host.
    """
    name = (url.hostname or "").rstrip(".")
    host = f"[{name}]" if ":" in name else name
    is_usual = url.port in {None, 443 if url.scheme == "https" else 80}
    return f"{url.scheme}://{host}" if is_usual else f"{url.scheme}://{host}:{url.port}"


def _is_workspace_address(url: SplitResult) -> bool:
    """Say whether it has a scheme, a host and a port only. A host without a dot may be a token."""
    host = url.hostname or ""
    if not is_host(host):
        return False
    if "@" in url.netloc or url.path or url.query or not ("." in host or is_loopback(host)):
        return False
    return url.scheme == "https" or (url.scheme == "http" and is_loopback(host))


def _whole_or_none(reader: Reader, value: object, label: str, *, most: int) -> int | None:
    if value is None:
        return None
    try:
        return whole_of_text(str(value), least=1, most=most)
    except ValueError as error:
        reader.problems.append(f"{label} {error}")
        return None
