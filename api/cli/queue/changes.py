"""`atelier queue retry`, `cancel`, `pause` and `resume`: what operators change."""

import argparse
import getpass
import os
import socket
from contextlib import AbstractContextManager
from uuid import UUID, uuid4

from api.cli import confirm
from api.cli.queue.common import opened
from commands import Command, Origin, Outcome, execute
from commands.render import CancelRender, RetryRender
from domain import render
from domain.errors import NotFound, TaskEnded
from domain.events import fold
from domain.render import Render
from infra.analysis.arguments import BadArgument, identifier
from infra.log.event_store import EventStore, store_for_a_while
from infra.process import pauses
from infra.process.pauses import LANES
from infra.settings import Settings


def retry(settings: Settings, given: argparse.Namespace) -> None:
    """Cut the backoff of a task short; raises `TaskEnded` for what has ended."""
    task = identifier(given.task, "TASK")
    with _store(settings) as store:
        account, state = _found(task, store)
        if state.status not in ("pending", "started"):
            raise TaskEnded(
                f"the task has ended: it is {state.status}, and a task ends once. Its user asks for"
                " a new one"
            )
        outcome = _carry_out(RetryRender(aggregate_id=task, account=account), store)
    if outcome.events:
        print("Its backoff is cut short: the next consumer that is free may claim it.")
    else:
        print(f"It does not back off: `atelier queue show {task}` tells what it waits for.")


def cancel(settings: Settings, given: argparse.Namespace) -> None:
    """Cancel somebody's task, after asking; raises `TaskEnded` for what has ended otherwise."""
    task = identifier(given.task, "TASK")
    with _store(settings) as store:
        account, state = _found(task, store)
        if not given.yes and state.status in ("pending", "started"):
            confirm.by_word(
                "cancel",
                (
                    f"Task {task} is {state.status}. It ends for good, as if its user had cancelled"
                    " it.",
                ),
                unattended="nobody is there to confirm it: give --yes to cancel without asking",
            )
        outcome = _carry_out(CancelRender(aggregate_id=task, account=account), store)
    if not outcome.events:
        print("It has been cancelled before; nothing has changed.")
    elif state.status == "started":
        print("Cancelled. Whoever renders it stops when it next renews its lease.")
    else:
        print("Cancelled.")


def pause(settings: Settings, given: argparse.Namespace) -> None:
    """Have consumers claim nothing more."""
    reason = " ".join(given.reason.split())
    if not reason:
        raise BadArgument("REASON is empty: others will read it when they wonder why nothing moves")
    lanes = _lanes(given)
    with opened(settings) as connection:
        new = pauses.pause(connection, lanes, by=_operator(), reason=reason)
    for lane in lanes:
        known = "Paused" if lane in new else "Paused before, and still"
        print(f"{known}: {lane}.")
    print("What is being rendered ends; `atelier queue resume` has consumers claim again.")


def resume(settings: Settings, given: argparse.Namespace) -> None:
    """Have consumers claim again."""
    lanes = _lanes(given)
    with opened(settings) as connection:
        resumed = pauses.resume(connection, lanes)
    for lane in lanes:
        print(f"{'Resumed' if lane in resumed else 'Not paused'}: {lane}.")


def _lanes(given: argparse.Namespace) -> tuple[str, ...]:
    return (given.lane,) if given.lane else LANES


def _found(task: UUID, store: EventStore) -> tuple[UUID | None, Render]:
    history = store.load(task)
    state = fold(render.evolve, render.initial, history)
    if state.status == "unknown":
        raise NotFound(f"there is no task {task}")
    return history[0].account, state


def _carry_out(command: Command, store: EventStore) -> Outcome:
    return execute(command, store, Origin(actor="operator", correlation_id=uuid4()))


def _store(settings: Settings) -> AbstractContextManager[EventStore]:
    settings.require("postgres_url", "master_key", "hash_key")
    return store_for_a_while(settings.postgres_url, settings.master_key, settings.hash_key)


def _operator() -> str:
    """Who calls the command, as far as the machine knows."""
    try:
        user = getpass.getuser()
    except (KeyError, OSError):  # a container may know no name for its user
        user = str(os.getuid())
    return f"{user}@{socket.gethostname()}"
