"""Get a token, or another secret, from Azure Key Vault.

The Azure packages are imported when the first token is fetched, not with this module: the import takes 300 ms
or so, which a function that never calls Databricks need not pay.
"""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from orchestrator.adapters.databricks.auth.azure_calls import from_azure
from orchestrator.adapters.databricks.auth.token_source import CachedToken, Fetched, usable
from orchestrator.core.proxy import Proxy
from orchestrator.ports import Clock

if TYPE_CHECKING:
    from azure.core.credentials_async import AsyncTokenCredential
    from azure.keyvault.secrets.aio import SecretClient

#: A secret is read again after this time, in seconds, so that a rotated token is used before the old one is
#: revoked. A revoked token shows at once, by its 401. Six reads an hour are far below Key Vault's limits.
_SECRET_SECONDS = 600.0


class KeyVaultToken(CachedToken):
    """A personal access token, or a client secret, that is kept as a secret in Key Vault.

    A held token is at most :data:`_SECRET_SECONDS` old while the vault responds.

    :param credential: returns a credential of azure-identity, which stays the caller's to close.
    :param verify_challenge_resource: False only for a stand-in of Key Vault on this machine. Otherwise the
        SDK insists on a host name under ``vault.azure.net``, so that no other host gets a vault token.
    :param ca_file: a CA bundle to trust instead of the system's.
    :param proxy: that the calls go through; None = they are made directly.
    """

    def __init__(
        self,
        vault_url: str,
        secret_name: str,
        credential: "Callable[[], AsyncTokenCredential]",
        *,
        clock: Clock,
        verify_challenge_resource: bool = True,
        ca_file: str | None = None,
        proxy: Proxy | None = None,
    ) -> None:
        super().__init__(clock)
        self._proxy = proxy
        self._vault_url = vault_url
        self._secret_name = secret_name
        self._credential = credential
        self._options: dict[str, Any] = {
            "verify_challenge_resource": verify_challenge_resource,
            "connection_verify": ca_file or True,
            # Otherwise a password of ~/.netrc for the vault's host would be sent, too, which the SDK refuses.
            "use_env_settings": False,
            "proxies": {"https": proxy.url} if proxy else None,
            # The SDK's defaults are 300 s, and three retries with growing waits.
            "connection_timeout": 5,
            "read_timeout": 10,
            "retry_total": 2,
            "retry_backoff_factor": 0.25,
        }
        self._client: SecretClient | None = None

    async def close(self) -> None:
        """Close the connections to the vault."""
        client, self._client = self._client, None
        if client is not None:
            await client.close()

    async def _fetch(self) -> Fetched:
        through = f" through {self._proxy}" if self._proxy else ""
        name = f"Key Vault {self._vault_url}{through}, secret {self._secret_name}"
        value = await from_azure(self._read_secret, name)
        return Fetched(value=usable(value, name), fresh_until=self._clock.monotonic() + _SECRET_SECONDS)

    async def _read_secret(self) -> str:
        from azure.keyvault.secrets.aio import SecretClient

        if self._client is None:
            self._client = SecretClient(self._vault_url, self._credential(), **self._options)
        secret = await self._client.get_secret(self._secret_name)
        return secret.value or ""
