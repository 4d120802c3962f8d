"""The search box of the list: what it finds, on every database."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import pytest
from django.contrib import admin
from django.test import Client, RequestFactory
from django.urls import reverse

from octovid_django.admin import VideoTaskAdmin
from octovid_django.admin.search import MAX_TOKENS, search
from octovid_django.models import VideoTask

LIST_URL = "admin:octovid_django_videotask_changelist"

pytestmark = pytest.mark.django_db


@pytest.fixture
def found(admin_client: Client) -> Callable[[str], list[str]]:
    """The ids on the page that a search leads to, as they are listed."""

    def found(term: str) -> list[str]:
        response = admin_client.get(reverse(LIST_URL), {"q": term})
        assert response.status_code == 200
        return re.findall(r'field-task_id"><a[^>]*>([^<]*)<', response.content.decode())

    return found


def create(task_id: str, **values: Any) -> None:
    VideoTask.objects.create(task_id=task_id, **values)


class TestSearchByKeyAndValue:
    FORMS = (
        *("product: 370", '"product": 370', '"product":370', "product:370", "product : 370"),
        *("'product': 370", '{"product": 370}', "product:  370", 'product: "370"', "PRODUCT: 370"),
    )

    @pytest.mark.parametrize("term", FORMS)
    @pytest.mark.parametrize("value", [370, "370"])
    def test_number_is_found_in_any_notation_of_pair(
        self, found: Callable[[str], list[str]], term: str, value: object
    ) -> None:
        create("right", metadata={"product": value, "size": "L"})
        create("longer", metadata={"product": 3701})
        create("fraction", metadata={"product": 370.5})
        create("elsewhere", metadata={"product": 3, "order": 370})
        create("other-key", metadata={"by-product": 370})

        assert found(term) == ["right"]

    def test_nested_pair_is_found(self, found: Callable[[str], list[str]]) -> None:
        create("deep", metadata={"order": {"items": [{"product": 370}]}})

        assert found("product: 370") == ["deep"]

    @pytest.mark.parametrize(
        "term", ["kunde: Müller", '"kunde": "Müller"', "kunde: jörg", "kunde:müller"]
    )
    def test_words_are_found_within_value_of_key(
        self, found: Callable[[str], list[str]], term: str
    ) -> None:
        create("right", metadata={"kunde": "Jörg Müller (Köln)"})
        create("other", metadata={"kunde": "Ada", "note": "Jörg Müller"})

        assert found(term) == ["right"]

    @pytest.mark.parametrize("term", ['产品: "一号"', "产品:一号", '"产品": 一'])
    def test_chinese_key_and_value_are_found(
        self, found: Callable[[str], list[str]], term: str
    ) -> None:
        create("right", metadata={"产品": "一号"})
        create("other", metadata={"产品": "二号", "编号": "一号"})

        assert found(term) == ["right"]

    @pytest.mark.parametrize(("term", "value"), [("paid: true", True), ("paid: null", None)])
    def test_json_true_and_null_are_found(
        self, found: Callable[[str], list[str]], term: str, value: object
    ) -> None:
        create("right", metadata={"paid": value})
        create("other", metadata={"paid": False})

        assert found(term) == ["right"]

    def test_several_terms_narrow_results(self, found: Callable[[str], list[str]]) -> None:
        create("cgt-a", metadata={"product": 370, "size": "L"})
        create("cgt-b", metadata={"product": 370, "size": "M"})

        assert found('{"product": 370, "size": "L"}') == ["cgt-a"]
        assert found("cgt-b product: 370") == ["cgt-b"]
        assert found("cgt-b product: 371") == []

    @pytest.mark.parametrize("value", ["a.c", "a(c", "[", "a\\c", "50%", "*", "$", "a|b"])
    def test_pattern_characters_in_value_are_literal(
        self, found: Callable[[str], list[str]], value: str
    ) -> None:
        create("other", metadata={"name": "abc"})

        assert found(f"name: {value}") == []

    @pytest.mark.parametrize("term", ["sora-2:task_01k9", "grok:05c8"])
    def test_task_id_with_colon_is_found_as_id(
        self, found: Callable[[str], list[str]], term: str
    ) -> None:
        create("sora-2:task_01k9xy")
        create("grok:05c8e247")

        assert [each[:9] for each in found(term)] == [term[:9]]

    def test_text_with_colon_is_found_in_fail_reason(
        self, found: Callable[[str], list[str]]
    ) -> None:
        create("right", status="FAILURE", fail_reason="InvalidParameter: the duration is wrong")
        create("other", status="FAILURE", fail_reason="the duration")

        assert found("InvalidParameter: duration") == ["right"]


class TestSearchByNumber:
    def test_number_in_metadata_does_not_match_digits_inside_task_ids(
        self, found: Callable[[str], list[str]]
    ) -> None:
        create("cgt-20260412163502-x8k2m", metadata={"product": 105})
        for number in range(10):
            create(f"cgt-2026041210{number}105-abcde", metadata={"product": number})
            create(f"cgt-202604101050{number}0-abcde", metadata={"product": 1050 + number})

        assert found("105") == ["cgt-20260412163502-x8k2m"]

    @pytest.mark.parametrize(
        ("term", "task_id"),
        [
            ("20260412", "cgt-20260412163502-x8k2m"),
            ("8423", "842374659182374"),
            ("2026041", "cgt-20260412163502-x8k2m"),
        ],
    )
    def test_number_that_begins_part_of_task_id_is_found(
        self, found: Callable[[str], list[str]], term: str, task_id: str
    ) -> None:
        create("cgt-20260412163502-x8k2m")
        create("842374659182374")

        assert found(term) == [task_id]

    def test_only_whole_number_in_fail_reason_is_found(
        self, found: Callable[[str], list[str]]
    ) -> None:
        create("right", status="FAILURE", fail_reason="error 50411: moderation")

        assert found("50411") == ["right"]
        assert found("5041") == []

    def test_number_in_metadata_is_found_beside_same_digits_in_task_id(
        self, found: Callable[[str], list[str]]
    ) -> None:
        create("cgt-20261051", metadata={"product": 105})

        assert found("105") == ["cgt-20261051"]


class TestSearchByWords:
    @pytest.mark.parametrize(
        "term", ["x8k2m", "8k2", "too dark", '"too dark"', "Ada", "customer", "küche", "dark ada"]
    )
    def test_words_in_task_id_fail_reason_and_metadata_are_found(
        self, found: Callable[[str], list[str]], term: str
    ) -> None:
        metadata = {"customer": ["ada", "küche"]}
        create("cgt-x8k2m", fail_reason="The picture is too dark", metadata=metadata)
        create("cgt-other", fail_reason="refused", metadata={"user": "bob"})

        assert found(term) == ["cgt-x8k2m"]

    @pytest.mark.parametrize("term", ["", " ", "{}", ",", ":", '"', "'", "\x00", "\\", "a" * 5_000])
    def test_odd_or_very_long_term_raises_no_error(
        self, found: Callable[[str], list[str]], term: str
    ) -> None:
        create("cgt-1")

        found(term)

    def test_field_added_to_search_fields_is_searched(self) -> None:
        class SiteAdmin(VideoTaskAdmin):
            search_fields = (*VideoTaskAdmin.search_fields, "resolution")

        create("right", resolution="720p")
        create("other", resolution="480p")
        site_admin = SiteAdmin(VideoTask, admin.site)
        request = RequestFactory().get("/")

        for term in ("720p", "720"):
            tasks, _ = site_admin.get_search_results(request, VideoTask.objects.all(), term)
            assert [task.task_id for task in tasks] == ["right"]


class TestLongSearch:
    @pytest.mark.parametrize(
        "token", ["红色", "kunde:1", "küche:müller", '"küche": "müller"', "105", "ada"]
    )
    def test_length_of_query_is_linear_in_number_of_tokens(self, token: str) -> None:
        site_admin = VideoTaskAdmin(VideoTask, admin.site)
        request = RequestFactory().get("/")

        def length(count: int) -> int:
            term = " ".join([token] * count)
            tasks, _ = site_admin.get_search_results(request, VideoTask.objects.all(), term)
            return len(str(tasks.query))

        assert length(MAX_TOKENS) < 10 * length(2)

    def test_search_of_many_words_finds_task_with_all_of_them(
        self, found: Callable[[str], list[str]]
    ) -> None:
        words = (
            "红色 连衣裙 视频 产品 广告 夏季 促销 模特 海边 慢镜头 特写 竖屏 中文 配音 字幕 片头"
        )
        create("right", metadata={"keywords": words})
        create("other", metadata={"keywords": words.replace("夏季", "")})

        assert found(words) == ["right"]

    @pytest.mark.parametrize(
        "rest",
        [" nothing has this" * 500, " a:b" * 1_500, " é" * 1_500, f" {'x' * 1_000}"],
        ids=["words", "pairs", "chinese", "characters"],
    )
    def test_tokens_beyond_limit_are_ignored_with_message(
        self, admin_client: Client, rest: str
    ) -> None:
        create("right", metadata={"name": "ada"})
        create("other")

        words = "ada " * (MAX_TOKENS - 1) if rest.strip() != "x" * 1_000 else "ada"
        page = admin_client.get(reverse(LIST_URL), {"q": f"{words} ada {rest}"}).content.decode()

        assert "The search is too long" in page
        assert re.findall(r'field-task_id"><a[^>]*>([^<]*)<', page) == ["right"]

    def test_search_within_limit_shows_no_message(self, admin_client: Client) -> None:
        response = admin_client.get(reverse(LIST_URL), {"q": "ada " * MAX_TOKENS})

        assert "The search is too long" not in response.content.decode()

    @pytest.mark.parametrize("has_duplicates", [True, False])
    def test_search_may_have_duplicates_where_search_of_one_word_may(
        self, has_duplicates: bool
    ) -> None:
        _, may_have_duplicates = search(
            VideoTask.objects.all(),
            "ada product:370",
            lambda tasks, words: (tasks.filter(task_id=words), has_duplicates),
        )

        assert may_have_duplicates is has_duplicates

    def test_exact_number_field_added_to_search_fields_is_searched(self) -> None:
        class SiteAdmin(VideoTaskAdmin):
            search_fields = ("duration__exact",)

        create("right", duration=12)
        create("other", duration=13)
        site_admin = SiteAdmin(VideoTask, admin.site)

        tasks, _ = site_admin.get_search_results(
            RequestFactory().get("/"), VideoTask.objects.all(), "12"
        )

        assert [task.task_id for task in tasks] == ["right"]
