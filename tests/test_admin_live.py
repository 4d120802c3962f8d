"""Live updates: the JSON of the rows, and the list and pages in a real browser."""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
import time_machine
from django.contrib.auth.models import Permission, User
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse
from django.utils import timezone

from octovid_django.delivery import deliver
from octovid_django.models import VideoTask
from octovid_django.refresh import refresh_tasks
from octovid_django.sandbox import Sandbox
from tests.browser import Browser
from tests.processes import wait_for

LIVE_URL = "admin:octovid_django_videotask_live"
LIST_URL = "admin:octovid_django_videotask_changelist"


def create(task_id: str = "cgt-1", **values: Any) -> VideoTask:
    is_final = values.get("status") == "SUCCESS"
    values.setdefault("next_poll_at", None if is_final else timezone.now())
    return VideoTask.objects.create(task_id=task_id, **values)


@pytest.mark.django_db
class TestLiveRows:
    def get(self, client: Client, ids: str) -> Any:
        response = client.get(reverse(LIVE_URL), {"ids": ids})
        assert response.status_code == 200
        return response.json()["rows"]

    def test_only_rows_of_requested_ids_are_returned(self, admin_client: Client) -> None:
        first, second, _ = (create(f"cgt-{number}") for number in range(3))

        assert set(self.get(admin_client, f"{first.pk},{second.pk},999999")) == {
            str(first.pk),
            str(second.pk),
        }

    def test_cells_equal_those_of_list(self, admin_client: Client) -> None:
        task = create(status="IN_PROGRESS", progress=42, last_error="<b>refused</b>")
        page = admin_client.get(reverse(LIST_URL)).content.decode()

        cells = self.get(admin_client, str(task.pk))[str(task.pk)]

        assert "in progress" in cells["status_badge"]
        assert 'value="42"' in cells["progress_bar"]
        assert ">&lt;b&gt;refused&lt;/b&gt;<" in cells["error"]
        assert ">–<" in cells["video_link"]
        for name in ("status_and_error", "progress_bar", "video_link"):
            assert f'field-{name}">{cells[name]}</td>' in page

    def test_rows_take_one_query_without_payload(self, admin_client: Client) -> None:
        def queries(ids: str) -> list[str]:
            with CaptureQueriesContext(connection) as captured:
                self.get(admin_client, ids)
            table = VideoTask._meta.db_table
            return [each["sql"] for each in captured if table in each["sql"]]

        pks = [create(f"cgt-{number}", payload={"a": 1}).pk for number in range(20)]

        (sql,) = queries(",".join(map(str, pks)))
        assert "payload" not in sql

    @pytest.mark.parametrize(
        "ids",
        ["", "x", "1;2", "-1", ",", "1" * 30, ",".join(["1"] * 501)],
        ids=["none", "letter", "semicolon", "negative", "comma", "30 digits", "501 ids"],
    )
    def test_invalid_ids_are_refused_with_400(self, admin_client: Client, ids: str) -> None:
        response = admin_client.get(reverse(LIVE_URL), {"ids": ids})

        assert response.status_code == 400
        assert "ids=1,2,3" in response.content.decode()

    def test_post_is_refused_with_405(self, admin_client: Client) -> None:
        assert admin_client.post(reverse(LIVE_URL), {"ids": "1"}).status_code == 405

    @pytest.mark.parametrize(
        ("permission", "status"), [("view_videotask", 200), (None, 403)], ids=["view", "none"]
    )
    def test_view_permission_is_required_as_for_list(
        self, client: Client, permission: str | None, status: int
    ) -> None:
        user = User.objects.create_user("staff", is_staff=True)
        if permission:
            user.user_permissions.add(Permission.objects.get(codename=permission))
        client.force_login(user)

        assert client.get(reverse(LIVE_URL), {"ids": "1"}).status_code == status
        assert client.get(reverse(LIST_URL)).status_code == status

    def test_anonymous_request_is_redirected_to_login(self, client: Client) -> None:
        response = client.get(reverse(LIVE_URL), {"ids": "1"})

        assert response.status_code == 302
        assert "/login/" in response["Location"]


@pytest.mark.django_db(transaction=True)
class TestLivePagesInBrowser:
    @pytest.fixture
    def open_list(self, browser: Browser, visit: Callable[..., None]) -> Callable[[], None]:
        def open_list() -> None:
            visit("changelist")
            browser.script("window.isSamePage = true")

        return open_list

    def requests(self, browser: Browser) -> int:
        """How many requests for its rows the page has sent."""
        return int(
            browser.script(
                "return performance.getEntriesByType('resource')"
                ".filter((entry) => entry.name.includes('/live/')).length"
            )
        )

    def progress(self, browser: Browser) -> str:
        return browser.text("td.field-progress_bar")

    def wait_in_browser(self, browser: Browser, seconds: float) -> None:
        """Wait until the browser's own clock has advanced by so many seconds."""
        until = browser.script("return performance.now()") + seconds * 1000
        wait_for(lambda: browser.script("return performance.now()") >= until, seconds + 10, "clock")

    def test_list_follows_task_to_video_without_reload_then_stops_requests(
        self, browser: Browser, open_list: Callable[[], None], sandbox: Sandbox
    ) -> None:
        with time_machine.travel(timezone.now()) as clock:
            task = VideoTask.objects.track(sandbox.create(run_seconds=3_600))
            open_list()
            assert browser.text("td .octovid-status") == "not started"
            for progress in ("30", "80", "100"):
                clock.shift(1_500)
                refresh_tasks([task])
                wait_for(lambda each=progress: each in self.progress(browser), 15, progress)

            assert browser.text("td .octovid-status") == "succeeded"
            assert browser.text("td.field-video_link a") == "Watch"
            assert f"{task.task_id}: succeeded" in browser.text("#octovid-live")
            assert browser.script("return window.isSamePage")

            assert deliver(task.pk)
            wait_for(
                lambda: not browser.driver.find_elements("css selector", "[data-octovid-active]"),
                15,
                "the delivery",
            )
            wait_for(lambda: browser.text(".octovid-history tbody td") == "1", 15, "the statistics")
            count = self.requests(browser)
            self.wait_in_browser(browser, 3)
            assert self.requests(browser) == count, "no task is active: no more requests"

    def test_change_page_loads_video_after_completion(
        self,
        browser: Browser,
        open_list: Callable[[], None],
        sandbox: Sandbox,
        settings: Any,
    ) -> None:
        settings.SECURE_CSP = {"default-src": ["'self'"], "media-src": ["'self'", sandbox.url]}
        task = VideoTask.objects.track(sandbox.create(run_seconds=0))
        open_list()
        browser.driver.find_element("css selector", "th.field-task_id a").click()
        assert browser.text(".field-status_badge .readonly") == "not started"
        assert browser.text(".field-player .readonly") == "–"
        assert browser.text(".field-error .readonly") == "–"

        refresh_tasks([task])
        wait_for(
            lambda: browser.text(".field-status_badge .readonly") == "succeeded",
            15,
            "the completion",
        )
        browser.script("document.querySelector('video').load()")
        wait_for(
            lambda: browser.script("return document.querySelector('video').readyState") >= 1,
            15,
            "the video's metadata",
        )
        assert browser.script("return document.querySelector('video').duration") > 0

    def test_hidden_page_sends_no_requests_until_visible(
        self, browser: Browser, open_list: Callable[[], None]
    ) -> None:
        create(status="IN_PROGRESS")
        open_list()
        wait_for(lambda: self.requests(browser), 15, "a request")

        browser.script(
            "Object.defineProperty(document, 'hidden', {value: true, configurable: true});"
            "document.dispatchEvent(new Event('visibilitychange'));"
        )
        self.wait_in_browser(browser, 1)  # a request may be under way
        count = self.requests(browser)
        self.wait_in_browser(browser, 3)
        assert self.requests(browser) == count

        browser.script(
            "delete document.hidden; document.dispatchEvent(new Event('visibilitychange'));"
        )
        wait_for(lambda: self.requests(browser) > count, 15, "a request")

    def test_lost_connection_is_shown_until_it_recovers(
        self, browser: Browser, open_list: Callable[[], None]
    ) -> None:
        create(status="IN_PROGRESS", progress=10)
        open_list()
        cookie = browser.driver.get_cookie("sessionid")
        browser.driver.delete_all_cookies()

        wait_for(lambda: "connection is lost" in browser.text("#octovid-lost"), 15, "a message")
        browser.driver.add_cookie(cookie)
        VideoTask.objects.update(progress=70)

        wait_for(lambda: "70" in browser.text(".field-progress_bar"), 20, "progress")
        assert browser.text("#octovid-lost") == ""
        browser.complaints()  # of the browser itself, about the requests that failed

    def test_deleted_task_is_shown_as_deleted_and_not_requested_again(
        self, browser: Browser, open_list: Callable[[], None]
    ) -> None:
        create(status="IN_PROGRESS")
        open_list()
        VideoTask.objects.all().delete()

        wait_for(lambda: browser.text("td .octovid-status") == "deleted", 15, "the badge")
        self.wait_in_browser(browser, 3)  # one more request, for the statistics
        count = self.requests(browser)
        self.wait_in_browser(browser, 3)
        assert self.requests(browser) == count

    @pytest.mark.parametrize("skew", [-300, 300], ids=["slow", "fast"])
    def test_wrong_clock_of_browser_does_not_affect_relative_times(
        self, browser: Browser, open_list: Callable[[], None], visit: Callable[..., None], skew: int
    ) -> None:
        now = timezone.now()
        task = create(
            status="SUCCESS",
            completed_at=now - timedelta(minutes=2),
            polled_at=now,
            video_url="https://a.b/c",
            video_url_expires_at=now + timedelta(seconds=7),
        )
        browser.before_every_page(
            f"const now = Date.now.bind(Date); Date.now = () => now() + {skew * 1000};"
        )
        visit("change", task.pk)

        assert re.search(r"^\ds ago", browser.text(".field-polls .readonly"))
        wait_for(lambda: not browser.driver.find_elements("css selector", "video"), 20, "no player")
        assert self.requests(browser) < 5

    def test_status_changes_are_announced_without_moving_list(
        self, browser: Browser, open_list: Callable[[], None]
    ) -> None:
        for number in range(5):
            create(f"cgt-{number}", status="IN_PROGRESS")
        open_list()
        place = browser.script("return document.querySelector('td').getBoundingClientRect().top")
        VideoTask.objects.update(status="QUEUED")
        wait_for(lambda: browser.text("td .octovid-status") == "queued", 15, "the badge")

        announced = browser.script("return document.querySelector('#octovid-live').textContent")
        assert announced.count(": queued") == 3
        assert announced.endswith("; and 2 more")
        top = browser.script("return document.querySelector('td').getBoundingClientRect().top")
        assert top == place, "nothing jumps under the pointer"

    def test_times_are_relative_and_advance(
        self, browser: Browser, open_list: Callable[[], None], sandbox: Sandbox
    ) -> None:
        task = VideoTask.objects.track(sandbox.create(run_seconds=600))
        refresh_tasks([task])
        open_list()

        assert re.search(r"^\d+s ago · in \d+s", browser.text("td.field-polls"))
        before = browser.text(".field-run_time")
        wait_for(lambda: browser.text(".field-run_time") != before, 5, "the clock advances")

    def test_html_in_error_and_task_id_is_shown_as_text(
        self, browser: Browser, open_list: Callable[[], None]
    ) -> None:
        hostile = "<img src=x onerror=\"document.title='pwned'\"><script>alert(1)</script>"
        create(status="IN_PROGRESS", last_error=hostile, task_id="<b>cgt</b>")
        open_list()
        wait_for(lambda: self.requests(browser), 15, "a request")
        VideoTask.objects.update(progress=50)
        wait_for(lambda: "50" in browser.text(".field-progress_bar"), 15, "an update")

        assert browser.text("td .octovid-reason") == hostile
        assert browser.script("return document.title") != "pwned"

    def test_update_keeps_focus_and_unchanged_elements(
        self, browser: Browser, open_list: Callable[[], None]
    ) -> None:
        create("cgt-2", status="SUCCESS", completed_at=timezone.now(), video_url="https://a.b/c")
        create(status="IN_PROGRESS", progress=10)
        open_list()
        browser.script(
            "document.querySelector('td.field-video_link a').focus();"
            "document.querySelector('[role=alert]').isSame = true"
        )
        VideoTask.objects.filter(task_id="cgt-1").update(progress=70)
        wait_for(lambda: "70" in browser.text("td.field-progress_bar"), 15, "an update")

        assert browser.script("return document.activeElement.textContent") == "Watch"
        assert browser.script("return document.querySelector('[role=alert]').isSame")
