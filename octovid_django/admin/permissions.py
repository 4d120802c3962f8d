"""Which of many tasks a user may see or change, where a site decides that for each one.

Django's own pages of one object ask ``has_view_permission(request, obj)`` and its likes. Whatever
shows or changes several tasks at once asks here, for each of them. Only what stands above the list,
in numbers, is of all that ``get_queryset()`` gives: a site that hides tasks hides them there.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from django.contrib import admin
from django.http import HttpRequest

from octovid_django.models import VideoTask, VideoTaskQuerySet

if TYPE_CHECKING:
    TaskAdmin = admin.ModelAdmin[VideoTask]
else:
    TaskAdmin = admin.ModelAdmin

_METHODS = {
    "view": ("has_view_or_change_permission", "has_view_permission", "has_change_permission"),
    "change": ("has_change_permission",),
}
"""What Django's own pages ask for a permission, and what that asks in turn."""


_DEFAULTS = {name: getattr(admin.ModelAdmin, name) for names in _METHODS.values() for name in names}


def permitted(
    model_admin: TaskAdmin,
    request: HttpRequest,
    tasks: VideoTaskQuerySet,
    permissions: Iterable[str],
) -> VideoTaskQuerySet:
    """Return those of ``tasks`` for which the user has every one of ``permissions``.

    Args:
        model_admin: Whose methods are asked, where a site has written its own.
        request: Of the user.
        tasks: A bounded number of them.
        permissions: ``"view"`` or ``"change"``; others are asked elsewhere.
    """
    for permission in permissions:
        names = _METHODS.get(permission, ())
        if any(_is_of_the_site(model_admin, name) for name in names):
            may = getattr(model_admin, names[0])
            pks = [task.pk for task in tasks.iterator(chunk_size=500) if may(request, task)]
            tasks = tasks.filter(pk__in=pks)
    return tasks


def _is_of_the_site(model_admin: TaskAdmin, name: str) -> bool:
    method = getattr(model_admin, name)
    return getattr(method, "__func__", method) is not _DEFAULTS[name]
