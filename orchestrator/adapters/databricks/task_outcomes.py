"""Choose the tasks whose outputs are worth a request, and join what they say about their run. Pure."""

import re
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from orchestrator.adapters.databricks.error_lines import error_in
from orchestrator.adapters.databricks.fields import MESSAGE_CHARACTERS, cut
from orchestrator.adapters.databricks.task_responses import NOTEBOOK, TaskOutput, most_telling, says_something
from orchestrator.core.models import Run, RunFailure, TaskRun

#: An error trace is cut to this, in characters: about a hundred lines. Databricks may send 5 MB.
_TRACE_CHARACTERS = 10_000
#: Exit values are cut to this, in characters: what the log keeps of them.
_RESULT_CHARACTERS = 4_000

#: Task runs of a run whose output is fetched: each takes a request, and the first few show what went wrong.
MAX_OUTPUTS = 10

_INCOMPLETE = "\n(Not all of the run's tasks could be read.)"

_WITH_FAILURES = "SUCCESS_WITH_FAILURES"

#: Results (or termination codes) of a task that something else ended.
_ENDED = frozenset({"CANCELED", "USER_CANCELED", "UPSTREAM_CANCELED", "UPSTREAM_FAILED"})

#: Results (or termination codes) of a task that has no error of its own.
_WITHOUT_ERROR = _ENDED | {"SUCCESS", _WITH_FAILURES, "EXCLUDED", "DISABLED", "SKIPPED"}

#: The end of a message that tells no more than how the process ended.
_EXIT_CHARACTERS = 40
_EXIT_CODE = re.compile(r"\b(?:code|status):? -?\d{1,10}\W{0,3}\Z", re.IGNORECASE)


@dataclass(kw_only=True)
class Cause:
    """A failed task, what is known of its error so far, and the failed tasks inside it."""

    task: TaskRun
    #: keys of the tasks from the run down to this one
    path: tuple[str, ...]
    message: str | None
    error_trace: str | None = None
    #: the failed iterations of a *For each*, or the failed tasks of a *Run Job*'s child
    inner: list["Cause"] = field(default_factory=list)

    @property
    def label(self) -> str:
        """Where the task is, for people."""
        return " > ".join(key for key in self.path if key)

    def explained(self) -> list["Cause"]:
        """Return the innermost causes that have a text."""
        inner = self.explained_inside()
        if inner:
            return inner
        return [self] if self.message or self.error_trace else []

    def explained_inside(self) -> list["Cause"]:
        """Return the innermost causes that have a text, without this one."""
        return [found for cause in self.inner for found in cause.explained()]


def failed_tasks(run: Run, tasks: Sequence[TaskRun]) -> list[TaskRun]:
    """Return the last attempt of each task that failed by itself; else those that succeeded with failures.

    :param tasks: all tasks of the run. Without any, the run counts as its only task.
    """
    last = _last_attempts(tasks) if tasks else [_as_task(run)]
    failed = [task for task in last if _failed(task)]
    return failed or [task for task in last if not tasks or task.result_state == _WITH_FAILURES]


def with_ends(message: str | None, tasks: Sequence[TaskRun]) -> str | None:
    """Return a message that also says why tasks were ended: it may stand nowhere else.

    :param message: of their run, or of the *For each* whose iterations they are.
    """
    own = message if message and says_something(message) else ""
    ended = [task for task in _last_attempts(tasks) if task.result_state in _ENDED]
    keys = {task.message: task.task_key for task in reversed(ended) if task.message}
    lines = [_labelled(key, text) for text, key in reversed(keys.items()) if text not in own][:MAX_OUTPUTS]
    return cut("\n".join([own, *lines]).strip(), MESSAGE_CHARACTERS) if lines else message


def message_of(output: TaskOutput, told: str | None) -> str | None:
    """Return the error of a task's code: as the output says it, or the line of its trace or logs that does.

    :param told: what is known without the output.
    """
    message = most_telling(output.error, error_in(output.error_trace), told)
    found = error_in(output.logs)
    if message and found and _EXIT_CODE.search(message[-_EXIT_CHARACTERS:]):
        return f"{message}\n{found}"
    return most_telling(message, found)


def failed_iterations(iterations: Iterable[TaskRun]) -> list[TaskRun]:
    """Return the iterations of a *For each* that failed for good.

    All iterations may have the same key, and nothing says which attempt repeats which. So a failed attempt
    counts as repeated if there are as many further attempts as failures.
    """
    attempts: dict[tuple[str, int], list[TaskRun]] = defaultdict(list)
    for iteration in iterations:
        attempts[iteration.task_key, iteration.attempt_number].append(iteration)
    found: list[TaskRun] = []
    for (key, number), group in attempts.items():
        failed = [iteration for iteration in group if _failed(iteration)]
        if len(attempts.get((key, number + 1), ())) < len(failed):
            found += failed
    return found


def tasks_with_result(run: Run, tasks: Sequence[TaskRun]) -> list[TaskRun]:
    """Return the last attempts that succeeded and may have an exit value, by key, a bounded number of them.

    :param tasks: all tasks of the run. Without any, the run counts as its only task.
    """
    if not tasks:
        return [_as_task(run)]
    succeeded = [
        task
        for task in _last_attempts(tasks)
        if task.result_state in {"SUCCESS", _WITH_FAILURES} and task.kind in {NOTEBOOK, None}
    ]
    return sorted(succeeded, key=lambda task: task.task_key)[:MAX_OUTPUTS]


def combine(run: Run, causes: Iterable[Cause], *, complete: bool) -> RunFailure:
    """Join the errors of a run's failed tasks into one. Without any, return the run's own message.

    :param complete: False = not all tasks of the run could be read, which the message then says.
    """
    explained = [found for cause in causes for found in cause.explained()]
    messages = [(cause, cause.message) for cause in explained if cause.message]
    traces = [(cause, cause.error_trace) for cause in explained if cause.error_trace]
    note = "" if complete else _INCOMPLETE
    message = _join(messages, MESSAGE_CHARACTERS - len(note)) or run.message
    return RunFailure(
        message=cut(message, MESSAGE_CHARACTERS - len(note)) + note if message else note.strip() or None,
        error_trace=_join(traces, _TRACE_CHARACTERS),
    )


def join_results(outputs: Sequence[tuple[TaskRun, TaskOutput]]) -> str | None:
    """Join the exit values of a run's notebooks; None if there is none."""
    results = [
        (task.task_key, output.result, output.result_is_cut) for task, output in outputs if output.result
    ]
    if len(results) == 1:
        _, result, is_cut = results[0]
        return _start(result, _RESULT_CHARACTERS, is_cut=is_cut)
    share = _RESULT_CHARACTERS // max(1, len(results))
    lines = [_start(_labelled(key, result), share - 1, is_cut=is_cut) for key, result, is_cut in results]
    return "\n".join(lines) or None


def _start(text: str, limit: int, *, is_cut: bool) -> str:
    """Return the start of a text, with an ellipsis where something is missing."""
    return f"{text[: limit - 1]}…" if is_cut or len(text) > limit else text


def _join(texts: Sequence[tuple[Cause, str]], limit: int) -> str | None:
    if not texts:
        return None
    if len(texts) == 1 and len(texts[0][0].path) == 1:  # the only task of the run itself
        return cut(texts[0][1], limit)
    share = limit // len(texts)
    return "\n".join(cut(_labelled(cause.label, text), share - 1) for cause, text in texts)


def _labelled(label: str, text: str) -> str:
    return f"{label}: {text}" if label else text


def _last_attempts(tasks: Iterable[TaskRun]) -> list[TaskRun]:
    """Return the last attempt of each task, in the order of the tasks' first appearance."""
    by_key: dict[str | int, list[TaskRun]] = defaultdict(list)
    for task in tasks:
        by_key[task.task_key or task.run_id].append(task)
    return [_last(attempts) for attempts in by_key.values()]


def _last(attempts: Sequence[TaskRun]) -> TaskRun:
    """Return the attempt that started last; without all the times, the one with the highest number.

    Times come first because a repair may begin to count anew.
    """
    timed = all(attempt.started_at for attempt in attempts)

    def order(attempt: TaskRun) -> tuple[float, int]:
        start = attempt.started_at.timestamp() if timed and attempt.started_at else 0.0
        return start, attempt.attempt_number

    return max(attempts, key=order)


def _failed(task: TaskRun) -> bool:
    if task.result_state is None:
        return task.life_cycle_state == "INTERNAL_ERROR"
    return task.result_state not in _WITHOUT_ERROR


def _as_task(run: Run) -> TaskRun:
    return TaskRun(
        run_id=run.run_id,
        task_key="",
        attempt_number=0,
        life_cycle_state=run.life_cycle_state,
        result_state=run.result_state,
    )
