"""The schedule that has django-q2's cluster start a polling run every minute."""

from __future__ import annotations

from typing import Any

from django.apps import apps as installed_apps
from django.apps.registry import Apps
from django.db import connections, router
from django.db.models import QuerySet

from octovid_django.cluster import OPTIONS
from octovid_django.conf import octovid_settings
from octovid_django.exceptions import OctovidSettingsError

NAME = "octovid-refresh"
FUNCTION = "octovid_django.tasks.refresh_due"
MINUTES = "I"  # Schedule.MINUTES; historical models do not have it
FOREVER = -1


def ensure_schedule(*, using: str, apps: Apps = installed_apps, **_: Any) -> None:
    """Create the schedule where there is none; a receiver of ``post_migrate``.

    An existing schedule keeps what an operator has edited. Only its cluster is set to
    ``OCTOVID["CLUSTER"]``, where that names one.

    Args:
        using: The alias of the database that was migrated.
        apps: The app registry at the migration, maybe without django-q2.
    """
    try:
        schedule_model = apps.get_model("django_q", "Schedule")
    except LookupError:
        return
    if not router.allow_migrate_model(using, schedule_model):
        return
    if schedule_model._meta.db_table not in connections[using].introspection.table_names():
        return
    try:
        cluster = octovid_settings.CLUSTER
    except OctovidSettingsError:
        cluster = None  # a check reports it; migrating goes on
    schedules = schedule_model._default_manager.using(using).filter(name=NAME)
    if not schedules.exists():
        schedules.create(
            name=NAME,
            func=FUNCTION,
            kwargs=repr({"q_options": OPTIONS}),
            schedule_type=MINUTES,
            minutes=1,
            repeats=FOREVER,
            cluster=cluster,
        )
    elif cluster:
        schedules.update(cluster=cluster)


def stored() -> QuerySet[Any]:
    """Return the rows of the schedule: one, where nobody has deleted or copied it."""
    rows: QuerySet[Any] = installed_apps.get_model("django_q", "Schedule")._default_manager.all()
    return rows.filter(name=NAME)
