"""Adding tasks in the admin: their ids, one a line."""

from __future__ import annotations

import html
import json
import re
from typing import Any

import pytest
from django.contrib.admin.models import LogEntry
from django.contrib.auth.models import Permission, User
from django.contrib.messages import get_messages
from django.db import connection
from django.http import HttpResponse
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse

from octovid_django.admin import VideoTaskAdmin
from octovid_django.models import VideoTask

URL = "admin:octovid_django_videotask_add"

pytestmark = pytest.mark.django_db


def post(client: Client, task_ids: str, metadata: str = "") -> Any:
    return client.post(reverse(URL), {"task_ids": task_ids, "metadata": metadata})


def due_ids() -> set[str]:
    return set(VideoTask.objects.due().values_list("task_id", flat=True))


def left_in(page: str, name: str) -> str:
    """What the textarea of this name holds."""
    match = re.search(rf'<textarea name="{name}".*?>\s*(.*?)</textarea>', page, re.DOTALL)
    assert match
    return html.unescape(match[1])


def login(client: Client, *permissions: str) -> None:
    user = User.objects.create_user("operator", is_staff=True)
    names = [f"{permission}_videotask" for permission in permissions]
    user.user_permissions.set(Permission.objects.filter(codename__in=names))
    client.force_login(user)


def messages_of(response: HttpResponse) -> list[str]:
    return [str(message) for message in get_messages(response.wsgi_request)]


def test_add_page_shows_field_for_task_ids(admin_client: Client) -> None:
    page = admin_client.get(reverse(URL)).content.decode()

    assert '<textarea name="task_ids"' in page
    assert "errornote" not in page


def test_each_id_is_tracked_once(admin_client: Client) -> None:
    response = post(admin_client, " cgt-1 \r\n\r\ngrok:05c8/x\ncgt-1")

    assert response.status_code == 302
    assert response["Location"] == reverse("admin:octovid_django_videotask_changelist")
    assert messages_of(response) == ["2 tasks are tracked now."]
    assert set(VideoTask.objects.due().values_list("task_id", flat=True)) == {
        "cgt-1",
        "grok:05c8/x",
    }
    assert LogEntry.objects.count() == 2


def test_known_id_is_reported_and_unchanged(admin_client: Client) -> None:
    VideoTask.objects.create(task_id="cgt-1", status="SUCCESS")

    response = post(admin_client, "cgt-1\ncgt-2")

    assert messages_of(response) == ["1 task is tracked now.", "Already tracked: cgt-1"]
    assert VideoTask.objects.get(task_id="cgt-1").status == "SUCCESS"


def test_known_lost_task_is_reported_as_no_longer_polled(admin_client: Client) -> None:
    VideoTask.objects.create(task_id="cgt-1", status="LOST")

    assert messages_of(post(admin_client, "cgt-1"))[1].startswith("1 of them is not polled")


def test_message_about_1000_known_ids_names_first_20(admin_client: Client) -> None:
    VideoTask.objects.bulk_create(
        VideoTask(task_id=f"cgt-{number:04}", status="SUCCESS") for number in range(1_000)
    )
    response = post(admin_client, "\n".join(f"cgt-{number:04}" for number in range(1_000)))

    (message,) = messages_of(response)
    assert message.endswith("cgt-0019 …")


def test_popup_receives_primary_key_of_new_task(admin_client: Client) -> None:
    page = admin_client.get(reverse(URL), {"_popup": "1"}).content.decode()
    assert '<input type="hidden" name="_popup" value="1">' in page
    assert "breadcrumbs" not in page

    response = admin_client.post(reverse(URL), {"task_ids": "cgt-1", "_popup": "1"})

    task = VideoTask.objects.get()
    assert json.loads(response.context_data["popup_response_data"])["value"] == str(task.pk)


def test_invalid_ids_are_explained_and_valid_ids_tracked(admin_client: Client) -> None:
    response = post(admin_client, f"cgt-1\nnot an <id>\n{'x' * 192}")
    page = response.content.decode()

    assert response.status_code == 200
    assert messages_of(response) == ["1 task is tracked now."]
    assert VideoTask.objects.get().task_id == "cgt-1"
    assert "not an &lt;id&gt;: the task id" in page
    assert "has 192 characters" in page
    left = page[page.index("<textarea") : page.index("</textarea>")]
    assert "not an &lt;id&gt;" in left
    assert "x" * 192 in left
    assert "cgt-1" not in left


def test_empty_field_is_rejected_as_required(admin_client: Client) -> None:
    response = post(admin_client, " ")

    assert response.status_code == 200
    assert "This field is required" in response.content.decode()


@pytest.fixture
def adder(client: Client) -> Client:
    """A user who may add tasks, and nothing else."""
    user = User.objects.create_user("adder", is_staff=True)
    user.user_permissions.add(Permission.objects.get(codename="add_videotask"))
    client.force_login(user)
    return client


def test_add_permission_alone_redirects_to_admin_index(adder: Client) -> None:
    assert post(adder, "cgt-1")["Location"] == reverse("admin:index")


def test_view_permission_alone_returns_403(client: Client) -> None:
    user = User.objects.create_user("viewer", is_staff=True)
    user.user_permissions.add(Permission.objects.get(codename="view_videotask"))
    client.force_login(user)

    assert post(client, "cgt-1").status_code == 403
    assert not VideoTask.objects.exists()


class TestPastedText:
    """What a spreadsheet, a CSV file or a mail puts around ids, and in place of some."""

    @pytest.mark.parametrize(
        "line",
        [
            '"cgt-1"',
            "'cgt-1'",
            "\u201ccgt-1\u201d",
            "\u2018cgt-1\u2019",
            "«cgt-1»",
            "„cgt-1“",
            "「cgt-1」",
            "`cgt-1`",
            "cgt-1,",
            "cgt-1;",
            "cgt-1，",
            "cgt-1；",
            "\ufeffcgt-1",
            "\u200bcgt-1\u200b",
            "\tcgt-1\t",
            "\xa0cgt-1\u3000",
            '  ["cgt-1",',
            "<cgt-1>",
            "| cgt-1 |",
            "'cgt-1",
        ],
    )
    def test_punctuation_around_id_is_stripped(self, admin_client: Client, line: str) -> None:
        assert post(admin_client, line).status_code == 302
        assert due_ids() == {"cgt-1"}

    @pytest.mark.parametrize(
        "line",
        [
            *("n/a", "N/A", "#N/A", "#REF!", "#NAME?", "#DIV/0!", "-", "–", "—", "?", "/"),
            *("null", "None", "NaN", "undefined", "TRUE", "task_id", "Task-ID", "id", "video_id"),
            *("task_id\tproduct", "cgt-1\t370", "cgt-1,370", "cgt-1;370", "cgt-1, cgt-2"),
            *('"cgt-1","370"', "cgt-1 370", '="cgt-1"', "=A2", "8.42374E+17", "1E+20"),
            "https://octopusx.ai/v1/video/generations/cgt-1",
            '"https://cdn.example/video.mp4"',
        ],
    )
    def test_line_without_valid_id_is_left_for_correction(
        self, admin_client: Client, line: str
    ) -> None:
        response = post(admin_client, f"{line}\ncgt-good")

        assert response.status_code == 200
        assert left_in(response.content.decode(), "task_ids") == line
        assert due_ids() == {"cgt-good"}

    def test_spreadsheet_rows_with_ids_are_tracked_and_others_left_for_correction(
        self, admin_client: Client
    ) -> None:
        good = {f"cgt-20260412163502-{number:05}" for number in range(448)}
        bad = ["task_id", *["n/a"] * 20, *["#N/A"] * 20, *["https://octopusx.ai/console"] * 11]
        rows = [f'"{task_id}";' if task_id.endswith("7") else task_id for task_id in sorted(good)]

        response = post(admin_client, "\ufeff" + "\r\n".join([*bad[:1], *rows, *bad[1:]]))

        assert due_ids() == good
        left = left_in(response.content.decode(), "task_ids").removeprefix("\ufeff")
        assert left.splitlines() == bad

    @pytest.mark.parametrize("text", ['""', "[\n]", ",", "\ufeff"])
    def test_punctuation_without_id_is_rejected_as_required(
        self, admin_client: Client, text: str
    ) -> None:
        assert "This field is required" in post(admin_client, text).content.decode()


class TestMetadataField:
    def test_metadata_is_stored_on_every_new_task(self, admin_client: Client) -> None:
        post(admin_client, "cgt-1\ncgt-2", '{"product": 7}')

        assert [task.metadata for task in VideoTask.objects.all()] == [{"product": 7}] * 2

    def test_metadata_is_kept_in_form_beside_rejected_ids(self, admin_client: Client) -> None:
        page = post(admin_client, "cgt-1\nn/a", '{"product": 7}').content.decode()

        assert left_in(page, "metadata") == '{"product": 7}'
        assert VideoTask.objects.get().metadata == {"product": 7}

    @pytest.mark.parametrize(
        "metadata",
        [
            *("product 7", "[7]", "7", '"order"', '{"order": NaN}', '{"order": "\\u0000"}'),
            '{"a":' * 100_000,
            *(f'{{"a": {"9" * 5_000}}}', '{"order": "\\ud800"}'),
        ],
        ids=[
            *("words", "array", "number", "string", "NaN", "NUL", "deep", "long number"),
            "surrogate",
        ],
    )
    def test_invalid_metadata_is_rejected_and_nothing_tracked(
        self, admin_client: Client, metadata: str
    ) -> None:
        page = post(admin_client, "cgt-1\nn/a", metadata).content.decode()

        assert left_in(page, "metadata") == metadata
        assert left_in(page, "task_ids") == "cgt-1\nn/a"
        assert 'class="errorlist"' in page
        assert not VideoTask.objects.exists()

    @pytest.mark.parametrize("levels", [30, *range(300, 1_000, 70), 2_000, 4_900])
    def test_deep_metadata_is_rejected_however_deep(
        self, admin_client: Client, levels: int
    ) -> None:
        metadata = '{"a":' + "[" * levels + "]" * levels + "}"

        page = post(admin_client, "cgt-1", metadata).content.decode()

        assert left_in(page, "metadata").replace(" ", "") == metadata.replace(" ", "")
        assert 'class="errorlist"' in page
        assert not VideoTask.objects.exists()

    def test_change_permission_merges_metadata_into_known_task(self, client: Client) -> None:
        login(client, "add", "change")
        VideoTask.objects.create(task_id="cgt-1", metadata={"product": 6, "size": "L"})

        response = post(client, "cgt-1", '{"product": 7}')

        assert VideoTask.objects.get().metadata == {"product": 7, "size": "L"}
        assert "Already tracked tasks whose metadata was changed: 1" in messages_of(response)
        assert LogEntry.objects.get().get_change_message() == "Changed Metadata."

    def test_add_permission_alone_keeps_metadata_of_known_task(self, client: Client) -> None:
        login(client, "add", "view")
        VideoTask.objects.create(task_id="cgt-1", metadata={"product": 6})

        response = post(client, "cgt-1\ncgt-2", '{"product": 7}')

        assert VideoTask.objects.get(task_id="cgt-1").metadata == {"product": 6}
        assert VideoTask.objects.get(task_id="cgt-2").metadata == {"product": 7}
        assert not [each for each in messages_of(response) if "metadata" in each]

    def test_known_task_outside_user_queryset_keeps_metadata(
        self, admin_client: Client, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        VideoTask.objects.create(task_id="cgt-1", metadata={"product": 6})
        hidden = VideoTask.objects.none()
        monkeypatch.setattr(VideoTaskAdmin, "get_queryset", lambda *_: hidden)

        post(admin_client, "cgt-1", '{"product": 7}')

        assert VideoTask.objects.get().metadata == {"product": 6}


class TestPopup:
    """A window that another admin's page opens to get a task, or a field of one."""

    @pytest.mark.parametrize("method", ["get", "post"])
    @pytest.mark.parametrize(
        "field", ["video_url", "payload", "status", "__dict__", "__class__", "pk", "x", "id__in"]
    )
    def test_to_field_without_foreign_key_is_refused_with_400(
        self, admin_client: Client, field: str, method: str
    ) -> None:
        task = VideoTask.objects.create(task_id="cgt-1", video_url="https://cdn.example/?secret")
        query = {"_popup": "1", "_to_field": field, "task_ids": "cgt-1\ncgt-2"}

        response = getattr(admin_client, method)(reverse(URL), query)

        assert response.status_code == 400
        assert b"secret" not in response.content
        assert VideoTask.objects.get() == task

    def test_to_field_in_query_of_post_is_refused_with_400(self, admin_client: Client) -> None:
        url = f"{reverse(URL)}?_popup=1&_to_field=video_url"

        for posted in ({}, {"_to_field": "id"}):
            response = admin_client.post(url, {"task_ids": "cgt-1", "_popup": "1", **posted})
            assert response.status_code == 400

    def test_primary_key_as_to_field_is_returned(self, admin_client: Client) -> None:
        data = {"task_ids": "cgt-1", "_popup": "1", "_to_field": "id"}
        response = admin_client.post(reverse(URL), data)

        value = json.loads(response.context_data["popup_response_data"])["value"]
        assert value == str(VideoTask.objects.get().pk)

    def test_known_task_is_returned_to_user_with_view_permission(
        self, admin_client: Client
    ) -> None:
        task = VideoTask.objects.create(task_id="cgt-1", status="SUCCESS")
        response = admin_client.post(reverse(URL), {"task_ids": "cgt-1", "_popup": "1"})

        value = json.loads(response.context_data["popup_response_data"])["value"]
        assert value == str(task.pk)


class TestHiddenTasks:
    """A user who may add tasks, but not view them, cannot tell a known id from an unknown one."""

    @pytest.mark.parametrize("data", [{}, {"_popup": "1"}, {"_popup": "1", "_to_field": "id"}])
    @pytest.mark.parametrize("known", [{"status": "SUCCESS"}, {"status": "LOST"}, {}])
    def test_add_permission_alone_gets_same_response_for_known_and_unknown_id(
        self, adder: Client, known: dict[str, str], data: dict[str, str]
    ) -> None:
        task = VideoTask.objects.create(task_id="cgt-1", **known)
        before = VideoTask.objects.values().get()
        responses = []
        for task_id in ("cgt-1", "cgt-2"):
            response = adder.post(reverse(URL), {"task_ids": task_id, **data})
            page = adder.get(response["Location"]).content.decode()
            shown = re.sub(r"cgt-\d|\"[A-Za-z0-9]{64}\"", "", page)
            responses.append((response.status_code, response["Location"], shown))
            LogEntry.objects.all().delete()

        assert responses[0] == responses[1]
        assert "1 task is tracked now." in responses[0][2]
        assert VideoTask.objects.values().get(pk=task.pk) == before

    def test_task_outside_user_queryset_is_treated_as_unknown(
        self, admin_client: Client, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        VideoTask.objects.create(task_id="cgt-1", status="LOST")
        monkeypatch.setattr(
            VideoTaskAdmin, "get_queryset", lambda self, request: VideoTask.objects.none()
        )
        assert messages_of(post(admin_client, "cgt-1")) == ["1 task is tracked now."]

    def test_task_without_view_permission_is_treated_as_unknown(
        self, admin_client: Client, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        VideoTask.objects.create(task_id="cgt-1", status="LOST")
        monkeypatch.setattr(
            VideoTaskAdmin,
            "has_view_or_change_permission",
            lambda self, request, obj=None: obj is None or obj.task_id != "cgt-1",
        )
        assert messages_of(post(admin_client, "cgt-1")) == ["1 task is tracked now."]
        response = admin_client.post(reverse(URL), {"task_ids": "cgt-1", "_popup": "1"})
        assert response.status_code == 302


class TestInputBounds:
    @pytest.mark.parametrize(
        "task_ids",
        [
            "\n".join(f"t{number}" for number in range(1_001)),
            "t\n" * 200_000,
            "t1\n" + "x" * 500_000,
            "\n" * 300_000 + "t",
        ],
        ids=["one too many", "same", "one long", "blank"],
    )
    def test_too_many_ids_are_refused_with_hint_at_command(
        self, admin_client: Client, task_ids: str
    ) -> None:
        with CaptureQueriesContext(connection) as queries:
            response = post(admin_client, f"first\n{task_ids}")

        assert response.status_code == 200
        assert "“manage.py octovid_track” takes any number" in response.content.decode()
        assert len(response.content) < 50_000
        assert not [query for query in queries if "videotask" in query["sql"]]

    def test_too_many_ids_are_left_for_correction(self, admin_client: Client) -> None:
        page = post(admin_client, "t\n" * 1_000 + "last").content.decode()

        assert "t\nlast</textarea>" in page.replace("\r", "")

    def test_metadata_over_10000_characters_is_refused(self, admin_client: Client) -> None:
        data = {"task_ids": "cgt-1", "metadata": json.dumps({"text": "x" * 10_000})}
        response = admin_client.post(reverse(URL), data)

        assert "has at most 10000 characters" in response.content.decode()
        assert not VideoTask.objects.exists()

    def test_metadata_of_1000_known_tasks_costs_few_queries(
        self, admin_client: Client, django_assert_max_num_queries: Any
    ) -> None:
        ids = [f"t{number}" for number in range(1_000)]
        VideoTask.objects.bulk_create(VideoTask(task_id=each, metadata={"a": 1}) for each in ids)
        data = {"task_ids": "\n".join(ids), "metadata": '{"b": 2}'}

        with django_assert_max_num_queries(60):
            admin_client.post(reverse(URL), data)

        assert all(task.metadata == {"a": 1, "b": 2} for task in VideoTask.objects.all())

    def test_tracking_1000_ids_costs_few_queries(
        self, admin_client: Client, django_assert_max_num_queries: Any
    ) -> None:
        ids = "\n".join(f"{number:x>191}" for number in range(1_000))

        with django_assert_max_num_queries(60):
            response = post(admin_client, ids)

        assert messages_of(response) == ["1000 tasks are tracked now."]
        assert VideoTask.objects.due().count() == LogEntry.objects.count() == 1_000
