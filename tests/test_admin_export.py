"""A selection of tasks as a file."""

from __future__ import annotations

import csv
import io
import json
import re
import time
from datetime import datetime, timezone
from typing import Any

import pytest
from django.contrib.auth.models import Permission, User
from django.http import HttpResponse
from django.test import Client
from django.urls import reverse

from octovid_django.admin.export import _harmless
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
        *("=1+1", "+1", "-1", "@SUM(A1)", "\tx", "\rx", "\n=1", "＝1"),
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


@pytest.mark.parametrize("text", [" ", ";", "\t", ";\ufeff", '"', "\n "])
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
