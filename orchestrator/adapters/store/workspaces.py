"""What workspaces have open: how much, and whether at another address than the settings say."""

from orchestrator.adapters.store.connector import as_utc
from orchestrator.adapters.store.records import UNREADABLE
from orchestrator.adapters.store.session import Session
from orchestrator.core.addresses import Elsewhere
from orchestrator.core.reports import OpenWorkspace


def elsewhere_of(session: Session, workspace: str, address: str) -> Elsewhere | None:
    """Return what a workspace has open at another address, or None.

    :param address: where the workspace is; empty = its addresses are not told apart.
    """
    at = address or None  # no address is another one than NULL
    rows = session.rows("elsewhere", workspace, at, workspace, at)
    if not rows:
        return None
    [row] = rows
    return Elsewhere(
        workspace=workspace,
        here=address,
        entries=int(row["entries"]),
        entry_id=int(row["id"]),
        address=row["address"],
        since=as_utc(row["since"]),
    )


def open_workspaces_of(session: Session) -> list[OpenWorkspace]:
    """Return the workspaces that open entries name, configured or not."""
    return [
        OpenWorkspace(
            name=row["workspace"] or "",
            waiting=int(row["waiting"]),
            in_flight=int(row["in_flight"]),
            since=as_utc(row["since"]) or UNREADABLE,
        )
        for row in session.rows("open_workspaces")
    ]
