"""The layout of the admin's pages, in a real browser, with whichever Django is installed."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import pytest
from django.test import Client
from django.urls import reverse
from django.utils import timezone
from pytest_django.live_server_helper import LiveServer

from octovid_django.cluster.schedules import ensure_schedule
from octovid_django.models import VideoTask
from tests.browser import Browser

Visit = Callable[..., None]

LANGUAGES = {"ltr": "en-us", "rtl": "ar"}
MAX_ROW = 130
"""Pixels that a row of the list is high at most, whatever the gateway sends."""
ONE_LINE = 42
"""Pixels that a row of one line is high at most, on a telephone."""
MAX_PAGE = 1_800
"""Pixels that the page of a finished task is long at most."""
BUTTONS = {
    "queued": ["refresh_now", "stop_polling"],
    "running": ["refresh_now", "stop_polling"],
    "done": ["refresh_now", "resend_signals"],
    "expired": ["refresh_now", "resend_signals"],
    "failed": ["refresh_now", "resend_signals"],
    "lost": ["refresh_now", "resume_polling", "resend_signals"],
    "abandoned": ["refresh_now", "resend_signals"],
    "stopped": ["refresh_now", "resume_polling"],
}
HOSTILE = {
    "endless": "x" * 2_000,
    "words": "it names a person who may not be shown. " * 50,
    "lines": "\n".join(["line"] * 400),
    "separators": "a\u2028b\u2029c\x0bd\x0c" * 200,
    "right-to-left": "\u202e\u2067 gnp.exe \u05d0\u05d1\u05d2 " * 50,
    "combining": "Z" + "\u0351\u0310\u0489\u0322" * 100 + "a\u0300" * 500,
    "wide": "视频生成失败" * 300,
    "tall": "\ufdfa\U00012031𒐫" * 200,
    "blank": "\u3000\u2003" * 500 + "x",
}
"""Reasons that a gateway may send, none of which may change the layout."""

pytestmark = pytest.mark.django_db(transaction=True)


@dataclass(frozen=True)
class Box:
    """A rectangle on the screen, in pixels."""

    left: float
    top: float
    right: float
    bottom: float

    @property
    def width(self) -> float:
        return self.right - self.left

    @property
    def height(self) -> float:
        return self.bottom - self.top


def boxes(browser: Browser, selector: str) -> list[Box]:
    """Where the visible elements of that kind are."""
    code = """
        return [...document.querySelectorAll(arguments[0])]
            .filter((element) => element.checkVisibility())
            .map((element) => element.getBoundingClientRect())
            .map(({ left, top, right, bottom }) => [left, top, right, bottom]);
    """
    return [Box(*numbers) for numbers in browser.script(code, selector)]


def box(browser: Browser, selector: str) -> Box:
    (found,) = boxes(browser, selector)
    return found


def lines(browser: Browser, selector: str) -> list[int]:
    """On how many lines the text of each element of that kind stands."""
    code = """
        return [...document.querySelectorAll(arguments[0])].map((element) => {
            const texts = document.createTreeWalker(element, NodeFilter.SHOW_TEXT);
            const tops = new Set();
            while (texts.nextNode()) {
                const range = document.createRange();
                range.selectNodeContents(texts.currentNode);
                [...range.getClientRects()].forEach((each) => tops.add(Math.round(each.top)));
            }
            return tops.size;
        });
    """
    return list(browser.script(code, selector))


@pytest.fixture
def tasks() -> dict[str, VideoTask]:
    """One in every state, with ids as a vendor writes them."""
    ensure_schedule(using="default")
    now = timezone.now()
    ago = {seconds: now - timedelta(seconds=seconds) for seconds in (3, 6, 10, 91, 96)}
    polled = {"polled_at": ago[3], "poll_count": 7, "changed_at": ago[3]}
    due = polled | {"next_poll_at": now + timedelta(seconds=12)}
    started = {"submitted_at": ago[96], "started_at": ago[91]}
    completed = polled | started | {"finished_at": ago[10], "completed_at": ago[6]}
    delivered = completed | {"delivered_at": ago[3], "delivery_attempts": 1}
    facts = {
        "progress": 100,
        "video_url": "https://cdn.example/video.mp4",
        "video_url_expires_at": now + timedelta(hours=12),
        "duration": 5,
        "resolution": "720p",
        "ratio": "16:9",
        "total_tokens": 123_456,
        "model": "doubao-seedance-1-0-pro",
        "payload": {"id": "cgt", "data": [{"index": each} for each in range(50)]},
    }
    reason = HOSTILE["words"][:2_000]
    states: dict[str, dict[str, Any]] = {
        "queued": {"status": "QUEUED", **due},
        "running": {"status": "IN_PROGRESS", "progress": 42, **started, **due},
        "done": {"status": "SUCCESS", **facts, **delivered},
        "expired": {"status": "SUCCESS", **facts, **delivered, "video_url_expires_at": now},
        "failed": {"status": "FAILURE", "progress": 30, "fail_reason": reason, **delivered},
        "lost": {"status": "LOST", "last_error": "task_not_exist", "error_count": 5, **delivered},
        "abandoned": {
            "status": "SUCCESS",
            "delivery_error": "shop.receivers.attach_video: ValueError: no shelf left",
            "delivery_attempts": 5,
            **facts,
            **completed,
        },
        "stopped": {"status": "QUEUED", "next_poll_at": None},
    }
    return {
        name: VideoTask.objects.create(task_id=f"cgt-2026041216350{number}-x8k2m", **values)
        for number, (name, values) in enumerate(states.items())
    }


@pytest.fixture(params=LANGUAGES)
def direction(request: pytest.FixtureRequest, settings: Any) -> str:
    settings.LANGUAGE_CODE = LANGUAGES[request.param]
    return str(request.param)


class TestListLayout:
    def test_list_fits_desktop_with_navigation_and_filters_open(
        self, browser: Browser, visit: Visit, tasks: dict[str, VideoTask], direction: str
    ) -> None:
        browser.resize(1440, 900)
        visit("changelist")

        for selector in ("#nav-sidebar", "#changelist-filter"):
            assert box(browser, selector).width > 200
        results = box(browser, "#changelist-form .results")
        for cell in boxes(browser, "#result_list :is(th, td)"):
            assert results.left - 1 <= cell.left < cell.right <= results.right + 1
        assert set(lines(browser, "th.field-task_id")) == {1}
        assert browser.is_within_screen()

    def test_rows_without_error_take_one_line(
        self, browser: Browser, visit: Visit, tasks: dict[str, VideoTask]
    ) -> None:
        tasks["late"] = VideoTask.objects.create(
            task_id="cgt-20260412163509-x8k2m",
            status="NOT_START",
            polled_at=timezone.now() - timedelta(seconds=59),
            next_poll_at=timezone.now() + timedelta(seconds=59),
        )
        browser.resize(1440, 900)
        visit("changelist")

        rows = boxes(browser, "#result_list tbody tr:not(:has(.octovid-reason))")
        assert len(rows) == 5
        assert max(row.height for row in rows) <= ONE_LINE

    def test_error_takes_at_most_two_lines_under_status(
        self, browser: Browser, visit: Visit, tasks: dict[str, VideoTask]
    ) -> None:
        browser.resize(1440, 900)
        visit("changelist")

        row = "#result_list tr:has([title^='it names'])"
        status, error = (
            box(browser, f"{row} .octovid-status"),
            box(browser, f"{row} .octovid-reason"),
        )
        assert status.bottom <= error.top
        assert error.width > 250, "there is room for it under the neighbours of the status"
        assert error.height < 2.5 * 11 * 1.3
        for neighbour in boxes(browser, f"{row} :is(.octovid-progress, .field-completed time)"):
            assert neighbour.bottom <= error.top or neighbour.left >= error.right

    @pytest.mark.parametrize("width", [1440, 390])
    def test_hostile_text_does_not_make_rows_high(
        self, browser: Browser, visit: Visit, direction: str, width: int
    ) -> None:
        now = timezone.now()
        for name, text in HOSTILE.items():
            VideoTask.objects.create(
                task_id=(name + "-" + "W" * 191)[:191],
                status="IN_PROGRESS",
                last_error=text,
                model=text[:191],
                changed_at=now - timedelta(hours=1),
                polled_at=now - timedelta(days=999),
                next_poll_at=now - timedelta(days=999),
                completed_at=now - timedelta(days=999),
            )
        browser.resize(width, 900, is_mobile=width < 800)
        visit("changelist")

        rows = boxes(browser, "#result_list tbody tr")
        assert len(rows) == len(HOSTILE)
        assert max(row.height for row in rows) <= MAX_ROW
        assert browser.is_within_screen()
        results = box(browser, "#changelist-form .results")
        for name in ("task_id", "status_and_error"):
            for cell in boxes(browser, f"#result_list .field-{name}"):
                assert results.left - 1 <= cell.left < cell.right <= results.right + 1

    def test_list_fits_telephone(
        self, browser: Browser, visit: Visit, tasks: dict[str, VideoTask], direction: str
    ) -> None:
        browser.narrow()
        visit("changelist")

        assert browser.is_within_screen()
        assert set(lines(browser, "th.field-task_id")) == {1}
        for selector in ("#result_list th.field-task_id", "#result_list .octovid-status"):
            for each in boxes(browser, selector):
                assert each.left >= 0
                assert each.right <= 390
        for selector in ("#searchbar", "select[name=action]", ".object-tools a"):
            assert box(browser, selector).right <= 390


class TestOverviewLayout:
    @pytest.mark.parametrize("width", [1440, 390])
    def test_parts_are_stacked_below_title_in_order(
        self,
        browser: Browser,
        visit: Visit,
        tasks: dict[str, VideoTask],
        direction: str,
        width: int,
    ) -> None:
        browser.resize(width, 900, is_mobile=width < 800)
        visit("changelist")

        order = (
            *("#content h1", ".octovid-problems", ".octovid-counts", ".octovid-history table"),
            "#toolbar",
        )
        places = [box(browser, selector) for selector in order]
        for before, after in itertools.pairwise(places):
            assert before.bottom <= after.top
        assert lines(browser, "#content h1") == [1]
        assert lines(browser, ".object-tools a") == [1]
        assert box(browser, ".object-tools a").bottom <= places[1].top
        assert places[1].width >= box(browser, "#content-main").width - 2
        assert box(browser, ".octovid-history figure").top >= places[2].bottom

    def test_folded_overview_stays_folded_and_keeps_problems_visible(
        self, browser: Browser, visit: Visit, tasks: dict[str, VideoTask]
    ) -> None:
        def shown() -> list[bool]:
            selectors = (".octovid-problems", ".octovid-counts", ".octovid-history")
            return [bool(boxes(browser, selector)) for selector in selectors]

        def fold() -> None:
            browser.driver.find_element("css selector", ".octovid-overview summary").click()

        visit("changelist")
        assert shown() == [True, True, True]
        fold()
        assert shown() == [True, False, False], "problems are never folded away"
        visit("changelist")
        assert shown() == [True, False, False]
        fold()
        visit("changelist")
        assert shown() == [True, True, True]


class TestChangePageLayout:
    @pytest.mark.parametrize("theme", ["light", "dark"])
    def test_summary_and_buttons_are_visible_without_scrolling(
        self,
        browser: Browser,
        visit: Visit,
        tasks: dict[str, VideoTask],
        direction: str,
        theme: str,
    ) -> None:
        browser.prefer(theme)
        browser.resize(1360, 900)
        for name, task in tasks.items():
            visit("change", task.pk)

            facts = ("status_badge", "progress_bar", "error", "expires", "timeline", "player")
            places = {each: box(browser, f".octovid-summary .field-{each}") for each in facts}
            places["buttons"] = box(browser, ".octovid-actions")
            for what, place in places.items():
                assert 0 <= place.left < place.right <= 1360, (name, what)
                assert 0 <= place.top < place.bottom <= 900, (name, what)
            buttons = browser.driver.find_elements("css selector", ".octovid-actions button")
            assert [each.get_property("value") for each in buttons] == BUTTONS[name]
            assert bool(boxes(browser, "video")) == (name in ("done", "abandoned")), name
            assert places["player"].bottom <= places["timeline"].top + 1
            facts_are_first = places["status_badge"].left < places["player"].left
            assert facts_are_first == (direction == "ltr")
            if task.is_finished:
                length = browser.script("return document.documentElement.scrollHeight")
                assert length <= MAX_PAGE, name
            assert browser.is_within_screen()

    def test_tools_are_beside_title_and_buttons_below(
        self, browser: Browser, visit: Visit, tasks: dict[str, VideoTask]
    ) -> None:
        browser.resize(1360, 900)
        visit("change", tasks["lost"].pk)

        title, history = box(browser, "#content h1"), box(browser, ".object-tools a")
        buttons = boxes(browser, ".octovid-actions button")
        assert lines(browser, "#content h1") == [1]
        assert history.right >= box(browser, "#content-main").right - 1
        assert len({round(button.top) for button in buttons}) == 1
        assert min(button.top for button in buttons) >= max(title.bottom, history.bottom)

    @pytest.mark.parametrize("width", [1360, 390])
    def test_long_texts_stay_in_their_fields(
        self, browser: Browser, visit: Visit, direction: str, width: int
    ) -> None:
        browser.resize(width, 900, is_mobile=width < 800)
        for name, text in HOSTILE.items():
            task = VideoTask.objects.create(
                task_id=(name + "-" + "W" * 191)[:191],
                status="FAILURE",
                completed_at=timezone.now(),
                **dict.fromkeys(("fail_reason", "last_error", "delivery_error"), text),
                **dict.fromkeys(("upstream_status", "resolution", "ratio"), text[:64]),
                model=text[:191],
                payload={text: [text]},
            )
            visit("change", task.pk)
            browser.script("document.querySelectorAll('details').forEach((e) => e.open = true)")

            assert browser.is_within_screen(), name
            form = box(browser, "#content-main form")
            for field in boxes(browser, ".form-row .readonly, .form-row pre, #content h2"):
                assert form.left - 1 <= field.left <= field.right <= form.right + 1, name
            overflowing = browser.script(
                """
                return [...document.querySelectorAll(".form-row .readonly")]
                    .filter((each) => getComputedStyle(each).overflowX === "visible")
                    .filter((each) => each.scrollWidth > each.clientWidth + 1)
                    .map((each) => each.outerHTML);
                """
            )
            assert overflowing == [], name


class TestOtherPagesLayout:
    def breadcrumbs(self, browser: Browser) -> list[Any]:
        """The tags and the computed style of the page's breadcrumbs."""
        return list(
            browser.script(
                """
                const crumbs = document.querySelector(".breadcrumbs");
                const { backgroundColor, color, display, fontSize, padding } =
                    getComputedStyle(crumbs);
                const link = getComputedStyle(crumbs.querySelector("a"));
                return [crumbs.tagName, crumbs.firstElementChild.tagName, backgroundColor, color,
                    display, fontSize, padding, link.color, crumbs.offsetHeight];
                """
            )
        )

    def test_breadcrumbs_equal_those_of_installed_django(
        self,
        browser: Browser,
        visit: Visit,
        live_server: LiveServer,
        tasks: dict[str, VideoTask],
    ) -> None:
        browser.resize(1440, 900)
        visit("changelist")
        browser.driver.get(live_server.url + reverse("admin:auth_user_add"))
        own = self.breadcrumbs(browser)

        for view, arguments in {
            "add": [],
            "video": [tasks["queued"].pk],
            "change": [tasks["queued"].pk],
            "delete": [tasks["queued"].pk],
            "history": [tasks["queued"].pk],
        }.items():
            visit(view, *arguments)
            assert self.breadcrumbs(browser) == own, view
            crumbs = browser.text(".breadcrumbs").replace("\n", " ")
            assert "Video tasks" in crumbs
            assert lines(browser, "#content h1") == [1]
        browser.complaints()  # of the browser itself, about the 404 of "video"

    def test_delete_selected_is_confirmed_by_template_of_django(
        self, admin_client: Client, tasks: dict[str, VideoTask]
    ) -> None:
        response = admin_client.post(
            reverse("admin:octovid_django_videotask_changelist"),
            {"action": "delete_selected", "_selected_action": [tasks["done"].pk]},
        )

        templates = [template.name for template in response.templates]
        assert "admin/delete_selected_confirmation.html" in templates
        assert not [name for name in templates if name and "octovid" in name]
