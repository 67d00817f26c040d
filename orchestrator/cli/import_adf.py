"""``import-adf``: read exports of Data Factory and propose settings, jobs and entries. It changes nothing."""

import io
import json
import lzma
import shlex
import sys
import zipfile
import zlib
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from orchestrator.cli.options import json_option
from orchestrator.cli.output import OK, print_json, visible
from orchestrator.core.errors import ExportUnreadable
from orchestrator.core.numbers import refuse_constant

if TYPE_CHECKING:
    from orchestrator.core.data_factory.exports import File
    from orchestrator.core.data_factory.proposals import EntryProposal, JobProposal, Proposal

#: Most bytes of all files together, unpacked. A template of ARM has at most 4 MB.
_MAX_BYTES = 64 * 1024 * 1024

#: What reading a damaged archive raises, by method of compression and by place of the damage.
_DAMAGED = (
    zipfile.BadZipFile,
    zlib.error,
    lzma.LZMAError,
    EOFError,
    OSError,
    RuntimeError,
    NotImplementedError,
    ValueError,
)

#: In an export of a whole factory, parts of the template that stands beside them as one file.
_PARTS = "linkedTemplates/"


@click.command("import-adf")
@click.argument(
    "files", nargs=-1, required=True, metavar="FILE…", type=click.Path(exists=True, dir_okay=False)
)
@click.option(
    "--table-parameter",
    default="table_name",
    show_default=True,
    metavar="NAME",
    help="The activities' parameter that holds the source table's name.",
)
@json_option
def _import_adf(files: Sequence[str], table_parameter: str, as_json: bool) -> int:
    """Propose what replaces the Databricks activities of Data Factory pipelines; change nothing.

    FILE is the JSON of a pipeline or of activities, an ARM template, the values of its parameters, or an
    export's zip; a pipeline's linked services are further files. Printed are settings, jobs for databricks
    jobs create, and INSERTs. What only a pipeline's run knows is marked DECIDE; INSERTs that depend on it
    are comments.
    """
    from orchestrator.core.data_factory import exports, proposals  # no other command needs them

    try:
        read = [file for name in files for file in _read(Path(name))]
        proposal = proposals.propose(exports.read(read), table_parameter)
    except RecursionError:
        raise ExportUnreadable("the JSON is nested too deeply") from None
    if as_json:
        print_json(_document(proposal))
    else:
        click.echo("\n".join(_lines(proposal)))
    return OK


def _read(path: Path) -> Iterator["File"]:
    """Read a file, or the JSON files of an archive. :raises ExportUnreadable: that is not possible."""
    from orchestrator.core.data_factory.exports import File

    try:
        with path.open("rb") as opened:
            content = opened.read(_MAX_BYTES + 1)
    except OSError as error:
        raise ExportUnreadable(f"{path}: {error.strerror}") from None
    if len(content) > _MAX_BYTES:
        raise ExportUnreadable(f"{path}: larger than {_MAX_BYTES:,} bytes")
    if not content.startswith(b"PK\x03\x04"):
        yield File(name=str(path), document=_parse(content, str(path)))
        return
    for name, member in _members(content, str(path)):
        yield File(name=f"{path}:{name}", document=_parse(member, f"{path}:{name}"), is_member=True)


def _members(content: bytes, where: str) -> list[tuple[str, bytes]]:
    """Unpack the JSON files of an archive. :raises ExportUnreadable: unreadable, or too large."""
    found = []
    left = _MAX_BYTES
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            for name in _wanted(archive.namelist()):
                with archive.open(name) as opened:
                    member = opened.read(left + 1)
                left -= len(member)
                if left < 0:
                    raise ExportUnreadable(f"{where}: larger than {_MAX_BYTES:,} bytes when unpacked")
                found.append((name, member))
    except _DAMAGED as error:
        raise ExportUnreadable(f"{where}: the archive cannot be read: {error}") from None
    return found


def _wanted(names: Sequence[str]) -> list[str]:
    """Return the JSON files of an archive, without the parts of a template that it has as a whole."""
    found = [name for name in names if name.lower().endswith(".json")]
    is_whole = any(name.endswith("ARMTemplateForFactory.json") for name in found)
    return [name for name in found if not (is_whole and _PARTS in name)]


def _parse(content: bytes, where: str) -> Any:
    try:
        return json.loads(content, parse_constant=refuse_constant)
    except (ValueError, RecursionError) as error:
        reason = "nested too deeply" if isinstance(error, RecursionError) else f"not JSON: {error}"
        raise ExportUnreadable(f"{where}: {reason}") from None


def _document(proposal: "Proposal") -> dict[str, Any]:
    """Return the proposal as one JSON document."""
    return {
        "settings": proposal.settings,
        "decide": proposal.questions,
        "jobs": [
            {
                "workspace": job.workspace,
                "ready": not job.questions,
                "job": job.settings,
                "decide": job.questions,
                "create_job": _create_job(job),
            }
            for job in proposal.jobs
        ],
        "entries": [
            {
                "activity": entry.activity,
                "ready": not entry.questions,
                "entry": _with_text_ids(entry.columns),
                "decide": entry.questions,
                "sql": _insert(entry),
            }
            for entry in proposal.entries
        ],
        "notes": proposal.notes,
    }


def _with_text_ids(columns: Mapping[str, Any]) -> dict[str, Any]:
    """Return columns with the job's id as text, as all JSON of this app has ids."""
    return {name: str(value) if name == "job_id" else value for name, value in columns.items()}


def _lines(proposal: "Proposal") -> Iterator[str]:
    """Yield the proposal as lines that a person reads, and that run as SQL: comments, and INSERTs.

    Whatever a file holds stays on the line that it is printed on.
    """
    return map(_line, _texts(proposal))


def _texts(proposal: "Proposal") -> Iterator[str]:
    yield "-- Settings"
    yield from (f"-- {name}={value}" for name, value in proposal.settings.items())
    yield from (f"-- DECIDE {question}" for question in proposal.questions)
    for job in proposal.jobs:
        yield from _job_texts(job)
    yield from ("", "-- Entries")
    for entry in proposal.entries:
        yield from _entry_texts(entry)
    if proposal.notes:
        yield from ("", "-- Notes")
        yield from (f"-- {note}" for note in proposal.notes)


def _job_texts(job: "JobProposal") -> Iterator[str]:
    yield from (
        "",
        f"-- Job {job.name}, workspace {job.workspace}: databricks jobs create --json @FILE",
    )
    command = _create_job(job)
    if command:
        yield f"-- or, on serverless compute: {command}"
    yield from (f"-- DECIDE {question}" for question in job.questions)
    yield from (f"-- {line}" for line in json.dumps(job.settings, indent=2).splitlines())


def _entry_texts(entry: "EntryProposal") -> Iterator[str]:
    yield f"-- {entry.activity}"
    insert = _insert(entry)
    questions = [*entry.questions, *_not_printable(insert)]
    yield from (f"-- DECIDE {question}" for question in questions)
    yield f"-- {insert}" if questions else insert


def _not_printable(insert: str) -> Iterator[str]:
    """Yield why an INSERT would name something else as soon as it is printed."""
    encoding = sys.stdout.encoding
    try:
        insert.encode(encoding)
    except UnicodeEncodeError as error:
        yield (
            f"the INSERT has {insert[error.start]!a}, which {encoding} lacks, the output's encoding: "
            "set PYTHONIOENCODING=utf-8 and run this again"
        )


def _line(text: str) -> str:
    """Return a text that stays on its line, so that nothing in it becomes a statement."""
    return visible(text).replace("\n", "\\n")


def _create_job(job: "JobProposal") -> str | None:
    """Return the app's own command for a job, without the cluster; None if it cannot make such a job."""
    if job.plain_notebook is None:
        return None
    workspace = () if job.workspace == "default" else ("--workspace", job.workspace)
    words = ("create-job", "--notebook", job.plain_notebook, "--name", job.name, *workspace)
    return shlex.join(["python", "-m", "orchestrator", *words])


def _insert(entry: "EntryProposal") -> str:
    """Return the INSERT of an entry, on one line."""
    values = ", ".join(_literal(value) for value in entry.columns.values())
    return f"INSERT INTO track_processing ({', '.join(entry.columns)}) VALUES ({values});"  # noqa: S608 (printed only)


def _literal(value: Any) -> str:
    """Return a value as SQL writes it. Text beyond ASCII needs SQL Server's N, which SQLite does not know."""
    if isinstance(value, int):
        return str(value)
    text = _line(value) if isinstance(value, str) else json.dumps(value)
    quoted = "'" + text.replace("'", "''") + "'"
    return quoted if text.isascii() else f"N{quoted}"


COMMANDS = (_import_adf,)
