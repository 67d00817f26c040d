"""What people do during a chaos run: operators cancel, resolve and restart, and somebody repairs runs."""

import contextlib
import json
import random
import time
from dataclasses import dataclass, field
from http.client import HTTPException
from urllib.request import Request, urlopen

from orchestrator.adapters.store.sqlite import SqliteConnector
from orchestrator.core.actions import Resolution
from tests.chaos.kinds import Kind
from tests.e2e.stack import Stack
from tests.operators import HANDS, Operator

#: An operator acts up to this many seconds after the entry is inserted, so that it meets every status.
ACTS_WITHIN_SECONDS = 4.0

_ACTED_ON = frozenset({Kind.CANCELED, Kind.RESOLVED, Kind.RESTARTED, Kind.RETRIED, Kind.HANDS})


@dataclass(kw_only=True)
class People:
    """Acts on entries by their kinds. Every method blocks."""

    stack: Stack
    rng: random.Random
    #: how operators have resolved entries
    resolved: dict[int, Resolution] = field(default_factory=dict)
    _due: list[tuple[float, Kind, int]] = field(default_factory=list)
    _to_repair: set[int] = field(default_factory=set)

    def expect(self, kind: Kind, entry_id: int) -> None:
        """Plan what somebody will do to a new entry."""
        if kind in _ACTED_ON:
            self._due.append((time.monotonic() + self.rng.uniform(0, ACTS_WITHIN_SECONDS), kind, entry_id))
        elif kind is Kind.REPAIRED:
            self._to_repair.add(entry_id)

    def act(self, now: float) -> None:
        """Do everything that is due."""
        due = [action for action in self._due if action[0] <= now]
        self._due = [action for action in self._due if action[0] > now]
        for _, kind, entry_id in due:
            self._act_on(kind, entry_id)
        self._repair_dead()

    def _act_on(self, kind: Kind, entry_id: int) -> None:
        operator = Operator(SqliteConnector(self.stack.database))
        if kind is Kind.CANCELED:
            self.stack.write("UPDATE track_processing SET cancel_requested = 1 WHERE id = ?", entry_id)
        elif kind is Kind.RESTARTED:
            operator.restart(entry_id)
        elif kind is Kind.RETRIED:
            operator.retry(entry_id)
        elif kind is Kind.HANDS:
            operator.set_by_hand(entry_id, self.rng.choice(HANDS))
        else:
            resolution = self.rng.choice(list(Resolution))
            operator.resolve(entry_id, resolution)
            self.resolved[entry_id] = resolution

    def _repair_dead(self) -> None:
        """Repair the runs that have failed for good; the simulator may be down, and is asked again then."""
        for entry_id in sorted(self._to_repair):
            [(status, run_id)] = self.stack.query(
                f"SELECT status, last_runid FROM track_processing WHERE id = {entry_id}"
            )
            if status == "DEAD" and self._repaired(run_id):
                self._to_repair.discard(entry_id)

    def _repaired(self, run_id: int) -> bool:
        """Repair a run; say whether it is certain that it was repaired."""
        request = Request(
            f"{self.stack.simulator_url}/api/2.2/jobs/runs/repair",
            data=json.dumps({"run_id": run_id, "rerun_all_failed_tasks": True}).encode(),
            headers={"Authorization": "Bearer any", "Content-Type": "application/json"},
        )
        with contextlib.suppress(OSError, HTTPException), urlopen(request, timeout=5):
            return True
        return False
