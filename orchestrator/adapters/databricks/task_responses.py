"""Read what the Jobs API says about the tasks of a run into records. Pure; everything in it only informs."""

import re
from dataclasses import dataclass

from orchestrator.adapters.databricks.fields import (
    MESSAGE_CHARACTERS,
    NAME_CHARACTERS,
    Json,
    id_of,
    is_int,
    life_cycle_state_of,
    name_of,
    object_at,
    page_token_of,
    text_of,
    time_of,
)
from orchestrator.core.errors import WorkspaceUnavailable
from orchestrator.core.models import TaskRun

#: Kinds of tasks (:attr:`TaskRun.kind`) that are read in a way of their own.
FOR_EACH = "for_each_task"
NOTEBOOK = "notebook_task"

#: A message of this kind says nothing itself.
_REFERENCE = re.compile(
    r"see run output for details|\b(?:see|check)(?: \w{1,20}){0,3} logs?\b"
    r"|\A(?:the )?(?:run|task|workload)(?: \S{1,100})? failed\W{0,3}\Z",
    re.IGNORECASE,
)


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
    #: the end of the standard streams
    logs: str | None = None
    #: the value that a notebook gave to ``dbutils.notebook.exit``
    result: str | None = None
    #: whether Databricks sent only the start of the result
    result_is_cut: bool = False
    #: the run that a *Run Job* task started
    child_run_id: int | None = None


def parse_task_page(content: Json, *, asked: int | None = None) -> TaskPage:
    """Read the tasks from any page of ``runs/get``.

    :param asked: the run that was asked for; None = any.
    :raises WorkspaceUnavailable: it is about another run, or tasks or iterations are not a list. On a page
        after their last they are absent, null or empty.
    """
    _check_asked(asked, content.get("run_id"))
    for name in ("tasks", "iterations"):
        if not isinstance(content.get(name), list | None):
            raise WorkspaceUnavailable(f"Databricks sent {name} that are not a list")
    return TaskPage(
        tasks=parse_tasks(content.get("tasks")),
        iterations=parse_tasks(content.get("iterations")),
        next_page_token=page_token_of(content),
    )


def parse_output(content: Json, *, asked: int | None = None) -> TaskOutput:
    """Read ``runs/get-output``. Everything in it only informs.

    :param asked: the run that was asked for, of a task or of a run with one task; None = any.
    :raises WorkspaceUnavailable: it is about another run.
    """
    metadata, notebook = object_at(content, "metadata"), object_at(content, "notebook_output")
    _check_asked(asked, metadata.get("run_id"), metadata.get("job_run_id"))
    return TaskOutput(
        error=text_of(content.get("error"), None),
        error_trace=text_of(content.get("error_trace"), None),
        logs=text_of(content.get("logs"), None),
        result=text_of(notebook.get("result"), None),
        result_is_cut=notebook.get("truncated") is True,
        child_run_id=id_of(object_at(content, "run_job_output").get("run_id")),
    )


def _check_asked(asked: int | None, *sent: object) -> None:
    """Check that an answer is about the run that was asked for, as far as it says so."""
    ids = {run_id for each in sent if (run_id := id_of(each)) is not None}
    if asked is not None and ids and asked not in ids:
        raise WorkspaceUnavailable(f"Databricks was asked for run_id {asked} and sent {min(ids)}")


def parse_tasks(value: object) -> tuple[TaskRun, ...]:
    """Read a list of tasks or iterations; an element without an id is left out."""
    tasks = value if isinstance(value, list) else []
    return tuple(
        _task(task, run_id)
        for task in tasks
        if isinstance(task, dict) and (run_id := id_of(task.get("run_id"))) is not None
    )


def _task(task: Json, run_id: int) -> TaskRun:
    state, status = object_at(task, "state"), object_at(task, "status")
    details = object_at(status, "termination_details")
    attempt = task.get("attempt_number")
    result, code = name_of(state.get("result_state")), name_of(details.get("code"))
    if result == "CANCELED":  # also of a task whose cluster died; the code says more
        result = code or result
    return TaskRun(
        run_id=run_id,
        task_key=text_of(task.get("task_key"), NAME_CHARACTERS) or "",
        attempt_number=attempt if is_int(attempt) else 0,
        life_cycle_state=life_cycle_state_of(state, status) or "UNKNOWN",
        result_state=result or code or name_of(details.get("type")),
        termination_type=name_of(details.get("type")),
        kind=_kind(task),
        message=_end_of_task(task),
        started_at=time_of(task.get("start_time")),
        child_run_id=id_of(object_at(task, "run_job_task").get("run_id")),
    )


def _kind(task: Json) -> str | None:
    kinds = [name for name, value in task.items() if name.endswith("_task") and isinstance(value, dict)]
    return FOR_EACH if FOR_EACH in kinds else next((text_of(kind, NAME_CHARACTERS) for kind in kinds), None)


def most_telling(*texts: str | None) -> str | None:
    """Return the first text that says something itself, else the first that there is."""
    known = [text for text in texts if text]
    return next((text for text in known if says_something(text)), known[0] if known else None)


def says_something(text: str) -> bool:
    """Say whether a text tells what went wrong; some only say where that stands."""
    return len(text) > MESSAGE_CHARACTERS or not _REFERENCE.search(text)


def _end_of_task(task: Json) -> str | None:
    details = object_at(object_at(task, "status"), "termination_details")
    values = (_most_common_error(task), details.get("message"), object_at(task, "state").get("state_message"))
    return most_telling(*(text_of(value, MESSAGE_CHARACTERS) for value in values))


def _most_common_error(task: Json) -> object:
    """Return the error that most iterations of a *For each* have, from its statistics."""
    stats = object_at(object_at(task, "for_each_task"), "stats").get("error_message_stats")
    first = stats[0] if isinstance(stats, list) and stats else None
    return first.get("error_message") if isinstance(first, dict) else None
