"""The client renews a refused token, and shows neither tokens nor secret parameters anywhere."""

import base64
import re
from dataclasses import replace
from urllib.parse import quote

import pytest

from orchestrator.adapters.databricks.auth.token_source import StaticToken
from orchestrator.core.errors import (
    DatabricksError,
    RequestRefused,
    TokenUnavailable,
    Unauthorized,
)
from tests.databricks.support import (
    CANARY,
    REQUEST,
    Tokens,
    Workspace,
    assert_no_leak,
    connected,
    echo,
    error,
    ok,
    plain,
)

DENIED = {"error_code": "PERMISSION_DENIED", "message": "User does not have permission on job 7"}


@pytest.mark.parametrize("status", [401, 403])
async def test_a_refused_token_is_renewed_once(workspace: Workspace, status: int) -> None:
    tokens = Tokens()
    workspace.replies = [plain(status, "Invalid access token."), ok({"run_id": 5})]
    async with connected(workspace, tokens=tokens) as client:
        assert await client.run_now(REQUEST) == 5
    assert tokens.refreshed == [CANARY]
    assert [seen.authorization for seen in workspace.seen] == [f"Bearer {CANARY}", f"Bearer {CANARY}-fresh"]


@pytest.mark.parametrize("status", [401, 403])
async def test_a_fresh_token_that_is_refused_too_ends_the_request(
    workspace: Workspace, status: int, caplog: pytest.LogCaptureFixture
) -> None:
    workspace.replies = [echo(status, as_json=False)]
    async with connected(workspace) as client:
        with pytest.raises(Unauthorized) as caught:
            await client.run_now(REQUEST)
    assert len(workspace.seen) == 2
    assert caught.value.status == status
    assert_no_leak(caplog, caught.value)


async def test_a_request_renews_its_token_once_whatever_happens_between(workspace: Workspace) -> None:
    class Changing(Tokens):
        async def refresh(self, stale: str) -> str:
            self.refreshed.append(stale)
            return f"{stale}-newer"

    tokens = Changing()
    workspace.replies = [error(401, {}), error(503, {}), error(401, {})]
    async with connected(workspace, tokens=tokens) as client:
        with pytest.raises(Unauthorized):
            await client.run_now(REQUEST)
    assert tokens.refreshed == [CANARY]
    assert len(workspace.seen) == 3


async def test_the_same_token_is_not_sent_again(workspace: Workspace) -> None:
    workspace.replies = [error(401, {})]
    async with connected(workspace, tokens=StaticToken(CANARY)) as client:
        with pytest.raises(Unauthorized):
            await client.get_run(1)
    assert len(workspace.seen) == 1


async def test_without_a_token_the_workspace_is_unavailable(workspace: Workspace) -> None:
    class Broken(Tokens):
        async def refresh(self, stale: str) -> str:
            raise TokenUnavailable(
                f"Key Vault is down, no other token than the one of {len(stale)} characters"
            )

    workspace.replies = [error(403, DENIED)]
    async with connected(workspace, tokens=Broken()) as client:
        with pytest.raises(TokenUnavailable):
            await client.run_now(REQUEST)


async def test_permission_is_denied_only_after_a_fresh_token(workspace: Workspace) -> None:
    tokens = Tokens()
    workspace.replies = [error(403, DENIED)]
    async with connected(workspace, tokens=tokens) as client:
        with pytest.raises(RequestRefused, match="permission on job 7") as refused:
            await client.run_now(REQUEST)
        assert not refused.value.permanent
        assert len(tokens.refreshed) == 1
        with pytest.raises(Unauthorized):
            await client.active_runs()


async def test_secret_parameters_are_not_in_an_error(workspace: Workspace) -> None:
    message = "Table payroll: invalid value payroll-key-5d1c77 for api_key"
    workspace.replies = [error(400, {"error_code": "INVALID_PARAMETER_VALUE", "message": message})]
    async with connected(workspace) as client:
        with pytest.raises(RequestRefused) as refused:
            await client.run_now(REQUEST)
    assert str(refused.value).endswith(": Table payroll: invalid value […] for api_key")


@pytest.mark.parametrize("as_json", [True, False])
@pytest.mark.parametrize("status", [302, 400, 401, 403, 404, 418, 429, 500, 503])
async def test_no_token_in_any_error(
    workspace: Workspace, caplog: pytest.LogCaptureFixture, status: int, as_json: bool
) -> None:
    workspace.replies = [echo(status, as_json=as_json)]
    async with connected(workspace) as client:
        for operation in (client.run_now(REQUEST), client.get_run(1), client.get_job(1), client.cancel(1)):
            with pytest.raises(DatabricksError) as caught:
                await operation
            assert_no_leak(caplog, caught.value)


def _in_forms(secret: str) -> list[str]:
    """Return a secret as other systems write it."""
    encoded = [base64.b64encode(f"{before}{secret}@host".encode()).decode() for before in ("", "u", "u:")]
    in_url = quote(secret, safe="")
    return [secret, in_url, re.sub(r"%..", lambda escape: escape[0].lower(), in_url), *encoded]


@pytest.mark.parametrize("form", _in_forms("payroll/key+5d1c77=a?b"))
@pytest.mark.parametrize("is_json", [True, False])
async def test_no_form_of_a_secret_is_shown(workspace: Workspace, form: str, is_json: bool) -> None:
    text = f"refused: {form}."
    request = replace(REQUEST, parameters={"api_key": "payroll/key+5d1c77=a?b"})
    workspace.replies = [error(400, {"message": text}) if is_json else plain(400, text)]
    async with connected(workspace) as client:
        with pytest.raises(DatabricksError) as caught:
            await client.run_now(request)
    told = str(caught.value)
    assert "refused: " in told
    assert [form[at : at + 6] for at in range(3, len(form) - 10) if form[at : at + 6] in told] == []


@pytest.mark.parametrize("is_json", [True, False])
@pytest.mark.parametrize("shown", [4, 8, 11])
async def test_no_piece_of_a_secret_is_left_where_reading_ends(
    workspace: Workspace, shown: int, is_json: bool
) -> None:
    secret = "payroll-key-5d1c77"  # as in REQUEST
    text = "no: ".ljust(20_000 - shown) + secret
    workspace.replies = [error(400, {"message": text}) if is_json else plain(400, text)]
    async with connected(workspace) as client:
        with pytest.raises(DatabricksError) as caught:
            await client.run_now(REQUEST)
    assert "no: " in str(caught.value)
    assert secret[:3] not in str(caught.value)
