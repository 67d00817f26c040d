"""The settings that say how to reach the queue are read as the queue trigger reads them."""

import base64
from collections.abc import Callable
from dataclasses import replace

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
                "AzureWebJobsStorage__blobServiceUri": "https://acme.blob.core.usgovcloudapi.net/",
                "AzureWebJobsStorage__clientId": "c1",
            },
            QueueConnection(service_url="https://acme.queue.core.usgovcloudapi.net", client_id="c1"),
        ),
        (
            {
                "AzureWebJobsStorage__queueServiceUri": "https://acme.queue.core.windows.net/",
                "AzureWebJobsStorage__accountName": "acme",
            },
            QueueConnection(service_url="https://acme.queue.core.windows.net"),
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
    assert reader.all_problems() == []


RESOURCE_ID = (
    "/subscriptions/s/resourceGroups/g/providers/Microsoft.ManagedIdentity/userAssignedIdentities/sender"
)


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        ({}, QueueConnection()),
        ({"credential": "managedidentity"}, QueueConnection(managed=True)),
        ({"credential": "ManagedIdentity", "clientId": "c"}, QueueConnection(managed=True, client_id="c")),
        (
            {"credential": "managedidentity", "managedIdentityResourceId": RESOURCE_ID},
            QueueConnection(managed=True, resource_id=RESOURCE_ID),
        ),
        (
            {"tenantId": "t", "clientId": "c", "clientSecret": "s3cret"},
            QueueConnection(tenant_id="t", client_id="c", client_secret="s3cret"),
        ),
        ({"clientId": "  ", "clientSecret": ""}, QueueConnection()),
    ],
)
@pytest.mark.parametrize("spelled", [str, str.upper, lambda name: name.replace("__", ":").lower()])
def test_the_identity_is_read_as_the_host_reads_it(
    settings: dict[str, str], expected: QueueConnection, spelled: Callable[[str], str]
) -> None:
    environ = {f"AzureWebJobsStorage__{name}": value for name, value in settings.items()}
    environ["AzureWebJobsStorage__accountName"] = "acme"
    reader = Reader({spelled(name): value for name, value in environ.items()} | {"AZURE_CLIENT_ID": "other"})
    connection = read_queue(reader)
    assert connection == replace(expected, service_url="https://acme.queue.core.windows.net")
    assert reader.all_problems() == []
    assert "s3cret" not in repr(connection)


@pytest.mark.parametrize(
    ("settings", "problem"),
    [
        ({"credential": "workloadidentity"}, "S__credential must be managedidentity, or not be set"),
        (
            {"credential": "managedidentity", "clientId": "c", "managedIdentityResourceId": RESOURCE_ID},
            "S__clientId and S__managedIdentityResourceId are both set",
        ),
        ({"managedIdentityResourceId": RESOURCE_ID}, "S__managedIdentityResourceId needs S__credential"),
        (
            {"credential": "managedidentity", "managedIdentityResourceId": "x"},
            "must look like /sub",
        ),
        ({"credential": "managedidentity", "clientSecret": "s3cret"}, "remove S__credential to sign in"),
        (
            {"credential": "managedidentity", "managedIdentityObjectId": "o"},
            "ObjectId cannot",
        ),
        ({"tenantId": "t", "clientId": "c"}, "only together"),
        ({"clientId": "c", "clientSecret": "s3cret"}, "only together"),
        ({"tenantId": "t", "clientId": "c", "clientCertificate": "s3cret"}, "S__clientCertificate cannot"),
        (
            {"clientSecret": "@Microsoft.KeyVault(SecretUri=s3cret)"},
            "that Azure has not resolved",
        ),
        ({"clientId": "c", "CLIENTID": "d"}, "S__CLIENTID and S__clientId are one setting"),
    ],
)
def test_an_identity_that_the_host_would_read_otherwise_is_refused(
    settings: dict[str, str], problem: str
) -> None:
    environ = {f"S__{name}": value for name, value in settings.items()} | {"S__accountName": "acme"}
    reader = Reader(environ)
    read_queue(reader, "S")
    assert problem in reader.all_problems()[0]
    assert "s3cret" not in "".join(reader.all_problems())


def test_another_name_reads_other_settings() -> None:
    reader = Reader({"Jobs__accountName": "acme"})
    assert read_queue(reader, "Jobs").service_url is not None
    assert reader.all_problems() == []


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
        (
            {
                "AzureWebJobsStorage__accountName": "acme",
                "AzureWebJobsStorage__queueServiceUri": "https://other.queue.core.windows.net",
            },
            "are two accounts: keep one of them",
        ),
    ],
)
def test_a_connection_that_cannot_work_is_explained(environ: dict[str, str], problem: str) -> None:
    reader = Reader(environ)
    read_queue(reader)
    [found] = reader.all_problems()
    assert problem in found
    assert "s3cret" not in found
    assert "czNjcmV0" not in found


def test_a_connection_does_not_show_its_key() -> None:
    assert KEY not in repr(read_queue(Reader({"AzureWebJobsStorage": CONNECTION})))
