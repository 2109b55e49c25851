"""The verdict of a chaos run finds each kind of harm, and nothing where there is none."""

import hashlib
from collections import Counter

import msgspec

from domain.events import Event
from tests.chaos.verdict import Verdict, judged
from tests.support.scenario import (
    ACCOUNT,
    TASK,
    cancelled,
    completed,
    enveloped,
    erased,
    removed,
    requested,
    requeued,
    source,
    started,
)

PICTURE = b"a picture"
FILE = msgspec.structs.replace(source(), sha256=hashlib.sha256(PICTURE).hexdigest())
STORED = {FILE.key: PICTURE}
DONE = (requested(), started(), completed(files=(FILE,)))


def judge(*events: Event, stored: dict[str, bytes] = STORED) -> Verdict:
    """The verdict on a task that was accepted and of which the log holds these events."""
    log = [enveloped(event, TASK, version) for version, event in enumerate(events, 1)]
    return judged(log, {str(TASK)}, set(stored), stored.__getitem__)


def test_a_task_that_ended_once_with_its_file_is_well() -> None:
    assert judge(*DONE) == Verdict(ended=Counter(succeeded=1))


def test_a_task_that_was_accepted_and_is_not_in_the_log_is_lost() -> None:
    assert judge().lost == [f"task {TASK} was accepted and is not in the log"]


def test_a_published_file_that_is_not_there_is_lost() -> None:
    assert judge(*DONE, stored={}).lost == [f"{FILE.key} is not in the media store"]


def test_a_published_file_with_other_bytes_is_lost() -> None:
    other = {FILE.key: b"another picture"}
    assert judge(*DONE, stored=other).lost == [f"{FILE.key} is another file than its event names"]


def test_a_task_that_ended_twice_is_doubled() -> None:
    verdict = judge(*DONE, completed(2, files=(FILE,)))
    assert verdict.doubled == [f"task {TASK} ended more than once: succeeded, succeeded"]
    assert verdict.ended == {"succeeded": 1}


def test_a_task_that_is_cancelled_and_completes_is_doubled() -> None:
    verdict = judge(requested(), started(), cancelled(), completed(files=(FILE,)))
    assert verdict.doubled == [f"task {TASK} ended more than once: cancelled, succeeded"]


def test_a_removed_file_that_comes_back_is_doubled() -> None:
    gone = removed(FILE.name, FILE.key)
    assert judge(*DONE, gone).doubled == [f"{FILE.key} was published again after its removal"]
    assert judge(*DONE, gone, stored={}) == judge(*DONE)


def test_a_task_that_has_not_ended_is_stuck() -> None:
    assert judge(requested(), started(), requeued()).stuck == [f"task {TASK} has not ended"]


def test_files_of_the_erased_may_be_there_or_gone() -> None:
    gone = enveloped(erased(), ACCOUNT)
    log = [*(enveloped(event, TASK, version) for version, event in enumerate(DONE, 1)), gone]
    assert judged(log, set(), set(), STORED.__getitem__).lost == []
