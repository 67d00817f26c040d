"""Canaries in what people and other systems give to the app: settings, entries, queue messages."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from orchestrator import settings
from orchestrator.core.errors import OrchestratorError, QueueError, SettingsError
from orchestrator.core.models import NewEntry
from orchestrator.core.states import Status
from orchestrator.settings.local_file import environment
from tests.databricks.support import Workspace, ok
from tests.security.app import Apps
from tests.security.canary import (
    CLIENT_SECRET,
    PARAMETERS,
    PASSWORD,
    PROXY_PASSWORD,
    SIGNATURE,
    TOKEN,
    WRONG_STORAGE_KEY,
    Evidence,
)

SQL = f"SERVER=db.example;DATABASE=d;UID=u;PWD={PASSWORD}"
STORAGE = f"AccountName=acme;AccountKey={WRONG_STORAGE_KEY}"

#: Settings that hold secrets, each with something wrong.
ALL_WRONG = {
    "DATABRICKS_HOST": f"https://token:{TOKEN}@adb-1.azuredatabricks.net/path?token={TOKEN}",
    "DATABRICKS_TOKEN": TOKEN,
    "DATABRICKS_TOKEN_SECRET": TOKEN,
    "DATABRICKS_CLIENT_ID": CLIENT_SECRET,
    "DATABRICKS_CLIENT_SECRET": CLIENT_SECRET,
    "DATABRICKS_CLIENT_SECRET_NAME": CLIENT_SECRET,
    "DATABRICKS_TENANT_ID": CLIENT_SECRET,
    "DATABRICKS_WORKSPACE_ID": CLIENT_SECRET,
    "HTTPS_PROXY": f"https://app:{PROXY_PASSWORD}@proxy",
    "HTTP_PROXY": f"http://app:{PROXY_PASSWORD}",
    "DATABRICKS_JOB_ID": TOKEN,
    "MAX_ACTIVE_RUNS": TOKEN,
    "MAX_ATTEMPTS": PASSWORD,
    "RETRY_BACKOFF_SECONDS": PASSWORD,
    "SUBMIT_LEASE_SECONDS": PASSWORD,
    "RUN_TIMEOUT_SECONDS": PASSWORD,
    "SERIALIZE_TABLES": PASSWORD,
    "SUBMIT_QUEUE_NAME": STORAGE,
    "TRIGGER_SCHEDULE": TOKEN,
    "MONITOR_SCHEDULE": TOKEN,
    "KEY_VAULT_URL": f"http://{TOKEN}:{TOKEN}@x",
    "SQL_CONNECTION_STRING": SQL,
    "STATE_DB": SQL,
    "STATUS_MAP": SQL,
    "AzureWebJobsStorage": f"AccountKey={WRONG_STORAGE_KEY}",
    "DATABRICKS_WORKSPACES": json.dumps(
        {"eu": {"auth": TOKEN, "token": TOKEN, "host": TOKEN, TOKEN: PASSWORD, "cap": TOKEN}}
    ),
}

#: Settings where one holds the value that belongs in another.
GOOD = {
    "DATABRICKS_HOST": "adb-1.azuredatabricks.net",
    "DATABRICKS_TOKEN": TOKEN,
    "SQL_CONNECTION_STRING": SQL,
    "AzureWebJobsStorage": STORAGE,
}
MIXED_UP = {
    "the token as host": {"DATABRICKS_HOST": TOKEN},
    "the token inside the host": {"DATABRICKS_HOST": f"https://{TOKEN}@adb-1.azuredatabricks.net"},
    "one host with a token for two": {
        "DATABRICKS_HOST": f"https://{TOKEN}@adb-1.azuredatabricks.net",
        "DATABRICKS_WORKSPACES": json.dumps(
            {"eu": {"host": f"https://{TOKEN}@adb-1.azuredatabricks.net", "token": TOKEN}}
        ),
    },
    "the token as the secret's name": {
        "DATABRICKS_TOKEN": "",
        "DATABRICKS_TOKEN_SECRET": TOKEN,
        "KEY_VAULT_URL": "https://v.vault.azure.net",
    },
    "the client secret as its name": {
        "DATABRICKS_AUTH": "oauth",
        "DATABRICKS_CLIENT_ID": "0a1b2c3d-1111-2222-3333-444455556666",
        "DATABRICKS_CLIENT_SECRET_NAME": CLIENT_SECRET,
        "KEY_VAULT_URL": "https://v.vault.azure.net",
    },
    "the client secret as client id": {
        "DATABRICKS_AUTH": "oauth",
        "DATABRICKS_CLIENT_ID": CLIENT_SECRET,
        "DATABRICKS_CLIENT_SECRET": CLIENT_SECRET,
    },
    "a password in the vault's address": {"KEY_VAULT_URL": f"https://u:{PASSWORD}@v.vault.azure.net"},
    "a signature in the vault's address": {"KEY_VAULT_URL": f"https://v.vault.azure.net?sig={SIGNATURE}"},
    "the connection string as file": {"STATE_DB": SQL, "SQL_CONNECTION_STRING": ""},
    "storage as schedule": {"TRIGGER_SCHEDULE": STORAGE},
    "the token as key": {"DATABRICKS_WORKSPACES": json.dumps({"eu": {TOKEN: "token", "host": "adb-2.x"}})},
    "workspaces as text": {"DATABRICKS_WORKSPACES": TOKEN},
    "a signature in the queue's address": {
        "AzureWebJobsStorage": "",
        "AzureWebJobsStorage__queueServiceUri": f"https://acme.queue.core.windows.net?sig={SIGNATURE}",
    },
}


def refused(environment: dict[str, str], evidence: Evidence) -> list[str]:
    """Return the problems of settings that must be refused, and keep the texts of the error."""
    with pytest.raises(SettingsError) as caught:
        settings.load(environment)
    evidence.error(caught.value)
    return caught.value.problems


def test_every_setting_wrong_at_once(evidence: Evidence) -> None:
    problems = "\n".join(refused(ALL_WRONG, evidence))
    for name in ALL_WRONG:
        assert name in problems


@pytest.mark.parametrize("mix_up", MIXED_UP)
def test_a_secret_in_the_wrong_setting(mix_up: str, evidence: Evidence) -> None:
    """It is refused, because the value of this setting is shown."""
    settings.load(GOOD)
    assert refused({**GOOD, **MIXED_UP[mix_up]}, evidence)


def test_a_settings_file_that_is_not_json(tmp_path: Path, evidence: Evidence) -> None:
    (tmp_path / "local.settings.json").write_text(f'{{"Values": {{"DATABRICKS_TOKEN": "{TOKEN}", }}}}')
    with pytest.raises(SettingsError) as caught:
        environment(tmp_path)
    evidence.error(caught.value)


def test_settings_never_show_themselves(evidence: Evidence) -> None:
    loaded = settings.load(GOOD)
    evidence.add("settings", f"{loaded!r} {loaded} {loaded.workspaces[0]!r} {loaded.store} {loaded.queue}")


CONTENT = json.dumps(PARAMETERS)

#: Entries that can never be submitted.
ROWS = {
    "not JSON": {"parameters": CONTENT[:-1]},
    "not an object": {"parameters": f"[{CONTENT}]"},
    "nested": {"parameters": json.dumps({"x": PARAMETERS})},
    "too large": {"parameters": json.dumps({**PARAMETERS, "x": PARAMETERS["db_password"] * 1_000})},
    "not a number": {"parameters": f'{{"x": {CONTENT}, "y": NaN}}'},
    "lone surrogate": {"parameters": CONTENT[:-1] + ', "x": "\\ud800"}'},
    "an object for a list": {"parameters": CONTENT, "parameter_style": "python_params"},
    "an unknown style": {"parameters": CONTENT, "parameter_style": "nothing"},
}


@pytest.mark.parametrize("row", ROWS)
async def test_an_entry_that_can_never_be_submitted(apps: Apps, workspace: Workspace, row: str) -> None:
    workspace.replies = [ok({})]
    async with apps.app(workspace) as running:
        values = {"parameter_style": "notebook_params", **ROWS[row]}
        await running.app.operator.add([NewEntry(table_name="sales", **values)])  # type: ignore[arg-type]  # all texts
        await running.app.trigger()
        await running.submit_all()
        entry = await running.app.store.get(1)
        assert entry is not None
        assert entry.status is Status.DEAD
        running.evidence.add("entry", repr(entry))
        running.evidence.add("last_error", entry.last_error)
        running.evidence.database(running.database)


MESSAGES: dict[str, Callable[[str], bytes]] = {
    "text": lambda secret: secret.encode(),
    "text in another encoding": lambda secret: b"\xff\xfe" + secret.encode("latin-1"),
    "JSON text": lambda secret: json.dumps(secret).encode(),
    "list": lambda secret: json.dumps([secret]).encode(),
    "no ids": lambda secret: json.dumps({"entry_id": secret, "submission": secret}).encode(),
    "broken": lambda secret: json.dumps({"entry_id": 1, "submission": secret})[:-1].encode(),
    "deep": lambda secret: b"[" * 100_000 + secret.encode(),
    "huge number": lambda secret: b'{"entry_id": ' + b"9" * 5_000 + b', "x": "' + secret.encode() + b'"}',
}


@pytest.mark.parametrize("message", MESSAGES)
async def test_a_queue_message_of_somebody_else(apps: Apps, workspace: Workspace, message: str) -> None:
    async with apps.app(workspace) as running:
        for secret in (TOKEN, PASSWORD, PARAMETERS["db_password"]):
            error = await running.attempt(running.app.submit(MESSAGES[message](secret)))
            assert isinstance(error, QueueError)


async def test_a_store_that_fails_on_an_entry(apps: Apps, workspace: Workspace) -> None:
    """A value that the database refuses is not quoted."""
    workspace.replies = [ok({})]
    async with apps.app(workspace) as running:
        row = NewEntry(table_name="sales", parameters=CONTENT, priority=PARAMETERS["db_password"])  # type: ignore[arg-type]  # wrong on purpose
        error = await running.attempt(running.app.operator.add([row]))
        assert isinstance(error, OrchestratorError)
        running.look_everywhere()
