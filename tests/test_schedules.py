"""The schedule that ``migrate`` leaves behind, and what it leaves alone."""

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

from octovid_django.schedules import ensure_schedule

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
class TestMigrating:
    def test_creates_one_schedule_of_every_minute_for_ever(self) -> None:
        schedule = Schedule.objects.get()

        assert (schedule.name, schedule.func) == (
            "octovid-refresh",
            "octovid_django.tasks.refresh_due",
        )
        assert (schedule.schedule_type, schedule.minutes) == (Schedule.MINUTES, 1)
        assert (schedule.repeats, schedule.cluster) == (-1, None)

    def test_again_creates_no_other(self) -> None:
        pk = Schedule.objects.get().pk

        migrate()

        assert Schedule.objects.get().pk == pk

    @pytest.mark.parametrize(
        "edit",
        [{"minutes": 5}, {"repeats": 0}, {"kwargs": "{}"}, {"cluster": "videos"}],
        ids=lambda edit: next(iter(edit)),
    )
    def test_again_keeps_what_an_operator_has_edited(self, edit: dict[str, Any]) -> None:
        Schedule.objects.update(**edit)
        before = Schedule.objects.values().get()

        migrate()

        assert Schedule.objects.values().get() == before

    def test_again_brings_a_deleted_schedule_back(self) -> None:
        Schedule.objects.all().delete()

        migrate()

        assert Schedule.objects.get().name == "octovid-refresh"

    def test_again_keeps_the_sites_other_schedules(self) -> None:
        other = Schedule.objects.create(name="reports", func="math.sqrt")

        migrate()

        assert Schedule.objects.exclude(name="octovid-refresh").get() == other

    def test_again_gives_it_to_the_cluster_of_the_settings(
        self, configure: Callable[..., None]
    ) -> None:
        Schedule.objects.update(cluster="elsewhere", minutes=5)
        configure(CLUSTER="videos")

        migrate()

        schedule = Schedule.objects.get()
        assert (schedule.cluster, schedule.minutes) == ("videos", 5)


def test_migrating_creates_it_for_the_cluster_of_the_settings(
    configure: Callable[..., None],
) -> None:
    Schedule.objects.all().delete()
    configure(CLUSTER="videos")

    migrate()

    assert Schedule.objects.get().cluster == "videos"


@pytest.mark.parametrize("octovid", [None, {"CLUSTER": 7}, {}])
def test_wrong_settings_do_not_stop_migrating(settings: Any, octovid: object) -> None:
    Schedule.objects.all().delete()
    settings.OCTOVID = octovid

    migrate()

    assert Schedule.objects.get().cluster is None


@pytest.mark.usefixtures("fresh")
class TestWhatDjangoQReads:
    def test_its_arguments_are_a_literal_that_keeps_the_result_table_empty(self) -> None:
        kwargs = ast.literal_eval(Schedule.objects.get().kwargs)

        assert kwargs == {"q_options": {"save": False, "ack_failure": True}}

    def test_its_function_can_be_found_and_called_with_nothing(self) -> None:
        function = locate(Schedule.objects.get().func)

        assert callable(function)
        assert function.__code__.co_argcount == 0

    def test_django_q_takes_it_for_valid(self) -> None:
        Schedule.objects.get().full_clean()


class TestWithoutDjangoQ:
    def test_nothing_happens_when_its_models_are_not_among_the_migrated(self) -> None:
        Schedule.objects.all().delete()

        ensure_schedule(using="default", apps=ProjectState().apps)

        assert not Schedule.objects.exists()

    def test_nothing_happens_when_its_table_is_not_there(self) -> None:
        state = ProjectState()
        fields = [("id", models.AutoField(primary_key=True)), ("name", models.TextField())]
        options = {"db_table": "a_table_that_nobody_has_created"}
        state.add_model(ModelState("django_q", "Schedule", fields, options))

        ensure_schedule(using="default", apps=state.apps)

    def test_migrating_this_app_alone_works_and_all_of_them_later_creates_it(
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
    def test_a_database_that_a_router_keeps_it_out_of_gets_none(self, settings: Any) -> None:
        Schedule.objects.all().delete()
        settings.DATABASE_ROUTERS = [f"{__name__}.NoQueueHere"]

        migrate()

        assert not Schedule.objects.exists()


class NoQueueHere:
    """A router of a site that keeps django-q2's tables in another database."""

    def allow_migrate(self, db: str, app_label: str, **hints: Any) -> bool | None:
        return False if app_label == "django_q" else None
