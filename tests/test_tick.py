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
    """Two seconds: what is left of django-q2's timeout after one answer and the margin."""
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
    def test_ends_before_django_q2_stops_or_repeats_the_tick(
        self,
        monkeypatch: pytest.MonkeyPatch,
        timeout: int | None,
        retry: int | None,
        seconds: float,
    ) -> None:
        monkeypatch.setattr(Conf, "TIMEOUT", timeout)
        monkeypatch.setattr(Conf, "RETRY", retry)

        assert window_seconds() == seconds

    def test_is_filled_while_tasks_are_active(self, short_window: None, sandbox: Sandbox) -> None:
        VideoTask.objects.track(sandbox.create(run_seconds=600))
        VideoTask.objects.update(next_poll_at=timezone.now() + timedelta(seconds=1))

        assert 1 <= seconds_of(tick) < 5
        assert sandbox.query_count == 1

    def test_sees_tasks_that_are_new(
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


class TestReturnsAtOnce:
    def test_when_nothing_is_active(self, sandbox: Sandbox) -> None:
        assert seconds_of(tick) < 2
        assert sandbox.query_count == 0

    def test_when_nothing_falls_due_in_its_window(self, sandbox: Sandbox) -> None:
        VideoTask.objects.track(sandbox.create())
        VideoTask.objects.update(next_poll_at=timezone.now() + timedelta(minutes=5))

        assert seconds_of(tick) < 2
        assert sandbox.query_count == 0

    def test_while_the_gateway_is_paused_for_longer(self, sandbox: Sandbox) -> None:
        VideoTask.objects.track(sandbox.create())
        gateway_state()
        GatewayState.objects.update(
            paused_until=timezone.now() + timedelta(minutes=5), pause_count=1
        )

        assert seconds_of(tick) < 2
        assert sandbox.query_count == 0


class TestDelivery:
    def test_is_the_ticks_own_when_no_worker_comes(
        self, sandbox: Sandbox, received: Received
    ) -> None:
        VideoTask.objects.track(sandbox.create(run_seconds=0))

        assert seconds_of(tick) < 10

        assert [name for name, _ in received] == ["video_succeeded", "video_completed"]
        assert queued_functions() == ["octovid_django.tasks.deliver_completion"]
        assert VideoTask.objects.get().delivered_at

    def test_that_fails_is_left_to_a_later_tick(self, sandbox: Sandbox) -> None:
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


class TestHelp:
    def test_is_called_once_when_more_is_due_than_a_batch(
        self,
        sandbox: Sandbox,
        configure: Callable[..., None],
        monkeypatch: pytest.MonkeyPatch,
        short_window: None,
    ) -> None:
        configure(BATCH_SIZE=2)
        monkeypatch.setattr(Conf, "WORKERS", 3)
        for _ in range(9):
            VideoTask.objects.track(sandbox.create(run_seconds=600))

        tick()

        assert queued_functions() == ["octovid_django.tasks.refresh_backlog"] * 2
        assert set(VideoTask.objects.values_list("poll_count", flat=True)) == {1}

    def test_is_not_called_for_less(self, sandbox: Sandbox, short_window: None) -> None:
        VideoTask.objects.track(sandbox.create(run_seconds=600))

        tick()

        assert queued_functions() == []

    def test_ends_with_its_window(
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
    def test_for_wrong_settings(
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

    def test_for_the_timeout_of_django_q2(
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
        assert VideoTask.objects.due(soon).count() == 2, "what it had claimed falls due again"


def test_tells_that_something_refreshes() -> None:
    tick()

    last_run_at = gateway_state().last_run_at
    assert last_run_at
    assert timezone.now() - last_run_at < timedelta(seconds=10)


def test_works_on_the_rows_where_they_are_written(
    sandbox: Sandbox, received: Received, settings: Any
) -> None:
    class LaggingReplica:
        def db_for_read(self, model: type, **_: Any) -> None:
            assert model not in (VideoTask, GatewayState), "a replica may not know yet"

    settings.DATABASE_ROUTERS = [LaggingReplica()]
    VideoTask.objects.track(sandbox.create(run_seconds=0), metadata={"product": 7})

    tick()

    assert [name for name, _ in received] == ["video_succeeded", "video_completed"]
