"""The queue message, and the settings that say where the queue is."""

import base64
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestrator.adapters.queue import (
    DEVELOPMENT_STORAGE,
    QueueConnection,
    decode,
    encode,
    queue_connection,
)
from orchestrator.core.errors import QueueError
from orchestrator.core.models import Claim
from orchestrator.core.numbers import MAX_ID

CLAIM = Claim(entry_id=1, submission=2)

# --- the message ---


@given(entry_id=st.integers(-MAX_ID - 1, MAX_ID), submission=st.integers(0, MAX_ID))
def test_a_claim_survives_its_message(entry_id: int, submission: int) -> None:
    claim = Claim(entry_id=entry_id, submission=submission)
    assert decode(encode(claim).encode()) == claim


def test_a_message_holds_ids_only() -> None:
    assert json.loads(encode(CLAIM)) == {"entry_id": 1, "submission": 2}


def test_keys_of_a_newer_version_are_left_alone() -> None:
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


# --- the connection ---

KEY = base64.b64encode(b"k" * 64).decode()
CONNECTION = (
    f"DefaultEndpointsProtocol=https;AccountName=acme;AccountKey={KEY};EndpointSuffix=core.windows.net"
)


@pytest.mark.parametrize(
    ("environ", "expected"),
    [
        ({"AzureWebJobsStorage": CONNECTION}, QueueConnection(connection_string=CONNECTION)),
        (
            {"AzureWebJobsStorage": "UseDevelopmentStorage=true"},
            QueueConnection(connection_string=DEVELOPMENT_STORAGE),
        ),
        (
            {"AzureWebJobsStorage": " usedevelopmentstorage=True; "},
            QueueConnection(connection_string=DEVELOPMENT_STORAGE),
        ),
        (
            {
                "AzureWebJobsStorage": "QueueEndpoint=https://acme.queue.core.windows.net;SharedAccessSignature=sig"
            },
            QueueConnection(
                connection_string="QueueEndpoint=https://acme.queue.core.windows.net;SharedAccessSignature=sig"
            ),
        ),
        (
            {"AzureWebJobsStorage__accountName": "acme"},
            QueueConnection(service_url="https://acme.queue.core.windows.net"),
        ),
        (
            {
                "AzureWebJobsStorage__queueServiceUri": "https://acme.queue.core.usgovcloudapi.net/",
                "AzureWebJobsStorage__accountName": "other",
                "AzureWebJobsStorage__clientId": "c1",
            },
            QueueConnection(service_url="https://acme.queue.core.usgovcloudapi.net", client_id="c1"),
        ),
        (
            {"AzureWebJobsStorage": CONNECTION, "AzureWebJobsStorage__accountName": "other"},
            QueueConnection(connection_string=CONNECTION),
        ),
    ],
)
def test_the_connection_is_read_as_the_trigger_reads_it(
    environ: dict[str, str], expected: QueueConnection
) -> None:
    assert queue_connection(environ) == expected


def test_another_name_reads_other_settings() -> None:
    assert queue_connection({"Jobs__accountName": "acme"}, "Jobs").service_url is not None


@pytest.mark.parametrize(
    ("environ", "problem"),
    [
        ({}, "set AzureWebJobsStorage to a connection string"),
        ({"AzureWebJobsStorage": "  "}, "set AzureWebJobsStorage to a connection string"),
        ({"AzureWebJobsStorage": "s3cret"}, "not a Storage connection string"),
        ({"AzureWebJobsStorage": "AccountName=acme"}, "needs AccountName and AccountKey"),
        ({"AzureWebJobsStorage": "QueueEndpoint=https://x;AccountKey=czNjcmV0"}, "needs AccountName"),
        ({"AzureWebJobsStorage": "AccountName=acme;AccountKey=s3cret="}, "not valid base64"),
        (
            {"AzureWebJobsStorage": "UseDevelopmentStorage=true;DevelopmentStorageProxyUri=http://x"},
            "DevelopmentStorageProxyUri",
        ),
        ({"AzureWebJobsStorage__queueServiceUri": "http://acme.queue.core.windows.net"}, "https://"),
        ({"AzureWebJobsStorage__queueServiceUri": "https://acme.example?sig=s3cret"}, "https://"),
        ({"AzureWebJobsStorage__accountName": "Acme.example"}, "3 to 24 lower-case"),
    ],
)
def test_a_connection_that_cannot_work_is_explained(environ: dict[str, str], problem: str) -> None:
    with pytest.raises(ValueError, match=problem) as caught:
        queue_connection(environ)
    assert "s3cret" not in str(caught.value)
    assert "czNjcmV0" not in str(caught.value)


def test_a_connection_does_not_show_its_key() -> None:
    assert KEY not in repr(queue_connection({"AzureWebJobsStorage": CONNECTION}))
