"""Find every boundary between a process and the outside, and break one of them.

A boundary is a commit that may change something or an HTTP request: to Databricks, to the Storage queue, to
whatever the app will call one day. None is listed here: each is met by running.
"""

import os
import re
import signal
import sqlite3
import threading
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from enum import StrEnum
from itertools import pairwise
from typing import Any, NoReturn
from unittest.mock import patch

import aiohttp

from orchestrator.adapters.store.connector import Opened
from orchestrator.adapters.store.sqlite import SqliteConnector

#: The most times that any client of the app repeats a call.
REPEATS = 4

#: What stands before a boundary's name where it is reported: its effect is still to come, or is there.
BEFORE = "before "
AFTER = "after "


class Damage(StrEnum):
    """The damage done at the chosen boundary."""

    KILL_BEFORE = "killed before"
    KILL_AFTER = "killed after"
    LOSE_ANSWER = "answer lost"
    LOSE_ANSWERS = "answers lost until the caller gives up"


class Boundaries:
    """Counts this process's boundaries by kind and breaks one.

    :param target: the boundary to break, as :attr:`seen` names it; None breaks none.
    :param report: takes each boundary's name twice, :data:`BEFORE` its effect and :data:`AFTER` it.
    """

    def __init__(self, target: str | None, damage: Damage, report: Callable[[str], None]) -> None:
        self._target = target
        self._damage = damage
        self._report = report
        self._counts: Counter[str] = Counter()
        self._left_to_lose = 0
        self._is_aside = False
        self._lock = threading.Lock()  # commits come from the store's threads

    def install(self) -> None:
        """Intercept every SQLite connection of the app and every HTTP session of this process."""
        connect = SqliteConnector.connect
        request = aiohttp.ClientSession._request

        def watched_connect(connector: SqliteConnector) -> Opened:
            return Opened(connection=_Watched(connect(connector).connection, self))

        async def watched_request(session: Any, method: str, url: Any, **options: Any) -> Any:
            name = self.meet(_request_kind(method, str(url)))
            response = await request(session, method, url, **options)
            if self.done(name):
                response.close()
                raise aiohttp.ServerDisconnectedError
            return response

        patch.object(SqliteConnector, "connect", watched_connect).start()
        patch.object(aiohttp.ClientSession, "_request", watched_request).start()

    @contextmanager
    def aside(self) -> Iterator[None]:
        """Let another app act in this process: what it does is not a boundary."""
        self._is_aside = True
        try:
            yield
        finally:
            self._is_aside = False

    def meet(self, kind: str) -> str:
        """Reach a boundary before its effect and return its name."""
        if self._is_aside:
            return ""
        with self._lock:
            self._counts[kind] += 1
            name = f"{kind} #{self._counts[kind]}"
            self._report(BEFORE + name)
        if name == self._target and self._damage is Damage.KILL_BEFORE:
            _die()
        return name

    def done(self, name: str) -> bool:
        """Pass a boundary after its effect; return True if the response is lost."""
        if self._is_aside:
            return False
        with self._lock:
            self._report(AFTER + name)
        if name == self._target and self._damage is Damage.KILL_AFTER:
            _die()
        if name == self._target and self._damage is Damage.LOSE_ANSWERS:
            self._left_to_lose = REPEATS
        if self._left_to_lose and kind(name) == kind(self._target or ""):
            self._left_to_lose -= 1
            return True
        return name == self._target and self._damage is Damage.LOSE_ANSWER


class _Watched:
    """A connection whose commits are boundaries, but for those that have only read or taken a lock."""

    def __init__(self, connection: Any, boundaries: Boundaries) -> None:
        self._connection = connection
        self._boundaries = boundaries
        #: the last statement of this transaction that may change rows
        self._last_change = ""
        connection.set_trace_callback(self._remember)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._connection, name)

    def commit(self) -> None:
        change, self._last_change = self._last_change, ""
        if not change:
            self._connection.commit()
            return
        name = self._boundaries.meet(f"commit of {change}")
        self._connection.commit()
        if self._boundaries.done(name):
            raise sqlite3.OperationalError("disk I/O error")

    def rollback(self) -> None:
        self._last_change = ""
        self._connection.rollback()

    def _remember(self, statement: str) -> None:
        if found := re.match(r"\s*(UPDATE|INSERT INTO|DELETE FROM) (\w+)", _without_comments(statement)):
            self._last_change = " ".join(found.groups())


def met(steps: Sequence[str]) -> list[str]:
    """Return the names of the boundaries that were met, by all that was reported."""
    return [step.removeprefix(BEFORE) for step in steps if step.startswith(BEFORE)]


def with_an_after_of_its_own(steps: Sequence[str]) -> list[str]:
    """Return the boundaries after which anything else was reported than that the next one is reached.

    After the others, all that is outside the process is as it is before the next one, and so is what follows
    when the process is killed there.
    """
    return [
        step.removeprefix(AFTER)
        for step, following in pairwise([*steps, ""])
        if step.startswith(AFTER) and not following.startswith(BEFORE)
    ]


def kind(name: str) -> str:
    """Return the kind of a named boundary."""
    return name.rpartition(" #")[0]


def _without_comments(statement: str) -> str:
    return re.sub(r"--[^\n]*\n", "", statement)


def _request_kind(method: str, url: str) -> str:
    """Return the request without the parts that differ between trials: host, ids, query."""
    path = re.sub(r"https?://[^/]+|\?.*", "", url)
    path = re.sub(r"/test-[0-9a-f]{32}", "/QUEUE", path)
    path = re.sub(r"[0-9a-f]{8}-[0-9a-f-]{27}", "ID", path)
    return f"{method} {path}"


def _die() -> NoReturn:
    os.kill(os.getpid(), signal.SIGKILL)
    raise AssertionError("unreachable")
