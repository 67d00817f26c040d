"""The number of examples to try, and strategies for JSON of every kind."""

import json
import os
from collections.abc import Iterator
from typing import Any

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st

#: Examples per property. If set, they are new in each run; otherwise they are few and always the same.
EXAMPLES = int(os.environ.get("BADINPUT_EXAMPLES", "0"))

#: Marks a field that is left out.
MISSING = object()

Path = tuple[str | int, ...]

#: One value of each JSON type, and the extremes of each.
ODD_VALUES: tuple[Any, ...] = (
    MISSING,
    None,
    True,
    False,
    0,
    -1,
    7,
    2**31,
    2**53 + 1,
    2**63 - 1,
    2**63,
    -(2**63) - 1,
    10**400,
    0.5,
    -0.0,
    5e-324,
    1e308,
    float("nan"),
    float("inf"),
    "",
    "0",
    "TERMINATED",
    "A_NEW_VALUE",
    "x" * 5_000,
    "\0\x1b[31m\r\n\u2028",
    "\ud800",
    "😀" * 600,
    [],
    [None],
    [[]],
    {},
    {"run_id": 1},
    [{"run_id": None}],
)


def tries(bounded: int) -> settings:
    """Return the settings for one property.

    :param bounded: inputs when ``BADINPUT_EXAMPLES`` does not say otherwise.
    """
    return settings(
        max_examples=EXAMPLES or bounded,
        derandomize=not EXAMPLES,
        database=None,
        deadline=None,  # each property bounds its own time where that is its point
        suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
    )


#: Text with any characters, lone surrogates included.
any_text = st.text(st.characters(), max_size=40)

json_leaves = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.integers(-(2**70), 2**70)
    | st.floats()
    | any_text
    | st.sampled_from([value for value in ODD_VALUES if value is not MISSING])
)

any_json = st.recursive(
    json_leaves,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(any_text, inner, max_size=4),
    max_leaves=12,
)


def paths(content: Any) -> Iterator[Path]:
    """Return every position in a JSON value, the whole value first."""
    yield ()
    if isinstance(content, dict):
        inner: Any = content.items()
    else:
        inner = enumerate(content) if isinstance(content, list) else ()
    for key, value in inner:
        yield from ((key, *path) for path in paths(value))


def replaced(content: Any, path: Path, value: Any) -> Any:
    """Return a copy of a JSON value with one position replaced; :data:`MISSING` removes it."""
    if not path:
        return {} if value is MISSING else value
    copy = dict(content) if isinstance(content, dict) else list(content)
    key: Any = path[0]
    if len(path) == 1 and value is MISSING:
        del copy[key]
    else:
        copy[key] = replaced(content[key], path[1:], value)
    return copy


@st.composite
def twisted(draw: st.DrawFn, content: Any) -> Any:
    """Draw a JSON value that is wrong at one to three positions."""
    for _ in range(draw(st.integers(1, 3))):
        path = draw(st.sampled_from(list(paths(content))))
        content = replaced(content, path, draw(st.just(MISSING) | any_json))
    return content


def as_body(content: Any) -> bytes:
    """Encode JSON; NaN and infinities as Python writes them, lone surrogates as escapes."""
    return json.dumps(content).encode()


def deeply_nested(depth: int) -> bytes:
    """Return JSON nested too deeply for a recursive reader."""
    return b'{"run_id":' * depth + b"1" + b"}" * depth


def bodies(good: Any) -> st.SearchStrategy[bytes]:
    """Draw a body instead of ``good``: nearly good, of another type, cut off, or not JSON."""
    whole = as_body(good)
    return st.one_of(
        twisted(good).map(as_body),
        any_json.map(as_body),
        st.integers(0, len(whole)).map(lambda end: whole[:end]),
        st.binary(max_size=200),
        st.sampled_from(
            [
                b"",
                b"null",
                b"<html><head><title>Sign in</title></head><body>Please sign in</body></html>",
                b"\xef\xbb\xbf" + whole,
                whole.decode().encode("utf-16"),
                whole.decode().encode("utf-32"),
                whole + whole,
                b"[" * 50_000,
                deeply_nested(20_000),
                b'{"run_id": ' + b"9" * 5_000 + b"}",
                b"\x1f\x8b\x08\x00",
            ]
        ),
    )
