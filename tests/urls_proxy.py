from django.contrib import admin
from django.urls import path

from octovid_django.admin import VideoTaskAdmin
from octovid_django.models import VideoTask

site = admin.AdminSite()


class SuccessfulTask(VideoTask):
    class Meta:
        app_label = "staticfiles"  # an app that has no migrations which it would be missing from
        proxy = True


site.register(SuccessfulTask, VideoTaskAdmin)

urlpatterns = [path("admin/", site.urls)]
