import contextlib
import functools
import threading
from uuid import uuid4

import msgspec
import psycopg
import pytest
from structlog.testing import capture_logs

from domain.errors import HistoryReplaced, Unavailable, UnknownEvent
from domain.events import Event
from infra.log.appender import APPEND
from infra.postgres import Listener, connect
from infra.process.shares import Shares
from projections import PROJECTIONS, accounts, tasks
from projections.generations import make
from projections.model import Projection
from projections.rows import Table
from projections.runner import BATCH, LostLock, Runner
from tests.support.scenario import (
    ACCOUNT,
    TASK,
    Story,
    eventually,
    make_store,
    restore_older_backup,
    started,
)

# What Postgres does with a row that asks for it.
TABLE = """
CREATE TABLE {table} (n bigint, half integer, fault text, PRIMARY KEY (n, half));
CREATE FUNCTION {table}_fault() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF NEW.fault = 'session' THEN PERFORM pg_terminate_backend(pg_backend_pid()); END IF;
    IF NEW.fault = 'damage' THEN RAISE 'invalid page' USING ERRCODE = 'data_corrupted'; END IF;
    IF NEW.fault = 'read-only' THEN RAISE 'read-only' USING ERRCODE = '25006'; END IF;
    IF NEW.fault = 'sql' THEN NEW.n := 1 / 0; END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER fault BEFORE INSERT ON {table} FOR EACH ROW EXECUTE FUNCTION {table}_fault()"""
broken: set[str] = set()


class Note(msgspec.Struct, frozen=True, kw_only=True):
    n: int
    half: int
    fault: str | None = None


def fold(rows, recorded):
    """Notes each event twice, with whatever fault the test wants in the middle."""
    rows.put(Note(n=recorded.position, half=1))
    faults = [fault.split()[0] for fault in broken if str(recorded.aggregate_id) in fault]
    if "python" in faults:
        raise ZeroDivisionError
    rows.put(Note(n=recorded.position, half=2, fault="".join(faults) or None))


NOTES = Projection(
    name="notes",
    table=Table(row=Note, key=("n", "half"), sql=TABLE),
    uses=(Event,),
    personal=True,
    fold=fold,
    reads=False,
)


@pytest.fixture
def notes(models):
    with connect(models.url) as connection:
        make(connection, NOTES)
    models.catch_up(NOTES)
    query = "SELECT n FROM atelier_notes ORDER BY n"
    yield lambda: [row["n"] for row in models.ask_database(query)]
    broken.clear()


def connecting(models):
    return functools.partial(connect, models.url)


def doubled(*positions):
    return [position for position in positions for _ in range(2)]


@pytest.mark.parametrize("more", [0, 5])
def test_a_log_that_was_restored_under_a_running_one_stops_it(models, pool, story, notes, more):
    for _ in range(3):
        story.request()
    runner = models.runner(NOTES)
    with connect(models.url) as connection:
        runner.catch_up(connection)
        runner.catch_up(connection)
        restore_older_backup(models.url, 2)
        if more:
            another = Story(make_store(pool))
            for _ in range(more):
                another.request()
            models.catch_up(NOTES)  # by another projector, beyond what this one has seen
        with pytest.raises(HistoryReplaced, match="at position 4"):
            runner.catch_up(connection)
    with capture_logs() as told:  # it ends by itself
        runner.run(connecting(models), lambda: ["notes"], lambda: None, threading.Event())
    assert [entry["event"] for entry in told] == ["stopped"]
    assert "docs/restored-backup.md" in told[0]["why"]
    models.catch_up(NOTES)  # one that starts anew goes on


def test_what_a_crash_has_taken_of_rows_and_position_is_applied_again(models, story, notes):
    for _ in range(3):
        story.request()
    runner = models.runner(NOTES)
    with connect(models.url) as connection:
        runner.catch_up(connection)
        runner.catch_up(connection)
        connection.execute("DELETE FROM atelier_notes WHERE n > 2")
        connection.execute("UPDATE atelier_projections SET position = 2 WHERE projection = 'notes'")
        story.request()
        runner.catch_up(connection)
    assert notes() == doubled(1, 2, 3, 4, 5)


def test_rows_and_position_move_together(models, story, notes):
    story.request()
    models.catch_up(NOTES)
    assert notes() == doubled(1, 2)
    assert models.position(NOTES) == 2


def test_a_log_longer_than_a_batch_is_followed_to_its_end(models, story, notes):
    story.tell(TASK, *(started(n) for n in range(BATCH + 10)))
    with connect(models.url) as connection:
        runner = models.runner(NOTES)
        assert [runner.catch_up(connection) for _ in range(3)] == [BATCH, 10, 0]
    assert len(notes()) == 2 * (1 + BATCH + 10)


@pytest.mark.parametrize("fault", ["session", "damage", "read-only"])
def test_a_fault_of_postgres_leaves_nothing_half_applied(models, story, notes, fault):
    story.request()
    bad = story.request()
    broken.add(f"{fault} {bad}")
    with pytest.raises((psycopg.OperationalError, psycopg.InternalError)):
        models.catch_up(NOTES)
    assert notes() == doubled(1)
    assert models.position(NOTES) == 1
    assert models.parked(NOTES) == []
    broken.clear()
    models.catch_up(NOTES)
    assert notes() == doubled(1, 2, 3)


def test_what_stops_one_read_model_does_not_stop_the_others(models, story, notes):
    broken.add(f"damage {story.request()}")
    runner = Runner([NOTES, accounts.PROJECTION, tasks.PROJECTION], story.store.read_some)
    with connect(models.url) as connection:
        for _ in range(2):  # the second time they stand at different positions
            with contextlib.suppress(psycopg.InternalError):
                runner.catch_up(connection)
            story.register(uuid4())
    assert [models.position(each) for each in (NOTES, accounts.PROJECTION)] == [1, 3]
    broken.clear()
    with connect(models.url) as connection:
        while runner.catch_up(connection):
            pass
    assert notes() == doubled(1, 2, 3, 4)
    assert models.position(tasks.PROJECTION) == 4


def test_a_batch_is_read_once_for_all_read_models(models, story, notes):
    story.tell(story.request(), started())
    reads = []

    def read(*what, **how):
        reads.append(what[0])
        return story.store.read_some(*what, **how)

    models.catch_up()
    with connect(models.url) as connection:
        story.request()
        models.catch_up(NOTES)
        story.request()
        runner = Runner([NOTES, *PROJECTIONS], read)
        while runner.catch_up(connection):
            pass
    # They stood at two positions, and then all at the same one.
    assert reads == [3, 4, 5]


@pytest.mark.parametrize("fault", ["python", "sql"])
def test_a_bad_event_parks_its_aggregate_and_the_rest_goes_on(models, story, notes, fault):
    good, bad = story.request(), story.request()
    broken.add(f"{fault} {bad}")
    story.tell(bad, started())
    story.tell(good, started())
    models.catch_up(NOTES)
    assert notes() == doubled(1, 2, 5)
    assert models.parked(NOTES) == [3, 4]
    assert models.position(NOTES) == 5


def test_what_comes_later_for_a_parked_aggregate_is_parked_in_its_order(models, story, notes):
    good, bad = story.request(), story.request()
    broken.add(f"sql {bad}")
    models.catch_up(NOTES)
    broken.clear()
    story.tell(bad, started())
    story.tell(good, started())
    models.catch_up(NOTES)
    assert notes() == doubled(1, 2, 5)
    assert models.parked(NOTES) == [3, 4]


def test_the_parked_event_tells_its_fault_but_nothing_personal(models, story, notes):
    bad = story.request()
    broken.add(f"python {bad}")
    story.tell(bad, started())
    models.catch_up(NOTES)
    first, second = models.ask_database("SELECT * FROM atelier_parked ORDER BY position")
    assert (first["error"], second["error"]) == ("ZeroDivisionError", None)
    assert (first["aggregate_id"], first["account"]) == (bad, ACCOUNT)
    assert first["event_id"] == story.store.load(bad)[0].event_id


def test_one_read_model_parks_for_itself_alone(models, story, notes):
    broken.add(f"sql {story.request()}")
    models.catch_up()
    models.catch_up(NOTES)
    assert models.parked(NOTES) == [2]
    assert models.parked(tasks.PROJECTION) == []
    assert len(models.rows(tasks.PROJECTION)) == 1


def tell_stored(models, aggregate, version, kind, state):
    with connect(models.url) as connection:
        values = [1, uuid4(), kind, aggregate, version, "test", ACCOUNT, uuid4(), None, state]
        connection.execute(APPEND, [0, None, *[[value] for value in values], *[[]] * 6])


def test_an_event_that_cannot_be_read_is_parked(models, story, notes):
    tell_stored(models, TASK, 1, "render.started.v1", "no json")
    story.request()
    models.catch_up(NOTES)
    assert models.parked(NOTES) == [2]
    assert notes() == doubled(1, 3)


def test_an_event_whose_sealed_fields_were_moved_is_parked(models, story, notes):
    story.request()
    (row,) = models.ask_database("SELECT state FROM atelier_events WHERE position = 2")
    tell_stored(models, TASK, 1, "render.requested.v1", row["state"])
    models.catch_up(NOTES)
    assert models.parked(NOTES) == [3]
    assert notes() == doubled(1, 2)


def test_a_type_that_this_build_does_not_know_stops_at_exactly_that_place(models, story, notes):
    story.request()
    tell_stored(models, TASK, 1, "render.sculpted.v9", "{}")
    story.request()
    with pytest.raises(UnknownEvent, match="position 3"):
        models.catch_up(NOTES)
    assert notes() == doubled(1, 2)
    assert models.position(NOTES) == 2
    assert models.parked(NOTES) == []


def test_of_two_runners_the_one_that_is_overtaken_changes_nothing(models, story, notes):
    story.request()

    def read(*what, **how):
        batch = story.store.read_some(*what, **how)
        models.catch_up(NOTES)  # meanwhile the other one
        return batch

    late = Runner([NOTES], read)
    with connect(models.url) as connection, pytest.raises(LostLock):
        late.catch_up(connection)
    assert notes() == doubled(1, 2)
    assert models.position(NOTES) == 2


def test_the_one_that_is_overtaken_parks_nothing_either(models, story, notes):
    broken.add(f"sql {story.request()}")

    def read(*what, **how):
        batch = story.store.read_some(*what, **how)
        models.catch_up(NOTES)
        return batch

    late = Runner([NOTES], read)
    with connect(models.url) as connection, pytest.raises((LostLock, psycopg.Error)):
        late.catch_up(connection)
    assert models.parked(NOTES) == [2]


@pytest.fixture
def running(models):
    """A runner that follows the log in a thread."""
    stop = threading.Event()

    def run():
        listener = Listener(models.url)
        with Shares(models.url, "projector", ["accounts"], lock="atelier.test.{}") as shares:
            runner = models.runner(accounts.PROJECTION)
            runner.run(connecting(models), shares.held, listener.wait, stop)
        listener.close()

    thread = threading.Thread(target=run)
    thread.start()
    yield thread
    stop.set()
    thread.join()


def test_a_running_one_follows_the_log_as_it_grows(models, story, running):
    eventually(lambda: models.position(accounts.PROJECTION) == 1)
    story.register(uuid4())
    eventually(lambda: len(models.rows(accounts.PROJECTION)) == 2)


def register_once_it_answers(story):
    account = uuid4()

    def registered():
        with contextlib.suppress(Unavailable):  # a pooled connection may not know yet that it ended
            return story.register(account)

    eventually(registered)


def test_a_running_one_survives_the_loss_of_its_connections(models, story, running):
    eventually(lambda: models.position(accounts.PROJECTION) == 1)
    with connect(models.url) as connection:
        connection.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
            " WHERE datname = current_database() AND pid <> pg_backend_pid()"
        )
    register_once_it_answers(story)
    eventually(lambda: len(models.rows(accounts.PROJECTION)) == 2)


def test_a_running_one_survives_a_restart_of_postgres(models, postgres, story, running):
    eventually(lambda: models.position(accounts.PROJECTION) == 1)
    postgres.kill()
    postgres.restart()
    story.register(uuid4())
    eventually(lambda: len(models.rows(accounts.PROJECTION)) == 2)
