"""The parts of the demo: what it counts and compares, shows, waits for and stops."""

import io
import signal
import sqlite3
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from rich.console import Console

from devstack.demo import run
from devstack.demo.follow import NotFinished, Outside, Patience, follow, progress
from devstack.demo.interruption import Interrupted, Interruption
from devstack.demo.outcome import Count, Outcome, count_tables, differences, show
from devstack.demo.stack import Stack
from devstack.demo.state import Ended, Entry, StateStore, counts, finished
from devstack.processes import ProcessFailed
from examples.entries import ENTRIES, LATE_TABLE, UNKNOWN_TABLE, ExampleEntry

#: A part that is ready at once, and then ends by itself or by a signal.
PART = """
import sys, time
print("the disk is full")
print("ready part http://127.0.0.1:1", flush=True)
if sys.argv[1:] != ["dies"]:
    time.sleep(30)
"""


# ---- what is counted and compared


@pytest.fixture
def outcome() -> Outcome:
    """An outcome that is as expected."""
    entries = [
        Entry(id=number, workspace="default", table_name=entry.table_name, status=entry.ends, last_error=None)
        for number, entry in enumerate(ENTRIES, start=1)
    ]
    log: list[Ended] = []
    for entry, example in zip(entries, ENTRIES, strict=True):
        for attempt, status in enumerate(example.attempts, start=1):
            error = f"{example.error}, for a reason" if status in {"FAILED", "DEAD"} else None
            log.append(
                Ended(
                    entry_id=entry.id,
                    attempt=attempt,
                    runid=100 + len(log),
                    status=status,
                    message=None,
                    error_trace=error,
                )
            )
    return Outcome(
        expected=ENTRIES,
        entries=entries,
        log=log,
        run_ids={ended.runid for ended in log if ended.runid is not None},
        counted=[Count(table="airlines", lake=16, source=16)],
    )


def with_log(outcome: Outcome, table_name: str, **change: Any) -> Outcome:
    """The outcome with every log row of one table changed."""
    ids = {entry.id for entry in outcome.entries if entry.table_name == table_name}
    log = [replace(ended, **change) if ended.entry_id in ids else ended for ended in outcome.log]
    return replace(outcome, log=log)


def test_an_outcome_as_expected_has_no_differences(outcome: Outcome) -> None:
    assert differences(outcome) == []


def test_a_row_that_ended_otherwise_is_told(outcome: Outcome) -> None:
    entries = [*outcome.entries[:-1], replace(outcome.entries[-1], status="DEAD")]
    assert differences(replace(outcome, entries=entries)) == ["weather/2013-12/LGA: DEAD, expected DONE"]
    told, *_ = differences(replace(outcome, entries=entries[:-1]))
    assert told == "weather/2013-12/LGA: not in the table, expected DONE"


def test_a_row_that_nobody_put_in_is_told(outcome: Outcome) -> None:
    entries = [*outcome.entries, replace(outcome.entries[-1], id=99, table_name="stray")]
    assert differences(replace(outcome, entries=entries)) == ["stray: not one of the demo's entries"]


def test_an_attempt_that_ended_otherwise_is_told(outcome: Outcome) -> None:
    assert differences(with_log(outcome, LATE_TABLE, status="DONE")) == [
        "airports: attempts 1 DONE, 2 DONE; expected in this order: FAILED, DONE"
    ]


def test_an_attempt_too_many_is_told(outcome: Outcome) -> None:
    (entry,) = (entry for entry in outcome.entries if entry.table_name == "airlines")
    (ended,) = outcome.log_of("airlines")
    more = replace(ended, attempt=1, runid=7, status="FAILED"), replace(ended, attempt=2)
    log = [*more, *(other for other in outcome.log if other.entry_id != entry.id)]
    told = differences(replace(outcome, log=log, run_ids={*outcome.run_ids, 7}))
    assert told[0] == "airlines: attempts 1 FAILED, 2 DONE; expected in this order: DONE"


@pytest.mark.parametrize("trace", [None, "IngestError: another one"])
def test_a_failure_without_its_error_is_told(outcome: Outcome, trace: str | None) -> None:
    error = "IngestError: there is no table 'crews'"
    assert differences(with_log(outcome, UNKNOWN_TABLE, error_trace=trace)) == [
        f"crews: process_log lacks the error of attempt {attempt}: {error}" for attempt in (1, 2, 3)
    ]


def test_a_run_without_exactly_one_log_row_is_told(outcome: Outcome) -> None:
    *others, last = outcome.log
    *_, told = differences(replace(outcome, log=others))
    assert told == "run 155 has 0 rows in process_log, expected 1"
    *_, told = differences(replace(outcome, log=[*outcome.log, last]))
    assert told == "run 155 has 2 rows in process_log, expected 1"
    *_, told = differences(replace(outcome, log=[*others, replace(last, runid=7)]))
    assert told == "process_log has run 7, which Databricks does not know"


@pytest.mark.parametrize(("lake", "source"), [(15, 16), (17, 16), (0, 0)])
def test_a_table_that_is_not_whole_is_told(outcome: Outcome, lake: int, source: int) -> None:
    counted = [Count(table="airlines", lake=lake, source=source)]
    assert differences(replace(outcome, counted=counted)) == [
        f"airlines: the lake has {lake} rows, the source {source}"
    ]


def test_the_outcome_is_shown_with_errors_and_counts(outcome: Outcome) -> None:
    shown = io.StringIO()
    show(outcome, Console(file=shown, width=100))
    text = shown.getvalue()
    assert "  attempt 2, run 101: DONE" in text
    assert "DEAD  IngestError: there is no table 'crews'" in text
    assert "airlines        16 of       16 rows" in text


def test_tables_are_counted_in_their_files(tmp_path: Path) -> None:
    lake, source = tmp_path / "lake", tmp_path / "landing"
    (lake / "flights").mkdir(parents=True)
    source.mkdir()
    for month, length in (("2013-01", 3), ("2013-02", 4)):
        pq.write_table(pa.table({"month": range(length)}), lake / f"flights/{month}.parquet")
    (lake / "flights/.2013-03-1.tmp").write_bytes(b"half a file")
    (source / "flights.csv").write_text("month\n1\n2\n", encoding="utf-8")

    counted = {count.table: (count.lake, count.source) for count in count_tables(lake, source)}

    assert counted["flights"] == (7, 2)
    assert counted["planes"] == (0, 0)


# ---- the state store and the progress


@pytest.fixture
def state(tmp_path: Path) -> Iterator[StateStore]:
    """A state store with the columns that a third party may rely on."""
    with sqlite3.connect(tmp_path / "state.db") as connection:
        connection.executescript(
            """
            CREATE TABLE track_processing (
                id INTEGER PRIMARY KEY, workspace TEXT DEFAULT 'default', table_name TEXT, parameters TEXT,
                priority INTEGER, job_id INTEGER, runid INTEGER, status TEXT DEFAULT 'PENDING',
                last_error TEXT, cancel_requested INTEGER DEFAULT 0);
            CREATE TABLE process_log (
                entry_id INTEGER, submission INTEGER, attempt INTEGER, runid INTEGER, status TEXT,
                message TEXT, error_trace TEXT);
            INSERT INTO process_log VALUES (1, 1, 1, 77, 'FAILED', 'm', 't');
            """
        )
    connection.close()
    with StateStore(tmp_path / "state.db") as store:
        yield store


def test_rows_are_inserted_and_read_back(state: StateStore) -> None:
    state.insert(
        [
            ExampleEntry(table_name="a", parameters={"table": "a"}),
            ExampleEntry(table_name="b", parameters={}, notebook="wait"),
        ],
        {"ingest": 1, "wait": 2},
        "eu",
    )
    entries = state.entries()
    assert [(entry.workspace, entry.table_name, entry.status) for entry in entries] == [
        ("eu", "a", "PENDING"),
        ("eu", "b", "PENDING"),
    ]
    assert [(ended.runid, ended.status, ended.error_trace) for ended in state.ended()] == [
        (77, "FAILED", "t")
    ]


def test_what_others_add_meanwhile_is_not_the_demos(state: StateStore, tmp_path: Path) -> None:
    state.insert([ExampleEntry(table_name="a")], {"ingest": 1}, "default")
    with sqlite3.connect(tmp_path / "state.db") as connection:
        connection.execute("INSERT INTO track_processing (table_name, runid) VALUES ('mine', 88)")
        connection.execute("INSERT INTO process_log VALUES (2, 1, 1, 87, 'FAILED', 'm', 't')")
    connection.close()
    assert [entry.table_name for entry in state.entries()] == ["a"]
    assert [ended.runid for ended in state.ended()] == [77]
    assert state.other_runs() == {87, 88}


def entries_in(*statuses: str) -> list[Entry]:
    return [
        Entry(id=number, workspace="default", table_name=f"t{number}", status=status, last_error=None)
        for number, status in enumerate(statuses)
    ]


def test_states_are_counted_in_the_order_of_a_rows_way() -> None:
    entries = entries_in("DONE", "RUNNING", "PENDING", "DONE", "CANCELED", "DEAD")
    assert list(counts(entries).items()) == [
        ("PENDING", 1),
        ("RUNNING", 1),
        ("DONE", 2),
        ("DEAD", 1),
        ("CANCELED", 1),
    ]
    assert finished(entries) == 4


def test_without_a_terminal_a_line_is_printed_only_at_a_change() -> None:
    shown = io.StringIO()
    with progress(Console(file=shown)) as show_entries:
        show_entries(entries_in("PENDING", "RUNNING"))
        show_entries(entries_in("PENDING", "RUNNING"))
        show_entries(entries_in("RUNNING", "DONE"))
    assert shown.getvalue().splitlines() == [
        "  0 of 2 finished   PENDING 1  RUNNING 1",
        "  1 of 2 finished   RUNNING 1  DONE 1",
    ]


def test_on_a_terminal_there_is_a_bar_with_the_counts() -> None:
    shown = io.StringIO()
    console = Console(file=shown, force_terminal=True, width=120, _environ={"TERM": "xterm"})
    with progress(console) as show_entries:
        show_entries(entries_in("RUNNING", "DONE"))
    assert "RUNNING 1  DONE 1" in shown.getvalue()
    assert "1/2" in shown.getvalue()


# ---- the way out


def test_a_requested_stop_is_seen_at_the_next_look() -> None:
    asked = Interruption()
    asked.check()
    asked.request()
    with pytest.raises(Interrupted):
        asked.sleep(60)


@pytest.fixture
def stack(tmp_path: Path) -> Iterator[Stack]:
    """A stack whose app folder holds one module, ``part``."""
    (tmp_path / "part.py").write_text(PART, encoding="utf-8")
    with Stack(tmp_path, tmp_path) as empty:
        yield empty


def test_leaving_the_stack_ends_its_parts(stack: Stack) -> None:
    part = stack.start("part", "part")
    assert part.returncode is None
    with stack:
        stack.check()
    assert part.returncode == -signal.SIGTERM


def test_staying_up_ends_with_a_signal(stack: Stack) -> None:
    stack.start("part", "part")
    asked = Interruption()
    asked.request()
    run.stay_up(stack, asked)


def test_staying_up_ends_with_a_part_that_died_and_tells_its_log(stack: Stack) -> None:
    stack.start("part", "part", "dies")
    with pytest.raises(
        ProcessFailed, match=r"(?s)part ended with code 0; the end of .*part\.log:.*the disk is full"
    ):
        run.stay_up(stack, Interruption())


def test_the_demo_waits_as_long_as_something_moves(state: StateStore) -> None:
    state.insert(ENTRIES, {"ingest": 1, "wait_for_file": 2}, "default")
    entries = state.entries()
    now = 0.0
    patience = Patience(1200, clock=lambda: now)
    for entry in entries[:10]:
        now += 50
        entries[entries.index(entry)] = replace(entry, status="DONE")
        patience.check(entries)
    now += 61
    text = rf"^no entry has changed for 60 s: 10 of {len(entries)} entries are finished \(PENDING "
    with pytest.raises(NotFinished, match=text):
        patience.check(entries)


def test_rows_that_do_not_end_in_time_end_the_demo_with_the_logs(stack: Stack, state: StateStore) -> None:
    stack.start("part", "part")
    state.insert(ENTRIES, {"ingest": 1, "wait_for_file": 2}, "default")
    with pytest.raises(NotFinished, match="the disk is full"):
        follow(
            stack,
            state,
            [Outside(stack.folder, state, "default")],
            console=Console(file=io.StringIO()),
            deadline=time.monotonic(),
            asked=Interruption(),
        )


def test_a_command_that_fails_is_told(stack: Stack) -> None:
    with pytest.raises(ProcessFailed, match=r"init-db: exit code 1\n.*No module named"):
        stack.orchestrator("init-db")
