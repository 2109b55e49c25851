"""The garment: one piece of the catalogue."""

import unicodedata
from typing import Final
from uuid import UUID, uuid5

import msgspec

from domain.events import Event
from domain.picture import ApparelDetails, RenderMode

# Makes the ids of all garments, so it is stored for ever.
NAMESPACE: Final = UUID("6d2f6a3e-5c0b-4f53-9a52-0f6e9b1f7c55")


class GarmentDetails(msgspec.Struct, frozen=True, kw_only=True):
    """A row of the catalogue; the colours and their hex codes are in the same order."""

    url: str
    brand: str
    gender: str
    name: str
    render_mode: RenderMode
    colors: tuple[str, ...]
    colors_hex: tuple[str, ...]
    sizes: tuple[str, ...]


def spelling(text: str) -> str:
    """The one spelling under which brands, names and URLs are found: trimmed, NFKC, casefolded."""
    return unicodedata.normalize("NFKC", text).strip().casefold()


def garment_id(brand: str, name: str) -> UUID:
    """Brand and name are a garment's identity, since a render asks for it by these two."""
    return uuid5(NAMESPACE, msgspec.json.encode([spelling(brand), spelling(name)]).decode())


# Events. Their stored names are stored for ever.


class GarmentListed(Event, frozen=True, kw_only=True):
    """The catalogue has a new garment."""

    stored_name = "garment.listed.v1"

    details: GarmentDetails


class GarmentRevised(Event, frozen=True, kw_only=True):
    """The catalogue tells something else of a garment; ``details`` is all of it, as it is now."""

    stored_name = "garment.revised.v1"

    details: GarmentDetails


EVENTS: tuple[type[Event], ...] = (GarmentListed, GarmentRevised)


# State.


class Garment(msgspec.Struct, frozen=True, kw_only=True):
    """A garment as its events have made it; ``details`` is None before it is listed."""

    details: GarmentDetails | None = None


initial = Garment()


def evolve(state: Garment, event: Event) -> Garment:
    """Apply one event to the garment."""
    match event:
        case GarmentListed() | GarmentRevised():
            return Garment(details=event.details)
        case _:
            return state


# What a render wears.


class WornGarment(msgspec.Struct, frozen=True, kw_only=True):
    """What the catalogue says of the garment that a render asked for; it is stored in events.

    ``color_hex`` is the chosen colour, or the garment's first when it does not come in that one.
    ``gender`` is whom it is made for, and ``sizes`` is what it comes in.
    """

    name: str
    color_hex: str
    color_known: bool
    size_known: bool
    size2_known: bool = True  # of events that are older than it, nothing is held against it
    gender: str = ""
    sizes: tuple[str, ...] = ()


def worn(garment: Garment, apparel: ApparelDetails) -> WornGarment | None:
    """The garment as the person wears it, or None when the catalogue has none of that name."""
    details = garment.details
    if details is None:
        return None
    codes = {spelling(c): h for c, h in zip(details.colors, details.colors_hex, strict=True)}
    color, sizes = spelling(apparel.color), {"", *map(spelling, details.sizes)}
    return WornGarment(
        name=details.name,
        color_hex="#" + codes.get(color, details.colors_hex[0]).removeprefix("#"),
        color_known=not color or color in codes,
        size_known=spelling(apparel.size) in sizes,
        size2_known=spelling(apparel.size2) in sizes,
        gender=details.gender,
        sizes=details.sizes,
    )
