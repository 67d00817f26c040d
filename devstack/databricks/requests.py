"""Requests: what a workspace accepts as a ``run-now`` body and as a ``runs/list`` query."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from devstack.databricks.errors import invalid, malformed
from devstack.databricks.parameters import STYLES, listed, named, parse_parameters

#: https://docs.databricks.com/api/workspace/jobs/runnow
MAX_TOKEN_CHARACTERS = 64

PERFORMANCE_TARGETS = ("PERFORMANCE_OPTIMIZED", "STANDARD", "COST_OPTIMIZED")

#: Every field of a ``run-now`` body. A workspace passes over others; here they are refused, since a parameter
#: style that is spelt wrong would start a run without its parameters.
RUN_NOW_FIELDS = frozenset(
    {"job_id", "idempotency_token", "queue", "only", "performance_target", "duration_target"}
    | {"pipeline_params", *STYLES}
)

#: https://docs.databricks.com/api/workspace/jobs/listruns
RUN_TYPES = ("JOB_RUN", "WORKFLOW_RUN", "SUBMIT_RUN")

#: "greater than 0 and less than 25", default 20:
#: https://docs.databricks.com/api/workspace/jobs/listruns
DEFAULT_LIMIT = 20
MAX_LIMIT = 24


#: Ids and times are 64-bit numbers.
_WHOLE_NUMBER = re.compile(r"-?[0-9]{1,19}")


@dataclass(frozen=True, kw_only=True)
class RunNow:
    """A ``run-now`` request."""

    job_id: int
    #: idempotency token, empty when none was sent
    token: str = ""
    #: parameter style → the parameters given in it
    parameters: Mapping[str, Any] = field(default_factory=dict, repr=False)
    #: overrides the job's setting, None = not given
    queue_enabled: bool | None = None

    #: task keys, with ``+`` before or after for what is upstream or downstream; empty = every task
    only: tuple[str, ...] = ()
    #: empty = not given
    performance_target: str = ""
    #: as it was given, empty = not given
    pipeline_params: Mapping[str, Any] = field(default_factory=dict)

    @property
    def named(self) -> dict[str, str]:
        """All parameters that have a name."""
        return named(self.parameters)

    @property
    def listed(self) -> list[str]:
        """All parameters that are plain arguments."""
        return listed(self.parameters)


@dataclass(frozen=True, kw_only=True)
class ListRuns:
    """A ``runs/list`` query. Times are epoch milliseconds."""

    active_only: bool = False
    completed_only: bool = False
    expand_tasks: bool = False
    job_id: int | None = None
    run_type: str = ""
    start_time_from: int = 0
    start_time_to: int | None = None
    limit: int = DEFAULT_LIMIT
    page_token: str = ""


def parse_run_now(body: Mapping[str, Any]) -> RunNow:
    """Read a ``run-now`` body. :raises ApiError: it cannot be accepted."""
    if unknown := sorted(body.keys() - RUN_NOW_FIELDS):
        raise malformed(f"Could not parse request object: there is no field {', '.join(unknown)}.")
    token = body.get("idempotency_token") or ""
    if not isinstance(token, str) or len(token) > MAX_TOKEN_CHARACTERS:
        raise invalid(f"The idempotency token must have at most {MAX_TOKEN_CHARACTERS} characters.")
    return RunNow(
        job_id=required_id(body, "job_id"),
        token=token,
        parameters=parse_parameters(body),
        queue_enabled=queue_enabled(body),
        only=_only(body),
        performance_target=performance_target(body),
        pipeline_params=pipeline_params(body),
    )


def _only(body: Mapping[str, Any]) -> tuple[str, ...]:
    keys = body.get("only") or []
    if not isinstance(keys, list) or not all(isinstance(key, str) for key in keys):
        raise malformed("Could not parse request object: only must be a list of strings.")
    return tuple(keys)


def performance_target(body: Mapping[str, Any]) -> str:
    """Read ``performance_target``, empty when it is not given. :raises ApiError: there is no such target."""
    target = body.get("performance_target") or ""
    if target not in ("", *PERFORMANCE_TARGETS):
        raise invalid(f"performance_target must be one of {', '.join(PERFORMANCE_TARGETS)}, not {target!r}.")
    if target == "COST_OPTIMIZED" and not body.get("duration_target"):
        raise invalid("duration_target is required when performance_target is COST_OPTIMIZED.")
    return str(target)


def pipeline_params(body: Mapping[str, Any]) -> Mapping[str, Any]:
    """Read ``pipeline_params``, empty when they are not given. :raises ApiError: they are malformed."""
    given = body.get("pipeline_params") or {}
    if not isinstance(given, dict) or not isinstance(given.get("full_refresh", False), bool):
        raise malformed(
            "Could not parse request object: pipeline_params must be an object, its full_refresh a boolean."
        )
    return given


def queue_enabled(settings: Mapping[str, Any]) -> bool | None:
    """Read ``queue`` of a ``run-now`` body or of a job, None when it is not given.

    :raises ApiError: it is not an object with a boolean ``enabled``.
    """
    queue = settings.get("queue")
    if queue is None:
        return None
    enabled = queue.get("enabled") if isinstance(queue, dict) else None
    if not isinstance(enabled, bool):
        raise malformed("Could not parse request object: queue must be an object whose enabled is a boolean.")
    return enabled


def parse_list_runs(query: Mapping[str, str]) -> ListRuns:
    """Read a ``runs/list`` query. :raises ApiError: a workspace would refuse it."""
    active, completed = flag(query, "active_only"), flag(query, "completed_only")
    if active and completed:
        raise invalid("active_only and completed_only cannot both be true.")
    if "offset" in query:
        raise invalid("offset is deprecated and not supported here; use page_token.")
    run_type = query.get("run_type", "")
    if run_type not in {"", *RUN_TYPES}:
        raise invalid(f"run_type must be one of {', '.join(RUN_TYPES)}, not {run_type}.")
    start_time_to = required_id(query, "start_time_to") if "start_time_to" in query else None
    return ListRuns(
        active_only=active,
        completed_only=completed,
        expand_tasks=flag(query, "expand_tasks"),
        job_id=required_id(query, "job_id") if "job_id" in query else None,
        run_type=run_type,
        start_time_from=_number(query, "start_time_from", 0),
        start_time_to=start_time_to,
        limit=page_limit(query, default=DEFAULT_LIMIT, most=MAX_LIMIT),
        page_token=query.get("page_token", ""),
    )


def page_limit(query: Mapping[str, str], *, default: int, most: int) -> int:
    """Read ``limit``. :raises ApiError: it is out of range."""
    limit = _number(query, "limit", default)
    if not 0 < limit <= most:
        raise invalid(f"limit must be greater than 0 and at most {most}, not {limit}.")
    return limit


def required_id(values: Mapping[str, Any], name: str) -> int:
    """Read an id that must be there. :raises ApiError: it is missing or not a whole number."""
    if values.get(name) in (None, ""):
        raise invalid(f"Missing required field: {name}")
    return _number(values, name, 0)


def _number(values: Mapping[str, Any], name: str, default: int) -> int:
    text = values.get(name, default)
    if isinstance(text, bool) or not _WHOLE_NUMBER.fullmatch(str(text)):
        raise malformed(f"Could not parse request object: {name} must be a whole number.")
    return int(text)


def flag(query: Mapping[str, str], name: str) -> bool:
    """Read a flag of a query, off when it is not given. :raises ApiError: it is neither true nor false."""
    text = query.get(name, "false").lower()
    if text not in {"true", "false"}:
        raise malformed(f"Could not parse request object: {name} must be true or false.")
    return text == "true"
