"""Find the Databricks activities of a pipeline, also those in ForEach, If, Switch and Until. Pure."""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence, Set
from dataclasses import dataclass
from typing import Any

from orchestrator.core.data_factory.exports import Resource, as_list, as_object, type_properties
from orchestrator.core.data_factory.open_values import ITEM, NOT_SHOWN, names_secret, shown
from orchestrator.core.errors import ExportUnreadable

NOTEBOOK = "DatabricksNotebook"
JAR = "DatabricksSparkJar"
PYTHON = "DatabricksSparkPython"
JOB = "DatabricksJob"

DATABRICKS = frozenset({NOTEBOOK, JAR, PYTHON, JOB})

#: Data Factory allows far fewer levels.
_MAX_DEPTH = 20

#: Parts of a Databricks address in a web activity that calls the Jobs API itself.
_CALLS = ("jobs/run-now", "jobs/runs/", "jobs/create")


@dataclass(frozen=True, kw_only=True)
class Activity:
    """An activity of any type, and where it stands."""

    pipeline: Resource
    name: str
    kind: str
    definition: Mapping[str, Any]
    #: what decides whether and how often it runs, outermost first
    conditions: Sequence[str]
    #: what stands for secrets in its expressions, in lower case: secret parameters, activities whose output
    #: is declared as secure, and variables and items that get one of these
    secrets: Set[str]

    @property
    def where(self) -> str:
        """Name the activity in a message."""
        return f"{self.pipeline.where}, activity {self.name}"

    @property
    def fields(self) -> dict[str, Any]:
        """What is particular to its type."""
        return type_properties(self.definition, self.where)

    @property
    def is_inactive(self) -> bool:
        """Whether somebody has switched it off."""
        return self.definition.get("state") == "Inactive"


@dataclass(frozen=True, kw_only=True)
class Found:
    """The activities of all pipelines."""

    databricks: Sequence[Activity]
    #: Web activities that call the Jobs API
    calls: Sequence[Activity]
    #: activities that start another pipeline
    starts: Sequence[Activity]
    #: how many there are of each type
    kinds: Mapping[str, int]


def find(pipelines: Sequence[Resource], secrets: Set[str]) -> Found:
    """Return the activities of pipelines, by what they mean here.

    :param secrets: names of secret parameters that are not a pipeline's own, in lower case.
    :raises ExportUnreadable: a pipeline is not built as Data Factory builds one.
    """
    all_of_them = [activity for pipeline in pipelines for activity in _of_pipeline(pipeline, secrets)]
    return Found(
        databricks=[each for each in all_of_them if each.kind in DATABRICKS],
        calls=[each for each in all_of_them if _calls_databricks(each)],
        starts=[each for each in all_of_them if each.kind == "ExecutePipeline"],
        kinds=Counter(each.kind for each in all_of_them),
    )


def _of_pipeline(pipeline: Resource, secrets: Set[str]) -> Iterator[Activity]:
    activities = pipeline.properties.get("activities")
    declared = secrets | set(pipeline.secrets)
    yield from _in(pipeline, activities, [], declared | set(_made_secret(activities, declared)))


def _made_secret(value: Any, secrets: Set[str]) -> Iterator[str]:
    """Yield the names of activities whose output is declared as secure, and of variables with a secret."""
    if isinstance(value, dict):
        policy, name = value.get("policy"), value.get("name")
        if isinstance(policy, dict) and policy.get("secureOutput") and isinstance(name, str):
            yield name.lower()
        variable = value.get("variableName")
        if isinstance(variable, str) and names_secret(value.get("value"), secrets):
            yield variable.lower()
    for inner in value.values() if isinstance(value, dict) else value if isinstance(value, list) else ():
        yield from _made_secret(inner, secrets)


def _in(
    pipeline: Resource, activities: Any, conditions: Sequence[str], secrets: Set[str]
) -> Iterator[Activity]:
    if len(conditions) > _MAX_DEPTH * 2:  # each level adds its own condition and what it waits for
        raise ExportUnreadable(f"{pipeline.where}: activities are nested more than {_MAX_DEPTH} deep")
    for each in as_list([] if activities is None else activities, f"{pipeline.where}: activities"):
        definition = as_object(each, f"{pipeline.where}: an activity")
        activity = _activity(pipeline, definition, conditions, secrets)
        yield activity
        items = activity.fields.get("items") if activity.kind == "ForEach" else None
        known = secrets | {ITEM} if names_secret(items, secrets) else secrets
        for inner, condition in _inner(activity):
            yield from _in(pipeline, inner, [*activity.conditions, condition], known)


def _activity(
    pipeline: Resource, definition: dict[str, Any], conditions: Sequence[str], secrets: Set[str]
) -> Activity:
    name, kind = definition.get("name"), definition.get("type")
    if not isinstance(name, str) or not isinstance(kind, str):
        raise ExportUnreadable(f"{pipeline.where}: every activity must have a name and a type")
    after = [
        f"after {_condition_words(each)}"
        for each in as_list(
            definition.get("dependsOn") or [], f"{pipeline.where}, activity {name}: dependsOn"
        )
    ]
    return Activity(
        pipeline=pipeline,
        name=name,
        kind=kind,
        definition=definition,
        conditions=[*conditions, *after],
        secrets=secrets,
    )


def _condition_words(dependency: Any) -> str:
    if not isinstance(dependency, dict):
        return shown(dependency)
    outcomes = dependency.get("dependencyConditions") or dependency.get("dependency_conditions") or []
    words = " or ".join(str(each) for each in outcomes) if isinstance(outcomes, list) else shown(outcomes)
    return f"{dependency.get('activity')} ({words})"


def _inner(activity: Activity) -> Iterator[tuple[Any, str]]:
    """Yield the lists of activities inside a container, each with what decides whether it runs."""
    name = activity.name
    fields = activity.fields if activity.kind in _CONTAINERS else {}
    match activity.kind:
        case "ForEach":
            yield (
                fields.get("activities"),
                f"in ForEach {name}: once for each of {shown(fields.get('items'), activity.secrets)}",
            )
        case "Until":
            yield (
                fields.get("activities"),
                f"in Until {name}: until {shown(fields.get('expression'), activity.secrets)}",
            )
        case "IfCondition":
            asked = shown(fields.get("expression"), activity.secrets)
            yield fields.get("ifTrueActivities") or [], f"in If {name}: when {asked}"
            yield fields.get("ifFalseActivities") or [], f"in If {name}: when not {asked}"
        case "Switch":
            asked = shown(fields.get("on"), activity.secrets)
            is_secret = names_secret(fields.get("on"), activity.secrets)
            for case in as_list(fields.get("cases") or [], f"{activity.where}: cases"):
                case_of = as_object(case, f"{activity.where}: a case")
                value = NOT_SHOWN if is_secret else shown(case_of.get("value"), activity.secrets)
                yield case_of.get("activities") or [], f"in Switch {name}: when {asked} is {value}"
            yield (
                fields.get("defaultActivities") or [],
                f"in Switch {name}: when {asked} is none of its cases",
            )


_CONTAINERS = frozenset({"ForEach", "Until", "IfCondition", "Switch"})


def _calls_databricks(activity: Activity) -> bool:
    if activity.kind not in {"WebActivity", "WebHook"}:
        return False
    url = shown(activity.fields.get("url"))
    return any(call in url for call in _CALLS)
