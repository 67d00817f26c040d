"""Alerts over HTTP. The address is a secret: no log line and no error here holds it."""

import logging
from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any

import aiohttp
from yarl import URL

from orchestrator.core.alerts import Alert, Delivery

logger = logging.getLogger(__name__)

#: For one message, from the look-up of the name to the answer's status.
TIMEOUT_SECONDS = 10.0

#: The receiver is there and says that it did not take the message.
_TRY_LATER = 503


class Webhook:
    """Posts alerts to an address.

    :param body: makes the message that is sent as JSON.
    :param session: shared; opened at first use.
    """

    def __init__(
        self,
        url: str,
        *,
        body: Callable[[Alert, datetime], Mapping[str, Any]],
        session: Callable[[], aiohttp.ClientSession],
        timeout_seconds: float = TIMEOUT_SECONDS,
    ) -> None:
        self._url = URL(url, encoded=True)  # as it is: a signature does not survive being quoted anew
        self._body = body
        self._session = session
        self._timeout = aiohttp.ClientTimeout(total=timeout_seconds)

    async def deliver(self, alert: Alert, at: datetime) -> Delivery:
        """Send a message and say what became of it; raises nothing."""
        try:
            status = await self._post(self._body(alert, at))
        except (
            aiohttp.ClientConnectorError,
            aiohttp.ConnectionTimeoutError,
            aiohttp.InvalidURL,
            ValueError,
        ) as error:
            # Nothing was sent: no address, no connection, or a certificate that is not trusted.
            return _not_taken(f"no connection ({type(error).__name__})", Delivery.REFUSED)
        except (TimeoutError, aiohttp.ClientError, OSError) as error:
            return _not_taken(f"no answer ({type(error).__name__})", Delivery.UNCERTAIN)
        if 200 <= status < 300:
            return Delivery.SENT
        # A gateway's 502 or 504 and a server's 500 leave open what had happened before.
        is_definite = status < 500 or status == _TRY_LATER
        return _not_taken(f"HTTP {status}", Delivery.REFUSED if is_definite else Delivery.UNCERTAIN)

    async def _post(self, content: Mapping[str, Any]) -> int:
        async with self._session().post(
            self._url,
            json=content,
            # An idle connection may be closed by the other side just when it is used again: of such a message
            # nobody knows whether it arrived.
            headers={"Connection": "close"},
            allow_redirects=False,
            timeout=self._timeout,
        ) as response:
            return response.status


def _not_taken(why: str, delivery: Delivery) -> Delivery:
    logger.warning("alert webhook: %s", why)
    return delivery
