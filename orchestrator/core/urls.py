"""Check addresses: split URLs safely, and recognize this machine's own. Pure."""

import base64
import re
from ipaddress import ip_address
from urllib.parse import SplitResult, urlsplit

#: What a message about a wrong address says about its port.
PORT_RULE = "a port is a number from 1 to 65535"

_NO_URL = urlsplit("")

#: A part of a host's name. https://www.rfc-editor.org/rfc/rfc1123#section-2
_LABEL = r"[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?"
_HOST_NAME = re.compile(rf"(?=.{{1,253}}\Z){_LABEL}(?:\.{_LABEL})*\.?", re.IGNORECASE)


def is_loopback(host: str) -> bool:
    """Say whether a host is this machine itself, so that nothing that is sent to it crosses a network."""
    try:
        return ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return host == "localhost"


def is_host(host: str) -> bool:
    """Say whether a text can be the name of a host, or is the address of one."""
    try:
        ip_address(host.strip("[]"))
    except ValueError:
        return _HOST_NAME.fullmatch(host) is not None
    return True


def split_url(url: str) -> SplitResult:
    """Return the parts of a URL. All of them are empty when the URL cannot be used.

    Such a URL has half an IPv6 address, for example, a blank anywhere, or a port that is not one.
    """
    try:
        parts = urlsplit(url)
        has_port = parts.port != 0  # raises when it is not a number up to 65535
    except ValueError:
        return _NO_URL
    # urlsplit drops line breaks and tabs, which the URL itself would still hold.
    has_blanks = any(character.isspace() for character in url)
    return parts if has_port and not has_blanks else _NO_URL


def basic_credentials(user: str, password: str) -> str:
    """Return a user name and a password as an ``Authorization: Basic`` header sends them."""
    return base64.b64encode(f"{user}:{password}".encode()).decode()
