from typing import Any

import msgspec
import pytest

from commands.render import (
    CancelRender,
    CompleteRender,
    FailAttempt,
    RemoveFile,
    RequestImageToVideo,
    RequestRender,
    RequestUpscale,
    RequestVideo,
    RequeueRender,
    RetryRender,
    StartRender,
)
from domain.errors import IdempotencyKeyReused, NotClaimable, NotFound, StaleAttempt, TaskEnded
from domain.events import Event
from tests.support.scenario import (
    ACCOUNT,
    TASK,
    cancelled,
    completed,
    failed,
    given,
    image_to_video_requested,
    removed,
    requested,
    requeued,
    source,
    started,
    thumbnail,
    upscale_requested,
    video_requested,
    webhook_requested,
)

IDS: dict[str, Any] = {"aggregate_id": TASK, "account": ACCOUNT}
EXAMPLE = requested()
assert EXAMPLE.user_details is not None
REQUEST = RequestRender(
    **IDS,
    kind="image",
    account_number=33,
    user_details=EXAMPLE.user_details,
    apparel_details=EXAMPLE.apparel_details,
    image_options=EXAMPLE.image_options,
    render_mode="3D",
    vip=False,
    limit=1_000,
)
OTHERS = [
    (RequestVideo, video_requested()),
    (RequestUpscale, upscale_requested()),
    (RequestImageToVideo, image_to_video_requested()),
]
RETRY = RetryRender(**IDS)
START = StartRender(**IDS, consumer="consumer-1")
ENDS = [completed(), failed(), cancelled()]
USED_UP = (
    requested(),
    started(1),
    requeued(1, counted=True, reason="render_error"),
    started(2),
    requeued(2, counted=True, reason="render_error"),
    started(3),
)


CANCEL = CancelRender(**IDS)


def requeue(attempt=1):
    return RequeueRender(**IDS, attempt=attempt, reason="stopped", retry_after_seconds=2.5)


def fail(attempt=1):
    return FailAttempt(**IDS, attempt=attempt, code="render_error", message="it could not be done")


def complete(attempt=1):
    return CompleteRender(
        **IDS,
        attempt=attempt,
        engine="test",
        files=(source(), thumbnail()),
        ignored=(),
        measured={},
    )


def remove(name):
    return RemoveFile(**IDS, name=name)


def test_a_request_is_told():
    given().when(REQUEST).then(requested())


@pytest.mark.parametrize(("command", "event"), OTHERS)
def test_every_kind_of_request_is_told_once(command, event):
    asked = command(**IDS, **msgspec.structs.asdict(event))
    given().when(asked).then(event)
    given(event).when(asked).then_nothing()


def test_requesting_twice_adds_no_second_event():
    given(requested()).when(REQUEST).then_nothing()


def test_the_same_request_under_the_same_key_adds_no_second_event():
    command = msgspec.structs.replace(REQUEST, request_hash="9f")
    given().when(command).then(requested(request_hash="9f"))
    given(requested(request_hash="9f")).when(command).then_nothing()
    given(requested(request_hash="9f"), cancelled(0)).when(command).then_nothing()


def test_a_webhook_that_is_asked_for_is_told_with_the_request():
    told = webhook_requested()
    command = msgspec.structs.replace(REQUEST, webhook_url=told.url)
    given().when(command).then(requested(), told)
    given(requested(), told).when(command).then_nothing()


@pytest.mark.parametrize("first", ["9e", None])
def test_another_request_under_the_same_key_is_refused(first):
    command = msgspec.structs.replace(REQUEST, request_hash="9f")
    given(requested(request_hash=first)).when(command).then_refused(IdempotencyKeyReused)


def test_the_first_claim_is_attempt_one():
    given(requested()).when(START).then(started(1))


def test_whoever_holds_the_lease_of_a_started_task_takes_it_over_as_a_new_attempt():
    given(requested(), started(1, "another")).when(START).then(started(2))


def test_a_task_that_was_given_back_is_claimed_as_a_new_attempt():
    given(requested(), started(1), requeued(1)).when(START).then(started(2))


def test_attempts_given_back_without_fault_do_not_use_up_the_task():
    history: list[Event] = [requested()]
    for attempt in range(1, 10):
        history += [started(attempt), requeued(attempt, counted=False)]
    given(*history).when(START).then(started(10))


def test_after_three_attempts_that_nobody_ended_a_claim_fails_the_task():
    given(requested(), started(1), started(2), started(3)).when(START).then(
        failed(3, code="attempts_exhausted", message="the task was given up after 3 attempts")
    )


def test_claiming_a_task_that_was_failed_so_adds_no_second_event():
    history = given(requested(), started(1), started(2), started(3), failed(3))
    history.when(START).then_refused(NotClaimable)


@pytest.mark.parametrize("history", [[], *([requested(), started(), end] for end in ENDS)])
def test_what_is_unknown_or_has_ended_cannot_be_claimed(history):
    given(*history).when(START).then_refused(NotClaimable)


def test_giving_a_task_back_counts_no_attempt():
    given(requested(), started()).when(requeue()).then(
        requeued(reason="stopped", counted=False, retry_after_seconds=2.5)
    )


def test_giving_a_task_back_twice_adds_no_second_event():
    given(requested(), started(), requeued()).when(requeue()).then_nothing()


@pytest.mark.parametrize("command", [fail(), requeue()])
def test_a_task_that_was_given_back_is_not_failed_or_given_back_once_more(command):
    given(requested(), started(), requeued()).when(command).then_nothing()


def test_a_first_and_a_second_fault_give_the_task_another_try_after_a_while():
    history = [requested(), started(1)]
    first = requeued(1, reason="render_error", counted=True, retry_after_seconds=1.0)
    given(*history).when(fail(1)).then(first)
    history += [first, started(2)]
    second = requeued(2, reason="render_error", counted=True, retry_after_seconds=2.0)
    given(*history).when(fail(2)).then(second)


def test_the_third_fault_fails_the_task():
    given(*USED_UP).when(fail(3)).then(failed(3, message="it could not be done"))


def test_what_another_try_cannot_mend_fails_the_task_at_once():
    final = msgspec.structs.replace(fail(1), code="source_gone", final=True)
    end = failed(1, code="source_gone", message="it could not be done")
    given(requested(), started(1)).when(final).then(end)


def test_failing_a_task_twice_adds_no_second_event():
    given(*USED_UP, failed(3)).when(fail(3)).then_refused(StaleAttempt)


def test_an_attempt_given_back_without_fault_does_not_bring_the_end_nearer():
    history = given(requested(), started(1), requeued(1, counted=False), started(2), started(3))
    third = requeued(3, reason="render_error", counted=True, retry_after_seconds=2.0)
    history.when(fail(3)).then(third)


def test_the_current_attempt_completes_the_task():
    given(requested(), started(1), started(2)).when(complete(2)).then(completed(2))


def test_completing_twice_adds_no_second_event():
    given(requested(), started(), completed()).when(complete()).then_nothing()


def test_completing_twice_adds_none_after_the_files_were_removed_either():
    history = given(requested(), started(), completed(), removed())
    history.when(complete()).then_nothing()


@pytest.mark.parametrize("act", [requeue, fail, complete])
def test_an_attempt_that_was_taken_over_is_refused(act):
    given(requested(), started(1), started(2)).when(act(1)).then_refused(StaleAttempt)


@pytest.mark.parametrize("act", [requeue, fail, complete])
def test_an_attempt_that_was_given_back_and_taken_over_is_refused(act):
    history = given(requested(), started(1), requeued(1), started(2))
    history.when(act(1)).then_refused(StaleAttempt)


@pytest.mark.parametrize("act", [requeue, fail, complete])
def test_an_attempt_that_nobody_started_is_refused(act):
    given(requested()).when(act(1)).then_refused(StaleAttempt)
    given(requested(), started(1)).when(act(2)).then_refused(StaleAttempt)


@pytest.mark.parametrize("act", [requeue, fail])
@pytest.mark.parametrize("end", ENDS)
def test_what_has_ended_is_neither_given_back_nor_failed(act, end):
    given(requested(), started(), end).when(act()).then_refused(StaleAttempt)


def test_what_was_given_back_is_not_completed_by_the_same_attempt():
    given(requested(), started(), requeued()).when(complete()).then_refused(StaleAttempt)


def test_what_has_failed_is_not_completed():
    given(requested(), started(), failed()).when(complete()).then_refused(StaleAttempt)


def test_a_backoff_is_cut_short_once_and_no_attempt_is_forgiven_by_it():
    backing_off = [requested(), started(), requeued(reason="no store", retry_after_seconds=60.0)]
    again = requeued(reason="retried", counted=True)
    given(*backing_off).when(RETRY).then(again)
    given(*backing_off, again).when(RETRY).then_nothing()
    given(*backing_off, again, started(2)).when(START).then(started(3))


@pytest.mark.parametrize(
    "history", [[requested()], [requested(), started()], [requested(), started(), requeued()]]
)
def test_what_does_not_back_off_need_not_be_retried(history):
    given(*history).when(RETRY).then_nothing()


@pytest.mark.parametrize("end", ENDS)
def test_what_has_ended_is_not_retried(end):
    given(requested(), started(), end).when(RETRY).then_refused(TaskEnded)
    given().when(RETRY).then_refused(NotFound)


def test_what_waits_or_is_being_rendered_can_be_cancelled():
    given(requested()).when(CANCEL).then(cancelled(0))
    given(requested(), started(1), started(2)).when(CANCEL).then(cancelled(2))
    given(requested(), started(1), requeued(1)).when(CANCEL).then(cancelled(1))


def test_cancelling_twice_adds_no_second_event():
    given(requested(), started(), cancelled()).when(CANCEL).then_nothing()


@pytest.mark.parametrize("end", [completed(), failed()])
def test_what_has_ended_otherwise_cannot_be_cancelled(end):
    given(requested(), started(), end).when(CANCEL).then_refused(TaskEnded)


def test_what_nobody_requested_cannot_be_cancelled():
    given().when(CANCEL).then_refused(NotFound)


def test_what_was_cancelled_is_not_completed():
    given(requested(), started(), cancelled()).when(complete()).then_refused(StaleAttempt)


DONE = (requested(), started(), completed())


def test_the_only_file_leaves_with_its_thumbnail():
    given(*DONE).when(remove(source().name)).then(
        removed(source().name, source().key, thumbnail().key)
    )


def test_removing_a_file_twice_adds_no_second_event():
    history = given(*DONE, removed(source().name, source().key, thumbnail().key))
    history.when(remove(source().name)).then_refused(NotFound)


def test_a_thumbnail_stays_for_as_long_as_a_file_needs_it():
    video = source("video.mp4")
    both = completed(files=(source(), video, thumbnail()))
    history = [requested(), started(), both]
    first = removed(source().name, source().key)
    given(*history).when(remove(source().name)).then(first)
    last = removed(video.name, video.key, thumbnail().key)
    given(*history, first).when(remove(video.name)).then(last)


@pytest.mark.parametrize("name", ["other.jpg", "", thumbnail().name, source().key])
def test_only_a_file_of_the_gallery_can_be_removed(name):
    given(*DONE).when(remove(name)).then_refused(NotFound)


@pytest.mark.parametrize("history", [[], [requested()], [requested(), started()]])
def test_what_has_no_files_yet_has_none_to_remove(history):
    given(*history).when(remove(source().name)).then_refused(NotFound)
