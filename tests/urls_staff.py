from django.contrib import admin
from django.urls import path

from octovid_django.admin import VideoTaskAdmin
from octovid_django.models import VideoTask

staff = admin.AdminSite(name="staff")


@admin.register(VideoTask, site=staff)
class StaffVideoTaskAdmin(VideoTaskAdmin):
    list_display = (*VideoTaskAdmin.list_display, "product")

    @admin.display
    def product(self, task: VideoTask) -> object:
        return task.metadata.get("product")


urlpatterns = [path("staff/", staff.urls), path("admin/", admin.site.urls)]
