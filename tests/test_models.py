"""The rows: tracking, new rows, saving, querysets, and what the database itself refuses."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import pytest
import time_machine
from asgiref.sync import async_to_sync
from django.core.exceptions import SynchronousOnlyOperation
from django.core.management import call_command
from django.db import DatabaseError, IntegrityError, connection, models, transaction
from django.db.models import Value
from django.db.models.functions import Concat
from django.db.models.signals import pre_save
from django.test.utils import isolate_apps

from octovid_django.enums import ACTIVE_STATUSES, FINAL_STATUSES, TaskStatus
from octovid_django.exceptions import OctovidError, OctovidMetadataError, OctovidTaskIdError
from octovid_django.models import GatewayState, VideoTask

ROOT = Path(__file__).resolve().parent.parent
NOW = datetime(2026, 4, 12, 16, 35, tzinfo=timezone.utc)
LINK = "https://cdn.example/video.mp4"

pytestmark = pytest.mark.django_db


@pytest.fixture
def clock() -> Iterator[time_machine.Coordinates]:
    with time_machine.travel(NOW, tick=False) as clock:
        yield clock


def create(task_id: str, **values: Any) -> VideoTask:
    return VideoTask.objects.create(task_id=task_id, **values)


def nested(levels: int) -> dict[str, Any]:
    return {"value": nested(levels - 1) if levels > 1 else 7}


def ids(queryset: Any) -> set[str]:
    return {task.task_id for task in queryset}


class TestTracking:
    def test_track_makes_new_task_due_at_once(self, clock: time_machine.Coordinates) -> None:
        task = VideoTask.objects.track("cgt-1", metadata={"order": 7})

        task.refresh_from_db()
        assert (task.task_id, task.status, task.progress) == ("cgt-1", "NOT_START", 0)
        assert (task.metadata, task.payload) == ({"order": 7}, None)
        assert task.next_poll_at == task.created_at == NOW
        assert ids(VideoTask.objects.due()) == {"cgt-1"}

    def test_track_without_metadata_stores_empty_dict(self) -> None:
        assert VideoTask.objects.track("cgt-1").metadata == {}

    def test_track_twice_is_idempotent(self, clock: time_machine.Coordinates) -> None:
        first = VideoTask.objects.track("cgt-1")
        clock.shift(60)
        again = VideoTask.objects.track("cgt-1")

        again.refresh_from_db()
        assert (again.pk, again.next_poll_at) == (first.pk, NOW)
        assert VideoTask.objects.count() == 1

    def test_track_again_leaves_finished_task_unchanged(self) -> None:
        create("cgt-1", status=TaskStatus.SUCCESS, progress=100)

        task = VideoTask.objects.track("cgt-1", metadata={"order": 7})

        task.refresh_from_db()
        assert (task.status, task.next_poll_at) == ("SUCCESS", None)

    def test_track_again_merges_metadata_by_key(self) -> None:
        VideoTask.objects.track("cgt-1", metadata={"order": 7, "size": "S"})

        VideoTask.objects.track("cgt-1", metadata={"size": "L", "colour": None})
        VideoTask.objects.track("cgt-1")
        VideoTask.objects.track("cgt-1", metadata={})

        metadata = VideoTask.objects.get().metadata
        assert metadata == {"order": 7, "size": "L", "colour": None}

    def test_track_again_keeps_columns_written_by_worker_meanwhile(self) -> None:
        VideoTask.objects.track("cgt-1")

        def finish(sender: object, instance: VideoTask, **_: Any) -> None:
            VideoTask.objects.filter(pk=instance.pk).update(status="SUCCESS", next_poll_at=None)

        pre_save.connect(finish, sender=VideoTask)
        try:
            VideoTask.objects.track("cgt-1", metadata={"order": 7})
        finally:
            pre_save.disconnect(finish, sender=VideoTask)

        task = VideoTask.objects.get()
        assert (task.status, task.metadata) == ("SUCCESS", {"order": 7})

    @pytest.mark.parametrize(
        "task_id",
        [
            "cgt-20260412163502-x8k2m",
            "task_xxxxx",
            "sora-2:task_01k9",
            "grok:05c8e247-7e64-472a-acb1-e7f2de5d0d04",
            "veo3:1756693796-YQVHH4A3Lg",
            "models/veo-3.1/operations/abc",
            "projects/p/locations/us@1/x+y=z~",
            "cHJvamVjdHMv",
            "842374659182374",
            "string",
            "-Ab_",
            "_Ab-",
            "t",
            "a/b?c#d%2e..",
            "..",
            "видео",
            "x" * 191,
        ],
    )
    def test_track_accepts_every_valid_task_id(self, task_id: str) -> None:
        VideoTask.objects.track(task_id)

        assert VideoTask.objects.get().task_id == task_id

    @pytest.mark.parametrize(
        ("task_id", "reason"),
        [
            ("", "at least one character"),
            (None, "is a string"),
            (7, "is a string"),
            (b"cgt-1", "is a string"),
            ("x" * 192, "has 192 characters, at most 191 are allowed"),
            ("cgt 1", "white space"),
            (" cgt-1", "white space"),
            ("cgt-1\n", "control characters"),
            ("cgt\u2028-1", "white space"),
            ("cgt\x00", "control characters"),
            ("cgt\ud800", "control characters"),
            ("\ufeffcgt-1", "control characters"),
            ('"cgt-1"', 'holds ", which no task id does'),
            ("cgt-1'", "holds ', which no"),
            ("\u201ccgt-1\u201d", "holds \u201c, which no"),
            ("cgt-1;", "holds ;, which no"),
            ("cgt-1,cgt-2", "holds ,, which no"),
            ("cgt-1，", "holds ，, which no"),
            ("[cgt-1]", r"holds \[, which no"),
            ("<id>", "holds <, which no"),
            ("https://octopusx.ai/cgt-1", "is a link"),
            ("n/a", "is not the id of a task"),
            ("#N/A", "is not the id of a task"),
            ("=A2", "is not the id of a task"),
            ("8.42E+17", "is not the id of a task"),
            ("--", "is not the id of a task"),
            ("None", "is not the id of a task"),
            ("undefined", "is not the id of a task"),
            ("task_id", "is not the id of a task"),
        ],
    )
    def test_track_refuses_invalid_task_id(self, task_id: Any, reason: str) -> None:
        with pytest.raises(OctovidTaskIdError, match=reason) as caught:
            VideoTask.objects.track(task_id)

        assert isinstance(caught.value, ValueError)
        assert "\n" not in str(caught.value)
        assert not VideoTask.objects.exists()

    def test_track_treats_ids_that_differ_by_case_as_two_tasks(self) -> None:
        VideoTask.objects.track("cgt-x8k2m", metadata={"order": 1})
        VideoTask.objects.track("cgt-X8K2M", metadata={"order": 2})

        assert VideoTask.objects.get(task_id="cgt-x8k2m").metadata == {"order": 1}
        assert VideoTask.objects.get(task_id="cgt-X8K2M").metadata == {"order": 2}

    @pytest.mark.parametrize("metadata", ["order", [1], 7, (("order", 7),), False])
    def test_track_refuses_metadata_that_is_no_dict(self, metadata: Any) -> None:
        with pytest.raises(TypeError, match="metadata must be a dict"):
            VideoTask.objects.track("cgt-1", metadata=metadata)

        assert not VideoTask.objects.exists()

    @pytest.mark.parametrize("value", [{1, 2}, b"bytes", float("nan"), float("inf")], ids=repr)
    def test_track_refuses_metadata_that_is_not_json(self, value: object) -> None:
        with pytest.raises(TypeError), transaction.atomic():
            VideoTask.objects.track("cgt-1", metadata={"value": value})

        assert not VideoTask.objects.exists()

    @pytest.mark.parametrize(
        "metadata",
        [{"order": "\x00"}, {"order": ["\ud800"]}, {"\x00": 7}, nested(31)],
        ids=["NUL", "lone surrogate", "NUL in a key", "deep"],
    )
    def test_track_refuses_metadata_that_some_database_cannot_store(
        self, metadata: dict[str, Any]
    ) -> None:
        with pytest.raises(TypeError), transaction.atomic():
            VideoTask.objects.track("cgt-1", metadata=metadata)

        assert not VideoTask.objects.exists()

    @pytest.mark.parametrize("levels", [30, 490, 960, 4_900, 100_000])
    @pytest.mark.parametrize("kind", [dict, list, tuple])
    def test_track_refuses_deep_metadata_however_deep(self, levels: int, kind: type) -> None:
        value: Any = 7
        for _ in range(levels):
            value = {"value": value} if kind is dict else kind([1, value])

        with pytest.raises(OctovidMetadataError, match="more than 30 levels deep"):
            VideoTask.objects.track("cgt-1", metadata={"value": value})

    def test_track_refuses_metadata_that_contains_itself(self) -> None:
        metadata: dict[str, Any] = {}
        metadata["values"] = [metadata] * 10

        with pytest.raises(OctovidMetadataError):
            VideoTask.objects.track("cgt-1", metadata=metadata)

    def test_track_accepts_metadata_30_levels_deep(self) -> None:
        VideoTask.objects.track("cgt-1", metadata=nested(30))

        assert VideoTask.objects.get().metadata == nested(30)


@pytest.mark.django_db(transaction=True)
class TestAsyncTracking:
    def test_atrack_creates_due_task_with_metadata(self) -> None:
        async def view() -> VideoTask:
            return await VideoTask.objects.atrack("cgt-1", metadata={"order": 7})

        task = async_to_sync(view)()

        assert (task.task_id, task.metadata) == ("cgt-1", {"order": 7})
        assert ids(VideoTask.objects.due()) == {"cgt-1"}

    def test_atrack_refuses_invalid_task_id(self) -> None:
        async def view() -> VideoTask:
            return await VideoTask.objects.atrack("n/a")

        with pytest.raises(OctovidTaskIdError):
            async_to_sync(view)()

    @pytest.mark.parametrize("is_known", [False, True])
    def test_track_in_async_code_raises_and_names_atrack(self, *, is_known: bool) -> None:
        if is_known:
            VideoTask.objects.track("cgt-1")

        async def view() -> VideoTask:
            return VideoTask.objects.track("cgt-1", metadata={"order": 7})

        with pytest.raises(OctovidError, match=r"await VideoTask\.objects\.atrack") as caught:
            async_to_sync(view)()

        assert isinstance(caught.value, SynchronousOnlyOperation)


class TestNewRow:
    """However a row is created, its task is polled: an unpolled one would go unnoticed."""

    def make(self, way: str, **values: Any) -> VideoTask:
        if way == "create":
            VideoTask.objects.create(task_id="cgt-1", **values)
        elif way == "save":
            VideoTask(task_id="cgt-1", **values).save()
        elif way == "bulk_create":
            VideoTask.objects.bulk_create([VideoTask(task_id="cgt-1", **values)])
        elif way == "get_or_create":
            VideoTask.objects.get_or_create(task_id="cgt-1", defaults=values)
        else:
            VideoTask.objects.update_or_create(task_id="cgt-1", defaults=values)
        return VideoTask.objects.get()

    ways = pytest.mark.parametrize(
        "way", ["create", "save", "bulk_create", "get_or_create", "update_or_create"]
    )

    @ways
    @pytest.mark.parametrize("status", sorted(ACTIVE_STATUSES))
    @pytest.mark.usefixtures("clock")
    def test_row_with_active_status_is_due(self, way: str, status: str) -> None:
        self.make(way, status=status)

        assert ids(VideoTask.objects.due()) == {"cgt-1"}

    @ways
    @pytest.mark.parametrize("status", sorted(FINAL_STATUSES))
    def test_row_with_final_status_is_never_due(self, way: str, status: str) -> None:
        assert self.make(way, status=status).next_poll_at is None

    @pytest.mark.parametrize("next_poll_at", [None, NOW + timedelta(hours=1)])
    def test_explicit_next_poll_at_is_kept(self, next_poll_at: datetime | None) -> None:
        assert self.make("create", next_poll_at=next_poll_at).next_poll_at == next_poll_at

    def test_row_loaded_from_fixture_is_due(self, tmp_path: Path) -> None:
        fixture = tmp_path / "tasks.json"
        fields = {"task_id": "cgt-1", "created_at": NOW, "updated_at": NOW}
        row = {"model": "octovid_django.videotask", "fields": fields}
        fixture.write_text(json.dumps([row], default=str))

        call_command("loaddata", fixture, verbosity=0)

        assert ids(VideoTask.objects.due()) == {"cgt-1"}

    def test_row_read_with_deferred_next_poll_at_is_not_made_due(self) -> None:
        create("cgt-1", next_poll_at=None)

        task = VideoTask.objects.only("task_id").get()

        assert task.next_poll_at is None


class TestSave:
    def stale_and_completed(self) -> VideoTask:
        """An instance read before its task completed and the completion was delivered."""
        stale = VideoTask.objects.track("cgt-1", metadata={"order": 7})
        VideoTask.objects.update(
            status="SUCCESS",
            video_url=LINK,
            next_poll_at=None,
            completed_at=NOW,
            delivered_at=NOW,
            delivery_attempts=2,
        )
        return stale

    def test_save_of_stale_instance_keeps_columns_of_workers(self) -> None:
        stale = self.stale_and_completed()
        stale.metadata["shelf"] = 3
        stale.save()

        task = VideoTask.objects.get()
        assert task.metadata == {"order": 7, "shelf": 3}
        assert (task.status, task.video_url, task.next_poll_at) == ("SUCCESS", LINK, None)
        assert (task.delivered_at, task.delivery_attempts) == (NOW, 2)

    def test_save_with_update_fields_writes_those_columns(self) -> None:
        stale = self.stale_and_completed()
        stale.fail_reason = "bad taste"
        stale.save(update_fields=["fail_reason"])

        assert VideoTask.objects.get().fail_reason == "bad taste"

    def test_save_with_deferred_columns_reads_nothing(self, django_assert_num_queries: Any) -> None:
        create("cgt-1", metadata={"order": 7})
        task = VideoTask.objects.only("task_id").get()

        with django_assert_num_queries(1):
            task.save()
        assert VideoTask.objects.get().metadata == {"order": 7}

    def test_save_of_deleted_task_raises(self) -> None:
        task = create("cgt-1")
        VideoTask.objects.all().delete()

        with pytest.raises(DatabaseError), transaction.atomic():
            task.save()
        assert not VideoTask.objects.exists()

    def test_save_of_copy_stores_every_column(self) -> None:
        copy = create("cgt-1", status="FAILURE", fail_reason="bad taste")
        copy.pk, copy.task_id, copy._state.adding = None, "cgt-2", True
        copy.save()

        assert set(VideoTask.objects.values_list("fail_reason", flat=True)) == {"bad taste"}

    @pytest.mark.django_db(transaction=True)
    @isolate_apps("octovid_django")
    def test_save_of_subclass_writes_its_own_columns(self) -> None:
        class ShopTask(VideoTask):
            shelf = models.IntegerField(default=0)

            class Meta:
                app_label = "octovid_django"

        with connection.schema_editor() as editor:
            editor.create_model(ShopTask)
        try:
            task = ShopTask.objects.create(task_id="cgt-1")
            task.shelf, task.status = 3, "SUCCESS"
            task.save()

            assert ShopTask.objects.values_list("shelf", "status").get() == (3, "NOT_START")
        finally:
            with connection.schema_editor() as editor:
                editor.delete_model(ShopTask)


class TestQueryset:
    def test_active_and_finished_partition_all_statuses(self) -> None:
        for status in TaskStatus:
            create(status.value, status=status)

        assert ids(VideoTask.objects.active()) == ACTIVE_STATUSES
        assert ids(VideoTask.objects.finished()) == FINAL_STATUSES
        assert ids(VideoTask.objects.succeeded()) == {"SUCCESS"}
        assert ids(VideoTask.objects.failed()) == {"FAILURE", "LOST"}

    @pytest.mark.usefixtures("clock")
    def test_due_selects_tasks_whose_next_poll_has_come(self) -> None:
        create("late", next_poll_at=NOW - timedelta(seconds=1))
        create("now", next_poll_at=NOW)
        create("soon", next_poll_at=NOW + timedelta(seconds=1))
        create("never", next_poll_at=None)

        assert ids(VideoTask.objects.due()) == {"late", "now"}
        assert ids(VideoTask.objects.due(NOW - timedelta(seconds=1))) == {"late"}

    @pytest.mark.usefixtures("clock")
    def test_overdue_selects_tasks_due_for_two_minutes(self) -> None:
        create("overdue", next_poll_at=NOW - timedelta(seconds=120))
        create("late", next_poll_at=NOW - timedelta(seconds=119))
        create("never", next_poll_at=None)

        assert ids(VideoTask.objects.overdue()) == {"overdue"}

    def test_undelivered_selects_waiting_and_abandoned_completions(self) -> None:
        create("running", next_poll_at=NOW)
        create("waiting", status="SUCCESS", completed_at=NOW, next_delivery_at=NOW)
        create("abandoned", status="FAILURE", completed_at=NOW)
        create("delivered", status="SUCCESS", completed_at=NOW, delivered_at=NOW)

        assert ids(VideoTask.objects.undelivered()) == {"waiting", "abandoned"}
        assert ids(VideoTask.objects.abandoned()) == {"abandoned"}

    @pytest.mark.parametrize(
        "name",
        [
            *("active", "finished", "succeeded", "failed"),
            *("due", "overdue", "undelivered", "abandoned"),
        ],
    )
    def test_every_queryset_method_can_be_chained(self, name: str) -> None:
        started_on_the_manager = getattr(VideoTask.objects, name)()
        chained = getattr(VideoTask.objects.filter(progress=0).order_by("pk"), name)()

        assert list(started_on_the_manager.active().due()) == []
        assert list(getattr(chained, name)().filter(progress=0)) == []

    @pytest.mark.usefixtures("clock")
    def test_chained_methods_narrow_each_other(self) -> None:
        create("due", next_poll_at=NOW)
        create("waiting", next_poll_at=NOW + timedelta(seconds=9))
        create("completed", status="SUCCESS")

        assert ids(VideoTask.objects.active().due()) == {"due"}
        assert ids(VideoTask.objects.due().finished()) == set()

    def test_default_order_is_newest_first(self, clock: time_machine.Coordinates) -> None:
        create("older")
        clock.shift(1)
        create("newer")
        create("newest")

        assert [task.task_id for task in VideoTask.objects.all()] == ["newest", "newer", "older"]


class TestProperties:
    @pytest.mark.parametrize("status", TaskStatus)
    def test_is_finished_for_final_statuses_only(self, status: TaskStatus) -> None:
        assert VideoTask(status=status.value).is_finished == (status in FINAL_STATUSES)

    @pytest.mark.parametrize(
        ("url", "lifetime", "has_video", "is_link_expired"),
        [
            (LINK, timedelta(seconds=1), True, False),
            (LINK, timedelta(0), False, True),
            (LINK, timedelta(seconds=-1), False, True),
            (LINK, None, True, False),
            ("", timedelta(seconds=1), False, False),
            ("", timedelta(seconds=-1), False, False),
            ("", None, False, False),
        ],
    )
    @pytest.mark.usefixtures("clock")
    def test_has_video_until_link_expires(
        self, *, url: str, lifetime: timedelta | None, has_video: bool, is_link_expired: bool
    ) -> None:
        expires_at = None if lifetime is None else NOW + lifetime
        task = VideoTask(video_url=url, video_url_expires_at=expires_at)

        assert (task.has_video, task.is_link_expired) == (has_video, is_link_expired)

    def test_has_video_becomes_false_when_link_expires(
        self, clock: time_machine.Coordinates
    ) -> None:
        task = VideoTask(video_url=LINK, video_url_expires_at=NOW + timedelta(hours=12))
        assert task.has_video

        clock.shift(timedelta(hours=12))

        assert (task.has_video, task.is_link_expired) == (False, True)

    def test_gateway_state_is_paused_until_its_deadline(
        self, clock: time_machine.Coordinates
    ) -> None:
        state = GatewayState(paused_until=NOW + timedelta(seconds=15))
        assert state.is_paused
        assert not GatewayState().is_paused

        clock.shift(15)

        assert not state.is_paused

    def test_str_is_task_id_or_account_name(self) -> None:
        assert str(VideoTask(task_id="cgt-1")) == "cgt-1"
        assert str(GatewayState()) == "default"


INVALID_IDS = [
    *("", " ", "a b", "a\tb", "a\n", "\x1b[2J", "a\x7f", "a\x85b", "a\x9b31m", "a\xa0b"),
    *("\u2028", "a\u202e", "\u200fa", "a\u2066b", "a\u061cb"),
]


def _save_as_new(task: VideoTask, task_id: str) -> None:
    VideoTask(task_id=task_id).save()


def _save(task: VideoTask, task_id: str) -> None:
    task.task_id = task_id
    task.save()


def _bulk_update(task: VideoTask, task_id: str) -> None:
    task.task_id = task_id
    VideoTask.objects.bulk_update([task], ["task_id"])


class TestTaskIdValidation:
    """However a row is written."""

    @pytest.mark.parametrize(
        "write",
        [
            lambda task, task_id: VideoTask.objects.create(task_id=task_id),
            lambda task, task_id: VideoTask.objects.bulk_create([VideoTask(task_id=task_id)]),
            lambda task, task_id: VideoTask.objects.update(task_id=task_id),
            _save_as_new,
            _save,
            _bulk_update,
        ],
        ids=["create", "bulk create", "update", "save as new", "save", "bulk update"],
    )
    @pytest.mark.parametrize("task_id", [*INVALID_IDS, "a\x00", "\u200b", "x" * 192, 7])
    def test_invalid_id_is_refused_by_every_orm_call(self, write: Any, task_id: str) -> None:
        task = create("cgt-1")

        with pytest.raises(OctovidTaskIdError), transaction.atomic():
            write(task, task_id)

        assert VideoTask.objects.get().task_id == "cgt-1"

    def test_row_without_id_is_refused(self) -> None:
        with pytest.raises(OctovidTaskIdError), transaction.atomic():
            VideoTask.objects.create()

        assert not VideoTask.objects.exists()

    @pytest.mark.parametrize(
        "task_id",
        ["grok:05c8e247-1f", "sora-2:task_01k9", "任务-1", "cafe\u0301", "a\U0001f3ac", "ÿ"],
    )
    def test_valid_id_is_stored_whatever_its_letters(self, task_id: str) -> None:
        create("cgt-1")

        VideoTask.objects.update(task_id=Concat(Value(task_id), Value("")))

        assert VideoTask.objects.get(task_id=task_id)

    @pytest.mark.parametrize("task_id", INVALID_IDS)
    def test_invalid_id_is_refused_by_database_constraint(self, task_id: str) -> None:
        create("cgt-1")

        for update in (
            lambda: VideoTask.objects.update(task_id=Concat(Value(task_id), Value(""))),
            lambda: connection.cursor().execute(
                f"UPDATE {VideoTask._meta.db_table} SET task_id = %s", [task_id]
            ),
        ):
            with pytest.raises(DatabaseError), transaction.atomic():
                update()

        assert VideoTask.objects.get().task_id == "cgt-1"

    def test_filter_by_invalid_id_finds_nothing(self) -> None:
        assert not VideoTask.objects.filter(task_id="").exists()


class TestDatabaseConstraints:
    def test_duplicate_task_id_is_refused(self) -> None:
        create("cgt-1")

        with pytest.raises(IntegrityError), transaction.atomic():
            create("cgt-1")

    @pytest.mark.parametrize("progress", [-1, 101])
    def test_progress_outside_0_to_100_is_refused(self, progress: int) -> None:
        create("cgt-1")

        with pytest.raises(DatabaseError), transaction.atomic():
            VideoTask.objects.update(progress=progress)

        assert VideoTask.objects.get().progress == 0

    @pytest.mark.parametrize("progress", [0, 100])
    def test_progress_of_0_and_100_is_accepted(self, progress: int) -> None:
        create("cgt-1", progress=progress)

        assert VideoTask.objects.get().progress == progress

    @pytest.mark.parametrize("status", sorted(FINAL_STATUSES))
    def test_finished_task_with_next_poll_is_refused(self, status: str) -> None:
        create("cgt-1", next_poll_at=NOW)

        with pytest.raises(IntegrityError), transaction.atomic():
            VideoTask.objects.update(status=status)

        VideoTask.objects.update(status=status, next_poll_at=None)
        assert VideoTask.objects.get().is_finished

    def test_active_task_without_next_poll_is_accepted(self) -> None:
        create("cgt-1", status=TaskStatus.QUEUED, next_poll_at=None)

        assert not VideoTask.objects.due().exists()

    @pytest.mark.parametrize(
        "columns",
        [
            ["next_poll_at"],
            ["next_delivery_at"],
            ["status", "created_at"],
            ["created_at", "id"],
            ["completed_at"],
            ["task_id"],
        ],
        ids=" ".join,
    )
    def test_index_exists_for_every_frequent_query(self, columns: list[str]) -> None:
        with connection.cursor() as cursor:
            found = connection.introspection.get_constraints(cursor, VideoTask._meta.db_table)

        assert columns in [
            each["columns"] for each in found.values() if each["index"] or each["unique"]
        ]


class TestMigrations:
    def test_migrations_match_models(self) -> None:
        call_command("makemigrations", "octovid_django", check=True, dry_run=True, verbosity=0)

    @pytest.mark.parametrize("field", ["AutoField", "SmallAutoField"])
    def test_migrations_match_models_with_other_default_auto_field(self, field: str) -> None:
        program = f"""
import django
from django.conf import settings
from django.core.management import call_command
from tests import settings as tests

values = {{name: value for name, value in vars(tests).items() if name.isupper()}}
settings.configure(**values, DEFAULT_AUTO_FIELD="django.db.models.{field}")
django.setup()
call_command("makemigrations", "octovid_django", "--check", "--dry-run")
"""
        result = subprocess.run(
            [sys.executable, "-c", program],
            cwd=ROOT,
            env={**os.environ, "DATABASE_URL": "sqlite://:memory:"},
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )

        assert (result.returncode, result.stderr) == (0, "")
        assert "No changes detected" in result.stdout
