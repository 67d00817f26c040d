"""``add``: one row by its options, many from a file, all or none, and which line is wrong."""

import csv
import io
import json
from pathlib import Path

import pytest

from orchestrator.cli import add
from orchestrator.core import new_entry
from orchestrator.core.errors import InvalidEntry
from orchestrator.core.models import NewEntry
from tests.cli.support import PARAMETERS, CommandLine

CSV = """\
table_name,priority,parameters,workspace
sales,7,"{""secret"": ""s3cr3t""}",
orders,,,eu
"""

JSON_LINES = """\
{"table_name": "sales", "priority": 7, "parameters": {"secret": "s3cr3t"}}

{"table_name": "orders", "workspace": "eu", "parameters": null}
"""

ADDED = [("sales", 7, PARAMETERS, "default"), ("orders", 0, None, "eu")]
QUERY = "SELECT table_name, priority, parameters, workspace FROM track_processing ORDER BY id"


@pytest.mark.parametrize(("option", "text"), [("--csv", CSV), ("--jsonl", JSON_LINES)])
def test_rows_from_a_file_or_from_standard_input(cli: CommandLine, option: str, text: str) -> None:
    (cli.folder / "rows").write_text(text, encoding="utf-8-sig")  # with Excel's mark
    assert cli("add", option, "rows").stdout == "1\n2\n"
    assert cli.query(QUERY) == ADDED
    piped = cli("add", option, "-", "--json", stdin=text)
    assert json.loads(piped.stdout) == {"ids": ["3", "4"]}
    assert cli.query(QUERY) == ADDED * 2


#: What ends the refusal of a workspace.
ADVICE = "name one of them, or add it to DATABRICKS_WORKSPACES"

ANYWHERE = {"DATABRICKS_WORKSPACES": '{"eu": {"host": "https://adb-2.7.azuredatabricks.net"}}'}


def test_a_workspace_that_the_settings_do_not_name_is_refused(cli: CommandLine) -> None:
    """Without a token: nobody signs in to insert a row."""
    one = cli("add", "orders", "--workspace", "uk", **ANYWHERE)
    assert (one.returncode, one.stdout) == (1, "")
    assert one.stderr == f"workspace 'uk' is not in the settings; there are default, eu: {ADVICE}\n"
    many = cli("add", "--csv", "-", stdin="table_name,workspace\nsales,eu\norders,uk\n", **ANYWHERE)
    assert many.stderr.splitlines() == [f"line 3: {one.stderr.strip()}", "no entry was added"]
    by_host = cli("add", "orders", "--workspace", "eu", DATABRICKS_HOST="https://adb-1.7.azuredatabricks.net")
    assert by_host.stderr == f"workspace 'eu' is not in the settings; there are default: {ADVICE}\n"
    assert cli.query("SELECT id FROM track_processing") == []
    assert cli("add", "orders", "--workspace", "eu", **ANYWHERE).stderr == ""


def test_where_no_workspace_is_set_another_than_default_is_a_warning(cli: CommandLine) -> None:
    assert cli("add", "sales").stderr == ""
    named = cli("add", "orders", "--workspace", "eu")
    assert (named.returncode, named.stdout) == (0, "2\n")
    assert named.stderr.startswith("not checked: workspace eu, since neither DATABRICKS_HOST nor ")
    rows = "".join(f"sales,w{number}\n" for number in range(7))
    many = cli("add", "--csv", "-", stdin=f"table_name,workspace\n{rows}")
    assert many.stderr.startswith("not checked: workspace w0, w1, w2, w3, w4 and 2 more, ")


def test_workspaces_that_cannot_be_read_are_told(cli: CommandLine) -> None:
    done = cli("add", "sales", DATABRICKS_WORKSPACES="canary")
    assert (done.returncode, done.stdout) == (1, "")
    assert "DATABRICKS_WORKSPACES must be JSON" in done.stderr
    assert "canary" not in done.stderr


def test_one_bad_line_and_nothing_is_added(cli: CommandLine) -> None:
    text = "table_name,priority\nsales,1\n,2\norders,high\n"
    done = cli("add", "--csv", "-", stdin=text)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.splitlines() == [
        "line 3: table_name must be given",
        "line 4: priority must be a whole number from -2147483648 to 2147483647",
        "no entry was added",
    ]
    assert cli.query("SELECT id FROM track_processing") == []


@pytest.mark.parametrize(
    ("arguments", "code", "advice"),
    [
        (("add",), 2, "give one of TABLE_NAME, --csv and --jsonl"),
        (("add", "sales", "--csv", "-"), 2, "give one of"),
        (("add", "--csv", "-", "--priority", "1"), 2, "which has them as columns"),
        (("add", "--csv", "missing.csv"), 2, "No such file"),
        (("add", "sales", "--parameters", "{s3cr3t"), 1, "parameters is not valid JSON"),
        (("add", "sales", "--parameter-style", "notes"), 1, "use one of auto, job_parameters"),
        (("add", " "), 1, "table_name must be a non-empty text"),
    ],
)
def test_wrong_use_adds_nothing(cli: CommandLine, arguments: tuple[str, ...], code: int, advice: str) -> None:
    done = cli(*arguments)
    assert (done.returncode, done.stdout) == (code, "")
    assert advice in done.stderr
    assert "s3cr3t" not in done.stderr
    assert cli.query("SELECT id FROM track_processing") == []


@pytest.mark.parametrize(
    ("line", "problem"),
    [
        ("{", "not JSON"),
        ("[" * 100_000, "not JSON"),
        ("[1]", "not an object"),
        ('{"table": "sales"}', "there is no column 'table'; the columns are table_name"),
        ("{}", "table_name must be given"),
        ('{"table_name": 7}', "table_name must be a non-empty text"),
        (r'{"table_name": "\ud800"}', "control characters"),
        (r'{"table_name": "a\u0000"}', "control characters"),
        ('{"table_name": "%s"}' % ("x" * 257), "longer than 256"),
        (r'{"table_name": "%s"}' % (r"\ud83d\ude00" * 129), "longer than 256"),
        ('{"table_name": "a", "workspace": "eu "}', "must not end with a space"),
        ('{"table_name": "a", "priority": true}', "priority must be a whole number"),
        ('{"table_name": "a", "priority": 1.5}', "priority must be a whole number"),
        ('{"table_name": "a", "max_attempts": -1}', "max_attempts must be a whole number from 0 to"),
        ('{"table_name": "a", "job_id": 0}', "job_id must be a whole number from 1 to"),
        ('{"table_name": "a", "parameters": {"a": NaN}}', "not valid JSON"),
        ('{"table_name": "a", "parameters": [1]}', "must be an object"),
        ('{"table_name": "a", "parameters": {"a": {}}}', "every value in parameters"),
        ('{"table_name": "a", "parameters": {"a": "%s"}}' % ("x" * 10_000), "accepts at most 10,000"),
    ],
)
def test_what_no_row_may_hold(line: str, problem: str) -> None:
    with pytest.raises(add._BadFile, match=r"^line 2: ") as caught:
        add._read_json_lines(io.StringIO(f'{{"table_name": "good"}}\n{line}\n'), None)
    assert problem in str(caught.value)


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("", "the file has no entries"),
        ("table_name\n", "the file has no entries"),
        ("table_name\nsales,1\n", "line 2: more cells than column names"),
        ("name\nsales\n", "line 2: there is no column 'name'"),
        ('table_name\n"sales\n', "the file is not CSV"),
    ],
)
def test_what_is_no_file_of_rows(text: str, problem: str) -> None:
    with pytest.raises(add._BadFile, match=problem):
        add._read_csv(io.StringIO(text), None)


def test_a_file_that_is_no_text(cli: CommandLine) -> None:
    Path(cli.folder / "rows").write_bytes(b"table_name\n\xff\xfe\n")
    done = cli("add", "--csv", "rows")
    assert (done.returncode, done.stderr) == (1, "the file is not text in UTF-8\nno entry was added\n")


def test_a_long_list_of_problems_is_cut() -> None:
    with pytest.raises(add._BadFile) as caught:
        add._read_csv(io.StringIO("table_name,priority\n" + "a,b\n" * 50), None)
    lines = str(caught.value).splitlines()
    assert lines[-2:] == ["and 30 more problems", "no entry was added"]
    assert len(lines) == add._MAX_PROBLEMS + 2


def test_a_file_of_too_many_rows() -> None:
    text = "table_name\n" + "a\n" * (add._MAX_ENTRIES + 1)
    with pytest.raises(add._BadFile, match=r"^line 10002: more than 10,000 entries"):
        add._read_csv(io.StringIO(text), None)


def test_lists_and_texts_are_parameters_too() -> None:
    given = {"table_name": "a", "parameter_style": "python_params"}
    assert new_entry.new_entry({**given, "parameters": ["x", 1]}, None).parameters == '["x", 1]'
    assert new_entry.new_entry({**given, "parameters": '["x"]'}, None).parameters == '["x"]'
    assert new_entry.new_entry({"table_name": "a"}, None) == NewEntry(table_name="a")
    with pytest.raises(InvalidEntry, match="must be given"):
        new_entry.new_entry(given, None)


def test_rows_of_an_adopted_table_with_columns_of_its_own_come_by_sql(cli: CommandLine) -> None:
    done = cli("add", "sales", TABLE_NAME_COLUMN="source")
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == (
        "this table's own columns are source and parameters: insert rows by SQL into them\n"
    )
    assert cli.query("SELECT * FROM track_processing") == []


def test_every_column_can_be_given(cli: CommandLine) -> None:
    given = (
        *("--job-name", "load", "--parameter-style", "job_parameters", "--options", '{"only": ["load"]}'),
        *("--retry-mode", "repair", "--run-timeout-seconds", "60", "--queue-timeout-seconds", "0"),
    )
    assert cli("add", "sales", *given).returncode == 0
    line = {
        "table_name": "sales",
        "job_name": "load",
        "parameter_style": "job_parameters",
        "options": {"only": ["load"]},
        "retry_mode": "repair",
        "run_timeout_seconds": 60,
        "queue_timeout_seconds": 0,
    }
    assert cli("add", "--jsonl", "-", stdin=json.dumps(line)).returncode == 0
    cells = [json.dumps(value) if isinstance(value, dict) else str(value) for value in line.values()]
    file = io.StringIO(newline="")
    csv.writer(file, lineterminator="\n").writerows([list(line), cells])
    assert cli("add", "--csv", "-", stdin=file.getvalue()).returncode == 0
    columns = (
        "SELECT job_id, job_name, parameter_style, options, retry_mode, run_timeout_seconds,"
        " queue_timeout_seconds FROM track_processing"
    )
    row = (None, "load", "job_parameters", '{"only": ["load"]}', "repair", 60, 0)
    assert cli.query(columns) == [row] * 3
    both = cli("add", "sales", "--job-id", "1", "--job-name", "load")
    assert (both.returncode, "job_id and job_name are both given" in both.stderr) == (1, True)
    unknown = cli("add", "sales", "--options", '{"token": "x"}')
    assert (unknown.returncode, "options has no key 'token'" in unknown.stderr) == (1, True)
