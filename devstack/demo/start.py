"""Start every part of the local stack, on an empty state store."""

import secrets
from dataclasses import dataclass
from pathlib import Path

from devstack.azurite import account_url, connection_string
from devstack.demo.interruption import Interruption
from devstack.demo.ports import Ports, free_port
from devstack.demo.stack import Stack

NOTEBOOKS = Path("examples/notebooks")

#: Settings of the app that the local stack leaves at their defaults, whatever the user's shell or a
#: local.settings.json says: an empty one counts as not set.
DEFAULTS = (
    "AzureWebJobsStorage__accountName",
    "AzureWebJobsStorage__queueServiceUri",
    "DATABRICKS_TOKEN_SECRET",
    "DATABRICKS_WORKSPACES",
    "KEY_VAULT_URL",
    "RUN_TIMEOUT_SECONDS",
    "SERIALIZE_TABLES",
    "SQL_CONNECTION_STRING",
    "SUBMIT_LEASE_SECONDS",
)

#: Small, so that waiting, retry and back-off can be watched. The README says what each means.
SETTINGS = {
    **dict.fromkeys(DEFAULTS, ""),
    "DATABRICKS_AUTH": "pat",
    "FUNCTIONS_WORKER_RUNTIME": "python",
    "MAX_ACTIVE_RUNS": "6",
    "MAX_ATTEMPTS": "3",
    "RETRY_BACKOFF_SECONDS": "1",
    "SUBMIT_QUEUE_NAME": "submit-jobs",
    "TRIGGER_SCHEDULE": "*/2 * * * * *",
    "MONITOR_SCHEDULE": "1-59/2 * * * * *",
}


class HostMissing(Exception):
    """Core Tools are asked for and are not there."""


@dataclass(frozen=True, kw_only=True)
class Started:
    """What is known once every part runs."""

    host_url: str
    databricks_url: str
    token: str
    #: job ids by the notebook's name
    jobs: dict[str, int]


def choose_host(forced: str | None, func: str | None) -> str:
    """Which Functions host to start, ``local`` or ``func``.

    :param func: where Core Tools are, None = not on PATH
    :raises HostMissing: Core Tools are asked for and are not there.
    """
    if forced == "func" and func is None:
        raise HostMissing(
            "HOST=func asks for Azure Functions Core Tools, but there is no 'func' on PATH;"
            " install them (https://aka.ms/azfunc-install) or use HOST=local"
        )
    return forced or ("func" if func else "local")


def start(stack: Stack, host: str, ports: Ports, asked: Interruption) -> Started:
    """Start every part, make the state store and the jobs.

    :param host: as :func:`choose_host` says
    :raises ProcessFailed: a part did not become ready.
    """
    storage = start_storage(stack, ports)
    asked.check()
    token = secrets.token_hex(16)
    # The notebooks inherit the environment of the server that runs them.
    stack.settings |= {"LANDING_FOLDER": str(stack.landing), "LAKE_FOLDER": str(stack.lake)}
    databricks = stack.start(
        "databricks", "devstack", "databricks",
        "--port", str(ports.databricks), "--token", token, "--notebook-root", str(NOTEBOOKS),
    )  # fmt: skip
    stack.settings |= SETTINGS | {
        "AzureWebJobsStorage": storage,
        "DATABRICKS_HOST": databricks.url,
        "DATABRICKS_TOKEN": token,
        "STATE_DB": str(stack.state_db),
    }
    asked.check()
    stack.orchestrator("init-db")
    jobs = {}
    for notebook in ("ingest", "wait_for_file"):
        asked.check()
        jobs[notebook] = int(stack.orchestrator("create-job", "--notebook", notebook))
    stack.settings["DATABRICKS_JOB_ID"] = str(jobs["ingest"])
    asked.check()
    module = ("devstack", "host") if host == "local" else ("devstack.demo.core_tools",)
    functions = stack.start("host", *module, "--app", ".", "--port", str(ports.host))
    asked.check()
    return Started(host_url=functions.url, databricks_url=databricks.url, token=token, jobs=jobs)


def start_storage(stack: Stack, ports: Ports) -> str:
    """Start the Storage emulator and return its connection string.

    Its ready line tells the queues' address only, so all three ports are chosen here.
    """
    chosen = {
        "blob": ports.blob or free_port(),
        "queue": ports.queue or free_port(),
        "table": ports.table or free_port(),
    }
    flags = [word for service, port in chosen.items() for word in (f"--{service}-port", str(port))]
    stack.start("azurite", "devstack", "azurite", *flags)
    urls = {f"{service}_url": account_url(f"http://127.0.0.1:{port}") for service, port in chosen.items()}
    return connection_string(**urls)
