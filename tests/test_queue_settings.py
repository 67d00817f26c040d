"""The settings that say how to reach the queue are read as the queue trigger reads them."""

import base64

import pytest

from orchestrator.settings.queue import _DEVELOPMENT_STORAGE, QueueConnection, read_queue
from orchestrator.settings.reader import Reader

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
            QueueConnection(connection_string=_DEVELOPMENT_STORAGE),
        ),
        (
            {"AzureWebJobsStorage": " usedevelopmentstorage=True; "},
            QueueConnection(connection_string=_DEVELOPMENT_STORAGE),
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
    reader = Reader(environ)
    assert read_queue(reader) == expected
    assert reader.problems == []


def test_another_name_reads_other_settings() -> None:
    reader = Reader({"Jobs__accountName": "acme"})
    assert read_queue(reader, "Jobs").service_url is not None
    assert reader.problems == []


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
    reader = Reader(environ)
    read_queue(reader)
    [found] = reader.problems
    assert problem in found
    assert "s3cret" not in found
    assert "czNjcmV0" not in found


def test_a_connection_does_not_show_its_key() -> None:
    assert KEY not in repr(read_queue(Reader({"AzureWebJobsStorage": CONNECTION})))
