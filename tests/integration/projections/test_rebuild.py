"""Generations: filled, proved, switched to, gone back to, and dropped; and what was parked."""

import contextlib
import functools
import multiprocessing
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from uuid import UUID, uuid4

import pytest

from domain.account import AccountInfoUpdated
from domain.errors import NotFound, Unavailable
from domain.events import Segment
from domain.garment import GarmentListed
from infra.log.appender import APPEND
from infra.postgres import Listener, connect
from infra.settings import Settings
from projections import PROJECTIONS, accounts, gallery, generations, parking, segments, tasks
from projections import main as projector
from projections.generations import CannotSwitch
from projections.rebuild import Rebuild
from projections.runner import Runner
from tests.support.scenario import (
    ACCOUNT,
    HASH_KEY,
    MASTER_KEY,
    completed,
    erased,
    eventually,
    garment_details,
    lose_key,
    registered,
    requested,
    source,
    started,
    thumbnail,
)

WAITING_LOCKS = "SELECT count(*) FROM pg_locks WHERE relation IS NOT NULL AND NOT granted"
UNFIT = (source("a\x00.jpg"), thumbnail())  # a column of text takes no NUL


@pytest.fixture
def connecting(models):
    return functools.partial(connect, models.url)


@pytest.fixture
def open_log(models):
    settings = Settings(postgres_url=models.url, master_key=MASTER_KEY, hash_key=HASH_KEY)
    return projector.log_opener(settings)


@pytest.fixture
def rebuild(open_log):
    with contextlib.ExitStack() as stack:

        def begun(*projections):
            return stack.enter_context(Rebuild(projections, open_log))

        yield begun


def picture(story) -> UUID:
    task = story.request()
    files = (source(f"{task}.jpg"), thumbnail(f"{task}_thumbnail.jpg"))
    story.tell(task, started(), completed(files=files))
    return task


def filled(rebuilt, projection):
    rebuilt.fill(lambda _at, _until: None)
    return rebuilt.compare(projection)


def served(models, projection):
    (live,) = [each for each in found(models, projection) if each.live]
    return live.generation


def found(models, projection):
    with connect(models.url) as connection:
        return generations.generations(connection, [projection.name])


@pytest.mark.parametrize("projection", PROJECTIONS, ids=lambda projection: projection.name)
def test_a_generation_that_is_made_anew_has_the_same_rows(models, story, rebuild, projection):
    for _ in range(3):
        picture(story)
    models.catch_up()
    comparison = filled(rebuild(projection), projection)
    assert (comparison.differing, comparison.differences) == (0, [])
    assert comparison.rows == len(models.rows(projection))
    assert served(models, projection) == 1  # until somebody switches


def test_after_a_switch_both_are_kept_and_one_can_go_back(models, story, rebuild, connecting):
    picture(story)
    models.catch_up()
    comparison = filled(rebuild(gallery.PROJECTION), gallery.PROJECTION)
    with connecting() as connection:
        generations.switch(connection, gallery.PROJECTION, comparison.generation)
    assert served(models, gallery.PROJECTION) == 2
    picture(story)
    models.catch_up()
    rows = models.rows(gallery.PROJECTION)
    assert len(rows) == 2
    with connecting() as connection:
        assert generations.roll_back(connection, gallery.PROJECTION) == 1
    assert served(models, gallery.PROJECTION) == 1
    assert models.rows(gallery.PROJECTION) == rows
    with connecting() as connection:  # and forth
        assert generations.roll_back(connection, gallery.PROJECTION) == 2


def test_one_that_stands_still_holds_up_no_other(models, story, rebuild):
    for _ in range(3):
        picture(story)
    models.catch_up(tasks.PROJECTION, accounts.PROJECTION)  # and not the gallery
    both = [gallery.PROJECTION, tasks.PROJECTION]
    new = rebuild(*both)
    new.fill(lambda _at, _until: None)
    at = {each.model: each.position for each in found(models, tasks.PROJECTION) if not each.live}
    assert at == {"tasks": 10}
    assert [new.compare(each).position for each in both] == [0, 10]


def test_what_was_interrupted_is_gone_on_with(models, story, rebuild, connecting):
    for _ in range(3):
        picture(story)
    models.catch_up()
    first = rebuild(tasks.PROJECTION)
    with connecting() as connection:
        first._runner.catch_up(connection, until=4)
    again = rebuild(tasks.PROJECTION)
    assert again.generations == first.generations
    (unfinished,) = [each for each in found(models, tasks.PROJECTION) if not each.live]
    assert unfinished.position == 4
    assert filled(again, tasks.PROJECTION).differing == 0


def test_a_single_row_that_is_wrong_is_found_and_named(models, story, rebuild):
    pictures = [picture(story) for _ in range(5)]
    models.catch_up()
    with connect(models.url) as connection:
        connection.execute(
            "UPDATE atelier_tasks SET engine = 'another', attempt = 7 WHERE task = %s",
            [pictures[0]],
        )
        connection.execute("DELETE FROM atelier_tasks WHERE task = %s", [pictures[1]])
        surplus = uuid4()
        connection.execute(
            "INSERT INTO atelier_tasks SELECT %s, account, place, vip, status, attempt, engine,"
            " error_code, error_message, files, ignored, garment, requested_at FROM atelier_tasks"
            " WHERE task = %s",
            [surplus, pictures[2]],
        )
    comparison = filled(rebuild(tasks.PROJECTION), tasks.PROJECTION)
    told = {(d.key["task"], d.what, tuple(sorted(d.columns))) for d in comparison.differences}
    assert told == {
        (str(pictures[0]), "changed", ("attempt", "engine")),
        (str(pictures[1]), "missing", ()),
        (str(surplus), "surplus", ()),
    }
    assert comparison.differing == 3


def test_rows_of_somebody_whose_erasure_is_still_to_come_make_no_difference(models, story, rebuild):
    picture(story)
    models.catch_up()
    lose_key(story.store)
    story.tell(ACCOUNT, erased())
    for projection in (accounts.PROJECTION, gallery.PROJECTION):
        assert filled(rebuild(projection), projection).differing == 0


def test_the_proof_is_at_one_position_while_events_come_in(models, story, rebuild, connecting):
    """The generation that serves goes on all the time, and is never halted for long."""
    stop = threading.Event()

    def project():
        with connecting() as connection:
            runner = Runner(PROJECTIONS, story.store.read_some)
            while not stop.is_set():
                runner.catch_up(connection)

    def write():
        while not stop.is_set():
            picture(story)

    threads = [threading.Thread(target=each) for each in (project, write)]
    for thread in threads:
        thread.start()
    try:
        for _ in range(3):
            comparison = filled(rebuild(tasks.PROJECTION), tasks.PROJECTION)
            assert comparison.differing == 0
            with connecting() as connection:
                generations.switch(connection, tasks.PROJECTION, comparison.generation)
    finally:
        stop.set()
        for thread in threads:
            thread.join()
    assert served(models, tasks.PROJECTION) == 4


def test_nobody_reads_a_stale_answer_while_generations_switch(models, story, rebuild, connecting):
    models.catch_up()
    new = filled(rebuild(accounts.PROJECTION), accounts.PROJECTION).generation
    with connecting() as connection:
        generations.switch(connection, accounts.PROJECTION, new)
    stop = threading.Event()
    listener = Listener(models.url)

    def project():
        runner = Runner(PROJECTIONS, story.store.read_some)
        runner.run(connecting, lambda: [p.name for p in PROJECTIONS], listener.wait, stop)

    def switch():
        with connecting() as connection:
            while not stop.is_set():
                generations.roll_back(connection, accounts.PROJECTION)

    threads = [threading.Thread(target=each) for each in (project, switch)]
    for thread in threads:
        thread.start()
    try:
        for n in range(30):
            story.tell(ACCOUNT, AccountInfoUpdated(full_name=f"Ada {n}"))
            (row,) = models.ask(accounts.account, ACCOUNT).rows
            assert row.full_name == f"Ada {n}"
    finally:
        stop.set()
        for thread in threads:
            thread.join()
        listener.close()


@pytest.fixture
def another(models, rebuild):
    """A second generation of the gallery, which could serve."""
    models.catch_up()
    return filled(rebuild(gallery.PROJECTION), gallery.PROJECTION).generation


def test_views_of_others_go_on_over_a_switch(models, story, another, connecting):
    with connecting() as connection:
        connection.execute("CREATE VIEW report AS SELECT task FROM atelier_gallery")
        generations.switch(connection, gallery.PROJECTION, another)
    picture(story)
    models.catch_up()
    assert len(models.ask_database("TABLE report")) == 1


def test_views_of_others_are_named_where_they_stop_a_switch(models, another, connecting):
    with connecting() as connection:
        connection.execute("CREATE VIEW report AS SELECT source_key FROM atelier_gallery")
        connection.execute(f"ALTER TABLE atelier_gallery_g{another} RENAME source_key TO key")
        with pytest.raises(CannotSwitch, match="view report depends on"):
            generations.switch(connection, gallery.PROJECTION, another)
        assert served(models, gallery.PROJECTION) == 1
        connection.execute("DROP VIEW report")
        generations.switch(connection, gallery.PROJECTION, another)
        assert served(models, gallery.PROJECTION) == another


def test_nobody_queues_behind_a_switch_that_waits_for_a_long_reader(
    models, another, connecting, monkeypatch
):
    def switch():
        with connecting() as connection:
            generations.switch(connection, gallery.PROJECTION, another)

    with connecting() as long, connecting() as reader:
        long.execute("BEGIN")
        long.execute("TABLE atelier_gallery")
        switching = threading.Thread(target=switch)
        switching.start()
        slowest = 0.0
        for _ in range(100):
            began = time.monotonic()
            reader.execute("TABLE atelier_gallery")
            slowest = max(slowest, time.monotonic() - began)
            time.sleep(0.01)
        assert switching.is_alive()
        assert slowest < 1
        long.execute("COMMIT")
        switching.join()
        assert served(models, gallery.PROJECTION) == another
        long.execute("BEGIN")
        long.execute("TABLE atelier_gallery")
        monkeypatch.setattr(generations, "PATIENCE_S", 0.0)
        with connecting() as connection, pytest.raises(CannotSwitch, match="reads gallery for lon"):
            generations.roll_back(connection, gallery.PROJECTION)


def test_dropping_lets_a_projector_finish_its_batch(models, another, connecting):
    def drop():
        with connecting() as connection:
            generations.drop(connection, gallery.PROJECTION, another)

    with connecting() as batch:
        batch.execute("BEGIN")
        batch.execute(f"TABLE atelier_gallery_g{another}")
        dropping = threading.Thread(target=drop)
        dropping.start()
        eventually(lambda: batch.execute(WAITING_LOCKS).fetchone() == (1,))
        batch.execute("UPDATE atelier_projections SET position = position")
        batch.execute("COMMIT")
        dropping.join()
    assert [each.generation for each in found(models, gallery.PROJECTION)] == [1]


def test_the_generation_that_serves_cannot_be_dropped(models, rebuild, connecting):
    models.catch_up()
    new = filled(rebuild(gallery.PROJECTION), gallery.PROJECTION).generation
    with connecting() as connection:
        with pytest.raises(CannotSwitch, match="serves"):
            generations.drop(connection, gallery.PROJECTION, 1)
        with pytest.raises(NotFound):
            generations.drop(connection, gallery.PROJECTION, 9)
        generations.drop(connection, gallery.PROJECTION, new)
        ((table,),) = connection.execute(f"SELECT to_regclass('atelier_gallery_g{new}')")
        assert table is None
    assert [each.generation for each in found(models, gallery.PROJECTION)] == [1]


def test_there_may_be_nothing_to_go_back_to(models, rebuild, connecting):
    models.catch_up()
    with connecting() as connection:
        with pytest.raises(CannotSwitch, match="no other generation"):
            generations.roll_back(connection, tasks.PROJECTION)
        filled(rebuild(tasks.PROJECTION), tasks.PROJECTION)
        generations.switch(connection, tasks.PROJECTION, 2)
        connection.execute("UPDATE atelier_projections SET position = 99 WHERE NOT live")
        with pytest.raises(CannotSwitch, match="the log has lost"):
            generations.roll_back(connection, tasks.PROJECTION)
        connection.execute(
            "UPDATE atelier_projections SET position = 0, fingerprint = 'x' WHERE NOT live"
        )
        with pytest.raises(CannotSwitch, match="another build"):
            generations.roll_back(connection, tasks.PROJECTION)


def test_what_other_code_made_serves_until_it_is_made_anew(models, story, connecting):
    story.tell(story.request(), started())
    models.catch_up()
    whole = models.rows(tasks.PROJECTION)
    with connecting() as connection:  # as another build has left it
        connection.execute("ALTER TABLE atelier_tasks_g1 DROP COLUMN garment CASCADE")
        connection.execute("CREATE VIEW atelier_tasks AS TABLE atelier_tasks_g1")
        connection.execute(
            "UPDATE atelier_projections SET fingerprint = 'other' WHERE projection = 'tasks'"
        )
        assert not generations.make(connection, tasks.PROJECTION)
    assert len(models.rows(tasks.PROJECTION)) == 1  # it goes on serving
    seen = story.register(uuid4())
    runner = Runner(PROJECTIONS, story.store.read_some)
    with connecting() as connection:
        while runner.catch_up(connection):
            pass
    assert models.position(tasks.PROJECTION) < seen  # other code than ours keeps it
    assert models.position(accounts.PROJECTION) == seen
    projector.migrate(Settings(postgres_url=models.url, master_key=MASTER_KEY, hash_key=HASH_KEY))
    assert served(models, tasks.PROJECTION) == 2
    assert models.rows(tasks.PROJECTION) == whole
    assert served(models, accounts.PROJECTION) == 1


def test_what_this_build_cannot_read_is_made_anew_however_large_the_log_is(
    models, story, connecting, monkeypatch
):
    """Columns that are missing, and what is beside the table; what is only stale serves on."""
    story.request()
    models.catch_up()
    monkeypatch.setattr("projections.main.SMALL", 0)
    with connecting() as connection:
        connection.execute("UPDATE atelier_projections SET fingerprint = 'of an older build'")
        connection.execute("DROP VIEW atelier_tasks, atelier_queue_blocks")
        connection.execute("ALTER TABLE atelier_tasks_g1 DROP COLUMN requested_at")
        connection.execute("CREATE VIEW atelier_tasks AS TABLE atelier_tasks_g1")
    projector.migrate(Settings(postgres_url=models.url, master_key=MASTER_KEY, hash_key=HASH_KEY))
    served_by = {each.name: served(models, each) for each in PROJECTIONS}
    assert served_by == {"accounts": 1, "gallery": 1, "queue": 2, "tasks": 2, "wardrobe": 1}


# Filled by several processes.


@pytest.fixture
def by_segments(monkeypatch):
    monkeypatch.setattr("projections.rebuild.LARGE", 0)
    monkeypatch.setattr("projections.segments.processes", lambda: 3)


def people(story, count) -> None:
    """So many accounts, each with a picture; and the same number of garments."""
    for _ in range(count):
        account = uuid4()
        task = uuid4()
        files = (source(f"{task}.jpg"), thumbnail(f"{task}_thumbnail.jpg"))
        story.tell(account, registered(email=f"{account}@example.org"), account=account)
        story.tell(task, requested(), started(), completed(files=files), account=account)
        story.tell(uuid4(), GarmentListed(details=garment_details(name=f"{account}")), account=None)


def test_several_processes_fill_what_one_would(models, story, rebuild, by_segments):
    people(story, 20)
    models.catch_up()
    told: list[tuple[int, int]] = []
    new = rebuild(*PROJECTIONS)
    new.fill(lambda at, until: told.append((at, until)))
    for projection in PROJECTIONS:
        comparison = new.compare(projection)
        assert (comparison.differing, comparison.position) == (0, story.store.head()[1])
    assert len(told) > 10
    assert told == sorted(told)


def test_a_killed_rebuild_is_gone_on_with_where_each_segment_was(
    models, story, rebuild, open_log, by_segments, connecting
):
    people(story, 20)
    models.catch_up()
    first = rebuild(tasks.PROJECTION)
    with open_log() as log, connecting() as connection:
        segments._split(connection, [tasks.PROJECTION], first.generations)
        for number in (0, 2):  # one has come further than the others
            runner = Runner(
                [tasks.PROJECTION], log.read, state="building", segment=Segment(number, 3)
            )
            while runner.catch_up(connection, until=30 + 10 * number):
                pass
    again = rebuild(tasks.PROJECTION, accounts.PROJECTION)  # one that was begun, one that was not
    assert again.generations["tasks"] == first.generations["tasks"]
    again.fill(lambda _at, _until: None)
    assert [again.compare(each).differing for each in (tasks.PROJECTION, accounts.PROJECTION)] == [
        0,
        0,
    ]


def test_segments_meet_where_the_first_of_them_has_come_to(
    models, story, rebuild, open_log, by_segments, connecting
):
    """Though the generation that serves is another one by now, which is behind."""
    people(story, 20)
    models.catch_up()
    new = rebuild(tasks.PROJECTION)
    with open_log() as log, connecting() as connection:
        segments._split(connection, [tasks.PROJECTION], new.generations)
        runner = Runner([tasks.PROJECTION], log.read, state="building", segment=Segment(1, 3))
        runner.catch_up(connection, until=60)
        connection.execute("UPDATE atelier_projections SET position = 20 WHERE live")
    new.fill(lambda _at, _until: None)
    (filled,) = [each for each in found(models, tasks.PROJECTION) if not each.live]
    assert filled.position == 60


def test_a_process_that_fails_says_why_and_what_to_do(
    models, story, rebuild, by_segments, connecting
):
    people(story, 5)
    models.catch_up()
    new = rebuild(tasks.PROJECTION)
    with connecting() as connection:
        connection.execute(f"ALTER TABLE atelier_tasks_g{new.generations['tasks']} RENAME TO x")
    with pytest.raises(Unavailable, match="does not exist: call it again"):
        new.fill(lambda _at, _until: None)


@contextlib.contextmanager
def slow_log(open_log):
    """A log of which each process gets three events at a time, and waits for them."""

    def read(after, limit, *what, **how):
        time.sleep(0.2)
        return log.read(after, min(3, limit), *what, **how)

    with open_log() as log:
        yield log._replace(read=read)


def rebuild_slowly(open_log):
    """What a process does that will be killed."""
    segments.processes = lambda: 3
    slow = functools.partial(slow_log, open_log)
    with Rebuild([tasks.PROJECTION], slow) as new, new._connect() as connection:
        segments.fill(slow, connection, [tasks.PROJECTION], new.generations, 10**6, print)


def test_when_a_rebuild_is_killed_its_processes_end_too(
    models, story, rebuild, open_log, by_segments
):
    people(story, 20)
    models.catch_up()
    parent = multiprocessing.get_context("spawn").Process(target=rebuild_slowly, args=(open_log,))
    parent.start()
    moved = "SELECT count(*) FROM atelier_projection_segments WHERE position > 0"
    eventually(lambda: models.ask_database(moved) == [{"count": 3}])
    workers = children(parent.pid)
    assert len(workers) >= 3
    parent.kill()
    parent.join()
    eventually(lambda: not any(Path(f"/proc/{worker}").exists() for worker in workers))
    assert filled(rebuild(tasks.PROJECTION), tasks.PROJECTION).differing == 0


def children(process: int | None) -> list[str]:
    return Path(f"/proc/{process}/task/{process}/children").read_text().split()


# What was parked.


@pytest.fixture
def parked(models, story):
    """A task whose first file did not fit, and one that came after it."""
    task = story.request()
    story.tell(task, started(), completed(files=UNFIT), completed(2))
    models.catch_up()
    assert models.parked(gallery.PROJECTION) == [4, 5]
    return task


def test_what_is_parked_is_listed_with_its_reason(parked, connecting):
    with connecting() as connection:
        told = parking.parked(connection, ["gallery"])
    assert [(each.aggregate_id, each.position, each.error) for each in told] == [
        (parked, 4, "UntranslatableCharacter"),
        (parked, 5, None),
    ]
    assert told[0].type == "render.completed.v1"


def test_what_still_cannot_be_applied_stays_parked(models, story, parked, connecting):
    with connecting() as connection, pytest.raises(parking.StillParked, match="position 4"):
        parking.retry(connection, gallery.PROJECTION, 1, parked, story.store.read_some)
    assert models.parked(gallery.PROJECTION) == [4, 5]


def test_what_came_after_one_that_is_given_up_is_applied(models, story, parked, connecting):
    with connecting() as connection:
        retried = (gallery.PROJECTION, 1, parked, story.store.read_some)
        assert parking.retry(connection, *retried, skip=True) == 1
        with pytest.raises(NotFound):
            parking.retry(connection, *retried)
    assert models.parked(gallery.PROJECTION) == []
    assert [row["position"] for row in models.rows(gallery.PROJECTION)] == [5]


def test_what_cannot_be_read_can_be_given_up(models, story, connecting):
    task = story.request()
    with connecting() as connection:
        values = [1, uuid4(), started().stored_name, task, 2, "test", ACCOUNT, uuid4(), None, "x"]
        connection.execute(APPEND, [0, None, *[[value] for value in values], *[[]] * 6])
    models.catch_up()
    assert models.parked(tasks.PROJECTION) == [3]
    retried = (tasks.PROJECTION, 1, task, story.store.read_some)
    with connecting() as connection:
        with pytest.raises(parking.StillParked):
            parking.retry(connection, *retried)
        assert parking.retry(connection, *retried, skip=True) == 0
    assert models.parked(tasks.PROJECTION) == []


def test_a_rebuild_parks_the_same(models, parked, rebuild):
    comparison = filled(rebuild(gallery.PROJECTION), gallery.PROJECTION)
    assert comparison.differing == 0
    (one, two) = found(models, gallery.PROJECTION)
    assert (one.parked, two.parked) == (2, 2)


def test_retried_is_all_that_was_parked_in_its_order(models, story, connecting):
    with connecting() as connection:
        connection.execute(
            "ALTER TABLE atelier_tasks_g1 ADD CONSTRAINT no_third CHECK (attempt <> 3)"
        )
    task = story.request()
    story.tell(task, started(3), completed(3))
    models.catch_up()
    assert models.parked(tasks.PROJECTION) == [3, 4]
    with connecting() as connection:  # what stopped it is mended
        connection.execute("ALTER TABLE atelier_tasks_g1 DROP CONSTRAINT no_third")
        retried = parking.retry(connection, tasks.PROJECTION, 1, task, story.store.read_some)
    assert retried == 2
    (row,) = models.rows(tasks.PROJECTION)
    assert (row["status"], row["attempt"]) == ("SUCCESS", 3)
    assert models.parked(tasks.PROJECTION) == []


def test_what_is_being_filled_can_be_dropped_amid_a_batch(models, rebuild, connecting):
    models.catch_up()
    number = rebuild(gallery.PROJECTION).generations["gallery"]

    def drop():
        with connecting() as connection:
            generations.drop(connection, gallery.PROJECTION, number)

    with connecting() as batch, ThreadPoolExecutor(1) as threads:
        with batch.transaction():  # rows first, then where they stand, as the runner does
            batch.execute(f"LOCK TABLE atelier_gallery_g{number} IN ROW EXCLUSIVE MODE")
            dropped = threads.submit(drop)
            eventually(lambda: waits(models))
            batch.execute("UPDATE atelier_projections SET position = 1 WHERE NOT live")
        dropped.result()
    assert [each.generation for each in found(models, gallery.PROJECTION)] == [1]


def waits(models):
    return models.ask_database("SELECT FROM pg_locks WHERE NOT granted")
