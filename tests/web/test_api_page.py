"""The calls at the top of docs/api.md, each on a store with the page's entry."""

import json
import shlex
from dataclasses import dataclass, field

import pytest

from tests.conftest import ROOT
from tests.pages import blocks
from tests.web.support import Site, add

PAGE = (ROOT / "docs" / "api.md").read_text(encoding="utf-8")

#: The entry of the page's examples.
ENTRY = 4711


@dataclass
class Call:
    """What curl would send."""

    method: str = "GET"
    address: str = ""
    body: object = None
    headers: dict[str, str] = field(default_factory=dict)


def read(command: str) -> Call:
    """Read a call as curl does: with a body it is a POST."""
    words = iter(shlex.split(command, comments=True)[1:])
    call = Call()
    for word in words:
        if word == "-X":
            call.method = next(words)
        elif word == "-H":
            name, value = next(words).split(": ")
            call.headers[name] = value
        elif word == "-d":
            call.method, call.body = "POST", json.loads(next(words))
        else:
            call.address = word.removeprefix("$API/")
    return call


CALLS = [read(command) for block in blocks(PAGE) for command in block.commands if command.startswith("call ")]


@pytest.mark.parametrize("call", CALLS, ids=lambda call: f"{call.method} {call.address}"[:40])
async def test_calls(call: Call, site: Site) -> None:
    await add(site, "sales_eu")
    status = "RUNNING" if call.body == {"restart": True} else "DEAD"
    site.execute(
        "UPDATE track_processing SET id = ?, status = ?, submission = 1, runid = 7, attempt = 1",
        ENTRY,
        status,
    )
    answered, told = await site.call(call.method, call.address, call.body, call.headers)
    assert answered in {200, 201}, told


def test_every_kind_of_call_is_tried() -> None:
    assert len(CALLS) == 9
    assert {call.method for call in CALLS} == {"GET", "POST"}
