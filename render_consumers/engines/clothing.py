"""What a person wears, as far as the catalogue decides it."""

from typing import Final

from domain import vocabulary
from domain.render import RenderRequested, VideoRequested
from render_consumers.painting.clothes.kinds import kind_of, shape_of
from render_consumers.painting.clothes.outfit import GarmentLook

# Whom a catalogue says that a garment is for; for anybody else it is cut as for its wearer.
WHOSE: Final = vocabulary.GENDERS | {
    **dict.fromkeys(("men", "mens", "men's", "herren", "homme", "hombre", "uomo"), 0.0),
    **dict.fromkeys(("women", "womens", "women's", "damen", "femme", "mujer", "donna"), 1.0),
}

Dressed = RenderRequested | VideoRequested


def look(request: Dressed) -> GarmentLook:
    """The catalogue's name, colour and sizes; an unknown garment is plain, as asked for."""
    apparel, found = request.apparel_details, request.garment
    if found is None:
        return GarmentLook(
            colour=apparel.color,
            size=apparel.size,
            size2=apparel.size2,
            kind=kind_of(apparel.item_id),
            shape=shape_of(apparel.item_id),
        )
    return GarmentLook(
        colour=found.color_hex,
        size=apparel.size if found.size_known or found.sizes else "",
        size2=apparel.size2 if found.size2_known or found.sizes else "",
        kind=kind_of(found.name),
        shape=shape_of(found.name),
        gender=WHOSE.get(found.gender.strip().lower()),
        sizes=found.sizes,
    )


def not_drawn(request: Dressed) -> tuple[str, ...]:
    """What was asked for and is not drawn as asked, by the names of the fields.

    The catalogue lacks it, or nothing in the garment's name tells what kind of garment it is.
    """
    apparel, found = request.apparel_details, request.garment
    lacking = {
        "brand": found is None and bool(apparel.brand.strip()),
        "item_id": bool(apparel.item_id.strip()) and look(request).kind is None,
        "color": found is not None and not found.color_known,
        "size": found is not None and not found.size_known,
        "size2": found is not None and not found.size2_known,
    }
    return tuple(f"apparel_details.{name}" for name, lacks in lacking.items() if lacks)
