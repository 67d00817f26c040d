"""Secrets that can be recognized wherever they appear, and the search for them."""

import base64
import functools
import json
import logging
import sqlite3
import traceback
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import quote

from azure.core.exceptions import ResourceNotFoundError
from azure.storage.queue import QueueClient

from devstack import azurite

#: A personal access token in the form that Databricks gives them.
TOKEN = "dapi5f0c93ab27de4816fa1be20c7d94c3a8"
#: The token after its rotation.
ROTATED_TOKEN = "dapi88d1e6c4073b49f2a5e9b06d1f2c7e31"
#: The client secret of a service principal.
CLIENT_SECRET = "dose6e1b9fd27c3a4850bd9e2f7186c04a35"
#: The password of an HTTP proxy.
PROXY_PASSWORD = "mK8rVx3bQz6wTn1yPd"
#: How every token of devstack's identity begins.
ACCESS_TOKEN = "fake-identity-token-"
#: The key of every Storage emulator: the real Azurite accepts it, so the app can work with it.
STORAGE_KEY = azurite.ACCOUNT_KEY
#: A well-formed key that no account has.
WRONG_STORAGE_KEY = base64.b64encode(
    b"a storage key that opens no account, 64 bytes of it with padding"
).decode()
#: The signature of a shared access signature.
SIGNATURE = "q8VhT2mWcX5eRz0uKpY7sDfJ4aGbLn1oQiE9tHvBxM0"
#: The password of a login of SQL Server.
PASSWORD = "xT7qLw2vRk9mZp4sHd"
#: The password of Databricks' notifications.
EVENTS_SECRET = "v9Qm2xLr7TzKc4WnEb6H"
#: The secrets among an entry's parameters.
PARAMETERS = {
    "apiKey": "Wilhelmine Zuckerbrot-7741",
    "db_password": 'quotes " and \\ and é: Kontonummer-90210-55',
    "client-secret": "pin 8462 of payroll 2031, iban DE44-5001",
}

SECRETS = {
    "token": TOKEN,
    "rotated token": ROTATED_TOKEN,
    "client secret": CLIENT_SECRET,
    "proxy password": PROXY_PASSWORD,
    "access token": ACCESS_TOKEN,
    "storage key": STORAGE_KEY,
    "wrong storage key": WRONG_STORAGE_KEY,
    "signature": SIGNATURE,
    "password": PASSWORD,
    "events secret": EVENTS_SECRET,
    **{f"parameter {name}": value for name, value in PARAMETERS.items()},
}

#: This many successive characters of a secret are a leak; fewer reveal next to nothing.
FRAGMENT = 12

#: Loggers that the app or the host sets to a higher level than the root.
LOGGERS = ("azure", "azure.core", "azure.identity", "azure.keyvault", "azure.storage", "msal", "urllib3")


def leaks(text: str) -> list[str]:
    """Return the names of the secrets of which a text holds a piece."""
    return [name for name, secret in SECRETS.items() if any(piece in text for piece in _pieces(secret))]


@functools.cache
def _pieces(secret: str) -> frozenset[str]:
    encoded = base64.b64encode(secret.encode()).decode()
    forms = {secret, json.dumps(secret)[1:-1], repr(secret)[1:-1], quote(secret, safe=""), encoded}
    return frozenset(
        form[start : start + FRAGMENT] for form in forms for start in range(len(form) - FRAGMENT + 1)
    )


@dataclass
class Evidence:
    """Every text that came out of the app, with its origin."""

    texts: list[tuple[str, str]] = field(default_factory=list)

    def add(self, where: str, text: object) -> None:
        """Keep a text."""
        self.texts.append((where, str(text)))

    def error(self, error: BaseException) -> None:
        """Keep all that an error shows: its text, those of its chain and the traceback."""
        self.add("traceback", "".join(traceback.format_exception(error)))
        seen: set[int] = set()
        following: list[BaseException | None] = [error]
        while following:
            link = following.pop()
            if link is None or id(link) in seen:
                continue
            seen.add(id(link))
            self.add(
                f"{type(link).__name__}", f"{link} {link!r} {link.args} {getattr(link, '__notes__', '')}"
            )
            following += [link.__cause__, None if link.__suppress_context__ else link.__context__]

    def records(self, records: list[logging.LogRecord]) -> None:
        """Keep what log records hold."""
        formatter = logging.Formatter("%(name)s %(message)s")
        for record in records:
            self.add(f"log of {record.name}", f"{formatter.format(record)} {record.args!r} {record.msg}")
            self.add(f"fields of {record.name}", vars(record))

    def database(self, path: Path) -> None:
        """Keep every column of every table but the entries' own parameters, as inserted and as sent."""
        connection = sqlite3.connect(path)
        connection.row_factory = sqlite3.Row
        try:
            for table in (
                *("track_processing", "process_log"),
                *(
                    "orchestrator_tick",
                    "orchestrator_alert",
                    "orchestrator_silence",
                    "orchestrator_stray_run",
                    "orchestrator_open_submission",
                ),
            ):
                for row in connection.execute(f"SELECT * FROM {table}"):
                    for column in set(row.keys()) - {"parameters", "request"}:
                        self.add(f"{table}.{column}", row[column])
        finally:
            connection.close()

    def queue(self, connection_string: str, name: str) -> list[str]:
        """Keep every message of a queue, encoded and decoded. Return them decoded."""
        try:
            with QueueClient.from_connection_string(connection_string, name) as queue:
                messages = [str(message.content) for message in queue.peek_messages(max_messages=32)]
        except ResourceNotFoundError:  # nothing was ever sent
            return []
        decoded = [base64.b64decode(message).decode("utf-8", "replace") for message in messages]
        for message in (*messages, *decoded):
            self.add(f"queue {name}", message)
        return decoded

    def assert_clean(self) -> None:
        """Fail if a secret is in one of the texts."""
        found = [(where, name, text[:2000]) for where, text in self.texts for name in leaks(text)]
        assert not found, found
