"""``python -m tests.worker.drive FOLDER``: the worker library indexes a folder's app and calls its functions.

Prints one JSON report. A process of its own, because the library keeps what it indexed for its whole life.
"""

import asyncio
import json
import sys
from typing import Any
from unittest.mock import patch

import azure_functions_runtime as worker

from orchestrator import bootstrap
from tests.worker import messages

#: An address of the API that asks nothing of the application.
OPENAPI_URL = "https://app.azurewebsites.net/api/openapi.json?code=key"

#: A message that the recording application refuses.
REFUSED = "refused"


class RecordingApplication:
    """Stands where ``bootstrap.application()`` is looked for and notes what reaches it."""

    def __init__(self) -> None:
        self.calls: list[tuple[str, Any]] = []

    async def trigger(self, *, past_due: bool) -> None:
        """Note a pass of the trigger."""
        self.calls.append(("trigger", past_due))

    async def submit(self, body: bytes) -> None:
        """Note a message. :raises ValueError: it is :data:`REFUSED`."""
        if body.decode() == REFUSED:
            raise ValueError("the application refused the message")
        self.calls.append(("submit", {"type": type(body).__name__, "text": body.decode()}))

    async def monitor(self, *, past_due: bool) -> None:
        """Note a pass of the monitor."""
        self.calls.append(("monitor", past_due))


def result(response: messages.Message) -> dict[str, Any]:
    """Return how a request ended, as plain data."""
    ok = response.result.status == messages.StatusResult.Success
    return {"ok": ok, "error": "" if ok else response.result.exception.message}


async def index(folder: str) -> tuple[dict[str, Any], list[messages.Message]]:
    """Index the app in a folder and return how that went and the functions that were found."""
    start = messages.request(
        worker_init_request=messages.Message(capabilities={}, function_app_directory=folder)
    )
    started = await worker.worker_init_request(start)
    listed = await worker.functions_metadata_request(messages.request())
    return result(started), listed.function_metadata_results or []


async def load(function: messages.Message) -> dict[str, Any]:
    """Load a function and return what is known of it."""
    wanted = messages.Message(function_id=function.function_id)
    response = await worker.function_load_request(messages.request(function_load_request=wanted))
    return {**result(response), "bindings": [json.loads(binding) for binding in function.raw_bindings]}


async def invoke_all(ids: dict[str, str]) -> dict[str, dict[str, Any]]:
    """Call each function as the host does and return how each call ended."""
    calls = {
        "trigger": messages.timer_invocation(ids["trigger"], "timer", past_due=True),
        "monitor": messages.timer_invocation(ids["monitor"], "timer", past_due=False),
        "submit": messages.queue_invocation(ids["submit"], "message", '{"entry_id": 1, "submission": 2}'),
        REFUSED: messages.queue_invocation(ids["submit"], "message", REFUSED),
    }
    return {name: result(await worker.invocation_request(call)) for name, call in calls.items()}


async def get(function_id: str, url: str) -> dict[str, Any]:
    """Call an HTTP function and return what it answers to the host."""
    response = await worker.invocation_request(messages.http_invocation(function_id, "req", url))
    if not result(response)["ok"]:
        return result(response)
    http = response.return_value.http
    body = http.body.bytes.decode()
    return {"status": http.status_code, "type": http.headers["content-type"], "body": body}


async def drive(folder: str) -> dict[str, Any]:
    """Index, load and call, and return the report."""
    application = RecordingApplication()
    with patch.object(bootstrap, "application", return_value=application):
        indexed, functions = await index(folder)
        loaded = {function.name: await load(function) for function in functions}
        ids = {function.name: function.function_id for function in functions}
        invoked = await invoke_all(ids) if indexed["ok"] else {}
        answered = await get(ids["api_openapi"], OPENAPI_URL) if indexed["ok"] else {}
    return {
        "indexed": indexed,
        "functions": loaded,
        "invoked": invoked,
        "answered": answered,
        "calls": application.calls,
    }


if __name__ == "__main__":
    sys.path.insert(0, sys.argv[1])  # the host's start script does the same
    print(json.dumps(asyncio.run(drive(sys.argv[1]))))  # noqa: T201 - the report is the output
