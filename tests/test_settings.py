"""Settings are read and checked; wrong ones are one error that lists every problem and shows no secret."""

import fcntl
import json
import re
from pathlib import Path
from typing import IO

import pytest

from orchestrator import settings
from orchestrator.core.errors import SettingsError
from orchestrator.settings import local_file
from orchestrator.settings.local_file import environment

ROOT = Path(__file__).parents[1]

#: Set by Azure, not by people.
ON_SQL = {"STATE_DB": ""}
IN_AZURE = {"WEBSITE_SITE_NAME": "app", "STATE_DB": "", "SQL_CONNECTION_STRING": "SERVER=x"}

AZURE_STORAGE = "DefaultEndpointsProtocol=https;AccountName=a;AccountKey=YQ=="

AZURES_OWN = {
    "AZURE_FUNCTIONS_ENVIRONMENT",
    "FUNCTIONS_CORETOOLS_ENVIRONMENT",
    "WEBSITE_HOSTNAME",
    "WEBSITE_SITE_NAME",
    "WEBSITE_SKU",
    "WEBSITE_SLOT_NAME",
}

#: Of services that a developer's machine does not have, and of a table that is adopted.
OF_OTHER_SERVICES = {
    "ALERT_FORMAT",
    "ALERT_WEBHOOK_URL",
    "APPLICATIONINSIGHTS_CONNECTION_STRING",
    "AZURE_CLIENT_ID",
    "DATABRICKS_TOKEN_SECRET",
    "EVENTS_SECRET",
    "KEY_VAULT_URL",
    "PARAMETERS_COLUMN",
    "SQL_CONNECTION_STRING",
    "STATUS_MAP",
    "TABLE_NAME_COLUMN",
}

GOOD = {
    "AzureWebJobsStorage": "UseDevelopmentStorage=true",
    "DATABRICKS_HOST": "https://adb-1.7.azuredatabricks.net",
    "DATABRICKS_TOKEN": "dapi-canary",
    "STATE_DB": "state.db",
}


def problems(**changes: str) -> list[str]:
    with pytest.raises(SettingsError) as caught:
        settings.load({**GOOD, **changes})
    assert "canary" not in str(caught.value)
    return caught.value.problems


def test_the_app_s_own_address_is_known_in_azure_only() -> None:
    host = {"WEBSITE_HOSTNAME": "app.azurewebsites.net"}
    assert settings.load({**GOOD, **host}).site_host is None
    azure = {**GOOD, **IN_AZURE, **host, "AzureWebJobsStorage": AZURE_STORAGE}
    assert settings.load(azure).site_host == "app.azurewebsites.net"
    assert settings.load({**azure, "AZURE_FUNCTIONS_ENVIRONMENT": "Development"}).site_host is None


def test_defaults() -> None:
    loaded = settings.load(GOOD)
    [workspace] = loaded.workspaces
    assert (workspace.name, workspace.auth, workspace.cap, workspace.job_id) == ("default", "pat", 130, None)
    assert (loaded.policy.max_attempts, loaded.policy.retry_backoff_seconds) == (3, 60)
    assert (loaded.policy.submit_lease_seconds, loaded.policy.run_timeout_seconds) == (900, 0)
    assert loaded.policy.max_deliveries == 10
    assert loaded.policy.serialize_tables
    assert loaded.queue_name == "submit-jobs"


def test_secrets_are_not_in_the_repr() -> None:
    assert "canary" not in repr(settings.load(GOOD))
    odbc = {**GOOD, "STATE_DB": "", "SQL_CONNECTION_STRING": "SERVER=x;UID=a;PWD=canary"}
    assert "canary" not in repr(settings.load(odbc))


def test_alerts_events_and_telemetry() -> None:
    loaded = settings.load(GOOD)
    assert (loaded.alerts, loaded.events_secret, loaded.telemetry_connection_string) == (None, None, None)
    assert loaded.pass_late_seconds == 900
    url = "https://hooks.example.com/workflows/canary-canary-canary-1/run?sp=a&sig=canary-canary-canary-2"
    loaded = settings.load(
        {
            **GOOD,
            "ALERT_WEBHOOK_URL": url,
            "ALERT_FORMAT": "Teams",
            "EVENTS_SECRET": "canary-canary-canary",
            "APPLICATIONINSIGHTS_CONNECTION_STRING": "InstrumentationKey=canary",
        }
    )
    assert loaded.alerts is not None
    assert (loaded.alerts.url, loaded.alerts.format) == (url, "teams")
    assert "canary" not in repr(loaded)
    assert {"canary-canary-canary-1", "canary-canary-canary-2", "canary-canary-canary"} < set(
        loaded.secrets()
    )


@pytest.mark.parametrize(
    "name", ["ALERT_WEBHOOK_URL", "EVENTS_SECRET", "APPLICATIONINSIGHTS_CONNECTION_STRING"]
)
def test_the_app_does_without_an_optional_setting_that_azure_has_not_resolved(name: str) -> None:
    """Its text is no secret: whoever knows how vaults are named could guess it."""
    loaded = settings.load(
        {**GOOD, name: "@Microsoft.KeyVault(SecretUri=https://v.vault.azure.net/secrets/s)"}
    )
    assert loaded.unresolved == (name,)
    assert (loaded.alerts, loaded.events_secret, loaded.telemetry_connection_string) == (None, None, None)


@pytest.mark.parametrize(
    "text",
    [
        "DRIVER={ODBC Driver 18 for SQL Server};SERVER=tcp:acme.database.windows.net,1433;DATABASE=jobs",
        "Server=acme;Database=jobs;Uid=a;Pwd={x;Initial Catalog=y}}};",
        # as the portal shows it under ODBC
        "Driver={ODBC Driver 18 for SQL Server};Server=tcp:acme.database.windows.net,1433;Database=jobs;"
        "Uid=a;Pwd={your_password_here};Encrypt=yes;TrustServerCertificate=no;Connection Timeout=30;",
        "SERVER=acme;DATABASE=jobs;Application Name=x;MultipleActiveResultSets=True;Pooling=no",
        "SERVER=acme;Authentication=ActiveDirectoryMsi;UID=7",
        "DSN=acme",
        "server = acme ; authentication = {ActiveDirectoryIntegrated}",
    ],
)
def test_odbc_connection_strings(text: str) -> None:
    assert (
        settings.load({**GOOD, **ON_SQL, "SQL_CONNECTION_STRING": text}).store.sql_connection_string == text
    )


@pytest.mark.parametrize(
    ("name", "value", "what"),
    [
        ("ALERT_WEBHOOK_URL", "http://hooks.example.com/canary", "must be an https address"),
        ("ALERT_WEBHOOK_URL", "https://user:canary@hooks.example.com/", "must be an https address"),
        ("ALERT_WEBHOOK_URL", "canary", "must be an https address"),
        ("ALERT_WEBHOOK_URL", "https://[canary", "must be an https address"),
        ("ALERT_WEBHOOK_URL", "https://canary.example.com:99999/", "a port is a number from 1 to 65535"),
        ("ALERT_WEBHOOK_URL", "https://hooks.example.com:canary/", "a port is a number from 1 to 65535"),
        ("ALERT_WEBHOOK_URL", "https://canary.example.com:0/", "a port is a number from 1 to 65535"),
        ("ALERT_WEBHOOK_URL", "https://hooks.example.com/can ary", "without a user name or blanks"),
        ("ALERT_FORMAT", "canary", "must be json or teams"),
        ("EVENTS_SECRET", "canary", "at least 16 characters"),
        ("TICK_LATE_SECONDS", "1", "must be a number from 60"),
    ],
)
def test_bad_address_format_or_secret(name: str, value: str, what: str) -> None:
    [problem] = problems(**{name: value})
    assert problem.startswith(name)
    assert what in problem


def test_all_problems_at_once() -> None:
    found = problems(
        DATABRICKS_HOST="http://example.com",
        DATABRICKS_AUTH="password",
        DATABRICKS_JOB_ID="five",
        MAX_ACTIVE_RUNS="0",
        MAX_ATTEMPTS="-1",
        RETRY_BACKOFF_SECONDS="soon",
        SERIALIZE_TABLES="perhaps",
        SUBMIT_QUEUE_NAME="Submit_Jobs",
        TRIGGER_SCHEDULE="* * * * *",
        KEY_VAULT_URL="http://vault",
        SQL_CONNECTION_STRING="SERVER=x;PWD=canary",
        AzureWebJobsStorage="",
    )
    text = "\n".join(found)
    for name in (
        "DATABRICKS_HOST",
        "DATABRICKS_AUTH",
        "DATABRICKS_JOB_ID",
        "MAX_ACTIVE_RUNS",
        "MAX_ATTEMPTS",
        "RETRY_BACKOFF_SECONDS",
        "SERIALIZE_TABLES",
        "SUBMIT_QUEUE_NAME",
        "TRIGGER_SCHEDULE",
        "KEY_VAULT_URL",
        "SQL_CONNECTION_STRING",
        "AzureWebJobsStorage",
    ):
        assert name in text


@pytest.mark.parametrize("value", ["nan", "inf", "1e9", "1.5", "", " 4 "])
def test_odd_numbers(value: str) -> None:
    if value.strip() in {"", "4"}:
        assert settings.load({**GOOD, "MAX_ATTEMPTS": value}).policy.max_attempts in {3, 4}
    else:
        assert "MAX_ATTEMPTS" in problems(MAX_ATTEMPTS=value)[0]


@pytest.mark.parametrize(
    ("changes", "problem"),
    [
        ({"DATABRICKS_HOST": ""}, "DATABRICKS_HOST must be set"),
        ({"DATABRICKS_HOST": "https://user@host"}, "https address"),
        ({"DATABRICKS_HOST": "https://host/path"}, "https address"),
        ({"DATABRICKS_HOST": "https://[x"}, "https address"),
        ({"DATABRICKS_HOST": "https://canary.example.com:99999"}, "a port is a number from 1 to 65535"),
        ({"DATABRICKS_HOST": "canary.example.com:dapi"}, "a port is a number from 1 to 65535"),
        ({"KEY_VAULT_URL": "https://canary.vault.azure.net:99999"}, "must look like https://NAME.vault"),
        (
            {"AzureWebJobsStorage": "", "AzureWebJobsStorage__queueServiceUri": "https://canary.net:x"},
            "must look like https://<account>.queue.core.windows.net",
        ),
        ({"STATUS_MAP": '{"LOADED": "READY"}'}, "STATUS_MAP must be JSON"),
        ({"KEY_VAULT_URL": "https://[x"}, "KEY_VAULT_URL"),
        (
            {"DATABRICKS_WORKSPACES": '{"eu": {"host": "ADB-1.7.azuredatabricks.net", "auth": "entra"}}'},
            "two workspaces have the host",
        ),
        ({"DATABRICKS_WORKSPACES": '{"eu": {"host": "https://x"}}'}, "no token: set KEY_VAULT_URL and"),
        ({"DATABRICKS_TOKEN": ""}, "no token"),
        ({"DATABRICKS_TOKEN_SECRET": "dbx"}, "both set"),
        ({"DATABRICKS_TOKEN": "", "DATABRICKS_TOKEN_SECRET": "dbx"}, "needs KEY_VAULT_URL"),
        ({"STATE_DB": ""}, "exactly one of"),
        ({"WEBSITE_SITE_NAME": "app"}, "refused in Azure"),
        ({**IN_AZURE, "SQL_CONNECTION_STRING": "SERVER=x;TrustServerCertificate=yes"}, "certificate off"),
        ({**IN_AZURE, "SQL_CONNECTION_STRING": "SERVER=x; encrypt = {Optional}"}, "certificate off"),
        ({**IN_AZURE, "AzureWebJobsStorage": "DefaultEndpointsProtocol=http;AccountName=a"}, "plain http"),
        ({**IN_AZURE, "AzureWebJobsStorage": "QueueEndpoint=http://a/b;AccountName=a"}, "plain http"),
        *(
            ({**ON_SQL, "SQL_CONNECTION_STRING": text}, problem)
            for text, problem in (
                (
                    "Server=tcp:acme.database.windows.net,1433;Initial Catalog=jobs;"
                    "Persist Security Info=False;User ID=a;Password=canary;Encrypt=True",
                    "is one for ADO.NET; write SERVER=tcp:acme.database.windows.net,1433;DATABASE=jobs, with",
                ),
                (
                    'Server=acme;Authentication="Active Directory Default";Database=jobs',
                    "has an Authentication that the ODBC driver does not know: leave it out",
                ),
                (
                    "jdbc:sqlserver://acme.database.windows.net:1433;database=jobs;user=a;password=canary",
                    "JDBC",
                ),
                ("acme.database.windows.net", "names no server; write the ODBC form"),
                ("mssql+pyodbc://a:canary@acme/jobs", "names no server"),
                ("DATABASE=jobs;UID=a;PWD=canary", "names no server"),
                (
                    "@Microsoft.KeyVault(SecretUri=https://v.vault.azure.net/secrets/canary)",
                    "has not resolved",
                ),
            )
        ),
        (
            {"DATABRICKS_TOKEN": "@Microsoft.KeyVault(VaultName=v;SecretName=canary)"},
            "DATABRICKS_TOKEN holds a",
        ),
        (
            {"DATABRICKS_HOST": "@AppConfig(Endpoint=https://e;Key=canary)"},
            "DATABRICKS_HOST holds a reference",
        ),
        ({"DATABRICKS_WORKSPACES": "[]"}, "must be JSON"),
        ({"DATABRICKS_WORKSPACES": '{"eu":' * 100_000 + "1" + "}" * 100_000}, "must be JSON"),
        ({"DATABRICKS_HOST": "adb..net"}, "DATABRICKS_HOST must be an https address of a host"),
        ({"DATABRICKS_HOST": "https://adb.net;x"}, "DATABRICKS_HOST must be an https address of a host"),
        ({"DATABRICKS_HOST": "https://adb_1.net"}, "DATABRICKS_HOST must be an https address of a host"),
        ({"DATABRICKS_HOST": "https://-adb.net"}, "DATABRICKS_HOST must be an https address of a host"),
        ({"DATABRICKS_WORKSPACES": '{"eu": {"hots": "x"}}'}, "unknown keys hots"),
        ({"DATABRICKS_WORKSPACES": '{"default": {"host": "https://x"}}'}, "is not 'default'"),
        (
            {"DATABRICKS_JOB_ID": "7", "DATABRICKS_JOB_NAME": "nightly"},
            "DATABRICKS_JOB_ID and DATABRICKS_JOB_NAME are both set: keep the one that names the default job",
        ),
        (
            {"DATABRICKS_WORKSPACES": '{"eu": {"host": "https://x.y", "job_id": 7, "job_name": "nightly"}}'},
            "DATABRICKS_WORKSPACES.eu.job_id and DATABRICKS_WORKSPACES.eu.job_name are both set",
        ),
        (
            {"DATABRICKS_WORKSPACES": '{"eu": {"host": "https://x.y", "job_name": 7}}'},
            "DATABRICKS_WORKSPACES.eu.job_name must be a job's name",
        ),
    ],
)
def test_single_problems(changes: dict[str, str], problem: str) -> None:
    assert any(problem in found for found in problems(**changes))


ID = "0a1b2c3d-1111-2222-3333-444455556666"
VAULT = {"KEY_VAULT_URL": "https://team.vault.azure.net"}
OAUTH = {"DATABRICKS_TOKEN": "", "DATABRICKS_AUTH": "oauth", "DATABRICKS_CLIENT_ID": ID}
PRINCIPAL = {**OAUTH, "DATABRICKS_AUTH": "entra", "DATABRICKS_TENANT_ID": "team.onmicrosoft.com"}


@pytest.mark.parametrize(
    "changes",
    [
        {**OAUTH, "DATABRICKS_CLIENT_SECRET": "dose-canary"},
        {**OAUTH, **VAULT, "DATABRICKS_CLIENT_SECRET_NAME": "dbx-client"},
        {**OAUTH, "DATABRICKS_AUTH": "OAuth", "DATABRICKS_CLIENT_SECRET": "dose-canary"},
        {**PRINCIPAL, "DATABRICKS_CLIENT_SECRET": "canary~1"},
        {**PRINCIPAL, **VAULT, "DATABRICKS_CLIENT_SECRET_NAME": "dbx-client"},
        {"DATABRICKS_TOKEN": "", "DATABRICKS_AUTH": "entra", "DATABRICKS_CLIENT_ID": ID},
        {"DATABRICKS_TOKEN": "", "DATABRICKS_AUTH": "entra"},
    ],
)
def test_ways_to_sign_in(changes: dict[str, str]) -> None:
    loaded = settings.load({**GOOD, **changes})
    [workspace] = loaded.workspaces
    assert workspace.auth == changes["DATABRICKS_AUTH"].lower()
    assert workspace.client_id == changes.get("DATABRICKS_CLIENT_ID")
    assert workspace.client_secret_name == changes.get("DATABRICKS_CLIENT_SECRET_NAME")
    assert workspace.client_secret == changes.get("DATABRICKS_CLIENT_SECRET")
    assert workspace.client_secret is None or workspace.client_secret in loaded.secrets()
    assert "canary" not in repr(loaded)


@pytest.mark.parametrize(
    ("changes", "problem"),
    [
        ({"DATABRICKS_AUTH": "canary"}, "DATABRICKS_AUTH must be pat, oauth or entra"),
        ({"DATABRICKS_CLIENT_ID": ID}, "DATABRICKS_AUTH is pat, which does not use DATABRICKS_CLIENT_ID:"),
        (
            {"DATABRICKS_TENANT_ID": "t", "DATABRICKS_CLIENT_SECRET": "canary"},
            "which does not use DATABRICKS_TENANT_ID and DATABRICKS_CLIENT_SECRET",
        ),
        (OAUTH, "no client secret: set KEY_VAULT_URL and DATABRICKS_CLIENT_SECRET_NAME, or"),
        ({"DATABRICKS_AUTH": "oauth"}, "DATABRICKS_CLIENT_ID must be set to sign in with a client secret"),
        ({**OAUTH, "DATABRICKS_CLIENT_SECRET_NAME": "dbx"}, "CLIENT_SECRET_NAME needs KEY_VAULT_URL"),
        (
            {**OAUTH, **VAULT, "DATABRICKS_CLIENT_SECRET_NAME": "x", "DATABRICKS_CLIENT_SECRET": "canary"},
            "DATABRICKS_CLIENT_SECRET_NAME and DATABRICKS_CLIENT_SECRET are both set",
        ),
        (
            {**OAUTH, **VAULT, "DATABRICKS_CLIENT_SECRET_NAME": "dose0123456789abcdef-canary"},
            "must be the name of a secret in Key Vault (letters, digits and hyphens), not the client secret",
        ),
        (
            {**OAUTH, **VAULT, "DATABRICKS_CLIENT_SECRET_NAME": "abc8Q~canary"},
            "must be the name of a secret in Key Vault",
        ),
        (
            {**OAUTH, "DATABRICKS_CLIENT_ID": "dose0123456789abcdef-canary"},
            "DATABRICKS_CLIENT_ID must be an id such as",
        ),
        ({**OAUTH, "DATABRICKS_CLIENT_ID": "abc8Q~canary"}, "DATABRICKS_CLIENT_ID must be an id such as"),
        (
            {**OAUTH, "DATABRICKS_CLIENT_SECRET": "canary", "DATABRICKS_TENANT_ID": "t"},
            "DATABRICKS_AUTH is oauth, which does not use DATABRICKS_TENANT_ID",
        ),
        (PRINCIPAL, "no client secret: set KEY_VAULT_URL and"),
        (
            {**PRINCIPAL, "DATABRICKS_CLIENT_ID": "", "DATABRICKS_CLIENT_SECRET": "canary"},
            "DATABRICKS_CLIENT_ID must be set",
        ),
        (
            {**PRINCIPAL, "DATABRICKS_TENANT_ID": "", "DATABRICKS_CLIENT_SECRET": "canary"},
            "DATABRICKS_TENANT_ID must be set",
        ),
        ({"DATABRICKS_WORKSPACE_ID": "abc"}, "DATABRICKS_WORKSPACE_ID "),
        (
            {"DATABRICKS_WORKSPACES": '{"eu": {"host": "a.x", "auth": "oauth", "client_secret": "canary"}}'},
            "DATABRICKS_WORKSPACES.eu.client_id must be set",
        ),
        (
            {"DATABRICKS_WORKSPACES": '{"eu": {"host": "adb-2.x", "auth": "entra", "tenant_id": "t"}}'},
            "DATABRICKS_WORKSPACES.eu.client_id must be set",
        ),
    ],
)
def test_contradictory_ways_to_sign_in(changes: dict[str, str], problem: str) -> None:
    assert any(problem in found for found in problems(**changes))


@pytest.mark.parametrize(
    "host",
    [
        "https://adb-1.7.azuredatabricks.net",
        "adb-1.7.azuredatabricks.net",
        "https://ADB-1.7.AzureDatabricks.net",
        "HTTPS://adb-1.7.azuredatabricks.net",
        "https://adb-1.7.azuredatabricks.net:443",
        "https://adb-1.7.azuredatabricks.net.",
        "https://adb-1.7.azuredatabricks.net/",
        "https://adb-1.7.azuredatabricks.net//",
        "https://Adb-1.7.azuredatabricks.net.:0443/",
    ],
)
def test_one_workspace_is_one_however_its_address_is_written(host: str) -> None:
    alone = settings.load({**GOOD, "DATABRICKS_HOST": host})
    assert alone.workspaces[0].host == "https://adb-1.7.azuredatabricks.net"
    both = {
        "DATABRICKS_HOST": "https://adb-1.7.azuredatabricks.net",
        "DATABRICKS_WORKSPACES": json.dumps({"eu": {"host": host, "auth": "entra"}}),
    }
    with pytest.raises(SettingsError, match=r"two workspaces have the host https://adb-1\.7\."):
        settings.load({**GOOD, **both})


def test_another_port_is_another_workspace() -> None:
    eu = {"host": "https://adb-1.7.azuredatabricks.net:8443", "auth": "entra"}
    loaded = settings.load({**GOOD, "DATABRICKS_WORKSPACES": json.dumps({"eu": eu})})
    assert [each.host for each in loaded.workspaces][1] == "https://adb-1.7.azuredatabricks.net:8443"


@pytest.mark.parametrize(
    ("default", "second", "ok"),
    [("1", 2, True), ("1", "2", True), ("1", 1, False), ("1", None, False), ("", 2, False)],
)
def test_workspaces_behind_one_host(default: str, second: object, *, ok: bool) -> None:
    eu = {"host": GOOD["DATABRICKS_HOST"].upper().replace("HTTPS", "https"), "token": "dapi-canary"}
    further = json.dumps({"eu": {**eu, **({} if second is None else {"workspace_id": second})}})
    changes = {"DATABRICKS_WORKSPACES": further, "DATABRICKS_WORKSPACE_ID": default}
    if ok:
        loaded = settings.load({**GOOD, **changes})
        assert [workspace.workspace_id for workspace in loaded.workspaces] == [1, 2]
    else:
        assert "give each the workspace_id of its own" in problems(**changes)[0]


def test_further_workspaces() -> None:
    text = json.dumps(
        {"eu": {"host": "adb-2.8.azuredatabricks.net", "auth": "entra", "job_id": 9, "cap": 40}}
    )
    _, eu = settings.load({**GOOD, "DATABRICKS_WORKSPACES": text}).workspaces
    assert (eu.host, eu.auth, eu.job_id, eu.cap) == ("https://adb-2.8.azuredatabricks.net", "entra", 9, 40)


def test_default_job_by_name() -> None:
    text = json.dumps({"eu": {"host": "adb-2.8.azuredatabricks.net", "auth": "entra", "job_name": "load eu"}})
    found = settings.load({**GOOD, "DATABRICKS_JOB_NAME": "nightly", "DATABRICKS_WORKSPACES": text})
    names = [(each.policy().job_id, each.policy().job_name) for each in found.workspaces]
    assert names == [(None, "nightly"), (None, "load eu")]


def test_plain_http_is_for_this_machine_only() -> None:
    for host in ("http://127.0.0.1:8765", "http://localhost:1", "http://[::1]:1"):
        assert settings.load({**GOOD, "DATABRICKS_HOST": host}).workspaces[0].host == host


def test_addresses_with_a_port() -> None:
    loaded = settings.load(
        {
            **GOOD,
            "DATABRICKS_HOST": "https://host.example.com:8443",
            "ALERT_WEBHOOK_URL": "https://[2001:db8::1]:65535/",
        }
    )
    assert loaded.workspaces[0].host == "https://host.example.com:8443"
    assert loaded.alerts is not None


def test_core_tools_on_a_laptop_is_not_azure() -> None:
    local = {"WEBSITE_SITE_NAME": "app", "AZURE_FUNCTIONS_ENVIRONMENT": "Development"}
    assert settings.load({**GOOD, **local}).store.state_db == Path("state.db")


def test_store_alone_needs_nothing_else() -> None:
    assert settings.load_store({"STATE_DB": "x.db"}).state_db == Path("x.db")


def test_environment_goes_before_local_settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "local.settings.json").write_text('{"Values": {"A_SETTING": "file", "B_SETTING": "file"}}')
    monkeypatch.setenv("A_SETTING", "environment")
    found = environment(tmp_path)
    assert (found["A_SETTING"], found["B_SETTING"]) == ("environment", "file")
    (tmp_path / "local.settings.json").write_text('\ufeff{"Values": {"B_SETTING": "marked"}}', "utf-8")
    assert environment(tmp_path)["B_SETTING"] == "marked"
    (tmp_path / "local.settings.json").write_text('{"Values": {\n  // a comment\n}}')
    with pytest.raises(SettingsError, match=r"not JSON: .* \(line 2, column 3\); comments are not allowed"):
        environment(tmp_path)
    (tmp_path / "local.settings.json").write_text("[]")
    with pytest.raises(SettingsError, match="not JSON with an object Values"):
        environment(tmp_path)


def stack_file(folder: Path, values: dict[str, str]) -> IO[str]:
    path = folder / ".run" / "stack.json"
    path.parent.mkdir(exist_ok=True)
    path.write_text(json.dumps({"Values": values}), encoding="utf-8")
    return path.open(encoding="utf-8")


def test_stack_that_is_up_goes_before_local_settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "local.settings.json").write_text('{"Values": {"A_SETTING": "file", "C_SETTING": "file"}}')
    monkeypatch.setenv("B_SETTING", "environment")
    with stack_file(tmp_path, {"A_SETTING": "stack", "B_SETTING": "stack"}) as file:
        assert environment(tmp_path)["A_SETTING"] == "file", "a stack that was killed leaves its file"
        fcntl.flock(file, fcntl.LOCK_EX)
        found = environment(tmp_path)
        assert [found[f"{name}_SETTING"] for name in "ABC"] == ["stack", "environment", "file"]
    assert local_file.running_stack(tmp_path) == {}


@pytest.mark.parametrize("name", ["STATE_DB", "SQL_CONNECTION_STRING", "AzureWebJobsStorage"])
def test_shell_with_another_database_uses_nothing_of_the_stack(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    """For example a shell that has the settings of an earlier stack."""
    with stack_file(
        tmp_path, {"STATE_DB": "new.db", "AzureWebJobsStorage": "new", "A_SETTING": "new"}
    ) as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        stack = local_file.running_stack(tmp_path)
        assert local_file.own_state(stack) == []
        monkeypatch.setenv(name, "old")
        assert local_file.own_state(stack) == [name]
        found = environment(tmp_path)
        assert (found.get("A_SETTING"), found[name]) == (None, "old")


def test_core_tools_are_refused_beside_another_stack(tmp_path: Path) -> None:
    values = {"STATE_DB": "/x/state.db", "AzureWebJobsStorage": "UseDevelopmentStorage=true;x"}
    func = {"FUNCTIONS_CORETOOLS_ENVIRONMENT": "true"}
    with stack_file(tmp_path, values) as file:
        assert local_file.other_stack(tmp_path, {**func, "STATE_DB": "state.db"}) is None
        fcntl.flock(file, fcntl.LOCK_EX)
        refused = local_file.other_stack(tmp_path, {**func, "STATE_DB": "state.db"})
        assert refused is not None
        assert "with another database and another queue: stop it" in refused
        assert local_file.other_stack(tmp_path, {**func, **values}) is None, "it has the stack's settings"
        assert local_file.other_stack(tmp_path, {"STATE_DB": "state.db"}) is None, "no Core Tools"


def test_sample_settings_are_complete_and_valid() -> None:
    sample = json.loads((ROOT / "local.settings.sample.json").read_text(encoding="utf-8"))["Values"]
    assert settings.load(sample).trigger_schedule


def names_of_settings() -> set[str]:
    """Return the settings that the code reads."""
    sources = [path.read_text(encoding="utf-8") for path in (ROOT / "orchestrator" / "settings").glob("*.py")]
    names = set(re.findall(r'"([A-Z][A-Z]+(?:_[A-Z]+)+)"', "\n".join(sources))) - AZURES_OWN
    assert len(names) > 15
    return names


def test_every_setting_is_in_the_table_of_the_settings() -> None:
    lines = (ROOT / "docs" / "settings.md").read_text(encoding="utf-8").splitlines()
    tables = "\n".join(line for line in lines if line.startswith("|"))
    assert [name for name in sorted(names_of_settings()) if f"`{name}`" not in tables] == []


def test_every_setting_for_local_work_is_in_the_sample() -> None:
    sample = json.loads((ROOT / "local.settings.sample.json").read_text(encoding="utf-8"))["Values"]
    assert names_of_settings() - sample.keys() == OF_OTHER_SERVICES


def test_nothing_else_reads_the_environment() -> None:
    files = [ROOT / "function_app.py", *(ROOT / "orchestrator").rglob("*.py")]
    texts = {path: path.read_text(encoding="utf-8") for path in files}
    readers = {path.parent.name for path in files if re.search(r"os\.(environ|getenv)", texts[path])}
    assert readers == {"settings"}
