"""What a row becomes by a response, or by an error. Nothing is read or written here."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from octovid_django.conf import octovid_settings
from octovid_django.enums import STICKY_STATUSES, TaskStatus
from octovid_django.exceptions import (
    OctovidAccountError,
    OctovidConnectionError,
    OctovidError,
    OctovidTaskNotFoundError,
)
from octovid_django.leases import backoff
from octovid_django.models import VideoTask
from octovid_django.redaction import redact
from octovid_django.snapshot import TaskSnapshot

LINK_GRACE = timedelta(minutes=1)
"""How long a ``SUCCESS`` waits for its link until it is final without one."""
LINK_PATIENCE = timedelta(minutes=3)
"""How long at most, if the gateway cannot say for now whether it has the video."""
LINK_POLL_INTERVAL = 15
"""The most seconds between two polls while that link is awaited."""
LONGEST_BACKOFF = 300
"""The most seconds between two polls of a task that fail."""
BACKOFF_JITTER = 0.2
NOT_FOUND_GRACE = timedelta(minutes=10)
NOT_FOUND_POLLS = 5
"""A task is ``LOST`` after so many "not found" in a row, over at least ``NOT_FOUND_GRACE``."""


@dataclass(frozen=True)
class Transition:
    """What a row becomes: the ``fields`` to write, and whether the task completes by them."""

    fields: dict[str, Any]
    is_completion: bool


def after_response(task: VideoTask, snapshot: TaskSnapshot, now: datetime) -> Transition:
    """Return what a task becomes by a response.

    A final status that the gateway has reported stays: of such a task only the link is renewed. A
    task that is ``LOST`` is recovered if it is reported active or completed.

    Args:
        task: As it was claimed.
        snapshot: What the response reports.
        now: When it came, in UTC.
    """
    fields: dict[str, Any] = {
        **_polled(task, now),
        "error_count": 0,
        "last_error": "",
        "not_found_count": 0,
        "not_found_since": None,
        "refused_since": None,
        "account_error_count": 0,
    }
    if task.status in STICKY_STATUSES:
        is_same_completion = snapshot.status == task.status
        return Transition(
            fields | (_link(task, snapshot, now) if is_same_completion else {}), is_completion=False
        )

    reported = {
        name: getattr(snapshot, name) or getattr(task, name)
        for name in (
            *("upstream_status", "duration", "resolution", "ratio", "total_tokens", "model"),
            *("submitted_at", "started_at", "finished_at"),
        )
    }
    status = snapshot.status or TaskStatus(task.status)
    progress = task.progress if snapshot.progress is None else snapshot.progress
    fields |= {**reported, "payload": snapshot.payload, "progress": progress}
    before = (task.status, task.progress, task.upstream_status)
    if (status, progress, reported["upstream_status"]) != before:
        fields["changed_at"] = now

    if status == TaskStatus.SUCCESS and not snapshot.video_url:
        since = task.link_awaited_since or now
        if now - since < LINK_GRACE:
            return _active(task, fields, _active_status(task), now, awaiting_since=since)
    if status in STICKY_STATUSES:
        if status == TaskStatus.SUCCESS:
            fields |= {"progress": 100, **_link(task, snapshot, now)}
        return _completed(fields, status, snapshot.fail_reason, now)
    if status == TaskStatus.LOST:  # and the response reports no status
        return Transition(fields, is_completion=False)
    return _active(task, fields, status, now)


def is_link_overdue(task: VideoTask, snapshot: TaskSnapshot, now: datetime) -> bool:
    """Return whether the content call should be tried, as the link of a ``SUCCESS`` does not come.

    That is the documented fall-back (docs/gateway.md, section 2.18).

    Args:
        task: As it was claimed.
        snapshot: What the response reports.
        now: When it came, in UTC.
    """
    if snapshot.status != TaskStatus.SUCCESS or snapshot.video_url or task.video_url:
        return False
    return task.status == TaskStatus.SUCCESS or _has_awaited_link(task, LINK_GRACE, now)


def is_link_hopeless(task: VideoTask, now: datetime) -> bool:
    """Return whether the task is to be final without a link, though the content call failed."""
    return _has_awaited_link(task, LINK_PATIENCE, now)


def _has_awaited_link(task: VideoTask, time: timedelta, now: datetime) -> bool:
    return task.link_awaited_since is not None and now - task.link_awaited_since >= time


def after_error(
    task: VideoTask, error: OctovidError, now: datetime, *, is_accounts: bool = False
) -> Transition:
    """Return what a task becomes by an error.

    Args:
        task: As it was claimed.
        error: What polling it met.
        now: When, in UTC.
        is_accounts: Whether the scope of ``error`` is account: no task is ``LOST`` by that.
    """
    error_count = task.error_count + 1
    fields: dict[str, Any] = {
        **_polled(task, now),
        "error_count": error_count,
        "last_error": redact(str(error), task.known_links()),
    }
    if isinstance(error, OctovidTaskNotFoundError):
        fields["not_found_count"] = task.not_found_count + 1
        fields["not_found_since"] = task.not_found_since or now
    elif not (is_accounts or isinstance(error, OctovidConnectionError)):
        # another response about this task: "not found" is no longer in a row
        fields |= {"not_found_count": 0, "not_found_since": None}
    if isinstance(error, OctovidAccountError) and error.suspicion:
        fields["refused_since"] = task.refused_since or now
    if is_accounts:
        fields["account_error_count"] = task.account_error_count + 1
    if task.is_finished:
        return Transition(fields, is_completion=False)
    if is_accounts:
        if task.next_poll_at is not None:
            # Without jitter, so that after a pause other tasks are due before this one.
            fields["next_poll_at"] = now + _backoff(error_count, jitter=0)
        return Transition(fields, is_completion=False)
    is_not_found = (
        isinstance(error, OctovidTaskNotFoundError)
        and fields["not_found_count"] >= NOT_FOUND_POLLS
        and now - fields["not_found_since"] >= NOT_FOUND_GRACE
    )
    is_too_old = _is_too_old(task, now) and not task.link_awaited_since
    task_error_count = error_count - task.account_error_count
    if is_not_found or (is_too_old and task_error_count >= NOT_FOUND_POLLS):
        return _completed(fields, TaskStatus.LOST, fields["last_error"], now)
    if task.next_poll_at is not None:
        fields["next_poll_at"] = now + _backoff(error_count)
    return Transition(fields, is_completion=False)


def recovered(now: datetime) -> dict[str, Any]:
    """Return the fields of a recovered row, beside its status.

    Args:
        now: When it is recovered, in UTC.
    """
    return _undelivered(None) | {"recovered_at": now, "fail_reason": ""}


def _polled(task: VideoTask, now: datetime) -> dict[str, Any]:
    return {"polled_at": now, "poll_count": task.poll_count + 1, "updated_at": now}


def _active(
    task: VideoTask,
    fields: dict[str, Any],
    status: TaskStatus,
    now: datetime,
    *,
    awaiting_since: datetime | None = None,
) -> Transition:
    is_recovered = task.status == TaskStatus.LOST
    if _is_too_old(task, now) and not (is_recovered or awaiting_since):
        minutes = octovid_settings.LOST_AFTER / 60
        limit = f"{minutes / 1440:g} days" if minutes >= 1440 else f"{minutes:g} minutes"
        return _completed(fields, TaskStatus.LOST, f"no completion within {limit}", now)
    interval = octovid_settings.POLL_INTERVAL
    if awaiting_since:
        interval = min(interval, LINK_POLL_INTERVAL)
    fields |= {"status": status, "link_awaited_since": awaiting_since}
    if task.next_poll_at is not None or is_recovered:
        fields["next_poll_at"] = now + timedelta(seconds=interval)
    if is_recovered:
        fields |= recovered(now)
    return Transition(fields, is_completion=False)


def _completed(
    fields: dict[str, Any], status: TaskStatus, fail_reason: str, now: datetime
) -> Transition:
    completion = {"status": status, "fail_reason": fail_reason, "next_poll_at": None}
    return Transition(fields | completion | _undelivered(now), is_completion=True)


def _undelivered(completed_at: datetime | None) -> dict[str, Any]:
    return {
        "completed_at": completed_at,
        "delivered_at": None,
        "delivery_attempts": 0,
        "delivery_attempts_before_resend": 0,
        "delivery_error": "",
        "next_delivery_at": completed_at,
        "link_awaited_since": None,
    }


def _link(task: VideoTask, snapshot: TaskSnapshot, now: datetime) -> dict[str, Any]:
    if not snapshot.video_url or snapshot.video_url == task.video_url:
        return {}
    lifetime = timedelta(seconds=octovid_settings.LINK_LIFETIME)
    expires_at = snapshot.video_url_expires_at or now + lifetime
    return {"video_url": snapshot.video_url, "video_url_expires_at": expires_at}


def _active_status(task: VideoTask) -> TaskStatus:
    return TaskStatus.IN_PROGRESS if task.is_finished else TaskStatus(task.status)


def _is_too_old(task: VideoTask, now: datetime) -> bool:
    since = task.recovered_at or task.created_at
    return now - since >= timedelta(seconds=octovid_settings.LOST_AFTER)


def _backoff(error_count: int, jitter: float = BACKOFF_JITTER) -> timedelta:
    return backoff(error_count, octovid_settings.POLL_INTERVAL, 2, LONGEST_BACKOFF, jitter)
