"""The state of the account: its pause and the probe after it, suspicions, and its outages.

While ``paused_until`` lies ahead no worker polls. Then one probe goes first, and only its success
resumes polling. ``paused_until`` is a lease too: the worker that pushes it ahead sends the probe.
Everything is written by compare-and-swap, so that of several workers one writes, and one logs.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Collection
from datetime import timedelta
from typing import Any

from django.db.models import F
from django.utils import timezone
from django.utils.crypto import salted_hmac

from octovid_django.conf import octovid_settings
from octovid_django.exceptions import (
    OctovidAccountError,
    OctovidRateLimitError,
    OctovidSettingsError,
    OctovidTransientError,
)
from octovid_django.leases import Job, backoff
from octovid_django.models import GatewayState
from octovid_django.suspicion import Sighting, see_all

logger = logging.getLogger(__name__)

ACCOUNT = "default"
PROBE = Job[GatewayState]("paused_until")
FIRST_PAUSE, LONGEST_PAUSE = 15, 300
"""Seconds; a pause is twice as long each time in a row."""
LONGEST_RETRY_AFTER = timedelta(hours=1)
OUTAGE_AFTER = timedelta(seconds=30)
OUTAGE_AFTER_BATCHES = 2
"""It is an outage once there was no response for so long, and in so many batches in a row."""
MOST_SWAPS = 10
_STATUS = re.compile(r"(?:the gateway responded with )?[0-9]{3} [^:,.]*")
"""How a reason begins where there was a response, in words of ours."""

_rows = GatewayState.objects.filter(name=ACCOUNT)


def gateway_state() -> GatewayState:
    """Return the state of the account.

    Polling that was paused with another key or ``BASE_URL`` is resumed first.
    """
    state = GatewayState.objects.get_or_create(name=ACCOUNT)[0]
    if state.pause_count and not is_of_these_settings(state):
        if _end_pause(state):
            logger.info("Account %s: polling resumed, its key or BASE_URL has changed", state.name)
        state.refresh_from_db()
    return state


def is_of_these_settings(state: GatewayState) -> bool:
    """Whether the pause was made with the key and the ``BASE_URL`` of the present settings."""
    return state.fingerprint in ("", _fingerprint()) or not _fingerprint()


def _fingerprint() -> str:
    try:
        secret = f"{octovid_settings.BASE_URL}\n{octovid_settings.API_KEY}"
    except OctovidSettingsError:
        return ""
    return salted_hmac("octovid_django.pause", secret, algorithm="sha256").hexdigest()[:32]


def claim_probe(state: GatewayState) -> bool:
    """Claim the probe that goes first after a pause.

    Returns:
        Whether the caller has it, and no other worker.
    """
    if state.is_paused:
        return False
    probe = _rows.filter(pause_count__gt=0, paused_until=state.paused_until)
    return PROBE.claim_one(probe, octovid_settings.TIMEOUT + 5) is not None


def pause(state: GatewayState, error: OctovidAccountError) -> None:
    """Pause all polling: as long as ``error`` says, or twice as long each time in a row.

    Args:
        state: As it was before the poll. Where another worker has paused polling since, that pause
            holds.
        error: What the poll met.
    """
    length = backoff(state.pause_count + 1, FIRST_PAUSE, 2, LONGEST_PAUSE)
    if error.retry_after is not None and error.retry_after > timedelta(0):
        length = min(error.retry_after, LONGEST_RETRY_AFTER)
    has_paused = _rows.filter(pause_count=state.pause_count).update(
        paused_until=timezone.now() + length,
        pause_reason=str(error),
        is_rate_limited=isinstance(error, OctovidRateLimitError),
        pause_count=state.pause_count + 1,
        fingerprint=_fingerprint(),
    )
    if has_paused:
        seconds = length.total_seconds()
        logger.error("Account %s: polling paused for %d s: %s", ACCOUNT, seconds, error)


def own_words(reason: str) -> str:
    """Return what is the app's own of the reason of a pause or an outage.

    That is the status of the response, without what the response says, which may be about one task;
    or else all of it, such as ``Connection refused``.
    """
    status = _STATUS.match(reason)
    return status[0].rstrip() if status else reason


def resume(state: GatewayState) -> None:
    """Resume polling after a pause: the probe has succeeded.

    Args:
        state: As it was before the probe.
    """
    if _end_pause(state, acquitted_at=timezone.now(), suspects=""):
        logger.info("Account %s: polling resumed, the probe has succeeded", ACCOUNT)


def _end_pause(state: GatewayState, **fields: Any) -> bool:
    paused = _rows.filter(pause_count=state.pause_count, pause_count__gt=0)
    return paused.update(paused_until=None, pause_reason="", pause_count=0, **fields) == 1


def forget_reason(state: GatewayState) -> None:
    """Clear the reason of the pause: the probe met another error. Probing goes on."""
    _rows.filter(pause_count=state.pause_count).update(pause_reason="")


def record_sightings(state: GatewayState, sightings: Collection[Sighting]) -> bool:
    """Record errors whose scope may be the account, beside those that other workers record.

    Args:
        state: As it was before the batch.
        sightings: Those of one batch.

    Returns:
        Whether one of them has scope account.
    """
    text = state.suspects
    for _ in range(MOST_SWAPS):
        noted, is_accounts = see_all(text, sightings)
        if noted == text or _rows.filter(suspects=text).update(suspects=noted):
            return is_accounts
        text = _rows.values_list("suspects", flat=True).get()
    return False


def record_response(state: GatewayState) -> None:
    """Record that the gateway has responded, which ends an outage.

    Args:
        state: As it was before the batch.
    """
    _rows.update(last_response_at=timezone.now())
    if not state.failure_count:
        return
    failing = _rows.filter(failing_since=state.failing_since)
    over = {"failing_since": None, "failure_count": 0, "failure_reason": ""}
    if failing.filter(is_outage_logged=True).update(is_outage_logged=False, **over):
        logger.info("Account %s: the outage is over, the gateway responds again", ACCOUNT)
    else:
        failing.update(**over)


def record_failure(error: OctovidTransientError) -> None:
    """Record a batch without any response; from the second one in a row it may be an outage.

    Args:
        error: What one of its polls met.
    """
    now = timezone.now()
    _rows.filter(failing_since=None).update(failing_since=now)
    _rows.update(failure_count=F("failure_count") + 1, failure_reason=error.reason)
    outage = _rows.filter(
        is_outage_logged=False,
        failing_since__lte=now - OUTAGE_AFTER,
        failure_count__gte=OUTAGE_AFTER_BATCHES,
    )
    if outage.update(is_outage_logged=True):
        logger.error(
            "Account %s: outage, no response since %s: %s. Check BASE_URL and the network",
            ACCOUNT,
            f"{timezone.localtime(_rows.values_list('failing_since', flat=True).get()):%H:%M:%S}",
            error.reason,
        )


def is_outage(state: GatewayState) -> bool:
    """Whether there has been no response for so long that it counts as an outage."""
    since = state.failing_since
    is_long = since is not None and since <= timezone.now() - OUTAGE_AFTER
    return is_long and state.failure_count >= OUTAGE_AFTER_BATCHES


def record_run() -> None:
    """Record that a polling run has begun."""
    gateway_state()
    _rows.update(last_run_at=timezone.now())
