"""What the pages show of a task, one piece of HTML each. What others sent is only ever text."""

from __future__ import annotations

from datetime import datetime, timedelta

from django.utils import timezone
from django.utils.formats import date_format
from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString
from django.utils.translation import gettext as _

from octovid_django.admin.video import has_link
from octovid_django.enums import TaskStatus
from octovid_django.models import VideoTask

_TONES: dict[str, str] = {
    TaskStatus.SUCCESS: "good",
    TaskStatus.FAILURE: "bad",
    TaskStatus.LOST: "bad",
    TaskStatus.IN_PROGRESS: "busy",
}


def status(task: VideoTask) -> SafeString:
    """The status as a badge, which also tells ``live.js`` whose row this is."""
    return format_html(
        '<span class="octovid-status octovid-{}" data-octovid-task="{}"{}>{}</span>',
        _TONES.get(task.status, "calm"),
        task.pk,
        "" if task.is_finished else SafeString(" data-octovid-active"),
        task.get_status_display(),
    )


def progress(task: VideoTask) -> SafeString:
    return format_html(
        '<progress max="100" value="{0}" aria-label="{1}"></progress> {0}&nbsp;%',
        task.progress,
        _("progress"),
    )


def video(task: VideoTask, url: str) -> SafeString | str | None:
    """A link while the video lives.

    Args:
        task: Whose video.
        url: The page that shows it. The signed link itself stays out of pages.
    """
    if task.is_link_expired:
        return _("expired")
    if not has_link(task):
        return None
    return format_html(
        '<a href="{}" target="_blank" rel="noopener noreferrer">{}</a>', url, _("Watch")
    )


def player(task: VideoTask, url: str) -> SafeString | None:
    """The video itself, loaded when somebody plays it.

    Args:
        task: Whose video.
        url: The page that shows it.
    """
    if not has_link(task):
        return None
    return format_html('<video controls preload="none" src="{}"></video>', url)


def run_time(task: VideoTask) -> SafeString | str | None:
    """How long it has been running, or took."""
    start = task.started_at or task.submitted_at or task.created_at
    if task.is_finished:
        end = task.finished_at or task.completed_at
        return _clock(end - start) if end and end >= start else None
    return format_html(
        '<span data-octovid-since="{}">{}</span>', start.isoformat(), _clock(timezone.now() - start)
    )


def moments(*times: datetime | None) -> SafeString | None:
    """Times, those that there are; ``live.js`` shows them relative to now."""
    return format_html_join(" · ", "{}", ((_moment(time),) for time in times if time)) or None


def trouble(task: VideoTask) -> str | None:
    """Why it failed, why asking fails, or why its end could not be told."""
    return task.fail_reason or task.last_error or task.delivery_error or None


def _moment(moment: datetime) -> SafeString:
    text = date_format(timezone.localtime(moment), "DATETIME_FORMAT")
    return format_html('<time datetime="{}" title="{}">{}</time>', moment.isoformat(), text, text)


def _clock(duration: timedelta) -> str:
    """As on a clock, which no language writes differently: ``1:05`` is 65 seconds."""
    minutes, seconds = divmod(max(0, round(duration.total_seconds())), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{seconds:02}" if hours else f"{minutes}:{seconds:02}"
