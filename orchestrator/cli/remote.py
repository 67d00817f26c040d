"""Ask a function app over HTTP what it finds when it checks itself: ``GET /api/check``."""

import json
from collections.abc import AsyncGenerator, Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import parse_qs

from orchestrator.checks.finding import Finding
from orchestrator.core.errors import OrchestratorError
from orchestrator.core.proxy import Proxy
from orchestrator.core.urls import PORT_RULE, is_loopback, split_url
from orchestrator.settings.proxies import read_proxies
from orchestrator.settings.reader import Reader

#: The environment variable that holds the function key: on a command line everybody could read it.
KEY_SETTING = "ORCHESTRATOR_KEY"

#: For the whole call: the app's checks take half a minute at most, and an idle app starts within a minute.
_SECONDS = 120.0

#: What the statuses of an app that did not check itself mean.
_MEANINGS = {
    401: f"the function key is missing or wrong: set {KEY_SETTING} (docs/api.md says how to get one), or "
    "Easy Auth does not let /api/check through (docs/deploy.md#easy-auth)",
    403: "access is refused: are calls from this machine's address allowed, and is the app running?",
    404: "there is no such route: is this the app's address, and has this version been published?",
    429: "too many requests: retry in a few seconds",
}


class _NoAnswer(OrchestratorError):
    """The app's findings cannot be had."""


@dataclass(frozen=True, kw_only=True)
class _Call:
    """Where to call, and how."""

    url: str
    headers: Mapping[str, str]
    proxy: Proxy | None


async def findings(app_url: str, environ: Mapping[str, str]) -> AsyncGenerator[Finding, None]:
    """Yield what the app at an address finds.

    :param environ: has the function key and, if need be, the proxy.
    :raises OrchestratorError: the findings cannot be had; the text says why and holds no key.
    """
    call = _call(app_url, environ)
    status, body = await _get(call)
    if status != 200:
        raise _NoAnswer(f"{call.url} answers {status}: {_meaning(status, body)}")
    try:
        found = _found(json.loads(body))
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError):
        raise _NoAnswer(f"{call.url} answers with something else than findings: is it the app?") from None
    for finding in found:
        yield finding


def _found(document: Any) -> list[Finding]:
    """Read the app's answer. :raises ValueError: it has no finding, or its verdict is another than theirs."""
    found = [
        Finding(
            subject=str(each["subject"]),
            ok=each["ok"] is True,
            text=str(each["text"]),
            warning=each.get("warning") is True,
        )
        for each in document["findings"]
    ]
    if not found or document["ok"] is not all(finding.ok for finding in found):
        raise ValueError("not the answer of this app")
    return found


def _call(app_url: str, environ: Mapping[str, str]) -> _Call:
    """Return the call for an address with or without ``https://``, ``/api`` and ``?code=``."""
    reader = Reader(environ)
    parts = split_url(app_url if "://" in app_url else f"https://{app_url}")
    host = parts.hostname or ""
    is_safe = parts.scheme == "https" or (parts.scheme == "http" and is_loopback(host))
    if not host or not is_safe or "@" in parts.netloc:
        raise _NoAnswer(
            "--app must be the app's https address, such as https://APP.azurewebsites.net (http only on this "
            f"machine); {PORT_RULE}"
        )
    prefix = parts.path.rstrip("/").removesuffix("/check").removesuffix("/api")
    url = f"{parts.scheme}://{parts.netloc}{prefix}/api/check"
    key = parse_qs(parts.query).get("code", [reader.text(KEY_SETTING)])[0]
    if key and not (key.isascii() and key.isprintable()):
        raise _NoAnswer(
            f"the function key ({KEY_SETTING}, or ?code= of the address) is not one: it must be ASCII"
        )
    proxy = read_proxies(reader).of(url)
    return _Call(url=url, headers={"x-functions-key": key} if key else {}, proxy=proxy)


async def _get(call: _Call) -> tuple[int, bytes]:
    """Return the status and the body. No redirect is followed: the key is for this address only."""
    import aiohttp

    proxy = None if call.proxy is None else call.proxy.url
    timeout = aiohttp.ClientTimeout(total=_SECONDS)
    try:
        async with (
            aiohttp.ClientSession(timeout=timeout) as session,
            session.get(call.url, headers=call.headers, proxy=proxy, allow_redirects=False) as response,
        ):
            return response.status, await response.read()
    except (aiohttp.ClientError, TimeoutError, OSError, ValueError) as error:
        # The error of a proxy holds its password.
        reason = (
            f"no answer within {_SECONDS:g} s" if isinstance(error, TimeoutError) else type(error).__name__
        )
        through = "" if call.proxy is None else f"; the call goes through {call.proxy}"
        raise _NoAnswer(f"{call.url} cannot be reached ({reason}){through}") from None


def _meaning(status: int, body: bytes) -> str:
    if 300 <= status < 400:
        return "it sends the call elsewhere, as Easy Auth does: exclude /api/check (docs/deploy.md#easy-auth)"
    try:
        problem: Any = json.loads(body)
        if isinstance(problem["detail"], str):
            return problem["detail"]
    except (ValueError, TypeError, KeyError, RecursionError):
        pass  # something in front of the app has answered
    return _MEANINGS.get(status, "the app did not start, or did not answer in time: look at its log")
