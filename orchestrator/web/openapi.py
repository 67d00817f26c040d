"""The OpenAPI document of the API, derived from the table of routes and the types of ``schemas.py``."""

import functools
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from msgspec import Struct, json

from orchestrator.core.actions import RUN_IS_LEFT
from orchestrator.web import databricks_events, schemas
from orchestrator.web.http import JSON, PROBLEM
from orchestrator.web.routes import ROUTES

_Json = dict[str, Any]

_REF = "#/components/schemas/{name}"


@dataclass(frozen=True, kw_only=True)
class _Operation:
    """What the document says about a route beyond its method and path."""

    id: str
    summary: str
    description: str | None = None
    path: type[Struct] | None = None
    query: type[Struct] | None = None
    headers: type[Struct] | None = None
    body: type[Struct] | None = None
    body_required: bool = True
    #: of a request that was served
    status: int = 200
    says: str = "As asked."
    #: type of the response's body
    returns: Any
    media_type: str = JSON
    #: by status: when a request is refused, besides :func:`_common_problems`
    problems: Mapping[int, str] = field(default_factory=dict)
    #: by status: a response in JSON besides the problem
    also: Mapping[int, type[Struct]] = field(default_factory=dict)
    #: by status
    response_headers: Mapping[int, _Json] = field(default_factory=dict)
    #: None = a function key, and the rules that go with it
    security: str | None = None


_NOT_NOW = {503: "The state store does not answer, or the settings cannot be used."}

_NO_ENTRY = {404: "There is no such entry."}

_NOT_ALLOWED = {409: "The current state does not allow it."}

_NOT_AS_EXPECTED = {409: "The entry's state does not allow it, or is not as expected."}

#: By the name of the route.
_OPERATIONS: Mapping[str, _Operation] = {
    "api_status": _Operation(
        id="status",
        summary="The state of the workspaces and of the timer functions",
        returns=schemas.StatusReport,
        problems=_NOT_NOW,
    ),
    "api_health": _Operation(
        id="health",
        summary="Whether the app does its work",
        returns=schemas.Healthy,
        also={503: schemas.Unhealthy},
        problems={503: "It does not; here is why. Also when too much is asked at once."},
    ),
    "api_check": _Operation(
        id="check",
        summary="Whether everything works that the app needs, tested now, as the app",
        description="What `python -m orchestrator check` tests, but with the app's own identity and from "
        "where it runs. Takes up to 24 seconds: what has no result by then is a finding that is not ok.",
        returns=schemas.CheckReport,
    ),
    "api_entries": _Operation(
        id="list_entries",
        summary="Find entries",
        query=schemas.EntriesQuery,
        returns=schemas.EntryPage,
        problems=_NOT_NOW,
    ),
    "api_entry": _Operation(
        id="get_entry",
        summary="One entry with its last runs",
        path=schemas.EntryPath,
        query=schemas.EntryQuery,
        returns=schemas.EntryWithRuns,
        problems=_NO_ENTRY | _NOT_NOW,
    ),
    "api_add": _Operation(
        id="add_entries",
        summary="Insert entries, all or none",
        headers=schemas.InsertHeaders,
        body=schemas.NewEntries,
        status=201,
        returns=schemas.Inserted,
        problems=_NOT_ALLOWED | _NOT_NOW,
    ),
    "api_retry": _Operation(
        id="retry_entry",
        summary="Run a final entry again, or a FAILED one without waiting",
        description="With restart also one that is RUNNING.",
        path=schemas.EntryPath,
        body=schemas.Retry,
        body_required=False,
        returns=schemas.Entry,
        problems=_NO_ENTRY | _NOT_AS_EXPECTED | _NOT_NOW,
    ),
    "api_cancel": _Operation(
        id="cancel_entry",
        summary="Cancel an entry, and its run if it has one, at the next pass",
        path=schemas.EntryPath,
        body=schemas.Expected,
        body_required=False,
        returns=schemas.Entry,
        problems=_NO_ENTRY | _NOT_AS_EXPECTED | _NOT_NOW,
    ),
    "api_resolve": _Operation(
        id="resolve_entry",
        summary="Settle an entry by hand, whatever state it is in",
        description="For an entry that the app cannot bring to its end. The reason is logged; "
        f"{RUN_IS_LEFT}.",
        path=schemas.EntryPath,
        body=schemas.Resolve,
        returns=schemas.Resolved,
        problems=_NO_ENTRY | _NOT_AS_EXPECTED | _NOT_NOW,
    ),
    "api_retry_many": _Operation(
        id="retry_entries",
        summary="Run the entries of a filter again",
        description="Without a state in the filter: those that are DEAD or FAILED, with restart also those "
        "that are RUNNING. Changes nothing unless dry_run is false.",
        body=schemas.BulkRetry,
        returns=schemas.BulkResult,
        problems=_NOT_NOW,
    ),
    "api_cancel_many": _Operation(
        id="cancel_entries",
        summary="Cancel the entries of a filter",
        description="Those that are not final. Changes nothing unless dry_run is false.",
        body=schemas.Bulk,
        returns=schemas.BulkResult,
        problems=_NOT_NOW,
    ),
    "api_resolve_many": _Operation(
        id="resolve_entries",
        summary="Settle the entries of a filter by hand",
        description="Without a state in the filter: those that are neither DONE nor CANCELED. Changes "
        f"nothing unless dry_run is false; {RUN_IS_LEFT}.",
        body=schemas.BulkResolve,
        returns=schemas.BulkResult,
        problems=_NOT_NOW,
    ),
    "api_trigger": _Operation(
        id="trigger",
        summary="Start a pass now",
        description="Waits for it up to 20 seconds.",
        status=202,
        returns=schemas.PassStarted,
        problems=_NOT_ALLOWED | _NOT_NOW,
    ),
    "api_waiting": _Operation(
        id="waiting",
        summary="What waits, in the order of the claim, and why",
        query=schemas.WaitingQuery,
        returns=schemas.Waiting,
        problems=_NOT_NOW,
    ),
    "api_history": _Operation(
        id="history",
        summary="What ended, by the hour up to 48 hours, by the day above",
        query=schemas.HistoryQuery,
        returns=schemas.History,
        problems=_NOT_NOW,
    ),
    "api_tables": _Operation(
        id="tables",
        summary="How the runs of each table went, most failures first",
        query=schemas.TablesQuery,
        returns=schemas.Tables,
        problems=_NOT_NOW,
    ),
    "api_openapi": _Operation(id="openapi", summary="This document", returns=dict[str, Any]),
    "dashboard": _Operation(
        id="dashboard",
        summary="The dashboard page",
        says="The page; it takes the function key from its own address.",
        returns=str,
        media_type="text/html",
    ),
    "databricks_events": _Operation(
        id="databricks_events",
        summary="Databricks says that a run is over",
        description="The body of a job's notification; only the run's id is read. The app looks the run up "
        "and finishes its entry if the run is over and belongs to one.",
        security="eventsPassword",
        body=schemas.Notification,
        says="The run was looked up.",
        returns=schemas.NotificationResult,
        problems={
            400: "The body is not a notification of a job's run.",
            401: "The password is not the setting EVENTS_SECRET.",
            404: "Events are not taken: the app has no EVENTS_SECRET.",
            413: "The body is over 16 KB.",
            503: "It could not be done now, or the settings cannot be used; the next pass does it.",
        },
        response_headers={
            401: {"WWW-Authenticate": {"required": True, "schema": {"type": "string"}}},
            503: {"Retry-After": {"$ref": "#/components/headers/RetryAfter"}},
        },
    ),
}

_SHARED: _Json = {
    "responses": {
        "TooMany": {
            "description": "Too many calls at once or per second. Nothing was done; retry after Retry-After.",
            "headers": {"Retry-After": {"$ref": "#/components/headers/RetryAfter"}},
            "content": {PROBLEM: {"schema": {"$ref": _REF.format(name="ProblemDetails")}}},
        }
    },
    "headers": {
        "RetryAfter": {
            "description": "Seconds, in whole numbers.",
            "required": True,
            "schema": {"type": "integer", "minimum": 1},
        }
    },
    "securitySchemes": {
        "functionKeyHeader": {"type": "apiKey", "in": "header", "name": "x-functions-key"},
        "functionKeyQuery": {"type": "apiKey", "in": "query", "name": "code"},
        "eventsPassword": {
            "type": "http",
            "scheme": "basic",
            "description": "Any user name; the password is the setting EVENTS_SECRET.",
        },
    },
}


@functools.cache
def document() -> _Json:
    """Return the document."""
    paths: dict[str, _Json] = {}
    for route in (*ROUTES, databricks_events.ROUTE):
        described = _operation(route.method, _OPERATIONS[route.name])
        paths.setdefault(f"/{route.path}", {})[route.method.lower()] = described
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "Databricks job orchestrator",
            "version": "1",
            "description": "The entries of track_processing: what happened to them, and what can be done "
            "about them. Times are ISO 8601 in UTC. Errors are application/problem+json. Every call except "
            "those of Databricks needs a function key, as the header x-functions-key or as ?code=.",
        },
        "servers": [{"url": "/api"}],
        "security": [{"functionKeyHeader": []}, {"functionKeyQuery": []}],
        "paths": paths,
        "components": {"schemas": _components(), **_SHARED},
    }


def _components() -> _Json:
    """Return the schemas of all named types, by name; those of query strings and the like are parameters."""
    parameters: set[type[Struct]] = set()
    types: list[Any] = [schemas.ProblemDetails]
    for each in _OPERATIONS.values():
        parameters |= {struct for struct in (each.path, each.query, each.headers) if struct is not None}
        types += [each.returns, *each.also.values(), *([] if each.body is None else [each.body])]
    _, found = json.schema_components([*types, *parameters], ref_template=_REF)
    left_out = {struct.__name__ for struct in parameters}
    return {name: _without_null_defaults(found[name]) for name in sorted(found) if name not in left_out}


def _without_null_defaults(schema: _Json) -> _Json:
    """Leave out that null is the default: it is the same as a field that is left out."""
    for described in schema.get("properties", {}).values():
        if described.get("default", "") is None:
            del described["default"]
    return schema


def _schema(type_: Any) -> _Json:
    [found], _ = json.schema_components([type_], ref_template=_REF)
    return found


def _operation(method: str, operation: _Operation) -> _Json:
    described: _Json = {
        "operationId": operation.id,
        "summary": operation.summary,
        "description": operation.description,
        "security": [{operation.security: []}] if operation.security else None,
        "parameters": [
            *_parameters(operation.path, "path"),
            *_parameters(operation.query, "query"),
            *_parameters(operation.headers, "header"),
        ],
        "requestBody": operation.body
        and {"required": operation.body_required, "content": {JSON: {"schema": _schema(operation.body)}}},
        "responses": _responses(method, operation),
    }
    return {name: value for name, value in described.items() if value}


def _parameters(struct: type[Struct] | None, place: str) -> list[_Json]:
    if struct is None:
        return []
    _, found = json.schema_components([struct], ref_template=_REF)
    schema = found[struct.__name__]
    return [
        {
            "name": name,
            "in": place,
            "required": name in schema["required"],
            "description": described.pop("description"),
            "schema": described,
            **({"style": "form", "explode": True} if described.get("type") == "array" else {}),
        }
        for name, described in schema["properties"].items()
    ]


def _responses(method: str, operation: _Operation) -> _Json:
    problems = {**_common_problems(method, operation), **operation.problems}
    responses: dict[int, _Json] = {
        operation.status: {
            "description": operation.says,
            "content": {operation.media_type: {"schema": _schema(operation.returns)}},
        },
        429: {"$ref": "#/components/responses/TooMany"},
    }
    for status, when in problems.items():
        content = {PROBLEM: {"schema": _schema(schemas.ProblemDetails)}}
        if status in operation.also:
            content[JSON] = {"schema": _schema(operation.also[status])}
        responses[status] = {"description": when, "content": content}
    for status, headers in operation.response_headers.items():
        responses[status]["headers"] = headers
    return {str(status): responses[status] for status in sorted(responses)}


def _common_problems(method: str, operation: _Operation) -> dict[int, str]:
    """Return when every route with a function key refuses a request."""
    if operation.security is not None:
        return {}
    problems = {400: "The request is wrong."}
    if method != "GET":
        problems[403] = "Another site's page called."
    if operation.body is not None:
        problems |= {413: "The body is over 256 KB.", 415: "The body is not sent as JSON."}
    return problems
