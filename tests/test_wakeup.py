from __future__ import annotations

from collections.abc import Callable

import pytest
from django_q.conf import Conf

from octovid_django.cluster.wakeup import wake
from tests.broker import take_messages

pytestmark = pytest.mark.django_db

FUNCTION = "octovid_django.tasks.deliver_completion"


def test_wake_queues_message_without_saved_result_or_retry() -> None:
    wake(FUNCTION, 7)

    (message,) = take_messages()
    assert (message["func"], message["args"]) == (FUNCTION, (7,))
    assert message["save"] is False
    assert message["ack_failure"] is True


def test_wake_queues_message_for_configured_cluster(configure: Callable[..., None]) -> None:
    configure(CLUSTER="videos")

    wake(FUNCTION, 7)

    assert take_messages() == []
    (message,) = take_messages("videos")
    assert message["func"] == FUNCTION


@pytest.mark.parametrize(
    "broker",
    [
        {"ORM": "a missing database"},
        {"ORM": None, "REDIS": "redis://127.0.0.1:9"},
    ],
    ids=["database", "redis"],
)
def test_unreachable_broker_is_logged_and_not_raised(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, broker: dict[str, str]
) -> None:
    for name, value in broker.items():
        monkeypatch.setattr(Conf, name, value)

    wake(FUNCTION, 7)

    assert f"No worker could be woken up for {FUNCTION}" in caplog.text
