from __future__ import annotations

from collections.abc import Callable

import pytest
from django_q.conf import Conf

from octovid_django.wakeup import wake
from tests.broker import take_messages

pytestmark = pytest.mark.django_db

FUNCTION = "octovid_django.tasks.deliver_completion"


def test_queues_a_call_that_is_neither_kept_nor_repeated() -> None:
    wake(FUNCTION, 7)

    (message,) = take_messages()
    assert (message["func"], message["args"]) == (FUNCTION, (7,))
    assert message["save"] is False
    assert message["ack_failure"] is True


def test_goes_to_the_cluster_that_does_the_work(configure: Callable[..., None]) -> None:
    configure(CLUSTER="videos")

    wake(FUNCTION, 7)

    assert take_messages() == []
    (message,) = take_messages("videos")
    assert message["func"] == FUNCTION


@pytest.mark.parametrize(
    "broker",
    [
        {"ORM": "a database that is not there"},
        {"ORM": None, "REDIS": "redis://127.0.0.1:9"},
    ],
    ids=["database", "redis"],
)
def test_a_broker_that_is_gone_is_logged_and_no_more(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, broker: dict[str, str]
) -> None:
    for name, value in broker.items():
        monkeypatch.setattr(Conf, name, value)

    wake(FUNCTION, 7)

    assert f"No worker could be woken up for {FUNCTION}" in caplog.text
