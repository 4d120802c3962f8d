"""The queue between the site and django-q2's workers, whichever broker carries it."""

from __future__ import annotations

from typing import Any

import redis
from django_q.conf import Conf
from django_q.models import OrmQ
from django_q.signing import SignedPackage

from tests.processes import REDIS_URL


def take_messages(cluster: str | None = None) -> list[dict[str, Any]]:
    """Take the messages that wait for the workers of a cluster, the oldest first, unpacked."""
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
