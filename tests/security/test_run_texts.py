"""A run's own error text is stored, because the log is for that, but without secrets."""

import json
from dataclasses import replace

import pytest
from aiohttp import web

from orchestrator import settings
from orchestrator.adapters.databricks import jobs_api
from orchestrator.adapters.databricks.jobs_api import Success
from orchestrator.adapters.databricks.responses import Response
from orchestrator.core import redaction
from orchestrator.core.models import NewEntry
from orchestrator.settings.queue import QueueConnection
from tests.databricks.support import REQUEST, Reply, Workspace
from tests.security.app import ROW, Apps
from tests.security.canary import PARAMETERS, PASSWORD, SIGNATURE, STORAGE_KEY, TOKEN, WRONG_STORAGE_KEY


def failed_run(run_id: int, token: str, *, also: str = "") -> Reply:
    """A workspace with one run, whose error text holds all that it knows."""
    words = (
        f"token {token}, AccountKey={STORAGE_KEY}; "
        + "; ".join(f"{k} is {v}" for k, v in PARAMETERS.items())
        + also
    )
    details = {"code": "RUN_EXECUTION_ERROR", "type": "CLIENT_ERROR", "message": f"ended: {words}"}
    trace = f"Traceback:\n  {json.dumps(PARAMETERS)}\n" + "  a frame\n" * 2_000 + f"ValueError: {words}"
    contents = {
        "run-now": {"run_id": run_id},
        "list": {},
        "get": {
            "run_id": run_id,
            "state": {"life_cycle_state": "TERMINATED", "result_state": "FAILED", "state_message": words},
            "status": {"state": "TERMINATED", "termination_details": details},
            "run_page_url": f"https://workspace/?o=1&token={token}",
        },
        "get-output": {"error": f"ValueError: {words}", "error_trace": trace},
    }

    async def reply(request: web.Request) -> web.Response:
        return web.json_response(contents[request.path.rpartition("/")[2]])

    return reply


async def test_a_run_whose_error_holds_everything(apps: Apps, workspace: Workspace) -> None:
    """A notebook's own words go into the log row. What the app knows to be secret is struck out."""
    workspace.replies = [failed_run(4711, TOKEN)]
    async with apps.app(workspace) as running:
        await running.app.operator.add([ROW])
        assert await running.app.trigger() == []
        assert await running.submit_all() == [None]
        assert await running.app.monitor() == []
        running.look_everywhere()
        [log] = await running.app.store.logs(1)
    assert log.runid == 4711
    assert log.message is not None
    secrets = "token […], AccountKey=[…]; customer is […]; note is […]; list is […]"
    assert log.message == f"RUN_EXECUTION_ERROR: ValueError: {secrets}"
    assert log.error_trace is not None
    assert "a frame" in log.error_trace


async def test_the_table_s_name_is_kept(apps: Apps, workspace: Workspace) -> None:
    """The table has a column of its own, and an error that does not name it is of little use."""
    workspace.replies = [failed_run(4711, TOKEN, also="there is no table sales_2031")]
    async with apps.app(workspace) as running:
        parameters = json.dumps({**PARAMETERS, "table_name": "sales_2031"})
        await running.app.operator.add([NewEntry(table_name="sales_2031", parameters=parameters)])
        await running.app.trigger()
        await running.submit_all()
        await running.app.monitor()
        [log] = await running.app.store.logs(1)
    assert "there is no table sales_2031" in (log.message or "")


def test_the_token_is_struck_out_of_a_good_response() -> None:
    response = Response(status=200, headers={}, body=f'{{"error": "leaked {TOKEN}!"}}'.encode())
    result = jobs_api.interpret(jobs_api.get_output(1), response, token=TOKEN)
    assert isinstance(result, Success)
    assert result.value.error == "leaked […]!"


def test_a_short_token_for_local_work_changes_no_response() -> None:
    response = Response(status=200, headers={}, body=b'{"run_id": 5}')
    assert jobs_api.interpret(jobs_api.run_now(REQUEST), response, token="run_id") == Success(value=5)


SECRETS = [
    "long secret value!",
    "84628",
    "84",
    "2024",
    "true",
    'a"b-c-d',
    "/lake/orders/part-1-of-many",
    "part",
]


@pytest.mark.parametrize(
    ("text", "struck"),
    [
        ("value long secret value! here", "value […] here"),
        ("begins: long secret va", "begins: […]"),
        ("… ecret value! is its end", "… […] is its end"),
        ("long secret value!long secret value!", "[…][…]"),
        ("five 84628 and 84, not in a84628b", "five […] and 84, not in a84628b"),
        ("numbers like 2024 and true stay", "numbers like 2024 and true stay"),
        ("of orders/part-1-of-many", "of orders/part-1-of-many"),
        ('quoted a\\"b-c-d', "quoted […]"),
        ("longer secrets stay", "longer secrets stay"),
        ("", ""),
    ],
)
def test_what_is_struck_out(text: str, struck: str) -> None:
    assert redaction.without(text, SECRETS, keep="orders/part-1-of-many") == struck


def test_the_app_knows_its_own_secrets() -> None:
    loaded = settings.load(
        {
            "DATABRICKS_HOST": "adb-1.azuredatabricks.net",
            "DATABRICKS_TOKEN": TOKEN,
            "SQL_CONNECTION_STRING": f"SERVER=s;Uid=u;Pwd={{{PASSWORD};}}}}}}",
            "AzureWebJobsStorage": f"AccountName=a;AccountKey={WRONG_STORAGE_KEY}",
        }
    )
    assert loaded.secrets() == (f"{PASSWORD};}}", WRONG_STORAGE_KEY, TOKEN)
    signed = f"sv=1&sig={SIGNATURE}"
    queue = QueueConnection(connection_string=f"QueueEndpoint=https://a;SharedAccessSignature={signed}")
    assert signed in replace(loaded, queue=queue).secrets()
