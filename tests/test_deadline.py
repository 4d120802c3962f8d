from __future__ import annotations

import time

import pytest

from octovid_django.deadline import _seconds_left, deadline


def test_deadline_in_a_longer_one_is_the_shorter() -> None:
    with deadline(100):
        with deadline(1):
            assert (_seconds_left() or 0) <= 1
        assert (_seconds_left() or 0) > 1


def test_deadline_in_a_shorter_one_does_not_prolong_it() -> None:
    with deadline(0.01):
        time.sleep(0.02)
        with deadline(100), pytest.raises(TimeoutError):
            _seconds_left()
    assert _seconds_left() is None
