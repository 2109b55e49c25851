"""The consumer: claims the first task in the queue, renders it, publishes it, and looks again."""

import contextlib
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import NamedTuple, Protocol, TypeVar
from uuid import UUID, uuid4

import structlog

from commands import Command, Origin, Outcome, execute
from commands.ports import EventStore
from commands.render import CancelRender, CompleteRender, FailAttempt, RequeueRender, StartRender
from domain import render
from domain.errors import (
    AccountErased,
    HistoryReplaced,
    NotClaimable,
    StaleAttempt,
    TaskEnded,
    Unavailable,
)
from domain.events import fold
from domain.render import FailureCode, RenderStarted, Requested
from infra.process.metrics import RENDER
from render_consumers.engines.job import (
    Awaited,
    CannotBeMade,
    DeviceLost,
    Job,
    OutOfMemory,
    Product,
    Result,
)
from render_consumers.loop.leases import Heartbeat, Leased, Leases
from render_consumers.painting.painter import Stopped

log = structlog.get_logger("atelier.render")

RETRY_S = 1.0
MOST_BACKOFF_S = 60.0
DRAWN = 0.97  # the share of the work that is done when only the files are left to upload

T = TypeVar("T")


class Media(Protocol):
    """The store that the files go to."""

    def ensure_bucket(self) -> None:
        """Make the bucket unless it is there."""

    def put(self, key: str, data: bytes, content_type: str) -> None:
        """Store an object."""

    def copy(self, source: str, target: str) -> None:
        """Copy one object over another."""

    def delete(self, key: str) -> None:
        """Remove an object; it may be gone already."""

    def reachable(self, timeout: float) -> bool:
        """Whether the store answers."""


class Engine(Protocol):
    """Whatever can turn requests into files."""

    def render(self, jobs: Sequence[Job]) -> Iterator[tuple[Job, Result | Exception]]:
        """Each job with its files, or with what ended it alone, in the order in which they end.

        They begin together. A job that is told to stop ends with `Stopped`; one that ends with
        `OutOfMemory` may do better among fewer.
        """


class Claim(NamedTuple):
    """A task that is ours for as long as we keep its lease, as it was when we started it."""

    task: UUID
    account: UUID
    correlation_id: UUID
    started: Outcome

    @property
    def attempt(self) -> int:
        """How many-th claim of the task it is."""
        return int(self.started.state.attempt)

    @property
    def request(self) -> Requested:
        """What was asked for."""
        request: Requested = self.started.state.request
        return request


class _Attempt(NamedTuple):
    """A claim that is worked on, since when, among how many; and whether its files are uploaded."""

    claim: Claim
    heartbeat: Heartbeat
    began: float
    together: int
    uploaded: threading.Event


class Consumer:
    """One consumer with a name that no other process has, which renders up to `batch` at once.

    While the last of a batch is published the next is claimed, but not before the files are up: so
    what is claimed begins at once. Nor is anything rendered meanwhile: it might end the process.
    """

    def __init__(
        self,
        name: str,
        store: EventStore,
        leases: Leases,
        media: Media,
        engine: Engine,
        batch: int,
    ) -> None:
        self._name = name
        self._store = store
        self._leases = leases
        self._media = media
        self._engine = engine
        self._batch = batch
        self._held: dict[UUID, Claim] = {}
        self._publisher = ThreadPoolExecutor(1, "publisher")

    def work_through(self, stop: threading.Event) -> None:
        """Render batch after batch until the queue is empty or `stop` is set.

        Raises `Unavailable` when Postgres or the media store does not answer, `HistoryReplaced`
        when the log is another one now, and `DeviceLost` when nothing can be drawn here any more.
        """
        last: Future[None] | None = None
        while not stop.is_set():
            try:
                self._media.ensure_bucket()  # or raise: a task is claimed only where it can end
                claims = self._claims(stop)
            finally:
                before, last = last, None
                if before:
                    before.result()
            if claims:
                last = self._work(claims, stop)
            elif not before:
                return
        if last:
            last.result()

    def hand_back(self) -> None:
        """Give back what is at hand, from another thread, when its engine does not stop in time."""
        stopped = threading.Event()
        stopped.set()
        for claim in list(self._held.values()):
            self._give_back(claim, "stopped", 0, stopped)

    def _claims(self, stop: threading.Event) -> list[Claim]:
        """Up to a batch of tasks, each the first of the queue at the moment of its claim.

        All of them begin when the last is claimed: so nobody waits for what has not begun.
        """
        claims: list[Claim] = []
        try:
            while len(claims) < self._batch and not stop.is_set():
                leased = self._leases.claim()
                if leased is None:
                    break
                claim = self._started(leased)
                if claim is not None and self._can_be_drawn(claim, stop):
                    claims.append(claim)
        except Unavailable:
            if not claims:
                raise
        return claims

    def _can_be_drawn(self, claim: Claim, stop: threading.Event) -> bool:
        if any(getattr(claim.request, field) is None for field in claim.request.personal):
            self._give_up(claim, stop)  # nothing is left of the person
            return False
        self._held[claim.task] = claim
        return True

    def _started(self, leased: Leased) -> Claim | None:
        correlation_id = uuid4()
        command = StartRender(aggregate_id=leased.task, account=leased.account, consumer=self._name)
        try:
            outcome = self._carry_out(command, correlation_id)
        except NotClaimable:
            return None  # the queue is behind the log: the lease stays, so that it is passed by
        except Unavailable:
            self._release(leased.task)
            raise
        if not isinstance(outcome.events[0], RenderStarted):
            log.warning("task failed", task=str(leased.task), why="attempts_exhausted")
            return None
        return Claim(leased.task, leased.account, correlation_id, outcome)

    def _work(self, claims: list[Claim], stop: threading.Event) -> "Future[None]":
        """Render a batch. What comes of the last one may still be on its way out."""
        lost = None
        begun = {claim.task: self._begun(claim, len(claims)) for claim in claims}
        try:
            for job, made in self._engine.render([_job(each, stop) for each in begun.values()]):
                attempt = begun.pop(job.task)
                settled = self._publisher.submit(self._settle, attempt, made, stop)
                lost = made if isinstance(made, DeviceLost) else lost
                if begun or lost:
                    settled.result()
        finally:
            for left in begun.values():
                left.heartbeat.stop()
        if lost is not None:
            raise lost
        attempt.uploaded.wait()
        return settled

    def _begun(self, claim: Claim, together: int) -> _Attempt:
        heartbeat = Heartbeat(self._leases, claim.task)
        heartbeat.start()
        return _Attempt(claim, heartbeat, time.monotonic(), together, threading.Event())

    def _settle(self, attempt: _Attempt, made: Result | Exception, stop: threading.Event) -> None:
        """Publish what came of an attempt, or report why nothing did."""
        claim = attempt.claim
        try:
            outcome = self._ended(attempt, made, stop)
        finally:
            attempt.uploaded.set()
            attempt.heartbeat.stop()
            self._held.pop(claim.task, None)
        seconds = time.monotonic() - attempt.began
        RENDER.labels(outcome).observe(seconds)
        if outcome == "rendered":
            task = str(claim.task)
            log.info("rendered", task=task, attempt=claim.attempt, seconds=round(seconds, 2))

    def _ended(self, attempt: _Attempt, made: Result | Exception, stop: threading.Event) -> str:
        """Publish, or report why not; tells in a word how it ended."""
        claim = attempt.claim
        try:
            if isinstance(made, Exception):
                raise made
            attempt.heartbeat.tell("uploading", DRAWN)
            self._upload(claim, made)
            attempt.uploaded.set()
            try:
                self._insist(lambda: self._publish(claim, made), stop)
            except (StaleAttempt, AccountErased):
                self._tidy(claim, made)
                raise
            self._tidy(claim, made)
            return "rendered"
        except Stopped:
            self._give_back(claim, "stopped", 0, stop)
            return "stopped"
        except Awaited as error:
            self._give_back(claim, "engine_awaited", error.seconds, stop)
            return "awaited"
        except StaleAttempt:
            log.warning("attempt is stale", task=str(claim.task), attempt=claim.attempt)
            return "stale"
        except AccountErased:
            self._give_up(claim, stop)
            return "erased"
        except Unavailable:
            backoff = min(2.0**claim.attempt, MOST_BACKOFF_S)
            self._give_back(claim, "media_store_unavailable", backoff, stop)
            return "unavailable"
        except HistoryReplaced:
            raise
        except Exception as error:
            return self._failed(attempt, error, stop)

    def _failed(self, attempt: _Attempt, error: Exception, stop: threading.Event) -> str:
        """Report what went wrong over the task itself."""
        claim = attempt.claim
        match error:
            case OutOfMemory():
                self._make_room(attempt, error, stop)
                return "out_of_memory"
            case CannotBeMade():
                log.info("cannot be made", task=str(claim.task), why=error.code)
                self._fail(claim, stop, error.code, str(error), final=True)
            case _:
                log.error(
                    "attempt failed", task=str(claim.task), attempt=claim.attempt, exc_info=error
                )
                self._fail(claim, stop, "render_error", "the task could not be rendered")
        return "failed"

    def _make_room(self, attempt: _Attempt, error: OutOfMemory, stop: threading.Event) -> None:
        """Have fewer tasks drawn at once from now on; a task that was alone is at fault itself."""
        if attempt.together == 1:
            self._fail(attempt.claim, stop, "render_error", str(error))
            return
        self._batch = max(1, attempt.together // 2)
        log.warning("out of memory", together=attempt.together, from_now_on=self._batch)
        self._give_back(attempt.claim, "out_of_memory", 0, stop)

    def _upload(self, claim: Claim, result: Result) -> None:
        for product in result.products:
            self._media.put(_staged(claim, product), product.data, product.file.content_type)

    def _publish(self, claim: Claim, result: Result) -> None:
        if not self._leases.renew(claim.task):
            raise StaleAttempt("the task has been taken over")
        for product in result.products:
            self._media.copy(_staged(claim, product), product.file.key)
        command = CompleteRender(
            aggregate_id=claim.task,
            account=claim.account,
            attempt=claim.attempt,
            engine=result.engine,
            files=tuple(product.file for product in result.products),
            ignored=result.ignored,
            measured=result.measured,
            fit=result.fit,
            silhouette=result.silhouette,
        )
        try:
            self._carry_out(command, claim.correlation_id, claim.started)
        except AccountErased:
            self._unpublish(result, set())
            raise
        except StaleAttempt:
            history = self._store.load(claim.task)
            state = fold(render.evolve, render.initial, history)
            if state.status not in ("pending", "started"):  # else the next attempt copies over them
                self._unpublish(result, {file.key for file in state.files})
            raise

    def _unpublish(self, result: Result, named: set[str]) -> None:
        """Take back what was copied too late: all but what another attempt's event names."""
        for product in result.products:
            if product.file.key not in named:
                self._media.delete(product.file.key)

    def _tidy(self, claim: Claim, result: Result) -> None:
        with contextlib.suppress(Unavailable):  # what stays in staging is swept later
            for product in result.products:
                self._media.delete(_staged(claim, product))

    def _give_back(
        self, claim: Claim, reason: str, retry_after: float, stop: threading.Event
    ) -> None:
        log.info("task given back", task=str(claim.task), why=reason)
        command = RequeueRender(
            aggregate_id=claim.task,
            account=claim.account,
            attempt=claim.attempt,
            reason=reason,
            retry_after_seconds=retry_after,
        )
        self._report(command, claim, stop)

    def _give_up(self, claim: Claim, stop: threading.Event) -> None:
        log.info("task given up", task=str(claim.task), why="account_erased")
        self._report(CancelRender(aggregate_id=claim.task, account=claim.account), claim, stop)

    def _fail(
        self,
        claim: Claim,
        stop: threading.Event,
        code: FailureCode,
        message: str,
        *,
        final: bool = False,
    ) -> None:
        command = FailAttempt(
            aggregate_id=claim.task,
            account=claim.account,
            attempt=claim.attempt,
            code=code,
            message=message,
            final=final,
        )
        self._report(command, claim, stop)

    def _report(self, command: Command, claim: Claim, stop: threading.Event) -> None:
        """Report an end; a task that goes on without us is let go of, one that has ended is not.

        Nobody else shall try it before the queue knows.
        """
        try:
            outcome = self._insist(lambda: self._carry_out(command, claim.correlation_id), stop)
        except (StaleAttempt, TaskEnded):
            log.warning("attempt is stale", task=str(claim.task), attempt=claim.attempt)
        except Unavailable:
            log.warning("not given back: the lease will run out", task=str(claim.task))
        else:
            if outcome.state.status == "pending":
                self._release(claim.task)

    def _insist(self, act: Callable[[], T], stop: threading.Event) -> T:
        """Act until Postgres answers: a result must not be lost because it was away."""
        while True:
            try:
                return act()
            except Unavailable:
                if stop.wait(RETRY_S) or not self._media.reachable(RETRY_S):
                    raise

    def _release(self, task: UUID) -> None:
        try:
            self._leases.release(task)
        except Unavailable:
            log.info("lease left to run out", task=str(task))

    def _carry_out(
        self, command: Command, correlation_id: UUID, known: Outcome | None = None
    ) -> Outcome:
        origin = Origin(actor=f"consumer:{self._name}", correlation_id=correlation_id)
        return execute(command, self._store, origin, known=known)


def _staged(claim: Claim, product: Product) -> str:
    return f"staging/{claim.task}/{claim.attempt}/{product.file.name}"


def _job(attempt: _Attempt, stop: threading.Event) -> Job:
    claim, heartbeat = attempt.claim, attempt.heartbeat
    return Job(
        claim.task,
        claim.request,
        lambda: stop.is_set() or not heartbeat.beats,
        heartbeat.tell,
    )
