from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from datetime import datetime, timedelta, timezone
from functools import partial
from typing import Any

import pytest
import time_machine
from django.db import DataError, connection, connections, transaction

from octovid_django.conf import octovid_settings
from octovid_django.delivery import deliver
from octovid_django.exceptions import OctovidSettingsError
from octovid_django.models import VideoTask
from octovid_django.pause import gateway_state
from octovid_django.refresh import (
    BATCH_SECONDS,
    RefreshSummary,
    refresh_batch,
    refresh_due,
    refresh_tasks,
)
from octovid_django.signals import video_progressed
from tests.broker import take_messages
from tests.gateway import (
    BROKEN,
    DENIED,
    NOT_JSON,
    TOO_MANY,
    WRONG_KEY,
    Behaviour,
    Gateway,
    never_responds,
    reports,
    responds,
    success,
)

pytestmark = pytest.mark.django_db(transaction=True)

NOW = datetime(2026, 4, 12, 16, 35, tzinfo=timezone.utc)
Received = list[tuple[str, dict[str, Any]]]


@pytest.fixture(autouse=True)
def clock() -> Iterator[time_machine.Coordinates]:
    with time_machine.travel(NOW, tick=False) as coordinates:
        yield coordinates


@pytest.fixture
def track(gateway: Gateway) -> Callable[..., VideoTask]:
    """Track a task about which the gateway responds in this way."""

    def track_task(task_id: str, behaviour: Behaviour, **values: Any) -> VideoTask:
        gateway.behaviours[task_id] = behaviour
        task = VideoTask.objects.track(task_id)
        VideoTask.objects.filter(pk=task.pk).update(**values)
        task.refresh_from_db()
        return task

    return track_task


Track = Callable[..., VideoTask]


class TestDueTasks:
    def test_due_task_is_polled_once(self, gateway: Gateway, track: Track) -> None:
        track("a", reports("IN_PROGRESS", progress="50%"))
        track("b", success())

        assert refresh_due() == RefreshSummary(polled=2, changed=2, completed=1)
        assert refresh_due() == RefreshSummary()

        assert sorted(gateway.polled) == ["a", "b"]
        a, b = VideoTask.objects.order_by("task_id")
        assert (a.status, a.progress, a.next_poll_at) == (
            "IN_PROGRESS",
            50,
            NOW + timedelta(seconds=15),
        )
        assert (b.status, b.has_video, b.next_poll_at) == ("SUCCESS", True, None)

    def test_due_tasks_are_polled_batch_by_batch(
        self, gateway: Gateway, track: Track, configure: Callable[..., None]
    ) -> None:
        configure(BATCH_SIZE=2)
        for number in range(5):
            track(f"t{number}", reports("QUEUED"))

        assert refresh_batch(NOW).polled == 2
        assert refresh_due().polled == 3
        assert len(set(gateway.polled)) == len(gateway.polled) == 5

    def test_longest_overdue_task_is_polled_first(
        self, gateway: Gateway, track: Track, configure: Callable[..., None]
    ) -> None:
        configure(BATCH_SIZE=1)
        track("young", reports("QUEUED"), next_poll_at=NOW - timedelta(seconds=1))
        track("old", reports("QUEUED"), next_poll_at=NOW - timedelta(seconds=2))

        refresh_due()

        assert gateway.polled == ["old", "young"]

    def test_task_leased_by_another_worker_is_not_polled_again(
        self, gateway: Gateway, track: Track
    ) -> None:
        task = track("a", reports("IN_PROGRESS"))

        def lease(**_: Any) -> None:
            VideoTask.objects.update(next_poll_at=None)
            VideoTask.objects.filter(pk=task.pk).update(next_poll_at=NOW + timedelta(hours=1))

        refresh_batch(NOW)
        VideoTask.objects.update(next_poll_at=NOW)
        video_progressed.connect(lease)
        try:
            gateway.behaviours["a"] = reports("QUEUED")
            refresh_due()
        finally:
            video_progressed.disconnect(lease)
        assert gateway.polled == ["a", "a"]


class TestClaimsOfKilledWorker:
    @pytest.fixture(autouse=True)
    def two_claims(self, track: Track) -> None:
        """Two tasks that a worker had claimed and polled when it was killed."""

        def kill(**_: Any) -> None:
            raise KeyboardInterrupt

        track("a", reports("IN_PROGRESS"))
        track("b", reports("IN_PROGRESS"))
        video_progressed.connect(kill)
        try:
            with pytest.raises(KeyboardInterrupt):
                refresh_due()
        finally:
            video_progressed.disconnect(kill)

    def test_lease_of_killed_worker_expires_within_a_minute(
        self, clock: time_machine.Coordinates
    ) -> None:
        assert not VideoTask.objects.due().exists()
        clock.shift(60)
        assert refresh_due().polled == 2

    def test_lease_holds_on_host_whose_clock_is_ahead(
        self, clock: time_machine.Coordinates
    ) -> None:
        """For as long as the worker, were it alive, could be polling by its own clock."""
        applied = VideoTask.objects.exclude(poll_count=0)
        assert applied.update(next_poll_at=None) == 1
        ahead = 10
        clock.shift(BATCH_SECONDS + octovid_settings.TIMEOUT + ahead)

        assert refresh_due().polled == 0


class TestTaskErrors:
    @pytest.mark.parametrize(
        "poison", [DENIED, BROKEN, NOT_JSON, responds(200, [1]), responds(200, {})]
    )
    def test_error_of_one_task_backs_off_that_task_alone(
        self, gateway: Gateway, track: Track, poison: Behaviour
    ) -> None:
        bad = track("bad", poison)
        good = track("good", success())

        assert refresh_due() == RefreshSummary(polled=2, changed=1, completed=1, failed=1)

        bad.refresh_from_db()
        good.refresh_from_db()
        assert good.status == "SUCCESS"
        assert (bad.status, bad.error_count) == ("NOT_START", 1)
        assert len(bad.last_error.splitlines()) == 1
        assert bad.next_poll_at is not None
        assert bad.next_poll_at > NOW
        assert not gateway_state().is_paused

    @pytest.mark.parametrize("error", [DataError("no squares"), OverflowError("no squares")])
    def test_response_that_database_refuses_is_error_of_that_task(
        self, gateway: Gateway, track: Track, error: Exception
    ) -> None:
        def refuse_squares(execute: Any, sql: str, params: Any, *rest: Any) -> Any:
            if "1:1" in (params or ()):
                raise error
            return execute(sql, params, *rest)

        bad = track("bad", reports("QUEUED", data={"ratio": "1:1"}))
        good = track("good", reports("QUEUED", data={"ratio": "16:9"}))
        with connection.execute_wrapper(refuse_squares):
            assert refresh_due().failed == 1

        bad.refresh_from_db()
        good.refresh_from_db()
        assert bad.last_error == "the answer cannot be stored: no squares"
        assert (good.ratio, good.last_error) == ("16:9", "")

    def test_unreachable_gateway_does_not_pause_account(
        self, gateway: Gateway, track: Track, configure: Callable[..., None]
    ) -> None:
        task = track("a", success())
        configure(BASE_URL="http://127.0.0.1:9")

        assert refresh_due() == RefreshSummary(polled=1, failed=1)

        task.refresh_from_db()
        assert task.last_error == "no answer from the gateway: Connection refused"
        assert not gateway_state().is_paused


class TestAccountErrors:
    @pytest.mark.parametrize(
        ("behaviour", "reason"),
        [
            (WRONG_KEY, "401"),
            (TOO_MANY, "429"),
            (responds(402), "402"),
            (responds(200, "<!doctype html>", Content_Type="text/html"), "200 with a page"),
            (responds(404, {"error": {"message": "Invalid URL (GET /v1/v1)"}}), "404"),
        ],
    )
    def test_401_402_404_or_429_pauses_all_polling_and_marks_one_task(
        self,
        gateway: Gateway,
        track: Track,
        configure: Callable[..., None],
        behaviour: Behaviour,
        reason: str,
    ) -> None:
        configure(CONCURRENCY=1)
        for number in range(20):
            track(f"t{number:02}", behaviour)

        summary = refresh_due()

        assert summary.polled == summary.failed == len(gateway.polled) == 1, (
            "the rest is not polled"
        )
        assert gateway_state().is_paused
        assert reason in gateway_state().pause_reason
        assert VideoTask.objects.filter(error_count=0, last_error="", poll_count=0).count() == 19
        assert VideoTask.objects.due().count() == 19, "the leases are released"
        task = VideoTask.objects.get(error_count=1, poll_count=1)
        assert reason in task.last_error
        assert task.next_poll_at == NOW + timedelta(seconds=15)

    def test_probe_goes_first_after_pause_and_its_success_resumes_polling(
        self, gateway: Gateway, track: Track, clock: time_machine.Coordinates
    ) -> None:
        for number in range(5):
            track(f"t{number}", WRONG_KEY)
        refresh_due()
        gateway.requests.clear()

        refresh_due()
        assert gateway.polled == [], "nothing is polled during the pause"

        clock.shift(16)
        refresh_due()
        assert len(gateway.polled) == 1, "still wrong: only the probe was sent"
        assert gateway_state().pause_count == 2

        gateway.behaviours = dict.fromkeys(gateway.behaviours, reports("QUEUED"))
        clock.shift(31)
        assert refresh_batch(datetime.now(timezone.utc)).polled == 1
        assert gateway_state().pause_count == 0
        assert refresh_due().polled == 4

    def test_429_pauses_for_its_retry_after(self, gateway: Gateway, track: Track) -> None:
        track("a", responds(429, Retry_After="77"))

        refresh_due()

        assert gateway_state().paused_until == NOW + timedelta(seconds=77)

    def test_401_in_batch_keeps_responses_about_other_tasks(
        self, gateway: Gateway, track: Track, configure: Callable[..., None]
    ) -> None:
        configure(CONCURRENCY=1)
        track("a", success(), next_poll_at=NOW - timedelta(seconds=2))
        track("b", WRONG_KEY, next_poll_at=NOW - timedelta(seconds=1))
        track("c", success())

        assert refresh_due().completed == 1

        assert VideoTask.objects.get(status="SUCCESS").task_id == "a"
        assert gateway_state().is_paused, "a response from before the error does not end the pause"

    def test_one_poisoned_task_does_not_block_the_others(
        self, gateway: Gateway, track: Track, clock: time_machine.Coordinates
    ) -> None:
        track("poison", responds(404, "<html>"), next_poll_at=NOW - timedelta(hours=1))
        track("good", success())

        for _ in range(6):
            refresh_due()
            clock.shift(60)

        assert VideoTask.objects.get(task_id="good").status == "SUCCESS"

    def test_transient_502_of_probe_keeps_pause(
        self, gateway: Gateway, track: Track, clock: time_machine.Coordinates
    ) -> None:
        task = track("a", WRONG_KEY)
        refresh_due()
        gateway.behaviours["a"] = BROKEN
        clock.shift(20)

        refresh_tasks([task])

        assert gateway_state().pause_count == 1


class TestCompletions:
    def test_completion_is_not_overwritten_by_later_response(
        self, gateway: Gateway, track: Track, received: Received
    ) -> None:
        task = track("a", success())
        refresh_tasks([task])
        gateway.behaviours["a"] = reports("IN_PROGRESS", progress="30%")

        assert refresh_tasks([task]) == RefreshSummary(polled=1)

        task.refresh_from_db()
        assert (task.status, task.progress) == ("SUCCESS", 100)
        assert len(take_messages()) == 1, "one delivery is queued"

    def test_completion_wakes_worker_after_commit(self, gateway: Gateway, track: Track) -> None:
        task = track("a", success())
        with transaction.atomic():
            refresh_tasks([task])
            assert take_messages() == []

        (message,) = take_messages()
        assert message["func"] == "octovid_django.tasks.deliver_completion"
        assert message["args"] == (task.pk,)

    def test_lost_task_that_succeeds_is_delivered_anew(
        self, gateway: Gateway, track: Track, received: Received
    ) -> None:
        task = track(
            "a",
            success(),
            status="LOST",
            next_poll_at=None,
            completed_at=NOW,
            next_delivery_at=NOW,
        )
        assert deliver(task.pk)

        assert refresh_tasks([task]).completed == 1
        assert deliver(task.pk)

        assert [(name, arguments["attempt"]) for name, arguments in received] == [
            ("video_failed", 1),
            ("video_completed", 1),
            ("video_succeeded", 1),
            ("video_completed", 1),
        ]

    def test_response_about_deleted_task_is_dropped(self, gateway: Gateway, track: Track) -> None:
        track("a", success())
        second = track("b", reports("QUEUED"))

        def delete(**_: Any) -> None:
            VideoTask.objects.all().delete()

        video_progressed.connect(delete)
        try:
            refresh_due()
            refresh_tasks([second])
        finally:
            video_progressed.disconnect(delete)
        assert not VideoTask.objects.exists()


VIDEO = responds(206, b"\0", Content_Type="video/mp4")
NO_VIDEO = responds(404, {"error": {"message": "no video"}})


class TestSuccessWithoutLink:
    """After a minute of grace the video itself is requested from the gateway."""

    @pytest.fixture
    def refresh(
        self, gateway: Gateway, track: Track, clock: time_machine.Coordinates
    ) -> Callable[[int], VideoTask]:
        """Refresh the task once it is due, until so many seconds have passed."""
        task = track("t", reports("SUCCESS", task_id="t"))

        def refresh_until(seconds: int) -> VideoTask:
            while task.next_poll_at and task.next_poll_at <= NOW + timedelta(seconds=seconds):
                clock.move_to(task.next_poll_at)
                refresh_due()
                task.refresh_from_db()
            return task

        return refresh_until

    def test_video_is_not_requested_within_grace_minute(
        self, gateway: Gateway, refresh: Callable[[int], VideoTask]
    ) -> None:
        gateway.behaviours["content"] = VIDEO

        assert not refresh(59).is_finished
        assert set(gateway.polled) == {"t"}

    def test_link_at_gateway_is_used_where_gateway_has_the_video(
        self, gateway: Gateway, refresh: Callable[[int], VideoTask]
    ) -> None:
        gateway.behaviours["content"] = VIDEO

        task = refresh(60)

        assert (task.status, task.has_video) == ("SUCCESS", True)
        assert task.video_url == f"{gateway.url}/v1/videos/t/content"
        assert gateway.polled.count("content") == 1

    def test_task_succeeds_without_link_where_gateway_has_no_video(
        self, gateway: Gateway, refresh: Callable[[int], VideoTask]
    ) -> None:
        gateway.behaviours["content"] = NO_VIDEO

        task = refresh(60)

        assert (task.status, task.video_url) == ("SUCCESS", "")
        assert gateway.polled.count("content") == 1

    @pytest.mark.parametrize("behaviour", [BROKEN, TOO_MANY])
    def test_video_request_is_retried_after_502_or_429(
        self, gateway: Gateway, refresh: Callable[[int], VideoTask], behaviour: Behaviour
    ) -> None:
        gateway.behaviours["content"] = behaviour
        task = refresh(60)
        assert (task.is_finished, task.error_count) == (False, 1)
        assert "when asked for the video" in task.last_error
        assert not gateway_state().is_paused, "the polling of tasks goes on"

        gateway.behaviours["content"] = VIDEO
        assert refresh(120).has_video

    @pytest.mark.parametrize("behaviour", [BROKEN, TOO_MANY])
    def test_task_succeeds_in_bounded_time_and_requests_despite_errors(
        self,
        gateway: Gateway,
        refresh: Callable[[int], VideoTask],
        configure: Callable[..., None],
        behaviour: Behaviour,
    ) -> None:
        configure(POLL_INTERVAL=1, LOST_AFTER=60)
        gateway.behaviours["content"] = behaviour

        task = refresh(600)

        assert (task.status, task.video_url) == ("SUCCESS", "")
        assert task.completed_at
        assert task.completed_at <= NOW + timedelta(seconds=400)
        assert gateway.polled.count("content") <= 12

    def test_refresh_of_finished_task_without_link_requests_video(
        self, gateway: Gateway, track: Track
    ) -> None:
        done = {"status": "SUCCESS", "next_poll_at": None}
        task = track("t", reports("SUCCESS", task_id="t"), **done)
        gateway.behaviours["content"] = VIDEO

        refresh_tasks([task])

        task.refresh_from_db()
        assert task.video_url == f"{gateway.url}/v1/videos/t/content"

    def test_refresh_of_finished_task_with_link_requests_no_video(
        self, gateway: Gateway, track: Track
    ) -> None:
        done = {"status": "SUCCESS", "next_poll_at": None, "video_url": "https://cdn.example/v"}
        refresh_tasks([track("t", reports("SUCCESS"), **done)])

        assert gateway.polled == ["t"]

    def test_video_request_runs_outside_transaction_within_one_timeout(
        self, gateway: Gateway, track: Track, configure: Callable[..., None]
    ) -> None:
        configure(TIMEOUT=1)
        since = NOW - timedelta(minutes=2)
        task = track("t", reports("SUCCESS"), link_awaited_since=since)
        seen: list[bool] = []

        def drip(sock: Any, stop: Any) -> None:
            VideoTask.objects.using("default").filter(pk=task.pk).update(duration=9)
            seen.append(True)
            own = connections["default"]  # close() would leave one to memory open
            own.connection.close()
            own.connection = None
            never_responds()(sock, stop)

        gateway.behaviours["content"] = drip
        started_at = time.perf_counter()

        refresh_due()

        assert seen
        assert time.perf_counter() - started_at < 3
        task.refresh_from_db()
        assert not task.is_finished
        assert task.last_error == "no whole answer from the gateway within 1 s"


class TestProgress:
    def test_progress_signal_has_previous_status_and_progress(
        self, gateway: Gateway, track: Track, received: Received
    ) -> None:
        task = track("a", reports("IN_PROGRESS", progress="50%"), status="QUEUED", progress=10)

        refresh_due()

        expected = {"task": task, "previous_status": "QUEUED", "previous_progress": 10}
        assert received == [("video_progressed", expected)]
        assert received[0][1]["task"].progress == 50

    def test_unchanged_task_sends_no_progress_signal(
        self, gateway: Gateway, track: Track, received: Received
    ) -> None:
        track("a", reports("QUEUED"), status="QUEUED")

        assert refresh_due() == RefreshSummary(polled=1)
        assert received == []

    @pytest.mark.parametrize("wrap", [lambda receiver: receiver, partial])
    def test_raising_progress_receiver_stops_nothing(
        self, gateway: Gateway, track: Track, received: Received, wrap: Callable[..., Any]
    ) -> None:
        @wrap
        def fail(**_: Any) -> None:
            raise RuntimeError

        track("a", reports("QUEUED"))
        track("b", reports("QUEUED"))
        video_progressed.connect(fail)
        try:
            assert refresh_due() == RefreshSummary(polled=2, changed=2)
        finally:
            video_progressed.disconnect(fail)
        assert len(received) == 2


class TestRefreshTasks:
    def test_task_that_is_not_due_is_polled(self, gateway: Gateway, track: Track) -> None:
        task = track("a", reports("QUEUED"), next_poll_at=NOW + timedelta(hours=1))
        other = track("b", reports("QUEUED"))

        assert refresh_tasks([task]).polled == 1
        assert gateway.polled == [task.task_id]
        assert other.task_id not in gateway.polled

    def test_finished_task_gets_new_link(self, gateway: Gateway, track: Track) -> None:
        task = track("a", success())
        refresh_tasks([task])
        gateway.behaviours["a"] = success("https://cdn.example/new.mp4")

        refresh_tasks([task])

        task.refresh_from_db()
        assert task.video_url == "https://cdn.example/new.mp4"
        assert task.video_url_expires_at == NOW + timedelta(hours=12)

    def test_refresh_of_stopped_task_does_not_resume_polling(
        self, gateway: Gateway, track: Track
    ) -> None:
        task = track("a", reports("IN_PROGRESS", progress="50%"), next_poll_at=None)

        refresh_tasks([task])

        task.refresh_from_db()
        assert (task.progress, task.next_poll_at) == (50, None)

    def test_refresh_during_pause_sends_one_probe(
        self, gateway: Gateway, track: Track, clock: time_machine.Coordinates
    ) -> None:
        tasks = [track(f"t{number}", WRONG_KEY) for number in range(3)]
        refresh_due()
        gateway.requests.clear()

        assert refresh_tasks(tasks) == RefreshSummary(polled=1, failed=3)
        assert len(gateway.polled) == 1

        gateway.behaviours = dict.fromkeys(gateway.behaviours, reports("QUEUED"))
        assert refresh_tasks(tasks) == RefreshSummary(polled=3, changed=3)
        assert gateway_state().is_paused, "for all others it lasts until its own probe succeeds"

    def test_refresh_of_no_tasks_does_nothing(self) -> None:
        assert refresh_tasks([]) == RefreshSummary()


@pytest.mark.parametrize("values", [{"API_KEY": ""}, {"TIMEOUT": "ten"}])
def test_wrong_settings_raise_before_any_task_is_claimed(
    track: Track, configure: Callable[..., None], values: dict[str, Any]
) -> None:
    task = track("a", success())
    configure(**values)

    for refresh in (refresh_due, lambda: refresh_tasks([task])):
        with pytest.raises(OctovidSettingsError):
            refresh()
    assert VideoTask.objects.due().count() == 1


def test_no_transaction_is_open_while_polling(
    gateway: Gateway, track: Track, monkeypatch: pytest.MonkeyPatch
) -> None:
    track("a", success())
    states = []
    refreshing = connections["default"]  # of this thread; those that poll have none

    def query(task_id: str) -> Any:
        states.append(refreshing.in_atomic_block)
        raise OctovidSettingsError("not polled")

    monkeypatch.setattr("octovid_django.refresh.query_task", query)
    refresh_due()

    assert states == [False]
