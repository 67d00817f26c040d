"""The rules of a chaos run beyond the general ones: nothing is lost, and each kind ends as it must."""

from collections import Counter
from collections.abc import Iterator, Sequence

from tests import invariants
from tests.chaos.load import Kind, Row
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


def violations(facts: Facts, inserted: Sequence[Row]) -> list[str]:
    """Return every violation, one line each."""
    return [
        *invariants.violations(facts),
        *_conservation(facts, inserted),
        *_ends(facts, inserted),
        *_refusals(facts, inserted),
    ]


def _conservation(facts: Facts, inserted: Sequence[Row]) -> Iterator[str]:
    """I1: every inserted entry is there, and no other entry."""
    ids = {row.id for row in inserted}
    if missing := ids - facts.rows.keys():
        yield f"rows that are gone: {sorted(missing)}"
    if strange := facts.rows.keys() - ids:
        yield f"rows that nobody inserted: {sorted(strange)}"


def _ends(facts: Facts, inserted: Sequence[Row]) -> Iterator[str]:
    """Status and number of runs are exactly what the entry's kind demands."""
    runs = Counter(facts.owner(run)[0] for run in facts.runs)
    for made in inserted:
        row = facts.rows.get(made.id)
        if row is None:
            continue
        statuses, counts = ENDS[made.kind]
        if row["status"] not in statuses or runs[made.id] not in counts:
            yield (
                f"{made.kind} row {made.id} is {row['status']} with {runs[made.id]} runs "
                f"(attempt {row['attempt']}, submission {row['submission']}): {row['last_error']}"
            )


def _refusals(facts: Facts, inserted: Sequence[Row]) -> Iterator[str]:
    """I4: a log row without a run is a refusal."""
    invalid = {row.id for row in inserted if row.kind is Kind.INVALID}
    for log in facts.logs:
        if log["runid"] is None and log["entry_id"] not in invalid:
            where = f"the log row of entry {log['entry_id']}, submission {log['submission']}"
            yield f"{where} has no run: {log['message']}"
