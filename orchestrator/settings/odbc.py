"""Tell an ODBC connection string of SQL Server from what is taken for one."""

import re

#: A key and its value; ODBC puts braces around unusual values, ADO.NET quotation marks.
_PAIR = re.compile(r'([^=;]+)=\s*(\{(?:[^}]|\}\})*\}|"[^"]*"|[^;]*)')

#: ADO.NET's keys for the server, the database and the login; the ODBC driver ignores them. Other keys that it
#: ignores do no harm: the portal's own ODBC form has a ``Connection Timeout``.
_ADO_KEYS = {"data source", "initial catalog", "user id"}

#: What the driver takes for ``Authentication``:
#: https://learn.microsoft.com/sql/connect/odbc/using-azure-active-directory#new-andor-modified-dsn-and-connection-string-keywords
_AUTHENTICATION = {
    "sqlpassword", "activedirectorypassword", "activedirectoryintegrated", "activedirectoryinteractive",
    "activedirectorymsi", "activedirectoryserviceprincipal",
}  # fmt: skip

#: One of these names the server.
_SERVER_KEYS = ("server", "addr", "address", "data source", "dsn", "filedsn")

_INSTEAD = (
    "write the ODBC form, SERVER=NAME.database.windows.net;DATABASE=NAME, as the portal shows it under ODBC"
)


def problem(text: str) -> str | None:
    """Say why a text is no connection string for the ODBC driver, and what to write; None = it is one.

    Holds no value but the names of the server and of the database.
    """
    keys = {key.strip().lower(): value.strip().strip('{}"') for key, value in _PAIR.findall(text)}
    if text.lower().startswith("jdbc:"):
        return f"is one for JDBC; {_INSTEAD}"
    if keys.keys() & _ADO_KEYS:
        return f"is one for ADO.NET; {_instead(keys)}"
    if not keys.keys() & set(_SERVER_KEYS):
        return f"names no server; {_INSTEAD}"
    authentication = keys.get("authentication", "")
    if authentication and authentication.lower() not in _AUTHENTICATION:
        return (
            "has an Authentication that the ODBC driver does not know: leave it out, with UID and PWD as "
            "well, to sign in as the app's managed identity"
        )
    return None


def _instead(keys: dict[str, str]) -> str:
    server = next((keys[key] for key in _SERVER_KEYS if keys.get(key)), "NAME.database.windows.net")
    database = keys.get("initial catalog") or keys.get("database") or "NAME"
    return (
        f"write SERVER={server};DATABASE={database}, with UID and PWD only if the app does not sign in as "
        "its managed identity"
    )
