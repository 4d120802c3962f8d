"""The operator's actions: on the tasks selected in the list, and by the buttons of a task."""

from __future__ import annotations

import datetime
import json
import re
from typing import Any

import pytest
from django.contrib.admin.models import LogEntry
from django.contrib.auth.models import Permission, User
from django.contrib.messages import get_messages
from django.http import HttpResponse
from django.test import Client
from django.urls import reverse
from django.utils import timezone
from django_q.conf import Conf
from django_q.models import OrmQ

from octovid_django import tasks as q2_tasks
from octovid_django.admin import VideoTaskAdmin
from octovid_django.admin.buttons import PRESSED
from octovid_django.models import VideoTask
from octovid_django.refresh import refresh_due
from octovid_django.sandbox import Sandbox
from octovid_django.tracking import stop_polling

LIST_URL = "admin:octovid_django_videotask_changelist"
NOW = datetime.datetime(2026, 4, 12, tzinfo=datetime.timezone.utc)
Received = list[tuple[str, dict[str, Any]]]

pytestmark = pytest.mark.django_db


def run(client: Client, action: str, tasks: list[VideoTask], **data: Any) -> list[str]:
    """Run an action on ``tasks`` and return the messages that the operator sees."""
    selected = [task.pk for task in tasks]
    response = client.post(
        reverse(LIST_URL), {"action": action, "_selected_action": selected, **data}
    )
    assert response.status_code == 302
    return [str(message) for message in get_messages(response.wsgi_request)]


def run_queued() -> list[str]:
    """Run what is queued, as a worker of django-q2 does, and return the functions' names."""
    names = []
    for message in OrmQ.objects.order_by("pk"):
        name = message.func().removeprefix("octovid_django.tasks.")
        getattr(q2_tasks, name)(*message.args())
        message.delete()
        names.append(name)
    return names


def completed_task(task_id: str = "cgt-1", **values: Any) -> VideoTask:
    return VideoTask.objects.create(
        task_id=task_id, status="SUCCESS", completed_at=timezone.now(), **values
    )


def history(task: VideoTask) -> list[str]:
    entries = LogEntry.objects.filter(object_id=str(task.pk))
    return [entry.get_change_message() for entry in entries]


class TestRefreshNow:
    def test_worker_refreshes_task_and_page_does_not_wait(
        self, admin_client: Client, sandbox: Sandbox
    ) -> None:
        task = VideoTask.objects.track(sandbox.create(run_seconds=0))

        assert run(admin_client, "refresh_now", [task]) == ["1 task will be refreshed in a moment."]
        assert sandbox.query_count == 0, "the page does not wait for the gateway"
        run_queued()

        task.refresh_from_db()
        assert task.status == "SUCCESS"
        assert history(task) == ["Requested a refresh."]

    def test_unreachable_broker_is_reported_and_history_stays_empty(
        self, admin_client: Client, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        task = VideoTask.objects.create(task_id="cgt-1")
        monkeypatch.setattr(Conf, "ORM", "missing database")

        assert run(admin_client, "refresh_now", [task]) == [
            "0 tasks will be refreshed in a moment.",
            "1 task was not refreshed: the broker of django-q2 cannot be reached.",
        ]
        assert history(task) == []

    def test_selection_of_1200_tasks_is_queued_in_three_messages(
        self, admin_client: Client
    ) -> None:
        VideoTask.objects.bulk_create(VideoTask(task_id=f"cgt-{number}") for number in range(1_200))
        shown = run(admin_client, "refresh_now", [VideoTask.objects.all()[0]], select_across="1")

        assert shown == ["1200 tasks will be refreshed in a moment."]
        batches = [message.args()[0] for message in OrmQ.objects.all()]
        assert sorted(map(len, batches)) == [200, 500, 500]
        assert LogEntry.objects.count() == 1_200


class TestResendSignals:
    def test_receivers_are_called_again_with_next_attempt_number(
        self, admin_client: Client, received: Received
    ) -> None:
        task = completed_task(delivered_at=timezone.now(), delivery_attempts=1)

        assert run(admin_client, "resend_signals", [task]) == [
            "The completion signals of 1 task will be resent."
        ]
        assert run_queued() == ["deliver_completion"]

        assert [(name, call["attempt"]) for name, call in received] == [
            ("video_succeeded", 2),
            ("video_completed", 2),
        ]
        assert history(task) == ["Requested a resend of the completion signals."]

    def test_abandoned_delivery_is_resent(self, admin_client: Client, received: Received) -> None:
        task = completed_task(delivery_attempts=5, delivery_error="no shelf left")
        assert VideoTask.objects.abandoned().exists()

        run(admin_client, "resend_signals", [task])
        run_queued()

        task.refresh_from_db()
        assert (task.delivery_attempts, task.delivery_error) == (6, "")
        assert task.delivered_at

    def test_selected_tasks_are_resent_after_filter_no_longer_matches_them(
        self, admin_client: Client
    ) -> None:
        tasks = [completed_task(f"cgt-{number}", delivery_attempts=5) for number in range(3)]
        response = admin_client.post(
            reverse(LIST_URL) + "?delivery=abandoned",
            {"action": "resend_signals", "_selected_action": [task.pk for task in tasks]},
        )
        assert [str(message) for message in get_messages(response.wsgi_request)] == [
            "The completion signals of 3 tasks will be resent."
        ]
        assert all(history(task) for task in tasks)

    def test_active_task_is_skipped_with_message(self, admin_client: Client) -> None:
        running = VideoTask.objects.create(task_id="cgt-2")

        assert run(admin_client, "resend_signals", [completed_task(), running]) == [
            "The completion signals of 1 task will be resent.",
            "1 task has not completed.",
        ]
        assert history(running) == []


class TestStopPolling:
    def test_stopped_task_is_not_polled(self, admin_client: Client, sandbox: Sandbox) -> None:
        task = VideoTask.objects.track(sandbox.create())

        assert run(admin_client, "stop_polling", [task, completed_task()]) == [
            "Polling of 1 task is stopped.",
            "1 task was not polled.",
        ]
        assert refresh_due().polled == 0
        assert history(task) == ["Stopped polling."]


class TestResumePolling:
    def test_stopped_and_lost_tasks_are_polled_again_and_succeeded_one_is_skipped(
        self, admin_client: Client, sandbox: Sandbox
    ) -> None:
        stopped, lost = (VideoTask.objects.track(sandbox.create(run_seconds=0)) for _ in range(2))
        stop_polling([stopped.pk, lost.pk])
        VideoTask.objects.filter(pk=lost.pk).update(status="LOST", completed_at=timezone.now())
        succeeded = completed_task()

        assert run(admin_client, "resume_polling", [stopped, lost, succeeded]) == [
            "Polling of 2 tasks is resumed.",
            "1 task is polled anyway, or has succeeded or failed.",
        ]
        assert refresh_due().completed == 2
        assert history(stopped) == history(lost) == ["Resumed polling."]
        assert history(succeeded) == []


def change_url(task: VideoTask) -> str:
    return reverse("admin:octovid_django_videotask_change", args=[task.pk])


class TestButtonsOfChangePage:
    """The buttons submit the form of the page."""

    def press(
        self, client: Client, task: VideoTask, action: str, query: str = "", **edited: str
    ) -> HttpResponse:
        """Send the form as the page does: the edited values beside those that were shown."""
        shown = json.dumps(task.metadata)
        data = {"metadata": shown, "initial-metadata": shown, **edited}
        return client.post(change_url(task) + query, {PRESSED: action, **data})

    def offered(self, client: Client, task: VideoTask) -> list[str]:
        page = client.get(change_url(task)).content.decode()
        return re.findall(rf'<button [^>]*name="{PRESSED}" value="([a-z_]+)"', page)

    @pytest.mark.parametrize(
        ("state", "actions"),
        [
            ({"status": "QUEUED"}, ["stop_polling"]),
            ({"status": "QUEUED", "next_poll_at": None}, ["resume_polling"]),
            ({"status": "LOST"}, ["resume_polling"]),
            ({"status": "LOST", "completed_at": NOW}, ["resume_polling", "resend_signals"]),
            ({"status": "SUCCESS", "completed_at": NOW}, ["resend_signals"]),
            ({"status": "FAILURE", "completed_at": NOW}, ["resend_signals"]),
            ({"status": "SUCCESS"}, []),
        ],
        ids=[
            *("polled", "stopped", "lost", "lost and recorded", "succeeded and recorded"),
            *("failed and recorded", "succeeded"),
        ],
    )
    def test_offered_buttons_match_state_of_task(
        self, admin_client: Client, state: dict[str, Any], actions: list[str]
    ) -> None:
        task = VideoTask.objects.create(task_id="cgt-1", **state)

        assert self.offered(admin_client, task) == ["refresh_now", *actions]
        live = admin_client.get(
            reverse("admin:octovid_django_videotask_live"), {"ids": task.pk, "buttons": ""}
        ).json()
        assert re.findall(r'value="([a-z_]+)"', live["buttons"]) == ["refresh_now", *actions]

    @pytest.mark.parametrize(
        ("action", "entry"),
        [
            ("refresh_now", "Requested a refresh."),
            ("resend_signals", "Requested a resend of the completion signals."),
        ],
    )
    def test_button_acts_on_one_task_and_returns_to_its_page(
        self, admin_client: Client, action: str, entry: str
    ) -> None:
        task, other = completed_task(metadata={"product": 7}), completed_task("cgt-2")
        before = VideoTask.objects.get(pk=task.pk)

        response = self.press(admin_client, task, action)

        assert response["Location"] == change_url(task)
        assert (history(task), history(other)) == ([entry], [])
        if action == "refresh_now":
            after = VideoTask.objects.get(pk=task.pk)
            assert after.updated_at == before.updated_at, "nothing was edited: nothing is saved"

    def test_edited_metadata_is_saved_before_action(self, admin_client: Client) -> None:
        task = VideoTask.objects.create(task_id="cgt-1", metadata={"product": 7})

        response = self.press(admin_client, task, "stop_polling", metadata='{"product": 8}')

        task.refresh_from_db()
        assert (task.metadata, task.next_poll_at) == ({"product": 8}, None)
        assert [str(message) for message in get_messages(response.wsgi_request)] == [
            "What you edited was saved.",
            "Polling of 1 task is stopped.",
        ]
        assert sorted(history(task)) == ["Changed Metadata.", "Stopped polling."]

    def test_invalid_metadata_prevents_action_and_stays_in_form(self, admin_client: Client) -> None:
        task = VideoTask.objects.create(task_id="cgt-1", metadata={"product": 7})

        response = self.press(admin_client, task, "stop_polling", metadata="{product")

        page = response.content.decode()
        assert "{product" in page, "the invalid text stays in the form"
        assert "Nothing was done" in page
        assert "errorlist" in page
        assert VideoTask.objects.polled().get().metadata == {"product": 7}
        assert history(task) == []

    @pytest.mark.parametrize(
        "data", [{"_save": "Save"}, {PRESSED: "refresh_now"}], ids=["save", "refresh now"]
    )
    def test_unedited_form_does_not_overwrite_newer_metadata(
        self, admin_client: Client, data: dict[str, str]
    ) -> None:
        task = VideoTask.objects.create(task_id="cgt-1", metadata={"product": 7})
        VideoTask.objects.filter(pk=task.pk).update(metadata={"product": 7, "mailed": True})

        shown = json.dumps(task.metadata)
        admin_client.post(change_url(task), {"metadata": shown, "initial-metadata": shown, **data})

        task.refresh_from_db()
        assert task.metadata == {"product": 7, "mailed": True}

    @pytest.mark.parametrize("action", ["delete_selected", "export_csv", "nonsense", ""])
    def test_unknown_button_is_forbidden_and_saves_nothing(
        self, admin_client: Client, action: str
    ) -> None:
        task = completed_task()
        assert self.press(admin_client, task, action, metadata="{1: 2}").status_code == 403
        assert VideoTask.objects.get(pk=task.pk).metadata == {}

    def test_get_request_runs_no_action(self, admin_client: Client) -> None:
        task = completed_task()
        admin_client.get(change_url(task), {PRESSED: "refresh_now"})
        assert history(task) == []

    def test_button_of_deleted_task_redirects_to_index(self, admin_client: Client) -> None:
        response = self.press(admin_client, VideoTask(pk=404), "refresh_now")
        assert response["Location"] == reverse("admin:index")
        assert not LogEntry.objects.exists()

    def test_without_object_permission_buttons_are_hidden_and_forbidden(
        self, admin_client: Client, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        task = completed_task()
        monkeypatch.setattr(
            VideoTaskAdmin,
            "has_change_permission",
            lambda self, request, obj=None: obj is None or obj.pk != task.pk,
        )

        assert self.press(admin_client, task, "resend_signals").status_code == 403
        assert self.offered(admin_client, task) == []

    def test_redirect_keeps_filters_of_list(self, admin_client: Client) -> None:
        task = completed_task()
        filters = "?_changelist_filters=status__exact%3DSUCCESS"

        response = self.press(admin_client, task, "refresh_now", filters)

        assert response["Location"] == change_url(task) + filters

    def test_without_change_permission_buttons_are_hidden_and_forbidden(
        self, client: Client
    ) -> None:
        user = User.objects.create_user("viewer", is_staff=True)
        user.user_permissions.add(Permission.objects.get(codename="view_videotask"))
        client.force_login(user)
        task = completed_task()

        assert self.press(client, task, "refresh_now").status_code == 403
        assert self.offered(client, task) == []


@pytest.mark.parametrize(
    "action", ["refresh_now", "resume_polling", "stop_polling", "resend_signals"]
)
class TestActionsOfListPermission:
    def test_without_change_permission_action_is_hidden_and_does_nothing(
        self, client: Client, action: str
    ) -> None:
        user = User.objects.create_user("viewer", is_staff=True)
        user.user_permissions.add(Permission.objects.get(codename="view_videotask"))
        client.force_login(user)
        task = completed_task(delivered_at=timezone.now())

        assert action not in client.get(reverse(LIST_URL)).content.decode()
        client.post(reverse(LIST_URL), {"action": action, "_selected_action": [task.pk]})

        assert not OrmQ.objects.exists()
        assert not LogEntry.objects.exists()
        task.refresh_from_db()
        assert task.delivered_at

    def test_get_request_runs_no_action(self, admin_client: Client, action: str) -> None:
        task = completed_task(delivered_at=timezone.now())
        admin_client.get(reverse(LIST_URL), {"action": action, "_selected_action": task.pk})

        assert not OrmQ.objects.exists()
