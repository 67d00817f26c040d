"""Hold access tokens: what every way to sign in has in common, and tokens that stand in a setting."""

import asyncio
from abc import ABC, abstractmethod
from collections import deque
from dataclasses import dataclass, field, replace
from typing import Protocol

from orchestrator.core.errors import TokenUnavailable
from orchestrator.ports import Clock

#: A fetch ends after this time, in seconds. Most take less than two; the request that needs the token must
#: still fit into the time of its operation.
FETCH_SECONDS = 25.0

#: Pause after a fetch that a refused token forced, or that failed, in seconds. Ten submissions that fail
#: together must not become ten calls a second to a Key Vault that is unhealthy.
_FORCED_PAUSE_SECONDS = 5.0

#: After a failed fetch the old token is used for this time, in seconds, before a caller tries the next fetch.
_STALE_SECONDS = 60.0

#: An Entra ID token is renewed this long before it expires, in seconds. Databricks refuses it in its last
#: 30 seconds; the rest allows for slow calls and clocks that differ. azure-identity renews at the same point.
RENEW_AHEAD_SECONDS = 300.0

#: Tokens of the past that are still struck out of texts: more than a day of hourly ones.
_REMEMBERED = 32

#: A token is not used in this last part of its life, in seconds.
REFUSED_AHEAD_SECONDS = 30.0


class TokenSource(Protocol):
    """Gives a workspace's access token. Every method returns or raises in bounded time."""

    async def token(self) -> str:
        """Return a token, usually one held in memory. :raises TokenUnavailable: there is none."""
        ...

    async def refresh(self, stale: str) -> str:
        """Return a token after the workspace refused ``stale``; the same one when there is no other now.

        Concurrent callers cause one fetch.

        :raises TokenUnavailable: there is none.
        """
        ...

    def secrets(self) -> tuple[str, ...]:
        """Return what no text may show: the tokens given so far, up to a bound, and what they were had with.

        A run may print the token of the call that started it, and that one stays valid when another is held.
        """
        ...

    async def close(self) -> None:
        """Close what the source opened itself."""
        ...


def workspace_header(workspace_id: int | None) -> dict[str, str]:
    """Return the header that tells the workspaces behind one host apart."""
    return {} if workspace_id is None else {"X-Databricks-Workspace-Id": str(workspace_id)}


class StaticToken:
    """A token or another secret that never changes, for local work.

    :param setting: that it comes from, for messages.
    """

    def __init__(self, token: str, setting: str = "DATABRICKS_TOKEN") -> None:
        self._token = token
        self._setting = setting

    async def token(self) -> str:
        """Return the token."""
        return usable(self._token, self._setting)

    async def refresh(self, stale: str) -> str:  # noqa: ARG002  (there is no other token)
        """Return the same token."""
        return await self.token()

    def secrets(self) -> tuple[str, ...]:
        """Return the token."""
        return (self._token.strip(),)

    async def close(self) -> None:
        """Do nothing: nothing is open."""


@dataclass(frozen=True, kw_only=True)
class Fetched:
    """A token as its source gave it. Times are of the monotonic clock."""

    value: str = field(repr=False)
    #: until then the token is used without asking its source
    fresh_until: float
    #: until then the token is used when its source fails
    usable_until: float = float("inf")


class CachedToken(ABC):
    """Holds one token, and lets one caller at a time fetch the next. Subclasses say how to fetch it."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._held: Fetched | None = None
        self._given: deque[str] = deque(maxlen=_REMEMBERED)
        self._failure: TokenUnavailable | None = None
        self._no_fetch_before = float("-inf")
        self._lock = asyncio.Lock()

    async def token(self) -> str:
        """Return the held token, or fetch another one when it is no longer fresh."""
        fresh = self._fresh()
        if fresh is not None:
            return fresh
        async with self._lock:
            return self._fresh() or await self._next(forced=False)

    async def refresh(self, stale: str) -> str:
        """Return another token than ``stale``: the one that somebody fetched meanwhile, or a new one."""
        async with self._lock:
            if self._held is not None and self._held.value != stale:
                return self._held.value
            return await self._next(forced=True)

    def secrets(self) -> tuple[str, ...]:
        """Return the tokens held so far, up to a bound."""
        return tuple(self._given)

    @abstractmethod
    async def _fetch(self) -> Fetched:
        """Fetch a token. :raises TokenUnavailable: there is none."""

    def _fresh(self) -> str | None:
        held = self._held
        return held.value if held is not None and self._clock.monotonic() < held.fresh_until else None

    async def _next(self, *, forced: bool) -> str:
        if self._clock.monotonic() < self._no_fetch_before:
            return self._old_token()
        try:
            self._held = await self._fetch()
            if self._held.value not in self._given:
                self._given.append(self._held.value)
        except TokenUnavailable as error:
            self._failure = error
            self._no_fetch_before = self._clock.monotonic() + _FORCED_PAUSE_SECONDS
            return self._old_token()
        if forced:
            self._no_fetch_before = self._clock.monotonic() + _FORCED_PAUSE_SECONDS
        return self._held.value

    def _old_token(self) -> str:
        now = self._clock.monotonic()
        if self._held is not None and now < self._held.usable_until:
            next_fetch = min(now + _STALE_SECONDS, self._held.usable_until)
            self._held = replace(self._held, fresh_until=max(self._held.fresh_until, next_fetch))
            return self._held.value
        raise TokenUnavailable(str(self._failure or "no token is held"))


def usable(value: str, name: str) -> str:
    """Return a token without the blanks around it. A secret that was pasted from a file often has some."""
    token = value.strip()
    if not token or not token.isascii() or not token.isprintable() or " " in token:
        raise TokenUnavailable(f"{name}: the value is not an access token: it is empty or has blanks in it")
    return token
