"""Look at the tasks, in Django's admin."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from django import forms
from django.contrib import admin
from django.contrib.admin.utils import flatten_fieldsets
from django.db.models import QuerySet
from django.http import HttpRequest
from django.utils.html import format_html
from django.utils.safestring import SafeString
from django.utils.translation import gettext_lazy as _

from octovid_django.conf import octovid_settings
from octovid_django.exceptions import OctovidMetadataError, OctovidSettingsError
from octovid_django.links import needs_key, read_link
from octovid_django.models import GatewayState, VideoTask, validate_metadata

if TYPE_CHECKING:
    TaskAdmin = admin.ModelAdmin[VideoTask]
    StateAdmin = admin.ModelAdmin[GatewayState]
else:
    TaskAdmin = StateAdmin = admin.ModelAdmin


def _base_url() -> str:
    """The gateway's, or none where the settings are wrong: a look at the tasks helps then too."""
    try:
        return octovid_settings.BASE_URL
    except OctovidSettingsError:
        return ""


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
        *("task_id", "status", "progress_bar", "video"),
        *("submitted_at", "completed_at", "trouble"),
    )
    list_filter = ("status", "created_at")
    search_fields = ("task_id", "fail_reason")
    show_full_result_count = False
    fieldsets = (
        (None, {"fields": ("task_id", "status", "progress_bar", "fail_reason", "metadata")}),
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
                    *("delivery_error", "next_delivery_at"),
                )
            },
        ),
        (_("Last answer"), {"classes": ("collapse",), "fields": ("pretty_payload",)}),
    )

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

    @admin.display(description=_("progress"), ordering="progress")
    def progress_bar(self, task: VideoTask) -> SafeString:
        return format_html(
            '<progress max="100" value="{0}" aria-label="{1}"></progress> {0}&nbsp;%',
            task.progress,
            _("progress"),
        )

    @admin.display(description=_("video"))
    def video(self, task: VideoTask) -> SafeString | str | None:
        base_url = _base_url()
        link = read_link(task.video_url, base_url)
        if link is None:
            return None
        if task.is_link_expired:
            return str(_("expired"))
        if needs_key(link, base_url):
            return str(_("at the gateway"))
        return format_html(
            '<a href="{}" target="_blank" rel="noopener noreferrer">{}</a>', link, _("Watch")
        )

    @admin.display(description=_("trouble"))
    def trouble(self, task: VideoTask) -> str | None:
        return task.fail_reason or task.last_error or task.delivery_error or None

    @admin.display(description=_("payload"))
    def pretty_payload(self, task: VideoTask) -> SafeString:
        return format_html("<pre>{}</pre>", json.dumps(task.payload, indent=2, ensure_ascii=False))


@admin.register(GatewayState)
class GatewayStateAdmin(StateAdmin):
    list_display = ("name", "last_tick_at", "last_answer_at", "paused_until", "pause_reason")

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: GatewayState | None = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: GatewayState | None = None) -> bool:
        return False
