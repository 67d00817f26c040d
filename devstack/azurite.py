"""Azurite, Microsoft's Storage emulator, as one part of the local stack: ``python -m devstack azurite``."""

import argparse
import os
import re
import shutil
import signal
import subprocess
import sys
import threading
from collections.abc import Iterable
from pathlib import Path
from types import FrameType

SCRIPT = Path(__file__).parent.parent / "node_modules" / "azurite" / "dist" / "src" / "azurite.js"

#: The account and key that every Storage emulator has; published by Microsoft, so no secret:
#: https://learn.microsoft.com/azure/storage/common/storage-connect-azurite
ACCOUNT = "devstoreaccount1"
ACCOUNT_KEY = "Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw=="

DEFAULT_HOST = "127.0.0.1"
#: Azurite's own defaults; ``UseDevelopmentStorage=true`` means these.
DEFAULT_PORTS = {"blob": 10000, "queue": 10001, "table": 10002}

#: Azurite needs about a second; a busy machine many more.
START_TIMEOUT_SECONDS = 50.0

#: Azurite closes its open connections first; after this it is killed.
STOP_TIMEOUT_SECONDS = 10.0

_LISTENING = re.compile(r"Azurite (Blob|Queue|Table) service is successfully listening at (http://\S+)")


class AzuriteError(Exception):
    """Azurite cannot be started here; the message says what to do."""


def connection_string(
    *, blob_url: str | None = None, queue_url: str | None = None, table_url: str | None = None
) -> str:
    """Return the connection string of an Azurite, as the setting ``AzureWebJobsStorage`` takes it.

    :param queue_url: with the account, as the ready line gives it: ``http://127.0.0.1:10001/devstoreaccount1``.
        A URL that is left out is the one of Azurite's default port.
    """
    urls = {"blob": blob_url, "queue": queue_url, "table": table_url}
    endpoints = [
        f"{service.title()}Endpoint={url or account_url(f'http://{DEFAULT_HOST}:{DEFAULT_PORTS[service]}')}"
        for service, url in urls.items()
    ]
    account = ["DefaultEndpointsProtocol=http", f"AccountName={ACCOUNT}", f"AccountKey={ACCOUNT_KEY}"]
    return ";".join(account + endpoints) + ";"


def account_url(address: str) -> str:
    """Return the development account's URL on a service's address."""
    return f"{address}/{ACCOUNT}"


def command(host: str, ports: dict[str, int]) -> list[str]:
    """Return the command line that starts Azurite.

    :raises AzuriteError: node or the package is missing.
    """
    node = shutil.which("node")
    if node is None:
        raise AzuriteError("node is not on PATH: install Node.js 20 or later, then run make setup")
    if not SCRIPT.is_file():
        raise AzuriteError(f"there is no {SCRIPT}: run make setup")
    # Without --skipApiVersionCheck Azurite refuses the API version of current SDKs.
    fixed = ["--silent", "--inMemoryPersistence", "--skipApiVersionCheck", "--disableTelemetry"]
    listen = [
        part
        for service, port in ports.items()
        for part in (f"--{service}Host", host, f"--{service}Port", str(port))
    ]
    return [node, str(SCRIPT), *fixed, *listen]


def main(argv: list[str]) -> int:
    """Run Azurite until it ends or SIGTERM or SIGINT asks it to; returns its exit code, 0 when asked."""
    options = _options(argv)
    ports = {service: getattr(options, f"{service}_port") for service in DEFAULT_PORTS}
    try:
        return _run(command(options.host, ports))
    except AzuriteError as error:
        print(f"azurite: {error}", file=sys.stderr)
        return 1


def _options(argv: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m devstack azurite", description=__doc__)
    host = os.environ.get("AZURITE_HOST", DEFAULT_HOST)
    parser.add_argument("--host", default=host, help="address to listen on (AZURITE_HOST, %(default)s)")
    for service, port in DEFAULT_PORTS.items():
        variable = f"AZURITE_{service.upper()}_PORT"
        parser.add_argument(
            f"--{service}-port",
            type=int,
            default=os.environ.get(variable, str(port)),
            help=f"port of the {service} service, 0 = a free one ({variable}, %(default)s)",
        )
    return parser.parse_args(argv)


def _run(argv: list[str]) -> int:
    # In this process's group, so that a kill of the group leaves no node process behind. Ctrl-C in a terminal
    # reaches Azurite twice then, which does no harm: it keeps nothing.
    child = subprocess.Popen(argv, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    asked = threading.Event()

    def stop(_signal: int, _frame: FrameType | None) -> None:
        asked.set()
        child.terminate()
        _kill_after(child, STOP_TIMEOUT_SECONDS)

    signal.signal(signal.SIGTERM, stop)
    signal.signal(signal.SIGINT, stop)
    watchdog = _kill_after(child, START_TIMEOUT_SECONDS)
    with child:
        if child.stdout is not None:  # PIPE above, so it is there
            _pass_on(child.stdout, watchdog)
    watchdog.cancel()
    return 0 if asked.is_set() else child.returncode


def _kill_after(child: subprocess.Popen[str], seconds: float) -> threading.Timer:
    timer = threading.Timer(seconds, child.kill)
    timer.daemon = True
    timer.start()
    return timer


def _pass_on(output: Iterable[str], watchdog: threading.Timer) -> None:
    """Copy Azurite's output to ours; once all services listen, print the ready line and stop the watchdog."""
    addresses: dict[str, str] = {}
    for line in output:
        print(line, end="", flush=True)
        if match := _LISTENING.search(line):
            addresses[match[1].lower()] = match[2]
            if addresses.keys() == DEFAULT_PORTS.keys():
                watchdog.cancel()
                print(f"ready azurite {account_url(addresses['queue'])}", flush=True)
