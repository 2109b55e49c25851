"""Dresses a body: lays an outfit around it, hangs it, and keeps what it has hung."""

from collections import OrderedDict
from collections.abc import Callable
from threading import Lock

import msgspec
import numpy as np
import torch
from msgspec.structs import replace
from torch import Tensor

from render_consumers.painting.body.assets import Assets
from render_consumers.painting.body.body import Skin
from render_consumers.painting.clothes.hanging import cover, lay
from render_consumers.painting.clothes.hanging.drape import (
    Collider,
    Drape,
    Hanging,
    cleared,
    gaps,
    prepare,
)
from render_consumers.painting.clothes.outfit import Outfit, Piece
from render_consumers.painting.clothes.piece import Cloth
from render_consumers.painting.clothes.sewing.pattern import Floats, Sewn
from render_consumers.painting.clothes.sewing.tailor import (
    STRAIN,
    Made,
    carried,
    friction,
    held,
    made,
)
from render_consumers.painting.clothes.sewing.trim import shaped
from render_consumers.painting.clothes.shoes import Shoes, shoe_field
from render_consumers.painting.clothes.size_chart import Cut
from render_consumers.painting.mesh import Mesh

ON_BODY = 0.012  # metres within which cloth counts as lying on the body
TORN = 1.9  # times its length: no thread is pulled so far unless an end is caught
BULGE = 0.008  # metres at most that a body comes through between two vertices
SLIPS = 0.045  # metres that a neckline may slip down at most, however wide it is
NAPE_LOWER = 0.03  # metres that a neckline settles behind from where it is laid
TUCK = 9.0  # centimetres that a plain top goes down inside the waistband
CPU = torch.device("cpu")
Sheet = tuple[Tensor, Tensor]  # places (V, 3) and triangles (F, 3)

KEPT = 32  # outfits that hang ready
OFF = 0.004  # metres that cloth lies off what is under it, its own thickness aside
TRIM_OFF = 0.004  # metres that a collar lies off what is under it
COARSE_WEIGHT, FINE_WEIGHT = 0.4, 0.1
COARSE_STEPS, FINE_STEPS, LAST_STEPS = 160, 60, 5


class Pose(msgspec.Struct, frozen=True):
    """A body at rest and posed, and what carries each vertex there: (V, 3, 3) and (V, 3)."""

    rest: Skin
    posed: Skin
    turns: Tensor
    moves: Tensor

    def to(self, device: torch.device) -> "Pose":
        """The same body where a device has it."""
        rest, posed = (
            Skin(skin.vertices.to(device), skin.joints.to(device))
            for skin in (self.rest, self.posed)
        )
        return Pose(rest, posed, self.turns.to(device), self.moves.to(device))


class Worn(msgspec.Struct, frozen=True):
    """A piece as it hangs: places and normals (P, 3) of its panels, and what is seen of it."""

    piece: Piece
    made: Made
    hung: Tensor  # (V, 3)
    places: Tensor
    normals: Tensor
    marks: Tensor  # (P, 4)
    field: Tensor  # (P,)


class Dressed(msgspec.Struct, frozen=True):
    """All that is worn, the innermost first, and where skin shows: above 0 (V,)."""

    worn: tuple[Worn, ...]
    shoes: Cloth
    bare: Tensor

    def to(self, device: torch.device) -> "Dressed":
        """What the picture takes of it, where a device has it."""
        worn = tuple(
            replace(
                each,
                places=each.places.to(device),
                normals=each.normals.to(device),
                marks=each.marks.to(device),
                field=each.field.to(device),
            )
            for each in self.worn
        )
        shoes = Cloth(*(part.to(device) for part in msgspec.structs.astuple(self.shoes)))
        return Dressed(worn, shoes, self.bare.to(device))


class Wardrobe:
    """Everything that can be worn by the body model on one device."""

    def __init__(self, assets: Assets, skin: Mesh) -> None:
        self._device = assets.template.device
        prepare(self._device)
        self._template, self._body = assets.template.cpu(), assets.parts["body"].cpu()
        self._skin = skin.to(CPU)
        self._form = lay.Form(assets, skin.vertices)
        self.shoes = Shoes(assets.parts["helper-tights"].cpu(), self._template)
        self._hung: OrderedDict[bytes, Dressed] = OrderedDict()
        self._lock = Lock()
        self.drapes = 0  # how many have been hung so far

    def dressed(self, key: bytes, body: Callable[[], Pose], outfit: Outfit) -> Dressed:
        """An outfit on a body that ``key`` stands for: kept, so that it is hung but once."""
        key += repr([(piece.cut, piece.plain) for piece in outfit.pieces]).encode()
        with self._lock:
            if key in self._hung:
                self._hung.move_to_end(key)
                return self._hung[key]
        dressed = self._dress(body().to(CPU), outfit).to(self._device)
        with self._lock:
            self._hung[key] = dressed
            while len(self._hung) > KEPT:
                self._hung.popitem(last=False)
        return dressed

    def _dress(self, body: Pose, outfit: Outfit) -> Dressed:
        self.drapes += 1
        shoes = self.shoes.on(body.posed.vertices)
        solid = [(body.posed.vertices, self._body), _solid(self.shoes.mesh, shoes)]
        worn: list[Worn] = []
        rest = lay.Rest(self._form, _array(body.rest.vertices), _array(body.rest.joints))
        for piece, cut in _inside_out(outfit, rest):
            hung = self._hang(body, rest, piece, cut, [*solid, *map(_sheet, worn)])
            worn = [_under(each, hung, self._device) for each in worn] + [hung]
        bare = 0.012 - shoe_field(self._template[self._skin.vertices])
        places = body.posed.vertices[self._skin.vertices]
        for each in worn:
            hidden = cover.bare(self._skin, places, _collider([_sheet(each)], self._device))
            bare = torch.minimum(bare, torch.minimum(hidden, self._folds(each.made.cut)))
        return Dressed(tuple(worn), shoes, bare)

    def _folds(self, cut: Cut) -> Tensor:
        """Below 0 (V,) in those folds of the body that a cut covers and cloth bridges."""
        covered = torch.zeros(len(self._skin.vertices), dtype=torch.bool)
        if cut.inseam is not None:
            covered |= torch.from_numpy(self._form.between_legs)
        if cut.sleeve is not None:
            covered |= torch.from_numpy(self._form.under_arms)
        return torch.where(covered, -1.0, 1.0)

    def _hang(self, body: Pose, rest: lay.Rest, piece: Piece, cut: Cut, under: list[Sheet]) -> Worn:
        ready = made(cut)
        start = lay.laid(ready.coarse, cut, rest)
        start = self._carried(body, ready.coarse, start, rest)
        collider = _collider(under, self._device)
        low = float(body.posed.vertices[:, 2].min())
        coarse = Drape(
            start,
            ready.coarse_cords,
            _how(cut, ready.coarse, start, low),
            collider,
        )
        coarse.fall(COARSE_STEPS, keep=0.985, weight=COARSE_WEIGHT)
        parents = ready.parents.numpy()
        fine = Drape(
            coarse.places()[parents].mean(1),
            ready.cords,
            _how(cut, ready.sewn, start[parents].mean(1), low),
            collider,
        )
        fine.fall(FINE_STEPS, keep=0.97, weight=FINE_WEIGHT)
        fine.clear(_smooth(ready, fine.places()), LAST_STEPS)
        places = _edges_off(ready, fine.places(), OFF, collider)
        hung = torch.from_numpy(places).float()
        return _worn(piece, ready, hung, under, self._device)

    def _carried(self, body: Pose, sewn: Sewn, start: Floats, rest: lay.Rest) -> Floats:
        """The cloth (V, 3) taken along by the nearest of the body, from rest into the pose."""
        near = lay.nearest(sewn, start, rest)
        mesh = Mesh(torch.from_numpy(sewn.faces))
        carriers = torch.cat([body.turns.flatten(1), body.moves], dim=1)[near]
        carried = _array(mesh.averaged(carriers, 12))
        turns, moves = carried[:, :9].reshape(-1, 3, 3), carried[:, 9:]
        placed: Floats = (turns @ start[:, :, None])[:, :, 0] + moves
        return placed


def _inside_out(outfit: Outfit, rest: lay.Rest) -> tuple[tuple[Piece, Cut], ...]:
    """The pieces and their cuts in the order in which they are put on.

    A plain top is tucked into the bottom: it ends a little below the waistband.
    """
    top, bottom = outfit.top, outfit.bottom
    if bottom is None:
        return ((top, top.cut),)
    if not top.plain:
        return ((bottom, bottom.cut), (top, top.cut))
    length = 100 * (rest.shoulder() - lay.waist(bottom.cut, rest)) + TUCK
    snug = 102 * rest.girth(lay.waist(bottom.cut, rest))
    tucked = replace(top.cut, length=length, waist=None, hem=snug)
    return ((top, tucked), (bottom, bottom.cut))


def _how(cut: Cut, sewn: Sewn, start: Floats, ground: float) -> Hanging:
    return Hanging(
        off=np.full(len(start), OFF + cut.material.thickness),
        held=held(sewn, cut),
        height=start[:, 2] - (0.0 if cut.chest is None else NAPE_LOWER),
        floor=np.where(carried(sewn, cut), start[:, 2] - SLIPS, -1.0),
        friction=friction(sewn, cut),
        ground=ground,
    )


def _smooth(ready: Made, places: Floats) -> Floats:
    """Without what is finer than the mesh can show: hems along themselves, then the cloth."""
    smooth = torch.from_numpy(places)
    first, second = ready.edges.unbind(1)
    torn = (smooth[first] - smooth[second]).norm(dim=1) > TORN * ready.rest
    stuck = torch.zeros(len(smooth), 1, dtype=torch.bool)
    stuck[ready.edges[torn].flatten()] = True  # behind an arm: back to where its neighbours are
    for _ in range(8):
        smooth = torch.where(stuck, ready.mesh.averaged(smooth, 1), smooth)
    rim = ready.rim
    for _ in range(4):
        smooth[rim[:, 1]] = 0.5 * smooth[rim[:, 1]] + 0.25 * (smooth[rim[:, 0]] + smooth[rim[:, 2]])
    finished: Floats = ready.mesh.smoothed(smooth, 2, share=0.35).numpy()
    return finished


def _edges_off(ready: Made, places: Floats, off: float, body: Collider) -> Floats:
    """Places (V, 3) moved so that the middles of edges are off the body too, where it bulges."""
    ends = ready.edges.numpy()
    for _ in range(2):
        middle = places[ends].mean(1)
        push = cleared(middle, off, body, rounds=1) - middle
        far = np.linalg.norm(push, axis=1)
        push[(far < 1e-4) | (far > BULGE)] = 0  # single precision's steps; what is beside an arm
        inside = (push != 0).any(1)
        count = np.bincount(ends[inside].flatten(), minlength=len(places))
        total = [
            np.bincount(ends[inside].flatten(), push[inside, axis].repeat(2), len(places))
            for axis in range(3)
        ]
        places = places + np.stack(total, axis=1) / np.maximum(count, 1)[:, None]
    return places


def _worn(
    piece: Piece, ready: Made, hung: Tensor, under: list[Sheet], device: torch.device
) -> Worn:
    vertex = torch.from_numpy(ready.sewn.vertex)
    places, normals = hung[vertex], ready.mesh.normals(hung)[vertex]
    strain = _strain(ready, hung, _collider(under, device))
    marks = ready.marks.clone()
    marks[: len(vertex), STRAIN] = strain[vertex]
    if ready.trim is not None:
        trim = shaped(ready.trim, hung, ready.mesh)
        own = [[(hung, ready.mesh.faces)]] if ready.trim.folded else []
        for around in (*own, under):
            off = cleared(_array(trim), TRIM_OFF, _collider(around, device))
            sewn_on = len(ready.trim.loop)
            trim = torch.cat([trim[:sewn_on], torch.from_numpy(off).to(hung)[sewn_on:]])
        normals = torch.cat([normals, Mesh(torch.from_numpy(ready.trim.faces)).normals(trim)])
        places = torch.cat([places, trim])
    return Worn(
        piece=piece,
        made=ready,
        hung=hung,
        places=places,
        normals=normals,
        marks=marks,
        field=torch.ones_like(marks[:, 0]),
    )


def _strain(ready: Made, hung: Tensor, body: Collider) -> Tensor:
    """How much longer (V,) cloth is than cut, as a share; below 0 how far off the body, in metres.

    Cloth that lies on the body may be slack, but what hangs free of it is loose.
    """
    first, second = ready.edges.unbind(1)
    longer = (hung[first] - hung[second]).norm(dim=1) / ready.rest - 1
    ends = ready.edges.flatten()
    count = torch.bincount(ends, minlength=len(hung))
    total = torch.bincount(ends, weights=longer.repeat_interleave(2), minlength=len(hung))
    strain = ready.mesh.averaged((total / count).to(hung)[:, None], 4)[:, 0]
    gap = torch.from_numpy(gaps(_array(hung), body)).to(hung)
    return torch.where(gap > ON_BODY, -(gap - ON_BODY), strain.clamp(min=0))


def _under(inner: Worn, outer: Worn, device: torch.device) -> Worn:
    """A piece with what lies well inside of another left out."""
    seen = cover.bare(inner.made.mesh, inner.hung, _collider([_sheet(outer)], device), margin=1)
    seen = seen[torch.from_numpy(inner.made.sewn.vertex)]
    field = inner.field.clone()
    field[: len(seen)] = torch.minimum(field[: len(seen)], seen)
    return replace(inner, field=field)


def _sheet(worn: Worn) -> Sheet:
    return worn.hung, worn.made.mesh.faces


def _solid(mesh: Mesh, cloth: Cloth) -> Sheet:
    return cloth.places, mesh.faces[(cloth.field > 0)[mesh.faces].all(1)]


def _collider(parts: list[Sheet], device: torch.device) -> Collider:
    places = torch.cat([part for part, _ in parts])
    starts = [sum(len(part) for part, _ in parts[:i]) for i in range(len(parts))]
    faces = [faces + start for (_, faces), start in zip(parts, starts, strict=True)]
    return Collider(places, torch.cat(faces), device)


def _array(values: Tensor) -> Floats:
    array: Floats = values.double().cpu().numpy()
    return array
