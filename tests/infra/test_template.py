"""The template for Azure: its parts fit together, and it sets and grants what the app needs."""

import json
import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from orchestrator import settings
from tests.conftest import ROOT
from tests.infra import bicep
from tests.test_settings import names_of_settings

MAIN = bicep.INFRA / "main.bicep"
APP = bicep.INFRA / "modules" / "app.bicep"
ALERTS = bicep.INFRA / "modules" / "alerts.bicep"
PARAMETERS = json.loads((bicep.INFRA / "main.parameters.json").read_text("utf-8"))["parameters"]
AZD: dict[str, Any] = yaml.safe_load((ROOT / "azure.yaml").read_text("utf-8"))

#: Settings that an app in Azure has no use for; ``app.bicep`` names them with the reason.
NOT_IN_AZURE = {
    "STATE_DB",
    "DATABRICKS_TOKEN",
    "DATABRICKS_CLIENT_SECRET",
    "TABLE_NAME_COLUMN",
    "PARAMETERS_COLUMN",
    "STATUS_MAP",
}

#: What Azure fills in, in place of the template's expressions.
FILLED_IN = {
    "AzureWebJobsStorage__blobServiceUri": "https://st1.blob.core.windows.net/",
    "AzureWebJobsStorage__queueServiceUri": "https://st1.queue.core.windows.net/",
    "AzureWebJobsStorage__clientId": "1d3b9d8c-0000-4000-8000-00000000000a",
    "AZURE_CLIENT_ID": "1d3b9d8c-0000-4000-8000-00000000000a",
    "APPLICATIONINSIGHTS_CONNECTION_STRING": "InstrumentationKey=1d3b9d8c-0000-4000-8000-00000000000b",
    "APPLICATIONINSIGHTS_AUTHENTICATION_STRING": "ClientId=1d3b9d8c;Authorization=AAD",
    "KEY_VAULT_URL": "https://kv-1.vault.azure.net/",
    "SQL_CONNECTION_STRING": "SERVER=tcp:sql-1.database.windows.net;DATABASE=orchestration",
    "DATABRICKS_WORKSPACES": "{}",
    "SUBMIT_QUEUE_NAME": "submit-jobs",
    "TRIGGER_SCHEDULE": "0 * * * * *",
    "MONITOR_SCHEDULE": "30 * * * * *",
    "EVENTS_SECRET": "",
    "ALERT_WEBHOOK_URL": "",
}

ROLES = {
    "Storage Blob Data Owner": "b7e6dc6d-f1e8-4753-8033-0f276bb0955b",
    "Storage Queue Data Contributor": "974c5e8b-45b9-4653-ba55-5f855dd0fb88",
    "Monitoring Metrics Publisher": "3913510d-42f4-4e42-8a64-420c390055eb",
    "Key Vault Secrets User": "4633458b-17de-408a-b874-0445c86b69e6",
}


def own_settings() -> dict[str, Any]:
    """Return the app settings whose values the template makes; texts as they are, expressions as trees."""
    found: dict[str, Any] = bicep.read(APP)["variables"]["ownSettings"]["value"]
    return found


def given_settings() -> dict[str, str]:
    """Return the app settings whose values come from the environment of azd, and where from."""
    return {**PARAMETERS["settings"]["value"], **PARAMETERS["proxies"]["value"]}


@pytest.mark.parametrize("path", bicep.FILES, ids=lambda path: path.stem)
def test_modules_get_what_they_declare(path: Path) -> None:
    assert bicep.read(path)
    used = bicep.modules(path)
    for file, given in used.values():
        assert given <= bicep.parameters(file), file.name
        assert bicep.required(file) <= given, file.name
    for symbol, output in bicep.outputs_read(path):
        assert output in bicep.outputs(used[symbol][0]), f"{symbol}.outputs.{output}"


#: What names a parameter and does not use it: declarations, comments, keys of objects, and properties.
_NOT_USES = re.compile(r"(?m)^\s*(//|@|param ).*$|^\s*\w+:|^(output|var|resource|module) \w+|\.\w+")


@pytest.mark.parametrize("path", bicep.FILES, ids=lambda path: path.stem)
def test_every_parameter_is_used(path: Path) -> None:
    values = _NOT_USES.sub("", path.read_text("utf-8"))
    unused = [name for name in bicep.parameters(path) if not re.search(rf"\b{name}\b", values)]
    assert unused == []


def test_parameters_file_fits_the_template() -> None:
    assert set(PARAMETERS) <= bicep.parameters(MAIN)
    assert bicep.required(MAIN) <= set(PARAMETERS)
    assert bicep.parameters(MAIN) == set(PARAMETERS), "what azd cannot set, nobody can"


def test_parameters_have_their_defaults_in_one_place() -> None:
    """An unset variable leaves its parameter out, so that the template's default counts."""
    values = [each["value"] for each in PARAMETERS.values()]
    texts = [text for value in values for text in (value.values() if isinstance(value, dict) else [value])]
    assert [text for text in texts if not re.fullmatch(r"\$\{[A-Z][A-Z0-9_]+\}", text)] == []


def test_each_setting_of_the_app_is_set_or_named() -> None:
    known = own_settings().keys() | given_settings().keys()
    assert names_of_settings() - NOT_IN_AZURE <= known
    assert not NOT_IN_AZURE & known
    hosts = {name for name in known if name.startswith("AzureWebJobsStorage__")}
    assert known - names_of_settings() - hosts == {"APPLICATIONINSIGHTS_AUTHENTICATION_STRING"}
    text = APP.read_text("utf-8")
    assert [name for name in sorted(NOT_IN_AZURE) if name not in text] == []


def test_settings_carry_their_own_names() -> None:
    """``azd env set NAME`` sets NAME; only the proxies have others, since azd's own calls would use those."""
    assert {
        name: text for name, text in PARAMETERS["settings"]["value"].items() if text != f"${{{name}}}"
    } == {}
    assert set(PARAMETERS["proxies"]["value"].values()) == {
        "${APP_HTTPS_PROXY}",
        "${APP_HTTP_PROXY}",
        "${APP_NO_PROXY}",
    }


def test_the_app_accepts_what_the_template_sets() -> None:
    plain = {name: value for name, value in own_settings().items() if name not in FILLED_IN}
    assert plain == {
        "AzureWebJobsStorage__credential": "managedidentity",
        "FUNCTIONS_REQUEST_BODY_SIZE_LIMIT": "1048576",
    }
    assert own_settings().keys() == plain.keys() | FILLED_IN.keys()
    unset = dict.fromkeys(given_settings(), "")
    chosen = {
        "DATABRICKS_HOST": "https://adb-1.2.azuredatabricks.net",
        "DATABRICKS_TOKEN_SECRET": "databricks-token",
        "DATABRICKS_JOB_ID": "7",
    }
    in_azure = {"WEBSITE_SITE_NAME": "func-1", "WEBSITE_HOSTNAME": "func-1.azurewebsites.net"}
    loaded = settings.load({**unset, **plain, **FILLED_IN, **chosen, **in_azure})
    assert loaded.queue.managed
    assert loaded.queue.client_id == FILLED_IN["AzureWebJobsStorage__clientId"]
    assert loaded.key_vault_url == FILLED_IN["KEY_VAULT_URL"]
    assert (loaded.host_lacks, loaded.request_body_limit) == ((), 1_048_576)


def test_the_identity_has_the_roles_that_it_needs_and_no_other() -> None:
    template = bicep.read(bicep.INFRA / "modules" / "roles.bicep")
    ids = {name: each["value"] for name, each in template["variables"].items()}
    assigned = [
        ids[each["config"]["properties"]["roleDefinitionId"]["function"]["parameters"]["resource_name_1"]]
        for each in template["resources"].values()
        if each["type"] == "Microsoft.Authorization/roleAssignments"
        and each["config"]["properties"]["principalId"] == "appPrincipalId"
    ]
    assert sorted(assigned) == sorted(ROLES.values())


def test_each_role_counts_on_the_resource_that_it_is_for() -> None:
    resources = bicep.read(bicep.INFRA / "modules" / "roles.bicep")["resources"]
    scopes = {
        name: each["config"]["scope"]
        for name, each in resources.items()
        if each["type"] == "Microsoft.Authorization/roleAssignments"
    }
    assert scopes == {
        "appOnBlobs": "storage",
        "appOnQueues": "storage",
        "appOnTelemetry": "applicationInsights",
        "appOnSecrets": "vault",
        "deployerOnSecrets": "vault",
    }


def test_the_app_connects_to_the_database_that_the_template_names() -> None:
    text = bicep.read(MAIN)["variables"]["sqlConnectionString"]["value"]
    filled = _filled(text, {"sqlServer": "sql-1.database.windows.net", "sqlDatabaseName": "orchestration"})
    assert filled == FILLED_IN["SQL_CONNECTION_STRING"], "which the settings accept, see above"


def test_the_app_comes_after_its_roles_and_endpoints() -> None:
    assert re.search(
        r"^  dependsOn: \[\n    roles\n    endpoints\n  \]$", MAIN.read_text("utf-8"), re.MULTILINE
    )


def test_the_package_is_read_with_the_identity_of_the_app() -> None:
    deployment = bicep.read(APP)["resources"]["app"]["config"]["properties"]["functionAppConfig"][
        "deployment"
    ]
    assert deployment["storage"]["authentication"] == {
        "type": "UserAssignedIdentity",
        "userAssignedIdentityResourceId": "identityId",
    }


def test_alert_rules_fire_at_the_first_row_and_stand_still_at_none() -> None:
    rules = bicep.read(ALERTS)["variables"]["rules"]["value"]
    found = {rule["name"]: (rule["operator"], int(rule["threshold"]), rule["window"]) for rule in rules}
    still = ("LessThan", 1, "standStillWindow")
    some = ("GreaterThan", 0, "PT15M")
    assert found == {
        "trigger-stands-still": still,
        "monitor-stands-still": still,
        "pass-failed": some,
        "invocation-failed": some,
        "entry-dead": some,
        "poison-message": some,
    }
    text = " ".join(ALERTS.read_text("utf-8").split())
    for part in (
        "windowSize: rule.window",
        "operator: rule.operator",
        "threshold: rule.threshold",
        "query: rule.query",
    ):
        assert part in text
    assert "actions: { actionGroups: receivers }" in text
    assert "empty(email) ? [] : [ actions.id ]" in text


def test_the_bound_of_instances_is_what_the_database_bears() -> None:
    text = MAIN.read_text("utf-8")
    vcores, bound = (
        re.search(rf"^param {name} int = (\d+)$", text, re.MULTILINE)
        for name in ("sqlMaxVCores", "maximumInstanceCount")
    )
    assert vcores
    assert bound
    sizes = (ROOT / "docs" / "sqlserver.md").read_text("utf-8")
    row = re.search(rf"`GP_S_Gen5_{vcores[1]}`\) \| (\d+) \| [\d,]+ \| (\d+) \|", sizes)
    assert row
    # The maximum is each function's own: submit's ten sessions and HTTP's five on each instance; besides, ten
    # for each timer, ten for a pass over HTTP and five for a check.
    held = 15 * int(bound[1]) + 35
    assert f"the template's five hold {held}" in sizes.replace("\n", " ")
    assert held <= int(row[1])
    assert int(bound[1]) + 3 <= int(row[2])
    deploy = (ROOT / "docs" / "deploy.md").read_text("utf-8")
    assert f"| {bound[1]}, 2048 |" in deploy
    assert f"| `orchestration`, {vcores[1]} |" in deploy
    assert re.findall(r"--maximum-instance-count (\d+)", deploy) == [bound[1]]


def test_nobody_signs_in_with_a_key() -> None:
    storage = bicep.read(bicep.INFRA / "modules" / "storage.bicep")["resources"]["storage"]["config"]
    sql = bicep.read(bicep.INFRA / "modules" / "sql.bicep")["resources"]["server"]["config"]
    app = bicep.read(APP)["resources"]
    assert storage["properties"]["allowSharedKeyAccess"] is False
    assert sql["properties"]["administrators"]["azureADOnlyAuthentication"] is True
    assert [app[name]["config"]["properties"]["allow"] for name in ("publishing", "ftp")] == [False, False]


def test_alert_rules_ask_what_the_documents_ask() -> None:
    variables = bicep.read(ALERTS)["variables"]
    texts = {name: each["value"] for name, each in variables.items()}
    text = ALERTS.read_text("utf-8")
    assert "var role = toLower(split(appHost, '.')[0])" in text, "the app sends its role in lower case"
    texts.update(role="APP", hostRole="NAME", queueName="submit-jobs")
    queries = {rule["name"]: _filled(_filled(rule["query"], texts), texts) for rule in texts["rules"]}
    documented = " ".join((ROOT / "docs" / "telemetry.md").read_text("utf-8").split())
    for function in ("trigger", "monitor"):
        query = queries[f"{function}-stands-still"].replace(f'"{function}"', '"trigger"')
        assert query in documented
    passes = 'traces | where cloud_RoleName == "APP" and customDimensions.event == "pass"'
    ended = 'traces | where cloud_RoleName == "APP" and customDimensions.event in ("finished", "refused")'
    failed = (
        'requests | where cloud_RoleName in ("APP", "NAME") and success == false'
        ' and operation_Name in ("trigger", "submit", "monitor")'
    )
    poison = 'StorageQueueLogs | where OperationName == "PutMessage" and Uri contains "/submit-jobs-poison/"'
    assert queries["pass-failed"] == f'{passes} and customDimensions.outcome == "failed"'
    assert queries["invocation-failed"] == failed
    assert queries["entry-dead"] == f'{ended} and customDimensions.status == "DEAD"'
    assert queries["poison-message"] == poison
    assert queries.keys() == {
        "trigger-stands-still", "monitor-stands-still", "pass-failed", "invocation-failed", "entry-dead",
        "poison-message",
    }  # fmt: skip
    assert "var hostRole = toLower(appName)" in text
    assert "appName: app.outputs.name" in MAIN.read_text("utf-8")


def _filled(text: str, values: dict[str, Any]) -> str:
    """Put the template's values where Bicep does."""
    return re.sub(r"\$\{(\w+)\}", lambda part: str(values[part[1]]), text)


def test_azd_deploys_the_service_to_the_app() -> None:
    (name, service), *others = AZD["services"].items()
    assert (others, service["host"], service["language"], service["remoteBuild"]) == (
        [],
        "function",
        "python",
        True,
    )
    assert f"'azd-service-name': '{name}'" in APP.read_text("utf-8")
    runtime = bicep.read(APP)["resources"]["app"]["config"]["properties"]["functionAppConfig"]["runtime"]
    assert runtime == {"name": "python", "version": "3.12"}
