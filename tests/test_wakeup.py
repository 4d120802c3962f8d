from __future__ import annotations

from collections.abc import Callable

import pytest
from django_q.conf import Conf
from django_q.models import OrmQ

from octovid_django.wakeup import wake

pytestmark = pytest.mark.django_db

FUNCTION = "octovid_django.tasks.deliver_completion"


def test_queues_a_call_that_is_neither_kept_nor_repeated() -> None:
    wake(FUNCTION, 7)

    message = OrmQ.objects.get()
    assert (message.func(), message.args()) == (FUNCTION, (7,))
    assert message.task["save"] is False
    assert message.task["ack_failure"] is True


def test_goes_to_the_cluster_that_does_the_work(configure: Callable[..., None]) -> None:
    configure(CLUSTER="videos")

    wake(FUNCTION, 7)

    assert OrmQ.objects.get().key == "videos"


def test_a_broker_that_is_gone_is_logged_and_no_more(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(Conf, "ORM", "a database that is not there")

    wake(FUNCTION, 7)

    assert f"No worker could be woken up for {FUNCTION}" in caplog.text
