"""Azurite as a part of the local stack."""

import os
import signal
import socket
import subprocess
import sys
import uuid
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from azure.storage.queue import QueueClient

from devstack import azurite, processes
from tests.devstack.proctable import LINUX_ONLY, descendants

FREE_PORTS = ["--blob-port", "0", "--queue-port", "0", "--table-port", "0"]
COMMAND = [sys.executable, "-m", "devstack", "azurite", *FREE_PORTS]

#: As ``COMMAND``, but with no patience.
HASTY = """
import sys
from devstack import azurite
azurite.START_TIMEOUT_SECONDS = 0.05
sys.exit(azurite.main(sys.argv[1:]))
"""


def test_serves_a_queue_and_ends_when_asked(tmp_path: Path) -> None:
    with azurite.emulator(tmp_path / "log") as process:
        connection = azurite.connection_string(*process.urls)
        with QueueClient.from_connection_string(connection, f"q{uuid.uuid4().hex}") as queue:
            queue.create_queue()
            queue.send_message("hello")
            received = queue.receive_message()
        assert received is not None
        assert received.content == "hello"
    assert process.returncode == 0
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", port_of(process.url)), timeout=5)


def test_the_ready_line_tells_all_addresses_the_queues_first(tmp_path: Path) -> None:
    with azurite.emulator(tmp_path / "log") as process:
        string = azurite.connection_string(*process.urls)
        parts = dict(part.split("=", 1) for part in string.rstrip(";").split(";"))
        assert [parts[f"{service}Endpoint"] for service in ("Queue", "Blob", "Table")] == process.urls
        assert len({port_of(url) for url in process.urls}) == 3
        for url in process.urls:
            socket.create_connection(("127.0.0.1", port_of(url)), timeout=5).close()


def port_of(url: str) -> int:
    port = urlsplit(url).port
    assert port
    return port


@LINUX_ONLY
def test_ends_with_the_exit_code_of_azurite_when_it_dies(tmp_path: Path) -> None:
    with azurite.emulator(tmp_path / "log") as process:
        (node,) = descendants(process.pid)
        os.kill(node, signal.SIGKILL)
        os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)
        assert process.returncode not in {0, None}


def test_says_why_it_ends_azurite() -> None:
    done = subprocess.run(
        [sys.executable, "-c", HASTY, *FREE_PORTS],
        cwd=azurite.ROOT,
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )
    assert done.returncode not in {0, None}
    assert "azurite: it was not ready within 0.05 seconds and is killed" in done.stderr


def test_a_port_that_is_taken_is_an_error(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(processes.ProcessFailed, match="EADDRINUSE"):
            processes.start("azurite", [*COMMAND, "--queue-port", str(port)], log=tmp_path / "log")


def test_ports_can_come_from_the_environment(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("AZURITE_QUEUE_PORT", "not a port")
    with pytest.raises(SystemExit):
        azurite.main([])
    assert "--queue-port: invalid int value: 'not a port'" in capsys.readouterr().err


@pytest.mark.parametrize("missing", ["node", "package"])
def test_says_what_to_do_when_something_is_missing(
    missing: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    if missing == "node":
        monkeypatch.setenv("PATH", str(tmp_path))
    else:
        monkeypatch.setattr(azurite, "SCRIPT", tmp_path / "azurite.js")
    assert azurite.main([]) == 1
    assert "run make setup" in capsys.readouterr().err


def test_connection_string_defaults_to_the_well_known_ports() -> None:
    parts = dict(part.split("=", 1) for part in azurite.connection_string().rstrip(";").split(";"))
    assert parts["AccountName"] == "devstoreaccount1"
    assert parts["BlobEndpoint"] == "http://127.0.0.1:10000/devstoreaccount1"
    assert parts["QueueEndpoint"] == "http://127.0.0.1:10001/devstoreaccount1"
    assert parts["TableEndpoint"] == "http://127.0.0.1:10002/devstoreaccount1"
