"""Reading the app: what it may hold, and what is said about the rest."""

import pytest

from devstack.host.indexing import HttpTrigger, QueueTrigger, TimerTrigger
from devstack.host.main import load_app
from devstack.host.settings import HostError
from tests.devstack.host.conftest import App

STORAGE = {"AzureWebJobsStorage": "UseDevelopmentStorage=true"}


def problems(app: App) -> str:
    with pytest.raises(HostError) as error:
        load_app(app.folder)
    return "\n".join(error.value.problems)


def test_reads_the_apps_own_bindings(app: App) -> None:
    app.write(
        """
blueprint = func.Blueprint()

@app.timer_trigger(arg_name="timer", schedule="%WHEN%", run_on_startup=True)
async def tick(timer: func.TimerRequest) -> None:
    pass

@app.function_name("renamed")
@app.queue_trigger(arg_name="message", queue_name="q-%WHERE%", connection="AzureWebJobsStorage")
def work(message: func.QueueMessage) -> None:
    pass

@blueprint.route("items/{id:int}", methods=["GET"])
async def item(req: func.HttpRequest) -> func.HttpResponse:
    return func.HttpResponse()

app.register_functions(blueprint)
""",
        settings={"WHEN": "0 * * * * *", "WHERE": "here", **STORAGE},
    )
    tick, work, item = load_app(app.folder)[0]
    assert (tick.name, tick.parameter) == ("tick", "timer")
    assert isinstance(tick.trigger, TimerTrigger)
    assert tick.trigger.schedule.text == "0 * * * * *"
    assert tick.trigger.run_on_startup
    assert work.name == "renamed"
    assert isinstance(work.trigger, QueueTrigger)
    assert work.trigger.queue_name == "q-here"
    assert "QueueEndpoint=http://127.0.0.1:10001/devstoreaccount1" in work.trigger.connection_string
    assert "AccountKey" not in repr(work)
    assert isinstance(item.trigger, HttpTrigger)
    assert item.trigger.route.paths == (r"/api/items/{id:-?\d+}",)
    assert item.trigger.route.methods == {"GET"}


def test_a_setting_disables_a_function(app: App) -> None:
    app.write(
        """
@app.timer_trigger(arg_name="timer", schedule="0 * * * * *")
async def one(timer: func.TimerRequest) -> None:
    pass

@app.timer_trigger(arg_name="timer", schedule="0 * * * * *")
async def two(timer: func.TimerRequest) -> None:
    pass
""",
        settings={"AzureWebJobs.one.Disabled": "true", "AzureWebJobs.two.Disabled": "false", **STORAGE},
    )
    assert [each.name for each in load_app(app.folder)[0]] == ["two"]


def test_settings_reach_the_app_before_its_import(app: App) -> None:
    app.write(
        """
import os

@app.function_name(os.environ["NAME"])
@app.timer_trigger(arg_name="timer", schedule="0 * * * * *")
def tick(timer: func.TimerRequest) -> None:
    pass
""",
        settings={"NAME": "from-settings"},
    )
    assert [function.name for function in load_app(app.folder)[0]] == ["from-settings"]


def test_all_problems_are_listed_at_once(app: App) -> None:
    app.write(
        """
@app.timer_trigger(arg_name="timer", schedule="%MISSING%")
def one(timer: func.TimerRequest) -> None:
    pass

@app.timer_trigger(arg_name="timer", schedule="61 * * * * *")
def two(timer: func.TimerRequest) -> None:
    pass

@app.queue_trigger(arg_name="message", queue_name="Not_A_Queue", connection="Nowhere")
def three(message: func.QueueMessage) -> None:
    pass

@app.queue_trigger(arg_name="message", queue_name="queue", connection="Identity")
def four(message: func.QueueMessage) -> None:
    pass

@app.blob_trigger(arg_name="blob", path="a/b", connection="AzureWebJobsStorage")
def five(blob: func.InputStream) -> None:
    pass

@app.route("a/{id}", methods=["GET", "POST"])
def six(req: func.HttpRequest) -> str:
    return ""

@app.route("A/{name}", methods=["POST"])
def seven(req: func.HttpRequest) -> str:
    return ""

@app.route("a/{id:datetime}")
def eight(req: func.HttpRequest) -> str:
    return ""

@app.timer_trigger(arg_name="timer", schedule="0 * * * * *")
@app.queue_output(arg_name="out", queue_name="q", connection="AzureWebJobsStorage")
def nine(timer: func.TimerRequest, out: func.Out[str]) -> None:
    pass

@app.queue_trigger(arg_name="message", queue_name="queue", connection="Wrong")
def ten(message: func.QueueMessage) -> None:
    pass
""",
        queues={"batchSize": 0},
        settings={"Identity__queueServiceUri": "http://127.0.0.1/", "Wrong": "AccountKey=hidden", **STORAGE},
    )
    text = problems(app)
    for expected in (
        "host.json: extensions.queues.batchSize",
        "function one: schedule names the setting MISSING, which is not set",
        "function two: schedule '61 * * * * *': '61' is not a second",
        "function three: queueName 'Not_A_Queue' must be 3 to 63 lower-case letters",
        "function three: connection: the setting Nowhere is not set",
        "function four: connection: Identity is an identity-based connection",
        "function five: the trigger blobTrigger is not supported",
        "function eight: route 'a/{id:datetime}': the constraint datetime is not supported",
        "function nine: the binding queue (out) is not supported",
        "function nine: its only parameter must be timer, it has (timer, out)",
        "function ten: connection: the setting Wrong is not a Storage connection string",
        "functions six and seven have the same route /api/a/{} for the same method",
    ):
        assert expected in text
    assert "hidden" not in text


@pytest.mark.parametrize(
    ("script", "message"),
    [
        ("import nothing_of_the_kind", "cannot be imported: ModuleNotFoundError"),
        ("raise RuntimeError('no')", "cannot be imported: RuntimeError: no"),
        ("app = None", "exactly one FunctionApp at top level, it has 0"),
        ("second = func.FunctionApp()", "exactly one FunctionApp at top level, it has 2"),
        ("", "has no function"),
        (
            """
@app.timer_trigger(arg_name="timer", schedule="0 * * * * *")
@app.function_name("same")
def one(timer: func.TimerRequest) -> None:
    pass

@app.timer_trigger(arg_name="timer", schedule="0 * * * * *")
@app.function_name("same")
def two(timer: func.TimerRequest) -> None:
    pass
""",
            "same does not have a unique function name",
        ),
    ],
)
def test_an_app_that_cannot_be_indexed(app: App, script: str, message: str) -> None:
    app.write(script)
    assert message in problems(app)


def test_a_folder_without_an_app(app: App) -> None:
    text = problems(app)
    assert "there is no host.json" in text
    assert "there is no function_app.py" in text


@pytest.mark.parametrize(
    ("route", "message"),
    [
        ("a-{id}", "neither text nor one {parameter}"),
        ("{*rest}/a", "may only stand at the end"),
        ("{id?}/a", "may only stand at the end"),
        ("a/{id", "neither text nor one {parameter}"),
    ],
)
def test_a_route_that_cannot_be_served(app: App, route: str, message: str) -> None:
    app.write(f"@app.route({route!r})\ndef item(req: func.HttpRequest) -> str:\n    return ''\n")
    assert message in problems(app)


def test_a_route_must_not_hide_the_hosts_own(app: App) -> None:
    app.write(
        "@app.route('admin/x')\ndef item(req: func.HttpRequest) -> str:\n    return ''\n",
        host={"extensions": {"http": {"routePrefix": ""}}},
    )
    assert "must not begin with admin or runtime" in problems(app)


def test_the_same_route_with_other_methods_is_fine(app: App) -> None:
    app.write(
        """
@app.route("items", methods=["GET"])
def read(req: func.HttpRequest) -> str:
    return ""

@app.route("items", methods=["POST"])
def write(req: func.HttpRequest) -> str:
    return ""
"""
    )
    assert len(load_app(app.folder)[0]) == 2
