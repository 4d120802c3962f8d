"""The scope of a 403, a 404 or a challenge page.

It is the task, until a second task meets the same; then it is the account.
The last task that met one is the suspect, one for each kind. ``GatewayState`` stores it, so that it
is known across batches, processes and clusters; a success of the same task clears it. Nothing is
written here.
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
"""For each kind (``"403"``, ``"404"``, ``"503"``): the task's primary key, and Unix time in
seconds."""


@dataclass(frozen=True)
class Sighting:
    """The outcome of one poll, as far as it matters for the scope of an error."""

    pk: int
    kind: str
    """``"403"``, ``"404"`` or ``"503"``; empty for a success."""
    at: float
    """Unix time in seconds."""
    succeeded_at: float | None
    """When the poll before succeeded, in Unix seconds; ``None`` if it did not."""


class Suspicion:
    """The sightings of one batch; many threads note theirs.

    Args:
        state: As it was before the batch.
    """

    def __init__(self, state: GatewayState) -> None:
        self._acquitted_at = state.acquitted_at
        self._suspects = read(state.suspects)
        self._lock = threading.Lock()
        self.sightings: list[Sighting] = []

    def note(self, task: VideoTask, outcome: TaskSnapshot | OctovidError) -> bool:
        """Note the outcome of polling ``task``.

        Args:
            task: As it was claimed.
            outcome: What the poll brought.

        Returns:
            Whether it is an error with scope account.
        """
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
        """Whether the task went on being refused while others succeeded: then its scope is task."""
        since = task.refused_since
        return bool(since and self._acquitted_at and since <= self._acquitted_at)


def _succeeded_at(task: VideoTask) -> float | None:
    polled_at = None if task.error_count else task.polled_at
    return polled_at.timestamp() if polled_at else None


def see(suspects: Suspects, sighting: Sighting) -> bool:
    """Update ``suspects`` with a sighting, and return whether its scope is account."""
    if not sighting.kind:
        for kind in [kind for kind, (pk, _) in suspects.items() if pk == sighting.pk]:
            del suspects[kind]
        return False
    pk, at = suspects.get(sighting.kind, (sighting.pk, 0))
    suspects[sighting.kind] = (sighting.pk, sighting.at)
    has_succeeded_since = sighting.succeeded_at is not None and sighting.succeeded_at >= at
    return pk != sighting.pk and not has_succeeded_since


def see_all(text: str, sightings: Collection[Sighting]) -> tuple[str, bool]:
    """Return the new ``suspects`` of a state, and whether one of the scopes is account.

    Args:
        text: The ``suspects`` that the state has.
        sightings: To update them with.
    """
    suspects = read(text)
    is_accounts = [see(suspects, sighting) for sighting in sightings]
    return write(suspects), any(is_accounts)


def read(text: str) -> Suspects:
    """Read the ``suspects`` of a state."""
    found: dict[str, Any] = json.loads(text) if text else {}
    return {kind: (pk, at) for kind, (pk, at) in found.items()}


def write(suspects: Suspects) -> str:
    """Return suspects as a state stores them."""
    return json.dumps(suspects, sort_keys=True) if suspects else ""
