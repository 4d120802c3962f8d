"""All that knows django-q2: no module outside of this package imports it.

``wakeup`` sends messages to its workers, ``limits`` says how long they may work, ``schedules`` has
the schedule, and ``broker`` finds out whether it can be reached.
"""

from __future__ import annotations

from typing import Any

OPTIONS: dict[str, Any] = {"save": False, "ack_failure": True}
"""Of every message: django-q2 keeps no result in its table, and does not deliver a message again
after a failure. The rows fall due again by themselves."""
