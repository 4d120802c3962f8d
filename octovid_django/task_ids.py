"""Task ids: which ones are valid, and what may be pasted around one."""

from __future__ import annotations

import re
from unicodedata import category

from django.utils.translation import gettext

from octovid_django.exceptions import OctovidTaskIdError

MAX_TASK_ID_LENGTH = 191

_SEPARATORS = frozenset("\"'`´,;|\\<>＂＇＜＞，；、｜")
_BRACKETS_AND_QUOTES = frozenset({"Ps", "Pe", "Pi", "Pf"})
_OF_A_SPREADSHEET = re.compile(r"[#=].*|[0-9](\.[0-9]+)?E\+[0-9]+")
"""``#N/A``, a formula, or a long number as spreadsheets display it."""
_WORDS = frozenset(
    {
        *("", "n/a", "na", "nan", "nil", "none", "null", "undefined", "true", "false"),
        *("id", "ids", "taskid", "taskids", "videoid", "videoids"),
    }
)
"""Words that stand for a missing id, or above a column of ids; in lower case, without ``-`` and
``_``."""


def validate_stored_id(task_id: object) -> str:
    """Return ``task_id`` if a row can store it.

    Raises:
        OctovidTaskIdError: It is empty, too long, or holds white space or control characters.
    """
    if not isinstance(task_id, str) or not task_id:
        raise OctovidTaskIdError(gettext("a task id is a string of at least one character"))
    if len(task_id) > MAX_TASK_ID_LENGTH:
        raise OctovidTaskIdError(
            gettext("the task id %(start)s… has %(length)d characters, at most %(max)d are allowed")
            % {"start": task_id[:20], "length": len(task_id), "max": MAX_TASK_ID_LENGTH}
        )
    if any(map(_is_blank, task_id)):
        raise OctovidTaskIdError(
            gettext("the task id %(id)r holds white space or control characters") % {"id": task_id}
        )
    return task_id


def validate_task_id(task_id: object) -> str:
    """Return ``task_id`` if it can be the id of a task.

    A valid id has 1 to 191 characters, with a letter, a digit or a dot among them. It has no white
    space, quotes, brackets, commas or semicolons. It is not a URL, not what a spreadsheet shows in
    place of a value, not a word like "null", and not the name of a column.

    Raises:
        OctovidTaskIdError: It cannot be the id of a task; the message says why.
    """
    task_id = validate_stored_id(task_id)
    if foreign := next(filter(_is_foreign, task_id), None):
        raise OctovidTaskIdError(
            gettext("the task id %(id)r holds %(character)s, which no task id does")
            % {"id": task_id, "character": foreign}
        )
    if "://" in task_id:
        raise OctovidTaskIdError(gettext("%(id)r is a link, not a task id") % {"id": task_id})
    if _stands_for_none(task_id):
        raise OctovidTaskIdError(gettext("%(id)r is not the id of a task") % {"id": task_id})
    return task_id


def bare_task_id(text: str) -> str:
    """Return an id without what may be pasted around it, and no id holds.

    For example quotes, a comma, a byte order mark, or the brackets of a list.
    """
    return text.strip("".join(filter(_is_foreign, text)))


def _is_blank(character: str) -> bool:
    return character == " " or not character.isprintable()


def _is_foreign(character: str) -> bool:
    return (
        _is_blank(character)
        or character in _SEPARATORS
        or category(character) in _BRACKETS_AND_QUOTES
    )


def _stands_for_none(text: str) -> bool:
    has_substance = any(character.isalnum() or character == "." for character in text)
    word = text.casefold().translate({ord("-"): None, ord("_"): None})
    return not has_substance or word in _WORDS or bool(_OF_A_SPREADSHEET.fullmatch(text))
