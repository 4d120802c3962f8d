"""Access: every view of the admin, for users without permission and with forged requests."""

from __future__ import annotations

import re
from datetime import timedelta
from typing import Any

import django
import pytest
from django.contrib import admin
from django.contrib.admin import site
from django.contrib.admin.models import LogEntry
from django.contrib.auth.models import Permission, User
from django.contrib.messages.storage.cookie import CookieStorage
from django.db import connection
from django.test import Client, RequestFactory
from django.test.utils import CaptureQueriesContext
from django.urls import reverse
from django.utils import timezone

from octovid_django.admin import VideoTaskAdmin
from octovid_django.admin.buttons import PRESSED
from octovid_django.models import GatewayState, VideoTask
from octovid_django.pause import gateway_state
from octovid_django.refresh import refresh_due, refresh_tasks
from tests.broker import take_messages
from tests.gateway import Behaviour, Gateway, responds, sends

pytestmark = pytest.mark.django_db

LINK = "https://cdn.example/v.mp4?X-Tos-Signature=5ec4e7"
VIEWS = ("changelist", "add", "change", "delete", "history", "live", "video")
ACTIONS = (
    *("refresh_now", "resume_polling", "stop_polling", "resend_signals"),
    "delete_selected",
)
FORGED = {
    "zero": "0",
    "negative": "-1",
    "decimal": "1.0",
    "letters": "abc",
    "sql": "1 or 1=1",
    "arabic digits": "٩٩٩٩٩",
    "null": "NULL",
    "parent folder": "../1",
    "nul character": "\x00",
    "beyond bigint": str(2**63),
    "400 digits": "9" * 400,
}


@pytest.fixture
def task() -> VideoTask:
    now = timezone.now()
    return VideoTask.objects.create(
        task_id="cgt-1", status="SUCCESS", video_url=LINK, completed_at=now, delivered_at=now
    )


def url_of(view: str, pk: object) -> str:
    args = [] if view in ("changelist", "add", "live") else [pk]
    return reverse(f"admin:octovid_django_videotask_{view}", args=args)


def staff(*permissions: str) -> User:
    user = User.objects.create_user("staff", is_staff=True)
    user.user_permissions.set(Permission.objects.filter(codename__in=permissions))
    assert user.user_permissions.count() == len(permissions)
    return user


def stored_state() -> list[Any]:
    """Everything that a request may change: tasks, history, and messages of the broker."""
    tasks = list(VideoTask.objects.order_by("pk").values())
    return [tasks, list(LogEntry.objects.values()), take_messages()]


def posts(task: VideoTask) -> list[tuple[str, dict[str, Any]]]:
    """Every request that changes something, as the pages send it."""
    return [
        (url_of("add", None), {"task_ids": "cgt-2"}),
        (url_of("change", task.pk), {"metadata": '{"stolen": true}'}),
        (url_of("delete", task.pk), {"post": "yes"}),
        *(
            (
                url_of("changelist", None),
                {"action": action, "_selected_action": [task.pk], "post": "yes"},
            )
            for action in ACTIONS
        ),
        *((url_of("change", task.pk), {PRESSED: action, "metadata": "{}"}) for action in ACTIONS),
    ]


class TestUsersWithoutStaffAccess:
    @pytest.mark.parametrize("view", VIEWS)
    @pytest.mark.parametrize("method", ["get", "post", "put", "delete", "options"])
    def test_anonymous_request_is_redirected_to_login(
        self, client: Client, task: VideoTask, view: str, method: str
    ) -> None:
        before = stored_state()

        response = getattr(client, method)(url_of(view, task.pk))

        assert response.status_code == 302
        assert response["Location"].startswith("/admin/login/?next=")
        assert stored_state() == before

    def test_non_staff_user_is_redirected_to_login(self, client: Client, task: VideoTask) -> None:
        client.force_login(User.objects.create_user("customer"))

        for view in VIEWS:
            response = client.get(url_of(view, task.pk), {"ids": task.pk})
            assert response["Location"].startswith("/admin/login/?next=")

    def test_anonymous_user_cannot_find_out_whether_task_exists(
        self, client: Client, task: VideoTask
    ) -> None:
        existing, missing = (client.get(url_of("video", pk)) for pk in (task.pk, task.pk + 1))

        assert existing.status_code == missing.status_code == 302


class TestStaffWithoutPermission:
    @pytest.mark.parametrize("view", VIEWS)
    def test_every_view_is_forbidden_and_shows_no_task_id(
        self, client: Client, task: VideoTask, view: str
    ) -> None:
        client.force_login(staff("view_gatewaystate"))

        response = client.get(url_of(view, task.pk), {"ids": task.pk})

        assert response.status_code == 403
        assert task.task_id not in response.content.decode()

    @pytest.mark.parametrize("permissions", [(), ("view_videotask",)], ids=["none", "view"])
    def test_requests_that_write_change_nothing(
        self, client: Client, task: VideoTask, permissions: tuple[str, ...]
    ) -> None:
        client.force_login(staff(*permissions))
        before = stored_state()

        for url, data in posts(task):
            client.post(url, data)

        assert stored_state() == before

    def test_add_permission_does_not_allow_viewing_or_changing(
        self, client: Client, task: VideoTask
    ) -> None:
        client.force_login(staff("add_videotask"))
        before = stored_state()

        for url, data in posts(task)[1:]:
            assert client.post(url, data).status_code == 403
        for view in set(VIEWS) - {"add"}:
            assert client.get(url_of(view, task.pk), {"ids": task.pk}).status_code == 403
        assert stored_state() == before

    def test_gateway_state_is_forbidden(self, client: Client) -> None:
        client.force_login(staff("view_videotask"))
        state = gateway_state()

        for view, args in (("changelist", []), ("change", [state.pk])):
            url = reverse(f"admin:octovid_django_gatewaystate_{view}", args=args)
            assert client.get(url).status_code == 403


class TestSaveAsNew:
    """Django treats a form with ``_saveasnew`` as one for a new row, whatever ``save_as`` is."""

    @pytest.mark.parametrize(
        "permissions",
        [("add_videotask",), ("add_videotask", "change_videotask")],
        ids=["add", "add and change"],
    )
    def test_save_as_new_is_forbidden_and_creates_no_task(
        self, client: Client, task: VideoTask, permissions: tuple[str, ...]
    ) -> None:
        client.force_login(staff(*permissions))
        before = stored_state()

        for url in (url_of("change", task.pk), url_of("change", 999)):
            response = client.post(url, {"metadata": "{}", "_saveasnew": "1"})
            assert response.status_code == 403

        assert stored_state() == before

    def test_subclass_cannot_enable_save_as(self) -> None:
        class Admin(VideoTaskAdmin):
            save_as = True

        assert Admin(VideoTask, site).save_as is False


PRIVATE = "prompt of alice"


def fails(status: int, **fields: str) -> Behaviour:
    """A response about the task that is polled."""
    text = f"{PRIVATE} (GET /v1/video/generations/cgt-private0), (cgt-private1)"
    return responds(status, {"error": {"message": text, **fields}})


class SelectiveAdmin(VideoTaskAdmin):
    """Allows nobody to see the task "hidden" or to change the task "frozen"."""

    def has_view_permission(self, request: Any, obj: VideoTask | None = None) -> bool:
        is_hidden = obj is not None and obj.task_id == "hidden"
        return not is_hidden and super().has_view_permission(request, obj)

    def has_change_permission(self, request: Any, obj: VideoTask | None = None) -> bool:
        is_frozen = obj is not None and obj.task_id in ("hidden", "frozen")
        return not is_frozen and super().has_change_permission(request, obj)


class TestObjectPermissions:
    """A subclass may decide for each task who sees and changes it."""

    @pytest.fixture
    def tasks(self, monkeypatch: pytest.MonkeyPatch, task: VideoTask) -> list[VideoTask]:
        monkeypatch.setattr(site._registry[VideoTask], "__class__", SelectiveAdmin)
        others = [
            VideoTask.objects.create(task_id=task_id, status="QUEUED", next_poll_at=timezone.now())
            for task_id in ("hidden", "frozen")
        ]
        return [task, *others]

    def test_live_rows_omit_hidden_task(self, admin_client: Client, tasks: list[VideoTask]) -> None:
        ids = ",".join(str(task.pk) for task in tasks)

        rows = admin_client.get(url_of("live", None), {"ids": ids}).json()["rows"]

        assert set(rows) == {str(tasks[0].pk), str(tasks[2].pk)}

    @pytest.mark.parametrize("is_across", ["0", "1"])
    @pytest.mark.parametrize("action", ["export_csv", "export_json"])
    def test_export_omits_hidden_task(
        self, admin_client: Client, tasks: list[VideoTask], action: str, is_across: str
    ) -> None:
        data = {"action": action, "_selected_action": [task.pk for task in tasks]}
        response = admin_client.post(
            url_of("changelist", None), data | {"select_across": is_across}
        )

        text = response.content.decode()
        assert "frozen" in text
        assert "hidden" not in text

    @pytest.mark.parametrize("is_across", ["0", "1"])
    def test_action_skips_tasks_without_change_permission_with_message(
        self, admin_client: Client, tasks: list[VideoTask], is_across: str
    ) -> None:
        data = {"action": "stop_polling", "_selected_action": [task.pk for task in tasks]}
        response = admin_client.post(
            url_of("changelist", None), data | {"select_across": is_across}, follow=True
        )

        assert VideoTask.objects.polled().count() == 2
        assert "2 of the selected tasks were left out" in response.content.decode()

    @pytest.mark.parametrize("is_across", ["0", "1"])
    @pytest.mark.parametrize(
        "decoy", ["", "export_csv", "nonsense"], ids=["empty", "export", "unknown"]
    )
    @pytest.mark.parametrize("index", [0, 1])
    def test_second_action_value_in_request_does_not_bypass_permissions(
        self,
        admin_client: Client,
        tasks: list[VideoTask],
        decoy: str,
        is_across: str,
        index: int,
    ) -> None:
        actions = ["stop_polling", decoy]
        data = {
            "action": actions if index == 0 else actions[::-1],
            "index": str(index),
            "_selected_action": [task.pk for task in tasks],
            "select_across": is_across,
        }
        admin_client.post(url_of("changelist", None), data)

        polled = VideoTask.objects.polled().values_list("task_id", flat=True)
        assert set(polled) == {"hidden", "frozen"}

    @pytest.mark.parametrize(
        ("permissions", "still_polled"),
        [
            ((), {"hidden"}),
            (("view",), {"hidden"}),
            (("change",), {"hidden", "frozen"}),
            (("change", "view"), {"hidden"}),
            (("change", "publish"), {"hidden"}),
        ],
        ids=["none", "view", "change", "change or view", "change or custom"],
    )
    def test_custom_action_gets_tasks_of_any_allowed_permission(
        self,
        admin_client: Client,
        tasks: list[VideoTask],
        monkeypatch: pytest.MonkeyPatch,
        permissions: tuple[str, ...],
        still_polled: set[str],
    ) -> None:
        def drop(model_admin: Any, request: Any, queryset: Any) -> None:
            queryset.update(next_poll_at=None)

        if permissions:
            drop.allowed_permissions = permissions  # type: ignore[attr-defined]
        monkeypatch.setattr(
            SelectiveAdmin, "has_publish_permission", lambda *args: True, raising=False
        )
        monkeypatch.setitem(vars(site._registry[VideoTask]), "actions", [drop])
        data = {"action": "drop", "_selected_action": [task.pk for task in tasks]}

        admin_client.post(url_of("changelist", None), data)

        polled = VideoTask.objects.polled().values_list("task_id", flat=True)
        assert set(polled) == still_polled

    def test_action_from_get_actions_of_subclass_skips_hidden_task(
        self, admin_user: User, tasks: list[VideoTask]
    ) -> None:
        received: list[str] = []

        def name(model_admin: Any, request: Any, queryset: Any) -> None:
            received.extend(task.task_id for task in queryset)

        class Admin(SelectiveAdmin):
            def get_actions(self, request: Any, action_location: Any = None) -> Any:
                return {"name": (name, "name", "Name them")}

        model_admin = Admin(VideoTask, site)
        request = RequestFactory().post(
            "/", {"action": "name", "_selected_action": [task.pk for task in tasks]}
        )
        request.user = admin_user
        request._messages = CookieStorage(request)  # type: ignore[attr-defined]
        model_admin.response_action(request, VideoTask.objects.order_by("pk"))

        assert received == [tasks[0].task_id, "frozen"]

    def test_delete_selected_skips_hidden_and_undeletable_tasks(
        self, admin_client: Client, tasks: list[VideoTask], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(
            SelectiveAdmin,
            "has_delete_permission",
            lambda self, request, obj=None: obj is None or obj.task_id != "frozen",
        )
        data = {
            "action": ["delete_selected", ""],
            "index": "0",
            "_selected_action": [task.pk for task in tasks],
        }
        page = admin_client.post(url_of("changelist", None), data).content.decode()
        admin_client.post(url_of("changelist", None), {**data, "post": "yes"})

        assert "hidden<" not in page
        kept = VideoTask.objects.values_list("task_id", flat=True)
        assert set(kept) == {"hidden", "frozen"}

    @pytest.mark.skipif(
        django.VERSION < (6, 1), reason="actions on the change page need Django 6.1"
    )
    def test_custom_action_on_change_page_skips_task_without_change_permission(
        self, admin_client: Client, tasks: list[VideoTask], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def drop(model_admin: Any, request: Any, queryset: Any) -> None:
            queryset.update(next_poll_at=None)

        drop.allowed_permissions = ("change",)  # type: ignore[attr-defined]
        drop.locations = list(admin.ActionLocation)  # type: ignore[attr-defined]
        monkeypatch.setitem(vars(site._registry[VideoTask]), "actions", [drop])
        for task in tasks:
            data = {"CHANGE_FORM-action": "drop", "_selected_action": task.pk, "action": ""}
            admin_client.post(url_of("change", task.pk), data)

        polled = VideoTask.objects.polled().values_list("task_id", flat=True)
        assert set(polled) == {"hidden", "frozen"}

    def test_list_omits_hidden_task_with_message(
        self, admin_client: Client, tasks: list[VideoTask]
    ) -> None:
        VideoTask.objects.filter(task_id="hidden").update(last_error="of a customer", error_count=3)

        page = admin_client.get(url_of("changelist", None)).content.decode()

        assert ">frozen</a>" in page
        assert "hidden</a>" not in page
        assert "of a customer" not in page
        assert f"/{tasks[1].pk}/change/" not in page
        assert "1 task of this page is left out" in page

    def test_list_that_omits_hidden_task_keeps_order_and_pagination(
        self, admin_client: Client, tasks: list[VideoTask], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setitem(vars(site._registry[VideoTask]), "list_per_page", 2)

        def ids(page: str) -> list[str]:
            response = admin_client.get(url_of("changelist", None), {"o": "1", "p": page})
            return re.findall(r'field-task_id"><a[^>]*>([^<]*)<', response.content.decode())

        assert ids("1") == [tasks[0].task_id, "frozen"]
        assert ids("2") == []

    @pytest.mark.parametrize(
        "values",
        [
            {"status": "QUEUED", "error_count": 5, "last_error": "of a customer"},
            {"status": "QUEUED", "poll_count": 9, "created_at": "old", "polled_at": "now"},
            {"status": "SUCCESS", "delivery_attempts": 3, "delivery_error": "of a customer"},
            {"status": "SUCCESS", "delivery_attempts": 3, "video_url_expires_at": "soon"},
        ],
        ids=["errors", "many polls", "failing receiver", "expiring link"],
    )
    @pytest.mark.parametrize("is_hidden", [True, False])
    def test_problems_above_list_omit_hidden_task(
        self, admin_client: Client, tasks: list[VideoTask], values: dict[str, Any], is_hidden: bool
    ) -> None:
        VideoTask.objects.exclude(task_id="hidden").delete()
        now = timezone.now()
        moments = {"now": timedelta(0), "soon": timedelta(minutes=5), "old": timedelta(days=-1)}
        times = {word: now + distance for word, distance in moments.items()}
        values = {name: times.get(value, value) for name, value in values.items()}
        if values["status"] == "SUCCESS":
            values |= {"completed_at": now, "next_poll_at": None, "next_delivery_at": now}
            values["video_url"] = "https://cdn.example/v.mp4"
        values["task_id"] = "hidden" if is_hidden else "visible"
        VideoTask.objects.update(**values)

        live = admin_client.get(url_of("live", None), {"above": "problems"})
        page = admin_client.get(url_of("changelist", None)).content.decode()

        boxes = re.findall('<div class="octovid-problems".*?</div>', page, re.DOTALL)
        for box in (live.json()["above"]["problems"], *boxes):
            assert "octovid-problems" in box
            assert "hidden" not in box
            assert ("visible" in box) is not is_hidden
            assert "of a customer" not in box or not is_hidden
        assert len(boxes) == 1

    @pytest.mark.parametrize("is_narrowed", [True, False])
    @pytest.mark.parametrize(
        ("behaviour", "shown"),
        [
            (fails(404, type="invalid_request_error"), "404 Not Found"),
            (fails(403), "403 Forbidden"),
            (fails(401), "401 Unauthorized"),
            (fails(429), "429 Too Many Requests"),
            (fails(503), "503 Service Unavailable"),
            (responds(404, f"<h1>{PRIVATE}</h1>", Content_Type="text/html"), "404 Not Found"),
            (responds(200, f"<h1>{PRIVATE}</h1>", Content_Type="text/html"), "200 and a page"),
            (responds(302, Location="https://cgt-private.example/"), "302 Found"),
            (sends(f"{PRIVATE} cgt-private\r\n\r\n".encode()), "has not responded"),
        ],
        ids=["404", "403", "401", "429", "503", "page 404", "page 200", "redirect", "no HTTP"],
    )
    def test_reason_of_pause_or_outage_above_list_quotes_nothing_of_hidden_task(
        self,
        *,
        admin_client: Client,
        monkeypatch: pytest.MonkeyPatch,
        gateway: Gateway,
        behaviour: Behaviour,
        shown: str,
        is_narrowed: bool,
    ) -> None:
        if is_narrowed:
            monkeypatch.setattr(
                VideoTaskAdmin,
                "get_queryset",
                lambda self, request: VideoTask.objects.exclude(task_id__startswith="cgt-private"),
            )
        else:
            monkeypatch.setattr(
                VideoTaskAdmin,
                "has_view_or_change_permission",
                lambda self, request, obj=None: obj is None or "private" not in obj.task_id,
            )
        gateway.default = behaviour
        hidden = [VideoTask.objects.create(task_id=f"cgt-private{n}") for n in range(2)]
        for task in hidden:
            refresh_tasks([task])
        GatewayState.objects.exclude(failing_since=None).update(
            failing_since=timezone.now() - timedelta(minutes=5)
        )

        live = admin_client.get(url_of("live", None), {"above": "problems"})
        page = admin_client.get(url_of("changelist", None)).content.decode()

        (box,) = re.findall('<div class="octovid-problems".*?</div>', page, re.DOTALL)
        for text in (live.json()["above"]["problems"], box):
            assert shown in text
            assert "private" not in text
            assert PRIVATE not in text

    def test_reason_of_pause_above_list_is_quoted_in_full_to_who_may_view_all_tasks(
        self, admin_client: Client, gateway: Gateway
    ) -> None:
        gateway.default = fails(401)
        VideoTask.objects.create(task_id="cgt-private0")
        refresh_due()

        page = admin_client.get(url_of("changelist", None)).content.decode()

        (box,) = re.findall('<div class="octovid-problems".*?</div>', page, re.DOTALL)
        assert PRIVATE in box

    def test_pages_of_hidden_task_and_buttons_of_frozen_task_are_forbidden(
        self, admin_client: Client, tasks: list[VideoTask]
    ) -> None:
        for view in ("change", "video"):
            assert admin_client.get(url_of(view, tasks[1].pk)).status_code == 403
        for task in tasks[1:]:
            pressed = {PRESSED: "stop_polling", "metadata": "{}"}
            response = admin_client.post(url_of("change", task.pk), pressed)
            assert response.status_code == 403

    def test_permission_method_of_admin_instance_is_called(
        self, admin_client: Client, task: VideoTask, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        attributes = vars(site._registry[VideoTask])
        monkeypatch.setitem(
            attributes, "has_view_or_change_permission", lambda request, obj=None: obj is None
        )
        assert admin_client.get(url_of("live", None), {"ids": task.pk}).json()["rows"] == {}

    def test_query_count_without_object_permissions_does_not_grow_with_tasks(
        self, admin_client: Client, task: VideoTask
    ) -> None:
        def queries() -> int:
            ids = ",".join(map(str, VideoTask.objects.values_list("pk", flat=True)))
            with CaptureQueriesContext(connection) as captured:
                admin_client.get(url_of("live", None), {"ids": ids})
            return len(captured)

        before = queries()
        VideoTask.objects.bulk_create(VideoTask(task_id=f"t{number}") for number in range(50))

        assert queries() == before


class TestHttpMethods:
    @pytest.mark.parametrize("view", ["live", "video"])
    @pytest.mark.parametrize("method", ["post", "put", "patch", "delete", "trace"])
    def test_unsupported_method_is_refused_with_405(
        self, admin_client: Client, task: VideoTask, view: str, method: str
    ) -> None:
        response = getattr(admin_client, method)(url_of(view, task.pk))

        assert response.status_code == 405
        assert "GET" in response["Allow"]

    def test_get_and_head_change_nothing(self, admin_client: Client, task: VideoTask) -> None:
        before = stored_state()

        for url, data in posts(task):
            admin_client.get(url, data)
            admin_client.head(url, data)

        assert stored_state() == before


class TestForgedIdsAndActions:
    @pytest.mark.parametrize("pk", FORGED.values(), ids=FORGED)
    def test_video_of_forged_id_is_404(
        self, admin_client: Client, task: VideoTask, pk: str
    ) -> None:
        url = url_of("video", 0).replace("/0/", f"/{pk}/")

        assert admin_client.get(url).status_code == 404

    @pytest.mark.parametrize("view", ["change", "delete", "history"])
    @pytest.mark.parametrize("pk", FORGED.values(), ids=FORGED)
    def test_page_of_forged_id_shows_no_task(
        self, admin_client: Client, task: VideoTask, view: str, pk: str
    ) -> None:
        response = admin_client.get(url_of(view, 0).replace("/0/", f"/{pk}/"))

        assert response.status_code in (302, 404)
        assert task.task_id not in response.content.decode()

    @pytest.mark.parametrize("pk", FORGED.values(), ids=FORGED)
    def test_live_rows_ignore_forged_id(
        self, admin_client: Client, task: VideoTask, pk: str
    ) -> None:
        alone = admin_client.get(url_of("live", None), {"ids": pk})
        among = admin_client.get(url_of("live", None), {"ids": f"{pk},{task.pk}"})

        assert alone.status_code in (200, 400)
        assert task.task_id not in alone.content.decode()
        assert set(among.json()["rows"]) == {str(task.pk)}

    @pytest.mark.django_db(transaction=True)
    @pytest.mark.parametrize("action", ACTIONS)
    def test_action_on_forged_id_changes_nothing(
        self, admin_client: Client, task: VideoTask, action: str
    ) -> None:
        before = stored_state()

        for pk in FORGED.values():
            response = admin_client.post(
                url_of("changelist", None),
                {"action": action, "_selected_action": [pk], "post": "yes"},
            )
            assert response.status_code in (302, 400)

        assert stored_state() == before

    @pytest.mark.parametrize("action", ["delete", "__init__", "save_model", "", "refresh_now()"])
    def test_forged_action_name_changes_nothing(
        self, admin_client: Client, task: VideoTask, action: str
    ) -> None:
        before = stored_state()

        admin_client.post(
            url_of("changelist", None), {"action": action, "_selected_action": [task.pk]}
        )

        assert stored_state() == before


class TestLargeRequests:
    def test_too_many_live_ids_are_refused_without_query(self, admin_client: Client) -> None:
        admin_client.get(url_of("live", None), {"ids": "1"})
        with CaptureQueriesContext(connection) as queries:
            response = admin_client.get(
                url_of("live", None), {"ids": ",".join(map(str, range(100_000)))}
            )

        assert response.status_code == 400
        assert not [query for query in queries if "videotask" in query["sql"]]

    def test_repeated_live_id_gives_one_row(self, admin_client: Client, task: VideoTask) -> None:
        response = admin_client.get(url_of("live", None), {"ids": ",".join([str(task.pk)] * 500)})

        assert set(response.json()["rows"]) == {str(task.pk)}

    def test_thousand_ids_are_tracked_at_once(self, admin_client: Client) -> None:
        ids = [f"cgt-{number}" for number in range(1_000)]

        response = admin_client.post(url_of("add", None), {"task_ids": "\n".join(ids)})

        assert response.status_code == 302
        assert VideoTask.objects.count() == len(ids)

    def test_page_with_thousands_of_invalid_ids_has_bounded_size(
        self, admin_client: Client
    ) -> None:
        ids = "\n".join("x" * 1_000 for _ in range(2_000))

        response = admin_client.post(url_of("add", None), {"task_ids": ids})

        assert response.status_code == 200
        assert len(response.content) < 2 * len(ids)
        assert not VideoTask.objects.exists()

    @pytest.mark.parametrize("action", ACTIONS[:2])
    def test_action_on_thousands_of_tasks_takes_bounded_number_of_queries(
        self, admin_client: Client, action: str
    ) -> None:
        now = timezone.now()
        VideoTask.objects.bulk_create(
            VideoTask(task_id=f"t{number}", status="SUCCESS", completed_at=now, delivered_at=now)
            for number in range(2_000)
        )
        with CaptureQueriesContext(connection) as queries:
            response = admin_client.post(
                url_of("changelist", None),
                {"action": action, "_selected_action": ["1"], "select_across": "1"},
            )

        assert response.status_code == 302
        assert len(queries) < 1_000


class TestCrossSiteRequests:
    """Requests that another site makes the operator's browser send, with the session cookie."""

    @pytest.fixture
    def operator(self, admin_user: User) -> Client:
        client = Client(enforce_csrf_checks=True)
        client.force_login(admin_user)
        return client

    def test_post_without_csrf_token_is_forbidden(self, operator: Client, task: VideoTask) -> None:
        before = stored_state()

        for url, data in posts(task):
            assert operator.post(url, data).status_code == 403

        assert stored_state() == before

    def test_post_with_forged_csrf_token_is_forbidden(
        self, operator: Client, task: VideoTask
    ) -> None:
        operator.cookies["csrftoken"] = "a" * 32
        before = stored_state()

        for url, data in posts(task):
            response = operator.post(url, {**data, "csrfmiddlewaretoken": "b" * 32})
            assert response.status_code == 403

        assert stored_state() == before

    def test_post_with_csrf_token_of_page_is_accepted(
        self, operator: Client, task: VideoTask
    ) -> None:
        operator.get(url_of("add", None))
        token = operator.cookies["csrftoken"].value

        response = operator.post(
            url_of("add", None), {"task_ids": "cgt-2", "csrfmiddlewaretoken": token}
        )

        assert response.status_code == 302
        assert VideoTask.objects.filter(task_id="cgt-2").exists()

    @pytest.mark.parametrize("view", ["changelist", "change", "live", "video"])
    def test_response_is_neither_shared_with_other_origins_nor_cached(
        self, admin_client: Client, task: VideoTask, view: str
    ) -> None:
        response = admin_client.get(url_of(view, task.pk), {"ids": task.pk})

        assert "Access-Control-Allow-Origin" not in response.headers
        assert "no-store" in response["Cache-Control"]


class TestHostileSelections:
    def test_empty_second_action_value_does_not_bypass_object_permission(
        self, admin_client: Client, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def may_change(self: object, request: object, obj: VideoTask | None = None) -> bool:
            return obj is None or obj.task_id != "frozen"

        monkeypatch.setattr(VideoTaskAdmin, "has_change_permission", may_change)
        frozen = VideoTask.objects.create(task_id="frozen")
        selection = {"action": ["stop_polling", ""], "index": "0", "_selected_action": [frozen.pk]}
        admin_client.post(reverse("admin:octovid_django_videotask_changelist"), selection)

        assert VideoTask.objects.polled().filter(pk=frozen.pk).exists()
