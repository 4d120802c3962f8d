"""What can go wrong between the site and the gateway, by whose trouble it is.

===========================  =======================================  ==============================
trouble                      what the app does                        kinds
===========================  =======================================  ==============================
everyone's (the account's)   all polling pauses, no row is marked     ``OctovidAccountError``
this row's                   the row is asked again, with backoff     ``OctovidTaskError``
passing                      the row is asked again, with backoff     ``OctovidTransientError``
===========================  =======================================  ==============================

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
    """The trouble is the account's: asking for other tasks meets it too.

    Args:
        message: One readable line.
        retry_after: How long the gateway asks to be left alone, where it says so.
    """

    def __init__(self, message: str, *, retry_after: timedelta | None = None) -> None:
        super().__init__(message)
        self.retry_after = retry_after


class OctovidAuthenticationError(OctovidAccountError):
    """401 or 403: the key is wrong, expired or out of quota."""


class OctovidBaseURLError(OctovidAccountError):
    """404 on the path: ``BASE_URL`` is not that of a gateway."""


class OctovidRateLimitError(OctovidAccountError):
    """429: too many requests."""


class OctovidTaskError(OctovidError):
    """The trouble is with one task."""


class OctovidTaskNotFoundError(OctovidTaskError):
    """``task_not_exist``: unknown, another account's, or not known yet."""


class OctovidAnswerError(OctovidTaskError):
    """The answer cannot be understood: not JSON, not an object, not a task, or too large."""


class OctovidTransientError(OctovidError):
    """Nobody's trouble for long: the same question may be answered in a moment."""


class OctovidGatewayError(OctovidTransientError):
    """The gateway, or the proxy in front of it, answered with an error (any 5xx)."""


class OctovidRedirectError(OctovidTransientError):
    """The gateway pointed elsewhere; the key is never sent there."""


class OctovidConnectionError(OctovidTransientError):
    """No whole answer: refused, reset, truncated, or the name cannot be resolved."""


class OctovidTimeoutError(OctovidConnectionError):
    """No whole answer within ``TIMEOUT`` seconds."""
