import hashlib
import io
import threading
from collections import Counter
from uuid import uuid4

import pytest
from PIL import Image

from commands import Origin, execute
from commands.render import CancelRender, StartRender
from domain.errors import HistoryReplaced, Unavailable
from domain.render import RenderFailed, RenderRequeued, RenderStarted
from infra.postgres import CONNECT_TIMEOUT_S
from render_consumers.engines.job import DeviceLost, OutOfMemory, SourceGone
from render_consumers.painting.painter import Stopped
from tests.integration.render_consumers.conftest import SmallEngine
from tests.support.scenario import (
    ACCOUNT,
    eventually,
    garment_fit,
    image_to_video_requested,
    lose_key,
    make_store,
    restore_older_backup,
    upscale_requested,
)


def fail(_):
    raise RuntimeError("a fault of the task's own")


def work_until(studio, engine, task, end):
    """Look again and again, as a consumer does, until the task has ended so."""
    consumer = studio.consumer(engine)

    def ended():
        consumer.work_through(studio.stop)
        return studio.kinds(task)[-1] == end

    eventually(ended)


# The way it should go.


def test_a_task_ends_in_published_files_and_one_event(studio):
    task = studio.story.request()
    studio.consumer().work_through(studio.stop)
    assert studio.kinds(task) == ["requested", "started", "completed"]
    event = studio.completion(task)
    assert (event.attempt, event.engine, event.ignored) == (1, "test", ("brand",))
    assert (event.measured, event.fit) == ({"Height": 180.0}, (garment_fit(),))
    names = [f"33/gallery/{task}.jpg", f"33/gallery/{task}_thumbnail.jpg"]
    assert [file.key for file in event.files] == names
    for file, width in zip(event.files, (16, 8), strict=True):
        data = studio.media.get(file.key)
        assert (len(data), hashlib.sha256(data).hexdigest()) == (file.size, file.sha256)
        assert Image.open(io.BytesIO(data)).size == (width, width)


def test_nothing_stays_behind_in_staging_or_among_the_leases(studio):
    studio.story.request()
    studio.consumer().work_through(studio.stop)
    assert studio.keys("staging/") == []
    assert studio.lease_count() == 0


def test_the_lease_is_held_and_the_claim_is_told_while_it_renders(studio):
    seen = []
    engine = SmallEngine(lambda task: seen.append((studio.lease_count(), studio.history(task)[-1])))
    studio.story.request()
    studio.consumer(engine, name="two").work_through(studio.stop)
    assert seen == [(1, RenderStarted(attempt=1, consumer="two"))]


def test_tasks_are_rendered_in_the_order_of_the_queue(studio):
    plain, vip, plain_too = (studio.story.request(vip=n == 1) for n in range(3))
    engine = SmallEngine()
    studio.consumer(engine).work_through(studio.stop)
    assert engine.rendered == [vip, plain, plain_too]


def test_the_events_of_an_attempt_tell_who_made_them_and_belong_together(studio):
    task = studio.story.request()
    studio.consumer().work_through(studio.stop)
    _, claim, result = studio.story.store.load(task)
    assert claim.actor == result.actor == "consumer:one"
    assert claim.correlation_id == result.correlation_id
    assert claim.account == result.account == ACCOUNT


def test_two_consumers_render_each_task_once(studio):
    tasks = {studio.story.request() for _ in range(20)}
    engines = {name: SmallEngine() for name in ("one", "two")}

    def work(name):
        consumer = studio.consumer(engines[name], name=name)
        while any(studio.kinds(task)[-1] != "completed" for task in tasks):
            consumer.work_through(studio.stop)

    threads = [threading.Thread(target=work, args=(name,)) for name in engines]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    kinds = {task: Counter(studio.kinds(task)) for task in tasks}
    assert [kinds[task]["completed"] for task in tasks] == [1] * len(tasks)
    # Once each, unless the store was too slow on a busy machine: then a task was given back first.
    rendered = Counter(task for engine in engines.values() for task in engine.rendered)
    assert rendered == {task: 1 + kinds[task]["requeued"] for task in tasks}
    assert all(engine.rendered for engine in engines.values())


def test_a_queue_that_is_behind_makes_nobody_render_twice(studio):
    task = studio.story.request()
    consumer = studio.consumer()
    stale = studio._next_tasks(5)
    consumer.work_through(studio.stop)
    consumer._next_tasks = lambda limit: stale
    consumer.work_through(studio.stop)
    assert studio.kinds(task) == ["requested", "started", "completed"]
    assert studio.lease_count() == 0


# Faults of the task's own.


def test_a_task_that_cannot_be_rendered_fails_after_three_attempts(studio):
    bad = studio.story.request()
    engine = SmallEngine(fail)
    work_until(studio, engine, bad, "failed")
    history = studio.history(bad)
    assert [type(event) for event in history[1:]] == [
        *(RenderStarted, RenderRequeued) * 2,
        RenderStarted,
        RenderFailed,
    ]
    assert all(event.counted for event in history if isinstance(event, RenderRequeued))
    assert (history[-1].attempt, history[-1].code) == (3, "render_error")
    assert len(engine.rendered) == 3
    assert studio.lease_count() == 0


def test_what_went_wrong_is_not_told_in_the_log(studio):
    bad = studio.story.request()
    work_until(studio, SmallEngine(fail), bad, "failed")
    assert "own" not in studio.history(bad)[-1].message


def test_a_bad_task_does_not_hold_up_the_next(studio):
    bad, good = studio.story.request(), studio.story.request()
    engine = SmallEngine(lambda task: fail(task) if task == bad else None)
    studio.consumer(engine).work_through(studio.stop)
    assert studio.kinds(good)[-1] == "completed"
    assert engine.rendered == [bad, good]
    work_until(studio, engine, bad, "failed")


def test_a_task_whose_consumers_died_three_times_is_given_up(studio):
    task = studio.story.request()
    studio.story.tell(task, *(RenderStarted(attempt=n, consumer="dead") for n in (1, 2, 3)))
    engine = SmallEngine()
    studio.consumer(engine).work_through(studio.stop)
    assert studio.history(task)[-1].code == "attempts_exhausted"
    assert engine.rendered == []
    assert studio.lease_count() == 0


def test_the_task_of_somebody_erased_is_given_up_without_being_drawn(studio):
    task = studio.story.request()
    studio._next_tasks(1)  # the queue has it
    lose_key(studio.story.store)
    engine = SmallEngine()
    studio.consumer(engine).work_through(studio.stop)
    assert studio.kinds(task)[-1] == "cancelled"
    assert engine.rendered == []


def test_a_video_of_somebody_erased_is_given_up_without_being_drawn(studio):
    task = uuid4()
    studio.story.tell(task, image_to_video_requested())
    studio._next_tasks(1)  # the queue has it
    lose_key(studio.story.store)
    engine = SmallEngine()
    studio.consumer(engine).work_through(studio.stop)
    assert studio.kinds(task)[-1] == "cancelled"
    assert engine.rendered == []


def test_a_task_whose_source_is_gone_says_so_at_once(studio):
    def gone(_):
        raise SourceGone("it is no longer there")

    task = uuid4()
    studio.story.tell(task, upscale_requested())
    studio.consumer(SmallEngine(gone)).work_through(studio.stop)
    assert studio.kinds(task) == ["upscale_requested", "started", "failed"]
    end = studio.history(task)[-1]
    assert (end.code, end.message) == ("source_gone", "it is no longer there")


# Faults that are not the task's own.


def test_nothing_is_claimed_while_the_media_store_is_away(studio, media_server):
    task = studio.story.request()
    media_server.server.kill()
    with pytest.raises(Unavailable):
        studio.consumer().work_through(studio.stop)
    assert studio.kinds(task) == ["requested"]
    assert studio.lease_count() == 0


def test_a_media_store_that_goes_away_meanwhile_costs_no_attempt(studio, media_server):
    task = studio.story.request()
    engine = SmallEngine(lambda _: media_server.server.kill())
    with pytest.raises(Unavailable):
        studio.consumer(engine).work_through(studio.stop)
    given_back = studio.history(task)[-1]
    assert (given_back.reason, given_back.counted) == ("media_store_unavailable", False)
    assert given_back.retry_after_seconds > 0
    assert studio.lease_count() == 0
    media_server.server.restart()
    consumer = studio.consumer()

    def done():
        consumer.work_through(studio.stop)
        return studio.kinds(task)[-1] == "completed"

    eventually(done)
    assert studio.completion(task).attempt == 2


def test_a_media_store_that_goes_away_before_publishing_costs_no_attempt(studio, media_server):
    class LostBeforeCopy:
        def __init__(self, media):
            self._media = media

        def copy(self, source, target):
            media_server.server.kill()
            self._media.copy(source, target)

        def __getattr__(self, name):
            return getattr(self._media, name)

    task = studio.story.request()
    studio.media = LostBeforeCopy(studio.media)
    with pytest.raises(Unavailable):
        studio.consumer().work_through(studio.stop)
    assert studio.kinds(task) == ["requested", "started", "requeued"]
    assert not studio.history(task)[-1].counted


def test_a_consumer_that_is_stopped_gives_its_task_back(studio):
    task = studio.story.request()

    def stop_here(_):
        assert not engine.should_stop()
        studio.stop.set()
        assert engine.should_stop()
        raise Stopped

    engine = SmallEngine(stop_here)
    studio.consumer(engine).work_through(studio.stop)
    given_back = studio.history(task)[-1]
    assert isinstance(given_back, RenderRequeued)
    assert not given_back.counted
    assert studio.lease_count() == 0
    other = studio.consumer(name="two")
    other.work_through(threading.Event())
    assert studio.completion(task).attempt == 2


def test_a_stopped_consumer_claims_nothing(studio):
    task = studio.story.request()
    studio.stop.set()
    studio.consumer().work_through(studio.stop)
    assert studio.kinds(task) == ["requested"]


def test_a_result_outlives_a_restart_of_postgres(studio, postgres):
    task = studio.story.request()

    def restart(_):
        postgres.kill()  # for longer than a connection is waited for
        threading.Timer(CONNECT_TIMEOUT_S + 1.0, postgres.restart).start()

    studio.consumer(SmallEngine(restart)).work_through(studio.stop)
    assert studio.kinds(task) == ["requested", "started", "completed"]
    assert studio.completion(task).attempt == 1
    assert studio.lease_count() == 0


# Fencing.


def test_a_result_without_a_lease_is_refused(studio):
    task = studio.story.request()
    engine = SmallEngine()

    def lose(_):
        studio.lose_leases()
        studio.stop.set()  # so that nobody takes it anew in this test

    engine.during = lose
    studio.consumer(engine).work_through(studio.stop)
    assert studio.kinds(task) == ["requested", "started"]
    assert studio.keys("33/") == []


def test_a_result_of_an_attempt_that_was_taken_over_is_refused(studio):
    task = studio.story.request()

    def another_takes_over(_):
        studio.lose_leases()
        studio.consumer(name="two").work_through(studio.stop)

    studio.consumer(SmallEngine(another_takes_over)).work_through(studio.stop)
    assert studio.kinds(task) == ["requested", "started", "started", "completed"]
    assert studio.completion(task).attempt == 2
    assert studio.lease_count() == 0


def test_a_lease_alone_does_not_let_an_old_attempt_complete(studio):
    task = studio.story.request()

    def another_takes_over_and_the_lease_comes_back(_):
        studio.lose_leases()
        studio.consumer(name="two").work_through(studio.stop)
        studio.leases("one").take(task)

    engine = SmallEngine(another_takes_over_and_the_lease_comes_back)
    studio.consumer(engine).work_through(studio.stop)
    assert studio.kinds(task).count("completed") == 1
    assert studio.completion(task).attempt == 2


def test_nor_does_it_while_the_new_attempt_is_at_work(studio):
    task = studio.story.request()

    def another_begins_though_the_lease_is_ours(_):
        claim = StartRender(aggregate_id=task, account=ACCOUNT, consumer="two")
        execute(claim, studio.story.store, Origin(actor="two", correlation_id=task))
        studio.stop.set()

    engine = SmallEngine(another_begins_though_the_lease_is_ours)
    studio.consumer(engine).work_through(studio.stop)
    assert studio.kinds(task) == ["requested", "started", "started"]


def test_the_failure_of_an_attempt_that_was_taken_over_is_refused(studio):
    task = studio.story.request()

    def another_takes_over(_):
        studio.lose_leases()
        studio.consumer(name="two").work_through(studio.stop)
        fail(task)

    studio.consumer(SmallEngine(another_takes_over)).work_through(studio.stop)
    assert studio.kinds(task) == ["requested", "started", "started", "completed"]


def test_the_engine_is_told_to_stop_when_the_lease_is_lost(studio):
    task = studio.story.request()
    engine = SmallEngine()

    def wait_for_the_loss(_):
        studio.lose_leases()
        studio.leases("two").take(task)
        eventually(engine.should_stop)
        studio.stop.set()
        raise Stopped

    engine.during = wait_for_the_loss
    studio.consumer(engine, seconds=0.6).work_through(studio.stop)
    assert studio.lease_count() == 1  # the other's


def test_a_lease_is_kept_for_as_long_as_the_engine_works(studio):
    task = studio.story.request()
    others = SmallEngine()

    def outlast_the_lease(_):
        threading.Event().wait(1.5)
        studio.consumer(others, name="two").work_through(studio.stop)

    studio.consumer(SmallEngine(outlast_the_lease), seconds=0.6).work_through(studio.stop)
    assert others.rendered == []
    assert studio.kinds(task) == ["requested", "started", "completed"]


# Progress.


def test_the_stage_and_the_share_that_is_done_are_noted_beside_the_lease(studio):
    task = studio.story.request()

    def noted():
        with studio.pool.connection() as connection:
            return connection.execute("SELECT stage, progress FROM atelier_leases").fetchone()

    def tell(_):
        assert noted() == (None, 0)
        engine.told("dressing", 0.5)
        eventually(lambda: noted() == ("dressing", 0.5))
        engine.told("drawing", 0.25)
        engine.told("drawing", 0.75)
        eventually(lambda: noted() == ("drawing", 0.75))

    class SlowToTake:
        def put(self, key, data, content_type):
            eventually(lambda: noted()[0] == "uploading")
            plain.put(key, data, content_type)

        def __getattr__(self, name):
            return getattr(plain, name)

    plain, studio.media = studio.media, SlowToTake()
    engine = SmallEngine(tell)
    studio.consumer(engine).work_through(studio.stop)
    assert studio.kinds(task) == ["requested", "started", "completed"]
    assert studio.lease_count() == 0


# Several at once.


def test_idle_consumers_render_several_tasks_as_one_batch(studio):
    tasks = [studio.story.request() for _ in range(5)]
    leases = []
    engine = SmallEngine(lambda task: leases.append(studio.lease_count()))
    studio.consumer(engine, batch=3).work_through(studio.stop)
    assert engine.batches == [3, 2]
    assert engine.rendered == tasks
    assert leases == [3, 2, 1, 2, 1]  # each is let go of as it ends
    assert {tuple(studio.kinds(task)) for task in tasks} == {("requested", "started", "completed")}


def test_a_vip_task_that_comes_while_a_batch_is_claimed_gets_into_it(studio):
    plain = [studio.story.request() for _ in range(3)]
    vip = []

    class Leases:
        def take(self, task):
            if task == plain[0]:
                vip.append(studio.story.request(vip=True))
            return leases.take(task)

        def __getattr__(self, name):
            return getattr(leases, name)

    engine = SmallEngine()
    consumer = studio.consumer(engine, batch=2)
    leases, consumer._leases = consumer._leases, Leases()
    consumer.work_through(studio.stop)
    assert engine.batches == [2, 2]
    assert engine.rendered == [plain[0], *vip, *plain[1:]]


def test_each_of_a_batch_ends_in_its_own_way(studio):
    good, bad, lost, cancelled, last = tasks = [studio.story.request() for _ in range(5)]

    def step_in(task):
        if task == bad:
            fail(task)
        if task == lost:
            raise SourceGone("it is no longer there")
        if task == cancelled:
            command = CancelRender(aggregate_id=task, account=ACCOUNT)
            execute(command, studio.story.store, Origin(actor="me", correlation_id=task))
            eventually(engine.should_stop)
            raise Stopped

    engine = SmallEngine(step_in)
    studio.consumer(engine, batch=5).work_through(studio.stop)
    assert engine.batches[0] == 5
    ends = {good: "completed", bad: "requeued", lost: "failed", cancelled: "cancelled"}
    assert {task: studio.kinds(task)[2] for task in tasks} == ends | {last: "completed"}


def test_one_of_a_batch_that_was_taken_over_is_refused_alone(studio):
    first, second = (studio.story.request() for _ in range(2))

    def lose_the_first(task):
        if task == first:
            studio.lose_leases(first)
            studio.leases("two").take(first)

    studio.consumer(SmallEngine(lose_the_first), batch=2).work_through(studio.stop)
    assert studio.kinds(first) == ["requested", "started"]
    assert studio.kinds(second)[-1] == "completed"


def test_a_log_that_was_restored_amid_a_batch_stops_the_rest_of_it(studio, pool):
    tasks = [studio.story.request() for _ in range(3)]
    consumer = studio.consumer(batch=3)
    jobs = []

    class Restoring:
        def render(self, batch):
            jobs.extend(batch)
            restore_older_backup(str(pool.conninfo), 4)
            yield from SmallEngine().render(batch)

    consumer._engine = Restoring()
    with pytest.raises(HistoryReplaced):
        consumer.work_through(studio.stop)
    assert len(jobs) == len(tasks)
    assert all(job.should_stop() for job in jobs)


# The device.


def test_a_batch_for_which_there_is_no_memory_is_halved_until_there_is(studio):
    tasks = [studio.story.request() for _ in range(4)]

    def need_memory(_):
        if engine.batches[-1] > 1:
            raise OutOfMemory("there is too little memory on the device")

    engine = SmallEngine(need_memory)
    studio.consumer(engine, batch=4).work_through(studio.stop)
    assert engine.batches == [4, 2, 1, 1, 1, 1]
    for task in tasks:
        assert studio.kinds(task)[-1] == "completed"
        assert not any(e.counted for e in studio.history(task) if isinstance(e, RenderRequeued))


def test_a_task_that_needs_too_much_memory_by_itself_fails_in_the_end(studio):
    def need_memory(_):
        raise OutOfMemory("there is too little memory on the device")

    task = studio.story.request()
    work_until(studio, SmallEngine(need_memory), task, "failed")
    end = studio.history(task)[-1]
    assert (end.attempt, end.message) == (3, "there is too little memory on the device")


def test_nothing_more_is_claimed_once_the_device_is_lost(studio):
    def lose_device(_):
        raise DeviceLost("CUDA error: an illegal memory access was encountered")

    first, second = (studio.story.request() for _ in range(2))
    with pytest.raises(DeviceLost):
        studio.consumer(SmallEngine(lose_device)).work_through(studio.stop)
    assert studio.kinds(first) == ["requested", "started", "requeued"]
    assert studio.history(first)[-1].counted  # it may be what the device stumbled over
    assert studio.kinds(second) == ["requested"]
    assert studio.lease_count() == 0


# Stopping.


def test_what_is_at_hand_can_be_given_back_while_the_engine_does_not_listen(studio):
    task = studio.story.request()

    def hand_back(_):
        studio.stop.set()
        consumer.hand_back()

    consumer = studio.consumer(SmallEngine(hand_back))
    consumer.work_through(studio.stop)
    assert studio.kinds(task) == ["requested", "started", "requeued"]
    assert not studio.history(task)[-1].counted
    assert studio.lease_count() == 0


def test_a_log_that_was_restored_amid_the_work_gets_no_result_of_it(studio, pool):
    first, second = studio.story.request(), studio.story.request()
    engine = SmallEngine(lambda task: restore_older_backup(str(pool.conninfo), 3))
    with pytest.raises(HistoryReplaced):
        studio.consumer(engine).work_through(studio.stop)
    assert engine.rendered == [first]
    assert make_store(pool).head()[1] == 3
    assert second
