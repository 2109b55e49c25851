"""Hangs cloth on a body: extended position-based dynamics (XPBD, Macklin et al. 2016) in warp.

Threads keep vertices apart in turns of colours, so that no two of a turn share a vertex: the same
bytes on every run. Small steps of one iteration each converge fastest (Macklin et al. 2019).
The body is met as one plane per vertex, found anew every few steps.
"""

from typing import Any

import msgspec
import numpy as np
import torch
import warp
from torch import Tensor

from render_consumers.painting import compiled
from render_consumers.painting.clothes.hanging import kernels
from render_consumers.painting.clothes.sewing.pattern import Floats, Indices

wp: Any = warp  # its types say what kernels are made of, not how they are called

GRAVITY = 9.81
STEP = 1 / 200  # seconds
MEET = 8  # steps between two looks for the nearest place of the body
FREE = 0.08  # metres from a body within which its distance is told
FASTEST = 2.0  # metres per second that cloth may have
REACH = 0.05  # metres that are looked through for it


def prepare(device: torch.device) -> None:
    """Load the kernels of cloth."""
    compiled.load((kernels,), "cpu", str(device))  # threads are always sorted on the processor


class Threads(msgspec.Struct, frozen=True):
    """What keeps vertices apart, in turns that can each be pulled at once."""

    ends: Indices  # (E, 2)
    rest: Floats  # (E,) metres
    give: Floats  # (E,) 0: none at all; 1: half as stiff
    turns: tuple[tuple[int, int], ...]  # the first thread of each, and how many


def threads(ends: Indices, rest: Floats, give: Floats, count: int) -> Threads:
    """Sort threads by colours, greedily."""
    pairs = wp.array(ends.astype(np.int32), dtype=wp.vec2i, device="cpu")
    taken = wp.zeros(count, dtype=wp.uint64, device="cpu")
    colour = wp.zeros(len(ends), dtype=int, device="cpu")
    wp.launch(kernels.colour, dim=1, inputs=[pairs, taken, colour], device="cpu")
    colours = colour.numpy()
    order = np.argsort(colours, kind="stable")
    sizes = np.bincount(colours)
    firsts = np.concatenate([[0], sizes.cumsum()[:-1]])
    turns = tuple((int(first), int(size)) for first, size in zip(firsts, sizes, strict=True))
    return Threads(ends[order], rest[order], give[order], turns)


class Collider:
    """What cloth is kept off: triangles (F, 3) of places (V, 3) in metres, facing outwards.

    Kernels run on its device; all else about clothes is worked out on the processor.
    """

    def __init__(self, places: Tensor, faces: Tensor, device: torch.device) -> None:
        self.device = str(device)
        self._points = wp.from_torch(places.float().contiguous().to(device), dtype=wp.vec3)
        self._corners = wp.from_torch(faces.int().flatten().contiguous().to(device))
        self.mesh = wp.Mesh(points=self._points, indices=self._corners)


class Hanging(msgspec.Struct, frozen=True, kw_only=True):
    """How cloth is hung: for each vertex its distance from the body (V,), how firmly (V,) from 0 to
    1 it is held at a height (V,), and how low it may get (V,), all in metres.
    """

    off: Floats
    held: Floats
    height: Floats
    floor: Floats
    friction: Floats  # (V,)
    ground: float


class Drape:
    """Cloth that hangs on a body, step by step."""

    def __init__(self, place: Floats, cords: Threads, how: Hanging, body: Collider) -> None:
        self._device, self._body, self._how = body.device, body, how
        self._place = self._array(place, wp.vec3)
        self._before = wp.zeros_like(self._place)
        self._speed = wp.zeros_like(self._place)
        self._plane = wp.zeros(len(place), dtype=wp.vec4, device=self._device)
        self._off = self._array(how.off, float)
        ends = wp.array(cords.ends.astype(np.int32), dtype=wp.vec2i, device=self._device)
        rest, give = self._array(cords.rest, float), self._array(cords.give, float)
        self._find = self._command(
            kernels.find, len(place), [body.mesh.id, self._place, self._off, REACH, self._plane]
        )
        self._pulls = [
            self._command(kernels.pull, size, [self._place, ends, rest, give, first])
            for first, size in cords.turns
        ]
        held, height = self._array(how.held, float), self._array(how.height, float)
        state = [self._place, self._before, self._speed, self._plane, held, height]
        floor = self._array(np.maximum(how.floor, how.ground), float)
        self._meet = self._command(
            kernels.meet,
            len(place),
            [*state, floor, self._array(how.friction, float), STEP, FASTEST],
        )

    def fall(self, steps: int, *, keep: float, weight: float) -> None:
        """So many steps; ``keep`` is the share of its speed that cloth has left after each.

        ``weight`` is the share of its weight that pulls: one iteration a step leaves threads
        longer the more hangs from them, and how cloth folds needs but little of it.
        """
        state = [self._place, self._before, self._speed]
        fall = self._command(kernels.fall, len(self._place), [*state, keep, STEP, weight * GRAVITY])
        for step in range(steps):
            if step % MEET == 0:
                self._find.launch()
            fall.launch()
            for pull in self._pulls:
                pull.launch()
            self._meet.launch()

    def clear(self, smoothed: Floats, rounds: int) -> None:
        """Take smoothed places (V, 3) instead, and push them off whatever they are then inside."""
        self._place.assign(smoothed.astype(np.float32))
        for _ in range(rounds):
            self._before.assign(self._place)
            self._find.launch()
            self._meet.launch()

    def places(self) -> Floats:
        """Where the cloth is (V, 3)."""
        found: Floats = self._place.numpy().astype(np.float64)
        return found

    def _array(self, values: Floats, kind: Any) -> Any:
        return wp.array(values.astype(np.float32), dtype=kind, device=self._device)

    def _command(self, kernel: Any, size: int, inputs: list[Any]) -> Any:
        return wp.launch(kernel, dim=size, inputs=inputs, device=self._device, record_cmd=True)


def cleared(places: Floats, off: float, body: Collider, rounds: int = 2) -> Floats:
    """Places (N, 3) pushed out to a distance from a body."""
    none = np.zeros(0)
    how = Hanging(
        off=np.full(len(places), off),
        held=np.zeros(len(places)),
        height=np.zeros(len(places)),
        floor=np.full(len(places), -1.0),
        friction=np.zeros(len(places)),
        ground=-1.0,
    )
    loose = Drape(places, Threads(np.zeros((0, 2), np.int64), none, none, ()), how, body)
    loose.clear(places, rounds)
    return loose.places()


def gaps(places: Floats, body: Collider) -> Floats:
    """How far (N,) places are off a body, 0 inside of it, at most `FREE`."""
    at = wp.array(places.astype(np.float32), dtype=wp.vec3, device=body.device)
    off = wp.zeros(len(places), dtype=float, device=body.device)
    plane = wp.zeros(len(places), dtype=wp.vec4, device=body.device)
    inputs = [body.mesh.id, at, off, FREE, plane]
    wp.launch(kernels.find, dim=len(places), inputs=inputs, device=body.device)
    planes = plane.numpy().astype(np.float64)
    found: Floats = (places * planes[:, :3]).sum(1) - planes[:, 3]
    return np.clip(found, 0, FREE)
