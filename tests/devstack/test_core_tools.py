"""Core Tools as a part: a stand-in for ``func`` shows that it is waited for, named ready and ended."""

import os
import stat
import sys
from pathlib import Path

import pytest

from devstack import processes
from devstack.demo import core_tools

#: Answers as Core Tools do once their worker runs; the first two answers come before that.
FUNC = """#!{python}
import http.server, sys

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


def test_it_is_ready_when_the_worker_runs_and_ends_with_its_parent(
    tmp_path: Path, path_with_func: str
) -> None:
    part = processes.start(
        "host",
        [sys.executable, "-m", "devstack.demo.core_tools", "--app", str(tmp_path)],
        log=tmp_path / "host.log",
        env={"PATH": path_with_func},
        timeout=30,
    )
    try:
        port = int(part.url.rpartition(":")[2])
        assert core_tools.is_running(port)
    finally:
        code = part.stop()
    assert code == 0
    assert "func was stopped" in part.tail()
    assert not core_tools.is_running(port)


def test_without_func_it_says_so(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    assert core_tools.main([]) == 1
    assert "no 'func' on PATH" in capsys.readouterr().err
