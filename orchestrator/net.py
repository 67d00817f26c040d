"""Addresses."""

from ipaddress import ip_address
from urllib.parse import SplitResult, urlsplit


def is_loopback(host: str) -> bool:
    """Say whether a host name or address is this machine's own, so that nothing sent there leaves it."""
    try:
        return ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return host == "localhost"


def split_url(url: str) -> SplitResult:
    """Return the parts of a URL, all of them empty when it is none (half an IPv6 address, say)."""
    try:
        return urlsplit(url)
    except ValueError:
        return urlsplit("")
