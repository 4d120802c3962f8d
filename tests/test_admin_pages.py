"""The list and the pages of tasks, as an operator uses them in a real browser."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from django.contrib.auth.models import Permission, User
from django.test import Client
from django.urls import reverse
from django.utils import timezone
from selenium.webdriver.support.select import Select

import octovid_django
from octovid_django.models import VideoTask
from octovid_django.refresh import refresh_due
from octovid_django.sandbox import Sandbox
from tests.browser import Browser
from tests.gateway import Gateway, responds
from tests.processes import wait_for

Visit = Callable[..., None]
VIDEO = Path(octovid_django.__file__).parent / "sandbox/video.mp4"

pytestmark = pytest.mark.django_db(transaction=True)


def create(task_id: str = "cgt-1", **values: Any) -> VideoTask:
    return VideoTask.objects.create(task_id=task_id, **values)


def click(browser: Browser, selector: str) -> None:
    browser.driver.find_element("css selector", selector).click()


def wait_for_text(browser: Browser, text: str, selector: str = "#content") -> None:
    wait_for(lambda: text in browser.text(selector), 15, lambda: browser.text(selector))


def test_valid_ids_are_tracked_and_invalid_one_stays_in_form(
    browser: Browser, visit: Visit, sandbox: Sandbox
) -> None:
    first, second = sandbox.create(run_seconds=0), sandbox.create(run_seconds=0)
    visit("add")
    area = browser.driver.find_element("css selector", "textarea")
    area.send_keys(f"{first}\nnot an id\n{second}")
    click(browser, "input[type=submit]")

    wait_for_text(browser, "holds white space")
    assert "2 tasks are tracked now." in browser.text(".messagelist")
    area = browser.driver.find_element("css selector", "textarea")
    assert area.get_property("value").strip() == "not an id"

    assert refresh_due().completed == 2


def test_list_action_applies_to_selected_task_only(browser: Browser, visit: Visit) -> None:
    now = timezone.now()
    create("cgt-1", next_poll_at=now)
    other = create("cgt-2", next_poll_at=now)
    visit("changelist")
    click(browser, f"input[name=_selected_action][value='{other.pk}']")
    Select(browser.driver.find_element("name", "action")).select_by_value("stop_polling")
    click(browser, "button[name=index]")

    wait_for_text(browser, "Polling of 1 task is stopped.", ".messagelist")
    assert VideoTask.objects.resumable().get() == other


def test_polling_is_stopped_and_resumed_from_change_page(browser: Browser, visit: Visit) -> None:
    task = create(next_poll_at=timezone.now())
    visit("change", task.pk)

    click(browser, "button[value=stop_polling]")
    wait_for_text(browser, "Polling of 1 task is stopped.", ".messagelist")
    assert browser.text(".field-error .readonly") == "Polling was stopped."

    click(browser, "button[value=resume_polling]")
    wait_for_text(browser, "Polling of 1 task is resumed.", ".messagelist")
    assert VideoTask.objects.due().get() == task


def test_button_saves_edited_metadata(browser: Browser, visit: Visit) -> None:
    task = create(next_poll_at=timezone.now(), metadata={"product": 7})
    visit("change", task.pk)
    area = browser.driver.find_element("css selector", "textarea[name=metadata]")
    area.clear()
    area.send_keys('{"product": 8}')

    click(browser, "button[value=stop_polling]")

    wait_for_text(browser, "Polling of 1 task is stopped.", ".messagelist")
    assert "What you edited was saved." in browser.text(".messagelist")
    task.refresh_from_db()
    assert (task.metadata, task.next_poll_at) == ({"product": 8}, None)


def test_buttons_follow_status_without_reload(browser: Browser, visit: Visit) -> None:
    task = create(next_poll_at=timezone.now())
    visit("change", task.pk)

    def offered() -> list[str]:
        buttons = "document.querySelectorAll('.octovid-actions button')"
        return list(browser.script(f"return [...{buttons}].map((each) => each.value)"))

    assert offered() == ["refresh_now", "stop_polling"]
    now = timezone.now()
    VideoTask.objects.update(status="SUCCESS", next_poll_at=None, completed_at=now)
    wait_for(lambda: offered() == ["refresh_now", "resend_signals"], 15, offered)


def test_viewer_is_offered_exports_only(browser: Browser, visit: Visit, client: Client) -> None:
    task = create()
    user = User.objects.create_user("viewer", is_staff=True)
    user.user_permissions.add(Permission.objects.get(codename="view_videotask"))
    client.force_login(user)

    visit("changelist", client=client)
    options = browser.driver.find_elements("css selector", "select[name=action] option")
    assert [each.get_property("value") for each in options if each.get_property("value")] == [
        "export_csv",
        "export_json",
    ]
    visit("change", task.pk, client=client)
    offered = "#content .octovid-actions button, #content [type=submit]"
    assert not browser.driver.find_elements("css selector", offered)


def test_link_and_player_are_removed_when_link_expires_on_open_page(
    browser: Browser, visit: Visit
) -> None:
    task = create(
        status="SUCCESS",
        video_url="https://cdn.example/video.mp4",
        video_url_expires_at=timezone.now() + timedelta(seconds=6),
    )
    visit("change", task.pk)
    assert browser.text("[data-octovid-until]").startswith("0:0")
    assert browser.driver.find_elements("css selector", "video")

    wait_for(lambda: not browser.driver.find_elements("css selector", "video"), 20, "no player")
    assert browser.text(".field-video_link .readonly") == "expired"


HOSTILE = {
    "script": "<script>document.title = 'pwned'</script>",
    "image": "<img src=x onerror=\"document.title='pwned'\">",
    "attribute": "\" onmouseover=\"document.title='pwned'\" '",
    "right-to-left": "\u202e\u2067gnp.exe",
    "endless": "x" * 10_000,
    "javascript": "javascript:document.title='pwned'",
    "data": "data:text/html,<script>document.title='pwned'</script>",
}


@pytest.mark.parametrize("text", HOSTILE.values(), ids=HOSTILE)
def test_hostile_text_is_shown_as_text_and_stays_within_screen(
    browser: Browser, visit: Visit, text: str
) -> None:
    """In every field that the gateway or the application fills, on each page and its updates."""
    short = text[:64]
    task = create(
        fail_reason=text,
        upstream_status=short,
        video_url=text,
        resolution=short,
        ratio=short,
        payload={text: [text]},
        metadata={text: text},
        last_error=text,
        delivery_error=text,
        next_poll_at=timezone.now(),
    )
    for view, arguments in (("changelist", []), ("change", [task.pk])):
        visit(view, *arguments)
        title = browser.script("return document.title")
        VideoTask.objects.update(progress=task.pk % 50 + len(view))
        progress = str(task.pk % 50 + len(view))
        wait_for_text(browser, progress, ".field-progress_bar")

        error = browser.text("td .octovid-reason, .field-error .readonly")
        assert error.removesuffix("…") in " ".join(text.split())
        assert browser.script("return document.title") == title != "pwned"
        assert not browser.driver.find_elements("css selector", "[src=x], [href^='javascript:']")
        assert not browser.driver.find_elements("css selector", "[href^='data:'], [src^='data:']")
        assert browser.is_within_screen()
    visit("video", task.pk)
    assert browser.is_within_screen()
    browser.complaints()  # of the browser itself, about the 404
    visit("change", task.pk)
    area = browser.driver.find_element("css selector", "textarea[name=metadata]")
    assert json.loads(area.get_property("value")) == {text: text}


@pytest.mark.parametrize("view", ["changelist", "change", "add"])
def test_page_fits_narrow_screen(browser: Browser, visit: Visit, view: str) -> None:
    completed = {"status": "SUCCESS", "completed_at": timezone.now(), "total_tokens": 10**12}
    task = create(fail_reason="x" * 300, **completed)
    browser.narrow()
    visit(view, *([task.pk] if view == "change" else []))
    assert browser.is_within_screen()


def test_list_has_no_animation_and_announces_politely(browser: Browser, visit: Visit) -> None:
    create(status="IN_PROGRESS", next_poll_at=timezone.now())
    visit("changelist")

    moving = browser.script(
        "return [...document.querySelectorAll('#content *')].filter((element) => {"
        "  const style = getComputedStyle(element);"
        "  return style.animationName !== 'none' && [...element.classList].some("
        "    (name) => name.startsWith('octovid'));"
        "}).length"
    )
    assert moving == 0
    assert browser.script("return document.querySelector('#octovid-live').ariaLive") == "polite"


class TestHostileVideo:
    """A gateway that sends, in place of a video, code that would run in the site's origin."""

    PAYLOAD = "/*<html><script src='?'></script>*/document.documentElement.dataset.owned = 1"

    @pytest.fixture
    def task(self, gateway: Gateway) -> VideoTask:
        url = f"{gateway.url}/v1/videos/cgt-1/content"
        return create(status="SUCCESS", video_url=url)

    @pytest.mark.parametrize(
        "kind", ["video/mp4, text/javascript", "video/mp4, text/html", "text/html", "video/mp4"]
    )
    def test_response_runs_neither_as_script_nor_as_page(
        self, browser: Browser, visit: Visit, gateway: Gateway, task: VideoTask, kind: str
    ) -> None:
        gateway.default = responds(200, self.PAYLOAD, Content_Type=kind)
        visit("change", task.pk)
        loaded = browser.driver.execute_async_script(
            """
            const [url, done] = arguments;
            const script = document.createElement("script");
            script.onload = () => done("loaded");
            script.onerror = () => done("refused");
            script.src = url;
            document.head.append(script);
            """,
            reverse("admin:octovid_django_videotask_video", args=[task.pk]),
        )

        assert loaded == "refused"
        assert not browser.script("return document.documentElement.dataset.owned")
        visit("video", task.pk)
        assert not browser.script("return document.documentElement.dataset.owned")
        assert gateway.requests
        assert browser.complaints()  # of the browser itself: it refuses

    @pytest.mark.parametrize("view", ["change", "video"])
    def test_real_video_plays_on_change_page_and_alone(
        self, browser: Browser, visit: Visit, gateway: Gateway, task: VideoTask, view: str
    ) -> None:
        gateway.default = responds(200, VIDEO.read_bytes(), Content_Type="video/mp4; codecs=avc1")
        visit(view, task.pk)
        played = browser.driver.execute_async_script(
            """
            const done = arguments[0];
            const video = document.querySelector("video");
            video.muted = true;
            video.play().then(() => done(video.duration), (error) => done(String(error)));
            """
        )

        assert isinstance(played, (int, float)), played
        assert played > 0
        browser.complaints()
