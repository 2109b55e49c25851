"""Cards: each strand as a ribbon that faces outward, with a comb of finer hairs cut into it."""

import msgspec
import torch
from torch import Tensor

from render_consumers.painting.hair.strands import Strands, tangents
from render_consumers.painting.vectors import unit

ROUND = 0.25  # how far the normals of a ribbon's edges lean apart


class Cards(msgspec.Struct, frozen=True):
    """Ribbons of 2 K vertices for each strand, left and right of each point."""

    places: Tensor  # (V, 3)
    normals: Tensor  # (V, 3)
    tangents: Tensor  # (V, 3)


def ribbons(strands: Strands) -> Cards:
    """The cards of strands where they are."""
    way = tangents(strands.points)
    side = unit(torch.linalg.cross(way, strands.outward))
    normal = torch.linalg.cross(side, way)
    c, s = strands.roll.cos()[:, None, None], strands.roll.sin()[:, None, None]
    side, normal = c * side + s * normal, c * normal - s * side
    half = 0.5 * strands.width[:, :, None] * side
    return Cards(
        places=_pairs(strands.points - half, strands.points + half),
        normals=_pairs(unit(normal - ROUND * side), unit(normal + ROUND * side)),
        tangents=_pairs(way, way),
    )


def faces(count: int, points: int) -> Tensor:
    """The triangles (F, 3) of so many cards of so many points."""
    base = 2 * points * torch.arange(count)[:, None, None]
    row = base + 2 * torch.arange(points - 1)[None, :, None]
    a, b, c, d = row, row + 1, row + 2, row + 3
    return torch.cat([torch.cat([a, b, c], 2), torch.cat([b, d, c], 2)], 1).view(-1, 3)


def _pairs(left: Tensor, right: Tensor) -> Tensor:
    return torch.stack([left, right], dim=2).view(-1, 3)
