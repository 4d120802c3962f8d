from __future__ import annotations

from typing import Any

from django import forms
from django.contrib.admin.widgets import AdminTextareaWidget
from django.utils.translation import gettext_lazy as _

from octovid_django.exceptions import OctovidMetadataError, OctovidTaskIdError
from octovid_django.models import validate_metadata, validate_task_id
from octovid_django.redaction import one_line


class VideoTaskForm(forms.ModelForm):  # type: ignore[type-arg]
    def clean_metadata(self) -> dict[str, Any]:
        metadata = self.cleaned_data["metadata"]
        try:
            return validate_metadata({} if metadata is None else metadata)
        except OctovidMetadataError as error:
            raise forms.ValidationError(str(error)) from None


class TrackForm(forms.Form):
    """Ids of tasks to track, one a line. After ``is_valid()`` the bad ones are left in it."""

    task_ids = forms.CharField(
        label=_("Task ids"),
        widget=AdminTextareaWidget,
        help_text=_("What the gateway returned when the tasks were created, one a line."),
    )

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.good: list[str] = []

    def clean_task_ids(self) -> str:
        """Sort the good ids from the bad, which stay to be corrected."""
        bad: list[str] = []
        errors: list[str] = []
        for line in self.cleaned_data["task_ids"].splitlines():
            try:
                if task_id := line.strip():
                    self.good.append(validate_task_id(task_id))
            except OctovidTaskIdError as error:
                bad.append(line)
                errors.append(one_line(f"{line[:60]}: {error}"))
        self.good = list(dict.fromkeys(self.good))
        text = "\n".join(bad)
        self.data = {"task_ids": text}
        if errors:
            raise forms.ValidationError(errors)
        return text
