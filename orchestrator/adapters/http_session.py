"""HTTP connections, with a bound."""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import aiohttp


class Connections:
    """One HTTP session for all who may share its connections, opened when it is needed first.

    The bound is for each host, so that one that does not answer holds up no other.

    :param per_host: connections to one host at once; a call more waits for one of them.
    """

    def __init__(self, *, per_host: int) -> None:
        self._per_host = per_host
        self._session: aiohttp.ClientSession | None = None

    def session(self) -> "aiohttp.ClientSession":
        """Return the session. Must be called inside the running event loop."""
        import aiohttp

        if self._session is None:
            self._session = aiohttp.ClientSession(
                connector=aiohttp.TCPConnector(limit=0, limit_per_host=self._per_host),
                cookie_jar=aiohttp.DummyCookieJar(),  # the session is shared by workspaces
            )
        return self._session

    async def close(self) -> None:
        """Give the connections up."""
        if self._session is not None:
            await self._session.close()
