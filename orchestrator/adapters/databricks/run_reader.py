"""Read what a run's tasks say about its end: page by page, task by task, into iterations and child runs."""

import asyncio
import logging
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from typing import Protocol, TypeVar

from orchestrator.adapters.databricks import jobs_api, task_outcomes
from orchestrator.adapters.databricks.jobs_api import Request
from orchestrator.adapters.databricks.task_outcomes import MAX_OUTPUTS, Cause
from orchestrator.adapters.databricks.task_responses import FOR_EACH, TaskOutput, TaskPage, most_telling
from orchestrator.core.errors import DatabricksError, WorkspaceUnavailable
from orchestrator.core.models import Run, RunFailure, TaskRun

_logger = logging.getLogger(__name__)

_T = TypeVar("_T")
_PageRequest = Callable[[str | None], Request[TaskPage]]

#: Pages that one reader follows. A job has at most 1,000 tasks (10 pages and more with their attempts), and a
#: *For each* some thousand iterations.
_MAX_PAGES = 60
#: How far below a run's own tasks an error is looked for. Databricks advises against more than three *Run
#: Job* tasks inside one another; each may stand in a *For each*.
_MAX_DEPTH = 6


class Send(Protocol):
    """Sends a request, with the client's repeats."""

    async def __call__(self, request: Request[_T], /) -> _T:
        """Return the result. :raises DatabricksError: there is none."""
        ...


class RunReader:
    """Reads one run that is over. What it has read so far counts, even if it is stopped halfway.

    :param run: as the first page of ``runs/get`` shows it.
    :param page_seconds: the longest that the pages of one run may take, so that time is left for its outputs.
    """

    def __init__(self, run: Run, send: Send, *, page_seconds: float) -> None:
        self._run = run
        self._send = send
        self._page_seconds = page_seconds
        self._pages_left = _MAX_PAGES
        #: a child that names one of these as its own child would never end
        self._entered = {run.run_id}
        self._complete = True
        self._causes: list[Cause] = []
        self._outputs: list[tuple[TaskRun, TaskOutput]] = []

    async def read_failure(self) -> None:
        """Read the errors of the run's failed tasks."""
        tasks = await self._tasks(self._run)
        self._run = replace(self._run, message=task_outcomes.with_ends(self._run.message, tasks))
        failed = task_outcomes.failed_tasks(self._run, tasks)
        self._causes += [_cause(task, None) for task in failed[:MAX_OUTPUTS]]
        await self._explain(self._causes, MAX_OUTPUTS)

    def failure(self) -> RunFailure:
        """Return the errors read so far, or the run's own message."""
        return task_outcomes.combine(self._run, self._causes, complete=self._complete)

    async def read_results(self) -> None:
        """Read the exit values of the run's notebooks."""
        for task in task_outcomes.tasks_with_result(self._run, await self._tasks(self._run)):
            self._outputs.append((task, await self._output(task.run_id)))

    def result(self) -> str | None:
        """Return the exit values read so far."""
        return task_outcomes.join_results(self._outputs)

    async def _explain(self, causes: Sequence[Cause], outputs: int) -> None:
        """Read the errors of some tasks. Each gets its share of the outputs: one must not use up all."""
        for cause in causes:
            await self._explain_one(cause, max(1, outputs // len(causes)))

    async def _explain_one(self, cause: Cause, outputs: int) -> None:
        if cause.task.kind == FOR_EACH:
            iterations = await self._iterations(cause.task.run_id)
            await self._descend(cause, task_outcomes.failed_iterations(iterations), outputs)
            if cause.explained_inside():
                return
            cause.message = task_outcomes.with_ends(cause.message, iterations)
        output = await self._output(cause.task.run_id)
        cause.error_trace = output.error_trace
        child = await self._child(output.child_run_id or cause.task.child_run_id)
        if child is None:
            cause.message = task_outcomes.message_of(output, cause.message)
            return
        tasks = await self._tasks(child)
        own = task_outcomes.with_ends(child.message, tasks)
        cause.message = most_telling(output.error, own, cause.message)
        await self._descend(cause, task_outcomes.failed_tasks(child, tasks), outputs)

    async def _descend(self, cause: Cause, tasks: Sequence[TaskRun], outputs: int) -> None:
        """Explain a task by its failed iterations, or by its child's failed tasks."""
        if len(cause.path) <= _MAX_DEPTH:
            cause.inner += [_cause(task, cause) for task in tasks[:outputs]]
            await self._explain(cause.inner, outputs)

    async def _tasks(self, run: Run) -> list[TaskRun]:
        """Return all tasks of a run, or as many as can be read."""
        if run.next_page_token is None:
            return list(run.tasks)
        request = partial(jobs_api.get_task_page, run.run_id, with_history=run.with_history)
        pages = await self._pages(request, run.next_page_token)
        return [*run.tasks, *(task for page in pages for task in page.tasks)]

    async def _iterations(self, run_id: int) -> list[TaskRun]:
        """Return all iterations of a *For each* task, or as many as can be read.

        Where there are none, they may stand among the tasks, as the *For each* itself does.
        """
        pages = await self._pages(partial(jobs_api.get_task_page, run_id), None)
        iterations = [iteration for page in pages for iteration in page.iterations]
        return iterations or [task for page in pages for task in page.tasks if task.run_id != run_id]

    async def _pages(self, request: _PageRequest, token: str | None) -> list[TaskPage]:
        """Return the pages from a token on, None = the first, up to one that cannot be read."""
        pages: list[TaskPage] = []
        try:
            async with asyncio.timeout(self._page_seconds):
                await self._follow(request, token, pages)
        except (DatabricksError, TimeoutError) as error:
            self._complete = False
            _logger.info("run %d: not all pages: %s", self._run.run_id, str(error) or "out of time")
        return pages

    async def _follow(self, request: _PageRequest, token: str | None, pages: list[TaskPage]) -> None:
        asked: set[str | None] = set()
        while token not in asked:
            if self._pages_left == 0:
                raise WorkspaceUnavailable(f"Databricks runs/get: more than {_MAX_PAGES} pages")
            self._pages_left -= 1
            page = await self._send(request(token))
            pages.append(page)
            asked.add(token)
            token = page.next_page_token
            if token is None:
                return
        raise WorkspaceUnavailable("Databricks runs/get: the same page token came twice")

    async def _child(self, run_id: int | None) -> Run | None:
        """Return the run that a *Run Job* task started; None without one, or when it cannot be read."""
        if run_id is None or run_id in self._entered:
            return None
        self._entered.add(run_id)
        try:
            return await self._send(jobs_api.get_run(run_id))
        except DatabricksError as error:
            _logger.info("the child run %d could not be read: %s", run_id, error)
            return None

    async def _output(self, task_run_id: int) -> TaskOutput:
        """Return the output of a task run; an empty one when it cannot be read."""
        try:
            return await self._send(jobs_api.get_output(task_run_id))
        except DatabricksError as error:
            _logger.info("the output of task run %d could not be read: %s", task_run_id, error)
            return TaskOutput()


def _cause(task: TaskRun, outer: Cause | None) -> Cause:
    """Return a cause of which only the end of the task is known."""
    # All iterations may have the same key.
    is_iteration = outer is not None and outer.task.kind == FOR_EACH
    name = f"{task.task_key} (run {task.run_id})" if is_iteration else task.task_key
    return Cause(task=task, path=(*(outer.path if outer else ()), name), message=task.message)
