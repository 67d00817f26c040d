"""``python -m devstack host`` as a process."""

import re
import socket
import subprocess
import sys
import time
import urllib.parse
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from devstack import processes
from tests.devstack.host.conftest import App

Start = Callable[..., processes.Process]

TICKS = """
import logging

@app.timer_trigger(arg_name="timer", schedule="%WHEN%")
async def tick(timer: func.TimerRequest) -> None:
    logging.info("ticked at WARNING level %s", logging.getLogger("azure.core").getEffectiveLevel())
"""

BLOCKS = """
import threading

@app.route("blocks")
def blocks(req: func.HttpRequest) -> str:
    print("blocking", flush=True)
    threading.Event().wait()
    return ""
"""


#: Would be torn down at the end of the process.
KEEPS = """
import atexit

atexit.register(print, "torn down", flush=True)

@app.route("works")
async def works(req: func.HttpRequest) -> str:
    return "works"
"""


@pytest.fixture
def start(app: App, tmp_path: Path) -> Iterator[Start]:
    started: list[processes.Process] = []

    def run(*arguments: str, **env: str) -> processes.Process:
        command = [sys.executable, "-m", "devstack", "host", "--app", str(app.folder), "--port", "0"]
        process = processes.start("host", [*command, *arguments], log=tmp_path / "log", env=env)
        started.append(process)
        return process

    yield run
    for process in started:
        process.kill()


def test_ticks_logs_and_ends_with_0(app: App, start: Start) -> None:
    app.write(TICKS, settings={"WHEN": "0 0 0 1 1 *"})
    process = start(WHEN="* * * * * *")  # the environment wins
    _wait_for(process, "Executed")
    assert process.stop() == 0
    log = process.log.read_text(encoding="utf-8")
    assert re.search(r"Executing 'Functions\.tick'\n", log)
    assert "ticked at WARNING level 30" in log
    assert re.search(r"Executed 'Functions\.tick' \(Succeeded, Duration=\d+ms\)\n", log)


def test_everything_that_is_wrong_is_one_error_and_exit_code_1(app: App) -> None:
    app.write(TICKS, host={"functionTimeout": "soon"}, settings={})
    command = [sys.executable, "-m", "devstack", "host", "--app", str(app.folder), "--port", "0"]
    result = subprocess.run(command, capture_output=True, text=True, timeout=30, check=False)
    assert result.returncode == 1
    assert "the app cannot be run:" in result.stderr
    assert "host.json: functionTimeout: 'soon' is not a time span" in result.stderr
    assert "function tick: schedule names the setting WHEN" in result.stderr
    assert "Traceback" not in result.stderr


def test_a_port_that_is_taken(app: App, start: Start) -> None:
    app.write(TICKS, settings={"WHEN": "0 0 0 1 1 *"})
    with (
        socket.create_server(("127.0.0.1", 0)) as taken,
        pytest.raises(processes.ProcessFailed, match="choose another with --port"),
    ):
        start("--port", str(taken.getsockname()[1]))


def test_what_an_app_keeps_for_its_life_is_not_torn_down(app: App, start: Start) -> None:
    app.write(KEEPS)
    process = start()
    with urllib.request.urlopen(f"{process.url}/api/works", timeout=10) as answer:
        assert answer.read() == b"works"
    assert process.stop() == 0
    log = process.log.read_text(encoding="utf-8")
    assert "torn down" not in log
    assert "Host: stopping" in log


def test_a_sync_function_that_never_ends_does_not_keep_the_process(app: App, start: Start) -> None:
    app.write(BLOCKS)
    process = start("--stop-timeout", "0.1")
    address = urllib.parse.urlsplit(process.url)
    with socket.create_connection((str(address.hostname), int(address.port or 0)), timeout=10) as request:
        request.sendall(b"GET /api/blocks HTTP/1.1\r\nHost: localhost\r\n\r\n")
        _wait_for(process, "blocking")
        assert process.stop() == 1
    assert "a function did not end in time" in process.log.read_text(encoding="utf-8")


def _wait_for(process: processes.Process, text: str) -> None:
    """Follow a process's log up to a line with a text; the test's time-out is the bound."""
    with process.log.open(encoding="utf-8") as log:
        while text not in (line := log.readline()):
            assert process.returncode is None
            if not line:
                time.sleep(0.02)  # a file has no signal for more lines
