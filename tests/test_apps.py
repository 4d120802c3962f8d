"""A site with an impossible ``OCTOVID`` does not start, and prints why."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

SECRET = "sk-a-very-secret-key"

START = """
from django.conf import settings
from django.core.wsgi import get_wsgi_application

settings.configure(
    DEBUG=True,
    SECRET_KEY="a site's",
    INSTALLED_APPS=[
        "django.contrib.auth", "django.contrib.contenttypes", "django_q", "octovid_django"
    ],
    OCTOVID={octovid},
    USE_TZ=True,
)
get_wsgi_application()
print("started")
"""


def start(octovid: str) -> subprocess.CompletedProcess[str]:
    """Start a site, as its web server does, whose settings have this value."""
    return subprocess.run(
        [sys.executable, "-c", START.format(octovid=octovid)],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
        cwd=Path(__file__).parent.parent,
    )


@pytest.mark.parametrize(
    "octovid", [f'"{SECRET}"', f'["{SECRET}"]', f'{{"{SECRET}"}}', f'b"{SECRET}"', "None"]
)
def test_octovid_that_is_no_dict_prevents_start_without_printing_key(octovid: str) -> None:
    """A DEBUG page would show the key: Django hides only values whose names look secret."""
    site = start(octovid)

    assert site.returncode == 1
    assert "ImproperlyConfigured: OCTOVID is not a dict: write OCTOVID = {" in site.stderr
    assert SECRET not in site.stdout + site.stderr


@pytest.mark.parametrize("octovid", [f'{{"API_KEY": "{SECRET}"}}', "{}", '{"API_KEY": None}'])
def test_octovid_that_is_dict_lets_site_start(octovid: str) -> None:
    site = start(octovid)

    assert (site.returncode, site.stdout) == (0, "started\n"), site.stderr
