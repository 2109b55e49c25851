"""Every stored event type that this build knows, by its stored name, and what each folds into."""

from collections.abc import Callable
from typing import Any, NamedTuple

from domain import account, garment, render
from domain.events import Event

CATALOGUE: dict[str, type[Event]] = {
    event.stored_name: event for event in (*account.EVENTS, *render.EVENTS, *garment.EVENTS)
}


class Aggregate(NamedTuple):
    """What a history folds into."""

    initial: Any
    evolve: Callable[[Any, Event], Any]


# By the first word of their events' stored names.
AGGREGATES: dict[str, Aggregate] = {
    "account": Aggregate(account.initial, account.evolve),
    "render": Aggregate(render.initial, render.evolve),
    "garment": Aggregate(garment.initial, garment.evolve),
}
