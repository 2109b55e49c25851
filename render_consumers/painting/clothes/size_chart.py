"""What a garment of a kind and a size measures, in centimetres, whoever wears it.

Girths are those of the body that EN 13402-3 has a size for, and the ease of the kind. The figures
lie in ``cuts.toml``, which says which of them are the standard's and which are our choice.
"""

import tomllib
from bisect import bisect_right
from functools import cache, lru_cache
from pathlib import Path
from typing import Final

import msgspec

from render_consumers.painting.clothes import labels
from render_consumers.painting.clothes.kinds import Kind, Shape, Sleeves
from render_consumers.painting.clothes.labels import Label

FIGURES: Final = Path(__file__).with_name("cuts.toml")
DEFAULT: Final = Label("letter", steps=0.0)  # M

LONG: Final = 40.0  # centimetres from which sleeves are long
# Our choice: how much longer dresses and skirts of a name are than plain ones, which end at the
# knee, in centimetres.
LENGTHENED: Final = {
    Kind.DRESS: {"mini": -14.0, "midi": 17.0, "maxi": 42.0},
    Kind.SKIRT: {"mini": -18.0, "midi": 18.0, "maxi": 40.0},
}

Pair = tuple[float, float]  # men's and women's
Graded = tuple[Pair, Pair]  # of each, what an M measures and what each size adds


class Material(msgspec.Struct, frozen=True):
    """A cloth: how it gives, bends and weighs.

    ``around`` and ``along`` are the shares of its length that it gives under a hand's pull around
    and along the body, ``bending`` its rigidity in µN·m, ``thickness`` in metres, ``weight`` in
    kg/m².
    """

    name: str
    around: float
    along: float
    bending: float
    thickness: float
    weight: float


class Cut(msgspec.Struct, frozen=True, kw_only=True):
    """A finished piece, laid flat: full girths and lengths in centimetres.

    None where the kind has no such measure. ``length`` runs from the highest point of the shoulder,
    of bottoms from the top of the waistband; ``shoulder`` from seam to seam across the back;
    ``sleeve`` from the shoulder's seam; ``rise`` from the waistband's top straight down to the
    crotch, from where ``inseam`` goes on; ``thigh`` is taken at the crotch.
    """

    kind: Kind
    material: Material
    length: float
    chest: float | None = None
    waist: float | None = None
    hip: float | None = None
    hem: float | None = None
    shoulder: float | None = None
    sleeve: float | None = None
    upper_arm: float | None = None
    cuff: float | None = None
    neck: float | None = None
    rise: float | None = None
    inseam: float | None = None
    thigh: float | None = None
    leg_hem: float | None = None


class _Body(msgspec.Struct, frozen=True):
    """Girths of the bodies that the letters are for, in the order of the letters."""

    chest: tuple[float, ...]
    underbust: tuple[float, ...]
    waist: tuple[float, ...]
    hip: tuple[float, ...]
    upper_arm: tuple[float, ...]
    neck: tuple[float, ...]
    thigh: tuple[float, ...]


class _Pattern(msgspec.Struct, frozen=True):
    material: str
    ease: dict[str, Pair]
    hem_at: str = "hip"
    length: Graded | None = None
    shoulder: Graded | None = None
    sleeve: Graded | None = None
    cuff: Graded | None = None
    rise: Graded | None = None
    inseam: Graded | None = None
    leg_hem: Graded | None = None


class _Figures(msgspec.Struct, frozen=True):
    body: dict[str, _Body]
    materials: dict[str, dict[str, float]]
    kinds: dict[Kind, _Pattern]


def sizes(kind: Kind, gender: float) -> tuple[str, ...]:
    """The letters that a garment of this kind comes in, the smallest first."""
    return labels.LETTERS


def known(kind: Kind, size: str, gender: float) -> bool:
    """Whether the chart has exactly this size; any other is cut as the nearest that it has."""
    found = labels.read(size, kind, women=gender > 0.5)
    return found is not None and found.exact


def step(kind: Kind, size: str, gender: float) -> float:
    """How many letters a size lies away from M; a size of which nothing is known is an M."""
    men, women = (_step(kind, size, women=side) for side in (False, True))
    return men + gender * (women - men)


def letter(kind: Kind, size: str, gender: float) -> str:
    """The letter that is nearest to a size."""
    return labels.LETTERS[round(step(kind, size, gender) - labels.SMALLEST)]


def ease(kind: Kind, gender: float) -> dict[str, float]:
    """What each girth of the kind is meant to have over the body's, in centimetres."""
    pairs = _figures().kinds[kind].ease
    return {name: men + gender * (women - men) for name, (men, women) in pairs.items()}


@lru_cache(maxsize=1024)
def cut(kind: Kind, size: str, gender: float) -> Cut:
    """The finished measures; ``gender`` from 0 (men's) to 1 (women's), in between a mixture.

    A size of which nothing is known is cut as an M.
    """
    men, women = (_measures(kind, size, women=side) for side in (False, True))
    mixed = {name: men[name] + gender * (women[name] - men[name]) for name in men}
    return Cut(kind=kind, material=material(_figures().kinds[kind].material), **mixed)


def shaped(plain: Cut, shape: Shape, size: str, gender: float) -> Cut:
    """The same piece with other sleeves, or another length, where its kind has any."""
    found = plain
    if plain.sleeve is not None and shape.sleeves:
        found = msgspec.structs.replace(found, **_sleeves(plain, shape.sleeves, size, gender))
    if plain.kind in LENGTHENED and shape.length:
        found = _as_long(found, LENGTHENED[plain.kind][shape.length])
    return found


def _sleeves(plain: Cut, sleeves: Sleeves, size: str, gender: float) -> dict[str, float | None]:
    """Those of T-shirts, short or long, unless the piece has such sleeves itself."""
    if sleeves == "none":
        return {"sleeve": None, "cuff": None, "upper_arm": None}
    other = cut(Kind.TSHIRT if sleeves == "short" else Kind.LONG_SLEEVE, size, gender)
    if (_told(plain.sleeve) < LONG) == (_told(other.sleeve) < LONG):
        return {}
    return {"sleeve": other.sleeve, "cuff": min(_told(other.cuff), _told(plain.upper_arm))}


def _as_long(piece: Cut, longer: float) -> Cut:
    """The hem widens with the length, as the cloth falls from the hips."""
    length, hip = piece.length + longer, _told(piece.hip)
    hem = hip + (_told(piece.hem) - hip) * length / piece.length
    return msgspec.structs.replace(piece, length=length, hem=hem)


def _told(measure: float | None) -> float:
    """A measure that the kind has."""
    assert measure is not None
    return measure


def material(name: str) -> Material:
    """A cloth by its name in ``cuts.toml``."""
    return Material(name, **_figures().materials[name])


@cache
def _figures() -> _Figures:
    table = tomllib.loads(FIGURES.read_text("utf-8"))
    return msgspec.convert(table, _Figures)


def _measures(kind: Kind, size: str, *, women: bool) -> dict[str, float]:
    pattern, body = _figures().kinds[kind], _body(women=women)
    label = labels.read(size, kind, women=women) or DEFAULT
    steps, found = _step(kind, size, women=women), dict[str, float]()
    for name, ease in pattern.ease.items():
        girth = getattr(body, pattern.hem_at if name == "hem" else name)
        found[name] = _at(girth, steps) + ease[women]
    for name in ("length", "shoulder", "sleeve", "cuff", "rise", "inseam", "leg_hem"):
        if graded := getattr(pattern, name):
            medium, step = graded[women]
            found[name] = medium + step * steps
    if label.inseam and kind in labels.LONG_LEGS:
        found["inseam"] = label.inseam
    if "rise" in found:
        found["length"] = found["rise"] + found["inseam"]
    return found


def _body(*, women: bool) -> _Body:
    return _figures().body["women" if women else "men"]


def _step(kind: Kind, size: str, *, women: bool) -> float:
    label, body = labels.read(size, kind, women=women) or DEFAULT, _body(women=women)
    if label.steps is not None:
        return label.steps
    if label.chest is not None:
        return _step_of(body.chest, label.chest)
    assert label.waist is not None
    return _step_of(body.waist, label.waist)


def _at(girths: tuple[float, ...], steps: float) -> float:
    """The girth so many letters away from M."""
    place = steps - labels.SMALLEST
    before = min(int(place), len(girths) - 2)
    return girths[before] + (place - before) * (girths[before + 1] - girths[before])


def _step_of(girths: tuple[float, ...], girth: float) -> float:
    """Where a girth lies on the chart, in letters away from M, kept to its ends."""
    near = min(max(girth, girths[0]), girths[-1])
    before = min(bisect_right(girths, near), len(girths) - 1) - 1
    share = (near - girths[before]) / (girths[before + 1] - girths[before])
    return labels.SMALLEST + before + share
