"""Kills and freezes whatever runs, one after the other or several at once."""

import contextlib
import random
import threading
import time
from collections import Counter
from collections.abc import Callable, Sequence

import psutil
from kafka.errors import KafkaError

from infra.kafka.clients import make_admin
from infra.kafka.topics import EVENTS_TOPIC, TICKETS_TOPIC, remove_topic
from tests.support.atelier import SERVER_WORDS, Atelier
from tests.support.flapping import Flapping

OURS = ("api", "relay", "projector", "render-consumer")
VICTIMS = (*OURS, "render-consumer", *SERVER_WORDS)  # of render consumers there are two
PAUSE_S = (0.5, 5.0)
FROZEN_S = (0.5, 9.0)  # a lease lasts for 5
EMPTIED, FLAPPED, KILLED = 0.05, 0.1, 0.4  # of all faults; the others freeze
FLAPPING_S = (2.0, 15.0)
GUARD = "guard.py"  # which starts an embedded server, and whose command line holds the server's


class Absent(Exception):
    """No such process runs."""


class Faults:
    """What has been done to whom, and what is to be undone in the end."""

    def __init__(self, atelier: Atelier, way: Flapping, chance: random.Random) -> None:
        self.kills: Counter[str] = Counter()
        self.freezes: Counter[str] = Counter()
        self.emptied = 0
        self.flapped = 0
        self.way = way
        self._atelier = atelier
        self._chance = chance
        self._ends: list[threading.Timer] = []  # of what lasts for a while

    def go_on(self, seconds: float) -> None:
        """Strike at random moments for so long, and return when all that lasts is over."""
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            time.sleep(self._chance.uniform(*PAUSE_S))
            # Who is just being started again is spared, and a broker that does not answer.
            with contextlib.suppress(psutil.NoSuchProcess, Absent, KafkaError):
                self._strike()
        for end in self._ends:
            end.join()

    def _strike(self) -> None:
        victim = self._chance.choice(VICTIMS)
        how = self._chance.random()
        if how < EMPTIED:
            self._empty_the_broker()
        elif how < EMPTIED + FLAPPED:
            self._flap()
        elif how < EMPTIED + FLAPPED + KILLED:
            self._kill(victim)
        else:
            self._freeze(victim)

    def _kill(self, victim: str) -> None:
        if victim in self._atelier.outside.running:
            self._atelier.kill(victim)
        else:
            self._chance.choice(running(words_of(victim))).kill()
        self.kills[victim] += 1

    def _freeze(self, victim: str) -> None:
        if victim == "postgres":  # each connection is a process of its own
            processes = running([*words_of(victim), "postgres: "])
        else:
            processes = [self._chance.choice(running(words_of(victim)))]
        for process in processes:
            with contextlib.suppress(psutil.NoSuchProcess):
                process.suspend()
        self._later(FROZEN_S, lambda: resume(processes))
        self.freezes[victim] += 1

    def _flap(self) -> None:
        """Every other call of the media store fails for a while."""
        self.way.failing = True
        self._later(FLAPPING_S, self.way.heal)
        self.flapped += 1

    def _later(self, seconds: tuple[float, float], act: Callable[[], None]) -> None:
        end = threading.Timer(self._chance.uniform(*seconds), act)
        end.start()
        self._ends.append(end)

    def _empty_the_broker(self) -> None:
        """The embedded broker keeps nothing anyway; from another one the topics are taken."""
        if "kafka" not in self._atelier.outside.running:
            self._kill("kafka")
        else:
            admin = make_admin(self._atelier.settings())
            with contextlib.closing(admin):
                for topic in (TICKETS_TOPIC, EVENTS_TOPIC):
                    remove_topic(admin, topic)
        self.emptied += 1


def words_of(victim: str) -> Sequence[str]:
    """What tells a victim's command line."""
    return SERVER_WORDS.get(victim) or [f"api {victim}"]


def running(words: Sequence[str]) -> list[psutil.Process]:
    """The processes below this one whose command lines hold any of the words; guards apart."""
    found = []
    for process in psutil.Process().children(recursive=True):
        with contextlib.suppress(psutil.Error):
            line = " ".join(process.cmdline())
            if GUARD not in line and any(each in line for each in words):
                found.append(process)
    if not found:
        raise Absent(words)
    return found


def resume(processes: list[psutil.Process]) -> None:
    """Let those go on that are still there."""
    for process in processes:
        with contextlib.suppress(psutil.NoSuchProcess):
            process.resume()
