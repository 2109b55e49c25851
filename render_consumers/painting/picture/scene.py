"""All layers of a person, each with its own mesh, laid together for one pass of the rasteriser."""

from enum import IntEnum

import msgspec
import torch
from torch import Tensor

from render_consumers.painting.mesh import Mesh
from render_consumers.painting.picture import camera
from render_consumers.painting.picture.raster import Visible


class Material(IntEnum):
    SKIN, EYES, TEETH, HAIR, TOP, BOTTOM, SHOES = range(7)


class Layer(msgspec.Struct, frozen=True):
    """One mesh in the pose: it shows where its field is above 0, from behind too if ``open``.

    ``normals`` are those of its mesh unless they are given: a seam parts places, not the cloth.
    """

    material: Material
    mesh: Mesh
    places: Tensor  # (V, 3)
    template: Tensor  # (V, 3)
    marks: Tensor  # (V, M)
    field: Tensor  # (V,)
    open: bool = False
    normals: Tensor | None = None  # (V, 3)

    def directions(self) -> Tensor:
        """The normals (V, 3)."""
        return self.mesh.normals(self.places) if self.normals is None else self.normals


class Scene(msgspec.Struct, frozen=True):
    """The layers as one list of vertices and triangles."""

    places: Tensor  # (V, 3)
    normals: Tensor  # (V, 3)
    template: Tensor  # (V, 3)
    marks: Tensor  # (V, M)
    field: Tensor  # (V,)
    faces: Tensor  # (F, 3)
    material: Tensor  # (F,)
    one_sided: Tensor  # (F,)

    def solid(self) -> Tensor:
        """The triangles (F', 3) of which anything shows: those that cast shadows."""
        return self.faces[(self.field[self.faces] > 0).any(1)]

    def extent(self) -> tuple[Tensor, Tensor]:
        """The two corners (3,) of the box around all that shows."""
        shown = self.places[self.solid().flatten()]
        return shown.amin(0), shown.amax(0)

    def turned(self, degrees: float) -> "Scene":
        """The same scene turned about the upright axis."""
        return msgspec.structs.replace(
            self,
            places=camera.turned(self.places, degrees),
            normals=camera.turned(self.normals, degrees),
        )

    def seen(self, visible: Visible, lit: Tensor) -> tuple[Tensor, ...]:
        """Place, normal, template, light and marks of each sample; normals face the viewer."""
        columns = [self.places, self.normals, self.template, lit, self.marks]
        mixed = visible.mix(self.faces, torch.cat(columns, dim=1))
        return torch.split(mixed, [column.shape[1] for column in columns], dim=1)


def together(layers: list[Layer]) -> Scene:
    sizes = [len(layer.places) for layer in layers]
    first = [sum(sizes[:i]) for i in range(len(sizes))]
    faces = [layer.mesh.faces for layer in layers]

    def per_face(values: list[int], kind: torch.dtype) -> Tensor:
        rows = [
            torch.full((len(part),), value, dtype=kind, device=part.device)
            for part, value in zip(faces, values, strict=True)
        ]
        return torch.cat(rows)

    return Scene(
        places=torch.cat([layer.places for layer in layers]),
        normals=torch.cat([layer.directions() for layer in layers]),
        template=torch.cat([layer.template for layer in layers]),
        marks=torch.cat([layer.marks for layer in layers]),
        field=torch.cat([layer.field for layer in layers]),
        faces=torch.cat([part + start for part, start in zip(faces, first, strict=True)]),
        material=per_face([int(layer.material) for layer in layers], torch.long),
        one_sided=per_face([not layer.open for layer in layers], torch.bool),
    )
