"""The columns of the list and the fields of a task's page that the admin computes."""

from __future__ import annotations

from django.contrib import admin
from django.utils.html import format_html
from django.utils.safestring import SafeString
from django.utils.translation import gettext_lazy as _

from octovid_django.admin import cells
from octovid_django.admin.live import Cell, live_cell
from octovid_django.admin.pages import PagesMixin
from octovid_django.models import VideoTask
from octovid_django.redaction import redact
from octovid_django.values import json_text


class ColumnsMixin(PagesMixin):
    @live_cell(_("status"))
    def status_badge(self, task: VideoTask) -> Cell:
        return cells.status(task)

    @live_cell(_("status"))
    def status_and_error(self, task: VideoTask) -> Cell:
        return cells.status_and_error(task)

    @live_cell(_("progress"))
    def progress_bar(self, task: VideoTask) -> Cell:
        return cells.progress(task)

    @live_cell(_("video"))
    def video_link(self, task: VideoTask) -> Cell:
        return cells.video(task, self.video_url(task))

    @live_cell(_("player"))
    def player(self, task: VideoTask) -> Cell:
        return cells.player(task, self.video_url(task))

    @live_cell(_("link expires"))
    def expires(self, task: VideoTask) -> Cell:
        return cells.link_countdown(task.video_url_expires_at)

    @live_cell(_("timeline"))
    def timeline(self, task: VideoTask) -> Cell:
        return cells.timeline(task)

    @live_cell(_("run time"))
    def run_time(self, task: VideoTask) -> Cell:
        return cells.run_time(task)

    @live_cell(_("completed"), ordering="completed_at")
    def completed(self, task: VideoTask) -> Cell:
        return cells.moment(task.completed_at)

    @live_cell(_("last · next poll"))
    def polls(self, task: VideoTask) -> Cell:
        return cells.polls(task)

    @live_cell(_("error"))
    def error(self, task: VideoTask) -> Cell:
        return cells.error(task)

    @admin.display(description=_("payload"))
    def pretty_payload(self, task: VideoTask) -> SafeString:
        text = json_text(task.payload, indent=2)
        # Their hosts and paths may be read here.
        queries = [f"?{link.partition('?')[2]}" for link in task.known_links() if "?" in link]
        text = redact(text, queries)
        return format_html('<pre class="octovid-payload">{}</pre>', text)
