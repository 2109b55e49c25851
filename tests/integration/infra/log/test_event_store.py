import functools
import hashlib
import itertools
import re
from datetime import UTC, datetime, timedelta
from operator import attrgetter
from uuid import uuid4

import msgspec
import psycopg
import pytest
from eventsourcing.persistence import MapperDeserialisationError

from domain.account import AccountInfoUpdated
from domain.catalogue import CATALOGUE
from domain.errors import (
    AccountErased,
    EmailTaken,
    StateTooLarge,
    TooManyTasks,
    Unavailable,
    UnknownEvent,
    VersionConflict,
)
from domain.events import Segment, Unreadable
from domain.garment import GarmentListed
from domain.measurements import Measurements
from domain.picture import UserDetails
from domain.reservations import EMAIL, UNFINISHED_TASK
from infra.log.event_mapper import STATE_LIMIT_BYTES
from infra.log.event_store import EventLog
from infra.postgres import connect
from tests.support.batches import Row, append, refusals_of
from tests.support.scenario import (
    ACCOUNT,
    TASK,
    Story,
    completed,
    enveloped,
    eventually_refused,
    failed,
    garment_details,
    garment_fit,
    lose_key,
    make_store,
    opened_pool,
    registered,
    requested,
    started,
)


@pytest.fixture
def pool(postgres_url):
    with opened_pool(postgres_url, 8) as opened:
        yield opened


@pytest.fixture
def store(pool):
    made = make_store(pool)
    made.keys.create(ACCOUNT)
    return made


@pytest.fixture
def story(store):
    return Story(store)


@pytest.fixture
def log(pool):
    return EventLog(pool)


@pytest.fixture
def database(postgres_url):
    with connect(postgres_url) as connection:
        yield connection


# Append and load.


def test_what_was_appended_is_loaded_with_its_whole_envelope(store):
    before = datetime.now(UTC)
    first = enveloped(requested(), TASK)
    second = msgspec.structs.replace(
        enveloped(started(), TASK, 2), actor="consumer:1", causation_id=first.event_id
    )
    assert store.append([first]) == 1
    assert store.append([second]) == 2
    loaded = store.load(TASK)
    assert [recorded.position for recorded in loaded] == [1, 2]
    for recorded, new in zip(loaded, [first, second], strict=True):
        assert before <= recorded.recorded_at <= datetime.now(UTC)
        assert recorded.recorded_at.utcoffset() == timedelta(0)
        assert {name: getattr(recorded, name) for name in new.__struct_fields__} == (
            msgspec.structs.asdict(new)
        )


def test_an_unknown_aggregate_has_no_history(store):
    assert store.load(uuid4()) == []


def test_the_log_is_read_in_its_order_from_any_position(story):
    tasks = [story.request() for _ in range(5)]
    assert [recorded.aggregate_id for recorded in story.store.read(0, 500)] == tasks
    assert [recorded.aggregate_id for recorded in story.store.read(2, 2)] == tasks[2:4]
    assert story.store.read(5, 500) == []


def test_each_event_is_in_one_segment_and_an_account_s_are_all_in_the_same(store, story):
    for _ in range(20):
        account, task = uuid4(), uuid4()
        story.tell(account, registered(email=f"{account}@example.org"), account=account)
        story.tell(task, requested(), started(), account=account)
        story.tell(uuid4(), GarmentListed(details=garment_details()), account=None)
    read = functools.partial(store.read_some, 0, 1_000, CATALOGUE, personal=())
    segments = [read(segment=Segment(number, 3)) for number in range(3)]
    assert [segment.position for segment in segments] == [80, 80, 80]
    accounts = [{event.account for event in segment.events} - {None} for segment in segments]
    assert sum(map(len, accounts)) == len(set().union(*accounts)) == 20
    together = sorted(
        (event for each in segments for event in each.events), key=attrgetter("position")
    )
    assert together == read().events
    assert all(len(segment.events) > 3 for segment in segments)


def test_the_stored_form_is_read_undecoded(story, log):
    story.tell(TASK, requested())
    story.tell(TASK, started(1, "consumer-1"))
    second = log.read_stored(1, 500)[0]
    assert (second.id, second.originator_id, second.originator_version) == (2, TASK, 2)
    assert second.topic == "render.started.v1"
    assert msgspec.json.decode(second.state) == {"attempt": 1, "consumer": "consumer-1"}


def test_the_head_is_the_newest_position_of_a_log_with_an_id(story, log):
    log_id, position = log.head()
    assert position == 0
    story.request()
    assert log.head() == (log_id, 1)


# A save is whole or not at all.


def test_a_save_of_several_aggregates_is_stored_whole(store):
    events = [enveloped(requested(), uuid4()) for _ in range(3)]
    assert store.append(events) == 3
    assert [len(store.load(new.aggregate_id)) for new in events] == [1, 1, 1]


def test_one_conflict_rejects_a_save_of_several_aggregates_whole(story, log):
    story.tell(TASK, requested())
    others = [enveloped(requested(), uuid4()) for _ in range(2)]
    with pytest.raises(VersionConflict):
        story.store.append([others[0], enveloped(started(), TASK, 1), others[1]])
    assert [story.store.load(new.aggregate_id) for new in others] == [[], []]
    assert log.head()[1] == 1
    assert story.store.owner_of(UNFINISHED_TASK, str(others[0].aggregate_id)) is None


def test_of_writers_of_the_same_version_one_wins(store, log):
    acts = [lambda: store.append([enveloped(requested(), TASK)]) for _ in range(8)]
    assert refusals_of(acts) == {None: 1, VersionConflict: 7}
    assert log.head()[1] == len(store.load(TASK)) == 1


def test_a_save_that_is_stored_already_is_a_success(store, log):
    save = [enveloped(requested(), TASK), enveloped(started(), TASK, 2)]
    first = store.append(save)
    store.append([enveloped(requested(), uuid4())])
    assert store.append(save) == first == 2
    assert log.head()[1] == 3


def test_a_save_of_which_only_a_part_is_stored_is_a_conflict(store, log):
    first = enveloped(requested(), TASK)
    store.append([first])
    with pytest.raises(VersionConflict):
        store.append([first, enveloped(started(), TASK, 2)])
    assert log.head()[1] == 1


def test_positions_have_no_gap_after_a_refusal(store):
    store.append([enveloped(requested(), TASK)])
    with pytest.raises(VersionConflict):
        store.append([enveloped(requested(), TASK)])
    assert store.append([enveloped(started(), TASK, 2)]) == 2


def test_recorded_at_never_goes_back(store, database):
    ahead = datetime.now(UTC) + timedelta(hours=1)
    database.execute("UPDATE atelier_head SET recorded_at = %s", [ahead])
    store.append([enveloped(requested(), TASK)])
    store.append([enveloped(started(), TASK, 2)])
    first, second = store.load(TASK)
    assert ahead <= first.recorded_at <= second.recorded_at


# Guards.


def test_of_many_registrations_of_one_address_exactly_one_wins(store, log):
    spellings = ["ada@example.org", " Ada@Example.ORG ", "\uff41da@example.org", "ADA@EXAMPLE.ORG"]
    accounts = {uuid4(): spelling for _, spelling in zip(range(20), itertools.cycle(spellings))}

    def register(account, email):
        return lambda: store.append([enveloped(registered(email=email), account, account=account)])

    outcomes = refusals_of([register(*entry) for entry in accounts.items()])
    assert outcomes == {None: 1, EmailTaken: 19}
    assert log.head()[1] == 1
    winner = store.read(0, 1)[0].aggregate_id
    assert store.owner_of(EMAIL, store.email_key("ada@example.org")) == winner


def test_reservations_do_not_tell_the_address(story, database):
    story.tell(ACCOUNT, registered())
    (key,) = database.execute("SELECT key FROM atelier_reservations").fetchone()
    assert re.fullmatch("[0-9a-f]{64}", key)
    email = registered().email
    assert email
    assert key != hashlib.sha256(email.encode()).hexdigest()  # which anybody could guess


def test_of_concurrent_requests_as_many_win_as_the_limit_allows(store, log):
    acts = [lambda: store.append([enveloped(requested(limit=5), uuid4())]) for _ in range(30)]
    assert refusals_of(acts) == {None: 5, TooManyTasks: 25}
    assert log.head()[1] == 5


def test_the_tasks_of_others_do_not_count(story):
    for other in (ACCOUNT, uuid4()):
        story.store.keys.create(other)
        story.request(other, limit=1)
    with pytest.raises(TooManyTasks):
        story.request(limit=1)


@pytest.mark.parametrize("end", [completed(), failed()])
def test_an_ended_task_gives_its_place_back(story, end):
    task = story.request(limit=1)
    with pytest.raises(TooManyTasks):
        story.request(limit=1)
    story.tell(task, started(), end)
    story.request(limit=1)
    with pytest.raises(TooManyTasks):
        story.request(limit=1)


def test_a_refused_end_gives_no_place_back(story):
    task = story.request(limit=1)
    story.tell(task, started())
    with pytest.raises(VersionConflict):
        story.store.append([enveloped(completed(), task, 2)])
    with pytest.raises(TooManyTasks):
        story.request(limit=1)


# What the database refuses.


def test_the_log_only_grows(story, database):
    story.tell(TASK, requested())
    for change in (
        "UPDATE atelier_events SET actor = 'somebody else'",
        "DELETE FROM atelier_events",
        "TRUNCATE atelier_events",
    ):
        with pytest.raises(psycopg.errors.RestrictViolation, match="only grows"):
            database.execute(change)
    assert len(story.store.load(TASK)) == 1


def test_a_state_over_the_limit_is_refused_before_it_is_sent(story, log):
    story.tell(TASK, requested())
    with pytest.raises(StateTooLarge):
        story.tell(TASK, failed(message="x" * STATE_LIMIT_BYTES))
    assert log.head()[1] == 1


def test_a_state_up_to_the_limit_is_stored(story):
    room = STATE_LIMIT_BYTES - len(msgspec.json.encode(failed(message="")))
    story.tell(TASK, failed(message="x" * room))
    assert len(story.store.load(TASK)) == 1
    with pytest.raises(StateTooLarge):
        story.tell(TASK, failed(message="x" * (room + 1)))


# Personal data.


def test_personal_fields_cannot_be_read_in_the_stored_row(story, log):
    story.tell(ACCOUNT, registered())
    story.tell(ACCOUNT, AccountInfoUpdated(full_name="Ada King"))
    details = UserDetails(real_world_measurements=Measurements(waist=71.25), pose="A-Pose")
    story.request(user_details=details)
    story.tell(TASK, completed(measured={"Waist": 71.5}, fit=(garment_fit(),)))
    stored = b"".join(row.state for row in log.read_stored(0, 500)).lower()
    # None of them could come about by chance in what is sealed, which is base64.
    for secret in (b"@example", b"ada lovelace", b"ada king", b"-4868208000", b"british"):
        assert secret not in stored
    for secret in (b"71.25", b"71.5", b"118.5", b"a-pose", b'waist"'):
        assert secret not in stored
    assert b"gymshark" in stored


def test_another_process_reads_personal_fields_under_the_same_master_key(story, pool):
    story.tell(ACCOUNT, registered())
    assert make_store(pool).load(ACCOUNT)[0].event == registered()


def test_what_an_erased_account_sealed_reads_as_none(story, pool):
    story.tell(ACCOUNT, registered())
    task = story.request()
    lose_key(story.store)
    elsewhere = make_store(pool)
    fields = ("email", "full_name", "date_of_birth", "ethnicity", "gender")
    assert elsewhere.load(ACCOUNT)[0].event == registered(**dict.fromkeys(fields))
    assert elsewhere.load(task)[0].event == requested(user_details=None)
    assert elsewhere.read(0, 500)[1].event == requested(user_details=None)


def test_nothing_personal_is_stored_for_an_erased_account(story, log):
    story.tell(ACCOUNT, registered())
    lose_key(story.store)
    with pytest.raises(AccountErased):
        story.request()
    assert log.head()[1] == 1


def test_the_account_of_others_keeps_its_key(story, pool):
    other = uuid4()
    story.register(other)
    story.register()
    lose_key(story.store)
    expected = registered(email=f"{other}@example.org")
    assert make_store(pool).load(other)[0].event == expected


def test_a_sealed_member_opens_only_in_its_own_place(story, log, database):
    story.tell(TASK, requested())
    sealed = log.read_stored(0, 1)[0].state.decode()
    elsewhere = uuid4()
    kind = "render.requested.v1"
    append(database, [Row(1, elsewhere, 1, sealed, kind), Row(2, TASK, 2, sealed, kind)])
    read = [recorded.event for recorded in story.store.read(0, 500)]
    assert read[0] == requested()
    assert [type(event) for event in read[1:]] == [Unreadable, Unreadable]
    with pytest.raises(MapperDeserialisationError):
        story.store.load(elsewhere)


def test_states_that_cannot_be_decoded_stop_no_reader(story, database):
    bad = [
        ("render.started.v1", "no json"),
        ("render.started.v1", '{"attempt": "one", "consumer": "one"}'),
        ("render.started.v1", "[]"),
        ("render.requested.v1", '{"kind": "image"}'),
        ("render.requested.v1", '{"personal": "no base64!"}'),
        ("render.requested.v1", '{"personal": 1}'),
    ]
    append(database, [Row(n, TASK, n, state, kind) for n, (kind, state) in enumerate(bad, 1)])
    after = story.request()
    *unreadable, good = story.store.read(0, 500)
    assert [type(recorded.event) for recorded in unreadable] == [Unreadable] * len(bad)
    assert [recorded.position for recorded in unreadable] == list(range(1, len(bad) + 1))
    assert {(recorded.aggregate_id, recorded.account) for recorded in unreadable} == {
        (TASK, ACCOUNT)
    }
    assert good.aggregate_id == after


def test_reading_stops_exactly_before_a_type_that_this_build_does_not_know(story, database):
    known = [story.request(), story.request()]
    append(database, [Row(1, TASK, 1, "{}", "render.sculpted.v9")])
    story.request()
    assert [recorded.aggregate_id for recorded in story.store.read(0, 500)] == known
    with pytest.raises(UnknownEvent, match=r"position 3 holds render\.sculpted\.v9"):
        story.store.read(2, 500)
    with pytest.raises(UnknownEvent):
        story.store.load(TASK)


# Faults.


def test_a_store_whose_postgres_is_away_says_so_and_recovers(postgres, story, log):
    story.tell(TASK, requested())
    postgres.kill()
    eventually_refused(Unavailable, lambda: story.store.load(TASK))
    postgres.restart()
    assert story.store.append([enveloped(started(), TASK, 2)]) == 2
    assert log.head()[1] == 2


def test_a_lost_connection_is_replaced_before_the_next_append(story, database):
    story.tell(TASK, requested())
    database.execute(
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
        " WHERE datname = current_database() AND pid <> pg_backend_pid()"
    )
    assert story.tell(TASK, started()) == 2
