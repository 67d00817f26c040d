"""Linked services → the workspace of an activity, how to sign in there, and the cluster of its job. Pure."""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from orchestrator.core.data_factory.activities import Activity
from orchestrator.core.data_factory.exports import Export, as_object
from orchestrator.core.data_factory.open_values import (
    MARK,
    Questions,
    lowered,
    name_of,
    sealed,
    with_service_parameters,
)
from orchestrator.core.urls import is_host, split_url

#: Fields of a linked service → fields of ``new_cluster`` of the Jobs API, taken over as they are.
_CLUSTER_FIELDS = {
    "newClusterVersion": "spark_version",
    "newClusterNodeType": "node_type_id",
    "newClusterDriverNodeType": "driver_node_type_id",
    "instancePoolId": "instance_pool_id",
    "policyId": "policy_id",
    "dataSecurityMode": "data_security_mode",
}

#: The same for fields that are texts by name.
_CLUSTER_TEXTS = {
    "newClusterSparkConf": "spark_conf",
    "newClusterSparkEnvVars": "spark_env_vars",
    "newClusterCustomTags": "custom_tags",
}

_WORKERS = re.compile(r"(\d{1,6})(?::(\d{1,6}))?")

#: Where an init script lies → how the Jobs API names the place.
_PLACES = (
    ("dbfs:", "dbfs"),
    ("/Volumes/", "volumes"),
    ("abfss:", "abfss"),
    ("file:", "file"),
    ("/", "workspace"),
)


@dataclass(frozen=True, kw_only=True)
class Service:
    """The Databricks linked service of an activity, as far as the files say."""

    #: its name; empty = the activity names none
    name: str
    #: its fields; None = it is not in the files
    fields: Mapping[str, Any] | None

    @property
    def what(self) -> str:
        """Name the linked service in a question."""
        return (
            f"linked service {self.name}"
            if self.name
            else "a linked service, which the activity does not name,"
        )


@dataclass(frozen=True, kw_only=True)
class Workspace:
    """A workspace, and how Data Factory signs in there."""

    #: https address; begins with the mark if it is open
    host: str
    #: of this app: ``pat`` or ``entra``; None = the files do not say
    auth: str | None
    #: name of the Key Vault secret with the token
    secret: str | None
    key_vault_url: str | None


def service_of(activity: Activity, export: Export) -> Service:
    """Return the linked service of an activity, with the values that the activity gives it."""
    reference = as_object(
        activity.definition.get("linkedServiceName") or {}, f"{activity.where}: linkedServiceName"
    )
    given_name = reference.get("referenceName") or ""
    name = name_of(given_name)
    resource = export.linked_services.get(str(given_name).lower())
    if resource is None:
        return Service(name=name, fields=None)
    given = as_object(reference.get("parameters") or {}, f"{activity.where}: parameters of linkedServiceName")
    known = {**resource.defaults, **lowered(given), **resource.secrets}
    parameters = {key: sealed(None) if key in activity.secrets else value for key, value in known.items()}
    return Service(name=name, fields=with_service_parameters(resource.fields, parameters))


def workspace_of(service: Service, export: Export, questions: Questions) -> Workspace:
    """Return the workspace that a linked service names."""
    what = service.what
    if service.fields is None:
        host = questions.ask("DATABRICKS_HOST", f"the address of the workspace: {what} is not in the files")
        return Workspace(host=host, auth=None, secret=None, key_vault_url=None)
    host = _host(service.fields.get("domain"), what, questions)
    token = service.fields.get("accessToken")
    if isinstance(token, dict) and token.get("type") == "AzureKeyVaultSecret":
        secret = questions.text(token.get("secretName"), f"{what}: secretName")
        return Workspace(
            host=host, auth="pat", secret=secret, key_vault_url=_vault_url(token, export, questions)
        )
    has_identity = service.fields.get("authentication") == "MSI" or "credential" in service.fields
    auth = "entra" if has_identity else "pat" if token else None
    return Workspace(host=host, auth=auth, secret=None, key_vault_url=None)


def _host(domain: Any, what: str, questions: Questions) -> str:
    text = questions.text(domain, f"{what}: domain")
    if text is None:
        return questions.ask("DATABRICKS_HOST", f"the address of the workspace: {what} has no domain")
    if text.startswith(MARK):
        return text
    parts = split_url(text if "://" in text else f"https://{text}")
    host = parts.hostname or ""
    if "." not in host or not is_host(host):  # without a dot it may be a token
        return questions.ask(
            "DATABRICKS_HOST", f"the address of the workspace: {what} has none that can be used"
        )
    if re.fullmatch(r"[a-z0-9]+\.azuredatabricks\.net", host):
        return questions.ask("DATABRICKS_HOST", f"https://{host} is a region's; write the workspace's own")
    return f"https://{parts.netloc.rpartition('@')[2]}"


def _vault_url(token: Mapping[str, Any], export: Export, questions: Questions) -> str | None:
    store = token.get("store")
    name = store.get("referenceName") if isinstance(store, dict) else ""
    vault = export.linked_services.get(str(name).lower())
    if vault is None:
        return questions.ask(
            "KEY_VAULT_URL",
            f"the address of the Key Vault: linked service {name_of(name)} is not in the files",
        )
    return questions.text(vault.fields.get("baseUrl"), f"{vault.where}: baseUrl")


def cluster_of(service: Service, questions: Questions) -> dict[str, Any]:
    """Return the fields of a job's task that say where it runs."""
    what = service.what
    fields = service.fields
    if fields is None:
        asked = f"the cluster's id, or new_cluster in its place: {what} is not in the files"
        return {"existing_cluster_id": questions.ask("cluster", asked)}
    if fields.get("existingClusterId"):
        cluster = questions.text(fields["existingClusterId"], f"{what}: existingClusterId")
        return {"existing_cluster_id": cluster}
    if not fields.get("newClusterVersion"):
        asked = f"the cluster's id, or new_cluster in its place: {what} names no cluster"
        return {"existing_cluster_id": questions.ask("cluster", asked)}
    return {"new_cluster": _new_cluster(fields, what, questions)}


def _new_cluster(fields: Mapping[str, Any], what: str, questions: Questions) -> dict[str, Any]:
    cluster = {
        theirs: questions.settle(fields[ours], f"{what}: {ours}")
        for ours, theirs in _CLUSTER_FIELDS.items()
        if fields.get(ours)
    }
    cluster |= {
        theirs: _texts(questions.settle(fields[ours], f"{what}: {ours}"))
        for ours, theirs in _CLUSTER_TEXTS.items()
        if fields.get(ours)
    }
    cluster |= _workers(
        questions.settle(fields.get("newClusterNumOfWorker"), f"{what}: workers"), what, questions
    )
    if fields.get("newClusterInitScripts"):
        cluster["init_scripts"] = _init_scripts(fields["newClusterInitScripts"], what, questions)
    if fields.get("newClusterLogDestination"):
        place = questions.settle(fields["newClusterLogDestination"], f"{what}: newClusterLogDestination")
        cluster["cluster_log_conf"] = {_place(str(place)): {"destination": place}}
    return cluster


def _texts(value: Any) -> Any:
    """Return an object's values as texts: Data Factory takes numbers and true, the Jobs API does not."""
    if not isinstance(value, dict):
        return value
    return {name: each if isinstance(each, str) else json.dumps(each) for name, each in value.items()}


def _workers(value: Any, what: str, questions: Questions) -> dict[str, Any]:
    """Return the number of workers, which ``2`` says, or ``1:10`` for one to ten."""
    text = str(value)
    match = _WORKERS.fullmatch(text)
    if match and match[2]:
        return {"autoscale": {"min_workers": int(match[1]), "max_workers": int(match[2])}}
    if match:
        return {"num_workers": int(match[1])}
    if not text.startswith(MARK):
        text = questions.ask(f"{what}: newClusterNumOfWorker", "how many workers")
    return {"num_workers": text}


def _init_scripts(value: Any, what: str, questions: Questions) -> list[Any]:
    settled = questions.settle(value, f"{what}: newClusterInitScripts")
    scripts = settled if isinstance(settled, list) else [settled]
    return [{_place(str(script)): {"destination": script}} for script in scripts]


def _place(path: str) -> str:
    return next((name for start, name in _PLACES if path.startswith(start)), "workspace")
