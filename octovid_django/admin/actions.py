"""What an operator can do about the tasks that are selected, be they thousands.

A worker does the work; what was asked for stands in the history of each task.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, cast

from django.contrib import admin, messages
from django.contrib.admin.models import CHANGE, LogEntry
from django.db.models import QuerySet
from django.http import HttpRequest
from django.utils.translation import gettext, ngettext
from django.utils.translation import gettext_lazy as _

from octovid_django.delivery import send_again
from octovid_django.models import VideoTask
from octovid_django.wakeup import wake

if TYPE_CHECKING:
    TaskAdmin = admin.ModelAdmin[VideoTask]
else:
    TaskAdmin = admin.ModelAdmin

CHUNK = 500


@admin.action(description=_("Look at the selected tasks now"), permissions=["change"])
def refresh_now(model_admin: TaskAdmin, request: HttpRequest, tasks: QuerySet[VideoTask]) -> None:
    # Read before anything is done: the list may be filtered by what that changes.
    pks = list(tasks.values_list("pk", flat=True))
    for chunk in _chunks(pks):
        wake("octovid_django.tasks.refresh_tasks", chunk)
        _remember(request, chunk, gettext("Had the gateway asked."))
    message = ngettext(
        "%(count)d task will be looked at in a moment.",
        "%(count)d tasks will be looked at in a moment.",
        len(pks),
    )
    model_admin.message_user(request, message % {"count": len(pks)}, messages.SUCCESS)


@admin.action(
    description=_("Send the completion signals of the selected tasks again"),
    permissions=["change"],
)
def send_signals_again(
    model_admin: TaskAdmin, request: HttpRequest, tasks: QuerySet[VideoTask]
) -> None:
    rows = list(tasks.values_list("pk", "completed_at"))
    count = 0
    for chunk in _chunks([pk for pk, completed_at in rows if completed_at]):
        count += send_again(chunk)
        _remember(request, chunk, gettext("Had the completion signals sent again."))
    message = ngettext(
        "The completion signals of %(count)d task will be sent again.",
        "The completion signals of %(count)d tasks will be sent again.",
        count,
    )
    left_out = len(rows) - count
    level = messages.WARNING if left_out else messages.SUCCESS
    model_admin.message_user(request, message % {"count": count}, level)
    if left_out:
        message = ngettext(
            "%(count)d task has not ended.", "%(count)d tasks have not ended.", left_out
        )
        model_admin.message_user(request, message % {"count": left_out}, level)


def _chunks(pks: list[int]) -> Iterator[list[int]]:
    return (pks[start : start + CHUNK] for start in range(0, len(pks), CHUNK))


def _remember(request: HttpRequest, pks: list[int], message: str) -> None:
    tasks = VideoTask.objects.primary().filter(pk__in=pks)
    LogEntry.objects.log_actions(
        user_id=cast("int", request.user.pk),  # nobody else gets here
        queryset=tasks.only("pk", "task_id"),
        action_flag=CHANGE,
        change_message=message,
    )
