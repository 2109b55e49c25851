"""What the log and the media store say became of the tasks."""

import hashlib
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Sequence
from uuid import UUID

import msgspec

from domain.account import AccountErased
from domain.events import Event, NewEvent
from domain.render import (
    RenderCancelled,
    RenderCompleted,
    RenderFailed,
    RenderFileRemoved,
    Requested,
)

ENDS: dict[type[Event], str] = {
    RenderCompleted: "succeeded",
    RenderFailed: "failed",
    RenderCancelled: "cancelled",
}


class Verdict(msgspec.Struct, frozen=True):
    """How the tasks ended, and in words what should not be."""

    ended: Counter[str] = msgspec.field(default_factory=Counter)
    lost: list[str] = []
    doubled: list[str] = []
    stuck: list[str] = []


def ends(events: Iterable[NewEvent]) -> dict[UUID, list[str]]:
    """The tasks that were asked for, and how often each has ended how."""
    tasks: dict[UUID, list[str]] = defaultdict(list)
    for event in events:
        if isinstance(event.event, Requested):
            tasks[event.aggregate_id] = []
        elif type(event.event) in ENDS:
            tasks[event.aggregate_id].append(ENDS[type(event.event)])
    return tasks


def judged(
    events: Sequence[NewEvent], accepted: set[str], keys: set[str], read: Callable[[str], bytes]
) -> Verdict:
    """Compare the log with what was accepted and with the files below the media store's keys."""
    verdict, tasks = Verdict(), ends(events)
    for missing in accepted - {str(task) for task in tasks}:
        verdict.lost.append(f"task {missing} was accepted and is not in the log")
    for task, ended in tasks.items():
        verdict.ended.update(ended[:1])
        if not ended:
            verdict.stuck.append(f"task {task} has not ended")
        if len(ended) > 1:
            verdict.doubled.append(f"task {task} ended more than once: {', '.join(ended)}")
    _judge_files(events, keys, read, verdict)
    return verdict


def _judge_files(
    events: Sequence[NewEvent], keys: set[str], read: Callable[[str], bytes], verdict: Verdict
) -> None:
    erased = {event.account for event in events if isinstance(event.event, AccountErased)}
    published: dict[str, str] = {}
    removed: set[str] = set()
    for event in events:
        if event.account in erased:
            continue  # what comes late for somebody erased is swept by the hour
        match event.event:
            case RenderCompleted(files=files):
                published |= {file.key: file.sha256 for file in files}
            case RenderFileRemoved(keys=gone):
                removed |= {*gone}
    for key in published.keys() - removed:
        if key not in keys:
            verdict.lost.append(f"{key} is not in the media store")
        elif hashlib.sha256(read(key)).hexdigest() != published[key]:
            verdict.lost.append(f"{key} is another file than its event names")
    for key in removed & keys:
        verdict.doubled.append(f"{key} was published again after its removal")
