from __future__ import annotations

import time
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from django.utils import timezone
from django_q.conf import Conf
from django_q.exceptions import TimeoutException

from octovid_django.models import GatewayState, VideoTask
from octovid_django.pause import gateway_state
from octovid_django.sandbox import Sandbox
from octovid_django.signals import video_completed, video_progressed
from octovid_django.tick import help_out, tick, window_seconds
from tests.broker import take_messages
from tests.gateway import Gateway, never_responds

pytestmark = pytest.mark.django_db(transaction=True)

Received = list[tuple[str, dict[str, Any]]]


@pytest.fixture
def short_window(monkeypatch: pytest.MonkeyPatch, configure: Callable[..., None]) -> None:
    """Two seconds: what is left of django-q2's timeout after one response and the margin."""
    configure(TIMEOUT=1)
    monkeypatch.setattr(Conf, "TIMEOUT", 8)


def seconds_of(function: Callable[[], object]) -> float:
    started_at = time.monotonic()
    function()
    return time.monotonic() - started_at


def queued_functions() -> list[str]:
    return [message["func"] for message in take_messages()]


class TestWindow:
    @pytest.mark.parametrize(
        ("timeout", "retry", "seconds"),
        [(90, 120, 55), (60, 120, 45), (None, 60, 45), (90, 40, 25), (None, None, 55)],
    )
    def test_window_ends_before_timeout_and_retry_of_django_q2(
        self,
        monkeypatch: pytest.MonkeyPatch,
        timeout: int | None,
        retry: int | None,
        seconds: float,
    ) -> None:
        monkeypatch.setattr(Conf, "TIMEOUT", timeout)
        monkeypatch.setattr(Conf, "RETRY", retry)

        assert window_seconds() == seconds

    def test_tick_waits_for_tasks_that_fall_due_in_its_window(
        self, short_window: None, sandbox: Sandbox
    ) -> None:
        VideoTask.objects.track(sandbox.create(run_seconds=600))
        VideoTask.objects.update(next_poll_at=timezone.now() + timedelta(seconds=1))

        assert 1 <= seconds_of(tick) < 5
        assert sandbox.query_count == 1

    def test_tick_polls_tasks_tracked_meanwhile(
        self, short_window: None, sandbox: Sandbox, configure: Callable[..., None]
    ) -> None:
        configure(POLL_INTERVAL=1)
        VideoTask.objects.track(sandbox.create(run_seconds=600))
        VideoTask.objects.update(status="UNKNOWN")
        new = sandbox.create(run_seconds=600)

        def track(**_: Any) -> None:
            VideoTask.objects.track(new)

        video_progressed.connect(track)
        try:
            tick()
        finally:
            video_progressed.disconnect(track)
        assert VideoTask.objects.get(task_id=new).poll_count > 0


class TestEarlyReturn:
    def test_tick_without_active_tasks_returns_at_once(self, sandbox: Sandbox) -> None:
        assert seconds_of(tick) < 2
        assert sandbox.query_count == 0

    def test_tick_with_nothing_due_in_its_window_returns_at_once(self, sandbox: Sandbox) -> None:
        VideoTask.objects.track(sandbox.create())
        VideoTask.objects.update(next_poll_at=timezone.now() + timedelta(minutes=5))

        assert seconds_of(tick) < 2
        assert sandbox.query_count == 0

    def test_tick_during_longer_pause_returns_at_once(self, sandbox: Sandbox) -> None:
        VideoTask.objects.track(sandbox.create())
        gateway_state()
        GatewayState.objects.update(
            paused_until=timezone.now() + timedelta(minutes=5), pause_count=1
        )

        assert seconds_of(tick) < 2
        assert sandbox.query_count == 0


class TestDelivery:
    def test_tick_delivers_after_worker_grace_period(
        self, sandbox: Sandbox, received: Received
    ) -> None:
        VideoTask.objects.track(sandbox.create(run_seconds=0))

        assert seconds_of(tick) < 10

        assert [name for name, _ in received] == ["video_succeeded", "video_completed"]
        assert queued_functions() == ["octovid_django.tasks.deliver_completion"]
        assert VideoTask.objects.get().delivered_at

    def test_failed_delivery_is_left_for_retry_by_later_tick(self, sandbox: Sandbox) -> None:
        def fail(**_: Any) -> None:
            raise RuntimeError

        VideoTask.objects.track(sandbox.create(run_seconds=0))
        VideoTask.objects.update(delivery_attempts=2)
        video_completed.connect(fail)
        try:
            tick()
        finally:
            video_completed.disconnect(fail)
        assert VideoTask.objects.get().next_delivery_at


class TestBacklog:
    def test_backlog_beyond_one_batch_wakes_other_workers_once(
        self,
        sandbox: Sandbox,
        configure: Callable[..., None],
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        configure(BATCH_SIZE=2, POLL_INTERVAL=90)  # nothing falls due again within the window
        monkeypatch.setattr(Conf, "WORKERS", 3)
        for _ in range(9):
            VideoTask.objects.track(sandbox.create(run_seconds=600))

        tick()

        assert queued_functions() == ["octovid_django.tasks.refresh_backlog"] * 2
        assert set(VideoTask.objects.values_list("poll_count", flat=True)) == {1}

    def test_backlog_within_one_batch_wakes_no_other_worker(
        self, sandbox: Sandbox, short_window: None
    ) -> None:
        VideoTask.objects.track(sandbox.create(run_seconds=600))

        tick()

        assert queued_functions() == []

    def test_help_out_stops_with_its_window(
        self, short_window: None, gateway: Gateway, configure: Callable[..., None]
    ) -> None:
        configure(BATCH_SIZE=1, CONCURRENCY=1)
        gateway.default = never_responds()
        for number in range(20):
            VideoTask.objects.track(f"t{number}")

        assert seconds_of(help_out) < 5


class TestNeverRaises:
    @pytest.mark.parametrize("work", [tick, help_out])
    @pytest.mark.parametrize("name", ["API_KEY", "TIMEOUT"])
    def test_wrong_settings_are_logged_and_not_raised(
        self,
        configure: Callable[..., None],
        caplog: pytest.LogCaptureFixture,
        work: Callable[[], None],
        name: str,
    ) -> None:
        configure(**{name: ""})
        VideoTask.objects.track("t")

        work()

        assert f'OCTOVID["{name}"] is missing' in caplog.text

    def test_timeout_of_django_q2_is_logged_and_not_raised(
        self, sandbox: Sandbox, caplog: pytest.LogCaptureFixture
    ) -> None:
        def time_out(**_: Any) -> None:
            raise TimeoutException("Task exceeded maximum timeout value")

        for _ in range(2):
            VideoTask.objects.track(sandbox.create(run_seconds=600))
        VideoTask.objects.update(status="QUEUED")
        video_progressed.connect(time_out)
        try:
            tick()
        finally:
            video_progressed.disconnect(time_out)
        assert "Polling run aborted" in caplog.text
        soon = timezone.now() + timedelta(minutes=1)
        assert VideoTask.objects.due(soon).count() == 2, "its claims fall due again"


def test_tick_records_its_polling_run() -> None:
    tick()

    last_run_at = gateway_state().last_run_at
    assert last_run_at
    assert timezone.now() - last_run_at < timedelta(seconds=10)


def test_tick_reads_primary_database_and_no_replica(
    sandbox: Sandbox, received: Received, settings: Any
) -> None:
    class LaggingReplica:
        def db_for_read(self, model: type, **_: Any) -> None:
            assert model not in (VideoTask, GatewayState), "a replica may lag behind"

    settings.DATABASE_ROUTERS = [LaggingReplica()]
    VideoTask.objects.track(sandbox.create(run_seconds=0), metadata={"product": 7})

    tick()

    assert [name for name, _ in received] == ["video_succeeded", "video_completed"]
