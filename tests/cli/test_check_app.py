"""``check --app``: what a function app finds of itself, told as ``check`` tells it here."""

import asyncio
import json
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from urllib.parse import quote

import pytest
from aiohttp import web

from devstack.serving import serving
from tests.cli.support import CommandLine
from tests.conftest import Azurite
from tests.e2e.stack import Stack
from tests.http_proxy import HttpProxy

KEY = "key-of-an-operator-4711"


@pytest.fixture
def stack(azurite: Azurite, queue_name: str, tmp_path: Path) -> Iterator[Stack]:
    """Everything that an app needs, and no host yet."""
    rare = {"TRIGGER_SCHEDULE": "0 0 0 1 1 *", "MONITOR_SCHEDULE": "0 0 0 1 1 *"}
    made = Stack(
        folder=tmp_path,
        azurite=azurite.connection_string,
        queue_name=queue_name,
        settings=rare,
    )
    made.prepare()
    made.start_simulator("--token", "local")
    yield made
    made.stop()


@pytest.mark.e2e
@pytest.mark.parametrize(("token", "code"), [("local", 0), ("wrong", 1)])
def test_the_app_says_what_check_says_with_its_settings(
    stack: Stack, cli: CommandLine, token: str, code: int
) -> None:
    host = stack.start_host(DATABRICKS_TOKEN=token)
    elsewhere = CommandLine(folder=cli.folder, environment={})
    there = elsewhere("check", "--app", host.url)
    here = cli(
        "check",
        **stack.settings,
        DATABRICKS_TOKEN=token,
        AzureWebJobsStorage=stack.azurite,
        SUBMIT_QUEUE_NAME=stack.queue_name,
        STATE_DB=str(stack.database),
        DATABRICKS_HOST=stack.simulator_url,
        DATABRICKS_JOB_ID="5",
    )
    assert (there.returncode, here.returncode) == (code, code), there.stdout + there.stderr
    assert without_time(there.stdout) == without_time(here.stdout)
    document = json.loads(elsewhere("check", "--app", host.url, "--json").stdout)
    assert document["ok"] == (code == 0)
    assert [each["subject"] for each in document["findings"]][:3] == ["settings", "request bodies", "store"]


def without_time(text: str) -> list[str]:
    """Return the lines without the database's time."""
    return [line.partition(", its clock says")[0] for line in text.splitlines()]


@asynccontextmanager
async def function_app(status: int, body: str = "", **headers: str) -> AsyncIterator[tuple[str, list[str]]]:
    """Answer each call in one way; yield the address, and the keys that came by header."""
    keys: list[str] = []

    async def serve(request: web.Request) -> web.Response:
        assert request.path_qs == "/api/check"
        keys.append(request.headers.get("x-functions-key", ""))
        return web.Response(status=status, text=body, headers=headers, content_type="application/json")

    app = web.Application()
    app.router.add_get("/{path:.*}", serve)
    async with serving(app) as url:
        yield url, keys


FINDINGS = json.dumps({"ok": True, "findings": [{"subject": "store", "ok": True, "text": "answers\x1b[2J"}]})


async def test_a_warning_is_no_failure(cli: CommandLine) -> None:
    finding = {"subject": "function app, host id", "ok": True, "text": "shop is short", "warning": True}
    async with function_app(200, json.dumps({"ok": True, "findings": [finding]})) as (url, _):
        done = await asyncio.to_thread(cli, "check", "--app", url)
    assert (done.returncode, done.stdout) == (0, "warn  function app, host id: shop is short\n")


@pytest.mark.parametrize("suffix", ["", "/", "/api", "/api/", "/api/check"])
async def test_the_key_comes_from_the_environment_or_from_the_address(cli: CommandLine, suffix: str) -> None:
    async with function_app(200, FINDINGS) as (url, keys):
        for address, environment in (
            (f"{url}{suffix}", {"ORCHESTRATOR_KEY": KEY}),
            (f"{url}{suffix}?code={KEY}", {}),
        ):
            done = await asyncio.to_thread(cli, "check", "--app", address, **environment)
            assert (done.returncode, done.stdout) == (0, "ok    store: answers\\x1b[2J\n"), done.stderr
    assert keys == [KEY, KEY]


@pytest.mark.parametrize(
    ("status", "body", "headers", "text"),
    [
        (401, "", {}, "answers 401: the function key is missing or wrong: set ORCHESTRATOR_KEY"),
        (403, "Ip Forbidden", {}, "answers 403: access is refused"),
        (404, "", {}, "answers 404: there is no such route"),
        (
            302,
            "",
            {"Location": "https://login.example/"},
            "sends the call elsewhere, as Easy Auth",
        ),
        (500, "", {}, "answers 500: the app did not start"),
        (502, "<html>Bad Gateway</html>", {}, "answers 502: the app did not start"),
        (429, json.dumps({"detail": "too many calls; retry in 1 s"}), {}, "too many calls; retry in 1 s"),
        (200, "<html>Welcome</html>", {}, "something else than findings"),
        (200, "[]", {}, "something else than findings"),
        (200, '{"findings": [{"subject": "x"}]}', {}, "something else than findings"),
        (200, '{"ok": true, "findings": []}', {}, "something else than findings"),
        (
            200,
            '{"findings": [{"subject": "x", "ok": true, "text": "y"}]}',
            {},
            "something else than findings",
        ),
        (
            200,
            '{"ok": false, "findings": [{"subject": "x", "ok": true, "text": "y"}]}',
            {},
            "something else than findings",
        ),
        (503, '{"detail": null}', {}, "answers 503: the app did not start"),
        (401, '{"detail": ["x"]}', {}, "answers 401: the function key is missing or wrong"),
    ],
)
async def test_an_app_that_does_not_say_it(
    cli: CommandLine, status: int, body: str, headers: dict[str, str], text: str
) -> None:
    async with function_app(status, body, **headers) as (url, _):
        done = await asyncio.to_thread(cli, "check", "--app", f"{url}?code={KEY}")
    assert (done.returncode, done.stdout) == (1, "")
    assert text in done.stderr
    assert KEY not in done.stderr


@pytest.mark.parametrize(
    ("address", "text"),
    [
        ("http://app.azurewebsites.net", "--app must be the app's https address"),
        ("https://user:pw@app.azurewebsites.net", "--app must be the app's https address"),
        ("https://app .net", "--app must be the app's https address"),
        ("", "--app must be the app's https address"),
        ("http://127.0.0.1:1", "http://127.0.0.1:1/api/check cannot be reached (ClientConnectorError)"),
    ],
)
def test_an_address_that_cannot_be_called(cli: CommandLine, address: str, text: str) -> None:
    done = cli("check", "--app", address, ORCHESTRATOR_KEY=KEY)
    assert (done.returncode, done.stdout) == (1, "")
    assert text in done.stderr
    assert KEY not in done.stderr


@pytest.mark.parametrize("key", [f"{KEY}\n", f"{KEY}\r\nx: y", f"{KEY}\u00e9", f"\x7f{KEY}"])
def test_a_key_that_no_header_can_hold_is_refused(cli: CommandLine, key: str) -> None:
    done = cli("check", "--app", f"https://127.0.0.1:1?code={quote(key)}")
    assert (done.returncode, done.stdout) == (1, "")
    assert "the function key (ORCHESTRATOR_KEY, or ?code= of the address)" in done.stderr
    assert KEY not in done.stderr


async def test_a_proxy_is_used_and_named_without_its_password(cli: CommandLine) -> None:
    async with function_app(200, FINDINGS) as (url, keys), HttpProxy(locked=True).serve() as proxy:
        right = proxy.url_with_password
        wrong = right.replace(right.split("@")[0].rpartition(":")[2], "wrong-password")
        done = await asyncio.to_thread(cli, "check", "--app", url, HTTP_PROXY=right)
        refused = await asyncio.to_thread(cli, "check", "--app", url, HTTP_PROXY=wrong)
    assert (done.returncode, keys) == (0, [""]), done.stderr
    assert refused.returncode == 1
    assert "wrong-password" not in refused.stderr
