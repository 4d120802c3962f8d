"""Which statuses there are, and which of them is the end."""

from __future__ import annotations

import pytest

from octovid_django.enums import ACTIVE_STATUSES, FINAL_STATUSES, STICKY_STATUSES, TaskStatus


def test_the_statuses_are_those_that_are_documented() -> None:
    active = {"NOT_START", "SUBMITTED", "QUEUED", "IN_PROGRESS", "UNKNOWN"}

    assert active == ACTIVE_STATUSES
    assert FINAL_STATUSES == {"SUCCESS", "FAILURE", "LOST"}
    assert active | FINAL_STATUSES == set(TaskStatus.values)


def test_the_gateway_declares_every_end_but_lost() -> None:
    assert {TaskStatus.SUCCESS, TaskStatus.FAILURE} == STICKY_STATUSES


@pytest.mark.parametrize("status", TaskStatus)
def test_a_status_is_either_active_or_final(status: TaskStatus) -> None:
    assert status.is_final == (status in FINAL_STATUSES) == (status not in ACTIVE_STATUSES)


@pytest.mark.parametrize("status", TaskStatus)
def test_a_status_is_the_gateways_own_word_with_a_label_for_people(status: TaskStatus) -> None:
    assert status == status.value == status.name
    assert str(status.label).islower()
    assert "_" not in status.label
