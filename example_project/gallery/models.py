from django.db import models

from octovid_django.models import VideoTask


class ReceivedSignal(models.Model):
    """A signal that a receiver got. A real site would attach the video, or mail the customer."""

    task = models.ForeignKey(VideoTask, on_delete=models.CASCADE, related_name="received_signals")
    signal = models.CharField(max_length=32)
    attempt = models.PositiveIntegerField()
    received_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        ordering = ["-pk"]

    def __str__(self) -> str:
        return f"{self.signal} (attempt {self.attempt})"
