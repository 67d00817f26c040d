"""Azurite as a part of the local stack."""

import os
import signal
import socket
import subprocess
import sys
import uuid
from pathlib import Path

import pytest
from azure.storage.queue import QueueClient

from devstack import azurite, processes

FREE_PORTS = ["--blob-port", "0", "--queue-port", "0", "--table-port", "0"]
COMMAND = [sys.executable, "-m", "devstack", "azurite", *FREE_PORTS]


def test_serves_a_queue_and_ends_when_asked(tmp_path: Path) -> None:
    process = processes.start("azurite", COMMAND, log=tmp_path / "log")
    try:
        connection = azurite.connection_string(queue_url=process.url)
        with QueueClient.from_connection_string(connection, f"q{uuid.uuid4().hex}") as queue:
            queue.create_queue()
            queue.send_message("hello")
            received = queue.receive_message()
        assert received is not None
        assert received.content == "hello"
    finally:
        code = process.stop()
    assert code == 0
    port = int(process.url.rsplit(":", 1)[1].split("/")[0])
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", port), timeout=5)


def test_ends_with_the_exit_code_of_azurite_when_it_dies() -> None:
    with (
        subprocess.Popen(COMMAND, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) as process,
    ):
        assert process.stdout is not None
        for line in process.stdout:
            if line.startswith("ready azurite "):
                break
        children = Path(f"/proc/{process.pid}/task/{process.pid}/children")
        os.kill(int(children.read_text(encoding="ascii").split()[0]), signal.SIGKILL)
        process.stdout.read()
    assert process.returncode not in {0, None}


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
