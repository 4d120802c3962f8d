"""A selection of tasks as a file."""

from __future__ import annotations

import csv
import io
import json
import re
import time
import tracemalloc
from datetime import datetime, timezone
from typing import Any

import pytest
from django.contrib.auth.models import Permission, User
from django.db import connection
from django.http import HttpResponse
from django.test import Client
from django.urls import reverse
from hypothesis import given
from hypothesis import strategies as st

from octovid_django.admin import VideoTaskAdmin
from octovid_django.admin.export import _harmless, _harmless_json
from octovid_django.models import VideoTask

LINK = "https://cdn.example/video.mp4?Signature=secret"
LIST_URL = "admin:octovid_django_videotask_changelist"

pytestmark = pytest.mark.django_db


@pytest.fixture
def task() -> VideoTask:
    return VideoTask.objects.create(
        task_id="cgt-1",
        status="SUCCESS",
        video_url=LINK,
        total_tokens=7,
        finished_at=datetime(2026, 4, 12, 16, 35, tzinfo=timezone.utc),
        metadata={"product": "产品"},
    )


def export(client: Client, kind: str, *tasks: VideoTask) -> HttpResponse:
    data = {"action": f"export_{kind}", "_selected_action": [task.pk for task in tasks]}
    response = client.post(reverse(LIST_URL), data)
    assert response.status_code == 200
    assert response["Content-Disposition"] == f'attachment; filename="video-tasks.{kind}"'
    assert response["X-Content-Type-Options"] == "nosniff"
    assert response["Content-Security-Policy"] == "sandbox; default-src 'none'"
    return response


def csv_rows(response: HttpResponse) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(response.content.decode("utf-8-sig"))))


def test_csv_export_has_row_for_each_selected_task(admin_client: Client, task: VideoTask) -> None:
    other = VideoTask.objects.create(task_id="cgt-2")
    VideoTask.objects.create(task_id="not-selected")

    rows = csv_rows(export(admin_client, "csv", task, other))

    assert [row["task_id"] for row in rows] == ["cgt-2", "cgt-1"]
    assert rows[1]["total_tokens"] == "7"
    assert rows[1]["finished_at"] == "2026-04-12 16:35:00+00:00"
    assert rows[1]["metadata"] == '{"product": "产品"}'
    assert (rows[0]["total_tokens"], rows[0]["video"]) == ("", "")


def test_json_export_has_object_for_each_selected_task(
    admin_client: Client, task: VideoTask
) -> None:
    (row,) = export(admin_client, "json", task).json()

    assert row["task_id"] == "cgt-1"
    assert row["metadata"] == {"product": "产品"}
    assert row["finished_at"] == "2026-04-12T16:35:00Z"
    assert row["delivered_at"] is None


@pytest.mark.parametrize("kind", ["csv", "json"])
def test_export_contains_link_of_site_and_no_signed_link(
    admin_client: Client, task: VideoTask, kind: str
) -> None:
    text = export(admin_client, kind, task).content.decode()

    url = reverse("admin:octovid_django_videotask_video", args=[task.pk])
    assert f"http://testserver{url}" in text
    assert "secret" not in text


@pytest.mark.parametrize(
    "text",
    [
        *("=1+1", "+1", "-1", "@SUM(A1)", "\tx", "\rx", "＝1"),
        *("%1", "|x", "\u3164=1", "\uffa0\u2800\ufe0f=1", '"=1"'),
        *("\ufeff=1", "\u200b=1", " =1", "\xa0\u2060\u202e+1", "\x01=1"),
    ],
)
def test_csv_text_like_formula_is_escaped(admin_client: Client, text: str) -> None:
    task = VideoTask.objects.create(task_id="cgt-1", fail_reason=text)

    content = export(admin_client, "csv", task).content.decode("utf-8-sig")
    (row,) = csv.DictReader(io.StringIO(content, newline=""))

    assert row["fail_reason"] == f"'{text}"


@pytest.mark.parametrize(
    ("text", "cell"),
    [
        ("a;=1", "a;'=1"),
        ("a\t=1", "a\t'=1"),
        ("a\n+1", "a\n'+1"),
        ("a; \ufeff@x;-1", "a; \ufeff'@x;'-1"),
        ("=1;=2", "'=1;'=2"),
        ("cats, -1 = 3; no", "cats, -1 = 3; no"),
        ('a;"=1', "a;\"'=1"),
        ("a;\u3164\ufe0f\U000e0020=1", "a;\u3164\ufe0f\U000e0020'=1"),
        ("a|=1||", "a|'=1|'|"),
        ("\n=1", "'\n'=1"),
        ("\t\n;|=1", "'\t\n;'|'=1"),
        ("|=HYPERLINK(1)", "'|'=HYPERLINK(1)"),
        ("x;|=cmd()", "x;'|'=cmd()"),
        ("a||=1+1", "a|'|'=1+1"),
        ("|||-1", "'|'|'|'-1"),
        ("a\t|\ufeff|@x", "a\t'|\ufeff'|'@x"),
        ('"|\u3164=1', "'\"|\u3164'=1"),
        ("a\u2028−1", "a\u2028'−1"),
        ("a;\n;=1", "a;\n;'=1"),
    ],
)
def test_csv_text_with_formula_after_separator_is_escaped(
    admin_client: Client, text: str, cell: str
) -> None:
    task = VideoTask.objects.create(task_id="cgt-1", fail_reason=text)

    content = export(admin_client, "csv", task).content.decode("utf-8-sig")
    (row,) = csv.DictReader(io.StringIO(content, newline=""))

    assert row["fail_reason"] == cell


def test_csv_metadata_with_formulas_is_escaped_and_equal_json(
    admin_client: Client,
) -> None:
    metadata = {";=1": ["a;-2", "x\t=1", 'b|"@c', "\\;\\=", -3, "plain-text = 4"], "=x": "=y"}
    task = VideoTask.objects.create(task_id="cgt-1", metadata=metadata)

    (row,) = csv_rows(export(admin_client, "csv", task))

    assert json.loads(row["metadata"]) == metadata
    assert not re.search(r"[;|][\"\\ ]*[=+@-]", row["metadata"])
    assert "plain-text = 4" in row["metadata"]


@given(st.text(st.sampled_from("|;\t\n\r\u2028=+-@％ \ufeff\"'ax"), max_size=12))
def test_no_cell_begins_as_formula_whatever_ends_cells(text: str) -> None:
    unseen = " \ufeff\"'"
    metadata = _harmless_json({text: [text]})
    assert json.loads(metadata) == {text: [text]}
    assert _harmless(metadata) == metadata
    for value in (str(_harmless(text)), metadata):
        for separator in ("\0", "|", ";", "\t", "[\n\r\u2028]", "[|;\t\n\r\u2028]"):
            for cell in re.split(separator if "[" in separator else re.escape(separator), value):
                bare = cell.lstrip(unseen)
                is_text = "'" in cell[: len(cell) - len(bare)]
                assert is_text or not bare.startswith(("=", "+", "-", "@", "％", "|"))


@pytest.mark.parametrize("text", [" ", ";", "\t", "|", ";\ufeff", '"', "\n "])
def test_escaping_formulas_takes_linear_time(text: str) -> None:
    def seconds(length: int) -> float:
        start = time.perf_counter()
        _harmless(text * length)
        return time.perf_counter() - start

    assert seconds(400_000) < 40 * max(seconds(40_000), 0.01)


def test_view_permission_allows_export(client: Client, task: VideoTask) -> None:
    user = User.objects.create_user("viewer", is_staff=True)
    user.user_permissions.add(Permission.objects.get(codename="view_videotask"))
    client.force_login(user)

    assert len(csv_rows(export(client, "csv", task))) == 1


def test_export_of_1000_tasks_costs_few_queries(
    admin_client: Client, django_assert_max_num_queries: Any
) -> None:
    VideoTask.objects.bulk_create(VideoTask(task_id=f"cgt-{number}") for number in range(1_000))
    data = {"action": "export_json", "_selected_action": ["1"], "select_across": "1"}

    with django_assert_max_num_queries(12):
        response = admin_client.post(reverse(LIST_URL), data)

    assert len(response.json()) == 1_000


@pytest.mark.skipif(connection.vendor != "sqlite", reason="others store no such JSON")
@pytest.mark.parametrize("kind", ["csv", "json"])
def test_export_of_surrogate_in_stored_metadata_has_escape(admin_client: Client, kind: str) -> None:
    task = VideoTask.objects.create(task_id="cgt-1", metadata={"a": "\ud800产"})

    text = export(admin_client, kind, task).content.decode()

    assert "\\ud800产" in text


def test_json_export_of_no_task_is_empty_array(
    admin_client: Client, task: VideoTask, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        VideoTaskAdmin, "has_view_permission", lambda self, request, obj=None: not obj
    )
    monkeypatch.setattr(
        VideoTaskAdmin, "has_change_permission", lambda self, request, obj=None: not obj
    )

    assert json.loads(export(admin_client, "json", task).content) == []


@pytest.mark.parametrize("kind", ["csv", "json"])
def test_export_of_large_metadata_takes_little_more_memory_than_its_file(
    admin_client: Client, kind: str
) -> None:
    tasks = [
        VideoTask.objects.create(task_id=f"cgt-{number}", metadata={"a": "x" * 100_000})
        for number in range(100)
    ]
    tracemalloc.start()
    try:
        content = export(admin_client, kind, *tasks).content
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()

    # Drivers of MariaDB hold all rows that a query returns, whatever is read of them at once.
    assert peak < (3.5 if connection.vendor == "mysql" else 2.5) * len(content)
