"""Prepare the database after azd has made it: the tables, the app's user, and its rights.

azd runs this with the outputs of ``main.bicep`` in the environment. It signs in as
the user of ``azd auth login``, unless AZURE_TOKEN_CREDENTIALS says otherwise. Running it again changes
nothing. It needs Python 3.11 or later, and Microsoft's ODBC driver for SQL Server.
"""

import os
import subprocess
import sys
import venv
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]

#: This script's own packages. Not in .azure, where azd takes every folder for one of its environments.
VENV = ROOT / ".venv-azd"

ADVICE = """
The database could not be prepared; everything else has been made. When the cause is fixed, run:
azd hooks run postprovision
  not allowed to access the server, or no answer:
      azd env set CLIENT_IP_ADDRESS your-public-address && azd provision
      (with a private network, run this from inside it)
  no ODBC driver: https://learn.microsoft.com/sql/connect/odbc/download-odbc-driver-for-sql-server
  the login was refused: sign in as the administrator of the database with azd auth login, or set
      AZURE_TOKEN_CREDENTIALS=AzureCliCredential and sign in with az login
  the packages: pip has to reach its index, and Debian and Ubuntu need python3-venv
"""


def main() -> int:
    """Bring the tables up to date, then give the app's identity its rights. Return the exit code."""
    if sys.version_info < (3, 11):  # noqa: UP036 - whoever deploys has whatever python3 is
        sys.stderr.write(f"Python 3.11 or later is needed, and python3 is {sys.version.split()[0]}\n")
        return 1
    try:
        python = packages()
    except subprocess.CalledProcessError as error:
        sys.stderr.write(f"The packages could not be installed: {error}\n{ADVICE}")
        return 1
    environment = {
        "AZURE_TOKEN_CREDENTIALS": "AzureDeveloperCliCredential",
        **os.environ,
        "PYTHONPATH": str(ROOT),
    }
    name, client_id = os.environ["APP_IDENTITY_NAME"], os.environ["APP_IDENTITY_CLIENT_ID"]
    for arguments in (["init-db"], ["grant", name, "--client-id", client_id]):
        sys.stdout.write(f"orchestrator {' '.join(arguments)}\n")
        sys.stdout.flush()
        # Not in the checkout, whose local.settings.json names the database of local work.
        command = [str(python), "-m", "orchestrator", *arguments]
        done = subprocess.run(command, cwd=VENV, env=environment, check=False)
        if done.returncode:
            sys.stderr.write(ADVICE)
            return done.returncode
    return 0


def packages() -> Path:
    """Return a Python that has the app's packages. Raise CalledProcessError if they cannot be installed."""
    python = VENV / ("Scripts/python.exe" if os.name == "nt" else "bin/python")
    complete = VENV / "complete"
    if not complete.exists():
        venv.create(VENV, clear=True, with_pip=True)
    complete.unlink(missing_ok=True)
    install = ["-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    subprocess.run([str(python), *install, "-r", str(ROOT / "requirements.txt")], check=True)
    complete.touch()
    return python


if __name__ == "__main__":
    sys.exit(main())
