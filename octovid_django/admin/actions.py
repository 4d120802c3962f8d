"""The actions of the list: refresh, stop and resume polling, resend; also for thousands of tasks.

Workers do the work. Each action is recorded in the history of each task.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, cast

from django.contrib import admin, messages
from django.contrib.admin.models import CHANGE, LogEntry
from django.http import HttpRequest
from django.utils.translation import gettext, ngettext
from django.utils.translation import gettext_lazy as _

from octovid_django import tracking
from octovid_django.cluster.wakeup import wake
from octovid_django.delivery import resend
from octovid_django.models import VideoTask, VideoTaskQuerySet

if TYPE_CHECKING:
    TaskAdmin = admin.ModelAdmin[VideoTask]
else:
    TaskAdmin = admin.ModelAdmin

Tasks = VideoTaskQuerySet
Act = Callable[[list[int]], int]
"""Runs the action for the tasks with these keys, and returns for how many it did."""
CHUNK = 500


@admin.action(description=_("Refresh the selected tasks now"), permissions=["change"])
def refresh_now(model_admin: TaskAdmin, request: HttpRequest, tasks: Tasks) -> None:
    def refresh(pks: list[int]) -> int:
        return len(pks) if wake("octovid_django.tasks.refresh_by_pk", pks) else 0

    total = tasks.count()
    count = _run(request, tasks, refresh, gettext("Requested a refresh."))
    message = ngettext(
        "%(count)d task will be refreshed in a moment.",
        "%(count)d tasks will be refreshed in a moment.",
        count,
    )
    _tell(model_admin, request, message, count)
    left_out = ngettext(
        "%(count)d task was not refreshed: the broker of django-q2 cannot be reached.",
        "%(count)d tasks were not refreshed: the broker of django-q2 cannot be reached.",
        total - count,
    )
    _warn(model_admin, request, left_out, total - count)


@admin.action(description=_("Resume polling the selected tasks"), permissions=["change"])
def resume_polling(model_admin: TaskAdmin, request: HttpRequest, tasks: Tasks) -> None:
    total = tasks.count()
    count = _run(request, tasks.resumable(), tracking.resume_polling, gettext("Resumed polling."))
    message = ngettext(
        "Polling of %(count)d task is resumed.", "Polling of %(count)d tasks is resumed.", count
    )
    _tell(model_admin, request, message, count)
    left_out = ngettext(
        "%(count)d task is polled anyway, or has succeeded or failed.",
        "%(count)d tasks are polled anyway, or have succeeded or failed.",
        total - count,
    )
    _warn(model_admin, request, left_out, total - count)


@admin.action(description=_("Stop polling the selected tasks"), permissions=["change"])
def stop_polling(model_admin: TaskAdmin, request: HttpRequest, tasks: Tasks) -> None:
    total = tasks.count()
    count = _run(request, tasks.polled(), tracking.stop_polling, gettext("Stopped polling."))
    message = ngettext(
        "Polling of %(count)d task is stopped.", "Polling of %(count)d tasks is stopped.", count
    )
    _tell(model_admin, request, message, count)
    left_out = ngettext(
        "%(count)d task was not polled.", "%(count)d tasks were not polled.", total - count
    )
    _warn(model_admin, request, left_out, total - count)


@admin.action(
    description=_("Resend the completion signals of the selected tasks"),
    permissions=["change"],
)
def resend_signals(model_admin: TaskAdmin, request: HttpRequest, tasks: Tasks) -> None:
    total = tasks.count()
    completed = tasks.filter(completed_at__isnull=False)
    count = _run(
        request, completed, resend, gettext("Requested a resend of the completion signals.")
    )
    message = ngettext(
        "The completion signals of %(count)d task will be resent.",
        "The completion signals of %(count)d tasks will be resent.",
        count,
    )
    _tell(model_admin, request, message, count)
    left_out = ngettext(
        "%(count)d task has not completed.", "%(count)d tasks have not completed.", total - count
    )
    _warn(model_admin, request, left_out, total - count)


def _run(request: HttpRequest, tasks: Tasks, act: Act, entry: str) -> int:
    # All are read before anything is done: the list may be filtered by what that changes.
    pks = list(tasks.values_list("pk", flat=True))
    # A proxy has a history of its own.
    rows = tasks.model._base_manager.using(VideoTask.objects.primary().db)
    count = 0
    for start in range(0, len(pks), CHUNK):
        chunk = pks[start : start + CHUNK]
        done = act(chunk)
        if not done:
            continue
        count += done
        LogEntry.objects.log_actions(
            user_id=cast("int", request.user.pk),  # nobody else gets here
            queryset=rows.filter(pk__in=chunk).only("pk", "task_id"),
            action_flag=CHANGE,
            change_message=entry,
        )
    return count


def _tell(model_admin: TaskAdmin, request: HttpRequest, message: str, count: int) -> None:
    level = messages.SUCCESS if count else messages.WARNING
    model_admin.message_user(request, message % {"count": count}, level)


def _warn(model_admin: TaskAdmin, request: HttpRequest, message: str, count: int) -> None:
    if count:
        model_admin.message_user(request, message % {"count": count}, messages.WARNING)
