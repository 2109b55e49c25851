"""One hold of lock, epoch and transactional id: brings onto Kafka what the log has and it lacks."""

import time
from typing import Final, NamedTuple

import structlog

from domain.errors import AtelierError
from infra.kafka.topics import EVENTS_TOPIC
from infra.process.metrics import RELAY_DELAY, RELAY_PUBLISH, RELAYED
from infra.relay.check import Comparison, Partition, missing_from
from infra.relay.ledger import BARRED, Claim, Ledger
from infra.relay.log import RelayLog
from infra.relay.records import pack_events, pack_tickets
from infra.relay.session import Session
from infra.relay.tails import Tails, due

log = structlog.get_logger("atelier.relay")

PATIENT_POLL_MS: Final = 2_000
RECENT: Final = 5_000  # events that are compared at the start: about what the tails' windows hold


class DivergentHistory(AtelierError):
    """Kafka holds events that the log does not have."""

    code = "divergent_history"


class Sent(NamedTuple):
    """The event that is reached."""

    position: int
    event_id: str | None


class Filling:
    """Fills the topic of a session from where it stands; `position` is what is reached."""

    def __init__(self, events: RelayLog, ledger: Ledger, session: Session, claim: Claim) -> None:
        self._events = events
        self._ledger = ledger
        self._session = session
        self._claim = claim
        self._reached: dict[int, int] = {}  # by partition
        self.position = claim.position
        self._sent = Sent(0, None)

    def begin(self, missing: int = 0) -> None:
        """Find out from where on to fill; `missing` is a position that is known to be missing.

        Of a topic that is known, its end is compared with the log: as many events as are worth
        reading at every start. The whole, a minute or so for each million events, is what
        `atelier relay check` is for. Raises `DivergentHistory` when Kafka is ahead of the log.
        """
        expect_one_past(self._events, self._session.ends.tails)
        if self._claim.topic_id == BARRED + self._session.topic_id:
            raise DivergentHistory(
                f"{EVENTS_TOPIC} still holds an earlier epoch of the log: run"
                " `atelier relay new-epoch` (again, if it was interrupted)"
            )
        if self._session.ends.others:
            raise DivergentHistory(
                f"{EVENTS_TOPIC} holds events of another log, or of another epoch of this one"
                f" ({', '.join(sorted(self._session.ends.others))}): was Postgres restored from an"
                " older backup? Run `atelier relay new-epoch`, which gives the log a new id and"
                " fills the topic anew; see docs/restored-backup.md"
            )
        if self._claim.topic_id != self._session.topic_id:
            self._begin_anew()
            return
        self._take_in()
        if missing or self._missing_of_late():
            self._session.read_ends(PATIENT_POLL_MS)  # it may only have been late
            self._take_in()
            missing = missing or self._missing_of_late()
        if missing and missing <= self.position:
            log.warning("appending what the topic lacks at its end", position=missing)
            self.position = missing - 1

    def forward(self) -> int:
        """Commit the next events of the log, and give how many there were.

        Raises `HistoryReplaced` when the log no longer holds the event that was reached.
        """
        sent = self._sent.event_id if self._sent.position == self.position else None
        here, rows = self._events.ready(self.position, sent)
        self._sent = Sent(self.position, here)
        if not rows:
            return 0
        missing, wanted = due(rows, self._reached, self._claim.ticketed)
        batches = pack_events(missing, self._session.source) + pack_tickets(wanted)
        if batches:
            with RELAY_PUBLISH.time():
                self._session.publish(batches)
            RELAYED.inc(len(missing))
            RELAY_DELAY.observe(max(0.0, time.time() - rows[-1].recorded_ms / 1_000))
        self.position = rows[-1].position
        self._sent = Sent(self.position, rows[-1].event_id)
        self._ledger.save(self._claim.epoch, self._session.topic_id, self.position)
        return len(rows)

    def look(self) -> None:
        """Raise when the topic is another one now, or somebody else has taken over."""
        self._session.look()
        self._ledger.expect(self._claim.epoch)

    def _take_in(self) -> None:
        ends = self._session.ends
        self._reached = {number: tail.position for number, tail in ends.tails.items()}
        for number in ends.cut - self._reached.keys():
            self._reached[number] = self.position  # emptied by retention, not lost

    def _begin_anew(self) -> None:
        if self._claim.topic_id and not self._claim.topic_id.startswith(BARRED):
            log.info("the topic is a new one: filling it again", topic=EVENTS_TOPIC)
        self.position = 0
        self._reached = {n: tail.position for n, tail in self._session.ends.tails.items()}
        self._ledger.save(self._claim.epoch, self._session.topic_id, 0)

    def _missing_of_late(self) -> int:
        ends, after = self._session.ends, max(0, self.position - RECENT)
        comparison = Comparison(self._events, after, self.position)
        comparison.add(ends.held)
        comparison.finish(ends.cut | ends.tails.keys())
        _tell_of(comparison.partitions)
        return missing_from(comparison.partitions)


def expect_one_past(events: RelayLog, tails: Tails) -> None:
    """Raise `DivergentHistory` if the log has not the event that Kafka holds at a position.

    A Postgres restored from an older backup gives positions out a second time.
    """
    unknown = events.unknown(list(tails.values()))
    for partition, tail in tails.items():
        if tail.position in unknown:
            raise DivergentHistory(
                f"partition {partition} of {EVENTS_TOPIC} holds event {tail.event_id} at position"
                f" {tail.position}, which the log does not have: was Postgres restored from an"
                " older backup? Nothing is sent. Restore a newer one, or run `atelier relay"
                " new-epoch`, which gives the log a new id and fills the topic anew; see"
                " docs/restored-backup.md"
            )


def _tell_of(partitions: list[Partition]) -> None:
    found = {
        kind: count
        for kind in ("hole", "doubled", "misplaced")
        if (count := sum(getattr(each, kind) for each in partitions))
    }
    if found:
        log.warning("the topic differs from the log: run `atelier relay check`", **found)
