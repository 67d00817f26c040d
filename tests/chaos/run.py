"""One chaos run: load and faults together, then quiet, then a check of all rules."""

import asyncio
import random
import statistics
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from tests.chaos.faults import POLL_SECONDS, Faults
from tests.chaos.invariants import violations, with_hands
from tests.chaos.load import Load
from tests.chaos.parts import CAP, LEASE_SECONDS, MAX_ATTEMPTS, PASS_SECONDS, Parts
from tests.invariants import Facts

#: After the last fault every entry must be final within this many seconds. A lease, a pass and a run take
#: about ten; entries of one table run one after another, and the machine may be busy.
DRAIN_SECONDS = 60.0

#: Runs of other users that take slots for the first half.
FOREIGN_RUNS = 3


@dataclass(frozen=True, kw_only=True)
class Report:
    """The figures of a run. Durations are in seconds."""

    seconds: float
    seed: int
    entries: int
    runs: int
    #: repairs of these runs, by the app and by people
    repairs: int
    resolved: int
    statuses: dict[str, int]
    #: SIGKILLs by part
    kills: dict[str, int]
    #: how often each fault was injected
    faults: dict[str, int]
    #: most concurrent runs, foreign runs included
    max_active: int
    cap: int
    #: from a part's return to the next entry that went DONE
    recovery_worst: float | None
    recovery_worst_after: str
    recovery_median: float | None
    recoveries: int
    #: the longest time from a claim to its run or release; consecutive faults add up
    queued_worst: float
    #: the same, counted from the end of the last fault in between; a fault costs a lease and a pass
    queued_worst_after_fault: float
    lease: float
    pass_seconds: float
    #: from the last fault and the last insert to the end of the last entry
    drain: float
    violations: list[str] = field(default_factory=list)

    def figures(self) -> dict[str, Any]:
        """Return everything but the violations, which may be many."""
        return {name: value for name, value in asdict(self).items() if name != "violations"}


async def chaos(folder: Path, *, seconds: float, seed: int) -> Report:
    """Run for some seconds in an empty folder, then check.

    :param seed: decides the entries and the faults; when each happens also depends on the machine.
    """
    parts = Parts(folder)
    load = Load(parts.stack, _rng("load", seed), seconds)
    faults = Faults(parts, _rng("faults", seed), seconds)
    try:
        await asyncio.to_thread(parts.begin)
        await load.prepare()
        await parts.stack.simulator(
            "POST", "/_sim/foreign-runs", {"count": FOREIGN_RUNS, "seconds": seconds / 2}
        )
        await asyncio.to_thread(parts.start, "host")
        async with asyncio.TaskGroup() as group:
            group.create_task(load.run())
            group.create_task(faults.run())
        peace = time.monotonic()
        unfinished = await _drain(parts)
        drain = time.monotonic() - peace
        facts = with_hands(await parts.stack.facts(CAP, MAX_ATTEMPTS), load.entries)
    finally:
        await asyncio.to_thread(parts.stack.stop)
    found = [*unfinished, *faults.violations, *violations(facts, load.entries, load.people.resolved)]
    return _report(facts, faults, seconds=seconds, seed=seed, drain=drain, found=found)


def _rng(purpose: str, seed: int) -> random.Random:
    """Return a separate generator per purpose, so that the timing of one does not change another."""
    return random.Random(f"{purpose} {seed}")  # noqa: S311  nothing secret


async def _drain(parts: Parts) -> list[str]:
    """Wait for the end of every entry and run: a person may have repaired the run of one that is over."""
    try:
        async with asyncio.timeout(DRAIN_SECONDS):
            while await parts.stack.active_runs() or parts.stack.open_rows():
                await parts.stack.until_all_ended(DRAIN_SECONDS)
                await asyncio.sleep(POLL_SECONDS)
    except (AssertionError, TimeoutError) as error:
        return [str(error) or f"runs are still active after {DRAIN_SECONDS} s"]
    return []


def _report(
    facts: Facts, faults: Faults, *, seconds: float, seed: int, drain: float, found: list[str]
) -> Report:
    worst, after = max(faults.recoveries, default=(None, ""))
    times = [recovery for recovery, _ in faults.recoveries]
    queued = list(_queued(facts))
    statuses = sorted(row["status"] for row in facts.entries.values())
    return Report(
        seconds=seconds,
        seed=seed,
        entries=len(facts.entries),
        runs=len(facts.runs),
        repairs=sum(len(run["parts"]) - 1 for run in facts.runs),
        resolved=len(facts.let_go),
        statuses={status: statuses.count(status) for status in dict.fromkeys(statuses)},
        kills=dict(faults.kills),
        faults=dict(faults.others),
        max_active=facts.max_active,
        cap=CAP,
        recovery_worst=worst,
        recovery_worst_after=after,
        recovery_median=statistics.median(times) if times else None,
        recoveries=len(times),
        queued_worst=max(((end - start).total_seconds() for start, end in queued), default=0.0),
        queued_worst_after_fault=max((_since_fault(*times, faults.ends) for times in queued), default=0.0),
        lease=LEASE_SECONDS,
        pass_seconds=PASS_SECONDS,
        drain=round(drain, 1),
        violations=found,
    )


def _queued(facts: Facts) -> Iterator[tuple[datetime, datetime]]:
    """Return the intervals in which entries were QUEUED."""
    since: dict[int, datetime] = {}
    for step in facts.audit:
        at = datetime.fromisoformat(step["at"]).replace(tzinfo=UTC)
        if step["old"] == "QUEUED" and step["new"] != "QUEUED":
            yield since[step["entry_id"]], at
        elif step["old"] != "QUEUED" and step["new"] == "QUEUED":
            since[step["entry_id"]] = at


def _since_fault(start: datetime, end: datetime, faults: Sequence[datetime]) -> float:
    """Return the seconds from an interval's start, or the last end of a fault in it, to its end."""
    last = max((fault for fault in faults if start < fault < end), default=start)
    return (end - last).total_seconds()
