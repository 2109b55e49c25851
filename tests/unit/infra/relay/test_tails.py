from uuid import UUID

from hypothesis import given
from hypothesis import strategies as st

from infra.kafka.topics import PARTITIONS, partition_of
from infra.relay.records import Ready
from infra.relay.tails import due
from tests.unit.infra.relay.test_records import ready


def stored(position: int, aggregate: int = 0, kind: str = "render.started.v1") -> Ready:
    return ready(position=position, aggregate_id=str(UUID(int=aggregate)), type=kind)


def reached_by(events: list[Ready]) -> dict[int, int]:
    """What is reached in Kafka once these events are there."""
    return {partition_of(e.aggregate_id): e.position for e in events}


def test_everything_is_missing_from_an_empty_topic() -> None:
    events = [stored(1), stored(2), stored(3)]

    assert due(events, {}, 0) == (events, [])


def test_nothing_up_to_the_newest_in_its_partition_is_sent_again() -> None:
    events = [stored(1), stored(2), stored(3)]

    missing, _ = due(events, reached_by(events[:2]), 0)

    assert missing == events[2:]


def test_what_one_partition_holds_says_nothing_about_another() -> None:
    here, elsewhere = two_aggregates_apart()
    events = [stored(1, elsewhere), stored(2, here), stored(3, elsewhere)]

    missing, _ = due(events, reached_by([stored(2, here)]), 0)

    assert missing == [events[0], events[2]]


def test_requests_and_requeues_above_the_last_ticket_get_one_even_if_the_topic_has_them() -> None:
    events = [
        stored(1, kind="render.requested.v1"),
        stored(2, kind="render.requested.v1"),
        stored(3, kind="render.completed.v1"),
        stored(4, kind="render.requeued.v1"),
    ]

    missing, tickets = due(events, reached_by(events), 1)

    assert missing == []
    assert tickets == [events[1], events[3]]


@given(
    aggregates=st.lists(st.integers(0, 40), max_size=60),
    there=st.lists(st.integers(0, 60), min_size=PARTITIONS, max_size=PARTITIONS),
)
def test_whatever_beginning_each_partition_holds_exactly_the_rest_is_sent_in_order(
    aggregates: list[int], there: list[int]
) -> None:
    events = [stored(position, each) for position, each in enumerate(aggregates, 1)]
    by_partition = [
        [e for e in events if partition_of(e.aggregate_id) == partition]
        for partition in range(PARTITIONS)
    ]
    held = [e for count, some in zip(there, by_partition, strict=True) for e in some[:count]]

    missing, _ = due(events, reached_by(held), 0)

    assert missing == [e for e in events if e not in held]


def two_aggregates_apart() -> tuple[int, int]:
    """Two aggregates in different partitions."""
    other = next(n for n in range(1, 100) if partition_of(UUID(int=n)) != partition_of(UUID(int=0)))
    return 0, other
