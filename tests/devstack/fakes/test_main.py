"""Both fakes as one process, and the app's own classes in another with nothing but its environment."""

import asyncio
import os
import sys
from collections.abc import Iterator
from pathlib import Path

import aiohttp
import pytest

from devstack import processes
from tests.conftest import ROOT

START = "import sys; from devstack.fakes.main import main; sys.exit(main(sys.argv[1:]))"

#: Reads the secret as the app does and prints it.
READ = """
import asyncio, os
from azure.identity.aio import DefaultAzureCredential
from orchestrator.adapters.clock import SystemClock
from orchestrator.adapters.databricks.auth.key_vault import KeyVaultToken

async def main():
    async with DefaultAzureCredential() as credential:
        url, name = os.environ["KEY_VAULT_URL"], "databricks-token"
        tokens = KeyVaultToken(
            url, name, lambda: credential, clock=SystemClock(), verify_challenge_resource=False
        )
        try:
            print(await tokens.token())
        finally:
            await tokens.close()

asyncio.run(main())
"""


@pytest.fixture
def fakes(tmp_path: Path) -> Iterator[processes.Process]:
    argv = [sys.executable, "-c", START, "--secret", "databricks-token=first=value"]
    process = processes.start("fakes", argv, log=tmp_path / "fakes.log", cwd=ROOT)
    yield process
    assert process.stop() == 0


async def read_secret(environment: dict[str, str]) -> str:
    child = await asyncio.create_subprocess_exec(
        sys.executable,
        *("-c", READ),
        env={**os.environ, **environment},
        cwd=ROOT,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    output, _ = await asyncio.wait_for(child.communicate(), 40)
    return output.decode().strip()


async def test_the_environment_is_all_that_the_app_needs(fakes: processes.Process) -> None:
    async with aiohttp.ClientSession(fakes.url) as session:
        async with session.get("/environment") as response:
            environment = await response.json()
        assert await read_secret(environment) == "first=value"
        async with session.put("/secrets/databricks-token", json={"value": "second"}) as response:
            assert response.status == 200
        assert await read_secret(environment) == "second"
        async with session.put("/faults", json={"vault": 403, "identity": None}) as response:
            assert response.status == 200
        assert "HttpResponseError, HTTP 403" in await read_secret(environment)


async def test_the_identity_keeps_strangers_out(fakes: processes.Process) -> None:
    async with aiohttp.ClientSession(fakes.url) as session:
        async with session.get("/environment") as response:
            header = (await response.json())["IDENTITY_HEADER"]
        for headers, query, status in [
            ({}, "?resource=x", 401),
            ({"X-IDENTITY-HEADER": "guess"}, "?resource=x", 401),
            ({"X-IDENTITY-HEADER": header}, "", 400),
            ({"X-IDENTITY-HEADER": header}, "?resource=x", 200),
        ]:
            async with session.get(f"/msi/token{query}", headers=headers) as response:
                assert response.status == status
