"""Photographs a scene: camera, shadows, one surface per material, and the finished pixels."""

from collections.abc import Callable, Iterator

import torch
from torch import Tensor

import render_consumers.painting.body.look as body
import render_consumers.painting.clothes.look as clothes
from render_consumers.painting.clothes.outfit import Piece
from render_consumers.painting.hair.look import strands
from render_consumers.painting.hair.styles import STYLES
from render_consumers.painting.order import Order
from render_consumers.painting.picture import camera, flat, light, shade
from render_consumers.painting.picture.camera import Camera
from render_consumers.painting.picture.colours import Colour
from render_consumers.painting.picture.kernels.running import bands, side_by_side
from render_consumers.painting.picture.light import Maps
from render_consumers.painting.picture.raster import Seen, Visible, rasterise
from render_consumers.painting.picture.scene import Material, Scene
from render_consumers.painting.picture.surface import Samples, Surface
from render_consumers.painting.vectors import unit

CLOSE = 0.0011  # metres a pixel: where they are smaller than that, each is shaded once
PIECE = 1 << 15  # parts shaded at a time: torch divides no less among threads of its own
SNEAKERS: Colour = (0.10, 0.105, 0.115)


def photographed(
    scene: Scene, order: Order, size: tuple[int, int], go_on: Callable[[], None]
) -> Tensor:
    """The picture (H, W, 3) in bytes; ``go_on`` is called between stages."""
    view = camera.frame(order.mode, size, *scene.extent())
    return _drawn(scene, order, view, _sky(scene, view), _fine(view), go_on)


def filmed(
    scene: Scene, order: Order, size: tuple[int, int], frames: int, go_on: Callable[[], None]
) -> Iterator[Tensor]:
    """One turn around in so many pictures (H, W, 3): after the last comes the first again."""
    low, high = scene.extent()
    reach = scene.places[:, :2].norm(dim=1).amax()
    around = torch.stack([reach, reach])
    low, high = torch.cat([-around, low[2:]]), torch.cat([around, high[2:]])
    view = camera.frame(order.mode, size, low, high)
    sky = _sky(scene, view)
    for frame in range(frames):
        degrees = 360 * frame / frames
        yield _drawn(scene.turned(degrees), order, view, sky.turned(degrees), 1, go_on)


def materials(scene: Scene, order: Order, size: tuple[int, int]) -> Tensor:
    """Which `Material` (H, W) has most of each pixel, or -1."""
    return materials_seen(scene, camera.frame(order.mode, size, *scene.extent()))


def materials_seen(scene: Scene, view: Camera) -> Tensor:
    """The same, through any camera."""
    seen = _seen(scene, view, fine=1)
    kinds = scene.material[seen.parts.face]
    width, height = view.size
    shares = torch.zeros(height * width, len(Material) + 1, device=kinds.device)
    pixel = seen.pixels()
    shares.index_put_((pixel, kinds + 1), seen.parts.share, accumulate=True)
    shares[:, 0] = 1 - shares.sum(1)
    return (shares.argmax(1) - 1).view(height, width)


def _sky(scene: Scene, view: Camera) -> Maps:
    """Maps of the sky around as much of the person as can be seen, from all sides."""
    low, high = (corner.clone() for corner in scene.extent())
    middle, half = view.centre[2], 0.55 * view.span  # and a little of what is behind
    low[2], high[2] = low[2].clamp(min=middle - half), high[2].clamp(max=middle + half)
    box = torch.stack([low, high])
    return light.sky_around(scene.places, scene.solid(), box, view.pixel())


def _seen(scene: Scene, view: Camera, fine: int) -> Seen:
    return rasterise(
        view.project(scene.places),
        scene.faces,
        view.size,
        keep=scene.field,
        one_sided=scene.one_sided,
        surface=scene.material.int(),
        fine=fine,
    )


def _fine(view: Camera) -> int:
    """How many parts of a pixel are shaded, along each side."""
    return 2 if view.pixel() > CLOSE else 1


def _drawn(
    scene: Scene, order: Order, view: Camera, sky: Maps, fine: int, go_on: Callable[[], None]
) -> Tensor:
    seen = _seen(scene, view, fine)
    go_on()
    low = float(scene.extent()[0][2])
    lit = _lit(scene, seen, view, sky)
    go_on()
    parts = list(seen.parts.pieces(PIECE))
    pieces = [lit] * len(parts)

    def shade_some(first: int, last: int) -> None:
        for number in range(first, last):
            pieces[number] = _shaded(
                scene, order, parts[number], lit, view, low, view.pixel() / fine
            )
            go_on()

    side_by_side(shade_some, list(bands(0, len(parts), lit.device)))
    colour = torch.cat(pieces) if pieces else lit.new_zeros(0, 4 if order.flat else 3)
    if order.flat:
        colour = flat.drawn(colour, seen.parts, scene, seen.grid())
    dark = shade.ground_shadow(view, scene.places, scene.solid(), low)
    return shade.developed(colour, seen, order.backdrop, dark)


def _lit(scene: Scene, seen: Seen, view: Camera, sky: Maps) -> Tensor:
    """How much of the lamps and of the sky (S, 4) reaches the spots."""
    place, normal, _, _ = scene.seen(seen.spots)
    if not len(place):
        return place.new_zeros(0, len(light.LAMPS) + 1)
    normal = _facing(unit(normal), unit(place.new_tensor(view.eye()) - place))
    box = torch.stack([place.amin(0), place.amax(0)])
    lamps = light.lamps_around(scene.places, scene.solid(), box, view.pixel())
    return light.reached(lamps, sky, place.contiguous(), normal.contiguous())


def _shaded(
    scene: Scene,
    order: Order,
    visible: Visible,
    lit: Tensor,
    view: Camera,
    ground: float,
    spacing: float,
) -> Tensor:
    """Light (N, 3) from some of the parts, or what the flat look makes it of (N, 4)."""
    place, normal, template, marks = scene.seen(visible)
    lit_there = lit[visible.spot]
    towards = unit(place.new_tensor(view.eye()) - place)
    normal = _facing(unit(normal), towards)
    material = scene.material[visible.face]
    out = place.new_zeros(len(place), 4 if order.flat else 3)
    for kind in Material:
        at = (material == kind).nonzero()[:, 0]
        if len(at):
            tangent = visible.some(at).mix(scene.faces, scene.tangents)
            samples = Samples(template[at], place[at], normal[at], marks[at], tangent, spacing)
            surface = _surface(kind, samples, order, ground)
            paint = flat.shaded if order.flat else shade.shaded
            out[at] = paint(surface, samples, lit_there[at], towards[at])
    return out


def _surface(kind: Material, samples: Samples, order: Order, ground: float) -> Surface:
    match kind:
        case Material.SKIN:
            scalp = STYLES[order.hairstyle].scalp
            return body.skin(samples, order.skin, order.hair, order.gender, scalp)
        case Material.EYES:
            return body.eyes(samples, order.iris)
        case Material.LASHES:
            return body.lashes(samples, order.hair)
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
