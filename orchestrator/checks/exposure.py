"""What can be seen from inside Azure of how the app is exposed: plain HTTP, and TLS that is too old.

Both are settings of the function app that no environment variable tells, so its own address is tried. Neither
attempt sends a secret.
"""

import asyncio
import contextlib
import ssl
import warnings
from dataclasses import dataclass

#: Time limit of one attempt.
_SECONDS = 5.0

#: A status line and its headers are shorter.
_MAX_HEADERS = 16_384

_DOCUMENT = "docs/deploy.md#close-what-is-not-used"


@dataclass(frozen=True, kw_only=True)
class Sight:
    """What was seen of one setting."""

    #: False = it is off; what cannot be seen from here is no problem
    ok: bool
    text: str


async def plain_http(host: str, port: int = 80) -> Sight:
    """Look whether the app's address sends a plain HTTP request on to https."""
    try:
        async with asyncio.timeout(_SECONDS):
            status, location = await _head(host, port)
    except (OSError, ValueError, asyncio.IncompleteReadError, asyncio.LimitOverrunError) as error:
        return _unseen("HTTPS only", host, error)
    if 300 <= status < 400 and location.lower().startswith("https://"):
        return Sight(ok=True, text=f"{host} sends plain HTTP on to https")
    if status == 403:  # access restrictions answer before the app does
        return Sight(ok=True, text=f"HTTPS only cannot be seen from here: {host} answers 403; {_DOCUMENT}")
    text = f"{host} answers plain HTTP ({status}), and keys travel in the open: set HTTPS only, {_DOCUMENT}"
    return Sight(ok=False, text=text)


async def old_tls(host: str, port: int = 443) -> Sight:
    """Look whether the app's address accepts TLS 1.0 or 1.1."""
    try:
        async with asyncio.timeout(_SECONDS):
            version = await _version(host, port)
    except (ssl.SSLError, ConnectionResetError):
        return Sight(ok=True, text=f"{host} refuses TLS before 1.2")
    except OSError as error:
        return _unseen("the least version of TLS", host, error)
    return Sight(ok=False, text=f"{host} accepts {version}: set the least version of TLS to 1.2, {_DOCUMENT}")


def publishing() -> Sight:
    """Say what nobody can see from inside."""
    text = f"FTP and basic authentication for publishing cannot be seen from here: ask az, {_DOCUMENT}"
    return Sight(ok=True, text=text)


async def _head(host: str, port: int) -> tuple[int, str]:
    """Return the status and the ``Location`` of a plain HTTP request. :raises ValueError: it is not HTTP."""
    reader, writer = await asyncio.open_connection(host, port, limit=_MAX_HEADERS)
    try:
        request = f"HEAD / HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n"
        writer.write(request.encode("ascii", "replace"))
        head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
    finally:
        writer.close()
    protocol, status = head[0].split()[:2]
    if not protocol.startswith("HTTP/"):
        raise ValueError(f"{protocol!r} is not HTTP")
    headers = dict(line.lower().split(":", 1) for line in head[1:] if ":" in line)
    return int(status), headers.get("location", "").strip()


async def _version(host: str, port: int) -> str:
    """Return the version that was agreed on. :raises ssl.SSLError: the server accepts no old one."""
    _, writer = await asyncio.open_connection(host, port, ssl=_old_context())
    version: str = writer.get_extra_info("ssl_object").version()
    writer.close()
    with contextlib.suppress(OSError):
        await writer.wait_closed()
    return version


def _old_context() -> ssl.SSLContext:
    """Return a context that offers nothing but TLS 1.0 and 1.1."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE  # nothing is sent
    context.set_ciphers("ALL:@SECLEVEL=0")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # that they are deprecated is the point
        context.minimum_version = ssl.TLSVersion.TLSv1
        context.maximum_version = ssl.TLSVersion.TLSv1_1
    return context


def _unseen(what: str, host: str, error: Exception) -> Sight:
    reason = "no answer in time" if isinstance(error, TimeoutError) else type(error).__name__
    return Sight(ok=True, text=f"{what} cannot be seen from here: {host}: {reason}; {_DOCUMENT}")
