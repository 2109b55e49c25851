"""`atelier queue …` as operators call it."""

import json
from argparse import Namespace
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import msgspec
import psycopg
import pytest

from api import figures
from api.cli.confirm import NotConfirmed
from api.cli.main import _imported, _parser, main
from api.cli.queue import listing
from api.cli.queue import story as tell
from api.cli.table import COMMANDS
from api.figures import NotMigrated
from domain.errors import NotFound, TaskEnded, Unavailable
from domain.render import RenderCancelled
from infra.log.event_store import EventStore, store_for_a_while
from infra.media.store import MediaStore
from infra.postgres import connect, open_pool
from infra.settings import Settings
from projections import PROJECTIONS
from projections.runner import Runner
from render_consumers.loop.leases import Leases
from tests.support.relaying import Log, Relays, events
from tests.support.scenario import (
    ACCOUNT,
    Story,
    completed,
    failed,
    hold,
    requeued,
    source,
    started,
    thumbnail,
)
from tests.support.servers import Server

Atelier = Callable[..., str]
LEASE_S = 60.0


@pytest.fixture
def story(migrated: Settings) -> Iterator[Story]:
    keys = (migrated.master_key, migrated.hash_key)
    with store_for_a_while(migrated.postgres_url, *keys) as store:
        told = Story(store)
        told.register()
        yield told


@pytest.fixture
def atelier(migrated: Settings, capsys: pytest.CaptureFixture[str]) -> Atelier:
    """Runs a command on all that has happened so far, and gives what it prints."""

    def run(*words: str) -> str:
        keys = (migrated.master_key, migrated.hash_key)
        with store_for_a_while(migrated.postgres_url, *keys) as store:
            catch_up(migrated, store)
        return called(migrated, *words)

    def called(settings: Settings, *words: str) -> str:
        given = _parser().parse_args(["queue", *words])
        _imported(COMMANDS[given.name].entry)(settings, given)
        return capsys.readouterr().out

    return run


def catch_up(settings: Settings, store: EventStore) -> None:
    runner = Runner(PROJECTIONS, store.read_some)
    with connect(settings.postgres_url) as connection:
        while runner.catch_up(connection):
            pass


def backing_off(story: Story) -> UUID:
    task = story.request()
    given_back = requeued(reason="media_store_unavailable", retry_after_seconds=60.0)
    story.tell(task, started(), given_back)
    return task


def take(settings: Settings, story: Story, task: UUID, consumer: str) -> None:
    """Have a consumer render a task, of which 40 % are done."""
    with open_pool(settings.postgres_url, 1) as pool:
        leases = Leases(pool, consumer, LEASE_S)
        assert hold(leases, task)
        story.tell(task, started(consumer=consumer))
        leases.renew(task, "drawing", 0.4)


def codes(atelier: Atelier, task: UUID) -> list[str]:
    return [each["code"] for each in json.loads(atelier("show", str(task), "--json"))["waits_for"]]


# Who waits, and who renders?


def test_what_waits_is_listed_in_the_order_of_the_claims_with_why_not_yet(
    atelier: Atelier, migrated: Settings, story: Story
):
    late, normal = backing_off(story), story.request()
    vip, rendered = story.request(vip=True), story.request()
    take(migrated, story, rendered, "host-7-abcd")
    listed = json.loads(atelier("list", "--json"))
    waiting = [(UUID(each["task"]), each["position"]) for each in listed["waiting"]]
    assert waiting == [(vip, 1), (late, 2), (normal, 3)]
    assert {(each["user"], each["account"]) for each in listed["waiting"]} == {(33, str(ACCOUNT))}
    assert [each["attempt"] for each in listed["waiting"]] == [0, 1, 0]
    assert [each["retry_at"] is None for each in listed["waiting"]] == [True, False, True]
    assert (listed["totals"]["pending_vip"], listed["totals"]["pending_normal"]) == (1, 2)
    ((task, consumer, done),) = [
        (UUID(each["task"]), each["consumer"], each["progress"]) for each in listed["rendered"]
    ]
    assert (task, consumer, done) == (rendered, "host-7-abcd", 0.4)

    shown = atelier("list")
    assert shown.startswith("1 vip and 2 normal wait, the first for")
    assert shown.index(str(vip)) < shown.index(str(late)) < shown.index(str(normal))
    assert "to " in next(line for line in shown.splitlines() if str(late) in line)
    assert "40%" in next(line for line in shown.splitlines() if str(rendered) in line)


def test_a_list_may_be_cut_or_of_one_lane_and_positions_stay(atelier: Atelier, story: Story):
    tasks = [story.request(vip=n == 2) for n in range(3)]
    shown = atelier("list", "--limit", "1")
    assert str(tasks[2]) in shown
    assert str(tasks[0]) not in shown
    assert "… and 2 tasks more" in shown
    listed = json.loads(atelier("list", "--lane", "normal", "--json"))
    assert [(UUID(each["task"]), each["position"]) for each in listed["waiting"]] == [
        (tasks[0], 2),
        (tasks[1], 3),
    ]


def test_operators_see_the_order_that_the_settings_say(
    atelier: Atelier, migrated: Settings, story: Story, capsys: pytest.CaptureFixture[str]
):
    eve = uuid4()
    story.register(eve)
    ada, ada_too, eves = (story.request(who) for who in (ACCOUNT, ACCOUNT, eve))
    listed = json.loads(atelier("list", "--json"))
    assert [UUID(each["task"]) for each in listed["waiting"]] == [ada, ada_too, eves]
    in_turn = msgspec.structs.replace(migrated, queue_fair=True)
    listing.show_queue(in_turn, Namespace(limit=5, lane=None, json=True))
    listed = json.loads(capsys.readouterr().out)
    assert [UUID(each["task"]) for each in listed["waiting"]] == [ada, eves, ada_too]
    story_told = story_of(in_turn, capsys, ada_too)
    assert story_told["waiting"]["position"] == 3


def story_of(settings: Settings, capsys: pytest.CaptureFixture[str], task: UUID) -> Any:
    tell.show(settings, Namespace(task=str(task), json=True))
    return json.loads(capsys.readouterr().out)


def test_a_queue_that_lacks_events_says_so(
    atelier: Atelier, migrated: Settings, story: Story, capsys: pytest.CaptureFixture[str]
):
    assert "lacks" not in atelier("list")
    story.request()
    given = _parser().parse_args(["queue", "list"])
    _imported(COMMANDS[given.name].entry)(migrated, given)
    assert "The queue lacks 1 newer event" in capsys.readouterr().out


def test_a_task_that_its_consumer_has_left_waits_again(
    atelier: Atelier, migrated: Settings, story: Story
):
    task = story.request()
    take(migrated, story, task, "host-7-abcd")
    change(migrated, "UPDATE atelier_leases SET expires_at = now() - interval '1 second'")
    listed = json.loads(atelier("list", "--json"))
    assert ([each["task"] for each in listed["waiting"]], listed["rendered"]) == ([str(task)], [])
    assert "host-7-abcd held it, and left" in atelier("show", str(task))


def test_a_screen_of_80_columns_shows_whole_lines(
    atelier: Atelier, migrated: Settings, story: Story, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setenv("COLUMNS", "80")
    late, rendered = backing_off(story), story.request()
    take(migrated, story, rendered, "a-host-of-20-letters-123456-abcdef01")
    atelier("pause", "new drivers")
    for line in atelier("list").splitlines():
        assert len(line) <= 80
        assert "…" not in line
    assert f"normal {late}" in atelier("list")


def test_consumers_are_listed_with_what_they_render(
    atelier: Atelier, migrated: Settings, story: Story
):
    assert "No render consumer is connected" in atelier("consumers")
    task, other = story.request(), story.request()
    take(migrated, story, task, "a-host-with-a-long-name-12-abcdef01")
    take(migrated, story, other, "elsewhere-9-abcdef01")
    with (
        connected(migrated, "a-host-with-a-long-n-12"),
        connected(migrated, "idle-3"),
    ):
        shown = atelier("consumers")
        listed = json.loads(atelier("consumers", "--json"))
    busy, idle = listed["consumers"]
    assert (busy["host"], busy["pid"]) == ("a-host-with-a-long-n", 12)
    assert [(each["task"], each["progress"]) for each in busy["renders"]] == [(str(task), 0.4)]
    assert (idle["name"], idle["renders"]) == ("idle-3", [])
    assert [each["consumer"] for each in listed["orphaned"]] == ["elsewhere-9-abcdef01"]
    assert f"{task}  40% done, lease until" in shown
    assert "renders nothing" in shown
    assert "elsewhere-9-abcdef01  is not connected" in shown


def connected(settings: Settings, name: str) -> psycopg.Connection:
    """A consumer, as far as Postgres knows."""
    title = f"atelier render-consumer {name}"
    return psycopg.connect(settings.postgres_url, application_name=title)


# What does it wait for?


def test_a_task_tells_what_it_waits_for(atelier: Atelier, migrated: Settings, story: Story):
    late = backing_off(story)
    assert codes(atelier, late) == ["no_consumer", "backoff", "turn"]
    atelier("pause", "new drivers", "--lane", "normal")
    with connected(migrated, "idle-3"):
        assert codes(atelier, late) == ["paused", "backoff", "turn"]
        assert "normal is paused since" in atelier("show", str(late))
        atelier("resume")
        atelier("retry", str(late))
        assert codes(atelier, late) == ["turn"]
        take(migrated, story, late_in(story, late), "idle-3-abcdef01")
        assert codes(atelier, late) == ["rendered"]


def late_in(story: Story, task: UUID) -> UUID:
    """A task whose log the command has added to."""
    story._versions[task] += 1
    return task


def test_a_whole_story_is_told_and_what_is_personal_stays_sealed(
    atelier: Atelier, migrated: Settings, story: Story, kafka: Server, media: MediaStore,
    tmp_path: Path,
):  # fmt: skip
    task = story.request()
    files = (source(f"{task}.jpg"), thumbnail(f"{task}_thumbnail.jpg"))
    story.tell(task, started(consumer="host-7-abcd"), completed(files=files))
    media.put(files[0].key, b"x" * files[0].size, "image/jpeg")
    log = Log(migrated.postgres_url)
    relays = Relays(log, kafka.url, tmp_path)
    relays.start()
    assert len(events(kafka, log)) == 4
    relays.close()
    log.close()
    told = json.loads(atelier("show", str(task), "--json"))
    assert (told["status"], told["lane"], told["user"]) == ("completed", "normal", 33)
    assert [each["code"] for each in told["waits_for"]] == ["ended"]
    assert [each["position"] for each in told["events"]] == [2, 3, 4]
    places = [each["kafka"] for each in told["events"]]
    assert len({place["partition"] for place in places}) == 1
    assert [place["offset"] for place in places] == sorted({each["offset"] for each in places})
    assert {each["key"]: each["store"] for each in told["files"]} == {
        files[0].key: "there",
        files[1].key: "missing",
    }
    shown = atelier("show", str(task))
    assert "consumer=host-7-abcd" in shown
    assert f"{places[1]['partition']}@{places[1]['offset']}" in shown
    assert "personal=sealed" in shown
    assert "180" not in shown  # centimetres


def test_without_kafka_and_the_media_store_the_rest_of_the_story_is_told(
    migrated: Settings, story: Story, capsys: pytest.CaptureFixture[str]
):
    task = story.request()
    away = {"kafka_bootstrap": "127.0.0.1:1", "s3_url": "http://127.0.0.1:1"}
    given = _parser().parse_args(["queue", "show", str(task)])
    _imported(COMMANDS[given.name].entry)(msgspec.structs.replace(migrated, **away), given)
    shown = capsys.readouterr().out
    assert "offsets unknown: 127.0.0.1:1: Connection refused" in shown
    assert "the media store, without which nothing is claimed" in shown
    assert "the projector: the queue shows the log up to position 0" in shown
    assert "render.requested.v1" in shown


# Changing it.


def test_a_backoff_is_cut_short(atelier: Atelier, story: Story):
    late = backing_off(story)
    assert "cut short" in atelier("retry", str(late))
    newest = story.store.load(late)[-1]
    assert (newest.actor, newest.account) == ("operator", ACCOUNT)
    assert json.loads(atelier("list", "--json"))["waiting"][0]["task"] == str(late)
    assert "does not back off" in atelier("retry", str(late))
    assert len(story.store.load(late)) == 4


def test_what_has_ended_is_not_retried_and_says_what_to_do(atelier: Atelier, story: Story):
    task = story.request()
    story.tell(task, started(), failed())
    with pytest.raises(TaskEnded, match="it is failed, and a task ends once"):
        atelier("retry", str(task))


def test_a_task_is_cancelled_by_an_operator_once(atelier: Atelier, story: Story):
    task = story.request()
    with pytest.raises(NotConfirmed, match="--yes"):
        atelier("cancel", str(task))
    assert "Cancelled." in atelier("cancel", str(task), "--yes")
    newest = story.store.load(task)[-1]
    assert (newest.actor, newest.account) == ("operator", ACCOUNT)
    assert newest.event == RenderCancelled(attempt=0)
    assert json.loads(atelier("list", "--json"))["waiting"] == []
    assert "before" in atelier("cancel", str(task))
    done = story.request()
    story.tell(done, started(), completed())
    with pytest.raises(TaskEnded):
        atelier("cancel", str(done), "--yes")


def test_a_pause_is_told_everywhere_until_it_is_over(
    atelier: Atelier, migrated: Settings, story: Story
):
    story.request()
    assert "Paused: vip." in atelier("pause", "new [/]\n drivers", "--lane", "vip")
    told = atelier("pause", "no matter")
    assert "Paused before, and still: vip." in told
    assert "Paused: normal." in told
    shown = atelier("list")
    assert "vip is paused since" in shown
    assert "new [/] drivers" in shown
    assert shown.splitlines()[-1].rstrip().endswith("paused")
    assert {each.lane for each in figures.figures(migrated).paused} == {"vip", "normal"}
    assert "Resumed: vip." in atelier("resume", "--lane", "vip")
    told = atelier("resume")
    assert "Not paused: vip." in told
    assert "Resumed: normal." in told
    assert figures.figures(migrated).paused == []


# What is wrong.


@pytest.mark.parametrize("command", ["show", "retry", "cancel"])
def test_a_task_that_is_none_is_told(atelier: Atelier, story: Story, command: str):
    with pytest.raises(NotFound, match="there is no task"):
        atelier(command, str(uuid4()))
    with pytest.raises(NotFound, match="there is no task"):
        atelier(command, str(ACCOUNT))  # has events, but is none


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["show", "abc"], "TASK abc is no id"),
        (["retry", "abc"], "TASK abc is no id"),
        (["cancel", "abc"], "TASK abc is no id"),
        (["list", "--limit", "0"], "--limit 0 leaves nothing to list"),
        (["pause", " "], "REASON is empty"),
    ],
)
def test_a_misuse_has_its_exit_code(
    words: list[str],
    said: str,
    environ: dict[str, str],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
):
    for name, value in environ.items():
        monkeypatch.setenv(name, value)
    assert main(["queue", *words]) == 2
    assert said in capsys.readouterr().err


def test_a_database_without_tables_is_told_from_one_that_is_away(
    atelier: Atelier, migrated: Settings
):
    given = _parser().parse_args(["queue", "list"])
    entry = _imported(COMMANDS[given.name].entry)
    with pytest.raises(Unavailable):
        entry(Settings(postgres_url="postgresql://nobody@127.0.0.1:1/nothing"), given)
    change(migrated, "DROP TABLE atelier_pauses")
    with pytest.raises(NotMigrated, match="run `atelier migrate`"):
        entry(migrated, given)


def change(settings: Settings, statement: str) -> None:
    with connect(settings.postgres_url) as connection:
        connection.execute(statement.encode())
