"""``check`` looks at every job that waiting entries name, in a workspace over HTTP, and at the settings."""

import json
from typing import Any
from urllib.request import Request, urlopen

import pytest

from tests.cli.support import TOKEN, CommandLine


def create(url: str, **settings: Any) -> int:
    """Create a job in the simulated workspace and return its id."""
    body = json.dumps({"tasks": [{"task_key": "main"}], "max_concurrent_runs": 130, **settings})
    request = Request(
        f"{url}/api/2.2/jobs/create",
        data=body.encode(),
        headers={"Authorization": f"Bearer {TOKEN}", "Content-Type": "application/json"},
    )
    with urlopen(request, timeout=10) as response:
        return int(json.load(response)["job_id"])


def entry(cli: CommandLine, table: str, **values: Any) -> None:
    columns = ", ".join(("table_name", *values))
    marks = ", ".join("?" * (1 + len(values)))
    cli.execute(f"INSERT INTO track_processing ({columns}) VALUES ({marks})", table, *values.values())


def findings(cli: CommandLine) -> dict[str, tuple[bool, str]]:
    """Return what ``check`` found of the default workspace's jobs."""
    done = json.loads(cli("check", "--json").stdout)
    jobs = [each for each in done["findings"] if ", job" in each["subject"]]
    assert done["ok"] == all(each["ok"] for each in done["findings"])
    return {each["subject"].removeprefix("workspace default, "): (each["ok"], each["text"]) for each in jobs}


@pytest.fixture
def jobs_cli(full_cli: CommandLine, simulator: str) -> CommandLine:
    """A command line whose workspace has a default job that is as it should be."""
    full_cli.environment["DATABRICKS_JOB_ID"] = str(create(simulator, name="default"))
    return full_cli


def test_each_job_that_waiting_entries_name_has_a_line(jobs_cli: CommandLine, simulator: str) -> None:
    default = jobs_cli.environment["DATABRICKS_JOB_ID"]
    good, small = create(simulator, name="good"), create(simulator, name="small", max_concurrent_runs=1)
    entry(jobs_cli, "a", job_name="good")
    entry(jobs_cli, "b", job_id=small)
    entry(jobs_cli, "c", job_id=999, status="DONE")  # it is over: its job does not matter
    assert findings(jobs_cli) == {
        "job": (True, f"{default} allows 130 runs at once, cap 130"),
        "job 'good'": (True, f"{good} allows 130 runs at once, cap 130"),
        f"job {small}": (
            True,
            f"{small} allows 1 runs at once and the cap is 130: further entries wait; raise the job's "
            "max_concurrent_runs to run more of them at once",
        ),
    }


@pytest.mark.parametrize(
    ("settings", "text"),
    [
        (
            {"continuous": {"pause_status": "UNPAUSED"}, "max_concurrent_runs": 1},
            "{id} has a continuous trigger (running), and a run of an entry would restart it: its entries "
            "are refused; give them another job, or remove the trigger",
        ),
        (
            {"continuous": {"pause_status": "PAUSED"}, "max_concurrent_runs": 1},
            "{id} has a continuous trigger (paused), and a run of an entry would restart it: its entries "
            "are refused; give them another job, or remove the trigger",
        ),
        ({"max_concurrent_runs": 0}, "{id} has max_concurrent_runs 0 and runs nothing: raise it"),
        (
            {"parameters": [{"name": "day", "default": ""}]},
            "{id} declares job parameters and refuses notebook_params, the parameter_style of 2 waiting "
            "entries: make it auto or job_parameters",
        ),
    ],
)
def test_a_job_on_which_entries_cannot_run(
    jobs_cli: CommandLine, simulator: str, settings: dict[str, Any], text: str
) -> None:
    job_id = create(simulator, name="odd", **settings)
    for table in "ab":
        entry(jobs_cli, table, job_id=job_id, parameter_style="notebook_params")
    entry(jobs_cli, "c", job_id=job_id, parameter_style="job_parameters")
    assert findings(jobs_cli)[f"job {job_id}"] == (False, text.format(id=job_id))


@pytest.mark.parametrize(
    ("limit", "secret", "ok", "text"),
    [
        ("1048576", "a-secret-of-20-chars", True, "the host reads at most 1048576 bytes"),
        (None, "", True, "the host reads 100 MB from anybody"),
        (None, "a-secret-of-20-chars", False, "set FUNCTIONS_REQUEST_BODY_SIZE_LIMIT to 1048576"),
        ("104857600", "a-secret-of-20-chars", False, "the host reads 104857600 bytes from anybody"),
        ("1000", "", False, "the API takes bodies of 262144 bytes"),
    ],
)
def test_how_much_of_a_request_the_host_reads(
    full_cli: CommandLine, limit: str | None, secret: str, ok: bool, text: str
) -> None:
    full_cli.environment |= {"EVENTS_SECRET": secret} | (
        {} if limit is None else {"FUNCTIONS_REQUEST_BODY_SIZE_LIMIT": limit}
    )
    done = json.loads(full_cli("check", "--json").stdout)
    [found] = [each for each in done["findings"] if each["subject"] == "request bodies"]
    assert (found["ok"], text in found["text"]) == (ok, True)


def test_names_that_stand_for_no_job_or_for_two(jobs_cli: CommandLine, simulator: str) -> None:
    ids = sorted(create(simulator, name="twice") for _ in range(2))
    entry(jobs_cli, "a", job_name="never")
    entry(jobs_cli, "b", job_name="twice")
    entry(jobs_cli, "c", job_name="twice", job_id=ids[0])
    found = findings(jobs_cli)
    assert found["job 'never'"][0] is False
    assert "there is no job named 'never' in workspace default" in found["job 'never'"][1]
    assert found["job 'twice'"] == (
        False,
        f"several jobs in workspace default are named 'twice' (for example {ids[0]}, {ids[1]}): rename all "
        "but one, or give job_id instead of job_name",
    )
    assert found[f"job {ids[0]}"] == (False, "entries also name the job 'twice': leave one of the two NULL")


def test_a_workspaces_default_job_by_name(full_cli: CommandLine, simulator: str) -> None:
    job_id = create(simulator, name="by name")
    full_cli.environment["DATABRICKS_JOB_NAME"] = "by name"
    assert findings(full_cli) == {"job": (True, f"{job_id} allows 130 runs at once, cap 130")}


def test_a_setting_that_cannot_be_used_has_a_line_each(cli: CommandLine) -> None:
    wrong = {
        "DATABRICKS_AUTH": "oauth",
        "DATABRICKS_TENANT_ID": "adb-tenant",
        "DATABRICKS_CLIENT_ID": "not an id",
        "DATABRICKS_CLIENT_SECRET": "x",
        "DATABRICKS_CLIENT_SECRET_NAME": "y",
        "DATABRICKS_WORKSPACE_ID": "eu",
        "DATABRICKS_JOB_ID": "5",
        "DATABRICKS_JOB_NAME": "load",
        "QUEUE_TIMEOUT_SECONDS": "-1",
        "RETRY_MODE": "again",
        "RETRY_CANCELED_RUNS": "maybe",
        "MAX_PLATFORM_RETRIES": "-1",
        "STORE_RESULTS": "perhaps",
        "HTTPS_PROXY": "socks5://proxy",
        "HTTP_PROXY": "ftp://proxy",
    }
    lines = cli("check", DATABRICKS_HOST="https://adb-1.7.azuredatabricks.net", **wrong).stdout.splitlines()
    for name in wrong:
        assert [line for line in lines if line.startswith("FAIL  settings: ") and name in line], name


@pytest.mark.parametrize("others", [{}, {"MAX_ACTIVE_RUNS": "-1", "DATABRICKS_JOB_ID": "abc"}])
def test_what_the_host_needs_is_named_with_every_other_problem(
    full_cli: CommandLine, others: dict[str, str]
) -> None:
    lacking = {"SUBMIT_QUEUE_NAME": "", "TRIGGER_SCHEDULE": ""}
    done = full_cli("check", **lacking, **others)
    assert done.returncode == 1
    failed = [line for line in done.stdout.splitlines() if line.startswith("FAIL  settings: ")]
    for name in others:
        assert [line for line in failed if name in line], name
    assert failed[-1] == (
        "FAIL  settings: set SUBMIT_QUEUE_NAME (e.g. submit-jobs), TRIGGER_SCHEDULE (e.g. 0 * * * * *): "
        "the function app does not start without"
    )
    assert len(failed) == len(others) + 1


def test_a_token_is_found_in_the_setting_of_its_workspace(full_cli: CommandLine, simulator: str) -> None:
    other = simulator.replace("127.0.0.1", "localhost")
    full_cli.environment["DATABRICKS_WORKSPACES"] = json.dumps({"eu": {"host": other, "token": TOKEN}})
    found = full_cli("check").stdout.splitlines()
    assert "ok    workspace default, token: found, in DATABRICKS_TOKEN (for local work)" in found
    assert "ok    workspace eu, token: found, in DATABRICKS_WORKSPACES.eu.token (for local work)" in found
