"""Which statuses there are, and which of them are final."""

from __future__ import annotations

import pytest

from octovid_django.enums import ACTIVE_STATUSES, FINAL_STATUSES, STICKY_STATUSES, TaskStatus


def test_active_and_final_statuses_are_the_documented_ones() -> None:
    active = {"NOT_START", "SUBMITTED", "QUEUED", "IN_PROGRESS", "UNKNOWN"}

    assert active == ACTIVE_STATUSES
    assert FINAL_STATUSES == {"SUCCESS", "FAILURE", "LOST"}
    assert active | FINAL_STATUSES == set(TaskStatus.values)


def test_gateway_reports_every_final_status_but_lost() -> None:
    assert {TaskStatus.SUCCESS, TaskStatus.FAILURE} == STICKY_STATUSES


@pytest.mark.parametrize("status", TaskStatus)
def test_each_status_is_either_active_or_final(status: TaskStatus) -> None:
    assert status.is_final == (status in FINAL_STATUSES) == (status not in ACTIVE_STATUSES)


@pytest.mark.parametrize("status", TaskStatus)
def test_each_status_has_name_of_gateway_and_readable_label(status: TaskStatus) -> None:
    assert status == status.value == status.name
    assert str(status.label).islower()
    assert "_" not in status.label
