"""The Azure Functions app: the functions trigger, submit and monitor, and the HTTP API."""

import azure.functions as func

from orchestrator import bootstrap
from orchestrator.web import databricks_events, routes

app = func.FunctionApp()
app.register_functions(routes.make_blueprint())
app.register_functions(databricks_events.make_blueprint())


@app.function_name("trigger")
@app.timer_trigger(arg_name="timer", schedule="%TRIGGER_SCHEDULE%")
async def trigger(timer: func.TimerRequest) -> None:
    """Claim waiting entries up to the cap and send one message for each to the queue."""
    await bootstrap.application().trigger(past_due=timer.past_due)


@app.function_name("submit")
@app.queue_trigger(arg_name="message", queue_name="%SUBMIT_QUEUE_NAME%", connection="AzureWebJobsStorage")
async def submit(message: func.QueueMessage) -> None:
    """Submit the run of one entry to Databricks."""
    await bootstrap.application().submit(message.get_body())


@app.function_name("monitor")
@app.timer_trigger(arg_name="timer", schedule="%MONITOR_SCHEDULE%")
async def monitor(timer: func.TimerRequest) -> None:
    """Finish every entry whose run is over."""
    await bootstrap.application().monitor(past_due=timer.past_due)
