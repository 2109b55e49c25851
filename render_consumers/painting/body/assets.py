"""The body model's data, as it was prepared."""

import json

import msgspec
import torch
from safetensors import safe_open
from torch import Tensor

from render_consumers.painting.body.preparation import PARTS, prepare


class Assets(msgspec.Struct, frozen=True, kw_only=True):
    """V vertices, S shapes (the first P of them phenotypes), J bones, B bones per vertex; metres.

    ``axes`` is right-handed: x to the person's left, y to the back, z up.
    """

    template: Tensor  # (V, 3)
    shapes: Tensor  # (S, V, 3)
    joints: Tensor  # (J, 3) heads of the bones
    joint_shapes: Tensor  # (S, J, 3)
    bone_of: Tensor  # (V, B)
    bone_weight: Tensor  # (V, B)
    phenotype_mask: Tensor  # (P, 26) which variations each phenotype shape is a product of
    marks: Tensor  # (V, M) from 0 to 1, how much of each of MARKS a vertex bears
    parts: dict[str, Tensor]  # triangles (F, 3) by the part's name
    shape_names: list[str]
    bone_names: list[str]
    bone_parents: list[int]


def load(device: torch.device) -> Assets:
    with safe_open(prepare(), framework="pt", device=str(device)) as file:
        names = json.loads(file.metadata()["names"])
        tensors = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118
    parts = {name: tensors.pop(f"part:{name}") for name in PARTS}
    return Assets(parts=parts, **tensors, **names)
