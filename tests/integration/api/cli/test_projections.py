"""`atelier projections …` as operators call it."""

import contextlib
import json
from collections.abc import Callable, Iterator
from typing import Any
from uuid import UUID

import pytest

from api.cli import projections
from api.cli.main import _imported, _parser
from api.cli.status import Unhealthy
from api.cli.table import COMMANDS
from domain.errors import NotFound
from infra.analysis.arguments import BadArgument
from infra.log.event_store import EventStore
from infra.log.keys import KeyRing
from infra.postgres import connect, open_pool
from infra.process.leader import Leadership
from infra.settings import Settings
from projections import PROJECTIONS, gallery, generations
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


def test_each_read_model_is_listed_with_its_question(atelier: Atelier, picture: UUID):
    listed = json.loads(atelier("list", "--json"))
    assert [each["model"] for each in listed] == [each.name for each in PROJECTIONS]
    assert {(each["serves"], each["generations"]) for each in listed} == {(1, 1)}
    assert "Which pictures and videos have I?" in atelier("list")


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
    assert len(json.loads(atelier("generations", "--json"))) == len(PROJECTIONS)  # nothing is left

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


def test_generations_are_listed_with_their_state(atelier: Atelier, picture: UUID):
    atelier("rebuild", "gallery")
    listed = json.loads(atelier("generations", "gallery", "--json"))
    assert [(each["generation"], each["live"], each["state"]) for each in listed] == [
        (1, False, "ready"),
        (2, True, "ready"),
    ]
    assert "this build" in atelier("generations")


def test_the_status_tells_what_is_wrong_and_what_to_do(
    atelier: Atelier, migrated: Settings, picture: UUID, capsys: pytest.CaptureFixture[str]
):
    with pytest.raises(Unhealthy, match="gallery away, tasks away"):
        atelier("status", "gallery", "tasks")
    assert "start a projector" in capsys.readouterr().out
    with kept(migrated):
        assert "All is well" in atelier("status")
        with connect(migrated.postgres_url) as connection:
            generations.begin(connection, gallery.PROJECTION)
            connection.execute("UPDATE atelier_projections SET position = 2 WHERE NOT live")
        shown = atelier("status", "gallery")
        assert "50 % filled; nobody fills it" in shown
        assert "`atelier projections drop gallery 2` removes it" in shown
        (told,) = json.loads(atelier("status", "gallery", "--json"))
        assert (told["verdict"], told["figures"]["lag"]) == ("ok", 0)
        assert told["filling"] == [{"generation": 2, "position": 2, "percent": 50, "by": ""}]
        change(migrated, "UPDATE atelier_projections SET position = 99 WHERE live")
        with pytest.raises(Unhealthy, match="gallery wrong"):
            atelier("status", "gallery")


@contextlib.contextmanager
def kept(settings: Settings) -> Iterator[None]:
    """Somebody has all locks of a projector."""
    change(
        settings,
        "INSERT INTO atelier_heartbeats SELECT projection, now() FROM"
        " atelier_projections WHERE live",
    )
    with contextlib.ExitStack() as stack:
        for projection in PROJECTIONS:
            lock = f"atelier.projection.{projection.name}"
            leader = stack.enter_context(Leadership(settings.postgres_url, lock))
            assert leader.try_acquire()
        yield


def test_programs_get_json_and_people_are_told_beside_it(
    atelier: Atelier,
    migrated: Settings,
    story: Story,
    picture: UUID,
    capsys: pytest.CaptureFixture[str],
):
    def told(*words: str) -> Any:
        given = _parser().parse_args(["projections", *words, "--json"])
        _imported(COMMANDS[given.name].entry)(migrated, given)
        printed = capsys.readouterr()
        assert printed.err
        return json.loads(printed.out)

    (rebuilt,) = told("rebuild", "gallery")
    assert (rebuilt["generation"], rebuilt["rows"], rebuilt["serves"]) == (2, 1, True)
    assert told("rollback", "gallery") == [{"model": "gallery", "generation": 1}]
    assert told("drop", "gallery", "2") == {"model": "gallery", "generation": 2}
    (verified,) = told("verify", "gallery")
    assert verified["differing"] == 0

    change(migrated, "ALTER TABLE atelier_tasks_g1 ADD CONSTRAINT no_third CHECK (attempt <> 3)")
    task = story.request()
    story.tell(task, started(3), completed(3))
    catch_up(migrated, story)
    capsys.readouterr()  # its log
    (skipped,) = told("skip", "tasks", "--aggregate", str(task))
    assert skipped == {"generation": 1, "aggregate": str(task), "applied": 1, "still_parked": ""}


def test_what_was_shown_at_a_time_can_be_asked(atelier: Atelier, migrated: Settings, picture: UUID):
    assert "past.atelier_gallery: 1 row, as at position 4" in atelier(
        "build", "gallery", "--at", "now", "--into", "past"
    )
    told = json.loads(
        atelier("build", "gallery", "--at", "3", "--into", "past", "--replace", "--json")
    )
    assert told == {
        "model": "gallery",
        "table": "past.atelier_gallery",
        "position": 3,
        "rows": 0,
        "parked": 0,
    }
    with pytest.raises(BadArgument, match="ends at position 4"):
        atelier("build", "gallery", "--at", "5", "--into", "past")


def test_positions_and_generations_are_compared(
    atelier: Atelier, migrated: Settings, picture: UUID, capsys: pytest.CaptureFixture[str]
):
    with pytest.raises(projections.Differs):
        atelier("diff", "tasks", "--at", "2", "--at", "3")
    shown = capsys.readouterr().out
    assert "1 difference between position 2 and position 3" in shown
    assert f"changed  task {picture}  status, attempt" in shown
    atelier("rebuild", "gallery")
    assert "no difference between generation 1" in atelier("diff", "gallery", "1", "2")
    change(migrated, "DELETE FROM atelier_gallery_g1")
    with pytest.raises(projections.Differs):
        atelier("diff", "gallery", "1", "2", "--json")
    found = json.loads(capsys.readouterr().out)
    assert [each["what"] for each in found["differences"]] == ["added"]
    with pytest.raises(NotFound, match="no generation 7"):
        atelier("diff", "gallery", "1", "7")
    with pytest.raises(BadArgument, match="--at twice"):
        atelier("diff", "gallery", "1")
