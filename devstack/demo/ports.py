"""Where the parts listen."""

import socket
from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class Ports:
    """Ports of 127.0.0.1; 0 is a free one."""

    host: int = 0
    databricks: int = 0
    queue: int = 0
    blob: int = 0
    table: int = 0


def free_port() -> int:
    """A port that is free now, for a part whose port has to be known before it starts."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port
