"""The account's trouble is everyone's pause (wrong key, wrong ``BASE_URL``, too many requests).

While ``paused_until`` lies ahead nobody asks. Then one request goes first, and only its answer
ends the pause. ``paused_until`` is a lease here too: who pushes it ahead sends that request.
"""

from __future__ import annotations

import logging
from datetime import timedelta

from django.utils import timezone

from octovid_django.conf import octovid_settings
from octovid_django.exceptions import OctovidAccountError
from octovid_django.models import GatewayState

logger = logging.getLogger(__name__)

ACCOUNT = "default"
FIRST_PAUSE = timedelta(seconds=15)
LONGEST_PAUSE = timedelta(minutes=5)
LONGEST_RETRY_AFTER = timedelta(hours=1)

_rows = GatewayState.objects.filter(name=ACCOUNT)


def gateway_state() -> GatewayState:
    """Return how things stand with the account."""
    return GatewayState.objects.get_or_create(name=ACCOUNT)[0]


def is_first(state: GatewayState) -> bool:
    """Whether the caller may send the one request that goes first after a pause."""
    if state.is_paused:
        return False
    lease = timezone.now() + timedelta(seconds=octovid_settings.TIMEOUT + 5)
    is_mine = _rows.filter(pause_count__gt=0, paused_until=state.paused_until)
    return is_mine.update(paused_until=lease) == 1


def pause(state: GatewayState, error: OctovidAccountError) -> None:
    """Stop all asking for a while: as long as ``error`` says, or longer each time in a row.

    Args:
        state: As it stood before the gateway was asked. Where another worker has paused since
            then, its pause holds.
        error: The trouble.
    """
    length = min(FIRST_PAUSE * 2 ** min(state.pause_count, 10), LONGEST_PAUSE)
    if error.retry_after is not None and error.retry_after > timedelta(0):
        length = min(error.retry_after, LONGEST_RETRY_AFTER)
    has_paused = _rows.filter(pause_count=state.pause_count).update(
        paused_until=timezone.now() + length,
        pause_reason=str(error),
        pause_count=state.pause_count + 1,
    )
    if has_paused:
        logger.error("Polling pauses for %d s: %s", length.total_seconds(), error)


def resume(state: GatewayState) -> None:
    """Let everybody ask again: the gateway has answered the request that went first."""
    if _rows.filter(pause_count=state.pause_count).update(
        paused_until=None, pause_reason="", pause_count=0
    ):
        logger.info("Polling goes on: the gateway answers again")


def heard() -> None:
    """Note that the gateway has answered."""
    _rows.update(last_answer_at=timezone.now())


def ticked() -> None:
    """Note that a tick has begun: something refreshes."""
    gateway_state()
    _rows.update(last_tick_at=timezone.now())
