"""Who gets in: every view of the admin, tried by those who may not, and with what nobody sends."""

from __future__ import annotations

from typing import Any

import pytest
from django.contrib.admin import site
from django.contrib.admin.models import LogEntry
from django.contrib.auth.models import Permission, User
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse
from django.utils import timezone

from octovid_django.admin import VideoTaskAdmin
from octovid_django.admin.buttons import PRESSED
from octovid_django.models import VideoTask
from octovid_django.pause import gateway_state
from tests.broker import take_messages

pytestmark = pytest.mark.django_db

LINK = "https://cdn.example/v.mp4?X-Tos-Signature=5ec4e7"
VIEWS = ("changelist", "add", "change", "delete", "history", "live", "video")
ACTIONS = (
    *("refresh_now", "resume_polling", "stop_polling", "resend_signals"),
    "delete_selected",
)
FORGED = [
    "0",
    "-1",
    "1.0",
    "abc",
    "1 or 1=1",
    "٩٩٩٩٩",
    "NULL",
    "../1",
    "\x00",
    str(2**63),
    "9" * 400,
]


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


def everything() -> list[Any]:
    """What a request may have changed."""
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


class TestStrangers:
    @pytest.mark.parametrize("view", VIEWS)
    @pytest.mark.parametrize("method", ["get", "post", "put", "delete", "options"])
    def test_are_sent_to_the_login(
        self, client: Client, task: VideoTask, view: str, method: str
    ) -> None:
        before = everything()

        response = getattr(client, method)(url_of(view, task.pk))

        assert response.status_code == 302
        assert response["Location"].startswith("/admin/login/?next=")
        assert everything() == before

    def test_who_have_an_account_for_the_site_alone_are_too(
        self, client: Client, task: VideoTask
    ) -> None:
        client.force_login(User.objects.create_user("customer"))

        for view in VIEWS:
            response = client.get(url_of(view, task.pk), {"ids": task.pk})
            assert response["Location"].startswith("/admin/login/?next=")

    def test_do_not_learn_which_tasks_there_are(self, client: Client, task: VideoTask) -> None:
        there, not_there = (client.get(url_of("video", pk)) for pk in (task.pk, task.pk + 1))

        assert there.status_code == not_there.status_code == 302


class TestStaffWithoutPermission:
    @pytest.mark.parametrize("view", VIEWS)
    def test_get_no_page(self, client: Client, task: VideoTask, view: str) -> None:
        client.force_login(staff("view_gatewaystate"))

        response = client.get(url_of(view, task.pk), {"ids": task.pk})

        assert response.status_code == 403
        assert task.task_id not in response.content.decode()

    @pytest.mark.parametrize("permissions", [(), ("view_videotask",)], ids=["none", "view"])
    def test_change_nothing(
        self, client: Client, task: VideoTask, permissions: tuple[str, ...]
    ) -> None:
        client.force_login(staff(*permissions))
        before = everything()

        for url, data in posts(task):
            client.post(url, data)

        assert everything() == before

    def test_who_may_add_see_nothing_and_change_nothing(
        self, client: Client, task: VideoTask
    ) -> None:
        client.force_login(staff("add_videotask"))
        before = everything()

        for url, data in posts(task)[1:]:
            assert client.post(url, data).status_code == 403
        for view in set(VIEWS) - {"add"}:
            assert client.get(url_of(view, task.pk), {"ids": task.pk}).status_code == 403
        assert everything() == before

    def test_do_not_learn_of_the_gateway(self, client: Client) -> None:
        client.force_login(staff("view_videotask"))
        state = gateway_state()

        for view, args in (("changelist", []), ("change", [state.pk])):
            url = reverse(f"admin:octovid_django_gatewaystate_{view}", args=args)
            assert client.get(url).status_code == 403


class TestSaveAsNew:
    """Django takes a form for a new row if it says ``_saveasnew``, whatever ``save_as`` is."""

    @pytest.mark.parametrize(
        "permissions", [("add_videotask",), ("add_videotask", "change_videotask")]
    )
    def test_page_of_a_task_makes_no_other(
        self, client: Client, task: VideoTask, permissions: tuple[str, ...]
    ) -> None:
        client.force_login(staff(*permissions))
        before = everything()

        for url in (url_of("change", task.pk), url_of("change", 999)):
            response = client.post(url, {"metadata": "{}", "_saveasnew": "1"})
            assert response.status_code == 403

        assert everything() == before

    def test_page_of_a_subclass_does_not_offer_it(self) -> None:
        class Admin(VideoTaskAdmin):
            save_as = True

        assert Admin(VideoTask, site).save_as is False


class SelectiveAdmin(VideoTaskAdmin):
    """Lets nobody see the task "hidden", or change the task "frozen"."""

    def has_view_permission(self, request: Any, obj: VideoTask | None = None) -> bool:
        is_hidden = obj is not None and obj.task_id == "hidden"
        return not is_hidden and super().has_view_permission(request, obj)

    def has_change_permission(self, request: Any, obj: VideoTask | None = None) -> bool:
        is_fixed = obj is not None and obj.task_id in ("hidden", "frozen")
        return not is_fixed and super().has_change_permission(request, obj)


class TestPermissionsOfOneTask:
    """A site may decide for each task who sees and changes it."""

    @pytest.fixture
    def tasks(self, monkeypatch: pytest.MonkeyPatch, task: VideoTask) -> list[VideoTask]:
        monkeypatch.setattr(site._registry[VideoTask], "__class__", SelectiveAdmin)
        others = [
            VideoTask.objects.create(task_id=task_id, status="QUEUED", next_poll_at=timezone.now())
            for task_id in ("hidden", "frozen")
        ]
        return [task, *others]

    def test_live_call_leaves_out_what_may_not_be_seen(
        self, admin_client: Client, tasks: list[VideoTask]
    ) -> None:
        ids = ",".join(str(task.pk) for task in tasks)

        rows = admin_client.get(url_of("live", None), {"ids": ids}).json()["rows"]

        assert set(rows) == {str(tasks[0].pk), str(tasks[2].pk)}

    @pytest.mark.parametrize("is_across", ["0", "1"])
    @pytest.mark.parametrize("action", ["export_csv", "export_json"])
    def test_export_leaves_out_what_may_not_be_seen(
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
    def test_action_leaves_out_what_may_not_be_changed_and_says_so(
        self, admin_client: Client, tasks: list[VideoTask], is_across: str
    ) -> None:
        data = {"action": "stop_polling", "_selected_action": [task.pk for task in tasks]}
        response = admin_client.post(
            url_of("changelist", None), data | {"select_across": is_across}, follow=True
        )

        assert VideoTask.objects.polled().count() == 2
        assert "2 of the selected tasks were left out" in response.content.decode()

    def test_pages_of_a_hidden_task_are_refused(
        self, admin_client: Client, tasks: list[VideoTask]
    ) -> None:
        for view in ("change", "video"):
            assert admin_client.get(url_of(view, tasks[1].pk)).status_code == 403
        for task in tasks[1:]:
            pressed = {PRESSED: "stop_polling", "metadata": "{}"}
            response = admin_client.post(url_of("change", task.pk), pressed)
            assert response.status_code == 403

    def test_method_of_the_one_admin_is_asked_too(
        self, admin_client: Client, task: VideoTask, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        admin = site._registry[VideoTask]
        monkeypatch.setattr(
            admin, "has_view_or_change_permission", lambda request, obj=None: obj is None
        )
        assert admin_client.get(url_of("live", None), {"ids": task.pk}).json()["rows"] == {}

    def test_are_not_asked_where_the_site_has_none(
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


class TestMethods:
    @pytest.mark.parametrize("view", ["live", "video"])
    @pytest.mark.parametrize("method", ["post", "put", "patch", "delete", "trace"])
    def test_that_a_view_does_not_know_are_refused(
        self, admin_client: Client, task: VideoTask, view: str, method: str
    ) -> None:
        response = getattr(admin_client, method)(url_of(view, task.pk))

        assert response.status_code == 405
        assert "GET" in response["Allow"]

    def test_that_only_read_change_nothing(self, admin_client: Client, task: VideoTask) -> None:
        before = everything()

        for url, data in posts(task):
            admin_client.get(url, data)
            admin_client.head(url, data)

        assert everything() == before


class TestForgedIds:
    @pytest.mark.parametrize("pk", FORGED)
    def test_show_no_video(self, admin_client: Client, task: VideoTask, pk: str) -> None:
        url = url_of("video", 0).replace("/0/", f"/{pk}/")

        assert admin_client.get(url).status_code == 404

    @pytest.mark.parametrize("view", ["change", "delete", "history"])
    @pytest.mark.parametrize("pk", FORGED)
    def test_lead_to_no_page(
        self, admin_client: Client, task: VideoTask, view: str, pk: str
    ) -> None:
        response = admin_client.get(url_of(view, 0).replace("/0/", f"/{pk}/"))

        assert response.status_code in (302, 404)
        assert task.task_id not in response.content.decode()

    @pytest.mark.parametrize("pk", FORGED)
    def test_are_no_rows(self, admin_client: Client, task: VideoTask, pk: str) -> None:
        alone = admin_client.get(url_of("live", None), {"ids": pk})
        among = admin_client.get(url_of("live", None), {"ids": f"{pk},{task.pk}"})

        assert alone.status_code in (200, 400)
        assert task.task_id not in alone.content.decode()
        assert set(among.json()["rows"]) == {str(task.pk)}

    @pytest.mark.django_db(transaction=True)
    @pytest.mark.parametrize("action", ACTIONS)
    def test_are_acted_on_by_nobody(
        self, admin_client: Client, task: VideoTask, action: str
    ) -> None:
        before = everything()

        for pk in FORGED:
            response = admin_client.post(
                url_of("changelist", None),
                {"action": action, "_selected_action": [pk], "post": "yes"},
            )
            assert response.status_code in (302, 400)

        assert everything() == before

    @pytest.mark.parametrize("action", ["delete", "__init__", "save_model", "", "refresh_now()"])
    def test_of_actions_do_nothing(
        self, admin_client: Client, task: VideoTask, action: str
    ) -> None:
        before = everything()

        admin_client.post(
            url_of("changelist", None), {"action": action, "_selected_action": [task.pk]}
        )

        assert everything() == before


class TestThousands:
    def test_of_rows_are_refused_without_asking_the_database(self, admin_client: Client) -> None:
        admin_client.get(url_of("live", None), {"ids": "1"})
        with CaptureQueriesContext(connection) as queries:
            response = admin_client.get(
                url_of("live", None), {"ids": ",".join(map(str, range(100_000)))}
            )

        assert response.status_code == 400
        assert not [query for query in queries if "videotask" in query["sql"]]

    def test_of_the_same_row_are_one_or_refused(
        self, admin_client: Client, task: VideoTask
    ) -> None:
        response = admin_client.get(url_of("live", None), {"ids": ",".join([str(task.pk)] * 500)})

        assert set(response.json()["rows"]) == {str(task.pk)}

    def test_of_ids_can_be_tracked_at_once(self, admin_client: Client) -> None:
        ids = [f"cgt-{number}" for number in range(1_000)]

        response = admin_client.post(url_of("add", None), {"task_ids": "\n".join(ids)})

        assert response.status_code == 302
        assert VideoTask.objects.count() == len(ids)

    def test_of_bad_ids_come_back_in_a_page_of_bounded_size(self, admin_client: Client) -> None:
        ids = "\n".join("x" * 1_000 for _ in range(2_000))

        response = admin_client.post(url_of("add", None), {"task_ids": ids})

        assert response.status_code == 200
        assert len(response.content) < 2 * len(ids)
        assert not VideoTask.objects.exists()

    @pytest.mark.parametrize("action", ACTIONS[:2])
    def test_of_selected_tasks_cost_fewer_queries_than_tasks(
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


class TestForeignForms:
    """What another site has a browser send, which sends the operator's cookie along."""

    @pytest.fixture
    def operator(self, admin_user: User) -> Client:
        client = Client(enforce_csrf_checks=True)
        client.force_login(admin_user)
        return client

    def test_change_nothing(self, operator: Client, task: VideoTask) -> None:
        before = everything()

        for url, data in posts(task):
            assert operator.post(url, data).status_code == 403

        assert everything() == before

    def test_change_nothing_by_a_forged_token(self, operator: Client, task: VideoTask) -> None:
        operator.cookies["csrftoken"] = "a" * 32
        before = everything()

        for url, data in posts(task):
            response = operator.post(url, {**data, "csrfmiddlewaretoken": "b" * 32})
            assert response.status_code == 403

        assert everything() == before

    def test_are_told_from_the_pages_own(self, operator: Client, task: VideoTask) -> None:
        operator.get(url_of("add", None))
        token = operator.cookies["csrftoken"].value

        response = operator.post(
            url_of("add", None), {"task_ids": "cgt-2", "csrfmiddlewaretoken": token}
        )

        assert response.status_code == 302
        assert VideoTask.objects.filter(task_id="cgt-2").exists()

    @pytest.mark.parametrize("view", ["changelist", "change", "live", "video"])
    def test_read_nothing_into_their_own_page(
        self, admin_client: Client, task: VideoTask, view: str
    ) -> None:
        response = admin_client.get(url_of(view, task.pk), {"ids": task.pk})

        assert "Access-Control-Allow-Origin" not in response.headers
        assert "no-store" in response["Cache-Control"]


class TestHostileSelections:
    def test_second_action_value_does_not_bypass_permission_of_a_task(
        self, admin_client: Client, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def may_change(self: object, request: object, obj: VideoTask | None = None) -> bool:
            return obj is None or obj.task_id != "frozen"

        monkeypatch.setattr(VideoTaskAdmin, "has_change_permission", may_change)
        frozen = VideoTask.objects.create(task_id="frozen")
        selection = {"action": ["stop_polling", ""], "index": "0", "_selected_action": [frozen.pk]}
        admin_client.post(reverse("admin:octovid_django_videotask_changelist"), selection)

        assert VideoTask.objects.polled().filter(pk=frozen.pk).exists()

    @pytest.mark.parametrize(
        "lookup", ["video_url__regex", "video_url", "payload__a__startswith", "fail_reason__regex"]
    )
    def test_column_that_is_not_shown_cannot_be_guessed_by_lookup(
        self, admin_client: Client, lookup: str
    ) -> None:
        url = reverse("admin:octovid_django_videotask_changelist")

        assert admin_client.get(url, {lookup: "https"}).status_code == 400
