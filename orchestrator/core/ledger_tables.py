"""Tables that SQL Server guards against changes, and why the app cannot work with them. Pure."""

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class LedgerTable:
    """A ledger table of SQL Server."""

    name: str
    #: rows can be inserted and nothing else; otherwise each change is kept for ever
    is_append_only: bool


def problem(found: LedgerTable) -> str:
    """Say why the app cannot work with a table, and what to do."""
    why = (
        "an append-only ledger table, where SQL Server refuses each UPDATE, by which the app works"
        if found.is_append_only
        else "a ledger table: SQL Server keeps each change of it for ever, and refuses columns and types "
        "that the app's schema needs"
    )
    return (
        f"{found.name} is {why}. A ledger table stays one: let init-db make the tables in another database, "
        "one that is not a ledger database, and insert there what is still to run"
    )
