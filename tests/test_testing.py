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
def test_task_completes_and_its_receivers_run(
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
def test_receiver_error_is_raised(
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


def test_receiver_error_of_an_earlier_attempt_is_raised(
    sandbox: Sandbox, connect: Callable[..., None]
) -> None:
    connect(video_succeeded, refuse)
    task = VideoTask.objects.track(sandbox.create(run_seconds=0))
    with pytest.raises(KeyError):
        complete(task)

    with pytest.raises(AssertionError, match="refuse: KeyError"):
        complete(task)


def test_completed_task_is_delivered_once(
    sandbox: Sandbox, received: list[tuple[str, dict[str, Any]]]
) -> None:
    task = VideoTask.objects.track(sandbox.create(run_seconds=0))

    complete(task)
    complete(task)

    assert [call[0] for call in received] == ["video_succeeded", "video_completed"]


@pytest.mark.parametrize("status", [429, 500, 503])
def test_error_that_passes_is_waited_for(sandbox: Sandbox, status: int) -> None:
    order = sandbox.create(error=status, error_seconds=0.3, run_seconds=0, needs_key=True)
    task = VideoTask.objects.track(order)

    complete(task)

    assert (task.status, task.video_url) == ("SUCCESS", f"{sandbox.url}/v1/videos/{order}/content")


def test_task_that_goes_on_times_out(sandbox: Sandbox) -> None:
    task = VideoTask.objects.track(sandbox.create(run_seconds=60))

    with pytest.raises(TimeoutError, match=r"within 0\.1 s: it is NOT_START"):
        complete(task, timeout=0.1)


def test_unknown_task_times_out_with_the_reason(sandbox: Sandbox) -> None:
    with pytest.raises(TimeoutError, match="does not know this task"):
        complete(VideoTask.objects.track("cgt-unknown"), timeout=0.1)


def test_wrong_key_times_out_with_the_reason(
    sandbox: Sandbox, configure: Callable[..., None]
) -> None:
    configure(API_KEY="another-key")

    with pytest.raises(TimeoutError, match="Invalid token"):
        complete(VideoTask.objects.track(sandbox.create()), timeout=0.1)


def test_missing_key_is_raised(configure: Callable[..., None]) -> None:
    configure(API_KEY="")

    with pytest.raises(OctovidSettingsError):
        complete(VideoTask.objects.track("cgt-1"))


def test_time_may_stand_still(sandbox: Sandbox) -> None:
    with time_machine.travel(datetime(2026, 4, 12, tzinfo=timezone.utc), tick=False):
        task = VideoTask.objects.track(sandbox.create(run_seconds=60))
        with pytest.raises(TimeoutError):
            complete(task, timeout=0.1)
