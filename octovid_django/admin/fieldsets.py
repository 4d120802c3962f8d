"""What the page of a task shows, and in which order: first what an operator acts on."""

from __future__ import annotations

from typing import Any

from django.contrib.admin.utils import flatten
from django.utils.translation import gettext_lazy as _

from octovid_django.models import VideoTask

ERRORS = ("fail_reason", "last_error", "delivery_error")

FIELDSETS: Any = (
    (
        None,
        {
            "classes": ("octovid-summary",),
            "fields": (
                *("task_id", "status_badge", "progress_bar", "run_time", "error"),
                *("player", "video_link", "expires", "polls", "timeline"),
            ),
        },
    ),
    (_("Application data"), {"fields": ("metadata",)}),
    (
        _("Video"),
        {
            "classes": ("collapse",),
            "fields": (("duration", "resolution", "ratio"), ("model", "total_tokens")),
        },
    ),
    (
        _("At the gateway"),
        {"classes": ("collapse",), "fields": ("fail_reason", ("upstream_status", "changed_at"))},
    ),
    (
        _("Polling"),
        {
            "classes": ("collapse",),
            "fields": (
                *("last_error", ("created_at", "recovered_at")),
                *(("polled_at", "next_poll_at"), ("poll_count", "error_count")),
            ),
        },
    ),
    (
        _("Delivery"),
        {
            "classes": ("collapse",),
            "fields": (
                *("delivery_error", ("completed_at", "delivered_at"), "next_delivery_at"),
                ("delivery_attempts", "delivery_attempts_before_resend"),
            ),
        },
    ),
    (_("Last response"), {"classes": ("collapse",), "fields": ("pretty_payload",)}),
)


def opened(fieldsets: Any, task: VideoTask) -> list[tuple[Any, dict[str, Any]]]:
    """Return ``fieldsets`` with those unfolded in which an error of ``task`` stands."""
    errors = {name for name in ERRORS if getattr(task, name)}

    def options_of(options: dict[str, Any]) -> dict[str, Any]:
        if errors.isdisjoint(flatten(options["fields"])):
            return options
        classes = [name for name in options.get("classes", ()) if name != "collapse"]
        return {**options, "classes": classes}

    return [(name, options_of(options)) for name, options in fieldsets]
