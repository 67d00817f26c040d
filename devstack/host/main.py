"""``python -m devstack host``: run the Functions app of a folder."""

import argparse
import asyncio
import logging
import os
import sys
from datetime import timedelta
from pathlib import Path
from typing import NoReturn

from devstack.host.host import Host
from devstack.host.indexing import Function, load_functions
from devstack.host.settings import HostError, HostOptions, load_host_options, load_settings
from devstack.processes import READY
from devstack.serving import asked_to_stop

logger = logging.getLogger("Host")

#: What starts a host gives it 20 s to stop (``devstack.processes``), which includes settling.
STOP_TIMEOUT_SECONDS = 15.0


def main(argv: list[str]) -> int:
    """Run the host until SIGTERM or SIGINT; returns 1 when the app cannot be run."""
    options = _options(argv)
    _configure_logging()
    try:
        functions, host_options = load_app(Path(options.app).resolve())
        host = Host(functions, host_options, port=options.port, home=options.home)
        clean = asyncio.run(_run(host, timedelta(seconds=options.stop_timeout)))
    except HostError as error:
        print(error, file=sys.stderr)
        return 1
    return _end_process(clean=clean)


def load_app(app_dir: Path) -> tuple[list[Function], HostOptions]:
    """Read an app's settings, put them into the environment, and read its ``host.json`` and functions.

    :raises HostError: lists everything that is wrong.
    """
    problems: list[str] = []
    settings, host_options = dict(os.environ), HostOptions()
    try:
        settings = load_settings(app_dir, os.environ)
    except HostError as error:
        problems += error.problems
    try:
        host_options = load_host_options(app_dir)
    except HostError as error:
        problems += error.problems
    os.environ.update(settings)
    functions: list[Function] = []
    try:
        functions = load_functions(app_dir, host_options, settings)
    except HostError as error:
        problems += error.problems
    if problems:
        raise HostError(problems)
    return functions, host_options


async def _run(host: Host, stop_timeout: timedelta) -> bool:
    asked = asked_to_stop()
    try:
        await host.start()
        print(f"{READY}host {host.url}", flush=True)
        await host.serve(asked)
    finally:
        clean = await host.stop(stop_timeout)
    return clean


def _options(argv: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m devstack host", description=__doc__)
    parser.add_argument(
        "--app",
        default=os.environ.get("FUNCTIONS_APP", "."),
        help="folder with function_app.py and host.json (FUNCTIONS_APP, default: this one)",
    )
    parser.add_argument(
        "--port",
        type=int,
        default=os.environ.get("FUNCTIONS_PORT", "7071"),
        help="HTTP port, 0 = a free one (FUNCTIONS_PORT, %(default)s)",
    )
    parser.add_argument(
        "--stop-timeout",
        type=float,
        default=os.environ.get("FUNCTIONS_STOP_TIMEOUT", str(STOP_TIMEOUT_SECONDS)),
        help="seconds that running invocations get at the end (FUNCTIONS_STOP_TIMEOUT, %(default)s)",
    )
    parser.add_argument(
        "--home", metavar="PATH", help="where the root leads to; default: nowhere, it is a 404"
    )
    return parser.parse_args(argv)


def _configure_logging() -> None:
    logging.basicConfig(
        stream=sys.stdout, level=logging.INFO, format="%(asctime)s %(levelname)-7s %(name)s: %(message)s"
    )
    logging.getLogger("azure").setLevel(logging.WARNING)


def _end_process(*, clean: bool) -> NoReturn:
    """End the process as Azure ends a worker's: without a word to the app, whatever it still holds.

    An app keeps clients and connections for the life of its process and has no hook to close them. Python
    would complain of each, and wait for a thread of a sync function that does not end.

    :param clean: no function still runs.
    """
    if not clean:
        logger.error("a function did not end in time; its process is ended")
    logging.shutdown()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(0 if clean else 1)
