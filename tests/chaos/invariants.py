"""The rules of a chaos run beyond the general ones: nothing is lost, and each kind ends as it must."""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import product

from orchestrator.core.actions import Resolution
from tests import invariants
from tests.chaos.kinds import ENDS, Kind
from tests.chaos.load import InsertedEntry
from tests.invariants import Facts


def violations(
    facts: Facts, inserted: Sequence[InsertedEntry], resolved: Mapping[int, Resolution]
) -> list[str]:
    """Return every violation, one line each.

    :param resolved: how operators resolved entries.
    """
    return [
        *invariants.violations(facts),
        *_conservation(facts, inserted),
        *_ends(facts, inserted),
        *_resolutions(facts, resolved),
        *_refusals(facts, inserted),
    ]


def with_hands(facts: Facts, inserted: Sequence[InsertedEntry]) -> Facts:
    """Return the facts with the runs that a person may have repaired."""
    repaired = {entry.id for entry in inserted if entry.kind is Kind.REPAIRED}
    runs = [run["run_id"] for run in facts.runs if facts.owner(run)[0] in repaired]
    return replace(facts, by_hand=frozenset(runs))


def _conservation(facts: Facts, inserted: Sequence[InsertedEntry]) -> Iterator[str]:
    """I1: every inserted entry is there, and no other entry."""
    ids = {entry.id for entry in inserted}
    if missing := ids - facts.entries.keys():
        yield f"entries that are missing: {sorted(missing)}"
    if strange := facts.entries.keys() - ids:
        yield f"entries that nobody inserted: {sorted(strange)}"


def _ends(facts: Facts, inserted: Sequence[InsertedEntry]) -> Iterator[str]:
    """Status, number of runs and number of repairs are what the entry's kind demands."""
    runs = Counter(facts.owner(run)[0] for run in facts.runs)
    repairs = Counter(facts.owner(run)[0] for run in facts.runs for _ in run["parts"][1:])
    for made in inserted:
        entry = facts.entries.get(made.id)
        if entry is None:
            continue
        ends = ENDS[made.kind]
        fits = runs[made.id] in ends.runs and repairs[made.id] in ends.repairs
        if entry.get("address_submission") is not None:  # no run can be repaired from another address
            beginnings = {a + b for a, b in product(ends.runs, ends.repairs)}
            fits = fits or runs[made.id] + repairs[made.id] in beginnings
        if entry["status"] not in ends.statuses or not fits:
            yield (
                f"{made.kind} entry {made.id} is {entry['status']} with {runs[made.id]} runs and "
                f"{repairs[made.id]} repairs (attempt {entry['attempt']}, submission {entry['submission']}): "
                f"{entry['last_error']}"
            )


def _resolutions(facts: Facts, resolved: Mapping[int, Resolution]) -> Iterator[str]:
    """An entry stays what an operator said."""
    for entry_id, resolution in resolved.items():
        status = facts.entries[entry_id]["status"]
        if status != resolution.status:
            yield f"entry {entry_id} was resolved by hand to {resolution.status} and is {status}"


def _refusals(facts: Facts, inserted: Sequence[InsertedEntry]) -> Iterator[str]:
    """I4: a log row without a run is a refusal, or an operator's."""
    invalid = {entry.id for entry in inserted if entry.kind is Kind.INVALID}
    for log in facts.logs:
        by_operator = facts.let_go.get(log["entry_id"]) == log["submission"]
        if log["runid"] is None and log["entry_id"] not in invalid and not by_operator:
            where = f"the log row of entry {log['entry_id']}, submission {log['submission']}"
            yield f"{where} has no run: {log['message']}"
