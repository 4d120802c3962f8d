"""Times as the pages write them."""

from __future__ import annotations

from contextlib import suppress
from datetime import datetime

from django.utils import timezone
from django.utils.formats import date_format


def written(moment: datetime) -> str:
    """Return ``moment`` as the site writes it, in its time zone; where that has no such time, as
    it has none before the year 1 and after 9999, in UTC."""
    with suppress(OverflowError):
        moment = timezone.localtime(moment)
    return date_format(moment, "DATETIME_FORMAT")
