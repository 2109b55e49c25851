"""Pictures that a remote engine redraws: a real log, table and media store, and HTTP between."""

import io
import threading
import time
from uuid import uuid4

import numpy as np
import pytest
from PIL import Image
from structlog.testing import capture_logs

from commands import Origin, execute
from commands.render import CancelRender
from domain.errors import Unavailable
from domain.render import RenderFailed
from infra.kling.client import REFUSALS
from infra.kling.illustrations import Illustrations
from infra.process.metrics import KLING_BARRED
from render_consumers.engines.engine import LocalEngine
from render_consumers.engines.illustration import Redrawing
from render_consumers.loop import illustrator
from render_consumers.loop.illustrator import Illustrator
from tests.support.kling import remote_engine
from tests.support.scenario import ACCOUNT, eventually
from tests.support.sketches import Sketcher, sketch

WAIT_S = 600.0


class Atelier:
    """Consumers, the illustrator, and the engine that it asks."""

    def __init__(self, studio, pool, remote) -> None:
        self.studio, self.pool, self.remote = studio, pool, remote
        self.table = Illustrations(pool)
        self.sketcher = Sketcher()
        self.wait_s = WAIT_S
        self.illustrator = self.another()

    def another(self, slots=3) -> Illustrator:
        store = self.studio.story.store
        return Illustrator(self.table, store, self.studio.media, self.remote.client(), slots)

    def request(self, **changes):
        return self.studio.story.request(render_mode="2D_Kling", **changes)

    def consume(self) -> None:
        redrawing = Redrawing(self.table, self.studio.media, self.wait_s)
        engine = LocalEngine(self.sketcher, self.studio.media, redrawing)
        self.studio.consumer(engine).work_through(self.studio.stop)

    def illustrate(self) -> None:
        """Whatever is there to be done, without waiting for its time."""
        self.change("next_at = now()")
        self.illustrator.work(self.studio.stop)

    def work(self) -> None:
        """From a request to its end, when nothing goes wrong."""
        self.consume()
        for _ in range(3):  # submit, and look twice
            self.illustrate()
        self.consume()

    def change(self, what: str) -> None:
        with self.pool.connection() as connection:
            connection.execute(f"UPDATE atelier_illustrations SET {what}")

    def rows(self, columns: str = "state") -> list:
        with self.pool.connection() as connection:
            found = connection.execute(
                f"SELECT {columns} FROM atelier_illustrations ORDER BY until"
            )
            return [row[0] if len(row) == 1 else row for row in found]

    def cancel(self, task) -> None:
        command = CancelRender(aggregate_id=task, account=ACCOUNT)
        execute(command, self.studio.story.store, Origin(actor="test", correlation_id=uuid4()))

    def failure(self, task) -> RenderFailed:
        (event,) = [e for e in self.studio.history(task) if isinstance(e, RenderFailed)]
        return event


@pytest.fixture
def remote():
    with remote_engine() as started:
        yield started


@pytest.fixture
def atelier(studio, pool, remote):
    yield Atelier(studio, pool, remote)
    KLING_BARRED.set(0)


def test_the_engine_redraws_our_own_picture(atelier, studio, remote):
    task = atelier.request()
    atelier.work()
    completed = studio.completion(task)
    assert (completed.engine, completed.silhouette) == ("kling", 1.0)
    assert "render_mode" not in completed.ignored
    (sent,) = remote.tasks.values()
    assert "2D" in sent.body.prompt
    shown = Image.open(io.BytesIO(studio.media.get(f"33/gallery/{task}.jpg")))
    expected = remote.draw(sketch())
    assert shown.size == expected.size
    assert np.abs(np.asarray(shown).astype(int) - np.asarray(expected)).mean() < 2
    assert np.abs(np.asarray(shown).astype(int) - np.asarray(sketch())).mean() > 4


def test_no_consumer_waits_for_the_engine(atelier, studio, remote):
    remote.slow = True
    task, other = atelier.request(), studio.story.request()
    atelier.consume()
    assert studio.kinds(other)[-1] == "completed"
    assert studio.kinds(task) == ["requested", "started", "requeued"]
    assert studio.lease_count() <= 1  # that of the task that has ended
    atelier.illustrate()
    atelier.illustrate()
    atelier.consume()
    assert studio.kinds(task) == ["requested", "started", "requeued"]
    remote.end(*remote.unfinished())
    atelier.illustrate()
    atelier.consume()
    kinds = ["requested", "started", "requeued", "requeued", "started", "completed"]
    assert studio.kinds(task) == kinds


def test_waiting_counts_no_attempt(atelier, studio, remote):
    remote.slow = True
    task = atelier.request()
    for _ in range(4):  # as when an operator has it claimed again and again
        atelier.consume()
        with atelier.pool.connection() as connection:
            connection.execute("UPDATE atelier_queue SET retry_at = now()")
    assert studio.kinds(task).count("started") == 4
    assert "failed" not in studio.kinds(task)
    assert atelier.sketcher.drawn == 1


def test_intervals_between_looks_grow(atelier, remote):
    remote.slow = True
    atelier.request()
    atelier.consume()
    waits = []
    for _ in range(10):
        atelier.illustrate()
        waits += atelier.rows("extract(epoch FROM next_at - now())::float8")
    assert waits == pytest.approx(sorted(waits), abs=0.5)
    assert (waits[0], waits[-1]) == (pytest.approx(2, abs=1), pytest.approx(30, abs=1))


def test_another_process_goes_on_with_what_was_submitted(atelier, studio, remote):
    task = atelier.request()
    atelier.consume()
    atelier.illustrate()
    atelier.illustrator = atelier.another()
    atelier.illustrator.recover()
    atelier.illustrate()
    atelier.illustrate()
    atelier.consume()
    assert studio.completion(task).engine == "kling"
    assert len(remote.tasks) == 1


def test_what_was_cut_off_between_submit_and_record_is_submitted_anew(
    atelier, studio, remote, monkeypatch
):
    task = atelier.request()
    atelier.consume()

    def cut_off(*_, **__):
        raise Unavailable("killed just now")

    with monkeypatch.context() as patch:
        patch.setattr(atelier.table, "move", cut_off)
        with pytest.raises(Unavailable):
            atelier.illustrate()
    assert (len(remote.tasks), atelier.rows()) == (1, ["submitting"])
    atelier.illustrator = atelier.another()
    with capture_logs() as logs:
        atelier.illustrator.recover()
    assert [(each["log_level"], each["task"]) for each in logs] == [("warning", str(task))]
    atelier.work()
    assert len(remote.tasks) == 2
    assert studio.completion(task).engine == "kling"
    assert studio.kinds(task).count("completed") == 1


@pytest.mark.parametrize("code", [1303, 5000])  # test_client.py has them all
def test_what_may_pass_is_tried_again_later_and_later(atelier, studio, remote, code):
    task = atelier.request()
    atelier.consume()
    remote.wrong = [code, code]
    waits = []
    for _ in range(2):
        atelier.illustrate()
        waits += atelier.rows("extract(epoch FROM next_at - now())::float8")
    assert waits == [pytest.approx(5, abs=1), pytest.approx(10, abs=1)]
    atelier.work()
    assert studio.completion(task).engine == "kling"


def test_an_engine_that_cannot_be_reached_is_tried_again(atelier, studio, remote):
    task = atelier.request()
    atelier.consume()
    remote.page = True
    atelier.illustrate()
    assert atelier.rows() == ["wanted"]
    remote.page = False
    atelier.work()
    assert studio.completion(task).engine == "kling"


@pytest.mark.parametrize("code", [1102, 1103])
def test_an_account_of_no_use_is_alerted_and_nothing_more_is_sent(atelier, studio, remote, code):
    tasks = [atelier.request(), atelier.request()]
    atelier.consume()
    remote.wrong = [code]
    with capture_logs() as logs:
        atelier.illustrate()
    assert [each["log_level"] for each in logs] == ["error"]
    assert KLING_BARRED._value.get() == 1
    atelier.illustrate()
    assert remote.codes == [code]
    assert [studio.kinds(task)[-1] for task in tasks] == ["requeued", "requeued"]
    atelier.illustrator = atelier.another()  # as after a while, when somebody has paid
    atelier.work()
    assert [studio.completion(task).engine for task in tasks] == ["kling", "kling"]
    assert KLING_BARRED._value.get() == 0


@pytest.mark.parametrize("code", [1201, 1301])
def test_a_refusal_fails_the_task_at_once(atelier, studio, remote, code):
    task = atelier.request()
    atelier.consume()
    remote.wrong = [code]
    atelier.illustrate()
    atelier.consume()
    failure = atelier.failure(task)
    assert failure.code == "refused_by_engine"
    assert failure.message == REFUSALS[code]
    assert remote.codes == [code]


def test_a_remote_task_that_fails_says_why(atelier, studio, remote):
    remote.slow = True
    task = atelier.request()
    atelier.consume()
    atelier.illustrate()
    remote.end(*remote.unfinished(), failure="the picture\n shows " + 500 * "x")
    atelier.illustrate()
    atelier.consume()
    failure = atelier.failure(task)
    assert failure.code == "refused_by_engine"
    assert failure.message.startswith("the engine could not make the picture: the picture shows x")
    assert len(failure.message) < 300


def test_no_more_slots_are_taken_than_there_are(atelier, remote):
    remote.slow, remote.pack = True, 100
    for _ in range(5):
        atelier.request()
    atelier.consume()
    for _ in range(3):
        atelier.illustrate()
    assert len(remote.tasks) == 3
    remote.end(remote.unfinished()[0])
    for _ in range(3):
        atelier.illustrate()
    assert len(remote.tasks) == 4
    atelier.illustrator = atelier.another()  # whoever takes over counts what others submitted
    atelier.illustrate()
    assert len(remote.unfinished()) == 3


def test_a_cancelled_task_keeps_its_slot_until_the_engine_is_through(atelier, studio, remote):
    remote.slow = True
    atelier.illustrator = atelier.another(slots=1)
    task, next_task = atelier.request(), atelier.request()
    atelier.consume()
    atelier.illustrate()
    atelier.cancel(task)
    atelier.cancel(next_task)
    third = atelier.request()
    atelier.consume()
    atelier.illustrate()
    assert len(remote.tasks) == 1
    assert sorted(atelier.rows()) == ["submitted", "wanted"]  # the second is forgotten at once
    remote.end(*remote.unfinished())
    for _ in range(3):
        atelier.illustrate()
    assert len(remote.tasks) == 2
    assert studio.kinds(task)[-1] == "cancelled"
    remote.end(*remote.unfinished())
    atelier.illustrate()
    atelier.consume()
    assert studio.completion(third).engine == "kling"


def test_nothing_is_left_when_the_task_has_ended(atelier, studio):
    task = atelier.request()
    atelier.consume()
    assert studio.keys("33/illustrations/") == [f"33/illustrations/{task}/guide.png"]
    atelier.work()
    atelier.illustrate()
    assert atelier.rows() == []
    assert studio.keys("33/illustrations/") == []


def test_results_are_copied_at_once(atelier, studio, remote):
    task = atelier.request()
    atelier.consume()
    for _ in range(3):
        atelier.illustrate()
    remote.tasks.clear()
    atelier.consume()
    assert studio.completion(task).engine == "kling"


@pytest.mark.parametrize(
    "result", [b"<html>no picture</html>", b"\x89PNG\r\n\x1a\n but cut off", b""]
)
def test_what_is_no_picture_is_drawn_flat_here(atelier, studio, remote, result):
    remote.slow = True
    task = atelier.request()
    atelier.consume()
    atelier.illustrate()
    (remote_task,) = remote.unfinished()
    remote.end(remote_task)
    remote_task.result = result
    atelier.illustrate()
    atelier.consume()
    completed = studio.completion(task)
    assert (completed.engine, completed.silhouette) == ("atelier-flat", None)
    assert completed.ignored[-1] == "render_mode"


def test_another_body_is_drawn_flat_here_and_the_event_says_so(atelier, studio, remote):
    remote.draw = lambda guide: sketch(width=1.3)
    task = atelier.request()
    atelier.work()
    completed = studio.completion(task)
    assert completed.engine == "atelier-flat"
    assert completed.ignored[-1] == "render_mode"
    assert 0.5 < completed.silhouette < 0.9
    shown = Image.open(io.BytesIO(studio.media.get(f"33/gallery/{task}.jpg")))
    assert np.abs(np.asarray(shown).astype(int) - np.asarray(sketch())).mean() < 2


def test_nobody_waits_for_longer_than_the_setting_says(atelier, studio, remote):
    remote.slow = True
    task = atelier.request()
    atelier.consume()
    atelier.illustrate()
    with atelier.pool.connection() as connection:
        connection.execute("UPDATE atelier_queue SET retry_at = now()")
    atelier.change("until = now()")
    atelier.consume()
    completed = studio.completion(task)
    assert (completed.engine, completed.ignored[-1]) == ("atelier-flat", "render_mode")
    atelier.illustrate()
    assert atelier.rows() == ["submitted"]  # it holds its slot still


def test_a_wake_up_that_comes_before_its_task_is_given_back_comes_again(atelier, studio, remote):
    """The engine may be faster than the consumer that asked it."""
    task = atelier.request()
    ask = atelier.table.ask

    def asked(*values):
        ask(*values)
        for _ in range(3):
            atelier.illustrate()

    atelier.table.ask = asked
    atelier.consume()
    assert studio.kinds(task) == ["requested", "started", "requeued"]
    atelier.illustrate()
    atelier.consume()
    assert studio.completion(task).engine == "kling"


def test_three_d_is_none_of_the_engine_s_business(atelier, studio, remote):
    task = studio.story.request()
    atelier.consume()
    assert studio.completion(task).engine == "atelier-local"
    assert remote.calls == []


def test_it_runs_until_it_is_told_to_stop(atelier, studio, remote, monkeypatch):
    monkeypatch.setattr(illustrator, "FIRST_POLL_S", 0.0)
    task, stop = atelier.request(), threading.Event()
    atelier.consume()

    class Leader:
        acquire = staticmethod(lambda stop: True)
        held = staticmethod(lambda: True)

    def wait(_):
        time.sleep(0.01)

    thread = threading.Thread(target=atelier.illustrator.run, args=(Leader(), wait, stop))
    thread.start()
    eventually(lambda: atelier.rows() == ["made"])
    stop.set()
    thread.join()
    atelier.consume()
    assert studio.completion(task).engine == "kling"
