"""`atelier queue show`: all that there is to know of a task, and what it waits for."""

import argparse
import itertools
from collections.abc import Iterator, Sequence
from datetime import datetime, timedelta
from typing import Any, Final, LiteralString
from uuid import UUID

import msgspec
from rich.text import Text

from api.cli.queue import common
from api.cli.queue.common import Lease, Live, Waiting, as_json, clock, opened, since
from domain import render
from domain.errors import AtelierError, NotFound
from domain.events import fold
from domain.render import MAX_ATTEMPTS, Render
from infra.analysis import lines, reading, topic
from infra.analysis.access import Access
from infra.analysis.arguments import identifier
from infra.analysis.lines import Place
from infra.analysis.selection import Selection
from infra.analysis.topic import Window
from infra.log.recorder import StoredRecord
from infra.media.store import MediaStore
from infra.process import pauses
from infra.process.pauses import Pause
from infra.settings import Settings
from infra.wording import ago, counted
from projections import queue

ANSWER_S: Final = 2.0
SHOWN_TOGETHER: Final = timedelta(minutes=1)  # events that are no further apart on Kafka
STEP: Final = timedelta(milliseconds=1)  # Kafka's times are no finer

PARKED: LiteralString = """-- Which read models have set an event of this task aside?
SELECT DISTINCT k.projection FROM atelier_parked k JOIN atelier_projections p
       ON p.projection = k.projection AND p.generation = k.generation AND p.live
 WHERE k.aggregate_id = %s ORDER BY 1"""


class File(msgspec.Struct, frozen=True, kw_only=True):
    """A file that the log names; ``store`` is what the media store has of it."""

    key: str
    size: int
    store: str


class Told(msgspec.Struct, frozen=True, kw_only=True):
    """What a task waits for: a word for programs, and a sentence."""

    code: str
    told: str


class Around(msgspec.Struct, frozen=True, kw_only=True):
    """What there is around a task: its place, its lease, who could take it and what is in the way.

    ``seen`` is the position up to which the queue shows the log.
    """

    waiting: Waiting | None
    lease: Lease | None
    consumers: list[Live]
    paused: list[Pause]
    parked: list[str]
    seen: int
    media_trouble: str


def show(settings: Settings, given: argparse.Namespace) -> None:
    """Tell a task's whole story; what is personal stays sealed."""
    task = identifier(given.task, "TASK")
    events, state = _history(settings, task)
    media = MediaStore(settings) if settings.s3_url else None
    trouble = media.trouble(ANSWER_S) if media else "ATELIER_S3_URL is not set"
    around = _around(settings, task, trouble)
    why = list(waits_for(state, events[-1].id, around))
    files = [_file(each, None if trouble else media) for each in state.files]
    places, unknown = _places(settings, task, events)
    if given.json:
        document = _described(state, events, places) | {
            "waits_for": why,
            "waiting": around.waiting,
            "lease": around.lease,
            "files": files,
            "kafka": unknown or "answers",
            "media_store": trouble or "answers",
        }
        print(as_json(document))
        return
    lines.show_line(Text(f"task {task}", "bold"))
    lines.show_line(Text(f"  {_standing(state)}"))
    _section("waits for", [each.told for each in why])
    if around.lease:
        _section("lease", [_lease_told(around.lease)])
    _section("files", [f"{each.key}  {each.size:,} bytes, {each.store}" for each in files])
    _section(counted(len(events), "event"), [unknown] if unknown else [])
    for event in events:
        told = Text(f"{event.actor}  ", "dim").append(lines.told(event.state), "default not dim")
        lines.show(lines.head(event, places.get(event.id)), told)


def waits_for(state: Render, newest: int, around: Around) -> Iterator[Told]:
    """Everything that keeps a task from going on, what to mend first; its turn comes last."""
    if state.status not in ("pending", "started"):
        yield Told(code="ended", told=f"nothing: it has ended, it is {state.status}")
        return
    lease = around.lease
    if lease and lease.held:
        done = f"{lease.progress:.0%}"
        yield Told(code="rendered", told=f"its consumer {lease.consumer}, which has done {done}")
        return
    yield from _in_the_way(newest, around)
    if task := around.waiting:
        yield from _until_claimed(task, around)
    elif around.seen >= newest:
        yield Told(code="unknown", told="the queue does not have it: was its account erased?")


def _in_the_way(newest: int, around: Around) -> Iterator[Told]:
    for model in around.parked:
        told = f"read model {model}, which has parked it: see `atelier projections parked`"
        yield Told(code="parked", told=told)
    if around.seen < newest:
        told = (
            f"the projector: the queue shows the log up to position {around.seen:,}, not its"
            f" newest event at {newest:,}"
        )
        yield Told(code="projector", told=told)
    if not around.consumers:
        yield Told(code="no_consumer", told="a consumer: none is connected")
    if around.media_trouble:
        told = f"the media store, without which nothing is claimed: {around.media_trouble}"
        yield Told(code="media_store", told=told)


def _until_claimed(task: Waiting, around: Around) -> Iterator[Told]:
    for pause in around.paused:
        if pause.lane == task.lane:
            yield Told(code="paused", told=f"`atelier queue resume`: {pause.told}")
    if task.retry_at and task.backs_off:
        told = f"its backoff, to {clock(task.retry_at)} UTC; `atelier queue retry` cuts it short"
        yield Told(code="backoff", told=told)
    before = task.position - 1
    turn = f"its turn, after {counted(before, 'task')}" if before else "the next free consumer"
    yield Told(code="turn", told=f"{turn}: number {task.position:,}, in the {task.lane} lane")


def _history(settings: Settings, task: UUID) -> tuple[list[StoredRecord], Render]:
    with Access(settings) as access:
        events = list(reading.stored(access.log, Selection(aggregate=task)))
        mapper = access.mapper(decrypt=False)
        history = [mapper.readable(event, personal=False) for event in events]
    state = fold(render.evolve, render.initial, history)
    if state.status == "unknown":
        raise NotFound(f"there is no task {task}")
    return events, state


def _around(settings: Settings, task: UUID, media_trouble: str) -> Around:
    with opened(settings) as connection:
        found = common.waiting(
            connection, max_wait=settings.queue_max_wait, fair=settings.queue_fair, task=task
        )
        return Around(
            waiting=next(iter(found), None),
            lease=next((each for each in common.leases(connection) if each.task == task), None),
            consumers=common.live(connection),
            paused=pauses.paused(connection),
            parked=[model for (model,) in connection.execute(PARKED, [task])],
            seen=queue.standing(connection),
            media_trouble=media_trouble,
        )


def _file(named: render.MediaFile, media: MediaStore | None) -> File:
    found = "not looked for"
    if media:
        try:
            size = media.stat(named.key).size
            found = "there" if size == named.size else f"but the media store has {size:,}"
        except AtelierError as error:
            found = "missing" if isinstance(error, NotFound) else str(error)
    return File(key=named.key, size=named.size, store=found)


def _places(
    settings: Settings, task: UUID, events: Sequence[StoredRecord]
) -> tuple[dict[int, Place], str]:
    """Where the events lie on Kafka, and why that is not known."""
    if not settings.kafka_bootstrap:
        return {}, "offsets unknown: ATELIER_KAFKA_BOOTSTRAP is not set"
    places: dict[int, Place] = {}
    try:
        for first, last in _spans([event.recorded_at for event in events]):
            window = Window(begin=first - STEP, end=last + STEP)
            found = topic.read(settings, window, Selection(aggregate=task))
            places |= {event.id: place for event, place in found}
    except AtelierError as error:
        return places, f"offsets unknown: {getattr(error, 'reason', '') or error}"
    missing = [event for event in events if event.id not in places]
    return places, f"Kafka lacks {counted(len(missing), 'event')} of them" if missing else ""


def _spans(times: Sequence[datetime]) -> Iterator[tuple[datetime, datetime]]:
    """The same times in spans so short that what lies between is soon read."""
    breaks = [n for n, (a, b) in enumerate(itertools.pairwise(times), 1) if b - a > SHOWN_TOGETHER]
    for start, end in itertools.pairwise([0, *breaks, len(times)]):
        yield times[start], times[end - 1]


def _standing(state: Render) -> str:
    assert state.request is not None
    lane = "vip" if state.request.vip else "normal"
    told = f"{state.status}, {lane} lane, user {state.request.account_number}"
    attempt = f", attempt {state.attempt}, {state.spent} of {MAX_ATTEMPTS} spent"
    return told + (attempt if state.attempt else "")


def _section(name: str, told: Sequence[str]) -> None:
    if told or "event" in name:
        lines.show_line(Text(name, "bold"))
    for each in told:
        print(f"  {each}")


def _lease_told(lease: Lease) -> str:
    if lease.held:
        return f"{lease.consumer}, until {lines.moment(lease.expires_at)}"
    return f"{lease.consumer} held it, and left {ago(since(lease.expires_at))} ago"


def _described(
    state: Render, events: Sequence[StoredRecord], places: dict[int, Place]
) -> dict[str, Any]:
    assert state.request is not None
    listed = [
        lines.envelope(event)
        | {"state": lines.raw(event.state)}
        | {"kafka": places[event.id]._asdict() if event.id in places else None}
        for event in events
    ]
    return {
        "task": events[0].originator_id,
        "status": state.status,
        "lane": "vip" if state.request.vip else "normal",
        "user": state.request.account_number,
        "account": events[0].account,
        "attempt": state.attempt,
        "spent": state.spent,
        "events": listed,
    }
