"""The models: video tasks, and the state of the gateway's accounts."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

from asgiref.sync import sync_to_async
from django.core.exceptions import SynchronousOnlyOperation
from django.core.validators import MaxValueValidator
from django.db import models, router, transaction
from django.db.models import Q, Value
from django.db.models.base import ModelBase
from django.db.models.functions import StrIndex
from django.db.models.lookups import Exact
from django.utils import timezone
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _

from octovid_django.enums import ACTIVE_STATUSES, FINAL_STATUSES, STICKY_STATUSES, TaskStatus
from octovid_django.exceptions import OctovidMetadataError, OctovidSynchronousOnlyError
from octovid_django.redaction import links_in
from octovid_django.task_ids import MAX_TASK_ID_LENGTH, validate_stored_id, validate_task_id

if TYPE_CHECKING:
    from django.db.backends.base.base import BaseDatabaseWrapper

    CharField = models.CharField[str, str]
else:
    CharField = models.CharField

MAX_NESTING = 30
"""Levels of metadata at most: MariaDB stores no JSON deeper than 32."""

_FORBIDDEN = [
    chr(code)
    for code in (
        *(*range(1, 33), *range(127, 161)),
        *(0x061C, 0x200E, 0x200F, *range(0x2028, 0x202F), *range(0x2066, 0x206A)),
    )
]
"""Characters that the database refuses in a task id: blanks and control characters of ASCII and
Latin-1, ends of lines, and what reorders text. No constraint can name NUL."""

APPLICATION_COLUMNS = {"task_id", "metadata", "updated_at"}
"""The columns of a task that ``save()`` writes; the workers own the others."""

OVERDUE_AFTER = timedelta(minutes=2)
"""How late a poll or a delivery may be until it counts as a problem."""


_ESCAPED_NUL = re.compile(r"(?<!\\)(?:\\\\)*\\u0000")


class TaskIdField(CharField):
    """Refuses invalid ids whichever call of the ORM writes them."""

    def get_db_prep_save(self, value: Any, connection: BaseDatabaseWrapper) -> Any:
        if value is not None and not hasattr(value, "resolve_expression"):
            validate_stored_id(value)
        return super().get_db_prep_save(value, connection)

    def deconstruct(self) -> Any:
        name, _path, args, kwargs = super().deconstruct()
        return name, "django.db.models.CharField", args, kwargs


def validate_metadata(metadata: object) -> dict[str, Any]:
    """Return ``metadata`` if it is a JSON object that every database can store.

    Raises:
        OctovidMetadataError: It is not a dict, holds what JSON cannot, or is nested too deeply.
    """
    if not isinstance(metadata, dict):
        raise OctovidMetadataError(
            gettext("metadata must be a dict, not %(type)s") % {"type": type(metadata).__name__}
        )
    if _is_too_deep(metadata):
        raise OctovidMetadataError(
            gettext("metadata is nested more than %(max)d levels deep") % {"max": MAX_NESTING}
        )
    try:
        text = json.dumps(metadata, allow_nan=False, ensure_ascii=False)
        text.encode()  # not with half a surrogate pair
    except (TypeError, ValueError, RecursionError) as error:
        raise OctovidMetadataError(
            gettext("metadata is not JSON: %(error)s") % {"error": error}
        ) from None
    if _ESCAPED_NUL.search(text):
        raise OctovidMetadataError(
            gettext("metadata holds a NUL character, which databases refuse")
        )
    return metadata


def _is_too_deep(value: object) -> bool:
    """Whether there are more levels of objects and arrays than ``MAX_NESTING``, or endless ones."""
    pending = [(value, 1)]
    while pending:
        value, level = pending.pop()
        if isinstance(value, (dict, list, tuple)):
            if level > MAX_NESTING:
                return True
            parts = value.values() if isinstance(value, dict) else value
            pending += [(part, level + 1) for part in parts]
    return False


class VideoTaskQuerySet(models.QuerySet["VideoTask"]):
    def bulk_update(
        self, objs: Iterable[VideoTask], fields: Iterable[str], batch_size: int | None = None
    ) -> int:
        """Do as Django's; Django 5.2 does not call ``TaskIdField.get_db_prep_save`` there."""
        tasks, names = list(objs), list(fields)
        if "task_id" in names:
            for task in tasks:
                validate_stored_id(task.task_id)
        return super().bulk_update(tasks, names, batch_size)

    def primary(self) -> VideoTaskQuerySet:
        """The same tasks in the database for writing: a replica may lag behind."""
        return self.using(router.db_for_write(self.model))

    def active(self) -> VideoTaskQuerySet:
        """Tasks that have not completed."""
        return self.filter(status__in=ACTIVE_STATUSES)

    def finished(self) -> VideoTaskQuerySet:
        """Tasks that have completed, ``LOST`` ones included."""
        return self.filter(status__in=FINAL_STATUSES)

    def succeeded(self) -> VideoTaskQuerySet:
        """Tasks that succeeded (``SUCCESS``)."""
        return self.filter(status=TaskStatus.SUCCESS)

    def failed(self) -> VideoTaskQuerySet:
        """Tasks that completed without a video: ``FAILURE`` and ``LOST``."""
        return self.filter(status__in=FINAL_STATUSES - {TaskStatus.SUCCESS})

    def due(self, at: datetime | None = None) -> VideoTaskQuerySet:
        """Tasks whose next poll is due, and which no worker has claimed.

        Args:
            at: Due by then, in UTC; by default now.
        """
        return self.filter(next_poll_at__lte=at or timezone.now())

    def overdue(self) -> VideoTaskQuerySet:
        """Tasks whose poll is two minutes late or more: nothing polls."""
        return self.due(timezone.now() - OVERDUE_AFTER)

    def polled(self) -> VideoTaskQuerySet:
        """Tasks that have a next poll: they are polled until they complete."""
        return self.filter(next_poll_at__isnull=False)

    def resumable(self) -> VideoTaskQuerySet:
        """Tasks that are not polled, but could be: polling was stopped, or they are ``LOST``."""
        return self.filter(next_poll_at__isnull=True).exclude(status__in=STICKY_STATUSES)

    def undelivered(self) -> VideoTaskQuerySet:
        """Tasks that have completed, and whose completion is not delivered yet."""
        return self.filter(completed_at__isnull=False, delivered_at__isnull=True)

    def abandoned(self) -> VideoTaskQuerySet:
        """Undelivered tasks whose last delivery attempt has failed."""
        return self.undelivered().filter(next_delivery_at__isnull=True)


class VideoTaskManager(models.Manager["VideoTask"]):
    def track(self, task_id: str, *, metadata: dict[str, Any] | None = None) -> VideoTask:
        """Track a task of the gateway: poll it until it completes. Idempotent.

        Args:
            task_id: The id that the gateway's creation call returned.
            metadata: Application data, any JSON object. For a task that is tracked already, its
                keys are merged into what the task has.

        Returns:
            The task; a new one is due at once.

        Raises:
            OctovidTaskIdError: This cannot be the id of a task.
            OctovidMetadataError: ``metadata`` is not a JSON object.
            OctovidSynchronousOnlyError: It was called in async code.
        """
        if metadata is not None:
            validate_metadata(metadata)
        validate_task_id(task_id)
        try:
            return self._track(task_id, metadata or {})
        except SynchronousOnlyOperation:
            raise OctovidSynchronousOnlyError(
                "in async code, write “await VideoTask.objects.atrack(…)”"
            ) from None

    async def atrack(self, task_id: str, *, metadata: dict[str, Any] | None = None) -> VideoTask:
        """Do what ``track()`` does, in async code."""
        return await sync_to_async(self.track)(task_id, metadata=metadata)

    def _track(self, task_id: str, metadata: dict[str, Any]) -> VideoTask:
        task, is_new = self.get_or_create(task_id=task_id, defaults={"metadata": metadata})
        if metadata and not is_new:
            rows = VideoTask.objects.primary()
            with transaction.atomic(using=rows.db):
                task = rows.select_for_update().get(pk=task.pk)
                task.metadata |= metadata
                task.save(update_fields=["metadata", "updated_at"])
        return task


class VideoTask(models.Model):
    """A video generation task, as the gateway last reported it.

    The row is the truth: ``next_poll_at`` and ``next_delivery_at`` are both timetable and lease.
    The worker that pushes one of them ahead owns the next poll, or the next delivery attempt, until
    then.
    """

    task_id = TaskIdField(_("task id"), max_length=MAX_TASK_ID_LENGTH, unique=True)
    status = models.CharField(
        _("status"), max_length=16, choices=TaskStatus, default=TaskStatus.NOT_START
    )
    progress = models.PositiveSmallIntegerField(
        _("progress"), default=0, validators=[MaxValueValidator(100)], help_text=_("in percent")
    )
    fail_reason = models.TextField(_("failure reason"), blank=True)
    upstream_status = models.CharField(
        _("raw upstream status"),
        max_length=64,
        blank=True,
        help_text=_("as the channel behind the gateway reports it"),
    )
    video_url = models.TextField(_("video link"), blank=True)
    video_url_expires_at = models.DateTimeField(_("video link expires at"), null=True, blank=True)
    duration = models.PositiveIntegerField(
        _("duration"), null=True, blank=True, help_text=_("of the video, in seconds")
    )
    resolution = models.CharField(_("resolution"), max_length=64, blank=True)
    ratio = models.CharField(_("aspect ratio"), max_length=64, blank=True)
    model = models.CharField(
        _("model"), max_length=191, blank=True, help_text=_("that generates the video")
    )
    total_tokens = models.BigIntegerField(_("tokens"), null=True, blank=True)
    submitted_at = models.DateTimeField(_("submitted at"), null=True, blank=True)
    started_at = models.DateTimeField(_("started at"), null=True, blank=True)
    finished_at = models.DateTimeField(_("finished at"), null=True, blank=True)
    payload = models.JSONField(
        _("payload"), null=True, blank=True, help_text=_("data of the last response")
    )
    metadata = models.JSONField(
        _("metadata"), default=dict, blank=True, help_text=_("application data, a JSON object")
    )
    created_at = models.DateTimeField(_("created at"), auto_now_add=True)
    updated_at = models.DateTimeField(_("updated at"), auto_now=True)

    recovered_at = models.DateTimeField(
        _("recovered at"),
        null=True,
        blank=True,
        help_text=_("when it was last found after being lost, or polling was resumed"),
    )
    changed_at = models.DateTimeField(
        _("last change"),
        null=True,
        blank=True,
        help_text=_("when status, progress or raw upstream status last changed"),
    )
    polled_at = models.DateTimeField(_("last poll"), null=True, blank=True)
    poll_count = models.PositiveIntegerField(_("polls"), default=0)
    next_poll_at = models.DateTimeField(
        _("next poll"), null=True, blank=True, help_text=_("empty: the task is not polled")
    )
    error_count = models.PositiveIntegerField(
        _("errors"), default=0, help_text=_("polls in a row that failed")
    )
    last_error = models.TextField(_("last error"), blank=True)
    not_found_count = models.PositiveIntegerField(
        _("not found"), default=0, help_text=_("responses in a row that the task does not exist")
    )
    not_found_since = models.DateTimeField(_("not found since"), null=True, blank=True)
    refused_since = models.DateTimeField(
        _("refused since"),
        null=True,
        blank=True,
        help_text=_("with 403 or 404, whose scope may be the account or this task"),
    )
    account_error_count = models.PositiveIntegerField(
        _("account errors"), default=0, help_text=_("those of the errors with scope account")
    )
    link_awaited_since = models.DateTimeField(_("link awaited since"), null=True, blank=True)

    completed_at = models.DateTimeField(_("completion recorded at"), null=True, blank=True)
    delivered_at = models.DateTimeField(_("delivered at"), null=True, blank=True)
    delivery_attempts = models.PositiveIntegerField(_("delivery attempts"), default=0)
    delivery_attempts_before_resend = models.PositiveIntegerField(
        _("delivery attempts before resend"),
        default=0,
        help_text=_("made before the completion was last resent by hand"),
    )
    delivery_error = models.TextField(_("delivery error"), blank=True)
    next_delivery_at = models.DateTimeField(_("next delivery attempt"), null=True, blank=True)

    objects = VideoTaskManager.from_queryset(VideoTaskQuerySet)()

    class Meta:
        verbose_name = _("video task")
        verbose_name_plural = _("video tasks")
        ordering = ["-created_at", "-pk"]
        indexes = [
            models.Index(fields=["next_poll_at"], name="octovid_due"),
            models.Index(fields=["next_delivery_at"], name="octovid_undelivered"),
            models.Index(fields=["status", "-created_at"], name="octovid_status"),
            models.Index(fields=["model", "-created_at"], name="octovid_model"),
            models.Index(fields=["-created_at", "-id"], name="octovid_created"),
            models.Index(fields=["completed_at"], name="octovid_completed"),
            # What the admin shows above the list: task outcomes, abandoned completions, links that
            # expire soon.
            models.Index(
                fields=["completed_at", "status", "total_tokens"], name="octovid_outcomes"
            ),
            models.Index(fields=["delivered_at", "completed_at"], name="octovid_delivered"),
            models.Index(fields=["video_url_expires_at"], name="octovid_expires"),
        ]
        constraints = [
            models.CheckConstraint(
                name="octovid_task_id_is_valid",
                # Not by LIKE, whose escape character confuses Django's introspection of SQLite.
                condition=~Q(task_id="")
                & Q(*(Exact(StrIndex("task_id", Value(each)), 0) for each in _FORBIDDEN)),
            ),
            models.CheckConstraint(
                name="octovid_progress_is_percentage",
                condition=Q(progress__gte=0, progress__lte=100),
            ),
            models.CheckConstraint(
                name="octovid_finished_is_not_polled",
                condition=~Q(status__in=sorted(FINAL_STATUSES)) | Q(next_poll_at__isnull=True),
            ),
        ]

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        """Make a new active task due at once, unless ``next_poll_at`` is given.

        A default of the column could not depend on the status, and ``bulk_create()`` does not call
        ``save()``.
        """
        super().__init__(*args, **kwargs)
        is_new = not args  # a row from the database comes as positional values
        if is_new and "next_poll_at" not in kwargs and self.status in ACTIVE_STATUSES:
            self.next_poll_at = timezone.now()

    def __str__(self) -> str:
        return self.task_id

    def save(
        self,
        *,
        force_insert: bool | tuple[ModelBase, ...] = False,
        force_update: bool = False,
        using: str | None = None,
        update_fields: Iterable[str] | None = None,
    ) -> None:
        """Store the task; of one that is stored already, only ``APPLICATION_COLUMNS``.

        The workers own the other columns, and may have written them since this instance was read:
        its stale values would have the task polled again, or its completion delivered again as if
        for the first time. ``update_fields`` writes what it names.

        Raises:
            DatabaseError: The task has been deleted meanwhile; it stays so.
        """
        is_stored = not self._state.adding and using in (None, self._state.db)
        if update_fields is None and is_stored and not force_insert:
            update_fields = self._application_columns() - self.get_deferred_fields()
        super().save(
            force_insert=force_insert,
            force_update=force_update,
            using=using,
            update_fields=update_fields,
        )

    def _application_columns(self) -> set[str]:
        """The columns that no worker writes, with those that a subclass adds."""
        return {
            field.attname
            for field in self._meta.concrete_fields
            if not field.primary_key
            and (field.model is not VideoTask or field.attname in APPLICATION_COLUMNS)
        }

    def known_links(self) -> list[str]:
        """Return the links that no text about this task may show, whole or in parts."""
        return [self.video_url, *links_in(self.payload)]

    @property
    def is_finished(self) -> bool:
        """Whether the task has completed, and is no longer polled."""
        return TaskStatus(self.status).is_final

    @property
    def is_link_expired(self) -> bool:
        """Whether the link to the video has expired."""
        expires_at = self.video_url_expires_at
        return bool(self.video_url) and expires_at is not None and expires_at <= timezone.now()

    @property
    def has_video(self) -> bool:
        """Whether there is a link to the video that has not expired."""
        return bool(self.video_url) and not self.is_link_expired


class GatewayState(models.Model):
    """The state of one account at the gateway: its last responses, its pause, its outage."""

    name = models.CharField(_("account"), max_length=64, unique=True, default="default")
    last_run_at = models.DateTimeField(_("last polling run"), null=True, blank=True)
    last_response_at = models.DateTimeField(_("last response"), null=True, blank=True)
    paused_until = models.DateTimeField(_("paused until"), null=True, blank=True)
    pause_reason = models.TextField(_("pause reason"), blank=True)
    pause_count = models.PositiveIntegerField(
        _("pauses"), default=0, help_text=_("in a row, without a success between them")
    )
    is_rate_limited = models.BooleanField(default=False, editable=False)
    """Whether the pause is by 429."""
    fingerprint = models.CharField(max_length=32, blank=True, editable=False)
    """Of the key and the ``BASE_URL`` of the pause: a keyed hash that reveals neither."""
    suspects = models.CharField(max_length=255, blank=True, editable=False)
    """The last tasks that met an error whose scope may be the account; see ``suspicion``."""
    acquitted_at = models.DateTimeField(null=True, editable=False)
    """When the last pause ended by a success. A task refused since before is so by itself."""
    failing_since = models.DateTimeField(
        _("no response since"), null=True, blank=True, help_text=_("to any poll")
    )
    failure_reason = models.TextField(_("outage reason"), blank=True)
    failure_count = models.PositiveIntegerField(default=0, editable=False)
    """Batches in a row without any response."""
    is_outage_logged = models.BooleanField(default=False, editable=False)

    class Meta:
        verbose_name = _("gateway state")
        verbose_name_plural = _("gateway states")

    def __str__(self) -> str:
        return self.name

    @property
    def is_paused(self) -> bool:
        """Whether all polling of the account is paused."""
        return self.paused_until is not None and self.paused_until > timezone.now()
