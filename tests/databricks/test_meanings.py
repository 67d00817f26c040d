"""What answers of Databricks mean: each row of the table, and many wordings, through the client."""

from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from orchestrator.adapters.databricks import meanings
from orchestrator.adapters.databricks.client import DatabricksClient
from orchestrator.adapters.databricks.errors import ErrorResponse
from orchestrator.adapters.databricks.meanings import About, Meaning
from orchestrator.core.errors import (
    DatabricksError,
    NoCapacity,
    RequestRefused,
    RunNotFound,
    TokenRunDeleted,
    Unauthorized,
    WorkspaceUnavailable,
)
from orchestrator.core.models import RepairRequest
from tests.databricks.support import REQUEST, Reply, Workspace, connected, drop, error

_REPAIR = RepairRequest(run_id=11, latest_repair_id=None, parameter_style="notebook_params", parameters={})

_CALLS: dict[About, Callable[[DatabricksClient], Awaitable[Any]]] = {
    About.START: lambda client: client.run_now(REQUEST),
    About.REPAIR: lambda client: client.repair(_REPAIR),
    About.JOB: lambda client: client.get_job(7),
    About.RUN: lambda client: client.get_run(11),
    About.NOTHING: lambda client: client.active_runs(),
}

_ERRORS: dict[Meaning, type[DatabricksError]] = {
    Meaning.TROUBLE: WorkspaceUnavailable,
    Meaning.RATE: WorkspaceUnavailable,
    Meaning.UNAUTHORIZED: Unauthorized,
    Meaning.FORBIDDEN: Unauthorized,
    Meaning.FULL: NoCapacity,
    Meaning.USED_UP: TokenRunDeleted,
    Meaning.RUN_GONE: RunNotFound,
    Meaning.IMPOSSIBLE: RequestRefused,
    Meaning.REFUSED: RequestRefused,
    Meaning.DENIED: RequestRefused,
    Meaning.STILL_IN_DOUBT: WorkspaceUnavailable,
    Meaning.ELSEWHERE: WorkspaceUnavailable,
    Meaning.NOT_UNDERSTOOD: WorkspaceUnavailable,
}
_PERMANENT = {Meaning.IMPOSSIBLE: True, Meaning.REFUSED: False, Meaning.DENIED: False}


#: what it means, about what it was asked, status, error code, message
Answer = tuple[Meaning, About, int, str, str]


def says(status: int, code: str, message: str) -> Reply:
    return error(status, {"error_code": code, "message": message} if code else {"message": message})


async def raised(workspace: Workspace, about: About, *replies: Reply) -> DatabricksError:
    workspace.replies = list(replies)
    async with connected(workspace) as client:
        with pytest.raises(DatabricksError) as caught:
            await _CALLS[about](client)
    return caught.value


#: An answer for each row of the table, in the same order.
ANSWERS: list[Answer] = [
    (Meaning.TROUBLE, About.START, 500, "INVALID_PARAMETER_VALUE", "Job 7 does not exist"),
    (Meaning.ELSEWHERE, About.START, 302, "", "Sign in"),
    (Meaning.UNAUTHORIZED, About.START, 401, "INVALID_PARAMETER_VALUE", "Job 7 does not exist"),
    (Meaning.UNAUTHORIZED, About.START, 403, "PERMISSION_DENIED", "Invalid access token for job 7"),
    (Meaning.FULL, About.START, 403, "QUOTA_EXCEEDED", "no"),
    (Meaning.FULL, About.REPAIR, 429, "", "2,000 active runs, limit: 2,000"),
    (Meaning.FULL, About.START, 400, "REQUEST_LIMIT_EXCEEDED", "2,000 active runs, limit: 2,000"),
    (Meaning.RATE, About.RUN, 429, "", "2,000 active runs, limit: 2,000"),
    (Meaning.RATE, About.START, 400, "RESOURCE_EXHAUSTED", "slow down"),
    (Meaning.USED_UP, About.START, 400, "RUN_DELETED", ""),
    (Meaning.USED_UP, About.START, 409, "RESOURCE_CONFLICT", "The run of this token was deleted"),
    (Meaning.TROUBLE, About.START, 409, "", "Run 11 exists"),
    (Meaning.TROUBLE, About.JOB, 400, "COULD_NOT_ACQUIRE_LOCK", "Job 7 does not exist"),
    (
        Meaning.FULL,
        About.START,
        400,
        "INVALID_STATE",
        "Maximum number of active runs reached; try again later",
    ),
    (Meaning.RATE, About.START, 400, "RATE_LIMITED", "Too many requests"),
    (
        Meaning.TROUBLE,
        About.START,
        400,
        "INVALID_PARAMETER_VALUE",
        "There is no worker environment with id 3",
    ),
    (Meaning.DENIED, About.START, 403, "PERMISSION_DENIED", "no Manage Run on job 7"),
    (Meaning.FORBIDDEN, About.RUN, 404, "PERMISSION_DENIED", "Run 11 does not exist"),
    (Meaning.FORBIDDEN, About.RUN, 403, "", "Run 11 does not exist"),
    (Meaning.RUN_GONE, About.RUN, 404, "RUN_DELETED", ""),
    (Meaning.RUN_GONE, About.REPAIR, 400, "INVALID_PARAMETER_VALUE", "Run 11 does not exist"),
    (Meaning.RUN_GONE, About.RUN, 404, "RESOURCE_DOES_NOT_EXIST", ""),
    (Meaning.NOT_UNDERSTOOD, About.START, 404, "RESOURCE_DOES_NOT_EXIST", "Job 7 not found in the replica"),
    (Meaning.IMPOSSIBLE, About.START, 404, "SOMETHING_NEW", "Job 7 does not exist"),
    (
        Meaning.NOT_UNDERSTOOD,
        About.START,
        400,
        "BAD_REQUEST",
        "job_parameters are not supported in this account",
    ),
    (Meaning.IMPOSSIBLE, About.START, 400, "BAD_REQUEST", "Job parameter 'day' is not defined"),
    (Meaning.NOT_UNDERSTOOD, About.START, 400, "INVALID_PARAMETER_VALUE", "The region is closed"),
    (Meaning.IMPOSSIBLE, About.START, 404, "RESOURCE_DOES_NOT_EXIST", "notebook /x is not there"),
    (Meaning.IMPOSSIBLE, About.START, 400, "JOB_NOT_FOUND", "7"),
    (Meaning.IMPOSSIBLE, About.REPAIR, 400, "INVALID_PARAMETER_VALUE", "Run 11 is in progress"),
    (Meaning.IMPOSSIBLE, About.START, 400, "INVALID_PARAMETER_VALUE", "'x' is not valid"),
    (Meaning.REFUSED, About.START, 400, "MALFORMED_REQUEST", "Could not parse request object"),
    (Meaning.REFUSED, About.START, 413, "REQUEST_TOO_LARGE", "too large"),
    (Meaning.NOT_UNDERSTOOD, About.START, 400, "SOMETHING_NEW", "no"),
]


def test_each_row_has_its_answer() -> None:
    responses = [
        (ErrorResponse(status=status, code=code, label=code, message=message, text=""), about)
        for _, about, status, code, message in ANSWERS
    ]
    rows = [meanings.row_of(response, about) for response, about in responses]
    assert [meanings.TABLE.index(row) for row in rows] == list(range(len(meanings.TABLE)))


@pytest.mark.parametrize("answer", ANSWERS)
async def test_what_an_answer_means(workspace: Workspace, answer: Answer) -> None:
    meaning, about, status, *words = answer
    caught = await raised(workspace, about, says(status, *words))
    assert type(caught) is _ERRORS[meaning]
    assert caught.status == status
    assert getattr(caught, "permanent", None) is _PERMANENT.get(meaning, getattr(caught, "permanent", None))
    if isinstance(caught, WorkspaceUnavailable):
        assert caught.answered is (meaning in {Meaning.FORBIDDEN, Meaning.NOT_UNDERSTOOD})
        assert caught.in_doubt is (meaning not in {Meaning.RATE, Meaning.UNAUTHORIZED})
    repeated = meaning in {Meaning.TROUBLE, Meaning.RATE}
    renewed = meaning in {Meaning.UNAUTHORIZED, Meaning.FORBIDDEN, Meaning.DENIED}
    assert len(workspace.seen) == (4 if repeated else 2 if renewed else 1)


@pytest.mark.parametrize("answer", [each for each in ANSWERS if each[1] in {About.START, About.REPAIR}])
async def test_after_a_lost_answer_only_the_end_of_the_tokens_run_settles_anything(
    workspace: Workspace, answer: Answer
) -> None:
    meaning, about, status, *words = answer
    caught = await raised(workspace, about, drop, says(status, *words))
    if meaning is Meaning.USED_UP:
        assert type(caught) is TokenRunDeleted
    else:
        assert isinstance(caught, WorkspaceUnavailable)
        assert caught.in_doubt
        assert not caught.answered, "what it says of this try is no answer about the earlier one"


#: By what they mean for ``run-now``; None = the workspace's trouble, of whatever kind.
WORDINGS: dict[Meaning | None, list[tuple[int, str, str]]] = {
    None: [
        (403, "PERMISSION_DENIED", "Public access is not allowed for workspace: 7"),
        (403, "PERMISSION_DENIED", "Public access is not allowed for workspace: 7, so job 7 cannot be run"),
        (403, "PERMISSION_DENIED", "Jobs are disabled for this workspace"),
        (403, "PERMISSION_DENIED", "This user may not run jobs"),
        (403, "PERMISSION_DENIED", "Network policy blocks access to the Jobs API for this job's source IP"),
        (403, "PERMISSION_DENIED", "Job submission is forbidden: workspace subscription is past due"),
        (403, "PERMISSION_DENIED", "User is not a member of this workspace and cannot trigger job runs"),
        (400, "INVALID_PARAMETER_VALUE", "Unable to load OAuth Config"),
        (400, "INVALID_PARAMETER_VALUE", "Public access is not allowed for workspace: 7"),
        (400, "INVALID_PARAMETER_VALUE", "Workspace 7 does not exist"),
        (400, "INVALID_PARAMETER_VALUE", "The feature is not enabled"),
        (400, "INVALID_PARAMETER_VALUE", "Job parameters are not supported in this workspace"),
        (400, "INVALID_PARAMETER_VALUE", "Jobs are disabled"),
        (400, "INVALID_PARAMETER_VALUE", "Org 1234 not found; cannot run job"),
        (400, "INVALID_PARAMETER_VALUE", "The job service is not there"),
        (400, "INVALID_PARAMETER_VALUE", "Proxy could not parse upstream response"),
        (400, "INVALID_STATE", "Workspace 99 is in state SUSPENDED"),
        (400, "INVALID_PARAMETER_VALUE", "Unity Catalog is not enabled for this workspace; job 5 cannot run"),
        (
            400,
            "INVALID_PARAMETER_VALUE",
            "The control plane rejected the job run: region westeurope is being evacuated",
        ),
        (400, "BAD_REQUEST", "Cannot determine the cloud account of the job"),
        (400, "INVALID_PARAMETER_VALUE", "Failed to reach job scheduler for job 5"),
        (400, "FAILED_PRECONDITION", "Account is in read-only mode"),
        (404, "RESOURCE_DOES_NOT_EXIST", "No such workspace"),
        (404, "RESOURCE_DOES_NOT_EXIST", "Endpoint not found: /api/2.2/jobs/run-now"),
        (404, "RESOURCE_DOES_NOT_EXIST", "Shard for job 5 does not exist"),
        (404, "NOT_FOUND", "Tenant 12 was not found"),
        (404, "ENDPOINT_NOT_FOUND", "Unsupported path: /api/2.2/jobs/run-now for account: 1"),
        (404, "RESOURCE_DOES_NOT_EXIST", "Storage root of the workspace was removed"),
        (404, "FEATURE_DISABLED", "Jobs API is turned off by your administrator"),
        (403, "PERMISSION_DENIED", "Access from this IP address to job APIs is blocked"),
        (403, "PERMISSION_DENIED", "The workspace is locked for maintenance; job 5 was not started"),
        (
            403,
            "PERMISSION_DENIED",
            "Source IP address: 1.2.3.4 is blocked by Databricks IP ACL for workspace: 12",
        ),
        (403, "PERMISSION_DENIED", "Provided OAuth token does not have required scopes: jobs"),
        (403, "PERMISSION_DENIED", "Serverless compute is disabled for the account"),
        (403, "PERMISSION_DENIED", "Compliance security profile blocks the job API"),
        (403, "PERMISSION_DENIED", "The customer's Azure subscription is disabled; no job can be run"),
        (403, "CUSTOMER_UNAUTHORIZED", "Unauthorized network access to workspace"),
        (400, "INVALID_PARAMETER_VALUE", "Encryption key of the workspace is revoked"),
        (
            400,
            "INVALID_PARAMETER_VALUE",
            "The customer-managed key vault cannot be reached, job 5 was not started",
        ),
        (400, "INVALID_PARAMETER_VALUE", "Catalog service timed out while validating the request"),
        (400, "INVALID_PARAMETER_VALUE", "The job service is over its memory budget"),
        (404, "RESOURCE_DOES_NOT_EXIST", "Run service instance jobs-7 does not exist"),
        (400, "INVALID_PARAMETER_VALUE", "Request could not be routed: cell 7 is draining"),
        (400, "INVALID_PARAMETER_VALUE", "Database connection pool exhausted"),
        (400, "INVALID_PARAMETER_VALUE", "Please try again"),
        (400, "INVALID_PARAMETER_VALUE", "The request timed out"),
        (400, "INVALID_PARAMETER_VALUE", "Connection refused"),
        (400, "MALFORMED_REQUEST", "Bad gateway"),
        (404, "RESOURCE_DOES_NOT_EXIST", "Job controller of the workspace does not exist"),
        (400, "INVALID_STATE", "Run history store not found"),
        (400, "INVALID_STATE", "Run environment 'x' does not exist in shard 7"),
        (404, "NOT_FOUND", "run-now handler not found"),
        (400, "INVALID_STATE", "The run submission queue was removed"),
    ],
    Meaning.IMPOSSIBLE: [
        (400, "INVALID_PARAMETER_VALUE", "Job parameters cannot be larger than the workspace's limit"),
        (400, "INVALID_PARAMETER_VALUE", "Missing required field: job_id"),
        (400, "INVALID_PARAMETER_VALUE", "job_parameters are wrong"),
        (400, "INVALID_PARAMETER_VALUE", "Value 'x' is not valid"),
        (400, "INVALID_PARAMETER_VALUE", "Job 5 has been deleted"),
        (404, "RESOURCE_DOES_NOT_EXIST", "The job with id 5 was removed by admin@x.com"),
        (404, "NOT_FOUND", "Can't find job 5"),
        (400, "INVALID_PARAMETER_VALUE", "Job ID 5 is unknown"),
        (404, "RESOURCE_DOES_NOT_EXIST", "job_id=5 does not exist"),
        (404, "", "No job found for id 5"),
        (400, "BAD_REQUEST", "Invalid job_id: 5 does not exist"),
        (400, "JOB_NOT_FOUND", "5"),
        (404, "RESOURCE_DOES_NOT_EXIST", "Cannot find the job you are looking for: 5"),
        (410, "GONE", "Job 5 no longer exists"),
        (404, "JOB_DOES_NOT_EXIST", ""),
        (400, "INVALID_PARAMETER_VALUE", "Unknown job parameter: day"),
        (400, "BAD_REQUEST", "Parameter day is not declared by the job"),
        (400, "INVALID_PARAMETER_VALUE", "python_params must be ASCII only"),
        (400, "INVALID_ARGUMENT", "Job parameters [day] are not defined in job 5"),
        (400, "INVALID_PARAMETER_VALUE", "The parameter 'day' exceeds 10000 bytes"),
        (
            400,
            "INVALID_PARAMETER_VALUE",
            "Task parameters (notebook_params) are not allowed for jobs with job parameters",
        ),
        (400, "INVALID_STATE", "Job 5 has job parameters. Task parameters (notebook_params) are not allowed"),
        (400, "INVALID_PARAMETER_VALUE", "Task key foo in 'only' does not exist in job 5"),
        (
            400,
            "INVALID_PARAMETER_VALUE",
            "duration_target is required when performance_target is COST_OPTIMIZED.",
        ),
    ],
    Meaning.DENIED: [
        (403, "PERMISSION_DENIED", "User x does not have Manage Run permissions on job 7"),
        (403, "PERMISSION_DENIED", "x@y.z is not authorized to run this job"),
        (403, "PERMISSION_DENIED", "no View on job 7"),
        (403, "PERMISSION_DENIED", "You have no access to jobs/7"),
        (403, "PERMISSION_DENIED", "missing permission for job_id 7"),
        (403, "PERMISSION_DENIED", "You do not have CAN_MANAGE_RUN on 5"),
        (403, "PERMISSION_DENIED", "sp does not have CAN_MANAGE_RUN permission on Job 5"),
        (
            403,
            "PERMISSION_DENIED",
            "User a@b.c does not have Manage Run or Admin or Owner permissions on job 5",
        ),
        (403, "PERMISSION_DENIED", "Insufficient privileges to trigger job 5"),
        (403, "PERMISSION_DENIED", "You must be owner of the job to run it"),
        (403, "PERMISSION_DENIED", "Not allowed to run job(5)"),
        (403, "PERMISSION_DENIED", "principal 12-3 lacks Can Manage Run on this job"),
        (403, "PERMISSION_DENIED", "Job 5: access denied"),
        (403, "PERMISSION_DENIED", "service principal x cannot run job 5"),
        (403, "PERMISSION_DENIED", "Only admins and owners may run job_id 5"),
        (400, "PERMISSION_DENIED", "User is not allowed to run job 5 as service principal"),
    ],
    Meaning.USED_UP: [
        (400, "INVALID_PARAMETER_VALUE", "The run for idempotency token 'x' was deleted"),
        (404, "RESOURCE_DOES_NOT_EXIST", "Run 12 for the supplied idempotency token no longer exists"),
        (400, "INVALID_STATE", "idempotency_token x: its run was removed"),
        (410, "GONE", "The run started with this token has been deleted"),
        (400, "", "Run with run_id 1001 has been permanently deleted"),
        (400, "INVALID_PARAMETER_VALUE", "The job run created by this idempotency token has been deleted."),
        (404, "NOT_FOUND", "Could not find the run for this idempotency token"),
        (400, "INVALID_PARAMETER_VALUE", "Deleted run 1001 cannot be returned"),
        (400, "INVALID_PARAMETER_VALUE", "Idempotency token refers to a run which is deleted"),
        (400, "INVALID_PARAMETER_VALUE", "The previously created run has been deleted"),
    ],
    Meaning.FULL: [
        (400, "INVALID_STATE", "The workspace has reached its limit of 2000 concurrent runs"),
        (429, "RESOURCE_EXHAUSTED", "Workspace limit of 2,000 concurrently running tasks exceeded"),
        (429, "", "No more than 1000 active runs are allowed"),
        (429, "REQUEST_LIMIT_EXCEEDED", "The number of active runs (2000) exceeds the limit"),
        (
            400,
            "INVALID_PARAMETER_VALUE",
            "Cannot start run: maximum number of active runs for the workspace exceeded",
        ),
        (400, "RESOURCE_LIMIT_EXCEEDED", "Too many active runs"),
        (403, "QUOTA_EXCEEDED", "x"),
        (400, "INVALID_STATE", "Run queue is full"),
        (429, "RESOURCE_EXHAUSTED", "Max concurrent runs (1000) reached for this workspace"),
        (429, "RESOURCE_EXHAUSTED", "Job queue size limit exceeded"),
        (400, "MAX_JOB_QUEUE_SIZE_EXCEEDED", "x"),
    ],
    Meaning.UNAUTHORIZED: [
        (403, "PERMISSION_DENIED", "The access token for job runs is no longer valid"),
        (403, "PERMISSION_DENIED", "Access token used for job 5 was revoked"),
        (400, "", "The bearer token is not valid"),
        (403, "PERMISSION_DENIED", "Token expired; please re-authenticate to run job 5"),
        (403, "PERMISSION_DENIED", "Expired credentials, cannot run job 5"),
        (403, "PERMISSION_DENIED", "Credential was not sent or was of an unsupported type for job 5"),
        (403, "PERMISSION_DENIED", "User not authenticated; job 5 not started"),
        (403, "PERMISSION_DENIED", "The personal access token has expired. job 5"),
        (403, "PERMISSION_DENIED", "Session has expired, sign in to run job 5"),
        (401, "", "x"),
    ],
}


@pytest.mark.parametrize(
    ("meaning", "status", "code", "message"),
    [(meaning, *each) for meaning, wordings in WORDINGS.items() for each in wordings],
)
async def test_other_words_of_the_same_kind(
    workspace: Workspace, meaning: Meaning | None, status: int, code: str, message: str
) -> None:
    caught = await raised(workspace, About.START, says(status, code, message))
    if meaning is None:
        assert isinstance(caught, WorkspaceUnavailable)
    else:
        assert type(caught) is _ERRORS[meaning]
    assert message in str(caught)


#: Said of the request, or of the job that it names: the entry ends at once.
PLAIN_REFUSALS: dict[tuple[int, str], list[str]] = {
    (400, "INVALID_PARAMETER_VALUE"): [
        "Job 5 does not exist.",
        "Job with ID 5 does not exist",
        "No job found with id 5",
        "The job 5 was deleted.",
        "Invalid value for parameter day",
        "Parameter 'day' is not a declared parameter of the job",
        "Unexpected parameter: day",
        "job_parameters[0]: value must be a string",
        "Invalid job parameter name: 'my day'",
        "Unrecognized field `foo`",
        "Missing required parameter: day",
        "Required parameter day was not provided",
        "notebook_params and job_parameters cannot both be specified",
        "Cannot specify notebook_params for a job with job parameters",
        "The job has parameters; notebook_params cannot be used",
        "Only job_parameters are accepted",
        "Parameters too long",
        "The size of notebook_params is larger than 10000 bytes",
        "The JSON representation of notebook_params cannot exceed 10,000 bytes",
        "python_params contains non-ASCII characters",
        "Invalid notebook path: /x",
        "Notebook /Users/x does not exist",
        "Task 'foo' does not exist in job 5",
        "Unknown task key: foo",
        "Task keys foo not found in job 5",
        "Duplicate parameter name 'day'",
        "idempotency_token must have at most 64 characters",
        "Invalid idempotency token",
        "queue.enabled must be a boolean",
        "performance_target is not supported for this job",
        "job_id must be a positive integer",
        "Invalid job ID: -5",
        "'abc' is not a valid number",
        "Expected a map for field notebook_params but got list",
        "Could not parse field 'job_parameters'",
        "Cannot deserialize value of type `java.lang.String` from Object value",
        "Job 5 does not accept notebook_params",
        "Job 5 is not a notebook job",
        "The value of day is wrong",
        "Values of parameters may not be null",
        "sql_params is only valid for SQL tasks",
        "Argument list has too many elements",
        "jar_params are not supported for this task type",
        "The request is missing job_id",
        "pipeline_params.full_refresh is not allowed with only",
        "dbt_commands must begin with 'dbt'",
        "You cannot pass python_params to a job without Python tasks",
        "Parameter `day` has the wrong type",
        "No parameter named 'day' in job 5",
        "The provided parameters do not match the job's definition",
        "Job parameter day: value is too large",
        "Illegal character in parameter name",
        "Parameter names must be unique",
        "Job 5 has no parameter 'day'",
        "Bad parameter day",
        "Path does not exist: abfss://raw@lake/part-1",
        "The job declares job parameters: use job_parameters.",
        "The run parameter 'day' isn't known",
        "The parameter key day is not valid for this job",
        "Parameters [a, b] were not recognized",
        "Number of parameters exceeds the limit of 100",
    ],
    (404, "RESOURCE_DOES_NOT_EXIST"): [
        "Job 5 does not exist.",
        "Job not found",
        "Job 5 not found.",
        "The requested resource does not exist",
        "Resource not found",
        "Job with job_id 5 could not be found",
        "Job 5 is not available",
        "No job with ID 5 exists in this workspace",
        "The specified job does not exist",
        "The job 5 cannot be located",
        "Notebook /x/y not found",
        "Could not find job with id 5.",
        "5 does not exist",
        "job 5 has been removed",
        "Unknown job id 5",
        "Unable to locate job 5",
    ],
    (403, "PERMISSION_DENIED"): [
        "User a@b.c does not have Manage Run permissions on job 5",
        "User x does not have CAN_MANAGE_RUN permission on the job",
        "You do not have permission to run this job",
        "You don't have permission to access job 5",
        "a@b.c does not have permission to trigger job 5",
        "Permission denied on job 5",
        "No permission on this job",
        "Principal 12 is not authorized to manage job 5",
        "Access to job 5 is denied",
        "User does not have 'Manage Run' permission on Job with ID: 5",
        "Job 5 is not accessible to user x",
        "Requires CAN MANAGE RUN on job 5",
        "Missing CAN_MANAGE_RUN on job",
        "The service principal lacks Can Manage Run on job 5",
    ],
    (400, "MALFORMED_REQUEST"): [
        "Could not parse request object: Expected 'START_OBJECT' not 'VALUE_STRING'",
        "Invalid JSON given in the body of the request - expected a map",
        "Could not parse request object",
        "Request body is not valid JSON",
    ],
}


#: The same codes with words that speak of something else: no entry ends by one answer.
OTHER_REASONS: dict[tuple[int, str], list[str]] = {
    (400, "INVALID_PARAMETER_VALUE"): [
        "Cluster pool for serverless job runs is not ready",
        "No healthy instance available for job execution",
        "The server is shutting down, job cannot be accepted",
        "Invalid token",
        "Serverless compute is not enabled",
        "Databricks is being upgraded",
        "Unity Catalog is not reachable for job 5",
        "Read-only mode: job runs cannot be created",
        "Cell migration in progress; job 5 is locked",
        "Unable to acquire lease",
        "Please wait, the job store is starting",
        "Request throttled, slow down",
        "Compute plane is warming up",
        "No capacity for serverless compute",
        "Quota for serverless exceeded",
        "The workspace storage is offline, job 5 not started",
        "Hive metastore is unreachable",
        "Kafka broker rejected",
        "Master node elected, please repeat",
        "Cloud provider returned an error",
        "Storage credential of the root bucket expired",
        "Run creation has been suspended by the administrator",
        "Customer-managed key is disabled",
        "Encryption key unavailable",
        "Billing account is past due",
        "The license is invalid",
        "License has expired",
        "Certificate is not valid",
        "Could not contact identity provider",
        "DNS lookup failed",
        "Unity Catalog has no metastore assigned",
        "Request came from an unknown IP",
        "Unknown host",
        "Unknown error",
        "Something went wrong",
        "An error occurred while reading job 5",
        "Failed to load job 5 from store",
        "Jobs are paused for this cell",
        "The admission controller rejected the run",
        "Node pool exhausted",
        "Bad gateway",
        "Missing routing information",
        "Configuration not loaded",
        "Invalid deployment state",
        "Invalid session",
        "Invalid state",
        "The run was not created: backend returned 500",
        "Jobs quota 1000 reached",
        "Dependency vault not initialized",
        "Too many connections",
        "Invalid credentials",
        "Failed to acquire task lock",
        "Region failover under way",
        "Snapshot of job 5 is stale",
        "Job 5 is being updated",
    ],
    (404, "RESOURCE_DOES_NOT_EXIST"): [
        "Job 5 could not be loaded: database replica lag",
        "Principal app-1 does not exist so job 5 can not be run",
        "Jobs database does not exist on this replica",
        "No job cluster available",
        "No task slot for this",
        "Metastore 3 does not exist",
        "User x does not exist",
        "Cluster policy does not exist",
        "Tenant not found",
        "Route not found",
        "Default catalog does not exist",
        "The principal that owns job 5 does not exist",
        "Node type not found for job 5",
        "Backend for job 5 not found",
        "The service could not find its own table jobs",
        "Workspace root does not exist",
    ],
    (403, "PERMISSION_DENIED"): [
        "Cannot run job: token lacks scope jobs",
        "User is disabled and cannot run job 5",
        "Missing required scopes: jobs; job 5",
        "Trial expired: job runs are not allowed",
        "Token scopes do not include jobs for job 5",
        "User account is locked; job 5 not run",
        "User is suspended and may not run job 5",
        "Job runs are not allowed",
        "Your plan does not include job runs",
        "IP not allowed to run job 5",
        "Conditional access policy prevents running job 5",
        "Account admin has disabled job 5's region",
    ],
    (400, "MALFORMED_REQUEST"): [
        "Unexpected end of file",
        "Could not parse request object: Unexpected end-of-input",
        "Missing header X-Databricks-Org-Id",
        "Upstream sent malformed response",
    ],
}


#: No further run for now: the attempt is given back.
NO_ROOM: dict[tuple[int, str], list[str]] = {
    (400, "INVALID_PARAMETER_VALUE"): [
        "Cannot start more than 10000 runs per hour",
        "The job exceeded maximum runs creation rate of 10000 per hour",
        "Job 5 already has an active run and max_concurrent_runs is 1",
        "The job's maximum number of queued runs has been met",
    ],
    (400, "INVALID_STATE"): [
        "Job 5 already has an active run and max_concurrent_runs is 1",
    ],
    (429, "RESOURCE_EXHAUSTED"): [
        "Job run creation rate exceeded: 10,000 runs per hour",
    ],
}


def each_of(wordings: dict[tuple[int, str], list[str]]) -> list[tuple[int, str, str]]:
    return [(*answer, message) for answer, messages in wordings.items() for message in messages]


@pytest.mark.parametrize(("status", "code", "message"), each_of(PLAIN_REFUSALS))
async def test_a_plain_refusal_is_the_entrys(
    workspace: Workspace, status: int, code: str, message: str
) -> None:
    caught = await raised(workspace, About.START, says(status, code, message))
    assert type(caught) is RequestRefused
    assert message in str(caught)


@pytest.mark.parametrize(("status", "code", "message"), each_of(OTHER_REASONS))
async def test_a_code_of_refusals_alone_is_not_the_entrys(
    workspace: Workspace, status: int, code: str, message: str
) -> None:
    caught = await raised(workspace, About.START, says(status, code, message))
    assert isinstance(caught, WorkspaceUnavailable)
    assert message in str(caught)


@pytest.mark.parametrize(("status", "code", "message"), each_of(NO_ROOM))
async def test_no_room_for_a_run_is_no_refusal(
    workspace: Workspace, status: int, code: str, message: str
) -> None:
    caught = await raised(workspace, About.START, says(status, code, message))
    assert type(caught) is NoCapacity


@pytest.mark.parametrize(
    ("status", "code", "message", "of_job"),
    [
        (403, "PERMISSION_DENIED", "User x does not have Manage Run permission on job 7", True),
        (404, "JOB_NOT_FOUND", "Not found.", True),
        (400, "INVALID_PARAMETER_VALUE", "Job 7 does not exist.", True),
        (400, "INVALID_PARAMETER_VALUE", "Job 7 has no tasks.", True),
        (404, "RESOURCE_DOES_NOT_EXIST", "Job 7 is not there any more.", True),
        (404, "RESOURCE_DOES_NOT_EXIST", "Task 'load' was not found in job 7.", False),
        (400, "INVALID_PARAMETER_VALUE", "The parameter 'day' is not defined in job 7.", False),
    ],
)
async def test_whether_a_refusal_speaks_of_the_job_itself(
    workspace: Workspace, status: int, code: str, message: str, of_job: bool
) -> None:
    """Then other entries of the job would be refused as well, so few of them try."""
    caught = await raised(workspace, About.START, says(status, code, message))
    assert isinstance(caught, RequestRefused)
    assert caught.of_job is of_job
