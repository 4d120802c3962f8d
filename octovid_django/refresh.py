"""Polling in three steps: claim tasks, query the gateway, apply its responses to the rows.

No transaction is open while a request is. This module has the requests, and what their outcomes
mean for the account; ``claim`` and ``apply`` have the other steps.
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
from octovid_django.claim import POLLING, claim_due, claim_these, release
from octovid_django.client import query_task
from octovid_django.conf import octovid_settings
from octovid_django.content import find_video
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
"""Seconds that a batch goes on starting requests. Tasks that it does not get to are released."""

Outcome = TaskSnapshot | OctovidError | None
"""Of one poll; ``None`` where the task was not polled."""


def refresh_due() -> RefreshSummary:
    """Poll every task that is due now, batch by batch.

    While the account is paused no task is polled; after the pause one probe goes first.

    Returns:
        The results of all batches.

    Raises:
        OctovidSettingsError: ``API_KEY`` or another setting is missing or wrong.
    """
    due_at = timezone.now()
    total = RefreshSummary()
    while (batch := refresh_batch(due_at)).polled:
        total += batch
    return total


def refresh_batch(due_at: datetime, seconds: float = BATCH_SECONDS) -> RefreshSummary:
    """Poll up to ``BATCH_SIZE`` tasks that are due.

    Args:
        due_at: By when the tasks are due, in UTC.
        seconds: How long to go on starting requests.

    Returns:
        The results; nothing ``polled`` means that no task was due, or the account is paused.

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
    """Poll these tasks now, completed ones too, and also while the account is paused.

    During a pause one of them is polled first, and the others only if that succeeds. The pause goes
    on for all other tasks, whatever the outcome.

    The instances do not change: call ``refresh_from_db()`` on them. Of a completed task only the
    link is renewed; a ``LOST`` one that is active or completed is recovered.

    Args:
        tasks: Saved tasks.

    Returns:
        The results; tasks that were not polled because of the account count as ``failed``.

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
    """Return when the next task is due, in UTC, but not before a pause ends; ``None`` for never."""
    first = POLLING.next_at(VideoTask.objects.primary())
    paused_until = gateway_state().paused_until
    return max(first, paused_until) if first and paused_until else first


class _Batch:
    """One batch of claimed tasks: its requests, and what is written after them.

    Args:
        state: As it was before the first request.
        by_hand: Whether these tasks are refreshed on demand, paused or not. That neither ends a
            pause nor prolongs it.
    """

    def __init__(self, state: GatewayState, *, by_hand: bool = False) -> None:
        self._state = state
        self._by_hand = by_hand
        self._suspicion = Suspicion(state)
        self._is_over = threading.Event()
        self.is_refused = False
        """Whether an error with scope account was met."""

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
        # Their scope is known only now, and they are due after the tasks that were not polled.
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
        """Poll ``tasks`` concurrently; start no more after an error with scope account.

        Yields:
            A task, the outcome of its poll, whether that has scope account, and when it came.
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
        is_accounts = record_sightings(self._state, self._suspicion.sightings)
        ambiguous = [error for _, error in refused if error.suspicion]
        if is_accounts and ambiguous:
            self._pause(ambiguous[-1])
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
    """Poll ``task``; where the link of a success does not come, request the video itself."""
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
