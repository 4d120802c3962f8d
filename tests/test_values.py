from __future__ import annotations

from datetime import datetime, timedelta, timezone
from typing import Any

import pytest

from octovid_django.values import (
    later,
    natural,
    read_moment,
    read_number,
    read_percent,
    read_text,
    read_word,
    storable,
)

NO_NUMBERS = [None, True, "", " ", "five", "5 s", [], {}, float("nan"), float("inf"), "nan", "inf"]


@pytest.mark.parametrize("value", NO_NUMBERS)
def test_value_that_is_no_number_is_none(value: Any) -> None:
    assert read_number(value) is None
    assert natural(100)(value) is None
    assert read_percent(value) is None
    assert read_moment(value) is None


def test_large_integer_is_read_exactly() -> None:
    assert read_number(2**63 - 1) == 2**63 - 1


@pytest.mark.parametrize(
    ("value", "number"), [(5, 5), ("5", 5), (4.6, 5), (0, 0), (-1, None), (101, None)]
)
def test_natural_number_is_rounded_and_bounded(value: Any, number: int | None) -> None:
    assert natural(100)(value) == number


@pytest.mark.parametrize(
    ("value", "percent"),
    [
        *(("50%", 50), (" 50 % ", 50), ("50", 50), (50, 50), (99.9, 99), ("99.9%", 99)),
        *((-5, 0), ("150%", 100), (10**400, 100), ("%", None), ("%50", None)),
    ],
)
def test_percentage_is_clamped_between_0_and_100(value: Any, percent: int | None) -> None:
    assert read_percent(value) == percent


NOON = datetime(2026, 4, 12, 12, tzinfo=timezone.utc)


@pytest.mark.parametrize("unit", [1, 1000])
@pytest.mark.parametrize("kind", [int, float, str])
def test_unix_time_in_seconds_or_milliseconds_is_read(unit: int, kind: type) -> None:
    moment = read_moment(kind(int(NOON.timestamp()) * unit))

    assert moment == NOON
    assert moment.tzinfo is timezone.utc


@pytest.mark.parametrize(
    "value", ["2026-04-12T12:00:00Z", "2026-04-12T14:00:00+02:00", " 2026-04-12 12:00:00.000z"]
)
def test_iso_8601_time_with_zone_is_read(value: str) -> None:
    moment = read_moment(value)

    assert moment == NOON
    assert moment.tzinfo is timezone.utc


@pytest.mark.parametrize(
    "value",
    [
        *(0, -1, 1e14, 10**400, "soon", "2026-04-12T12:00:00", "2026-04-12", "Z"),
        *("0001-01-01T00:00:00+14:00", "9999-12-31T23:59:59-14:00", "2026-04-12T12:00:00Z" * 9),
    ],
)
def test_value_that_is_no_time_is_none(value: Any) -> None:
    assert read_moment(value) is None


def test_later_beyond_range_of_datetime_is_none() -> None:
    assert later(NOON, timedelta(hours=12)) == NOON + timedelta(hours=12)
    assert later(NOON, timedelta.max) is None


@pytest.mark.parametrize("value", [None, 7, True, [], {}, "", " \n"])
def test_value_that_is_no_text_is_none(value: Any) -> None:
    assert read_text(value) is None
    assert read_word(value) is None


def test_text_is_bounded_and_storable() -> None:
    assert read_text("x" * 10_000) == "x" * 2_000
    assert read_word(" 720p ") == "720p"
    assert read_word("x" * 100) == "x" * 64
    assert storable("a\x00b\ud800c") == "a\ufffdb\ufffdc"
