"""Prepare the database after azd has made it: the tables, the app's user, and its rights.

azd runs this with the outputs of ``main.bicep`` in the environment. It signs in as whoever ran
``azd auth login`` or ``az login``. Again it changes nothing. It needs Python 3.11 or later, and Microsoft's
ODBC driver for SQL Server.
"""

import os
import subprocess
import sys
import venv
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]

#: Where azd keeps what is of this machine alone; this script's own packages lie beside it.
FOLDER = ROOT / ".azure"
VENV = FOLDER / "venv"

ADVICE = """
The database could not be prepared; everything else has been made. When the cause is mended, run:
azd hooks run postprovision
  not allowed to access the server, or no answer:
      azd env set CLIENT_IP_ADDRESS your-public-address && azd provision
      (with a private network, run this from inside it)
  no ODBC driver: https://learn.microsoft.com/sql/connect/odbc/download-odbc-driver-for-sql-server
  the login was refused: sign in as the administrator of the database, with azd auth login
"""


def main() -> int:
    """Bring the tables up to date, then give the app's identity its rights. Return the exit code."""
    if sys.version_info < (3, 11):  # noqa: UP036 - whoever deploys has whatever python3 is
        sys.stderr.write(f"Python 3.11 or later is needed, and python3 is {sys.version.split()[0]}\n")
        return 1
    python = packages()
    name, client_id = os.environ["APP_IDENTITY_NAME"], os.environ["APP_IDENTITY_CLIENT_ID"]
    for arguments in (["init-db"], ["grant", name, "--client-id", client_id]):
        sys.stdout.write(f"orchestrator {' '.join(arguments)}\n")
        sys.stdout.flush()
        # Not in the checkout, whose local.settings.json names the database of local work.
        command = [str(python), "-m", "orchestrator", *arguments]
        done = subprocess.run(command, cwd=FOLDER, env={**os.environ, "PYTHONPATH": str(ROOT)}, check=False)
        if done.returncode:
            sys.stderr.write(ADVICE)
            return done.returncode
    return 0


def packages() -> Path:
    """Return a Python that has the app's packages."""
    python = VENV / ("Scripts/python.exe" if os.name == "nt" else "bin/python")
    if not python.exists():
        venv.create(VENV, with_pip=True)
    install = ["-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    subprocess.run([str(python), *install, "-r", str(ROOT / "requirements.txt")], check=True)
    return python


if __name__ == "__main__":
    sys.exit(main())
