"""A garment's pattern: flat panels in centimetres, and the seams that sew them together.

Each panel is a grid between four curves. Sewn, the panels are one mesh, whose rest lengths are
those of the flat cloth: they know nothing of the body that will wear it.
"""

import itertools
from collections.abc import Iterable, Sequence

import msgspec
import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]
Indices = npt.NDArray[np.int64]
Flags = npt.NDArray[np.bool_]
Curve = Floats  # (N, 2)

# A place in a pattern: the panel, and row and column of its grid.
Stitch = tuple[str, int, int]


class Panel(msgspec.Struct, frozen=True):
    """Flat cloth (R + 1, C + 1, 2) in centimetres: x to the person's left, y up; R and C are even.

    Rows go up and columns to the person's left where it lies in front of the body; ``behind``
    marks what lies the other way round. ``turn`` is the row where armholes begin, or the seat.
    """

    name: str
    grid: Floats
    turn: int = 0
    behind: bool = False


class Pattern(msgspec.Struct, frozen=True):
    """Panels and the pairs of places that are sewn together, all of them at even steps as well."""

    panels: tuple[Panel, ...]
    seams: tuple[tuple[Stitch, Stitch], ...]

    def coarser(self) -> "Pattern":
        """Every other row and column."""
        panels = [
            msgspec.structs.replace(panel, grid=panel.grid[::2, ::2], turn=panel.turn // 2)
            for panel in self.panels
        ]
        kept = [
            ((a[0], a[1] // 2, a[2] // 2), (b[0], b[1] // 2, b[2] // 2))
            for a, b in self.seams
            if not (a[1] | a[2] | b[1] | b[2]) & 1
        ]
        return Pattern(tuple(panels), tuple(kept))


class Sewn(msgspec.Struct, frozen=True):
    """A pattern as one mesh of V vertices; its panels have P places, F triangles and E threads.

    A thread keeps two vertices at a distance: along an edge, or across one, against folding.
    """

    pattern: Pattern
    flat: Floats  # (P, 2) centimetres
    panel: Indices  # (P,)
    row: Indices  # (P,)
    column: Indices  # (P,)
    vertex: Indices  # (P,) which of the mesh's vertices a place of a panel is
    triangles: Indices  # (F, 3) of places
    count: int

    @property
    def faces(self) -> Indices:
        """The triangles (F, 3) of the mesh's vertices."""
        return self.vertex[self.triangles]

    def edges(self) -> tuple[Indices, Floats]:
        """The distinct edges (E, 2) and their lengths (E,) in centimetres, a seam's as a mean."""
        places = np.concatenate([self.triangles[:, [i, (i + 1) % 3]] for i in range(3)])
        length = np.linalg.norm(self.flat[places[:, 0]] - self.flat[places[:, 1]], axis=1)
        pairs, which = _distinct(self.vertex[places])
        total = np.bincount(which, weights=length)
        return pairs, total / np.bincount(which)

    def hinges(self) -> tuple[Indices, Floats]:
        """Across each inner edge the two vertices (H, 2), and how far apart they lie unfolded."""
        corners = np.concatenate(
            [self.triangles[:, [i, (i + 1) % 3, (i + 2) % 3]] for i in range(3)]
        )
        _, which = _distinct(self.vertex[corners[:, :2]])
        order = np.argsort(which, kind="stable")
        twice = np.flatnonzero(which[order][1:] == which[order][:-1])
        first, second = corners[order[twice]], corners[order[twice + 1]]
        far = self._unfolded(first) - self._unfolded(second) * [1, -1]
        same = self.vertex[first[:, 0]] == self.vertex[second[:, 0]]
        mirrored = self._unfolded(second[:, [1, 0, 2]]) * [1, -1]
        apart = np.where(same[:, None], far, self._unfolded(first) - mirrored)
        pairs = self.vertex[np.stack([first[:, 2], second[:, 2]], axis=1)]
        return pairs, np.linalg.norm(apart, axis=1)

    def rim(self) -> Indices:
        """Each vertex of an open border (R, 3) between the ones before and after it."""
        edges = np.concatenate([self.faces[:, [i, (i + 1) % 3]] for i in range(3)])
        _, which = _distinct(edges)
        border = edges[np.bincount(which)[which] == 1]
        before = border[np.argsort(border[:, 1])]
        after = border[np.argsort(border[:, 0])]
        return np.stack([before[:, 0], after[:, 0], after[:, 1]], axis=1)

    def _unfolded(self, corners: Indices) -> Floats:
        """The third corner (N, 2) of triangles as seen from their first, along their first edge."""
        a, b, c = (self.flat[corners[:, i]] for i in range(3))
        along, towards = b - a, c - a
        length = np.linalg.norm(along, axis=1)
        x = (towards * along).sum(1) / length
        y = np.abs(along[:, 0] * towards[:, 1] - along[:, 1] * towards[:, 0]) / length
        return np.stack([x, y], axis=1)

    def at(self, panel: str, row: int | slice, column: int | slice) -> Indices:
        """The vertices of a part of a panel's grid, in its order."""
        return self.vertex[self._places(panel)[row, column]].reshape(-1)

    def parents(self, coarse: "Sewn") -> Indices:
        """For each vertex (V, 4) the vertices of the coarser mesh that it lies between."""
        found = np.empty((self.count, 4), np.int64)
        for panel in self.pattern.panels:
            fine, wide = self._places(panel.name), coarse._places(panel.name)
            rows, columns = (np.arange(size) for size in fine.shape)
            corners = [
                coarse.vertex[wide[(rows + r)[:, None] // 2, (columns + c)[None] // 2]]
                for r, c in itertools.product((0, 1), (0, 1))
            ]
            found[self.vertex[fine.reshape(-1)]] = np.stack(corners, 2).reshape(-1, 4)
        return found

    def _places(self, name: str) -> Indices:
        start = 0
        for panel in self.pattern.panels:
            size = panel.grid.shape[0] * panel.grid.shape[1]
            if panel.name == name:
                return np.arange(start, start + size).reshape(panel.grid.shape[:2])
            start += size
        raise KeyError(name)


def sew(pattern: Pattern) -> Sewn:
    """Number what the seams hold together as one vertex."""
    starts: dict[str, tuple[int, int]] = {}
    total = 0
    for panel in pattern.panels:
        starts[panel.name] = (total, panel.grid.shape[1])
        total += panel.grid.shape[0] * panel.grid.shape[1]

    def place(stitch: Stitch) -> int:
        start, width = starts[stitch[0]]
        return start + stitch[1] * width + stitch[2]

    joined = _joined(total, [(place(a), place(b)) for a, b in pattern.seams])
    kept, vertex = np.unique(joined, return_inverse=True)
    shapes = [panel.grid.shape[:2] for panel in pattern.panels]
    return Sewn(
        pattern=pattern,
        flat=np.concatenate([panel.grid.reshape(-1, 2) for panel in pattern.panels]),
        panel=np.repeat(np.arange(len(shapes)), [r * c for r, c in shapes]),
        row=np.concatenate([np.repeat(np.arange(r), c) for r, c in shapes]),
        column=np.concatenate([np.tile(np.arange(c), r) for r, c in shapes]),
        vertex=vertex,
        triangles=np.concatenate(
            [_triangles(panel, starts[panel.name][0]) for panel in pattern.panels]
        ),
        count=len(kept),
    )


def _joined(total: int, pairs: Iterable[tuple[int, int]]) -> Indices:
    """For each of so many places the lowest one that it is sewn to, itself included."""
    lowest = list(range(total))

    def root(place: int) -> int:
        while lowest[place] != place:
            place = lowest[place]
        return place

    for pair in pairs:
        low, high = sorted(map(root, pair))
        lowest[high] = low
    return np.array([root(place) for place in range(total)])


def _triangles(panel: Panel, start: int) -> Indices:
    """Two for each cell, its diagonal turned from cell to cell, so that cloth has no grain."""
    rows, columns = panel.grid.shape[:2]
    corner = start + np.arange(rows * columns).reshape(rows, columns)
    a, b, c, d = corner[:-1, :-1], corner[:-1, 1:], corner[1:, 1:], corner[1:, :-1]
    turned = np.indices(a.shape).sum(0) % 2 == 1
    first = np.where(turned[..., None], np.stack([a, b, d], 2), np.stack([a, b, c], 2))
    second = np.where(turned[..., None], np.stack([b, c, d], 2), np.stack([a, c, d], 2))
    faces = np.concatenate([first.reshape(-1, 3), second.reshape(-1, 3)])
    return faces[:, ::-1] if panel.behind else faces


def _distinct(pairs: Indices) -> tuple[Indices, Indices]:
    """The distinct pairs (E, 2), whichever comes first in them, and which each one is."""
    low, high = pairs.min(1), pairs.max(1)
    base = int(high.max()) + 1
    numbers, which = np.unique(low * base + high, return_inverse=True)
    return np.stack([numbers // base, numbers % base], axis=1), which


# Curves.


def patch(low: Curve, high: Curve, left: Curve, right: Curve) -> Floats:
    """The grid (R, C, 2) between four curves that meet at the corners, after Coons."""
    u = np.linspace(0, 1, len(low))[None, :, None]
    v = np.linspace(0, 1, len(left))[:, None, None]
    ruled = (1 - v) * low[None] + v * high[None] + (1 - u) * left[:, None] + u * right[:, None]
    corners = (1 - v) * ((1 - u) * low[0] + u * low[-1]) + v * ((1 - u) * high[0] + u * high[-1])
    grid: Floats = ruled - corners
    return grid


def eased(grid: Floats, rounds: int = 24) -> Floats:
    """The same outline with its inside evened out, as far as that makes the thinnest cell wider."""
    best = grid
    for _ in range(rounds):
        around = grid[:-2, 1:-1] + grid[2:, 1:-1] + grid[1:-1, :-2] + grid[1:-1, 2:]
        grid = grid.copy()
        grid[1:-1, 1:-1] = around / 4
        if thinnest(grid) > thinnest(best):
            best = grid
    return best


def thinnest(grid: Floats) -> float:
    """The area of the smallest corner of a cell, below 0 where one is turned inside out."""
    across, up = np.diff(grid, axis=1), np.diff(grid, axis=0)
    corners = (across[:-1], up[:, :-1]), (across[1:], up[:, 1:])
    return float(min((a[..., 0] * u[..., 1] - a[..., 1] * u[..., 0]).min() for a, u in corners))


def line(start: Sequence[float], end: Sequence[float], steps: int) -> Curve:
    return np.linspace(np.array(start, float), np.array(end, float), steps + 1)


def bezier(*points: Sequence[float]) -> Curve:
    """A cubic curve as many short lines."""
    t = np.linspace(0, 1, 65)[:, None]
    a, b, c, d = (np.array(point, float) for point in points)
    curve: Curve = (1 - t) ** 3 * a + 3 * t * (1 - t) ** 2 * b + 3 * t**2 * (1 - t) * c + t**3 * d
    return curve


def length(curve: Curve) -> float:
    return float(np.linalg.norm(np.diff(curve, axis=0), axis=1).sum())


def even(curve: Curve, steps: int) -> Curve:
    """The same curve in so many steps of one length."""
    along = np.concatenate([[0], np.linalg.norm(np.diff(curve, axis=0), axis=1).cumsum()])
    at = np.linspace(0, along[-1], steps + 1)
    return np.stack([np.interp(at, along, curve[:, i]) for i in (0, 1)], axis=1)


def joined(*curves: Curve) -> Curve:
    """Curves one after another; each starts where the one before ends."""
    return np.concatenate([curves[0], *(curve[1:] for curve in curves[1:])])


def mirrored(grid: Floats) -> Floats:
    """On the other side of the body: x turned about, and columns with it."""
    flipped: Floats = grid[:, ::-1] * [-1, 1]
    return flipped


def steps(centimetres: float, size: float) -> int:
    """How many steps of about a size make a length: even, so that every other one may be left."""
    return max(2, 2 * round(centimetres / size / 2))
