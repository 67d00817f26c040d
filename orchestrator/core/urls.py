"""Addresses."""

from ipaddress import ip_address
from urllib.parse import SplitResult, urlsplit

#: What a problem with an address says of its port.
PORT_RULE = "a port is a number from 1 to 65535"

_NO_URL = urlsplit("")


def is_loopback(host: str) -> bool:
    """Say whether a host name or address is this machine's own, so that nothing sent there leaves it."""
    try:
        return ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return host == "localhost"


def split_url(url: str) -> SplitResult:
    """Return the parts of a URL, all of them empty when nothing can be reached by it.

    That is half an IPv6 address, say, a blank anywhere, or a port that is none.
    """
    try:
        parts = urlsplit(url)
        has_port = parts.port != 0  # raises for what is no number up to 65535
    except ValueError:
        return _NO_URL
    # urlsplit leaves out line breaks and tabs, which the address itself would still hold.
    has_blanks = any(character.isspace() for character in url)
    return parts if has_port and not has_blanks else _NO_URL
