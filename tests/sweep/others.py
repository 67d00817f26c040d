"""Who else acts in a story: a second app, a workspace that moves, a silent submit function, a moving clock.

What they do is decided by the time that has passed, so that a new process goes on where one was killed.
"""

import sqlite3
from collections.abc import Mapping
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from unittest.mock import patch

from orchestrator import settings
from orchestrator.adapters.store.sqlite import SqliteConnector
from orchestrator.bootstrap import Application
from tests.invariants import BY_HAND
from tests.operators import Operator
from tests.sweep.stories import PASS_SECONDS

#: The setting that names the file with the seconds that have passed at Databricks.
CLOCK = "SCENARIO_CLOCK"

#: The setting that has the other address of the workspace. Only a story in which others act has it.
STRANGER = "SCENARIO_STRANGER"

#: The setting that names the workspace's host.
HOST = "DATABRICKS_HOST"

#: How far ahead the database's clock is in each pass, in turn: it jumps by hours, both ways. It goes back
#: before the pass that must send a silent one's message again.
_HOURS_AHEAD = (6, -1)

#: What people set by SQL, by the submission whose run is followed: to have the entry run again.
_CHANGES = {
    1: "status = 'PENDING', submission = 0, runid = NULL",
    2: "attempt = 0",
}

#: The pass by which the workspace has moved, and in which nobody takes up messages: an operator has had one
#: entry run again, and the run of a deleted one has been cancelled and not looked at since.
_MOVED = 2


class Others:
    """Acts beside the app, if the story has others.

    :param environment: the settings of the app.
    """

    def __init__(self, environment: Mapping[str, str], operator: Operator) -> None:
        self._environment = environment
        self._operator = operator
        self._database = Path(environment["STATE_DB"])
        self.are_there = STRANGER in environment
        self._host = self._host_now()
        if self.are_there:
            defaults = {"create": False, "now": self._database_clock}
            patch.object(SqliteConnector.__init__, "__kwdefaults__", defaults).start()

    def environment(self) -> dict[str, str]:
        """Return the settings of the app, which know where the workspace is now."""
        return {**self._environment, HOST: self._host}

    def submit_is_silent(self) -> bool:
        """Say whether nobody takes up messages now."""
        return self.are_there and self._passes() == _MOVED

    def monitor_runs(self) -> bool:
        """Say whether a monitor pass comes before the trigger's: where others act, only once.

        It puts back what was changed by SQL, so that the trigger's pass settles it in every trial.
        """
        return not self.are_there or self._passes() == 1

    async def start_stranger(self) -> None:
        """Start an app whose settings name another host: it must say so, and change nothing that is open."""
        before = self._entries()
        if not self.are_there or not any(status == "RUNNING" for _, status, *_ in before):
            return
        stranger = Application(settings.load({**self._environment, HOST: self._environment[STRANGER]}))
        problems = await stranger.trigger()
        await stranger.close()
        assert any("begins nothing" in problem for problem in problems), problems
        assert self._entries() == before, "an app with another address has changed an entry"

    def act(self) -> None:
        """Let people change by SQL what is RUNNING, once a submission, and an operator retry what is DEAD."""
        if not self.are_there:
            return
        with closing(sqlite3.connect(self._database, timeout=30)) as connection:
            found = connection.execute(
                "SELECT id, table_name, status, submission FROM track_processing WHERE status = 'DEAD'"
                " OR (status = 'RUNNING' AND NOT EXISTS (SELECT 1 FROM audit AS step"
                " WHERE step.entry_id = track_processing.id AND step.old_submission = submission"
                f" AND step.action = '{BY_HAND}'))"
            ).fetchall()
        for entry_id, table, status, submission in found:
            if table == "deleted":
                self._operator.delete(entry_id)
            elif status == "DEAD":
                self._operator.retry(entry_id)
            else:
                self._operator.set_by_hand(entry_id, _CHANGES[submission])

    def move_workspace(self) -> bool:
        """Let the workspace move, once it is time, and return whether it moved now.

        An operator says so until nothing is open elsewhere: the run of an entry that was deleted a moment ago
        is known only after the next pass.
        """
        before, self._host = self._host, self._host_now()
        if self._host != self._environment[HOST]:
            self._operator.say_moved("default", self._host)
        return self._host != before

    def _host_now(self) -> str:
        host = self._environment[HOST]
        if self.are_there and self._passes() >= _MOVED:
            return host.replace("127.0.0.1", "localhost")  # the same server by another name
        return host

    def _passes(self) -> int:
        seconds = float(Path(self._environment[CLOCK]).read_text(encoding="ascii"))
        return round(seconds / PASS_SECONDS)

    def _database_clock(self) -> datetime:
        hours = _HOURS_AHEAD[self._passes() % len(_HOURS_AHEAD)]
        return datetime.now(UTC) + timedelta(hours=hours)

    def _entries(self) -> list[tuple[Any, ...]]:
        with closing(sqlite3.connect(self._database, timeout=30)) as connection:
            return connection.execute(
                "SELECT id, status, submission, runid, attempt, deliveries, workspace_address"
                " FROM track_processing ORDER BY id"
            ).fetchall()
