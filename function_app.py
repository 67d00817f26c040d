"""The Azure Functions app: the functions trigger, submit and monitor, and the HTTP API.

The worker imports this to see which functions there are. What they do is imported by the first invocation.
"""

from typing import TYPE_CHECKING

import azure.functions as func

from orchestrator.web import databricks_events, routes

if TYPE_CHECKING:
    from orchestrator.bootstrap import Application

app = func.FunctionApp()
app.register_functions(routes.make_blueprint())
app.register_functions(databricks_events.make_blueprint())


@app.function_name("trigger")
@app.timer_trigger(arg_name="timer", schedule="%TRIGGER_SCHEDULE%")
async def trigger(timer: func.TimerRequest) -> None:
    """Claim waiting entries up to the cap and send one message for each to the queue."""
    await _application().trigger(past_due=timer.past_due)


@app.function_name("submit")
@app.queue_trigger(arg_name="message", queue_name="%SUBMIT_QUEUE_NAME%", connection="AzureWebJobsStorage")
async def submit(message: func.QueueMessage) -> None:
    """Submit the run of one entry to Databricks."""
    await _application().submit(message.get_body())


@app.function_name("monitor")
@app.timer_trigger(arg_name="timer", schedule="%MONITOR_SCHEDULE%")
async def monitor(timer: func.TimerRequest) -> None:
    """Finish every entry whose run is over."""
    await _application().monitor(past_due=timer.past_due)


def _application() -> "Application":
    from orchestrator import bootstrap

    return bootstrap.application()
