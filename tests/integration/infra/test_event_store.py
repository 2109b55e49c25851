import itertools
import random
import threading
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from typing import NamedTuple
from uuid import UUID, uuid4

import msgspec
import psycopg
import pytest
from eventsourcing.persistence import MapperDeserialisationError

from commands import Origin, carry_out
from commands.account import UpdateAccountInfo
from domain.account import AccountInfoUpdated
from domain.errors import (
    AccountErased,
    AtelierError,
    EmailTaken,
    StateTooLarge,
    TooManyTasks,
    Unavailable,
    UnknownEvent,
    VersionConflict,
)
from domain.events import Unreadable
from domain.measurements import Measurements
from domain.picture import UserDetails
from domain.reservations import EMAIL, UNFINISHED_TASK
from infra.appender import APPEND
from infra.event_store import EventLog
from infra.log_recorder import STATE_LIMIT_BYTES, LogRecorder
from infra.postgres import connect
from tests.support.scenario import (
    ACCOUNT,
    TASK,
    Story,
    completed,
    enveloped,
    eventually_refused,
    failed,
    lose_key,
    make_store,
    opened_pool,
    registered,
    requested,
    started,
)

ORIGIN = Origin(actor="test", correlation_id=UUID(int=7))


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


def refusals_of(acts):
    """What each of the acts, all begun at once, was refused with; None where it was not."""
    begin = threading.Barrier(len(acts))

    def outcome(act):
        begin.wait()
        try:
            act()
        except AtelierError as refusal:
            return type(refusal)
        return None

    with ThreadPoolExecutor(len(acts)) as threads:
        return Counter(threads.map(outcome, acts))


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


def test_one_aggregate_is_read_by_version_either_way(story, pool):
    story.tell(TASK, requested(), started(1), started(2), started(3))
    story.request()
    recorder = LogRecorder(pool)

    def versions(**bounds):
        return [row.originator_version for row in recorder.select_events(TASK, **bounds)]

    assert versions() == [1, 2, 3, 4]
    assert versions(gt=1, lte=3) == [2, 3]
    assert versions(desc=True, limit=2) == [4, 3]


def test_the_log_is_read_by_type_and_up_to_a_position(story, pool):
    for _ in range(3):
        story.tell(uuid4(), requested(), started())
    recorder = LogRecorder(pool)
    only = recorder.select_notifications(1, 500, topics=["render.started.v1"])
    assert [row.id for row in only] == [2, 4, 6]
    assert [row.id for row in recorder.select_notifications(2, 500, stop=4)] == [2, 3, 4]
    assert recorder.max_notification_id() == 6


def test_a_subscription_delivers_what_is_there_and_what_comes(story, pool):
    first = story.request()
    with LogRecorder(pool).subscribe() as subscription:
        assert next(subscription).originator_id == first
        coming = threading.Timer(0.2, story.request)
        coming.start()
        assert next(subscription).id == 2
        coming.join()


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
    assert "ada" not in key
    assert len(key) == 64


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


# The function itself, with batches of many saves.


class Row(NamedTuple):
    save: int
    aggregate: UUID
    version: int
    state: str = '{"attempt": 1, "consumer": "one"}'
    type: str = "render.started.v1"
    event_id: UUID | None = None
    account: UUID | None = ACCOUNT


class Wanted(NamedTuple):
    save: int
    kind: str
    scope: str
    owner: UUID
    key: str | None = None
    limit: int | None = None


def append(connection, rows, guards=()):
    """The answers of one batch: (outcome, last position) by save, and the reasons by save."""
    answers = connection.execute(
        APPEND,
        [
            [row.save for row in rows],
            [row.event_id or uuid4() for row in rows],
            [row.type for row in rows],
            [row.aggregate for row in rows],
            [row.version for row in rows],
            ["test" for _ in rows],
            [row.account for row in rows],
            [uuid4() for _ in rows],
            [None for _ in rows],
            [row.state for row in rows],
            [guard.save for guard in guards],
            [guard.kind for guard in guards],
            [guard.scope for guard in guards],
            [guard.key for guard in guards],
            [guard.owner for guard in guards],
            [guard.limit for guard in guards],
        ],
    ).fetchall()
    return {save: (outcome, last) for save, outcome, last, _ in answers}, {
        save: reason for save, *_, reason in answers
    }


def test_a_batch_without_a_fault_has_one_answer(database, log):
    rows = [Row(save, uuid4(), 1) for save in (1, 2, 3)]
    assert append(database, rows)[0] == {0: ("appended", 3)}
    assert [row.originator_id for row in log.read_stored(0, 500)] == [r.aggregate for r in rows]


def test_in_a_batch_each_fault_rejects_its_own_save(database, log):
    taken, known = uuid4(), uuid4()
    a, b, c, d, e, f = (uuid4() for _ in range(6))
    append(
        database,
        [Row(1, taken, 1), Row(2, known, 1, event_id=known)],
        [Wanted(1, "take", "email", taken, "hidden")],
    )
    answers, reasons = append(
        database,
        [
            Row(1, a, 1),
            Row(2, taken, 1),  # that version is there
            Row(3, b, 1),
            Row(3, b, 2),
            Row(4, c, 1),  # takes what is taken
            Row(5, known, 1, event_id=known),  # stored before
            Row(6, d, 1),
            Row(6, d, 0),  # no such version
            Row(7, e, 1),  # one too many
            Row(8, f, 1, state="x" * (STATE_LIMIT_BYTES + 1)),
            Row(9, f, 1),
        ],
        [
            Wanted(4, "take", "email", c, "hidden"),
            Wanted(7, "take", "unfinished_task", e, "task"),
            Wanted(7, "at_most", "unfinished_task", e, limit=0),
            Wanted(9, "take", "email", f, "another"),
        ],
    )
    assert answers == {
        1: ("appended", 3),
        2: ("version", None),
        3: ("appended", 5),
        4: ("reserved", None),
        5: ("stored", 2),
        6: ("refused", None),
        7: ("limit", None),
        8: ("refused", None),
        9: ("appended", 6),
    }
    assert "atelier_events_state_size" in reasons[8]
    assert "unfinished_task" in reasons[7]
    stored = log.read_stored(2, 500)
    assert [row.originator_id for row in stored] == [a, b, b, f]
    assert [row.id for row in stored] == [3, 4, 5, 6]
    reserved = database.execute("SELECT key, owner FROM atelier_reservations ORDER BY key")
    assert reserved.fetchall() == [("another", f), ("hidden", taken)]
    assert append(database, [Row(1, a, 2)])[0] == {0: ("appended", 7)}


def test_saves_of_a_batch_that_want_the_same_are_served_in_their_order(database, log):
    a, b, event_id = uuid4(), uuid4(), uuid4()
    rows = [
        Row(1, a, 1),
        Row(2, a, 1),
        Row(3, b, 1, event_id=event_id),
        Row(4, b, 1, event_id=event_id),
        Row(5, b, 2),
    ]
    answers, _ = append(database, rows)
    assert answers == {
        1: ("appended", 1),
        2: ("version", None),
        3: ("appended", 2),
        4: ("stored", 2),
        5: ("appended", 3),
    }
    assert log.head()[1] == 3


def test_a_batch_in_which_every_save_is_at_fault_leaves_no_trace(database, log):
    append(database, [Row(1, TASK, 1)])
    answers, _ = append(database, [Row(1, TASK, 1), Row(2, TASK, 1)])
    assert answers == {1: ("version", None), 2: ("version", None)}
    assert log.head()[1] == 1


def test_a_released_place_is_there_for_a_save_of_the_same_batch(database):
    one, other = uuid4(), uuid4()
    append(database, [Row(1, one, 1)], [Wanted(1, "take", "s", ACCOUNT, "one")])
    guards = [
        Wanted(1, "release", "s", ACCOUNT, "one"),
        Wanted(2, "take", "s", ACCOUNT, "other"),
        Wanted(2, "at_most", "s", ACCOUNT, limit=1),
    ]
    answers, _ = append(database, [Row(1, one, 2), Row(2, other, 1)], guards)
    assert answers == {0: ("appended", 3)}


def test_nobody_releases_what_another_owns(database):
    append(database, [Row(1, uuid4(), 1)], [Wanted(1, "take", "s", ACCOUNT, "one")])
    append(database, [Row(1, uuid4(), 1)], [Wanted(1, "release", "s", uuid4(), "one")])
    (count,) = database.execute("SELECT count(*) FROM atelier_reservations").fetchone()
    assert count == 1


# Personal data.


def test_personal_fields_cannot_be_read_in_the_stored_row(story, log):
    story.tell(ACCOUNT, registered())
    story.tell(ACCOUNT, AccountInfoUpdated(full_name="Ada King"))
    details = UserDetails(real_world_measurements=Measurements(waist=71.25), pose="A-Pose")
    story.request(user_details=details)
    story.tell(TASK, completed(measured={"Waist": 71.5}))
    stored = b"".join(row.state for row in log.read_stored(0, 500)).lower()
    # None of them could come about by chance in what is sealed, which is base64.
    for secret in (b"@example", b"ada lovelace", b"ada king", b"-4868208000", b"british"):
        assert secret not in stored
    for secret in (b"71.25", b"71.5", b"a-pose", b'waist"'):
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


# Many writers and one who follows.

WRITERS = 32


def followed(write, read):
    """What a reader saw that tailed a log by position while many wrote: all it was given, in order.

    `write` is called by each of the writers with its number, `read` with the last position seen.
    """
    seen: list[int] = []
    written = threading.Event()

    def follow():
        while True:
            last_look = written.is_set()
            found = read(seen[-1] if seen else 0)
            seen.extend(found)
            if last_look and not found:
                return

    with ThreadPoolExecutor(WRITERS + 1) as threads:
        reader = threads.submit(follow)
        try:
            list(threads.map(write, range(WRITERS)))
        finally:
            written.set()
        reader.result()
    return seen


def test_a_tailing_reader_misses_nothing_under_many_writers(postgres, postgres_url, log):
    saves = 40
    positions: dict[int, list[int]] = {}
    with (
        opened_pool(postgres_url, 12) as one,
        opened_pool(postgres_url, 12) as another,
        psycopg.connect(postgres_url) as slow_here,
        psycopg.connect(postgres.url) as slow_elsewhere,
    ):
        for slow in (slow_here, slow_elsewhere):  # hold a transaction id open all the while
            slow.execute("CREATE TABLE elsewhere (n int)")
        stores = [make_store(one), make_store(another)]

        def write(number):
            store = stores[number % len(stores)]
            positions[number] = [
                store.append([enveloped(started(), uuid4()) for _ in range(1 + n % 3)])
                for n in range(saves)
            ]

        seen = followed(write, lambda last: [row.id for row in log.read_stored(last, 500)])
        for slow in (slow_here, slow_elsewhere):
            slow.rollback()
    total = WRITERS * sum(1 + n % 3 for n in range(saves))
    assert seen == list(range(1, total + 1))
    assert all(mine == sorted(mine) for mine in positions.values())
    assert len({position for mine in positions.values() for position in mine}) == WRITERS * saves


def test_the_same_reader_misses_events_of_a_log_without_our_lock(postgres_url, database):
    """The control: the test above can fail."""
    database.execute("CREATE TABLE unlocked (position bigserial PRIMARY KEY, n int)")

    def write(number):
        with psycopg.connect(postgres_url) as connection:
            for n in range(20):
                connection.execute("INSERT INTO unlocked (n) VALUES (%s)", [n])
                time.sleep(random.random() / 100)
                connection.commit()

    def read(last):
        rows = database.execute(
            "SELECT position FROM unlocked WHERE position > %s ORDER BY position", [last]
        )
        return [position for (position,) in rows]

    seen = followed(write, read)
    assert len(seen) < WRITERS * 20


# Commands on the store.


def update(**changes):
    return UpdateAccountInfo(aggregate_id=ACCOUNT, account=ACCOUNT, **changes)


def test_a_command_leads_to_events_a_position_and_a_state(story):
    story.tell(ACCOUNT, registered())
    outcome = carry_out(update(full_name="Ada King"), story.store, ORIGIN)
    assert outcome.events == (AccountInfoUpdated(full_name="Ada King"),)
    assert outcome.position == 2
    assert outcome.state.info.full_name == "Ada King"
    newest = story.store.load(ACCOUNT)[-1]
    assert (newest.event, newest.version) == (outcome.events[0], 2)
    assert (newest.actor, newest.correlation_id) == (ORIGIN.actor, ORIGIN.correlation_id)
    assert newest.account == ACCOUNT


def test_a_command_without_a_change_tells_where_its_aggregate_stands(story, log):
    story.tell(ACCOUNT, registered())
    story.request()
    outcome = carry_out(update(full_name="Ada Lovelace"), story.store, ORIGIN)
    assert (outcome.events, outcome.position) == ((), 1)
    assert log.head()[1] == 2


class Overtaken:
    """A store in which somebody else is always faster, up to a number of times."""

    def __init__(self, story, times):
        self._story = story
        self.left = times

    def load(self, aggregate_id):
        history = self._story.store.load(aggregate_id)
        if self.left:
            self.left -= 1
            self._story.tell(aggregate_id, AccountInfoUpdated(gender=f"number {self.left}"))
        return history

    def append(self, events):
        return self._story.store.append(events)


def test_a_command_that_was_overtaken_is_decided_anew(story):
    story.tell(ACCOUNT, registered())
    outcome = carry_out(update(full_name="Ada King"), Overtaken(story, 3), ORIGIN)
    assert outcome.position == 5
    assert outcome.state.info.full_name == "Ada King"
    assert outcome.state.info.gender == "number 0"


def test_a_command_that_is_always_overtaken_gives_up(story):
    story.tell(ACCOUNT, registered())
    with pytest.raises(VersionConflict):
        carry_out(update(full_name="Ada King"), Overtaken(story, 1_000), ORIGIN)
    assert all(recorded.event.full_name != "Ada King" for recorded in story.store.load(ACCOUNT))


def test_concurrent_commands_to_one_aggregate_all_take_effect(story):
    story.tell(ACCOUNT, registered())
    acts = [
        lambda n=n: carry_out(update(full_name=f"name {n}"), story.store, ORIGIN) for n in range(8)
    ]
    assert refusals_of(acts) == {None: 8}
    history = story.store.load(ACCOUNT)
    assert [recorded.version for recorded in history] == list(range(1, 10))
    assert {r.event.full_name for r in history[1:]} == {f"name {n}" for n in range(8)}


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
