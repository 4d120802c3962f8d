"""Adding tasks in the admin: their ids, one a line."""

from __future__ import annotations

import json
from typing import Any

import pytest
from django.contrib.admin.models import LogEntry
from django.contrib.auth.models import Permission, User
from django.contrib.messages import get_messages
from django.http import HttpResponse
from django.test import Client
from django.urls import reverse

from octovid_django.models import VideoTask

URL = "admin:octovid_django_videotask_add"

pytestmark = pytest.mark.django_db


def post(client: Client, task_ids: str) -> Any:
    return client.post(reverse(URL), {"task_ids": task_ids})


def told(response: HttpResponse) -> list[str]:
    return [str(message) for message in get_messages(response.wsgi_request)]


def test_asks_for_ids(admin_client: Client) -> None:
    page = admin_client.get(reverse(URL)).content.decode()

    assert '<textarea name="task_ids"' in page
    assert "errornote" not in page


def test_tracks_every_id(admin_client: Client) -> None:
    response = post(admin_client, " cgt-1 \r\n\r\ngrok:05c8/x\ncgt-1")

    assert response.status_code == 302
    assert response["Location"] == reverse("admin:octovid_django_videotask_changelist")
    assert told(response) == ["2 tasks are tracked now."]
    assert set(VideoTask.objects.due().values_list("task_id", flat=True)) == {
        "cgt-1",
        "grok:05c8/x",
    }
    assert LogEntry.objects.count() == 2


def test_says_what_is_known(admin_client: Client) -> None:
    VideoTask.objects.create(task_id="cgt-1", status="SUCCESS")

    response = post(admin_client, "cgt-1\ncgt-2")

    assert told(response) == ["1 task is tracked now.", "Known already: cgt-1"]
    assert VideoTask.objects.get(task_id="cgt-1").status == "SUCCESS"


def test_says_which_are_tracked_no_longer(admin_client: Client) -> None:
    VideoTask.objects.create(task_id="cgt-1", status="LOST")

    assert told(post(admin_client, "cgt-1"))[1].startswith("1 of them is tracked no longer")


def test_names_only_some_of_many(admin_client: Client) -> None:
    VideoTask.objects.bulk_create(
        VideoTask(task_id=f"cgt-{number:04}", status="SUCCESS") for number in range(1_000)
    )
    response = post(admin_client, "\n".join(f"cgt-{number:04}" for number in range(1_000)))

    (message,) = told(response)
    assert message.endswith("cgt-0019 …")


def test_gives_a_popup_what_it_asked_for(admin_client: Client) -> None:
    page = admin_client.get(reverse(URL), {"_popup": "1"}).content.decode()
    assert '<input type="hidden" name="_popup" value="1">' in page
    assert "breadcrumbs" not in page

    response = admin_client.post(reverse(URL), {"task_ids": "cgt-1", "_popup": "1"})

    task = VideoTask.objects.get()
    assert json.loads(response.context_data["popup_response_data"])["value"] == str(task.pk)


def test_names_the_bad_and_does_not_lose_the_good(admin_client: Client) -> None:
    response = post(admin_client, f"cgt-1\nnot an <id>\n{'x' * 192}")
    page = response.content.decode()

    assert response.status_code == 200
    assert told(response) == ["1 task is tracked now."]
    assert VideoTask.objects.get().task_id == "cgt-1"
    assert "not an &lt;id&gt;: the task id" in page
    assert "has 192 characters" in page
    left = page[page.index("<textarea") : page.index("</textarea>")]
    assert "not an &lt;id&gt;" in left
    assert "x" * 192 in left
    assert "cgt-1" not in left


def test_asks_again_when_there_is_none(admin_client: Client) -> None:
    response = post(admin_client, " ")

    assert response.status_code == 200
    assert "This field is required" in response.content.decode()


def test_leads_home_who_may_only_add(client: Client) -> None:
    user = User.objects.create_user("adder", is_staff=True)
    user.user_permissions.add(Permission.objects.get(codename="add_videotask"))
    client.force_login(user)

    assert post(client, "cgt-1")["Location"] == reverse("admin:index")


def test_needs_the_permission_to_add(client: Client) -> None:
    user = User.objects.create_user("viewer", is_staff=True)
    user.user_permissions.add(Permission.objects.get(codename="view_videotask"))
    client.force_login(user)

    assert post(client, "cgt-1").status_code == 403
    assert not VideoTask.objects.exists()
