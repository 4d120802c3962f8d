"""The outbox: completions are delivered from their rows, with leases, retries and backoff."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from datetime import datetime, timedelta, timezone
from functools import partial
from typing import Any

import pytest
import time_machine
from django_q.exceptions import TimeoutException

from octovid_django.delivery import MAX_ATTEMPTS, Deliveries, deliver, resend
from octovid_django.models import VideoTask
from octovid_django.signals import video_completed, video_failed, video_succeeded
from tests.broker import take_messages

pytestmark = pytest.mark.django_db

NOW = datetime(2026, 4, 12, 16, 35, tzinfo=timezone.utc)
Received = list[tuple[str, dict[str, Any]]]


@pytest.fixture
def clock() -> Iterator[time_machine.Coordinates]:
    with time_machine.travel(NOW, tick=False) as coordinates:
        yield coordinates


def completed_task(status: str = "SUCCESS", **values: Any) -> VideoTask:
    """A task whose completion was just recorded, and not delivered."""
    number = VideoTask.objects.count()
    defaults = {"task_id": f"t{number}", "completed_at": NOW, "next_delivery_at": NOW}
    return VideoTask.objects.create(**{**defaults, "status": status, **values})


@pytest.fixture
def raising() -> Iterator[Callable[..., None]]:
    """A receiver of ``video_completed`` that raises what it is given, until that is ``None``."""

    def attach_video(**_: Any) -> None:
        if attach_video.error:
            raise attach_video.error

    attach_video.error = RuntimeError("no shelf left")
    attach_video.__qualname__ = "attach_video"
    video_completed.connect(attach_video)
    yield attach_video
    video_completed.disconnect(attach_video)


@pytest.mark.usefixtures("clock")
class TestOutboxDelivery:
    @pytest.mark.parametrize(
        ("status", "signals"),
        [
            ("SUCCESS", ["video_succeeded", "video_completed"]),
            ("FAILURE", ["video_failed", "video_completed"]),
            ("LOST", ["video_failed", "video_completed"]),
        ],
    )
    def test_outcome_signal_is_sent_before_video_completed(
        self, received: Received, status: str, signals: list[str]
    ) -> None:
        task = completed_task(status)

        assert deliver(task.pk)

        assert [name for name, _ in received] == signals
        assert all(arguments == {"task": task, "attempt": 1} for _, arguments in received)
        task.refresh_from_db()
        assert (task.delivered_at, task.next_delivery_at) == (NOW, None)

    def test_deliver_is_idempotent(self, received: Received) -> None:
        task = completed_task()

        assert [deliver(task.pk), deliver(task.pk)] == [True, False]
        assert len(received) == 2

    def test_lease_prevents_concurrent_delivery(self, received: Received) -> None:
        task = completed_task()

        def retry_delivery(**_: Any) -> None:
            assert not deliver(task.pk)

        video_succeeded.connect(retry_delivery)
        try:
            assert deliver(task.pk)
        finally:
            video_succeeded.disconnect(retry_delivery)
        assert len(received) == 2

    def test_active_task_is_not_delivered(self, received: Received) -> None:
        task = VideoTask.objects.track("running")

        assert not deliver(task.pk)
        assert not received

    def test_deleted_task_is_not_delivered(self, received: Received) -> None:
        task = completed_task()
        pk = task.pk
        task.delete()

        assert not deliver(pk)
        assert not received

    def test_receiver_may_delete_task(self) -> None:
        task = completed_task()

        def delete(task: VideoTask, **_: Any) -> None:
            task.delete()

        video_completed.connect(delete)
        try:
            deliver(task.pk)
        finally:
            video_completed.disconnect(delete)
        assert not VideoTask.objects.exists()


class TestReceiverThatSavesStaleTask:
    @pytest.fixture(autouse=True)
    def stale_receiver(self, clock: time_machine.Coordinates) -> Iterator[None]:
        """A receiver that saves the task as it was read before it completed."""
        VideoTask.objects.track("t0")
        stale = VideoTask.objects.get()

        def keep(**_: Any) -> None:
            stale.metadata["shelf"] = 3
            stale.save()

        video_succeeded.connect(keep)
        yield
        video_succeeded.disconnect(keep)

    def complete(self) -> VideoTask:
        VideoTask.objects.update(
            status="SUCCESS", next_poll_at=None, completed_at=NOW, next_delivery_at=NOW
        )
        return VideoTask.objects.get()

    def test_completion_is_delivered_once(self, received: Received) -> None:
        task = self.complete()

        assert deliver(task.pk)
        assert not deliver(task.pk)

        assert [arguments["attempt"] for _, arguments in received] == [1, 1]
        task.refresh_from_db()
        assert (task.status, task.delivered_at) == ("SUCCESS", NOW)
        assert task.metadata == {"shelf": 3}

    def test_failing_delivery_is_abandoned_after_last_attempt(
        self, clock: time_machine.Coordinates, raising: Any, received: Received
    ) -> None:
        task = self.complete()
        for _ in range(MAX_ATTEMPTS):
            assert not deliver(task.pk)
            task.refresh_from_db()
            clock.move_to(task.next_delivery_at or datetime.now(timezone.utc))

        assert [arguments["attempt"] for _, arguments in received[::2]] == [1, 2, 3, 4, 5]
        assert list(VideoTask.objects.abandoned()) == [task]


class TestReceiverErrors:
    def test_error_of_one_receiver_does_not_stop_others(
        self, clock: time_machine.Coordinates, raising: Any, received: Received
    ) -> None:
        def first(**_: Any) -> None:
            raise ValueError("first")

        video_succeeded.connect(first)
        try:
            assert not deliver(completed_task().pk)
        finally:
            video_succeeded.disconnect(first)
        assert [name for name, _ in received] == ["video_succeeded", "video_completed"]

    def test_error_is_stored_redacted_in_one_line(
        self, clock: time_machine.Coordinates, raising: Any
    ) -> None:
        raising.error = RuntimeError("no shelf\nleft for https://cdn.example/v.mp4?sig=secret")
        task = completed_task()
        deliver(task.pk)
        task.refresh_from_db()

        assert task.delivery_error == (
            "attach_video: RuntimeError: no shelf left for https://cdn.example/v.mp4?…"
        )
        assert task.delivered_at is None

    def test_delivery_is_retried_with_backoff_until_abandoned(
        self, clock: time_machine.Coordinates, raising: Any, received: Received
    ) -> None:
        task = completed_task()
        pauses = []
        while True:
            deliver(task.pk)
            task.refresh_from_db()
            if task.next_delivery_at is None:
                break
            pauses.append((task.next_delivery_at - datetime.now(timezone.utc)).total_seconds())
            assert not deliver(task.pk), "not before its time"
            clock.move_to(task.next_delivery_at)

        assert pauses == [15, 60, 240, 960]
        assert [arguments["attempt"] for _, arguments in received[::2]] == [1, 2, 3, 4, 5]
        assert list(VideoTask.objects.abandoned()) == [task]
        assert not deliver(task.pk)

    def test_retry_after_error_is_delivered_with_attempt_number(
        self, clock: time_machine.Coordinates, raising: Any, received: Received
    ) -> None:
        task = completed_task()
        deliver(task.pk)
        raising.error = None
        clock.shift(15)

        assert deliver(task.pk)

        task.refresh_from_db()
        assert received[-1] == ("video_completed", {"task": task, "attempt": 2})
        assert (task.delivery_error, task.next_delivery_at) == ("", None)

    def test_error_of_receiver_without_name_is_stored(
        self, clock: time_machine.Coordinates, received: Received
    ) -> None:
        task = completed_task()

        def call(**_: Any) -> None:
            int("nothing")

        nameless = partial(call)
        video_succeeded.connect(nameless)
        try:
            assert not deliver(task.pk)
        finally:
            video_succeeded.disconnect(nameless)
        task.refresh_from_db()
        assert task.delivery_error.startswith("a receiver: ValueError: invalid literal")
        assert received[-1][0] == "video_completed"

    def test_system_exit_of_receiver_is_stored_and_retried(
        self, clock: time_machine.Coordinates, raising: Any, received: Received
    ) -> None:
        raising.error = SystemExit("timeout")
        task = completed_task()

        assert not deliver(task.pk)

        task.refresh_from_db()
        assert "SystemExit" in task.delivery_error
        assert task.next_delivery_at is not None

    @pytest.mark.parametrize(
        ("error", "signals"),
        [
            (SystemExit(3), ["video_completed"]),
            (TimeoutException("no time left"), []),
        ],
    )
    def test_system_exit_stops_next_signal_only_on_timeout_of_worker(
        self,
        clock: time_machine.Coordinates,
        received: Received,
        error: SystemExit,
        signals: list[str],
    ) -> None:
        def leave(**_: Any) -> None:
            raise error

        task = completed_task()
        video_succeeded.connect(leave)
        try:
            assert not deliver(task.pk)
        finally:
            video_succeeded.disconnect(leave)

        assert [name for name, _ in received if name == "video_completed"] == signals
        task.refresh_from_db()
        assert type(error).__name__ in task.delivery_error


class TestKilledWorker:
    def killed(self, task: VideoTask) -> None:
        """Deliver in a worker that is killed before it records the result."""

        def be_killed(**_: Any) -> None:
            raise KeyboardInterrupt

        video_succeeded.connect(be_killed)
        try:
            with pytest.raises(KeyboardInterrupt):
                deliver(task.pk)
        finally:
            video_succeeded.disconnect(be_killed)
        task.refresh_from_db()

    def test_delivery_is_retried_after_lease_of_killed_worker(
        self, clock: time_machine.Coordinates, received: Received
    ) -> None:
        task = completed_task()
        self.killed(task)

        assert not deliver(task.pk), "the lease of the killed worker holds"
        clock.shift(timedelta(seconds=121))
        assert deliver(task.pk)

        assert received[-1][1]["attempt"] == 2

    def test_killed_worker_is_stored_as_error_from_next_attempt_on(
        self, clock: time_machine.Coordinates
    ) -> None:
        task = completed_task()
        self.killed(task)
        clock.move_to(task.next_delivery_at)
        self.killed(task)

        assert "killed" in task.delivery_error
        clock.move_to(task.next_delivery_at)
        assert deliver(task.pk)
        task.refresh_from_db()
        assert task.delivery_error == ""

    def test_delivery_is_abandoned_after_max_attempts_of_killed_workers(
        self, clock: time_machine.Coordinates
    ) -> None:
        task = completed_task()
        for _ in range(MAX_ATTEMPTS):
            self.killed(task)
            clock.move_to(task.next_delivery_at)

        assert not deliver(task.pk)

        task.refresh_from_db()
        assert "killed" in task.delivery_error
        assert list(VideoTask.objects.abandoned()) == [task]


class TestResend:
    def test_resend_of_abandoned_delivery_gets_new_attempts(
        self, clock: time_machine.Coordinates, raising: Any, received: Received
    ) -> None:
        task = completed_task(
            delivery_attempts=5, next_delivery_at=None, delivery_error="no shelf left"
        )

        assert resend([task.pk]) == 1
        for attempt in range(6, 11):
            task.refresh_from_db()
            clock.move_to(task.next_delivery_at)
            assert not deliver(task.pk)
            assert received[-1][1]["attempt"] == attempt

        task.refresh_from_db()
        assert list(VideoTask.objects.abandoned()) == [task]

    def test_resend_during_delivery_delivers_once(
        self, clock: time_machine.Coordinates, received: Received
    ) -> None:
        task = completed_task(delivery_attempts=1, delivered_at=NOW, next_delivery_at=None)
        pressed = []

        def press_resend(**_: Any) -> None:
            pressed.append(resend([task.pk]))
            assert not deliver(task.pk), "another worker finds nothing to do"

        video_completed.connect(press_resend)
        try:
            assert resend([task.pk]) == 1
            assert deliver(task.pk)
        finally:
            video_completed.disconnect(press_resend)

        assert pressed == [1]
        task.refresh_from_db()
        assert task.delivered_at
        assert task.delivery_attempts == 2

    def test_resend_of_active_task_does_nothing(self, clock: time_machine.Coordinates) -> None:
        task = VideoTask.objects.create(task_id="running")

        assert resend([task.pk]) == 0
        task.refresh_from_db()
        assert task.next_delivery_at is None


class TestDeliveriesOfPollingRun:
    def run(self, deliveries: Deliveries, seconds: float = 10) -> None:
        deliveries.run(time.monotonic() + seconds)

    def queued(self) -> list[tuple[str, tuple[int, ...]]]:
        return [(message["func"], message["args"]) for message in take_messages()]

    def test_tick_delivers_after_worker_grace_period(
        self, clock: time_machine.Coordinates, received: Received
    ) -> None:
        completed_task()
        deliveries = Deliveries()

        self.run(deliveries)
        assert not received
        assert deliveries.next_at() == NOW
        clock.shift(3)
        self.run(deliveries)

        assert len(received) == 2
        assert deliveries.next_at() is None
        assert self.queued() == [], "a worker was woken when the completion was recorded"

    def test_retry_is_offered_to_worker_before_tick_delivers(
        self, clock: time_machine.Coordinates, received: Received
    ) -> None:
        task = completed_task(delivery_attempts=1, next_delivery_at=NOW - timedelta(minutes=1))
        deliveries = Deliveries()

        self.run(deliveries)
        self.run(deliveries)
        assert self.queued() == [("octovid_django.tasks.deliver_completion", (task.pk,))]
        assert not received
        clock.shift(3)
        self.run(deliveries)

        assert [arguments["attempt"] for _, arguments in received] == [2, 2]

    def test_completion_recorded_by_host_with_fast_clock_is_delivered_seconds_later(
        self, clock: time_machine.Coordinates, received: Received
    ) -> None:
        task = completed_task(next_delivery_at=NOW + timedelta(seconds=5), completed_at=NOW)

        assert not deliver(task.pk), "the message comes before its time by this host's clock"
        clock.shift(8)
        self.run(Deliveries())

        assert [arguments["attempt"] for _, arguments in received] == [1, 1]

    def test_tick_without_time_left_delivers_nothing(
        self, clock: time_machine.Coordinates, received: Received
    ) -> None:
        completed_task(next_delivery_at=NOW - timedelta(minutes=1))

        self.run(Deliveries(), 0)
        assert not received

    def test_oldest_due_delivery_goes_first(
        self, clock: time_machine.Coordinates, received: Received
    ) -> None:
        younger = completed_task(next_delivery_at=NOW - timedelta(minutes=1))
        older = completed_task(next_delivery_at=NOW - timedelta(minutes=2))

        self.run(Deliveries())
        assert [arguments["task"] for _, arguments in received[::2]] == [older, younger]


def test_succeeded_task_does_not_send_video_failed(received: Received) -> None:
    def never(**_: Any) -> None:
        sys.exit("video_failed was sent for a success")

    video_failed.connect(never)
    try:
        assert deliver(completed_task(next_delivery_at=datetime.now(timezone.utc)).pk)
    finally:
        video_failed.disconnect(never)
