"""The list where there are many tasks, tried with a bound of a handful."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from datetime import datetime, timezone
from typing import Any

import pytest
import time_machine
from django.contrib import admin
from django.contrib.admin import site
from django.contrib.messages import get_messages
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse

from octovid_django.admin import VideoTaskAdmin
from octovid_django.admin import changelist as changelist_module
from octovid_django.admin import filters as filters_module
from octovid_django.models import VideoTask

LIST_URL = "admin:octovid_django_videotask_changelist"

pytestmark = pytest.mark.django_db


def create(task_id: str, created_at: datetime | None = None, **values: Any) -> VideoTask:
    task = VideoTask.objects.create(task_id=task_id, **values)
    if created_at:
        VideoTask.objects.filter(pk=task.pk).update(created_at=created_at)
    return task


@pytest.fixture
def changelist(admin_client: Client) -> Callable[..., str]:
    def get(**query: str) -> str:
        response = admin_client.get(reverse(LIST_URL), query)
        assert response.status_code == 200
        return response.content.decode()

    return get


def task_ids(page: str) -> list[str]:
    return re.findall(r'<th class="field-task_id[^"]*"><a [^>]*>([^<]*)', page)


class TestListBound:
    @pytest.fixture(autouse=True)
    def few(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(changelist_module, "MAX_LISTED", 5)

    def test_more_tasks_than_bound_shows_hint_to_narrow_list(
        self, changelist: Callable[..., str]
    ) -> None:
        for number in range(4):
            create(f"cgt-{number}")
        assert "narrow the list" not in changelist()

        for number in range(4, 7):
            create(f"cgt-{number}")
        page = changelist()
        assert "5 video tasks" in page
        assert "narrow the list to see others" in page

    def test_filter_finds_task_beyond_bound(self, changelist: Callable[..., str]) -> None:
        create("oldest", status="LOST")
        for number in range(7):
            create(f"cgt-{number}")

        assert task_ids(changelist(status__exact="LOST")) == ["oldest"]

    def test_action_on_all_tasks_beyond_bound_does_nothing(self, admin_client: Client) -> None:
        tasks = [create(f"cgt-{number}") for number in range(7)]
        selection = {"_selected_action": tasks[0].pk, "select_across": "1"}

        response = admin_client.post(
            reverse(LIST_URL), {"action": "delete_selected", "post": "yes", **selection}
        )

        assert [str(message) for message in get_messages(response.wsgi_request)] == [
            "Too many tasks are selected: narrow the list first. Nothing was done."
        ]
        assert VideoTask.objects.count() == 7


class TestListOrder:
    def order_by(self, changelist: Callable[..., str], columns: str) -> str:
        """The ``ORDER BY`` of the query for the rows."""
        with CaptureQueriesContext(connection) as captured:
            changelist(o=columns)
        (rows,) = [
            sql for each in captured if "poll_count" in (sql := each["sql"]) and "ORDER BY" in sql
        ]
        order = rows.rpartition("ORDER BY")[2].partition("LIMIT")[0]
        return re.sub(r"[`\"]|octovid_django_videotask[`\"]\.", "", order).strip()

    @pytest.mark.parametrize(
        ("columns", "order"),
        [
            ("", "created_at DESC, id DESC"),
            ("6", "completed_at ASC, id ASC"),
            ("-6", "completed_at DESC, id DESC"),
            ("6.1", "completed_at ASC, id ASC"),
            ("1", "task_id ASC, id ASC"),
            ("2", "id DESC"),
            ("3.99.x", "id DESC"),
        ],
    )
    def test_sort_columns_order_rows_as_an_index_does(
        self, changelist: Callable[..., str], columns: str, order: str
    ) -> None:
        create("cgt-1")
        assert self.order_by(changelist, columns) == order


class TestDateNavigation:
    @pytest.fixture(autouse=True)
    def clock(self) -> Iterator[None]:
        with time_machine.travel(datetime(2026, 11, 23, 12, tzinfo=timezone.utc), tick=False):
            yield

    def links(self, page: str) -> list[str]:
        found = re.search(r'<nav class="toplinks"[^>]*>(.*?)</nav>', page, re.DOTALL)
        label = r"<span .*?</span>"  # since Django 6.1
        text = re.sub(rf"{label}|<[^>]+>", "\n", found[1]) if found else ""
        return [line.strip() for line in text.replace("&lsaquo;", "<").splitlines() if line.strip()]

    @pytest.fixture
    def three_tasks(self) -> None:
        for name, date in (
            ("old", datetime(2025, 11, 30, tzinfo=timezone.utc)),
            ("spring", datetime(2026, 2, 27, tzinfo=timezone.utc)),
            ("new", datetime(2026, 3, 2, tzinfo=timezone.utc)),
        ):
            create(name, created_at=date)

    @pytest.mark.usefixtures("three_tasks")
    @pytest.mark.parametrize(
        ("chosen", "links", "tasks"),
        [
            ({}, ["2025", "2026"], ["new", "spring", "old"]),
            (
                {"created_at__year": "2026"},
                ["< All dates", "January 2026", "February 2026", "March 2026"],
                ["new", "spring"],
            ),
            (
                {"created_at__year": "2026", "created_at__month": "3"},
                ["< 2026", "March 1", "March 2"],
                ["new"],
            ),
            (
                {
                    "created_at__year": "2026",
                    "created_at__month": "2",
                    "created_at__day": "27",
                },
                ["< February 2026", "February 27"],
                ["spring"],
            ),
        ],
    )
    def test_links_lead_from_years_over_months_to_days(
        self,
        changelist: Callable[..., str],
        chosen: dict[str, str],
        links: list[str],
        tasks: list[str],
    ) -> None:
        page = changelist(**chosen)

        assert self.links(page) == links
        assert task_ids(page) == tasks

    @pytest.mark.usefixtures("three_tasks")
    def test_tasks_of_chosen_year_are_sorted_by_chosen_column(
        self, changelist: Callable[..., str]
    ) -> None:
        assert task_ids(changelist(created_at__year="2026", o="1")) == ["new", "spring"]

    def test_tasks_of_one_month_show_links_to_days(self, changelist: Callable[..., str]) -> None:
        create("first", created_at=datetime(2026, 3, 2, tzinfo=timezone.utc))
        create("last", created_at=datetime(2026, 3, 4, tzinfo=timezone.utc))

        assert self.links(changelist()) == ["March 2", "March 3", "March 4"]

    def test_no_tasks_shows_no_links(self, changelist: Callable[..., str]) -> None:
        assert self.links(changelist()) == []

    @pytest.mark.usefixtures("three_tasks")
    @pytest.mark.parametrize(
        "query",
        [
            {"created_at__month": "2"},
            {"created_at__month": "0"},
            {"created_at__year": "2026", "created_at__day": "31"},
            {"created_at__month": "2", "created_at__day": "31"},
        ],
    )
    def test_incomplete_date_in_query_shows_choices_of_complete_part(
        self, changelist: Callable[..., str], query: dict[str, str]
    ) -> None:
        choices = (["2025", "2026"], ["February 2026", "March 2026"])
        assert self.links(changelist(**query))[-2:] in choices

    @pytest.mark.usefixtures("three_tasks")
    @pytest.mark.parametrize("year", ["x", "99999", "-1"])
    def test_invalid_year_redirects_to_list(self, admin_client: Client, year: str) -> None:
        response = admin_client.get(reverse(LIST_URL), {"created_at__year": year})

        assert response.status_code == 302


class TestModelFilter:
    """The filter finds each model by one step over the index."""

    def test_each_model_is_offered_once_and_filters_tasks(
        self, changelist: Callable[..., str]
    ) -> None:
        for number, model in enumerate(["mov-3", "mov-3", "seed-2", ""]):
            create(f"cgt-{number}", model=model)

        page = changelist()
        assert re.findall(r"\?model=([^\"&]*)", page) == ["mov-3", "seed-2"]
        assert task_ids(changelist(model="seed-2")) == ["cgt-2"]

    def test_models_are_found_by_one_index_query_each(self, changelist: Callable[..., str]) -> None:
        for number in range(6):
            create(f"cgt-{number}", model=f"model-{number % 3}")

        with CaptureQueriesContext(connection) as captured:
            changelist()

        queries = [sql for each in captured if ".model" in (sql := re.sub('["`]', "", each["sql"]))]
        assert sum("ORDER BY" in sql and "LIMIT 1" in sql for sql in queries) >= 4
        assert not any("DISTINCT" in sql for sql in queries)

    def test_models_beyond_maximum_are_not_offered(
        self, changelist: Callable[..., str], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(filters_module, "MAX_MODELS", 2)
        for number in range(4):
            create(f"cgt-{number}", model=f"model-{number}")

        assert "model-3" not in re.findall(r"\?model=([^\"&]*)", changelist())

    @pytest.mark.parametrize("model", ["no such", "'\"; --", "x" * 5000])
    def test_unknown_model_finds_no_task(self, changelist: Callable[..., str], model: str) -> None:
        create("cgt-1", model="mov-3")

        assert task_ids(changelist(model=model)) == []


class TestMetadataOfRows:
    def metadata_queries(self, client: Client) -> list[str]:
        with CaptureQueriesContext(connection) as queries:
            client.get(reverse(LIST_URL))
        listed = [query["sql"] for query in queries if "ORDER BY" in query["sql"]]
        return [sql for sql in listed if '"metadata"' in sql.replace("`", '"')]

    def test_own_columns_leave_metadata_in_database(self, admin_client: Client) -> None:
        create("cgt-1", metadata={"a": "x" * 100_000})

        assert self.metadata_queries(admin_client) == []

    def test_column_of_site_reads_metadata_in_one_query(
        self, admin_client: Client, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        columns = (*VideoTaskAdmin.list_display, "metadata")
        monkeypatch.setitem(vars(site._registry[VideoTask]), "list_display", columns)
        for number in range(5):
            create(f"cgt-{number}", metadata={"a": 1})

        assert len(self.metadata_queries(admin_client)) == 1


class TestLookups:
    """By which the address narrows the list: what its own pages and filters write, and no more."""

    @pytest.mark.parametrize(
        "lookup",
        [
            *("video_url", "video_url__regex", "video_url__gte", "video_url__startswith"),
            *("payload__content__url__startswith", "metadata__product", "fail_reason__regex"),
            *("status__regex", "status__contains", "status", "task_id__regex", "task_id__gte"),
            *("model__regex", "id__in", "created_at__week", "created_at__regex"),
        ],
    )
    def test_lookup_of_no_page_is_refused(self, admin_client: Client, lookup: str) -> None:
        create("cgt-1", fail_reason="a" * 30 + "!", status="FAILURE")

        assert admin_client.get(reverse(LIST_URL), {lookup: "(a+)+$"}).status_code == 400

    @pytest.mark.parametrize(
        "query",
        [
            *({"task_id": "right"}, {"task_id__exact": "right"}, {"status__exact": "QUEUED"}),
            *({"model": "sora"}, {"created_at__year": "2026", "created_at__month": "4"}),
            {
                "created_at__gte": "2026-04-01 00:00+00:00",
                "created_at__lt": "2026-05-01 00:00+00:00",
            },
            {"link": "none", "delivery": "nonsense", "q": "right", "o": "1", "p": "1"},
        ],
        ids=str,
    )
    def test_lookup_of_pages_narrows_list(
        self, changelist: Callable[..., str], query: dict[str, str]
    ) -> None:
        of_april, of_may = (datetime(2026, month, 12, tzinfo=timezone.utc) for month in (4, 5))
        create("right", of_april, status="QUEUED", model="sora")
        create("other", of_may, status="IN_PROGRESS", video_url="https://cdn.example/v")

        assert task_ids(changelist(**query)) == ["right"]

    @pytest.mark.parametrize("name", ["pk", "pk__exact", "id", "id__exact"])
    def test_primary_key_narrows_list(self, changelist: Callable[..., str], name: str) -> None:
        task = create("right")
        create("other")

        assert task_ids(changelist(**{name: str(task.pk)})) == ["right"]

    def test_filters_that_site_adds_narrow_list(
        self, changelist: Callable[..., str], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        filters = [
            ("completed_at", admin.DateFieldListFilter),
            ("video_url", admin.EmptyFieldListFilter),
            "resolution",
        ]
        monkeypatch.setitem(vars(site._registry[VideoTask]), "list_filter", filters)
        create(
            "right", resolution="720p", status="SUCCESS", completed_at=datetime.now(timezone.utc)
        )
        create("other", resolution="480p", video_url="https://cdn.example/v")

        for query in (
            {"completed_at__gte": "2020-01-01 00:00:00+00:00"},
            {"video_url__isempty": "1"},
            {"resolution": "720p"},
        ):
            assert task_ids(changelist(**query)) == ["right"]

    def test_other_lookup_of_column_that_site_filters_by_is_refused(
        self, admin_client: Client, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        filters = [("video_url", admin.EmptyFieldListFilter)]
        monkeypatch.setitem(vars(site._registry[VideoTask]), "list_filter", filters)

        for lookup in ("video_url", "video_url__gte", "video_url__regex"):
            assert admin_client.get(reverse(LIST_URL), {lookup: "h"}).status_code == 400

    def test_limit_of_field_that_points_here_narrows_popup(
        self, changelist: Callable[..., str], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        limits = [{"duration__lte": 5}, lambda: {"resolution__in": ["720p", "1080p"]}]
        monkeypatch.setattr(VideoTask._meta, "related_fkey_lookups", limits)
        create("right", duration=5, resolution="720p")
        create("other", duration=6, resolution="480p")

        for query in ({"duration__lte": "5"}, {"resolution__in": "720p,1080p"}):
            assert task_ids(changelist(**query, _popup="1")) == ["right"]

    @pytest.mark.parametrize(
        "query",
        [
            *({"status__exact": "\x00"}, {"task_id": "\x00"}, {"model": "a\x00"}, {"id": "\x00"}),
            *({"link": "\x00"}, {"created_at__year": "\x00"}, {"created_at__year": "9999"}),
            *({"created_at__year": "0"}, {"created_at__year": "2026", "created_at__day": "40"}),
            *({"created_at__year": "9" * 5_000}, {"id": "a"}, {"created_at__gte": "a"}),
            *({"pk__gt": "1"}, {"logentry__user": "1"}, {"nothing": "1"}, {"a\nb": "1"}),
            *({"metadata_text__regex": "a"}, {"utm_source": "chat"}),
        ],
        ids=str,
    )
    def test_invalid_value_or_lookup_redirects_with_error_flag_as_in_django(
        self, admin_client: Client, query: dict[str, str]
    ) -> None:
        create("cgt-1")

        response = admin_client.get(reverse(LIST_URL), query)

        assert response["Location"].endswith("?e=1")
        assert admin_client.get(response["Location"]).status_code == 200

    @pytest.mark.parametrize(
        "query",
        [
            *({"id": "9" * 25}, {"created_at__month": "9" * 25}, {"q": "\x00"}),
            *({"p": "9" * 25}, {"o": "9" * 5_000}, {"created_at__lt": "9999-12-31 23:59-23:59"}),
            {"created_at__gte": "0001-01-01 00:00+23:59"},
        ],
        ids=str,
    )
    def test_value_out_of_range_raises_no_server_error(
        self, admin_client: Client, query: dict[str, str]
    ) -> None:
        create("cgt-1")

        assert admin_client.get(reverse(LIST_URL), query).status_code in (200, 302)
