"""local.settings.json and host.json."""

import json
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from devstack.host.settings import (
    HostError,
    HostOptions,
    QueueOptions,
    load_host_options,
    load_settings,
    resolve,
)


def host_json(folder: Path, **content: Any) -> HostOptions:
    (folder / "host.json").write_text(json.dumps({"version": "2.0", **content}), encoding="utf-8")
    return load_host_options(folder)


def test_the_environment_wins_over_local_settings(tmp_path: Path) -> None:
    content = {"IsEncrypted": False, "Values": {"A": "file", "B": "file"}}
    (tmp_path / "local.settings.json").write_text(json.dumps(content), encoding="utf-8")
    assert load_settings(tmp_path, {"B": "environment"}) == {"A": "file", "B": "environment"}


def test_local_settings_may_be_missing(tmp_path: Path) -> None:
    assert load_settings(tmp_path, {"A": "1"}) == {"A": "1"}


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ('{"IsEncrypted": true, "Values": {}}', "func settings decrypt"),
        ('{"Values": {"PORT": 1}}', "the value of PORT must be a string"),
        ('{"Values": []}', "Values must be an object"),
        ("[]", "must hold a JSON object"),
        ("{", "cannot be read"),
    ],
)
def test_local_settings_that_cannot_be_used(tmp_path: Path, content: str, message: str) -> None:
    (tmp_path / "local.settings.json").write_text(content, encoding="utf-8")
    with pytest.raises(HostError, match=message):
        load_settings(tmp_path, {})


def test_host_json_has_azures_defaults(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("os.cpu_count", lambda: 4)
    assert host_json(tmp_path) == HostOptions(
        queues=QueueOptions(
            batch_size=16,
            new_batch_threshold=32,
            max_dequeue_count=5,
            visibility_timeout=timedelta(0),
            max_polling_interval=timedelta(minutes=1),
            message_encoding="base64",
        ),
        route_prefix="api",
        function_timeout=timedelta(minutes=5),
    )


def test_host_json_values(tmp_path: Path) -> None:
    queues = {
        "batchSize": 5,
        "newBatchThreshold": 0,
        "maxDequeueCount": 2,
        "visibilityTimeout": "00:00:30",
        "maxPollingInterval": "00:00:00.5",
        "messageEncoding": "none",
    }
    options = host_json(
        tmp_path,
        functionTimeout="1.02:00:00",
        extensions={"queues": queues, "http": {"routePrefix": "/v1/"}},
    )
    assert options.queues == QueueOptions(
        batch_size=5,
        new_batch_threshold=0,
        max_dequeue_count=2,
        visibility_timeout=timedelta(seconds=30),
        max_polling_interval=timedelta(milliseconds=500),
        message_encoding="none",
    )
    assert options.route_prefix == "v1"
    assert options.function_timeout == timedelta(hours=26)


def test_no_limit_of_an_invocation(tmp_path: Path) -> None:
    assert host_json(tmp_path, functionTimeout="-1").function_timeout is None


def test_every_wrong_value_of_host_json_is_listed(tmp_path: Path) -> None:
    queues = {
        "batchSize": 33,
        "newBatchThreshold": -1,
        "maxDequeueCount": True,
        "visibilityTimeout": 30,
        "maxPollingInterval": "00:00:00.05",
        "messageEncoding": "utf8",
    }
    with pytest.raises(HostError) as error:
        host_json(
            tmp_path,
            version="1.0",
            functionTimeout="24:00:00",
            extensions={"queues": queues, "http": {"routePrefix": 1}},
        )
    text = "\n".join(error.value.problems)
    for expected in (
        "version must be",
        "batchSize must be a whole number from 1 to 32",
        "newBatchThreshold must be a whole number 0 or more",
        "maxDequeueCount must be",
        "visibilityTimeout: 30 is not a time span",
        "maxPollingInterval must be 0:00:00.100000 or more",
        "messageEncoding must be base64 or none",
        "routePrefix must be a string",
        "functionTimeout: '24:00:00' is not a time span; from 24 hours on",
    ):
        assert expected in text
    assert len(error.value.problems) == 9


@pytest.mark.parametrize("extensions", [[], {"queues": 1}])
def test_a_section_must_be_an_object(tmp_path: Path, extensions: object) -> None:
    with pytest.raises(HostError, match="must be an object"):
        host_json(tmp_path, extensions=extensions)


def test_host_json_must_be_there(tmp_path: Path) -> None:
    with pytest.raises(HostError, match=r"there is no host\.json"):
        load_host_options(tmp_path)


def test_settings_are_put_in() -> None:
    assert resolve("a-%NAME%-%OTHER%", {"NAME": "b", "OTHER": "c"}) == "a-b-c"
    with pytest.raises(KeyError, match="OTHER"):
        resolve("%OTHER%", {})
