"""`atelier projections …` as operators call it."""

import contextlib
import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from typing import Any
from uuid import UUID

import pytest

from api.cli.main import _imported, _parser
from api.cli.read_models.common import Differs
from api.cli.read_models.making import Busy
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
from tests.support.scenario import Story, completed, eventually, source, started, thumbnail

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
    with pytest.raises(Differs, match="gallery"):
        atelier("verify", "gallery", "tasks")
    told = capsys.readouterr().out
    assert f"changed  task {picture}" in told
    assert "source_key" in told
    assert "elsewhere.jpg" not in told  # what rows hold may be personal
    assert len(json.loads(atelier("generations", "--json"))) == len(PROJECTIONS)  # nothing is left

    with pytest.raises(Differs, match="gallery"):
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
    with pytest.raises(Differs, match="2 aggregates of tasks stay parked"):
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
        with pytest.raises(Busy):
            atelier("rebuild", "gallery")


def test_what_is_ahead_of_the_log_is_made_anew(
    atelier: Atelier, migrated: Settings, story: Story, picture: UUID
):
    change(migrated, "UPDATE atelier_projections SET position = 99 WHERE projection = 'gallery'")
    assert "generation 2 serves, with 1 row" in atelier("rebuild", "gallery", "--accept")
    story.request()
    catch_up(migrated, story)
    (live,) = [each for each in generations_of(atelier, "gallery") if each["live"]]
    assert (live["position"], live["lag"]) == (5, 0)


def generations_of(atelier: Atelier, model: str) -> Any:
    return json.loads(atelier("generations", model, "--json"))


def test_generations_are_listed_with_their_state(atelier: Atelier, picture: UUID):
    atelier("rebuild", "gallery")
    listed = generations_of(atelier, "gallery")
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
    with pytest.raises(Differs):
        atelier("diff", "tasks", "--at", "2", "--at", "3")
    shown = capsys.readouterr().out
    assert "1 difference between position 2 and position 3" in shown
    assert f"changed  task {picture}  status, attempt" in shown
    atelier("rebuild", "gallery")
    assert "no difference between generation 1" in atelier("diff", "gallery", "1", "2")
    change(migrated, "DELETE FROM atelier_gallery_g1")
    with pytest.raises(Differs):
        atelier("diff", "gallery", "1", "2", "--json")
    found = json.loads(capsys.readouterr().out)
    assert [each["what"] for each in found["differences"]] == ["added"]
    with pytest.raises(NotFound, match="no generation 7"):
        atelier("diff", "gallery", "1", "7")
    with pytest.raises(BadArgument, match="--at twice"):
        atelier("diff", "gallery", "1")


class Command:
    """A command in a terminal of its own, which stops amid its work: the log cannot be read."""

    def __init__(self, settings: Settings, environ: dict[str, str], *words: str) -> None:
        self._log = connect(settings.postgres_url, autocommit=False)
        self._log.execute("LOCK TABLE atelier_events IN ACCESS EXCLUSIVE MODE")
        self._process = subprocess.Popen(
            [sys.executable, "-m", "api", "projections", *words],
            env=os.environ | environ,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            # Whoever runs the tests in the background has it ignored.
            preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
        )
        eventually(lambda: _waits_for_a_lock(settings))

    def interrupt(self) -> None:
        self._process.send_signal(signal.SIGINT)

    def ended(self) -> tuple[int, str]:
        """Let it go on; its exit code, and what it has told people."""
        self._log.close()
        _, told = self._process.communicate(timeout=60)
        return self._process.returncode, told


def _waits_for_a_lock(settings: Settings) -> bool:
    with connect(settings.postgres_url) as connection:
        (waiting,) = connection.execute("SELECT count(*) FROM pg_locks WHERE NOT granted")
    return waiting != (0,)


def numbers(atelier: Atelier) -> list[int]:
    return [each["generation"] for each in generations_of(atelier, "gallery")]


def test_a_rebuild_that_is_interrupted_says_how_to_go_on_and_how_to_remove_it(
    atelier: Atelier, migrated: Settings, environ: dict[str, str], picture: UUID
):
    rebuilding = Command(migrated, environ, "rebuild", "gallery")
    rebuilding.interrupt()
    code, told = rebuilding.ended()
    assert code == 130
    assert "generation 2 of gallery is filled up to position 0 of 4" in told
    assert "`atelier projections rebuild gallery` goes on" in told
    assert "`atelier projections drop gallery 2` removes it" in told
    assert "Traceback" not in told
    assert numbers(atelier) == [1, 2]
    assert "generation 2 serves" in atelier("rebuild", "gallery")


def test_a_verification_that_is_interrupted_leaves_nothing(
    atelier: Atelier, migrated: Settings, environ: dict[str, str], picture: UUID
):
    verifying = Command(migrated, environ, "verify", "gallery")
    assert numbers(atelier) == [1, 2]
    verifying.interrupt()
    code, told = verifying.ended()
    assert (code, "nothing of it is left" in told) == (130, True)
    assert numbers(atelier) == [1]


@pytest.mark.parametrize("command", ["rebuild", "verify"])
def test_what_is_dropped_in_another_terminal_is_filled_no_more(
    atelier: Atelier, migrated: Settings, environ: dict[str, str], picture: UUID, command: str
):
    filling = Command(migrated, environ, command, "gallery")
    assert "generation 2 is gone" in atelier("drop", "gallery", "2")
    code, told = filling.ended()
    assert (code, "generation 2 of gallery was dropped meanwhile" in told) == (1, True), told
    assert "Traceback" not in told
    assert numbers(atelier) == [1]


def test_a_table_of_the_past_that_is_interrupted_is_not_there(
    migrated: Settings, environ: dict[str, str], picture: UUID
):
    building = Command(migrated, environ, "build", "gallery", "--at", "4", "--into", "past")
    building.interrupt()
    code, told = building.ended()
    assert (code, told) == (130, "")
    with connect(migrated.postgres_url) as connection:
        left = connection.execute("SELECT tablename FROM pg_tables WHERE schemaname = 'past'")
        assert left.fetchall() == []
