"""The status that a status word means, in any vocabulary of a gateway or an upstream."""

from __future__ import annotations

from collections.abc import Sequence

from octovid_django.enums import TaskStatus
from octovid_django.names import snake_case

_MEANINGS = {
    TaskStatus.NOT_START: ("not_start",),
    TaskStatus.SUBMITTED: ("submitted", "created"),
    TaskStatus.QUEUED: (
        *("queued", "pending", "queueing", "queuing", "queue", "waiting", "wait", "preparing"),
        *("starting", "staged", "scheduled", "throttled"),
    ),
    TaskStatus.IN_PROGRESS: ("in_progress", "started"),
    TaskStatus.UNKNOWN: ("unknown",),
    TaskStatus.SUCCESS: (
        *("success", "succeed", "succeeded", "complete", "completed", "done", "finished"),
    ),
    TaskStatus.FAILURE: (
        *("failure", "fail", "failed", "error", "rejected"),
        *("cancelled", "canceled", "expired", "timeout"),
    ),
}
_STATUS_BY_WORD = {word: status for status, words in _MEANINGS.items() for word in words}


def read_status(words: Sequence[str]) -> tuple[TaskStatus | None, str]:
    """Return the status that a response reports, and the raw upstream status.

    The outermost word decides. One that is not known means ``UNKNOWN``: it is never final.

    Args:
        words: The status words of a response, the outermost first.

    Returns:
        The status, ``None`` where there are no words; and the innermost word, or the outermost
        where that is not known.
    """
    if not words:
        return None, ""
    status = _status_of_word(words[0])
    return (status, words[-1]) if status else (TaskStatus.UNKNOWN, words[0])


def _status_of_word(word: str) -> TaskStatus | None:
    """What a status word means, ``None`` for one that is not known.

    Of a word of several parts, such as ``in_queue``, the last may mean a status that is not final;
    only words that are known as a whole are final. A word in "-ing" is in progress.
    """
    word = snake_case(word)
    if status := _STATUS_BY_WORD.get(word):
        return status
    last = word.rpartition("_")[2]
    if _STATUS_BY_WORD.get(last) == TaskStatus.QUEUED:
        return TaskStatus.QUEUED
    return TaskStatus.IN_PROGRESS if last.endswith("ing") else None
