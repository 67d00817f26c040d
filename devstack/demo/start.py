"""Start every part of the local stack, on an empty state store."""

import json
import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from devstack.azurite import DEFAULT_PORTS, connection_string
from devstack.demo.interruption import Interruption
from devstack.demo.stack import Stack

#: Where the app has it, below the host's address.
DASHBOARD = "/api/dashboard"

#: Names of the workspaces: the first ones, as many as are asked for.
WORKSPACES = ("default", "eu", "us", "asia")

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
class Simulated:
    """A simulated workspace, and the folders that its notebooks work on."""

    name: str
    url: str
    #: where senders put source files
    landing: Path
    #: where the notebooks write
    lake: Path


@dataclass(frozen=True, kw_only=True)
class Started:
    """What is known once every part runs."""

    host_url: str
    workspaces: Sequence[Simulated]
    token: str
    #: by workspace, job ids by the notebook's name
    jobs: Mapping[str, Mapping[str, int]]


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


def start(
    stack: Stack, host: str, ports: Ports, asked: Interruption, *, workspaces: Sequence[str] = WORKSPACES[:1]
) -> Started:
    """Start every part, make the state store and the jobs.

    :param host: as :func:`choose_host` says
    :param workspaces: names, the app's default first.
    :raises ProcessFailed: a part did not become ready.
    """
    flags = [
        word for service in DEFAULT_PORTS for word in (f"--{service}-port", str(getattr(ports, service)))
    ]
    azurite = stack.start("azurite", "devstack", "azurite", *flags)
    asked.check()
    token = secrets.token_hex(16)
    # By the environment: everybody on the machine can read a command line.
    stack.settings["DATABRICKS_SIM_TOKEN"] = token
    simulated: list[Simulated] = []
    for name in workspaces:
        simulated.append(_start_workspace(stack, name, 0 if simulated else ports.databricks))
        asked.check()
    stack.settings |= SETTINGS | {
        "AzureWebJobsStorage": connection_string(*azurite.urls),
        "DATABRICKS_HOST": simulated[0].url,
        "DATABRICKS_TOKEN": token,
        "DATABRICKS_WORKSPACES": _further(simulated, token),
        "STATE_DB": str(stack.state_db),
    }
    stack.orchestrator("init-db")
    jobs = _make_jobs(stack, workspaces, asked)
    stack.settings["DATABRICKS_JOB_ID"] = str(jobs[workspaces[0]]["ingest"])
    stack.settings["DATABRICKS_WORKSPACES"] = _further(simulated, token, jobs)
    asked.check()
    # Core Tools have a page of their own at the root.
    module = ("devstack", "host", "--home", DASHBOARD) if host == "local" else ("devstack.demo.core_tools",)
    functions = stack.start("host", *module, "--app", ".", "--port", str(ports.host))
    asked.check()
    return Started(host_url=functions.url, workspaces=simulated, token=token, jobs=jobs)


def _start_workspace(stack: Stack, name: str, port: int) -> Simulated:
    """Start a simulator with folders of its own, which its notebooks learn from the environment."""
    suffix = "" if name == WORKSPACES[0] else f"-{name}"
    landing, lake = ((stack.folder / f"{kind}{suffix}").absolute() for kind in ("landing", "lake"))
    server = stack.start(
        "databricks", "devstack", "databricks",
        "--port", str(port), "--notebook-root", str(NOTEBOOKS),
        log=f"databricks{suffix}",
        settings={"LANDING_FOLDER": str(landing), "LAKE_FOLDER": str(lake)},
    )  # fmt: skip
    return Simulated(name=name, url=server.url, landing=landing, lake=lake)


def _further(
    simulated: Sequence[Simulated], token: str, jobs: Mapping[str, Mapping[str, int]] | None = None
) -> str:
    """Return the setting for all workspaces but the first. :param jobs: None = there are none yet."""
    further = {
        each.name: {
            "host": each.url,
            "auth": "pat",
            "token": token,
            "cap": int(SETTINGS["MAX_ACTIVE_RUNS"]),
            **({"job_id": jobs[each.name]["ingest"]} if jobs else {}),
        }
        for each in simulated[1:]
    }
    return json.dumps(further) if further else ""


def _make_jobs(stack: Stack, workspaces: Sequence[str], asked: Interruption) -> dict[str, dict[str, int]]:
    jobs: dict[str, dict[str, int]] = {}
    for name in workspaces:
        jobs[name] = {}
        for notebook in ("ingest", "wait_for_file"):
            asked.check()
            made = stack.orchestrator("create-job", "--notebook", notebook, "--workspace", name)
            jobs[name][notebook] = int(made)
    return jobs
