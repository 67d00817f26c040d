"""Tokens through the real azure-identity and azure-keyvault-secrets, against a local vault and identity."""

import asyncio
import logging
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any, cast

import pytest
from azure.core.credentials import AccessToken
from azure.identity.aio import DefaultAzureCredential, ManagedIdentityCredential

from devstack.fakes.identity import FakeIdentity
from devstack.fakes.keyvault import FakeKeyVault
from orchestrator.adapters.databricks.auth import azure_calls, key_vault, token_source
from orchestrator.adapters.databricks.auth.entra import EntraToken
from orchestrator.adapters.databricks.auth.key_vault import KeyVaultToken
from orchestrator.adapters.databricks.auth.token_source import StaticToken, TokenSource
from orchestrator.core.errors import TokenUnavailable
from tests.databricks.support import CANARY, ManualClock, assert_no_leak

SECRET = "databricks-token"


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


@pytest.fixture
async def identity(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[FakeIdentity]:
    async with FakeIdentity().serve() as serving:
        for name, value in serving.environment().items():
            monkeypatch.setenv(name, value)
        yield serving


@pytest.fixture
async def vault(identity: FakeIdentity, tmp_path: Path) -> AsyncIterator[FakeKeyVault]:
    async with FakeKeyVault(identity.accepts).serve(tmp_path) as serving:
        serving.set_secret(SECRET, CANARY)
        yield serving


@pytest.fixture
async def credential(identity: FakeIdentity) -> AsyncIterator[ManagedIdentityCredential]:
    async with ManagedIdentityCredential(retry_total=0) as managed:
        yield managed


@pytest.fixture
async def tokens(
    vault: FakeKeyVault, credential: ManagedIdentityCredential, clock: ManualClock
) -> AsyncIterator[KeyVaultToken]:
    source = key_vault_token(vault, credential, clock)
    yield source
    await source.close()


def key_vault_token(vault: FakeKeyVault, credential: Any, clock: ManualClock) -> KeyVaultToken:
    return KeyVaultToken(
        vault.url,
        SECRET,
        lambda: credential,
        clock=clock,
        verify_challenge_resource=False,
        ca_file=str(vault.ca_file),
    )


async def test_the_secret_is_read_once_until_it_is_old(
    vault: FakeKeyVault, tokens: KeyVaultToken, clock: ManualClock
) -> None:
    assert [await tokens.token() for _ in range(5)] == [CANARY] * 5
    assert vault.reads == 1
    vault.set_secret(SECRET, "rotated")
    clock.now += key_vault._SECRET_SECONDS - 1
    assert await tokens.token() == CANARY
    clock.now += 2
    assert await tokens.token() == "rotated"
    assert vault.reads == 2


async def test_a_rotated_secret_is_read_once_for_all_who_were_refused(
    vault: FakeKeyVault, tokens: KeyVaultToken, clock: ManualClock
) -> None:
    stale = await tokens.token()
    vault.set_secret(SECRET, "rotated")
    assert await asyncio.gather(*(tokens.refresh(stale) for _ in range(10))) == ["rotated"] * 10
    clock.now += token_source._FORCED_PAUSE_SECONDS + 1
    assert await tokens.refresh(stale) == "rotated"
    assert await tokens.token() == "rotated"
    assert vault.reads == 2


async def test_concurrent_first_callers_cause_one_fetch(vault: FakeKeyVault, tokens: KeyVaultToken) -> None:
    assert await asyncio.gather(*(tokens.token() for _ in range(10))) == [CANARY] * 10
    assert vault.reads == 1


async def test_forced_fetches_are_apart(
    vault: FakeKeyVault, tokens: KeyVaultToken, clock: ManualClock
) -> None:
    stale = await tokens.token()
    for _ in range(5):
        assert await tokens.refresh(stale) == stale
    assert vault.reads == 2
    vault.set_secret(SECRET, "rotated")
    clock.now += token_source._FORCED_PAUSE_SECONDS
    assert await tokens.refresh(stale) == "rotated"
    assert vault.reads == 3


@pytest.mark.parametrize("status", [403, 500, 503])
async def test_while_the_vault_fails_the_held_token_is_used(
    vault: FakeKeyVault, tokens: KeyVaultToken, clock: ManualClock, status: int
) -> None:
    stale = await tokens.token()
    vault.fault = status
    clock.now += key_vault._SECRET_SECONDS + 1
    assert await tokens.token() == CANARY
    reads = vault.reads
    assert [await tokens.token(), await tokens.refresh(stale)] == [CANARY, CANARY]
    clock.now += token_source._FORCED_PAUSE_SECONDS + 1
    assert await tokens.token() == CANARY
    assert vault.reads == reads  # no caller waits for another fetch so soon
    vault.fault = None
    vault.set_secret(SECRET, "rotated")
    clock.now += token_source._STALE_SECONDS + 1
    assert await tokens.token() == "rotated"


@pytest.mark.parametrize(
    ("status", "advice"),
    [(403, "HTTP 403: give the app's identity the role"), (503, "HTTP 503: the app tries again")],
)
async def test_a_vault_that_fails_from_the_start(
    vault: FakeKeyVault,
    tokens: KeyVaultToken,
    *,
    clock: ManualClock,
    caplog: pytest.LogCaptureFixture,
    status: int,
    advice: str,
) -> None:
    caplog.set_level(logging.DEBUG)
    vault.fault = status
    for _ in range(3):
        with pytest.raises(TokenUnavailable, match=f"secret {SECRET}: HttpResponseError, {advice}") as caught:
            await tokens.token()
    assert_no_leak(caplog, caught.value, of="fake-identity-token")
    reads = vault.reads
    assert reads <= 3  # one fetch and the SDK's own two retries
    vault.fault = None
    clock.now += token_source._FORCED_PAUSE_SECONDS
    assert await tokens.token() == CANARY
    assert_no_leak(caplog)


@pytest.mark.parametrize(
    ("code", "advice"),
    [
        ("SecretDisabled", "the secret is disabled"),
        ("ForbiddenByRbac", "give the app's identity the role Key Vault Secrets User"),
        ("ForbiddenByFirewall", "let the app through the vault's firewall"),
    ],
)
async def test_a_refusal_is_told_in_key_vault_s_own_words(
    vault: FakeKeyVault, tokens: KeyVaultToken, code: str, advice: str
) -> None:
    vault.refusal = code
    with pytest.raises(TokenUnavailable, match=f"HttpResponseError, HTTP 403 {code}: {advice}"):
        await tokens.token()


async def test_words_that_nobody_knows_are_not_shown(vault: FakeKeyVault, tokens: KeyVaultToken) -> None:
    vault.refusal = "canary"
    with pytest.raises(TokenUnavailable, match="HTTP 403: give the app's identity the role") as caught:
        await tokens.token()
    assert "canary" not in str(caught.value)


async def test_a_missing_secret(vault: FakeKeyVault, credential: Any, clock: ManualClock) -> None:
    source = KeyVaultToken(
        vault.url,
        "other",
        lambda: credential,
        clock=clock,
        verify_challenge_resource=False,
        ca_file=str(vault.ca_file),
    )
    with pytest.raises(
        TokenUnavailable, match="secret other: ResourceNotFoundError, HTTP 404: there is no such"
    ):
        await source.token()
    await source.close()


async def test_an_unreachable_vault(
    identity: FakeIdentity, credential: Any, clock: ManualClock, tmp_path: Path
) -> None:
    gone = FakeKeyVault(identity.accepts)
    async with gone.serve(tmp_path):
        pass
    source = key_vault_token(gone, credential, clock)
    with pytest.raises(TokenUnavailable, match=r"ServiceRequestError: it cannot be reached"):
        await source.token()
    await source.close()


async def test_a_vault_with_an_untrusted_certificate(
    vault: FakeKeyVault, credential: Any, clock: ManualClock
) -> None:
    source = KeyVaultToken(
        vault.url, SECRET, lambda: credential, clock=clock, verify_challenge_resource=False
    )
    with pytest.raises(TokenUnavailable, match="ServiceRequestError"):
        await source.token()
    assert vault.reads == 0
    await source.close()


async def test_a_vault_of_another_domain_gets_no_token(
    vault: FakeKeyVault, identity: FakeIdentity, credential: Any, clock: ManualClock
) -> None:
    source = KeyVaultToken(vault.url, SECRET, lambda: credential, clock=clock, ca_file=str(vault.ca_file))
    with pytest.raises(TokenUnavailable, match="ValueError: check the vault's address"):
        await source.token()
    assert identity.issued == {}
    await source.close()


@pytest.mark.parametrize("value", ["", "  ", "two words", "line\nbreak", "tokén"])
async def test_a_secret_that_is_not_a_token(vault: FakeKeyVault, tokens: KeyVaultToken, value: str) -> None:
    vault.set_secret(SECRET, value)
    with pytest.raises(TokenUnavailable, match="not an access token") as caught:
        await tokens.token()
    assert not value.strip() or value not in str(caught.value)


async def test_blanks_around_a_token_are_dropped(vault: FakeKeyVault, tokens: KeyVaultToken) -> None:
    vault.set_secret(SECRET, f" {CANARY}\r\n")
    assert await tokens.token() == CANARY


async def test_no_identity(vault: FakeKeyVault, identity: FakeIdentity, tokens: KeyVaultToken) -> None:
    identity.fault = 400
    with pytest.raises(TokenUnavailable, match=r"(ClientAuthentication|CredentialUnavailable)Error"):
        await tokens.token()


async def test_the_default_credential_finds_the_identity(
    identity: FakeIdentity, vault: FakeKeyVault, clock: ManualClock
) -> None:
    async with DefaultAzureCredential() as default:
        source = key_vault_token(vault, default, clock)
        assert await source.token() == CANARY
        assert await EntraToken(lambda: default, clock=clock).token() in identity.issued
        await source.close()
    assert list(identity.issued.values()) == [
        "https://vault.azure.net",
        "2ff814a6-3304-4ab8-85cb-cd0e6f879c1d",
    ]


async def test_an_entra_token_is_held(identity: FakeIdentity, credential: Any, clock: ManualClock) -> None:
    source = EntraToken(lambda: credential, clock=clock)
    first = await source.token()
    assert first in identity.issued
    assert await asyncio.gather(*(source.token() for _ in range(10))) == [first] * 10
    assert len(identity.issued) == 1
    await source.close()


async def test_an_entra_token_at_its_end_is_replaced(
    identity: FakeIdentity, credential: Any, clock: ManualClock
) -> None:
    source = EntraToken(lambda: credential, clock=clock)
    identity.lifetime = 0
    first = await source.token()
    identity.lifetime = 3600
    second = await source.token()
    assert [first, second] == list(identity.issued)
    assert await source.token() == second


async def test_an_identity_that_fails(identity: FakeIdentity, credential: Any, clock: ManualClock) -> None:
    source = EntraToken(lambda: credential, clock=clock)
    identity.fault = 500
    with pytest.raises(TokenUnavailable, match="Microsoft Entra ID"):
        await source.token()
    identity.fault = None
    clock.now += token_source._FORCED_PAUSE_SECONDS
    assert await source.token() in identity.issued


class Expiring:
    """A credential whose tokens live as long as the test says; None fails."""

    def __init__(self, wall: Callable[[], float]) -> None:
        self._wall = wall
        self.lifetime: float | None = 3600.0
        self.count = 0

    async def get_token(self, *_: str) -> AccessToken:
        if self.lifetime is None:
            raise TimeoutError
        self.count += 1
        return AccessToken(f"entra-{self.count}", int(self._wall() + self.lifetime))


async def test_an_entra_token_is_renewed_ahead_and_never_used_past_its_end(
    clock: ManualClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("time.time", clock.monotonic)
    credential = Expiring(clock.monotonic)
    source = EntraToken(lambda: cast(Any, credential), clock=clock)
    assert await source.token() == "entra-1"
    clock.now += 3600 - token_source.RENEW_AHEAD_SECONDS - 1
    assert await source.token() == "entra-1"
    clock.now += 2
    assert await source.token() == "entra-2"
    credential.lifetime = None
    clock.now += 3600 - token_source.REFUSED_AHEAD_SECONDS - 5
    assert await source.token() == "entra-2"
    clock.now += 6
    with pytest.raises(TokenUnavailable, match="TimeoutError: no response"):
        await source.token()


async def test_a_static_token() -> None:
    source: TokenSource = StaticToken(f"{CANARY}\n")
    assert await source.token() == CANARY
    assert await source.refresh(CANARY) == CANARY
    await source.close()
    assert CANARY not in repr(source)
    with pytest.raises(TokenUnavailable, match="DATABRICKS_TOKEN"):
        await StaticToken("").token()


async def test_a_fetch_that_hangs_ends(clock: ManualClock, monkeypatch: pytest.MonkeyPatch) -> None:
    class Hanging:
        async def get_token(self, *_: str) -> AccessToken:
            await asyncio.Event().wait()
            raise AssertionError("unreachable")

    monkeypatch.setattr(azure_calls, "FETCH_SECONDS", 0.05)
    source = EntraToken(lambda: cast(Any, Hanging()), clock=clock)
    with pytest.raises(TokenUnavailable, match="TimeoutError"):
        await source.token()
