"""Look at the tasks, in Django's admin."""

from __future__ import annotations

import json
import re
from functools import partial
from typing import Any, cast

from django.contrib import admin, messages
from django.contrib.admin.exceptions import DisallowedModelAdminToField
from django.contrib.admin.helpers import ACTION_CHECKBOX_NAME, AdminForm
from django.contrib.admin.models import ADDITION, CHANGE, LogEntry
from django.contrib.admin.options import (
    IS_POPUP_VAR,
    TO_FIELD_VAR,
    get_content_type_for_model,
)
from django.contrib.admin.utils import (
    flatten_fieldsets,
    quote,
    unquote,
)
from django.contrib.admin.views.main import SEARCH_VAR
from django.core.exceptions import BadRequest, PermissionDenied
from django.db.models import QuerySet
from django.db.models.constants import LOOKUP_SEP
from django.forms import Script
from django.http import (
    Http404,
    HttpRequest,
    HttpResponse,
    HttpResponseBadRequest,
    HttpResponseBase,
    HttpResponseNotAllowed,
    HttpResponseRedirect,
    JsonResponse,
)
from django.template.loader import render_to_string
from django.template.response import TemplateResponse
from django.urls import URLPattern, path, reverse
from django.utils import timezone
from django.utils.html import format_html
from django.utils.safestring import SafeString
from django.utils.translation import gettext_lazy as _
from django.utils.translation import ngettext

from octovid_django.admin import cells, overview, video
from octovid_django.admin.actions import (
    refresh_now,
    resend_signals,
    resume_polling,
    stop_polling,
)
from octovid_django.admin.buttons import ButtonsMixin
from octovid_django.admin.changelist import BoundedPaginator, TaskChangeList
from octovid_django.admin.export import export_csv, export_json
from octovid_django.admin.fieldsets import FIELDSETS, opened
from octovid_django.admin.filters import DeliveryFilter, LinkFilter, ModelFilter
from octovid_django.admin.forms import TrackForm, VideoTaskForm
from octovid_django.admin.live import Cell, live_cell, render
from octovid_django.admin.permissions import permitted
from octovid_django.admin.responses import make_inert
from octovid_django.admin.search import (
    MAX_CHARACTERS,
    MAX_TOKENS,
    METADATA,
    is_cut,
    search,
)
from octovid_django.models import VideoTask, VideoTaskQuerySet
from octovid_django.redaction import redact
from octovid_django.tracking import add_metadata, track_many

MAX_LIVE_ROWS = 500
PRIMARY_KEY = re.compile("[0-9]{1,18}")
"""What every database can compare a key with."""
MAX_NAMED = 20
"""Ids in one message."""
TEMPLATES = "admin/octovid_django/videotask"

LOOKUPS = frozenset(
    {"", "exact", "in", "isnull", "gt", "gte", "lt", "lte", "year", "month", "day", "date"}
)
"""By which the address may narrow the list."""


def _chosen_action(request: HttpRequest) -> str:
    """The name of the action whose button was pressed, as Django finds it."""
    try:
        index = int(request.POST.get("index", 0))
    except ValueError:
        index = 0
    try:
        return request.POST.getlist("action")[index]
    except IndexError:
        return request.POST.get("action", "")


@admin.register(VideoTask)
class VideoTaskAdmin(ButtonsMixin):
    change_list_template = f"{TEMPLATES}/change_list.html"
    change_form_template = f"{TEMPLATES}/change_form.html"
    form = VideoTaskForm
    empty_value_display = "–"
    list_display = (
        *("task_id", "status_and_error", "progress_bar", "video_link"),
        *("run_time", "completed", "polls"),
    )
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

    def get_readonly_fields(self, request: HttpRequest, obj: VideoTask | None = None) -> list[str]:
        """All but the site's own."""
        shown = flatten_fieldsets(self.fieldsets or [(None, {"fields": self.fields or ()})])
        of_model = [field.name for field in self.opts.concrete_fields]
        names = dict.fromkeys([*shown, *of_model, *super().get_readonly_fields(request, obj)])
        return [name for name in names if name != "metadata"]

    def get_fieldsets(self, request: HttpRequest, obj: VideoTask | None = None) -> Any:
        """Those of this class, or of the site's own; what is folded is open where an error is."""
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
        selected = cast("VideoTaskQuerySet", queryset)
        if not is_across:
            selected = selected.filter(pk__in=request.POST.getlist(ACTION_CHECKBOX_NAME))
        function = self.action_function(request, _chosen_action(request))
        # What cannot be told which it is (a site's own, on the page of a task) may change tasks.
        needed = getattr(function, "allowed_permissions", ()) if function else ["change"]
        allowed = permitted(self, request, selected, needed)
        if allowed is not selected and (count := selected.count() - allowed.count()):
            left_out = ngettext(
                "%(count)d of the selected tasks was left out: you do not have the permission.",
                "%(count)d of the selected tasks were left out: you do not have the permission.",
                count,
            )
            self.message_user(request, left_out % {"count": count}, messages.WARNING)
        return super().response_action(request, allowed, *args, **kwargs)

    def lookup_allowed(self, lookup: str, value: str, request: HttpRequest) -> bool:
        """Whether the address may narrow the list by ``lookup``.

        By a pattern it could be guessed what stands in columns that the page does not show.
        """
        name, _, kind = lookup.partition(LOOKUP_SEP)
        if name not in {field.name for field in VideoTask._meta.concrete_fields} | {"pk"}:
            return super().lookup_allowed(lookup, value, request)
        names = {"pk", self.opts.pk.name, "task_id", self.date_hierarchy}
        for each in self.get_list_filter(request):
            field: Any = each[0] if isinstance(each, (list, tuple)) else each
            names.add(str(getattr(field, "parameter_name", field)))
        return name in names and kind in LOOKUPS

    def add_view(
        self,
        request: HttpRequest,
        form_url: str = "",
        extra_context: dict[str, Any] | None = None,
    ) -> HttpResponse:
        """Track one or many tasks. Bad ids come back to be corrected, the good ones are tracked."""
        if not self.has_add_permission(request):
            raise PermissionDenied
        to_fields = [query.get(TO_FIELD_VAR) for query in (request.POST, request.GET)]
        for to_field in filter(None, to_fields):
            if not self.to_field_allowed(request, to_field):
                raise DisallowedModelAdminToField(f"The field {to_field} cannot be referenced.")
        form = TrackForm(request.POST or None)
        is_valid = form.is_valid()
        self._track(request, form.good, form.application_data)
        is_popup = IS_POPUP_VAR in request.POST or IS_POPUP_VAR in request.GET
        if is_valid and is_popup and form.good:
            task = self._visible(request, form.good[:1]).first()
            if task is None:  # for this user it is the same, whether it was known before or not
                return HttpResponseRedirect(request.get_full_path())
            return self.response_add(request, task)
        if is_valid:
            can_view = self.has_view_or_change_permission(request)
            return HttpResponseRedirect(
                self._url("changelist") if can_view else self._url_of("index")
            )
        fieldsets = [(None, {"fields": list(form.fields)})]
        context = {
            "title": _("Track video tasks"),
            "add": True,
            "adminform": AdminForm(form, fieldsets, {}, model_admin=self),  # type: ignore[arg-type]
            "errors": form.errors,
            "media": self.media + form.media,
            "is_popup": is_popup,
            "is_popup_var": IS_POPUP_VAR,
            "to_field": next(filter(None, to_fields), None),
            "to_field_var": TO_FIELD_VAR,
            **(extra_context or {}),
        }
        return self._page(request, "track", context)

    def _track(self, request: HttpRequest, task_ids: list[str], metadata: dict[str, Any]) -> None:
        """Track them, and say no more of those that this user may not view than of new ones."""
        tasks = self._visible(request, task_ids)
        known = set(tasks.values_list("task_id", flat=True))
        new = [task_id for task_id in task_ids if task_id not in known]
        if metadata:
            self._add_metadata(request, tasks, metadata)
        track_many(new, metadata)
        self._log_added(request, new)
        if new:
            message = ngettext(
                "%(count)d task is tracked now.", "%(count)d tasks are tracked now.", len(new)
            )
            self.message_user(request, message % {"count": len(new)}, messages.SUCCESS)
        if known:
            ids = ", ".join(sorted(known)[:MAX_NAMED]) + (" …" if len(known) > MAX_NAMED else "")
            self.message_user(request, _("Known already: %(ids)s") % {"ids": ids}, messages.INFO)
        if resumable := tasks.resumable().count():
            message = ngettext(
                "%(count)d of them is tracked no longer: select it in the list to track it again.",
                "%(count)d of them are tracked no longer: select them in the list to track them "
                "again.",
                resumable,
            )
            self.message_user(request, message % {"count": resumable}, messages.WARNING)

    def _log_added(self, request: HttpRequest, task_ids: list[str]) -> None:
        # What this user may not view is named, but not linked to: its key would tell its age.
        pks = {task.task_id: str(task.pk) for task in self._visible(request, task_ids)}
        LogEntry.objects.bulk_create(
            LogEntry(
                user_id=cast("int", request.user.pk),  # nobody else gets here
                content_type=get_content_type_for_model(self.model),
                object_id=pks.get(task_id),
                object_repr=task_id,
                action_flag=ADDITION,
                change_message=json.dumps([{"added": {}}]),
            )
            for task_id in task_ids
        )

    def _add_metadata(
        self, request: HttpRequest, tasks: VideoTaskQuerySet, metadata: dict[str, Any]
    ) -> None:
        """Add ``metadata`` to those of the known tasks that this user may change."""
        if not self.has_change_permission(request):
            return
        changed = list(permitted(self, request, tasks, ["change"]))
        if changed:
            add_metadata([task.pk for task in changed], metadata)
            LogEntry.objects.log_actions(
                user_id=cast("int", request.user.pk),
                queryset=changed,
                action_flag=CHANGE,
                change_message=[{"changed": {"fields": ["Metadata"]}}],
            )
            message = _("Known tasks whose metadata was changed: %(count)d")
            self.message_user(request, message % {"count": len(changed)}, messages.SUCCESS)

    def _visible(self, request: HttpRequest, task_ids: list[str]) -> VideoTaskQuerySet:
        """Those of these tasks that this user may view."""
        if not self.has_view_or_change_permission(request):
            return VideoTask.objects.none()
        tasks = cast("VideoTaskQuerySet", self.get_queryset(request)).primary()
        return permitted(self, request, tasks.filter(task_id__in=task_ids), ["view"])

    def changelist_view(
        self, request: HttpRequest, extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        if request.method == "GET" and is_cut(request.GET.get(SEARCH_VAR, "")):
            message = _(
                "The search is too long: only its first %(tokens)d words are looked for, and no "
                "more than %(characters)d characters."
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
        above = overview.above(self._visible_to(request), self.get_list_filter(request))
        return above | {"list_url": self._url("changelist")}

    def change_view(
        self,
        request: HttpRequest,
        object_id: str,
        form_url: str = "",
        extra_context: dict[str, Any] | None = None,
    ) -> HttpResponse:
        if "_saveasnew" in request.POST:  # Django takes it, whatever ``save_as`` is
            raise PermissionDenied
        return super().change_view(request, object_id, form_url, extra_context)

    def _task(self, request: HttpRequest, object_id: str) -> VideoTask:
        task = self.get_object(request, unquote(object_id))
        if not self.has_view_or_change_permission(request, task):
            raise PermissionDenied
        if task is None:
            raise Http404
        return task

    def get_urls(self) -> list[URLPattern]:
        view = self.admin_site.admin_view
        return [
            path("live/", view(self.live_view), name=self._url_name("live")),
            path("<path:object_id>/video/", view(self.video_view), name=self._url_name("video")),
            *super().get_urls(),
        ]

    def _page(
        self, request: HttpRequest, name: str, context: dict[str, Any], status: int = 200
    ) -> TemplateResponse:
        request.current_app = self.admin_site.name
        context = {
            **self.admin_site.each_context(request),
            "opts": self.opts,
            "has_view_permission": self.has_view_or_change_permission(request),
            **context,
        }
        return TemplateResponse(request, f"{TEMPLATES}/{name}.html", context, status=status)

    def _url(self, name: str, *args: object) -> str:
        return self._url_of(self._url_name(name), *args)

    def _url_name(self, name: str) -> str:
        """Of a page, as Django's own pages of this model are named; a proxy has its own."""
        return f"{self.opts.app_label}_{self.opts.model_name}_{name}"

    def _url_of(self, name: str, *args: object) -> str:
        return reverse(f"admin:{name}", args=args, current_app=self.admin_site.name)

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
        """What ``live.js`` asks for: the cells of the rows on screen that change by themselves.

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

    def video_url(self, task: VideoTask) -> str:
        """Return the site's own link to the video, which always answers."""
        return self._url("video", quote(task.pk))

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
        text = json.dumps(task.payload, indent=2, ensure_ascii=False)
        # Their hosts and paths may be read here.
        queries = [f"?{link.partition('?')[2]}" for link in task.known_links() if "?" in link]
        text = redact(text, queries)
        return format_html('<pre class="octovid-payload">{}</pre>', text)
