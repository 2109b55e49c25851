"""Makes a piece from its cut: the sewn mesh in two finenesses, and what holds it in shape."""

from functools import lru_cache

import msgspec
import numpy as np
import torch
from torch import Tensor

from render_consumers.painting.clothes.hanging.drape import STEP, Threads, threads
from render_consumers.painting.clothes.kinds import Kind
from render_consumers.painting.clothes.sewing import bodice, legs
from render_consumers.painting.clothes.sewing.pattern import Flags, Floats, Pattern, Sewn, sew
from render_consumers.painting.clothes.sewing.trim import Strip, strip
from render_consumers.painting.clothes.size_chart import Cut
from render_consumers.painting.mesh import Mesh

PULL = 100.0  # newtons per metre of width: a hand's pull
WAISTBAND, SHOULDERS = 3.5, 12.0  # centimetres from the top
NAPE = 3  # vertices on both sides of the middle
SLIDES, CARRIES = 0.02, 0.7  # coefficients of friction
FAR = 99.0  # centimetres: what a place is away from a border that its panel lacks
SNUG = 0.96  # share of its length that a ribbed neckline is sewn in with
NECK, HEM, SEAM, STRAIN = range(4)  # columns of the marks of cloth, lengths in centimetres
# Centimetres of ribs at hem and cuffs.
RIBS = {Kind.HOODIE: 6.0, Kind.SWEATER: 6.0, Kind.JACKET: 5.0, Kind.SHIRT: 2.0}


class Made(msgspec.Struct, frozen=True):
    """A piece as it leaves the tailor: what it is like for each place of its panels (P, ...)."""

    cut: Cut
    sewn: Sewn
    coarse: Sewn
    parents: Tensor  # (V, 4)
    cords: Threads
    coarse_cords: Threads
    mesh: Mesh  # of the vertices
    panels: Mesh  # of the places
    flat: Tensor  # (P, 3) x and y in centimetres, and the number of the panel
    marks: Tensor  # (P, 4)
    edges: Tensor  # (E, 2)
    rest: Tensor  # (E,) metres
    trim: Strip | None  # its places follow those of the panels
    rim: Tensor  # (R, 3) each vertex of a border between its two neighbours


@lru_cache(maxsize=48)
def made(cut: Cut) -> Made:
    pattern = drafted(cut)
    sewn, coarse = sew(pattern), sew(pattern.coarser())
    marks = _marks(sewn)
    edges, lengths = sewn.edges()
    trim = strip(cut.kind, sewn, bodice.shoulder_columns(cut)) if cut.chest is not None else None
    triangles, flat = sewn.triangles, np.concatenate([sewn.flat, sewn.panel[:, None]], axis=1)
    marked = marks
    if trim is not None:
        triangles = np.concatenate([triangles, trim.faces + len(flat)])
        flat = np.concatenate([flat, trim.flat])
        marked = np.concatenate([marks, _trim_marks(trim)])
    return Made(
        cut=cut,
        sewn=sewn,
        coarse=coarse,
        parents=torch.from_numpy(sewn.parents(coarse)),
        cords=_cords(sewn, cut, marks),
        coarse_cords=_cords(coarse, cut, _marks(coarse)),
        mesh=Mesh(torch.from_numpy(sewn.faces)),
        panels=Mesh(torch.from_numpy(triangles.copy())),
        flat=torch.from_numpy(flat).float(),
        marks=torch.from_numpy(marked).float(),
        trim=trim,
        edges=torch.from_numpy(edges),
        rest=torch.from_numpy(lengths / 100).float(),
        rim=torch.from_numpy(sewn.rim()),
    )


def drafted(cut: Cut) -> Pattern:
    if cut.chest is not None:
        return bodice.bodice(cut)
    return legs.skirt(cut) if cut.inseam is None else legs.legs(cut)


def held(sewn: Sewn, cut: Cut) -> Floats:
    """How firmly each vertex (V,) is held at its height, as the share of the way back a step.

    A waistband is, and the back of a neckline, where the nape keeps it from slipping down.
    """
    found = np.zeros(sewn.count)
    if cut.chest is None:
        found[sewn.vertex[sewn.flat[:, 1] > -WAISTBAND]] = 0.5
    else:
        neckline = sewn.at("back", -1, slice(None))
        middle = len(neckline) // 2
        found[neckline[middle - NAPE : middle + NAPE + 1]] = 0.3
    return found


def carried(sewn: Sewn, cut: Cut) -> Flags:
    """Which vertices (V,) shoulders and neck carry: shoulder seams, and the whole neckline."""
    found = np.zeros(sewn.count, bool)
    if cut.chest is not None:
        for panel in ("front", "back"):
            found[sewn.at(panel, -1, slice(None))] = True
    return found


def friction(sewn: Sewn, cut: Cut) -> Floats:
    """How each vertex (V,) clings to what it lies on: shoulders and arms do, the rest rides up."""
    found = np.full(sewn.count, SLIDES)
    if cut.chest is not None:
        found[sewn.vertex[(sewn.flat[:, 1] > -SHOULDERS) | (sewn.panel > 1)]] = CARRIES
    return found


def _cords(sewn: Sewn, cut: Cut, marks: Floats) -> Threads:
    cloth = cut.material
    edges, length = sewn.edges()
    hinges, across = sewn.hinges()
    light = sewn.count / (cloth.weight * _area(sewn) / 1e4)  # one over a vertex's mass, 1/kg
    step = 2 * light * STEP**2
    stretch = np.full(len(edges), (cloth.around + cloth.along) / 2 / PULL / step)
    at_neck = _lowest(sewn, marks[:, NECK]) < 0.1
    length = np.where(at_neck[edges].all(1), SNUG * length, length)
    bend = cloth.bending * 1e-6 / (across / 100) ** 2  # N/m
    fold = 1 / (bend * step)
    ribbed = _lowest(sewn, np.minimum(marks[:, HEM], marks[:, NECK] + 3)) < RIBS.get(cut.kind, 2.0)
    fold = np.where(ribbed[hinges].all(1), 0.2 * fold, fold)
    return threads(
        np.concatenate([edges, hinges]),
        np.concatenate([length, across]) / 100,
        np.concatenate([stretch, fold]),
        sewn.count,
    )


def _trim_marks(trim: Strip) -> Floats:
    """A strip's edge counts as a hem, and where it is sewn on as a seam."""
    across = trim.flat[:, 1]
    marks = np.full((len(across), 4), FAR)
    marks[:, STRAIN] = 0
    marks[:, SEAM], marks[:, HEM] = across, across.max() - across
    return marks


def _area(sewn: Sewn) -> float:
    a, b, c = (sewn.flat[sewn.triangles[:, i]] for i in range(3))
    first, second = b - a, c - a
    return float(np.abs(first[:, 0] * second[:, 1] - first[:, 1] * second[:, 0]).sum() / 2)


def _lowest(sewn: Sewn, values: Floats) -> Floats:
    """Of values (P,) of the places the lowest at each vertex (V,)."""
    found = np.full(sewn.count, np.inf)
    np.minimum.at(found, sewn.vertex, values)
    return found


def _marks(sewn: Sewn) -> Floats:
    """How far each place (P, 4) is from neckline or waist, hem or cuff, and seam; no strain yet."""
    marks = np.full((len(sewn.flat), 4), FAR)
    marks[:, STRAIN] = 0
    sewn_on = np.bincount(sewn.vertex)[sewn.vertex] > 1
    for index, panel in enumerate(sewn.pattern.panels):
        mine = np.flatnonzero(sewn.panel == index)
        grid = mine.reshape(panel.grid.shape[:2])
        top, bottom = grid[-1], grid[0]
        rims = {
            HEM: [bottom, grid[:, 0], grid[:, -1]],
            NECK: [top],
            SEAM: [grid[:, 0], grid[:, -1], top],
        }
        for column, lines in rims.items():
            for line in lines:
                _measure(marks, sewn.flat, mine, line, sewn_on[line] == (column == SEAM), column)
    return marks


def _measure(
    marks: Floats, flat: Floats, mine: np.ndarray, line: np.ndarray, kept: Flags, column: int
) -> None:
    """Note the distance to those parts of a line of places that are kept at both ends."""
    both = kept[:-1] & kept[1:] if column == SEAM else kept[:-1] | kept[1:]
    if both.any():
        start, end = flat[line[:-1][both]], flat[line[1:][both]]
        along = end - start
        towards = flat[mine][:, None] - start[None]
        share = (towards * along).sum(2) / np.maximum((along**2).sum(1), 1e-9)
        apart = towards - np.clip(share, 0, 1)[:, :, None] * along
        near = np.sqrt((apart**2).sum(2)).min(1)
        marks[mine, column] = np.minimum(marks[mine, column], near)
