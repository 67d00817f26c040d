"""Azure Functions Core Tools (``func start``) as a part of the local stack: ready line, forwarded stop."""

import argparse
import http.client
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from devstack.demo.interruption import Interrupted, Interruption, interruption
from devstack.processes import READY, end_with_parent

#: What of a checkout makes the app.
DEPLOYED = ("function_app.py", "host.json", "orchestrator")

#: How long one question for the state may take.
STATUS_TIMEOUT_SECONDS = 3.0

#: The first start fetches the extension bundle. With the times below it stays under the minute that a part
#: has to become ready.
START_TIMEOUT_SECONDS = 40.0

#: Core Tools stop their workers within a few seconds. A part has 20 to end, and its group is killed then.
STOP_TIMEOUT_SECONDS = 12.0

#: What the system needs to end a process after SIGKILL.
KILL_TIMEOUT_SECONDS = 2.0


def is_running(port: int) -> bool:
    """Whether the host on a port says of itself that it runs."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=STATUS_TIMEOUT_SECONDS)
    try:
        connection.request("GET", "/admin/host/status")
        answer = connection.getresponse()
        body = answer.read()
        return answer.status == http.HTTPStatus.OK and json.loads(body).get("state") == "Running"
    except (OSError, http.client.HTTPException, ValueError):
        return False  # not yet
    finally:
        connection.close()


def environment() -> dict[str, str]:
    """This environment, with the worker on the Python that runs the local stack."""
    folder = str(Path(sys.executable).parent)
    return {
        **os.environ,
        "PATH": f"{folder}{os.pathsep}{os.environ.get('PATH', '')}",
        "languageWorkers__python__defaultExecutablePath": sys.executable,
        "FUNCTIONS_CORE_TOOLS_TELEMETRY_OPTOUT": "1",
    }


def lay_out(app: Path) -> Path:
    """Make a folder in which Core Tools find the app but no ``local.settings.json`` of the developer's.

    They take a value of that file for each variable that is not set or empty, so that the stack's entries
    could be told to a team's alert channel.
    """
    folder = (app / ".run" / "func").resolve()
    folder.mkdir(parents=True, exist_ok=True)
    for name in DEPLOYED:
        link = folder / name
        link.unlink(missing_ok=True)
        link.symlink_to((app / name).resolve())
    settings = {"IsEncrypted": False, "Values": {"FUNCTIONS_WORKER_RUNTIME": "python"}}
    (folder / "local.settings.json").write_text(json.dumps(settings), encoding="utf-8")
    return folder


def free_port() -> int:
    """A port that is free now: Core Tools choose none themselves."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def stop(child: subprocess.Popen[bytes]) -> None:
    """End Core Tools. Workers that outlive them are in this process's group, which its parent ends."""
    if child.poll() is None:
        child.send_signal(signal.SIGINT)
    try:
        child.wait(STOP_TIMEOUT_SECONDS)
    except subprocess.TimeoutExpired:
        print("func did not end in time and is killed", flush=True)
        child.kill()
        child.wait(KILL_TIMEOUT_SECONDS)


def watch(child: subprocess.Popen[bytes], port: int, asked: Interruption) -> int:
    """Print the ready line once the host runs, then wait for the child's end and return its exit code."""
    deadline = time.monotonic() + START_TIMEOUT_SECONDS
    ready = False
    while child.poll() is None:
        if not ready and is_running(port):
            ready = True
            print(f"{READY}host http://127.0.0.1:{port}", flush=True)
        if not ready and time.monotonic() > deadline:
            print(f"func is not running after {START_TIMEOUT_SECONDS:g} seconds", flush=True)
            return 1
        asked.sleep(0.5)
    return child.returncode


def main(argv: Sequence[str]) -> int:
    """Run ``func start`` until it ends or this process is asked to stop."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--app", type=Path, default=Path(), help="the folder of host.json")
    parser.add_argument("--port", type=int, default=0, help="0 = a free one")
    given = parser.parse_args(argv)
    func = shutil.which("func")
    if func is None:
        print("Azure Functions Core Tools: there is no 'func' on PATH", file=sys.stderr)
        return 1
    port = given.port or free_port()
    with interruption() as asked:
        child = subprocess.Popen(
            [func, "start", "--port", str(port)],
            cwd=lay_out(given.app),
            env=environment(),
            stdin=subprocess.DEVNULL,
        )
        try:
            return watch(child, port, asked)
        except Interrupted:
            return 0
        finally:
            stop(child)


if __name__ == "__main__":
    end_with_parent()
    sys.exit(main(sys.argv[1:]))
