"""Everything that changes a workspace, by name, so that it can be written down and repeated."""

from collections.abc import Callable, Iterable, Mapping
from typing import Any

from devstack.databricks.clock import WorkspaceClock
from devstack.databricks.credentials import Credentials, parse_clients
from devstack.databricks.errors import ApiError, invalid
from devstack.databricks.journal import Command, Journal, JournalError
from devstack.databricks.outcomes import parse_rule
from devstack.databricks.repairs import parse_repair
from devstack.databricks.requests import parse_run_now, required_id
from devstack.databricks.workspace import Workspace

Body = dict[str, Any]

#: A typing error must not fill the memory.
MAX_FOREIGN_RUNS = 10_000

_BEGIN_ANEW = "Another version of the simulator wrote it: remove the file to begin anew"


class Commands:
    """Carries out commands, each at one moment of the workspace's clock.

    :param journal: takes every command that was accepted; what it holds already is repeated first.
    :param credentials: who may call.
    :raises JournalError: what the journal holds cannot be repeated.
    """

    def __init__(
        self,
        workspace: Workspace,
        clock: WorkspaceClock,
        *,
        credentials: Credentials,
        journal: Journal | None = None,
    ) -> None:
        self._workspace = workspace
        self._clock = clock
        self._credentials = credentials
        self._journal = journal
        self._handlers: Mapping[str, Callable[[Body], Any]] = {
            "run-now": lambda body: workspace.run_now(parse_run_now(body)),
            "repair": lambda body: workspace.repair(parse_repair(body)),
            "cancel": lambda body: workspace.cancel(required_id(body, "run_id")),
            "delete": lambda body: workspace.remove(required_id(body, "run_id")),
            "delete-job": lambda body: workspace.delete_job(required_id(body, "job_id")),
            "create": lambda body: workspace.create_job(body).job_id,
            "outcomes": lambda body: workspace.outcomes.add(parse_rule(body)),
            "clear-outcomes": lambda _body: workspace.outcomes.clear(),
            "foreign-runs": self._add_foreign_runs,
            "tokens": self._replace_tokens,
            "clients": lambda body: credentials.replace_clients(parse_clients(body)),
        }
        self._repeat(journal.commands if journal else ())

    def perform(self, name: str, body: Body) -> Any:
        """Carry out a command and return what it returns; when this returns, it is written down.

        :raises ApiError: it is refused and has changed nothing.
        """
        done = self._carry_out(name, body)
        if self._journal:
            self._journal.append(done)
        return done.result

    def _carry_out(self, name: str, body: Body, at: float | None = None) -> Command:
        with self._clock.held(at) as now:
            # What is due goes first, so that it makes no difference who looked at the workspace before.
            self._workspace.settle()
            return Command(at=now, name=name, body=body, result=self._handlers[name](body))

    def _repeat(self, commands: Iterable[Command]) -> None:
        for line, command in enumerate(commands, 2):
            try:
                done = self._carry_out(command.name, command.body, command.at)
            except (ApiError, KeyError, AttributeError, TypeError) as error:
                raise JournalError(
                    f"line {line} of the journal cannot be repeated: {error!r}. {_BEGIN_ANEW}"
                ) from error
            if done != command:
                raise JournalError(
                    f"line {line} of the journal led to {command.result} at {command.at}, and now to "
                    f"{done.result} at {done.at}. {_BEGIN_ANEW}"
                )

    def _add_foreign_runs(self, body: Body) -> list[int]:
        runs, seconds = body.get("count", 1), body.get("seconds", 5.0)
        if (
            not isinstance(runs, int)
            or not isinstance(seconds, int | float)
            or not 0 < runs <= MAX_FOREIGN_RUNS
        ):
            raise invalid(f"count must be from 1 to {MAX_FOREIGN_RUNS}, and seconds a number.")
        return self._workspace.add_foreign_runs(runs, float(seconds))

    def _replace_tokens(self, body: Body) -> None:
        tokens = body.get("tokens")
        if not isinstance(tokens, list) or not tokens or not all(isinstance(token, str) for token in tokens):
            raise invalid("tokens must be a list of at least one text.")
        self._credentials.replace_tokens(tokens)
