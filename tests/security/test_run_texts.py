"""A run's own error text is stored, because the log is for that, but without secrets."""

import json
from dataclasses import dataclass, replace

import pytest
from aiohttp import web

from orchestrator import settings
from orchestrator.adapters.databricks import jobs_api
from orchestrator.adapters.databricks.jobs_api import Success
from orchestrator.adapters.databricks.responses import Response
from orchestrator.core import redaction
from orchestrator.core.models import NewEntry
from orchestrator.settings.queue import QueueConnection
from tests.databricks.support import REQUEST, Reply, Workspace, error, ok
from tests.security.app import ROW, Apps
from tests.security.canary import PARAMETERS, PASSWORD, SIGNATURE, STORAGE_KEY, TOKEN, WRONG_STORAGE_KEY

#: All that a workspace knows.
EVERYTHING = f"token {TOKEN}, AccountKey={STORAGE_KEY}; " + "; ".join(
    f"{k} is {v}" for k, v in PARAMETERS.items()
)


def failed_run(run_id: int, token: str, *, words: str = EVERYTHING, told_in: str = "error_trace") -> Reply:
    """A workspace with one run, whose error has these words.

    :param told_in: the field of the output that holds the trace. In ``logs`` it stands for the error, too.
    """
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
        "get-output": {told_in: trace, "error": f"ValueError: {words}" if told_in == "error_trace" else None},
    }

    async def reply(request: web.Request) -> web.Response:
        return web.json_response(contents[request.path.rpartition("/")[2]])

    return reply


@pytest.mark.parametrize("told_in", ["error_trace", "logs"])
async def test_a_run_whose_error_holds_everything(apps: Apps, workspace: Workspace, told_in: str) -> None:
    """A notebook's own words go into the log row. What the app knows to be secret is struck out."""
    workspace.replies = [failed_run(4711, TOKEN, told_in=told_in)]
    async with apps.app(workspace) as running:
        await running.app.operator.add([ROW])
        assert await running.app.trigger() == []
        assert await running.submit_all() == [None]
        assert await running.app.monitor() == []
        running.look_everywhere()
        [log] = await running.app.store.logs(1)
    assert log.runid == 4711
    assert log.message is not None
    secrets = "token […], AccountKey=[…]; apiKey is […]; db_password is […]; client-secret is […]"
    assert log.message == f"RUN_EXECUTION_ERROR: ValueError: {secrets}"
    assert ("a frame" in (log.error_trace or "")) is (told_in == "error_trace")


@dataclass(frozen=True)
class Told:
    """What an entry was given, what its run said, and what people read."""

    parameters: str
    said: str
    shown: str
    style: str = "notebook_params"
    table: str = "sales_2031"


TOLD = {
    "a path": Told(
        '{"input_path": "abfss://raw@lake.dfs.core.windows.net/sales/2031", "day": "2031-05-17"}',
        "Path does not exist: abfss://raw@lake.dfs.core.windows.net/sales/2031/part-0001",
        "Path does not exist: abfss://raw@lake.dfs.core.windows.net/sales/2031/part-0001",
    ),
    "a table": Told(
        '{"catalog": "production", "schema": "customers", "table_name": "sales_stage"}',
        "[TABLE_OR_VIEW_NOT_FOUND] `production`.`customers`.`sales_stage` cannot be found",
        "[TABLE_OR_VIEW_NOT_FOUND] `production`.`customers`.`sales_stage` cannot be found",
    ),
    "a merge": Told(
        '{"primary_key": "order_number", "key_column": "customer_number", "merge_keys": "line_number"}',
        "column order_number or customer_number or line_number is ambiguous",
        "column order_number or customer_number or line_number is ambiguous",
    ),
    "the table's name": Told(
        '{"table": "sales_2031"}', "there is no table sales_2031", "there is no table sales_2031"
    ),
    "a secret among others": Told(
        '{"host": "warehouse-eu", "user": "reader", "dbPassword": "hunter2-hunter2", "api-key": "k-77"}',
        "login of reader at warehouse-eu with hunter2-hunter2 and k-77 failed",
        "login of reader at warehouse-eu with […] and […] failed",
    ),
    "a connection string": Told(
        '{"source": "Server=tcp:erp.example,1433;Database=erp;User ID=reader;Password={p;w}}d};Encrypt=yes"}',
        "cannot open Server=tcp:erp.example,1433;Database=erp;User ID=reader with p;w}d",
        "cannot open Server=tcp:erp.example,1433;Database=erp;User ID=reader with […]",
    ),
    "an account's key": Told(
        '{"store": "Protocol=https;AccountName=lake;AccountKey=bGFrZS1rZXktMTIz==;EndpointSuffix=x"}',
        "AccountName=lake;AccountKey=bGFrZS1rZXktMTIz==; is refused",
        "AccountName=lake;AccountKey=[…]; is refused",
    ),
    "a signed URL": Told(
        '{"source_url": "https://lake.example/raw/sales.csv?sv=2031&sig=q8VhT2mW%2FcX5e%3D&se=1"}',
        "404: https://lake.example/raw/sales.csv?sv=2031&sig=q8VhT2mW%2FcX5e%3D&se=1, q8VhT2mW/cX5e=",
        "404: https://lake.example/raw/sales.csv?sv=2031&sig=[…]&se=1, […]",
    ),
    "a user in a URL": Told(
        '{"source": "postgres://reader:s3c%40ret@erp.example/sales"}',
        "postgres://reader:s3c%40ret@erp.example/sales: password s3c@ret of reader is wrong",
        "postgres://reader:[…]@erp.example/sales: password […] of reader is wrong",
    ),
    "a login": Told(
        '{"login": "reader:s3cret-9940@erp", "kennwort": "geheim-9941", "auth": "Bearer tok-9942"}',
        "reader:s3cret-9940@erp: s3cret-9940 of reader is wrong, so are geheim-9941 and tok-9942",
        "reader:[…]@erp: […] of reader is wrong, so are […] and […]",
    ),
    "an address": Told(
        '{"notify": "owner:anna.berg7@example.com", "image": "app:12@sha256:99a", "url": "git@hub.example"}',
        "anna.berg7@example.com cannot pull app:12@sha256:99a from git@hub.example",
        "anna.berg7@example.com cannot pull app:12@sha256:99a from git@hub.example",
    ),
    "JSON in a value": Told(
        json.dumps({"config": json.dumps({"path": "/raw/sales", "auth": {"clientSecret": "inner-9931"}})}),
        "cannot read /raw/sales with inner-9931",
        "cannot read /raw/sales with […]",
    ),
    "arguments": Told(
        '["--path", "/raw/sales", "--token", "t-9917", "--api-key=k-9918", "pwd=p-9919", "--keys", "order"]',
        "/raw/sales t-9917 k-9918 p-9919 order",
        "/raw/sales […] […] […] order",
        style="python_params",
    ),
    "spark-submit": Told(
        '["--conf", "spark.hadoop.fs.azure.account.key.lake.windows.net=bGFrZQ==", "--class", "a.Main"]',
        "a.Main cannot read with bGFrZQ==.",
        "a.Main cannot read with […].",
        style="spark_submit_params",
    ),
    "dbt": Told(
        json.dumps(['dbt run --select orders --vars \'{"db_password": "two words", "day": "2031-05-17"}\'']),
        "orders of 2031-05-17 with two words",
        "orders of 2031-05-17 with […]",
        style="dbt_commands",
    ),
    "SQL": Told(
        "{\"filter\": \"key = 'EMEA-north' AND partition_key = '2031-05-17'\"}",
        "no rows of EMEA-north for 2031-05-17",
        "no rows of EMEA-north for 2031-05-17",
    ),
    "a placeholder": Told(
        '{"out": "/raw/{{table_name}}/x", "token": "run-{{table_name}}-77"}',
        "cannot write /raw/sales_2031/x with run-sales_2031-77",
        "cannot write /raw/sales_2031/x with […]",
    ),
    "a secret that is too short": Told('{"password": "abc"}', "abc is no letter", "abc is no letter"),
}


@pytest.mark.parametrize("case", TOLD)
async def test_only_secrets_are_struck_out_of_a_run_s_error(
    apps: Apps, workspace: Workspace, case: str
) -> None:
    """People need the other parameters to act on an error."""
    told = TOLD[case]
    workspace.replies = [failed_run(4711, TOKEN, words=told.said)]
    async with apps.app(workspace) as running:
        entry = NewEntry(table_name=told.table, parameter_style=told.style, parameters=told.parameters)
        await running.app.operator.add([entry])
        assert await running.app.trigger() == []
        assert await running.submit_all() == [None]
        assert await running.app.monitor() == []
        [log] = await running.app.store.logs(1)
        last_error = (await running.app.store.get(1)).last_error  # type: ignore[union-attr]  # it is there
    assert log.message == last_error == f"RUN_EXECUTION_ERROR: ValueError: {told.shown}"
    assert (log.error_trace or "").endswith(f"ValueError: {told.shown}")


@pytest.mark.parametrize("case", TOLD)
async def test_only_secrets_are_struck_out_of_a_refusal(apps: Apps, workspace: Workspace, case: str) -> None:
    told = TOLD[case]
    refusal = error(
        400, {"error_code": "INVALID_PARAMETER_VALUE", "message": f"Invalid parameter: {told.said}"}
    )

    async def reply(request: web.Request) -> web.StreamResponse:
        return await (refusal if request.path.endswith("run-now") else ok({}))(request)

    workspace.replies = [reply]
    async with apps.app(workspace) as running:
        entry = NewEntry(table_name=told.table, parameter_style=told.style, parameters=told.parameters)
        await running.app.operator.add([entry])
        assert await running.app.trigger() == []
        assert await running.submit_all() == [None]
        [log] = await running.app.store.logs(1)
    assert (log.message or "").endswith(f": {told.shown}")


@pytest.mark.parametrize("before", [655, 660, 666])
async def test_no_part_of_a_secret_is_left_where_a_message_was_cut(
    apps: Apps, workspace: Workspace, before: int
) -> None:
    secret = "Zq7-hidden-value"
    words = "x" * before + secret + "y" * 5_000
    workspace.replies = [failed_run(4711, TOKEN, words=words)]
    async with apps.app(workspace) as running:
        parameters = json.dumps({"auth": f"Bearer {secret}"})
        await running.app.operator.add(
            [NewEntry(table_name="sales", parameter_style="notebook_params", parameters=parameters)]
        )
        assert await running.app.trigger() == []
        assert await running.submit_all() == [None]
        assert await running.app.monitor() == []
        [log] = await running.app.store.logs(1)
        last_error = (await running.app.store.get(1)).last_error  # type: ignore[union-attr]  # it is there
    for text in (log.message, last_error, log.error_trace):
        assert text is not None
        assert "Zq7" not in text


async def test_secrets_are_struck_out_of_an_exit_value(apps: Apps, workspace: Workspace) -> None:
    contents = {
        "run-now": {"run_id": 4711},
        "list": {},
        "get": {
            "run_id": 4711,
            "state": {"life_cycle_state": "TERMINATED", "result_state": "SUCCESS"},
            "tasks": [
                {
                    "run_id": 4712,
                    "task_key": "main",
                    "notebook_task": {"notebook_path": "/x"},
                    "state": {"life_cycle_state": "TERMINATED", "result_state": "SUCCESS"},
                }
            ],
        },
        "get-output": {"notebook_output": {"result": '{"rows": 5, "path": "/raw/sales", "used": "t-9917"}'}},
    }

    async def reply(request: web.Request) -> web.Response:
        return web.json_response(contents.get(request.path.rpartition("/")[2], {}))

    workspace.replies = [reply]
    async with apps.app(workspace, STORE_RESULTS="true") as running:
        parameters = '{"path": "/raw/sales", "token": "t-9917"}'
        entry = NewEntry(table_name="sales", parameter_style="notebook_params", parameters=parameters)
        await running.app.operator.add([entry])
        assert await running.app.trigger() == []
        assert await running.submit_all() == [None]
        assert await running.app.monitor() == []
        [log] = await running.app.store.logs(1)
    assert log.result == '{"rows": 5, "path": "/raw/sales", "used": "[…]"}'


def test_the_token_is_struck_out_of_a_good_response() -> None:
    response = Response(status=200, headers={}, body=f'{{"error": "leaked {TOKEN}!"}}'.encode())
    result = jobs_api.interpret(jobs_api.get_output(1), response, secrets=(TOKEN,))
    assert isinstance(result, Success)
    assert result.value.error == "leaked […]!"


def test_a_short_token_for_local_work_changes_no_response() -> None:
    response = Response(status=200, headers={}, body=b'{"run_id": 5}')
    assert jobs_api.interpret(jobs_api.run_now(REQUEST), response, secrets=("run_id",)) == Success(value=5)


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
        ("in a URL: %2Flake%2Forders%2Fpart", "in a URL: […]"),
        ('quoted a\\"b-c-d', "quoted […]"),
        ("longer secrets stay", "longer secrets stay"),
        ("", ""),
    ],
)
def test_what_is_struck_out(text: str, struck: str) -> None:
    assert redaction.without(text, SECRETS) == struck


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
    principal = QueueConnection(service_url="https://a", client_secret=signed)
    assert signed in replace(loaded, queue=principal).secrets()
