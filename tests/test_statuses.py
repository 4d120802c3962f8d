from __future__ import annotations

import pytest

from octovid_django.enums import TaskStatus
from octovid_django.statuses import read_status


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
    assert {read_status([word]) for word in words} == {(TaskStatus(status), word) for word in words}


@pytest.mark.parametrize("word", ["first_success", "GENERATE_FAILED", "retry_after_error", "7", ""])
def test_unknown_word_means_unknown_status(word: str) -> None:
    assert read_status([word, "success"]) == (TaskStatus.UNKNOWN, word)


def test_outermost_word_decides_and_innermost_is_the_raw_one() -> None:
    assert read_status(["IN_PROGRESS", "running", "dreaming"]) == (
        TaskStatus.IN_PROGRESS,
        "dreaming",
    )


def test_response_without_status_word_reports_no_status() -> None:
    assert read_status([]) == (None, "")
