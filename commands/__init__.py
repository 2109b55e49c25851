"""What may happen: every command, and how it is decided."""

from collections.abc import Callable, Sequence
from typing import Any

from commands import account, garment, render
from commands.handling import (
    BlockingStore,
    Command,
    Handler,
    Origin,
    Outcome,
    Outcomes,
    handle,
    handle_all,
    preview_all,
    run_sync,
)
from commands.ports import AsyncEventStore, BulkStore, EventStore
from domain import account as account_domain
from domain import garment as garment_domain
from domain import render as render_domain
from domain.events import Event

__all__ = [
    "HANDLERS",
    "Command",
    "Origin",
    "Outcome",
    "Outcomes",
    "execute",
    "execute_all",
    "execute_async",
    "preview",
]


def _account(decide: Callable[[Any, Any], Sequence[Event]]) -> Handler:
    return Handler(decide, account_domain.evolve, account_domain.initial)


def _render(decide: Callable[[Any, Any], Sequence[Event]]) -> Handler:
    return Handler(decide, render_domain.evolve, render_domain.initial)


def _garment(decide: Callable[[Any, Any], Sequence[Event]]) -> Handler:
    return Handler(decide, garment_domain.evolve, garment_domain.initial)


HANDLERS: dict[type[Command], Handler] = {
    account.RegisterAccount: _account(account.register),
    account.UpdateAccountInfo: _account(account.update_info),
    account.UpdateAccountDetails: _account(account.update_details),
    account.UploadAvatar: _account(account.upload_avatar),
    account.GrantVip: _account(account.grant_vip),
    account.WithdrawVip: _account(account.withdraw_vip),
    account.EraseAccount: _account(account.erase),
    **dict.fromkeys(render.REQUESTS, _render(render.request)),
    render.StartRender: _render(render.start),
    render.RequeueRender: _render(render.requeue),
    render.RetryRender: _render(render.retry),
    render.FailAttempt: _render(render.fail_attempt),
    render.CompleteRender: _render(render.complete),
    render.CancelRender: _render(render.cancel),
    render.RemoveFile: _render(render.remove_file),
    garment.ListGarment: _garment(garment.list_garment),
}


def execute(
    command: Command, store: EventStore, origin: Origin, *, known: Outcome | None = None
) -> Outcome:
    """Carry a command out by its handler; `known` is how its aggregate was last seen."""
    return run_sync(execute_async(command, BlockingStore(store), origin, known=known))


async def execute_async(
    command: Command, store: AsyncEventStore, origin: Origin, *, known: Outcome | None = None
) -> Outcome:
    """The same in an event loop."""
    return await handle(HANDLERS[type(command)], command, store, origin, known=known)


def execute_all(commands: Sequence[Command], store: BulkStore, origin: Origin) -> Outcomes:
    """Carry out commands of one type to different aggregates, all of them or none."""
    return handle_all(HANDLERS[type(commands[0])], commands, store, origin)


def preview(commands: Sequence[Command], store: BulkStore) -> list[tuple[Event, ...]]:
    """What `execute_all` would append, for each command."""
    return preview_all(HANDLERS[type(commands[0])], commands, store)
