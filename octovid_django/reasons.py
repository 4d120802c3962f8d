"""The reason of a failure, read from a response (docs/gateway.md, sections 2.12 and 2.16).

Reasons stand under names that end in one of a few words (``fail_reason``, ``task_status_msg``,
``errorMessage``), as text or as an object with a message and a code. A text that only says *that*
something failed yields to one that says why.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from itertools import islice

from octovid_django.names import fields_of
from octovid_django.values import Json, read_number, read_text, read_word

_ENDINGS = ("reason", "error", "failure", "message", "msg", "detail")
"""How the names of reasons end, singular or plural, the best first."""
_ERROR_NAMES = ("message", "msg", "error", "detail", "title")
"""Names of the text of an error response that has no object ``error``."""
_CODE_NAMES = ("code", "err_code", "error_code", "fail_code", "failure_code")
_MAX_CODE = 10**12
_MAX_NAMES = 1_000
_MAX_ITEMS = 3
_MAX_NESTING = 4

_CHINESE_FILLERS = re.compile(
    "任务|视频|生成|执行|处理|请求|上游|渠道|服务|系统|返回|失败|错误|异常|未知|出现|发生|已|了|的"
)
_CHINESE_SUCCESS = re.compile("操作成功|成功|完成")
_WORDS = re.compile(r"[^\W\d_]+")
_SUCCESS = {*_WORDS.findall("success succeed succeeded successful successfully completed done ok")}
_FILLERS = {
    *_WORDS.findall(
        "a an and by from has have in is no of please reason the this to was with your "
        "api bad channel code err error errors exception execution fail failed fails failure "
        "generate generating generation internal job message n na nil none null occurred "
        "process processing provider request response result return returned run server service "
        "something status system task undefined unexpected unknown upstream video went wrong "
        "again later retry try"
    )
}
"""Words that could describe any failure."""


def fail_reason(places: Iterable[Mapping[str, Json]], others: Iterable[str] = ()) -> str:
    """Return why a task failed, "" where no reason is found.

    Args:
        places: The objects in which a reason may stand, the likeliest first; their fields have
            names in snake case.
        others: Texts that may be a reason, if ``places`` hold none.
    """
    places = list(places)
    found = [*_reasons(places), *others, *filter(None, map(_code, places))]
    specific = (text for text in found if _words(text) - _FILLERS - _SUCCESS)
    vague = (text for text in found if _words(text) - _SUCCESS)
    return next(specific, "") or next(vague, "")


def error_text(body: Json) -> str | None:
    """Return the message of an error response, from whichever of the usual places in its JSON."""
    if not isinstance(body, Mapping):
        return None
    error = body.get("error")
    inner = error_text(error) if isinstance(error, Mapping) else None
    texts = (_first_text(body.get(name)) for name in _ERROR_NAMES)
    return inner or next(filter(None, texts), None)


def is_of_gateway(body: Json) -> bool:
    """Return whether an error response comes from the gateway, not from a proxy in front of it.

    Proxies send pages, or "problem details" (RFC 9457), which have a title instead of a message.
    """
    return isinstance(body, Mapping) and ("title" not in body or "error" in body)


def _first_text(value: Json) -> str | None:
    """A text, or the first of a list, as some validators send them."""
    if isinstance(value, list):
        value = next(iter(value), None)
    return read_text(value.get("msg")) if isinstance(value, Mapping) else read_text(value)


def _reasons(places: list[Mapping[str, Json]], depth: int = 0) -> Iterator[str]:
    for ending in _ENDINGS:
        for place in places:
            for name, value in islice(place.items(), _MAX_NAMES):
                if name.lower().removesuffix("s").endswith(ending):
                    yield from _texts(value, place, depth)


def _texts(value: Json, place: Mapping[str, Json], depth: int) -> Iterator[str]:
    if text := read_text(value):
        code = _code(place)
        yield f"{text} ({code})" if code and code not in text else text
    elif isinstance(value, Mapping) and depth < _MAX_NESTING:
        fields = fields_of(value)
        yield from _reasons([fields], depth + 1)
        if code := _code(fields):
            yield code
    elif isinstance(value, list) and depth < _MAX_NESTING:
        for item in value[:_MAX_ITEMS]:
            yield from _texts(item, place, depth + 1)


def _code(place: Mapping[str, Json]) -> str | None:
    """The code of an error, where there is one: it distinguishes a refusal from a glitch."""
    for code in map(place.get, _CODE_NAMES):
        if number := read_number(code):
            if 200 != number < _MAX_CODE:
                return read_word(str(code))
        elif (word := read_word(code)) and _words(word) - _FILLERS - _SUCCESS:
            return word
    return None


def _words(text: str) -> set[str]:
    """The words of ``text``, without the Chinese ones that could describe any failure."""
    text = _CHINESE_SUCCESS.sub(" ", text.lower())
    return set(_WORDS.findall(_CHINESE_FILLERS.sub(" ", text)))
