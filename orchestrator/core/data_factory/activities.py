"""Find the Databricks activities of a pipeline, also those in ForEach, If, Switch and Until. Pure."""

from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence, Set
from dataclasses import dataclass
from typing import Any

from orchestrator.core.data_factory.exports import Resource, as_list, as_object, type_properties
from orchestrator.core.data_factory.open_values import (
    ITEM,
    NOT_SHOWN,
    is_expression,
    name_of,
    names_in,
    names_secret,
    sealed,
    shown,
)
from orchestrator.core.errors import ExportUnreadable
from orchestrator.core.secret_names import says_secret

NOTEBOOK = "DatabricksNotebook"
JAR = "DatabricksSparkJar"
PYTHON = "DatabricksSparkPython"
JOB = "DatabricksJob"

DATABRICKS = frozenset({NOTEBOOK, JAR, PYTHON, JOB})

#: Data Factory allows far fewer levels.
_MAX_DEPTH = 20

#: Parts of a Databricks address in a web activity that calls the Jobs API itself.
_CALLS = ("jobs/run-now", "jobs/runs/", "jobs/create")

_WEB = frozenset({"WebActivity", "WebHook"})

#: Stands among the names that a value comes from for each that says itself that it is a secret.
_SPEAKS = "*"


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
    #: is declared as secure or comes from a vault, and whatever is made from one of these
    secrets: Set[str]

    @property
    def where(self) -> str:
        """Name the activity in a message."""
        return f"{self.pipeline.where}, activity {name_of(self.name)}"

    @property
    def title(self) -> str:
        """What a job or an entry is called after it."""
        return f"{name_of(self.pipeline.name)}/{name_of(self.name)}"

    @property
    def fields(self) -> dict[str, Any]:
        """What is particular to its type."""
        return type_properties(self.definition, self.where)

    def given(self, field: str) -> Any:
        """Return a field with what a run gets, or what stands for it where the policy hides inputs."""
        value = self.fields.get(field)
        return sealed(value) if value and self._hides_inputs else value

    def named(self, field: str) -> Any:
        """Return a field that names a notebook, a file or a job. Of hidden inputs only if it is plain."""
        value = self.fields.get(field)
        is_plain = isinstance(value, int) or (isinstance(value, str) and not is_expression(value))
        return value if is_plain else self.given(field)

    @property
    def _hides_inputs(self) -> bool:
        return _policy_says(self.definition, "secureInput", "secure_input")

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
    known = _all_secrets(pipelines, secrets)
    all_of_them = [
        activity
        for pipeline in pipelines
        for activity in _in(pipeline, pipeline.properties.get("activities"), [], known)
    ]
    return Found(
        databricks=[each for each in all_of_them if each.kind in DATABRICKS],
        calls=[each for each in all_of_them if _calls_databricks(each)],
        starts=[each for each in all_of_them if each.kind == "ExecutePipeline"],
        kinds=Counter(each.kind for each in all_of_them),
    )


def _all_secrets(pipelines: Sequence[Resource], declared: Set[str]) -> Set[str]:
    """Return all names that stand for secrets, in lower case: what is made from a secret is one as well.

    A name counts in all pipelines, since one hands its values to another.
    """
    made_from = defaultdict(list)
    for pipeline in pipelines:
        for name, sources in _made(pipeline.properties.get("activities"), frozenset()):
            for source in sources:
                made_from[source].append(name.lower())
    found: set[str] = set()
    waiting = [_SPEAKS, *declared, *(name for pipeline in pipelines for name in pipeline.secrets)]
    while waiting:
        name = waiting.pop()
        if name not in found:
            found.add(name)
            waiting += made_from[name]
    return found - {_SPEAKS}


def _made(value: Any, items: Set[str]) -> Iterator[tuple[str, Set[str]]]:
    """Yield the outputs, variables and parameters that activities make, each with what it is made from.

    :param items: what the items of the loops around the activities are made from.
    """
    if isinstance(value, list):
        for each in value:
            yield from _made(each, items)
    elif isinstance(value, dict):
        yield from _made_by(value, items)
        if value.get("type") == "ForEach":
            fields = value.get("typeProperties", value)
            items = items | _sources(fields.get("items") if isinstance(fields, dict) else None, items)
        for each in value.values():
            yield from _made(each, items)


def _made_by(value: Mapping[str, Any], items: Set[str]) -> Iterator[tuple[str, Set[str]]]:
    variable = value.get("variableName", value.get("variable_name"))
    name, parameters = value.get("name"), value.get("parameters")
    if isinstance(variable, str):
        yield variable, _sources(value.get("value"), items)
    if isinstance(name, str) and value.get("type") not in tuple(_CONTAINERS):
        yield name, _output_sources(value, items)
    if isinstance(parameters, dict):
        yield from ((each, _sources(given, items)) for each, given in parameters.items())


def _output_sources(definition: Mapping[str, Any], items: Set[str]) -> Set[str]:
    """Return what an activity's output may be made from: all that the activity names."""
    is_of_vault = definition.get("type") in tuple(_WEB) and "vault" in str(definition).lower()
    if is_of_vault or _policy_says(definition, "secureOutput", "secure_output"):
        return {_SPEAKS}
    return _sources(definition, items)


def _sources(value: Any, items: Set[str]) -> Set[str]:
    names = names_in(value)
    found = {_SPEAKS if says_secret(name) else name.lower() for name in names}
    return found | items if ITEM in found else found


def _policy_says(definition: Mapping[str, Any], *spellings: str) -> bool:
    policy = definition.get("policy")
    return isinstance(policy, dict) and any(policy.get(each) for each in spellings)


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
    words = " or ".join(map(shown, outcomes)) if isinstance(outcomes, list) else shown(outcomes)
    return f"{name_of(dependency.get('activity'))} ({words})"


def _inner(activity: Activity) -> Iterator[tuple[Any, str]]:
    """Yield the lists of activities inside a container, each with what decides whether it runs."""
    name = name_of(activity.name)
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
    if activity.kind not in _WEB:
        return False
    url = shown(activity.fields.get("url"))
    return any(call in url for call in _CALLS)
