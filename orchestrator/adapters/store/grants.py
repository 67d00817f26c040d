"""The database user of the app's identity, with the rights that the app needs and no others."""

from uuid import UUID

from orchestrator.adapters.store import migrate
from orchestrator.adapters.store.adopt.ddl import quoted
from orchestrator.adapters.store.connector import Connector, own_connection
from orchestrator.adapters.store.session import Session
from orchestrator.core.errors import StoreError

#: Types of ``sys.database_principals`` that are one identity: of Entra ID (E, X), SQL (S) or Windows (U, G).
#: Others are roles and keys: what is granted to public, everybody has.
_USERS = frozenset({"E", "X", "S", "U", "G"})

#: Users of every database: dbo has all rights, and whoever has no user of its own is guest.
_BUILT_IN = frozenset({"dbo", "guest", "sys", "information_schema"})


def apply(connector: Connector, name: str, client_id: UUID | None) -> list[str]:
    """Create the user if the database lacks it, grant it what the app needs, and return the statements run.

    :param name: of the user: that of the managed identity.
    :param client_id: of the managed identity. With it neither the server nor whoever runs this has to read
        the directory; None = the user is there already.
    :raises SchemaError: the tables are missing or not at this app's version.
    :raises StoreError: the user is missing, another identity has its name, or it is a role; or the database
        refused.
    """
    if connector.dialect != "sqlserver":
        raise StoreError("a SQLite file has no users: set SQL_CONNECTION_STRING")
    with own_connection(connector) as connection:
        connector.begin_write(connection)
        session = Session(connection, connector)
        migrate.check(session)
        statements = [*_user(session, name, client_id), *_grants(session, name)]
        for statement in statements:
            migrate.execute(connection, statement)
        connection.commit()
    return statements


def _user(session: Session, name: str, client_id: UUID | None) -> list[str]:
    """Return the statement that creates the user, or none if it is there."""
    found = session.select("SELECT sid, type FROM sys.database_principals WHERE name = ?", name)
    if not found:
        if client_id is None:
            raise StoreError(f"the database has no user {name}: give --client-id, or create the user first")
        return [f"CREATE USER {_quoted(name)} WITH SID = {_sid(client_id)}, TYPE = E"]
    if found[0]["type"].strip() not in _USERS or found[0]["sid"] is None or name.lower() in _BUILT_IN:
        raise StoreError(f"{name} is not a user of one identity: name the user of the app's managed identity")
    if client_id is not None and bytes(found[0]["sid"]) != client_id.bytes_le:
        raise StoreError(
            f"the database has a user {name} of another identity, perhaps one that was deleted: "
            f"run DROP USER {_quoted(name)}, then this again"
        )
    return []


def _grants(session: Session, name: str) -> list[str]:
    needed = migrate.needed_rights(session).items()
    return [f"GRANT {', '.join(rights)} ON {table} TO {_quoted(name)}" for table, rights in needed]


def _sid(client_id: UUID) -> str:
    """Return the identity as Azure SQL writes it: the id's bytes, in the order of a uniqueidentifier."""
    return f"0x{client_id.bytes_le.hex().upper()}"


def _quoted(name: str) -> str:
    return quoted(name, "sqlserver")
