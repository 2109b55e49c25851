"""All layers of a person, each with its own mesh, laid together for one pass of the rasteriser."""

from enum import IntEnum
from typing import Protocol

import msgspec
import torch
from torch import Tensor

from render_consumers.painting.picture import camera
from render_consumers.painting.picture.raster import Spots


class Material(IntEnum):
    SKIN, EYES, TEETH, HAIR, TOP, BOTTOM, SHOES, LASHES = range(8)


class Triangles(Protocol):
    """What a layer needs of a mesh."""

    @property
    def faces(self) -> Tensor: ...  # (F, 3)

    def normals(self, places: Tensor, /) -> Tensor: ...  # (V, 3)


class Layer(msgspec.Struct, frozen=True):
    """One mesh in the pose: it shows where its field is above 0, from behind too if ``open``.

    ``normals`` are those of its mesh unless they are given: a seam parts places, not the cloth.
    """

    material: Material
    mesh: Triangles
    places: Tensor  # (V, 3)
    template: Tensor  # (V, 3)
    marks: Tensor  # (V, M)
    field: Tensor  # (V,)
    open: bool = False
    tangents: Tensor | None = None  # (V, 3) which way fibres run
    casts: Tensor | None = None  # (F,) the triangles whose shadows stand for all, where not all do
    normals: Tensor | None = None  # (V, 3)

    def directions(self) -> Tensor:
        """The normals (V, 3)."""
        return self.mesh.normals(self.places) if self.normals is None else self.normals


class Scene(msgspec.Struct, frozen=True):
    """The layers as one list of vertices and triangles."""

    places: Tensor  # (V, 3)
    normals: Tensor  # (V, 3)
    tangents: Tensor  # (V, 3), 0 where no fibres run
    template: Tensor  # (V, 3)
    marks: Tensor  # (V, M)
    field: Tensor  # (V,)
    faces: Tensor  # (F, 3)
    material: Tensor  # (F,)
    one_sided: Tensor  # (F,)
    casts: Tensor  # (F,)

    def solid(self) -> Tensor:
        """The triangles (F', 3) of which anything shows and that cast shadows."""
        return self.faces[(self.field[self.faces] > 0).any(1) & self.casts]

    def extent(self) -> tuple[Tensor, Tensor]:
        """The two corners (3,) of the box around all that shows but hair.

        So nobody moves in the picture because of a hairstyle.
        """
        seen = (self.field[self.faces] > 0).any(1) & (self.material != int(Material.HAIR))
        shown = self.places[self.faces[seen].flatten()]
        return shown.amin(0), shown.amax(0)

    def turned(self, degrees: float) -> "Scene":
        """The same scene turned about the upright axis."""
        return msgspec.structs.replace(
            self,
            places=camera.turned(self.places, degrees),
            normals=camera.turned(self.normals, degrees),
            tangents=camera.turned(self.tangents, degrees),
        )

    def seen(self, visible: Spots) -> tuple[Tensor, ...]:
        """Place, normal, template and marks of each spot."""
        columns = [self.places, self.normals, self.template, self.marks]
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
        tangents=torch.cat([_fibres(layer) for layer in layers]),
        template=torch.cat([layer.template for layer in layers]),
        marks=torch.cat([layer.marks for layer in layers]),
        field=torch.cat([layer.field for layer in layers]),
        faces=torch.cat([part + start for part, start in zip(faces, first, strict=True)]),
        material=per_face([int(layer.material) for layer in layers], torch.long),
        one_sided=per_face([not layer.open for layer in layers], torch.bool),
        casts=torch.cat([_casting(layer) for layer in layers]),
    )


def _fibres(layer: Layer) -> Tensor:
    return torch.zeros_like(layer.places) if layer.tangents is None else layer.tangents


def _casting(layer: Layer) -> Tensor:
    every = torch.ones_like(layer.mesh.faces[:, 0], dtype=torch.bool)
    return every if layer.casts is None else layer.casts
