"""Workspaces in which nothing begins, although entries wait: what people are alerted to, and health names."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import datetime

from orchestrator.core import health
from orchestrator.core.alerts import PassEvent, name_of_workspace
from orchestrator.core.policy import WorkspacePolicy
from orchestrator.core.reports import Silence
from orchestrator.ports import Reports

#: A workspace is silent that has answered none of so many passes in a row, and not for so long.
_SILENT_PASSES = 2
_SILENT_SECONDS = 300.0


async def silences(reports: Reports, names: Collection[str]) -> list[Silence]:
    """Return which of these workspaces do not answer. :raises StoreError: the database is unavailable."""
    found = await reports.silences(passes=_SILENT_PASSES, seconds=_SILENT_SECONDS)
    return [each for each in found if each.workspace in names]


@dataclass(frozen=True, kw_only=True)
class Standstill:
    """Finds the workspaces of the settings in which nothing begins."""

    reports: Reports
    workspaces: Mapping[str, WorkspacePolicy]

    @property
    def names(self) -> set[str]:
        """The names that alerts give the workspaces of the settings."""
        return set(map(name_of_workspace, self.workspaces))

    async def __call__(self, now: datetime) -> list[PassEvent]:
        """Return an event for each such workspace, with the gravest reason.

        :param now: when that is noticed, by the database's clock; the reasons say since when it is so.
        :raises StoreError: the database is unavailable.
        """
        silent = {each.workspace: each for each in await silences(self.reports, self.workspaces)}
        return [
            PassEvent(name=name_of_workspace(name), since=now, reason=reason)
            for name in self.workspaces
            if (reason := await self._reason(name, silent.get(name)))
        ]

    async def _reason(self, name: str, silent: Silence | None) -> str | None:
        workspace = self.workspaces[name]
        elsewhere = await self.reports.elsewhere(name, workspace.address)
        if elsewhere is not None:
            return health.elsewhere(elsewhere)
        if silent is not None:
            return health.silent(silent)
        refused = await self.reports.refused(name, setting=workspace.setting, address=workspace.address)
        return health.troubled(refused[0]) if refused else None
