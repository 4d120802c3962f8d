"""Outages of the database and of the broker, and no restart after them: a minute or two each.

``tox -e soak`` runs these; ``pytest -m soak`` too.
"""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from octovid_django.sandbox import Sandbox
from tests.processes import Site, wait_for
from tests.soak.servers import (
    MariaDB,
    OrmBroker,
    Postgres,
    RedisBroker,
    Server,
    Sqlite,
    UnavailableError,
)
from tests.soak.site import new_site

pytestmark = [pytest.mark.soak, pytest.mark.timeout(280)]

Make = Callable[
    [Callable[[str, Path], Server], Callable[[str], Server]], tuple[Site, Server, Server]
]

START_SECONDS = 60
"""django-q2 first checks its schedules half a minute after its start."""
NEXT_RUN_SECONDS = 150
"""A minute until the next polling run, half of one until django-q2 starts it, and a lease."""


@pytest.fixture
def make(tmp_path: Path, sandbox: Sandbox) -> Iterator[Make]:
    """Make a site on a database and a broker of these kinds."""
    with ExitStack() as stack:

        def make_site(
            open_database: Callable[[str, Path], Server], open_broker: Callable[[str], Server]
        ) -> tuple[Site, Server, Server]:
            name = f"octovid_outage_{secrets.token_hex(4)}"
            try:
                broker = open_broker(name)
                stack.callback(broker.close)
                database = open_database(name, tmp_path)
                stack.callback(database.close)
            except UnavailableError as error:
                pytest.skip(str(error))
            path = tmp_path / "site"
            path.mkdir()
            site = new_site(path, sandbox.url, database, broker, octovid={"POLL_INTERVAL": 1})
            stack.callback(site.close)
            return site, database, broker

        yield make_site


def delivered_task_ids(site: Site) -> set[str]:
    """The tasks of which every receiver has finished."""
    finished = (call for call in site.received() if call["what"] == "done")
    return {call["task"] for call in finished if call["signal"] == "video_completed"}


@pytest.mark.parametrize("open_database", [Postgres, MariaDB])
def test_cluster_resumes_by_itself_after_database_outage(
    make: Make, sandbox: Sandbox, open_database: Callable[[str, Path], Server]
) -> None:
    site, database, broker = make(open_database, OrmBroker)
    task_ids = [sandbox.create(run_seconds=seconds) for seconds in (1, 40, 60)]
    site.manage("octovid_track", *task_ids)
    cluster = site.start_qcluster(**database.environment, **broker.environment)
    wait_for(lambda: sandbox.query_count > len(task_ids), START_SECONDS, site.log)

    database.cut()
    time.sleep(20)  # what the outage lasts
    database.mend()

    wait_for(lambda: delivered_task_ids(site) == set(task_ids), NEXT_RUN_SECONDS, site.log)
    wait_for(lambda: site.status()["problems"] == [], 30, site.log)
    assert cluster.poll() is None, "the cluster was not restarted"


def test_completion_is_delivered_during_broker_outage(make: Make, sandbox: Sandbox) -> None:
    site, database, broker = make(Sqlite, RedisBroker)
    first, later = sandbox.create(run_seconds=45), sandbox.create(run_seconds=60)
    site.manage("octovid_track", first, later)
    cluster = site.start_qcluster(**database.environment, **broker.environment)
    wait_for(lambda: sandbox.query_count > 2, START_SECONDS, site.log)

    broker.cut()
    wait_for(lambda: first in delivered_task_ids(site), 60, site.log)
    assert "No worker could be woken up" in site.log()
    broker.mend()

    wait_for(lambda: later in delivered_task_ids(site), NEXT_RUN_SECONDS, site.log)
    assert cluster.poll() is None, "the cluster was not restarted"
