"""Every stored event type that this build knows, by its stored name."""

from domain import account, garment, render
from domain.events import Event

CATALOGUE: dict[str, type[Event]] = {
    event.stored_name: event for event in (*account.EVENTS, *render.EVENTS, *garment.EVENTS)
}
