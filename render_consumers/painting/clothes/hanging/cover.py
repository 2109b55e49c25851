"""What lies under cloth: it is left out of the picture, well inside, so that nothing pokes out."""

from typing import Any

import torch
import warp
from torch import Tensor

from render_consumers.painting.clothes.hanging import kernels
from render_consumers.painting.clothes.hanging.drape import Collider
from render_consumers.painting.mesh import Mesh

wp: Any = warp

DEEP, HIGH = 0.03, 0.16  # metres below and above a surface in which cloth over it is looked for
GAP = 2  # rings across which a gap in what is covered is closed
MARGIN = 3  # rings of vertices that stay under the edge of cloth


def bare(mesh: Mesh, places: Tensor, cloth: Collider, margin: int = MARGIN) -> Tensor:
    """Above 0 (V,) where something shows: all but what lies well inside of cloth."""
    normals = mesh.normals(places)
    at, out = (each.contiguous().to(cloth.device) for each in (places, normals))
    found = torch.zeros_like(at[:, 0])
    wp.launch(
        kernels.look_out,
        dim=len(places),
        inputs=[
            cloth.mesh.id,
            wp.from_torch(at, dtype=wp.vec3),
            wp.from_torch(out, dtype=wp.vec3),
            DEEP,
            HIGH,
            wp.from_torch(found),
        ],
        device=cloth.device,
    )
    covered = 1 - mesh.eroded(1 - found.to(places), GAP)
    return 1 - 2 * mesh.eroded(covered, GAP + margin)
