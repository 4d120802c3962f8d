"""The errors of the app. Those of polling have a scope: whom the error concerns.

===============  =================================================  ==========================
scope            what the app does                                  exceptions
===============  =================================================  ==========================
account          pauses all polling, then sends one probe first     ``OctovidAccountError``
task             retries the task, with backoff                     ``OctovidTaskError``
transient        the same; an outage where no task has a response   ``OctovidTransientError``
===============  =================================================  ==========================

Whatever the scope, the row of the task that met the error records it, and backs off. A 403, a 404
or a challenge page can have either scope: it is an ``OctovidAccountError`` with a ``suspicion``,
and counts as scope task until a second task meets the same.

Every message is one readable line, redacted.
"""

from __future__ import annotations

from datetime import timedelta

from django.core.exceptions import SynchronousOnlyOperation

from octovid_django.redaction import one_line


class OctovidError(Exception):
    """The base class of all exceptions of this app. Its text is one readable, redacted line."""

    def __init__(self, message: str) -> None:
        super().__init__(one_line(message))


class OctovidSettingsError(OctovidError):
    """A setting is missing or wrong. The message names it and says what to write instead."""


class OctovidTaskIdError(OctovidError, ValueError):
    """A text that cannot be the id of a task at any gateway."""


class OctovidMetadataError(OctovidError, TypeError):
    """Metadata that is not a JSON object."""


class OctovidSynchronousOnlyError(OctovidError, SynchronousOnlyOperation):
    """A blocking method was called in async code. The message names the one to await."""


class OctovidAccountError(OctovidError):
    """Scope account: polling any other task meets the same error.

    Args:
        message: One readable line.
        retry_after: How long to send no request, where the response says so (``Retry-After``).
        suspicion: The status (``"403"``, ``"404"``, ``"503"``) where the scope may also be the task
            alone: a second task must meet the same first. Empty where the scope is certain.
    """

    def __init__(
        self, message: str, *, retry_after: timedelta | None = None, suspicion: str = ""
    ) -> None:
        super().__init__(message)
        self.retry_after = retry_after
        self.suspicion = suspicion


class OctovidAuthenticationError(OctovidAccountError):
    """401, 402 or 403: the key is wrong, expired or out of quota, or a proxy refuses access."""


class OctovidBaseURLError(OctovidAccountError):
    """404 on the path, or an HTML page in place of the API: ``BASE_URL`` is wrong."""


class OctovidRateLimitError(OctovidAccountError):
    """429: too many requests."""


class OctovidTaskError(OctovidError):
    """Scope task: the error concerns one task alone."""


class OctovidTaskNotFoundError(OctovidTaskError):
    """``task_not_exist``: the task is unknown, another account's, or not known yet."""


class OctovidResponseError(OctovidTaskError):
    """The response cannot be used: not JSON, not an object, not a task, or too large."""


class OctovidTransientError(OctovidError):
    """Scope transient: a retry may succeed. Where no task has a response, it is an outage.

    Args:
        message: One readable line.
        reason: The cause alone, such as ``Connection refused``; by default the message.
    """

    def __init__(self, message: str, *, reason: str = "") -> None:
        super().__init__(message)
        self.reason = one_line(reason) or str(self)


class OctovidGatewayError(OctovidTransientError):
    """The gateway, or the proxy in front of it, responded with a 5xx status."""


class OctovidRedirectError(OctovidTransientError):
    """The gateway responded with a redirect. It is not followed: the key is never sent there."""


class OctovidConnectionError(OctovidTransientError):
    """No complete response: refused, reset, truncated, or the name cannot be resolved."""


class OctovidTimeoutError(OctovidConnectionError):
    """No complete response within ``TIMEOUT`` seconds."""
