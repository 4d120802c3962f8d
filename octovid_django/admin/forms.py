from __future__ import annotations

from typing import Any

from django import forms
from django.contrib.admin.widgets import AdminTextareaWidget
from django.forms.fields import InvalidJSONInput
from django.utils.translation import gettext_lazy as _

from octovid_django.exceptions import OctovidMetadataError, OctovidTaskIdError
from octovid_django.models import validate_metadata
from octovid_django.redaction import one_line
from octovid_django.task_ids import MAX_TASK_ID_LENGTH, bare_task_id, validate_task_id
from octovid_django.values import json_text

MAX_IDS = 1_000
"""Tasks that are tracked at once."""
MAX_TEXT = MAX_IDS * (MAX_TASK_ID_LENGTH + 2)
"""Characters of their ids, one a line."""
MAX_METADATA = 10_000
"""Characters of metadata that a form takes."""


class MetadataField(forms.JSONField):
    """A JSON object; nothing at all is an empty one.

    What Python cannot decode (nested without end, a number of 5,000 digits) is refused as well.
    """

    def to_python(self, value: Any) -> Any:
        try:
            return super().to_python(value)
        except (ValueError, RecursionError):
            raise forms.ValidationError(
                self.error_messages["invalid"], code="invalid", params={"value": value}
            ) from None

    def bound_data(self, data: Any, initial: Any) -> Any:
        try:
            return super().bound_data(data, initial)
        except (ValueError, RecursionError):
            return InvalidJSONInput(data)

    def prepare_value(self, value: Any) -> Any:
        is_json = not isinstance(value, InvalidJSONInput)
        return json_text(value, cls=self.encoder) if is_json else value

    def clean(self, value: Any) -> dict[str, Any]:
        metadata = super().clean(value)
        try:
            return validate_metadata({} if metadata is None else metadata)
        except OctovidMetadataError as error:
            raise forms.ValidationError(str(error)) from None


class MetadataForm(forms.BaseForm):
    def clean_metadata(self) -> dict[str, Any]:
        """Refuse what would make each page and each export of the task a large one.

        What a site's own code has stored may stay, however much it is.
        """
        text = self.data.get(self.add_prefix("metadata"), "")
        if len(text) > MAX_METADATA and "metadata" in self.changed_data:
            message = _("Metadata has at most %(max)d characters here.")
            raise forms.ValidationError(message, params={"max": MAX_METADATA})
        metadata: dict[str, Any] = self.cleaned_data["metadata"]
        return metadata


class VideoTaskForm(MetadataForm, forms.ModelForm):  # type: ignore[type-arg]
    """Writes the metadata if somebody has edited it, and never over newer metadata if nobody has.

    The page says, hidden, which metadata it has shown.
    """

    class Meta:
        field_classes = {"metadata": MetadataField}

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        has_initial = not self.is_bound or self.add_initial_prefix("metadata") in self.data
        if "metadata" in self.fields:
            self.fields["metadata"].show_hidden_initial = has_initial

    def _post_clean(self) -> None:
        super()._post_clean()  # type: ignore[misc]
        if "metadata" in self.fields and "metadata" not in self.changed_data:
            self.instance.__dict__.pop("metadata", None)  # deferred: ``save()`` leaves it alone


class TrackForm(MetadataForm, forms.Form):
    """Ids of tasks to track, one a line. After ``is_valid()`` the bad ones are left in it."""

    task_ids = forms.CharField(
        label=_("Task ids"),
        widget=AdminTextareaWidget,
        help_text=_("What the gateway returned when the tasks were created, one a line."),
    )
    metadata = MetadataField(
        label=_("Metadata"),
        widget=AdminTextareaWidget,
        initial=dict,
        required=False,
        help_text=_('Of each of these tasks, a JSON object like {"product": 7}.'),
    )

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.good: list[str] = []
        self.application_data: dict[str, Any] = {}

    def clean_task_ids(self) -> str:
        """Refuse more than can be tracked at once, before anything is done with them."""
        text: str = self.cleaned_data["task_ids"]
        lines = text.splitlines() if len(text) <= MAX_TEXT else []
        if not 0 < len(lines) <= MAX_IDS:
            left = text if lines else ""
            self.data = {"task_ids": left, "metadata": self.data.get("metadata", "")}
            raise forms.ValidationError(
                _(
                    "At most %(max)d tasks can be tracked at once here; “manage.py octovid_track” "
                    "takes any number. None was tracked."
                ),
                params={"max": MAX_IDS},
            )
        return text

    def clean(self) -> dict[str, Any]:
        """Sort the good ids from the bad, which stay to be corrected.

        As long as the metadata is wrong, all of them stay.
        """
        cleaned: dict[str, Any] = super().clean() or {}
        if self.errors:
            return cleaned
        good: dict[str, None] = {}
        bad: list[str] = []
        for line in cleaned["task_ids"].splitlines():
            try:
                if task_id := bare_task_id(line):
                    good[validate_task_id(task_id)] = None
            except OctovidTaskIdError as error:
                bad.append(line)
                self.add_error("task_ids", one_line(f"{line[:60]}: {error}"))
        if not (good or bad):
            self.add_error("task_ids", self.fields["task_ids"].error_messages["required"])
        self.good, self.application_data = list(good), cleaned["metadata"]
        self.data = {"task_ids": "\n".join(bad), "metadata": self.data.get("metadata", "")}
        return cleaned
