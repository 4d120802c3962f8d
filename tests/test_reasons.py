from __future__ import annotations

from typing import Any

import pytest

from octovid_django.reasons import error_text, fail_reason, is_of_gateway


class TestFailReason:
    @pytest.mark.parametrize(
        "generic",
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
    def test_generic_reason_yields_to_specific_inner_error(self, generic: str) -> None:
        inner = {"error": {"code": "Moderated", "message": "The prompt names a person."}}

        reason = fail_reason([{"fail_reason": generic}, inner])

        assert reason == "The prompt names a person. (Moderated)"

    @pytest.mark.parametrize(
        "specific",
        [
            *("content rejected", "timeout", "insufficient quota", "upstream error: no credit"),
            *("内容违规", "账户余额不足", "プロンプトが拒否されました", "task failed: Moderated"),
        ],
    )
    def test_specific_reason_is_kept(self, specific: str) -> None:
        assert fail_reason([{"fail_reason": specific}, {"error": "something else"}]) == specific

    @pytest.mark.parametrize(
        "name",
        [
            *("reason", "failure_reason", "failReason", "error", "error_message", "errorMessage"),
            *("message", "msg", "task_status_msg", "status_message", "detail", "FilteredReasons"),
        ],
    )
    def test_reason_is_found_under_every_usual_field_name(self, name: str) -> None:
        for value in ("a weapon", ["a weapon"], {"message": "a weapon"}, [{"msg": "a weapon"}]):
            assert fail_reason([{}, {name: value}]) == "a weapon"

    def test_generic_reason_is_kept_without_specific_one(self) -> None:
        assert fail_reason([{"fail_reason": "task failed", "message": "success"}]) == "task failed"

    @pytest.mark.parametrize("word", ["success", "SUCCEED", "ok", "成功"])
    def test_success_word_is_no_reason(self, word: str) -> None:
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
    def test_error_code_is_appended_where_it_adds_information(self, code: Any, reason: str) -> None:
        assert fail_reason([{"error": {"code": code, "message": "a weapon"}}]) == reason

    def test_specific_text_among_others_replaces_generic_reason(self) -> None:
        assert fail_reason([{"fail_reason": "failed"}], ["No such prompt."]) == "No such prompt."

    @pytest.mark.parametrize("value", [None, 7, True, [], {}, [[]], [None], {"code": []}])
    def test_value_of_wrong_type_is_no_reason(self, value: Any) -> None:
        assert fail_reason([{"fail_reason": value, "error": value, "message": value}]) == ""

    def test_reason_nested_too_deeply_is_ignored(self) -> None:
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
    def test_message_is_found_in_every_usual_field(self, body: Any) -> None:
        assert error_text(body) == "no"

    @pytest.mark.parametrize("body", [None, [], "no", 7, {}, {"message": 7}, {"error": {"a": 1}}])
    def test_body_without_message_has_no_error_text(self, body: Any) -> None:
        assert error_text(body) is None


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        ({"error": {"message": "no key", "type": "new_api_error"}}, True),
        ({"success": False, "message": "no key"}, True),
        ({"detail": "no key"}, True),
        ({"type": "about:blank", "title": "Error 1020", "status": 403, "detail": "no"}, False),
        (None, False),
        ("no key", False),
    ],
)
def test_only_error_with_gateway_shape_is_of_gateway(body: Any, expected: bool) -> None:
    assert is_of_gateway(body) is expected
