"""The pieces of HTML in which the pages show a task. What others have sent is escaped."""

from __future__ import annotations

from datetime import datetime, timedelta

from django.utils import timezone
from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString
from django.utils.text import Truncator
from django.utils.translation import gettext as _

from octovid_django.admin.times import written
from octovid_django.admin.video import has_link
from octovid_django.enums import TaskStatus
from octovid_django.models import OVERDUE_AFTER, VideoTask

UNCHANGED_AFTER = timedelta(minutes=10)
"""How long a task may stay unchanged before the list says so: most videos take less."""
MAX_LISTED_ERROR = 200
"""Characters in the list, which shows two lines; its title and the page of the task have all."""

_TONES: dict[str, str] = {
    TaskStatus.SUCCESS: "good",
    TaskStatus.FAILURE: "bad",
    TaskStatus.LOST: "bad",
    TaskStatus.IN_PROGRESS: "busy",
}


def tone(status: str) -> str:
    """How a status is coloured: ``good``, ``bad``, ``busy`` or ``calm``."""
    return _TONES.get(status, "calm")


def status(task: VideoTask) -> SafeString:
    """The status as a badge, which also names the row and its activity for ``live.js``."""
    is_moving = not task.is_finished or task.next_delivery_at is not None
    return format_html(
        '<span class="octovid-status octovid-{}" data-octovid-task="{}"{}>{}</span>',
        tone(task.status),
        task.pk,
        SafeString(" data-octovid-active" if is_moving else ""),
        task.get_status_display(),
    )


def progress(task: VideoTask) -> SafeString:
    return format_html(
        '<progress class="octovid-progress" max="100" value="{0}" aria-label="{1}"></progress>'
        " {0}&nbsp;%",
        task.progress,
        _("progress"),
    )


def video(task: VideoTask, url: str) -> SafeString | str | None:
    """A link, until it expires.

    Args:
        task: The task of the video.
        url: The page that shows it. The signed link itself stays out of pages.
    """
    if task.is_link_expired:
        return _("expired")
    if not has_link(task):
        return None
    return format_html(
        '<a href="{}" target="_blank" rel="noopener noreferrer" aria-label="{}">{}</a>',
        url,
        _("Watch %(task)s") % {"task": task},
        _("Watch"),
    )


def player(task: VideoTask, url: str) -> SafeString | None:
    """The video itself, loaded when it is played.

    Args:
        task: The task of the video.
        url: The page that shows it.
    """
    if not has_link(task):
        return None
    return format_html(
        '<video class="octovid-player" controls preload="none" src="{}" aria-label="{}"></video>',
        url,
        _("Video of %(task)s") % {"task": task},
    )


def run_time(task: VideoTask) -> SafeString | str | None:
    """How long it has been running, or took."""
    start = task.started_at or task.submitted_at or task.created_at
    if task.is_finished:
        end = task.finished_at or task.completed_at
        return clock(end - start) if end and end >= start else None
    return _clock_since(start)


def moment(time: datetime | None) -> SafeString | None:
    """A time; ``live.js`` shows it relative to now."""
    if time is None:
        return None
    text = written(time)
    return format_html(
        '<time class="octovid-time" datetime="{}" title="{}">{}</time>',
        time.isoformat(),
        text,
        text,
    )


def polls(task: VideoTask) -> SafeString | None:
    """The last poll and the next."""
    pieces = [moment(task.polled_at)] if task.polled_at else []
    if task.next_poll_at:
        is_late = timezone.now() - task.next_poll_at >= OVERDUE_AFTER
        form = _("due {}") if is_late else "{}"
        pieces.append(format_html(form, moment(task.next_poll_at)))
    return format_html_join(" · ", "{}", ((piece,) for piece in pieces)) or None


def error(task: VideoTask) -> SafeString | None:
    """Why the task, its polls or its delivery failed, and whether it has stopped changing."""
    pieces = [piece for piece in (_error(task), _standstill(task)) if piece]
    return format_html_join(SafeString("<br>"), "{}", ((piece,) for piece in pieces)) or None


def status_and_error(task: VideoTask) -> SafeString:
    """The status, and under it, briefly, what the page of the task says of its error."""
    error, note = _error(task), _standstill(task)
    return format_html(
        "{}{}{}",
        status(task),
        format_html(
            '<div class="octovid-reason" title="{}">{}</div>',
            error,
            Truncator(error).chars(MAX_LISTED_ERROR),
        )
        if error
        else "",
        format_html('<div class="octovid-reason">{}</div>', note) if note else "",
    )


def _error(task: VideoTask) -> str:
    return task.fail_reason or task.last_error or task.delivery_error


def _standstill(task: VideoTask) -> SafeString | str:
    if task.is_finished:
        return ""
    since = task.changed_at or task.created_at
    if task.next_poll_at is None:
        return _("Polling was stopped.")
    is_long = timezone.now() - since >= UNCHANGED_AFTER
    return format_html(_("Unchanged for {}"), _clock_since(since)) if is_long else ""


def link_countdown(expires_at: datetime | None) -> SafeString | None:
    """When a link expires; ``live.js`` counts down to it, and then updates the page."""
    if expires_at is None:
        return None
    left = expires_at - timezone.now()
    if left <= timedelta(0):
        return moment(expires_at)
    return format_html(
        '<span data-octovid-until="{}">{}</span> ({})',
        expires_at.isoformat(),
        clock(left),
        moment(expires_at),
    )


def timeline(task: VideoTask) -> SafeString:
    """From submission to delivery, with the time from one step to the next."""
    steps = (
        (_("submitted"), task.submitted_at or task.created_at),
        (_("started"), task.started_at),
        (_("finished"), task.finished_at),
        (_("recorded"), task.completed_at),
        (_("delivered"), task.delivered_at),
    )
    items = []
    previous: datetime | None = None
    for name, time in steps:
        took = clock(time - previous) if time and previous else ""
        items.append(
            (
                SafeString("" if time else ' class="octovid-ahead"'),
                name,
                written(time) if time else "–",
                format_html(' <span class="octovid-took">+{}</span>', took) if took else "",
            )
        )
        previous = time or previous
    return format_html(
        '<ol class="octovid-timeline">{}</ol>',
        format_html_join("", "<li{}><b>{}</b> {}{}</li>", items),
    )


def _clock_since(time: datetime) -> SafeString:
    """A clock that ``live.js`` keeps going."""
    return format_html(
        '<span data-octovid-since="{}">{}</span>',
        time.isoformat(),
        clock(timezone.now() - time),
    )


def clock(duration: timedelta) -> str:
    """A time as on a clock, which no language writes differently: ``1:05`` is 65 seconds."""
    minutes, seconds = divmod(max(0, round(duration.total_seconds())), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{seconds:02}" if hours else f"{minutes}:{seconds:02}"
