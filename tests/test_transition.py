"""What a row becomes. The times are seconds since the task was tracked."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta, timezone
from typing import Any

import pytest

from octovid_django.enums import TaskStatus
from octovid_django.exceptions import (
    OctovidConnectionError,
    OctovidGatewayError,
    OctovidTaskNotFoundError,
)
from octovid_django.models import VideoTask
from octovid_django.snapshot import TaskSnapshot
from octovid_django.transition import Transition, after_error, after_response

START = datetime(2026, 4, 12, 16, 35, tzinfo=timezone.utc)
LINK = "https://cdn.example/video.mp4"
NOT_FOUND = OctovidTaskNotFoundError("task_not_exist")
BROKEN = OctovidGatewayError("502 Bad Gateway")
UNREACHABLE = OctovidConnectionError("connection refused")


def at(seconds: float) -> datetime:
    return START + timedelta(seconds=seconds)


def row(**values: Any) -> VideoTask:
    """A task as a worker has claimed it."""
    defaults = {"task_id": "t", "status": "IN_PROGRESS", "created_at": START}
    is_final = values.get("status") in ("SUCCESS", "FAILURE", "LOST")
    defaults["next_poll_at"] = None if is_final else at(45)
    return VideoTask(**{**defaults, **values})


def snapshot(status: str | None, **values: Any) -> TaskSnapshot:
    unreported = dict.fromkeys(("task_id", "upstream_status", "fail_reason", "video_url"), "")
    unreported |= dict.fromkeys(("resolution", "ratio"), "")
    unreported |= dict.fromkeys(("progress", "video_url_expires_at", "duration", "total_tokens"))
    unreported |= dict.fromkeys(("submitted_at", "started_at", "finished_at", "payload"))
    return TaskSnapshot(
        **{**unreported, "status": TaskStatus(status) if status else None, **values}
    )


def become(task: VideoTask, transition: Transition) -> VideoTask:
    for name, value in transition.fields.items():
        setattr(task, name, value)
    return task


def fail_repeatedly(
    task: VideoTask, error: Exception, times: list[float], *, is_completion: Callable[[int], bool]
) -> VideoTask:
    for number, seconds in enumerate(times, start=1):
        transition = after_error(task, error, at(seconds))
        assert transition.is_completion == is_completion(number)
        become(task, transition)
    return task


class TestProgress:
    def test_reported_progress_is_stored_and_next_poll_is_after_interval(self) -> None:
        transition = after_response(row(), snapshot("IN_PROGRESS", progress=50), at(10))

        assert not transition.is_completion
        assert transition.fields["progress"] == 50
        assert transition.fields["next_poll_at"] == at(25)

    def test_values_that_are_not_reported_are_kept(self) -> None:
        task = row(progress=30, duration=5, resolution="720p", submitted_at=START, model="mov-3")

        become(task, after_response(task, snapshot(None), at(10)))

        assert task.model == "mov-3"
        assert (task.status, task.progress, task.duration) == ("IN_PROGRESS", 30, 5)
        assert (task.resolution, task.submitted_at) == ("720p", START)

    def test_response_resets_error_and_not_found_counts(self) -> None:
        task = row(error_count=3, last_error="no", not_found_count=3, not_found_since=START)

        become(task, after_response(task, snapshot("QUEUED"), at(10)))

        assert (task.error_count, task.last_error) == (0, "")
        assert (task.not_found_count, task.not_found_since) == (0, None)

    def test_task_with_stopped_polling_stays_stopped(self) -> None:
        task = row(next_poll_at=None)

        assert "next_poll_at" not in after_response(task, snapshot("QUEUED"), at(10)).fields
        assert "next_poll_at" not in after_error(task, UNREACHABLE, at(10)).fields


class TestCompletions:
    def test_success_with_link_completes_task(self) -> None:
        task = row(progress=50)

        transition = after_response(task, snapshot("SUCCESS", video_url=LINK), at(10))
        become(task, transition)

        assert transition.is_completion
        assert (task.status, task.progress, task.video_url) == ("SUCCESS", 100, LINK)
        assert (task.completed_at, task.next_delivery_at) == (at(10), at(10))
        assert task.next_poll_at is None

    def test_failure_with_reason_completes_task(self) -> None:
        task = row(progress=50)

        transition = after_response(task, snapshot("FAILURE", fail_reason="refused"), at(10))
        become(task, transition)

        assert transition.is_completion
        assert (task.status, task.fail_reason, task.progress) == ("FAILURE", "refused", 50)

    def test_link_without_expiry_gets_link_lifetime_from_now(
        self, configure: Callable[..., None]
    ) -> None:
        configure(LINK_LIFETIME=3600)

        transition = after_response(row(), snapshot("SUCCESS", video_url=LINK), at(10))

        assert transition.fields["video_url_expires_at"] == at(3610)

    @pytest.mark.parametrize("status", ["SUCCESS", "FAILURE"])
    @pytest.mark.parametrize("snapshot_of", ["IN_PROGRESS", "SUCCESS", "FAILURE", None])
    def test_final_status_stays_whatever_is_reported_later(
        self, status: str, snapshot_of: str | None
    ) -> None:
        task = row(status=status)

        transition = after_response(task, snapshot(snapshot_of, video_url="", progress=3), at(10))

        assert not transition.is_completion
        assert not {"status", "progress", "next_poll_at"} & set(transition.fields)

    def test_finished_success_takes_new_link(self) -> None:
        task = row(status="SUCCESS", video_url="https://cdn.example/old.mp4")
        snapshot_of = snapshot("SUCCESS", video_url=LINK, video_url_expires_at=at(900))

        become(task, after_response(task, snapshot_of, at(10)))

        assert (task.video_url, task.video_url_expires_at) == (LINK, at(900))

    def test_polling_again_does_not_extend_expiry_of_same_link(self) -> None:
        task = row(status="SUCCESS", video_url=LINK, video_url_expires_at=at(20))

        become(task, after_response(task, snapshot("SUCCESS", video_url=LINK), at(10)))

        assert task.video_url_expires_at == at(20)


class TestSuccessWithoutLink:
    def test_success_without_link_is_polled_for_a_minute_then_final(self) -> None:
        task = row(progress=80)
        snapshot_of = snapshot("SUCCESS", progress=100)

        for seconds in (10, 25, 40, 55, 69):
            transition = after_response(task, snapshot_of, at(seconds))
            assert not transition.is_completion
            become(task, transition)
            assert (task.status, task.progress) == ("IN_PROGRESS", 100)

        transition = after_response(task, snapshot_of, at(70))
        assert transition.is_completion
        assert become(task, transition).status == "SUCCESS"
        assert not task.has_video

    def test_success_without_link_is_never_lost_by_age(
        self, configure: Callable[..., None]
    ) -> None:
        configure(LOST_AFTER=3600)
        snapshot_of = snapshot("SUCCESS", progress=100)

        transition = after_response(row(), snapshot_of, at(9999))
        assert not transition.is_completion

        task = become(row(), transition)
        assert become(task, after_response(task, snapshot_of, at(9999 + 60))).status == "SUCCESS"

    def test_success_is_final_as_soon_as_link_is_reported(self) -> None:
        task = row()
        become(task, after_response(task, snapshot("SUCCESS"), at(10)))

        transition = after_response(task, snapshot("SUCCESS", video_url=LINK), at(25))

        assert transition.is_completion
        assert become(task, transition).link_awaited_since is None

    def test_success_without_link_is_polled_within_minute_despite_long_interval(
        self, configure: Callable[..., None]
    ) -> None:
        configure(POLL_INTERVAL=3600)

        transition = after_response(row(), snapshot("SUCCESS"), at(10))

        assert transition.fields["next_poll_at"] == at(25)

    def test_success_without_link_is_never_lost_by_errors(
        self, configure: Callable[..., None]
    ) -> None:
        configure(LOST_AFTER=3600)
        task = become(row(), after_response(row(), snapshot("SUCCESS"), at(9999)))

        times = [10_000.0 + seconds for seconds in range(8)]
        assert (
            fail_repeatedly(task, BROKEN, times, is_completion=lambda _: False).status
            == "IN_PROGRESS"
        )

    def test_success_reported_as_running_again_restarts_the_minute(self) -> None:
        task = row()
        become(task, after_response(task, snapshot("SUCCESS"), at(10)))
        become(task, after_response(task, snapshot("IN_PROGRESS"), at(25)))

        assert not after_response(task, snapshot("SUCCESS"), at(100)).is_completion


class TestErrorBackoff:
    def test_errors_back_off_from_poll_interval_to_five_minutes(self) -> None:
        task = row()
        delays = []
        for _ in range(8):
            become(task, after_error(task, UNREACHABLE, at(0)))
            delays.append((task.next_poll_at - at(0)).total_seconds())

        expected = [15, 30, 60, 120, 240, 300, 300, 300]
        assert all(
            0.8 * wanted <= delay <= 1.2 * wanted
            for delay, wanted in zip(delays, expected, strict=True)
        ), delays
        assert len({round(delay, 3) for delay in delays[-3:]}) > 1, "there is jitter"

    def test_error_is_stored_and_counted(self) -> None:
        task = become(row(poll_count=4), after_error(row(poll_count=4), UNREACHABLE, at(10)))

        assert (task.error_count, task.last_error) == (1, "connection refused")
        assert (task.poll_count, task.polled_at) == (5, at(10))

    def test_error_leaves_finished_task_unchanged(self) -> None:
        for status in ("SUCCESS", "FAILURE", "LOST"):
            transition = after_error(row(status=status, not_found_count=9), NOT_FOUND, at(9999))
            assert not transition.is_completion
            assert "status" not in transition.fields


class TestLost:
    def test_five_not_found_errors_over_ten_minutes_make_task_lost(self) -> None:
        task = fail_repeatedly(
            row(),
            NOT_FOUND,
            [0, 15, 45, 105, 225, 465, 600],
            is_completion=lambda number: number == 7,
        )
        assert (task.status, task.fail_reason) == ("LOST", "task_not_exist")
        assert task.next_poll_at is None

    def test_four_not_found_errors_do_not_make_task_lost(self) -> None:
        fail_repeatedly(row(), NOT_FOUND, [0, 3600, 7200, 9000], is_completion=lambda _: False)

    def test_response_between_not_found_errors_restarts_their_count(self) -> None:
        task = fail_repeatedly(row(), NOT_FOUND, [0, 100, 200, 300], is_completion=lambda _: False)
        become(task, after_response(task, snapshot("QUEUED"), at(500)))
        fail_repeatedly(task, NOT_FOUND, [601, 700, 800, 900], is_completion=lambda _: False)

    def test_gateway_error_between_not_found_errors_restarts_their_count(self) -> None:
        task = fail_repeatedly(row(), NOT_FOUND, [0, 100, 200, 300], is_completion=lambda _: False)
        task = fail_repeatedly(task, BROKEN, [500], is_completion=lambda _: False)
        fail_repeatedly(task, NOT_FOUND, [601, 700, 800, 900], is_completion=lambda _: False)

    def test_connection_error_neither_counts_nor_restarts_not_found_errors(self) -> None:
        task = fail_repeatedly(row(), NOT_FOUND, [0, 100, 200, 300], is_completion=lambda _: False)
        task = fail_repeatedly(task, UNREACHABLE, [400, 800], is_completion=lambda _: False)
        assert after_error(task, NOT_FOUND, at(900)).is_completion

    def test_task_without_completion_within_lost_after_is_lost(
        self, configure: Callable[..., None]
    ) -> None:
        configure(LOST_AFTER=3600)
        task = row()

        assert not after_response(task, snapshot("IN_PROGRESS"), at(3599)).is_completion
        transition = after_response(task, snapshot("IN_PROGRESS"), at(3600))

        assert transition.is_completion
        assert become(task, transition).status == "LOST"

    def test_success_reported_later_than_lost_after_is_success(
        self, configure: Callable[..., None]
    ) -> None:
        configure(LOST_AFTER=3600)

        transition = after_response(row(), snapshot("SUCCESS", video_url=LINK), at(99999))

        assert transition.fields["status"] == "SUCCESS"

    def test_first_error_later_than_lost_after_does_not_make_task_lost(
        self, configure: Callable[..., None]
    ) -> None:
        configure(LOST_AFTER=3600)
        times = [99999.0 + seconds for seconds in range(5)]
        fail_repeatedly(row(), UNREACHABLE, times, is_completion=lambda number: number == 5)

    def test_lost_task_reported_as_running_is_recovered(
        self, configure: Callable[..., None]
    ) -> None:
        configure(LOST_AFTER=3600)
        task = row(status="LOST", fail_reason="?", completed_at=at(3600), delivered_at=at(3601))

        transition = after_response(task, snapshot("IN_PROGRESS", progress=50), at(4000))
        become(task, transition)

        assert not transition.is_completion
        assert (task.status, task.fail_reason, task.next_poll_at) == ("IN_PROGRESS", "", at(4015))
        assert (task.completed_at, task.delivered_at, task.delivery_attempts) == (None, None, 0)
        assert not after_response(task, snapshot("IN_PROGRESS"), at(4015)).is_completion, (
            "LOST_AFTER starts anew"
        )

    def test_lost_task_reported_as_success_is_recovered_and_completed(self) -> None:
        task = row(status="LOST", delivered_at=at(5), delivery_attempts=1)

        transition = after_response(task, snapshot("SUCCESS", video_url=LINK), at(10))
        become(task, transition)

        assert transition.is_completion
        assert (task.status, task.delivered_at, task.delivery_attempts) == ("SUCCESS", None, 0)

    def test_lost_task_stays_lost_without_reported_status(self) -> None:
        transition = after_response(row(status="LOST"), snapshot(None), at(10))

        assert not transition.is_completion
        assert "status" not in transition.fields


class TestLastChange:
    def changed_at(self, task: VideoTask, snapshot_of: TaskSnapshot) -> object:
        return after_response(task, snapshot_of, at(30)).fields.get("changed_at")

    @pytest.mark.parametrize(
        "snapshot_of",
        [
            snapshot("QUEUED", progress=10, upstream_status="running"),
            snapshot("IN_PROGRESS", progress=30, upstream_status="running"),
            snapshot("IN_PROGRESS", progress=10, upstream_status="rendering"),
            snapshot("SUCCESS", video_url=LINK),
        ],
    )
    def test_changed_at_is_set_when_response_differs(self, snapshot_of: TaskSnapshot) -> None:
        task = row(progress=10, upstream_status="running")

        assert self.changed_at(task, snapshot_of) == at(30)

    @pytest.mark.parametrize(
        "snapshot_of",
        [
            snapshot("IN_PROGRESS", progress=10, upstream_status="running", payload={"a": 1}),
            snapshot("IN_PROGRESS"),
            snapshot(None),
        ],
    )
    def test_changed_at_is_kept_when_response_is_the_same(self, snapshot_of: TaskSnapshot) -> None:
        assert self.changed_at(row(progress=10, upstream_status="running"), snapshot_of) is None
