"""Claim, ask, apply: the only writer of what the gateway says about a task.

To claim is to push ``next_poll_at`` a lease ahead, so that no other worker asks meanwhile; a
worker that dies leaves rows that fall due again. No transaction is open while a request is.
"""

from __future__ import annotations

import logging
import random
import threading
import time
from collections.abc import Collection, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor, as_completed
from contextlib import nullcontext
from dataclasses import astuple, dataclass, replace
from datetime import datetime, timedelta
from functools import partial

from django.db import DatabaseError, InterfaceError, connections, transaction
from django.utils import timezone

from octovid_django.client import find_video, query_task
from octovid_django.conf import octovid_settings
from octovid_django.deadline import deadline
from octovid_django.delivery import request_delivery
from octovid_django.enums import ACTIVE_STATUSES, STICKY_STATUSES, TaskStatus
from octovid_django.exceptions import (
    OctovidAccountError,
    OctovidAnswerError,
    OctovidError,
    OctovidTaskError,
)
from octovid_django.models import GatewayState, VideoTask
from octovid_django.pause import gateway_state, heard, is_first, pause, resume
from octovid_django.redaction import links_in, one_line
from octovid_django.signals import video_progressed
from octovid_django.snapshot import TaskSnapshot
from octovid_django.transition import (
    Transition,
    after_answer,
    after_error,
    is_link_hopeless,
    is_link_overdue,
)

logger = logging.getLogger(__name__)

BATCH_SECONDS = 20.0
"""How long a batch goes on starting requests. What it does not get to is given back."""
LEASE_SLACK = 15.0
"""Seconds that a lease outlives the last answer that a batch can wait for."""

Outcome = TaskSnapshot | OctovidError | None
"""``None``: not asked."""


@dataclass(frozen=True)
class RefreshSummary:
    """What came of a refresh, in numbers of tasks."""

    asked: int = 0
    changed: int = 0
    """Their status or progress is another now."""
    completed: int = 0
    """They have ended by this refresh."""
    failed: int = 0
    """Asking about them failed; ``last_error`` or the pause's reason tells why."""

    def __add__(self, other: RefreshSummary) -> RefreshSummary:
        return RefreshSummary(*map(sum, zip(astuple(self), astuple(other), strict=True)))


def refresh_due() -> RefreshSummary:
    """Claim and refresh every task that is due now, batch by batch.

    While the gateway is paused nothing is asked; after a pause one request goes first.

    Raises:
        OctovidSettingsError: ``API_KEY`` or another setting is missing or wrong.
    """
    due_at = timezone.now()
    total = RefreshSummary()
    while (batch := refresh_batch(due_at)).asked:
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
        if not is_first(state):
            return RefreshSummary()
        limit = 1
    return _refresh(_claim_due(due_at, limit, seconds), state, due_at, seconds)


def refresh_tasks(tasks: Iterable[VideoTask]) -> RefreshSummary:
    """Refresh these tasks now, finished ones too, and also while the gateway is paused.

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
    while pks:
        state = gateway_state()
        size = 1 if state.pause_count else octovid_settings.BATCH_SIZE
        summary = _refresh(_claim_these(pks[:size]), state, timezone.now())
        total += summary
        pks = pks[size:]
        if pks and gateway_state().pause_count:
            return total + RefreshSummary(failed=len(pks))
    return total


def next_poll_at() -> datetime | None:
    """Return when the next task is due, ``None`` for never; after a pause, not before its end."""
    rows = VideoTask.objects.primary().filter(next_poll_at__isnull=False).order_by("next_poll_at")
    first = rows.values_list("next_poll_at", flat=True).first()
    paused_until = gateway_state().paused_until
    return max(first, paused_until) if first and paused_until else first


# Claim.


def _lease(seconds: float) -> datetime:
    """A lease for a batch that starts requests for ``seconds``, unlike any other worker's."""
    length = seconds + octovid_settings.TIMEOUT + LEASE_SLACK
    return timezone.now() + timedelta(seconds=length + random.random())  # noqa: S311


def _claim_due(due_at: datetime, limit: int, seconds: float) -> list[VideoTask]:
    tasks = VideoTask.objects.primary()
    due = tasks.due(due_at)
    candidates = due.order_by("next_poll_at")
    # Without SKIP LOCKED (SQLite), reading and then writing in one transaction invites a
    # deadlock; the update alone is atomic, and its condition says who won.
    can_skip_locked = connections[tasks.db].features.has_select_for_update_skip_locked
    if can_skip_locked:
        candidates = candidates.select_for_update(skip_locked=True)
    lease = _lease(seconds)
    with transaction.atomic(using=tasks.db) if can_skip_locked else nullcontext():
        pks = list(candidates.values_list("pk", flat=True)[:limit])
        due.filter(pk__in=pks).update(next_poll_at=lease)
    claimed = tasks.filter(next_poll_at=lease).in_bulk(pks)
    return [claimed[pk] for pk in pks if pk in claimed]


def _claim_these(pks: Collection[int]) -> list[VideoTask]:
    rows = VideoTask.objects.primary().filter(pk__in=pks)
    rows.filter(next_poll_at__isnull=False).update(next_poll_at=_lease(BATCH_SECONDS))
    return list(rows)


def _give_back(tasks: Collection[VideoTask], due_at: datetime) -> None:
    """Let ``tasks`` that were claimed together be due again, as if they had not been claimed."""
    leases = {task.next_poll_at for task in tasks if task.next_poll_at}
    claimed = VideoTask.objects.filter(pk__in=[task.pk for task in tasks], next_poll_at__in=leases)
    claimed.update(next_poll_at=due_at)


# Ask.


def _ask(
    tasks: Collection[VideoTask], seconds: float
) -> Iterator[tuple[VideoTask, Outcome, datetime]]:
    """Ask about ``tasks`` side by side; stop asking when the account is in trouble.

    Yields:
        A task, what came of it, and when.
    """
    ends_at = time.monotonic() + seconds
    is_over = threading.Event()

    def ask(task: VideoTask) -> tuple[Outcome, datetime]:
        if is_over.is_set() or time.monotonic() >= ends_at:
            return None, timezone.now()
        try:
            return _query(task)
        except OctovidError as error:
            if isinstance(error, OctovidAccountError):
                is_over.set()
            return error, timezone.now()

    workers = max(1, min(octovid_settings.CONCURRENCY, len(tasks)))
    pool = ThreadPoolExecutor(workers, thread_name_prefix="octovid")
    try:
        asked = {pool.submit(ask, task): task for task in tasks}
        for future in as_completed(asked):
            yield asked[future], *future.result()
    finally:
        is_over.set()
        pool.shutdown(cancel_futures=True)


def _query(task: VideoTask) -> tuple[TaskSnapshot, datetime]:
    """Ask about ``task``, and where its link does not come, for the video itself."""
    with deadline(octovid_settings.TIMEOUT):
        snapshot = query_task(task.task_id)
        answered_at = timezone.now()
        if is_link_overdue(task, snapshot, answered_at):
            try:
                snapshot = replace(snapshot, video_url=find_video(task.task_id))
            except OctovidError:
                if not is_link_hopeless(task, answered_at):
                    raise
        return snapshot, answered_at


# Apply.


def _refresh(
    tasks: Collection[VideoTask],
    state: GatewayState,
    due_at: datetime,
    seconds: float = BATCH_SECONDS,
) -> RefreshSummary:
    total = RefreshSummary()
    refused: list[VideoTask] = []
    unasked: list[VideoTask] = []
    trouble: OctovidAccountError | None = None
    has_answered = False
    for task, outcome, asked_at in _ask(tasks, seconds):
        if outcome is None:
            unasked.append(task)
        elif isinstance(outcome, OctovidAccountError):
            refused.append(task)
            trouble = trouble or outcome
        else:
            has_answered |= isinstance(outcome, (TaskSnapshot, OctovidTaskError))
            total += _apply(task, outcome, asked_at)
    if trouble:
        pause(state, trouble)
    elif has_answered and state.pause_count:
        resume(state)
    if has_answered:
        heard()
    _give_back(unasked, due_at)
    # Later than the rest, so that another task's request goes first when the pause is over.
    _give_back(refused, timezone.now() + timedelta(seconds=1))
    return total + RefreshSummary(asked=len(refused), failed=len(refused))


def _apply(task: VideoTask, outcome: TaskSnapshot | OctovidError, now: datetime) -> RefreshSummary:
    """Write what came of asking about ``task`` by ``now``, and tell whom it concerns."""
    if isinstance(outcome, OctovidError):
        return _write(task, after_error(task, outcome, now), has_failed=True)
    try:
        return _write(task, after_answer(task, outcome, now))
    except InterfaceError:
        raise
    except (DatabaseError, ArithmeticError, TypeError, ValueError) as error:
        # No traceback: databases quote what they refuse, links included.
        links = (*task.known_links(), outcome.video_url, *links_in(outcome.payload))
        refusal = OctovidAnswerError(one_line(f"the answer cannot be stored: {error}", links))
        logger.error("Task %s: %s", task.task_id, refusal)
        return _write(task, after_error(task, refusal, now), has_failed=True)


def _write(task: VideoTask, transition: Transition, *, has_failed: bool = False) -> RefreshSummary:
    previous_status, previous_progress = TaskStatus(task.status), task.progress
    fields = transition.fields
    is_end = transition.is_end
    rows = VideoTask.objects.primary().filter(pk=task.pk)
    if not is_end:
        rows = rows.filter(status=task.status, next_poll_at=task.next_poll_at)
    elif fields["status"] == TaskStatus.LOST:
        rows = rows.filter(status__in=ACTIVE_STATUSES)
    else:
        rows = rows.exclude(status__in=STICKY_STATUSES)
    with transaction.atomic(using=rows.db):
        is_mine = rows.update(**fields) == 1
    if not is_mine:  # deleted, or another worker's by now: that one knows better
        return RefreshSummary(asked=1, failed=int(has_failed))
    for name, value in fields.items():
        setattr(task, name, value)
    is_changed = (task.status, task.progress) != (previous_status, previous_progress)
    if is_end:
        transaction.on_commit(partial(request_delivery, task.pk), using=rows.db)
    elif is_changed:
        transaction.on_commit(
            partial(
                video_progressed.notify,
                task,
                previous_status=previous_status,
                previous_progress=previous_progress,
            ),
            using=rows.db,
        )
    return RefreshSummary(
        asked=1, changed=int(is_changed), completed=int(is_end), failed=int(has_failed)
    )
