"""Where a run is seen in Databricks. Pure."""

from collections.abc import Iterable

from orchestrator.core.models import Entry
from orchestrator.settings.workspaces import WorkspaceSettings


class RunPages:
    """The addresses of runs under way, which nobody has asked Databricks for yet.

    They are made like ``run_page_url`` of ``runs/get``: https://docs.databricks.com/api/workspace/jobs/getrun
    """

    def __init__(self, workspaces: Iterable[WorkspaceSettings]) -> None:
        self._workspaces = {workspace.name: workspace for workspace in workspaces}

    def of(self, entry: Entry) -> str | None:
        """Return the page of a row's run; None without a run, or where the settings do not know its place."""
        workspace = self._workspaces.get(entry.workspace)
        if workspace is None or entry.runid is None:
            return None
        job_id = entry.job_id or workspace.job_id
        return f"{workspace.host}/#job/{job_id}/run/{entry.runid}" if job_id is not None else None
