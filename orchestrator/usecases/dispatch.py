"""Claims go to the queue the same way from the trigger and from the monitor."""

import logging
from collections.abc import Sequence

from orchestrator.core.models import Claim
from orchestrator.ports import Queue, Store

logger = logging.getLogger(__name__)

NOT_SENT = "the queue did not take the message; it is sent again at the next pass"


async def dispatch(store: Store, queue: Queue, claims: Sequence[Claim]) -> str:
    """Send a message a claim and return what went wrong, empty when all were sent.

    A claim whose message may not be there keeps its slot and gets a lease that is over, so that the next
    pass sends it again. A message too many is harmless: its submission has one token.
    """
    if not claims:
        return ""
    unsent = await queue.send(claims)
    for claim in unsent:
        await store.postpone(claim, seconds=0, reason=NOT_SENT)
    if not unsent:
        return ""
    problem = f"queue: {len(unsent)} of {len(claims)} messages were not taken; they are sent again"
    logger.warning("%s", problem)
    return problem
