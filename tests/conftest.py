from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import hypothesis
import pytest
from django.test import Client
from django.urls import reverse
from pytest_django.live_server_helper import LiveServer

from octovid_django.models import VideoTask
from octovid_django.sandbox import Sandbox
from octovid_django.signals import (
    video_completed,
    video_failed,
    video_progressed,
    video_succeeded,
)
from tests.broker import take_messages
from tests.browser import CHROMIUM, DRIVER, Browser, running_browser
from tests.gateway import Gateway, running_gateway
from tests.processes import REDIS_URL, wait_for

hypothesis.settings.register_profile(
    "default", max_examples=300, derandomize=True, database=None, deadline=None
)
hypothesis.settings.register_profile("thorough", max_examples=10_000, database=None, deadline=None)
hypothesis.settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "default"))

SIGNALS = {
    "video_succeeded": video_succeeded,
    "video_failed": video_failed,
    "video_completed": video_completed,
    "video_progressed": video_progressed,
}


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--wheel-dir", help="where the wheel is that test_packaging looks into")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if "browser" in getattr(item, "fixturenames", ()):
            item.add_marker("browser")


@pytest.fixture(autouse=True)
def empty_queue() -> Iterator[None]:
    """Leave no message in Redis, as the database keeps none."""
    yield
    if REDIS_URL:
        take_messages()


@pytest.fixture
def configure(settings: Any) -> Callable[..., None]:
    """Change some keys of ``OCTOVID`` for this test: ``configure(TIMEOUT=1)``."""

    def change(**values: Any) -> None:
        settings.OCTOVID = {**settings.OCTOVID, **values}

    return change


@pytest.fixture
def sandbox(configure: Callable[..., None]) -> Iterator[Sandbox]:
    """A gateway on a socket that the settings point at."""
    with Sandbox() as sandbox:
        configure(BASE_URL=sandbox.url, API_KEY=sandbox.api_key)
        yield sandbox


@pytest.fixture
def gateway(configure: Callable[..., None]) -> Iterator[Gateway]:
    """A gateway that behaves as the test sets, and that the settings point at."""
    with running_gateway() as gateway:
        configure(BASE_URL=gateway.url)
        yield gateway


@pytest.fixture
def received() -> Iterator[list[tuple[str, dict[str, Any]]]]:
    """What receivers of every signal are called with, in order: ``(name, arguments)``."""
    calls: list[tuple[str, dict[str, Any]]] = []
    receivers = []
    for name, signal in SIGNALS.items():

        def receive(sender: object, name: str = name, **arguments: Any) -> None:
            assert sender is VideoTask
            arguments.pop("signal")
            calls.append((name, arguments))

        signal.connect(receive)
        receivers.append((signal, receive))
    yield calls
    for signal, receive in receivers:
        signal.disconnect(receive)


@pytest.fixture
def browser(live_server: LiveServer, tmp_path: Path) -> Iterator[Browser]:
    """A real browser for the pages of ``live_server``; nothing may complain in its console."""
    if not (CHROMIUM and DRIVER):
        pytest.skip("there is no browser: install Debian's chromium and chromium-driver")
    with running_browser(tmp_path) as browser:
        yield browser
        complaints = browser.complaints()
    # A connection that outlives the test could not be closed without the test's database.
    wait_for(lambda: not _threads("process_request_thread"), 10, "connections are still open")
    assert complaints == []


@pytest.fixture
def visit(browser: Browser, live_server: LiveServer, admin_client: Client) -> Callable[..., None]:
    """Open one of the admin's pages of tasks as a superuser: ``visit("change", task.pk)``."""

    def visit(view: str, *arguments: int, client: Client = admin_client) -> None:
        browser.enter(live_server.url, client)
        path = reverse(f"admin:octovid_django_videotask_{view}", args=arguments)
        browser.driver.get(live_server.url + path)

    return visit


def _threads(target: str) -> list[str]:
    return [thread.name for thread in threading.enumerate() if target in thread.name]
