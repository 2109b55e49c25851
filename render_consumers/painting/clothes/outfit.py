"""What somebody wears from head to foot: the garment that was asked for, and what goes with it."""

import msgspec

from render_consumers.painting.clothes import size_chart
from render_consumers.painting.clothes.kinds import Kind, Shape
from render_consumers.painting.clothes.labels import BOTTOMS
from render_consumers.painting.clothes.size_chart import Cut

MEDIUM = "M"
PLAIN = Shape()


class GarmentLook(msgspec.Struct, frozen=True):
    """What is known of the garment to draw; an empty text, or None, says nothing.

    ``colour`` is told by name or hex. ``size`` and ``size2`` are those of top and bottom, but a
    bottom that comes with one size has that. ``gender`` is whom it is made for, from 0, men, to 1,
    women, ``sizes`` what it comes in, and ``shape`` what its name says beside the kind.
    """

    colour: str = ""
    size: str = ""
    size2: str = ""
    kind: Kind | None = None
    shape: Shape = PLAIN
    gender: float | None = None
    sizes: tuple[str, ...] = ()


class Piece(msgspec.Struct, frozen=True):
    """A piece of an outfit; ``asked`` is whether its size was asked for, as ``field`` of a request.

    ``plain`` is what only goes with the garment. ``sizes`` is what it comes in, where that is told.
    """

    kind: Kind
    size: str
    gender: float
    field: str
    asked: bool
    plain: bool = False
    sizes: tuple[str, ...] = ()
    shape: Shape = PLAIN

    @property
    def cut(self) -> Cut:
        """Its finished measures."""
        plain = size_chart.cut(self.kind, self.size, self.gender)
        return size_chart.shaped(plain, self.shape, self.size, self.gender)


class Outfit(msgspec.Struct, frozen=True):
    """A top, and a bottom unless the top is a dress."""

    top: Piece
    bottom: Piece | None

    @property
    def pieces(self) -> tuple[Piece, ...]:
        """All of it, from above."""
        return (self.top,) if self.bottom is None else (self.top, self.bottom)


def outfit(look: GarmentLook, gender: float) -> Outfit:
    """A top gets plain trousers, a bottom a plain T-shirt, a dress nothing.

    ``gender`` is the wearer's. What goes with the garment has its size unless another was asked
    for; a garment of a kind that nothing tells is a T-shirt.
    """
    kind = look.kind or Kind.TSHIRT
    whose = gender if look.gender is None else look.gender
    if kind in BOTTOMS:
        alone = not look.size2.strip()
        bottom = _piece(look, kind, "size" if alone else "size2", whose)
        return Outfit(_companion(look, Kind.TSHIRT, "" if alone else "size", bottom), bottom)
    top = _piece(look, kind, "size", whose)
    if kind is Kind.DRESS:
        return Outfit(top, None)
    return Outfit(top, _companion(look, Kind.TROUSERS, "size2", top))


def _piece(look: GarmentLook, kind: Kind, field: str, gender: float) -> Piece:
    """The garment itself, in the nearest size that it comes in."""
    wanted = getattr(look, field).strip()
    size = _nearest(kind, wanted, gender, look.sizes) if wanted and look.sizes else wanted
    return Piece(
        kind, size or MEDIUM, gender, field, bool(wanted), sizes=look.sizes, shape=look.shape
    )


def _companion(look: GarmentLook, kind: Kind, field: str, garment: Piece) -> Piece:
    wanted = getattr(look, field).strip() if field else ""
    size = wanted or size_chart.letter(garment.kind, garment.size, garment.gender)
    return Piece(kind, size, garment.gender, field, bool(wanted), plain=True)


def _nearest(kind: Kind, size: str, gender: float, among: tuple[str, ...]) -> str:
    if size.casefold() in (each.strip().casefold() for each in among):
        return size
    place = size_chart.step(kind, size, gender)
    return min(among, key=lambda each: abs(size_chart.step(kind, each, gender) - place))
