"""Check how the app is to sign in to a workspace: what each way needs, and what contradicts it."""

import re
from collections.abc import Mapping

from orchestrator.settings.reader import Reader

#: Ways to sign in: a personal access token, a service principal of Databricks, Microsoft Entra ID.
_WAYS = ("pat", "oauth", "entra")

#: Keys of a workspace that say how to sign in.
SIGN_IN_KEYS = frozenset(
    {"auth", "secret", "token", "client_id", "tenant_id", "client_secret_name", "client_secret"}
)

#: Azure's rule for names of secrets in Key Vault.
_SECRET_NAME = re.compile(r"[0-9A-Za-z-]{1,127}")

#: What a personal access token and a client secret of Databricks begin with. Names and ids are shown, so they
#: must not be one.
_TOKEN = re.compile(r"(?:dapi|dose)[0-9a-f]{16}")

#: A client id is a GUID; a tenant id is one, or a domain.
_ID = re.compile(r"[0-9A-Za-z.-]{1,128}")

#: The values and the settings' names of one workspace, both by key.
_Texts = Mapping[str, str | None]
_Labels = Mapping[str, str]


def check_sign_in(reader: Reader, values: _Texts, labels: _Labels, key_vault_url: str | None) -> None:
    """Report what is missing, wrong or contradictory."""
    auth = values["auth"]
    if auth not in _WAYS:
        reader.problems.append(f"{labels['auth']} must be pat, oauth or entra")
    for key in ("client_id", "tenant_id"):
        _check_id(reader, values[key], labels[key])
    if auth == "pat":
        _check_secret(reader, ("secret", "token"), values, labels, key_vault_url)
        _refuse(reader, ("client_id", "tenant_id", "client_secret_name", "client_secret"), values, labels)
    elif auth == "oauth":
        _require(reader, ("client_id",), values, labels)
        _check_secret(reader, ("client_secret_name", "client_secret"), values, labels, key_vault_url)
        _refuse(reader, ("tenant_id",), values, labels)
    elif auth == "entra" and any(values[key] for key in ("tenant_id", "client_secret_name", "client_secret")):
        _require(reader, ("tenant_id", "client_id"), values, labels)
        _check_secret(reader, ("client_secret_name", "client_secret"), values, labels, key_vault_url)


def _require(reader: Reader, keys: tuple[str, ...], values: _Texts, labels: _Labels) -> None:
    for key in keys:
        if values[key] is None:
            reader.problems.append(f"{labels[key]} must be set to sign in with a client secret")


def _refuse(reader: Reader, keys: tuple[str, ...], values: _Texts, labels: _Labels) -> None:
    given = [labels[key] for key in keys if values[key] is not None]
    if given:
        reader.problems.append(
            f"{labels['auth']} is {values['auth']}, which does not use {' and '.join(given)}: "
            f"set {labels['auth']} to the way that you mean, or remove the rest"
        )


def _check_id(reader: Reader, value: str | None, label: str) -> None:
    if value is not None and (not _ID.fullmatch(value) or _TOKEN.match(value)):
        reader.problems.append(
            f"{label} must be an id such as 01234567-89ab-cdef-0123-456789abcdef, not a secret"
        )


def _check_secret(
    reader: Reader, keys: tuple[str, str], values: _Texts, labels: _Labels, key_vault_url: str | None
) -> None:
    """Check that exactly one of two is given: the name of a secret in Key Vault, or its value."""
    name, value = (values[key] for key in keys)
    name_label, value_label = (labels[key] for key in keys)
    what = "token" if keys[1] == "token" else "client secret"
    if name is not None and value is not None:
        reader.problems.append(
            f"{name_label} and {value_label} are both set: "
            "keep only the first in Azure, only the second for local work"
        )
    elif name is not None and (not _SECRET_NAME.fullmatch(name) or _TOKEN.match(name)):
        reader.problems.append(
            f"{name_label} must be the name of a secret in Key Vault (letters, digits and hyphens), "
            f"not the {what} itself"
        )
    elif name is not None and key_vault_url is None:
        reader.problems.append(f"{name_label} needs KEY_VAULT_URL")
    elif name is None and value is None:
        reader.problems.append(
            f"no {what}: set KEY_VAULT_URL and {name_label}, or {value_label} for local work"
        )
