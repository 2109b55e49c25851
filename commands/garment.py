"""What may happen to a garment."""

from commands.handling import Command
from domain.events import Event
from domain.garment import Garment, GarmentDetails, GarmentListed, GarmentRevised


class ListGarment(Command, frozen=True, kw_only=True):
    """Have the catalogue show a garment like this."""

    details: GarmentDetails


def list_garment(command: ListGarment, state: Garment) -> list[Event]:
    """A garment is listed once; later only what differs is an event."""
    if state.details is None:
        return [GarmentListed(details=command.details)]
    if state.details == command.details:
        return []
    return [GarmentRevised(details=command.details)]
