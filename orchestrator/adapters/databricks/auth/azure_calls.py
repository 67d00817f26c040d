"""Call Azure for a token: in bounded time, and with errors that show nothing of it."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from typing import TypeVar

from orchestrator.adapters.databricks.auth.token_source import FETCH_SECONDS
from orchestrator.core.errors import TokenUnavailable

_ACCESS_POLICY = "give the app's identity the permission Get for secrets in the vault's access policies"
_FIREWALL = "let the app through the vault's firewall: its network, or a private endpoint"

#: What to do, by Key Vault's own code, by HTTP status, or by the class of the error.
ADVICE: dict[int | str, str] = {
    "SecretDisabled": "the secret is disabled, not yet valid or expired; enable it, or set another one",
    "ForbiddenByRbac": "give the app's identity the role Key Vault Secrets User on the vault",
    "ForbiddenByPolicy": _ACCESS_POLICY,
    "AccessDenied": _ACCESS_POLICY,
    "ForbiddenByFirewall": _FIREWALL,
    "ForbiddenByConnection": _FIREWALL,
    401: "sign-in was refused; check the app's identity and the vault's tenant",
    403: "give the app's identity the role Key Vault Secrets User and let it through the vault's firewall",
    404: "there is no such secret; check its name, and that it is enabled",
    "ClientAuthenticationError": "sign-in failed; check that the app has a managed identity",
    "CredentialUnavailableError": "this machine has no identity; sign in, or give the app a managed identity",
    "ServiceRequestError": "it cannot be reached; check its address, the network and any proxy",
    "ServiceResponseError": "no usable response; check the network and any proxy",
    "TimeoutError": f"no response within {FETCH_SECONDS:.0f} s",
    "ValueError": "check the vault's address",
}

_T = TypeVar("_T")


async def from_azure(
    fetch: Callable[[], Awaitable[_T]], name: str, advice: Mapping[int | str, str] = ADVICE
) -> _T:
    """Await an Azure call for at most :data:`FETCH_SECONDS`. Its errors become :class:`TokenUnavailable`."""
    from azure.core.exceptions import AzureError

    try:
        async with asyncio.timeout(FETCH_SECONDS):
            return await fetch()
    except (AzureError, OSError, RuntimeError, ValueError) as error:
        # Only class and status are shown: the SDK's texts and causes hold requests, and those hold tokens.
        kind, status = type(error).__name__, getattr(error, "status_code", None)
        code = _known_code(error, advice)
        problem = f"{kind}, HTTP {status}" if status else kind
        what_to_do = advice.get(code or status or kind) or advice.get(kind) or "the app tries again later"
        problem = f"{problem} {code}" if code else problem
        raise TokenUnavailable(f"{name}: {problem}: {what_to_do}") from None


def _known_code(error: BaseException, advice: Mapping[int | str, str]) -> str | None:
    """Return the code of an error's inner error, if there is advice for it; other texts are not shown.

    https://learn.microsoft.com/azure/key-vault/general/rest-error-codes
    """
    inner = getattr(getattr(error, "error", None), "innererror", None)
    code = inner.get("code") if isinstance(inner, dict) else None
    return code if isinstance(code, str) and code in advice else None
