"""Tells the hosts that clients have named how tasks ended: once each, or again after a fault."""

import contextlib
import http.client
import threading
import time
from collections import Counter
from collections.abc import Callable, Collection, Sequence
from datetime import UTC, datetime
from typing import Final, Literal, Protocol
from uuid import UUID

import msgspec
import structlog
from standardwebhooks import Webhook

from commands.ports import EventStore
from domain import render
from domain.account import AccountErased
from domain.errors import AtelierError, HistoryReplaced
from domain.events import Recorded, fold
from domain.fit import GarmentFit
from domain.render import RenderCancelled, RenderCompleted, RenderFailed
from infra.log.event_store import EventBatch
from infra.process.metrics import WEBHOOK
from infra.webhooks.deliveries import FOLLOWER, Deliveries, Due
from infra.webhooks.posting import Poster
from infra.webhooks.targets import Forbidden
from projections import tasks
from projections.tasks import TaskFile
from render_consumers.loop.cleaner import Leader

log = structlog.get_logger("atelier.webhooks")

LOCK: Final = f"atelier.{FOLLOWER}"
BATCH: Final = 2_000
AT_ONCE: Final = 16
AT_ONCE_OF_ONE: Final = 4  # so that one account's silent host does not hold up all others
RETRY_S: Final = 2.0
LOOK_S: Final = 0.1  # at the log, while something is under way
MOST_OF_AN_ERROR: Final = 200  # characters
GONE: Final = 410  # the receiver wants to hear no more
ENDS: Final = (RenderCompleted, RenderFailed, RenderCancelled)
FOLLOWED: Final = [kind.stored_name for kind in (*ENDS, AccountErased)]


class Log(EventStore, Protocol):
    """The events, by position and type as well as by aggregate."""

    def read_some(
        self, after: int, limit: int, types: Collection[str], *, personal: Collection[str]
    ) -> EventBatch:
        """Of the next up to `limit` events those of some types."""

    def check_history(self) -> None:
        """Raise `HistoryReplaced` when the log does not hold the newest event that was seen."""


class TaskError(msgspec.Struct, frozen=True, kw_only=True):
    """Why a task failed."""

    code: str
    message: str


class EndedTask(msgspec.Struct, frozen=True, kw_only=True):
    """What `GET /generate/{task_id}` says of a task that has ended, and which one it is."""

    task_id: UUID
    status: Literal["SUCCESS", "FAILED"]
    type: Literal["vip", "normal"]
    position: int = 0
    progress: float
    stage: None = None  # nothing is being done any more
    eta_seconds: float = 0.0
    error: TaskError | None
    files: list[TaskFile]
    ignored: list[str]
    fit: list[GarmentFit]
    engine: str | None


class Payload(msgspec.Struct, frozen=True, kw_only=True):
    """The body of a webhook; ``timestamp`` is when the task ended."""

    type: Literal["task.completed", "task.failed"]
    timestamp: datetime
    data: EndedTask


class WebhookSender:
    """Follows the log; one at a time works, and any number may stand by.

    What it is at when it is killed is sent again by the next one, under the same id.
    """

    def __init__(
        self,
        deliveries: Deliveries,
        events: Log,
        url: Callable[[str], str],
        poster: Poster,
        keys: Sequence[str],
    ) -> None:
        """`url` makes the link to a file of the media store; each of the keys signs."""
        self._deliveries = deliveries
        self._events = events
        self._url = url
        self._poster = poster
        self._signers = [Webhook(key) for key in keys]
        self._under_way: dict[threading.Thread, Due] = {}
        self._ended = threading.Event()

    def run(self, leader: Leader, news: Callable[[], object], stop: threading.Event) -> None:
        """Send until `stop`, or until the log is another one; who is away is waited for."""
        while not stop.is_set() and leader.acquire(stop):
            try:
                while not stop.is_set() and leader.held():
                    if self.follow() or self._begin():
                        continue
                    if self._under_way:
                        self._ended.wait(LOOK_S)
                    else:
                        news()
            except HistoryReplaced as error:
                log.error("stopped", why=str(error))
                return
            except AtelierError as error:
                log.info("waiting", why=error.code)
                stop.wait(RETRY_S)

    def follow(self) -> int:
        """Note which tasks of the next events have ended and are to be told of.

        It gives the number of events, and raises `HistoryReplaced` when the log does not hold what
        was read of it before.
        """
        self._events.check_history()
        position = self._deliveries.standing()
        batch = self._events.read_some(position, BATCH, FOLLOWED, personal=())
        ends = [each.position for each in batch.events if isinstance(each.event, ENDS)]
        erased = [each.account for each in batch.events if isinstance(each.event, AccountErased)]
        if batch.position > position:
            self._deliveries.follow(batch.position, ends=ends, erased=erased)
        return batch.position - position

    def _begin(self) -> int:
        """Begin what is due, as far as there is room, and give how many."""
        self._ended.clear()
        for thread in [each for each in self._under_way if not each.is_alive()]:
            del self._under_way[thread]
        before = len(self._under_way)
        each_has = Counter(due.account for due in self._under_way.values())
        for due in self._deliveries.due(
            AT_ONCE - before,
            under_way=[due.task for due in self._under_way.values()],
            busy=[account for account, count in each_has.items() if count >= AT_ONCE_OF_ONE],
        ):
            if each_has[due.account] < AT_ONCE_OF_ONE:
                each_has[due.account] += 1
                # Whoever stops does not wait for the answer: it is sent again.
                thread = threading.Thread(target=self._attempt, args=(due,), daemon=True)
                self._under_way[thread] = due
                thread.start()
        return len(self._under_way) - before

    def _attempt(self, due: Due) -> None:
        try:
            self.send(due)
        except AtelierError as error:
            log.info("waiting", why=error.code)  # it is due still
        except Exception as error:
            log.exception("webhook not sent", task=str(due.task))
            with contextlib.suppress(AtelierError):
                self._deliveries.tried(due, sent=False, error=type(error).__name__)
        finally:
            self._ended.set()

    def send(self, due: Due) -> None:
        """Make one attempt, and write down how it ended."""
        history = self._events.load(due.task)
        url = fold(render.evolve, render.initial, history).webhook_url
        if url is None:  # its person is erased
            self._deliveries.drop(due.task)
            return
        body = msgspec.json.encode(payload(history, self._url))
        began = time.monotonic()
        status, error = self._posted(url, body, due)
        sent = status is not None and 200 <= status < 300
        outcome = "sent" if sent else "refused" if status else "unanswered"
        WEBHOOK.labels(outcome).observe(time.monotonic() - began)
        self._deliveries.tried(due, sent=sent, final=status == GONE, status=status, error=error)
        log.info("webhook", task=str(due.task), outcome=outcome, status=status, why=error)

    def _posted(self, url: str, body: bytes, due: Due) -> tuple[int | None, str]:
        """The status that was answered, or why none was; in no words of the receiver's."""
        try:
            return self._poster.post(url, body, self._headers(due, body)), ""
        except Forbidden as error:
            return None, f"the address must {error}"
        except http.client.HTTPException as error:
            return None, f"no HTTP: {type(error).__name__}"
        except OSError as error:
            return None, str(error)[:MOST_OF_AN_ERROR] or type(error).__name__

    def _headers(self, due: Due, body: bytes) -> dict[str, str]:
        now, message = datetime.now(UTC), str(due.task)
        signatures = [each.sign(message, now, body.decode()) for each in self._signers]
        return {
            "Content-Type": "application/json",
            "User-Agent": "Atelier",
            "webhook-id": message,
            "webhook-timestamp": str(int(now.timestamp())),
            "webhook-signature": " ".join(signatures),
        }


def payload(history: Sequence[Recorded], url: Callable[[str], str]) -> Payload:
    """What is told of a task that has ended; `url` makes the links to its files."""
    task = tasks.of_history(history)
    (end,) = (each for each in history if isinstance(each.event, ENDS))
    succeeded = isinstance(end.event, RenderCompleted)
    error = None
    if task.error_code is not None:
        error = TaskError(code=task.error_code, message=task.error_message or "")
    return Payload(
        type="task.completed" if succeeded else "task.failed",
        timestamp=end.recorded_at,
        data=EndedTask(
            task_id=task.task,
            status="SUCCESS" if succeeded else "FAILED",
            type="vip" if task.vip else "normal",
            progress=1.0 if succeeded else 0.0,
            error=error,
            files=tasks.linked(task.files, url),
            ignored=task.ignored,
            fit=list(render.fit_of(each.event for each in history)),
            engine=task.engine,
        ),
    )
