"""People who order pictures, give some up again, and now and then want to be forgotten."""

import random
import threading
from uuid import UUID

import httpx

from tests.support.atelier import Person

PAUSE_S = (0.2, 2.0)  # between what one person does
AGAIN_S = 0.3  # until a request that failed is sent again
UNFINISHED = 3  # tasks of one person at a time
CANCELLED, ERASED = 0.15, 0.02  # of all that is done


class Load:
    """So many people, each a thread; ``accepted`` has the tasks that the API said yes to."""

    def __init__(self, client: httpx.Client, people: int, seed: str) -> None:
        self.accepted: set[str] = set()
        self.living: dict[str, Person] = {}  # who asked for a task, but for the erased
        self.erased = 0
        self._client = client
        self._stop = threading.Event()
        self._threads = [
            threading.Thread(target=self._live, args=[random.Random(f"{seed} {n}")], daemon=True)
            for n in range(people)
        ]

    def start(self) -> None:
        """Begin to order."""
        for thread in self._threads:
            thread.start()

    def stop(self) -> None:
        """Order nothing more; what was sent is answered first."""
        self._stop.set()
        for thread in self._threads:
            thread.join()

    def _live(self, chance: random.Random) -> None:
        person = self._register()
        while person and not self._stop.wait(chance.uniform(*PAUSE_S)):
            deed = chance.random()
            theirs = [task for task, owner in list(self.living.items()) if owner is person]
            if deed < ERASED:
                if self._insist("DELETE", "/account", person) is not None:
                    self.erased += 1
                for task in theirs:
                    del self.living[task]
                person = self._register()
            elif deed < ERASED + CANCELLED and theirs:
                self._insist("DELETE", f"/generate/{chance.choice(theirs[-UNFINISHED:])}", person)
            else:
                self._order(person, chance)

    def _order(self, person: Person, chance: random.Random) -> None:
        key = UUID(int=chance.getrandbits(128)).hex
        options = {"limit": UNFINISHED, "vip": chance.random() < 0.2}
        answer = self._insist("POST", "/generate", person, {"task_options": options}, key)
        if answer is not None and answer.status_code == 200:
            task = answer.json()["task_id"]
            self.accepted.add(task)
            self.living[task] = person

    def _insist(
        self, method: str, path: str, person: Person, body: object = None, key: str = ""
    ) -> httpx.Response | None:
        """What is answered at last; None when the run is over before."""
        headers = person.headers | ({"Idempotency-Key": key} if key else {})
        while True:
            try:
                answer = self._client.request(method, path, headers=headers, json=body)
                if answer.status_code < 500:
                    return answer
            except httpx.TransportError:
                pass
            if self._stop.wait(AGAIN_S):
                return None

    def _register(self) -> Person | None:
        while not self._stop.is_set():
            try:
                return Person(self._client)
            except (httpx.TransportError, AssertionError):
                self._stop.wait(AGAIN_S)
        return None
