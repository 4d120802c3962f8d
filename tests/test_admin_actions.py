"""What an operator can do about the tasks that are selected in the list."""

from __future__ import annotations

import re
from html import unescape
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
from octovid_django.models import VideoTask
from octovid_django.refresh import refresh_due
from octovid_django.sandbox import Sandbox
from octovid_django.tracking import stop_polling

LIST_URL = "admin:octovid_django_videotask_changelist"
Received = list[tuple[str, dict[str, Any]]]

pytestmark = pytest.mark.django_db


def run(client: Client, action: str, tasks: list[VideoTask], **data: Any) -> list[str]:
    """Run an action on ``tasks`` and return what the operator is told."""
    selected = [task.pk for task in tasks]
    response = client.post(
        reverse(LIST_URL), {"action": action, "_selected_action": selected, **data}
    )
    assert response.status_code == 302
    return [str(message) for message in get_messages(response.wsgi_request)]


def work() -> list[str]:
    """Do what the workers of django-q2 are told to, and return what that was."""
    done = []
    for message in OrmQ.objects.order_by("pk"):
        name = message.func().removeprefix("octovid_django.tasks.")
        getattr(q2_tasks, name)(*message.args())
        message.delete()
        done.append(name)
    return done


def completed_task(task_id: str = "cgt-1", **values: Any) -> VideoTask:
    return VideoTask.objects.create(
        task_id=task_id, status="SUCCESS", completed_at=timezone.now(), **values
    )


def history(task: VideoTask) -> list[str]:
    entries = LogEntry.objects.filter(object_id=str(task.pk))
    return [entry.get_change_message() for entry in entries]


class TestLookingNow:
    def test_is_done_by_a_worker(self, admin_client: Client, sandbox: Sandbox) -> None:
        task = VideoTask.objects.track(sandbox.create(run_seconds=0))

        assert run(admin_client, "refresh_now", [task]) == ["1 task will be looked at in a moment."]
        assert sandbox.query_count == 0, "a page does not wait for the gateway"
        work()

        task.refresh_from_db()
        assert task.status == "SUCCESS"
        assert history(task) == ["Had the gateway asked."]

    def test_is_not_promised_where_nobody_was_told(
        self, admin_client: Client, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        task = VideoTask.objects.create(task_id="cgt-1")
        monkeypatch.setattr(Conf, "ORM", "a database that is not there")

        assert run(admin_client, "refresh_now", [task]) == [
            "0 tasks will be looked at in a moment.",
            "1 task was not handed over: django-q2's broker does not answer.",
        ]
        assert history(task) == []

    def test_takes_a_selection_of_thousands(self, admin_client: Client) -> None:
        VideoTask.objects.bulk_create(VideoTask(task_id=f"cgt-{number}") for number in range(1_200))
        messages_of = run(
            admin_client, "refresh_now", [VideoTask.objects.all()[0]], select_across="1"
        )

        assert messages_of == ["1200 tasks will be looked at in a moment."]
        messages = [message.args()[0] for message in OrmQ.objects.all()]
        assert sorted(map(len, messages)) == [200, 500, 500]
        assert LogEntry.objects.count() == 1_200


class TestSendingAgain:
    def test_calls_the_receivers_once_more_and_they_know(
        self, admin_client: Client, received: Received
    ) -> None:
        task = completed_task(delivered_at=timezone.now(), delivery_attempts=1)

        assert run(admin_client, "resend_signals", [task]) == [
            "The completion signals of 1 task will be sent again."
        ]
        assert work() == ["deliver_completion"]

        assert [(name, call["attempt"]) for name, call in received] == [
            ("video_succeeded", 2),
            ("video_completed", 2),
        ]
        assert history(task) == ["Had the completion signals sent again."]

    def test_takes_up_what_was_given_up(self, admin_client: Client, received: Received) -> None:
        task = completed_task(delivery_attempts=5, delivery_error="no shelf left")
        assert VideoTask.objects.abandoned().exists()

        run(admin_client, "resend_signals", [task])
        work()

        task.refresh_from_db()
        assert (task.delivery_attempts, task.delivery_error) == (6, "")
        assert task.delivered_at

    def test_takes_what_a_filter_shows_though_it_is_shown_no_longer(
        self, admin_client: Client
    ) -> None:
        tasks = [completed_task(f"cgt-{number}", delivery_attempts=5) for number in range(3)]
        response = admin_client.post(
            reverse(LIST_URL) + "?delivery=failed",
            {"action": "resend_signals", "_selected_action": [task.pk for task in tasks]},
        )
        assert [str(message) for message in get_messages(response.wsgi_request)] == [
            "The completion signals of 3 tasks will be sent again."
        ]
        assert all(history(task) for task in tasks)

    def test_says_which_have_not_ended(self, admin_client: Client) -> None:
        running = VideoTask.objects.create(task_id="cgt-2")

        assert run(admin_client, "resend_signals", [completed_task(), running]) == [
            "The completion signals of 1 task will be sent again.",
            "1 task has not ended.",
        ]
        assert history(running) == []


class TestStopping:
    def test_ends_the_looks_at_a_task(self, admin_client: Client, sandbox: Sandbox) -> None:
        task = VideoTask.objects.track(sandbox.create())

        assert run(admin_client, "stop_polling", [task, completed_task()]) == [
            "1 task is tracked no longer.",
            "1 task was not tracked.",
        ]
        assert refresh_due().polled == 0
        assert history(task) == ["Had it tracked no longer."]


class TestTrackingAgain:
    def test_goes_on_with_what_was_stopped_and_what_was_lost(
        self, admin_client: Client, sandbox: Sandbox
    ) -> None:
        stopped, lost = (VideoTask.objects.track(sandbox.create(run_seconds=0)) for _ in range(2))
        stop_polling([stopped.pk, lost.pk])
        VideoTask.objects.filter(pk=lost.pk).update(status="LOST", completed_at=timezone.now())
        done = completed_task()

        assert run(admin_client, "resume_polling", [stopped, lost, done]) == [
            "2 tasks are tracked again.",
            "1 task is tracked anyway, or has ended at the gateway.",
        ]
        assert refresh_due().completed == 2
        assert history(stopped) == history(lost) == ["Had it tracked again."]
        assert history(done) == []


class TestPageOfATask:
    def post(self, client: Client, task: VideoTask, action: str) -> HttpResponse:
        url = reverse("admin:octovid_django_videotask_action", args=[task.pk])
        return client.post(url, {"action": action})

    def test_has_the_actions_as_buttons(self, admin_client: Client) -> None:
        task = completed_task()
        url = reverse("admin:octovid_django_videotask_change", args=[task.pk])
        page = admin_client.get(url).content.decode()

        for label in ("Look now", "Track again", "Stop tracking", "Send the completion signals"):
            assert label in page

    @pytest.mark.parametrize(
        ("action", "entry"),
        [
            ("refresh_now", "Had the gateway asked."),
            ("resend_signals", "Had the completion signals sent again."),
        ],
    )
    def test_acts_on_that_task_and_stays(
        self, admin_client: Client, action: str, entry: str
    ) -> None:
        task, other = completed_task(), completed_task("cgt-2")

        response = self.post(admin_client, task, action)

        assert response["Location"] == reverse(
            "admin:octovid_django_videotask_change", args=[task.pk]
        )
        assert (history(task), history(other)) == ([entry], [])

    @pytest.mark.parametrize("action", ["delete_selected", "export_csv", "nonsense", ""])
    def test_does_nothing_else(self, admin_client: Client, action: str) -> None:
        task = completed_task()
        assert self.post(admin_client, task, action).status_code == 403
        assert VideoTask.objects.filter(pk=task.pk).exists()

    def test_is_not_given_by_a_link(self, admin_client: Client) -> None:
        url = reverse("admin:octovid_django_videotask_action", args=[completed_task().pk])
        assert admin_client.get(url, {"action": "refresh_now"}).status_code == 405

    def test_of_a_task_that_is_gone_is_not_found(self, admin_client: Client) -> None:
        assert self.post(admin_client, VideoTask(pk=404), "refresh_now").status_code == 404

    def test_needs_the_permission_to_change_that_task(
        self, admin_client: Client, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        task = completed_task()
        monkeypatch.setattr(
            VideoTaskAdmin,
            "has_change_permission",
            lambda self, request, obj=None: obj is None or obj.pk != task.pk,
        )

        assert self.post(admin_client, task, "resend_signals").status_code == 403
        url = reverse("admin:octovid_django_videotask_change", args=[task.pk])
        assert "Look now" not in admin_client.get(url).content.decode()

    def test_keeps_the_filters_of_the_list(self, admin_client: Client) -> None:
        task = completed_task()
        url = reverse("admin:octovid_django_videotask_change", args=[task.pk])
        filters = "?_changelist_filters=status__exact%3DSUCCESS"
        page = admin_client.get(url + filters).content.decode()
        (action,) = re.findall(r'<form class="octovid-actions" [^>]*action="([^"]*)"', page)

        response = admin_client.post(unescape(action), {"action": "refresh_now"})

        assert response["Location"] == url + filters

    def test_needs_the_permission_to_change(self, client: Client) -> None:
        user = User.objects.create_user("viewer", is_staff=True)
        user.user_permissions.add(Permission.objects.get(codename="view_videotask"))
        client.force_login(user)
        task = completed_task()

        assert self.post(client, task, "refresh_now").status_code == 403
        url = reverse("admin:octovid_django_videotask_change", args=[task.pk])
        assert "Look now" not in client.get(url).content.decode()


@pytest.mark.parametrize(
    "action", ["refresh_now", "resume_polling", "stop_polling", "resend_signals"]
)
class TestPermission:
    def test_to_change_is_needed(self, client: Client, action: str) -> None:
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

    def test_is_not_given_by_a_link(self, admin_client: Client, action: str) -> None:
        task = completed_task(delivered_at=timezone.now())
        admin_client.get(reverse(LIST_URL), {"action": action, "_selected_action": task.pk})

        assert not OrmQ.objects.exists()
