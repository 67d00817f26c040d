"""The simulator's page of jobs and runs, whatever is in their names."""

import pytest

from tests.devstack.databricks.conftest import Client


@pytest.mark.parametrize(
    ("name", "shown"),
    [
        ("<script>alert(1)</script>", "&lt;script&gt;alert(1)&lt;/script&gt;"),
        ("half \ud800", "half ?"),
    ],
)
async def test_the_page_shows_any_name_as_a_text(client: Client, name: str, shown: str) -> None:
    task = {"task_key": "only", "notebook_task": {"notebook_path": "/x"}}
    created = await client.post("/api/2.2/jobs/create", json={"name": name, "tasks": [task]})
    assert created.status == 200
    answer = await client.get("/")
    assert answer.status == 200
    assert shown in await answer.text()
