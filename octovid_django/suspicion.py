"""Whose a 403 or 404 is: the task's, until a second task meets the same.

The last task that met one is the suspect, kind by kind. It stands in ``GatewayState``, so that it
holds across batches, processes and clusters; a success of its own clears it. Nothing is written
here.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Collection
from dataclasses import dataclass
from typing import Any

from django.utils import timezone

from octovid_django.exceptions import OctovidAccountError, OctovidError
from octovid_django.models import GatewayState, VideoTask
from octovid_django.snapshot import TaskSnapshot

Suspects = dict[str, tuple[int, float]]
"""By what was met: the task's primary key, and when, in Unix time."""


@dataclass(frozen=True)
class Sighting:
    """What became of one poll, as far as it tells whose an error is."""

    pk: int
    kind: str
    """What was met; empty for a success."""
    at: float
    succeeded_at: float | None
    """When the task was last known to be well, where that was its last poll."""


class Suspicion:
    """What the polls of one batch tell; they are noted from many threads.

    Args:
        state: As it stood when the batch began.
    """

    def __init__(self, state: GatewayState) -> None:
        self._acquitted_at = state.acquitted_at
        self._suspects = read(state.suspects)
        self._lock = threading.Lock()
        self.sightings: list[Sighting] = []

    def note(self, task: VideoTask, outcome: TaskSnapshot | OctovidError) -> bool:
        """Note what polling ``task``, as it was claimed, has met; tell if it is the account's."""
        kind = ""
        if isinstance(outcome, OctovidAccountError):
            kind = outcome.suspicion
            if not kind:
                return True
            if self._is_excused(task) or task.next_poll_at is None:
                return False
        elif isinstance(outcome, OctovidError):
            return False
        sighting = Sighting(
            pk=task.pk,
            kind=kind,
            at=timezone.now().timestamp(),
            succeeded_at=_succeeded_at(task),
        )
        with self._lock:
            self.sightings.append(sighting)
            return see(self._suspects, sighting)

    def _is_excused(self, task: VideoTask) -> bool:
        """Whether it went on being refused when others were not: that tells of it alone."""
        since = task.refused_since
        return bool(since and self._acquitted_at and since <= self._acquitted_at)


def _succeeded_at(task: VideoTask) -> float | None:
    polled_at = None if task.error_count else task.polled_at
    return polled_at.timestamp() if polled_at else None


def see(suspects: Suspects, sighting: Sighting) -> bool:
    """Change ``suspects`` by ``sighting``, and tell whether it is the account's by now."""
    if not sighting.kind:
        for kind in [kind for kind, (pk, _) in suspects.items() if pk == sighting.pk]:
            del suspects[kind]
        return False
    pk, at = suspects.get(sighting.kind, (sighting.pk, 0))
    suspects[sighting.kind] = (sighting.pk, sighting.at)
    is_well_since = sighting.succeeded_at is not None and sighting.succeeded_at >= at
    return pk != sighting.pk and not is_well_since


def see_all(text: str, sightings: Collection[Sighting]) -> tuple[str, bool]:
    """Return what a state's ``suspects`` become, and whether something is the account's."""
    suspects = read(text)
    is_accounts = [see(suspects, sighting) for sighting in sightings]
    return write(suspects), any(is_accounts)


def read(text: str) -> Suspects:
    """Return the suspects of a state."""
    found: dict[str, Any] = json.loads(text) if text else {}
    return {kind: (pk, at) for kind, (pk, at) in found.items()}


def write(suspects: Suspects) -> str:
    """Return suspects as a state has them."""
    return json.dumps(suspects, sort_keys=True) if suspects else ""
