"""A site on a database and a broker that can be cut off, with receivers that misbehave."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from tests.processes import Site
from tests.soak.servers import Server

SETTINGS = """
from shop import host

DATABASES = {{"default": host.database({database!r})}}
Q_CLUSTER = host.broker(Q_CLUSTER)
"""


def new_site(
    path: Path,
    gateway_url: str,
    database: Server,
    broker: Server,
    *,
    q_cluster: dict[str, Any] | None = None,
    octovid: dict[str, Any] | None = None,
) -> Site:
    """Make a site, and its tables.

    Args:
        path: An empty directory for it.
        gateway_url: Where its gateway is.
        database: Its own alone.
        broker: The same.
        q_cluster: What its ``Q_CLUSTER`` has beside the README's.
        octovid: What its ``OCTOVID`` has beside the README's.
    """
    site = Site(
        path,
        gateway_url,
        q_cluster={**(q_cluster or {}), **broker.settings},
        octovid=octovid,
        shop=Path(__file__).parent / "shop",
        settings=SETTINGS.format(database=database.settings),
    )
    migrated = site.manage("migrate")
    assert migrated.returncode == 0, migrated.stderr
    return site
