"""Azurite, Microsoft's Storage emulator, as one part of the local stack: ``python -m devstack azurite``."""

import argparse
import os
import re
import shutil
import signal
import subprocess
import sys
import threading
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType

from devstack.processes import READY, Process, start

#: The checkout.
ROOT = Path(__file__).parent.parent
SCRIPT = ROOT / "node_modules" / "azurite" / "dist" / "src" / "azurite.js"

#: The account and key that every Storage emulator has; published by Microsoft, so no secret:
#: https://learn.microsoft.com/azure/storage/common/storage-connect-azurite
ACCOUNT = "devstoreaccount1"
ACCOUNT_KEY = "Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw=="

DEFAULT_HOST = "127.0.0.1"
#: Azurite's own defaults; ``UseDevelopmentStorage=true`` means these. In the order of the ready line.
DEFAULT_PORTS = {"queue": 10001, "blob": 10000, "table": 10002}

#: Azurite needs about a second; a busy machine many more.
START_TIMEOUT_SECONDS = 50.0

#: Azurite closes its open connections first; after this it is killed.
STOP_TIMEOUT_SECONDS = 10.0

_LISTENING = re.compile(r"Azurite (Blob|Queue|Table) service is successfully listening at (http://\S+)")


class AzuriteError(Exception):
    """Azurite cannot be started here; the message says what to do."""


def connection_string(
    queue_url: str | None = None, blob_url: str | None = None, table_url: str | None = None
) -> str:
    """Return the connection string of an Azurite, as the setting ``AzureWebJobsStorage`` takes it.

    The URLs are those of the ready line, in its order. One that is left out is that of the default port.
    """
    urls = {"queue": queue_url, "blob": blob_url, "table": table_url}
    endpoints = [
        f"{service.title()}Endpoint={url or account_url(f'http://{DEFAULT_HOST}:{DEFAULT_PORTS[service]}')}"
        for service, url in urls.items()
    ]
    account = ["DefaultEndpointsProtocol=http", f"AccountName={ACCOUNT}", f"AccountKey={ACCOUNT_KEY}"]
    return ";".join(account + endpoints) + ";"


@contextmanager
def emulator(log: Path, *, queue_port: int = 0) -> Iterator[Process]:
    """Run an Azurite for the time of the block. Its URLs are what :func:`connection_string` takes.

    :param queue_port: 0 is a free one, as the other services have.
    """
    ports = ["--queue-port", str(queue_port), "--blob-port", "0", "--table-port", "0"]
    process = start("azurite", [sys.executable, "-m", "devstack", "azurite", *ports], log=log, cwd=ROOT)
    try:
        yield process
    finally:
        process.stop()


def account_url(address: str) -> str:
    """Return the development account's URL on a service's address."""
    return f"{address}/{ACCOUNT}"


def command(host: str, ports: dict[str, int], location: Path | None = None) -> list[str]:
    """Return the command line that starts Azurite.

    :param location: folder that keeps its data, saved every few seconds; None = in memory.
    :raises AzuriteError: node or the package is missing.
    """
    node = shutil.which("node")
    if node is None:
        raise AzuriteError("node is not on PATH: install Node.js 20 or later, then run make setup")
    if not SCRIPT.is_file():
        raise AzuriteError(f"there is no {SCRIPT}: run make setup")
    # Without --skipApiVersionCheck Azurite refuses the API version of current SDKs.
    fixed = ["--silent", "--skipApiVersionCheck", "--disableTelemetry"]
    kept = ["--inMemoryPersistence"] if location is None else ["--location", str(location)]
    listen = [
        part
        for service, port in ports.items()
        for part in (f"--{service}Host", host, f"--{service}Port", str(port))
    ]
    return [node, str(SCRIPT), *fixed, *kept, *listen]


def main(argv: list[str]) -> int:
    """Run Azurite until it ends or SIGTERM or SIGINT asks it to; returns its exit code, 0 when asked."""
    options = _options(argv)
    ports = {service: getattr(options, f"{service}_port") for service in DEFAULT_PORTS}
    try:
        return _run(command(options.host, ports, options.location))
    except AzuriteError as error:
        print(f"azurite: {error}", file=sys.stderr)
        return 1


def _options(argv: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m devstack azurite", description=__doc__)
    host = os.environ.get("AZURITE_HOST", DEFAULT_HOST)
    parser.add_argument("--host", default=host, help="address to listen on (AZURITE_HOST, %(default)s)")
    parser.add_argument("--location", type=Path, help="folder that keeps the data; default: in memory")
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
    asked = threading.Event()
    started: list[subprocess.Popen[str]] = []

    def stop(_signal: int = 0, _frame: FrameType | None = None) -> None:
        asked.set()
        for child in started:
            child.terminate()
            _kill_after(child, STOP_TIMEOUT_SECONDS, "did not end")

    # Before there is a child, so that no signal can leave one behind.
    signal.signal(signal.SIGTERM, stop)
    signal.signal(signal.SIGINT, stop)
    # In this process's group, so that a kill of the group leaves no node process behind. Ctrl-C in a terminal
    # reaches Azurite twice then, which does no harm.
    child = subprocess.Popen(
        argv, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )
    started.append(child)
    if asked.is_set():
        stop()
    watchdog = _kill_after(child, START_TIMEOUT_SECONDS, "was not ready")
    with child:
        if child.stdout is not None:  # PIPE above, so it is there
            _pass_on(child.stdout, watchdog)
    watchdog.cancel()
    return 0 if asked.is_set() else child.returncode


def _kill_after(child: subprocess.Popen[str], seconds: float, reason: str) -> threading.Timer:
    def kill() -> None:
        if child.poll() is None:
            print(
                f"azurite: it {reason} within {seconds:g} seconds and is killed", file=sys.stderr, flush=True
            )
            child.kill()

    timer = threading.Timer(seconds, kill)
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
                urls = " ".join(account_url(addresses[service]) for service in DEFAULT_PORTS)
                print(f"{READY}azurite {urls}", flush=True)
