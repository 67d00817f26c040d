"""Send claims to the queue; shared by the trigger and the monitor."""

import logging
from collections.abc import Sequence

from orchestrator.core.models import Claim
from orchestrator.ports import Queue, Store

_logger = logging.getLogger(__name__)

_NOT_SENT = "the queue did not take the message; a later pass sends it again"


async def dispatch(store: Store, queue: Queue, claims: Sequence[Claim]) -> str:
    """Send one message per claim; return what went wrong, or an empty text if all were sent.

    A claim whose message may not have arrived keeps its slot. Its lease expires a second later, and later
    each time after that, so that the next pass sends the message again. A duplicate message is harmless: its
    submission has one token.
    """
    if not claims:
        return ""
    unsent = await queue.send(claims)
    for claim in unsent:
        await store.not_sent(claim, _NOT_SENT)
    if not unsent:
        return ""
    problem = f"queue: {len(unsent)} of {len(claims)} messages were not taken; the next pass sends them again"
    _logger.warning("%s", problem)
    return problem
