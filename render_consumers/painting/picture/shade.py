"""From surfaces and light to a finished picture: everything in linear light until the last line."""

from typing import NamedTuple

import torch
from torch import Tensor

from render_consumers.painting.picture import fibre
from render_consumers.painting.picture.camera import Camera
from render_consumers.painting.picture.colours import Colour
from render_consumers.painting.picture.kernels import film, shadows
from render_consumers.painting.picture.kernels.running import bands, launch, side_by_side
from render_consumers.painting.picture.light import GROUND, LAMPS, SKY, SPREADS
from render_consumers.painting.picture.raster import Seen
from render_consumers.painting.picture.surface import Samples, Surface, smooth
from render_consumers.painting.vectors import unit

EXPOSURE = 0.50
SHOULDER = 0.72  # light above this is rolled off instead of clipped
FLESH: Colour = (0.42, 0.16, 0.10)  # how far round red, green and blue creep under skin
MOST_MIRRORED = 0.05  # of the sky, where it falls straight on: nobody is made of metal
HOT = 0.6  # how much of a lamp's width is as bright as its middle
FUZZ = 0.45  # roughness of the fibres that make cloth's sheen
# Around the feet: the shadow has faded out between these (metres), what is lower casts it, and how
# much more light than the sky the lamp gives.
FADE_FROM, FADE_TO, LOW = 0.30, 0.75, 1.0
LAMP_ON_GROUND = 1.2
STRIDE = 3  # every third triangle is enough
COARSE = 6  # pixels along each side for which the shadow on the ground is looked up once


class Rays(NamedTuple):
    """Unit vectors (N, 3) at some places, and the cosine between the first two (N,)."""

    normal: Tensor
    towards: Tensor  # the camera
    mirrored: Tensor  # what is seen from the camera in a mirror there
    level: Tensor

    def some(self, which: Tensor) -> "Rays":
        return Rays(*(vectors[which] for vectors in self))


def shaded(surface: Surface, _samples: Samples, lit: Tensor, towards: Tensor) -> Tensor:
    """Light (N, 3) that leaves the surface towards the camera, ``lit`` (N, 4) as in ``reached``."""
    if surface.fibres is not None:
        return EXPOSURE * fibre.light(surface, surface.fibres, lit, towards)
    normal, open_sky = surface.normal, lit[:, 3:]
    level = (normal * towards).sum(1).clamp(min=1e-3)
    rays = Rays(normal, towards, 2 * level[:, None] * normal - towards, level)
    light = interreflected(open_sky, surface.albedo) * _around(normal)
    shine = mirrored_sky(surface, rays)[:, None] * open_sky.square() * _around(rays.mirrored)
    for k, (lamp, colour) in enumerate(LAMPS):
        to_lamp, its_light = unit(normal.new_tensor(lamp)), normal.new_tensor(colour)
        given, mirrored = from_lamp(surface, rays, to_lamp, HOT * SPREADS[k], lit[:, k])
        light += given * its_light
        shine += mirrored[:, None] * its_light
    return EXPOSURE * (surface.albedo * light + shine)


def from_lamp(
    surface: Surface, rays: Rays, to_lamp: Tensor, wide: float, reach: Tensor
) -> tuple[Tensor, Tensor]:
    """How much of a lamp's light is thrown back in all directions (N, 3), and mirrored (N,)."""
    facing = rays.normal @ to_lamp
    given = lambert(surface, facing, reach)
    if surface.sheen:
        fuzz = surface.sheen * fibres(rays, to_lamp) * facing.clamp(0, 1)
        given = given + (fuzz * reach)[:, None]
    there = (facing * reach > 0).nonzero()[:, 0]
    bright = highlight(surface.gloss[there], roughness(surface), rays.some(there), to_lamp, wide)
    mirrored = torch.zeros_like(facing)
    mirrored[there] = facing[there] * reach[there] * bright
    return given, mirrored


def mirrored_sky(surface: Surface, rays: Rays) -> Tensor:
    """What share of the sky is mirrored (N,): more at the edge, less on what is rough."""
    edge = (1 - rays.level).clamp(0, 1) ** 5 * (1 - roughness(surface)) ** 3
    straight = surface.gloss.clamp(max=MOST_MIRRORED)
    return straight + (1 - straight) * edge


def roughness(surface: Surface) -> float:
    """GGX's alpha for Blinn's exponent."""
    return float((2 / (surface.sharpness + 2)) ** 0.5)


def interreflected(open_sky: Tensor, albedo: Tensor) -> Tensor:
    """How much (N, 3) of the sky reaches a fold, its own light between its sides included.

    Jiménez et al. 2016, "Practical Real-Time Strategies for Accurate Indirect Occlusion".
    """
    a, b, c = 2.0404 * albedo - 0.3324, -4.7951 * albedo + 0.6417, 2.7552 * albedo + 0.6903
    return torch.maximum(open_sky, ((open_sky * a + b) * open_sky + c) * open_sky)


def lambert(surface: Surface, facing: Tensor, reach: Tensor) -> Tensor:
    """How much light (N, 3) a lamp gives; under skin red creeps further round than blue."""
    soft = surface.softness + surface.scatter * facing.new_tensor(FLESH)
    wrapped = ((facing[:, None] + soft) / (1 + soft)).clamp(min=0)
    if not surface.scatter:
        return wrapped * reach[:, None]
    tint = 1 / (1 + 2 * surface.scatter * facing.new_tensor(FLESH))
    return wrapped * reach[:, None] ** tint


def highlight(gloss: Tensor, alpha: float, rays: Rays, to_lamp: Tensor, wide: float) -> Tensor:
    """What of a round lamp is mirrored (N,): GGX with Schlick's Fresnel, Cook and Torrance 1982.

    A lamp is the point of it that is nearest to the mirrored ray (Karis 2013).
    """
    normal, towards, mirrored, level = rays
    blurred = min(1.0, alpha + 0.5 * wide)
    off = (mirrored @ to_lamp)[:, None] * mirrored - to_lamp
    near = unit(to_lamp + off * (wide / off.norm(dim=1, keepdim=True).clamp(min=1e-6)).clamp(max=1))
    half = unit(near + towards)
    at = (normal * half).sum(1).clamp(0, 1)
    square = alpha * alpha
    spread = square / (at * at * (square - 1) + 1) ** 2 * (alpha / blurred) ** 2
    k = alpha / 2
    falling = (normal @ to_lamp).clamp(min=1e-3)
    hidden = 1 / (4 * (level * (1 - k) + k) * (falling * (1 - k) + k))
    away = (1 - (half * towards).sum(1).clamp(0, 1)) ** 5
    return (gloss + (1 - gloss) * away) * spread * hidden


def fibres(rays: Rays, to_lamp: Tensor) -> Tensor:
    """The sheen (N,) of cloth: Estevez and Kulla 2017, with Neubelt's visibility."""
    normal, level = rays.normal, rays.level
    half = unit(to_lamp + rays.towards)
    at = (normal * half).sum(1).clamp(0, 1)
    spread = (2 + 1 / FUZZ) * (1 - at * at).clamp(min=1e-6) ** (0.5 / FUZZ) / (2 * torch.pi)
    falling = (normal @ to_lamp).clamp(min=1e-3)
    return spread * torch.pi / (4 * (falling + level - falling * level))


def rolled_off(light: Tensor) -> Tensor:
    """What is too bright brought below 1, all colours of a place by the same share: hues stay."""
    most = light.amax(1, keepdim=True)
    over = (most - SHOULDER).clamp(min=0)
    room = 1 - SHOULDER
    fitting = torch.minimum(most, most.new_tensor(SHOULDER)) + room * over / (over + room)
    return light * (fitting / most.clamp(min=1e-6))


def ground_shadow(camera: Camera, places: Tensor, faces: Tensor, ground: float) -> Tensor:
    """How dark (H, W) the ground is around a person: the share of light that its triangles take."""
    width, height = camera.size
    small = Camera(camera.centre, camera.span, (width // COARSE, height // COARSE))
    at, below = (each.to(places.device) for each in small.ground(ground))
    away = at.norm(dim=2).flatten()
    where = (below.flatten() & (away < FADE_TO)).nonzero()[:, 0]
    shade = torch.zeros(len(where), device=places.device)
    middle, area = _low_triangles(places, faces, ground)
    spots = at.reshape(-1, 2)[where].contiguous()

    def occlude(first: int, last: int) -> None:
        some = slice(first, last)
        lamp = tuple(unit(torch.tensor(LAMPS[0][0])).tolist())
        launch(
            shadows.occlude,
            last - first,
            *(spots[some], ground, middle, area, lamp, LAMP_ON_GROUND, shade[some]),
        )

    side_by_side(occlude, list(bands(0, len(where), places.device, least=64)))
    dark = torch.zeros(below.numel(), device=places.device)
    dark[where] = shade * smooth(FADE_TO, FADE_FROM, away[where])
    image = dark.view(1, 1, *below.shape)
    return torch.nn.functional.interpolate(
        image, size=(height, width), mode="bicubic", align_corners=False
    )[0, 0].clamp(0, 1)


def _low_triangles(places: Tensor, faces: Tensor, ground: float) -> tuple[Tensor, Tensor]:
    """Middles (T, 3) and area vectors (T, 3) of some of the triangles near the ground."""
    corners = places[faces[::STRIDE]]
    corners = corners[corners[:, :, 2].amax(1) < ground + LOW]
    a, b, c = corners.unbind(1)
    return corners.mean(1), 0.5 * STRIDE * torch.linalg.cross(b - a, c - a)


def developed(light: Tensor, seen: Seen, backdrop: Colour, dark: Tensor) -> Tensor:
    """The picture (H, W, 3) in bytes: parts averaged in linear light, over the backdrop."""
    width, height = seen.size
    picture = torch.empty(height * width, 3, dtype=torch.uint8, device=light.device)
    fitting = rolled_off(light)

    def develop(first: int, last: int) -> None:
        launch(
            film.develop,
            last - first,
            *(fitting, seen.parts.share, seen.starts, *seen.window, width, first),
            *(backdrop, dark.flatten(), picture),
        )

    side_by_side(develop, list(bands(0, height * width, light.device)))
    return picture.view(height, width, 3)


def _around(direction: Tensor) -> Tensor:
    """The light (N, 3) of the sky and of the ground that comes from a direction (N, 3)."""
    new = direction.new_tensor
    up = 0.5 + 0.5 * direction[:, 2:]
    return up * new(SKY) + (1 - up) * new(GROUND)
