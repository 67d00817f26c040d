"""The rules of a chaos run beyond the general ones: nothing is lost, and each kind ends as it must."""

from collections import Counter
from collections.abc import Iterator, Sequence

from tests import invariants
from tests.chaos.load import InsertedEntry, Kind
from tests.chaos.parts import MAX_ATTEMPTS
from tests.invariants import Facts

#: The final states that an entry of a kind may have, and its number of runs.
ENDS: dict[Kind, tuple[frozenset[str], range]] = {
    Kind.PLAIN: (frozenset({"DONE"}), range(1, 2)),
    Kind.FLAKY: (frozenset({"DONE"}), range(2, 3)),
    Kind.HOPELESS: (frozenset({"DEAD"}), range(MAX_ATTEMPTS, MAX_ATTEMPTS + 1)),
    Kind.CANCELED: (frozenset({"CANCELED", "DONE"}), range(2)),
    Kind.INVALID: (frozenset({"DEAD"}), range(1)),
}


def violations(facts: Facts, inserted: Sequence[InsertedEntry]) -> list[str]:
    """Return every violation, one line each."""
    return [
        *invariants.violations(facts),
        *_conservation(facts, inserted),
        *_ends(facts, inserted),
        *_refusals(facts, inserted),
    ]


def _conservation(facts: Facts, inserted: Sequence[InsertedEntry]) -> Iterator[str]:
    """I1: every inserted entry is there, and no other entry."""
    ids = {entry.id for entry in inserted}
    if missing := ids - facts.entries.keys():
        yield f"entries that are missing: {sorted(missing)}"
    if strange := facts.entries.keys() - ids:
        yield f"entries that nobody inserted: {sorted(strange)}"


def _ends(facts: Facts, inserted: Sequence[InsertedEntry]) -> Iterator[str]:
    """Status and number of runs are exactly what the entry's kind demands."""
    runs = Counter(facts.owner(run)[0] for run in facts.runs)
    for made in inserted:
        entry = facts.entries.get(made.id)
        if entry is None:
            continue
        statuses, counts = ENDS[made.kind]
        if entry["status"] not in statuses or runs[made.id] not in counts:
            yield (
                f"{made.kind} entry {made.id} is {entry['status']} with {runs[made.id]} runs "
                f"(attempt {entry['attempt']}, submission {entry['submission']}): {entry['last_error']}"
            )


def _refusals(facts: Facts, inserted: Sequence[InsertedEntry]) -> Iterator[str]:
    """I4: a log row without a run is a refusal."""
    invalid = {entry.id for entry in inserted if entry.kind is Kind.INVALID}
    for log in facts.logs:
        if log["runid"] is None and log["entry_id"] not in invalid:
            where = f"the log row of entry {log['entry_id']}, submission {log['submission']}"
            yield f"{where} has no run: {log['message']}"
