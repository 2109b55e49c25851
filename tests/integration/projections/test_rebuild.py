"""Generations: filled, proved, switched to, gone back to, and dropped."""

import threading
import time
from concurrent.futures import ThreadPoolExecutor
from uuid import uuid4

import pytest

from domain.account import AccountInfoUpdated
from domain.errors import NotFound
from infra.postgres import Listener, connect
from infra.settings import Settings
from projections import PROJECTIONS, accounts, gallery, generations, tasks
from projections import main as projector
from projections.generations import CannotSwitch
from projections.runner import Runner
from tests.integration.projections.conftest import filled, found, picture, served
from tests.support.scenario import (
    ACCOUNT,
    HASH_KEY,
    MASTER_KEY,
    erased,
    eventually,
    lose_key,
    started,
)

WAITING_LOCKS = "SELECT count(*) FROM pg_locks WHERE relation IS NOT NULL AND NOT granted"


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
        connection.execute("DROP VIEW atelier_tasks, atelier_queue_rounds")
        connection.execute("ALTER TABLE atelier_tasks_g1 DROP COLUMN requested_at")
        connection.execute("CREATE VIEW atelier_tasks AS TABLE atelier_tasks_g1")
    projector.migrate(Settings(postgres_url=models.url, master_key=MASTER_KEY, hash_key=HASH_KEY))
    served_by = {each.name: served(models, each) for each in PROJECTIONS}
    assert served_by == {"accounts": 1, "gallery": 1, "queue": 2, "tasks": 2, "wardrobe": 1}


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
