"""Read the JSON of Databricks' Jobs API 2.2 into the app's records. Pure.

What decisions depend on (ids, states) must be there; otherwise the reader raises
:class:`WorkspaceUnavailable`, because a guess would be worse than another look later. What only informs
(times, texts, links) is left out when it is absent or has a wrong type.
Unknown enum values are kept unchanged: https://docs.databricks.com/api/workspace/jobs/getrun
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime

from orchestrator.adapters.databricks.fields import (
    MESSAGE_CHARACTERS,
    Json,
    id_of,
    is_int,
    is_page_token,
    life_cycle_state_of,
    name_of,
    object_at,
    page_token_of,
    says_error,
    seconds_of,
    text_of,
    time_of,
)
from orchestrator.adapters.databricks.task_outcomes import failed_tasks
from orchestrator.adapters.databricks.task_responses import parse_tasks
from orchestrator.core.errors import NoRunNamed, WorkspaceUnavailable
from orchestrator.core.models import ActiveRun, Job, Run
from orchestrator.core.outcomes import is_over

#: URLs are cut to this: one of a workspace with job and run id has about 120 characters.
_URL_CHARACTERS = 500

#: Databricks' default of a job's ``max_concurrent_runs`` and its maximum, which hardly limits anything.
_DEFAULT_CONCURRENT_RUNS = 1
_MAX_CONCURRENT_RUNS = 1000

#: Triggers of the runs that Databricks starts by itself.
_UNASKED = frozenset({"PERIODIC", "FILE_ARRIVAL", "TABLE", "CONTINUOUS"})


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
class JobIdsPage:
    """The jobs of one name in a page of ``jobs/list``."""

    job_ids: tuple[int, ...]
    #: asks for the next page; None on the last
    next_page_token: str | None


def parse_run(content: Json, *, asked: int | None = None, with_history: bool = False) -> Run:
    """Read ``runs/get``. :raises WorkspaceUnavailable: it has no run id or no state, or is about another run.

    :param asked: the run that was asked for; None = any.
    :param with_history: whether the repairs were asked for.
    """
    state, status = object_at(content, "state"), object_at(content, "status")
    details = object_at(status, "termination_details")
    life_cycle_state = life_cycle_state_of(state, status)
    if life_cycle_state is None:
        raise WorkspaceUnavailable("Databricks sent a run without a state; the next pass looks again")
    repair_id, repaired_at = _latest_repair(content.get("repair_history"))
    run = Run(
        run_id=_parse_asked(content, "run_id", asked),
        job_id=id_of(content.get("job_id")),
        life_cycle_state=life_cycle_state,
        result_state=name_of(state.get("result_state")),
        termination_code=name_of(details.get("code")),
        termination_type=name_of(details.get("type")),
        message=text_of(details.get("message"), MESSAGE_CHARACTERS)
        or text_of(state.get("state_message"), MESSAGE_CHARACTERS),
        run_page_url=text_of(content.get("run_page_url"), _URL_CHARACTERS),
        started_at=time_of(content.get("start_time")),
        finished_at=time_of(content.get("end_time")),
        queue_seconds=seconds_of(content.get("queue_duration")),
        setup_seconds=seconds_of(content.get("setup_duration")),
        execution_seconds=seconds_of(content.get("execution_duration")),
        tasks=parse_tasks(content.get("tasks")),
        next_page_token=page_token_of(content),
        with_history=with_history,
        latest_repair_id=repair_id,
        latest_repair_at=repaired_at,
    )
    return run if details else replace(run, termination_type=_type_of_tasks(run))


def _type_of_tasks(run: Run) -> str | None:
    """Return whose fault the end of all failed tasks is, for a run that does not say it itself."""
    types = {task.termination_type for task in failed_tasks(run, run.tasks)}
    return types.pop() if len(types) == 1 else None


def parse_active_runs(content: Json) -> ActiveRunsPage:
    """Read a page of ``runs/list``. The key ``runs`` is absent when there are none.

    Runs that are over are left out, for a server that does not heed ``active_only``.

    :raises WorkspaceUnavailable: it holds an error instead of runs, a run has no id, or the rest of the list
        cannot be fetched. A run that is left out would seem to be over, and its slot free.
    """
    runs, next_page_token = _page_of(content, "runs")
    return ActiveRunsPage(
        runs=tuple(_active_run(run) for run in runs if not _is_over(run)),
        next_page_token=next_page_token,
    )


def _page_of(content: Json, name: str) -> tuple[list[Json], str | None]:
    """Return the objects of a page, and the token of the next one; None on the last.

    :param name: of the objects; the key is absent when there are none.
    :raises WorkspaceUnavailable: it holds an error instead, or the rest cannot be fetched.
    """
    items = content.get(name)
    if items is None:
        if says_error(content):
            raise WorkspaceUnavailable(f"Databricks sent an error instead of {name}")
        items = []
    if not isinstance(items, list) or not all(isinstance(item, dict) for item in items):
        raise WorkspaceUnavailable(
            f"Databricks sent {name} that are not a list of objects; the next pass asks again"
        )
    at_end = content.get("has_more") is False  # some servers send a token all the same
    next_page_token = None if at_end else content.get("next_page_token") or None
    if next_page_token is not None and not is_page_token(next_page_token):
        raise WorkspaceUnavailable(f"Databricks sent a list of {name} with an unreadable page token")
    if next_page_token is None and content.get("has_more"):
        raise WorkspaceUnavailable(
            f"Databricks sent only a part of the {name}, and no page token for the rest"
        )
    return items, next_page_token


def _is_over(run: Json) -> bool:
    """Say whether a listed run is over after all."""
    state, status = object_at(run, "state"), object_at(run, "status")
    told_how = bool(state.get("result_state") or object_at(status, "termination_details"))
    ended = told_how and time_of(run.get("end_time")) is not None
    told = life_cycle_state_of(state, status)
    return told is not None and is_over(told, ended=ended)


def _active_run(run: Json) -> ActiveRun:
    state = life_cycle_state_of(object_at(run, "state"), object_at(run, "status"))
    return ActiveRun(
        run_id=parse_id(run, "run_id"),
        job_id=id_of(run.get("job_id")),
        queued=state == "QUEUED",
        is_child=_is_child(run),
        is_unasked=str(run.get("trigger")).upper() in _UNASKED,
        queue_seconds=seconds_of(run.get("queue_duration")),
        life_cycle_state=state,
        started_at=time_of(run.get("start_time")),
    )


def _is_child(run: Json) -> bool:
    trigger = name_of(run.get("trigger"))
    if trigger is None:
        return id_of(object_at(run, "trigger_info").get("run_id")) is not None
    return trigger == "RUN_JOB_TASK"


def _latest_repair(history: object) -> tuple[int | None, datetime | None]:
    """Return the id and the start of a run's newest repair: the one that began last, or else the last listed.

    The original run is in the history, too, without an id. Ids say nothing of an order.
    """
    parts = history if isinstance(history, list) else []
    repairs = [
        (repair_id, time_of(part.get("start_time")))
        for part in parts
        if isinstance(part, dict) and (repair_id := id_of(part.get("id"))) is not None
    ]
    if not repairs:
        return None, None
    known = [(time, place) for place, (_, time) in enumerate(repairs) if time is not None]
    place = max(known)[1] if len(known) == len(repairs) else -1
    return repairs[place]


def parse_new_run(content: Json) -> int:
    """Read the run's id from ``run-now``.

    :raises NoRunNamed: it names no run, and does not say what would be wrong.
    :raises WorkspaceUnavailable: it says what is wrong, or names a run by an id that cannot be used.
    """
    if not content.get("run_id") and not says_error(content):
        raise NoRunNamed(
            "the call was accepted but named no run, as for a job with a continuous trigger, so it is not "
            "known whether there is one",
            status=200,
            error_code="",
            permanent=True,
        )
    return parse_id(content, "run_id")


def parse_job(content: Json, *, asked: int | None = None) -> Job:
    """Read ``jobs/get``. :raises WorkspaceUnavailable: it has no settings, or is about another job.

    :param asked: the job that was asked for; None = any.
    """
    settings = content.get("settings")
    if not isinstance(settings, dict):
        raise WorkspaceUnavailable("Databricks sent a job without settings")
    return Job(
        job_id=_parse_asked(content, "job_id", asked),
        name=text_of(settings.get("name"), _URL_CHARACTERS) or "",
        max_concurrent_runs=_concurrent_runs(settings.get("max_concurrent_runs")),
        queue_enabled=object_at(settings, "queue").get("enabled") is True,
        continuous=isinstance(settings.get("continuous"), dict),
        parameters=_parameter_names(settings.get("parameters")),
        settings=settings,
    )


def _concurrent_runs(limit: object) -> int:
    """Return how many runs of a job may be active at once. What is no limit at all holds nothing up."""
    if limit is None:
        return _DEFAULT_CONCURRENT_RUNS
    return limit if is_int(limit) and limit >= 0 else _MAX_CONCURRENT_RUNS


def parse_job_ids(content: Json, *, name: str) -> JobIdsPage:
    """Read from a page of ``jobs/list`` the ids of the jobs with exactly this name.

    :raises WorkspaceUnavailable: it is not a list of jobs, or the rest of the list cannot be fetched.
    """
    jobs, next_page_token = _page_of(content, "jobs")
    named = [job for job in jobs if object_at(job, "settings").get("name") == name]
    return JobIdsPage(
        job_ids=tuple(parse_id(job, "job_id") for job in named), next_page_token=next_page_token
    )


def _parameter_names(value: object) -> tuple[str, ...]:
    declared = value if isinstance(value, list) else []
    names = (text_of(each.get("name"), None) for each in declared if isinstance(each, dict))
    return tuple(name for name in names if name)


def parse_id(content: Json, name: str) -> int:
    """Return the id called ``name``. :raises WorkspaceUnavailable: it is not a positive 64-bit integer."""
    value = id_of(content.get(name))
    if value is None:
        raise WorkspaceUnavailable(f"Databricks sent a response without a usable {name}")
    return value


def _parse_asked(content: Json, name: str, asked: int | None) -> int:
    """Return an id that must be the one that was asked for, if that is given."""
    sent = parse_id(content, name)
    if asked not in {None, sent}:
        raise WorkspaceUnavailable(f"Databricks was asked for {name} {asked} and sent {sent}")
    return sent
