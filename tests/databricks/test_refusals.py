"""Whose fault an error is, through the client: of the entry only if the answer says so."""

from typing import Any

import pytest

from orchestrator.core.errors import (
    DatabricksError,
    NoCapacity,
    NoRunNamed,
    RequestRefused,
    RunNotFound,
    TokenRunDeleted,
    WorkspaceUnavailable,
)
from orchestrator.core.models import RepairRequest
from tests.databricks.support import REQUEST, ManualClock, Reply, Workspace, connected, drop, error, ok, plain


def says(status: int, code: str | None, message: str) -> Reply:
    content: dict[str, Any] = {"message": message, "details": []}
    return error(status, content if code is None else {"error_code": code, **content})


async def raised_by_run_now(workspace: Workspace, *replies: Reply) -> DatabricksError:
    workspace.replies = list(replies)
    async with connected(workspace) as client:
        with pytest.raises(DatabricksError) as caught:
            await client.run_now(REQUEST)
    return caught.value


#: What gateways and proxies say in pages and texts of their own, in words that Databricks uses, too.
PAGES = [
    "<html><body><h1>400 Bad Request</h1>Job parameters are not allowed</body></html>",
    "<html><head><title>Request Entity Too Large</title></head></html>",
    "<!doctype html><p>Job 7 does not exist on this server</p>",
    "<html>The run of this token was deleted</html>",
    "Job 7 does not exist",
    "Bad Request: parameter x is not defined by the job",
]


@pytest.mark.parametrize("status", [400, 404, 413, 422])
@pytest.mark.parametrize("page", PAGES)
async def test_a_page_of_a_gateway_is_no_answer_of_databricks(
    workspace: Workspace, status: int, page: str
) -> None:
    raised = await raised_by_run_now(workspace, plain(status, page))
    assert type(raised) is WorkspaceUnavailable
    assert raised.answered


#: Answers that a workspace gives for its own reasons, or that nobody understands.
NOT_OF_THE_ENTRY = [
    says(400, "INVALID_STATE", "Workspace 7 does not have any associated worker environments"),
    says(400, "INVALID_PARAMETER_VALUE", "There is no worker environment with id 3"),
    says(400, "INVALID_PARAMETER_VALUE", "RPC token bucket limit has been exceeded"),
    says(404, "RESOURCE_DOES_NOT_EXIST", "Unknown worker environment"),
    says(403, "PERMISSION_DENIED", "Unexpected error while job 7 was read"),
    says(400, "BAD_REQUEST", "Unable to load OAuth Config"),
    says(400, "INVALID_PARAMETER_VALUE", "Unable to load OAuth Config"),
    says(404, "FEATURE_DISABLED", "Jobs are disabled"),
    says(404, "RESOURCE_DOES_NOT_EXIST", "Metastore 3 does not exist"),
    says(403, "PERMISSION_DENIED", "Public access is not allowed for workspace: 7"),
    says(403, None, "Public access is not allowed for workspace: 7"),
    says(403, "403", "Public access is not allowed for workspace: 7"),
    says(403, "PERMISSION_DENIED", "This user may not run jobs"),
    says(400, "SOMETHING_NEW", "job 7 is not ready"),
    says(418, None, "teapot"),
    says(400, None, ""),
    says(404, "NOT_FOUND", "The job service could not be found for this shard"),
    says(404, None, "Job backend not found"),
    says(
        404, "RESOURCE_DOES_NOT_EXIST", "No worker environment for workspace 12; the job service was removed"
    ),
    says(404, "RESOURCE_DOES_NOT_EXIST", "Org 1234 not found; cannot run job"),
    says(403, "PERMISSION_DENIED", "Network policy blocks access to the Jobs API for this job's source IP"),
    says(403, "PERMISSION_DENIED", "Job submission is forbidden: workspace subscription is past due"),
    says(403, "PERMISSION_DENIED", "User is not a member of this workspace and cannot trigger job runs"),
    says(400, "MALFORMED_REQUEST", "Proxy could not parse upstream response"),
    says(413, None, "too large"),
    says(422, None, "unprocessable"),
    plain(413, "Request Entity Too Large"),
    plain(422, "blocked, incident 12"),
    plain(400, "Bad Request"),
    plain(404, "no such site"),
    plain(403, "Forbidden"),
]


@pytest.mark.parametrize("reply", NOT_OF_THE_ENTRY)
async def test_what_is_not_known_to_speak_of_the_entry_is_the_workspaces(
    workspace: Workspace, reply: Reply
) -> None:
    caught = await raised_by_run_now(workspace, reply)
    assert isinstance(caught, WorkspaceUnavailable)
    assert caught.in_doubt
    assert "HTTP 4" in str(caught)


@pytest.mark.parametrize(
    ("status", "code"), [(400, "INVALID_PARAMETER_VALUE"), (404, "NOT_FOUND"), (403, None)]
)
@pytest.mark.parametrize(
    "words",
    [
        "Workspace 7 does not have any associated worker environments",
        "There is no worker environment with id 3",
        "Unknown worker environment",
        "com.databricks.UnknownWorkerEnvironmentException: job 7",
        "ClusterNotReadyException: cluster of job 7",
        "Unexpected error",
        "Please try again later or try a faster operation.",
        "RPC token bucket limit has been exceeded",
    ],
)
async def test_a_passing_trouble_is_ridden_out_whatever_the_status(
    workspace: Workspace, status: int, code: str | None, words: str
) -> None:
    """Databricks' own SDK repeats a call on these words."""
    workspace.replies = [says(status, code, words), ok({"run_id": 5})]
    async with connected(workspace) as client:
        assert await client.run_now(REQUEST) == 5
    assert len({str(seen.json) for seen in workspace.seen}) == 1


async def test_the_words_of_an_answer_that_is_not_understood_are_kept(workspace: Workspace) -> None:
    caught = await raised_by_run_now(workspace, says(400, "BAD_REQUEST", "Unable to load OAuth Config"))
    assert str(caught) == "Databricks run-now: HTTP 400 BAD_REQUEST: Unable to load OAuth Config"
    assert isinstance(caught, WorkspaceUnavailable)
    assert caught.answered


@pytest.mark.parametrize("name", ["message", "detail", "error_description", "error"])
async def test_the_words_are_found_in_whatever_field_they_stand(workspace: Workspace, name: str) -> None:
    caught = await raised_by_run_now(workspace, error(400, {name: "the words"}))
    assert str(caught) == "Databricks run-now: HTTP 400: the words"


@pytest.mark.parametrize(
    ("reply", "permanent"),
    [
        (says(400, "INVALID_PARAMETER_VALUE", "Job 7 does not exist."), True),
        (says(404, "RESOURCE_DOES_NOT_EXIST", "Job 7 does not exist."), True),
        (says(404, "NOT_FOUND", "Job 7 not found"), True),
        (says(404, None, "Job 7 does not exist."), True),
        (says(400, "INVALID_PARAMETER_VALUE", "notebook_params is longer than 10000 bytes"), True),
        (says(400, "INVALID_PARAMETER_VALUE", "'x' is not valid"), True),
        (says(400, "MALFORMED_REQUEST", "Could not parse request object"), False),
        (says(413, "REQUEST_TOO_LARGE", "too large"), False),
        (says(422, "UNPROCESSABLE_ENTITY", "unprocessable"), False),
        (says(400, "INVALID_JOB_ID", "5 is not a valid job identifier"), True),
        (says(400, "BAD_REQUEST", "Job parameter 'day' is not defined"), True),
        (says(400, "INVALID_ARGUMENT", "notebook_params must not be given for a job with parameters"), True),
        (says(403, "PERMISSION_DENIED", "You do not have CAN_MANAGE_RUN on 5"), False),
        (says(403, "PERMISSION_DENIED", "x does not have Manage Run permissions on job 7"), False),
        (says(403, "PERMISSION_DENIED", "x is not authorized to run this job"), False),
    ],
)
async def test_an_entry_is_refused_for_what_speaks_of_it(
    workspace: Workspace, reply: Reply, permanent: bool
) -> None:
    caught = await raised_by_run_now(workspace, reply)
    assert isinstance(caught, RequestRefused)
    assert caught.permanent is permanent


@pytest.mark.parametrize(
    ("status", "code", "message"),
    [
        (400, "INVALID_PARAMETER_VALUE", "Job queue limit reached in workspace: 2000 runs"),
        (429, "RESOURCE_EXHAUSTED", "The workspace already has 2000 active runs; limit 2000"),
        (429, "RESOURCE_EXHAUSTED", "There are already 1,000 active runs (limit: 1,000)"),
        (429, None, "Maximum number of concurrent runs reached"),
        (429, "REQUEST_LIMIT_EXCEEDED", "2,000 active runs, limit: 2,000"),
        (400, "QUOTA_EXCEEDED", "no more"),
    ],
)
async def test_a_full_workspace_is_told_in_many_words(
    workspace: Workspace, status: int, code: str | None, message: str
) -> None:
    caught = await raised_by_run_now(workspace, says(status, code, message))
    assert isinstance(caught, NoCapacity)
    assert len(workspace.seen) == 1


# --- a call that was accepted without a run ---


@pytest.mark.parametrize("content", [{}, {"run_id": None}, {"run_id": None, "message": None}])
async def test_an_accepted_call_without_a_run_is_refused_and_not_repeated(
    workspace: Workspace, content: Any
) -> None:
    caught = await raised_by_run_now(workspace, ok(content))
    assert isinstance(caught, NoRunNamed)
    assert caught.permanent
    assert "named no run" in str(caught)
    assert "continuous trigger" in str(caught)
    assert len(workspace.seen) == 1


async def test_an_answer_without_a_run_says_nothing_of_an_earlier_call(workspace: Workspace) -> None:
    """The lost call may have started a run, so the submission keeps its token."""
    caught = await raised_by_run_now(workspace, drop, ok({}))
    assert isinstance(caught, WorkspaceUnavailable)
    assert caught.in_doubt
    assert len(workspace.seen) == 2


@pytest.mark.parametrize(
    "content",
    [{"number_in_job": 5}, {"run_id": None, "job_id": 5}, {"status": "OK"}, {"result": {"run_id": 5}}],
)
async def test_an_accepted_call_that_names_no_run_is_not_repeated(workspace: Workspace, content: Any) -> None:
    caught = await raised_by_run_now(workspace, ok(content))
    assert isinstance(caught, NoRunNamed)
    assert caught.permanent
    assert "named no run" in str(caught)
    assert len(workspace.seen) == 1


@pytest.mark.parametrize(
    "content",
    [
        {"run_id": "five"},
        {"run_id": 5.5},
        {"run_id": -5},
        {"run_id": True},
        {"error_code": "SOMETHING_NEW", "message": "the words"},
        {"run_id": None, "message": "the words"},
        {"message": "service warming up, job not started yet"},
        {"error": "upstream timeout"},
        {"status": "error", "detail": "backend overloaded"},
    ],
)
async def test_an_accepted_call_with_something_else_is_in_doubt(workspace: Workspace, content: Any) -> None:
    caught = await raised_by_run_now(workspace, ok(content))
    assert isinstance(caught, WorkspaceUnavailable)
    assert caught.in_doubt
    for name in ("message", "error", "detail"):
        assert str(content.get(name, "")) in str(caught)


# --- the run of the token was deleted ---

DELETED = "The run with the given idempotency token was deleted."


@pytest.mark.parametrize(
    ("status", "code"),
    [
        (400, "INVALID_PARAMETER_VALUE"),
        (400, "INVALID_STATE"),
        (400, None),
        (403, "PERMISSION_DENIED"),
        (404, "RESOURCE_DOES_NOT_EXIST"),
        (409, "RESOURCE_CONFLICT"),
        (409, "ALREADY_EXISTS"),
        (410, "SOMETHING_NEW"),
    ],
)
@pytest.mark.parametrize("message", [DELETED, "Run 11 does not exist."])
@pytest.mark.parametrize("before", [[], [drop]])
async def test_a_deleted_run_settles_the_submission_also_in_doubt(
    workspace: Workspace, before: list[Reply], status: int, code: str | None, message: str
) -> None:
    caught = await raised_by_run_now(workspace, *before, says(status, code, message))
    assert isinstance(caught, TokenRunDeleted)
    assert message in str(caught)
    assert len(workspace.seen) == len(before) + 1


async def test_the_code_alone_says_that_the_run_was_deleted(workspace: Workspace) -> None:
    caught = await raised_by_run_now(workspace, drop, says(400, "RUN_DELETED", ""))
    assert isinstance(caught, TokenRunDeleted)


@pytest.mark.parametrize(
    "message",
    [
        "Run scheduler not found in this region",
        "The new run needs catalog main that does not exist",
        "Could not create run: instance pool 12 does not exist",
        "Run quota record not found for org 12",
        "Run 11 does not exist or you do not have permission to see it",
        "Token already used",
    ],
)
@pytest.mark.parametrize("code", ["INVALID_STATE", "INVALID_PARAMETER_VALUE"])
async def test_what_is_missing_beside_the_run_settles_no_call_in_doubt(
    workspace: Workspace, code: str, message: str
) -> None:
    caught = await raised_by_run_now(workspace, drop, says(400, code, message))
    assert isinstance(caught, WorkspaceUnavailable)
    assert caught.in_doubt


@pytest.mark.parametrize(
    ("status", "code", "kind"),
    [
        (500, "INTERNAL_ERROR", WorkspaceUnavailable),
        (429, "RESOURCE_EXHAUSTED", WorkspaceUnavailable),
        (401, None, WorkspaceUnavailable),
        (429, "QUOTA_EXCEEDED", NoCapacity),
    ],
)
async def test_nothing_is_deleted_while_the_workspace_is_in_trouble(
    workspace: Workspace, status: int, code: str | None, kind: type[DatabricksError]
) -> None:
    caught = await raised_by_run_now(workspace, says(status, code, DELETED))
    assert isinstance(caught, kind)
    assert not isinstance(caught, TokenRunDeleted)


# --- one run cannot be read ---


@pytest.mark.parametrize(
    ("reply", "answered"),
    [
        (says(403, "PERMISSION_DENIED", "x does not have View permissions on job 7"), True),
        (says(403, None, "no"), True),
        (plain(403, "Forbidden"), True),
        (says(400, "INVALID_PARAMETER_VALUE", "run_id is not valid"), True),
        (says(400, "SOMETHING_NEW", "no"), True),
        (says(401, None, "no"), False),
        (says(400, "INVALID_STATE", "Unexpected error"), False),
        (says(429, None, "slow down"), False),
        (says(503, None, "soon"), False),
        (drop, False),
    ],
)
@pytest.mark.parametrize("operation", ["get_run", "cancel"])
async def test_a_run_that_is_refused_is_told_from_an_outage(
    workspace: Workspace, operation: str, reply: Reply, answered: bool
) -> None:
    workspace.replies = [reply]
    async with connected(workspace) as client:
        with pytest.raises(WorkspaceUnavailable) as caught:
            await getattr(client, operation)(11)
    assert caught.value.answered is answered


@pytest.mark.parametrize(
    ("reply", "gone"),
    [
        (says(400, "INVALID_PARAMETER_VALUE", "Run 11 does not exist."), True),
        (says(404, "RESOURCE_DOES_NOT_EXIST", "Run: 11 in job: 7 doesn't exist"), True),
        (says(404, "RESOURCE_DOES_NOT_EXIST", ""), True),
        (says(404, None, "Run 11 not found"), True),
        (says(410, "SOMETHING_NEW", "The run was deleted"), True),
        (says(404, "RESOURCE_DOES_NOT_EXIST", "Workspace 7 does not exist"), False),
        (says(400, "INVALID_PARAMETER_VALUE", "Cluster 3 does not exist"), False),
        (says(503, "RESOURCE_DOES_NOT_EXIST", "Run 11 does not exist."), False),
        (plain(404, "The requested URL was not found"), False),
        (says(403, "PERMISSION_DENIED", "Run 11 does not exist or you do not have permission"), False),
        (says(403, "PERMISSION_DENIED", "Run 11 does not exist"), False),
        (says(403, None, "Run 11 does not exist"), False),
        (says(404, "NOT_FOUND", "Run 11 does not exist or is not accessible"), False),
        (says(404, "RESOURCE_DOES_NOT_EXIST", "The endpoint /jobs/runs/get does not exist"), False),
        (says(404, "RESOURCE_DOES_NOT_EXIST", "Run scheduler not found"), False),
        (says(404, "NOT_FOUND", "Job run 11 is unknown"), True),
        (says(404, "RUN_DELETED", ""), True),
    ],
)
async def test_which_answer_says_that_a_run_is_gone(workspace: Workspace, reply: Reply, gone: bool) -> None:
    workspace.replies = [reply]
    async with connected(workspace) as client:
        with pytest.raises(RunNotFound if gone else WorkspaceUnavailable):
            await client.get_run(11)


@pytest.mark.parametrize(
    ("reply", "kind"),
    [
        (says(400, "INVALID_PARAMETER_VALUE", "latest_repair_id must be given"), RequestRefused),
        (says(400, "INVALID_PARAMETER_VALUE", "Run 11 does not exist."), RunNotFound),
        (says(400, "INVALID_STATE", "The run is active"), WorkspaceUnavailable),
        (says(429, "QUOTA_EXCEEDED", "full"), NoCapacity),
    ],
)
async def test_a_repair_that_is_refused(
    workspace: Workspace, reply: Reply, kind: type[DatabricksError]
) -> None:
    workspace.replies = [reply]
    async with connected(workspace, clock=ManualClock()) as client:
        with pytest.raises(kind):
            await client.repair(
                RepairRequest(
                    run_id=11, latest_repair_id=None, parameter_style="notebook_params", parameters={}
                )
            )


async def test_one_answer_does_not_settle_a_repair_in_doubt(workspace: Workspace) -> None:
    """The first call may have made the run active, whatever the second answer says of it."""
    workspace.replies = [drop, says(400, "INVALID_PARAMETER_VALUE", "Run 11 does not exist.")]
    async with connected(workspace) as client:
        with pytest.raises(WorkspaceUnavailable) as caught:
            await client.repair(
                RepairRequest(
                    run_id=11, latest_repair_id=None, parameter_style="notebook_params", parameters={}
                )
            )
    assert caught.value.in_doubt
    assert len(workspace.seen) == 2


@pytest.mark.parametrize(
    ("reply", "kind"),
    [
        (says(400, "INVALID_PARAMETER_VALUE", "name is not valid"), RequestRefused),
        (says(400, "INVALID_PARAMETER_VALUE", "Unable to load OAuth Config"), WorkspaceUnavailable),
        (says(403, "PERMISSION_DENIED", "no"), WorkspaceUnavailable),
    ],
)
async def test_a_name_that_the_list_of_jobs_refuses(
    workspace: Workspace, reply: Reply, kind: type[DatabricksError]
) -> None:
    workspace.replies = [reply]
    async with connected(workspace) as client:
        with pytest.raises(kind):
            await client.find_jobs("x")
