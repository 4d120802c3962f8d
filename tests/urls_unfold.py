from django.contrib import admin
from django.urls import path
from unfold.admin import ModelAdmin

from octovid_django.admin import VideoTaskAdmin
from octovid_django.models import VideoTask


class UnfoldVideoTaskAdmin(VideoTaskAdmin, ModelAdmin):
    """As a site under django-unfold registers it, with a column of its own."""

    list_display = (*VideoTaskAdmin.list_display, "poll_count")


admin.site.unregister(VideoTask)
admin.site.register(VideoTask, UnfoldVideoTaskAdmin)

urlpatterns = [path("admin/", admin.site.urls)]
