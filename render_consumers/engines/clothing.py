"""What a person wears, as far as the catalogue decides it."""

from domain.render import RenderRequested, VideoRequested
from render_consumers.painting.clothes.garment import GarmentLook

Dressed = RenderRequested | VideoRequested


def look(request: Dressed) -> GarmentLook:
    """The catalogue's colour and a size that it has; an unknown garment is plain, as asked for."""
    apparel, found = request.apparel_details, request.garment
    if found is None:
        return GarmentLook(colour=apparel.color, size=apparel.size)
    return GarmentLook(colour=found.color_hex, size=apparel.size if found.size_known else "")


def not_in_catalogue(request: Dressed) -> tuple[str, ...]:
    """What was asked for and the catalogue does not have, by the names of the fields."""
    apparel, found = request.apparel_details, request.garment
    if found is None:
        lacking = {"brand": bool(apparel.brand.strip()), "item_id": bool(apparel.item_id.strip())}
    else:
        lacking = {
            "color": not found.color_known,
            "size": not found.size_known,
            "size2": not found.size2_known,
        }
    return tuple(f"apparel_details.{name}" for name, lacks in lacking.items() if lacks)
