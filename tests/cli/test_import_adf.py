"""``import-adf``: what it proposes can be created, inserted and run; what it does not know it says."""

import contextlib
import copy
import io
import itertools
import json
import sqlite3
import subprocess
import sys
import urllib.request
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from databricks.sdk.service.jobs import JobSettings

from orchestrator.cli import import_adf
from orchestrator.core.data_factory import exports, proposals
from orchestrator.core.errors import ExportUnreadable
from tests.cli.factory_exports import (
    ADDRESS,
    EXISTING,
    JOB_CLUSTER,
    LOAD,
    VAULT,
    activity,
    after,
    databricks,
    expression,
    pipeline,
    reference,
    service,
)
from tests.cli.support import TOKEN, CommandLine

#: Stands for a secret in a proposal.
SECRET = "DECIDE: a secret, which is not shown; let the task read it from a secret scope"


def write(folder: Path, name: str, document: Any) -> str:
    (folder / name).write_text(json.dumps(document), encoding="utf-8")
    return name


def propose(cli: CommandLine, *documents: Any, options: tuple[str, ...] = ()) -> Any:
    """Return the proposal for files with these documents."""
    names = [write(cli.folder, f"file{at}.json", document) for at, document in enumerate(documents)]
    return cli.json("import-adf", *names, *options)


def refusal(cli: CommandLine, *names: str) -> str:
    """Return the one line that says why the files cannot be used."""
    done = cli("import-adf", *names)
    assert (done.returncode, done.stdout) == (1, "")
    assert "Traceback" not in done.stderr
    return done.stderr


def run_printed(cli: CommandLine) -> None:
    """Run what the command prints, as somebody does who pastes all of it into a SQL client."""
    printed = cli("import-adf", *sorted(path.name for path in cli.folder.glob("file*.json")))
    assert printed.returncode == 0, printed.stderr
    connection = sqlite3.connect(cli.folder / "state.db")
    connection.executescript(printed.stdout)
    connection.close()


ENTRIES = (
    "SELECT table_name, job_name, parameter_style, parameters, max_attempts, run_timeout_seconds, status"
)


def test_notebook_on_a_cluster_that_exists(cli: CommandLine) -> None:
    proposal = propose(cli, pipeline(LOAD), EXISTING, VAULT)
    assert proposal["settings"] == {
        "DATABRICKS_HOST": ADDRESS,
        "DATABRICKS_AUTH": "pat",
        "KEY_VAULT_URL": "https://kv-team.vault.azure.net/",
        "DATABRICKS_TOKEN_SECRET": "databricks-token",
    }
    [job] = proposal["jobs"]
    assert (job["ready"], job["decide"], job["workspace"]) == (True, [], "default")
    assert job["job"] == {
        "name": "Nightly/Load sales",
        "max_concurrent_runs": 130,
        "queue": {"enabled": True},
        "tasks": [
            {
                "task_key": "main",
                "notebook_task": {"notebook_path": "/Repos/team/load"},
                "existing_cluster_id": "0101-120000-abcd1234",
            }
        ],
    }
    assert job["create_job"] == (
        "python -m orchestrator create-job --notebook /Repos/team/load --name 'Nightly/Load sales'"
    )
    assert proposal["notes"] == []
    run_printed(cli)
    [row] = cli.query(f"{ENTRIES} FROM track_processing")
    assert row[:3] == ("sales", "Nightly/Load sales", "notebook_params")
    assert json.loads(str(row[3])) == {"table_name": "sales", "days": 7, "full": False}
    assert row[4:] == (3, 12 * 3600, "PENDING")


def test_job_cluster_is_the_jobs_api_s(cli: CommandLine) -> None:
    [job] = propose(cli, pipeline(LOAD), JOB_CLUSTER)["jobs"]
    assert job["job"]["tasks"][0]["new_cluster"] == {
        "spark_version": "15.4.x-scala2.12",
        "node_type_id": "Standard_DS3_v2",
        "driver_node_type_id": "Standard_DS4_v2",
        "autoscale": {"min_workers": 1, "max_workers": 4},
        "spark_conf": {
            "spark.speculation": "true",
            "fs.azure.account.key": SECRET,
            "spark.password": "{{secrets/lake/password}}",
        },
        "spark_env_vars": {"PYSPARK_PYTHON": "/databricks/python3/bin/python3"},
        "custom_tags": {"team": "data"},
        "init_scripts": [
            {"workspace": {"destination": "/Shared/init.sh"}},
            {"dbfs": {"destination": "dbfs:/init.sh"}},
            {"volumes": {"destination": "/Volumes/main/x/init.sh"}},
        ],
        "cluster_log_conf": {"dbfs": {"destination": "dbfs:/logs"}},
    }
    [question] = job["decide"]
    assert question.startswith(
        "linked service LS_Databricks: newClusterSparkConf.fs.azure.account.key: a secret"
    )


@pytest.mark.parametrize(
    ("kind", "properties", "expected"),
    [
        (
            "DatabricksSparkJar",
            {
                "mainClassName": "com.example.Load",
                "parameters": ["--table", "sales"],
                "libraries": [{"jar": "dbfs:/load.jar"}, {"maven": {"coordinates": "a:b:1"}}],
            },
            (
                {
                    "spark_jar_task": {"main_class_name": "com.example.Load"},
                    "libraries": [{"jar": "dbfs:/load.jar"}, {"maven": {"coordinates": "a:b:1"}}],
                },
                {"parameter_style": "jar_params", "parameters": ["--table", "sales"]},
            ),
        ),
        (
            "DatabricksSparkPython",
            {
                "pythonFile": "dbfs:/load.py",
                "parameters": ["sales", 7],
                "libraries": [{"pypi": {"package": "x"}}],
            },
            (
                {
                    "spark_python_task": {"python_file": "dbfs:/load.py"},
                    "libraries": [{"pypi": {"package": "x"}}],
                },
                {"parameter_style": "python_params", "parameters": ["sales", 7]},
            ),
        ),
        (
            "DatabricksNotebook",
            {"notebookPath": "/x"},
            (
                {"notebook_task": {"notebook_path": "/x"}},
                {"parameter_style": "notebook_params", "parameters": {}},
            ),
        ),
    ],
)
def test_every_kind_of_task(
    cli: CommandLine, simulator: str, kind: str, properties: Any, expected: tuple[Any, Any]
) -> None:
    task, entry = expected
    proposal = propose(cli, pipeline(databricks("A", kind, properties)), EXISTING, VAULT)
    [job], [found] = proposal["jobs"], proposal["entries"]
    assert (job["ready"], found["ready"]) == (True, True)
    assert job["job"]["tasks"][0] == {
        "task_key": "main",
        "existing_cluster_id": "0101-120000-abcd1234",
        **task,
    }
    assert found["entry"] == {"table_name": "Nightly/A", "job_name": "Nightly/A", **entry}
    assert JobSettings.from_dict(job["job"]).as_dict() == job["job"]  # every field is one of the Jobs API
    assert create(simulator, job["job"]) > 0


def create(simulator: str, job: Any) -> int:
    """Create a job as ``databricks jobs create --json`` does."""
    request = urllib.request.Request(
        f"{simulator}/api/2.2/jobs/create",
        data=json.dumps(job).encode(),
        headers={"Authorization": f"Bearer {TOKEN}", "Content-Type": "application/json"},
    )
    with urllib.request.urlopen(request, timeout=10) as answer:
        return int(json.load(answer)["job_id"])


def test_new_cluster_is_one_of_the_jobs_api(cli: CommandLine) -> None:
    [job] = propose(cli, pipeline(LOAD), JOB_CLUSTER)["jobs"]
    assert JobSettings.from_dict(job["job"]).as_dict() == job["job"]


def test_databricks_job_is_there_already(cli: CommandLine) -> None:
    found = [
        databricks(
            "By number", "DatabricksJob", {"jobId": 9007199254740993, "jobParameters": {"table_name": "a"}}
        ),
        databricks("By text", "DatabricksJob", {"jobId": "4711"}),
        databricks("Later", "DatabricksJob", {"jobId": expression("@pipeline().parameters.job")}),
    ]
    proposal = propose(cli, pipeline(*found), EXISTING, VAULT)
    assert proposal["jobs"] == []
    assert [(each["entry"]["job_id"], each["ready"]) for each in proposal["entries"]] == [
        ("9007199254740993", True),
        ("4711", True),
        ("DECIDE: @pipeline().parameters.job", False),
    ]
    run_printed(cli)
    assert cli.query("SELECT job_id, table_name, parameters FROM track_processing ORDER BY id") == [
        (9007199254740993, "a", '{"table_name": "a"}'),
        (4711, "Nightly/By text", "{}"),
    ]


def test_what_is_ready_can_be_added_as_it_is(cli: CommandLine) -> None:
    proposal = propose(cli, pipeline(LOAD), EXISTING, VAULT)
    lines = "\n".join(json.dumps(each["entry"]) for each in proposal["entries"] if each["ready"])
    assert cli("add", "--jsonl", "-", stdin=lines).returncode == 0
    assert cli.query("SELECT job_name FROM track_processing") == [("Nightly/Load sales",)]


def nested(*, inside: str, inner: list[dict[str, Any]]) -> dict[str, Any]:
    """Return a container of this type with activities in it."""
    asked = expression("@equals(1, 1)")
    fields: dict[str, dict[str, Any]] = {
        "ForEach": {"items": expression("@activity('Look').output.value"), "activities": inner},
        "Until": {"expression": asked, "timeout": "0.01:00:00", "activities": inner},
        "IfCondition": {"expression": asked, "ifTrueActivities": inner},
        "IfCondition/else": {"expression": asked, "ifFalseActivities": inner},
        "Switch": {"on": expression("@item().kind"), "cases": [{"value": "full", "activities": inner}]},
        "Switch/default": {"on": expression("@item().kind"), "cases": [], "defaultActivities": inner},
    }
    return activity("Outer", inside.partition("/")[0], fields[inside])


@pytest.mark.parametrize(
    ("inside", "condition"),
    [
        ("ForEach", "in ForEach Outer: once for each of @activity('Look').output.value"),
        ("Until", "in Until Outer: until @equals(1, 1)"),
        ("IfCondition", "in If Outer: when @equals(1, 1)"),
        ("IfCondition/else", "in If Outer: when not @equals(1, 1)"),
        ("Switch", "in Switch Outer: when @item().kind is full"),
        ("Switch/default", "in Switch Outer: when @item().kind is none of its cases"),
    ],
)
def test_containers_are_searched_and_said(cli: CommandLine, inside: str, condition: str) -> None:
    deep = nested(inside="ForEach", inner=[nested(inside=inside, inner=[LOAD])])
    [entry] = propose(cli, pipeline(deep), EXISTING, VAULT)["entries"]
    assert entry["ready"] is False
    assert f"it ran {condition}; the app has no order, loop or condition of its own" in entry["decide"]
    run_printed(cli)
    assert cli.query("SELECT COUNT(*) FROM track_processing") == [(0,)]


def test_expressions_are_kept_and_never_guessed(cli: CommandLine) -> None:
    properties = {
        "notebookPath": expression("@concat('/Repos/', pipeline().parameters.folder)"),
        "baseParameters": {
            "table_name": "@item().table",
            "day": expression("@pipeline().parameters.day"),
            "path": "raw/@{item().folder}/x",
            "mail": "@@team",
            "sign": "a@b.example",
            "braces": "@@{kept}",
            "plain": expression("no expression"),
            "password": "hunter2",
            "api_token": {"type": "SecureString", "value": "hunter2"},
        },
    }
    parameters = {"day": {"type": "string", "defaultValue": "2026-01-31"}, "folder": {"type": "string"}}
    proposal = propose(
        cli,
        pipeline(databricks("A", "DatabricksNotebook", properties), parameters=parameters),
        EXISTING,
        VAULT,
    )
    [job], [entry] = proposal["jobs"], proposal["entries"]
    path = job["job"]["tasks"][0]["notebook_task"]["notebook_path"]
    assert path == "DECIDE: @concat('/Repos/', pipeline().parameters.folder)"
    assert job["create_job"] is None
    assert entry["entry"]["parameters"] == {
        "table_name": "DECIDE: @item().table",
        "day": "DECIDE: @pipeline().parameters.day",
        "path": "DECIDE: raw/@{item().folder}/x",
        "mail": "@team",
        "sign": "a@b.example",
        "braces": "@{kept}",
        "plain": "no expression",
        "password": SECRET,
        "api_token": SECRET,
    }
    assert entry["entry"]["table_name"] == "DECIDE: @item().table"
    assert (
        'baseParameters.day: @pipeline().parameters.day (the pipeline\'s default: "2026-01-31")'
        in entry["decide"]
    )
    assert "job Nightly/A: create it first; it has questions of its own" in entry["decide"]
    assert "hunter2" not in cli("import-adf", "file0.json", "file1.json", "file2.json").stdout


def test_what_a_whole_expression_gives_is_a_question(cli: CommandLine) -> None:
    properties = {
        "notebookPath": "/x",
        "baseParameters": "@pipeline().parameters.all",
        "libraries": expression("@activity('Look').output.value"),
    }
    load = databricks("A", "DatabricksNotebook", properties, policy={"retry": "3", "timeout": "soon"})
    proposal = propose(cli, pipeline(load), EXISTING, VAULT)
    assert proposal["jobs"][0]["decide"] == ["libraries: @activity('Look').output.value"]
    assert proposal["entries"][0]["entry"] == {
        "table_name": "Nightly/A",
        "job_name": "Nightly/A",
        "parameter_style": "notebook_params",
        "parameters": "DECIDE: @pipeline().parameters.all",
        "max_attempts": 4,
        "run_timeout_seconds": "DECIDE: the file has no time span",
    }


def test_an_id_that_is_none_is_a_question(cli: CommandLine) -> None:
    [entry] = propose(cli, pipeline(databricks("A", "DatabricksJob", {"jobId": "x"})), EXISTING, VAULT)[
        "entries"
    ]
    assert entry["decide"] == ["jobId: the job's id; the file has none"]


def test_an_order_among_activities_is_a_question(cli: CommandLine) -> None:
    second = {**LOAD, "name": "Then", "dependsOn": [after("Load sales")]}
    off = {**LOAD, "name": "Off", "state": "Inactive", "onInactiveMarkAs": "Succeeded"}
    proposal = propose(cli, pipeline(LOAD, second, off), EXISTING, VAULT)
    assert len(proposal["jobs"]) == 1  # the same notebook on the same cluster
    assert [entry["decide"] for entry in proposal["entries"]] == [
        [],
        ["it ran after Load sales (Succeeded); the app has no order, loop or condition of its own"],
        ["it is switched off in Data Factory (state Inactive)"],
    ]
    run_printed(cli)
    assert cli.query("SELECT COUNT(*) FROM track_processing") == [(1,)]


def test_a_pipeline_alone_says_what_is_missing(cli: CommandLine) -> None:
    proposal = propose(cli, pipeline(LOAD, {**LOAD, "name": "Again"}))
    asked = "DECIDE: the address of the workspace: linked service LS_Databricks is not in the files"
    assert proposal["settings"] == {"DATABRICKS_HOST": asked}
    assert proposal["decide"] == [asked.replace("DECIDE", "DATABRICKS_HOST")]
    [job] = proposal["jobs"]
    assert job["ready"] is False
    assert job["job"]["tasks"][0]["existing_cluster_id"].startswith(
        "DECIDE: the cluster's id, or new_cluster"
    )
    assert job["create_job"].endswith("--notebook /Repos/team/load --name 'Nightly/Load sales'")


def test_parameters_of_a_linked_service_are_put_in(cli: CommandLine) -> None:
    shared = service(
        {
            "domain": "https://@{linkedService().host}",
            "authentication": "MSI",
            "newClusterVersion": expression("@linkedService().version"),
            "instancePoolId": "@linkedService().pool",
            "newClusterNumOfWorker": "@linkedService().workers",
        },
        parameters={
            "host": {"type": "String"},
            "version": {"type": "String", "defaultValue": "15.4.x-scala2.12"},
            "pool": {"type": "String", "defaultValue": ""},
            "workers": {"type": "String"},
        },
    )
    given = reference("LS_Databricks", Host="adb-1.2.azuredatabricks.net", workers="2", pool="@item().pool")
    proposal = propose(cli, pipeline({**LOAD, "linkedServiceName": given}), shared)
    assert proposal["settings"] == {
        "DATABRICKS_HOST": "https://adb-1.2.azuredatabricks.net",
        "DATABRICKS_AUTH": "entra",
    }
    [job] = proposal["jobs"]
    assert job["job"]["tasks"][0]["new_cluster"] == {
        "spark_version": "15.4.x-scala2.12",
        "instance_pool_id": "DECIDE: @item().pool",
        "num_workers": 2,
    }


def test_what_is_open_in_a_setting_keeps_no_job_back(cli: CommandLine) -> None:
    proposal = propose(cli, pipeline(LOAD), EXISTING)
    [question] = proposal["decide"]
    assert (
        question == "KEY_VAULT_URL: the address of the Key Vault: linked service LS_Vault is not in the files"
    )
    assert proposal["settings"]["KEY_VAULT_URL"].startswith("DECIDE: ")
    assert (proposal["jobs"][0]["ready"], proposal["entries"][0]["ready"]) == (True, True)


def test_a_workspace_of_an_expression_keeps_its_entries_back(cli: CommandLine) -> None:
    moving = service({"domain": "@linkedService().host", "existingClusterId": "c"})
    load = {**LOAD, "linkedServiceName": reference("LS_Databricks", host="@item().host")}
    [entry] = propose(cli, pipeline(load), moving)["entries"]
    assert entry["decide"] == ["its workspace: DECIDE: @item().host"]


def test_a_job_of_a_workspace_that_is_not_known_is_a_question(cli: CommandLine) -> None:
    """Ids of jobs count in their own workspace only."""
    [entry] = propose(cli, pipeline(databricks("Report", "DatabricksJob", {"jobId": "7"})))["entries"]
    assert entry["ready"] is False
    assert entry["decide"] == [
        "its workspace: DECIDE: the address of the workspace: "
        "linked service LS_Databricks is not in the files"
    ]


def test_a_pipeline_without_activities_refuses_no_other(cli: CommandLine) -> None:
    empty = pipeline(name="Empty")
    empty["properties"]["activities"] = None
    loop = nested(inside="ForEach", inner=[])
    loop["typeProperties"]["activities"] = None
    [entry] = propose(cli, empty, pipeline(loop, LOAD), EXISTING, VAULT)["entries"]
    assert (entry["entry"]["table_name"], entry["ready"]) == ("sales", True)


def test_two_ways_to_sign_in_are_said(cli: CommandLine) -> None:
    other = service({"domain": ADDRESS, "authentication": "MSI", "existingClusterId": "c"}, name="LS_Other")
    there = {**LOAD, "name": "There", "linkedServiceName": reference("LS_Other")}
    proposal = propose(cli, pipeline(LOAD, there), EXISTING, VAULT, other)
    assert proposal["notes"] == [
        f"linked service LS_Other signs in at {ADDRESS} otherwise than the one before it"
    ]
    assert proposal["settings"]["DATABRICKS_AUTH"] == "pat"


def test_a_second_workspace_gets_a_name(cli: CommandLine) -> None:
    other = service({"domain": "adb-5.6.azuredatabricks.net", "existingClusterId": "c"}, name="LS EU-2")
    there = {**LOAD, "name": "There", "linkedServiceName": reference("LS EU-2")}
    proposal = propose(cli, pipeline(LOAD, there), EXISTING, VAULT, other)
    assert json.loads(proposal["settings"]["DATABRICKS_WORKSPACES"]) == {
        "LS_EU_2": {"host": "https://adb-5.6.azuredatabricks.net"}
    }
    assert [each["entry"].get("workspace") for each in proposal["entries"]] == [None, "LS_EU_2"]
    assert [job["workspace"] for job in proposal["jobs"]] == ["default", "LS_EU_2"]
    assert proposal["jobs"][1]["create_job"].endswith("--workspace LS_EU_2")


def test_the_table_s_parameter_may_have_another_name(cli: CommandLine) -> None:
    load = databricks(
        "A", "DatabricksNotebook", {"notebookPath": "/x", "baseParameters": {"SourceTable": "crm"}}
    )
    proposal = propose(cli, pipeline(load), EXISTING, VAULT)
    assert proposal["entries"][0]["entry"]["table_name"] == "Nightly/A"
    assert "--table-parameter names another one" in proposal["notes"][0]
    named = propose(cli, pipeline(load), EXISTING, VAULT, options=("--table-parameter", "sourcetable"))
    assert (named["entries"][0]["entry"]["table_name"], named["notes"]) == ("crm", [])


def test_what_is_beside_the_activities_is_noted(cli: CommandLine) -> None:
    trigger = {
        "name": "At two",
        "properties": {
            "type": "ScheduleTrigger",
            "runtimeState": "Started",
            "pipelines": [{"pipelineReference": {"referenceName": "Nightly", "type": "PipelineReference"}}],
            "typeProperties": {"recurrence": {"frequency": "Day", "interval": 1, "timeZone": "UTC"}},
        },
    }
    call = activity(
        "Run now", "WebActivity", {"url": f"{ADDRESS}/api/2.1/jobs/run-now", "method": "POST", "body": "{}"}
    )
    start = activity("Start", "ExecutePipeline", {"pipeline": {"referenceName": "Nightly"}})
    proposal = propose(cli, pipeline(LOAD), EXISTING, VAULT, trigger, pipeline(call, start, name="Rest"))
    assert proposal["notes"] == [
        "pipeline Rest, activity Run now calls the Jobs API itself, which the app does instead",
        "pipeline Rest, activity Start starts pipeline Nightly, and may give it parameters",
        'trigger At two starts Nightly ({"frequency": "Day", "interval": 1, "timeZone": "UTC"}); the app has '
        "no schedules, so insert the entries by other means",
    ]


ARM: dict[str, Any] = {
    "$schema": "http://schema.management.azure.com/schemas/2015-01-01/deploymentTemplate.json#",
    "contentVersion": "1.0.0.0",
    "parameters": {
        "factoryName": {"type": "string"},
        "LS_Databricks_accessToken": {"type": "secureString"},
        "LS_Databricks_properties_typeProperties_domain": {"type": "string", "defaultValue": ADDRESS},
        "LS_Databricks_existingClusterId": {"type": "string"},
    },
    "variables": {"prefix": "[concat('/Repos', '/team''s')]"},
    "resources": [
        {
            "name": "[concat(parameters('factoryName'), '/Nightly')]",
            "type": "Microsoft.DataFactory/factories/pipelines",
            "apiVersion": "2018-06-01",
            "properties": {
                "activities": [
                    databricks(
                        "A",
                        "DatabricksNotebook",
                        {
                            "notebookPath": "[format('{0}/{1}', variables('prefix'), 'load')]",
                            "baseParameters": {
                                "table_name": "sales",
                                "list": "[[1, 2]",
                                "other": "[resourceGroup().location]",
                            },
                        },
                    )
                ]
            },
            "dependsOn": ["[concat(variables('factoryId'), '/linkedServices/LS_Databricks')]"],
        },
        {
            "name": "[format('{0}/{1}', parameters('factoryName'), 'LS_Databricks')]",
            "type": "Microsoft.DataFactory/factories/linkedServices",
            "apiVersion": "2018-06-01",
            "properties": {
                "type": "AzureDatabricks",
                "typeProperties": {
                    "domain": "[parameters('LS_Databricks_properties_typeProperties_domain')]",
                    "accessToken": {
                        "type": "SecureString",
                        "value": "[parameters('LS_Databricks_accessToken')]",
                    },
                    "existingClusterId": "[parameters('ls_databricks_existingClusterId')]",
                },
            },
        },
        {
            "name": "x/y",
            "type": "Microsoft.DataFactory/factories/datasets",
            "properties": {"type": "Parquet"},
        },
    ],
}
ARM_VALUES = {
    "$schema": "https://schema.management.azure.com/schemas/2015-01-01/deploymentParameters.json#",
    "parameters": {
        "LS_Databricks_accessToken": {"value": "dapi-hunter2"},
        "LS_Databricks_existingClusterId": {"value": "0101-from-values"},
    },
}


def test_arm_template_with_the_values_of_its_parameters(cli: CommandLine) -> None:
    proposal = propose(cli, ARM, ARM_VALUES)
    [job], [entry] = proposal["jobs"], proposal["entries"]
    assert proposal["settings"] == {"DATABRICKS_HOST": ADDRESS, "DATABRICKS_AUTH": "pat"}
    assert job["job"]["name"] == "Nightly/A"
    assert job["job"]["tasks"][0] == {
        "task_key": "main",
        "notebook_task": {"notebook_path": "/Repos/team's/load"},
        "existing_cluster_id": "0101-from-values",
    }
    assert entry["entry"]["parameters"] == {
        "table_name": "sales",
        "list": "[1, 2]",
        "other": "DECIDE: [resourceGroup().location]",
    }
    assert "hunter2" not in json.dumps(proposal)


def test_arm_template_without_values(cli: CommandLine) -> None:
    [job] = propose(cli, ARM)["jobs"]
    assert job["job"]["tasks"][0]["existing_cluster_id"] == (
        "DECIDE: [parameters('ls_databricks_existingClusterId')]"
    )


#: A part of every secret in the tests that follow.
_PIECE = "5ecretpiece"
_TOKEN_FORM = "dapi0123456789abcdef0123456789abcdef"


def hidden(cli: CommandLine, *documents: Any) -> Any:
    """Return a proposal that has no secret in it, neither as JSON nor as text."""
    proposal = propose(cli, *documents)
    printed = cli("import-adf", *(f"file{at}.json" for at in range(len(documents)))).stdout
    for text in (json.dumps(proposal), printed):
        assert _PIECE not in text
        assert _TOKEN_FORM[4:] not in text
        assert "987654" not in text
    return proposal


def with_parameters(**parameters: Any) -> dict[str, Any]:
    return databricks("A", "DatabricksNotebook", {"notebookPath": "/x", "baseParameters": parameters})


@pytest.mark.parametrize("kind", ["secureString", "securestring", "SecureObject"])
def test_secret_parameters_of_a_template_are_never_read(cli: CommandLine, kind: str) -> None:
    used = with_parameters(
        endpoint="[parameters('hidden')]",
        given="[parameters('given')]",
        variable="[variables('copy')]",
        joined="[concat('x-', parameters('hidden'))]",
    )
    template = {
        "parameters": {"hidden": {"type": kind, "defaultValue": _PIECE}, "Given": {"type": kind}},
        "variables": {"copy": "[parameters('hidden')]"},
        "resources": [
            {
                "name": "f/p",
                "type": "Microsoft.DataFactory/factories/pipelines",
                "properties": {"activities": [used]},
            }
        ],
    }
    values = {"$schema": ARM_VALUES["$schema"], "parameters": {"given": {"value": _PIECE}}}
    [entry] = hidden(cli, template, values)["entries"]
    assert entry["ready"] is False
    assert entry["entry"]["parameters"] == {
        "endpoint": SECRET,
        "given": SECRET,
        "variable": SECRET,
        "joined": "DECIDE: [concat(..., parameters('hidden'))]",
    }


def test_secret_parameters_of_a_linked_service_are_never_read(cli: CommandLine) -> None:
    linked = service(
        {"domain": "@{linkedService().host}", "existingClusterId": "@linkedService().Cluster"},
        parameters={
            "host": {"type": "SecureString", "defaultValue": f"{_PIECE}.example"},
            "cluster": {"type": "SecureString"},
        },
    )
    used = {**with_parameters(), "linkedServiceName": reference("LS_Databricks", Cluster=_PIECE)}
    proposal = hidden(cli, pipeline(used), linked)
    assert proposal["settings"] == {"DATABRICKS_HOST": SECRET}
    assert proposal["jobs"][0]["job"]["tasks"][0]["existing_cluster_id"] == SECRET


@pytest.mark.parametrize(
    "value",
    [
        _TOKEN_FORM,
        f"Bearer {_PIECE}",
        f"Bearer eyJhbGciOi.eyJzdWIi.{_PIECE}",
        f"Server=x;Password={_PIECE}",
        {"password": _PIECE},
        {"password": 987654},
        [{"note": _TOKEN_FORM}],
    ],
)
def test_secrets_are_told_by_their_form_under_any_name(cli: CommandLine, value: Any) -> None:
    used = with_parameters(written="@pipeline().parameters.plain", plain=value)
    condition = nested(inside="ForEach", inner=[used])
    condition["typeProperties"]["items"] = (
        expression(f"@createArray('{value}')") if value == _TOKEN_FORM else ""
    )
    declared = {"plain": {"type": "string", "defaultValue": value}}
    [entry] = hidden(cli, pipeline(condition, parameters=declared), EXISTING, VAULT)["entries"]
    assert entry["entry"]["parameters"]["written"] == "DECIDE: @pipeline().parameters.plain"
    assert "DECIDE: a secret" in json.dumps(entry["entry"]["parameters"]["plain"])


#: Expressions with a text or a number that may be the secret, since they name one. ``entrance`` and ``door``
#: are declared as secrets, and so is the output of the activity ``Web``.
BESIDE_SECRETS = (
    f"@equals(pipeline().parameters.token,'{_PIECE}')",
    f"@equals('{_PIECE}', pipeline().parameters.token)",
    f"@pipeline ().parameters . token == '{_PIECE}'",
    f"@EQUALS(toLower(pipeline()?.parameters?.apiKey), '{_PIECE}')",
    f"@not(equals(item()['password'],'{_PIECE}'))",
    f"@if(empty(variables('client_secret')), '{_PIECE}', variables('client_secret'))",
    f"@coalesce(activity('Get token').output.value, '{_PIECE}')",
    f"@contains(createArray('a', '{_PIECE}'), activity('Look').output.firstRow.Password)",
    f"@startswith(pipeline().parameters.Entrance, '{_PIECE}')",
    f"@equals(activity('Web').output.value[0], '{_PIECE}')",
    f"it's @{{equals(pipeline().parameters.token,'{_PIECE}')}}",
    f"{_PIECE}@{{pipeline().parameters.token}}",
    f"@{{pipeline().parameters.token}}{_PIECE}",
    "@equals(pipeline().parameters.password, 987654)",
    f"@equals(linkedService().door, '{_PIECE}')",
)


@pytest.mark.parametrize("text", BESIDE_SECRETS)
@pytest.mark.parametrize("form", [str, expression])
def test_what_stands_beside_a_secret_in_an_expression_is_not_shown(
    cli: CommandLine, text: str, form: Any
) -> None:
    web = activity("Web", "WebActivity", {"url": "https://x.example"}, policy={"secureOutput": True})
    used = {**with_parameters(matches=form(text)), "dependsOn": [after("Web")]}
    used["typeProperties"]["libraries"] = [{"pypi": {"package": form(text)}}]
    conditions = []
    for inside in ("ForEach", "Until", "IfCondition", "Switch"):
        conditions.append(nested(inside=inside, inner=[{**used, "name": f"In {inside}"}]))
        for field in {"items", "expression", "on"} & conditions[-1]["typeProperties"].keys():
            conditions[-1]["typeProperties"][field] = form(text)
    declared = {"Entrance": {"type": "SecureString"}}
    linked = service(
        {"domain": form(text), "existingClusterId": "c"}, parameters={"door": {"type": "SecureString"}}
    )
    proposal = hidden(cli, pipeline(web, used, *conditions, parameters=declared), linked)
    assert [entry["ready"] for entry in proposal["entries"]] == [False] * 5
    assert proposal["entries"][0]["entry"]["parameters"] == {"matches": SECRET}


def test_what_a_variable_or_a_loop_gets_from_a_secret_is_one(cli: CommandLine) -> None:
    copied = {"variableName": "Copy", "value": expression("@pipeline().parameters.token")}
    loop = nested(inside="ForEach", inner=[with_parameters(x=expression(f"@equals(item(), '{_PIECE}')"))])
    loop["typeProperties"]["items"] = expression("@activity('Get').output.secrets")
    used = {**with_parameters(x=expression(f"@equals(variables('copy'), '{_PIECE}')")), "name": "B"}
    plain = {**with_parameters(x=expression("@equals(item(), variables('other'), 'c')")), "name": "C"}
    activities = [activity("Set", "SetVariable", copied), loop, used, plain]
    entries = hidden(cli, pipeline(*activities), EXISTING, VAULT)["entries"]
    assert [entry["entry"]["parameters"]["x"] for entry in entries] == [
        SECRET,
        SECRET,
        "DECIDE: @equals(item(), variables('other'), 'c')",
    ]


def set_variable(name: str, text: str) -> dict[str, Any]:
    return activity(f"Set {name}", "SetVariable", {"variableName": name, "value": expression(text)})


def over(text: str, inner: dict[str, Any]) -> dict[str, Any]:
    """Return a loop over what an expression gives."""
    loop = nested(inside="ForEach", inner=[inner])
    loop["typeProperties"]["items"] = expression(text)
    return loop


WEB = {"url": "https://kv-team.vault.azure.net/x", "method": "GET"}

#: Activities that hand a secret on, and the expression that has it in the end.
HANDED_ON: dict[str, tuple[list[dict[str, Any]], str]] = {
    "variables, the last one first": (
        [
            set_variable("c", "@variables('b')"),
            set_variable("b", "@variables('a')"),
            set_variable("a", "@pipeline().parameters.token"),
        ],
        "variables('c')",
    ),
    "secure output in a variable": (
        [
            activity("Get", "WebActivity", {"url": "https://x.example"}, policy={"secureOutput": True}),
            set_variable("a", "@activity('Get').output.value"),
        ],
        "variables('a')",
    ),
    "a filter": (
        [activity("Filter", "Filter", {"items": expression("@activity('Get').output.secrets")})],
        "activity('Filter').output.value[0]",
    ),
    "an item in a variable": (
        [over("@pipeline().parameters.tokens", set_variable("a", "@item().x"))],
        "variables('a')",
    ),
    "a vault": ([activity("Read", "WebActivity", WEB)], "activity('Read').output.value"),
    "a vault in a variable": (
        [activity("Read", "WebActivity", WEB), set_variable("a", "@activity('Read').output.value")],
        "variables('a')",
    ),
    "another pipeline's parameter": (
        [
            activity(
                "Start",
                "ExecutePipeline",
                {"pipeline": {"referenceName": "Q"}, "parameters": {"P": "@pipeline().parameters.token"}},
            )
        ],
        "pipeline().parameters.p",
    ),
}


@pytest.mark.parametrize("case", HANDED_ON)
def test_what_is_made_from_a_secret_is_one(cli: CommandLine, case: str) -> None:
    before, secret = HANDED_ON[case]
    used = with_parameters(x=expression(f"@equals({secret}, '{_PIECE}')"), table_name="sales")
    looped = {**with_parameters(x=expression(f"@equals(item().y, '{_PIECE}')")), "name": "B"}
    first, second = hidden(cli, pipeline(used, over(f"@{secret}", looped), *before), EXISTING, VAULT)[
        "entries"
    ]
    assert first["entry"]["parameters"] == {"x": SECRET, "table_name": "sales"}
    assert second["entry"]["parameters"] == {"x": SECRET}


@pytest.mark.parametrize(
    "secret",
    [
        {"db_password": {"value": _PIECE}},
        {"secrets": {"list": [_PIECE]}},
        {"secrets": [_PIECE]},
        {"deep": {"password": {"value": {"type": "String", "text": _PIECE}}}},
        {"list": ["--password", {"text": _PIECE}]},
        {"list": [{"name": "password", "value": _PIECE}]},
        {"password": f"{_PIECE} {{{{secrets/lake/password}}}}"},
    ],
)
def test_all_that_is_under_a_secret_name_is_one(cli: CommandLine, secret: Any) -> None:
    used = with_parameters(written="@pipeline().parameters.plain", **secret)
    declared = {"plain": {"type": "object", "defaultValue": secret}}
    [entry] = hidden(cli, pipeline(used, parameters=declared), EXISTING, VAULT)["entries"]
    assert entry["entry"]["parameters"]["written"] == "DECIDE: @pipeline().parameters.plain"
    assert list(entry["entry"]["parameters"]) == ["written", *secret]


def test_inputs_that_a_policy_hides_are_not_shown(cli: CommandLine) -> None:
    """The notebook and the names of its parameters stay readable."""
    policy = {"secureInput": True, "retry": 1}
    named = {**with_parameters(x=_PIECE, day=expression(f"@concat('{_PIECE}', item())")), "policy": policy}
    named["typeProperties"]["libraries"] = [{"pypi": {"package": _PIECE}}]
    listed = databricks("B", "DatabricksSparkPython", {"pythonFile": f"@concat('{_PIECE}')"}, policy=policy)
    listed["typeProperties"]["parameters"] = [_PIECE, 987654]
    whole = databricks(
        "C", "DatabricksJob", {"jobId": 7, "jobParameters": f"@json('{_PIECE}')"}, policy=policy
    )
    proposal = hidden(cli, pipeline(named, listed, whole), EXISTING, VAULT)
    assert proposal["jobs"][0]["job"]["tasks"][0]["notebook_task"] == {"notebook_path": "/x"}
    assert proposal["jobs"][0]["job"]["tasks"][0]["libraries"] == [SECRET]
    assert proposal["jobs"][1]["job"]["tasks"][0]["spark_python_task"] == {"python_file": SECRET}
    assert [entry["entry"]["parameters"] for entry in proposal["entries"]] == [
        {"x": SECRET, "day": SECRET},
        [SECRET, SECRET],
        SECRET,
    ]
    assert proposal["entries"][2]["entry"]["job_id"] == "7"


@pytest.mark.parametrize("kind", ["string", "String", "object", "array"])
def test_a_parameter_with_a_secret_name_is_one_of_any_type(cli: CommandLine, kind: str) -> None:
    linked = service(
        {
            "domain": ADDRESS,
            "newClusterVersion": "15.4.x-scala2.12",
            "newClusterNumOfWorker": "1",
            "newClusterSparkEnvVars": {
                "X": "@{linkedService().lakeKey}",
                "Y": "@linkedService().accessToken",
                "Z": "@linkedService().zone",
            },
        },
        parameters={
            "lakeKey": {"type": kind, "defaultValue": _PIECE},
            "accessToken": {"type": kind},
            "zone": {"type": kind, "defaultValue": "west"},
        },
    )
    given = reference("LS_Databricks", accessToken=_PIECE)
    [job] = hidden(cli, pipeline({**with_parameters(), "linkedServiceName": given}), linked)["jobs"]
    variables = job["job"]["tasks"][0]["new_cluster"]["spark_env_vars"]
    assert variables == {"X": SECRET, "Y": SECRET, "Z": "west"}


@pytest.mark.parametrize("kind", ["string", "object"])
def test_a_template_s_secret_names_are_secrets_of_any_type(cli: CommandLine, kind: str) -> None:
    used = with_parameters(
        default="[parameters('sqlPassword')]",
        joined="[concat('a-', parameters('SQLPassword'))]",
        variable="[variables('lakeKey')]",
        given="[parameters('s_token')]",
        undeclared="[parameters('k')]",
        table_name="[parameters('table')]",
    )
    template = {
        "parameters": {
            "sqlPassword": {"type": kind, "defaultValue": _PIECE},
            "s_token": {"type": kind},
            "table": {"type": "string"},
        },
        "variables": {"lakeKey": _PIECE},
        "resources": [{**pipeline(used), "name": "f/p"}],
    }
    given = {"s_token": {"value": _PIECE}, "k": {"value": _PIECE}, "table": {"value": "sales"}}
    values = {"$schema": ARM_VALUES["$schema"], "parameters": given}
    [entry] = hidden(cli, template, values)["entries"]
    assert entry["entry"]["parameters"] == {
        "default": SECRET,
        "joined": "DECIDE: [concat(..., parameters('SQLPassword'))]",
        "variable": SECRET,
        "given": SECRET,
        "undeclared": "DECIDE: [parameters('k')]",
        "table_name": "sales",
    }


@pytest.mark.parametrize("odd", [{"password": {"value": _PIECE}}, {"text": _PIECE}, [[_PIECE]], _TOKEN_FORM])
def test_what_is_no_text_where_one_belongs_is_not_shown(cli: CommandLine, odd: Any) -> None:
    depends = [{"activity": odd, "dependencyConditions": [odd]}, {"activity": "x"}]
    used = {**with_parameters(), "dependsOn": [*depends, {**depends[0], "dependencyConditions": odd}]}
    used["typeProperties"]["notebookPath"] = odd
    chosen = nested(inside="Switch", inner=[used])
    chosen["typeProperties"] |= {"on": odd, "cases": [{"value": odd, "activities": [used]}]}
    start = activity("Start", "ExecutePipeline", {"pipeline": {"referenceName": odd}})
    started = {"type": "ScheduleTrigger", "pipelines": [{"pipelineReference": {"referenceName": odd}}]}
    trigger = {"name": "T", "properties": started}
    linked = service({"domain": odd, "existingClusterId": odd})
    proposal = hidden(cli, pipeline(chosen, start), linked, trigger)
    assert "it ran after x ()" in "".join(proposal["entries"][0]["decide"])
    started_by_activity, started_by_trigger = proposal["notes"][:2]
    assert started_by_activity.endswith("activity Start starts pipeline …, and may give it parameters")
    assert started_by_trigger.startswith("trigger T starts … (ScheduleTrigger); ")


def test_a_default_of_what_gets_a_secret_is_not_shown(cli: CommandLine) -> None:
    handed = {"pipeline": {"referenceName": "Q"}, "parameters": {"P": "@pipeline().parameters.token"}}
    start = activity("Start", "ExecutePipeline", handed)
    other = {**with_parameters(), "name": "B"}
    other["linkedServiceName"] = reference("LS_Databricks", cluster="@pipeline().parameters.token")
    used = with_parameters(x="@pipeline().parameters.p")
    linked = service(
        {"domain": ADDRESS, "existingClusterId": "@linkedService().cluster"},
        parameters={"cluster": {"type": "String", "defaultValue": _PIECE}},
    )
    declared = {"p": {"type": "string", "defaultValue": _PIECE}}
    proposal = hidden(cli, pipeline(start, used, other, parameters=declared), linked)
    assert proposal["entries"][0]["entry"]["parameters"] == {"x": "DECIDE: @pipeline().parameters.p"}
    assert proposal["jobs"][0]["job"]["tasks"][0]["existing_cluster_id"] == SECRET


@pytest.mark.parametrize("policy", [{"retry": _PIECE}, {"timeout": _PIECE}])
def test_what_is_no_number_is_not_quoted(cli: CommandLine, policy: dict[str, str]) -> None:
    used = databricks("A", "DatabricksJob", {"jobId": _PIECE}, policy=policy)
    [entry] = hidden(cli, pipeline(used), EXISTING, VAULT)["entries"]
    assert entry["decide"][0] == "jobId: the job's id; the file has none"


def test_the_cases_of_a_secret_are_not_shown(cli: CommandLine) -> None:
    chosen = nested(inside="Switch", inner=[with_parameters()])
    chosen["typeProperties"] |= {"on": expression("@pipeline().parameters.token")}
    chosen["typeProperties"]["cases"][0]["value"] = _PIECE
    [entry] = hidden(cli, pipeline(chosen), EXISTING, VAULT)["entries"]
    assert entry["decide"][0].startswith(
        "it ran in Switch Outer: when @pipeline().parameters.token is a secret"
    )


@pytest.mark.parametrize(
    "text",
    [
        "@activity('Get token').output.value[0]['token']",
        "@concat(pipeline().parameters.token, variables('secret'))",
        "@equals(pipeline().parameters.secret_scope, 'lake')",
        "@equals(pipeline().parameters.kind, 'token')",
    ],
)
def test_an_expression_without_a_secret_in_it_is_shown(cli: CommandLine, text: str) -> None:
    proposal = propose(cli, pipeline(with_parameters(x=expression(text))), EXISTING, VAULT)
    assert proposal["entries"][0]["entry"]["parameters"] == {"x": f"DECIDE: {text}"}


@pytest.mark.parametrize(
    ("text", "left"),
    [
        (
            f"[if(equals(parameters('hidden'),'{_PIECE}'),'a',2)]",
            "[if(equals(parameters('hidden'),...),...,...)]",
        ),
        (f"[concat(variables('copy'), '{_PIECE}')]", "[concat(variables('copy'), ...)]"),
        ("[equals(parameters('hidden'), 987654)]", "[equals(parameters('hidden'), ...)]"),
        (f"[equals(parameters('hidden'), 'it''s {_PIECE}]", "[equals(parameters('hidden'), ..."),
    ],
)
def test_an_open_expression_of_a_template_is_shown_without_its_texts(
    cli: CommandLine, text: str, left: str
) -> None:
    template = {
        "parameters": {"hidden": {"type": "secureString"}},
        "variables": {"copy": "[parameters('hidden')]"},
        "resources": [{**pipeline(with_parameters(x=text)), "name": "f/p"}],
    }
    [entry] = hidden(cli, template)["entries"]
    assert entry["entry"]["parameters"] == {"x": f"DECIDE: {left}"}


def test_activities_without_their_pipeline_are_read(cli: CommandLine) -> None:
    """A list of them, or one alone, as it is copied out of a pipeline."""
    trimmed = {key: LOAD[key] for key in ("name", "type", "typeProperties")} | {"name": "Trimmed"}
    write(cli.folder, "several.json", [LOAD, trimmed])
    write(cli.folder, "one.json", nested(inside="ForEach", inner=[LOAD]))
    write(cli.folder, "service.json", EXISTING)
    proposal = cli.json("import-adf", "several.json", "one.json", "service.json")
    assert [(entry["activity"], entry["ready"]) for entry in proposal["entries"]] == [
        ("pipeline several, activity Load sales", True),
        ("pipeline several, activity Trimmed", False),  # it names no linked service
        ("pipeline one, activity Load sales", False),
    ]


def test_a_secret_may_be_a_number(cli: CommandLine) -> None:
    python = {"pythonFile": "dbfs:/x.py", "parameters": ["--password", 987654, "--days", 7]}
    used = [
        with_parameters(password=987654, days=7, pins=[1]),
        databricks("B", "DatabricksSparkPython", python),
    ]
    named, listed = hidden(cli, pipeline(*used), EXISTING, VAULT)["entries"]
    assert named["entry"]["parameters"] == {"password": SECRET, "days": 7, "pins": [1]}
    assert listed["entry"]["parameters"] == ["--password", SECRET, "--days", 7]


@pytest.mark.parametrize(
    "domain", [_TOKEN_FORM, f"https://{_PIECE}", f"https://{_TOKEN_FORM}.example", _PIECE]
)
def test_a_token_is_no_address(cli: CommandLine, domain: str) -> None:
    proposal = hidden(cli, pipeline(with_parameters()), service({"domain": domain, "existingClusterId": "c"}))
    assert proposal["settings"]["DATABRICKS_HOST"].startswith("DECIDE: ")
    assert len(proposal["decide"]) == 1


@pytest.mark.parametrize("encoding", ["cp1252", "ascii"])
def test_an_insert_that_the_output_cannot_hold_is_a_comment(cli: CommandLine, encoding: str) -> None:
    """A character that is printed as an escape would be part of a table's name."""
    used = [with_parameters(table_name="\u8868"), {**with_parameters(table_name="sales"), "name": "B"}]
    write(cli.folder, "p.json", pipeline(*used))
    write(cli.folder, "s.json", service({"domain": ADDRESS, "existingClusterId": "c"}))
    printed = cli.from_shell("import-adf", "p.json", "s.json", PYTHONIOENCODING=encoding).stdout
    [insert] = [line for line in printed.splitlines() if line.startswith("INSERT")]
    assert "VALUES ('sales', " in insert
    assert f"-- DECIDE the INSERT has '\\u8868', which {encoding} lacks" in printed
    whole = cli.from_shell("import-adf", "p.json", "s.json", PYTHONIOENCODING="utf-8").stdout
    assert len([line for line in whole.splitlines() if line.startswith("INSERT")]) == 2


def test_zip_of_a_factory_is_read_once(cli: CommandLine) -> None:
    outer = {**ARM, "resources": [{"type": "Microsoft.Resources/deployments", "name": "a", "properties": {}}]}
    nested_template = {
        "template": ARM,
        "parameters": {"factoryName": {"value": "[parameters('factoryName')]"}},
    }
    outer["resources"][0]["properties"] = nested_template
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("factory/ARMTemplateForFactory.json", json.dumps(outer))
        archive.writestr("factory/ARMTemplateParametersForFactory.json", json.dumps(ARM_VALUES))
        archive.writestr("factory/linkedTemplates/ArmTemplate_0.json", json.dumps(ARM))
        archive.writestr("diagnostic.json", "[]")
        archive.writestr("info.txt", "text")
    (cli.folder / "export.zip").write_bytes(packed.getvalue())
    proposal = cli.json("import-adf", "export.zip")
    assert [job["job"]["tasks"][0]["existing_cluster_id"] for job in proposal["jobs"]] == ["0101-from-values"]
    assert proposal["notes"] == []


def test_support_files_of_the_portal(cli: CommandLine) -> None:
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        archive.writestr("pipeline/Nightly.json", json.dumps(pipeline(LOAD)))
        archive.writestr("linkedService/LS_Databricks.json", json.dumps(EXISTING))
        archive.writestr("linkedService/LS_Vault.json", json.dumps(VAULT))
        archive.writestr("dataset/D.json", json.dumps({"name": "D", "properties": {"type": "Parquet"}}))
    (cli.folder / "support.zip").write_bytes(packed.getvalue())
    assert cli.json("import-adf", "support.zip")["entries"][0]["ready"] is True


def test_what_the_azure_cli_prints(cli: CommandLine) -> None:
    """It leaves out typeProperties, and PowerShell writes its output as UTF-16."""
    flat = {**LOAD, **LOAD["typeProperties"]}
    del flat["typeProperties"]
    shown = {
        "activities": [flat],
        "etag": "x",
        "name": "Nightly",
        "type": "Microsoft.DataFactory/factories/pipelines",
    }
    (cli.folder / "shown.json").write_text(json.dumps(shown), encoding="utf-16")
    write(cli.folder, "service.json", EXISTING)
    write(cli.folder, "vault.json", VAULT)
    proposal = cli.json("import-adf", "shown.json", "service.json", "vault.json")
    assert proposal["entries"][0]["entry"]["table_name"] == "sales"
    assert proposal["entries"][0]["ready"] is True


def damaged(method: int) -> bytes:
    """Return an archive whose member begins with what its method of compression never writes."""
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", method) as archive:
        archive.writestr("bad.json", json.dumps(pipeline(LOAD)))
    content = bytearray(file.getvalue())
    begin = 30 + len("bad.json") + (9 if method == zipfile.ZIP_LZMA else 0)  # its properties come first
    content[begin : begin + 8] = b"\xff" * 8
    return bytes(content)


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "not JSON"),
        (b"{", "not JSON"),
        (b"\xff\xfe\x00", "not JSON"),
        (b'{"activities": NaN}', "NaN is not a JSON number"),
        (b"[" * 100_000, "nested too deeply"),
        (b'"text"', "not a pipeline, an activity, a linked service or an ARM template of Data Factory"),
        (b'{"a": 1, "b": 2}', "of Data Factory: it has a, b"),
        (b'[{"b": 2}, 3]', "of Data Factory: it has b (the first of 2 in a list)"),
        (b"[]", "of Data Factory: it is not a JSON object"),
        (
            b'[{"name": "A", "type": "Copy", "dependsOn": []}, {"name": "B"}]',
            "bad.json: element 2 of the list is not an activity, but others are",
        ),
        (
            b'{"name": "A", "type": "Copy", "typeProperties": {}}',
            "no Databricks activity in bad; activities by type: Copy 1",
        ),
        (b'{"properties": {"activities": {}}}', "pipeline bad: activities must be a JSON list"),
        (b'{"properties": {"activities": [1]}}', "pipeline bad: an activity must be a JSON object"),
        (b'{"properties": {"activities": [{"name": "A"}]}}', "every activity must have a name and a type"),
        (b'{"name": 7, "properties": {"activities": []}}', "the name of a resource must be a text"),
        (b'{"properties": {"activities": []}}', "no Databricks activity in bad; activities by type: none"),
        (
            b'{"properties": {"activities": [{"name": "C", "type": "Copy"}]}}',
            "no Databricks activity in bad; activities by type: Copy 1",
        ),
        (
            b'{"properties": {"activities": [{"name": "N", "type": "DatabricksNotebook",'
            b' "typeProperties": 3}]}}',
            "pipeline bad, activity N: typeProperties must be a JSON object",
        ),
        (
            b'{"properties": {"activities": [{"name": "N", "type": "DatabricksNotebook",'
            b' "typeProperties": {"baseParameters": [1]}}]}}',
            "pipeline bad, activity N: baseParameters must be a JSON object",
        ),
        (b'{"resources": [3]}', "a resource must be a JSON object"),
        (b"PK\x03\x04 no archive", "the archive cannot be read"),
        (damaged(zipfile.ZIP_DEFLATED), "the archive cannot be read"),
        (damaged(zipfile.ZIP_BZIP2), "the archive cannot be read"),
        (damaged(zipfile.ZIP_LZMA), "the archive cannot be read"),
    ],
)
def test_bad_input_is_one_clear_line(cli: CommandLine, content: bytes, said: str) -> None:
    (cli.folder / "bad.json").write_bytes(content)
    line = refusal(cli, "bad.json")
    assert said in line
    assert "bad" in line
    assert line.count("\n") == 1


def test_a_linked_service_alone_is_no_pipeline(cli: CommandLine) -> None:
    write(cli.folder, "service.json", EXISTING)
    assert refusal(cli, "service.json") == "there is no pipeline in service.json\n"
    assert cli("import-adf", "nothing.json").returncode == 2
    assert cli("import-adf").returncode == 2


def test_an_archive_that_unpacks_to_too_much(cli: CommandLine) -> None:
    with zipfile.ZipFile(cli.folder / "bomb.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("a.json", b" " * (65 * 1024 * 1024))
    assert "larger than 67,108,864 bytes when unpacked" in refusal(cli, "bomb.zip")


@pytest.mark.parametrize(
    "method", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA]
)
def test_an_archive_damaged_anywhere_is_read_or_refused(method: int) -> None:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", method) as archive:
        archive.writestr("é.json", "{}")
    whole = file.getvalue()
    for at in range(4, len(whole)):
        for odd in (0, 0x55, 0xFF):
            changed = whole[:at] + bytes([odd]) + whole[at + 1 :]
            with contextlib.suppress(ExportUnreadable):
                import_adf._members(changed, "changed.zip")


def test_deep_nesting_is_refused(cli: CommandLine) -> None:
    deep = LOAD
    for _ in range(60):
        deep = nested(inside="ForEach", inner=[deep])
    write(cli.folder, "deep.json", pipeline(deep))
    assert "nested" in refusal(cli, "deep.json")


def test_names_cannot_become_statements(cli: CommandLine) -> None:
    """All that comes from the file stays inside comments and literals."""
    evil = "x'); DROP TABLE track_processing; --"
    ready = {**LOAD, "name": evil, "typeProperties": {"notebookPath": "/x", "baseParameters": {evil: evil}}}
    broken = {**LOAD, "name": f"a\r\n{evil}\u2028", "dependsOn": [after("b\nDROP TABLE track_processing;")]}
    proposal = propose(cli, pipeline(ready, broken), EXISTING, VAULT)
    assert [each["ready"] for each in proposal["entries"]] == [True, False]
    run_printed(cli)
    [(table, parameters)] = cli.query("SELECT table_name, parameters FROM track_processing")
    assert table == f"Nightly/{evil}"
    assert json.loads(str(parameters)) == {evil: evil}


#: Ends a line somewhere: in SQL clients, in terminals, in Python.
LINE_ENDS = ("\n", "\r\n", "\r", "\v", "\f", "\x1c", "\x85", "\u2028", "\u2029")


@pytest.mark.parametrize("end", LINE_ENDS)
def test_settings_cannot_become_statements(cli: CommandLine, end: str) -> None:
    evil = f"{end}DROP TABLE track_processing; --"
    token = {
        "type": "AzureKeyVaultSecret",
        "store": reference("LS_Vault"),
        "secretName": f"databricks-token{evil}",
    }
    signs_in = service({"domain": ADDRESS, "existingClusterId": f"c{evil}", "accessToken": token})
    vault = {
        "name": "LS_Vault",
        "properties": {"type": "AzureKeyVault", "typeProperties": {"baseUrl": f"https://v.example{evil}"}},
    }
    proposal = propose(cli, pipeline(LOAD), signs_in, vault)
    assert evil.strip() in proposal["settings"]["DATABRICKS_TOKEN_SECRET"]
    run_printed(cli)
    assert cli.query("SELECT table_name FROM track_processing") == [("sales",)]


def test_what_asks_for_endless_work_stays_open(cli: CommandLine) -> None:
    """Each variable is twenty times the next one: as texts, as a format, as a list."""
    times: dict[str, Any] = {
        "texts": lambda inner: f"[concat({', '.join([inner] * 20)})]",
        "formats": lambda inner: f"[format('{'{0}' * 20}', {inner})]",
        "lists": lambda inner: [f"[{inner}]"] * 20,
    }
    for kind, made in times.items():
        variables: dict[str, Any] = {f"v{at}": made(f"variables('v{at + 1}')") for at in range(8)}
        template = copy.deepcopy({**ARM, "variables": {**variables, "v8": "x" * 100}})
        fields = template["resources"][0]["properties"]["activities"][0]["typeProperties"]
        fields["notebookPath"] = "/load"
        fields["baseParameters"] = {"table_name": "sales", "endless": "[variables('v0')]"}
        [entry] = propose(cli, template, ARM_VALUES)["entries"]
        assert entry["entry"]["parameters"]["endless"] == "DECIDE: [variables('v0')]", kind
        assert entry["ready"] is False


def test_what_a_template_asks_for_at_most(cli: CommandLine) -> None:
    """A text of 65,536 characters is made, and none beyond."""
    half = "x" * 32_768
    template = copy.deepcopy({**ARM, "variables": {"half": half}})
    fields = template["resources"][0]["properties"]["activities"][0]["typeProperties"]
    fields["notebookPath"] = "/load"
    fields["baseParameters"] = {
        "longest": "[concat(variables('half'), variables('half'))]",
        "longer": "[format('{0}{0}.', variables('half'))]",
    }
    [entry] = propose(cli, template, ARM_VALUES)["entries"]
    assert entry["entry"]["parameters"] == {
        "longest": half * 2,
        "longer": "DECIDE: [format(..., variables('half'))]",
    }


def test_it_needs_no_settings_and_changes_nothing(tmp_path: Path) -> None:
    cli = CommandLine(folder=tmp_path, environment={})
    write(tmp_path, "p.json", pipeline(LOAD))
    assert cli("import-adf", "p.json").returncode == 0
    assert [path.name for path in tmp_path.iterdir()] == ["p.json"]


def test_only_this_command_reads_the_module() -> None:
    program = (
        "import sys, function_app, orchestrator.cli.main;"
        "print([name for name in sys.modules if 'data_factory' in name or name == 'zipfile._path'])"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True, timeout=60
    )
    assert "data_factory" not in done.stdout


#: What stands where something else should.
ODD: tuple[Any, ...] = (
    None,
    0,
    -1,
    True,
    1.5,
    "",
    "@x",
    "[parameters('x')]",
    "\ud800",
    *(f"a{end}DROP TABLE track_processing; --" for end in LINE_ENDS),
    [],
    [[]],
    {},
    {"type": []},
)


def places(document: Any) -> Iterator[tuple[Any, Any]]:
    """Yield each container of a document with each key or index in it."""
    items = document.items() if isinstance(document, dict) else enumerate(document)
    for key, value in items:
        yield document, key
        if isinstance(value, dict | list):
            yield from places(value)


@pytest.mark.slow
@pytest.mark.parametrize("sample", range(4))
def test_a_document_with_anything_anywhere_is_read_or_refused(sample: int) -> None:
    """One value after another is replaced by what nobody expects there."""
    inner = nested(inside="Switch", inner=[nested(inside="IfCondition/else", inner=[LOAD])])
    documents: list[list[Any]] = [
        [pipeline(inner, parameters={"a": {"defaultValue": 1}})],
        [pipeline(LOAD)],
        [ARM, ARM_VALUES],
    ]
    chosen = [[*documents[0], EXISTING, VAULT], [*documents[1], JOB_CLUSTER], documents[2], documents[0]][
        sample
    ]
    read = 0
    for at in range(len(list(places(chosen)))):
        for odd in ODD:
            changed = copy.deepcopy(chosen)
            container, key = next(itertools.islice(places(changed), at, None))
            container[key] = odd
            with contextlib.suppress(ExportUnreadable):
                files = [exports.File(name="f.json", document=each) for each in changed]
                lines = list(import_adf._lines(proposals.propose(exports.read(files), "table_name")))
                read += 1
                printed = "\n".join(lines).splitlines()
                assert all(line.startswith(("--", "INSERT INTO ")) or not line for line in printed)
    assert read > 100
