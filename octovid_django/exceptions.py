"""What can go wrong between the site and the gateway, by its scope.

===============  =================================================  ==========================
scope            what the app does                                  kinds
===============  =================================================  ==========================
the account's    all polling pauses, then one probe goes first      ``OctovidAccountError``
the task's       the row is polled again, with backoff              ``OctovidTaskError``
transient        the same; where nothing else comes, an outage      ``OctovidTransientError``
===============  =================================================  ==========================

Whatever the scope, the row that met an error has it, and backs off. A 403 or 404 that may be either
the account's or the task's is an ``OctovidAccountError`` with a ``suspicion``: the task's, until a
second task meets the same.

Every message is one readable line, redacted.
"""

from __future__ import annotations

from datetime import timedelta

from django.core.exceptions import SynchronousOnlyOperation

from octovid_django.redaction import one_line


class OctovidError(Exception):
    """The root of everything that this app raises. Its text is one readable line."""

    def __init__(self, message: str) -> None:
        super().__init__(one_line(message))


class OctovidSettingsError(OctovidError):
    """A setting is missing or wrong; the message names it and says what to write instead."""


class OctovidTaskIdError(OctovidError, ValueError):
    """A task id that no gateway can have given."""


class OctovidMetadataError(OctovidError, TypeError):
    """Metadata that is no JSON object."""


class OctovidSynchronousOnlyError(OctovidError, SynchronousOnlyOperation):
    """A method that waits was called in async code; the message names the one to await."""


class OctovidAccountError(OctovidError):
    """The error is the account's: polling other tasks meets it too.

    Args:
        message: One readable line.
        retry_after: How long the gateway asks to be left alone, where it says so.
        suspicion: What a second task must meet too, before it is the account's (``"403"``);
            empty where one task's is enough to tell.
    """

    def __init__(
        self, message: str, *, retry_after: timedelta | None = None, suspicion: str = ""
    ) -> None:
        super().__init__(message)
        self.retry_after = retry_after
        self.suspicion = suspicion


class OctovidAuthenticationError(OctovidAccountError):
    """401, 402 or 403: the key is wrong, expired or out of quota, or a proxy keeps us out."""


class OctovidBaseURLError(OctovidAccountError):
    """404 on the path, or a page in place of the API: ``BASE_URL`` is not that of a gateway."""


class OctovidRateLimitError(OctovidAccountError):
    """429: too many requests."""


class OctovidTaskError(OctovidError):
    """The trouble is with one task."""


class OctovidTaskNotFoundError(OctovidTaskError):
    """``task_not_exist``: unknown, another account's, or not known yet."""


class OctovidResponseError(OctovidTaskError):
    """The answer cannot be understood: not JSON, not an object, not a task, or too large."""


class OctovidTransientError(OctovidError):
    """It passes by itself, or is an outage.

    Args:
        message: One readable line.
        reason: The cause alone, such as ``Connection refused``.
    """

    def __init__(self, message: str, *, reason: str = "") -> None:
        super().__init__(message)
        self.reason = one_line(reason) or str(self)


class OctovidGatewayError(OctovidTransientError):
    """The gateway, or the proxy in front of it, answered with an error (any 5xx)."""


class OctovidRedirectError(OctovidTransientError):
    """The gateway pointed elsewhere; the key is never sent there."""


class OctovidConnectionError(OctovidTransientError):
    """No whole answer: refused, reset, truncated, or the name cannot be resolved."""


class OctovidTimeoutError(OctovidConnectionError):
    """No whole answer within ``TIMEOUT`` seconds."""
