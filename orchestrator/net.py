"""Addresses."""

from ipaddress import ip_address


def is_loopback(host: str) -> bool:
    """Say whether a host name or address is this machine's own, so that nothing sent there leaves it."""
    try:
        return ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return host == "localhost"
