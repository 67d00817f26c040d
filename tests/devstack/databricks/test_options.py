"""Flags and environment."""

import json
from pathlib import Path

import pytest

from devstack.databricks.options import Options, parse_arguments
from devstack.databricks.simulator import Simulator
from tests.devstack.databricks.helpers import ROOT


def test_the_defaults() -> None:
    assert parse_arguments([]) == (Options(), 8765)


def test_the_job_of_the_sample_settings_is_there_unless_others_are_asked_for() -> None:
    sample = json.loads((ROOT / "local.settings.sample.json").read_text(encoding="utf-8"))
    (job,) = Simulator(parse_arguments([])[0]).workspace.jobs()
    assert str(job.job_id) == sample["Values"]["DATABRICKS_JOB_ID"]
    assert job.max_concurrent_runs == 1000
    assert [job_id for job_id, _ in parse_arguments(["--with-job", "2"])[0].jobs] == [2]


def test_every_flag(tmp_path: Path) -> None:
    argv = ["--port", "0", "--token", "a", "--token", "b", "--notebook-root", str(tmp_path), "--seed", "3"]
    argv += [
        "--max-active-runs",
        "40",
        "--rate-limit",
        "20",
        "--pending-seconds",
        "0",
        "--run-seconds",
        "1.5",
    ]
    argv += ["--client", "app=s=1", "--oauth-seconds", "60", "--workspace-id", "17"]
    argv += ["--with-job", "1", "--with-job", "2=/ingest", "--webhook", "http://127.0.0.1:1/events"]
    options = Options(
        tokens=("a", "b"),
        clients=(("app", "s=1"),),
        oauth_seconds=60.0,
        workspace_id=17,
        notebook_root=tmp_path,
        max_active_runs=40,
        rate_limit=20.0,
        pending_seconds=0.0,
        run_seconds=1.5,
        seed=3,
        webhook="http://127.0.0.1:1/events",
        jobs=((1, "/simulated/job-1"), (2, "/ingest")),
    )
    assert parse_arguments(argv) == (options, 0)


def test_the_environment_counts_and_a_flag_goes_before_it(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in {"PORT": "1", "TOKEN": "a,b", "RUN_SECONDS": "2", "WITH_JOB": "1,2=/n"}.items():
        monkeypatch.setenv(f"DATABRICKS_SIM_{name}", value)
    options, port = parse_arguments(["--run-seconds", "3"])
    assert (port, options.tokens, options.run_seconds) == (1, ("a", "b"), 3.0)
    assert options.jobs == ((1, "/simulated/job-1"), (2, "/n"))


@pytest.mark.parametrize(
    ("argv", "message"),
    [
        (["--port", "x"], "is not a whole number"),
        (["--run-seconds", "-1"], "is not a number of 0 or more"),
        (["--pending-seconds", "nan"], "is not a number of 0 or more"),
        (["--notebook-root", "/does/not/exist"], "there is no folder"),
        (["--with-job", "x"], "is not a whole number"),
        (["--client", "app"], "must be given as ID=SECRET"),
    ],
)
def test_a_bad_value_is_named(argv: list[str], message: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        parse_arguments(argv)
    assert message in capsys.readouterr().err
