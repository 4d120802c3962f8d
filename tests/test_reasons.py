from __future__ import annotations

from typing import Any

import pytest

from octovid_django.reasons import error_text, fail_reason, is_of_gateway


class TestFailReason:
    @pytest.mark.parametrize(
        "hollow",
        [
            *("task failed", "Task Failed!", "upstream returned error", "SUCCEED", "success", "ok"),
            *("Video generation failed.", "unknown error", "error", "task_failed", "Error: null"),
            *(
                "internal server error",
                "任务失败",
                "视频生成失败",
                "上游返回错误",
                "未知错误",
                "操作成功",
            ),
            *("Generation failed, please try again later", "", " "),
        ],
    )
    def test_that_says_nothing_gives_way_to_the_inner_one(self, hollow: str) -> None:
        inner = {"error": {"code": "Moderated", "message": "The prompt names a person."}}

        reason = fail_reason([{"fail_reason": hollow}, inner])

        assert reason == "The prompt names a person. (Moderated)"

    @pytest.mark.parametrize(
        "spoken",
        [
            *("content rejected", "timeout", "insufficient quota", "upstream error: no credit"),
            *("内容违规", "账户余额不足", "プロンプトが拒否されました", "task failed: Moderated"),
        ],
    )
    def test_that_says_something_stays(self, spoken: str) -> None:
        assert fail_reason([{"fail_reason": spoken}, {"error": "something else"}]) == spoken

    @pytest.mark.parametrize(
        "name",
        [
            *("reason", "failure_reason", "failReason", "error", "error_message", "errorMessage"),
            *("message", "msg", "task_status_msg", "status_message", "detail", "FilteredReasons"),
        ],
    )
    def test_is_found_by_the_end_of_its_name(self, name: str) -> None:
        for value in ("a weapon", ["a weapon"], {"message": "a weapon"}, [{"msg": "a weapon"}]):
            assert fail_reason([{}, {name: value}]) == "a weapon"

    def test_that_says_nothing_is_told_where_there_is_no_other(self) -> None:
        assert fail_reason([{"fail_reason": "task failed", "message": "success"}]) == "task failed"

    @pytest.mark.parametrize("word", ["success", "SUCCEED", "ok", "成功"])
    def test_that_is_a_word_of_success_is_none(self, word: str) -> None:
        assert fail_reason([{"fail_reason": word}]) == ""

    @pytest.mark.parametrize(
        ("code", "reason"),
        [
            *(
                ("Moderated", "a weapon (Moderated)"),
                (1301, "a weapon (1301)"),
                ("7", "a weapon (7)"),
            ),
            *((0, "a weapon"), ("0", "a weapon"), (200, "a weapon"), ("", "a weapon")),
            *(("success", "a weapon"), ("task_failed", "a weapon"), (None, "a weapon")),
            *((True, "a weapon"), (10**400, "a weapon"), ([], "a weapon"), ("weapon", "a weapon")),
        ],
    )
    def test_has_its_code_where_that_says_more(self, code: Any, reason: str) -> None:
        assert fail_reason([{"error": {"code": code, "message": "a weapon"}}]) == reason

    def test_may_stand_among_others(self) -> None:
        assert fail_reason([{"fail_reason": "failed"}], ["No such prompt."]) == "No such prompt."

    @pytest.mark.parametrize("value", [None, 7, True, [], {}, [[]], [None], {"code": []}])
    def test_of_another_kind_is_none(self, value: Any) -> None:
        assert fail_reason([{"fail_reason": value, "error": value, "message": value}]) == ""

    def test_nested_without_end_is_none(self) -> None:
        error: Any = {"message": "deep"}
        for _ in range(100):
            error = {"error": [error]}
        assert fail_reason([error]) == ""


class TestErrorText:
    @pytest.mark.parametrize(
        "body",
        [
            {"error": {"message": "no", "code": "x"}},
            {"error": {"msg": "no"}},
            {"error": "no"},
            {"message": "no", "error": "Bad Request"},
            {"message": "no", "error": {}},
            {"msg": "no"},
            {"detail": "no", "title": "Error 1015"},
            {"detail": [{"loc": ["path"], "msg": "no", "type": "missing"}]},
            {"title": "no", "type": "about:blank"},
            {"success": False, "message": "no"},
        ],
    )
    def test_is_found_in_every_usual_place(self, body: Any) -> None:
        assert error_text(body) == "no"

    @pytest.mark.parametrize("body", [None, [], "no", 7, {}, {"message": 7}, {"error": {"a": 1}}])
    def test_is_none_where_nothing_is_said(self, body: Any) -> None:
        assert error_text(body) is None


@pytest.mark.parametrize(
    ("body", "is_ours"),
    [
        ({"error": {"message": "no key", "type": "new_api_error"}}, True),
        ({"success": False, "message": "no key"}, True),
        ({"detail": "no key"}, True),
        ({"type": "about:blank", "title": "Error 1020", "status": 403, "detail": "no"}, False),
        (None, False),
        ("no key", False),
    ],
)
def test_problem_details_and_pages_are_not_of_the_gateway(body: Any, is_ours: bool) -> None:
    assert is_of_gateway(body) is is_ours
