from __future__ import annotations

import pytest

from octovid_django.enums import STICKY_STATUSES, TaskStatus
from octovid_django.statuses import status_of_word


@pytest.mark.parametrize(
    ("status", "words"),
    [
        ("NOT_START", ["NOT_START", "not start", "NotStart"]),
        ("SUBMITTED", ["SUBMITTED", "created"]),
        ("QUEUED", ["queued", "Queueing", "InQueue", "in_queue", "waiting", "Preparing"]),
        ("IN_PROGRESS", ["IN_PROGRESS", "InProgress", "in-progress", "running", "generating"]),
        ("IN_PROGRESS", ["image_upscaling", "dreaming"]),
        ("SUCCESS", ["SUCCESS", "Succeed", "succeeded", "Completed", "done", "FINISHED"]),
        ("FAILURE", ["FAILURE", "Fail", "failed", "error", "rejected", "Cancelled", "timeout"]),
    ],
)
def test_status_word_is_recognized_in_any_spelling(status: str, words: list[str]) -> None:
    assert {status_of_word(word) for word in words} == {TaskStatus(status)}


@pytest.mark.parametrize("word", ["first_success", "GENERATE_FAILED", "retry_after_error", "7", ""])
def test_unknown_word_is_no_final_status(word: str) -> None:
    assert status_of_word(word) not in STICKY_STATUSES
    assert status_of_word(word) is None
