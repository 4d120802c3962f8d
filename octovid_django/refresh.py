"""Polling, in three steps: claim the tasks, ask the gateway, apply what it reports.

No transaction is open while a request is. Here are the requests, and what they tell of the account.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Collection, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import replace
from datetime import datetime

from django.utils import timezone

from octovid_django.apply import RefreshSummary, apply, write
from octovid_django.claim import claim_due, claim_these, release
from octovid_django.client import find_video, query_task
from octovid_django.conf import octovid_settings
from octovid_django.deadline import deadline
from octovid_django.exceptions import OctovidAccountError, OctovidError, OctovidTransientError
from octovid_django.models import GatewayState, VideoTask
from octovid_django.pause import (
    claim_probe,
    forget_reason,
    gateway_state,
    pause,
    record_failure,
    record_response,
    record_sightings,
    resume,
)
from octovid_django.snapshot import TaskSnapshot
from octovid_django.suspicion import Suspicion
from octovid_django.transition import after_error, is_link_hopeless, is_link_overdue

__all__ = [
    "BATCH_SECONDS",
    "RefreshSummary",
    "next_poll_at",
    "refresh_batch",
    "refresh_due",
    "refresh_tasks",
]

BATCH_SECONDS = 20.0
"""How long a batch goes on starting requests. What it does not get to is given back."""

Outcome = TaskSnapshot | OctovidError | None
"""``None``: not asked."""


def refresh_due() -> RefreshSummary:
    """Claim and refresh every task that is due now, batch by batch.

    While the gateway is paused nothing is asked; after a pause one request goes first.

    Raises:
        OctovidSettingsError: ``API_KEY`` or another setting is missing or wrong.
    """
    due_at = timezone.now()
    total = RefreshSummary()
    while (batch := refresh_batch(due_at)).polled:
        total += batch
    return total


def refresh_batch(due_at: datetime, seconds: float = BATCH_SECONDS) -> RefreshSummary:
    """Claim and refresh up to ``BATCH_SIZE`` tasks that are due by ``due_at``.

    Args:
        due_at: When the tasks are due at the latest.
        seconds: How long to go on starting requests.

    Returns:
        What came of it; nothing asked means that nothing was to be asked.

    Raises:
        OctovidSettingsError: ``API_KEY`` or another setting is missing or wrong.
    """
    octovid_settings.validate()
    state = gateway_state()
    limit = octovid_settings.BATCH_SIZE
    if state.is_paused or not VideoTask.objects.primary().due(due_at).exists():
        return RefreshSummary()
    if state.pause_count:
        if not claim_probe(state):
            return RefreshSummary()
        limit = 1
    tasks = claim_due(due_at, limit, seconds, is_probe=bool(state.pause_count))
    return _Batch(state).refresh(tasks, due_at, seconds)


def refresh_tasks(tasks: Iterable[VideoTask]) -> RefreshSummary:
    """Refresh these tasks now, finished ones too, and also while the gateway is paused.

    In a pause one of them goes first, and the others only if that succeeds. The pause goes on for
    all other tasks, whatever comes of these.

    The instances are left as they are: ``refresh_from_db()`` tells what came of each. A finished
    task stays as it is, but for a new link; a ``LOST`` one that is alive or done is taken back.

    Args:
        tasks: Saved tasks.

    Raises:
        OctovidSettingsError: ``API_KEY`` or another setting is missing or wrong.
    """
    octovid_settings.validate()
    pks = [task.pk for task in tasks]
    total = RefreshSummary()
    state = gateway_state()
    size = 1 if state.pause_count else octovid_settings.BATCH_SIZE
    while pks:
        batch = _Batch(state, by_hand=True)
        total += batch.refresh(claim_these(pks[:size], BATCH_SECONDS), timezone.now())
        pks = pks[size:]
        if pks and batch.is_refused:
            return total + RefreshSummary(failed=len(pks))
        size = octovid_settings.BATCH_SIZE
        state = gateway_state()
    return total


def next_poll_at() -> datetime | None:
    """Return when the next task is due, ``None`` for never; after a pause, not before its end."""
    rows = VideoTask.objects.primary().filter(next_poll_at__isnull=False).order_by("next_poll_at")
    first = rows.values_list("next_poll_at", flat=True).first()
    paused_until = gateway_state().paused_until
    return max(first, paused_until) if first and paused_until else first


class _Batch:
    """One batch of tasks that were claimed, from its requests to what is written of them.

    Args:
        state: As it stood before any of them.
        by_hand: Whether somebody wants to know of these tasks, paused or not. That ends and
            prolongs no pause.
    """

    def __init__(self, state: GatewayState, *, by_hand: bool = False) -> None:
        self._state = state
        self._by_hand = by_hand
        self._suspicion = Suspicion(state)
        self._is_over = threading.Event()
        self.is_refused = False
        """Whether an error of the account's was met."""

    def refresh(
        self, tasks: Collection[VideoTask], due_at: datetime, seconds: float = BATCH_SECONDS
    ) -> RefreshSummary:
        total = RefreshSummary()
        unpolled: list[VideoTask] = []
        refused: list[tuple[VideoTask, OctovidAccountError]] = []
        failures: list[OctovidTransientError] = []
        has_response = has_success = False
        for task, outcome, is_accounts, polled_at in self._poll(tasks, seconds):
            if is_accounts and isinstance(outcome, OctovidAccountError):
                self._pause(outcome)
            if outcome is None:
                unpolled.append(task)
                continue
            if isinstance(outcome, OctovidTransientError):
                failures.append(outcome)
            else:
                has_response = True
                has_success |= isinstance(outcome, TaskSnapshot)
            if isinstance(outcome, OctovidAccountError):
                refused.append((task, outcome))
            else:
                total += apply(task, outcome, polled_at)
        # Whose these are is known only now, and they are due after what has not been polled.
        total += self._apply_refused(refused)
        release(unpolled, due_at)
        if has_success and not (self.is_refused or self._by_hand):
            resume(self._state)
        elif has_response or failures:
            self._forget_reason()
        if has_response:
            record_response(self._state)
        elif failures:
            record_failure(failures[-1])
        return total

    def _poll(
        self, tasks: Collection[VideoTask], seconds: float
    ) -> Iterator[tuple[VideoTask, Outcome, bool, datetime]]:
        """Poll ``tasks`` side by side; start no more once it is seen to be the account's error.

        Yields:
            A task, what came of it, whether that is the account's, and when.
        """
        ends_at = time.monotonic() + seconds

        def poll(task: VideoTask) -> tuple[Outcome, bool, datetime]:
            if self._is_over.is_set() or time.monotonic() >= ends_at:
                return None, False, timezone.now()
            outcome: TaskSnapshot | OctovidError
            try:
                outcome, polled_at = _query(task)
            except OctovidError as error:
                outcome, polled_at = error, timezone.now()
            is_accounts = self._suspicion.note(task, outcome)
            if is_accounts:
                self._is_over.set()
            return outcome, is_accounts, polled_at

        workers = max(1, min(octovid_settings.CONCURRENCY, len(tasks)))
        pool = ThreadPoolExecutor(workers, thread_name_prefix="octovid")
        try:
            polled = {pool.submit(poll, task): task for task in tasks}
            for future in as_completed(polled):
                yield polled[future], *future.result()
        finally:
            self._is_over.set()
            pool.shutdown(cancel_futures=True)

    def _apply_refused(
        self, refused: Collection[tuple[VideoTask, OctovidAccountError]]
    ) -> RefreshSummary:
        suspected = record_sightings(self._state, self._suspicion.sightings)
        kinds = [error for _, error in refused if error.suspicion]
        if suspected and kinds:
            self._pause(kinds[-1])
        now = timezone.now()
        total = RefreshSummary()
        for task, error in refused:
            transition = after_error(
                task, error, now, is_accounts=self.is_refused or not error.suspicion
            )
            total += write(task, transition, has_failed=True)
        return total

    def _pause(self, error: OctovidAccountError) -> None:
        self.is_refused = True
        if not (self._by_hand and self._state.pause_count):
            pause(self._state, error)

    def _forget_reason(self) -> None:
        if self._state.pause_count and not (self.is_refused or self._by_hand):
            forget_reason(self._state)


def _query(task: VideoTask) -> tuple[TaskSnapshot, datetime]:
    """Poll ``task``, and where its link does not come, ask for the video itself."""
    with deadline(octovid_settings.TIMEOUT):
        snapshot = query_task(task.task_id)
        polled_at = timezone.now()
        if is_link_overdue(task, snapshot, polled_at):
            try:
                snapshot = replace(snapshot, video_url=find_video(task.task_id))
            except OctovidError:
                if not is_link_hopeless(task, polled_at):
                    raise
        return snapshot, polled_at
