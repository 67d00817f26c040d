"""What the words of an error response speak of, in the ways in which Databricks has put them and could."""

import time

import pytest

from orchestrator.adapters.databricks import wording


@pytest.mark.parametrize(
    "message",
    [
        "The run with the given idempotency token was deleted.",
        "idempotency_token 0f3a-1: no longer exists",
        "Idempotency token 0f3a-1 is associated with a deleted run",
        "A run with the provided token is deleted.",
        "Run 11 does not exist.",
        "Run: 11 in job: 7 doesn't exist",
        "Run with ID 455644833 has been deleted",
        "The run associated with this token no longer exists",
        "Job run 11 was deleted by the user",
        "Could not find run 11",
        "No such run: 11",
        "No run with id 11",
        "A deleted run cannot be started again",
        "run_id 11 does not exist",
        "Run 11 not found",
        "The token was used already. Its run has been removed.",
        "Cannot reuse idempotency token: the corresponding run (id 11) of job 7 was purged",
    ],
)
def test_the_run_of_a_token_is_gone(message: str) -> None:
    assert wording.token_is_used_up(message)


@pytest.mark.parametrize(
    "message",
    [
        "",
        "Job 7 does not exist.",
        "Job 7 cannot run: it does not exist",
        "run-now: job 7 does not exist",
        "The run cannot start: notebook /etl does not exist",
        "Unable to run job 7: cluster 0123 was deleted",
        "Invalid idempotency_token: at most 64 characters",
        "The workspace was deleted",
        "Run 11 is still active",
        "Task main of the run does not exist: task was removed",
        "The job to run was deleted",
        "no Run permission on job 7",
        "Run permission on job 7 was removed",
        "Unknown run parameter",
        "The run_as user no longer exists",
        "The run-as identity was deleted",
        "The owner of the run no longer exists",
        "The requested URL /api/2.2/jobs/run-now was not found on this server",
        "run-now: this field no longer has an effect and was removed",
        "No API found for 'POST /jobs/run-now'",
    ],
)
def test_no_run_of_a_token_is_gone(message: str) -> None:
    assert not wording.token_is_used_up(message)


@pytest.mark.parametrize(
    ("message", "gone"),
    [
        ("Job 7 does not exist.", True),
        ("Job with id 7 not found", True),
        ("job_id 7 no longer exists", True),
        ("No job with id 7", True),
        ("The job to start was deleted", True),
        ("Run: 11 in job: 7 doesn't exist", False),
        ("The notebook of job 7 is wrong: notebook /x does not exist", False),
        ("Job 7 is paused", False),
        ("no job permission", False),
        ("Unable to find job: 7", True),
        ("Jobs are disabled", False),
    ],
)
def test_a_job_is_gone(message: str, gone: bool) -> None:
    assert wording.job_is_gone(message) is gone


@pytest.mark.parametrize(
    ("message", "one_job"),
    [
        ("User x does not have Manage Run permissions on job 7", True),
        ("x@y.z is not authorized to run this job", True),
        ("no View on job 7", True),
        ("You have no access to jobs/7", True),
        ("missing permission for job_id 7", True),
        ("Public access is not allowed for workspace: 7", False),
        ("Public access is not allowed for workspace: 7, so job 7 cannot be run", False),
        ("Jobs are disabled for this workspace", False),
        ("This user may not run jobs", False),
        ("no", False),
    ],
)
def test_a_permission_on_one_job(message: str, one_job: bool) -> None:
    assert wording.is_of_one_job(message) is one_job


@pytest.mark.parametrize(
    ("message", "workspace"),
    [
        ("Unable to load OAuth Config", True),
        ("Public access is not allowed for workspace: 7", True),
        ("Workspace 7 does not exist", True),
        ("The feature is not enabled", True),
        ("Job parameters are not supported in this workspace", True),
        ("Jobs are disabled", True),
        ("Missing required field: job_id", False),
        ("job_parameters are wrong", False),
        ("Value 'x' is not valid", False),
        ("", False),
    ],
)
def test_what_speaks_of_the_workspace(message: str, workspace: bool) -> None:
    assert wording.is_of_workspace(message) is workspace


@pytest.mark.parametrize("words", ["run ", "idempotency ", "run idempotency job deleted ", "no job ", "x"])
def test_a_long_message_is_read_in_no_time(words: str) -> None:
    message = words * (6 * 1024 * 1024 // len(words))
    began = time.perf_counter()
    for says in (wording.token_is_used_up, wording.job_is_gone, wording.is_of_workspace, wording.is_trouble):
        says(message)
    assert time.perf_counter() - began < 1
