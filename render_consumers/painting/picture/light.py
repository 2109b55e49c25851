"""Light: three wide lamps and a bright sky, with the shadows that the person casts on itself.

A wide lamp is many small ones, and so is the sky; each has a map of what is nearest to it (shadow
mapping, Williams 1978). How much of them reaches a place is looked up there, so that penumbrae and
the dark of folds come out soft without a ray being cast.
"""

import math

import msgspec
import torch
from torch import Tensor

from render_consumers.painting.picture import camera
from render_consumers.painting.picture.kernels import shadows
from render_consumers.painting.picture.kernels.running import bands, launch, side_by_side
from render_consumers.painting.vectors import unit

Direction = tuple[float, float, float]


# Towards each lamp (x to the right of the picture, y away from the camera, z up), and its light.
LAMPS: tuple[tuple[Direction, tuple[float, float, float]], ...] = (
    ((-0.55, -0.75, 0.62), (1.74, 1.66, 1.56)),
    ((0.80, -0.62, 0.18), (0.42, 0.44, 0.48)),
    ((0.62, 0.72, 0.52), (0.62, 0.64, 0.68)),
)
SPREADS = (0.22, 0.30, 0.22)  # half the width of each lamp, as a share of its distance
POINTS = (20, 6, 5)  # that each lamp is made of
SKY, GROUND = (0.56, 0.58, 0.62), (0.32, 0.29, 0.27)
SKY_POINTS = 36
LAMP_MAP, SKY_MAP = 512, 256  # texels along each side at most
FINEST = 0.002  # metres a texel
BLUNT = 0.004  # the same of lamps: finer, the single points of one would show
LEVEL = 0.15  # how far below level with a surface light still counts
LEFT = 0.05  # of any light, thrown about by what is not drawn, reaches every fold
MARGIN = 3  # texels around what is looked up
GOLDEN = math.pi * (3 - math.sqrt(5))
NOTHING = -1e9  # metres towards a lamp


class Maps(msgspec.Struct, frozen=True):
    """M maps of S by S texels: how places lie on them, and what is nearest to each lamp."""

    axes: Tensor  # (M, 3, 3)
    origins: Tensor  # (M, 3)
    texels: Tensor  # (M,) metres
    lamp: Tensor  # (M,) which lamp each is a point of
    depths: Tensor  # (M, S, S)

    def turned(self, degrees: float) -> "Maps":
        """The same maps when all that they show is turned about the upright axis."""
        return msgspec.structs.replace(self, axes=camera.turned(self.axes, degrees))


def lamp_points() -> tuple[Tensor, Tensor]:
    """Unit vectors (R, 3) to the points of all lamps, and whose each is (R,)."""
    found = [_disc(lamp) for lamp in range(len(LAMPS))]
    whose = torch.arange(len(LAMPS), dtype=torch.int32)
    return torch.cat(found), whose.repeat_interleave(torch.tensor(POINTS))


def sky_points() -> tuple[Tensor, Tensor]:
    """Unit vectors (R, 3) spread evenly from overhead to a little below level: one lamp's."""
    k = torch.arange(SKY_POINTS) + 0.5
    z = 1 - 1.25 * k / SKY_POINTS
    flat = (1 - z * z).sqrt()
    angle = k * GOLDEN
    points = torch.stack([flat * angle.cos(), flat * angle.sin(), z], dim=1)
    return points, torch.zeros(SKY_POINTS, dtype=torch.int32)


def lamps_around(places: Tensor, faces: Tensor, box: Tensor, pixel: float) -> Maps:
    """Maps of the lamps for what is in the ``box`` (2, 3), where pixels are so many metres wide."""
    finest = max(BLUNT, pixel)
    return cast(places, faces, lamp_points(), box, most=LAMP_MAP, finest=finest)


def sky_around(places: Tensor, faces: Tensor, box: Tensor, pixel: float) -> Maps:
    """The same of the sky."""
    finest = max(FINEST, pixel)
    return cast(places, faces, sky_points(), box, most=SKY_MAP, finest=finest)


def cast(
    places: Tensor,
    faces: Tensor,
    points: tuple[Tensor, Tensor],
    box: Tensor,
    *,
    most: int,
    finest: float,
) -> Maps:
    """Maps of the triangles (F, 3) as seen from each point, just around the ``box`` (2, 3).

    They have at most so many texels along each side, none of less than ``finest`` metres.
    """
    towards, whose = (each.to(places.device) for each in points)
    side = min(most, int(float((box[1] - box[0]).norm()) / finest) + 2 * MARGIN)
    axes, origins, texels = _views(towards, side, box)
    shape = (len(towards), side, side)
    depths = torch.full(shape, NOTHING, device=places.device)
    solid = faces.contiguous()

    def draw(first: int, last: int) -> None:
        some = slice(first, last)
        launch(
            shadows.cast,
            (last - first, len(solid)),
            *(places, solid, axes[some], origins[some], side, depths[some].flatten()),
        )

    side_by_side(draw, list(bands(0, len(towards), places.device)))
    return Maps(axes, origins, texels, whose, depths)


def reached(lamps: Maps, sky: Maps, places: Tensor, normals: Tensor) -> Tensor:
    """How much of each lamp and of the sky (N, 4) reaches each place (N, 3), from 0 to 1."""
    lit = torch.empty(len(places), len(LAMPS) + 1, device=places.device)

    def look_up(first: int, last: int) -> None:
        some = slice(first, last)
        for maps, count, blunt, column in (
            (lamps, len(LAMPS), False, 0),
            (sky, 1, True, len(LAMPS)),
        ):
            launch(
                shadows.gather_light,
                last - first,
                *(places[some], normals[some], maps.axes, maps.origins, maps.texels),
                *(maps.depths.shape[1], maps.depths.flatten(), maps.lamp),
                *(count, LEVEL, blunt, column, lit[some]),
            )

    side_by_side(look_up, list(bands(0, len(places), places.device, least=1024)))
    return lit.mul_(1 - LEFT).add_(LEFT)


def _disc(lamp: int) -> Tensor:
    """Directions (R, 3) to the points of a lamp, spread evenly over its disc (Vogel 1979)."""
    centre = unit(torch.tensor(LAMPS[lamp][0]))
    side = unit(torch.linalg.cross(centre, torch.tensor([0.0, 0.0, 1.0])))
    up = torch.linalg.cross(side, centre)
    k = torch.arange(POINTS[lamp]) + 0.5
    radius, angle = SPREADS[lamp] * (k / POINTS[lamp]).sqrt(), k * GOLDEN
    across, along = radius * angle.cos(), radius * angle.sin()
    return unit(centre + across[:, None] * side + along[:, None] * up)


def _views(towards: Tensor, side: int, box: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """For each direction (M, 3) what takes places to its map: axes, origins, metres a texel."""
    steep = towards[:, 2:].abs() > 0.9
    up = torch.where(steep, towards.new_tensor([0.0, 1, 0]), towards.new_tensor([0.0, 0, 1]))
    across = unit(torch.linalg.cross(up, towards))
    axes = torch.stack([across, torch.linalg.cross(towards, across), towards], dim=1)
    picks = torch.cartesian_prod(*[torch.arange(2, device=box.device)] * 3)
    corners = box[picks, torch.arange(3, device=box.device)]
    seen = corners @ axes.transpose(1, 2)  # (M, 8, 3)
    low, high = seen.amin(1), seen.amax(1)
    texels = ((high - low)[:, :2] / (side - 2 * MARGIN)).clamp(min=1e-6)
    scale = torch.cat([1 / texels, torch.ones_like(texels[:, :1])], dim=1)
    origins = torch.cat([MARGIN - low[:, :2] / texels, torch.zeros_like(texels[:, :1])], dim=1)
    return (axes * scale[:, :, None]).contiguous(), origins, texels.amax(1)
