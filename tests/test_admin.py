"""The admin's list and pages of tasks, and its pages of gateway states."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from datetime import datetime, timedelta, timezone
from html import escape, unescape
from typing import Any

import pytest
import time_machine
from django.contrib.auth.models import Permission, User
from django.contrib.contenttypes.models import ContentType
from django.db import connection
from django.db.models.signals import pre_save
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse

from octovid_django.admin.buttons import PRESSED
from octovid_django.admin.forms import MAX_METADATA
from octovid_django.cluster.schedules import ensure_schedule
from octovid_django.models import GatewayState, VideoTask

NOW = datetime(2026, 4, 12, 16, 35, tzinfo=timezone.utc)
LINK = "https://cdn.example/video.mp4?Expires=1&Signature=2"
HOSTILE = "<script>alert(1)</script>"
LIST_URL = "admin:octovid_django_videotask_changelist"

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def clock() -> Iterator[None]:
    with time_machine.travel(NOW, tick=False):
        yield


@pytest.fixture
def changelist(admin_client: Client) -> Callable[..., str]:
    """The page with the list, filtered and searched as its address says."""

    def get(**query: str) -> str:
        response = admin_client.get(reverse(LIST_URL), query)
        assert response.status_code == 200
        return response.content.decode()

    return get


@pytest.fixture
def change_page(admin_client: Client) -> Callable[[VideoTask], str]:
    def get(task: VideoTask) -> str:
        response = admin_client.get(change_url(task))
        assert response.status_code == 200
        return response.content.decode()

    return get


@pytest.fixture(params=["changelist", "change_page"])
def page_of(
    request: pytest.FixtureRequest,
    changelist: Callable[..., str],
    change_page: Callable[[VideoTask], str],
) -> Callable[[VideoTask], str]:
    """Each page that shows a task."""

    def get(task: VideoTask) -> str:
        return changelist() if request.param == "changelist" else change_page(task)

    return get


def change_url(task: VideoTask) -> str:
    return reverse("admin:octovid_django_videotask_change", args=[task.pk])


def create(task_id: str = "cgt-1", **values: Any) -> VideoTask:
    is_final = values.get("status") in ("SUCCESS", "FAILURE", "LOST")
    values.setdefault("next_poll_at", None if is_final else NOW)
    return VideoTask.objects.create(task_id=task_id, **values)


def links(page: str) -> list[str]:
    """The tags of the links to videos."""
    return re.findall(r'<a [^>]*target="_blank"[^>]*>', page)


def columns(page: str, name: str) -> list[str]:
    """The texts of one column of the list."""
    cells = re.findall(rf'<t[dh] class="field-{name}[^"]*">(.*?)</t[dh]>', page)
    return [unescape(re.sub(r"<[^>]+>", "", cell)) for cell in cells]


class TestTaskOnListAndChangePage:
    def test_id_status_and_progress_are_shown(self, page_of: Callable[[VideoTask], str]) -> None:
        page = page_of(create(status="IN_PROGRESS", progress=42))

        assert "cgt-1" in page
        assert "in progress" in page
        assert re.search(
            r'<progress [^>]*max="100" value="42" aria-label="[^"]+"></progress>', page
        )

    def test_unexpired_video_is_linked_without_signed_url(
        self, page_of: Callable[[VideoTask], str]
    ) -> None:
        task = create(
            status="SUCCESS", video_url=LINK, video_url_expires_at=NOW + timedelta(hours=1)
        )

        page = page_of(task)
        (link,) = links(page)

        assert f'href="{reverse("admin:octovid_django_videotask_video", args=[task.pk])}"' in link
        assert "cdn.example" not in page, "the signed URL stays out of pages"
        assert "noopener" in re.search(r'rel="([^"]*)"', link)[1].split()

    def test_expired_video_is_shown_as_expired_without_link(
        self, page_of: Callable[[VideoTask], str]
    ) -> None:
        page = page_of(create(status="SUCCESS", video_url=LINK, video_url_expires_at=NOW))

        assert links(page) == []
        assert "expired" in page
        assert "cdn.example" not in page

    @pytest.mark.parametrize(
        "url",
        [
            "javascript:alert(1)",
            "JavaScript://cdn.example/%0aalert(1)",
            "data:text/html,<script>alert(1)</script>",
            "ftp://cdn.example/video.mp4",
            "//cdn.example/video.mp4",
        ],
        ids=["javascript", "javascript with host", "data", "ftp", "no scheme"],
    )
    def test_video_url_that_is_not_http_is_not_linked(
        self, page_of: Callable[[VideoTask], str], url: str
    ) -> None:
        page = page_of(create(status="SUCCESS", video_url=url))

        assert links(page) == []
        assert f'href="{escape(url)}"' not in page

    def test_malformed_video_url_is_not_linked(self, page_of: Callable[[VideoTask], str]) -> None:
        page = page_of(create(status="SUCCESS", video_url="https://[cdn.example/video.mp4"))

        assert links(page) == []

    @pytest.mark.parametrize(
        "octovid",
        [None, {"BASE_URL": "octopusx.ai"}, {}],
        ids=["none", "base url without scheme", "empty"],
    )
    def test_task_is_shown_with_invalid_settings(
        self, page_of: Callable[[VideoTask], str], settings: Any, octovid: object
    ) -> None:
        settings.OCTOVID = octovid

        assert "cgt-1" in page_of(create(status="SUCCESS", video_url=LINK))

    def test_task_without_video_has_no_link(self, page_of: Callable[[VideoTask], str]) -> None:
        assert links(page_of(create(status="QUEUED"))) == []

    def test_texts_of_gateway_and_application_are_escaped(
        self, page_of: Callable[[VideoTask], str]
    ) -> None:
        task = create(
            HOSTILE.replace(" ", ""),
            status="FAILURE",
            fail_reason=HOSTILE,
            upstream_status=HOSTILE,
            video_url=f"https://cdn.example/{HOSTILE}\"onclick='alert(1)'",
            resolution=HOSTILE,
            ratio=HOSTILE,
            payload={HOSTILE: [HOSTILE]},
            metadata={HOSTILE: f"</textarea>{HOSTILE}"},
            last_error=HOSTILE,
            delivery_error=HOSTILE,
        )

        page = page_of(task)

        assert HOSTILE not in page
        assert "</textarea>&lt;script" not in page
        assert "\"onclick='alert" not in page
        assert escape(HOSTILE) in page


@pytest.mark.urls("tests.urls_staff")
class TestSubclassOnSecondAdminSite:
    """A subclass with a column of its own, on an admin site beside Django's default one."""

    @pytest.fixture
    def get(self, admin_client: Client) -> Callable[..., Any]:
        def get(name: str, *args: int) -> Any:
            path = reverse(f"staff:octovid_django_videotask_{name}", args=args)
            return admin_client.get(path)

        return get

    def test_list_has_column_of_subclass(self, get: Callable[..., Any]) -> None:
        create(metadata={"product": 7})

        assert columns(get("changelist").content.decode(), "product") == ["7"]

    @pytest.mark.parametrize("name", ["changelist", "change", "video", "add"])
    def test_pages_link_only_to_their_own_site(self, get: Callable[..., Any], name: str) -> None:
        expired = {"video_url": LINK, "video_url_expires_at": NOW}
        task = create(status="SUCCESS", completed_at=NOW, **expired)
        create("cgt-2", video_url=LINK, video_url_expires_at=NOW + timedelta(minutes=9))

        page = get(name, *([task.pk] if name in ("change", "video") else [])).content.decode()

        assert "/staff/octovid_django/videotask/" in page
        assert "/admin/" not in re.sub(r'"/static/[^"]*"', "", page)


class TestProxyModel:
    """A proxy of the model, with an admin and permissions of its own."""

    @pytest.fixture(autouse=True)
    def site(self, settings: Any) -> Iterator[None]:
        settings.ROOT_URLCONF = "tests.urls_proxy"
        ContentType.objects.clear_cache()
        yield
        ContentType.objects.clear_cache()  # the row of the proxy is rolled back with the test

    @pytest.fixture
    def url(self) -> Callable[..., str]:
        def url(name: str, *args: int) -> str:
            return reverse(f"admin:staticfiles_successfultask_{name}", args=args)

        return url

    def test_list_has_overview_and_live_url_of_proxy(
        self, admin_client: Client, url: Callable[..., str]
    ) -> None:
        create(status="SUCCESS")

        page = admin_client.get(url("changelist")).content.decode()

        assert "octovid-overview" in page
        assert f'data-url="{url("live")}"' in page
        assert f'href="{url("changelist")}?status__exact=SUCCESS"' in page
        assert "/videotask/" not in page.partition('id="content"')[2]

    def test_change_video_live_and_add_views_use_urls_of_proxy(
        self, admin_client: Client, url: Callable[..., str]
    ) -> None:
        task = create(status="SUCCESS", video_url=LINK)

        page = admin_client.get(url("change", task.pk)).content.decode()

        (link,) = links(page)
        assert f'href="{url("video", task.pk)}"' in link
        assert "data-octovid-buttons" in page
        assert admin_client.get(url("video", task.pk))["Location"] == LINK
        assert admin_client.get(url("live"), {"ids": task.pk}).json()["rows"]
        added = admin_client.post(url("add"), {"task_ids": "cgt-2"})
        assert added["Location"] == url("changelist")

    def test_history_of_proxy_has_entry_of_stopped_polling(
        self, admin_client: Client, url: Callable[..., str]
    ) -> None:
        task = create(next_poll_at=NOW)

        response = admin_client.post(
            url("change", task.pk), {"_octovid_action": "stop_polling", "metadata": "{}"}
        )

        assert response["Location"] == url("change", task.pk)
        history = admin_client.get(url("history", task.pk)).content.decode()
        assert "Stopped polling." in history


class TestChangelist:
    def test_newest_task_is_first(self, changelist: Callable[..., str]) -> None:
        for number in (1, 2):
            create(f"cgt-{number}")

        assert columns(changelist(), "task_id") == ["cgt-2", "cgt-1"]

    def test_completion_time_is_shown(self, changelist: Callable[..., str]) -> None:
        create(completed_at=NOW + timedelta(minutes=5))

        assert columns(changelist(), "completed") == ["April 12, 2026, 4:40 p.m."]

    @pytest.mark.parametrize("field", ["fail_reason", "last_error", "delivery_error"])
    def test_error_is_shown_under_status(self, changelist: Callable[..., str], field: str) -> None:
        create(**{field: "too dark"})

        assert columns(changelist(), "status_and_error") == ["not startedtoo dark"]

    def test_active_task_unchanged_for_ten_minutes_is_marked(
        self, changelist: Callable[..., str]
    ) -> None:
        create("stalled", status="QUEUED", changed_at=NOW - timedelta(minutes=10))
        create("advancing", status="QUEUED", changed_at=NOW - timedelta(minutes=9))
        create("done", status="SUCCESS", changed_at=NOW - timedelta(days=1))

        assert columns(changelist(), "status_and_error") == [
            *("succeeded", "queued", "queuedUnchanged for 10:00"),
        ]

    def test_stopped_polling_is_shown_under_status(self, changelist: Callable[..., str]) -> None:
        create(next_poll_at=None)

        assert columns(changelist(), "status_and_error") == ["not startedPolling was stopped."]

    def test_overdue_poll_is_shown_with_due_time(self, changelist: Callable[..., str]) -> None:
        create(next_poll_at=NOW - timedelta(minutes=2))

        assert columns(changelist(), "polls") == ["due April 12, 2026, 4:33 p.m."]

    def test_long_error_is_truncated_with_full_text_in_title(
        self, changelist: Callable[..., str]
    ) -> None:
        create(fail_reason="x" * 2_000)

        page = changelist()

        (cell,) = columns(page, "status_and_error")
        assert cell == "not started" + "x" * 199 + "…"
        assert f'title="{"x" * 2_000}"' in page

    def test_status_filter_shows_only_tasks_of_status(self, changelist: Callable[..., str]) -> None:
        create("running", status="QUEUED")
        create("lost", status="LOST")

        assert columns(changelist(status__exact="LOST"), "task_id") == ["lost"]

    @pytest.mark.parametrize(
        ("value", "tasks"),
        [
            ("valid", ["undated", "expiring", "valid"]),
            ("expiring", ["expiring"]),
            ("expired", ["expired"]),
            ("none", ["none"]),
            ("nonsense", ["none", "undated", "expired", "expiring", "valid"]),
        ],
    )
    def test_link_filter_shows_only_tasks_of_link_state(
        self, changelist: Callable[..., str], value: str, tasks: list[str]
    ) -> None:
        for name, hours in (("valid", 2.0), ("expiring", 0.5), ("expired", 0.0)):
            create(name, video_url=LINK, video_url_expires_at=NOW + timedelta(hours=hours))
        create("undated", video_url=LINK)
        create("none")

        assert columns(changelist(link=value), "task_id") == tasks

    @pytest.mark.parametrize(
        ("value", "tasks"),
        [("waiting", ["waiting"]), ("done", ["done"]), ("abandoned", ["abandoned"])],
    )
    def test_delivery_filter_shows_only_tasks_of_delivery_state(
        self, changelist: Callable[..., str], value: str, tasks: list[str]
    ) -> None:
        create("running")
        create("waiting", completed_at=NOW, next_delivery_at=NOW)
        create("done", completed_at=NOW, delivered_at=NOW)
        create("abandoned", completed_at=NOW)

        assert columns(changelist(delivery=value), "task_id") == tasks

    def test_creation_date_filter_shows_only_newer_tasks(
        self, changelist: Callable[..., str]
    ) -> None:
        create("today")
        create("last-year")
        VideoTask.objects.filter(task_id="last-year").update(created_at=NOW - timedelta(days=365))

        page = changelist(created_at__gte="2026-04-12 00:00:00+00:00")

        assert columns(page, "task_id") == ["today"]

    @pytest.mark.parametrize("words", ["x8k2m", "too dark", "Ada", "customer", "küche", "产品"])
    def test_search_matches_id_fail_reason_and_metadata(
        self, changelist: Callable[..., str], words: str
    ) -> None:
        metadata = {"customer": ["ada", "küche"], "kind": "产品"}
        create("cgt-x8k2m", fail_reason="The picture is too dark", metadata=metadata)
        create("cgt-other", fail_reason="refused", metadata={"user": "bob"})

        assert columns(changelist(q=words), "task_id") == ["cgt-x8k2m"]

    def test_overdue_task_is_shown_in_problems_with_hint(
        self, changelist: Callable[..., str]
    ) -> None:
        create(next_poll_at=NOW - timedelta(minutes=3))

        page = changelist()

        assert "1 task is overdue: it is not polled." in page
        assert "Is the cluster (“manage.py qcluster”) running?" in page

    def test_problems_are_not_shown_when_there_are_none(
        self, changelist: Callable[..., str]
    ) -> None:
        ensure_schedule(using="default")
        create(next_poll_at=NOW)

        assert "octovid-problems" not in changelist()

    def test_query_count_does_not_grow_with_number_of_tasks(
        self, changelist: Callable[..., str]
    ) -> None:
        def queries_for(count: int) -> int:
            for number in range(VideoTask.objects.count(), count):
                create(
                    f"cgt-{number}",
                    status="SUCCESS",
                    video_url=LINK,
                    payload={"number": number},
                    metadata={"order": number},
                )
            with CaptureQueriesContext(connection) as captured:
                assert len(columns(changelist(), "task_id")) == count
            return len(captured)

        changelist()  # fills the caches of the process

        assert queries_for(5) == queries_for(50)

    def test_payload_is_not_selected(self, changelist: Callable[..., str]) -> None:
        create(payload={"large": "x" * 1000})

        with CaptureQueriesContext(connection) as captured:
            changelist()

        queries = [each["sql"] for each in captured if "octovid_django_videotask" in each["sql"]]
        assert queries
        assert not [sql for sql in queries if "payload" in sql]

    def test_count_queries_are_bounded(self, changelist: Callable[..., str]) -> None:
        create()

        with CaptureQueriesContext(connection) as captured:
            changelist()

        counts = [each["sql"] for each in captured if "SELECT COUNT(*)" in each["sql"]]
        assert counts
        for sql in counts:
            assert "LIMIT" in sql or "WHERE" in sql, sql


class TestChangePage:
    def test_only_metadata_is_editable(self, change_page: Callable[[VideoTask], str]) -> None:
        page = change_page(create(status="SUCCESS", payload={"status": "succeeded"}))

        form = page[page.index('id="videotask_form"') :]
        fields = re.findall(r"<(?:input|textarea|select)[^>]*>", form)
        editable = [each for each in fields if not re.search(r'type="(hidden|submit)"', each)]
        assert re.findall(r' name="([^"]+)"', "".join(editable)) == ["metadata"]

    def test_payload_is_shown_as_indented_json(
        self, change_page: Callable[[VideoTask], str]
    ) -> None:
        page = change_page(create(payload={"status": "готово"}))

        assert escape('{\n  "status": "готово"\n}') in page

    def test_signed_url_in_payload_is_redacted(
        self, change_page: Callable[[VideoTask], str]
    ) -> None:
        page = change_page(create(payload={"data": [{"url": LINK}], "seed": 7}))

        assert "https://cdn.example/video.mp4?…&quot;" in page
        assert "Signature" not in page

    @pytest.mark.parametrize("error", [None, "fail_reason", "last_error", "delivery_error"])
    def test_fieldset_with_error_is_not_collapsed(
        self, change_page: Callable[[VideoTask], str], error: str | None
    ) -> None:
        page = change_page(create(**({error: "too dark"} if error else {})))

        bodies = page.split('<fieldset class="module aligned ')[1:]
        for name in ("fail_reason", "last_error", "delivery_error"):
            (body,) = (each for each in bodies if f"field-{name}" in each)
            assert ("<details" in body) == (name != error)

    def test_saving_metadata_keeps_other_fields(self, admin_client: Client) -> None:
        task = create(status="QUEUED", next_poll_at=NOW, payload={"status": "queued"})

        response = admin_client.post(change_url(task), {"metadata": '{"order": 7}'})

        assert response.status_code == 302
        task.refresh_from_db()
        assert task.metadata == {"order": 7}
        assert (task.status, task.next_poll_at) == ("QUEUED", NOW)
        assert task.payload == {"status": "queued"}

    def test_posted_values_of_read_only_fields_are_ignored(self, admin_client: Client) -> None:
        task = create(status="QUEUED", next_poll_at=NOW)

        admin_client.post(
            change_url(task),
            {"metadata": "{}", "status": "SUCCESS", "task_id": "other", "video_url": LINK},
        )

        task.refresh_from_db()
        assert (task.status, task.task_id, task.video_url) == ("QUEUED", "cgt-1", "")

    def test_saving_metadata_keeps_completion_that_worker_stores_meanwhile(
        self, admin_client: Client
    ) -> None:
        task = create(status="QUEUED", next_poll_at=NOW)

        def complete(sender: object, instance: VideoTask, **_: Any) -> None:
            VideoTask.objects.filter(pk=instance.pk).update(
                status="SUCCESS", next_poll_at=None, completed_at=NOW, video_url=LINK
            )

        pre_save.connect(complete, sender=VideoTask)
        try:
            admin_client.post(change_url(task), {"metadata": '{"order": 7}'})
        finally:
            pre_save.disconnect(complete, sender=VideoTask)

        task.refresh_from_db()
        assert task.metadata == {"order": 7}
        assert (task.status, task.video_url, task.completed_at) == ("SUCCESS", LINK, NOW)

    @pytest.mark.parametrize(
        "metadata",
        [
            *("order 7", "[1]", '"order"', "7", '{"a":' * 100_000, f'{{"a": {"9" * 5_000}}}'),
            '{"a": "\\ud800"}',
        ],
        ids=["words", "array", "string", "number", "deep", "long number", "surrogate"],
    )
    def test_metadata_that_is_not_json_object_is_refused(
        self, admin_client: Client, metadata: str
    ) -> None:
        task = create(metadata={"order": 7})

        response = admin_client.post(change_url(task), {"metadata": metadata})

        assert response.status_code == 200, "the form comes back"
        assert "errorlist" in response.content.decode()
        task.refresh_from_db()
        assert task.metadata == {"order": 7}

    @pytest.mark.parametrize("levels", [30, *range(300, 1_000, 70), 2_000, 4_900])
    def test_deep_metadata_is_refused_however_deep(self, admin_client: Client, levels: int) -> None:
        task = create(metadata={"order": 7})
        deep, other = ('{"a":' + "[" * levels + inner + "]" * levels + "}" for inner in ("", "1"))

        for metadata, initial in ((deep, other), ("{}", deep), (deep, "{}"), (deep, deep)):
            data = {"metadata": metadata, "initial-metadata": initial}
            response = admin_client.post(change_url(task), data)

            assert response.status_code == 200 or metadata in ("{}", initial)
            task.refresh_from_db()
            assert task.metadata in ({"order": 7}, {})

    def test_surrogate_in_metadata_is_refused_in_debug_mode(
        self, admin_client: Client, settings: Any
    ) -> None:
        settings.DEBUG = True
        task = create()
        half = '{"a": "\\ud800"}'

        data = {"metadata": half, "initial-metadata": half.replace("a", "b")}
        response = admin_client.post(change_url(task), data)

        assert response.status_code == 200
        assert escape(half) in response.content.decode()

    @pytest.mark.skipif(connection.vendor != "sqlite", reason="others store no such JSON")
    def test_surrogate_in_stored_json_is_shown_as_escape(
        self, change_page: Callable[[VideoTask], str]
    ) -> None:
        page = change_page(create(metadata={"a": "\ud800产"}, payload={"b": "\udfff品"}))

        assert escape('{"a": "\\ud800产"}') in page
        assert escape('"b": "\\udfff品"') in page

    def test_metadata_beyond_limit_of_form_is_refused(self, admin_client: Client) -> None:
        task = create(metadata={"order": 7})

        response = admin_client.post(
            change_url(task), {"metadata": json.dumps({"a": "x" * MAX_METADATA})}
        )

        assert "at most 10000 characters" in response.content.decode()
        task.refresh_from_db()
        assert task.metadata == {"order": 7}

    def test_metadata_beyond_limit_that_is_stored_stays_and_can_be_shortened(
        self, admin_client: Client
    ) -> None:
        task = create(metadata={"a": "x" * MAX_METADATA}, next_poll_at=NOW)
        shown = json.dumps(task.metadata)
        data = {"metadata": shown, "initial-metadata": shown}

        response = admin_client.post(change_url(task), {**data, PRESSED: "stop_polling"})
        assert response.status_code == 302
        task.refresh_from_db()
        assert task.next_poll_at is None
        assert task.metadata == json.loads(shown)

        admin_client.post(change_url(task), {**data, "metadata": '{"a": 1}'})
        task.refresh_from_db()
        assert task.metadata == {"a": 1}

    @pytest.mark.parametrize("metadata", ["", "{}"], ids=["no text", "empty object"])
    def test_metadata_can_be_cleared(self, admin_client: Client, metadata: str) -> None:
        task = create(metadata={"order": 7})

        admin_client.post(change_url(task), {"metadata": metadata})

        task.refresh_from_db()
        assert task.metadata == {}


class TestPermissions:
    def test_adding_gateway_state_is_forbidden(self, admin_client: Client) -> None:
        response = admin_client.get(reverse("admin:octovid_django_gatewaystate_add"))
        assert response.status_code == 403

    def test_view_permission_does_not_allow_editing(self, client: Client) -> None:
        task = create(metadata={"order": 7})
        user = User.objects.create_user("viewer", is_staff=True)
        user.user_permissions.add(Permission.objects.get(codename="view_videotask"))
        client.force_login(user)

        assert "<textarea" not in client.get(change_url(task)).content.decode()
        assert client.post(change_url(task), {"metadata": "{}"}).status_code == 403

    def test_anonymous_user_is_redirected_to_login(self, client: Client) -> None:
        response = client.get(reverse(LIST_URL))

        assert response.status_code == 302
        assert "/login/" in response["Location"]


class TestGatewayStateAdmin:
    @pytest.mark.parametrize("lookup", ["fingerprint__startswith", "pause_reason__regex"])
    def test_list_takes_no_lookup(self, admin_client: Client, lookup: str) -> None:
        url = reverse("admin:octovid_django_gatewaystate_changelist")

        assert admin_client.get(url, {lookup: "a"}).status_code == 400

    def test_pause_reason_is_shown_escaped(self, admin_client: Client) -> None:
        GatewayState.objects.create(paused_until=NOW, pause_reason=HOSTILE)

        page = admin_client.get(
            reverse("admin:octovid_django_gatewaystate_changelist")
        ).content.decode()

        assert escape(HOSTILE) in page
        assert HOSTILE not in page

    def test_changing_and_deleting_are_forbidden(self, admin_client: Client) -> None:
        state = GatewayState.objects.create()

        for action in ("change", "delete"):
            url = reverse(f"admin:octovid_django_gatewaystate_{action}", args=[state.pk])
            assert admin_client.post(url, {"post": "yes"}).status_code == 403
        assert GatewayState.objects.exists()
