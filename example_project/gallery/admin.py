from django.contrib import admin

from example_project.gallery.models import ReceivedSignal


@admin.register(ReceivedSignal)
class ReceivedSignalAdmin(admin.ModelAdmin):
    list_display = ("task", "signal", "attempt", "received_at")
    list_filter = ("signal",)
