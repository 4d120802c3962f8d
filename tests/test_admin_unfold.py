"""The admin in the clothes of django-unfold: ``tox run -e unfold``."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from django.conf import settings
from django.utils import timezone

from octovid_django.models import VideoTask
from octovid_django.refresh import refresh_tasks
from octovid_django.sandbox import Sandbox
from tests.browser import Browser
from tests.processes import wait_for

pytestmark = [
    pytest.mark.django_db(transaction=True),
    pytest.mark.skipif(
        "unfold" not in settings.INSTALLED_APPS, reason="only with --ds=tests.settings_unfold"
    ),
]


def test_the_list_is_alive(browser: Browser, visit: Callable[..., None], sandbox: Sandbox) -> None:
    completed_task = {
        "status": "SUCCESS",
        "completed_at": timezone.now(),
        "delivered_at": timezone.now(),
    }
    VideoTask.objects.create(task_id="cgt-done", **completed_task)
    task = VideoTask.objects.track(sandbox.create(run_seconds=0))
    visit("changelist")
    assert browser.text(".octovid-history tbody td") == "1"
    assert browser.text(".octovid-counts li") == "not started 1"
    assert "poll_count" in browser.driver.page_source

    refresh_tasks([task])

    wait_for(lambda: browser.text(".octovid-counts") == "succeeded 2", 15, "the end")
    assert browser.text("[data-octovid-cell=video_link] a") == "Watch"


def test_the_page_of_a_task_is_alive_and_acts(
    browser: Browser, visit: Callable[..., None], sandbox: Sandbox
) -> None:
    task = VideoTask.objects.track(sandbox.create(run_seconds=0))
    visit("change", task.pk)
    refresh_tasks([task])

    wait_for(lambda: browser.text(".octovid-status") == "succeeded", 15, "the end")
    assert browser.script("return document.querySelector('video').controls")

    browser.driver.find_element("css selector", "button[value=resend_signals]").click()
    wait_for(lambda: "will be sent again" in browser.text("body"), 15, "a message")
