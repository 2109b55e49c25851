"""Photographs a scene: camera, shadows, one surface per material, and the finished pixels."""

from collections.abc import Callable

import msgspec
import torch
from torch import Tensor

from render_consumers.painting import camera, light, materials, shade
from render_consumers.painting.camera import Camera
from render_consumers.painting.colours import Colour
from render_consumers.painting.materials import Samples, Surface
from render_consumers.painting.order import Order
from render_consumers.painting.raster import Visible, rasterise
from render_consumers.painting.scene import Material, Scene
from render_consumers.painting.vectors import unit

FINE = 2  # samples along each side of a pixel
PIECE = 1 << 16  # samples shaded at a time: what a processor's cache holds
TROUSERS: Colour = (0.022, 0.026, 0.038)
SNEAKERS: Colour = (0.10, 0.105, 0.115)
IRIS: Colour = (0.17, 0.085, 0.04)
NEAR_GROUND = 0.30  # metres: what is lower casts the shadow at the feet


def photographed(
    scene: Scene, order: Order, size: tuple[int, int], go_on: Callable[[], None]
) -> Tensor:
    """The picture (H, W, 3) in bytes; ``go_on`` is called between stages."""
    lit = light.reached(scene.places, scene.normals, scene.solid())
    go_on()
    shown = scene.places[scene.solid().flatten()]
    low, high = shown.amin(0), shown.amax(0)
    view = camera.frame(order.mode, size, low, high)
    fine = msgspec.structs.replace(view, size=(size[0] * FINE, size[1] * FINE))
    visible = rasterise(
        fine.project(scene.places), scene.faces, fine.size, scene.field, scene.one_sided
    )
    go_on()
    pieces = []
    for piece in visible.pieces(PIECE):
        pieces.append(_shaded(scene, order, piece, lit, fine, float(low[2])))
        go_on()
    colour = torch.cat(pieces) if pieces else lit.new_zeros(0, 3)
    feet = shown[shown[:, 2] < low[2] + NEAR_GROUND][::7]
    dark = shade.contact_shadow(view, feet, float(low[2]))
    return shade.developed(colour, visible.sample, view, FINE, order.backdrop, dark)


def _shaded(
    scene: Scene, order: Order, visible: Visible, lit: Tensor, view: Camera, ground: float
) -> Tensor:
    """Light (N, 3) from some of the samples."""
    place, normal, template, lit_there, marks = scene.seen(visible, lit)
    towards = unit(place.new_tensor(view.eye()) - place)
    normal = _facing(unit(normal), towards)
    material = scene.material[visible.face]
    out = torch.zeros_like(place)
    for kind in Material:
        at = (material == kind).nonzero()[:, 0]
        if len(at):
            samples = Samples(template[at], place[at], normal[at], marks[at])
            surface = _surface(kind, samples, order, ground)
            out[at] = shade.shaded(surface, lit_there[at], towards[at])
    return out


def _surface(kind: Material, samples: Samples, order: Order, ground: float) -> Surface:
    match kind:
        case Material.SKIN:
            hairy = order.hairstyle != "bald"
            return materials.skin(samples, order.skin, order.hair, order.gender, hairy)
        case Material.EYES:
            return materials.eyes(samples, IRIS)
        case Material.TEETH:
            return materials.teeth(samples)
        case Material.HAIR:
            return materials.strands(samples, order.hair)
        case Material.TOP:
            return materials.hoodie(samples, order.garment)
        case Material.TROUSERS:
            return materials.trousers(samples, TROUSERS)
        case Material.SHOES:
            return materials.shoes(samples, SNEAKERS, ground)


def _facing(normal: Tensor, towards: Tensor) -> Tensor:
    """Normals that never point far away from the viewer: the inside of cloth is lit as seen."""
    return torch.where((normal * towards).sum(1, keepdim=True) < -0.2, -normal, normal)
