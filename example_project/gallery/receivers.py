"""Receivers as a site has them. They are idempotent: a completion may be delivered twice."""

from typing import Any

from django.dispatch import receiver

from example_project.gallery.models import ReceivedSignal
from octovid_django.models import VideoTask
from octovid_django.signals import video_completed, video_failed, video_succeeded


@receiver(video_succeeded)
def on_video_succeeded(task: VideoTask, attempt: int, **kwargs: Any) -> None:
    remember("video_succeeded", task, attempt)


@receiver(video_failed)
def on_video_failed(task: VideoTask, attempt: int, **kwargs: Any) -> None:
    remember("video_failed", task, attempt)


@receiver(video_completed)
def on_video_completed(task: VideoTask, attempt: int, **kwargs: Any) -> None:
    remember("video_completed", task, attempt)


def remember(signal: str, task: VideoTask, attempt: int) -> None:
    ReceivedSignal.objects.get_or_create(task=task, signal=signal, attempt=attempt)
