"""One hold of the transactional id: it publishes until anything goes wrong, and is then dropped.

After an error nothing that the client library believes is trusted (it may even report a commit that
never was, when a batch fails while it commits), so the next session reads Kafka's tails again.
"""

import threading
import time
from collections.abc import Sequence
from types import TracebackType
from typing import Final, Self

from kafka import KafkaProducer
from kafka.errors import (
    InvalidProducerEpochError,
    KafkaTimeoutError,
    ProducerFencedError,
)

from domain.errors import AtelierError
from infra.kafka import clients, topics
from infra.kafka.clients import within
from infra.kafka.topics import EVENTS_TOPIC
from infra.relay.hanging import end_hanging
from infra.relay.producer import Sent, hand_over
from infra.relay.records import BATCH_BYTES, Batch
from infra.relay.tails import POLL_MS, Ends, read_ends
from infra.settings import Settings

TRANSACTIONAL_ID: Final = "atelier-relay"
TRANSACTION_TIMEOUT_MS: Final = 20_000  # a dead relay holds readers up no longer than this
SEND_BLOCKS_MS: Final = 2_000  # 60 s by default: so long a send waits for a topic that is gone
RETRY_BACKOFF_MS: Final = 2  # at the default of 100 each transaction takes 108 ms on Apache Kafka
ACKNOWLEDGE_S: Final = 10.0
ACKNOWLEDGE_LOOK_S: Final = 1.0
COMMIT_S: Final = 10.0
OPEN_S: Final = 30.0
TAKE_S: Final = 10.0  # a client that still asks a dead coordinator is worth less than a new one
LOOK_S: Final = 5.0


class TopicChanged(AtelierError):
    """The events topic is another one than the session was opened on."""

    code = "topic_changed"
    retriable = True


class Fenced(AtelierError):
    """Another relay has taken the transactional id."""

    code = "fenced"
    retriable = True


class Session:
    """A transactional producer, the id of the topic it writes to, and where that topic ended."""

    source: str
    topic_id: str
    ends: Ends

    def __init__(self, settings: Settings, source: str, stop: threading.Event) -> None:
        self._settings = settings
        self._stop = stop
        self.source = source
        self._admin = within(LOOK_S * 2, lambda: clients.make_admin(settings), stop)
        try:
            self._producer = within(LOOK_S * 2, lambda: _make_producer(settings), stop)
        except BaseException:
            self._admin.close()
            raise

    def __enter__(self) -> Self:
        try:
            within(OPEN_S, self._open, self._stop)
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def read_ends(self, poll_ms: int) -> None:
        """Read where the topic ends; silence of that length means that nothing more comes."""
        consumer = clients.make_consumer(self._settings)
        try:
            self.ends = read_ends(consumer, self.source, poll_ms)
        finally:
            consumer.close()

    def publish(self, batches: Sequence[Batch]) -> None:
        """Commit all of these records; after an error nobody knows which of them arrived."""
        self._producer.begin_transaction()
        sent = within(ACKNOWLEDGE_S, lambda: self._send(batches), self._stop)
        # Each by itself: the library commits on without a batch that it had to give up.
        deadline = time.monotonic() + ACKNOWLEDGE_S
        for each in sent:
            self._wait(each, deadline)
        # Topics go by name on the way, so the records may be in one that was made anew meanwhile.
        self.look()
        within(COMMIT_S, self._producer.commit_transaction, self._stop)

    def look(self) -> None:
        """Raise `TopicChanged` unless the events topic is still the one we know."""
        found = within(LOOK_S, self._topic_id, self._stop)
        if found != self.topic_id:
            raise TopicChanged(f"{EVENTS_TOPIC} was {self.topic_id} and is {found or 'gone'}")

    def close(self) -> None:
        """Drop the clients; what was not committed is never sent any more."""
        self._admin.close()
        clients.discard(self._producer)

    def _send(self, batches: Sequence[Batch]) -> list[Sent]:
        return [hand_over(self._producer, batch) for batch in batches]

    def _wait(self, sent: Sent, deadline: float) -> None:
        while not sent.arrived(ACKNOWLEDGE_LOOK_S):
            self._expect_answer(deadline)
        if isinstance(sent.error, ProducerFencedError | InvalidProducerEpochError):
            raise Fenced("another relay has taken over")
        if sent.error is not None:
            raise sent.error

    def _expect_answer(self, deadline: float) -> None:
        """Raise if it makes no sense to wait for an acknowledgement any longer."""
        if self._stop.is_set() or time.monotonic() > deadline:
            raise KafkaTimeoutError("Kafka does not acknowledge records")
        self.look()  # a broker that came back empty never acknowledges, and tells no error

    def _open(self) -> None:
        # First the transactional id, so that no other relay can write into a topic that we make.
        self._take_transactional_id()
        topics.ensure_topics(self._admin)
        found = self._topic_id()
        if found is None:
            raise TopicChanged(f"{EVENTS_TOPIC} is gone again")
        self.topic_id = found
        end_hanging(self._admin, self._producer)
        self.read_ends(POLL_MS)

    def _take_transactional_id(self) -> None:
        deadline = time.monotonic() + TAKE_S
        while True:
            try:
                self._producer.init_transactions()
                return
            except KafkaTimeoutError:  # the next call goes on waiting for the same answer
                if self._stop.is_set() or time.monotonic() > deadline:
                    raise

    def _topic_id(self) -> str | None:
        return topics.topic_id(self._admin, EVENTS_TOPIC)


def _make_producer(settings: Settings) -> KafkaProducer:
    return KafkaProducer(
        **clients.client_options(settings),
        transactional_id=TRANSACTIONAL_ID,
        transaction_timeout_ms=TRANSACTION_TIMEOUT_MS,
        retry_backoff_ms=RETRY_BACKOFF_MS,
        max_block_ms=SEND_BLOCKS_MS,
        batch_size=BATCH_BYTES,
        compression_type="lz4",
    )
