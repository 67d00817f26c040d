"""Make Azure credentials: a managed identity in Azure, the developer's sign-in (``az login``) elsewhere.

A workspace may have a service principal with a client secret instead.

This is the only module that makes them. The adapters that sign in are given a credential or a function that
makes one. azure-identity is imported when the first credential is made: that takes 300 ms or so.
"""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable

    from azure.identity import DefaultAzureCredential
    from azure.identity.aio import ClientSecretCredential
    from azure.identity.aio import DefaultAzureCredential as AsyncDefaultAzureCredential
    from azure.identity.aio import ManagedIdentityCredential as AsyncManagedIdentityCredential

#: For one try of the identity endpoint, in seconds. It answers within one.
_TIMEOUT_SECONDS = 10.0

#: For the one try of a credential whose user repeats it.
_BLOCKING_TIMEOUT_SECONDS = 5.0

#: Further tries, with pauses of about a second: half a minute in all at the worst.
_RETRIES = 2


def async_credential(client_id: str | None = None) -> "AsyncDefaultAzureCredential":
    """Return a new credential for use in an event loop. The caller closes it.

    :param client_id: of a user-assigned managed identity; None = the one that ``AZURE_CLIENT_ID`` names, or
        else the app's own.
    """
    from azure.identity.aio import DefaultAzureCredential

    if client_id is None:
        return DefaultAzureCredential()
    return DefaultAzureCredential(managed_identity_client_id=client_id)


def blocking_credential(
    client_id: str | None = None,
    *,
    on_request: "Callable[[Any], None]",
    on_response: "Callable[[Any], None]",
    timeout_seconds: float = _BLOCKING_TIMEOUT_SECONDS,
) -> "DefaultAzureCredential":
    """Return a new credential for use in a thread. It makes one try in bounded time; the caller closes it.

    :param client_id: of a user-assigned managed identity; None = the app's own.
    :param on_request: is called with each request of azure-core's pipeline.
    :param on_response: is called with each response.
    :param timeout_seconds: for an answer of the identity endpoint.
    """
    from azure.identity import DefaultAzureCredential

    return DefaultAzureCredential(
        managed_identity_client_id=client_id,
        connection_timeout=timeout_seconds,
        read_timeout=timeout_seconds,
        retry_total=0,
        raw_request_hook=on_request,
        raw_response_hook=on_response,
    )


def managed_identity(
    client_id: str | None = None, *, resource_id: str | None = None
) -> "AsyncManagedIdentityCredential":
    """Return a new credential of a managed identity alone, for use in an event loop. The caller closes it.

    :param client_id: of a user-assigned identity; None with no resource id = the system-assigned one,
        whatever ``AZURE_CLIENT_ID`` says.
    :param resource_id: of a user-assigned identity, in place of its client id.
    """
    from azure.identity.aio import ManagedIdentityCredential

    return ManagedIdentityCredential(
        client_id=client_id,
        # App Service's own name for it. The SDK's, resource_id, is sent as it is, and that endpoint would
        # answer with a token of the system-assigned identity.
        identity_config=None if resource_id is None else {"mi_res_id": resource_id},
        connection_timeout=_TIMEOUT_SECONDS,
        read_timeout=_TIMEOUT_SECONDS,
        retry_total=_RETRIES,
    )


def service_principal(
    tenant_id: str, client_id: str, secret: str, *, ca_file: str | None = None
) -> "ClientSecretCredential":
    """Return a new credential of a service principal for use in an event loop. The caller closes it.

    :param ca_file: a CA bundle to trust instead of the system's.
    """
    from azure.identity.aio import ClientSecretCredential

    return ClientSecretCredential(
        tenant_id,
        client_id,
        secret,
        connection_verify=ca_file or True,
        connection_timeout=_TIMEOUT_SECONDS,
        read_timeout=_TIMEOUT_SECONDS,
        retry_total=_RETRIES,
    )


class SharedCredential:
    """One asynchronous credential for everybody who signs in as an identity. It is made at its first use.

    :param client_id: of a user-assigned managed identity; None = the app's own identity.
    """

    def __init__(self, client_id: str | None = None) -> None:
        self._client_id = client_id
        self._credential: AsyncDefaultAzureCredential | None = None

    def get(self) -> "AsyncDefaultAzureCredential":
        """Return the credential. Only :meth:`close` closes it."""
        if self._credential is None:
            self._credential = async_credential(self._client_id)
        return self._credential

    async def close(self) -> None:
        """Close the credential, if it was made."""
        credential, self._credential = self._credential, None
        if credential is not None:
            await credential.close()
