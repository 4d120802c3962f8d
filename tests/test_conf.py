"""``OCTOVID``, as the code reads it: live, validated, and with advice where it is wrong."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import pytest
from django.test import override_settings

from octovid_django.conf import SETTINGS, configured, nearest_name, octovid_settings
from octovid_django.exceptions import OctovidError, OctovidSettingsError

SECRET = "sk-a-very-secret-key"

DEFAULTS = {
    "API_KEY": "",  # empty, as if missing: the key is required
    "BASE_URL": "https://octopusx.ai",
    "TIMEOUT": 10,
    "MAX_RESPONSE_BYTES": 33_554_432,
    "POLL_INTERVAL": 15,
    "CONCURRENCY": 32,
    "BATCH_SIZE": 500,
    "LOST_AFTER": 259_200,
    "LINK_LIFETIME": 43_200,
    "CLUSTER": None,
}

WRONG = [
    ("API_KEY", 7, "the gateway's API key, a string"),
    ("API_KEY", f"{SECRET}\n", "without line breaks"),
    ("API_KEY", f"Bearer {SECRET}", "the key alone, without spaces"),
    ("API_KEY", f"{SECRET}é", "the gateway's API key"),
    ("API_KEY", "sk-1234", "the whole key, of 8 characters at least"),
    ("BASE_URL", 7, "an http(s) URL"),
    ("BASE_URL", "octopusx.ai", "an http(s) URL"),
    ("BASE_URL", "ftp://octopusx.ai", "an http(s) URL"),
    ("BASE_URL", "https://", "an http(s) URL"),
    ("BASE_URL", "https://octopusx.ai:port", "an http(s) URL"),
    ("BASE_URL", "https://octopusx.ai:0", "an http(s) URL"),
    ("BASE_URL", "https://[octopusx.ai", "an http(s) URL"),
    ("BASE_URL", "https://octopusx.ai/?a=b", "an http(s) URL"),
    ("BASE_URL", "https://octopusx.ai/#a", "an http(s) URL"),
    ("BASE_URL", "https://user:password@octopusx.ai", "an http(s) URL"),
    ("BASE_URL", "https://octopusx.ai/a b", "an http(s) URL"),
    ("BASE_URL", "https://octopusx.ai\n", "an http(s) URL"),
    ("TIMEOUT", "10", "a number of seconds from 0.1 to 300"),
    ("TIMEOUT", 301, "a number of seconds from 0.1 to 300"),
    ("TIMEOUT", -1, "a number of seconds from 0.1 to 300"),
    ("TIMEOUT", True, "a number of seconds from 0.1 to 300"),
    ("TIMEOUT", math.nan, "a number of seconds from 0.1 to 300"),
    ("TIMEOUT", math.inf, "a number of seconds from 0.1 to 300"),
    ("MAX_RESPONSE_BYTES", 1e6, "a whole number from 1024"),
    ("POLL_INTERVAL", 0.5, "a number of seconds from 1 to 3600"),
    ("CONCURRENCY", 1.5, "a whole number from 1 to 1000"),
    ("CONCURRENCY", True, "a whole number from 1 to 1000"),
    ("BATCH_SIZE", 10_001, "a whole number from 1 to 10000"),
    ("LOST_AFTER", 59, "a number of seconds from 60"),
    ("LINK_LIFETIME", [], "a number of seconds from 1"),
    ("CLUSTER", "", "the name of a django-q2 cluster, or None"),
    ("CLUSTER", 7, "the name of a django-q2 cluster, or None"),
]


def test_setting_names_and_defaults_are_the_documented_ones() -> None:
    assert {name: setting.default for name, setting in SETTINGS.items()} == DEFAULTS


@pytest.mark.parametrize("name", sorted(DEFAULTS.keys() - {"API_KEY"}))
@override_settings(OCTOVID={})
def test_omitted_setting_has_its_default(name: str) -> None:
    assert getattr(octovid_settings, name) == DEFAULTS[name]


def test_missing_octovid_gives_all_defaults(settings: Any) -> None:
    del settings.OCTOVID

    assert configured() == {}
    assert octovid_settings.BASE_URL == "https://octopusx.ai"


def test_changed_setting_is_read_at_once() -> None:
    for seconds in (3, 4):
        with override_settings(OCTOVID={"TIMEOUT": seconds}):
            assert octovid_settings.TIMEOUT == seconds


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("API_KEY", SECRET),
        ("API_KEY", "sk-12345"),
        ("BASE_URL", "http://127.0.0.1:8999"),
        ("BASE_URL", "https://octopusx.ai/behind/a/proxy/"),
        ("BASE_URL", "https://[::1]:8999"),
        ("TIMEOUT", 0.1),
        ("TIMEOUT", 300),
        ("POLL_INTERVAL", 1),
        ("CONCURRENCY", 1),
        ("CLUSTER", "videos"),
        ("CLUSTER", None),
    ],
)
def test_valid_value_is_read_unchanged(
    configure: Callable[..., None], name: str, value: Any
) -> None:
    configure(**{name: value})

    assert getattr(octovid_settings, name) == value
    octovid_settings.validate()


@pytest.mark.parametrize(("name", "value", "wanted"), WRONG)
def test_wrong_value_raises_settings_error_with_advice_and_without_key(
    configure: Callable[..., None], name: str, value: Any, wanted: str
) -> None:
    configure(**{name: value})

    with pytest.raises(OctovidSettingsError) as caught:
        getattr(octovid_settings, name)

    text = str(caught.value)
    assert text.startswith(f'OCTOVID["{name}"]')
    assert wanted in text
    assert SECRET not in text


@pytest.mark.parametrize(("name", "value"), [("TIMEOUT", 0), ("CONCURRENCY", 0), ("BATCH_SIZE", 0)])
def test_zero_is_reported_as_wrong_and_not_missing(
    configure: Callable[..., None], name: str, value: Any
) -> None:
    configure(**{name: value})

    with pytest.raises(OctovidSettingsError, match="is wrong"):
        getattr(octovid_settings, name)


@pytest.mark.parametrize("given", [{}, {"API_KEY": ""}, {"API_KEY": None}])
def test_missing_api_key_fails_validation(given: dict[str, Any]) -> None:
    with (
        override_settings(OCTOVID=given),
        pytest.raises(OctovidSettingsError, match=r'^OCTOVID\["API_KEY"\] is missing'),
    ):
        octovid_settings.validate()


@pytest.mark.parametrize("name", DEFAULTS)
def test_validate_raises_for_each_wrong_setting(configure: Callable[..., None], name: str) -> None:
    configure(**{name: object()})

    with pytest.raises(OctovidSettingsError, match=name):
        octovid_settings.validate()


@pytest.mark.parametrize("value", [None, "sk-key", ["API_KEY"], 7])
def test_octovid_that_is_no_dict_raises_error_without_key(value: object) -> None:
    with (
        override_settings(OCTOVID=value),
        pytest.raises(OctovidError, match=r'write OCTOVID = \{"API_KEY": "…"\}') as caught,
    ):
        configured()
    assert "sk-key" not in str(caught.value)


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        ("API-KEY", "API_KEY"),
        ("api_key", "API_KEY"),
        ("APIKEY", "API_KEY"),
        ("BASEURL", "BASE_URL"),
        ("POLL_INTERVALL", "POLL_INTERVAL"),
        ("LOST_AFTR", "LOST_AFTER"),
        ("FAVOURITE_COLOUR", None),
        (7, None),
    ],
)
def test_nearest_setting_name_is_suggested(written: object, meant: str | None) -> None:
    assert nearest_name(written) == meant
