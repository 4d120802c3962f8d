"""System checks of the settings ``OCTOVID`` and ``Q_CLUSTER``, under a tag of their own.

``manage.py check --tag octovid_django`` runs these alone. Each message has a hint: what to write
instead.
"""

from __future__ import annotations

import ipaddress
import math
from collections.abc import Iterator, Mapping
from typing import Any
from urllib.parse import urlsplit

from django.apps import apps
from django.conf import settings
from django.core.checks import CheckMessage, Error
from django.core.checks import Warning as CheckWarning
from requests.utils import get_environ_proxies, select_proxy

from octovid_django.conf import (
    SETTINGS,
    configured,
    nearest_name,
    octovid_settings,
)
from octovid_django.exceptions import OctovidSettingsError

TAG = "octovid_django"
"""The tag of these checks."""

Q_RETRY = 60
"""django-q2's default for ``Q_CLUSTER["retry"]``, in seconds."""
RUN_SECONDS = 10
"""Seconds that a polling run needs beside ``TIMEOUT``."""

MISSING_KEY = 'OCTOVID["API_KEY"] is missing: the gateway refuses every request without one'
WRITE_KEY = 'Write OCTOVID = {"API_KEY": "…"}. Better, read the key from the environment.'


def check_settings(**_: Any) -> list[CheckMessage]:
    """Check ``OCTOVID``: keys and values are valid, and the API key is not sent unencrypted."""
    try:
        given = configured()
    except OctovidSettingsError as error:
        return [Error(str(error), id="octovid_django.E002")]
    return [
        *_missing_key(given),
        *_unknown_keys(given),
        *_wrong_values(given),
        *_plain_http(),
        *_naive_times(),
    ]


def check_deployment(**_: Any) -> list[CheckMessage]:
    """Check that there is an API key. Builds, migrations and tests need none, a site does."""
    try:
        is_missing = not configured().get("API_KEY")
    except OctovidSettingsError:
        return []  # check_settings reports it
    return [Error(MISSING_KEY, hint=WRITE_KEY, id="octovid_django.E001")] if is_missing else []


def check_cluster(**_: Any) -> list[CheckMessage]:
    """Check that django-q2 is installed, runs the schedule, and has time for a polling run."""
    if not apps.is_installed("django_q"):
        return [
            Error(
                "django-q2 is not installed: no task would be polled",
                hint='Add "django_q" to INSTALLED_APPS.',
                id="octovid_django.E005",
            )
        ]
    clusters = _clusters(getattr(settings, "Q_CLUSTER", None) or {})
    try:
        name = octovid_settings.CLUSTER
        timeout = octovid_settings.TIMEOUT
    except OctovidSettingsError:
        return []  # check_settings reports it
    if name is not None and name not in clusters:
        return [
            Error(
                f'OCTOVID["CLUSTER"] is "{name}", but Q_CLUSTER has no cluster of that name',
                hint=f'Write {" or ".join(clusters)}, or add it to Q_CLUSTER["ALT_CLUSTERS"].',
                id="octovid_django.E006",
            )
        ]
    # Without a name, django-q2 gives the schedule to the cluster named Q_CLUSTER["name"].
    name = name or next(iter(clusters))
    cluster = clusters[name]
    return [*_has_time_for_run(name, cluster, timeout), *_schedule_runs(name, cluster)]


def _missing_key(given: Mapping[str, Any]) -> Iterator[CheckMessage]:
    if not given.get("API_KEY"):
        yield CheckWarning(MISSING_KEY, hint=WRITE_KEY, id="octovid_django.W007")


def _unknown_keys(given: Mapping[str, Any]) -> Iterator[CheckMessage]:
    for name in given:
        if name not in SETTINGS:
            nearest = nearest_name(name)
            yield Error(
                f'OCTOVID["{name}"] is not a setting of octovid-django',
                hint=f'Did you mean "{nearest}"?'
                if nearest
                else f"There are {', '.join(SETTINGS)}.",
                id="octovid_django.E003",
            )


def _wrong_values(given: Mapping[str, Any]) -> Iterator[CheckMessage]:
    for name, setting in SETTINGS.items():
        if name in given and not (name == "API_KEY" and not given[name]):
            wanted = setting.validate(given[name])
            if wanted:
                yield Error(
                    f'OCTOVID["{name}"] is wrong',
                    hint=f"Write {wanted}.",
                    id="octovid_django.E004",
                )


def _plain_http() -> Iterator[CheckMessage]:
    try:
        parts = urlsplit(octovid_settings.BASE_URL)
    except OctovidSettingsError:
        return
    if parts.scheme != "http":
        return
    has_proxy = bool(select_proxy(parts.geturl(), get_environ_proxies(parts.geturl())))
    if has_proxy or not _is_loopback(parts.hostname or ""):
        yield CheckWarning(
            'OCTOVID["BASE_URL"] is plain http: the API key travels unencrypted'
            + (", and the proxy of the environment (http_proxy) gets it" if has_proxy else ""),
            hint=f"Write https://{', or name the host in no_proxy' if has_proxy else ''}.",
            id="octovid_django.W001",
        )


def _naive_times() -> Iterator[CheckMessage]:
    if not settings.USE_TZ:
        yield Error(
            "USE_TZ is False: octovid-django works with times that have a time zone",
            hint="Write USE_TZ = True.",
            id="octovid_django.E009",
        )


def _is_loopback(host: str) -> bool:
    try:
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _clusters(q_cluster: Mapping[str, Any]) -> dict[str, Mapping[str, Any]]:
    """The settings of every cluster, by its name; the main one comes first."""
    site = q_cluster.get("name", "default")
    clusters = {q_cluster.get("cluster_name", site): q_cluster}
    for name, conf in (q_cluster.get("ALT_CLUSTERS") or {}).items():
        clusters[name] = {**q_cluster, **conf}
    return clusters


def _has_time_for_run(
    name: str, cluster: Mapping[str, Any], timeout: float
) -> Iterator[CheckMessage]:
    q_timeout, q_retry = cluster.get("timeout"), cluster.get("retry", Q_RETRY)
    enough = max(90, math.ceil(timeout) + RUN_SECONDS)
    example = f'Write Q_CLUSTER = {{"timeout": {enough}, "retry": {enough + 30}, …}}.'
    if not q_timeout:
        yield CheckWarning(
            f'Q_CLUSTER["timeout"] of {name} is not set: a receiver that hangs blocks its worker',
            hint=example,
            id="octovid_django.W002",
        )
    elif q_timeout >= q_retry:
        yield Error(
            f'Q_CLUSTER["timeout"] of {name} is {q_timeout}, not less than "retry" ({q_retry}): '
            "django-q2 would start again what still runs",
            hint=example,
            id="octovid_django.E007",
        )
    shortest = min(q_timeout or q_retry, q_retry)
    if shortest < timeout + RUN_SECONDS:
        yield Error(
            f'Q_CLUSTER["timeout"] or "retry" of {name} is {shortest}, too short for a polling '
            f'run, which needs {RUN_SECONDS} seconds plus OCTOVID["TIMEOUT"] ({timeout:g})',
            hint=example,
            id="octovid_django.E008",
        )


def _schedule_runs(name: str, cluster: Mapping[str, Any]) -> Iterator[CheckMessage]:
    if cluster.get("scheduler") is False:
        yield CheckWarning(
            f'Q_CLUSTER["scheduler"] of {name} is False: the schedule does not run',
            hint='Remove it, or name another cluster in OCTOVID["CLUSTER"].',
            id="octovid_django.W003",
        )
    if cluster.get("catch_up", True):
        yield CheckWarning(
            f'Q_CLUSTER["catch_up"] of {name} is on: after an hour without a cluster, '
            "django-q2 runs the schedule sixty times at once",
            hint='Write Q_CLUSTER = {"catch_up": False, …}.',
            id="octovid_django.W006",
        )
    site = cluster.get("name", "default")
    if octovid_settings.CLUSTER is None and name != site:
        yield CheckWarning(
            f'The cluster {name} is not the one of Q_CLUSTER["name"] ({site}): django-q2 runs only '
            "those schedules in it that name it",
            hint=f'Write OCTOVID = {{"CLUSTER": "{name}", …}}.',
            id="octovid_django.W004",
        )
    if cluster.get("sync"):
        yield CheckWarning(
            'Q_CLUSTER["sync"] is on: receivers run inside the polling run, none in parallel',
            hint="Remove it outside of tests.",
            id="octovid_django.W005",
        )
