"""What Schemathesis cannot know of this API's values."""

from typing import Any

import schemathesis
from hypothesis import strategies as st

schemathesis.openapi.format(
    "printable", st.text(st.characters(codec="utf-8").filter(str.isprintable), min_size=1, max_size=500)
)


@schemathesis.hook
def map_body(_context: object, body: Any) -> Any:
    """Write whole numbers as such: 1.0 is an integer to JSON Schema, and no number of rows to the API."""
    if isinstance(body, dict):
        return {name: map_body(_context, value) for name, value in body.items()}
    if isinstance(body, list):
        return [map_body(_context, value) for value in body]
    return int(body) if isinstance(body, float) and body.is_integer() else body
