"""The pages of the simulator for a browser: its jobs and runs, and one run."""

from collections.abc import Iterable
from datetime import UTC, datetime
from html import escape
from pathlib import Path

from devstack.databricks.jobs import Job
from devstack.databricks.runs import Run
from devstack.databricks.workspace import Workspace

#: One page for all: Databricks' links name the run in the part of the address that no server sees.
_PAGE = Path(__file__).with_name("run_page.html")
_LISTS = "<!-- jobs and runs -->"

#: The newest runs; a browser shows so many rows at once.
MAX_RUNS = 200


def page(workspace: Workspace) -> str:
    """Return the page, with the jobs and the newest runs as they are now."""
    runs = workspace.runs()
    jobs = _table("Jobs", ("Job", "Name", "Runs"), map(_job, workspace.jobs()))
    title = "Runs" if len(runs) <= MAX_RUNS else f"The newest {MAX_RUNS} of {len(runs)} runs"
    columns = ("Run", "Job", "State", "Started (UTC)", "Parameters")
    found = _PAGE.read_text(encoding="utf-8").replace(
        _LISTS, jobs + _table(title, columns, map(_run, runs[:MAX_RUNS]))
    )
    return found.encode(errors="replace").decode()  # half of a pair, which JSON takes


def _job(job: Job) -> tuple[str, ...]:
    return str(job.job_id), escape(job.name), escape(", ".join(sorted(job.paths)))


def _run(run: Run) -> tuple[str, ...]:
    link = f'<a href="#job/{run.job.job_id}/run/{run.run_id}">{run.run_id}</a>'
    state = run.end.result_state if run.end and run.end.result_state else run.state
    started = datetime.fromtimestamp(run.created_at, UTC).isoformat(" ", "seconds").removesuffix("+00:00")
    return link, escape(run.job.name), escape(str(state)), started, escape(str(run.parameters or ""))


def _table(title: str, columns: Iterable[str], rows: Iterable[tuple[str, ...]]) -> str:
    """Return a table with its heading. :param rows: cells in HTML."""
    head = "".join(f'<th scope="col">{name}</th>' for name in columns)
    body = "".join(f"<tr>{''.join(f'<td>{cell}</td>' for cell in row)}</tr>\n" for row in rows)
    return f"<h2>{title}</h2>\n<table>\n<tr>{head}</tr>\n{body}</table>\n"
