"""The queue message: what is sent, and which received messages are refused."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestrator.adapters.queue import _encode, decode
from orchestrator.core.errors import QueueError
from orchestrator.core.models import Claim
from orchestrator.core.numbers import MAX_ID

CLAIM = Claim(entry_id=1, submission=2)


@given(entry_id=st.integers(-MAX_ID - 1, MAX_ID), submission=st.integers(0, MAX_ID))
def test_a_claim_survives_its_message(entry_id: int, submission: int) -> None:
    claim = Claim(entry_id=entry_id, submission=submission)
    assert decode(_encode(claim).encode()) == claim


def test_a_message_holds_ids_only() -> None:
    assert json.loads(_encode(CLAIM)) == {"entry_id": 1, "submission": 2}


def test_keys_of_a_newer_version_are_ignored() -> None:
    assert decode(b'{"entry_id": 1, "submission": 2, "trace": "00-ab"}') == CLAIM


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"\xff\xfe",
        b"hello",
        b"[" * 100_000,
        b"9" * 5_000,
        b"null",
        b"[1, 2]",
        b"{}",
        b'{"entry_id": 1}',
        b'{"submission": 1}',
        b'{"entry_id": true, "submission": 2}',
        b'{"entry_id": 1.0, "submission": 2}',
        b'{"entry_id": "1", "submission": 2}',
        b'{"entry_id": 1, "submission": -1}',
        b'{"entry_id": NaN, "submission": 2}',
        b'{"entry_id": 9223372036854775808, "submission": 2}',
        b'{"entry_id": 1, "submission": null}',
    ],
    ids=lambda body: body[:40].decode(errors="replace"),
)
def test_a_message_that_is_not_ours_is_refused(body: bytes) -> None:
    with pytest.raises(QueueError, match="the queue message "):
        decode(body)


@given(st.binary(max_size=200))
def test_no_bytes_at_all_break_the_decoder(body: bytes) -> None:
    try:
        decode(body)
    except QueueError as error:
        assert "the queue message " in str(error)  # noqa: PT017 - most bytes are refused, but none has to be


def test_the_error_does_not_repeat_the_content() -> None:
    with pytest.raises(QueueError) as caught:
        decode(b'{"entry_id": "s3cret"}')
    assert "s3cret" not in str(caught.value)
