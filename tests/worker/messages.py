"""Plain objects in place of the protobuf messages that the Functions host and the worker library exchange.

The library only reads attributes and calls ``WhichOneof``, so these need no protobuf. Names and values follow
https://github.com/Azure/azure-functions-language-worker-protobuf/blob/dev/src/proto/FunctionRpc.proto
"""

import json
from types import SimpleNamespace
from typing import Any


class Message(SimpleNamespace):
    """Any message: its fields are what it is made with."""


class OneOf(Message):
    """A message of which one field is set."""

    def WhichOneof(self, _group: str) -> str:  # noqa: N802 - protobuf's own name
        """Return the name of the field that is set."""
        return next(name for name in vars(self) if name != "name")


class BindingInfo(Message):
    """A binding; the numbers are the enums' values."""

    out = 1
    inout = 2
    undefined = 0


class StatusResult(Message):
    """How a request ended."""

    Failure = 0
    Success = 1


#: What the library finds as ``protos``.
PROTOS = SimpleNamespace(
    BindingInfo=BindingInfo,
    StatusResult=StatusResult,
    **dict.fromkeys(
        (
            "FunctionLoadResponse",
            "FunctionMetadataResponse",
            "InvocationResponse",
            "RpcException",
            "RpcHttp",
            "RpcFunctionMetadata",
            "TypedData",
            "WorkerInitResponse",
            "WorkerMetadata",
        ),
        Message,
    ),
)


def request(**content: Any) -> Message:
    """Wrap a request as the host sends it."""
    return Message(request=Message(**content), properties={"host": "127.0.0.1", "protos": PROTOS})


def timer_invocation(function_id: str, argument: str, *, past_due: bool) -> Message:
    """Return the request to call a function on its schedule."""
    timer = {
        "Schedule": {"AdjustForDST": True},
        "ScheduleStatus": {
            "Last": "2026-01-01T00:00:00Z",
            "Next": "2026-01-01T00:01:00Z",
            "LastUpdated": "2026-01-01T00:00:00Z",
        },
        "IsPastDue": past_due,
    }
    return _invocation(function_id, argument, OneOf(json=json.dumps(timer)), {})


def queue_invocation(function_id: str, argument: str, body: str) -> Message:
    """Return the request to call a function with a queue message, which the host has decoded from base64."""
    metadata = {
        "Id": OneOf(string="6d3a2b1c-0000-0000-0000-000000000001"),
        "PopReceipt": OneOf(string="AgAAAAMAAAAAAAAA"),
        "DequeueCount": OneOf(json="1"),
        "InsertionTime": OneOf(json='"2026-01-01T00:00:00+00:00"'),
        "ExpirationTime": OneOf(json='"2026-01-08T00:00:00+00:00"'),
        "NextVisibleTime": OneOf(json='"2026-01-01T00:10:00+00:00"'),
    }
    return _invocation(function_id, argument, OneOf(string=body), metadata)


def http_invocation(function_id: str, argument: str, url: str) -> Message:
    """Return the request to call a function over HTTP."""
    http = Message(method="GET", url=url, headers={}, params={}, query={}, body=OneOf(bytes=b""))
    return _invocation(function_id, argument, OneOf(http=http), {})


def _invocation(function_id: str, argument: str, data: OneOf, metadata: dict[str, OneOf]) -> Message:
    return request(
        invocation_request=Message(
            invocation_id="invocation-1",
            function_id=function_id,
            input_data=[OneOf(name=argument, data=data)],
            trigger_metadata=metadata,
            trace_context=Message(trace_parent="", trace_state="", attributes={}),
            retry_context=Message(retry_count=0, max_retry_count=0, exception=None),
        )
    )
