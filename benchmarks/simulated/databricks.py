"""Databricks workspaces in simulated time, behind the app's own client: real requests, pages, rates."""

import asyncio
import json
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any, cast

import aiohttp
from multidict import CIMultiDict
from yarl import URL

from benchmarks.simulated.clock import LoopClock, for_free, spend
from benchmarks.simulated.counts import Counts
from orchestrator.adapters.databricks.auth.token_source import StaticToken
from orchestrator.adapters.databricks.client import DatabricksClient

#: Requests a second that a workspace takes, by endpoint (docs/scale.md says who publishes them).
RATES = {"run-now": 20, "runs/list": 30, "runs/get": 100}

#: Runs in a page of ``runs/list``, as many as the app asks for.
PAGE = 24

_PREFIX = "/api/2.2/jobs/"

#: What the simulated runs look like beside their state: an answer has about the size of a real one.
_RUN_FIELDS: dict[str, Any] = {
    "creator_user_name": "0a1b2c3d-0000-0000-0000-000000000000",
    "run_name": "ingest one table",
    "run_page_url": "https://adb-1234567890123456.7.azuredatabricks.net/?o=1234567890123456#job/5/run/",
    "run_type": "JOB_RUN",
    "trigger": "ONE_TIME",
    "format": "MULTI_TASK",
    "setup_duration": 0,
    "cleanup_duration": 0,
    "start_time": 1_700_000_000_000,
    "overriding_parameters": {
        "notebook_params": {"table_name": "schema_of_some_source.table_of_that_schema"}
    },
    "cluster_spec": {"existing_cluster_id": "0131-000000-abcdefgh"},
    "job_parameters": [{"name": "table_name", "default": "", "value": "schema_of_some_source.table"}],
}


def _members(content: Mapping[str, Any]) -> str:
    return json.dumps(content)[1:-1]


#: Written once, as JSON without its braces: a page holds many of them.
_REST = _members(_RUN_FIELDS)
_ALIVE = _members(
    {"state": {"life_cycle_state": "RUNNING", "state_message": ""}, "status": {"state": "RUNNING"}}
)
_OVER = _members(
    {
        "state": {"life_cycle_state": "TERMINATED", "result_state": "SUCCESS", "state_message": ""},
        "status": {
            "state": "TERMINATED",
            "termination_details": {"code": "SUCCESS", "type": "SUCCESS", "message": ""},
        },
        "end_time": 1_800_000_000_000,
        "execution_duration": 1000,
    }
)


@dataclass
class _Bucket:
    """A limit of requests a second; a second's worth may come at once."""

    rate: int
    left: float = 0.0
    seen_at: float = -1.0

    def takes(self, now: float) -> bool:
        """Take a request, if there is room for it."""
        self.left = min(self.rate, self.left + (now - self.seen_at) * self.rate)
        self.seen_at = now
        if self.left < 1:
            return False
        self.left -= 1
        return True


@dataclass
class Workspace:
    """One workspace: its runs are over when their time is.

    :param answer_seconds: what each answer takes.
    :param run_seconds: returns how long the next run takes.
    """

    counts: Counts
    answer_seconds: float
    run_seconds: Callable[[], float]
    #: requests a second, by endpoint; one that is missing has no limit
    rates: Mapping[str, int] = field(default_factory=lambda: RATES)
    #: processor time of an HTTP call, which there is none of here
    http_seconds: float = 0.0
    #: when each run ends, by its id, those that began last last
    ends: dict[int, float] = field(default_factory=dict)
    _jobs: dict[int, int] = field(default_factory=dict)
    _by_token: dict[str, int] = field(default_factory=dict)
    _buckets: dict[str, _Bucket] = field(default_factory=dict)
    _next_id: int = 1
    #: the runs whose pages are being read
    _listed: list[int] = field(default_factory=list)

    def start(self, token: str, job_id: int) -> int:
        """Start a run, or return the one that the token has started."""
        if token not in self._by_token:
            self._by_token[token] = self._next_id
            self.ends[self._next_id] = _now() + self.run_seconds()
            self._jobs[self._next_id] = job_id
            self._next_id += 1
        return self._by_token[token]

    def live(self) -> list[int]:
        """Return the ids of the active runs, the newest first."""
        now = _now()
        return [run_id for run_id, ends in reversed(self.ends.items()) if ends > now]

    def client(self) -> DatabricksClient:
        """Return the app's client of this workspace."""
        return DatabricksClient(
            host="http://127.0.0.1:1",
            tokens=StaticToken("simulated", "DATABRICKS_TOKEN"),
            session=lambda: cast(aiohttp.ClientSession, self),
            clock=LoopClock(),
        )

    @asynccontextmanager
    async def request(self, _method: str, url: URL, **options: Any) -> AsyncIterator["_Answer"]:
        """Answer a request, as a session of aiohttp would bring the answer."""
        name = url.path.removeprefix(_PREFIX)
        self.counts.add_now(f"calls {name}")
        await asyncio.sleep(self.answer_seconds)
        spend(self.http_seconds)
        with for_free():
            answer = self._answer(name, options.get("params") or {}, options.get("json") or {})
        yield answer

    def _answer(self, name: str, query: Mapping[str, str], body: Mapping[str, Any]) -> "_Answer":
        if self._takes(name):
            return _Answer(200, self._content(name, query, body))
        self.counts.add(f"refused {name}")
        content = {"error_code": "REQUEST_LIMIT_EXCEEDED", "message": "slow down"}
        return _Answer(429, json.dumps(content), retry_after=1)

    def _takes(self, name: str) -> bool:
        if name not in self.rates:
            return True
        bucket = self._buckets.setdefault(name, _Bucket(self.rates[name], left=self.rates[name]))
        return bucket.takes(_now())

    def _content(self, name: str, query: Mapping[str, str], body: Mapping[str, Any]) -> str:
        if name == "run-now":
            return json.dumps({"run_id": self.start(body["idempotency_token"], body["job_id"])})
        if name == "runs/list":
            return self._page(int(query.get("page_token", "0")))
        if name == "runs/get":
            return self._run(int(query["run_id"]))
        if name == "get":
            settings = {"name": "ingest", "max_concurrent_runs": 1000}
            return json.dumps({"job_id": int(query["job_id"]), "settings": settings})
        raise ValueError(f"nobody should call {name}")

    def _page(self, first: int) -> str:
        if first == 0:
            self._listed = self.live()
        rest = first + PAGE < len(self._listed)
        runs = ", ".join(self._run(run_id) for run_id in self._listed[first : first + PAGE])
        more = f'"has_more": true, "next_page_token": "{first + PAGE}"' if rest else '"has_more": false'
        return f'{{"runs": [{runs}], {more}}}' if runs else f"{{{more}}}"

    def _run(self, run_id: int) -> str:
        state = _OVER if self.ends[run_id] <= _now() else _ALIVE
        return f'{{"run_id": {run_id}, "job_id": {self._jobs[run_id]}, {state}, {_REST}}}'


class _Answer:
    """A response, as far as the client reads one."""

    def __init__(self, status: int, content: str, *, retry_after: int | None = None) -> None:
        self.status = status
        self.headers = CIMultiDict({} if retry_after is None else {"Retry-After": str(retry_after)})
        self._body = content.encode()

    @property
    def content(self) -> "_Answer":
        """The body."""
        return self

    async def iter_chunked(self, size: int) -> AsyncIterator[bytes]:
        """Yield the body."""
        for begin in range(0, len(self._body), size):
            yield self._body[begin : begin + size]


def _now() -> float:
    return asyncio.get_running_loop().time()
