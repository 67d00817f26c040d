"""The app over HTTP with rates that no test reaches: what it answers is looked at, not how often."""

import functools

import azure.functions as func

from orchestrator import bootstrap
from orchestrator.web import databricks_events, routes
from orchestrator.web.databricks_events import NotificationHandler
from orchestrator.web.limits import Rate

FAST = Rate(per_second=1e6, burst=1_000_000)


@functools.cache
def handler() -> NotificationHandler:
    """What handles the events."""
    made = bootstrap.application()
    return NotificationHandler(secret=made.settings.events_secret, finish=made.run_ended, events=FAST)


app = func.FunctionApp()
app.register_functions(routes.make_blueprint(routes.Server(reads=FAST, changes=FAST)))
app.register_functions(databricks_events.make_blueprint(handler))
