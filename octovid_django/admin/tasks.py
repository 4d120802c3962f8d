"""Look at the tasks, in Django's admin."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any

from django import forms
from django.contrib import admin
from django.contrib.admin.utils import flatten_fieldsets
from django.core.exceptions import PermissionDenied
from django.db.models import QuerySet
from django.forms import Script
from django.http import (
    HttpRequest,
    HttpResponse,
    HttpResponseBadRequest,
    HttpResponseNotAllowed,
    JsonResponse,
)
from django.urls import URLPattern, path
from django.utils.html import conditional_escape, format_html
from django.utils.safestring import SafeString
from django.utils.translation import gettext_lazy as _

from octovid_django.admin import cells
from octovid_django.admin.actions import refresh_now, send_signals_again
from octovid_django.exceptions import OctovidMetadataError
from octovid_django.health import problems
from octovid_django.models import VideoTask, validate_metadata

if TYPE_CHECKING:
    TaskAdmin = admin.ModelAdmin[VideoTask]
else:
    TaskAdmin = admin.ModelAdmin


MAX_LIVE_ROWS = 500


class VideoTaskForm(forms.ModelForm):  # type: ignore[type-arg]
    def clean_metadata(self) -> dict[str, Any]:
        metadata = self.cleaned_data["metadata"]
        try:
            return validate_metadata({} if metadata is None else metadata)
        except OctovidMetadataError as error:
            raise forms.ValidationError(str(error)) from None


@admin.register(VideoTask)
class VideoTaskAdmin(TaskAdmin):
    form = VideoTaskForm
    empty_value_display = "–"
    list_display = (
        *("task_id", "status_badge", "progress_bar", "video"),
        *("run_time", "submitted", "completed", "looks", "trouble"),
    )
    live_cells = (
        *("status_badge", "progress_bar", "video"),
        *("run_time", "submitted", "completed", "looks", "trouble"),
    )
    """The columns, of those that a page has, that ``live.js`` keeps up to date."""
    actions = (refresh_now, send_signals_again)
    list_filter = ("status", "created_at")
    search_fields = ("task_id", "fail_reason")
    show_full_result_count = False
    fieldsets = (
        (None, {"fields": ("task_id", "status_badge", "progress_bar", "fail_reason", "metadata")}),
        (
            _("Video"),
            {
                "fields": (
                    *("video", "video_url_expires_at", "duration"),
                    *("resolution", "ratio", "total_tokens"),
                )
            },
        ),
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

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False  # tasks come from track()

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
        live = path(
            "live/",
            self.admin_site.admin_view(self.live_view),
            name="octovid_django_videotask_live",
        )
        return [live, *super().get_urls()]

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
        return {
            name: conditional_escape(getattr(self, name)(task) or self.get_empty_value_display())
            for name in self.live_cells
        }

    @admin.display(description=_("status"), ordering="status")
    def status_badge(self, task: VideoTask) -> SafeString:
        return cells.status(task)

    @admin.display(description=_("progress"))
    def progress_bar(self, task: VideoTask) -> SafeString:
        return cells.progress(task)

    @admin.display(description=_("video"))
    def video(self, task: VideoTask) -> SafeString | str | None:
        return cells.video(task)

    @admin.display(description=_("running time"))
    def run_time(self, task: VideoTask) -> SafeString | str | None:
        return cells.run_time(task)

    @admin.display(description=_("submitted"))
    def submitted(self, task: VideoTask) -> SafeString | None:
        return cells.moments(task.submitted_at)

    @admin.display(description=_("ended"))
    def completed(self, task: VideoTask) -> SafeString | None:
        return cells.moments(task.completed_at)

    @admin.display(description=_("last and next look"))
    def looks(self, task: VideoTask) -> SafeString | None:
        return cells.moments(task.polled_at, task.next_poll_at)

    @admin.display(description=_("trouble"))
    def trouble(self, task: VideoTask) -> str | None:
        return cells.trouble(task)

    @admin.display(description=_("payload"))
    def pretty_payload(self, task: VideoTask) -> SafeString:
        return format_html("<pre>{}</pre>", json.dumps(task.payload, indent=2, ensure_ascii=False))
