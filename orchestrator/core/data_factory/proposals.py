"""Databricks activities → settings, jobs of the Jobs API and entries, and what a person must decide. Pure.

Nothing is guessed: what only a pipeline's run knows, and what the app does not do (an order, a condition, a
loop), becomes a question, and what depends on it is not ready.
"""

import json
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from orchestrator.core import new_entry
from orchestrator.core.data_factory.activities import JAR, JOB, NOTEBOOK, PYTHON, Activity, Found, find
from orchestrator.core.data_factory.arm import ARM_EXPRESSION
from orchestrator.core.data_factory.compute import Workspace, cluster_of, service_of, workspace_of
from orchestrator.core.data_factory.exports import Export, as_list, as_object
from orchestrator.core.data_factory.open_values import SECURE, Questions, is_open, name_of, shown
from orchestrator.core.errors import ExportUnreadable, InvalidEntry
from orchestrator.core.numbers import MAX_ID, MAX_INT32, whole_of_text

#: ``max_concurrent_runs`` of proposed jobs: the app's default cap, since many entries feed one job.
_CONCURRENT_RUNS = 130

#: Data Factory's time span: days, hours, minutes, seconds.
_SPAN = re.compile(r"(?:(\d{1,3})\.)?(\d{1,2}):(\d{2}):(\d{2})")


@dataclass(frozen=True, kw_only=True)
class JobProposal:
    """A job that replaces what the activities ran."""

    workspace: str
    #: for ``jobs/create``
    settings: Mapping[str, Any]
    #: path of its notebook if ``create-job`` could make it, on serverless compute
    plain_notebook: str | None
    questions: Sequence[str]

    @property
    def name(self) -> str:
        """The job's name."""
        return str(self.settings["name"])


@dataclass(frozen=True, kw_only=True)
class EntryProposal:
    """An entry that does what one run of an activity did."""

    activity: str
    #: columns of track_processing and their values; parameters as JSON values
    columns: Mapping[str, Any]
    questions: Sequence[str]


@dataclass(kw_only=True)
class Proposal:
    """All that is proposed."""

    settings: dict[str, str] = field(default_factory=dict)
    #: what a person must decide about the settings
    questions: list[str] = field(default_factory=list)
    jobs: list[JobProposal] = field(default_factory=list)
    entries: list[EntryProposal] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


def propose(export: Export, table_parameter: str) -> Proposal:
    """Return what replaces the Databricks activities of an export.

    :param table_parameter: the parameter that holds the source table's name, in any case.
    :raises ExportUnreadable: there is no such activity, or one is not built as Data Factory builds it.
    """
    found = find(export.pipelines, export.service_secrets)
    proposal = Proposal(notes=[*export.notes, *_notes(export, found)])
    if not found.databricks and not found.calls:
        kinds = ", ".join(f"{kind} {count}" for kind, count in sorted(found.kinds.items())) or "none"
        names = ", ".join(name_of(pipeline.name) for pipeline in export.pipelines)
        raise ExportUnreadable(f"no Databricks activity in {names}; activities by type: {kinds}")
    maker = _Maker(export, proposal, table_parameter.lower())
    for activity in found.databricks:
        maker.add(activity)
    maker.finish()
    return proposal


class _Maker:
    """Adds activities to a proposal, sharing the workspaces and jobs that are the same."""

    def __init__(self, export: Export, proposal: Proposal, table_parameter: str) -> None:
        self._export = export
        self._proposal = proposal
        self._table_parameter = table_parameter
        #: by address; the first one is the default workspace
        self._workspaces: dict[str, tuple[str, Workspace]] = {}
        self._jobs: dict[str, JobProposal] = {}
        #: entries without the parameter that names a table
        self._named_by_activity = 0

    def add(self, activity: Activity) -> None:
        """Propose a job, unless there is one like it, and an entry."""
        defaults = activity.pipeline.defaults
        service = service_of(activity, self._export)
        of_settings = Questions(secrets=activity.secrets)
        of_job, of_entry = (Questions(defaults, activity.secrets) for _ in range(2))
        found = workspace_of(service, self._export, of_settings)
        if is_open(found.host) or "@" in found.host:
            of_entry.found.append(f"its workspace: {found.host}")
        workspace = self._workspace(found, service.name)
        self._proposal.questions += [
            each for each in of_settings.found if each not in self._proposal.questions
        ]
        columns: dict[str, Any] = {} if workspace == "default" else {"workspace": workspace}
        if activity.kind == JOB:
            columns["job_id"] = _job_id(activity, of_entry)
        else:
            task = {**_task(activity, of_job), **cluster_of(service, of_job), **_libraries(activity, of_job)}
            columns["job_name"] = self._job(activity, workspace, task, of_job.found).name
        self._entry(activity, columns, of_job.found, of_entry)

    def _workspace(self, workspace: Workspace, service: str) -> str:
        """Return the name of a workspace in the settings: the first one is the default one."""
        known = self._workspaces.get(workspace.host)
        if known:
            if known[1] != workspace:
                self._proposal.notes.append(
                    f"linked service {service} signs in at {workspace.host} otherwise than the one before it"
                )
            return known[0]
        name = re.sub(r"\W", "_", service, flags=re.ASCII)[:60] or "other"
        taken = {each for each, _ in self._workspaces.values()}
        name = "default" if not taken else name if name not in taken else f"{name}_{len(taken)}"
        self._workspaces[workspace.host] = (name, workspace)
        return name

    def finish(self) -> None:
        """Write the workspaces as settings, and say what stands for tables' names."""
        self._set_workspaces()
        if self._named_by_activity:
            self._proposal.notes.append(
                f"entries whose table_name is the activity's own: {self._named_by_activity}, since no "
                f"parameter is called {self._table_parameter} (--table-parameter names another one)"
            )

    def _set_workspaces(self) -> None:
        further = {}
        for name, workspace in self._workspaces.values():
            if name == "default":
                self._proposal.settings |= _default_settings(workspace)
            else:
                fields = {"host": workspace.host, "auth": workspace.auth, "secret": workspace.secret}
                further[name] = {key: value for key, value in fields.items() if value}
        if further:
            self._proposal.settings["DATABRICKS_WORKSPACES"] = json.dumps(further)

    def _job(
        self, activity: Activity, workspace: str, task: dict[str, Any], questions: Sequence[str]
    ) -> JobProposal:
        """Return the job of a task. Activities share it, unless an expression of their own is open in it."""
        is_own = any("@" in question for question in questions)
        key = json.dumps([workspace, task, activity.where if is_own else None], sort_keys=True)
        if key not in self._jobs:
            settings = {
                "name": self._free_name(activity.title),
                "max_concurrent_runs": _CONCURRENT_RUNS,
                "queue": {"enabled": True},
                "tasks": [{"task_key": "main", **task}],
            }
            path = task.get("notebook_task", {}).get("notebook_path")
            plain = path if not is_open(path) and "libraries" not in task else None
            self._jobs[key] = JobProposal(
                workspace=workspace, settings=settings, plain_notebook=plain, questions=list(questions)
            )
            self._proposal.jobs.append(self._jobs[key])
        return self._jobs[key]

    def _free_name(self, name: str) -> str:
        taken = {job.name for job in self._proposal.jobs}
        return name if name not in taken else f"{name} ({len(taken)})"

    def _entry(
        self, activity: Activity, columns: dict[str, Any], of_job: Sequence[str], questions: Questions
    ) -> None:
        style, parameters = _parameters(activity, questions)
        columns = {
            "table_name": self._table_name(activity, parameters),
            **columns,
            "parameter_style": style,
            "parameters": parameters,
            **_policy(activity, questions),
        }
        if of_job:
            questions.found.append(f"job {columns['job_name']}: create it first; it has questions of its own")
        questions.found += [
            f"it ran {condition}; the app has no order, loop or condition of its own"
            for condition in activity.conditions
        ]
        if activity.is_inactive:
            questions.found.append("it is switched off in Data Factory (state Inactive)")
        if not questions.found:
            _check(columns, questions)
        self._proposal.entries.append(
            EntryProposal(activity=activity.where, columns=columns, questions=questions.found)
        )

    def _table_name(self, activity: Activity, parameters: Any) -> str:
        """Return what the table's parameter says, or else the activity itself."""
        if isinstance(parameters, dict):
            for name, value in parameters.items():
                if name.lower() == self._table_parameter and isinstance(value, str | int) and value != "":
                    return str(value)
        self._named_by_activity += 1
        return activity.title


def _task(activity: Activity, questions: Questions) -> dict[str, Any]:
    """Return what a job's task runs. The parameters are the entry's."""

    def needed(name: str) -> str:
        return questions.text(activity.named(name), name) or questions.ask(name, "the activity has none")

    if activity.kind == NOTEBOOK:
        return {"notebook_task": {"notebook_path": needed("notebookPath")}}
    if activity.kind == JAR:
        return {"spark_jar_task": {"main_class_name": needed("mainClassName")}}
    return {"spark_python_task": {"python_file": needed("pythonFile")}}


def _libraries(activity: Activity, questions: Questions) -> dict[str, Any]:
    """Return the libraries, which both sides write alike."""
    libraries = activity.given("libraries")
    if not libraries:
        return {}
    if not _is_dynamic(libraries):
        libraries = as_list(libraries, f"{activity.where}: libraries")
    return {"libraries": questions.settle(libraries, "libraries")}


def _is_dynamic(value: Any) -> bool:
    """Say whether a list or an object as a whole is an expression or a secret."""
    kinds = ("Expression", ARM_EXPRESSION, SECURE)
    return isinstance(value, str) or (isinstance(value, dict) and value.get("type") in kinds)


def _job_id(activity: Activity, questions: Questions) -> int | str:
    text = questions.text(activity.named("jobId"), "jobId")
    try:
        return whole_of_text(text or "", least=1, most=MAX_ID)
    except ValueError:
        return text if text and is_open(text) else questions.ask("jobId", "the job's id; the file has none")


def _parameters(activity: Activity, questions: Questions) -> tuple[str, Any]:
    """Return the style and the parameters that the activity sent."""
    field_name, style, empty = _STYLES[activity.kind]
    given = activity.given(field_name) or empty()
    expected: Callable[[Any, str], Any] = as_list if empty is list else as_object
    if _is_dynamic(given):
        return style, questions.settle(given, field_name)
    return style, questions.settle(expected(given, f"{activity.where}: {field_name}"), field_name)


#: By type of activity: the field with the parameters, their style, and what none of them are.
_STYLES: dict[str, tuple[str, str, Callable[[], Any]]] = {
    NOTEBOOK: ("baseParameters", "notebook_params", dict),
    PYTHON: ("parameters", "python_params", list),
    JAR: ("parameters", "jar_params", list),
    JOB: ("jobParameters", "job_parameters", dict),
}


def _policy(activity: Activity, questions: Questions) -> dict[str, Any]:
    """Return the limits that the activity's policy sets."""
    policy = as_object(activity.definition.get("policy") or {}, f"{activity.where}: policy")
    limits: dict[str, Any] = {}
    retries = questions.text(policy.get("retry"), "policy.retry")
    if retries is not None and is_open(retries):
        limits["max_attempts"] = retries
    elif retries is not None:
        limits["max_attempts"] = _attempts(retries, questions)
    span = questions.text(policy.get("timeout"), "policy.timeout")
    match = _SPAN.fullmatch(span or "")
    if match:
        days, hours, minutes, seconds = (int(each or 0) for each in match.groups())
        limits["run_timeout_seconds"] = ((days * 24 + hours) * 60 + minutes) * 60 + seconds
    elif span is not None:
        limits["run_timeout_seconds"] = (
            span if is_open(span) else questions.ask("policy.timeout", "the file has no time span")
        )
    return limits


def _attempts(retries: str, questions: Questions) -> int | str:
    """Return the number of attempts, the first one included."""
    try:
        return whole_of_text(retries, least=0, most=MAX_INT32 - 1) + 1
    except ValueError as error:
        return questions.ask("policy.retry", str(error))


def _check(columns: Mapping[str, Any], questions: Questions) -> None:
    """Ask about what the app would refuse. The text never quotes the parameters."""
    try:
        new_entry.new_entry(columns, None)
    except InvalidEntry as error:
        questions.ask("the entry", str(error))


def _default_settings(workspace: Workspace) -> dict[str, str]:
    settings = {
        "DATABRICKS_HOST": workspace.host,
        "DATABRICKS_AUTH": workspace.auth,
        "KEY_VAULT_URL": workspace.key_vault_url,
        "DATABRICKS_TOKEN_SECRET": workspace.secret,
    }
    return {name: value for name, value in settings.items() if value}


def _notes(export: Export, found: Found) -> list[str]:
    """Return what a person should know beside the activities themselves."""
    calls = [f"{each.where} calls the Jobs API itself, which the app does instead" for each in found.calls]
    starts = []
    for each in found.starts:
        pipeline = each.fields.get("pipeline")
        name = name_of(pipeline.get("referenceName")) if isinstance(pipeline, dict) else shown(pipeline)
        starts.append(f"{each.where} starts pipeline {name}, and may give it parameters")
    triggers = []
    for trigger in export.triggers:
        started = [name for name in _started(trigger.properties) if name]
        recurrence = trigger.fields.get("recurrence")
        when = (
            json.dumps(Questions().settle(recurrence, "recurrence"))
            if recurrence
            else name_of(trigger.properties.get("type"))
        )
        triggers.append(
            f"{trigger.where} starts {', '.join(started) or 'no pipeline'} ({when}); "
            "the app has no schedules, so insert the entries by other means"
        )
    return [*calls, *starts, *triggers]


def _started(properties: Mapping[str, Any]) -> list[str]:
    pipelines = properties.get("pipelines")
    references = [each.get("pipelineReference") for each in pipelines or [] if isinstance(each, dict)]
    return [name_of(each.get("referenceName")) for each in references if isinstance(each, dict)]
