"""The simulator's settings, from flags and the environment."""

import argparse
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from devstack.databricks.credentials import TOKEN_SECONDS
from devstack.databricks.workspace import DEFAULT_ACTIVE_RUNS

#: Every flag can be given by the environment: ``--run-seconds`` as ``DATABRICKS_SIM_RUN_SECONDS``.
ENVIRONMENT_PREFIX = "DATABRICKS_SIM_"

DEFAULT_PORT = 8765

#: ``local.settings.sample.json`` names this job.
DEFAULT_JOB_ID = 1


def _simulated(job_id: int) -> str:
    """The notebook path of a job that was named without one; there is no file of that name."""
    return f"/simulated/job-{job_id}"


@dataclass(frozen=True, kw_only=True)
class Options:
    """How the simulator behaves. Durations are in seconds."""

    #: accepted bearer tokens; none = every token is accepted
    tokens: tuple[str, ...] = ()
    #: client id and secret of each service principal that may get OAuth tokens
    clients: tuple[tuple[str, str], ...] = field(default=(), repr=False)
    #: how long an OAuth token is accepted
    oauth_seconds: float = TOKEN_SECONDS
    #: requests for another workspace are refused; None = for none
    workspace_id: int | None = None
    #: where notebooks are; None simulates every run
    notebook_root: Path | None = None
    #: the most runs at once
    max_active_runs: int = DEFAULT_ACTIVE_RUNS
    #: ``run-now`` requests a second, 0 = no limit
    rate_limit: float = 0.0
    #: how long an attempt waits for compute
    pending_seconds: float = 0.2
    #: how long an attempt executes when it has no file
    run_seconds: float = 0.5
    #: of the ids and of the jitter; None = different at every start
    seed: int | None = None
    #: where accepted commands are written down and repeated from; None = nothing survives a restart
    journal: Path | None = None
    #: gets an event for each run that is over; may hold a password. None = nobody is told
    webhook: str | None = field(default=None, repr=False)
    #: jobs that exist from the start: job id and notebook path
    jobs: tuple[tuple[int, str], ...] = ((DEFAULT_JOB_ID, _simulated(DEFAULT_JOB_ID)),)


def parse_arguments(argv: Sequence[str]) -> tuple[Options, int]:
    """Read flags and environment; return the options and the port (0 = a free one)."""
    parser = _parser()
    flags = parser.parse_args(argv)
    if flags.journal and flags.notebook_root:
        parser.error(
            "--journal does not go with --notebook-root: notebooks are processes that end with this one"
        )
    if flags.journal and flags.webhook:
        parser.error("--journal does not go with --webhook: a restart would not send the events again")
    return Options(
        tokens=tuple(flags.token or _list_from_environment("token")),
        clients=tuple(flags.client or map(_client, _list_from_environment("client"))),
        oauth_seconds=flags.oauth_seconds,
        workspace_id=flags.workspace_id,
        notebook_root=flags.notebook_root,
        max_active_runs=flags.max_active_runs,
        rate_limit=flags.rate_limit,
        pending_seconds=flags.pending_seconds,
        run_seconds=flags.run_seconds,
        seed=flags.seed,
        journal=flags.journal,
        webhook=flags.webhook,
        jobs=tuple(flags.with_job or map(_job, _list_from_environment("with-job"))) or Options.jobs,
    ), flags.port


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m devstack databricks",
        description="A Databricks workspace's Jobs API, simulated. Every flag can also be given by the "
        f"environment: --run-seconds as {ENVIRONMENT_PREFIX}RUN_SECONDS; several values separated by commas.",
    )
    _add(parser, "port", _whole, DEFAULT_PORT, "0 = a free port; default %(default)s")
    _add(parser, "notebook-root", _folder, None, "folder of the notebooks; without it every run is simulated")
    _add(parser, "max-active-runs", _whole, DEFAULT_ACTIVE_RUNS, "most runs at once; default %(default)s")
    _add(parser, "rate-limit", _amount, 0.0, "run-now requests a second; default 0 = no limit")
    _add(parser, "pending-seconds", _amount, 0.2, "how long a run is PENDING; default %(default)s")
    _add(parser, "run-seconds", _amount, 0.5, "how long a simulated run is RUNNING; default %(default)s")
    _add(parser, "oauth-seconds", _amount, TOKEN_SECONDS, "life of an OAuth token; default %(default)s")
    _add(parser, "workspace-id", _whole, None, "requests for another workspace are refused; default: none is")
    _add(parser, "seed", int, None, "of ids and jitter; default: different at every start")
    _add(parser, "journal", Path, None, "file that keeps the workspace over a restart; default: none")
    _add(parser, "webhook", str, None, "URL that gets an event for each run that is over; default: none")
    parser.add_argument("--token", action="append", help="an accepted bearer token; default: any is accepted")
    parser.add_argument(
        "--client",
        action="append",
        type=_client,
        metavar="ID=SECRET",
        help="a service principal that may get OAuth tokens; default: none",
    )
    parser.add_argument(
        "--with-job",
        action="append",
        type=_job,
        metavar="ID[=NOTEBOOK]",
        help=f"a job that exists at start; default: a simulated one with the id {DEFAULT_JOB_ID}",
    )
    return parser


def _add(
    parser: argparse.ArgumentParser, name: str, kind: Callable[[str], object], default: object, text: str
) -> None:
    value = os.environ.get(_variable(name), default)
    parser.add_argument(f"--{name}", type=kind, default=value, help=text)


def _variable(name: str) -> str:
    return ENVIRONMENT_PREFIX + name.upper().replace("-", "_")


def _list_from_environment(name: str) -> list[str]:
    return [item for item in os.environ.get(_variable(name), "").split(",") if item]


def _whole(text: str) -> int:
    if not text.isdecimal():
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number of 0 or more")
    return int(text)


def _amount(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = -1.0
    if not 0 <= value < float("inf"):
        raise argparse.ArgumentTypeError(f"{text!r} is not a number of 0 or more")
    return value


def _folder(text: str) -> Path:
    path = Path(text)
    if not path.is_dir():
        raise argparse.ArgumentTypeError(f"there is no folder {text!r}")
    return path


def _client(text: str) -> tuple[str, str]:
    client, _, secret = text.partition("=")
    if not client or not secret:
        raise argparse.ArgumentTypeError("a client must be given as ID=SECRET")
    return client, secret


def _job(text: str) -> tuple[int, str]:
    digits, _, path = text.partition("=")
    job_id = _whole(digits)
    return job_id, path or _simulated(job_id)
