"""axe-core checks every page, in the light and in the dark theme."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta

import pytest
from django.utils import timezone

from octovid_django.models import VideoTask
from tests.browser import Browser
from tests.processes import ROOT

AXE = ROOT / "node_modules" / "axe-core" / "axe.min.js"
VIEWS = ("changelist", "change", "add", "video")
IMPACTS = ("serious", "critical")

pytestmark = [
    pytest.mark.django_db(transaction=True),
    pytest.mark.skipif(not AXE.exists(), reason="there is no axe-core: run “npm install”"),
]


@pytest.fixture
def tasks() -> list[VideoTask]:
    """One in every state, with everything that a page can show."""
    now = timezone.now()
    times = {
        "submitted_at": now - timedelta(minutes=5),
        "started_at": now - timedelta(minutes=4),
        "created_at": now - timedelta(minutes=5),
    }
    completed = {"finished_at": now, "completed_at": now, "polled_at": now}
    link = {"video_url": "https://cdn.example/video.mp4", "video_url_expires_at": now}
    valid = link | {"video_url_expires_at": now + timedelta(minutes=30)}
    return [
        VideoTask.objects.create(task_id=f"cgt-{number}", **values)
        for number, values in enumerate(
            [
                {"status": "QUEUED", "next_poll_at": now - timedelta(minutes=9)},
                {"status": "IN_PROGRESS", "progress": 50, "next_poll_at": now, **times},
                {"status": "SUCCESS", "progress": 100, **valid, **completed, **times},
                {
                    "status": "SUCCESS",
                    "progress": 100,
                    "delivered_at": now,
                    **link,
                    **completed,
                },
                {
                    "status": "FAILURE",
                    "fail_reason": "too dark",
                    **completed,
                    "payload": {"a": [1]},
                },
                {"status": "LOST", "last_error": "task_not_exist", **completed},
                {"status": "UNKNOWN", "metadata": {"product": 7}},
            ]
        )
    ]


def violations(browser: Browser) -> list[str]:
    """The serious violations on the page: the rule, and an element that breaks it."""
    browser.script(AXE.read_text())
    results = browser.driver.execute_async_script(
        "const done = arguments[arguments.length - 1]; axe.run(document).then(done, done);"
    )
    return [
        f"{each['id']}: {node['html']} {node['failureSummary']}"
        for each in results["violations"]
        if each["impact"] in IMPACTS
        for node in each["nodes"]
    ]


@pytest.mark.parametrize("theme", ["light", "dark"])
@pytest.mark.parametrize("view", VIEWS)
def test_page_has_no_serious_accessibility_violations(
    browser: Browser,
    visit: Callable[..., None],
    tasks: list[VideoTask],
    view: str,
    theme: str,
) -> None:
    browser.prefer(theme)
    for task in tasks if view == "change" else tasks[:1]:
        visit(view, *([] if view in ("changelist", "add") else [task.pk]))

        assert not (found := violations(browser)), "\n".join(found)
    browser.complaints()  # of the browser itself, about the 404 of "video"
