"""Put into words what keeps the app from doing its work, one line each. Pure."""

from collections import Counter
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from orchestrator.core import durations, time_limits
from orchestrator.core.addresses import Elsewhere
from orchestrator.core.models import ActiveRun, Entry, LastPass, StrayRun
from orchestrator.core.redaction import one_line
from orchestrator.core.reports import OpenWorkspace, Silence, TimedEntry, WorkspaceStatus
from orchestrator.core.slots import JobRoom
from orchestrator.core.unknown_runs import PossibleRun

#: Errors are cut to this, in characters; the entry has the whole text.
_ERROR_CHARACTERS = 300

#: Names of workspaces that nobody knows are cut to this, in characters.
_NAME_CHARACTERS = 100

#: Jobs of foreign runs that are named, those with most runs first.
_JOBS = 3

#: Passes that have met a problem, each of them, for so long are a reason.
_TROUBLED_SECONDS = 3600.0

#: Workspaces named that the settings do not know, those with most entries first.
_UNKNOWN = 5


class Trouble(StrEnum):
    """What is wrong with entries. The texts begin a reason."""

    NO_STATUS = "left alone, since the status is none of the states"
    NO_SLOT = "no slot, 10 times in a row or more"
    PLATFORM = "failures of the platform, 10 times in a row or more"
    LONG_QUEUED = "QUEUED for longer than two leases"
    UNCALLED = "QUEUED for longer than two leases, and the submit function has not looked at it"
    MISSING = "RUNNING, but Databricks says that the run does not exist"
    UNREADABLE = "RUNNING, but Databricks keeps the app from reading or cancelling the run"
    UNHEEDED = "RUNNING for long after its cancellation was asked for"
    STANDS_STILL = "RUNNING, but its run in Databricks neither executes nor ends"
    OVERDUE = "RUNNING for far longer than usual"
    STRAY = "a run that nobody wants goes on and cannot be cancelled"
    IN_DOUBT = "ended in doubt, and a run that may be the entry's goes on"
    SETTING_REFUSED = "waiting, since the job that the settings name is refused"
    PRINCIPAL_REFUSED = "waiting, since the token's owner lacks the permission to run their job"
    TABLE_HELD = "waiting for hours behind a run of the same table"


@dataclass(frozen=True, kw_only=True)
class Troubled:
    """The entries of a workspace that have the same trouble, and one of them."""

    trouble: Trouble
    entries: int
    example: Entry
    #: what to say about the example in place of its last error
    detail: str | None = None
    #: since when, if the example does not say it
    known_since: datetime | None = None

    @property
    def since(self) -> datetime | None:
        """Since when the example has the trouble; None = the trouble is a matter of times, not of time."""
        entry = self.example
        return self.known_since or {
            Trouble.LONG_QUEUED: entry.claimed_at or entry.updated_at,
            Trouble.UNCALLED: entry.claimed_at or entry.updated_at,
            Trouble.MISSING: entry.missing_since,
            Trouble.UNREADABLE: entry.unreadable_since,
            Trouble.UNHEEDED: entry.cancel_asked_at,
            Trouble.STANDS_STILL: time_limits.in_state_since(entry),
            Trouble.IN_DOUBT: entry.finished_at,
        }.get(self.trouble)


def trouble_of_run(entry: Entry, now: datetime) -> Trouble | None:
    """Return what is wrong with the run of a RUNNING entry, the gravest first; how long it takes aside."""
    if entry.missing_since is not None:
        return Trouble.MISSING
    if entry.unreadable_since is not None:
        return Trouble.UNREADABLE
    if time_limits.heeds_no_cancellation(entry.cancel_asked_at, now):
        return Trouble.UNHEEDED
    return Trouble.STANDS_STILL if time_limits.stands_still(entry, now) else None


def runs_in_trouble(trouble: Trouble, entries: Sequence[Entry]) -> Troubled:
    """Return the entries of a workspace whose runs have the same trouble; the first is the example."""
    first = entries[0]
    detail = None
    if trouble is Trouble.STANDS_STILL:
        state = "QUEUED" if first.queue_seconds is None else first.run_state
        detail = f"run {first.runid} is {state}"
    return Troubled(trouble=trouble, entries=len(entries), example=first, detail=detail)


def troubled(found: Troubled) -> str:
    """Say which entries have a trouble."""
    entries = f"{found.entries:,} {'entry' if found.entries == 1 else 'entries'}"
    since = f" since {second(found.since)}" if found.since else ""
    words = _words(found.detail or found.example.last_error)
    return (
        f"workspace {one_line(found.example.workspace)}: {found.trouble}: {entries}, "
        f"for example entry {found.example.id}{since}{words}"
    )


def long_runs(runs: Sequence[TimedEntry]) -> str:
    """Say which runs of a workspace take far longer than usual; the first is the example."""
    first = runs[0]
    seconds = durations.running_seconds(first.entry, first.now) or 0.0
    detail = f"run {first.entry.runid}, {seconds:,.0f} s, usually {first.usual_seconds or 0.0:,.0f} s"
    return troubled(Troubled(trouble=Trouble.OVERDUE, entries=len(runs), example=first.entry, detail=detail))


def in_doubt(found: Sequence[PossibleRun]) -> str:
    """Say which run may be that of an entry of a workspace that ended in doubt; the first is the example."""
    first = found[0]
    detail = (
        f"run {first.run.run_id} of job {first.run.job_id} may be its run, so the table is held; look at the "
        "run in Databricks, then retry or resolve the entry"
    )
    entries = len({each.entry.id for each in found})
    trouble = Troubled(trouble=Trouble.IN_DOUBT, entries=entries, example=first.entry, detail=detail)
    return troubled(trouble)


def ownerless(found: Sequence[StrayRun]) -> list[str]:
    """Say in which workspaces runs of deleted entries go on; the oldest of each is the example."""
    of_workspace: dict[str, list[StrayRun]] = {}
    for stray in found:
        of_workspace.setdefault(stray.workspace, []).append(stray)
    return [_ownerless(strays[0], len(strays)) for strays in of_workspace.values()]


def _ownerless(first: StrayRun, count: int) -> str:
    return (
        f"workspace {one_line(first.workspace)}: {Trouble.STRAY}, so it holds its table: {count:,} of "
        f"deleted entries, for example run {first.run_id} of entry {first.entry_id} "
        f"since {second(first.since)}{_words(first.problem)}"
    )


def holder_in_words(run_id: int | None, entry_id: int, whose: str) -> str:
    """Name the run that keeps a table busy."""
    return f"run {run_id} of entry {entry_id}, {whose}"


def unknown_workspaces(found: Sequence[OpenWorkspace], known: Collection[str], now: datetime) -> list[str]:
    """Return a reason for the workspaces that entries name and the settings do not know, if there are any.

    :param found: of all workspaces that open entries name.
    :param known: the names in the settings.
    """
    unknown = [each for each in found if each.name not in known]
    unknown.sort(key=lambda each: (-each.waiting - each.in_flight, each.name))
    lines = [
        f"workspace {each.name[:_NAME_CHARACTERS]!r} is not in the settings: {each.waiting:,} waiting and "
        f"{each.in_flight:,} in flight of its entries go on when DATABRICKS_WORKSPACES has it, the "
        f"oldest since {second(min(each.since, now))}; or cancel or resolve them"
        for each in unknown[:_UNKNOWN]
    ]
    rest = unknown[_UNKNOWN:]
    if rest:
        entries = sum(each.waiting + each.in_flight for each in rest)
        lines.append(f"{len(rest):,} further workspaces are not in the settings; open entries: {entries:,}")
    return lines


def is_late(last: LastPass | None, now: datetime, limit_seconds: float) -> bool:
    """Say whether a timer function has begun no pass within the limit."""
    return last is None or (now - last.started_at).total_seconds() > limit_seconds


def lateness(name: str, last: LastPass | None, now: datetime, limit_seconds: float, outcome: str) -> str:
    """Say what is wrong with a timer function's passes; empty if one has finished within the limit.

    :param outcome: what the last pass met, as the end of a reason.
    """
    if last is None:
        return f"{name} has never begun"
    if is_late(last, now, limit_seconds):
        return f"{name} has not begun since {second(last.started_at)}"
    if last.finished_at is None:
        return f"no pass of {name} has come to its end yet{outcome}"
    if (now - last.finished_at).total_seconds() <= limit_seconds:
        return ""
    return f"no pass of {name} has come to its end since {second(last.finished_at)}{outcome}"


def troubled_passes(last: LastPass, now: datetime) -> str:
    """Say that each pass of a timer function has met a problem for long, and which; empty if not so."""
    if last.troubled_since is None or (now - last.troubled_since).total_seconds() < _TROUBLED_SECONDS:
        return ""
    since = second(last.troubled_since)
    return f"every pass of {last.name} has met a problem since {since}{_words(last.outcome)}"


def unanswered(seconds: float | None, trouble: str | None) -> str:
    """Say that not everything could be read in time, and why not, if the store is known not to be there."""
    if trouble is None:
        return f"not everything could be read in {seconds:g} s: the state store or Databricks is slow"
    return f"the state store has not answered in {seconds:g} s: {trouble}"


def unresolved(setting: str) -> str:
    """Say that the app does without a setting, since Azure has not resolved what it refers to."""
    return (
        f"{setting} holds a reference that Azure has not resolved, so the app does without it: give its "
        "identity the role Key Vault Secrets User, or see what the portal says beside the setting"
    )


def silent(found: Silence) -> str:
    """Say that a workspace does not answer, since when, and what the last pass met."""
    return (
        f"workspace {one_line(found.workspace)} has not answered since {second(found.since)}, so nothing is "
        f"claimed there{_words(found.problem)}"
    )


def elsewhere(found: Elsewhere) -> str:
    """Say what a workspace has open at another address than the settings say, and what to do."""
    name = one_line(found.workspace)
    one = found.entries == 1
    entries = "1 entry has its run or call" if one else f"{found.entries:,} entries have their runs or calls"
    since = f" since {second(found.since)}" if found.since else ""
    return (
        f"workspace {name} begins nothing: the settings say {one_line(found.here)}, but {entries} at "
        f"{one_line(found.address)} (for example entry {found.entry_id}{since}); correct the setting, or, if "
        f"the workspace has moved, run: python -m orchestrator workspace-moved {name}"
    )


def last_run_elsewhere(entry: Entry, run_id: int, here: str) -> str:
    """Say that an entry's last run was not seen over at another address than the settings say."""
    return (
        f"its last run {run_id} is at {one_line(entry.workspace_address or '')} and was not seen to be over, "
        f"and the settings say {one_line(here)}; correct the setting, or, if the workspace has moved, run: "
        f"python -m orchestrator workspace-moved {one_line(entry.workspace)}"
    )


def wait_for_nothing(workspace: str, outcome: str) -> str:
    """Say that entries of a workspace wait, and that nobody knows why.

    :param outcome: what the last trigger pass met, as the end of a reason.
    """
    return f"entries of workspace {one_line(workspace)} wait although slots are free{outcome}"


def unlisted(workspace: str, problem: str, outcome: str) -> str:
    """Say that entries of a workspace wait, and that nobody can see what is active there.

    :param outcome: what the last trigger pass met, as the end of a reason.
    """
    return (
        f"entries of workspace {one_line(workspace)} wait, and its active runs cannot be listed: "
        f"{problem}{outcome}"
    )


def foreign_runs(status: WorkspaceStatus) -> str:
    """Say that foreign runs keep entries waiting, how many they are and of which jobs."""
    slots = "slot" if status.cap == 1 else "slots"
    at_least = "" if status.active.error is None else "at least "
    return (
        f"entries of workspace {one_line(status.report.name)} wait: foreign runs take "
        f"{at_least}{status.foreign:,} of its {status.cap:,} {slots} ({_jobs(status.foreign_runs)})"
    )


def full_job(workspace: str, room: JobRoom) -> str:
    """Say that entries wait for a job on which none of them runs."""
    foreign = f"{room.foreign:,} foreign {'run is' if room.foreign == 1 else 'runs are'}"
    return (
        f"entries of workspace {one_line(workspace)} wait for job {room.job_id}: its max_concurrent_runs is "
        f"{room.max_concurrent_runs:,}, and {foreign} active on it"
    )


def second(time: datetime) -> str:
    """Write a time to the second."""
    return f"{time:%Y-%m-%d %H:%M:%S} UTC"


def _jobs(runs: Sequence[ActiveRun]) -> str:
    counts = Counter(run.job_id for run in runs if run.takes_slot)
    shown = [
        f"{'no job' if job_id is None else f'job {job_id}'}: {number:,}"
        for job_id, number in counts.most_common(_JOBS)
    ]
    return ", ".join(shown) + (", …" if len(counts) > _JOBS else "")


def _words(text: str | None) -> str:
    if not text:
        return ""
    words = " ".join(text.split())
    return f": {words if len(words) <= _ERROR_CHARACTERS else words[: _ERROR_CHARACTERS - 2] + ' …'}"
