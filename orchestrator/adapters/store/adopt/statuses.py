"""Map a team's words for the state of a row to our states. Pure."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from orchestrator.core.states import CLAIMABLE, IN_FLIGHT, Status

#: Words that need no map. Case and surrounding blanks do not matter.
_WORDS: dict[str, Status] = {
    **dict.fromkeys(("", "NEW", "WAITING", "READY", "PENDING"), Status.PENDING),
    **dict.fromkeys(("QUEUED", "SUBMITTED"), Status.QUEUED),
    **dict.fromkeys(("RUNNING", "IN PROGRESS", "IN_PROGRESS", "STARTED"), Status.RUNNING),
    **dict.fromkeys(("DONE", "SUCCESS", "SUCCEEDED", "COMPLETED", "FINISHED"), Status.DONE),
    # Old failures must not all run again at once: an operator retries what is still wanted.
    **dict.fromkeys(("FAILED", "ERROR", "DEAD"), Status.DEAD),
    **dict.fromkeys(("CANCELLED", "CANCELED", "ABORTED"), Status.CANCELED),
}

#: The states that a map may name. QUEUED is not one of them: no message for an old row is on the queue.
_TARGETS = tuple(status for status in Status if status is not Status.QUEUED)


@dataclass(frozen=True, kw_only=True)
class Group:
    """Rows of a team's table with the same word, all with a run or all without."""

    #: as in the column; empty for NULL
    word: str
    has_run: bool
    rows: int


@dataclass(frozen=True, kw_only=True)
class _Mapped:
    """A group and the state that it maps to."""

    group: Group
    to: Status


@dataclass(frozen=True, kw_only=True)
class Plan:
    """The state that every row gets. While there are problems, nothing may be changed."""

    mapped: tuple[_Mapped, ...]
    problems: tuple[str, ...]


def plan(groups: Sequence[Group], status_map: Mapping[str, str]) -> Plan:
    """Find the state of each group.

    :param status_map: the team's words → states, in addition to :data:`_WORDS` and before them.
    """
    words = {_key(word): state.strip().upper() for word, state in status_map.items()}
    problems = [
        f"STATUS_MAP: {state!r}, for {word!r}, is not one of {', '.join(_TARGETS)}"
        for word, state in words.items()
        if state not in _TARGETS
    ]
    asked = {word: Status(state) for word, state in words.items() if state in _TARGETS}
    mapped = []
    for group in groups:
        to = _target(group, asked)
        if isinstance(to, Status):
            mapped.append(_Mapped(group=group, to=to))
        elif _key(group.word) not in words:
            problems.append(to)
    problems += [
        f"{m.group.rows} rows are {m.group.word!r} without a run id, so they cannot be followed: "
        "fill in RUNID, or map the word: "
        f'STATUS_MAP={{"{_key(m.group.word)}": "PENDING"}} runs them, "DEAD" does not'
        for m in mapped
        if m.to is Status.RUNNING and not m.group.has_run
    ]
    return Plan(mapped=tuple(mapped), problems=tuple(problems))


def _key(word: str) -> str:
    return word.strip().upper()


def _target(group: Group, asked: Mapping[str, Status]) -> Status | str:
    """Return the state, or the problem."""
    key = _key(group.word)
    usual = _WORDS.get(key)
    to = asked.get(key, usual)
    if to is None:
        return f'{group.rows} rows have the status {group.word!r}: map the word: STATUS_MAP={{"{key}": "…"}}'
    if to is Status.QUEUED:
        return Status.RUNNING if group.has_run else Status.PENDING
    # A run that may be live is followed to its end, whatever the map says: a second run must not start.
    if usual in IN_FLIGHT and group.has_run and to in CLAIMABLE:
        return Status.RUNNING
    return to
