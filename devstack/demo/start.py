"""Start every part of the local stack, on an empty state store."""

import secrets
from dataclasses import dataclass
from pathlib import Path

from devstack.azurite import DEFAULT_PORTS, connection_string
from devstack.demo.interruption import Interruption
from devstack.demo.stack import Stack

#: Where the app has it, below the host's address.
DASHBOARD = "/api/dashboard"

NOTEBOOKS = Path("examples/notebooks")

#: Settings of the app that the local stack leaves unset, whatever the user's shell or a local.settings.json
#: says: an empty one counts as not set.
UNSET = (
    "ALERT_FORMAT",
    "ALERT_WEBHOOK_URL",
    "APPLICATIONINSIGHTS_CONNECTION_STRING",
    "AZURE_CLIENT_ID",
    "AzureWebJobsStorage__accountName",
    "AzureWebJobsStorage__clientId",
    "AzureWebJobsStorage__clientSecret",
    "AzureWebJobsStorage__credential",
    "AzureWebJobsStorage__managedIdentityResourceId",
    "AzureWebJobsStorage__queueServiceUri",
    "AzureWebJobsStorage__tenantId",
    "DATABRICKS_CLIENT_ID",
    "DATABRICKS_CLIENT_SECRET",
    "DATABRICKS_CLIENT_SECRET_NAME",
    "DATABRICKS_JOB_NAME",
    "DATABRICKS_TENANT_ID",
    "DATABRICKS_TOKEN_SECRET",
    "DATABRICKS_WORKSPACES",
    "DATABRICKS_WORKSPACE_ID",
    "EVENTS_SECRET",
    "HTTPS_PROXY",
    "HTTP_PROXY",
    "KEY_VAULT_URL",
    "NO_PROXY",
    "PARAMETERS_COLUMN",
    "SQL_CONNECTION_STRING",
    "STATUS_MAP",
    "TABLE_NAME_COLUMN",
    "http_proxy",
    "https_proxy",
    "no_proxy",
)

#: Small, so that waiting, retry and back-off can be watched. docs/settings.md says what each means.
SETTINGS = {
    **dict.fromkeys(UNSET, ""),
    "DATABRICKS_AUTH": "pat",
    "FUNCTIONS_REQUEST_BODY_SIZE_LIMIT": "1048576",
    "FUNCTIONS_WORKER_RUNTIME": "python",
    "MAX_ACTIVE_RUNS": "6",
    "MAX_ATTEMPTS": "3",
    "MAX_DELIVERIES": "10",
    "MAX_PLATFORM_RETRIES": "10",
    "QUEUE_TIMEOUT_SECONDS": "0",
    # The demo's late file comes between the failed attempt and the next.
    "RETRY_BACKOFF_SECONDS": "2",
    "RETRY_CANCELED_RUNS": "false",
    "RETRY_MODE": "run",
    "RUN_TIMEOUT_SECONDS": "0",
    "SERIALIZE_TABLES": "true",
    "SQL_IDLE_SECONDS": "120",
    "STORE_RESULTS": "false",
    "SUBMIT_LEASE_SECONDS": "900",
    "SUBMIT_QUEUE_NAME": "submit-jobs",
    "TICK_LATE_SECONDS": "900",
    "TRIGGER_SCHEDULE": "*/2 * * * * *",
    "MONITOR_SCHEDULE": "1-59/2 * * * * *",
}


class HostMissing(Exception):
    """Core Tools are asked for and are not there."""


@dataclass(frozen=True, kw_only=True)
class Ports:
    """Where the parts listen: ports of 127.0.0.1; 0 is a free one."""

    host: int = 0
    databricks: int = 0
    queue: int = 0
    blob: int = 0
    table: int = 0


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
    flags = [
        word for service in DEFAULT_PORTS for word in (f"--{service}-port", str(getattr(ports, service)))
    ]
    azurite = stack.start("azurite", "devstack", "azurite", *flags)
    asked.check()
    token = secrets.token_hex(16)
    # By the environment: everybody on the machine can read a command line. The notebooks inherit the folders.
    stack.settings |= {
        "DATABRICKS_SIM_TOKEN": token,
        "LANDING_FOLDER": str(stack.landing),
        "LAKE_FOLDER": str(stack.lake),
    }
    databricks = stack.start(
        "databricks", "devstack", "databricks",
        "--port", str(ports.databricks), "--notebook-root", str(NOTEBOOKS),
    )  # fmt: skip
    stack.settings |= SETTINGS | {
        "AzureWebJobsStorage": connection_string(*azurite.urls),
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
    # Core Tools have a page of their own at the root.
    module = ("devstack", "host", "--home", DASHBOARD) if host == "local" else ("devstack.demo.core_tools",)
    functions = stack.start("host", *module, "--app", ".", "--port", str(ports.host))
    asked.check()
    return Started(
        host_url=functions.url,
        databricks_url=databricks.url,
        token=token,
        jobs=jobs,
    )
