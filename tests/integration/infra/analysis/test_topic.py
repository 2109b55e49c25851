import contextlib
import dataclasses
from datetime import timedelta

import pytest
from kafka import KafkaProducer

from domain.errors import Unavailable
from infra.analysis.arguments import BadArgument
from infra.analysis.selection import Selection
from infra.analysis.topic import Window, read
from infra.kafka.clients import client_options, make_admin
from infra.kafka.topics import EVENTS_TOPIC, ensure_topics, partition_of
from infra.relay.records import Ready, pack_events
from infra.settings import Settings
from tests.support.sample_log import BEA, GARMENT
from tests.support.scenario import TASK
from tests.unit.infra.relay.test_records import decoded

SOURCE = "urn:uuid:00000000-0000-4000-8000-000000000009"


def ready(event):
    """An event of the log as the relay reads it."""
    return Ready(
        position=event.id,
        recorded_ms=int(event.recorded_at.timestamp() * 1_000),
        event_id=str(event.event_id),
        type=event.topic,
        aggregate_id=str(event.originator_id),
        version=event.originator_version,
        recorded_at=event.recorded_at.isoformat(),
        actor=event.actor,
        account=event.account and str(event.account),
        correlation_id=str(event.correlation_id),
        causation_id=event.causation_id and str(event.causation_id),
        state=event.state.decode(),
    )


class Topic:
    """The events topic, filled as the relay fills it."""

    def __init__(self, settings, log):
        self.settings = settings
        self.events = log.read_stored(0, 100)
        with contextlib.closing(make_admin(settings)) as admin:
            ensure_topics(admin)

    def send(self, *events, source=SOURCE):
        with contextlib.closing(KafkaProducer(**client_options(self.settings))) as producer:
            for event in events:
                (batch,) = pack_events([ready(event)], source)
                (record,) = decoded(batch)
                producer.send(
                    batch.topic,
                    partition=batch.partition,
                    key=record.key,
                    value=record.value,
                    headers=list(record.headers),
                    timestamp_ms=record.timestamp,
                )
            producer.flush()

    def read(self, window=None, **selection):
        found = read(self.settings, window or Window(), Selection(**selection))
        return {event.id: place for event, place in found}


@pytest.fixture
def events(kafka, sample):
    made = Topic(Settings(kafka_bootstrap=kafka.url), sample.log)
    made.send(*made.events)
    return made


def test_the_topic_gives_what_the_log_holds(events):
    found = [event for event, _ in read(events.settings, Window(), Selection())]
    assert sorted(found, key=lambda event: event.id) == events.events
    of_task = [event.id for event in found if event.originator_id == TASK]
    assert of_task == [2, 3, 4]


def test_it_is_chosen_from_as_from_the_log(events):
    assert events.read(types=("render.started.v1",)).keys() == {3, 9}
    assert events.read(account=BEA).keys() == {7, 8, 9}
    assert events.read(aggregate=TASK).keys() == {2, 3, 4}


def test_offsets_count_in_each_partition(events):
    place = events.read(aggregate=TASK)
    partition = partition_of(TASK)
    assert {each.partition for each in place.values()} == {partition}
    second = place[3].offset
    only = Window(partition=partition, begin=second)
    assert 2 not in events.read(only)
    assert events.read(only, aggregate=TASK).keys() == {3, 4}
    assert events.read(Window(begin=second, end=second), aggregate=TASK).keys() == {3}
    assert events.read(Window(partition=(partition + 1) % 12), aggregate=TASK) == {}


@pytest.mark.parametrize("partition", [12, -1])
def test_a_partition_that_is_not_there_is_told(events, partition):
    told = f"^there is no partition {partition}: atelier.events has 0 to 11$"
    with pytest.raises(BadArgument, match=told):
        events.read(Window(partition=partition))


def test_a_time_is_that_of_the_event_and_not_of_its_way_to_kafka(events):
    garment = next(event for event in events.events if event.originator_id == GARMENT)
    begin = Window(begin=garment.recorded_at)
    assert events.read(begin).keys() == {6, 7, 8, 9}
    assert events.read(Window(end=garment.recorded_at)).keys() == {1, 2, 3, 4, 5}
    late = garment.recorded_at + timedelta(days=1)
    assert events.read(Window(begin=late)) == {}


def test_what_comes_twice_is_told_once_and_what_is_not_ours_is_passed_over(events):
    events.send(*events.events)
    with contextlib.closing(KafkaProducer(**client_options(events.settings))) as producer:
        producer.send(EVENTS_TOPIC, partition=partition_of(TASK), value=b"?").get(10)
    found = [event.id for event, _ in read(events.settings, Window(), Selection())]
    assert sorted(found) == list(range(1, 10))


def test_a_follower_goes_on_as_events_come(events):
    last = events.read(aggregate=TASK)[4]
    window = Window(follow=True, begin=last.offset, partition=last.partition)
    following = read(events.settings, window, Selection(aggregate=TASK))
    assert next(following)[0].id == 4
    later = dataclasses.replace(events.events[3], id=10, originator_version=4)
    events.send(later)
    assert next(following)[0] == later


def test_no_group_is_made(events):
    events.read()
    with contextlib.closing(make_admin(events.settings)) as admin:
        assert [group for group in admin.list_groups() if "atelier" in str(group)] == []


def test_a_missing_topic_and_a_missing_broker_are_told(kafka, sample):
    settings = Settings(kafka_bootstrap=kafka.url)
    with pytest.raises(Unavailable, match="no topic"):
        list(read(settings, Window(), Selection()))
    with pytest.raises(Unavailable, match="does not answer"):
        list(read(Settings(kafka_bootstrap="127.0.0.1:9"), Window(), Selection()))
