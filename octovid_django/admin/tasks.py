"""The admin of the tasks: the list, the page of a task, and what keeps both up to date."""

from __future__ import annotations

import re
from functools import partial
from typing import Any, cast

from django.contrib import admin, messages
from django.contrib.admin.helpers import ACTION_CHECKBOX_NAME
from django.contrib.admin.utils import (
    flatten_fieldsets,
)
from django.contrib.admin.views.main import SEARCH_VAR
from django.core.exceptions import BadRequest, PermissionDenied
from django.db.models import QuerySet
from django.forms import Script
from django.http import (
    HttpRequest,
    HttpResponse,
    HttpResponseBadRequest,
    HttpResponseBase,
    HttpResponseNotAllowed,
    HttpResponseRedirect,
    JsonResponse,
)
from django.template.loader import render_to_string
from django.urls import URLPattern, path
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from octovid_django.admin import overview, video
from octovid_django.admin.actions import (
    refresh_now,
    resend_signals,
    resume_polling,
    stop_polling,
)
from octovid_django.admin.buttons import ButtonsMixin
from octovid_django.admin.changelist import COLUMNS, BoundedPaginator, TaskChangeList
from octovid_django.admin.columns import ColumnsMixin
from octovid_django.admin.export import export_csv, export_json
from octovid_django.admin.fieldsets import FIELDSETS, opened
from octovid_django.admin.filters import DeliveryFilter, LinkFilter, ModelFilter
from octovid_django.admin.forms import VideoTaskForm
from octovid_django.admin.live import render
from octovid_django.admin.pages import TEMPLATES
from octovid_django.admin.permissions import guarded, masking, may_view_all, permitted
from octovid_django.admin.responses import make_inert
from octovid_django.admin.search import (
    MAX_CHARACTERS,
    MAX_TOKENS,
    METADATA,
    is_cut,
    search,
)
from octovid_django.admin.track import TrackMixin
from octovid_django.models import VideoTask, VideoTaskQuerySet

MAX_LIVE_ROWS = 500
PRIMARY_KEY = re.compile("[0-9]{1,18}")
"""What every database can compare a key with."""


@admin.register(VideoTask)
class VideoTaskAdmin(ButtonsMixin, TrackMixin, ColumnsMixin):
    change_list_template = f"{TEMPLATES}/change_list.html"
    change_form_template = f"{TEMPLATES}/change_form.html"
    form = VideoTaskForm
    empty_value_display = "–"
    list_display = COLUMNS
    live_cells = (
        *("status_and_error", "status_badge", "progress_bar", "video_link", "player", "expires"),
        *("timeline", "run_time", "completed", "polls", "error"),
        *("fail_reason", "upstream_status", "last_error", "delivery_error"),
        *("duration", "resolution", "ratio", "model", "total_tokens"),
    )
    """What ``live.js`` keeps up to date, where a page has it."""
    actions = (  # type: ignore[assignment]  # they take our own queryset
        *(refresh_now, resume_polling, stop_polling, resend_signals),
        *(export_csv, export_json),
    )
    list_filter = ("status", LinkFilter, DeliveryFilter, ModelFilter)
    date_hierarchy = "created_at"
    search_fields = ("task_id", "fail_reason", METADATA)
    sortable_by = ("task_id", "completed")
    """What has an index to sort by."""
    paginator = BoundedPaginator
    show_full_result_count = False
    show_facets = admin.ShowFacets.NEVER
    fieldsets = FIELDSETS

    # Where django-unfold shows what Django's own pages show beside the object tools.
    list_before_template = f"{TEMPLATES}/overview.html"

    class Media:
        css = {"all": ["octovid_django/admin.css"]}
        js = [Script(f"octovid_django/{name}.js", defer=True) for name in ("fold", "live")]

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        # A copy of a task would be one that the gateway does not know.
        self.save_as = False  # type: ignore[misc]  # whatever a subclass says
        # Here, and not in a method: those that a subclass adds in its own are guarded too.
        self.get_actions = guarded(self.get_actions)  # type: ignore[method-assign]

    def get_readonly_fields(self, request: HttpRequest, obj: VideoTask | None = None) -> list[str]:
        """All but the application data."""
        shown = flatten_fieldsets(self.fieldsets or [(None, {"fields": self.fields or ()})])
        of_model = [field.name for field in self.opts.concrete_fields]
        names = dict.fromkeys([*shown, *of_model, *super().get_readonly_fields(request, obj)])
        return [name for name in names if name != "metadata"]

    def get_fieldsets(self, request: HttpRequest, obj: VideoTask | None = None) -> Any:
        """As Django's own; what is folded is open where an error is."""
        fieldsets = super().get_fieldsets(request, obj)
        return opened(fieldsets, obj) if obj else fieldsets

    def get_queryset(self, request: HttpRequest) -> QuerySet[VideoTask]:
        return super().get_queryset(request).defer("payload")

    def _visible_to(self, request: HttpRequest) -> VideoTaskQuerySet:
        """The tasks that this user may see, as a plain query that can be counted in any way."""
        tasks = cast("VideoTaskQuerySet", self.get_queryset(request).order_by())
        if tasks.query.distinct or tasks.query.combinator:
            tasks = VideoTask.objects.filter(pk__in=tasks.values("pk"))
        return tasks

    def get_search_results(
        self, request: HttpRequest, queryset: QuerySet[VideoTask], search_term: str
    ) -> tuple[QuerySet[VideoTask], bool]:
        return search(queryset, search_term, partial(super().get_search_results, request))

    def get_changelist(self, request: HttpRequest, **kwargs: Any) -> type[TaskChangeList]:
        return TaskChangeList

    def response_action(
        self, request: HttpRequest, queryset: QuerySet[VideoTask], *args: Any, **kwargs: Any
    ) -> HttpResponse | None:
        if not all(map(PRIMARY_KEY.fullmatch, request.POST.getlist(ACTION_CHECKBOX_NAME))):
            raise BadRequest("a selected task is named by something that is no key")
        is_across = request.POST.get("select_across", "0") not in ("", "0")
        if is_across and BoundedPaginator(queryset, 1).is_cut:
            message = _("Too many tasks are selected: narrow the list first. Nothing was done.")
            self.message_user(request, message, messages.ERROR)
            return HttpResponseRedirect(request.get_full_path())
        return super().response_action(request, queryset, *args, **kwargs)

    def changelist_view(
        self, request: HttpRequest, extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        if request.method == "GET" and is_cut(request.GET.get(SEARCH_VAR, "")):
            message = _(
                "The search is too long: only its first %(tokens)d words and %(characters)d "
                "characters were used."
            )
            limits = {"tokens": MAX_TOKENS, "characters": MAX_CHARACTERS}
            self.message_user(request, message % limits, messages.WARNING)
        # Called by the template: an action needs neither.
        context = {
            "above": partial(self._above, request),
            "history": partial(overview.history, self._visible_to(request)),
            **(extra_context or {}),
        }
        return super().changelist_view(request, context)

    def _above(self, request: HttpRequest) -> dict[str, Any]:
        tasks = self._visible_to(request)
        above = overview.above(
            tasks,
            self.get_list_filter(request),
            masking(self, request),
            may_quote=may_view_all(self, request, tasks),
        )
        return above | {"list_url": self._url("changelist")}

    def get_urls(self) -> list[URLPattern]:
        view = self.admin_site.admin_view
        return [
            path("live/", view(self.live_view), name=self._url_name("live")),
            path("<path:object_id>/video/", view(self.video_view), name=self._url_name("video")),
            *super().get_urls(),
        ]

    def video_view(self, request: HttpRequest, object_id: str) -> HttpResponseBase:
        """The video of a task, wherever it is, or a page that says why there is none."""
        if request.method not in ("GET", "HEAD"):
            return HttpResponseNotAllowed(["GET", "HEAD"])
        task = self._task(request, object_id)
        context: dict[str, Any] = {"original": task, "media": self.media}
        try:
            response = video.respond(task, request)
        except video.NoVideo as no_video:
            context |= {"title": _("There is no video to show"), "reason": str(no_video)}
        else:
            context |= {"title": _("Video"), "player": self.player(task)}
            return response or self._page(request, "watch", context)
        return self._page(request, "no_video", context, status=404)

    def live_view(self, request: HttpRequest) -> HttpResponse:
        """What ``live.js`` requests: the cells of the rows on screen that may have changed.

        Args:
            request: With ``ids`` in its query, the primary keys of the rows, by commas; with
                ``above``, which parts of what stands above the list as well, by commas; with
                ``buttons``, the buttons on the page of a task as well.
        """
        if request.method != "GET":
            return HttpResponseNotAllowed(["GET"])
        if not self.has_view_or_change_permission(request):
            raise PermissionDenied
        ids = request.GET.get("ids", "")
        pks = [int(pk) for pk in ids.split(",") if PRIMARY_KEY.fullmatch(pk)]
        above = request.GET.get("above", "")
        if not (pks or above) or len(pks) > MAX_LIVE_ROWS:
            return HttpResponseBadRequest(f"ids is a list of 1 to {MAX_LIVE_ROWS} keys: ids=1,2,3")
        found = cast("VideoTaskQuerySet", self.get_queryset(request).filter(pk__in=pks))
        tasks = permitted(self, request, found, ["view"])
        content: dict[str, Any] = {"now": timezone.now().isoformat()}
        content["rows"] = {task.pk: self._live_cells(task) for task in tasks}
        if above:
            content["above"] = self._live_above(request, above.split(","))
        if "buttons" in request.GET and len(pks) == 1 and (task := tasks.first()):
            context = {"buttons": self.buttons(request, task)}
            content["buttons"] = render_to_string(f"{TEMPLATES}/buttons.html", context, request)
        return make_inert(JsonResponse(content))

    def _live_above(self, request: HttpRequest, names: list[str]) -> dict[str, str]:
        context = self._above(request)
        if "history" in names:
            context |= overview.history(self._visible_to(request))
        return {
            name: render_to_string(f"{TEMPLATES}/{name}.html", context, request)
            for name in ("problems", "counts", "history")
            if name in names
        }

    def _live_cells(self, task: VideoTask) -> dict[str, str]:
        return {name: render(self, task, name) for name in self.live_cells}
