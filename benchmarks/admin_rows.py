"""How the admin's pages slow down with the table: ``python -m benchmarks.admin_rows``.

Each page is requested with few rows in the table and with many, in one run; what counts is the
ratio. The database is a new SQLite file, or that of ``DATABASE_URL``, whose tasks are deleted.
"""

from __future__ import annotations

import argparse
import os
import random
import time
from collections.abc import Callable
from datetime import datetime, timedelta, timezone
from tempfile import TemporaryDirectory

import django
from django.core.management import call_command

PAGES = {
    "list": "",
    "page 5": "?p=5",
    "sorted by completion": "?o=-6",
    "sorted by id": "?o=1",
    "status: failed": "?status__exact=FAILURE",
    "link: valid": "?link=valid",
    "delivery: abandoned": "?delivery=abandoned",
    "a day": "?created_at__year=2026&created_at__month=11&created_at__day=2",
    "search that finds": "?q=cgt-12",
    "search that finds nothing": "?q=nothing-like-this",
    "live, 100 rows": "live/?ids={ids}&above",
}
ROUNDS = 5


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--few", type=int, default=1_000, help="rows (default: %(default)s)")
    parser.add_argument("--many", type=int, default=1_000_000, help="rows (default: %(default)s)")
    options = parser.parse_args()
    with TemporaryDirectory(prefix="octovid-benchmark-") as directory:
        os.environ.setdefault("DATABASE_URL", f"sqlite:///{directory}/db.sqlite3")
        os.environ |= {
            "DJANGO_SETTINGS_MODULE": "example_project.settings",
            "OCTOVID_API_KEY": "benchmark",
            "ALLOWED_HOSTS": "testserver",
        }
        django.setup()
        call_command("migrate", verbosity=0)
        few, many = measure(options.few), measure(options.many)
    print(f"{'':26}{options.few:>12,} rows{options.many:>12,} rows   ratio")
    for name in PAGES:
        ratio = many[name] / few[name]
        print(f"{name:26}{few[name]:14.1f} ms{many[name]:14.1f} ms{ratio:8.1f}")


def measure(count: int) -> dict[str, float]:
    """Return how many milliseconds each page takes, at best, with ``count`` rows."""
    from django.contrib.auth.models import User
    from django.test import Client

    from octovid_django.models import VideoTask

    fill(count)
    User.objects.filter(username="benchmark").delete()
    client = Client()
    client.force_login(User.objects.create_superuser("benchmark"))
    newest = VideoTask.objects.order_by("-pk").values_list("pk", flat=True)[:100]
    ids = ",".join(map(str, newest))

    def get(query: str) -> Callable[[], object]:
        return lambda: client.get(f"/admin/octovid_django/videotask/{query.format(ids=ids)}")

    return {name: best_of(get(query)) for name, query in PAGES.items()}


def best_of(call: Callable[[], object]) -> float:
    times = []
    for _ in range(ROUNDS):
        start = time.perf_counter()
        call()
        times.append(1_000 * (time.perf_counter() - start))
    return min(times)


def fill(count: int) -> None:
    """Create ``count`` tasks of the last three months; most of them have succeeded."""
    from django.db import connection
    from django.db.models import F

    from octovid_django.models import VideoTask

    VideoTask.objects.all()._raw_delete("default")
    chance = random.Random(7)
    now = datetime.now(timezone.utc)
    step = timedelta(days=90) / count
    for start in range(0, count, 5_000):
        tasks = []
        for number in range(start, min(start + 5_000, count)):
            completed_at = now - step * (count - number)
            status = chance.choices(["SUCCESS", "FAILURE", "LOST"], [90, 9, 1])[0]
            task = VideoTask(
                task_id=f"cgt-{number}",
                status=status,
                started_at=completed_at - timedelta(seconds=chance.randrange(40, 400)),
                finished_at=completed_at,
                completed_at=completed_at,
                delivered_at=completed_at,
                total_tokens=chance.randrange(200_000),
                fail_reason="" if status == "SUCCESS" else "refused",
                video_url=f"https://cdn.example/{number}.mp4" if status == "SUCCESS" else "",
                video_url_expires_at=completed_at + timedelta(hours=12),
                payload={"number": number, "filler": "x" * 500},
                metadata={"order": number},
            )
            tasks.append(task)
        VideoTask.objects.bulk_create(tasks)
    VideoTask.objects.update(created_at=F("completed_at"))
    with connection.cursor() as cursor:
        cursor.execute(
            "ANALYZE TABLE octovid_django_videotask" if connection.vendor == "mysql" else "ANALYZE"
        )


if __name__ == "__main__":
    main()
