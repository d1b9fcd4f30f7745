"""What a worker tells of itself."""

from types import SimpleNamespace

import pytest
import redis

from sortline.queue import DocumentQueue
from sortline.settings import Settings
from worker.active_model import Models
from worker.consumer import Consumer
from worker.held import Held
from worker.presence import Presence


def test_its_rate_is_that_of_the_last_minute(
    settings: Settings, redis_client: redis.Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = SimpleNamespace(now=1000.0)
    monkeypatch.setattr("worker.presence.time", SimpleNamespace(monotonic=lambda: clock.now))
    presence, queue = (
        Presence(settings.prefix, Consumer(settings), Models(settings), Held(1)),
        DocumentQueue(redis_client, settings),
    )

    rates = []
    for _ in range(70):  # every two seconds, as a worker tells: documents come for 40 s, then none
        presence.send_heartbeat()
        rates.append(queue.workers()[0]["documents_per_s"])
        if clock.now < 1040:
            presence.count(60)
        clock.now += 2

    assert rates[20] == pytest.approx(30)
    assert rates[30] == pytest.approx(20)  # 1,200 documents in a minute
    assert rates[40] == pytest.approx(10)
    assert rates[52:] == [0] * 18
