from __future__ import annotations

from typing import TYPE_CHECKING

from django.contrib import admin
from django.http import HttpRequest

from octovid_django.models import GatewayState

if TYPE_CHECKING:
    StateAdmin = admin.ModelAdmin[GatewayState]
else:
    StateAdmin = admin.ModelAdmin


@admin.register(GatewayState)
class GatewayStateAdmin(StateAdmin):
    list_display = ("name", "last_run_at", "last_response_at", "paused_until", "pause_reason")

    def lookup_allowed(self, lookup: str, value: str, request: HttpRequest) -> bool:
        """None is: by a pattern it could be guessed what stands in columns that no page shows."""
        return False

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: GatewayState | None = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: GatewayState | None = None) -> bool:
        return False
