"""What the list of tasks can be narrowed to."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from django.contrib import admin
from django.db.models import Q, QuerySet
from django.http import HttpRequest
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from octovid_django.models import VideoTask

EXPIRING = timedelta(hours=1)
"""How long a link has left that counts as expiring."""
MAX_MODELS = 30
"""Models to choose from."""


class LinkFilter(admin.SimpleListFilter):
    title = _("video link")
    parameter_name = "link"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, Any]]:
        return [
            ("valid", _("valid")),
            ("expiring", _("expires within the hour")),
            ("expired", _("expired")),
            ("none", _("none")),
        ]

    def queryset(self, request: HttpRequest, tasks: QuerySet[VideoTask]) -> QuerySet[VideoTask]:
        now = timezone.now()
        has_link = ~Q(video_url="")
        is_valid = Q(video_url_expires_at__gt=now)
        wanted = {
            "valid": has_link & (is_valid | Q(video_url_expires_at__isnull=True)),
            "expiring": has_link & is_valid & Q(video_url_expires_at__lte=now + EXPIRING),
            "expired": has_link & Q(video_url_expires_at__lte=now),
            "none": Q(video_url=""),
        }
        return tasks.filter(wanted.get(self.value() or "", Q()))


class ModelFilter(admin.SimpleListFilter):
    title = _("model")
    parameter_name = "model"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, Any]]:
        """The models that there are, found by jumping through the index: no row is read."""
        tasks = model_admin.get_queryset(request).order_by("model").values_list("model", flat=True)
        models: list[str] = []
        model = ""
        while len(models) < MAX_MODELS and (model := tasks.filter(model__gt=model).first()):
            models.append(model)
        return [(model, model) for model in models]

    def queryset(self, request: HttpRequest, tasks: QuerySet[VideoTask]) -> QuerySet[VideoTask]:
        return tasks.filter(model=model) if (model := self.value()) else tasks


class DeliveryFilter(admin.SimpleListFilter):
    title = _("delivery")
    parameter_name = "delivery"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, Any]]:
        return [("waiting", _("waiting")), ("done", _("done")), ("abandoned", _("abandoned"))]

    def queryset(self, request: HttpRequest, tasks: QuerySet[VideoTask]) -> QuerySet[VideoTask]:
        is_undelivered = Q(completed_at__isnull=False, delivered_at__isnull=True)
        wanted = {
            "waiting": is_undelivered & Q(next_delivery_at__isnull=False),
            "done": Q(delivered_at__isnull=False),
            "abandoned": is_undelivered & Q(next_delivery_at__isnull=True),
        }
        return tasks.filter(wanted.get(self.value() or "", Q()))
