"""Core Tools as a part: a stand-in for ``func`` shows that it is waited for, named ready and ended."""

import json
import os
import stat
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from devstack import processes
from devstack.demo import core_tools
from tests.devstack.proctable import LINUX_ONLY, descendants, wait_until_gone

#: Answers as Core Tools do once their worker runs; the first two answers come before that.
FUNC = """#!{python}
import http.server, json, os, pathlib, sys

# As Core Tools do: a value of the file counts for each variable that is not set or empty.
values = json.loads(pathlib.Path("local.settings.json").read_text())["Values"]
for name, value in values.items():
    if not os.environ.get(name):
        os.environ[name] = value
print("alerts go to", os.environ.get("ALERT_WEBHOOK_URL") or "nobody", flush=True)
print("the app is", *sorted(path.name for path in pathlib.Path().iterdir()), flush=True)

states = ["Initialized", "Initializing"]

class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        state = states.pop() if states else "Running"
        self.send_response(200)
        self.end_headers()
        self.wfile.write(b'{{"state": "' + state.encode() + b'"}}')

assert sys.argv[1:3] == ["start", "--port"], sys.argv
try:
    http.server.HTTPServer(("127.0.0.1", int(sys.argv[3])), Handler).serve_forever()
except KeyboardInterrupt:
    print("func was stopped", flush=True)
"""


@pytest.fixture
def path_with_func(tmp_path: Path) -> str:
    func = tmp_path / "bin" / "func"
    func.parent.mkdir()
    func.write_text(FUNC.format(python=sys.executable), encoding="utf-8")
    func.chmod(func.stat().st_mode | stat.S_IXUSR)
    return f"{func.parent}{os.pathsep}{os.environ['PATH']}"


@pytest.fixture
def part(tmp_path: Path, path_with_func: str) -> Iterator[processes.Process]:
    for name in core_tools.DEPLOYED:
        (tmp_path / name).touch()
    mine = {"Values": {"ALERT_WEBHOOK_URL": "https://hooks.example/our-team"}}
    (tmp_path / "local.settings.json").write_text(json.dumps(mine), encoding="utf-8")
    part = processes.start(
        "host",
        [sys.executable, "-m", "devstack.demo.core_tools", "--app", str(tmp_path)],
        log=tmp_path / "host.log",
        env={"PATH": path_with_func, "ALERT_WEBHOOK_URL": ""},
        timeout=30,
    )
    try:
        yield part
    finally:
        part.kill()


def test_it_is_ready_when_the_worker_runs_and_ends_with_its_parent(part: processes.Process) -> None:
    port = int(part.url.rpartition(":")[2])
    assert core_tools.is_running(port)
    assert part.stop() == 0
    assert "func was stopped" in part.tail()
    assert not core_tools.is_running(port)


def test_the_developer_s_settings_are_not_read(part: processes.Process) -> None:
    assert "alerts go to nobody" in part.tail()
    assert "the app is function_app.py host.json local.settings.json orchestrator" in part.tail()


@LINUX_ONLY
def test_a_kill_reaches_core_tools(part: processes.Process) -> None:
    children = descendants(part.pid)
    assert children
    part.kill()
    wait_until_gone(children, seconds=5)


def test_its_times_are_shorter_than_those_of_its_parent() -> None:
    stop = core_tools.STOP_TIMEOUT_SECONDS + core_tools.KILL_TIMEOUT_SECONDS
    start = core_tools.START_TIMEOUT_SECONDS + core_tools.STATUS_TIMEOUT_SECONDS
    assert stop < processes.STOP_TIMEOUT_SECONDS
    assert start + stop < processes.START_TIMEOUT_SECONDS


def test_without_func_it_says_so(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    assert core_tools.main([]) == 1
    assert "no 'func' on PATH" in capsys.readouterr().err
