"""What the app tells the site. Every signal is sent with ``sender=VideoTask``.

``task`` (``VideoTask``) is the task as it stands in the database: signals come after the commit
that they speak of.

The three that speak of an end are sent at least once for each end, from a django-q2 worker, with
``attempt`` (``int``): 1, and 2, 3, … when a receiver raised or the worker was killed before. A
receiver must bear being called twice with the same task; ``attempt`` tells that it may be. One
that raises stops neither the others nor the app.
"""

from django.dispatch import Signal

video_succeeded = Signal()
"""The video was made (``SUCCESS``). Arguments: ``task``, ``attempt``."""

video_failed = Signal()
"""There will be no video (``FAILURE``, ``LOST``). Arguments: ``task``, ``attempt``."""

video_completed = Signal()
"""The task has ended; sent after one of the two above. Arguments: ``task``, ``attempt``."""

video_progressed = Signal()
"""Status or progress changed, but this is not the end. Best effort: sent once, or not at all.

Arguments: ``task``, ``previous_status`` (``TaskStatus``), ``previous_progress`` (``int``, percent).
"""
