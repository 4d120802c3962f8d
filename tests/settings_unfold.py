"""Django's settings while the tests run under django-unfold."""

from tests.settings import *  # noqa: F403

INSTALLED_APPS = ["unfold", *INSTALLED_APPS]  # noqa: F405
ROOT_URLCONF = "tests.urls_unfold"
SECURE_CSP: dict[str, list[str]] = {}
"""django-unfold's own pages need more than 'self'."""
