from __future__ import annotations

import json

import pytest

from octovid_django.names import box_names, fields_of, link_rank, opened, snake_case


@pytest.mark.parametrize(
    ("name", "read"),
    [
        *(("videoUrl", "video_url"), ("videoURL", "video_url"), ("VideoUrls", "video_urls")),
        *(("video-url", "video_url"), ("task_id", "task_id"), ("taskID", "task_id"), ("", "")),
        ("N" * 200, "N" * 200),
    ],
)
def test_names_are_read_in_snake_case(name: str, read: str) -> None:
    assert snake_case(name) == read


def test_of_two_fields_of_one_name_the_first_is_read() -> None:
    assert fields_of({"task_id": "a", "taskId": "b", "Status": 1}) == {"task_id": "a", "status": 1}


def test_fields_are_bounded() -> None:
    assert len(fields_of({str(number): number for number in range(10_000)})) == 1_000


class TestOpened:
    def test_object_in_a_string_is_read(self) -> None:
        assert opened('{"resultUrls": ["https://v"]}') == {"resultUrls": ["https://v"]}

    @pytest.mark.parametrize(
        "value", ["{", "{'a': 1}", "[1]", '"x"', "", 7, None, ["{}"], '{"a": ' * 20_000]
    )
    def test_anything_else_stays_as_it_is(self, value: object) -> None:
        assert opened(value) is value

    def test_long_string_is_not_read(self) -> None:
        text = json.dumps({"a": "x" * 70_000})

        assert opened(text) is text


class TestBoxes:
    def test_are_named_with_words_of_results_alone_the_likeliest_first(self) -> None:
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


class TestLinks:
    def test_of_results_are_the_best(self) -> None:
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
    def test_of_anything_else_are_none(self, name: str) -> None:
        assert link_rank(name) == -1
