"""The stack of a chaos run: parts that can be ended at any moment and restarted with their data."""

import os
import signal
from pathlib import Path
from urllib.parse import urlsplit

from devstack import azurite
from devstack.processes import Process
from tests.e2e.stack import Stack

CAP = 30
MAX_ATTEMPTS = 3

#: Short, so that many of them expire in a run of minutes.
LEASE_SECONDS = 4
PASS_SECONDS = 1

#: A run takes one to two seconds, jitter included.
PENDING_SECONDS = 0.2
RUN_SECONDS = 1.2

SETTINGS = {
    "DATABRICKS_TOKEN": "any",
    "MAX_ACTIVE_RUNS": str(CAP),
    "MAX_ATTEMPTS": str(MAX_ATTEMPTS),
    "RETRY_BACKOFF_SECONDS": "1",
}


class Parts:
    """Starts and ends the parts by name. Every call blocks.

    They are ``azurite``, ``simulator`` and hosts: ``host``, ``second``, ``silent``, whose submit function is
    disabled, and ``stranger``, whose settings name the workspace by another address.

    :param folder: of the database, the logs, the journal and Azurite's data.
    """

    def __init__(self, folder: Path) -> None:
        self.stack = Stack(folder=folder, azurite="", queue_name="submit-jobs")
        self._running: dict[str, Process] = {}
        self._storage_ports = _ports(blob=0, queue=0, table=0)

    def begin(self) -> None:
        """Create the database and start the emulator and the simulator."""
        self.stack.prepare()
        self.stack.shorten_leases(LEASE_SECONDS)
        (self.stack.folder / "azurite").mkdir()
        self.start("azurite")
        self.start("simulator")

    def start(self, name: str) -> None:
        """Start a part with its previous address and data."""
        starts = {"azurite": self._start_azurite, "simulator": self._start_simulator}
        self._running[name] = starts[name]() if name in starts else self._start_host(name)

    def kill(self, name: str) -> None:
        """Kill a part with SIGKILL."""
        self.stack.kill(self._running.pop(name))

    def terminate(self, name: str) -> int:
        """End a part with SIGTERM and return its exit code."""
        return self.stack.terminate(self._running.pop(name))

    def freeze(self, name: str) -> None:
        """Stop a part with SIGSTOP; it keeps everything that it holds."""
        os.kill(self._running[name].pid, signal.SIGSTOP)

    def thaw(self, name: str) -> None:
        """Continue a stopped part, as if no time had passed for it."""
        os.kill(self._running[name].pid, signal.SIGCONT)

    def second_becomes_host(self) -> None:
        """Make the second host the host; the previous one is gone."""
        self._running["host"] = self._running.pop("second")

    def url(self, name: str) -> str:
        """Return where a part listens."""
        return self._running[name].url

    def _start_host(self, name: str) -> Process:
        settings = dict(SETTINGS)
        if name == "silent":
            settings["AzureWebJobs.submit.Disabled"] = "true"
        elif name == "stranger":
            settings["DATABRICKS_HOST"] = self.stack.simulator_url.replace("127.0.0.1", "localhost")
        return self.stack.start_host(**settings)

    def _start_azurite(self) -> Process:
        process = self.stack.start(
            "azurite", "--location", str(self.stack.folder / "azurite"), *self._storage_ports
        )
        self.stack.azurite = azurite.connection_string(*process.urls)
        queue, blob, table = (urlsplit(url).port or 0 for url in process.urls)
        self._storage_ports = _ports(blob=blob, queue=queue, table=table)
        return process

    def _start_simulator(self) -> Process:
        return self.stack.start_simulator(
            *("--journal", str(self.stack.folder / "journal")),
            *("--pending-seconds", str(PENDING_SECONDS), "--run-seconds", str(RUN_SECONDS)),
        )


def _ports(**ports: int) -> list[str]:
    return [part for service, port in ports.items() for part in (f"--{service}-port", str(port))]
