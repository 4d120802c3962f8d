"""The helper for the tests of a site: it completes a task, and lets no receiver's error pass."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import datetime, timezone
from typing import Any

import pytest
import time_machine

from octovid_django.exceptions import OctovidSettingsError
from octovid_django.models import VideoTask
from octovid_django.sandbox import Sandbox
from octovid_django.signals import video_completed, video_failed, video_succeeded
from octovid_django.testing import complete

pytestmark = pytest.mark.django_db

SIGNALS = (video_succeeded, video_failed, video_completed)


@pytest.fixture
def connect() -> Iterator[Callable[..., None]]:
    """Connect a receiver for this test: ``connect(video_failed, receiver)``."""
    connected = []

    def connect(signal: Any, receiver: Callable[..., None]) -> None:
        signal.connect(receiver)
        connected.append((signal, receiver))

    yield connect
    for signal, receiver in connected:
        signal.disconnect(receiver)


def refuse(**_: Any) -> None:
    raise KeyError("product")


@pytest.mark.parametrize(
    ("outcome", "name"), [("SUCCESS", "video_succeeded"), ("FAILURE", "video_failed")]
)
def test_complete_runs_receivers_of_outcome(
    sandbox: Sandbox, received: list[tuple[str, dict[str, Any]]], outcome: str, name: str
) -> None:
    task = VideoTask.objects.track(sandbox.create(outcome=outcome, run_seconds=0.2))

    complete(task)

    assert (task.status, task.has_video) == (outcome, outcome == "SUCCESS")
    assert task.delivered_at
    completions = [call for call in received if call[0] != "video_progressed"]
    assert [call[0] for call in completions] == [name, "video_completed"]
    assert completions[0][1]["attempt"] == 1


@pytest.mark.parametrize("signal", SIGNALS)
def test_complete_raises_error_of_receiver(
    sandbox: Sandbox, connect: Callable[..., None], signal: Any
) -> None:
    connect(signal, refuse)
    outcome = "FAILURE" if signal is video_failed else "SUCCESS"
    task = VideoTask.objects.track(sandbox.create(outcome=outcome, run_seconds=0))

    with pytest.raises(KeyError, match="product") as caught:
        complete(task)

    assert caught.traceback[-1].name == "refuse"
    assert "KeyError" in task.delivery_error
    assert not task.delivered_at


def test_complete_raises_error_of_receiver_of_earlier_attempt(
    sandbox: Sandbox, connect: Callable[..., None]
) -> None:
    connect(video_succeeded, refuse)
    task = VideoTask.objects.track(sandbox.create(run_seconds=0))
    with pytest.raises(KeyError):
        complete(task)

    with pytest.raises(AssertionError, match="refuse: KeyError"):
        complete(task)


def test_complete_twice_is_idempotent(
    sandbox: Sandbox, received: list[tuple[str, dict[str, Any]]]
) -> None:
    task = VideoTask.objects.track(sandbox.create(run_seconds=0))

    complete(task)
    complete(task)

    assert [call[0] for call in received] == ["video_succeeded", "video_completed"]


@pytest.mark.parametrize("status", [429, 500, 503])
def test_complete_waits_until_429_or_5xx_is_over(sandbox: Sandbox, status: int) -> None:
    order = sandbox.create(error=status, error_seconds=0.3, run_seconds=0, needs_key=True)
    task = VideoTask.objects.track(order)

    complete(task)

    assert (task.status, task.video_url) == ("SUCCESS", f"{sandbox.url}/v1/videos/{order}/content")


def test_complete_of_running_task_times_out(sandbox: Sandbox) -> None:
    task = VideoTask.objects.track(sandbox.create(run_seconds=60))

    with pytest.raises(TimeoutError, match=r"within 0\.1 s: it is NOT_START"):
        complete(task, timeout=0.1)


def test_complete_of_unknown_task_times_out_with_reason(sandbox: Sandbox) -> None:
    with pytest.raises(TimeoutError, match="does not know this task"):
        complete(VideoTask.objects.track("cgt-unknown"), timeout=0.1)


def test_complete_with_wrong_key_times_out_with_reason(
    sandbox: Sandbox, configure: Callable[..., None]
) -> None:
    configure(API_KEY="another-key")

    with pytest.raises(TimeoutError, match="Invalid token"):
        complete(VideoTask.objects.track(sandbox.create()), timeout=0.1)


def test_complete_without_key_raises_settings_error(configure: Callable[..., None]) -> None:
    configure(API_KEY="")

    with pytest.raises(OctovidSettingsError):
        complete(VideoTask.objects.track("cgt-1"))


def test_complete_times_out_under_frozen_clock(sandbox: Sandbox) -> None:
    with time_machine.travel(datetime(2026, 4, 12, tzinfo=timezone.utc), tick=False):
        task = VideoTask.objects.track(sandbox.create(run_seconds=60))
        with pytest.raises(TimeoutError):
            complete(task, timeout=0.1)
