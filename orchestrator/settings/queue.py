"""Read how to reach the Storage account whose queue carries the submissions."""

import base64
import binascii
import re
from collections.abc import Mapping
from dataclasses import dataclass, field

from orchestrator.core.urls import split_url
from orchestrator.settings.reader import Reader

#: The account of Azurite and of the old Storage Emulator, the same on every machine:
#: https://learn.microsoft.com/azure/storage/common/storage-connect-azurite#connection-strings
_DEVELOPMENT_STORAGE = (
    "DefaultEndpointsProtocol=http;AccountName=devstoreaccount1;"
    "AccountKey=Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw==;"
    "QueueEndpoint=http://127.0.0.1:10001/devstoreaccount1"
)

#: Azure's rule for queue names.
_QUEUE_NAME = re.compile(r"^(?=.{3,63}$)[a-z0-9]+(-[a-z0-9]+)*$")

#: What makes a Storage connection string use plain http.
_PLAIN_HTTP = re.compile(
    r"(?:^|;)\s*(?:DefaultEndpointsProtocol\s*=\s*http\s*(?:;|$)|\w+Endpoint\s*=\s*http:)", re.IGNORECASE
)

#: What the Functions host can do besides, and the sender cannot.
_UNSUPPORTED = (
    "clientCertificate", "managedIdentityObjectId", "managedIdentityClientId", "serviceConnectionId",
    "tokenFilePath",
)  # fmt: skip

#: Azure's rule for names of Storage accounts.
_ACCOUNT_NAME = re.compile(r"[a-z0-9]{3,24}")


@dataclass(frozen=True, kw_only=True)
class QueueConnection:
    """How to reach the Storage account's queues: with a connection string or with an identity.

    The identity is that with which the Functions host signs in, by the same settings.
    """

    #: holds a key or a signature; None with an identity
    connection_string: str | None = field(default=None, repr=False)
    #: ``https://<account>.queue.core.windows.net``; None with a connection string
    service_url: str | None = None
    #: a managed identity and nothing else: without an id the system-assigned one, whatever AZURE_CLIENT_ID
    #: says. Not so: a service principal if there is a secret, or else what Azure's default credential finds
    managed: bool = False
    #: of a user-assigned identity or of the service principal
    client_id: str | None = None
    #: of a user-assigned identity, in place of its client id
    resource_id: str | None = None
    #: of the service principal
    tenant_id: str | None = None
    client_secret: str | None = field(default=None, repr=False)


def read_queue_name(reader: Reader) -> str:
    """Return the name of the queue that carries the submissions."""
    name = reader.text("SUBMIT_QUEUE_NAME") or "submit-jobs"
    if not _QUEUE_NAME.match(name):
        reader.problems.append(
            "SUBMIT_QUEUE_NAME must be 3 to 63 lower-case letters, digits and single hyphens"
        )
    return name


def read_queue(reader: Reader, name: str = "AzureWebJobsStorage") -> QueueConnection:
    """Return the connection that the queue trigger's ``connection`` names, read by the trigger's own rules.

    https://learn.microsoft.com/azure/azure-functions/functions-bindings-storage-queue-trigger#connections
    As there, a connection string takes precedence over the settings for an identity. No problem that is
    reported holds a value that may be secret.
    """
    text = reader.text_in_any_case(name)
    if text is not None:
        if reader.in_azure and _PLAIN_HTTP.search(text):
            reader.problems.append(f"{name} uses plain http, which is refused in Azure: use https")
        return QueueConnection(connection_string=_connection_string(reader, text, name))
    credential = reader.text_in_any_case(f"{name}__credential")
    connection = QueueConnection(
        service_url=_service_url(reader, name),
        managed=(credential or "").lower() == "managedidentity",
        client_id=reader.text_in_any_case(f"{name}__clientId"),
        resource_id=reader.text_in_any_case(f"{name}__managedIdentityResourceId"),
        tenant_id=reader.text_in_any_case(f"{name}__tenantId"),
        client_secret=reader.text_in_any_case(f"{name}__clientSecret"),
    )
    if credential is not None and not connection.managed:
        reader.problems.append(f"{name}__credential must be managedidentity, or not be set")
    else:
        _check_identity(reader, connection, name)
    return connection


def _check_identity(reader: Reader, connection: QueueConnection, name: str) -> None:
    """Report what the host's library for credentials ignores, or reads otherwise than it is meant.

    https://learn.microsoft.com/azure/azure-functions/functions-reference#common-properties-for-identity-based-connections
    """
    unsupported = [each for each in _UNSUPPORTED if reader.text_in_any_case(f"{name}__{each}") is not None]
    if unsupported:
        given = " and ".join(f"{name}__{each}" for each in unsupported)
        reader.problems.append(
            f"{given} cannot be used: set {name}__credential to managedidentity, and {name}__clientId to the "
            "client id of a user-assigned identity"
        )
        return
    problem = _managed_problem(connection) if connection.managed else _principal_problem(connection)
    if problem is not None:
        reader.problems.append(problem.replace("__", f"{name}__"))


def _managed_problem(connection: QueueConnection) -> str | None:
    """Say what is wrong with a managed identity; names of settings are shortened to ``__NAME``."""
    if connection.client_secret is not None:
        return (
            "__credential is managedidentity, which uses no __clientSecret: remove __credential to sign in "
            "as a service principal, or __tenantId and __clientSecret"
        )
    if connection.client_id is not None and connection.resource_id is not None:
        return "__clientId and __managedIdentityResourceId are both set: keep one of them"
    if connection.resource_id is not None and not connection.resource_id.lower().startswith(
        "/subscriptions/"
    ):
        return (
            "__managedIdentityResourceId must look like /subscriptions/…/resourceGroups/…/providers/"
            "Microsoft.ManagedIdentity/userAssignedIdentities/NAME"
        )
    return None


def _principal_problem(connection: QueueConnection) -> str | None:
    """Say the same of a service principal, or of whatever the default credential finds."""
    if connection.resource_id is not None:
        return "__managedIdentityResourceId needs __credential, set to managedidentity"
    given = (connection.tenant_id, connection.client_id, connection.client_secret)
    if (connection.tenant_id or connection.client_secret) and None in given:
        return (
            "__tenantId, __clientId and __clientSecret make a service principal only together: set all "
            "three, or only __credential and perhaps __clientId"
        )
    return None


def _connection_string(reader: Reader, text: str, name: str) -> str:
    pairs = [part.partition("=") for part in text.split(";") if part.strip()]
    fields = {key.strip().lower(): value.strip() for key, _, value in pairs}
    is_development = fields.get("usedevelopmentstorage", "").lower() == "true"
    problem = _development_problem(fields) if is_development else _account_problem(fields)
    if problem is not None:
        reader.problems.append(f"{name}{problem}")
    return _DEVELOPMENT_STORAGE if is_development else text


def _development_problem(fields: Mapping[str, str]) -> str | None:
    if "developmentstorageproxyuri" in fields:
        return ": DevelopmentStorageProxyUri is not supported; give a QueueEndpoint"
    return None


def _account_problem(fields: Mapping[str, str]) -> str | None:
    """Say what is wrong with a connection string's fields, to follow the name of the setting."""
    if not {"accountname", "queueendpoint"} & fields.keys():
        return (
            " is not a Storage connection string: it has neither AccountName nor QueueEndpoint. "
            "Copy it from the Storage account's page 'Access keys'"
        )
    if "sharedaccesssignature" not in fields and not {"accountname", "accountkey"} <= fields.keys():
        return " needs AccountName and AccountKey, or a SharedAccessSignature"
    try:
        base64.b64decode(fields.get("accountkey", ""), validate=True)
    except binascii.Error:
        return ": AccountKey is not valid base64; was it cut off?"
    return None


def _service_url(reader: Reader, name: str) -> str:
    url, account = (reader.text_in_any_case(f"{name}__{each}") for each in ("queueServiceUri", "accountName"))
    if url is not None:
        parts = split_url(url)
        if parts.scheme != "https" or not parts.hostname or parts.query:
            reader.problems.append(
                f"{name}__queueServiceUri must look like https://<account>.queue.core.windows.net, without a "
                "signature: the identity's token is sent over TLS only"
            )
        elif account is not None and parts.hostname != f"{account}.queue.core.windows.net":
            # The queue trigger would take the name, and the host the addresses.
            reader.problems.append(
                f"{name}__queueServiceUri and {name}__accountName are two accounts: keep one of them, with "
                f"{name}__blobServiceUri beside the first"
            )
        return url.rstrip("/")
    if account is None:
        reader.problems.append(
            f"set {name} to a connection string, or, to use an identity, set {name}__queueServiceUri or "
            f"{name}__accountName"
        )
    elif not _ACCOUNT_NAME.fullmatch(account):
        reader.problems.append(f"{name}__accountName must be 3 to 24 lower-case letters and digits")
    return f"https://{account}.queue.core.windows.net"
