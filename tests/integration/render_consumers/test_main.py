"""The consumer's process itself, with engines that misbehave in place of the painter."""

import base64
import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from uuid import UUID

import pytest

from api.figures import connected
from infra.postgres import connect
from infra.process.processes import LOST_CONSUMER
from infra.process.supervisor import CONSUMERS
from tests.integration.render_consumers.conftest import Studio
from tests.support.kling import ACCESS, SECRET, remote_engine
from tests.support.scenario import HASH_KEY, MASTER_KEY, eventually

SECRETS = {
    "ATELIER_MASTER_KEY": base64.b64encode(MASTER_KEY).decode(),
    "ATELIER_HASH_KEY": base64.b64encode(HASH_KEY).decode(),
}

# `bad` is the task at which the engine does what the test wants of it.
PROCESS = """
import os, sys, time
from pathlib import Path
from infra.settings import Settings
from render_consumers import main
from render_consumers.engines.job import DeviceLost
from tests.support.engine import SmallEngine
from tests.support.sketches import Sketcher

def misbehave(task):
    if str(task) == sys.argv[2]:
        Path(sys.argv[3], "begun").touch()
        match sys.argv[1]:
            case "die":
                os.kill(os.getpid(), 9)
            case "ignore the stop":
                time.sleep(600)
            case "lose the device":
                raise DeviceLost("CUDA error: unspecified launch failure")

main.prepare = lambda told: None
if sys.argv[1] == "sketch":
    main.Painter = Sketcher
else:
    main.Painter = lambda: None
    main.LocalEngine = lambda painter, media, redrawing: SmallEngine(misbehave)
main.run(Settings.load(os.environ))
"""


class Consumers:
    """Starts a consumer's process, and another when it has died, as `up` does."""

    def __init__(self, environ: dict[str, str], studio: Studio, folder: Path) -> None:
        self.starts = 0
        self._environ = os.environ | environ | SECRETS | {"ATELIER_LEASE_SECONDS": "2"}
        self._studio = studio
        self._folder = folder
        self._process: subprocess.Popen[bytes] | None = None
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._keep_up)

    def start(self, how: str, bad: UUID, **settings: str) -> None:
        self._environ |= settings
        self._command = [sys.executable, "-c", PROCESS, how, str(bad), str(self._folder)]
        self._thread.start()

    def has_begun(self) -> bool:
        """Whether the engine has met the bad task."""
        return (self._folder / "begun").exists()

    def kill(self) -> None:
        """Kill the process; another follows."""
        assert self._process is not None
        self._process.kill()

    def stop(self) -> float:
        """Stop as `up` does, and give the seconds that it took."""
        self._over.set()
        self._thread.join()
        assert self._process is not None
        began = time.monotonic()
        self._process.terminate()
        try:
            self._process.wait(10)
        finally:
            self._process.kill()
        return time.monotonic() - began

    def _keep_up(self) -> None:
        """Keep the consumer up, and the queue's rows up to date."""
        while not self._over.wait(0.05):
            self._studio.project()
            if self._process is None or self._process.poll() is not None:
                self.starts += 1
                self._process = subprocess.Popen(self._command, env=self._environ)


@pytest.fixture
def consumers(environ: dict[str, str], studio: Studio, tmp_path: Path) -> Iterator[Consumers]:
    consumers = Consumers(environ, studio, tmp_path)
    yield consumers
    consumers.stop()


def test_a_task_that_always_kills_its_process_fails_and_holds_up_nobody(studio, consumers):
    bad, *others = (studio.story.request() for _ in range(4))
    consumers.start("die", bad)
    eventually(lambda: all(studio.kinds(task)[-1] == "completed" for task in others), 180)
    eventually(lambda: studio.kinds(bad)[-1] == "failed", 60)
    assert studio.kinds(bad) == ["requested", *["started"] * 3, "failed"]
    end = studio.history(bad)[-1]
    assert end.code == "attempts_exhausted"
    assert end.message == "the task was given up after 3 attempts"
    assert consumers.starts == 4


def test_a_consumer_whose_engine_does_not_listen_hands_its_task_back_in_time(studio, consumers):
    task = studio.story.request()
    consumers.start("ignore the stop", task)
    eventually(consumers.has_begun, 60)
    assert consumers.stop() < CONSUMERS[0].stop_seconds
    assert studio.kinds(task) == ["requested", "started", "requeued"]
    assert studio.lease_count() == 0


def test_a_consumer_that_has_lost_its_device_is_seen_and_takes_no_more_tasks(studio, consumers):
    bad, good = (studio.story.request() for _ in range(2))
    consumers.start("lose the device", bad)

    def seen():
        with connect(studio.url) as connection:
            return connected(connection).get(LOST_CONSUMER) == 1

    eventually(seen, 60)
    time.sleep(2.0)
    assert studio.kinds(good) == ["requested"]
    assert consumers.starts == 1


def test_a_consumer_that_is_killed_while_it_submits_to_kling_is_followed_by_one_that_goes_on(
    studio, consumers
):
    task = studio.story.request(render_mode="2D_Kling")

    def kill_once(_):
        if len(remote.tasks) == 1:
            consumers.kill()

    with remote_engine() as remote:
        remote.created = kill_once
        consumers.start(
            "sketch",
            task,
            ATELIER_KLING_URL=remote.url,
            ATELIER_KLING_ACCESS_KEY=ACCESS,
            ATELIER_KLING_SECRET_KEY=SECRET,
        )
        eventually(lambda: studio.kinds(task)[-1] == "completed", 120)
    assert studio.completion(task).engine == "kling"
    assert (consumers.starts, len(remote.tasks)) == (2, 2)
