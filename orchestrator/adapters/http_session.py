"""Share one HTTP session, with a limit of connections to each host."""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import aiohttp


class Connections:
    """One HTTP session for everybody who may share its connections. It is opened at its first use.

    The limit is for each host, so that a host that does not respond delays no other.

    :param per_host: concurrent connections to one host; further requests wait for one of them.
    """

    def __init__(self, *, per_host: int) -> None:
        self._per_host = per_host
        self._session: aiohttp.ClientSession | None = None

    def session(self) -> "aiohttp.ClientSession":
        """Return the session. Call this inside the running event loop."""
        import aiohttp

        if self._session is None:
            self._session = aiohttp.ClientSession(
                connector=aiohttp.TCPConnector(limit=0, limit_per_host=self._per_host),
                cookie_jar=aiohttp.DummyCookieJar(),  # the session is shared by workspaces
            )
        return self._session

    async def close(self) -> None:
        """Close all connections."""
        if self._session is not None:
            await self._session.close()
