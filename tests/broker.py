"""The queue between the site and django-q2's workers, whichever broker carries it."""

from __future__ import annotations

import os
from typing import Any
from uuid import uuid4

import redis
from django_q.conf import Conf
from django_q.models import OrmQ
from django_q.signing import SignedPackage

REDIS_URL = os.environ.get("REDIS_URL", "")
"""Where the tests' Redis is; without one django-q2 uses the database."""


def settings_of_broker() -> dict[str, Any]:
    """What ``Q_CLUSTER`` says of a broker that no other cluster uses."""
    return {"name": f"test-{uuid4().hex}", "orm": None, "redis": REDIS_URL} if REDIS_URL else {}


def take_messages(cluster: str | None = None) -> list[dict[str, Any]]:
    """Take what waits for the workers of a cluster, the oldest first, as they would see it."""
    name = cluster or Conf.CLUSTER_NAME
    if REDIS_URL:
        key = f"django_q:{name}:q"
        with redis.from_url(REDIS_URL) as connection:
            packed = connection.lrange(key, 0, -1)
            connection.delete(key)
    else:
        rows = OrmQ.objects.filter(key=name).order_by("pk")
        packed = list(rows.values_list("payload", flat=True))
        rows.delete()
    return [SignedPackage.loads(message) for message in packed]
