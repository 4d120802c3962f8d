"""What an operator can do about the tasks that are selected, be they thousands.

A worker does the work; what was asked for stands in the history of each task.
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
from octovid_django.delivery import resend
from octovid_django.models import VideoTask, VideoTaskQuerySet
from octovid_django.wakeup import wake

if TYPE_CHECKING:
    TaskAdmin = admin.ModelAdmin[VideoTask]
else:
    TaskAdmin = admin.ModelAdmin

Tasks = VideoTaskQuerySet
Act = Callable[[list[int]], int]
"""Does it to the tasks with these keys, and returns to how many."""
CHUNK = 500


@admin.action(description=_("Look at the selected tasks now"), permissions=["change"])
def refresh_now(model_admin: TaskAdmin, request: HttpRequest, tasks: Tasks) -> None:
    def refresh(pks: list[int]) -> int:
        return len(pks) if wake("octovid_django.tasks.refresh_by_pk", pks) else 0

    total = tasks.count()
    count = _run(request, tasks, refresh, gettext("Had the gateway asked."))
    message = ngettext(
        "%(count)d task will be looked at in a moment.",
        "%(count)d tasks will be looked at in a moment.",
        count,
    )
    _tell(model_admin, request, message, count)
    left_out = ngettext(
        "%(count)d task was not handed over: django-q2's broker does not answer.",
        "%(count)d tasks were not handed over: django-q2's broker does not answer.",
        total - count,
    )
    _warn(model_admin, request, left_out, total - count)


@admin.action(description=_("Track the selected tasks again"), permissions=["change"])
def resume_polling(model_admin: TaskAdmin, request: HttpRequest, tasks: Tasks) -> None:
    total = tasks.count()
    count = _run(
        request, tasks.resumable(), tracking.resume_polling, gettext("Had it tracked again.")
    )
    message = ngettext(
        "%(count)d task is tracked again.", "%(count)d tasks are tracked again.", count
    )
    _tell(model_admin, request, message, count)
    left_out = ngettext(
        "%(count)d task is tracked anyway, or has ended at the gateway.",
        "%(count)d tasks are tracked anyway, or have ended at the gateway.",
        total - count,
    )
    _warn(model_admin, request, left_out, total - count)


@admin.action(description=_("Stop tracking the selected tasks"), permissions=["change"])
def stop_polling(model_admin: TaskAdmin, request: HttpRequest, tasks: Tasks) -> None:
    total = tasks.count()
    count = _run(
        request, tasks.polled(), tracking.stop_polling, gettext("Had it tracked no longer.")
    )
    message = ngettext(
        "%(count)d task is tracked no longer.", "%(count)d tasks are tracked no longer.", count
    )
    _tell(model_admin, request, message, count)
    left_out = ngettext(
        "%(count)d task was not tracked.", "%(count)d tasks were not tracked.", total - count
    )
    _warn(model_admin, request, left_out, total - count)


@admin.action(
    description=_("Send the completion signals of the selected tasks again"),
    permissions=["change"],
)
def resend_signals(model_admin: TaskAdmin, request: HttpRequest, tasks: Tasks) -> None:
    total = tasks.count()
    completed = tasks.filter(completed_at__isnull=False)
    count = _run(request, completed, resend, gettext("Had the completion signals sent again."))
    message = ngettext(
        "The completion signals of %(count)d task will be sent again.",
        "The completion signals of %(count)d tasks will be sent again.",
        count,
    )
    _tell(model_admin, request, message, count)
    left_out = ngettext(
        "%(count)d task has not ended.", "%(count)d tasks have not ended.", total - count
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
