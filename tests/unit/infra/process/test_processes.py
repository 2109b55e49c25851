import os
import select
import threading
import time

import pytest

from infra.process import processes
from infra.process.processes import PULSE_FD, Pulse


@pytest.fixture
def feeling(monkeypatch: pytest.MonkeyPatch):
    """Whether a beat of the pulse comes within a second."""
    reading, writing = os.pipe()
    monkeypatch.setenv(PULSE_FD, str(writing))
    monkeypatch.setattr(processes, "PULSE_S", 0.01)

    def feel() -> bool:
        while select.select([reading], [], [], 0)[0]:
            os.read(reading, 1_000)
        return bool(select.select([reading], [], [], 1.0)[0])

    yield feel
    os.close(reading)
    os.close(writing)


def test_a_pulse_beats_for_as_long_as_somebody_gets_on(feeling):
    pulse, stop = Pulse(patience=0.3), threading.Event()
    thread = threading.Thread(target=pulse.follow, args=(stop,))
    thread.start()
    try:
        assert feeling()
        time.sleep(0.4)
        assert not feeling()
        pulse.beat()
        assert feeling()
    finally:
        stop.set()
        thread.join()


def test_without_somebody_to_feel_it_there_is_none():
    Pulse(patience=1.0).follow(threading.Event())
