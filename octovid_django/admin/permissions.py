"""Which of many tasks a user may see or change, where a site decides that for each one.

Django's own pages of one object call ``has_view_permission(request, obj)`` and its likes. Whatever
shows or changes several tasks at once checks here, for each of them. Where there may be others, a
user reads nothing of what the gateway says about the account: it may be about one of them. Only
what is counted is of all that ``get_queryset()`` gives, above the list and by a search: a site
whose users must not learn that a task exists hides it there.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import replace
from functools import wraps
from itertools import chain
from typing import TYPE_CHECKING, Any

from django.contrib import admin, messages
from django.http import HttpRequest
from django.utils.translation import ngettext

from octovid_django.models import VideoTask, VideoTaskQuerySet

if TYPE_CHECKING:
    TaskAdmin = admin.ModelAdmin[VideoTask]
else:
    TaskAdmin = admin.ModelAdmin

GetActions = Callable[..., dict[str, Any]]

_METHODS = {
    "view": ("has_view_or_change_permission", "has_view_permission", "has_change_permission"),
    "change": ("has_change_permission",),
    "delete": ("has_delete_permission",),
}
"""What Django's own pages call for a permission, and what that calls in turn."""


_DEFAULTS = {name: getattr(admin.ModelAdmin, name) for names in _METHODS.values() for name in names}


def asking(
    model_admin: TaskAdmin, request: HttpRequest, permissions: Collection[str]
) -> Callable[[VideoTask], bool] | None:
    """Return a function that says whether the user has any of ``permissions`` for a task.

    Args:
        model_admin: Whose methods are called, where a site has written its own.
        request: Of the user.
        permissions: ``"view"``, ``"change"`` or ``"delete"``; others are of no one task.

    Returns:
        ``None`` where there is nothing to check: the user has them for every task.
    """
    of_one_task = [each for each in permissions if each in _METHODS]
    names = chain.from_iterable(_METHODS[each] for each in of_one_task)
    if not any(_is_of_the_site(model_admin, name) for name in names):
        return None
    others = set(permissions).difference(of_one_task)
    if any(getattr(model_admin, f"has_{each}_permission")(request) for each in others):
        return None
    methods = [getattr(model_admin, _METHODS[each][0]) for each in of_one_task]
    return lambda task: any(method(request, task) for method in methods)


def permitted(
    model_admin: TaskAdmin,
    request: HttpRequest,
    tasks: VideoTaskQuerySet,
    permissions: Collection[str],
) -> VideoTaskQuerySet:
    """Return those of ``tasks``, a bounded number, for which the user has any of ``permissions``;
    the rest is as of ``asking``."""
    may = asking(model_admin, request, permissions)
    if may is None:
        return tasks
    return tasks.filter(pk__in=[task.pk for task in tasks.iterator(chunk_size=500) if may(task)])


def masking(model_admin: TaskAdmin, request: HttpRequest) -> Callable[[VideoTask], VideoTask]:
    """Return what takes its id and its errors from a task that the user may not view."""
    may = asking(model_admin, request, ["view"])

    def mask(task: VideoTask) -> VideoTask:
        if may and not may(task):
            task.task_id = task.last_error = task.delivery_error = "–"
        return task

    return mask


def may_view_all(model_admin: TaskAdmin, request: HttpRequest, tasks: VideoTaskQuerySet) -> bool:
    """Return whether there can be no task that the user may not view.

    Args:
        model_admin: As of ``asking``.
        request: Of the user.
        tasks: All that ``get_queryset()`` returns.
    """
    is_narrowed = bool(tasks.query.where) or tasks.model._meta.concrete_model is not VideoTask
    return not is_narrowed and asking(model_admin, request, ["view"]) is None


def guarded(get_actions: GetActions) -> GetActions:
    """Return ``get_actions`` whose actions get only tasks for which the user has the permission.

    Whichever way a request leads to an action, each task is checked right before it is run: for the
    permission to view it, and for any that the action itself needs.
    """

    @wraps(get_actions)
    def get_guarded_actions(*args: Any, **kwargs: Any) -> dict[str, Any]:
        actions = get_actions(*args, **kwargs)
        return {name: _guarded(action) for name, action in actions.items()}

    return get_guarded_actions


def _guarded(action: Any) -> Any:
    if isinstance(action, tuple):
        function, *rest = action
        return (_asking(function), *rest)
    return replace(action, func=_asking(action.func))  # since Django 6.1


def _asking(function: Callable[..., Any]) -> Callable[..., Any]:
    @wraps(function)
    def run(model_admin: TaskAdmin, request: HttpRequest, tasks: VideoTaskQuerySet) -> Any:
        allowed = permitted(model_admin, request, tasks, ["view"])
        if needed := getattr(function, "allowed_permissions", ()):
            allowed = permitted(model_admin, request, allowed, needed)
        if allowed is not tasks and (count := tasks.count() - allowed.count()):
            left_out = ngettext(
                "%(count)d of the selected tasks was left out: you do not have the permission.",
                "%(count)d of the selected tasks were left out: you do not have the permission.",
                count,
            )
            model_admin.message_user(request, left_out % {"count": count}, messages.WARNING)
        return function(model_admin, request, allowed)

    return run


def _is_of_the_site(model_admin: TaskAdmin, name: str) -> bool:
    method = getattr(model_admin, name)
    return getattr(method, "__func__", method) is not _DEFAULTS[name]
