"""What stands above the list: problems, counts, task outcomes and completions per hour."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from datetime import datetime, timedelta, timezone
from html import unescape
from typing import Any

import pytest
import time_machine
from django.test import Client
from django.urls import reverse

from octovid_django.admin import VideoTaskAdmin, statistics
from octovid_django.models import VideoTask

NOW = datetime(2026, 4, 12, 16, 35, tzinfo=timezone.utc)
LIST_URL = "admin:octovid_django_videotask_changelist"

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def clock() -> Iterator[None]:
    with time_machine.travel(NOW, tick=False):
        yield


@pytest.fixture
def page(admin_client: Client) -> Callable[[], str]:
    def get() -> str:
        return admin_client.get(reverse(LIST_URL)).content.decode()

    return get


def completed_task(hours_ago: float, status: str = "SUCCESS", **values: Any) -> VideoTask:
    count = VideoTask.objects.count()
    completed_at = NOW - timedelta(hours=hours_ago)
    return VideoTask.objects.create(
        task_id=f"cgt-{count}",
        status=status,
        completed_at=completed_at,
        delivered_at=completed_at,
        **values,
    )


def generated(hours_ago: float, seconds: int, **values: Any) -> VideoTask:
    finished_at = NOW - timedelta(hours=hours_ago)
    started_at = finished_at - timedelta(seconds=seconds)
    return completed_task(hours_ago, finished_at=finished_at, started_at=started_at, **values)


def table(page: str) -> list[list[str]]:
    """The rows of the table: period, completed, succeeded, median time, 95th percentile, tokens."""
    history = page.partition("octovid-history")[2].partition("</table>")[0]
    rows = re.findall(r"<tr>(.*?)</tr>", history.partition("<tbody>")[2], re.DOTALL)
    return [
        [unescape(cell).strip() for cell in re.findall(r"<t[hd][^>]*>(.*?)</t[hd]>", row)]
        for row in rows
    ]


class TestTaskOutcomesTable:
    def test_no_completions_shows_rows_of_zeros(self, page: Callable[[], str]) -> None:
        assert table(page()) == [
            ["24 hours", "0", "–", "–", "–", "0"],
            ["7 days", "0", "–", "–", "–", "0"],
            ["30 days", "0", "–", "–", "–", "0"],
        ]

    def test_completions_are_counted_by_day_week_and_month(self, page: Callable[[], str]) -> None:
        completed_task(1, total_tokens=1_000)
        completed_task(2, "FAILURE")
        completed_task(25, total_tokens=500)
        completed_task(24 * 8, "LOST")
        completed_task(24 * 31, total_tokens=9)

        assert [row[:3] + row[5:] for row in table(page())] == [
            ["24 hours", "2", "50.0 %", "1,000"],
            ["7 days", "3", "66.7 %", "1,500"],
            ["30 days", "4", "50.0 %", "1,500"],
        ]

    def test_generation_times_show_median_and_95th_percentile(
        self, page: Callable[[], str]
    ) -> None:
        for seconds in range(1, 101):
            generated(1, seconds)
        completed_task(1)  # without times
        completed_task(1, "FAILURE", started_at=NOW - timedelta(days=9), finished_at=NOW)

        assert table(page())[0][3:5] == ["0:50", "1:35"]

    def test_generation_times_beyond_sample_rank_newest_only(
        self, page: Callable[[], str], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(statistics, "SAMPLE", 3)
        for hours_ago in range(1, 7):
            generated(hours_ago, 60 * hours_ago)

        assert table(page())[0][3] == "2:00"

    def test_missing_start_time_uses_submission_time(self, page: Callable[[], str]) -> None:
        completed_task(1, submitted_at=NOW - timedelta(seconds=70), finished_at=NOW)

        assert table(page())[0][3] == "1:10"

    def test_negative_generation_time_is_ignored(self, page: Callable[[], str]) -> None:
        generated(1, -60)

        assert table(page())[0][3] == "–"


class TestCompletionsPerHourChart:
    def bars(self, page: str) -> list[str]:
        return [unescape(bar) for bar in re.findall(r"<rect [^>]*><title>(.*?)</title>", page)]

    def test_completions_are_drawn_by_hour_and_outcome(self, page: Callable[[], str]) -> None:
        for hours_ago, status in (
            *((0, "SUCCESS"), (0.5, "SUCCESS"), (0.5, "LOST"), (2, "FAILURE")),
            *((23, "SUCCESS"), (24, "SUCCESS")),
        ):
            completed_task(hours_ago, status)

        text = page()

        assert self.bars(text) == [
            "5 p.m.: 1 succeeded",
            "2 p.m.: 1 failed",
            "4 p.m.: 2 succeeded",
            "4 p.m.: 1 lost",
        ]
        assert "at most 3 in one" in text

    def test_no_completions_draws_no_bars(self, page: Callable[[], str]) -> None:
        assert self.bars(page()) == []

    def test_hours_are_in_time_zone_of_site(self, page: Callable[[], str], settings: Any) -> None:
        settings.TIME_ZONE = "Asia/Shanghai"
        completed_task(0)

        assert self.bars(page()) == ["midnight: 1 succeeded"]


class TestStatusCounts:
    def counts(self, page: str) -> dict[str, str]:
        """By the query that shows those tasks: the status and the number."""
        nav = page.partition("octovid-counts")[2].partition("</ul>")[0]
        links = re.findall(r'href="[^"?]*\?([^"]*)">(.*?)</a>', nav)
        return {query: re.sub("<[^>]+>", "", text) for query, text in links}

    def test_count_of_each_status_links_to_its_tasks(
        self, page: Callable[[], str], admin_client: Client
    ) -> None:
        completed_task(1)
        completed_task(2)
        VideoTask.objects.create(task_id="running", status="QUEUED")

        counts = self.counts(page())

        assert counts == {
            "status__exact=QUEUED": "queued 1",
            "status__exact=SUCCESS": "succeeded 2",
        }
        listed = admin_client.get(f"{reverse(LIST_URL)}?status__exact=QUEUED").context["cl"]
        assert [task.task_id for task in listed.result_list] == ["running"]

    def test_count_beyond_maximum_is_shown_with_plus(
        self, page: Callable[[], str], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(statistics, "MAX_COUNTED", 2)
        for _ in range(3):
            completed_task(1)

        assert self.counts(page()) == {"status__exact=SUCCESS": "succeeded 2+"}

    def test_live_json_contains_counts_only_on_request(self, admin_client: Client) -> None:
        task = completed_task(1)
        url = reverse("admin:octovid_django_videotask_live")

        reports = admin_client.get(url, {"ids": task.pk, "above": "counts"}).json()

        assert "succeeded</span> 1" in reports["above"]["counts"]
        assert "above" not in admin_client.get(url, {"ids": task.pk}).json()


class TestProblemBanner:
    def test_expiring_links_are_reported_with_link_to_filter(self, page: Callable[[], str]) -> None:
        link = "https://cdn.example/video.mp4"
        for minutes in (-1, 1, 59, 61):
            completed_task(1, video_url=link, video_url_expires_at=NOW + timedelta(minutes=minutes))

        text = page()

        assert "The links of 2 videos expire within the hour" in text
        assert "?link=expiring" in text

    def test_problems_and_outcomes_cover_only_tasks_visible_to_user(
        self, page: Callable[[], str], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        VideoTask.objects.create(task_id="cgt", status="SUCCESS", completed_at=NOW)

        def nothing(self: VideoTaskAdmin, request: object) -> Any:
            return VideoTask.objects.filter(task_id="another").distinct()

        monkeypatch.setattr(VideoTaskAdmin, "get_queryset", nothing)

        text = page()

        assert "was abandoned" not in text
        assert table(text)[0][:2] == ["24 hours", "0"]

    def test_problem_without_its_filter_has_no_link(
        self, page: Callable[[], str], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(VideoTaskAdmin, "list_filter", ("status",))
        VideoTask.objects.create(task_id="cgt", status="SUCCESS", completed_at=NOW)

        assert "Show them" not in page()

    def test_abandoned_deliveries_link_to_failed_delivery_filter(
        self, page: Callable[[], str]
    ) -> None:
        VideoTask.objects.create(task_id="cgt", status="SUCCESS", completed_at=NOW)

        text = page()

        assert "The delivery of 1 completion was abandoned" in text
        assert "?delivery=abandoned" in text


@pytest.mark.django_db
def test_token_sum_beyond_64_bits_is_exact(admin_client: Client) -> None:
    biggest = 2**63 - 1
    for number in range(3):
        VideoTask.objects.create(
            task_id=f"t{number}", status="SUCCESS", completed_at=NOW, total_tokens=biggest
        )
    VideoTask.objects.create(task_id="t", status="SUCCESS", completed_at=NOW)

    found = statistics.completions(VideoTask.objects.all())
    assert {each.tokens for each in found} == {3 * biggest}
    admin = "admin:octovid_django_videotask"
    pages = [
        admin_client.get(reverse(f"{admin}_changelist")).content.decode(),
        admin_client.get(reverse(f"{admin}_live"), {"above": "history"}).json()["above"]["history"],
    ]
    for page in pages:
        assert f"{3 * biggest:,}" in page


FIRST = datetime(1, 1, 1, tzinfo=timezone.utc)
LAST = datetime(9999, 12, 31, 23, 59, 59, 999_999, tzinfo=timezone.utc)
TIMES = ("submitted_at", "started_at", "finished_at", "video_url_expires_at")
MOST = 2**31 - 1


@pytest.mark.parametrize("zone", ["UTC", "Asia/Shanghai", "America/New_York"])
@pytest.mark.parametrize(
    "times",
    [
        dict.fromkeys(TIMES, FIRST),
        dict.fromkeys(TIMES, LAST),
        {**dict.fromkeys(TIMES, LAST), "submitted_at": FIRST, "started_at": FIRST},
        {**dict.fromkeys(TIMES, FIRST), "submitted_at": LAST},
        {"started_at": FIRST, "finished_at": LAST},
    ],
    ids=["first", "last", "longest", "backwards", "running"],
)
def test_pages_and_exports_survive_extreme_times_and_numbers(
    admin_client: Client, settings: Any, zone: str, times: dict[str, datetime]
) -> None:
    settings.TIME_ZONE = zone
    big = {"duration": MOST, "total_tokens": 2**63 - 1, "poll_count": MOST, "error_count": MOST}
    small = {"duration": 0, "total_tokens": -(2**63)}
    for number, values in enumerate((big, small, big, small, big)):
        VideoTask.objects.create(
            task_id=f"t{number}",
            status=("SUCCESS", "FAILURE")[number % 2],
            video_url="https://cdn.example/v.mp4",
            completed_at=NOW,
            **times,
            **values,
        )
    pk = VideoTask.objects.earliest("pk").pk
    admin = "admin:octovid_django_videotask"
    for url, query in (
        (reverse(f"{admin}_changelist"), {}),
        (reverse(f"{admin}_changelist"), {"link": "expiring"}),
        (reverse(f"{admin}_change", args=[pk]), {}),
        (reverse(f"{admin}_live"), {"ids": pk, "above": "problems,counts,history"}),
        (reverse(f"{admin}_video", args=[pk]), {}),
    ):
        assert admin_client.get(url, query).status_code in (200, 302, 404)
    for kind in ("csv", "json"):
        data = {"action": f"export_{kind}", "_selected_action": [pk]}
        assert admin_client.post(reverse(f"{admin}_changelist"), data).status_code == 200
    total = 3 * (2**63 - 1) - 2 * 2**63
    assert {each.tokens for each in statistics.completions(VideoTask.objects.all())} == {total}
