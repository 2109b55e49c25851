"""The sewn cloth measures what the cut says, whoever wears it, and its borders are whole."""

import numpy as np
import pytest
from msgspec.structs import replace

from render_consumers.painting.clothes.kinds import Kind
from render_consumers.painting.clothes.sewing import tailor
from render_consumers.painting.clothes.sewing.pattern import Floats, Sewn, patch, sew, thinnest
from render_consumers.painting.clothes.size_chart import cut

# How many openings each kind has.
OPENINGS = {
    Kind.TSHIRT: 4, Kind.LONG_SLEEVE: 4, Kind.SHIRT: 4, Kind.POLO: 4, Kind.HOODIE: 4,
    Kind.JACKET: 4, Kind.SWEATER: 4, Kind.TANK_TOP: 4, Kind.SPORTS_BRA: 4, Kind.DRESS: 4,
    Kind.SKIRT: 2, Kind.SHORTS: 3, Kind.LEGGINGS: 3, Kind.TROUSERS: 3, Kind.JEANS: 3,
}  # fmt: skip


def cloth(kind: Kind, size: str = "M", gender: float = 0.0) -> Sewn:
    return sew(tailor.drafted(cut(kind, size, gender)))


def row(sewn: Sewn, panel: str, row: int) -> Floats:
    """The places (C, 2) of a row of a panel's grid."""
    [grid] = [each.grid for each in sewn.pattern.panels if each.name == panel]
    return grid[row]


def long(places: Floats) -> float:
    return float(np.linalg.norm(np.diff(places, axis=0), axis=1).sum())


@pytest.mark.parametrize("gender", [0.0, 1.0])
@pytest.mark.parametrize("size", ["XS", "M", "XXL"])
@pytest.mark.parametrize("kind", [Kind.TSHIRT, Kind.SHIRT, Kind.HOODIE, Kind.DRESS])
def test_a_bodice_has_the_girths_and_lengths_of_its_cut(
    kind: Kind, size: str, gender: float
) -> None:
    sewn, asked = cloth(kind, size, gender), cut(kind, size, gender)
    turn = sewn.pattern.panels[0].turn
    around = sum(np.ptp(row(sewn, side, turn)[[0, -1], 0]) for side in ("front", "back"))
    assert around == pytest.approx(asked.chest, abs=0.1)
    hem = sum(np.ptp(row(sewn, side, 0)[:, 0]) for side in ("front", "back"))
    assert hem == pytest.approx(asked.hem, abs=0.1)
    assert np.ptp(row(sewn, "left sleeve", 0)[:, 0]) == pytest.approx(asked.cuff, abs=0.1)
    assert np.ptp(row(sewn, "left sleeve", -1)[:, 0]) == pytest.approx(asked.upper_arm, abs=0.1)
    assert -row(sewn, "left sleeve", 0)[0, 1] == pytest.approx(asked.sleeve, abs=0.1)
    assert -row(sewn, "front", 0)[:, 1].min() == pytest.approx(asked.length, abs=0.1)
    assert np.ptp(row(sewn, "front", -1)[:, 0]) == pytest.approx(asked.shoulder, abs=0.1)


@pytest.mark.parametrize("size", ["XS", "M", "XXL"])
def test_a_neckline_is_as_long_as_its_cut(size: str) -> None:
    sewn, asked = cloth(Kind.TSHIRT, size), cut(Kind.TSHIRT, size, 0.0)
    lines = 0.0
    for side in ("front", "back"):
        top = row(sewn, side, -1)
        highest = np.flatnonzero(top[:, 1] > -1e-9)
        lines += long(top[highest[0] : highest[-1] + 1])
    assert lines == pytest.approx(asked.neck, rel=0.01)


@pytest.mark.parametrize("size", ["XS", "M", "XXL", "34/32"])
@pytest.mark.parametrize("kind", [Kind.TROUSERS, Kind.JEANS, Kind.LEGGINGS])
def test_trousers_have_the_girths_and_lengths_of_their_cut(kind: Kind, size: str) -> None:
    sewn, asked = cloth(kind, size), cut(kind, size, 0.0)
    turn = sewn.pattern.panels[0].turn
    sides = ("left front", "left back")
    assert sum(np.ptp(row(sewn, side, 0)[:, 0]) for side in sides) == pytest.approx(asked.leg_hem)
    thigh = sum(np.ptp(row(sewn, side, turn)[[0, -1], 0]) for side in sides)
    assert thigh == pytest.approx(asked.thigh, abs=0.1)
    waist = 2 * sum(np.ptp(row(sewn, side, -1)[:, 0]) for side in sides)
    assert waist == pytest.approx(asked.waist, abs=0.1)
    low, fork = row(sewn, "left front", 0)[0, 1], row(sewn, "left front", turn)[0, 1]
    assert fork - low == pytest.approx(asked.inseam, abs=0.1)


def test_a_skirt_has_the_girths_and_the_length_of_its_cut() -> None:
    sewn, asked = cloth(Kind.SKIRT, "L", 1.0), cut(Kind.SKIRT, "L", 1.0)
    assert 2 * np.ptp(row(sewn, "front", 0)[:, 0]) == pytest.approx(asked.hem, abs=0.1)
    assert 2 * np.ptp(row(sewn, "front", -1)[:, 0]) == pytest.approx(asked.waist, abs=0.1)
    assert -row(sewn, "front", 0)[0, 1] == pytest.approx(asked.length)


@pytest.mark.parametrize("kind", list(Kind))
def test_every_border_is_a_whole_loop(kind: Kind) -> None:
    sewn = cloth(kind)
    edges = np.concatenate([sewn.faces[:, [i, (i + 1) % 3]] for i in range(3)])
    _, times = np.unique(np.sort(edges, axis=1), axis=0, return_counts=True)
    assert set(times.tolist()) == {1, 2}
    after = {int(at): int(then) for _, at, then in sewn.rim()}
    assert len(after) == len(sewn.rim())  # no vertex is on two borders
    loops, left = 0, set(after)
    while left:
        at = start = left.pop()
        while (at := after[at]) != start:
            left.remove(at)
        loops += 1
    assert loops == OPENINGS[kind]


@pytest.mark.parametrize("kind", [Kind.SHIRT, Kind.HOODIE, Kind.DRESS])
def test_sleeves_may_be_short_or_left_out(kind: Kind) -> None:
    usual = cut(kind, "M", 0.5)
    short = sew(tailor.drafted(replace(usual, sleeve=20.0, cuff=36.0)))
    assert -row(short, "left sleeve", 0)[0, 1] == pytest.approx(20)
    bare = sew(tailor.drafted(replace(usual, sleeve=None, upper_arm=None, cuff=None)))
    assert [panel.name for panel in bare.pattern.panels] == ["front", "back"]


@pytest.mark.parametrize("kind", list(Kind))
def test_both_sides_of_a_seam_are_nearly_as_long(kind: Kind) -> None:
    sewn = cloth(kind)
    pairs = np.concatenate([sewn.triangles[:, [i, (i + 1) % 3]] for i in range(3)])
    length = np.linalg.norm(sewn.flat[pairs[:, 0]] - sewn.flat[pairs[:, 1]], axis=1)
    ends, rest = sewn.edges()
    known = {tuple(sorted(end)): each for end, each in zip(ends.tolist(), rest, strict=True)}
    kept = [known[tuple(sorted(end))] for end in sewn.vertex[pairs].tolist()]
    assert np.abs(length - kept).max() < 0.6  # centimetres, of an edge of 1.6


def test_no_cell_of_a_pattern_is_turned_inside_out() -> None:
    for kind in Kind:
        for size in ("XXS", "M", "4XL"):
            for panel in tailor.drafted(cut(kind, size, 0.5)).panels:
                assert thinnest(panel.grid) > 0, (kind, size, panel.name)


def test_the_coarse_cloth_is_every_other_row_and_column_of_the_fine() -> None:
    pattern = tailor.drafted(cut(Kind.HOODIE, "M", 0.5))
    fine, coarse = sew(pattern), sew(pattern.coarser())
    parents = fine.parents(coarse)
    assert parents.shape == (fine.count, 4)
    whole = (parents == parents[:, :1]).all(1)
    assert whole.sum() == coarse.count


def test_hinges_lie_as_far_apart_as_the_cloth_unfolded() -> None:
    sewn = cloth(Kind.SKIRT)
    pairs, apart = sewn.hinges()
    flat, panel = np.empty((sewn.count, 2)), np.empty(sewn.count)
    flat[sewn.vertex], panel[sewn.vertex] = sewn.flat, sewn.panel
    inside = panel[pairs[:, 0]] == panel[pairs[:, 1]]  # not across a seam
    inside &= np.bincount(sewn.vertex)[pairs].max(1) == 1
    direct = np.linalg.norm(flat[pairs[:, 0]] - flat[pairs[:, 1]], axis=1)
    assert np.allclose(apart[inside], direct[inside])


def test_a_patch_keeps_to_its_four_curves() -> None:
    t = np.linspace(0, 1, 5)
    low = np.stack([t, 0.1 * np.sin(np.pi * t)], axis=1)
    high = low + np.array([0, 1])
    grid = patch(low, high, np.stack([0 * t, t], 1), np.stack([0 * t + 1, t], 1))
    assert np.allclose(grid[0], low)
    assert np.allclose(grid[-1], high)
    assert np.allclose(grid[2, 2], [0.5, 0.6])
