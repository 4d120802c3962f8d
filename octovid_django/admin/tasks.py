"""Look at the tasks, in Django's admin."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any

from django import forms
from django.contrib import admin, messages
from django.contrib.admin.helpers import AdminForm
from django.contrib.admin.utils import flatten_fieldsets, unquote
from django.core.exceptions import PermissionDenied
from django.db.models import QuerySet
from django.forms import Script
from django.http import (
    Http404,
    HttpRequest,
    HttpResponse,
    HttpResponseBadRequest,
    HttpResponseBase,
    HttpResponseNotAllowed,
    HttpResponseRedirect,
    JsonResponse,
)
from django.template.response import TemplateResponse
from django.urls import URLPattern, path, reverse
from django.utils.html import conditional_escape, format_html
from django.utils.safestring import SafeString
from django.utils.translation import gettext_lazy as _
from django.utils.translation import ngettext

from octovid_django.admin import cells, video
from octovid_django.admin.actions import refresh_now, send_signals_again
from octovid_django.admin.filters import DeliveryFilter, LinkFilter
from octovid_django.admin.forms import TrackForm, VideoTaskForm
from octovid_django.exceptions import without_link_secrets
from octovid_django.health import problems
from octovid_django.models import VideoTask

if TYPE_CHECKING:
    TaskAdmin = admin.ModelAdmin[VideoTask]
else:
    TaskAdmin = admin.ModelAdmin


MAX_LIVE_ROWS = 500


@admin.register(VideoTask)
class VideoTaskAdmin(TaskAdmin):
    form = VideoTaskForm
    empty_value_display = "–"
    list_display = (
        *("task_id", "status_badge", "progress_bar", "video_link"),
        *("run_time", "submitted", "completed", "looks", "trouble"),
    )
    live_cells = (
        *("status_badge", "progress_bar", "video_link", "player", "expires"),
        *("run_time", "submitted", "completed", "looks", "trouble"),
    )
    """What ``live.js`` keeps up to date, where a page has it."""
    actions = (refresh_now, send_signals_again)
    list_filter = ("status", LinkFilter, DeliveryFilter, "created_at")
    search_fields = ("task_id", "fail_reason")
    show_full_result_count = False
    fieldsets = (
        (
            None,
            {
                "fields": (
                    *("task_id", "status_badge", "progress_bar", "run_time"),
                    *("looks", "trouble"),
                )
            },
        ),
        (
            _("Video"),
            {
                "fields": (
                    *("player", "video_link", "expires", "duration"),
                    *("resolution", "ratio", "total_tokens"),
                )
            },
        ),
        (_("Of the site"), {"fields": ("metadata",)}),
        (
            _("At the gateway"),
            {"fields": ("submitted_at", "started_at", "finished_at", "upstream_status")},
        ),
        (
            _("Polling"),
            {
                "fields": (
                    *("created_at", "taken_back_at", "polled_at", "poll_count"),
                    *("next_poll_at", "error_count", "last_error"),
                )
            },
        ),
        (
            _("Delivery"),
            {
                "fields": (
                    *("completed_at", "delivered_at", "delivery_attempts"),
                    *("earlier_delivery_attempts", "delivery_error", "next_delivery_at"),
                )
            },
        ),
        (_("Last answer"), {"classes": ("collapse",), "fields": ("pretty_payload",)}),
    )

    class Media:
        css = {"all": ["octovid_django/admin.css"]}
        js = [Script("octovid_django/live.js", defer=True)]

    def get_readonly_fields(self, request: HttpRequest, obj: VideoTask | None = None) -> list[str]:
        """All but the site's own."""
        return [name for name in flatten_fieldsets(self.fieldsets) if name != "metadata"]

    def get_queryset(self, request: HttpRequest) -> QuerySet[VideoTask]:
        return super().get_queryset(request).defer("payload")

    def add_view(
        self,
        request: HttpRequest,
        form_url: str = "",
        extra_context: dict[str, Any] | None = None,
    ) -> HttpResponse:
        """Track one or many tasks. Bad ids come back to be corrected, the good ones are tracked."""
        if not self.has_add_permission(request):
            raise PermissionDenied
        form = TrackForm(request.POST or None)
        is_valid = form.is_valid()
        self._track(request, form.good)
        if is_valid:
            can_look = self.has_view_or_change_permission(request)
            return HttpResponseRedirect(
                self._url("changelist") if can_look else self._url_of("index")
            )
        fieldsets = [(None, {"fields": list(form.fields)})]
        context = {
            "title": _("Track video tasks"),
            "adminform": AdminForm(form, fieldsets, {}, model_admin=self),  # type: ignore[arg-type]
            "errors": form.errors,
            "media": self.media + form.media,
            **(extra_context or {}),
        }
        return self._page(request, "track", context)

    def _track(self, request: HttpRequest, task_ids: list[str]) -> None:
        known = set(
            VideoTask.objects.filter(task_id__in=task_ids).values_list("task_id", flat=True)
        )
        new = [task_id for task_id in task_ids if task_id not in known]
        for task_id in new:
            self.log_addition(request, VideoTask.objects.track(task_id), [{"added": {}}])
        if new:
            message = ngettext(
                "%(count)d task is tracked now.", "%(count)d tasks are tracked now.", len(new)
            )
            self.message_user(request, message % {"count": len(new)}, messages.SUCCESS)
        if known:
            message = _("Known already: %(ids)s") % {"ids": ", ".join(sorted(known))}
            self.message_user(request, message, messages.INFO)

    def save_model(
        self, request: HttpRequest, obj: VideoTask, form: forms.Form, change: bool
    ) -> None:
        """Save the site's own alone: the rest is the workers', who may have written meanwhile."""
        obj.save(update_fields=["metadata", "updated_at"])

    def changelist_view(
        self, request: HttpRequest, extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        context = {"problems": problems(), **(extra_context or {})}
        return super().changelist_view(request, context)

    def get_urls(self) -> list[URLPattern]:
        view = self.admin_site.admin_view
        return [
            path("live/", view(self.live_view), name="octovid_django_videotask_live"),
            path(
                "<path:object_id>/video/",
                view(self.video_view),
                name="octovid_django_videotask_video",
            ),
            *super().get_urls(),
        ]

    def _page(
        self, request: HttpRequest, name: str, context: dict[str, Any], status: int = 200
    ) -> TemplateResponse:
        request.current_app = self.admin_site.name
        context = {**self.admin_site.each_context(request), "opts": self.opts, **context}
        template = f"admin/octovid_django/videotask/{name}.html"
        return TemplateResponse(request, template, context, status=status)

    def _url(self, name: str, *args: object) -> str:
        return self._url_of(f"octovid_django_videotask_{name}", *args)

    def _url_of(self, name: str, *args: object) -> str:
        return reverse(f"admin:{name}", args=args, current_app=self.admin_site.name)

    def video_view(self, request: HttpRequest, object_id: str) -> HttpResponseBase:
        """The video of a task, wherever it is, or a page that says why there is none."""
        if request.method not in ("GET", "HEAD"):
            return HttpResponseNotAllowed(["GET", "HEAD"])
        task = self.get_object(request, unquote(object_id))
        if not self.has_view_or_change_permission(request, task):
            raise PermissionDenied
        if task is None:
            raise Http404
        try:
            return video.respond(task, request)
        except video.NoVideo as reason:
            title = _("There is no video to show")
            context = {"title": title, "task": task, "reason": str(reason)}
            return self._page(request, "no_video", context, status=404)

    def live_view(self, request: HttpRequest) -> HttpResponse:
        """What ``live.js`` asks for: the cells of the rows on screen that change by themselves.

        Args:
            request: With ``ids`` in its query, the primary keys of the rows, by commas.
        """
        if request.method != "GET":
            return HttpResponseNotAllowed(["GET"])
        if not self.has_view_or_change_permission(request):
            raise PermissionDenied
        ids = request.GET.get("ids", "")
        pks = [int(pk) for pk in ids.split(",") if re.fullmatch("[0-9]{1,18}", pk)]
        if not pks or len(pks) > MAX_LIVE_ROWS:
            return HttpResponseBadRequest(f"ids is a list of 1 to {MAX_LIVE_ROWS} keys: ids=1,2,3")
        tasks = self.get_queryset(request).filter(pk__in=pks)
        return JsonResponse({"rows": {task.pk: self._live_cells(task) for task in tasks}})

    def _live_cells(self, task: VideoTask) -> dict[str, str]:
        return {name: conditional_escape(getattr(self, name)(task)) for name in self.live_cells}

    @admin.display(description=_("status"), ordering="status")
    def status_badge(self, task: VideoTask) -> SafeString:
        return cells.status(task)

    @admin.display(description=_("progress"))
    def progress_bar(self, task: VideoTask) -> SafeString:
        return cells.progress(task)

    @admin.display(description=_("video"))
    def video_link(self, task: VideoTask) -> str:
        return cells.video(task, self._url("video", task.pk)) or self.get_empty_value_display()

    @admin.display(description=_("player"))
    def player(self, task: VideoTask) -> str:
        return cells.player(task, self._url("video", task.pk)) or self.get_empty_value_display()

    @admin.display(description=_("link expires"))
    def expires(self, task: VideoTask) -> str:
        return cells.moments(task.video_url_expires_at) or self.get_empty_value_display()

    @admin.display(description=_("running time"))
    def run_time(self, task: VideoTask) -> str:
        return cells.run_time(task) or self.get_empty_value_display()

    @admin.display(description=_("submitted"))
    def submitted(self, task: VideoTask) -> str:
        return cells.moments(task.submitted_at) or self.get_empty_value_display()

    @admin.display(description=_("ended"))
    def completed(self, task: VideoTask) -> str:
        return cells.moments(task.completed_at) or self.get_empty_value_display()

    @admin.display(description=_("last and next look"))
    def looks(self, task: VideoTask) -> str:
        return cells.moments(task.polled_at, task.next_poll_at) or self.get_empty_value_display()

    @admin.display(description=_("trouble"))
    def trouble(self, task: VideoTask) -> str:
        return cells.trouble(task) or self.get_empty_value_display()

    @admin.display(description=_("payload"))
    def pretty_payload(self, task: VideoTask) -> SafeString:
        text = json.dumps(task.payload, indent=2, ensure_ascii=False)
        return format_html("<pre>{}</pre>", without_link_secrets(text))
