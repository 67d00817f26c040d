"""Read exports of Data Factory: pipelines, linked services, triggers, also in ARM templates. Pure.

A resource has the same shape in a factory's Git repository, in the portal's code view and in an ARM
template: ``{"name": …, "properties": {…}}``. The Azure CLI leaves ``properties`` and ``typeProperties`` out
and puts their fields one level higher.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import PurePath
from typing import Any

from orchestrator.core.data_factory.arm import Template, Work
from orchestrator.core.data_factory.open_values import lowered, name_of, sealed
from orchestrator.core.errors import ExportUnreadable
from orchestrator.core.secret_names import says_secret

#: Kinds of resources, by the end of a type such as ``Microsoft.DataFactory/factories/pipelines``. Those of
#: Synapse end alike.
_KINDS = ("pipelines", "linkedservices", "triggers")

#: How far templates may be nested; a template of an export nests its parts once.
_MAX_DEPTH = 10


#: The linked services that are read.
_SERVICES = ("AzureDatabricks", "AzureKeyVault")

#: An activity has at least one of these.
_ACTIVITY_FIELDS = frozenset({"typeProperties", "dependsOn", "linkedServiceName", "policy"})


@dataclass(frozen=True, kw_only=True)
class File:
    """A file of JSON."""

    #: its name, for messages
    name: str
    document: Any
    #: it stands in an archive, where other files are expected beside the ones that are read here
    is_member: bool = False


@dataclass(frozen=True, kw_only=True)
class Resource:
    """A pipeline, a linked service or a trigger."""

    name: str
    #: one of pipelines, linkedservices, triggers
    kind: str
    properties: Mapping[str, Any]

    @property
    def where(self) -> str:
        """Name the resource in a message."""
        return f"{_LABELS[self.kind]} {name_of(self.name)}"

    @property
    def fields(self) -> Mapping[str, Any]:
        """What is particular to its type."""
        return type_properties(self.properties, self.where)

    @property
    def defaults(self) -> dict[str, Any]:
        """The defaults of its parameters, by name in lower case, without secret ones."""
        defaults = _defaults(self.properties.get("parameters"), self.where)
        return {name: value for name, value in defaults.items() if name not in self.secrets}

    @property
    def secrets(self) -> dict[str, Any]:
        """What stands for the values of its secret parameters, by name in lower case."""
        return _secrets(self.properties.get("parameters"), self.where)


_LABELS = {"pipelines": "pipeline", "linkedservices": "linked service", "triggers": "trigger"}


@dataclass(frozen=True, kw_only=True)
class Export:
    """All that was read."""

    pipelines: Sequence[Resource]
    #: by name in lower case
    linked_services: Mapping[str, Resource]
    triggers: Sequence[Resource]
    #: what a person should know about the files
    notes: Sequence[str]

    @property
    def service_secrets(self) -> frozenset[str]:
        """The names of the linked services' secret parameters, in lower case."""
        return frozenset(name for each in self.linked_services.values() for name in each.secrets)


def read(files: Sequence[File]) -> Export:
    """Read files together: pipelines, and what they refer to.

    :raises ExportUnreadable: a file is none of these, or there is no pipeline.
    """
    given = _given_parameters(files)
    found: dict[tuple[str, str], Resource] = {}
    notes = []
    work = Work()
    for file in files:
        resources = list(_resources(file, given, work))
        if not resources and not file.is_member and not _is_parameters(file.document):
            raise ExportUnreadable(f"{file.name}: {_described(file.document)}")
        for resource in resources:
            first = found.setdefault((resource.kind, resource.name.lower()), resource)
            if first.properties != resource.properties:
                notes.append(f"{resource.where} of {file.name} is another than the one read before; left out")
    export = _export(list(found.values()), notes)
    if not export.pipelines:
        raise ExportUnreadable(f"there is no pipeline in {', '.join(file.name for file in files)}")
    return export


def _export(found: Sequence[Resource], notes: Sequence[str]) -> Export:
    return Export(
        pipelines=[each for each in found if each.kind == "pipelines"],
        linked_services={each.name.lower(): each for each in found if each.kind == "linkedservices"},
        triggers=[each for each in found if each.kind == "triggers"],
        notes=notes,
    )


def _resources(file: File, given: Mapping[str, Any], work: Work) -> Iterator[Resource]:
    documents = file.document if isinstance(file.document, list) else [file.document]
    stem = PurePath(file.name).stem
    are_activities = [_is_activity(each) for each in documents]
    if any(are_activities):
        if not all(are_activities):
            at = are_activities.index(False) + 1
            raise ExportUnreadable(
                f"{file.name}: element {at} of the list is not an activity, but others are"
            )
        yield Resource(name=stem, kind="pipelines", properties={"activities": documents})
        return
    for document in documents:
        if not isinstance(document, dict) or _is_parameters(document):
            continue
        if isinstance(document.get("resources"), list | dict):
            yield from _of_template(document, given, work, file.name)
        else:
            yield from _resource(document, None, stem)


def _is_activity(document: Any) -> bool:
    """Say whether a document is an activity that somebody has copied out of its pipeline."""
    if not isinstance(document, dict) or not {"properties", "activities"}.isdisjoint(document):
        return False
    kind = document.get("type")
    is_other = not isinstance(kind, str) or "/" in kind or kind in _SERVICES or kind.endswith("Trigger")
    return not is_other and "name" in document and not _ACTIVITY_FIELDS.isdisjoint(document)


def _of_template(
    document: Mapping[str, Any], given: Mapping[str, Any], work: Work, where: str, depth: int = 0
) -> Iterator[Resource]:
    """Yield the resources of an ARM template and of the templates in it."""
    if depth > _MAX_DEPTH:
        raise ExportUnreadable(f"{where}: templates are nested more than {_MAX_DEPTH} deep")
    declared = document.get("parameters")
    known = _lowered(declared, f"{where}: parameters")
    given = {name: value for name, value in given.items() if depth or name in known}
    given |= _secrets(declared, where)
    template = Template(
        parameters={**_defaults(declared, where), **given},
        variables=_lowered(document.get("variables"), f"{where}: variables"),
        work=work,
    )
    for resource in _members(document["resources"], where):
        properties = resource.get("properties")
        if isinstance(properties, dict) and isinstance(properties.get("template"), dict):
            passed = template.resolve(_values(properties.get("parameters"), where))
            inner = {"resources": [], **properties["template"]}
            yield from _of_template(inner, {**given, **passed}, work, where, depth + 1)
        yield from _resource(resource, template, where)
        if resource.get("resources"):
            inner = {**document, "resources": resource["resources"]}
            yield from _of_template(inner, given, work, where, depth + 1)


def _members(resources: Any, where: str) -> Iterable[dict[str, Any]]:
    """Return a template's resources, which are a list, or in newer ones an object by symbolic name."""
    members = list(resources.values()) if isinstance(resources, dict) else resources
    return [as_object(member, f"{where}: a resource") for member in as_list(members, f"{where}: resources")]


def _resource(document: Mapping[str, Any], template: Template | None, fallback: str) -> Iterator[Resource]:
    properties = document.get("properties", document)
    kind = _kind(document, properties)
    if kind is None:
        return
    name = document.get("name") or fallback
    if not isinstance(name, str):
        raise ExportUnreadable(f"{fallback}: the name of a resource must be a text")
    if template is not None:
        name, properties = template.name(name), template.resolve(properties)
    yield Resource(name=name, kind=kind, properties=properties)


def _kind(document: Mapping[str, Any], properties: Any) -> str | None:
    """Return what a resource is, by its type or else by its shape; None = nothing that is read here."""
    if not isinstance(properties, dict):
        return None
    named = document.get("type")
    last = named.lower().rpartition("/")[2] if isinstance(named, str) and "/" in named else None
    if last is not None:
        return last if last in _KINDS else None
    if "activities" in properties:
        return "pipelines"
    if str(properties.get("type", "")).endswith("Trigger"):
        return "triggers"
    is_service = "typeProperties" in properties and "linkedServiceName" not in properties
    return "linkedservices" if is_service or properties.get("type") == "AzureDatabricks" else None


def _is_parameters(document: Any) -> bool:
    """Say whether a document holds the values of a template's parameters."""
    return isinstance(document, dict) and "deploymentParameters" in str(document.get("$schema"))


def _given_parameters(files: Sequence[File]) -> dict[str, Any]:
    given: dict[str, Any] = {}
    for file in files:
        if _is_parameters(file.document):
            given |= _values(file.document.get("parameters"), file.name)
    return given


def _values(parameters: Any, where: str) -> dict[str, Any]:
    """Return ``{"name": {"value": …}}`` as the values by name."""
    return _each(parameters, "value", where)


def _defaults(parameters: Any, where: str) -> dict[str, Any]:
    return _each(parameters, "defaultValue", where)


def _each(parameters: Any, field: str, where: str) -> dict[str, Any]:
    objects = as_object(parameters or {}, f"{where}: parameters")
    return lowered(
        {name: each[field] for name, each in objects.items() if isinstance(each, dict) and field in each}
    )


def _secrets(parameters: Any, where: str) -> dict[str, Any]:
    """Return what stands for the values of secret parameters, which are never read."""
    objects = as_object(parameters or {}, f"{where}: parameters")
    return {name.lower(): sealed(None) for name, each in objects.items() if _is_secret(name, each)}


def _is_secret(name: str, declared: Any) -> bool:
    """Say whether a parameter of a template, a pipeline or a linked service is a secret.

    Its name says so, whatever its type, or else its type.
    """
    kind = declared.get("type") if isinstance(declared, dict) else None
    return says_secret(name) or str(kind).lower() in {"securestring", "secureobject"}


def _lowered(value: Any, where: str) -> dict[str, Any]:
    return lowered(as_object(value or {}, where))


def _described(document: Any) -> str:
    wanted = "not a pipeline, an activity, a linked service or an ARM template of Data Factory"
    if isinstance(document, list) and document:
        return f"{_described(document[0])} (the first of {len(document)} in a list)"
    if not isinstance(document, dict):
        return f"{wanted}: it is not a JSON object"
    keys = ", ".join(name_of(key) for key in sorted(document)[:10]) or "nothing"
    return f"{wanted}: it has {keys}"


def type_properties(properties: Mapping[str, Any], where: str) -> dict[str, Any]:
    """Return ``typeProperties``, or, where the Azure CLI has left them out, the object itself.

    :raises ExportUnreadable: they are not an object.
    """
    return as_object(properties.get("typeProperties", properties), f"{where}: typeProperties")


def as_object(value: Any, where: str) -> dict[str, Any]:
    """Return a value that must be an object. :raises ExportUnreadable: it is not."""
    if not isinstance(value, dict):
        raise ExportUnreadable(f"{where} must be a JSON object")
    return value


def as_list(value: Any, where: str) -> list[Any]:
    """Return a value that must be a list. :raises ExportUnreadable: it is not."""
    if not isinstance(value, list):
        raise ExportUnreadable(f"{where} must be a JSON list")
    return value
