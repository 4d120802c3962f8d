"""How long a worker of django-q2 may work, how many there are, and how one is interrupted."""

from __future__ import annotations

import math

from django_q.conf import Conf
from django_q.exceptions import TimeoutException

__all__ = ["Interruption", "run_seconds", "worker_count", "worker_seconds"]

Interruption = TimeoutException
"""What django-q2 raises in a worker once its time is up (``Q_CLUSTER["timeout"]``)."""


def worker_seconds(default: float = math.inf) -> float:
    """Return after how many seconds a worker is interrupted.

    Args:
        default: What to return where ``Q_CLUSTER["timeout"]`` sets no bound.
    """
    return Conf.TIMEOUT or default


def run_seconds() -> float:
    """Return after how many seconds a worker is interrupted, or its message delivered again."""
    return min(worker_seconds(), Conf.RETRY or math.inf)


def worker_count() -> int:
    """Return how many workers this cluster has."""
    count: int = Conf.WORKERS
    return count
