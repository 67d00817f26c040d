"""Post alerts to a webhook. Its address is a secret: no log line and no error here holds it."""

import logging
from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any

import aiohttp
from yarl import URL

from orchestrator.core.alerts import Alert, Delivery
from orchestrator.core.proxy import Proxy

_logger = logging.getLogger(__name__)

#: For one message, from the look-up of the host name to the response's status.
_TIMEOUT_SECONDS = 10.0

#: The receiver responds that it did not accept the message.
_TRY_LATER = 503


class Webhook:
    """Posts alerts to an address.

    :param url: used as it is; a signature in it does not survive another quoting.
    :param body: makes the JSON object to send.
    :param session: returns the shared session, made inside the running loop.
    :param proxy: that the messages go through; None = they are sent directly.
    :param timeout_seconds: for one message.
    """

    def __init__(
        self,
        url: str,
        *,
        body: Callable[[Alert, datetime], Mapping[str, Any]],
        session: Callable[[], aiohttp.ClientSession],
        proxy: Proxy | None = None,
        timeout_seconds: float = _TIMEOUT_SECONDS,
    ) -> None:
        self._url = URL(url, encoded=True)
        self._body = body
        self._session = session
        self._proxy = proxy
        self._timeout = aiohttp.ClientTimeout(total=timeout_seconds)

    async def deliver(self, alert: Alert, at: datetime) -> Delivery:
        """Send a message and return whether it arrived. Raises nothing."""
        try:
            status = await self._post(self._body(alert, at))
        except (
            aiohttp.ClientConnectorError,
            aiohttp.ClientHttpProxyError,
            aiohttp.ConnectionTimeoutError,
            aiohttp.InvalidURL,
            ValueError,
        ) as error:
            # Nothing was sent: no address, no connection, or a certificate that is not trusted.
            return self._undelivered(f"no connection ({type(error).__name__})", Delivery.REFUSED)
        except (TimeoutError, aiohttp.ClientError, OSError) as error:
            return self._undelivered(f"no response ({type(error).__name__})", Delivery.UNCERTAIN)
        if 200 <= status < 300:
            return Delivery.SENT
        # After a gateway's 502 or 504, or a server's 500, the message may have been accepted.
        is_definite = status < 500 or status == _TRY_LATER
        return self._undelivered(f"HTTP {status}", Delivery.REFUSED if is_definite else Delivery.UNCERTAIN)

    async def _post(self, content: Mapping[str, Any]) -> int:
        async with self._session().post(
            self._url,
            json=content,
            # The other side may close an idle connection just when it is used again. Nobody would know
            # whether that message arrived.
            headers={"Connection": "close"},
            proxy=self._proxy.url if self._proxy else None,
            allow_redirects=False,
            timeout=self._timeout,
        ) as response:
            return response.status

    def _undelivered(self, why: str, delivery: Delivery) -> Delivery:
        through = f" through {self._proxy}" if self._proxy else ""
        _logger.warning("alert webhook: %s%s", why, through)
        return delivery
