"""A selection of tasks as a file, with the site's own links to the videos, not the signed ones."""

from __future__ import annotations

import csv
import re
from collections.abc import Iterator
from typing import Any

from django.contrib import admin
from django.core.serializers.json import DjangoJSONEncoder
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse
from django.utils.translation import gettext_lazy as _

from octovid_django.admin.pages import PagesMixin
from octovid_django.admin.responses import make_inert
from octovid_django.admin.video import has_link
from octovid_django.models import VideoTask
from octovid_django.values import json_text

COLUMNS = (
    *("task_id", "status", "progress", "fail_reason", "upstream_status"),
    *("duration", "resolution", "ratio", "model", "total_tokens", "video_url_expires_at"),
    *("created_at", "submitted_at", "started_at", "finished_at", "completed_at", "delivered_at"),
    *("delivery_attempts", "delivery_error", "last_error", "metadata"),
)
_ENDS = r"\t-\r\x1c-\x1e\x85\u2028\u2029"
"""Of a line, and a tab."""
_UNSEEN = (
    r"(?:[ \"'\\\x00-\x08\x0e-\x1b\x1f\x7f-\x84\x86-\xa0\xad\u034f\u061c\u115f\u1160\u1680\u17b4"
    r"\u17b5\u180b-\u180f\u2000-\u200f\u202a-\u202f\u205f-\u206f\u2800\u3000\u3164\ufe00-\ufe0f\ufeff"
    r"\uffa0\ufff0-\ufffb\U0001bca0-\U0001bca3\U0001d173-\U0001d17a\U000e0000-\U000e0fff])*"
)
"""Blanks, controls, Unicode's “default ignorable” characters, and quotes."""
_FORMULA = "[=+\\-@%|＝＋－＠％｜﹢﹣﹦﹫−]"
_FIRST = re.compile(rf"{_UNSEEN}{_FORMULA}|[\t\r\n]")
_LATER = re.compile(rf"([;|{_ENDS}]{_UNSEEN})(?={_FORMULA})")
"""What makes a spreadsheet take a text for a formula, also behind what nobody sees, or the rest of
it, where it takes another character than the comma for the end of a cell (OWASP, “CSV
Injection”). A "|" is both: what follows it is looked at whatever it was taken for itself."""
_LATER_IN_JSON = re.compile(f"{_LATER.pattern}({_FORMULA})")


@admin.action(description=_("Export the selected tasks as CSV"), permissions=["view"])
def export_csv(
    model_admin: PagesMixin, request: HttpRequest, tasks: QuerySet[VideoTask]
) -> HttpResponse:
    response = HttpResponse(content_type="text/csv; charset=utf-8")
    response.write("\ufeff")  # or Excel takes it for another encoding
    writer = csv.DictWriter(response, [*COLUMNS, "video"])
    writer.writeheader()
    for row in _rows(model_admin, request, tasks):
        row["metadata"] = _harmless_json(row["metadata"])
        writer.writerow({name: _harmless(value) for name, value in row.items()})
    return _attached(response, "video-tasks.csv")


@admin.action(description=_("Export the selected tasks as JSON"), permissions=["view"])
def export_json(
    model_admin: PagesMixin, request: HttpRequest, tasks: QuerySet[VideoTask]
) -> HttpResponse:
    response = HttpResponse(content_type="application/json")
    response.write("[")
    for number, row in enumerate(_rows(model_admin, request, tasks)):
        response.write(",\n" if number else "\n")
        response.write(json_text(row, indent=1, cls=DjangoJSONEncoder))
    response.write("\n]")
    return _attached(response, "video-tasks.json")


def _rows(
    model_admin: PagesMixin, request: HttpRequest, tasks: QuerySet[VideoTask]
) -> Iterator[dict[str, Any]]:
    for task in tasks.iterator():
        row = {name: getattr(task, name) for name in COLUMNS}
        url = request.build_absolute_uri(model_admin.video_url(task))
        yield row | {"video": url if has_link(task) else ""}


def _harmless(value: object) -> object:
    if not isinstance(value, str):
        return "" if value is None else value
    return ("'" if _FIRST.match(value) else "") + _LATER.sub(r"\1'", value)


def _harmless_json(value: object) -> str:
    """The same in JSON, which has escapes for it: it reads as it did before."""
    text = json_text(value)
    return _LATER_IN_JSON.sub(lambda found: f"{found[1]}\\u{ord(found[2]):04x}", text)


def _attached(response: HttpResponse, name: str) -> HttpResponse:
    response["Content-Disposition"] = f'attachment; filename="{name}"'
    return make_inert(response)
