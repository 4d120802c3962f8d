"""The add page: tracks one or many tasks by their ids."""

from __future__ import annotations

import json
from typing import Any, cast

from django.contrib import messages
from django.contrib.admin.exceptions import DisallowedModelAdminToField
from django.contrib.admin.helpers import AdminForm
from django.contrib.admin.models import ADDITION, CHANGE, LogEntry
from django.contrib.admin.options import (
    IS_POPUP_VAR,
    TO_FIELD_VAR,
    get_content_type_for_model,
)
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.utils.translation import gettext_lazy as _
from django.utils.translation import ngettext

from octovid_django.admin.forms import TrackForm
from octovid_django.admin.pages import PagesMixin
from octovid_django.admin.permissions import permitted
from octovid_django.models import VideoTask, VideoTaskQuerySet
from octovid_django.tracking import add_metadata, track_many

MAX_NAMED = 20
"""Ids in one message."""


class TrackMixin(PagesMixin):
    def add_view(
        self,
        request: HttpRequest,
        form_url: str = "",
        extra_context: dict[str, Any] | None = None,
    ) -> HttpResponse:
        """Track one or many tasks. Bad ids come back to be corrected, the good ones are tracked."""
        if not self.has_add_permission(request):
            raise PermissionDenied
        to_fields = [query.get(TO_FIELD_VAR) for query in (request.POST, request.GET)]
        for to_field in filter(None, to_fields):
            if not self.to_field_allowed(request, to_field):
                raise DisallowedModelAdminToField(f"The field {to_field!r} cannot be referenced.")
        form = TrackForm(request.POST or None)
        is_valid = form.is_valid()
        self._track(request, form.good, form.application_data)
        is_popup = IS_POPUP_VAR in request.POST or IS_POPUP_VAR in request.GET
        if is_valid and is_popup and form.good:
            task = self._visible(request, form.good[:1]).first()
            if task is None:  # for this user it is the same, whether it was known before or not
                return HttpResponseRedirect(request.get_full_path())
            return self.response_add(request, task)
        if is_valid:
            can_view = self.has_view_or_change_permission(request)
            return HttpResponseRedirect(
                self._url("changelist") if can_view else self._url_of("index")
            )
        fieldsets = [(None, {"fields": list(form.fields)})]
        context = {
            "title": _("Track video tasks"),
            "add": True,
            "adminform": AdminForm(form, fieldsets, {}, model_admin=self),  # type: ignore[arg-type]
            "errors": form.errors,
            "media": self.media + form.media,
            "is_popup": is_popup,
            "is_popup_var": IS_POPUP_VAR,
            "to_field": next(filter(None, to_fields), None),
            "to_field_var": TO_FIELD_VAR,
            **(extra_context or {}),
        }
        return self._page(request, "track", context)

    def _track(self, request: HttpRequest, task_ids: list[str], metadata: dict[str, Any]) -> None:
        """Track them, and say no more of those that this user may not view than of new ones."""
        tasks = self._visible(request, task_ids)
        known = set(tasks.values_list("task_id", flat=True))
        new = [task_id for task_id in task_ids if task_id not in known]
        if metadata:
            self._add_metadata(request, tasks, metadata)
        track_many(new, metadata)
        self._log_added(request, new)
        if new:
            message = ngettext(
                "%(count)d task is tracked now.", "%(count)d tasks are tracked now.", len(new)
            )
            self.message_user(request, message % {"count": len(new)}, messages.SUCCESS)
        if known:
            ids = ", ".join(sorted(known)[:MAX_NAMED]) + (" …" if len(known) > MAX_NAMED else "")
            self.message_user(request, _("Already tracked: %(ids)s") % {"ids": ids}, messages.INFO)
        if resumable := tasks.resumable().count():
            message = ngettext(
                "%(count)d of them is not polled: select it in the list to resume polling.",
                "%(count)d of them are not polled: select them in the list to resume polling.",
                resumable,
            )
            self.message_user(request, message % {"count": resumable}, messages.WARNING)

    def _log_added(self, request: HttpRequest, task_ids: list[str]) -> None:
        # What this user may not view is named, but not linked to: its key would tell its age.
        pks = {task.task_id: str(task.pk) for task in self._visible(request, task_ids)}
        LogEntry.objects.bulk_create(
            LogEntry(
                user_id=cast("int", request.user.pk),  # nobody else gets here
                content_type=get_content_type_for_model(self.model),
                object_id=pks.get(task_id),
                object_repr=task_id,
                action_flag=ADDITION,
                change_message=json.dumps([{"added": {}}]),
            )
            for task_id in task_ids
        )

    def _add_metadata(
        self, request: HttpRequest, tasks: VideoTaskQuerySet, metadata: dict[str, Any]
    ) -> None:
        """Add ``metadata`` to those of the known tasks that this user may change."""
        if not self.has_change_permission(request):
            return
        changed = list(permitted(self, request, tasks, ["change"]))
        if changed:
            add_metadata([task.pk for task in changed], metadata)
            LogEntry.objects.log_actions(
                user_id=cast("int", request.user.pk),
                queryset=changed,
                action_flag=CHANGE,
                change_message=[{"changed": {"fields": ["Metadata"]}}],
            )
            message = _("Already tracked tasks whose metadata was changed: %(count)d")
            self.message_user(request, message % {"count": len(changed)}, messages.SUCCESS)

    def _visible(self, request: HttpRequest, task_ids: list[str]) -> VideoTaskQuerySet:
        """Those of these tasks that this user may view."""
        if not self.has_view_or_change_permission(request):
            return VideoTask.objects.none()
        tasks = cast("VideoTaskQuerySet", self.get_queryset(request)).primary()
        return permitted(self, request, tasks.filter(task_id__in=task_ids), ["view"])
