"""Photographs a scene: camera, shadows, one surface per material, and the finished pixels."""

import math
from collections.abc import Callable, Iterator

import msgspec
import torch
from torch import Tensor

import render_consumers.painting.body.look as body
import render_consumers.painting.clothes.look as clothes
from render_consumers.painting.clothes.outfit import Piece
from render_consumers.painting.hair.look import strands
from render_consumers.painting.order import Order
from render_consumers.painting.picture import camera, flat, light, shade
from render_consumers.painting.picture.camera import Camera
from render_consumers.painting.picture.colours import Colour
from render_consumers.painting.picture.raster import Visible, rasterise
from render_consumers.painting.picture.scene import Material, Scene
from render_consumers.painting.picture.surface import Samples, Surface
from render_consumers.painting.vectors import unit

FINE = 2  # samples along each side of a pixel
PIECE = 1 << 16  # samples shaded at a time: what a processor's cache holds
SNEAKERS: Colour = (0.10, 0.105, 0.115)
IRIS: Colour = (0.17, 0.085, 0.04)
NEAR_GROUND = 0.30  # metres: what is lower casts the shadow at the feet
LIGHTINGS = 24  # angles of a turn at which shadows are worked out; between them they are mixed


def photographed(
    scene: Scene, order: Order, size: tuple[int, int], go_on: Callable[[], None]
) -> Tensor:
    """The picture (H, W, 3) in bytes; ``go_on`` is called between stages."""
    lit = _lit(scene)
    go_on()
    return _drawn(scene, order, camera.frame(order.mode, size, *scene.extent()), lit, go_on)


def filmed(
    scene: Scene, order: Order, size: tuple[int, int], frames: int, go_on: Callable[[], None]
) -> Iterator[Tensor]:
    """One turn around in so many pictures (H, W, 3): after the last comes the first again."""
    low, high = scene.extent()
    reach = scene.places[:, :2].norm(dim=1).amax()
    around = torch.stack([reach, reach])
    low, high = torch.cat([-around, low[2:]]), torch.cat([around, high[2:]])
    view = camera.frame(order.mode, size, low, high)
    lit: dict[int, Tensor] = {}
    for frame in range(frames):
        share, before = math.modf(LIGHTINGS * frame / frames)
        for step in (int(before), int(before) + 1):
            if step not in lit:
                lit.pop(step - 2, None)
                lit[step] = _lit(scene.turned(360 * step / LIGHTINGS))
        mixed = torch.lerp(lit[int(before)], lit[int(before) + 1], share)
        yield _drawn(scene.turned(360 * frame / frames), order, view, mixed, go_on)


def _lit(scene: Scene) -> Tensor:
    return light.reached(scene.places, scene.normals, scene.solid())


def _drawn(
    scene: Scene, order: Order, view: Camera, lit: Tensor, go_on: Callable[[], None]
) -> Tensor:
    shown = scene.places[scene.solid().flatten()]
    low = shown.amin(0)
    fine = msgspec.structs.replace(view, size=(view.size[0] * FINE, view.size[1] * FINE))
    visible = rasterise(
        fine.project(scene.places), scene.faces, fine.size, scene.field, scene.one_sided
    )
    go_on()
    pieces = []
    for piece in visible.pieces(PIECE):
        pieces.append(_shaded(scene, order, piece, lit, fine, float(low[2])))
        go_on()
    colour = torch.cat(pieces) if pieces else lit.new_zeros(0, 4 if order.flat else 3)
    if order.flat:
        colour = flat.drawn(colour, visible, scene, fine.size)
    feet = shown[shown[:, 2] < low[2] + NEAR_GROUND][::7]
    dark = shade.contact_shadow(view, feet, float(low[2]))
    return shade.developed(colour, visible.sample, view, FINE, order.backdrop, dark)


def _shaded(
    scene: Scene, order: Order, visible: Visible, lit: Tensor, view: Camera, ground: float
) -> Tensor:
    """Light (N, 3) from some of the samples, or what the flat look makes it of (N, 4)."""
    place, normal, template, lit_there, marks = scene.seen(visible, lit)
    towards = unit(place.new_tensor(view.eye()) - place)
    normal = _facing(unit(normal), towards)
    material = scene.material[visible.face]
    out = place.new_zeros(len(place), 4 if order.flat else 3)
    for kind in Material:
        at = (material == kind).nonzero()[:, 0]
        if len(at):
            samples = Samples(template[at], place[at], normal[at], marks[at])
            surface = _surface(kind, samples, order, ground)
            paint = flat.shaded if order.flat else shade.shaded
            out[at] = paint(surface, samples, lit_there[at], towards[at])
    return out


def _surface(kind: Material, samples: Samples, order: Order, ground: float) -> Surface:
    match kind:
        case Material.SKIN:
            hairy = order.hairstyle != "bald"
            return body.skin(samples, order.skin, order.hair, order.gender, hairy)
        case Material.EYES:
            return body.eyes(samples, IRIS)
        case Material.TEETH:
            return body.teeth(samples)
        case Material.HAIR:
            return strands(samples, order.hair)
        case Material.TOP:
            return _cloth(samples, order, order.outfit.top)
        case Material.BOTTOM:
            assert order.outfit.bottom
            return _cloth(samples, order, order.outfit.bottom)
        case Material.SHOES:
            return clothes.shoes(samples, SNEAKERS, ground)


def _cloth(samples: Samples, order: Order, piece: Piece) -> Surface:
    return clothes.cloth(samples, piece, order.colour_of(piece), fit_map=order.fit_map)


def _facing(normal: Tensor, towards: Tensor) -> Tensor:
    """Normals that never point far away from the viewer: the inside of cloth is lit as seen."""
    return torch.where((normal * towards).sum(1, keepdim=True) < -0.2, -normal, normal)
