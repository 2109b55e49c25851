"""`atelier projections …` as operators call it."""

import json
from collections.abc import Callable, Iterator
from uuid import UUID

import pytest

from api import figures
from api.cli import projections
from api.cli.main import _imported, _parser
from api.cli.table import COMMANDS
from domain.errors import NotFound
from infra.log.event_store import EventStore, store_for_a_while
from infra.log.keys import KeyRing
from infra.postgres import connect, open_pool
from infra.process.leader import Leadership
from infra.settings import Settings
from projections import PROJECTIONS
from projections.runner import Runner
from tests.support.scenario import Story, completed, source, started, thumbnail

Atelier = Callable[..., str]


@pytest.fixture
def story(migrated: Settings) -> Iterator[Story]:
    with open_pool(migrated.postgres_url, 2) as pool:
        keys = KeyRing(pool, migrated.master_key)
        told = Story(EventStore(pool, keys, migrated.hash_key))
        told.register()
        yield told


@pytest.fixture
def picture(migrated: Settings, story: Story) -> UUID:
    """A task that every read model of tasks shows."""
    task = story.request()
    story.tell(task, started(), completed(files=(source(f"{task}.jpg"), thumbnail())))
    catch_up(migrated, story)
    return task


def catch_up(settings: Settings, story: Story) -> None:
    runner = Runner(PROJECTIONS, story.store.read_some)
    with connect(settings.postgres_url) as connection:
        while runner.catch_up(connection):
            pass


@pytest.fixture
def atelier(migrated: Settings, capsys: pytest.CaptureFixture[str]) -> Atelier:
    """Runs a command, and gives what it prints."""

    def run(*words: str) -> str:
        given = _parser().parse_args(["projections", *words])
        _imported(COMMANDS[given.name].entry)(migrated, given)
        return capsys.readouterr().out

    return run


def change(settings: Settings, statement: str) -> None:
    with connect(settings.postgres_url) as connection:
        connection.execute(statement.encode())


def test_each_generation_is_listed(atelier: Atelier, picture: UUID):
    listed = json.loads(atelier("list", "--json"))
    assert {each["model"] for each in listed} == {each.name for each in PROJECTIONS}
    assert {(each["live"], each["lag"], each["parked"]) for each in listed} == {(True, 0, 0)}
    shown = atelier("list")
    assert "gallery" in shown
    assert "this build" in shown


def test_a_wrong_read_model_is_found_and_made_anew(
    atelier: Atelier, migrated: Settings, picture: UUID, capsys: pytest.CaptureFixture[str]
):
    assert "each as the log has it" in atelier("verify", "--all")
    change(migrated, "UPDATE atelier_gallery SET source_key = 'elsewhere.jpg'")
    with pytest.raises(projections.Differs, match="gallery"):
        atelier("verify", "gallery", "tasks")
    told = capsys.readouterr().out
    assert f"changed  task {picture}" in told
    assert "source_key" in told
    assert "elsewhere.jpg" not in told  # what rows hold may be personal
    assert len(json.loads(atelier("list", "--json"))) == len(PROJECTIONS)  # nothing is left

    with pytest.raises(projections.Differs, match="gallery"):
        atelier("rebuild", "gallery")
    assert "goes on serving" in capsys.readouterr().out
    assert "generation 2 serves, with 1 row" in atelier("rebuild", "gallery", "--accept")
    assert "each as the log has it" in atelier("verify", "gallery")
    assert "generation 1 serves again" in atelier("rollback", "gallery")
    assert "generation 2 serves again" in atelier("rollback", "gallery")
    assert "is gone" in atelier("drop", "gallery", "1")


def test_what_was_parked_is_listed_retried_and_given_up(
    atelier: Atelier, migrated: Settings, story: Story, picture: UUID
):
    assert "Nothing is parked" in atelier("parked")
    change(migrated, "ALTER TABLE atelier_tasks_g1 ADD CONSTRAINT no_third CHECK (attempt <> 3)")
    bad, worse = story.request(), story.request()
    for task in (bad, worse):
        story.tell(task, started(3), completed(3))
    catch_up(migrated, story)
    assert str(bad) in atelier("parked")
    assert len(json.loads(atelier("parked", "--json"))) == 4
    with pytest.raises(projections.Differs, match="2 aggregates of tasks stay parked"):
        atelier("retry", "tasks")
    assert "1 event applied" in atelier("skip", "tasks", "--aggregate", str(worse))
    change(migrated, "ALTER TABLE atelier_tasks_g1 DROP CONSTRAINT no_third")
    assert "2 events applied" in atelier("retry", "tasks", "--aggregate", str(bad))
    assert "Nothing is parked" in atelier("parked")


def test_read_models_that_are_ahead_of_a_restored_log_are_named_and_made_anew(
    atelier: Atelier, migrated: Settings, picture: UUID
):
    lose_events_after(1, migrated)
    ahead = {each.name: each.trouble for each in figures.figures(migrated).readers if each.is_model}
    assert ahead == {
        each.name: f"ahead of the log: run `atelier projections rebuild {each.name} --accept`"
        for each in PROJECTIONS
    }
    atelier("rebuild", "--all", "--accept")
    assert not any(each.trouble for each in figures.figures(migrated).readers)
    listed = json.loads(atelier("list", "--json"))  # the lost past is not kept to go back to
    assert {(each["live"], each["position"]) for each in listed} == {(True, 1)}

    keys = (migrated.master_key, migrated.hash_key)
    with store_for_a_while(migrated.postgres_url, *keys) as store:
        later = Story(store)
        tasks = {str(later.request()) for _ in range(3)}
        catch_up(migrated, later)
    with connect(migrated.postgres_url) as connection:
        shown = {str(task) for (task,) in connection.execute("SELECT task FROM atelier_tasks")}
    assert shown == tasks


def lose_events_after(position: int, settings: Settings) -> None:
    """What restoring the log's tables alone from an older backup does."""
    change(settings, "ALTER TABLE atelier_events DISABLE TRIGGER atelier_events_append_only")
    change(settings, f"DELETE FROM atelier_events WHERE position > {position}")
    change(settings, f"UPDATE atelier_head SET position = {position}")
    change(settings, "ALTER TABLE atelier_events ENABLE TRIGGER atelier_events_append_only")


def test_names_that_are_wrong_are_told(atelier: Atelier, migrated: Settings):
    with pytest.raises(NotFound, match="there are accounts, gallery"):
        atelier("rebuild", "galery")
    with pytest.raises(NotFound, match="or give --all"):
        atelier("verify")
    with pytest.raises(NotFound, match="has no generation 9"):
        atelier("drop", "gallery", "9")


def test_two_do_not_fill_the_same_generation(atelier: Atelier, migrated: Settings):
    with Leadership(migrated.postgres_url, "atelier.rebuild.gallery") as other:
        assert other.try_acquire()
        with pytest.raises(projections.Busy):
            atelier("rebuild", "gallery")
