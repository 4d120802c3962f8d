"""The buttons on the page of a task: what can be done to it in the state that it is in.

They belong to the form of the page, so that what was edited there is saved before anything is done.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, cast

from django.contrib import messages
from django.contrib.admin.models import LogEntry
from django.contrib.admin.templatetags.admin_urls import add_preserved_filters
from django.contrib.admin.utils import unquote
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.utils.translation import gettext_lazy as _

from octovid_django.admin.pages import PagesMixin
from octovid_django.enums import STICKY_STATUSES
from octovid_django.models import VideoTask

if TYPE_CHECKING:
    from django_stubs_ext import StrPromise

PRESSED = "_octovid_action"
"""The name of the buttons in the form."""

APPLIES: Mapping[str, Callable[[VideoTask], bool]] = {
    "stop_polling": lambda task: task.next_poll_at is not None,
    "resume_polling": lambda task: task.next_poll_at is None and task.status not in STICKY_STATUSES,
    "resend_signals": lambda task: task.completed_at is not None,
}
"""To which tasks an action applies; the others apply to every task."""


class Saved(HttpResponseRedirect):
    """Back to the page: what was edited is saved, and what the button stands for can be done."""


class ButtonsMixin(PagesMixin):
    page_actions: Mapping[str, StrPromise] = {
        "refresh_now": _("Refresh now"),
        "resume_polling": _("Resume polling"),
        "stop_polling": _("Stop polling"),
        "resend_signals": _("Resend completion signals"),
    }
    """The actions that the page of a task has as well, and what they are called there.

    They need the permission to change that task.
    """

    def buttons(self, request: HttpRequest, task: VideoTask) -> list[tuple[str, StrPromise]]:
        """Return what this user can do to ``task`` now: the names of actions, and their labels."""
        if not self.has_change_permission(request, task):
            return []
        actions = self.get_actions(request)
        return [
            (name, label)
            for name, label in self.page_actions.items()
            if name in actions and APPLIES.get(name, bool)(task)
        ]

    def action_function(self, request: HttpRequest, name: str) -> Callable[..., Any] | None:
        """The function of an action that this user may run."""
        action = self.get_actions(request).get(name)
        if isinstance(action, tuple):
            return cast("Callable[..., Any]", action[0])
        return cast("Callable[..., Any]", action.func) if action else None  # since Django 6.1

    def change_view(
        self,
        request: HttpRequest,
        object_id: str,
        form_url: str = "",
        extra_context: dict[str, Any] | None = None,
    ) -> HttpResponse:
        if "_saveasnew" in request.POST:  # Django takes it, whatever ``save_as`` is
            raise PermissionDenied
        act = self._pressed(request)
        task = self.get_object(request, unquote(object_id))
        context = {"buttons": self.buttons(request, task) if task else [], **(extra_context or {})}
        response = super().change_view(request, object_id, form_url, context)
        if task and act and isinstance(response, Saved):
            # Not before the transaction of the form is over: workers must find what was edited.
            done = act(self, request, self.get_queryset(request).filter(pk=task.pk))
            return cast("HttpResponse | None", done) or response
        if act and response.status_code == 200:
            message = _("Nothing was done: correct what you edited first.")
            self.message_user(request, message, messages.WARNING)
        return response

    def _pressed(self, request: HttpRequest) -> Callable[..., Any] | None:
        """The action whose button was pressed.

        Raises:
            PermissionDenied: The user may not run it, or the page does not have it.
        """
        if PRESSED not in request.POST:
            return None
        name = request.POST[PRESSED]
        function = self.action_function(request, name) if name in self.page_actions else None
        if function is None:
            raise PermissionDenied
        return function

    def save_model(self, request: HttpRequest, obj: VideoTask, form: Any, change: bool) -> None:
        if PRESSED not in request.POST or form.has_changed():
            super().save_model(request, obj, form, change)

    def log_change(  # type: ignore[override]  # Django ignores what it returns
        self, request: HttpRequest, obj: VideoTask, message: Any
    ) -> LogEntry | None:
        """Note what was edited, if anything was; the action notes itself."""
        if PRESSED in request.POST:
            if not message:
                return None
            self.message_user(request, _("What you edited was saved."), messages.SUCCESS)
        return super().log_change(request, obj, message)

    def response_change(self, request: HttpRequest, obj: VideoTask) -> HttpResponse:
        if PRESSED not in request.POST:
            return super().response_change(request, obj)
        preserved: dict[str, Any] = {
            "preserved_filters": self.get_preserved_filters(request),
            "opts": self.opts,
        }
        return Saved(add_preserved_filters(preserved, request.path))
