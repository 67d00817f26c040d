"""What the words of an error response speak of, in the ways in which Databricks has put them and could."""

import time

import pytest

from orchestrator.adapters.databricks import wording
from orchestrator.adapters.databricks.wording import Words


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
        "The token was already used for a run that has since been deleted",
        "Run 1001 (idempotency token abc) is deleted",
        "idempotency_token 'abc' refers to a run that no longer exists",
        "Idempotency token belongs to deleted run 1001",
        "The job run for this token has been purged",
        "The run of this token cannot be found",
        "This token was used by a run which was removed by retention",
        "The requested run has expired and was cleaned up",
        "Run with token abc not available anymore",
        "Token abc: run 1001 not present",
        "idempotency_token already used by a deleted job run",
        "The original run of this request was erased",
        "The run that this token started doesn't exist any more",
        "Cannot return run 1001: it has been deleted by user a@b.c",
        "Run id 1001 in notebook job was deleted",
        "run 1001 of job 5 was deleted from the workspace",
        "The idempotency token has been invalidated",
        "Idempotency token 0f3a-1 is used up",
        "Idempotency token abc has expired together with its run",
        "RUN_DELETED",
    ],
)
def test_the_run_of_a_token_is_gone(message: str) -> None:
    assert any(words.said_in(message) for words in (wording.RUN_GONE, wording.TOKEN_GONE))


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
        "Unable to run job 5: cluster 0101-abc was deleted",
        "The run cannot be started, the job cluster was removed",
        "Cannot start a run: the service principal no longer exists",
        "Could not create run: instance pool 12 does not exist",
        "Cannot create run because catalog main does not exist",
        "Could not create run: it needs pool 12, which was deleted",
        "Run failed to start since the existing cluster has been deleted",
        "The run could not be created: git credentials not found",
        "run_as identity was deleted",
        "The run's owner was removed from the workspace",
        "The run's node type is no longer available",
        "Run cannot start. Budget policy 33 was removed",
        "The run needs image foo, which does not exist",
        "Run quota record not found for org 12",
        "Run scheduler not found in this region",
        "run type is no longer available",
        "Runs of this type have been removed",
        "The new run needs catalog main that does not exist",
        "The new run was removed from the queue",
        "run: library foo.whl does not exist",
        "No run was started: volume /Volumes/x not found",
        "Cannot find run environment key",
        "Cannot check whether the run was deleted",
        "The cluster of run 11 was deleted",
        "Run 11 has not been deleted",
        "Run 11 does not exist or you do not have permission to see it",
        "Your access token has expired",
        "Token already used",
        "Idempotency token store not found",
    ],
)
def test_no_run_of_a_token_is_gone(message: str) -> None:
    assert wording.PERMISSION.said_in(message) or not any(
        words.said_in(message) for words in (wording.RUN_GONE, wording.TOKEN_GONE)
    )


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
        ("There's no job with ID 5 here", True),
        ("Job not found", True),
        ("The job service could not be found for this shard", False),
        ("Job backend not found", False),
        ("No worker environment for workspace 12 exists; the job service was removed", False),
        ("Org 1234 not found; cannot run job", False),
        ("The job cluster was removed", False),
        ("The cluster of job 7 was deleted", False),
    ],
)
def test_a_job_is_gone(message: str, gone: bool) -> None:
    assert wording.JOB_GONE.said_in(message) is gone


@pytest.mark.parametrize(
    ("message", "about_rate", "full"),
    [
        ("The workspace already has 2000 active runs; limit 2000", False, True),
        ("There are already 1,000 active runs (limit: 1,000)", False, True),
        ("There are already 1 000 running runs", True, True),
        ("Maximum number of concurrent runs reached", False, True),
        ("Maximum concurrent runs (1,000) exceeded", False, True),
        ("Job queue limit reached in workspace: 2000 runs", False, True),
        ("The limit of queued runs has been reached", False, True),
        ("2,000 active runs, limit 2,000", True, True),
        ("2,000 active runs, limit 2,000", False, False),
        ("Rate limit: 10 requests per second", True, False),
        ("Too many requests to /jobs/run-now (limit: 1,000)", True, False),
        ("max_concurrent_runs must be at most 1000", False, False),
        ("Run 11 is still active", True, False),
    ],
)
def test_what_tells_that_there_is_no_room(message: str, about_rate: bool, full: bool) -> None:
    words = (wording.FULL, wording.FULL_AMONG_RATES) if about_rate else (wording.FULL,)
    assert any(each.said_in(message) for each in words) is full


@pytest.mark.parametrize(
    ("message", "wrong"),
    [
        ("Job parameter 'day' is not defined", True),
        ("notebook_params must not be given for a job with job parameters", True),
        ("job_parameters cannot be used here", True),
        ("Job 7 is not defined", False),
        ("The parameter service is not known", False),
    ],
)
def test_a_parameter_that_does_not_fit_the_job(message: str, wrong: bool) -> None:
    assert wording.WRONG_PARAMETER.said_in(message) is wrong


@pytest.mark.parametrize(
    "repeated",
    [
        *(
            "run ",
            "idempotency ",
            "run idempotency job deleted ",
            "no job ",
            "x",
            "run token abc 12 ",
            "run ( ",
        ),
        *("run 0f3a abc ", "run _12_", "run 1-2-3-", "run 'a1' "),
        *("run 12", "idempotency token: ", "limit ", "already 1,0", "job param", "the of a ", "1,", "run_"),
    ],
)
def test_a_long_message_is_read_in_no_time(repeated: str) -> None:
    message = repeated * (6 * 1024 * 1024 // len(repeated))
    began = time.thread_time()
    for words in [each for each in vars(wording).values() if isinstance(each, Words)]:
        words.said_in(message)
    assert time.thread_time() - began < 5  # a tenth, commonly
