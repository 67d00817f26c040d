"""How long an OAuth token is accepted, on a clock that is set by hand."""

from base64 import b64encode

import pytest

from devstack.databricks.credentials import Credentials
from devstack.databricks.errors import ApiError
from tests.devstack.databricks.helpers import Clock


def test_a_token_ends_with_its_time() -> None:
    clock = Clock()
    credentials = Credentials(tokens=(), clients={"app": "s"}, token_seconds=60.0, clock=clock)
    form = {"grant_type": "client_credentials", "scope": "all-apis"}
    answer = credentials.issue(f"Basic {b64encode(b'app:s').decode()}", form)
    clock.advance(59)
    credentials.check(f"Bearer {answer['access_token']}")
    clock.advance(1)
    with pytest.raises(ApiError, match="Invalid access token"):
        credentials.check(f"Bearer {answer['access_token']}")


def test_without_any_credentials_every_token_is_accepted() -> None:
    Credentials(tokens=(), clients={}, token_seconds=60.0, clock=Clock()).check("Bearer any")
