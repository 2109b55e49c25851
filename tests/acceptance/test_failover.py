"""Postgres fails over to a standby, which has all that was accepted, or does not."""

import contextlib
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from api.figures import figures
from domain.events import Recorded
from domain.render import RenderCompleted
from infra.log.event_store import store_for_a_while
from tests.support import servers
from tests.support.atelier import Atelier, Outside, Person, outside_servers, planted
from tests.support.changes import Writer, changes_in
from tests.support.scenario import eventually
from tests.support.standby import Pair, postgres_pair
from tests.support.topic import read_events

pytestmark = pytest.mark.anywhere

WRITERS = 3
FOLLOWERS = ("relay", "projector", "render-consumer")
HELD_UP_S = 1.5  # how long nobody may be told that a change was made
BACK_S = 40.0


@pytest.fixture
def pair(tmp_path: Path) -> Iterator[Pair]:
    with postgres_pair(tmp_path) as pair:
        yield pair


@pytest.fixture
def atelier(tmp_path: Path, pair: Pair) -> Iterator[Atelier]:
    """An Atelier on both, whose broker outlives it."""
    with contextlib.ExitStack() as stack:
        outside = stack.enter_context(outside_servers(tmp_path))
        running = dict(outside.running)
        if "kafka" not in running:
            running["kafka"] = servers.start_kafka(tmp_path)
            stack.callback(running["kafka"].stop)
        environ = {
            **outside.environ,
            "ATELIER_POSTGRES_URL": pair.url,
            "ATELIER_KAFKA_BOOTSTRAP": running["kafka"].url,
        }
        servers_there = Outside(environ, running)
        atelier = Atelier(tmp_path / "data", planted(servers_there, PLANTED_ENGINE="small"))
        stack.callback(atelier.stop)
        yield atelier


def test_nothing_accepted_is_lost_with_a_synchronous_standby(pair: Pair, atelier: Atelier) -> None:
    pair.be_synchronous()
    atelier.start()
    with contextlib.ExitStack() as stack:
        ada = Person(stack.enter_context(atelier.client()))
        writers = [Writer(stack.enter_context(atelier.client())) for _ in range(WRITERS)]
        for writer in writers:
            writer.start()
        tasks = [str(ada.post("/generate", {})["task_id"]) for _ in range(2)]
        eventually(lambda: all(writer.count(200) > 10 for writer in writers))
        with pair.standby_frozen() as since:
            writers[0].over.wait(HELD_UP_S)
            assert ada.get("/get_user_info")["email"] == ada.email
            assert not any(writer.wrote_after(since + 0.3) for writer in writers)
        eventually(lambda: all(writer.wrote_after(since + HELD_UP_S) for writer in writers), BACK_S)
        killed = pair.fail_over()
        eventually(lambda: all(writer.wrote_after(killed) for writer in writers), BACK_S)
        tasks.append(str(ada.post("/generate", {})["task_id"]))
        for writer in writers:
            writer.over.set()
            writer.join()
        assert {ada.wait_for(task)["status"] for task in tasks} == {"SUCCESS"}

    assert {status for writer in writers for _, status in writer.answers} <= {0, 200, 503, 504}
    told = sum(writer.count(200) for writer in writers)
    unknown = sum(writer.count(504, 0) for writer in writers)
    assert told <= changes_in(atelier.settings().postgres_url) <= told + unknown
    assert completions(atelier) == dict.fromkeys(tasks, 1)
    checked = atelier.command("relay", "check")
    assert checked.returncode == 0, checked.stdout + checked.stderr


def completions(atelier: Atelier) -> Counter[str]:
    """How often each task completed."""
    done = [each for each in log_of(atelier) if isinstance(each.event, RenderCompleted)]
    return Counter(str(each.aggregate_id) for each in done)


def log_of(atelier: Atelier) -> list[Recorded]:
    """All of it, without a hole."""
    settings = atelier.settings()
    with store_for_a_while(settings.postgres_url, settings.master_key, settings.hash_key) as store:
        log = store.read(0, 100_000)
    assert [recorded.position for recorded in log] == [*range(1, len(log) + 1)]
    return log


def test_what_an_asynchronous_standby_lacks_is_noticed_and_nobody_mixes_two_pasts(
    pair: Pair, atelier: Atelier
) -> None:
    atelier.start()
    with atelier.client() as client:
        ada = Person(client, full_name="Ada")
        kept = ada.post("/generate", {})["task_id"]
        assert ada.wait_for(kept)["status"] == "SUCCESS"
        pair.part()
        ada.post("/update_user_info", {"full_name": "Augusta"})
        assert ada.get("/get_user_info")["full_name"] == "Augusta"
        wait_until_all_is_on_kafka(atelier)

        pair.fail_over()

        eventually(lambda: is_refused(ada), BACK_S)
        assert client.get("/health/ready").json()["postgres"] == "takes no changes"
        eventually(lambda: all(has_stopped(atelier, each) for each in FOLLOWERS), BACK_S)

        atelier.stop()
        atelier.start()
        assert ada.get("/get_user_info")["full_name"] == "Ada"
        eventually(lambda: "relay new-epoch" in trouble_of_the_relay(atelier), BACK_S)
        assert atelier.command("relay", "new-epoch", "--yes").returncode == 0
        after = ada.post("/generate", {})["task_id"]
        assert ada.wait_for(after)["status"] == "SUCCESS"
        eventually(lambda: not trouble_of_the_relay(atelier), BACK_S)
    assert completions(atelier) == {kept: 1, after: 1}
    assert atelier.command("relay", "check").returncode == 0


def wait_until_all_is_on_kafka(atelier: Atelier) -> None:
    newest = len(log_of(atelier))
    seen = read_events(atelier.settings(), lambda events: len(events) >= newest)
    assert len(seen) == newest


def trouble_of_the_relay(atelier: Atelier) -> str:
    """What `atelier status` tells of it."""
    readers = figures(atelier.settings()).readers
    return next(each.trouble for each in readers if each.name == "relay")


def is_refused(person: Person) -> bool:
    """Whether an order is answered with why nothing is taken any more."""
    answer = person.client.post("/generate", json={}, headers=person.headers)
    return answer.status_code == 503 and answer.json()["code"] == "history_replaced"


def has_stopped(atelier: Atelier, process: str) -> bool:
    """Whether it has said that it goes on no more, and why."""
    log = (atelier.data / "logs" / f"{process}.log").read_text()
    return "no longer holds event" in log or "restored from an older backup" in log
