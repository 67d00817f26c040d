"""The addresses at which workspaces are, and what one has open at another than the settings say. Pure."""

from dataclasses import dataclass
from datetime import datetime


@dataclass(frozen=True, kw_only=True)
class Elsewhere:
    """What a workspace has open at another address: runs, and calls whose outcome is not known."""

    workspace: str
    #: the workspace's address in the settings
    here: str
    #: how many they are, 1 or more
    entries: int
    #: the one that was begun first, where, and when
    entry_id: int
    address: str
    since: datetime | None


def address_of(host: str, workspace_id: int | None) -> str:
    """Return a workspace's address as it is kept with its runs.

    :param host: in the one form in which the settings keep it.
    :param workspace_id: tells the workspaces behind one host apart; None = the host has one workspace.
    """
    return host if workspace_id is None else f"{host}/?o={workspace_id}"
