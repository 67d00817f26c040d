"""Azure credentials are made in one module, when they are first needed, and closed by their owner."""

import re
import subprocess
import sys

import pytest

from orchestrator.adapters.credentials import SharedCredential
from tests.conftest import ROOT

#: Wires an app whose tokens and database need an identity, and prints whether azure-identity was imported.
WIRE = """
import sys
from orchestrator import bootstrap, settings

bootstrap.Application(settings.load({
    "AzureWebJobsStorage__accountName": "acme",
    "DATABRICKS_HOST": "https://adb-1.7.azuredatabricks.net",
    "DATABRICKS_AUTH": "entra",
    "SQL_CONNECTION_STRING": "SERVER=acme.database.windows.net",
}))
print("azure.identity" in sys.modules)
"""


#: The same for a service principal with a secret in Key Vault.
WIRE_PRINCIPAL = WIRE.replace(
    '"entra",',
    '"entra", "DATABRICKS_TENANT_ID": "t", "DATABRICKS_CLIENT_ID": "c", "DATABRICKS_CLIENT_SECRET_NAME": "s",'
    ' "KEY_VAULT_URL": "https://team.vault.azure.net",',
)


async def test_a_shared_credential_is_made_once() -> None:
    shared = SharedCredential()
    await shared.close()  # nothing was made yet
    first = shared.get()
    assert shared.get() is first
    await shared.close()
    assert shared.get() is not first
    await shared.close()


@pytest.mark.parametrize("program", [WIRE, WIRE_PRINCIPAL])
def test_wiring_the_app_makes_no_credential(program: str) -> None:
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=False, timeout=50
    )
    assert (done.stdout, done.returncode) == ("False\n", 0), done.stderr


def test_no_other_module_makes_credentials() -> None:
    sources = {path: path.read_text(encoding="utf-8") for path in (ROOT / "orchestrator").rglob("*.py")}
    makers = [path.stem for path, text in sources.items() if re.search(r"(Azure|Secret)Credential\(", text)]
    assert makers == ["credentials"]
