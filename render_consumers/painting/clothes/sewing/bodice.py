"""Drafts what hangs from the shoulders: front, back and sleeves, in the centimetres of a cut.

The origin is the highest point of the shoulder's height over the middle of the body. The neckline
is as long as the cut has it, the armhole as deep as tailors draft it for the chest, and the
sleeve's head as high as makes it fit the armhole.
"""

import msgspec
import numpy as np

from render_consumers.painting.clothes.kinds import Kind
from render_consumers.painting.clothes.sewing.pattern import (
    Curve,
    Floats,
    Panel,
    Pattern,
    Stitch,
    bezier,
    eased,
    even,
    joined,
    length,
    line,
    mirrored,
    patch,
    steps,
)
from render_consumers.painting.clothes.size_chart import Cut

EDGE = 1.6  # centimetres of an edge of the mesh
SLOPE = 0.30  # by which a shoulder falls
WAIST, HIP = 18.0, 37.0  # centimetres of them below the armhole
SHORT = 35.0  # centimetres up to which a sleeve has no cuff
UNDERARM = 3.5  # centimetres that a sleeve's seam has at least
ROUND = 0.38 * np.pi  # of an ellipse: a neckline does not meet the shoulder upright
RIB_GATHERS = 1.14  # how much wider cloth is than the rib that it is sewn to


class Style(msgspec.Struct, frozen=True):
    """What tells the kinds of bodices apart: how deep the neck is cut, in shares of its half width,
    front and back; where ribs are, in centimetres; how far tails are cut up at the sides.
    """

    neck: tuple[float, float] = (1.05, 0.25)
    hem_rib: float = 0.0
    cuff_rib: float = 0.0
    tails: float = 0.0
    straps: float = 0.0  # how much further in than a sleeve's an armhole is cut


STYLES = {
    Kind.TSHIRT: Style(),
    Kind.LONG_SLEEVE: Style(),
    Kind.SHIRT: Style(neck=(0.95, 0.2), tails=4.0, cuff_rib=6.0),
    Kind.POLO: Style(neck=(0.95, 0.2)),
    Kind.HOODIE: Style(neck=(1.1, 0.25), hem_rib=6.0, cuff_rib=6.0),
    Kind.JACKET: Style(neck=(1.0, 0.2), hem_rib=5.0, cuff_rib=5.0),
    Kind.SWEATER: Style(neck=(1.0, 0.22), hem_rib=6.0, cuff_rib=6.0),
    Kind.TANK_TOP: Style(neck=(1.5, 0.8), straps=2.0),
    Kind.SPORTS_BRA: Style(neck=(1.5, 1.2), straps=1.0),
    Kind.DRESS: Style(neck=(1.2, 0.5)),
}


class Bodice(msgspec.Struct, frozen=True):
    """The numbers that front, back and sleeves share."""

    cut: Cut
    style: Style
    neck: float  # half the neckline's width
    armhole: float  # depth below the origin
    columns: int
    shoulder_columns: int
    side_rows: int
    armhole_rows: int

    @property
    def tip(self) -> tuple[float, float]:
        """The end of the shoulder's seam."""
        half = _need(self.cut.shoulder) / 2
        return half, -SLOPE * (half - self.neck)


def bodice(cut: Cut) -> Pattern:
    drafted = _drafted(cut)
    panels = [
        Panel("front", _body(drafted, drafted.style.neck[0]), turn=drafted.side_rows),
        Panel("back", _body(drafted, drafted.style.neck[1]), behind=True),
    ]
    seams = _body_seams(drafted)
    if cut.sleeve is not None:
        sleeve = _sleeve(drafted)
        panels += [
            Panel("left sleeve", sleeve),
            Panel("right sleeve", mirrored(sleeve)),
        ]
        seams += _sleeve_seams(drafted, len(sleeve) - 1)
    return Pattern(tuple(panels), tuple(seams))


def shoulder_columns(cut: Cut) -> int:
    """How many columns of front and back end in each shoulder's seam."""
    return _drafted(cut).shoulder_columns


def _drafted(cut: Cut) -> Bodice:
    style = STYLES[cut.kind]
    front, back = (length(_neckline(1.0, drop)) for drop in style.neck)
    neck = _need(cut.neck) / (2 * (front + back))
    depth = 0.10 * _need(cut.chest) + 12.5 + 0.5 * style.straps
    rough = Bodice(cut, style, neck, depth, 0, 0, 0, 0)
    columns = steps(_need(cut.chest) / 2, EDGE)
    shoulder = np.hypot(rough.tip[0] - neck, rough.tip[1])
    share = shoulder / (2 * shoulder + neck * (front + back))
    return msgspec.structs.replace(
        rough,
        columns=columns,
        shoulder_columns=steps(share * columns, 1.0),
        side_rows=steps(length(_side(rough)), EDGE),
        armhole_rows=steps(length(_armhole(rough)), EDGE),
    )


def _body(drafted: Bodice, drop: float) -> Floats:
    """Front or back: from the hem up to shoulders and neckline."""
    right_of, rows = drafted.shoulder_columns, drafted.side_rows
    side = joined(_even_rows(drafted), even(_armhole(drafted), drafted.armhole_rows))
    neckline = _neckline(drafted.neck, drop)
    shoulder = line((drafted.neck, 0), drafted.tip, right_of)
    around = even(joined(_flip(neckline), neckline), drafted.columns - 2 * right_of)
    top = joined(_flip(shoulder), around, shoulder)
    across = np.linspace(-1, 1, drafted.columns + 1)
    hem = np.stack([across * side[0, 0], _hem(drafted, across)], axis=1)
    low = patch(
        hem,
        np.stack([across * side[rows, 0], np.full(len(across), side[rows, 1])], axis=1),
        side[: rows + 1] * [-1, 1],
        side[: rows + 1],
    )
    high = patch(low[-1], top, side[rows:] * [-1, 1], side[rows:])
    return eased(np.concatenate([low, high[1:]]))


def _even_rows(drafted: Bodice) -> Curve:
    """The side's seam from the hem to the armhole, with a row where a rib begins."""
    return even(_side(drafted), drafted.side_rows)


def _hem(drafted: Bodice, across: Floats) -> Floats:
    low: Floats = -_need(drafted.cut.length) + drafted.style.tails * across**2
    return low


def _side(drafted: Bodice) -> Curve:
    """From the hem up to the armhole, as wide as the girths have it."""
    cut, top = drafted.cut, -drafted.armhole
    low = -_need(cut.length) + drafted.style.tails
    heights, girths = [top], [_need(cut.chest)]
    for girth, height in ((cut.waist, top - WAIST), (cut.hip, top - HIP)):
        if girth is not None and height > low + 4:
            heights.append(height)
            girths.append(girth)
    hem = cut.hem if cut.hem is not None else girths[-1]
    rib = drafted.style.hem_rib
    if rib:
        heights += [low + rib + 3.0, low + rib - 0.2]
        girths += [min(RIB_GATHERS * hem, _need(cut.chest)), hem]
    heights.append(low)
    girths.append(hem)
    y = np.linspace(low, top, 129)
    wide = np.interp(y, heights[::-1], girths[::-1]) / 4
    if not rib:
        kernel = np.ones(25) / 25
        wide = np.convolve(np.pad(wide, 12, mode="reflect", reflect_type="odd"), kernel, "valid")
    return np.stack([wide, y], axis=1)


def _armhole(drafted: Bodice) -> Curve:
    """From the underarm up to the shoulder's tip."""
    (x, y), wide, low = drafted.tip, _need(drafted.cut.chest) / 4, -drafted.armhole
    inner = min(x, wide) - 1.5 - drafted.style.straps
    hollow = (wide - 0.62 * max(wide - inner, 2.0), low)
    return bezier((wide, low), hollow, (inner, low + 0.45 * (y - low)), (x, y))


def _neckline(half: float, drop: float) -> Curve:
    """From the middle up to the highest point of the shoulder: most of a quarter of an ellipse."""
    angle = np.linspace(0, ROUND, 65)
    x, y = np.sin(angle) / np.sin(ROUND), (np.cos(angle) - np.cos(ROUND)) / (1 - np.cos(ROUND))
    curve: Curve = half * np.stack([x, -drop * y], axis=1)
    return curve


def _body_seams(drafted: Bodice) -> list[tuple[Stitch, Stitch]]:
    last, top = drafted.columns, drafted.side_rows + drafted.armhole_rows
    sides = [(row, column) for row in range(drafted.side_rows + 1) for column in (0, last)]
    shoulder = range(drafted.shoulder_columns + 1)
    tops = [(top, column) for k in shoulder for column in (k, last - k)]
    return [(("front", *place), ("back", *place)) for place in sides + tops]


def _sleeve(drafted: Bodice) -> Floats:
    """Flat, from the cuff up to the head; columns from the underarm by the front to the back.

    The origin is where it meets the shoulder's seam.
    """
    cut, rows = drafted.cut, drafted.armhole_rows
    half = _need(cut.upper_arm) / 2
    long = _need(cut.sleeve)
    head = _head(half, 2 * length(_armhole(drafted)), long - UNDERARM)
    rise = -float(head[0, 1])
    cuff = (cut.cuff if cut.cuff is not None else 0.9 * _need(cut.upper_arm)) / 2
    rib = drafted.style.cuff_rib if long > SHORT else 0.0
    heights, halves = [-long, -rise], [cuff, half]
    if rib:
        heights[1:1] = [-long + rib - 0.2, -long + rib + 3.0]
        halves[1:1] = [cuff, cuff * 1.35]
    y = np.linspace(-long, -rise, 65)
    side = even(np.stack([np.interp(y, heights, halves), y], axis=1), steps(long - rise, EDGE))
    low = line((-cuff, -long), (cuff, -long), 2 * rows)
    return eased(patch(low, even(head, 2 * rows), side * [-1, 1], side))


def _head(half: float, around: float, most: float) -> Curve:
    """The sleeve's head: as high as makes it as long as the armhole is around, if it may be."""
    low, high = 1.0, most
    for _ in range(30):
        rise = (low + high) / 2
        if length(_bell(half, rise)) < around:
            low = rise
        else:
            high = rise
    return _bell(half, rise)


def _bell(half: float, rise: float) -> Curve:
    x = np.linspace(-1, 1, 129)
    y = rise * (0.5 * np.cos(np.pi * x) - 0.5)
    curve: Curve = np.stack([half * x, y], axis=1)
    return curve


def _sleeve_seams(drafted: Bodice, top: int) -> list[tuple[Stitch, Stitch]]:
    rows, first, last = drafted.armhole_rows, drafted.side_rows, drafted.columns
    seams: list[tuple[Stitch, Stitch]] = []
    for name, column, turn in (("left sleeve", last, False), ("right sleeve", 0, True)):
        for k in range(2 * rows + 1):
            body = "front" if k <= rows else "back"
            row = first + (k if k <= rows else 2 * rows - k)
            seams.append(((name, top, 2 * rows - k if turn else k), (body, row, column)))
        seams += [((name, row, 0), (name, row, 2 * rows)) for row in range(top)]
    return seams


def _flip(curve: Curve) -> Curve:
    """On the other side, so that it ends where it began."""
    flipped: Curve = curve[::-1] * [-1, 1]
    return flipped


def _need(centimetres: float | None) -> float:
    assert centimetres is not None
    return centimetres
