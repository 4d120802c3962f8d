"""What the pages of the tasks share: addresses, templates, and the task that they show."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from django.contrib import admin
from django.contrib.admin.utils import quote, unquote
from django.core.exceptions import PermissionDenied
from django.http import Http404, HttpRequest
from django.template.response import TemplateResponse
from django.urls import reverse

from octovid_django.models import VideoTask

if TYPE_CHECKING:
    TaskAdmin = admin.ModelAdmin[VideoTask]
else:
    TaskAdmin = admin.ModelAdmin

TEMPLATES = "admin/octovid_django/videotask"


class PagesMixin(TaskAdmin):
    def video_url(self, task: VideoTask) -> str:
        """Return the link to the video that this site serves; it never expires."""
        return self._url("video", quote(task.pk))

    def _task(self, request: HttpRequest, object_id: str) -> VideoTask:
        task = self.get_object(request, unquote(object_id))
        if not self.has_view_or_change_permission(request, task):
            raise PermissionDenied
        if task is None:
            raise Http404
        return task

    def _page(
        self, request: HttpRequest, name: str, context: dict[str, Any], status: int = 200
    ) -> TemplateResponse:
        request.current_app = self.admin_site.name
        context = {
            **self.admin_site.each_context(request),
            "opts": self.opts,
            "has_view_permission": self.has_view_or_change_permission(request),
            **context,
        }
        return TemplateResponse(request, f"{TEMPLATES}/{name}.html", context, status=status)

    def _url(self, name: str, *args: object) -> str:
        return self._url_of(self._url_name(name), *args)

    def _url_name(self, name: str) -> str:
        """Of a page, as Django's own pages of this model are named; a proxy has its own."""
        return f"{self.opts.app_label}_{self.opts.model_name}_{name}"

    def _url_of(self, name: str, *args: object) -> str:
        return reverse(f"admin:{name}", args=args, current_app=self.admin_site.name)
