"""Whether clothes fit, told from their cut and the body's measurements alone."""

from collections.abc import Mapping
from typing import Final, NamedTuple

from msgspec.structs import replace

from domain.fit import GarmentFit, Girth, GirthFit, Verdict
from render_consumers.painting.clothes import labels, size_chart
from render_consumers.painting.clothes.kinds import Kind
from render_consumers.painting.clothes.outfit import Outfit, Piece
from render_consumers.painting.clothes.size_chart import Cut

# Our choice: how far the ease of a good fit may lie from what the kind is cut with, as a share of
# the body's girth. It covers a little more than half of the 8 cm between two sizes of EN 13402-3.
TORSO: Final = 0.06
LIMB: Final = 0.08  # arms and thighs vary more among people of one size
# How much of what the cloth gives under a hand's pull may be used up by wearing it.
STRETCHED: Final = 0.5
ROOMY: Final = 0.1  # with so much of the body's girth to spare nothing is tight
TIGHT_IS_WORSE: Final = 2.0  # how much rather a size is too loose than too tight
OPEN_COLLAR: Final = 5.0  # centimetres of ease from which a neckline is no collar


class _Place(NamedTuple):
    girth: Girth
    measurement: str  # of the body, by the contract's name
    tolerance: float
    decides: bool = False  # on the best size, even by being loose


# Of each measure of a cut, which girth of the body lies under it.
_PLACES: Final[dict[str, _Place]] = {
    "chest": _Place("bust", "Bust", TORSO, decides=True),
    "waist": _Place("waist", "Waist", TORSO),
    "hip": _Place("hips", "Hips", TORSO, decides=True),
    "hem": _Place("hips", "Hips", TORSO),
    "thigh": _Place("thigh", "Thigh Size", LIMB),
    "upper_arm": _Place("upper_arm", "Upper Arm Size", LIMB),
    "neck": _Place("neck", "Neck Thickness", TORSO),
}


def fit(outfit: Outfit, measured: Mapping[str, float]) -> tuple[GarmentFit, ...]:
    """How the garment fits, and what goes with it where its size was asked for too.

    ``measured`` is what the body measures in centimetres, under the contract's names.
    """
    pieces = {"top": outfit.top, "bottom": outfit.bottom}
    return tuple(
        GarmentFit(
            piece="top" if name == "top" else "bottom",
            kind=piece.kind,
            size=piece.size,
            best_size=best_size(piece, measured),
            girths=_girths(piece.cut, piece.gender, measured),
        )
        for name, piece in pieces.items()
        if piece and (piece.asked or not piece.plain)
    )


def best_size(piece: Piece, measured: Mapping[str, float]) -> str:
    """The size of those that the piece comes in that fits best, written as its own is."""
    women = piece.gender > 0.5
    offered = [s for s in piece.sizes if size_chart.known(piece.kind, s, piece.gender)]
    among = offered or labels.alternatives(piece.size, piece.kind, women=women)

    def badness(size: str) -> float:
        return _badness(replace(piece, size=size).cut, piece.gender, measured)

    return min(among, key=badness, default=piece.size)


def _girths(cut: Cut, gender: float, measured: Mapping[str, float]) -> tuple[GirthFit, ...]:
    return tuple(
        GirthFit(
            girth=place.girth,
            body=round(body, 1),
            garment=round(garment, 1),
            ease=round(garment - body, 1),
            strain=round(_strain(garment, body), 3),
            verdict=_verdict(cut, place, garment, body, meant),
        )
        for place, garment, body, meant in _compared(cut, gender, measured)
    )


def _compared(
    cut: Cut, gender: float, measured: Mapping[str, float]
) -> list[tuple[_Place, float, float, float]]:
    """Each place with the garment's girth, the body's, and the ease that it is meant to have."""
    meant = size_chart.ease(cut.kind, gender)
    return [
        (place, garment, measured[place.measurement], meant[name])
        for name, place in _PLACES.items()
        if (garment := getattr(cut, name)) is not None
        and place.measurement in measured
        and _touches(cut.kind, name, meant)
    ]


def _touches(kind: Kind, name: str, meant: Mapping[str, float]) -> bool:
    """Whether the body's girth lies under this measure of the garment at all."""
    if name == "hem":  # at the hips only where the piece ends there
        return "hip" not in meant and kind is not Kind.SPORTS_BRA
    return name != "neck" or meant[name] < OPEN_COLLAR


def _strain(garment: float, body: float) -> float:
    return max(0.0, body / garment - 1)


def _verdict(cut: Cut, place: _Place, garment: float, body: float, meant: float) -> Verdict:
    beyond = garment - body - meant
    allowed = _strain(body + meant, body) + STRETCHED * cut.material.around
    if _strain(garment, body) > allowed:
        return "tight"
    if beyond < -place.tolerance * body and not _roomy(garment, body):
        return "tight"
    return "loose" if beyond > place.tolerance * body else "good"


def _badness(cut: Cut, gender: float, measured: Mapping[str, float]) -> float:
    """How far a garment is from the fit that it is meant to have: 0 is perfect."""
    total = 0.0
    for place, garment, body, meant in _compared(cut, gender, measured):
        beyond = (garment - body - meant) / (place.tolerance * body)
        decides = place.decides or _hangs_from(cut, place)
        if beyond < 0 and (decides or not _roomy(garment, body)):
            total += TIGHT_IS_WORSE * beyond**2
        elif beyond > 0 and decides:
            total += beyond**2
    return total


def _roomy(garment: float, body: float) -> bool:
    return garment > (1 + ROOMY) * body


def _hangs_from(cut: Cut, place: _Place) -> bool:
    """Bottoms hang from the waist, so there looseness counts as well."""
    return place.girth == "waist" and cut.chest is None
