"""The Databricks server's own word on its runs."""

import http.client
import json
from typing import Any
from urllib.parse import urlencode, urlsplit

#: The most that every published reading of ``runs/list`` allows.
PAGE = 24

#: The demo has some sixty runs; a server that never stops paging must not hold it.
MAX_PAGES = 100

TIMEOUT_SECONDS = 10.0


def run_ids(url: str, token: str) -> list[int]:
    """The ids of all runs, active and over, newest first.

    :raises OSError: the server does not answer as it should.
    """
    found: list[int] = []
    query: dict[str, str | int] = {"limit": PAGE}
    for _ in range(MAX_PAGES):
        page = _get(url, token, f"/api/2.2/jobs/runs/list?{urlencode(query)}")
        found += [run["run_id"] for run in page.get("runs", [])]
        if not page.get("has_more"):
            return found
        query["page_token"] = page["next_page_token"]
    raise OSError(f"{url} lists more than {MAX_PAGES} pages of runs")


def _get(url: str, token: str, path: str) -> dict[str, Any]:
    connection = http.client.HTTPConnection(urlsplit(url).netloc, timeout=TIMEOUT_SECONDS)
    try:
        connection.request("GET", path, headers={"Authorization": f"Bearer {token}"})
        answer = connection.getresponse()
        body = answer.read()
        if answer.status != http.HTTPStatus.OK:
            raise OSError(f"GET {url}{path}: {answer.status} {answer.reason}")
        page: dict[str, Any] = json.loads(body)
        return page
    finally:
        connection.close()
