"""The HTTP proxy of outgoing calls: its address, and what may be shown of it. Pure."""

from dataclasses import dataclass, field
from urllib.parse import unquote

from orchestrator.core.urls import basic_credentials, split_url


@dataclass(frozen=True, kw_only=True)
class Proxy:
    """A proxy that calls to some hosts go through."""

    #: ``http://host:port``; may hold a user name and a password, so it is never shown
    url: str = field(repr=False)
    #: the setting that names it
    setting: str

    def __str__(self) -> str:
        """Return what people need to find a fault: the address without the password, and the setting."""
        parts = split_url(self.url)
        host = f"[{parts.hostname}]" if ":" in (parts.hostname or "") else parts.hostname
        return f"the proxy {host}{f':{parts.port}' if parts.port else ''} ({self.setting})"

    def secrets(self) -> tuple[str, ...]:
        """Return the password, as it is written and as it is sent; nothing if there is none."""
        parts = split_url(self.url)
        if not parts.password:
            return ()
        password = unquote(parts.password)
        return password, parts.password, basic_credentials(unquote(parts.username or ""), password)
