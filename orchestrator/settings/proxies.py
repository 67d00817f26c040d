"""Read which HTTP proxy outgoing calls go through. The names are those that most programs know."""

import os
from dataclasses import dataclass
from urllib.parse import SplitResult

from orchestrator.core.proxy import Proxy
from orchestrator.core.urls import PORT_RULE, split_url
from orchestrator.settings.reader import Reader

#: ``NO_PROXY`` with this value excludes every host.
_EVERY_HOST = "*"


@dataclass(frozen=True, kw_only=True)
class Proxies:
    """The proxies of the settings, and the hosts that are called without one."""

    #: for ``https`` addresses; None = they are called directly
    https: Proxy | None
    #: for ``http`` addresses
    http: Proxy | None
    #: host names and IP addresses, perhaps with a port; a name includes its subdomains
    excluded: tuple[str, ...]

    def of(self, url: str) -> Proxy | None:
        """Return the proxy for an address; None = it is called directly.

        This machine's own addresses are no exception: like any other host they are named in ``NO_PROXY``.
        """
        parts = split_url(url)
        proxy = self.https if parts.scheme == "https" else self.http
        return None if proxy is None or self._excludes(parts) else proxy

    def all(self) -> tuple[Proxy, ...]:
        """Return the proxies that are set."""
        return tuple(proxy for proxy in (self.https, self.http) if proxy is not None)

    def secrets(self) -> tuple[str, ...]:
        """Return the proxies' passwords."""
        return tuple(secret for proxy in self.all() for secret in proxy.secrets())

    def _excludes(self, parts: SplitResult) -> bool:
        host = (parts.hostname or "").lower()
        port = parts.port or (443 if parts.scheme == "https" else 80)
        names = {host, f"{host}:{port}", f"[{host}]", f"[{host}]:{port}"}
        return any(
            pattern in {_EVERY_HOST, name} or name.endswith(f".{pattern}")
            for pattern in self.excluded
            for name in names
        )


def read_proxies(reader: Reader) -> Proxies:
    """Return the proxies. A lower-case name takes precedence, as in Python's own library."""
    excluded = (_either(reader, "NO_PROXY") or "").lower().split(",")
    return Proxies(
        https=_proxy(reader, "HTTPS_PROXY"),
        http=_proxy(reader, "HTTP_PROXY"),
        excluded=tuple(name for each in excluded if (name := each.strip().lstrip("."))),
    )


def _proxy(reader: Reader, name: str) -> Proxy | None:
    text = _either(reader, name)
    if text is None:
        return None
    url = text if "://" in text else f"http://{text}"
    parts = split_url(url)
    if parts.scheme != "http" or not parts.hostname or parts.path.strip("/") or parts.query:
        reader.problems.append(
            f"{name} must be the address of an HTTP proxy such as http://proxy.example.com:3128, if need be "
            f"with USER:PASSWORD@ before the host and special characters written as %40; {PORT_RULE}"
        )
        return None
    return Proxy(url=url, setting=name)


def _either(reader: Reader, name: str) -> str | None:
    """Return a value of the settings, or else of the process, where Azure's libraries read it as well."""
    texts = (each.text(key) for each in (reader, Reader(os.environ)) for key in (name.lower(), name))
    return next((text for text in texts if text is not None), None)
