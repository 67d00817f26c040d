"""Read the JSON of Databricks' Jobs API 2.2 into the app's records. Pure.

What decisions depend on (ids, states) must be there; otherwise the reader raises
:class:`WorkspaceUnavailable`, because a guess would be worse than another look later. What only informs
(times, texts, links) is left out when it is absent or has a wrong type.
Unknown enum values are kept unchanged: https://docs.databricks.com/api/workspace/jobs/getrun
"""

import json
import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any, TypeGuard

from orchestrator.core.errors import WorkspaceUnavailable
from orchestrator.core.models import ActiveRun, Job, Run, TaskRun
from orchestrator.core.numbers import MAX_ID

Json = Mapping[str, Any]

#: A message is cut to this, in characters: a paragraph that a person can read in a list.
MESSAGE_CHARACTERS = 2_000
#: Names are cut to this: the longest known enum value has 35 characters, a task key may have 100.
NAME_CHARACTERS = 100
#: URLs are cut to this: one of a workspace with job and run id has about 120 characters.
_URL_CHARACTERS = 500
#: A longer page token is refused. They have some hundred characters; servers commonly accept 8,000 in a URL.
_PAGE_TOKEN_CHARACTERS = 4_000
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)

#: ``status.state`` → ``state.life_cycle_state`` where the two names differ.
_LIFE_CYCLE_OF_STATUS = {"WAITING": "WAITING_FOR_RETRY"}

#: Kinds of tasks (:attr:`TaskRun.kind`) that are read in a way of their own.
FOR_EACH = "for_each_task"
NOTEBOOK = "notebook_task"

#: A message with these words says nothing itself.
_REFERENCE = "see run output for details"

#: Colours and cursor movements, of which notebook tracebacks are full.
_ANSI = re.compile(r"\x1b\[[0-9;]*[A-Za-z]")


@dataclass(frozen=True, kw_only=True)
class Response:
    """A whole HTTP response."""

    status: int
    headers: Mapping[str, str]
    body: bytes = field(repr=False)


@dataclass(frozen=True, kw_only=True)
class ActiveRunsPage:
    """One page of ``runs/list`` with ``active_only``."""

    runs: tuple[ActiveRun, ...]
    #: asks for the next page; None on the last
    next_page_token: str | None


@dataclass(frozen=True, kw_only=True)
class TaskPage:
    """What one page of ``runs/get`` holds of a run's tasks, or of the iterations of a *For each*."""

    tasks: tuple[TaskRun, ...]
    iterations: tuple[TaskRun, ...]
    #: asks for the next page; None on the last
    next_page_token: str | None


@dataclass(frozen=True, kw_only=True)
class TaskOutput:
    """What ``runs/get-output`` says about a task run. Its texts are not cut."""

    error: str | None = None
    error_trace: str | None = None
    #: the value that a notebook gave to ``dbutils.notebook.exit``
    result: str | None = None
    #: whether Databricks sent only the start of the result
    result_is_cut: bool = False
    #: the run that a *Run Job* task started
    child_run_id: int | None = None


def json_object(body: bytes) -> Json | None:
    """Return the JSON object that a body holds, or None."""
    try:
        content = json.loads(body)
    except (ValueError, RecursionError):  # not JSON, not UTF-8, or nested thousands deep
        return None
    return content if isinstance(content, dict) else None


def parse_run(content: Json) -> Run:
    """Read ``runs/get``. :raises WorkspaceUnavailable: it has no run id or no state."""
    state, status = _object(content, "state"), _object(content, "status")
    details = _object(status, "termination_details")
    life_cycle_state = _life_cycle_state(state, status)
    if life_cycle_state is None:
        raise WorkspaceUnavailable("Databricks sent a run without a state; the next pass looks again")
    return Run(
        run_id=parse_id(content, "run_id"),
        life_cycle_state=life_cycle_state,
        result_state=_text(state.get("result_state"), NAME_CHARACTERS),
        termination_code=_text(details.get("code"), NAME_CHARACTERS),
        termination_type=_text(details.get("type"), NAME_CHARACTERS),
        message=_text(details.get("message"), MESSAGE_CHARACTERS)
        or _text(state.get("state_message"), MESSAGE_CHARACTERS),
        run_page_url=_text(content.get("run_page_url"), _URL_CHARACTERS),
        started_at=_time(content.get("start_time")),
        finished_at=_time(content.get("end_time")),
        queue_seconds=_seconds(content.get("queue_duration")),
        setup_seconds=_seconds(content.get("setup_duration")),
        execution_seconds=_seconds(content.get("execution_duration")),
        tasks=_tasks(content.get("tasks")),
        next_page_token=_next_page_token(content),
        latest_repair_id=_latest_repair_id(content.get("repair_history")),
    )


def parse_active_runs(content: Json) -> ActiveRunsPage:
    """Read a page of ``runs/list``. The key ``runs`` is absent when there are none.

    :raises WorkspaceUnavailable: a run has no id, or the rest of the list cannot be fetched. A run that is
        left out would seem to be over, and its slot free.
    """
    runs = content.get("runs", [])
    if not isinstance(runs, list) or not all(isinstance(run, dict) for run in runs):
        raise WorkspaceUnavailable(
            "Databricks sent runs that are not a list of objects; the next pass asks again"
        )
    next_page_token = content.get("next_page_token") or None
    if next_page_token is not None and not _is_page_token(next_page_token):
        raise WorkspaceUnavailable("Databricks sent a list of runs with an unreadable page token")
    if next_page_token is None and content.get("has_more"):
        raise WorkspaceUnavailable(
            "Databricks sent only a part of the active runs, and no page token for the rest"
        )
    return ActiveRunsPage(
        runs=tuple(_active_run(run) for run in runs),
        next_page_token=next_page_token,
    )


def _active_run(run: Json) -> ActiveRun:
    job_id = run.get("job_id")
    return ActiveRun(
        run_id=parse_id(run, "run_id"),
        job_id=job_id if _is_id(job_id) else None,
        queued=_life_cycle_state(_object(run, "state"), _object(run, "status")) == "QUEUED",
        is_child=run.get("trigger") == "RUN_JOB_TASK",
    )


def _latest_repair_id(history: object) -> int | None:
    """Return the newest repair of a run: ids of repairs rise, and the original run has none."""
    repairs = history if isinstance(history, list) else []
    ids = [repair.get("id") for repair in repairs if isinstance(repair, dict)]
    return max((each for each in ids if _is_id(each)), default=None)


def parse_job(content: Json) -> Job:
    """Read ``jobs/get``. :raises WorkspaceUnavailable: it has no settings."""
    settings = content.get("settings")
    if not isinstance(settings, dict):
        raise WorkspaceUnavailable("Databricks sent a job without settings")
    limit = settings.get("max_concurrent_runs")
    return Job(
        job_id=parse_id(content, "job_id"),
        name=_text(settings.get("name"), _URL_CHARACTERS) or "",
        max_concurrent_runs=limit if _is_int(limit) else 1,  # 1 is Databricks' default
        queue_enabled=_object(settings, "queue").get("enabled") is True,
        continuous=isinstance(settings.get("continuous"), dict),
        parameters=_parameter_names(settings.get("parameters")),
        settings=settings,
    )


def parse_job_ids(content: Json, *, name: str) -> list[int]:
    """Read from ``jobs/list`` the ids of the jobs with exactly this name.

    :raises WorkspaceUnavailable: it is not a list of jobs.
    """
    jobs = content.get("jobs", [])
    if not isinstance(jobs, list) or not all(isinstance(job, dict) for job in jobs):
        raise WorkspaceUnavailable("Databricks sent jobs that are not a list of objects")
    return [parse_id(job, "job_id") for job in jobs if _object(job, "settings").get("name") == name]


def _parameter_names(value: object) -> tuple[str, ...]:
    declared = value if isinstance(value, list) else []
    names = (_text(each.get("name"), None) for each in declared if isinstance(each, dict))
    return tuple(name for name in names if name)


def parse_task_page(content: Json) -> TaskPage:
    """Read the tasks from any page of ``runs/get``.

    :raises WorkspaceUnavailable: tasks or iterations are not a list. On a page after their last they are
        absent, null or empty.
    """
    for name in ("tasks", "iterations"):
        if not isinstance(content.get(name), list | None):
            raise WorkspaceUnavailable(f"Databricks sent {name} that are not a list")
    return TaskPage(
        tasks=_tasks(content.get("tasks")),
        iterations=_tasks(content.get("iterations")),
        next_page_token=_next_page_token(content),
    )


def parse_output(content: Json) -> TaskOutput:
    """Read ``runs/get-output``. Everything in it only informs."""
    notebook = _object(content, "notebook_output")
    child_run_id = _object(content, "run_job_output").get("run_id")
    return TaskOutput(
        error=_text(content.get("error"), None),
        error_trace=_text(content.get("error_trace"), None),
        result=_text(notebook.get("result"), None),
        result_is_cut=notebook.get("truncated") is True,
        child_run_id=child_run_id if _is_id(child_run_id) else None,
    )


def parse_id(content: Json, name: str) -> int:
    """Return the id called ``name``. :raises WorkspaceUnavailable: it is not a positive 64-bit integer."""
    value = content.get(name)
    if not _is_id(value):
        raise WorkspaceUnavailable(f"Databricks sent a response without a usable {name}")
    return value


def cut(text: str, limit: int) -> str:
    """Cut the middle out of a text that is longer than ``limit``: its start says where, its end says what."""
    if len(text) <= limit:
        return text
    head = limit // 3
    return f"{text[:head]} … {text[len(text) - (limit - head - 3) :]}"


def clean(text: str) -> str:
    """Drop what no database column and no log can use: terminal colours, NUL, half surrogate pairs."""
    return _ANSI.sub("", text).replace("\0", "").encode("utf-8", "replace").decode("utf-8")


def _tasks(value: object) -> tuple[TaskRun, ...]:
    tasks = value if isinstance(value, list) else []
    return tuple(_task(task) for task in tasks if isinstance(task, dict) and _is_id(task.get("run_id")))


def _task(task: Json) -> TaskRun:
    state, status = _object(task, "state"), _object(task, "status")
    details = _object(status, "termination_details")
    attempt = task.get("attempt_number")
    return TaskRun(
        run_id=task["run_id"],
        task_key=_text(task.get("task_key"), NAME_CHARACTERS) or "",
        attempt_number=attempt if _is_int(attempt) else 0,
        life_cycle_state=_life_cycle_state(state, status) or "UNKNOWN",
        result_state=_text(state.get("result_state"), NAME_CHARACTERS)
        or _text(details.get("code"), NAME_CHARACTERS)
        or _text(details.get("type"), NAME_CHARACTERS),
        kind=_kind(task),
        message=_end_of_task(task),
        started_at=_time(task.get("start_time")),
    )


def _kind(task: Json) -> str | None:
    kinds = [name for name, value in task.items() if name.endswith("_task") and isinstance(value, dict)]
    return FOR_EACH if FOR_EACH in kinds else next((_text(kind, NAME_CHARACTERS) for kind in kinds), None)


def most_telling(*texts: str | None) -> str | None:
    """Return the first text that says something itself, else the first that there is."""
    known = [text for text in texts if text]
    return next((text for text in known if _REFERENCE not in text), known[0] if known else None)


def _end_of_task(task: Json) -> str | None:
    details = _object(_object(task, "status"), "termination_details")
    values = (details.get("message"), _object(task, "state").get("state_message"), _most_common_error(task))
    return most_telling(*(_text(value, MESSAGE_CHARACTERS) for value in values))


def _most_common_error(task: Json) -> object:
    """Return the error that most iterations of a *For each* have, from its statistics."""
    stats = _object(_object(task, "for_each_task"), "stats").get("error_message_stats")
    first = stats[0] if isinstance(stats, list) and stats else None
    return first.get("error_message") if isinstance(first, dict) else None


def _next_page_token(content: Json) -> str | None:
    token = content.get("next_page_token")
    return token if _is_page_token(token) else None


def _life_cycle_state(state: Json, status: Json) -> str | None:
    newer = _text(status.get("state"), NAME_CHARACTERS)
    return _text(state.get("life_cycle_state"), NAME_CHARACTERS) or (
        newer and _LIFE_CYCLE_OF_STATUS.get(newer, newer)
    )


def _object(content: Json, name: str) -> Json:
    value = content.get(name)
    return value if isinstance(value, dict) else {}


def _text(value: object, limit: int | None) -> str | None:
    if not isinstance(value, str):
        return None
    text = clean(value).strip()
    return (text if limit is None else cut(text, limit)) or None


def _is_int(value: object) -> TypeGuard[int]:
    return isinstance(value, int) and not isinstance(value, bool)


def _is_id(value: object) -> TypeGuard[int]:
    return _is_int(value) and 0 < value <= MAX_ID


def _is_page_token(value: object) -> TypeGuard[str]:
    """Say whether it can be sent back in a URL: half a surrogate pair cannot."""
    return isinstance(value, str) and 0 < len(value) <= _PAGE_TOKEN_CHARACTERS and clean(value) == value


def _milliseconds(value: object) -> float | None:
    if not isinstance(value, int | float) or isinstance(value, bool):
        return None
    try:
        return float(value) if math.isfinite(value) and value >= 0 else None
    except OverflowError:  # an integer of more than 308 digits
        return None


def _seconds(value: object) -> float | None:
    """Return a duration, sent in ms, in s. Rounded, as SQL Server's ``float`` refuses the tiniest numbers."""
    milliseconds = _milliseconds(value)
    return None if milliseconds is None else round(milliseconds / 1000, 3)


def _time(value: object) -> datetime | None:
    """Return a time, sent in ms since 1970. Databricks sends 0 for "not yet"."""
    milliseconds = _milliseconds(value)
    if not milliseconds:
        return None
    try:
        return _EPOCH + timedelta(milliseconds=milliseconds)
    except OverflowError:
        return None
