"""The pieces of a page that ``live.js`` keeps up to date: how it finds them, how they are sent."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import TYPE_CHECKING, Any

from django.contrib import admin
from django.contrib.admin.utils import display_for_field, display_for_value, lookup_field
from django.template.defaultfilters import linebreaksbr
from django.utils.html import conditional_escape, format_html
from django.utils.safestring import SafeString

from octovid_django.models import VideoTask

if TYPE_CHECKING:
    from django_stubs_ext import StrPromise

Cell = SafeString | str | None
Method = Callable[[Any, VideoTask], Cell]


def live_cell(
    description: StrPromise, ordering: str | None = None
) -> Callable[[Method], Callable[[Any, VideoTask], SafeString]]:
    """A method whose piece of HTML ``live.js`` finds, in a list and on a page of any theme."""

    def decorate(method: Method) -> Callable[[Any, VideoTask], SafeString]:
        @admin.display(description=description, ordering=ordering)
        @wraps(method)
        def cell(self: Any, task: VideoTask) -> SafeString:
            html = method(self, task) or self.get_empty_value_display()
            return format_html('<div data-octovid-cell="{}">{}</div>', method.__name__, html)

        return cell

    return decorate


def render(model_admin: Any, task: VideoTask, name: str) -> str:
    """Return what Django's own pages have, of a field or of a method of the admin."""
    empty = model_admin.get_empty_value_display()
    field, attribute, value = lookup_field(name, task, model_admin)
    if field is None:
        is_boolean = getattr(attribute, "boolean", False)
        return conditional_escape(display_for_value(value, empty, is_boolean))
    return linebreaksbr(conditional_escape(display_for_field(value, field, empty)))
