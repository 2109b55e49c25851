"""Somebody who changes something all the time, so that a test sees what was told of each change."""

import threading
import time

import httpx

from infra.postgres import connect
from tests.support.atelier import Person


class Writer(threading.Thread):
    """Somebody who changes their name all the time, and notes what came of each change."""

    def __init__(self, client: httpx.Client) -> None:
        super().__init__(daemon=True)
        self.over = threading.Event()
        self.answers: list[tuple[float, int]] = []
        self._client = client
        self._person = Person(client)

    def run(self) -> None:
        while not self.over.is_set():
            name = {"full_name": f"Ada {len(self.answers)}"}
            try:
                answer = self._client.post(
                    "/update_user_info", json=name, headers=self._person.headers
                )
            except httpx.HTTPError:
                self.answers.append((time.monotonic(), 0))
            else:
                self.answers.append((time.monotonic(), answer.status_code))
            self.over.wait(0.02)

    def wrote_after(self, moment: float) -> bool:
        """Whether a change was made since."""
        return any(at > moment and status == 200 for at, status in self.answers)

    def count(self, *statuses: int) -> int:
        """How many changes were answered so."""
        return sum(status in statuses for _, status in self.answers)


def changes_in(url: str) -> int:
    """How many changes of somebody's name the log holds."""
    with connect(url) as connection:
        ((changes,),) = connection.execute(
            "SELECT count(*) FROM atelier_events WHERE type = 'account.info_updated.v1'"
        )
    return int(changes)
