"""The app's settings: one dict, ``OCTOVID``, read live, so that ``override_settings`` works."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from difflib import get_close_matches
from typing import Any, Generic, TypeVar
from urllib.parse import urlsplit

from django.conf import settings

from octovid_django.exceptions import OctovidSettingsError
from octovid_django.redaction import SHORTEST_KEY

T = TypeVar("T")
Validator = Callable[[object], "str | None"]
"""Returns what to write instead of a wrong value, ``None`` for a right one."""

YEAR = 31_536_000


def _api_key(value: object) -> str | None:
    # Only what an HTTP header can carry: the line break of a file is the usual mistake.
    if not (isinstance(value, str) and value and value.isascii() and value.isprintable()):
        return "the gateway's API key, a string without line breaks"
    if " " in value:
        return "the key alone, without spaces"
    if len(value) < SHORTEST_KEY:
        return f"the complete key, of at least {SHORTEST_KEY} characters"
    return None


def _base_url(value: object) -> str | None:
    try:
        parts = urlsplit(value) if isinstance(value, str) and value.isprintable() else None
        is_right = (
            parts is not None
            and parts.scheme in ("http", "https")
            and bool(parts.hostname)
            and parts.port != 0
            and not (parts.query or parts.fragment or "@" in parts.netloc or " " in parts.geturl())
            and not parts.path.rstrip("/").endswith("/v1")
        )
    except ValueError:
        is_right = False
    wanted = 'an http(s) URL like "https://octopusx.ai", without "/v1", "?", "#", "@"'
    return None if is_right else wanted


def _cluster(value: object) -> str | None:
    is_right = value is None or (isinstance(value, str) and bool(value.strip()))
    return None if is_right else "the name of a django-q2 cluster, or None"


def _seconds(minimum: float, maximum: float) -> Validator:
    def validate(value: object) -> str | None:
        is_number = isinstance(value, (int, float)) and not isinstance(value, bool)
        if is_number and minimum <= value <= maximum:  # type: ignore[operator]
            return None
        return f"a number of seconds from {minimum} to {maximum}"

    return validate


def _count(minimum: int, maximum: int) -> Validator:
    def validate(value: object) -> str | None:
        is_whole = isinstance(value, int) and not isinstance(value, bool)
        if is_whole and minimum <= value <= maximum:  # type: ignore[operator]
            return None
        return f"a whole number from {minimum} to {maximum}"

    return validate


def configured() -> Mapping[str, Any]:
    """Return the setting ``OCTOVID``, not validated; empty where there is none.

    Raises:
        OctovidSettingsError: It is not a dict.
    """
    if isinstance(value := getattr(settings, "OCTOVID", {}), Mapping):
        return value
    del value  # and out of tracebacks that show variables: it may be the key
    raise OctovidSettingsError('OCTOVID is not a dict: write OCTOVID = {"API_KEY": "…"}')


class Setting(Generic[T]):
    """One key of ``OCTOVID``: reading it gives its value or the default, validated.

    Args:
        default: The value where the key is not set; an invalid one makes the key required.
        validate: Returns what to write instead of a wrong value, ``None`` for a right one.
    """

    name: str

    def __init__(self, default: T, validate: Validator) -> None:
        self.default = default
        self.validate = validate

    def __set_name__(self, owner: type, name: str) -> None:
        self.name = name

    def __get__(self, instance: object, owner: type) -> T:
        value: T = configured().get(self.name, self.default)
        wanted = self.validate(value)
        if wanted is None:
            return value
        # The value itself stays out of the message: it may be the key.
        mistake = "is missing" if value in (None, "") else "is wrong"
        del value  # and out of tracebacks that show variables
        raise OctovidSettingsError(f'OCTOVID["{self.name}"] {mistake}: it must be {wanted}')


class OctovidSettings:
    """The settings, by name. Reading one that is wrong raises ``OctovidSettingsError``."""

    API_KEY = Setting("", _api_key)
    """The Bearer token for the gateway."""
    BASE_URL = Setting("https://octopusx.ai", _base_url)
    """The URL of the gateway, without ``/v1``."""
    TIMEOUT = Setting(10.0, _seconds(0.1, 300))
    """Seconds for one complete response, from connecting to the last byte."""
    MAX_RESPONSE_BYTES = Setting(32 * 1024 * 1024, _count(1024, 1024**3))
    """A larger response, once decompressed, is an error."""
    POLL_INTERVAL = Setting(15.0, _seconds(1, 3600))
    """Seconds between two polls of one task."""
    CONCURRENCY = Setting(32, _count(1, 1000))
    """Requests in flight per worker process."""
    BATCH_SIZE = Setting(500, _count(1, 10_000))
    """Rows claimed at once."""
    LOST_AFTER = Setting(259_200.0, _seconds(60, 10 * YEAR))
    """Seconds without completion until a task is ``LOST``."""
    LINK_LIFETIME = Setting(43_200.0, _seconds(1, 10 * YEAR))
    """Seconds until a link expires that does not say so itself."""
    CLUSTER = Setting[str | None](None, _cluster)
    """The name of the django-q2 cluster that does the work, where there are several."""

    def validate(self) -> None:
        """Raise ``OctovidSettingsError`` for the first setting that is missing or wrong."""
        for name in SETTINGS:
            getattr(self, name)


octovid_settings = OctovidSettings()

SETTINGS: dict[str, Setting[Any]] = {
    name: setting for name, setting in vars(OctovidSettings).items() if isinstance(setting, Setting)
}


def nearest_name(name: object) -> str | None:
    """Return the known key that ``name`` most likely stands for."""
    return next(iter(get_close_matches(str(name).upper(), SETTINGS, n=1)), None)
