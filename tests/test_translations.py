"""The catalogues of ``locale/``: complete, compiled, and shown on the pages."""

from __future__ import annotations

import gettext
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from datetime import timedelta
from html import unescape
from pathlib import Path
from typing import Any

import pytest
from django.test import Client
from django.urls import reverse
from django.utils import timezone, translation

import octovid_django
from octovid_django.models import VideoTask

PACKAGE = Path(octovid_django.__file__).parent
CATALOGUES = sorted(PACKAGE.glob("locale/*/LC_MESSAGES/django.po"))
UNTRANSLATED = {"Django", "OctopusX", "CSV", "JSON", "cgt", "refused", "dark", "https", "null"}
UNTRANSLATED |= {"Select", "Filter", "option"}  # Django 6.1's own
UNTRANSLATED |= {
    "product",
    "metadata",
    "payload",
    "running",
    "OCTOVID",
    "manage",
    "qcluster",
    "migrate",
}

needs_gettext = pytest.mark.skipif(
    not shutil.which("xgettext"), reason="there is no gettext: install Debian's package of it"
)


def run(*command: str, cwd: Path) -> str:
    env = {name: value for name, value in os.environ.items() if name != "DJANGO_SETTINGS_MODULE"}
    done = subprocess.run(
        command, cwd=cwd, env=env, check=False, capture_output=True, text=True, timeout=120
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@needs_gettext
@pytest.mark.parametrize("path", CATALOGUES, ids=lambda path: path.parent.parent.name)
def test_catalogue_translates_every_string(path: Path, tmp_path: Path) -> None:
    copy = tmp_path / "octovid_django"
    shutil.copytree(PACKAGE, copy, ignore=shutil.ignore_patterns("__pycache__"))
    language = path.parent.parent.name
    run(sys.executable, "-m", "django", "makemessages", "-l", language, cwd=copy)
    catalogue = str(copy / path.relative_to(PACKAGE))

    assert run("msgattrib", "--untranslated", catalogue, cwd=copy) == ""
    assert run("msgattrib", "--only-fuzzy", catalogue, cwd=copy) == ""
    assert run("msgattrib", "--only-obsolete", catalogue, cwd=copy) == ""


@needs_gettext
@pytest.mark.parametrize("path", CATALOGUES, ids=lambda path: path.parent.parent.name)
def test_compiled_catalogue_matches_its_source(path: Path, tmp_path: Path) -> None:
    run("msgfmt", "--check-format", "-o", "django.mo", str(path), cwd=tmp_path)

    def messages(compiled: Path) -> dict[Any, str]:
        with compiled.open("rb") as file:
            return gettext.GNUTranslations(file)._catalog  # type: ignore[attr-defined]

    assert messages(path.with_suffix(".mo")) == messages(tmp_path / "django.mo")


@pytest.fixture
def chinese(admin_client: Client) -> Callable[..., str]:
    """What is read on a page in Chinese."""

    def read(view: str, *arguments: int) -> str:
        path = reverse(f"admin:octovid_django_videotask_{view}", args=arguments)
        with translation.override("zh-hans"):
            page = admin_client.get(path).content.decode()
        page = re.split(r'<\w+ id="(?:content|footer)"[^>]*>', page)[1]
        page = re.sub(r"<(script|style|textarea|pre)\b.*?</\1>", " ", page, flags=re.DOTALL)
        labels = re.findall(r'(?:aria-label|title|data-lost|placeholder)="([^"]*)"', page)
        return unescape(re.sub(r"<[^>]+>", " ", page) + " ".join(labels))

    return read


@pytest.mark.django_db
@pytest.mark.parametrize("view", ["changelist", "change", "add", "video"])
def test_admin_page_is_wholly_translated(chinese: Callable[..., str], view: str) -> None:
    now = timezone.now()
    times = {"submitted_at": now, "started_at": now, "finished_at": now, "polled_at": now}
    delivered = {"completed_at": now, "delivered_at": now}
    task = VideoTask.objects.create(task_id="cgt-1", fail_reason="too dark", **times)
    VideoTask.objects.create(task_id="cgt-2", status="SUCCESS", **times, **delivered)
    VideoTask.objects.create(task_id="cgt-3", next_poll_at=now - timedelta(hours=1))
    VideoTask.objects.create(
        task_id="cgt-4", video_url="https://cdn.example/", video_url_expires_at=now
    )

    text = chinese(view, *([task.pk] if view in ("change", "video") else []))

    assert "任务" in text
    words = set(re.findall(r"[A-Za-z]{4,}", text))
    assert words <= UNTRANSLATED
