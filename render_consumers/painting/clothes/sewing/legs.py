"""Drafts what hangs from the waist: trousers, shorts, leggings and skirts.

The origin is the top of the waistband over the middle of the body.
"""

import msgspec
import numpy as np

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
    line,
    mirrored,
    patch,
    steps,
)
from render_consumers.painting.clothes.size_chart import Cut

EDGE = 1.7  # centimetres of an edge of the mesh
FRONT_FORK, BACK_FORK = 0.36, 0.64  # shares of what reaches through between the legs
BACK_RISE = 2.5  # centimetres that the back reaches higher than the front


class Leg(msgspec.Struct, frozen=True):
    """The left leg's front or back: girths are halved twice, for it is a quarter of them."""

    cut: Cut
    fork: float
    lift: float
    columns: int
    leg_rows: int
    seat_rows: int


def legs(cut: Cut) -> Pattern:
    fork = max(_need(cut.thigh) - _need(cut.hip) / 2, 3.0)
    low = -_crotch(cut) - _need(cut.inseam)
    counts = (
        steps(_need(cut.thigh) / 2, EDGE),
        steps(-_crotch(cut) - low, EDGE),
        steps(_crotch(cut) + 2, EDGE),
    )
    front = _leg(Leg(cut, FRONT_FORK * fork, 0.0, *counts))
    back = _leg(Leg(cut, BACK_FORK * fork, BACK_RISE, *counts))
    panels = (
        Panel("left front", front, turn=counts[1]),
        Panel("right front", mirrored(front)),
        Panel("left back", back, behind=True),
        Panel("right back", mirrored(back), behind=True),
    )
    return Pattern(panels, tuple(_leg_seams(*counts)))


def skirt(cut: Cut) -> Pattern:
    rows, columns = steps(_need(cut.length), EDGE), steps(_need(cut.hip) / 2, EDGE)
    low = -_need(cut.length)
    hip = max(-20.0, 0.6 * low)
    hem = cut.hem if cut.hem is not None else _need(cut.hip)
    y = np.linspace(low, 0, 129)
    wide = np.interp(y, [low, hip, 0], [hem / 4, _need(cut.hip) / 4, _need(cut.waist) / 4])
    kernel = np.ones(25) / 25
    wide = np.convolve(np.pad(wide, 12, mode="reflect", reflect_type="odd"), kernel, "valid")
    side = even(np.stack([wide, y], axis=1), rows)
    across = np.linspace(-1, 1, columns + 1)
    ends = [np.stack([across * side[k, 0], np.full(columns + 1, side[k, 1])], 1) for k in (0, -1)]
    grid = patch(ends[0], ends[1], side * [-1, 1], side)
    panels = (Panel("front", grid), Panel("back", grid, behind=True))
    sides = [(row, column) for row in range(rows + 1) for column in (0, columns)]
    return Pattern(panels, tuple((("front", *place), ("back", *place)) for place in sides))


def _crotch(cut: Cut) -> float:
    """How far below the waistband's top the legs part."""
    return _need(cut.length) - _need(cut.inseam)


def _leg(leg: Leg) -> Floats:
    """A panel of the left leg, from the hem up; columns go from the middle of the body out."""
    cut, fork = leg.cut, leg.fork
    crotch, low = -_crotch(cut), -_need(cut.length)
    hip, waist = _need(cut.hip) / 4, _need(cut.waist) / 4
    top_out = hip - 0.75 * (hip - waist)
    knee = crotch + 0.52 * (low - crotch)
    axis = (hip - fork) / 2  # the crease
    half = (hip + fork) / 2
    hem, middle = _need(cut.leg_hem) / 4, _knee(cut) / 4
    wide = even(bezier((hem, low), (middle, knee), (middle, knee), (half, crotch)), 64)
    outer = joined(
        wide * [1, 1] + [axis, 0],
        bezier((hip, crotch), (hip, 0.6 * crotch), (hip, 0.4 * crotch), (top_out, 0)),
    )
    inner = wide * [-1, 1] + [axis, 0]
    in_at_top = 0.25 * (hip - waist)
    seat = bezier(
        (-fork, crotch),
        (-0.25 * fork, crotch + 0.3),
        (0, crotch + 2 + 0.5 * fork),
        (in_at_top, leg.lift),
    )
    inner_low, inner_high = even(inner, leg.leg_rows), even(seat, leg.seat_rows)
    outer_low, outer_high = _split(outer, crotch, leg)
    across = leg.columns
    low_edge = line(inner_low[0], outer_low[0], across)
    fork_edge = line(inner_low[-1], outer_low[-1], across)
    top_edge = line(inner_high[-1], outer_high[-1], across)
    leg_grid = patch(low_edge, fork_edge, inner_low, outer_low)
    seat_grid = patch(fork_edge, top_edge, inner_high, outer_high)
    return eased(np.concatenate([leg_grid, seat_grid[1:]]))


def _split(outer: Curve, crotch: float, leg: Leg) -> tuple[Curve, Curve]:
    below = outer[outer[:, 1] <= crotch + 1e-9]
    above = outer[outer[:, 1] >= crotch - 1e-9]
    return even(below, leg.leg_rows), even(above, leg.seat_rows)


def _knee(cut: Cut) -> float:
    """The girth at the knee, which no chart has: nearer to the hem's."""
    return 0.62 * _need(cut.leg_hem) + 0.38 * _need(cut.thigh)


def _leg_seams(columns: int, leg_rows: int, seat_rows: int) -> list[tuple[Stitch, Stitch]]:
    seams: list[tuple[Stitch, Stitch]] = []
    top = leg_rows + seat_rows
    for side, inner, outer in (("left", 0, columns), ("right", columns, 0)):
        pair = (f"{side} front", f"{side} back")
        seams += [((pair[0], row, outer), (pair[1], row, outer)) for row in range(top + 1)]
        seams += [((pair[0], row, inner), (pair[1], row, inner)) for row in range(leg_rows + 1)]
    for face in ("front", "back"):
        seams += [
            ((f"left {face}", row, 0), (f"right {face}", row, columns))
            for row in range(leg_rows, top + 1)
        ]
    return seams


def _need(centimetres: float | None) -> float:
    assert centimetres is not None
    return centimetres
