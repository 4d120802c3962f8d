from __future__ import annotations

import json

import pytest

from octovid_django.names import box_names, fields_of, link_rank, opened, snake_case


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        *(("videoUrl", "video_url"), ("videoURL", "video_url"), ("VideoUrls", "video_urls")),
        *(("video-url", "video_url"), ("task_id", "task_id"), ("taskID", "task_id"), ("", "")),
        ("N" * 200, "N" * 200),
    ],
)
def test_field_name_in_any_case_becomes_snake_case(name: str, expected: str) -> None:
    assert snake_case(name) == expected


def test_fields_with_duplicate_name_keep_the_first() -> None:
    assert fields_of({"task_id": "a", "taskId": "b", "Status": 1}) == {"task_id": "a", "status": 1}


def test_fields_of_huge_object_are_at_most_1000() -> None:
    assert len(fields_of({str(number): number for number in range(10_000)})) == 1_000


class TestJsonInString:
    def test_object_in_string_is_parsed(self) -> None:
        assert opened('{"resultUrls": ["https://v"]}') == {"resultUrls": ["https://v"]}

    @pytest.mark.parametrize(
        "value", ["{", "{'a': 1}", "[1]", '"x"', "", 7, None, ["{}"], '{"a": ' * 20_000]
    )
    def test_other_value_is_returned_unchanged(self, value: object) -> None:
        assert opened(value) is value

    def test_string_beyond_64_kib_is_not_parsed(self) -> None:
        text = json.dumps({"a": "x" * 70_000})

        assert opened(text) is text


class TestBoxNames:
    def test_names_made_of_result_words_alone_are_boxes_likeliest_first(self) -> None:
        fields = dict.fromkeys(
            (
                *("task_result", "input_video", "metadata", "content", "inputs", "usage"),
                *("generated_samples", "generateVideoResponse", "video_result", "data"),
            )
        )

        assert box_names(fields_of(fields)) == [
            *("content", "data", "task_result", "video_result", "generate_video_response"),
            *("metadata", "generated_samples"),
        ]


class TestLinkRank:
    def test_url_of_result_ranks_before_other_urls(self) -> None:
        names = ("result_url", "video_urls", "uri", "output_url", "content_url", "download_url")

        ranks = [link_rank(name) for name in names]

        assert ranks == sorted(ranks)
        assert ranks[0] == 0

    @pytest.mark.parametrize(
        "name",
        [
            *("cover_url", "input_url", "last_frame_url", "callback_url", "status_url", "urls_of"),
            *("original_result_url", "watermarked_url", "response_url", "url_", "curl", ""),
        ],
    )
    def test_url_of_input_cover_or_callback_has_no_rank(self, name: str) -> None:
        assert link_rank(name) == -1
