"""What a team's words for a row's state mean here. Pure."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from orchestrator.core.states import CLAIMABLE, IN_FLIGHT, Status

#: Words that are understood without a map; compared without case and blanks around them.
WORDS: dict[str, Status] = {
    **dict.fromkeys(("", "NEW", "WAITING", "READY", "PENDING"), Status.PENDING),
    **dict.fromkeys(("QUEUED", "SUBMITTED"), Status.QUEUED),
    **dict.fromkeys(("RUNNING", "IN PROGRESS", "IN_PROGRESS", "STARTED"), Status.RUNNING),
    **dict.fromkeys(("DONE", "SUCCESS", "SUCCEEDED", "COMPLETED", "FINISHED"), Status.DONE),
    # Old failures must not all run again at once: an operator retries what is still wanted.
    **dict.fromkeys(("FAILED", "ERROR", "DEAD"), Status.DEAD),
    **dict.fromkeys(("CANCELLED", "CANCELED", "ABORTED"), Status.CANCELED),
}

#: What a map may say. QUEUED is not among them: nothing of ours is on the queue for an old row.
TARGETS = tuple(status for status in Status if status is not Status.QUEUED)


@dataclass(frozen=True, kw_only=True)
class Group:
    """Rows of a team's table that say the same."""

    #: as it stands in the column; NULL is the empty word
    word: str
    has_run: bool
    rows: int


@dataclass(frozen=True, kw_only=True)
class Mapped:
    """A group and the state that it goes to."""

    group: Group
    to: Status


@dataclass(frozen=True, kw_only=True)
class Plan:
    """Where every row goes; nothing may be done while there are problems."""

    mapped: tuple[Mapped, ...]
    problems: tuple[str, ...]


def plan(groups: Sequence[Group], status_map: Mapping[str, str]) -> Plan:
    """Find the state of each group.

    :param status_map: the team's words → states, before and beside :data:`WORDS`.
    """
    words = {_key(word): state.strip().upper() for word, state in status_map.items()}
    problems = [
        f"STATUS_MAP: {state!r}, for {word!r}, is not one of {', '.join(TARGETS)}"
        for word, state in words.items()
        if state not in TARGETS
    ]
    asked = {word: Status(state) for word, state in words.items() if state in TARGETS}
    mapped = []
    for group in groups:
        to = _target(group, asked)
        if isinstance(to, Status):
            mapped.append(Mapped(group=group, to=to))
        elif _key(group.word) not in words:
            problems.append(to)
    problems += [
        f"{m.group.rows} rows are {m.group.word!r} without a run id, so nobody can follow them: fill RUNID, "
        f'or say what they are: STATUS_MAP={{"{_key(m.group.word)}": "PENDING"}} runs them, "DEAD" does not'
        for m in mapped
        if m.to is Status.RUNNING and not m.group.has_run
    ]
    return Plan(mapped=tuple(mapped), problems=tuple(problems))


def _key(word: str) -> str:
    return word.strip().upper()


def _target(group: Group, asked: Mapping[str, Status]) -> Status | str:
    """Return the state, or what is wrong."""
    key = _key(group.word)
    usual = WORDS.get(key)
    to = asked.get(key, usual)
    if to is None:
        return (
            f'{group.rows} rows have the status {group.word!r}: say what it is: STATUS_MAP={{"{key}": "…"}}'
        )
    if to is Status.QUEUED:
        return Status.RUNNING if group.has_run else Status.PENDING
    # A run that may be live is followed to its end, whatever the map says: a second one must not start.
    if usual in IN_FLIGHT and group.has_run and to in CLAIMABLE:
        return Status.RUNNING
    return to
