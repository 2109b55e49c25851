"""What may happen: every command, and how it is decided."""

from collections.abc import Callable, Sequence
from typing import Any

from commands import account, render
from commands.handling import Command, Handler, Origin, Outcome, handle
from commands.ports import EventStore
from domain import account as account_domain
from domain import render as render_domain
from domain.events import Event

__all__ = ["HANDLERS", "Command", "Origin", "Outcome", "carry_out"]


def _account(decide: Callable[[Any, Any], Sequence[Event]]) -> Handler:
    return Handler(decide, account_domain.evolve, account_domain.initial)


def _render(decide: Callable[[Any, Any], Sequence[Event]]) -> Handler:
    return Handler(decide, render_domain.evolve, render_domain.initial)


HANDLERS: dict[type[Command], Handler] = {
    account.RegisterAccount: _account(account.register),
    account.UpdateAccountInfo: _account(account.update_info),
    render.RequestRender: _render(render.request),
    render.StartRender: _render(render.start),
    render.RequeueRender: _render(render.requeue),
    render.FailAttempt: _render(render.fail_attempt),
    render.CompleteRender: _render(render.complete),
    render.RemoveFile: _render(render.remove_file),
}


def carry_out(command: Command, store: EventStore, origin: Origin) -> Outcome:
    """Carry a command out by its handler."""
    return handle(HANDLERS[type(command)], command, store, origin)
