"""Clocks that are wrong, consumers that die or freeze at a chosen step, an S3 server that flaps.

All on one Atelier with two render consumers and two APIs, of which one machine's clock is five
minutes ahead and another's five minutes behind, throughout.
"""

import contextlib
import io
import signal
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from uuid import UUID

import httpx
import msgspec
import psutil
import pytest
from kafka import KafkaProducer
from PIL import Image

from domain.events import Recorded
from domain.render import RenderCompleted, RenderRequested, RenderStarted
from infra.embedded.server import free_port
from infra.kafka.clients import client_options, make_admin
from infra.kafka.tickets import Ticket
from infra.kafka.topics import EVENTS_TOPIC, PARTITIONS, TICKETS_TOPIC, remove_topic
from infra.log.event_store import EventStore, store_for_a_while
from infra.media.store import MediaStore
from infra.postgres import connect
from infra.process import pauses
from projections import queue
from tests.chaos.verdict import judged
from tests.support.atelier import Atelier, Person, expect, outside_servers, planted
from tests.support.flapping import Flapping, with_flapping_media
from tests.support.scenario import eventually

OFF_S = 300
CLOCKS = f"api=-{OFF_S} relay=+{OFF_S} projector=-{OFF_S} render-consumer=+{OFF_S}"
BEHIND = f"render-consumer=-{OFF_S}"
ENDED_S = 90.0

# At which step a consumer is killed, and how often its task is started then. It may be once more: a
# consumer that publishes one task has claimed the next, and takes it along.
STEPS = {
    "before-claim": 1,
    "after-claim": 2,
    "in-drawing": 2,
    "after-upload": 2,
    "before-event": 2,
    "after-event": 1,
}


class Troubled:
    """The Atelier, and what a test may do to it."""

    def __init__(
        self, atelier: Atelier, second_port: int, steps: Path, way: Flapping, store: EventStore
    ) -> None:
        self.atelier = atelier
        self.second_port = second_port
        self.way = way
        self.store = store
        self.settings = atelier.settings()
        self.media = MediaStore(self.settings)
        self.accepted: list[str] = []
        self._steps = steps

    def order(self, person: Person, count: int = 1) -> list[str]:
        """So many tasks that were accepted."""
        tasks = [str(person.post("/generate", {})["task_id"]) for _ in range(count)]
        self.accepted += tasks
        return tasks

    def strike(self, step: str, task: str, how: str = "SIGKILL") -> None:
        """Have the consumer that comes to a step with a task do this to itself."""
        order = self._steps / f".{step}"
        order.write_text(f"{how} {task}")
        order.rename(self._steps / step)

    def struck(self, step: str) -> bool:
        """Whether one has come there."""
        return not (self._steps / step).exists()

    @contextlib.contextmanager
    def held(self) -> Iterator[None]:
        """Nothing is claimed meanwhile."""
        with connect(self.settings.postgres_url) as connection:
            pauses.pause(connection, pauses.LANES, by="a test", reason="to set it up")
            try:
                yield
            finally:
                pauses.resume(connection, pauses.LANES)

    def files(self, task: str) -> list[str]:
        """Where files of a task lie, staged or published."""
        return [found.key for found in self.media.list("") if task in found.key]

    def published(self, task: str) -> list[str]:
        return [key for key in self.files(task) if "/gallery/" in key]

    def says(self, process: str, event: str, task: str) -> bool:
        """Whether one of the processes has logged an event of a task."""
        logs = (self.atelier.data / "logs").glob(f"{process}*.log")
        lines = [line for log in logs for line in log.read_text().splitlines()]
        return any(event in line and task in line for line in lines)

    def history(self, task: str) -> list[Recorded]:
        return self.store.load(UUID(task))

    def log(self) -> list[Recorded]:
        events: list[Recorded] = []
        while batch := self.store.read(events[-1].position if events else 0, 5_000):
            events += batch
        return events


@pytest.fixture(scope="module")
def troubled(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Troubled]:
    folder = tmp_path_factory.mktemp("troubled")
    steps, second_port = folder / "steps", free_port()
    steps.mkdir()
    with contextlib.ExitStack() as stack:
        outside = stack.enter_context(outside_servers(folder))
        outside, way = stack.enter_context(with_flapping_media(outside, folder))
        faults = {"PLANTED_CLOCKS": CLOCKS, "PLANTED_STEPS": str(steps)}
        atelier = Atelier(folder / "data", planted(outside, PLANTED_ENGINE="small", **faults))
        stack.callback(atelier.stop)
        atelier.start()
        stack.enter_context(atelier.another("render-consumer", PLANTED_CLOCKS=BEHIND))
        right = {"PLANTED_CLOCKS": "", "ATELIER_PORT": str(second_port)}
        stack.enter_context(atelier.another("api", **right))
        settings = atelier.settings()
        keys = (settings.master_key, settings.hash_key)
        store = stack.enter_context(store_for_a_while(settings.postgres_url, *keys))
        yield Troubled(atelier, second_port, steps, way, store)


@pytest.fixture(scope="module")
def client(troubled: Troubled) -> Iterator[httpx.Client]:
    with troubled.atelier.client() as http:
        yield http


@pytest.fixture(scope="module")
def second(troubled: Troubled) -> Iterator[httpx.Client]:
    """A client of the API whose machine's clock is right."""
    with troubled.atelier.client(troubled.second_port) as http:
        eventually(lambda: answers(http), 30)
        yield http


def answers(http: httpx.Client) -> bool:
    with contextlib.suppress(httpx.TransportError):
        return http.get("/health/live").status_code == 200
    return False


# Kill -9 at each step.


@pytest.fixture(scope="module")
def killed(troubled: Troubled, client: httpx.Client) -> dict[str, str]:
    """For each step a task at which a consumer was killed there; while all of them waited, the
    broker was emptied."""
    ada = Person(client)
    with troubled.held():
        tasks = dict(zip(STEPS, troubled.order(ada, len(STEPS)), strict=True))
        for step, task in tasks.items():
            troubled.strike(step, task)
        empty_the_broker(troubled.atelier)
    for task in tasks.values():
        assert ada.wait_for(task, ENDED_S)["status"] == "SUCCESS"
    return tasks


def empty_the_broker(atelier: Atelier) -> None:
    """The embedded broker keeps nothing anyway; from another one the topics are taken."""
    if "kafka" not in atelier.outside.running:
        atelier.kill("kafka")
        return
    with contextlib.closing(make_admin(atelier.settings())) as admin:
        for topic in (TICKETS_TOPIC, EVENTS_TOPIC):
            remove_topic(admin, topic)


@pytest.mark.parametrize("step", STEPS)
def test_a_consumer_killed_at_any_step_loses_nothing_and_doubles_nothing(
    troubled: Troubled, killed: dict[str, str], step: str
) -> None:
    assert troubled.struck(step)
    events = [recorded.event for recorded in troubled.history(killed[step])]
    started = [event for event in events if isinstance(event, RenderStarted)]
    (completed,) = [event for event in events if isinstance(event, RenderCompleted)]
    assert len(events) == 2 + len(started)
    assert [event.attempt for event in started] == [*range(1, completed.attempt + 1)]
    assert completed.attempt >= STEPS[step]


# Two consumers, one ticket.


def test_of_two_consumers_that_hold_the_same_ticket_one_renders_the_task(
    troubled: Troubled, client: httpx.Client
) -> None:
    ada = Person(client)
    with troubled.held():
        (task,) = troubled.order(ada)
        # One chooses the task, takes its lease, and sleeps until that has run out.
        troubled.strike("before-claim", task, "SIGSTOP")
        send_tickets(troubled, task)
    eventually(lambda: troubled.struck("before-claim"), 30)
    assert ada.wait_for(task)["status"] == "SUCCESS"
    wake(stopped())
    (after,) = troubled.order(ada)
    assert ada.wait_for(after)["status"] == "SUCCESS"
    kinds = [type(recorded.event) for recorded in troubled.history(task)]
    assert kinds == [RenderRequested, RenderStarted, RenderCompleted]


def test_a_consumer_that_slept_before_it_published_brings_nothing_removed_back(
    troubled: Troubled, client: httpx.Client
) -> None:
    ada = Person(client)
    with troubled.held():
        (task,) = troubled.order(ada)
        troubled.strike("before-copy", task, "SIGSTOP")
    eventually(lambda: troubled.struck("before-copy"), 30)
    assert ada.wait_for(task)["status"] == "SUCCESS"
    expect(client.delete(f"/remove_gallery_file/{task}.jpg", headers=ada.headers))
    eventually(lambda: not troubled.published(task), 30)
    wake(stopped())
    # It has copied, been refused and taken back what it copied, when it lets go of the task.
    eventually(lambda: troubled.says("render-consumer", "attempt is stale", task), 30)
    assert troubled.files(task) == []


def send_tickets(troubled: Troubled, task: str) -> None:
    """A task's ticket in every partition, so that each consumer gets it, and more than once."""
    (requested,) = troubled.history(task)
    ticket = msgspec.json.encode(Ticket(task, requested.position))
    producer = KafkaProducer(**client_options(troubled.settings))
    try:
        for partition in range(PARTITIONS):
            producer.send(TICKETS_TOPIC, ticket, partition=partition).get(20)
    finally:
        producer.close()


def stopped() -> list[psutil.Process]:
    """Those below this process that sleep since they were sent SIGSTOP."""
    found = []
    for process in psutil.Process().children(recursive=True):
        with contextlib.suppress(psutil.NoSuchProcess):
            if process.status() == psutil.STATUS_STOPPED:
                found.append(process)
    return found


def wake(processes: Sequence[psutil.Process]) -> None:
    assert processes
    for process in processes:
        process.send_signal(signal.SIGCONT)


# Clocks.


def test_both_machines_take_the_tokens_that_the_other_one_gives(
    troubled: Troubled, client: httpx.Client, second: httpx.Client
) -> None:
    for here, there in ((client, second), (second, client)):
        ada = Person(here)
        expect(there.get("/get_user_info", headers=ada.headers))
        (task,) = troubled.order(ada)
        path = f"/generate/{task}"
        token = expect(here.post(f"{path}/stream_token", headers=ada.headers))["stream_token"]
        with there.stream("GET", f"{path}/events", params={"stream_token": token}) as stream:
            assert stream.status_code == 200
        assert ada.wait_for(task)["status"] == "SUCCESS"
        (shown,) = ada.get("/get_gallery")["gallery_urls"]
        assert httpx.get(shown["source_url"]).status_code == 200


def test_the_log_goes_by_the_clock_of_postgres(troubled: Troubled) -> None:
    events = troubled.log()
    moments = [recorded.recorded_at for recorded in events]
    assert moments == sorted(moments)
    now = datetime.now(UTC)
    assert now - timedelta(seconds=OFF_S - 60) < moments[0] <= moments[-1] <= now


# An S3 server that fails every other call.


def test_an_s3_server_that_fails_every_other_call_costs_no_task(
    troubled: Troubled, client: httpx.Client
) -> None:
    ada = Person(client)
    troubled.way.failing = True
    try:
        tasks = troubled.order(ada, 4)
        told = [upload_avatar(ada) for _ in range(6)]
        assert {ada.wait_for(task)["status"] for task in tasks} == {"SUCCESS"}
        assert troubled.way.failed > 20
    finally:
        troubled.way.heal()
    assert set(told) <= {200, 503}
    if told[-1] == 200:
        shown = ada.get("/get_avatar")
        assert httpx.get(shown["avatar_url"]).status_code == 200


def upload_avatar(person: Person) -> int:
    picture = io.BytesIO()
    Image.new("RGB", (32, 32), "teal").save(picture, "PNG")
    answer = person.client.post(
        "/upload_avatar", content=picture.getvalue(), headers=person.headers
    )
    assert answer.status_code == 200 or answer.headers["Retry-After"]
    return answer.status_code


# After all that.


def test_every_task_has_ended_once_and_nothing_waits(troubled: Troubled) -> None:
    keys = {found.key for found in troubled.media.list("") if "/gallery/" in found.key}
    verdict = judged(troubled.log(), set(troubled.accepted), keys, troubled.media.get)
    assert (verdict.lost, verdict.doubled, verdict.stuck) == ([], [], [])
    assert verdict.ended == {"succeeded": len(troubled.accepted)}
    with connect(troubled.settings.postgres_url) as connection:
        depth = queue.depth(connection)
    assert (depth.pending_vip, depth.pending_normal, depth.started) == (0, 0, 0)
