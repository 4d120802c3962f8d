"""The schedule that ``migrate`` creates, and what it leaves unchanged."""

from __future__ import annotations

import ast
import os
import sqlite3
import subprocess
import sys
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from pydoc import locate
from typing import Any

import pytest
from django.core.management.sql import emit_post_migrate_signal
from django.db import models
from django.db.migrations.state import ModelState, ProjectState
from django_q.models import Schedule

from octovid_django.cluster.schedules import ensure_schedule

ROOT = Path(__file__).resolve().parent.parent

pytestmark = pytest.mark.django_db


def migrate() -> None:
    """What ``manage.py migrate`` does last, here with nothing left to migrate."""
    emit_post_migrate_signal(verbosity=0, interactive=False, db="default")


@pytest.fixture
def fresh() -> None:
    """A site that has just been migrated for the first time."""
    Schedule.objects.all().delete()
    migrate()


@pytest.mark.usefixtures("fresh")
class TestMigrate:
    def test_migrate_creates_one_schedule_for_every_minute(self) -> None:
        schedule = Schedule.objects.get()

        assert (schedule.name, schedule.func) == (
            "octovid-refresh",
            "octovid_django.tasks.refresh_due",
        )
        assert (schedule.schedule_type, schedule.minutes) == (Schedule.MINUTES, 1)
        assert (schedule.repeats, schedule.cluster) == (-1, None)

    def test_migrate_again_is_idempotent(self) -> None:
        pk = Schedule.objects.get().pk

        migrate()

        assert Schedule.objects.get().pk == pk

    @pytest.mark.parametrize(
        "edit",
        [{"minutes": 5}, {"repeats": 0}, {"kwargs": "{}"}, {"cluster": "videos"}],
        ids=lambda edit: next(iter(edit)),
    )
    def test_migrate_again_keeps_edits_of_operator(self, edit: dict[str, Any]) -> None:
        Schedule.objects.update(**edit)
        before = Schedule.objects.values().get()

        migrate()

        assert Schedule.objects.values().get() == before

    def test_migrate_again_restores_deleted_schedule(self) -> None:
        Schedule.objects.all().delete()

        migrate()

        assert Schedule.objects.get().name == "octovid-refresh"

    def test_migrate_again_keeps_other_schedules(self) -> None:
        other = Schedule.objects.create(name="reports", func="math.sqrt")

        migrate()

        assert Schedule.objects.exclude(name="octovid-refresh").get() == other

    def test_migrate_again_moves_schedule_to_configured_cluster(
        self, configure: Callable[..., None]
    ) -> None:
        Schedule.objects.update(cluster="elsewhere", minutes=5)
        configure(CLUSTER="videos")

        migrate()

        schedule = Schedule.objects.get()
        assert (schedule.cluster, schedule.minutes) == ("videos", 5)


def test_migrate_creates_schedule_for_configured_cluster(
    configure: Callable[..., None],
) -> None:
    Schedule.objects.all().delete()
    configure(CLUSTER="videos")

    migrate()

    assert Schedule.objects.get().cluster == "videos"


@pytest.mark.parametrize("octovid", [None, {"CLUSTER": 7}, {}])
def test_migrate_with_wrong_settings_creates_schedule(settings: Any, octovid: object) -> None:
    Schedule.objects.all().delete()
    settings.OCTOVID = octovid

    migrate()

    assert Schedule.objects.get().cluster is None


@pytest.mark.usefixtures("fresh")
class TestStoredSchedule:
    def test_schedule_kwargs_are_a_literal_that_saves_no_results(self) -> None:
        kwargs = ast.literal_eval(Schedule.objects.get().kwargs)

        assert kwargs == {"q_options": {"save": False, "ack_failure": True}}

    def test_schedule_function_exists_and_takes_no_arguments(self) -> None:
        function = locate(Schedule.objects.get().func)

        assert callable(function)
        assert function.__code__.co_argcount == 0

    def test_schedule_is_valid_for_django_q(self) -> None:
        Schedule.objects.get().full_clean()


class TestWithoutDjangoQ:
    def test_no_schedule_is_created_without_models_of_django_q(self) -> None:
        Schedule.objects.all().delete()

        ensure_schedule(using="default", apps=ProjectState().apps)

        assert not Schedule.objects.exists()

    def test_missing_table_of_schedules_is_ignored(self) -> None:
        state = ProjectState()
        fields = [("id", models.AutoField(primary_key=True)), ("name", models.TextField())]
        options = {"db_table": "missing_table"}
        state.add_model(ModelState("django_q", "Schedule", fields, options))

        ensure_schedule(using="default", apps=state.apps)

    def test_migrate_of_this_app_alone_works_and_later_migrate_creates_schedule(
        self, tmp_path: Path
    ) -> None:
        database = tmp_path / "db.sqlite3"
        environment = {
            **os.environ,
            "DJANGO_SETTINGS_MODULE": "example_project.settings",
            "DATABASE_URL": f"sqlite:///{database}",
            "OCTOVID_API_KEY": "sandbox-key",
        }

        for command in (["migrate", "octovid_django"], ["migrate"], ["migrate"]):
            subprocess.run(
                [sys.executable, "manage.py", *command, "--verbosity=0"],
                cwd=ROOT,
                env=environment,
                check=True,
                timeout=60,
            )

        with closing(sqlite3.connect(database)) as connection:
            names = connection.execute("SELECT name FROM django_q_schedule").fetchall()
        assert names == [("octovid-refresh",)]


class TestSeveralDatabases:
    def test_no_schedule_is_created_in_database_that_router_excludes(self, settings: Any) -> None:
        Schedule.objects.all().delete()
        settings.DATABASE_ROUTERS = [f"{__name__}.NoQueueHere"]

        migrate()

        assert not Schedule.objects.exists()


class NoQueueHere:
    """A router of a site that keeps django-q2's tables in another database."""

    def allow_migrate(self, db: str, app_label: str, **hints: Any) -> bool | None:
        return False if app_label == "django_q" else None
