"""The admin with the theme of django-unfold: ``tox run -e unfold``."""

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


def test_list_updates_without_reload(
    browser: Browser, visit: Callable[..., None], sandbox: Sandbox
) -> None:
    now = timezone.now()
    delivered = {"status": "SUCCESS", "completed_at": now, "delivered_at": now}
    VideoTask.objects.create(task_id="cgt-done", **delivered)
    task = VideoTask.objects.track(sandbox.create(run_seconds=0))
    visit("changelist")
    assert browser.text(".octovid-history tbody td") == "1"
    assert browser.text(".octovid-counts li") == "not started 1"
    assert "poll_count" in browser.driver.page_source

    refresh_tasks([task])

    wait_for(lambda: browser.text(".octovid-counts") == "succeeded 2", 15, "the completion")
    assert browser.text("[data-octovid-cell=video_link] a") == "Watch"


def test_change_page_updates_without_reload_and_resends_signals(
    browser: Browser, visit: Callable[..., None], sandbox: Sandbox
) -> None:
    task = VideoTask.objects.track(sandbox.create(run_seconds=0))
    visit("change", task.pk)
    refresh_tasks([task])

    wait_for(lambda: browser.text(".octovid-status") == "succeeded", 15, "the completion")
    assert browser.script("return document.querySelector('video').controls")

    browser.driver.find_element("css selector", "button[value=resend_signals]").click()
    wait_for(lambda: "will be resent" in browser.text("body"), 15, "a message")
