"""Invalid values of every kind for each column of ``track_processing``."""

import json
from typing import Any

from hypothesis import strategies as st

from orchestrator.core import run_requests
from tests.badinput.support import any_json, deeply_nested

#: Part of most entries' parameters; it must appear nowhere else.
CANARY = "s3cr3t-c4n4ry"

names = st.sampled_from(
    [
        "",
        " ",
        "\t\n",
        "\u3000",
        "\0",
        "a\0b",
        "\x1b[2J",
        "o'clock",
        '"',
        "]];--",
        "'; DROP TABLE process_log; --",
        "1 OR 1=1",
        "a\r\nb",
        "{}",
        "%s",
        "%n{0}",
        "?",
        "😀" * 100,
        "\u202etxt.exe",
        "ﷺ",
        "İ",
        "x" * 100_000,
        "sales",
    ]
) | st.text(st.characters(exclude_categories=["Cs"]), max_size=300)
wrong_types = st.sampled_from(
    [None, -1, 0, 0.5, float("nan"), float("inf"), b"", b"\xff\xfe", "", "1", "1.0", "x"]
)
whole_numbers = st.integers(-(2**63), 2**63 - 1) | st.sampled_from(
    [0, 1, -1, 2**31 - 1, 2**31, -(2**31), 2**63 - 1, -(2**63), 2**63, 2**70]
)
times = (
    st.sampled_from(
        [
            "0000-01-01 00:00:00",
            "0001-01-01 00:00:00",
            "9999-12-31 23:59:59.999",
            "2029-02-30 00:00:00",
            "now",
            "2029-01-01 24:00:00",
            "2029-01-01 00:00:00 ",
            "2029-01-01 00:00:00Z",
            "2029-01-01T00:00:00",
            "2029-01-01",
            "2029-01-01 12:00:00+05:00",
            "2029-01-01 00:00:00.123456789",
            "2029-01-01 00:00:60",
            "2462502.5",
            "12:00:00",
            "0001-01-01 12:00:00+11:00",
            "9999-12-31 11:00:00-11:00",
            "2029-01-01 00:00:00\0",
            "-001-01-01 00:00:00",
            "2029-01-01 00:00:00\t",
            "2029-01-01 00:00:00 +00:00",
            "2029-13-01 00:00:00",
            "3030-01-01 00:00:00",
        ]
    )
    | st.datetimes().map(str)
    | st.text(max_size=30)
)

_inner = any_json | st.just(float("inf"))
json_texts = st.one_of(
    st.dictionaries(st.text(max_size=10), _inner, max_size=4).map(lambda inner: json.dumps({CANARY: inner})),
    st.dictionaries(st.text(max_size=10), st.text(max_size=20) | st.integers() | st.booleans()).map(
        lambda inner: json.dumps({**inner, "x": CANARY})
    ),
    st.lists(st.text(max_size=20)).map(lambda inner: json.dumps([*inner, CANARY])),
    _inner.map(json.dumps),
    st.text(st.characters(exclude_categories=["Cs"])).map(lambda text: CANARY + text),
    st.sampled_from(
        [
            "",
            " ",
            "null",
            "{}",
            "[]",
            '{"a": 1e999}',
            '{"a": NaN}',
            '{"a": -Infinity}',
            '{"a": ' + "9" * 5_000 + "}",
            '{"a": ' + "9" * 50_000 + "}",
            '{"a": "\\ud800"}',
            '{"a": "\\u0000"}',
            '{"a": 1, "a": 2}',
            '\ufeff{"a": 1}',
            "[" * 500 + "]" * 500,
            *(
                '{"a": ' + "[" * depth + "]" * depth + "}"
                for depth in (100, 900, 940, 960, 980, 1_000, 90_000)
            ),
            deeply_nested(9_000).decode(),
            json.dumps({CANARY: "x" * 9_990}),
            json.dumps({CANARY: "é" * 9_990}),
            json.dumps({"table_name": "x'; --"}),
        ]
    ),
)
styles = st.sampled_from(
    [
        *run_requests.PARAMETER_STYLES,
        "NOTEBOOK_PARAMS",
        "notebook_params ",
        "job_id",
        "idempotency_token",
        "queue",
        "",
    ]
) | st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
workspaces = (
    st.sampled_from(
        [
            "default",
            "default",
            "default",
            "Default",
            "DEFAULT",
            " default",
            "default ",
            "default\t",
            "default\0",
            "eu",
            "",
        ]
    )
    | names
)
guids = st.sampled_from(
    [
        "0A6B1F9E-0000-4000-8000-000000000001",
        "0a6b1f9e-0000-4000-8000-000000000001",
        "",
        "x",
        "x" * 64,
        "ä",
        "\0",
        "😀",
    ]
) | st.text(st.characters(exclude_categories=["Cs"]), max_size=70)

options = st.one_of(
    st.dictionaries(
        st.sampled_from(
            ["only", "queue", "performance_target", "duration_target", "pipeline_params", "", "\ud800"]
        ),
        st.sampled_from(
            [
                ["load"],
                ["+a", "b+"],
                [],
                [""],
                {"enabled": True},
                {"full_refresh": False},
                "STANDARD",
                None,
                1,
            ]
        ),
        max_size=3,
    ).map(json.dumps),
    st.sampled_from(
        ["", "{", "[]", "null", "NaN", "\0", "[" * 500, '{"only": ' + "[" * 90_000, " " * 200_000]
    ),
)

#: The columns that an insert may set.
GIVEN: dict[str, st.SearchStrategy[Any]] = {
    "table_name": names,
    "workspace": workspaces,
    "job_id": whole_numbers,
    "job_name": names,
    "options": options,
    "retry_mode": st.sampled_from(["run", "repair", "Repair", " run", ""]) | names,
    "run_timeout_seconds": whole_numbers,
    "queue_timeout_seconds": whole_numbers,
    "parameter_style": styles,
    "parameters": json_texts,
    "priority": whole_numbers,
    "max_attempts": whole_numbers,
    "available_at": times,
    "cancel_requested": st.sampled_from([0, 1, 2, -1, "1", "true"]),
    "entry_guid": guids,
}

#: The columns that the app writes; a third party may set them nevertheless.
OWN: dict[str, st.SearchStrategy[Any]] = {
    "status": st.sampled_from(["PENDING", "pending", "PENDING ", "NOPE", "", "DONE", "DEAD"]),
    "lease_expires_at": times,
    "last_error": st.text(st.characters(exclude_categories=["Cs"]), max_size=50),
    "created_at": times,
    "updated_at": times,
    "submitted_at": times,
    "finished_at": times,
}

#: The columns that may become invalid during a run without hiding the run's end.
SPOILT = {
    name: column
    for name, column in (GIVEN | OWN).items()
    if name not in {"workspace", "cancel_requested", "status"}
}
